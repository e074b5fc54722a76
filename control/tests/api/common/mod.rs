//! What the tests of the server share: a box with a false init and false keepers, whose
//! journals are real, a server in it, and clients.
#![expect(
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test has to end where it cannot go on"
)]

pub mod chaos;
pub mod client;
pub mod files;
pub mod forge;
pub mod init;
pub mod keeper;
pub mod login;
pub mod page;
pub mod process;
pub mod real;
pub mod sealed;
pub mod world;

use std::future::Future;
use std::time::Duration;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that has to happen soon.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it did not happen in time")
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
