//! Providers.

use std::sync::Arc;

use cib_protocol::api::{ProbeProvider, ProviderList, SetProvider};

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::providers::Kept;
use crate::work;

/// Does something with the providers that may wait for the disk.
async fn with<T: Send + 'static>(
    call: &Call,
    what: impl FnOnce(&crate::providers::Providers) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let app = Arc::clone(&call.app);
    work::run(move || Ok::<_, std::io::Error>(what(&app.providers))).await?
}

pub(super) async fn list(call: Call) -> Result<Reply, Fault> {
    let all = with(&call, |providers| providers.all()).await?;
    let providers = all.into_iter().map(|kept| kept.shown).collect();
    Reply::json(&ProviderList { providers })
}

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let asked: SetProvider = call.json()?;
    let caller = call.caller()?;
    let is_trusted = caller.is_administrator();
    let made = with(&call, move |providers| providers.create(asked, is_trusted)).await?;
    tracing::info!(provider = made.id, caller = %caller.who, "a provider was made");
    Reply::created(format!("/api/providers/{}", made.id), &made)
}

pub(super) async fn change(call: Call) -> Result<Reply, Fault> {
    let asked: SetProvider = call.json()?;
    let caller = call.caller()?;
    let is_trusted = caller.is_administrator();
    let id = call.part("id").to_owned();
    let changed = with(&call, move |all| all.change(&id, asked, is_trusted)).await?;
    tracing::info!(provider = changed.id, caller = %caller.who, "a provider was changed");
    Reply::json(&changed)
}

pub(super) async fn remove(call: Call) -> Result<Reply, Fault> {
    let id = call.part("id").to_owned();
    with(&call, move |providers| providers.remove(&id)).await?;
    tracing::info!(provider = call.part("id"), caller = %call.caller()?.who, "a provider was removed");
    Ok(Reply::Nothing)
}

pub(super) async fn probe(call: Call) -> Result<Reply, Fault> {
    let asked: ProbeProvider = call.json_or_default()?;
    let in_path = Some(call.part("id")).filter(|id| !id.is_empty());
    let id = in_path.map(str::to_owned).or_else(|| asked.id.clone());
    let kept = match id {
        Some(id) => {
            let more = (&asked.base_url, &asked.api_key, &asked.auth, &asked.model);
            if more != (&None, &None, &None, &None) {
                let detail =
                    "one that exists is asked as it is; change it first, or leave `id` out";
                return Err(Fault::new(Code::BadValue, detail));
            }
            with(&call, move |providers| providers.get(&id)).await?
        }
        None => {
            let new = SetProvider {
                label: "new".to_owned(),
                base_url: asked.base_url.unwrap_or_default(),
                api_key: asked.api_key,
                auth: asked.auth.unwrap_or_default(),
                model: asked.model,
            };
            Kept::for_probe(new, call.caller()?.is_administrator())?
        }
    };
    Reply::json(&call.app.providers.probe(&kept).await?)
}
