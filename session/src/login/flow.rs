//! One login, from the address that a person opens to the code that they bring back.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cib_protocol::api::{LoginFlow, LoginMethod, LoginState, StartLogin};
use cib_protocol::time::Timestamp;

use super::cli::{Cli, Event, Running};

/// How long a code is looked at.
const VERIFYING: Duration = Duration::from_secs(60);

/// What the login thread is told.
#[derive(Debug)]
enum Order {
    Code(String),
    Cancel,
}

/// The login that was begun last, shared by its thread and everybody who asks.
#[derive(Debug, Default)]
pub(super) struct Flows {
    last: Mutex<Option<Flow>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Flow {
    /// Tells it from the one before, whose process may still be ending.
    number: u64,
    shown: LoginFlow,
    order: Option<Order>,
    wake: UnixStream,
}

/// Why a login is not begun, or does not take what it is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlowError {
    #[error("a login is on its way; finish it or cancel it")]
    Running,
    #[error("no login waits for that; begin one")]
    NotWaiting,
    #[error("the CLI cannot be started: {0}")]
    Start(#[from] io::Error),
}

impl Flows {
    /// How the last login stands.
    pub(super) fn shown(&self) -> Option<LoginFlow> {
        self.lock().as_ref().map(|flow| flow.shown.clone())
    }

    pub(super) fn is_open(&self) -> bool {
        self.shown().is_some_and(|flow| flow.state.is_open())
    }

    /// Begins a login, in a thread of its own. A person has `patience` to bring the code.
    pub(super) fn start(
        self: &Arc<Self>,
        cli: &Cli,
        asked: &StartLogin,
        patience: Duration,
    ) -> Result<(), FlowError> {
        let mut last = self.lock();
        if last.as_ref().is_some_and(|flow| flow.shown.state.is_open()) {
            return Err(FlowError::Running);
        }
        let mut arguments = vec![
            "login",
            match asked.method {
                LoginMethod::Claudeai => "--claudeai",
                LoginMethod::Console => "--console",
            },
        ];
        if let Some(email) = &asked.email {
            arguments.extend(["--email", email]);
        }
        if asked.sso {
            arguments.push("--sso");
        }
        let mut command = cli.command(&arguments);
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let number = last.as_ref().map_or(0, |flow| flow.number + 1);
        *last = Some(Flow {
            number,
            shown: LoginFlow {
                state: LoginState::Starting,
                url: None,
                detail: None,
                started_at: Timestamp::now(),
            },
            order: None,
            wake,
        });
        drop(last);
        let flows = Arc::clone(self);
        // The process is told to end when the thread that started it does, so it is this one.
        let thread = move || match Running::start(&mut command) {
            Ok(running) => {
                let (state, detail) = flows.drive(number, running, &woken, patience);
                flows.finish(number, state, detail);
            }
            Err(error) => flows.finish(number, LoginState::Failed, Some(error.to_string())),
        };
        std::thread::Builder::new().spawn(thread)?;
        Ok(())
    }

    /// Hands over the code that a person brought.
    pub(super) fn code(&self, code: String) -> Result<(), FlowError> {
        self.order(Order::Code(code), |state| {
            (state == LoginState::AwaitingCode).then_some(LoginState::Verifying)
        })
    }

    /// Gives the login up.
    pub(super) fn cancel(&self) -> Result<(), FlowError> {
        self.order(Order::Cancel, |state| {
            state.is_open().then_some(LoginState::Cancelled)
        })
    }

    /// Waits until the login is in none of these states, but not for ever.
    pub(super) fn wait_while(&self, states: &[LoginState], within: Duration) {
        let is_in = |last: &mut Option<Flow>| {
            last.as_ref()
                .is_some_and(|flow| states.contains(&flow.shown.state))
        };
        let _unlocked = self.changed.wait_timeout_while(self.lock(), within, is_in);
    }

    fn order(
        &self,
        order: Order,
        next: impl FnOnce(LoginState) -> Option<LoginState>,
    ) -> Result<(), FlowError> {
        let mut last = self.lock();
        let flow = last.as_mut().ok_or(FlowError::NotWaiting)?;
        flow.shown.state = next(flow.shown.state).ok_or(FlowError::NotWaiting)?;
        flow.order = Some(order);
        // Its thread has gone if this fails, and then it has ended otherwise.
        let _ = flow.wake.write_all(b"!");
        drop(last);
        self.changed.notify_all();
        Ok(())
    }

    /// Goes along with the CLI to its end, and says how that was.
    fn drive(
        &self,
        number: u64,
        mut running: Running,
        woken: &UnixStream,
        patience: Duration,
    ) -> (LoginState, Option<String>) {
        let mut deadline = Instant::now() + patience;
        let mut said = Vec::new();
        loop {
            match running.step(Some(woken.as_fd()), deadline) {
                Ok(Event::Said(bytes)) => {
                    said.extend(bytes);
                    if let Some(url) = sign_in_address(&said) {
                        self.await_code(number, url);
                    }
                }
                Ok(Event::Woken) => {
                    // One byte stands for one order, and there is at most one.
                    let _ = (&mut &*woken).read(&mut [0; 16]);
                    match self.take_order(number) {
                        Some(Order::Code(code)) => {
                            deadline = Instant::now() + VERIFYING;
                            running.process.stdin.send(format!("{code}\n").as_bytes());
                        }
                        // A login that was replaced was cancelled before.
                        Some(Order::Cancel) => {
                            running.end();
                            return (LoginState::Cancelled, None);
                        }
                        None => {}
                    }
                }
                Ok(Event::Ended(0)) => return (LoginState::Done, None),
                Ok(Event::Ended(code)) => {
                    let why = match running.complaints() {
                        why if why.is_empty() => format!("the CLI ended with code {code}"),
                        why => why,
                    };
                    return (LoginState::Failed, Some(why));
                }
                Ok(Event::Late) => {
                    running.end();
                    return (LoginState::TimedOut, None);
                }
                Err(error) => {
                    running.end();
                    return (LoginState::Failed, Some(error.to_string()));
                }
            }
        }
    }

    fn take_order(&self, number: u64) -> Option<Order> {
        let mut last = self.lock();
        let flow = last.as_mut().filter(|flow| flow.number == number)?;
        flow.order.take()
    }

    fn await_code(&self, number: u64, url: String) {
        self.change(number, |flow| {
            if flow.state == LoginState::Starting {
                flow.state = LoginState::AwaitingCode;
                flow.url = Some(url);
            }
        });
    }

    fn finish(&self, number: u64, state: LoginState, detail: Option<String>) {
        self.change(number, |flow| {
            // It was good for one login.
            flow.url = None;
            if flow.state.is_open() {
                flow.state = state;
                flow.detail = detail;
            }
        });
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut LoginFlow)) {
        if let Some(flow) = &mut *self.lock()
            && flow.number == number
        {
            change(&mut flow.shown);
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Flow>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address in what the CLI has said, once its whole line is there.
fn sign_in_address(said: &[u8]) -> Option<String> {
    let whole = &said[..=said.iter().rposition(|byte| *byte == b'\n')?];
    let text = String::from_utf8_lossy(whole);
    text.split_whitespace()
        .find(|word| word.starts_with("https://") && word.contains("/oauth/"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_when_its_line_is_whole() {
        let said = "Opening browser to sign in…\nIf the browser didn't open, visit:\n";
        assert_eq!(sign_in_address(said.as_bytes()), None);
        let part = format!("{said}https://claude.ai/oauth/authorize?code=tr");
        assert_eq!(sign_in_address(part.as_bytes()), None);
        let whole = format!("{part}ue&state=x\nPaste code here if prompted > ");
        assert_eq!(
            sign_in_address(whole.as_bytes()).as_deref(),
            Some("https://claude.ai/oauth/authorize?code=true&state=x")
        );
    }

    #[test]
    fn an_address_that_leads_elsewhere_is_not_taken() {
        let said = b"A new version: https://docs.claude.com/changelog\n";
        assert_eq!(sign_in_address(said), None);
    }
}
