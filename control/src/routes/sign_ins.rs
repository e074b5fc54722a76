//! Signing in and out, and where somebody is signed in.

use cib_protocol::api::{SetUp, SignIn, SignInInfo, SignInList, SignedIn};
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;
use http::header::USER_AGENT;

use super::call::{Call, Reply};
use super::{accounts, meta};
use crate::auth::accounts::CreateError;
use crate::auth::gate::{self, Gate};
use crate::auth::scope::Scopes;
use crate::auth::sign_ins::{Shown, Subject};
use crate::auth::{Caller, Who, credential};
use crate::fault::{Code, Fault};

/// Characters that are kept of what a browser calls itself.
const MAX_DEVICE: usize = 200;

pub(super) async fn set_up(call: Call) -> Result<Reply, Fault> {
    let asked: SetUp = call.json()?;
    let gate = &call.app.gate;
    gate.check_enabled()?;
    let caller = call.caller()?;
    if caller.who != Who::Master {
        let detail = "the first account is made with the master token";
        return Err(Fault::new(Code::MasterNeeded, detail));
    }
    if !gate.accounts().is_empty() {
        let detail = CreateError::NotTheFirst.to_string();
        return Err(Fault::new(Code::AlreadySetUp, detail));
    }
    let name = accounts::checked_name(&asked.username)?;
    let password = accounts::checked_password(&asked.password)?;
    let hash = gate.passwords().hash(password).await?;
    let made = gate.accounts().create(name, hash, Scopes::ALL, true).await;
    made.map_err(accounts::not_created)?;
    tracing::info!(account = name, "the first account was made");
    // The token has done what it was needed for.
    if let Some(own) = &caller.sign_in {
        let ended = gate.sign_ins().end(|id, _| id == own).await;
        ended.map_err(Fault::internal)?;
    }
    let account = gate.accounts().holder(name);
    let account =
        account.ok_or_else(|| Fault::internal("an account is gone that was just made"))?;
    enter(&call, account).await
}

pub(super) async fn sign_in(call: Call) -> Result<Reply, Fault> {
    // A page elsewhere could sign a browser in as somebody else and see what is typed then.
    if credential::is_cross_origin(&call.headers) {
        return Err(gate::cross_origin());
    }
    let asked: SignIn = call.json()?;
    let gate = &call.app.gate;
    let caller = match (&asked.username, &asked.password, &asked.token) {
        (Some(name), Some(password), None) => {
            let password = password.expose();
            gate.by_password(call.arrival, name, password).await?
        }
        (None, None, Some(token)) => gate.by_token(call.arrival, token.expose())?,
        _ => {
            let detail = "send `username` and `password`, or `token`";
            return Err(Fault::new(Code::BadValue, detail));
        }
    };
    enter(&call, caller).await
}

/// Makes a sign-in of a caller and answers with both its halves.
async fn enter(call: &Call, caller: Caller) -> Result<Reply, Fault> {
    let gate = &call.app.gate;
    let subject = gate.subject(&caller.who);
    let subject = subject.ok_or_else(|| Fault::internal("nobody can sign in so"))?;
    let address = call.arrival.kin.to_string();
    let made = gate
        .sign_ins()
        .make(subject, caller.expires_at(), address, device(call))
        .await
        .map_err(Fault::internal)?;
    tracing::info!(caller = %caller.who, from = %call.arrival.kin, "somebody signed in");
    let answer = SignedIn {
        proof: Secret::new(made.proof),
        expires_at: made.expires_at,
        caller: meta::about(&call.app, &caller, true),
    };
    let cookie = cookie(gate, call.arrival.is_secure, &made.cookie, made.expires_at);
    Ok(Reply::json(&answer)?.with_cookie(cookie))
}

/// What a browser calls itself, in as much as is worth keeping.
fn device(call: &Call) -> String {
    let agent = call.headers.get(USER_AGENT);
    let agent = agent
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    agent.chars().take(MAX_DEVICE).collect()
}

/// `Set-Cookie` for a value that ends at a time.
pub(crate) fn cookie(gate: &Gate, is_secure: bool, value: &str, until: Timestamp) -> String {
    let left = until
        .as_millis()
        .saturating_sub(Timestamp::now().as_millis());
    let seconds = (left / 1000).max(0);
    let name = gate.sign_ins().cookie(is_secure);
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

pub(super) async fn sign_out(call: Call) -> Result<Reply, Fault> {
    let caller = call.caller()?;
    let gate = &call.app.gate;
    let own = caller.sign_in.as_deref().ok_or_else(|| {
        let detail = "there is no sign-in in this request; a token is revoked";
        Fault::new(Code::NoSuchSignIn, detail)
    })?;
    let everywhere = call.query.get("everywhere") == Some("true");
    let subject = gate.subject(&caller.who).filter(|_| everywhere);
    let ended = gate
        .sign_ins()
        .end(|id, of| id == own || subject.as_ref() == Some(of))
        .await
        .map_err(Fault::internal)?;
    tracing::info!(caller = %caller.who, ended, "somebody signed out");
    let gone = cookie(gate, call.arrival.is_secure, "", Timestamp::from_millis(0));
    Ok(Reply::Nothing.with_cookie(gone))
}

pub(super) fn list(call: &Call) -> Result<Reply, Fault> {
    let caller = call.caller()?;
    let gate = &call.app.gate;
    let subject = gate.subject(&caller.who);
    let whose = subject.as_ref().filter(|_| !caller.is_administrator());
    let sessions = gate.sign_ins().list(whose, Timestamp::now());
    let sessions = sessions.into_iter().map(|one| info(one, &caller)).collect();
    Reply::json(&SignInList { sessions })
}

fn info(shown: Shown, caller: &Caller) -> SignInInfo {
    SignInInfo {
        who: match shown.subject {
            Subject::Account(name) => format!("account {name:?}"),
            Subject::Token(id) => format!("device token {id}"),
            Subject::Master(_) => "master".to_owned(),
        },
        current: caller.sign_in.as_deref() == Some(&*shown.id),
        id: shown.id,
        created_at: shown.created_at,
        last_used_at: shown.last_used_at,
        expires_at: shown.expires_at,
        address: shown.address,
        device: shown.device,
    }
}

pub(super) async fn end(call: Call) -> Result<Reply, Fault> {
    let caller = call.caller()?;
    let gate = &call.app.gate;
    let wanted = call.part("id");
    let subject = gate.subject(&caller.who);
    let may_end = |of: &Subject| caller.is_administrator() || subject.as_ref() == Some(of);
    let ended = gate.sign_ins().end(|id, of| id == wanted && may_end(of));
    if ended.await.map_err(Fault::internal)? == 0 {
        let detail = format!("there is no sign-in {wanted:?}");
        return Err(Fault::new(Code::NoSuchSignIn, detail));
    }
    tracing::info!(sign_in = wanted, caller = %caller.who, "a sign-in was ended");
    Ok(Reply::Nothing)
}

pub(super) async fn end_others(call: Call) -> Result<Reply, Fault> {
    let caller = call.caller()?;
    let gate = &call.app.gate;
    let subject = gate.subject(&caller.who);
    let own = caller.sign_in.as_deref();
    let is_other = |id: &str, of: &Subject| subject.as_ref() == Some(of) && own != Some(id);
    let ended = gate
        .sign_ins()
        .end(is_other)
        .await
        .map_err(Fault::internal)?;
    tracing::info!(caller = %caller.who, ended, "somebody's other sign-ins were ended");
    Ok(Reply::Nothing)
}
