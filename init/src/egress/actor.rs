//! The one task that touches the rules. Whatever is wanted of them, and whatever happens to
//! them, is a message in its queue, and one message is carried out before the next.

use std::net::IpAddr;
use std::rc::Rc;

use cib_nft::{Counters, Enforced};
use cib_upstream::probe::{self, Depth};
use tokio::sync::mpsc;

use super::error::EgressError;
use super::inner::Inner;
use super::machine::{Action, Desired, Event};
use super::message::{Found, Message};
use super::{host, rules};
use cib_base::errors::chain;

pub(super) struct Actor {
    inner: Rc<Inner>,
    enforced: Option<Enforced>,
    /// What was refused under rules that were replaced since.
    refused_before: Counters,
}

impl Actor {
    pub(super) fn new(inner: Rc<Inner>) -> Self {
        Self {
            inner,
            enforced: None,
            refused_before: Counters::default(),
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = queue.recv().await {
            match message {
                Message::Happened(event) => drop(self.carry_out(event).await),
                // Whoever wanted something may have been cut off meanwhile.
                Message::Wanted(event, reply) => {
                    let _ = reply.send(self.carry_out(event).await);
                }
                Message::Inspected(reply) => {
                    let _ = reply.send(self.look().await);
                }
                Message::Counted(reply) => {
                    let _ = reply.send(self.count().await);
                }
            }
        }
    }

    /// Feeds an event, and does everything that follows from it.
    async fn carry_out(&mut self, event: Event) -> Result<Vec<String>, EgressError> {
        let mut warnings = Vec::new();
        let mut todo = self.feed(event);
        while !todo.is_empty() {
            match todo.remove(0) {
                Action::Enforce(desired) => match self.enforce(desired).await {
                    Ok(said) => warnings.extend(said),
                    Err(fault) => {
                        for action in self.feed(Event::Failed(chain(&fault))) {
                            if let Action::Say(level, line) = action {
                                self.inner.log(level, &line);
                            }
                        }
                        return Err(fault);
                    }
                },
                Action::Inspect(by) => {
                    let mut follows = self.inspect(by).await;
                    follows.append(&mut todo);
                    todo = follows;
                }
                Action::Meet(address) => self.meet(address),
                Action::Renew(address) => self.inner.renew(address),
                Action::Redirector(command) => self.inner.command(command),
                Action::Say(level, line) => self.inner.log(level, &line),
            }
        }
        Ok(warnings)
    }

    fn feed(&self, event: Event) -> Vec<Action> {
        self.inner.machine.borrow_mut().on(event)
    }

    async fn enforce(&mut self, desired: Desired) -> Result<Vec<String>, EgressError> {
        let policy = self.inner.policy(&desired)?;
        // Where nothing says so in the file system, the kernel's messages do.
        let devices = match host::devices() {
            none if none.is_empty() => self.inner.machine.borrow().devices().clone(),
            devices => devices,
        };
        let processes = &self.inner.processes;
        let before = rules::counters(processes).await.unwrap_or_default();
        let (enforced, generation) = rules::enforce(processes, policy, &devices).await?;
        let warnings = enforced.warnings.iter().map(ToString::to_string).collect();
        self.refused_before.add(&before);
        self.enforced = Some(enforced);
        let mut machine = self.inner.machine.borrow_mut();
        machine.covers(devices);
        machine.on(Event::Enforced(desired, generation));
        Ok(warnings)
    }

    async fn inspect(&self, by: String) -> Vec<Action> {
        let generation = cib_nft::watch::generation().await.ok();
        let found = match self.look().await {
            Some(Err(Found::Drift(drift))) => chain(&drift),
            Some(Err(Found::Fault(fault))) => chain(&fault),
            Some(Ok(())) | None => return self.feed(Event::Stands(generation)),
        };
        self.feed(Event::Drifted { by, found })
    }

    /// Compares what stands with what was applied, if anything was.
    async fn look(&self) -> Option<Result<(), Found>> {
        let enforced = self.enforced.as_ref()?;
        Some(match rules::drift(&self.inner.processes, enforced).await {
            Ok(None) => Ok(()),
            Ok(Some(drift)) => Err(Found::Drift(drift)),
            Err(fault) => Err(Found::Fault(fault)),
        })
    }

    async fn count(&self) -> Counters {
        let mut refused = self.refused_before.clone();
        if let Ok(now) = rules::counters(&self.inner.processes).await {
            refused.add(&now);
        }
        refused
    }

    /// Asks an address who is there, beside everything else: it may take its time.
    fn meet(&self, address: IpAddr) {
        let inner = Rc::clone(&self.inner);
        tokio::task::spawn_local(async move {
            let target = inner.first_target();
            let depth = Depth::Anonymous(&target);
            let met = probe::probe(&inner.upstream, &[address], depth, probe::DEADLINE).await;
            inner.happened(Event::Met(address, met.is_up()));
        });
    }
}
