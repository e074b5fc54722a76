//! Starting Claude under either driver, for the first time and again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cib_protocol::frame::Meta;
use cib_protocol::session::{self, SessionSpec, State};
use cib_protocol::time::Timestamp;

use super::driver::{Driver, Step, Terminal};
use super::end::Why;
use super::hooks::{self, Hooks};
use super::{Keeper, Options, line_limits};
use crate::claude::Process;
use crate::claude::command::{CommandLine, Conversation};
use crate::claude::version;
use crate::ledger::Ledger;
use crate::settings::{IMAGE_HOOKS, Settings, quoted, user_hooks};
use crate::stream::lines::Splitter;
use crate::stream::{self, Stream};
use crate::tty::Tty;
use crate::tty::events::Abilities;
use crate::watch::{Watch, config_dir, transcript_of};

/// Name of Claude's settings in the runtime directory.
const SETTINGS: &str = "settings.json";

/// What Claude is to be started with.
pub(super) struct Launch<'a> {
    pub(super) spec: &'a SessionSpec,
    pub(super) options: &'a Options,
    pub(super) command: &'a mut CommandLine,
    pub(super) model: Option<String>,
    pub(super) ledger: Ledger,
    /// US dollars that the conversation has cost.
    pub(super) cost: f64,
    /// Columns and rows.
    pub(super) size: (u16, u16),
}

/// A Claude that has been started, with the first step of its driver.
pub(super) struct Launched {
    pub(super) claude: Process,
    pub(super) driver: Driver,
    pub(super) step: Step,
}

impl Launch<'_> {
    /// Starts Claude under a driver.
    pub(super) fn start(mut self, kind: session::Driver) -> io::Result<Launched> {
        match kind {
            session::Driver::Stream => self.stream(),
            session::Driver::Tty => self.tty(),
        }
    }

    fn stream(&mut self) -> io::Result<Launched> {
        let mut settings = Settings::default();
        if self.has_hooks() {
            let abilities = Abilities::of(&version::ask(&self.command.program)?);
            self.add_hooks(&mut settings, abilities);
        }
        self.write_settings(&settings)?;
        let model = self.model.as_deref();
        let claude = Process::spawn(&mut self.command.stream(self.spec, model))?;
        let mut stream = Stream::new(self.ledger.clone(), self.cost);
        let mut out = stream::Out::default();
        stream.initialize(&mut out);
        for note in settings.notes {
            stream.note(note, &mut out);
        }
        Ok(Launched {
            claude,
            driver: Driver::Stream {
                lines: Splitter::new(line_limits(self.options)),
                stream: Box::new(stream),
            },
            step: out.into(),
        })
    }

    fn tty(&mut self) -> io::Result<Launched> {
        let runtime = &self.options.runtime;
        let limits = line_limits(self.options);
        let abilities = Abilities::of(&version::ask(&self.command.program)?);
        let hooks = Hooks::listen(runtime, limits)?;
        let carrier = hook_command(&runtime.join(hooks::SOCKET))?;
        let mut settings = Settings::wrapped(format!("{carrier} --run"));
        self.add_hooks(&mut settings, abilities);
        settings.add_own(&carrier, abilities);
        self.write_settings(&settings)?;
        let config = config_dir().ok_or_else(|| io::Error::other("HOME is not set"))?;
        let id = self.command.conversation.id().to_string();
        let transcript = transcript_of(&config, &id);
        let mut watch = Watch::new(&config, transcript.as_deref(), limits)?;
        let started = Timestamp::now();
        let mut command = self.command.tty(self.spec, self.model.as_deref());
        let claude = Process::spawn_on_terminal(&mut command, self.size)?;
        watch.process(claude.pid.as_raw_nonzero().get());
        let mut step = Step::default();
        for note in settings.notes {
            self.ledger.note(note, &mut step.frames);
        }
        let tty = Tty::new(self.ledger.clone(), abilities, started, self.cost);
        Ok(Launched {
            claude,
            driver: Driver::Tty(Box::new(Terminal { tty, hooks, watch })),
            step,
        })
    }

    /// Whether anybody but the keeper has hooks.
    fn has_hooks(&self) -> bool {
        let files = [Some(PathBuf::from(IMAGE_HOOKS)), user_hooks()];
        self.spec.hooks.is_some() || files.into_iter().flatten().any(|path| path.exists())
    }

    /// Adds the hooks of the image, of the user and of the session.
    fn add_hooks(&self, settings: &mut Settings, abilities: Abilities) {
        settings.add_file(Path::new(IMAGE_HOOKS), abilities);
        if let Some(path) = user_hooks() {
            settings.add_file(&path, abilities);
        }
        if let Some(events) = &self.spec.hooks {
            settings.add_events("the session's hooks", events.clone(), abilities);
        }
    }

    fn write_settings(&mut self, settings: &Settings) -> io::Result<()> {
        self.command.settings = match settings.text() {
            None => None,
            Some(text) => {
                let path = self.options.runtime.join(SETTINGS);
                fs::write(&path, text)?;
                Some(path)
            }
        };
        Ok(())
    }
}

impl Keeper {
    /// Goes on with another process where this one's end was no end of the session: it did not
    /// know an option that it can do without, or the driver is to be changed. Returns whether
    /// it did.
    pub(super) fn start_again(&mut self) -> bool {
        match self.leaving.as_ref().map(|leaving| leaving.why) {
            None => self.retry(),
            Some(Why::Switch(driver)) => self.switch(driver),
            Some(_) => false,
        }
    }

    fn retry(&mut self) -> bool {
        if self.driver.state() != State::Starting {
            return false;
        }
        let complaints = self.claude.complaints.text().unwrap_or_default();
        if !self.command.learn(&complaints) {
            return false;
        }
        let now_ms = self.clock.now_ms();
        let Driver::Stream { stream, .. } = &mut self.driver else {
            return false;
        };
        let mut stream = stream.again(now_ms);
        let mut command = self
            .command
            .stream(&self.spec, self.record.meta.model.as_deref());
        let Ok(claude) = Process::spawn(&mut command) else {
            return false;
        };
        let mut out = stream::Out::default();
        stream.initialize(&mut out);
        self.adopt(Launched {
            claude,
            driver: Driver::Stream {
                lines: Splitter::new(line_limits(&self.options)),
                stream: Box::new(stream),
            },
            step: out.into(),
        });
        true
    }

    /// Continues the conversation under the other driver.
    fn switch(&mut self, kind: session::Driver) -> bool {
        let now_ms = self.clock.now_ms();
        let step = self.driver.ended(now_ms);
        self.take(step);
        let step = self.driver.set_state(State::Starting, now_ms);
        self.take(step);
        // A conversation in which nothing was said has no transcript to resume.
        let conversation = self.command.conversation;
        let id = conversation.id();
        let transcript = config_dir().and_then(|dir| transcript_of(&dir, &id.to_string()));
        self.command.conversation = match transcript {
            Some(_) => conversation.again(),
            None => Conversation::New(id),
        };
        self.spec.permission_mode = self.record.meta.permission_mode;
        let mut ledger = self.driver.ledger().again(now_ms);
        let mut frames = Vec::new();
        let driver = Some(kind);
        ledger.tell(
            Meta {
                driver,
                ..Meta::default()
            },
            &mut frames,
        );
        self.record.append(frames);
        let launch = Launch {
            spec: &self.spec,
            options: &self.options,
            command: &mut self.command,
            model: self.record.meta.model.clone(),
            ledger,
            cost: self.record.meta.usage.cost_usd,
            size: self.size,
        };
        match launch.start(kind) {
            Ok(launched) => {
                self.leaving = None;
                self.record.amend(|meta| meta.ended_in = None);
                self.adopt(launched);
                true
            }
            Err(error) => {
                crate::log!("cannot change the driver: {error}");
                false
            }
        }
    }

    /// Takes up a Claude that follows another one.
    fn adopt(&mut self, launched: Launched) {
        self.claude = launched.claude;
        self.driver = launched.driver;
        self.exit = None;
        self.close_by = None;
        self.answer_by = Some(self.clock.now_ms() + self.options.start_ms);
        self.begin(launched.step);
    }

    /// Begins with a Claude that has just been started.
    pub(super) fn begin(&mut self, step: Step) {
        self.name_driver();
        let pid = u32::try_from(self.claude.pid.as_raw_nonzero().get()).ok();
        self.record.amend(|meta| meta.claude_pid = pid);
        self.take(step);
    }
}

/// What Claude's shell runs for a hook: this program again.
fn hook_command(socket: &Path) -> io::Result<String> {
    let program = std::env::current_exe()?;
    Ok(format!(
        "{} hook --socket {}",
        quoted(&program.display().to_string()),
        quoted(&socket.display().to_string())
    ))
}
