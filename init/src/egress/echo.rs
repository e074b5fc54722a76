//! The proof that connections are redirected, and the check that shows it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cib_nft::PROOF_PORT;
use cib_protocol::init::Check;
use cib_redsocks::selftest::{self, EchoFault};

use cib_base::errors::chain;

/// A redirect happens within the kernel; this is for a box that is busy booting.
const ECHO_TIMEOUT: Duration = Duration::from_secs(3);

/// Proves that a connection to nobody's address comes out where it is redirected to. The port is
/// one of its own, so that this works while redsocks has its own port.
pub(super) async fn echo() -> Result<Duration, EchoFault> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, PROOF_PORT.get()));
    selftest::token_echo(listen, selftest::TARGET.into(), ECHO_TIMEOUT).await
}

/// The proof as a check.
pub(super) fn redirected(echo: Result<Duration, EchoFault>) -> Check {
    let claim = "tcp is redirected".to_owned();
    match echo {
        Ok(took) => Check {
            claim,
            passed: true,
            detail: format!("a token came back after {} us", took.as_micros()),
        },
        Err(fault) => Check {
            claim,
            passed: false,
            detail: format!("{}; restart the box", chain(&fault)),
        },
    }
}
