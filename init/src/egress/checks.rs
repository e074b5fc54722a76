//! The checks of `cib-init egress test`.

use cib_protocol::init::Check;

use super::echo::{echo, redirected};
use super::handle::Egress;
use super::inner::Inner;
use super::message::{Found, Message};
use super::refusals;
use super::services::PROXY_UID;
use cib_base::errors::chain;

impl Egress {
    /// Every check, for `cib-init egress test`.
    pub async fn test(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.is_locked() {
            checks.push(redirected(echo().await));
            checks.extend(refusals::refusals(&self.0.settings.lan).await);
            checks.push(self.drift_check().await);
            checks.push(self.0.redirector_check());
        } else {
            checks.push(Check {
                claim: "every packet is closed in".into(),
                passed: false,
                detail: "CIB_PROXY_MODE=env only asks programs to use the proxy: not leak-proof; \
                         unset it and add --cap-add NET_ADMIN"
                    .into(),
            });
        }
        let health = self.0.probe().await;
        checks.push(Check {
            claim: "the upstream lets the box through".into(),
            passed: health.is_up(),
            detail: self.0.sentence(&health),
        });
        if self.is_locked() && health.is_up() {
            checks.extend(self.0.path_check().await);
        }
        checks
    }

    async fn drift_check(&self) -> Check {
        let (passed, detail) = match self.ask(Message::Inspected).await.flatten() {
            None => (false, "none were applied".to_owned()),
            Some(Ok(())) => (true, "every rule was read back".to_owned()),
            Some(Err(Found::Drift(drift))) => (
                false,
                format!("{drift}; they are being repaired, see the log for who did it"),
            ),
            Some(Err(Found::Fault(fault))) => (false, chain(&fault)),
        };
        Check {
            claim: "the rules stand as they were applied".to_owned(),
            passed,
            detail,
        }
    }
}

impl Inner {
    fn redirector_check(&self) -> Check {
        let port = self.settings.redsocks_port;
        let (passed, detail) = match self.listener() {
            Some(PROXY_UID) => (true, format!("redsocks listens on port {port}")),
            Some(uid) => (
                false,
                format!(
                    "a program of uid {uid} listens on port {port}; no connection is let to it; \
                     end that program, and redsocks takes its place"
                ),
            ),
            None => (
                false,
                format!(
                    "nobody listens on port {port}, so every connection is refused; \
                     `cib-init svc logs redsocks` says why"
                ),
            ),
        };
        Check {
            claim: "redirected connections come to redsocks alone".to_owned(),
            passed,
            detail,
        }
    }
}
