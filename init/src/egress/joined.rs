//! A network that another container holds, with rules that nobody here can change.
//!
//! The container with `CIB_PROXY_MODE=hold` owns the network namespace and `NET_ADMIN`; this
//! one was started in that namespace with neither. What holds there is asked of the kernel
//! here: the rules themselves cannot be read without the capability.

use std::io;
use std::time::Duration;

use cib_nft::Lan;
use cib_nft::watch::Links;
use cib_protocol::init::{Check, EgressStatus};
use tokio::time::{Instant, sleep};

use super::echo::{echo, redirected};
use super::error::EgressError;
use super::refusals;
use crate::environment::{EgressSettings, ProxyMode};

/// The holder may still be booting when this container is started. Less than a step may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at it.
const AGAIN: Duration = Duration::from_millis(250);

/// Egress that is held elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Joined {
    /// What the holder opens, as far as this container was told.
    lan: Lan,
}

impl Joined {
    /// With `CIB_PROXY_MODE=join`, and otherwise `None`.
    #[must_use]
    pub fn new(settings: &EgressSettings) -> Option<Self> {
        (settings.mode == ProxyMode::Join).then(|| Self {
            lan: settings.lan.clone(),
        })
    }

    /// Waits until connections are redirected here, and proves that nothing leaves past that.
    ///
    /// # Errors
    /// Nobody holds this network, or something got out.
    pub async fn prove(&self) -> Result<(), EgressError> {
        let end = Instant::now() + PATIENCE;
        while let Err(fault) = echo().await {
            if Instant::now() > end {
                return Err(EgressError::NotHeld(fault));
            }
            sleep(AGAIN).await;
        }
        match self.refusals().await.into_iter().find(|c| !c.passed) {
            Some(leak) => Err(EgressError::Open(leak)),
            None => Ok(()),
        }
    }

    /// Every check, for `cib-init egress test`.
    pub async fn test(&self) -> Vec<Check> {
        let mut checks = vec![redirected(echo().await)];
        checks.extend(self.refusals().await);
        checks
    }

    async fn refusals(&self) -> Vec<Check> {
        refusals::refusals(&self.lan).await
    }

    /// Egress as `cib-init status` shows it.
    #[must_use]
    pub fn status(&self) -> EgressStatus {
        EgressStatus {
            mode: "join".to_owned(),
            summary: "egress is held by the container whose network this box joined: nobody here \
                      can change it, and `cib-init status` there says where it leads"
                .to_owned(),
            ..EgressStatus::default()
        }
    }

    /// Waits until the network is gone, as it is when the container that held it has ended.
    ///
    /// # Errors
    /// The devices cannot be watched.
    pub async fn lost(&self) -> io::Result<()> {
        let mut links = Links::open().await?;
        let mut devices = links.devices();
        while !devices.is_empty() {
            devices = links.next().await?;
        }
        Ok(())
    }
}
