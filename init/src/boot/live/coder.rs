//! The steps that prepare what coder's programs find: users, keys, git, agents, and what setup
//! commands leave.

use super::{Stage, StepError, ids};
use crate::boot::aside::aside;
use crate::boot::asking::Asking;
use crate::boot::helped::Helped;
use crate::boot::setup::AsCoder;
use crate::environment::ProxyMode;
use crate::logs::{Level, say};
use crate::plan::StepId;
use crate::steps::agent::{self, Notice, Relay};
use crate::steps::await_copy::await_copy;
use crate::steps::child_env::{Additions, ChildEnvironment};
use crate::steps::git::{self, Taken};
use crate::steps::keys;
use crate::steps::setup;
use crate::steps::users;

impl Stage<'_> {
    pub(super) async fn prepare_users(&self) -> Result<(), StepError> {
        let (paths, facts) = (self.survey.paths.clone(), self.survey.facts.clone());
        let container = self.settings().container.clone();
        let prepared = aside(move || users::prepare(&paths, &container, &facts));
        let (users, mut outcome) = prepared.await??;
        let helped = Helped {
            processes: &self.parts.processes,
            helper: self.helper(),
            paths: &self.survey.paths,
            users: &users,
        };
        helped.take_over(&mut outcome).await;
        helped.try_places(&mut outcome).await;
        // Whoever looks later finds them too: they hold until the box is started anew.
        for warning in std::mem::take(&mut outcome.warnings) {
            self.booted.warn(warning);
        }
        let _ = self.users.set(users);
        self.tell("init", outcome);
        // Whoever only holds the network serves nothing.
        if self.settings().egress.mode != ProxyMode::Hold {
            self.hold_port()?;
            self.hold_tcp_port()?;
        }
        Ok(())
    }

    pub(super) async fn prepare_keys(&self) -> Result<(), StepError> {
        let (paths, users) = (self.survey.paths.clone(), self.users()?.clone());
        let settings = self.settings().keys.clone();
        let prepared = aside(move || keys::prepare(&paths, &settings, &users));
        let (keys, outcome) = prepared.await??;
        let _ = self.keys.set(keys);
        self.tell("init", outcome);
        Ok(())
    }

    pub(super) async fn prepare_git(&self) -> Result<(), StepError> {
        let (paths, found) = (self.survey.paths.clone(), self.keys()?.clone());
        let (git, keys) = (self.settings().git.clone(), self.settings().keys.clone());
        let prepare =
            move |taken: Taken| aside(move || git::prepare(&paths, &git, &keys, &found, &taken));
        let asking = self.asking()?;
        let (taken, warnings) = asking.ask(self.keys()?).await;
        let outcome = prepare(taken).await??;
        self.tell("init", outcome);
        for warning in warnings {
            self.booted.warn(warning);
        }
        Ok(())
    }

    /// How programs of coder's are asked what they make of coder's own files.
    fn asking(&self) -> Result<Asking, StepError> {
        let users = self.users()?;
        let environment = ChildEnvironment::new(
            &self.survey.environment,
            self.settings(),
            &Additions {
                gnupg_home: self.keys()?.gnupg_home.clone(),
                ..Additions::default()
            },
        );
        Ok(Asking {
            processes: self.parts.processes.clone(),
            ids: ids(&users.coder, users.switch),
            environment: environment.coder(&users.coder).into_iter().collect(),
            home: users.coder.home.clone(),
            forwarded: self.settings().keys.agents.ssh.is_some(),
        })
    }

    pub(super) fn relay_agents(&self) -> Result<(), StepError> {
        let wanted = &self.settings().keys.agents;
        let (users, keys) = (self.users()?, self.keys()?);
        let (relays, outcome) = agent::open(&self.survey.paths, wanted, users, keys);
        self.parts
            .progress
            .explain(StepId::Agent, format!("{} relayed", relays.len()));
        self.tell("agent", outcome);
        for relay in relays {
            if relay.variable == "SSH_AUTH_SOCK" {
                let _ = self.ssh_agent.set(relay.socket.clone());
            }
            serve(relay);
        }
        Ok(())
    }

    pub(super) async fn await_copy(&self) -> Result<(), StepError> {
        let waits = || tracing::info!("waiting for a copy to be put into /workspace");
        await_copy(&self.survey.paths, waits).await?;
        Ok(())
    }

    pub(super) async fn set_up(&self) -> Result<(), StepError> {
        let (jobs, outcome) = self
            .jobs
            .take()
            .ok_or(StepError::TooEarly("the setup commands"))??;
        self.tell("setup", outcome);
        let users = self.users()?;
        let runner = AsCoder {
            processes: self.parts.processes.clone(),
            ids: ids(&users.coder, users.switch),
            environment: self
                .environment()?
                .coder(&users.coder)
                .into_iter()
                .collect(),
            workspace: self.survey.paths.workspace.clone(),
        };
        let settings = &self.settings().setup;
        let outcome = setup::run(&jobs, settings, &self.survey.paths, &runner).await?;
        self.tell("setup", outcome);
        Ok(())
    }
}

fn serve(relay: Relay) {
    let variable = relay.variable;
    tokio::task::spawn_local(relay.serve(move |notice| {
        let (level, line) = match notice {
            Notice::Lost(why) => (Level::Warn, format!("{variable}: {why}")),
            Notice::Back => (Level::Info, format!("{variable}: the agent is back")),
            Notice::Full => {
                let line = format!("{variable}: too many connections, further ones are refused");
                (Level::Warn, line)
            }
        };
        say(level, "agent", &line);
    }));
}
