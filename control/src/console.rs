//! The socket on which root changes accounts, for `cib-init passwd`.
//!
//! Init makes it and lends it, so that root alone reaches it. One line is asked, one is answered.

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::MAX_LINE;
use cib_protocol::accounts::{AccountsReply, AccountsRequest};
use tokio::io::{self, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::app::App;
use crate::auth::gate::Gate;
use crate::auth::sign_ins::Subject;

/// How long one exchange may take: a password is hashed in it, on a small machine too.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait when the process has no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// Answers until it is dropped, one after the other.
pub async fn answer(listener: UnixListener, app: Arc<App>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Who does not speak or listen in time does without.
                if let Ok(Err(error)) = timeout(PATIENCE, converse(stream, &app.gate)).await {
                    tracing::debug!(%error, "root went away");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "root cannot change accounts");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, gate: &Gate) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let most = MAX_LINE as u64;
    (&mut stream)
        .take(most)
        .read_until(b'\n', &mut line)
        .await?;
    let reply = match serde_json::from_slice(&line) {
        Ok(request) => obey(request, gate).await,
        Err(_) => refused("that is not what control understands; is it another version?"),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

fn refused(detail: impl Into<String>) -> AccountsReply {
    AccountsReply::Refused {
        detail: detail.into(),
    }
}

async fn obey(request: AccountsRequest, gate: &Gate) -> AccountsReply {
    let AccountsRequest::Passwd { name, password } = request;
    let password = password.expose();
    if let Err(why) = cib_base::password::check(password) {
        return refused(format!("the password {why}"));
    }
    let accounts = gate.accounts();
    let names: Vec<_> = accounts.list().into_iter().map(|one| one.name).collect();
    let name = match (name, &*names) {
        (_, []) => return refused("there is no account yet; the pages make the first"),
        (None, [only]) => only.clone(),
        (None, _) => return refused(format!("name one of {}", names.join(", "))),
        (Some(name), _) => name,
    };
    let Some((name, _)) = accounts.password(&name) else {
        let names = names.join(", ");
        return refused(format!("there is no account {name:?}; there are {names}"));
    };
    match set(gate, &name, password).await {
        Ok(()) => {
            tracing::info!(account = name, "root gave an account another password");
            AccountsReply::Done { name }
        }
        Err(detail) => refused(detail),
    }
}

async fn set(gate: &Gate, name: &str, password: &str) -> Result<(), String> {
    let hash = gate.passwords().hash(password).await;
    let hash = hash.map_err(|fault| fault.detail().to_owned())?;
    let unsaved = |error: io::Error| format!("it could not be stored: {error}");
    let set = gate.accounts().set_password(name, hash, false).await;
    set.map_err(unsaved)?;
    let account = Subject::Account(name.to_owned());
    let ended = gate.sign_ins().end(|_, of| *of == account).await;
    ended.map(drop).map_err(unsaved)
}
