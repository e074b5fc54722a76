//! Accounts of people.

use cib_base::password;
use cib_protocol::api::{AccountList, ChangeAccount, CreateAccount};
use cib_protocol::secret::Secret;

use super::call::{Call, Reply};
use crate::auth::Who;
use crate::auth::accounts::{CreateError, check_name, is_same};
use crate::auth::scope::Scopes;
use crate::auth::sign_ins::Subject;
use crate::fault::{Code, Fault};

pub(super) fn checked_name(name: &str) -> Result<&str, Fault> {
    check_name(name).map_err(|why| Fault::new(Code::BadValue, why))?;
    Ok(name)
}

pub(super) fn checked_password(password: &Secret) -> Result<&str, Fault> {
    let password = password.expose();
    let bad = |why| Fault::new(Code::BadValue, format!("the password {why}"));
    password::check(password).map_err(bad)?;
    Ok(password)
}

fn checked_scopes(words: &[String]) -> Result<Scopes, Fault> {
    let bad = |detail: String| Fault::new(Code::BadValue, detail);
    let scopes = Scopes::parse(words).map_err(|error| bad(error.to_string()))?;
    if scopes.is_empty() {
        return Err(bad(
            "`scopes` is empty; the account could do nothing".to_owned()
        ));
    }
    Ok(scopes)
}

pub(super) fn not_created(error: CreateError) -> Fault {
    let code = match &error {
        CreateError::Exists(_) => Code::AccountExists,
        CreateError::NotTheFirst => Code::AlreadySetUp,
        CreateError::TooMany => Code::TooManyAccounts,
        CreateError::Store(_) => return Fault::internal(error),
    };
    Fault::new(code, error.to_string())
}

fn no_such(name: &str) -> Fault {
    Fault::new(Code::NoSuchAccount, format!("there is no account {name:?}"))
}

pub(super) fn list(call: &Call) -> Result<Reply, Fault> {
    let accounts = call.app.gate.accounts().list();
    Reply::json(&AccountList { accounts })
}

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let asked: CreateAccount = call.json()?;
    let gate = &call.app.gate;
    gate.check_enabled()?;
    let name = checked_name(&asked.name)?;
    let password = checked_password(&asked.password)?;
    let scopes = checked_scopes(&asked.scopes)?;
    let hash = gate.passwords().hash(password).await?;
    let made = gate.accounts().create(name, hash, scopes, false).await;
    let made = made.map_err(not_created)?;
    tracing::info!(account = name, caller = %call.caller()?.who, "an account was made");
    Reply::created(format!("/api/auth/accounts/{name}"), &made)
}

pub(super) async fn change(call: Call) -> Result<Reply, Fault> {
    let asked: ChangeAccount = call.json()?;
    let gate = &call.app.gate;
    gate.check_enabled()?;
    let caller = call.caller()?;
    let wanted = call.part("name");
    let is_own = matches!(&caller.who, Who::Account(name) if is_same(name, wanted));
    if (!is_own || asked.scopes.is_some()) && !caller.is_administrator() {
        return Err(Fault::everything_missing());
    }
    let scopes = asked.scopes.as_deref().map(checked_scopes).transpose()?;
    let password = asked.password.as_ref().map(checked_password).transpose()?;
    let known = gate.accounts().password(wanted);
    let (name, hash) = known.ok_or_else(|| no_such(wanted))?;
    if let Some(password) = password {
        // Whoever finds a page open is not its owner yet.
        if is_own {
            let current = asked.current_password.as_ref().ok_or_else(|| {
                let detail = "`current_password` is wanted to change one's own";
                Fault::new(Code::BadValue, detail)
            })?;
            let current = gate.check_password(call.arrival, Some(hash), current.expose());
            current.await.map_err(wrong_current)?;
        }
        let hash = gate.passwords().hash(password).await?;
        let set = gate.accounts().set_password(&name, hash, false).await;
        set.map_err(Fault::internal)?;
        end_all(&call, &name, caller.sign_in.as_deref()).await?;
        tracing::info!(account = name, caller = %caller.who, "an account has another password");
    }
    if let Some(scopes) = scopes {
        let set = gate.accounts().set_scopes(&name, scopes).await;
        set.map_err(Fault::internal)?;
        tracing::info!(account = name, caller = %caller.who, "an account has other scopes");
    }
    let account = gate.accounts().get(&name);
    Reply::json(&account.ok_or_else(|| no_such(&name))?)
}

/// A page takes 401 for the end of its sign-in, which this is not.
fn wrong_current(fault: Fault) -> Fault {
    match fault.code() {
        Code::Unauthorized => Fault::new(Code::WrongPassword, "the current password is wrong"),
        _ => fault,
    }
}

pub(super) async fn remove(call: Call) -> Result<Reply, Fault> {
    let gate = &call.app.gate;
    gate.check_enabled()?;
    let wanted = call.part("name");
    let known = gate.accounts().get(wanted).ok_or_else(|| no_such(wanted))?;
    let removed = gate.accounts().remove(wanted).await;
    removed.map_err(Fault::internal)?;
    end_all(&call, &known.name, None).await?;
    tracing::info!(account = known.name, caller = %call.caller()?.who, "an account was removed");
    Ok(Reply::Nothing)
}

/// Ends every sign-in of an account but one.
async fn end_all(call: &Call, name: &str, but: Option<&str>) -> Result<(), Fault> {
    let account = Subject::Account(name.to_owned());
    let is_meant = |id: &str, of: &Subject| *of == account && but != Some(id);
    let ended = call.app.gate.sign_ins().end(is_meant).await;
    ended.map(drop).map_err(Fault::internal)
}
