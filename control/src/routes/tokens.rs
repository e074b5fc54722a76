//! Device tokens.

use cib_protocol::api::{CreateToken, TokenCreated, TokenInfo, TokenKind, TokenList};
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;

use super::call::{Call, Reply};
use crate::auth::scope::Scopes;
use crate::auth::tokens::{MintError, expiry};
use crate::fault::{Code, Fault};

/// Characters that a label may have.
const MAX_LABEL: usize = 100;

pub(super) fn list(call: &Call) -> Result<Reply, Fault> {
    let tokens = call.app.gate.tokens().list();
    Reply::json(&TokenList { tokens })
}

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let request: CreateToken = call.json()?;
    let bad = |detail: String| Fault::new(Code::BadValue, detail);
    let label = request.label.trim();
    if label.is_empty() || label.chars().count() > MAX_LABEL || label.chars().any(char::is_control)
    {
        return Err(bad(format!(
            "`label` has 1 to {MAX_LABEL} characters and no control characters"
        )));
    }
    let scopes = Scopes::parse(&request.scopes).map_err(|error| bad(error.to_string()))?;
    if scopes.is_empty() {
        return Err(bad(
            "`scopes` is empty; the token could do nothing".to_owned()
        ));
    }
    if request.kind == TokenKind::DeviceLegacy && !call.app.envelope.serves_earlier() {
        let detail = "the box does not serve the earlier envelopes; `device` is a key of the present \
                      one, and CIB_AES_LEGACY=1 serves them";
        return Err(bad(detail.to_owned()));
    }
    let asked = expiry(&request, Timestamp::now()).map_err(|detail| bad(detail.to_owned()))?;
    let (token, text) = mint(&call, label, scopes, asked, request.kind).await?;
    Reply::created(
        format!("/api/tokens/{}", token.id),
        &TokenCreated {
            token,
            plaintext: Secret::new(text),
        },
    )
}

/// Mints a token that can do no more than who asks for it, and lives no longer.
pub(super) async fn mint(
    call: &Call,
    label: &str,
    scopes: Scopes,
    asked: Option<Timestamp>,
    kind: TokenKind,
) -> Result<(TokenInfo, String), Fault> {
    let caller = call.caller()?;
    if !caller.scopes.covers(scopes) {
        return Err(Fault::new(
            Code::ScopeMissing,
            "a token cannot be given scopes that its maker does not have",
        ));
    }
    // A token that could make another one live longer than itself would never expire.
    let expires_at = match (asked, caller.expires_at()) {
        (Some(asked), Some(own)) => Some(asked.min(own)),
        (asked, own) => asked.or(own),
    };
    let (token, text) = call
        .app
        .gate
        .tokens()
        .mint(label.to_owned(), scopes, expires_at, kind)
        .await
        .map_err(|error| match error {
            MintError::TooMany => Fault::new(Code::TooManyTokens, error.to_string()),
            error => Fault::internal(error),
        })?;
    tracing::info!(token = token.id, caller = %caller.who, "a device token was minted");
    Ok((token, text))
}

pub(super) async fn revoke(call: Call) -> Result<Reply, Fault> {
    let id = call.part("id");
    if !forget(&call, id).await? {
        return Err(Fault::new(
            Code::NoSuchToken,
            format!("there is no device token {id:?}"),
        ));
    }
    Ok(Reply::Nothing)
}

/// Revokes a token. Returns whether there was one.
pub(super) async fn forget(call: &Call, id: &str) -> Result<bool, Fault> {
    let known = call.app.gate.tokens().revoke(id).await;
    if !known.map_err(Fault::internal)? {
        return Ok(false);
    }
    call.app.envelope.forget(id).await;
    tracing::info!(token = id, caller = %call.caller()?.who, "a device token was revoked");
    Ok(true)
}
