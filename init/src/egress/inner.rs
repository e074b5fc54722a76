//! What the parts of egress share.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use cib_redsocks::Redsocks;
use cib_upstream::Upstream;
use cib_upstream::probe::{self, Depth, Reachability};
use tokio::sync::mpsc;

use super::machine::{Event, Machine, RedirectorCommand};
use super::message::Message;
use super::pins;
use super::sockets::Held;
use crate::environment::EgressSettings;
use crate::logs::{Level, Logs};
use crate::process::Processes;

/// Name of egress in the log.
const NAME: &str = "egress";
/// How long the upstream's name may take to resolve.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lets the redirector run, or holds it down.
pub(super) type RedirectorControl = dyn Fn(RedirectorCommand);

/// The state of the way out. Only the actor changes the machine.
pub(super) struct Inner {
    pub(super) upstream: Upstream,
    pub(super) settings: EgressSettings,
    pub(super) processes: Processes,
    pub(super) logs: Logs,
    /// `/run/cib`.
    pub(super) run: PathBuf,
    pub(super) redirector: Redsocks,
    /// What only the actor changes.
    pub(super) machine: RefCell<Machine>,
    pub(super) queue: mpsc::UnboundedSender<Message>,
    pub(super) held: Held,
    pub(super) redirector_control: RefCell<Option<Rc<RedirectorControl>>>,
    /// Where the box's own programs are, once they were configured.
    pub(super) bin: RefCell<PathBuf>,
}

impl Inner {
    /// Tells the actor what happened.
    pub(super) fn happened(&self, event: Event) {
        // It lives as long as the box.
        let _ = self.queue.send(Message::Happened(event));
    }

    /// Probes the upstream at the address that redsocks uses. If that does not answer and another
    /// of its addresses does, the other one is used from then on.
    pub(super) async fn probe(&self) -> Reachability {
        let addresses = self.machine.borrow().pinned().to_vec();
        let (used, standing_by) = pins::others(&addresses);
        let Some(used) = used else {
            return self.probe_at(&addresses).await;
        };
        let health = self.probe_at(&[used]).await;
        if matches!(
            health,
            Reachability::Unreachable { .. } | Reachability::TimedOut { .. }
        ) {
            for other in standing_by {
                let found = self.probe_at(&[other]).await;
                if found.is_up() {
                    self.happened(Event::Moved(other));
                    return found;
                }
            }
        }
        health
    }

    async fn probe_at(&self, addresses: &[IpAddr]) -> Reachability {
        probe::probe(&self.upstream, addresses, Depth::Greeting, probe::DEADLINE).await
    }

    /// The user whose socket receives redirected connections.
    pub(super) fn listener(&self) -> Option<u32> {
        cib_redsocks::listener(self.redirect_to()).unwrap_or_default()
    }

    /// Where redirected connections arrive.
    pub(super) fn redirect_to(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.settings.redsocks_port)
    }

    /// Says something in the log.
    pub(super) fn log(&self, level: Level, line: &str) {
        self.logs.write(level, NAME, line);
    }
}
