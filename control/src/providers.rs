//! Providers: others than Anthropic that speak its API, with their keys.
//!
//! They belong to the box. A key is in one file that only control can read, in the specification
//! of a session that uses it, and from there in that Claude's environment; no answer has it. It
//! goes to the server that it was given for: whoever changes the address brings the key along.

pub mod base;
pub mod probe;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cib_base::hex;
use cib_protocol::api::{Provider, ProviderAuth, SetProvider};
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault};
use crate::sessions::create::check_model;
use crate::work;
use base::Base;

/// Providers at most.
const MOST: usize = 64;

/// Characters of a label, at most.
const MAX_LABEL: usize = 100;

/// Bytes of a key, at most.
const MAX_KEY: usize = 4096;

/// One of them, as the file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// What is shown.
    #[serde(flatten)]
    pub shown: Provider,
    /// What is not.
    key: Secret,
    /// Whether somebody who may do everything gave the address: it may be private then.
    #[serde(default)]
    pub is_trusted: bool,
}

impl Kept {
    /// One that is not kept anywhere, to be looked at.
    ///
    /// # Errors
    /// As [`Providers::create`].
    pub fn for_probe(asked: SetProvider, is_trusted: bool) -> Result<Self, Fault> {
        Self::new(String::new(), asked, None, is_trusted)
    }

    fn new(
        id: String,
        asked: SetProvider,
        earlier: Option<&Self>,
        is_trusted: bool,
    ) -> Result<Self, Fault> {
        let label = asked.label.trim();
        let is_label = (1..=MAX_LABEL).contains(&label.chars().count());
        if !is_label || label.chars().any(char::is_control) {
            return Err(bad(format!(
                "`label` has 1 to {MAX_LABEL} characters and no control characters"
            )));
        }
        let base = Base::parse(&asked.base_url)?;
        let same = earlier.filter(|earlier| {
            Base::parse(&earlier.shown.base_url).is_ok_and(|known| known.is_same_server(&base))
        });
        // What was allowed once stays so while it leads to the same server.
        let is_trusted = is_trusted || same.is_some_and(|earlier| earlier.is_trusted);
        if !is_trusted {
            base.check_for_everybody()?;
        }
        let key = match asked.api_key.filter(|key| !key.expose().is_empty()) {
            Some(key) => checked(key)?,
            None => match (same, earlier) {
                (Some(earlier), _) => earlier.key.clone(),
                (None, Some(_)) => {
                    return Err(bad(
                        "`base_url` leads to another server, which needs a key of its own: \
                         `api_key` is missing",
                    ));
                }
                (None, None) => return Err(bad("`api_key` is missing")),
            },
        };
        let model = asked.model.filter(|model| !model.is_empty());
        if let Some(model) = &model {
            check_model(model)?;
        }
        let now = Timestamp::now();
        Ok(Self {
            shown: Provider {
                id,
                label: label.to_owned(),
                base_url: base.to_string(),
                auth: asked.auth,
                model,
                created_at: earlier.map_or(now, |earlier| earlier.shown.created_at),
                updated_at: now,
            },
            key,
            is_trusted,
        })
    }

    /// The header that has the key, and its value.
    #[must_use]
    pub fn header(&self) -> (&'static str, Secret) {
        let key = self.key.expose();
        match self.shown.auth {
            ProviderAuth::Bearer => ("authorization", Secret::new(format!("Bearer {key}"))),
            ProviderAuth::ApiKey => ("x-api-key", self.key.clone()),
        }
    }

    /// What Claude needs to work there. Aliases of models mean the provider's own, if it names one:
    /// it has none of Anthropic's.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, Secret> {
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: &str| {
            variables.insert(name.to_owned(), Secret::new(value));
        };
        set("ANTHROPIC_BASE_URL", &self.shown.base_url);
        match self.shown.auth {
            ProviderAuth::Bearer => set("ANTHROPIC_AUTH_TOKEN", self.key.expose()),
            ProviderAuth::ApiKey => set("ANTHROPIC_API_KEY", self.key.expose()),
        }
        // Anthropic alone reads it, and it makes every first message another.
        set("CLAUDE_CODE_ATTRIBUTION_HEADER", "0");
        if let Some(model) = &self.shown.model {
            for kind in ["OPUS", "SONNET", "HAIKU"] {
                set(&format!("ANTHROPIC_DEFAULT_{kind}_MODEL"), model);
            }
            set("ANTHROPIC_SMALL_FAST_MODEL", model);
        }
        variables
    }
}

/// The providers of the box. They are read from the disk each time: they are few, and asked for
/// seldom, and so their keys are in control's memory for no longer than they are used.
#[derive(Debug)]
pub struct Providers {
    path: Arc<Path>,
    changing: Mutex<()>,
    bridge: Option<SocketAddr>,
    /// Held by a probe.
    probing: tokio::sync::Semaphore,
}

impl Providers {
    /// Kept in a folder of control's own. They are probed by `bridge`, if there is one, which
    /// understands `CONNECT`.
    #[must_use]
    pub fn new(folder: &Path, bridge: Option<SocketAddr>) -> Self {
        Self {
            path: folder.join("providers.json").into(),
            changing: Mutex::default(),
            bridge,
            probing: tokio::sync::Semaphore::new(probe::AT_ONCE),
        }
    }

    /// All of them, the oldest first.
    ///
    /// # Errors
    /// [`Code::Internal`] if the file cannot be read or understood.
    pub fn all(&self) -> Result<Vec<Kept>, Fault> {
        read(&self.path)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Code::NoSuchProvider`], or as [`Providers::all`].
    pub fn get(&self, id: &str) -> Result<Kept, Fault> {
        one(&self.path, id)
    }

    /// The same for who may not wait for the disk.
    ///
    /// # Errors
    /// As [`Providers::get`].
    pub async fn find(&self, id: &str) -> Result<Kept, Fault> {
        let (path, id) = (Arc::clone(&self.path), id.to_owned());
        work::run(move || Ok::<_, io::Error>(one(&path, &id))).await?
    }

    /// Makes one. `is_trusted` says that whoever asks may do everything.
    ///
    /// # Errors
    /// [`Code::BadValue`] for what cannot be used, [`Code::ScopeMissing`] for an address that is
    /// for who may do everything, [`Code::TooManyProviders`].
    pub fn create(&self, asked: SetProvider, is_trusted: bool) -> Result<Provider, Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all()?;
        if all.len() >= MOST {
            let detail = format!("there are {MOST} providers already; remove one first");
            return Err(Fault::new(Code::TooManyProviders, detail));
        }
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(Fault::internal)?;
        let id = format!("p_{}", hex::encode(&id));
        let made = Kept::new(id, asked, None, is_trusted)?;
        let shown = made.shown.clone();
        all.push(made);
        self.keep(&all)?;
        Ok(shown)
    }

    /// Changes one. Sessions that run there go on as they are.
    ///
    /// # Errors
    /// As [`Providers::create`], and [`Code::NoSuchProvider`].
    pub fn change(
        &self,
        id: &str,
        asked: SetProvider,
        is_trusted: bool,
    ) -> Result<Provider, Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all()?;
        let found = all.iter_mut().find(|kept| kept.shown.id == id);
        let found = found.ok_or_else(|| nothing_of(id))?;
        *found = Kept::new(id.to_owned(), asked, Some(found), is_trusted)?;
        let shown = found.shown.clone();
        self.keep(&all)?;
        Ok(shown)
    }

    /// Forgets one and its key.
    ///
    /// # Errors
    /// [`Code::NoSuchProvider`], or that the file cannot be written.
    pub fn remove(&self, id: &str) -> Result<(), Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all()?;
        let before = all.len();
        all.retain(|kept| kept.shown.id != id);
        if all.len() == before {
            return Err(nothing_of(id));
        }
        self.keep(&all)
    }

    fn keep(&self, all: &[Kept]) -> Result<(), Fault> {
        let text = serde_json::to_vec(all).map_err(Fault::internal)?;
        cib_base::files::replace(&self.path, &text).map_err(Fault::internal)
    }
}

fn read(path: &Path) -> Result<Vec<Kept>, Fault> {
    match cib_foreign::own::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(Fault::internal),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Fault::internal(error)),
    }
}

fn one(path: &Path, id: &str) -> Result<Kept, Fault> {
    let found = read(path)?.into_iter().find(|kept| kept.shown.id == id);
    found.ok_or_else(|| nothing_of(id))
}

fn checked(key: Secret) -> Result<Secret, Fault> {
    let text = key.expose();
    // It is a header's value, and a variable's.
    if text.len() > MAX_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad(format!(
            "`api_key` has at most {MAX_KEY} letters, digits and signs, and no space"
        )));
    }
    Ok(key)
}

fn nothing_of(id: &str) -> Fault {
    let detail = format!("there is no provider {id:?}; it may have been removed");
    Fault::new(Code::NoSuchProvider, detail)
}

fn bad(detail: impl Into<String>) -> Fault {
    Fault::new(Code::BadValue, detail)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn asked(base_url: &str, key: Option<&str>) -> SetProvider {
        SetProvider {
            label: "Another".to_owned(),
            base_url: base_url.to_owned(),
            api_key: key.map(Secret::new),
            ..SetProvider::default()
        }
    }

    #[test]
    fn a_key_is_in_a_file_of_controls_alone_and_in_nothing_that_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let providers = Providers::new(dir.path(), None);
        let made = providers.create(asked("https://a.example/x/", Some("sk-1")), false);
        let made = made.unwrap();
        assert_eq!(made.base_url, "https://a.example/x");
        let shown = serde_json::to_string(&made).unwrap();
        assert!(!shown.contains("sk-1"), "{shown}");
        let kept = providers.get(&made.id).unwrap();
        assert!(!format!("{kept:?}").contains("sk-1"));
        assert_eq!(kept.header().1.expose(), "Bearer sk-1");
        let file = dir.path().join("providers.json");
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_goes_to_no_other_server_than_it_was_given_for() {
        let dir = tempfile::tempdir().unwrap();
        let providers = Providers::new(dir.path(), None);
        let made = providers.create(asked("https://a.example", Some("sk-1")), true);
        let id = made.unwrap().id;
        let change = |url: &str, key: Option<&str>| providers.change(&id, asked(url, key), true);
        for elsewhere in [
            "https://b.example",
            "https://a.example:8443",
            "http://a.example",
            "https://a.example.b.example",
        ] {
            let refused = change(elsewhere, None).unwrap_err();
            assert_eq!(refused.code(), Code::BadValue, "{elsewhere}");
            assert_eq!(
                change(elsewhere, Some("")).unwrap_err().code(),
                Code::BadValue
            );
        }
        change("https://A.example:443/anthropic", None).unwrap();
        let kept = providers.get(&id).unwrap();
        assert_eq!(kept.header().1.expose(), "Bearer sk-1");
        change("https://b.example", Some("sk-2")).unwrap();
        assert_eq!(
            providers.get(&id).unwrap().header().1.expose(),
            "Bearer sk-2"
        );
    }

    #[test]
    fn a_private_address_stays_allowed_on_its_server_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let providers = Providers::new(dir.path(), None);
        let lan = |url: &str| asked(url, Some("sk"));
        let refused = providers.create(lan("http://192.168.1.5:4000"), false);
        assert_eq!(refused.unwrap_err().code(), Code::ScopeMissing);
        let made = providers
            .create(lan("http://192.168.1.5:4000"), true)
            .unwrap();
        let change = |url: &str| providers.change(&made.id, lan(url), false);
        change("http://192.168.1.5:4000/v2").unwrap();
        for elsewhere in ["http://192.168.1.6:4000", "http://192.168.1.5:4001"] {
            assert_eq!(change(elsewhere).unwrap_err().code(), Code::ScopeMissing);
        }
        change("https://a.example").unwrap();
        assert!(!providers.get(&made.id).unwrap().is_trusted);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let providers = Providers::new(dir.path(), None);
        let good = || asked("https://a.example", Some("sk"));
        let wrong = [
            (
                SetProvider {
                    label: " ".to_owned(),
                    ..good()
                },
                "label",
            ),
            (
                SetProvider {
                    label: "a\nb".to_owned(),
                    ..good()
                },
                "label",
            ),
            (
                SetProvider {
                    api_key: None,
                    ..good()
                },
                "api_key",
            ),
            (
                SetProvider {
                    api_key: Some(Secret::new("a b")),
                    ..good()
                },
                "api_key",
            ),
            (
                SetProvider {
                    api_key: Some(Secret::new("a\nb")),
                    ..good()
                },
                "api_key",
            ),
            (
                SetProvider {
                    model: Some("--help".to_owned()),
                    ..good()
                },
                "model",
            ),
        ];
        for (asked, field) in wrong {
            let fault = providers.create(asked, true).unwrap_err();
            assert_eq!(fault.code(), Code::BadValue);
            assert!(fault.detail().contains(&format!("`{field}`")), "{fault}");
        }
        for id in ["", "p_none"] {
            assert_eq!(
                providers.remove(id).unwrap_err().code(),
                Code::NoSuchProvider
            );
        }
        assert!(providers.all().unwrap().is_empty());
    }
}
