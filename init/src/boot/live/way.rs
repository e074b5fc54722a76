//! The steps that close the way out, open it through the proxy, and prove it.

use super::{Parts, Stage, StepError};
use crate::egress::joined::Joined;
use crate::egress::services::{RESOLVER, SOCKETS};
use crate::egress::{Egress, Program, RedirectorCommand};
use crate::supervisor::Supervisor;

/// Name of the redirector's service.
const REDIRECTOR: &str = "redsocks";

impl Stage<'_> {
    pub(super) async fn close_egress(&self) -> Result<(), StepError> {
        let warnings = self.egress()?.close().await?;
        self.warn_of_egress(&warnings);
        Ok(())
    }

    pub(super) async fn redirect(&self) -> Result<(), StepError> {
        let egress = self.egress()?;
        let warnings = egress.open().await?;
        self.warn_of_egress(&warnings);
        for Program { service, sockets } in egress.configure(&self.parts.bin)? {
            let name = service.name.clone();
            let descriptors = (SOCKETS..).zip(sockets).collect();
            self.parts.supervisor.add_lending(service, descriptors);
            // One that is not ready yet is started again for as long as it takes; the rules
            // stand without it.
            if !self.parts.supervisor.start(&name).await? {
                return Err(StepError::NotReady(name));
            }
        }
        Ok(())
    }

    pub(super) async fn prove_egress(&self) -> Result<(), StepError> {
        if let Some(joined) = self.booted.joined.get() {
            joined.prove().await?;
            let supervisor = self.parts.supervisor.clone();
            tokio::task::spawn_local(end_with(supervisor, joined.clone()));
            return Ok(());
        }
        let egress = self.egress()?;
        let health = egress.prove().await?;
        egress.watch(health, gate(self.parts, egress), || {});
        Ok(())
    }

    /// Says what the rules cannot do here, once each.
    fn warn_of_egress(&self, warnings: &[String]) {
        for warning in warnings {
            let mut said = self.booted.warnings.borrow_mut();
            if !said.contains(warning) {
                tracing::warn!(service = "egress", "{warning}");
                said.push(warning.clone());
            }
        }
    }
}

/// Ends the box when the network that it joined is gone: it comes back with its holder only
/// for a container that is started anew.
async fn end_with(supervisor: Supervisor, joined: Joined) {
    match joined.lost().await {
        Ok(()) => {
            tracing::error!(
                service = "egress",
                "the container that held the network has ended, and the network with it; \
                        start both anew, with compose by `up -d --wait --force-recreate`"
            );
            supervisor.lose("network");
        }
        Err(error) => {
            tracing::warn!(
                service = "egress",
                "whether the network is still there cannot be watched: {error}"
            );
        }
    }
}

/// Holds the redirector down while the upstream is silent, and takes it to another address.
/// The connect bridge needs no such thing: it answers its clients itself.
fn gate(parts: &Parts, egress: &Egress) -> impl Fn(RedirectorCommand) + 'static {
    let supervisor = parts.supervisor.clone();
    let locked = egress.is_locked();
    move |command| {
        let supervisor = supervisor.clone();
        if locked {
            tokio::task::spawn_local(async move {
                // The service is there: the boot added it.
                let _ = match command {
                    RedirectorCommand::Start => supervisor.start(REDIRECTOR).await.map(drop),
                    RedirectorCommand::Stop => supervisor.stop(REDIRECTOR).await,
                    RedirectorCommand::Restart => supervisor
                        .restart(RESOLVER)
                        .and_then(|()| supervisor.restart(REDIRECTOR)),
                };
            });
        }
    }
}
