//! Large files that git has pointers to (Git LFS): which of them a forge lacks, and how it takes one.

use std::time::Duration;

use bytes::Bytes;
use cib_https::Body;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use crate::call::Line;
use crate::error::ForgeError;
use crate::json;

/// What both sides speak.
const MEDIA: &str = "application/vnd.git-lfs+json";

/// Files that are asked about at once.
const AT_ONCE: usize = 100;

/// How long one may take on its way.
const SENDING: Duration = Duration::from_secs(20 * 60);

/// A large file, as its pointer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeFile {
    /// The digest of its content: SHA-256.
    pub oid: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A large file that a forge lacks, and how it takes it.
#[derive(Debug)]
pub struct Lacking {
    /// Which.
    pub file: LargeFile,
    upload: Action,
    verify: Option<Action>,
}

/// Where something is sent, and with which headers. They may open the place, so nobody sees them.
struct Action {
    url: String,
    headers: HeaderMap,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action").finish_non_exhaustive()
    }
}

/// Where large files of a repository are, and who asks for them.
pub(crate) struct Store<'a> {
    pub(crate) line: &'a Line,
    /// The forge, as its addresses begin.
    pub(crate) forge: &'a str,
    /// The repository, as git fetches it.
    pub(crate) url: String,
    pub(crate) user: &'static str,
}

impl Store<'_> {
    /// Which of these the forge lacks.
    pub(crate) async fn lacking(&self, files: &[LargeFile]) -> Result<Vec<Lacking>, ForgeError> {
        let mut lacking = Vec::new();
        for files in files.chunks(AT_ONCE) {
            let objects: Vec<_> = files
                .iter()
                .map(|file| json!({"oid": file.oid, "size": file.size}))
                .collect();
            let asked = json!({
                "operation": "upload",
                "transfers": ["basic"],
                "objects": objects,
                "hash_algo": "sha256",
            });
            let url = format!("{}/info/lfs/objects/batch", self.url);
            let headers = HeaderMap::new();
            let said = self.say(&Action { url, headers }, &asked).await?;
            for object in json::items(&said, &["objects"]) {
                lacking.extend(self.wanted(files, object)?);
            }
        }
        Ok(lacking)
    }

    /// What the forge says of one file: nothing to do if it has it.
    fn wanted(&self, files: &[LargeFile], said: &Value) -> Result<Option<Lacking>, ForgeError> {
        let oid = json::text(said, &["oid"]);
        let Some(file) = files.iter().find(|file| file.oid == oid) else {
            return Err(self.unusable("oid"));
        };
        if let Some(code) = said["error"]["code"].as_u64() {
            return Err(ForgeError::Refused {
                host: self.line.host.clone(),
                status: u16::try_from(code).unwrap_or_default(),
                words: self
                    .line
                    .without_token(json::text(said, &["error", "message"])),
            });
        }
        let actions = &said["actions"];
        if actions["upload"].is_null() {
            return Ok(None);
        }
        let verify = match &actions["verify"] {
            Value::Null => None,
            verify => Some(self.action(verify)?),
        };
        Ok(Some(Lacking {
            file: file.clone(),
            upload: self.action(&actions["upload"])?,
            verify,
        }))
    }

    fn action(&self, said: &Value) -> Result<Action, ForgeError> {
        let url = json::text(said, &["href"]).to_owned();
        // In the clear to the forge's own server alone, if at all: nobody is led into the box.
        if !url.starts_with("https://") && !self.is_own(&url) {
            return Err(self.unusable("href"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in said["header"].as_object().into_iter().flatten() {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = value.as_str().map(HeaderValue::from_str);
            let (Ok(name), Some(Ok(mut value))) = (name, value) else {
                return Err(self.unusable("header"));
            };
            value.set_sensitive(true);
            // How much there is, and where it goes, is said here.
            if ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
                headers.insert(name, value);
            }
        }
        Ok(Action { url, headers })
    }

    /// Gives the forge a file that it lacks.
    pub(crate) async fn give(&self, lacking: Lacking, content: Body) -> Result<(), ForgeError> {
        let Lacking {
            file,
            upload,
            verify,
        } = lacking;
        let kind = HeaderValue::from_static("application/octet-stream");
        let request = self.request(&Method::PUT, &upload, kind, content)?;
        let sent = self.line.send(request, file.size, SENDING).await?;
        self.line.judge(sent, "room for a large file")?;
        if let Some(verify) = verify {
            let file = json!({"oid": file.oid, "size": file.size});
            self.say(&verify, &file).await?;
        }
        Ok(())
    }

    /// Says something in JSON.
    async fn say(&self, action: &Action, said: &Value) -> Result<Value, ForgeError> {
        let bytes = Bytes::from(said.to_string());
        let length = bytes.len() as u64;
        let body = Full::new(bytes).map_err(|never| match never {});
        let kind = HeaderValue::from_static(MEDIA);
        let request = self.request(&Method::POST, action, kind, body.boxed_unsync())?;
        let answer = self
            .line
            .send(request, length, self.line.patience())
            .await?;
        Ok(self.line.judge(answer, "large files (Git LFS)")?.body)
    }

    fn request(
        &self,
        method: &Method,
        action: &Action,
        kind: HeaderValue,
        body: Body,
    ) -> Result<Request<Body>, ForgeError> {
        let mut headers = action.headers.clone();
        headers.entry(CONTENT_TYPE).or_insert(kind);
        if method == Method::POST {
            headers.insert(ACCEPT, HeaderValue::from_static(MEDIA));
        }
        // The token is for the forge's own server, and where that has given no other.
        if self.is_own(&action.url)
            && let Some(login) = self.line.login(self.user)
        {
            headers.entry(AUTHORIZATION).or_insert(login);
        }
        let mut request = self.line.plain(method, &action.url);
        if let Some(known) = request.headers_mut() {
            known.extend(headers);
        }
        request.body(body).map_err(|_| self.unusable("href"))
    }

    /// Whether an address is of the forge's own server.
    fn is_own(&self, url: &str) -> bool {
        let rest = url.strip_prefix(self.forge);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    fn unusable(&self, field: &'static str) -> ForgeError {
        ForgeError::Answer {
            host: self.line.host.clone(),
            field,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cib_https::{Client, Options};
    use cib_protocol::forge::{ForgeAccount, ForgeKind};
    use cib_protocol::secret::Secret;

    use super::*;
    use crate::{Forge, Slug};

    fn forge(url: &str) -> Forge {
        let account = ForgeAccount {
            kind: ForgeKind::GitHub,
            url: url.to_owned(),
            token: Some(Secret::new("token-of-the-forge")),
        };
        Forge::new(&account, Arc::new(Client::new(Options::default()))).unwrap()
    }

    /// The headers with which a content would be sent there.
    fn sent(forge: &Forge, href: &str, header: &Value) -> Option<HeaderMap> {
        let slug: Slug = "acme/api".parse().unwrap();
        let store = forge.store(&slug);
        let said = json!({"href": href, "header": header});
        let action = store.action(&said).ok()?;
        let kind = HeaderValue::from_static("application/octet-stream");
        let body = Full::new(Bytes::new()).map_err(|never| match never {});
        let request = store.request(&Method::PUT, &action, kind, body.boxed_unsync());
        Some(request.unwrap().headers().clone())
    }

    #[test]
    fn the_token_goes_to_the_forges_own_server_alone_and_nothing_is_led_into_the_box() {
        let forge = forge("https://git.example");
        let own = "https://git.example/acme/api.git/info/lfs/objects/1";
        let headers = sent(&forge, own, &json!({})).unwrap();
        let login = headers[AUTHORIZATION].to_str().unwrap();
        assert!(login.starts_with("Basic "), "{login}");
        let given = json!({"Authorization": "RemoteAuth x"});
        let headers = sent(&forge, own, &given).unwrap();
        assert_eq!(headers[AUTHORIZATION], "RemoteAuth x");
        let header = json!({"X-Store": "y", "Host": "other", "Transfer-Encoding": "chunked"});
        for other in ["https://store.example/1", "https://git.example.other/1"] {
            let headers = sent(&forge, other, &header).unwrap();
            assert_eq!(headers["x-store"], "y");
            for unsaid in [AUTHORIZATION, HOST, TRANSFER_ENCODING] {
                assert!(!headers.contains_key(&unsaid), "{other}: {unsaid}");
            }
        }
        for wrong in [
            "http://git.example/1",
            "http://127.0.0.1:8080/api",
            "file:///etc/passwd",
            "",
        ] {
            assert!(sent(&forge, wrong, &json!({})).is_none(), "{wrong}");
        }
        let near = self::forge("http://127.0.0.1:3000");
        assert!(sent(&near, "http://127.0.0.1:3000/1", &json!({})).is_some());
        assert!(sent(&near, "http://127.0.0.1:8080/1", &json!({})).is_none());
    }
}
