//! The pages: what a browser is given, and under which rules it may use it.
//!
//! [`manifest`] is the table of what there is, [`headers`] what a browser is told to allow, and
//! [`Web`] answers. A path is looked up in the table and never joined to a folder, so there is
//! nothing to climb out of; the names of files are the table's own.

pub mod headers;
pub mod manifest;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use http::{HeaderName, Method, Response, StatusCode, Uri};

use crate::fault::Fault;
use crate::work;
use manifest::{Coded, Coding, Entry, Manifest, ManifestError};

/// Where the folder with the pages is in the image that has them.
pub const FOLDER: &str = "/usr/share/claude-in-box/web";

/// What the page's one document has in place of a nonce.
const NONCE: &str = "__CIB_NONCE__";

/// Paths that are the API's, now or in clients that exist: a slip in one of them is answered as
/// a slip, and never with a page.
const NOT_PAGES: [&str; 9] = [
    "/api", "/ws", "/sse", "/metrics", "/aes", "/v1", "/openai", "/mcp", "/task",
];

/// What may be kept for ever: its name changes with its content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// What has to be asked for again before it is used again.
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// What carries a nonce is for one time.
const ONCE: HeaderValue = HeaderValue::from_static("no-store");

/// The path of the service worker's script, which shows notifications and does nothing else.
const WORKER: &str = "/sw.js";

/// The pages of the box.
#[derive(Debug)]
pub struct Web {
    folder: PathBuf,
    manifest: Arc<Manifest>,
    document: Document,
}

/// The page's document around its nonces.
#[derive(Debug)]
struct Document(Vec<String>);

impl Web {
    /// Reads the table and the document of a folder; nothing if there is no table in it.
    ///
    /// # Errors
    /// If there is one that cannot be used.
    pub fn open(folder: &Path) -> Result<Option<Self>, ManifestError> {
        let Some(manifest) = Manifest::read(&folder.join("manifest.json"))? else {
            return Ok(None);
        };
        let document = manifest::read_document(&folder.join("index.html"))?;
        Ok(Some(Self {
            folder: folder.to_owned(),
            manifest: Arc::new(manifest),
            document: Document(document.split(NONCE).map(str::to_owned).collect()),
        }))
    }

    /// Answers what is asked of the pages; nothing if that is not theirs to answer.
    ///
    /// # Errors
    /// If a file of the table cannot be read.
    pub async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Response<Bytes>>, Fault> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Ok(None);
        }
        let path = uri.path();
        if let Some(entry) = self.manifest.get(path) {
            return self.file(path, entry, headers).await.map(Some);
        }
        if is_page(path) && wants_html(headers) {
            return self.page().map(Some);
        }
        Ok(None)
    }

    /// The document with a nonce of this answer's own.
    fn page(&self) -> Result<Response<Bytes>, Fault> {
        let nonce = headers::nonce().map_err(Fault::internal)?;
        let mut response = Response::new(self.document.0.join(&nonce).into());
        let answer = response.headers_mut();
        headers::document(answer, &nonce).map_err(Fault::internal)?;
        answer.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        answer.insert(CACHE_CONTROL, ONCE);
        answer.insert(VARY, HeaderValue::from_static("accept"));
        Ok(response)
    }

    async fn file(
        &self,
        path: &str,
        entry: &Entry,
        asked: &HeaderMap,
    ) -> Result<Response<Bytes>, Fault> {
        let (coding, coded) = entry.coded(wanted(asked));
        let is_known = has_tag(asked, &coded.sha256);
        let mut response = Response::new(if is_known {
            Bytes::new()
        } else {
            self.bytes(coded).await?.into()
        });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let answer = response.headers_mut();
        if path == WORKER {
            headers::worker(answer);
        } else {
            headers::asset(answer);
        }
        let tag = format!("\"{}\"", coded.sha256);
        answer.insert(ETAG, HeaderValue::try_from(tag).map_err(Fault::internal)?);
        answer.insert(CACHE_CONTROL, if entry.immutable { FOREVER } else { ASK });
        answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if !is_known {
            let media = HeaderValue::try_from(&entry.media).map_err(Fault::internal)?;
            answer.insert(CONTENT_TYPE, media);
            answer.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        Ok(response)
    }

    /// The bytes of a file, as many as the table says and no others.
    async fn bytes(&self, coded: &Coded) -> Result<Vec<u8>, Fault> {
        let (folder, name, size) = (self.folder.clone(), coded.file.clone(), coded.size);
        work::run(move || {
            let folder = cib_foreign::own::open(&folder).map_err(ManifestError::Folder)?;
            let file = cib_foreign::open_beneath(folder, Path::new(&name))?;
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            file.take(size + 1)
                .read_to_end(&mut bytes)
                .map_err(ManifestError::Folder)?;
            if bytes.len() as u64 == size {
                Ok(bytes)
            } else {
                Err(ManifestError::Changed(name))
            }
        })
        .await
    }
}

/// Whether a path can be that of a page: it names no file of the pages, and the API has nothing
/// like it. The names of coder's files are below the pages of them.
fn is_page(path: &str) -> bool {
    if ["/files/", "/changes/"]
        .iter()
        .any(|of| path.starts_with(of))
    {
        return true;
    }
    let is_file = path
        .rsplit('/')
        .next()
        .is_some_and(|name| name.contains('.'));
    let is_not = |taken: &str| {
        path.strip_prefix(taken)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || taken == "/task")
    };
    !is_file && !NOT_PAGES.iter().any(|taken| is_not(taken))
}

fn wants_html(headers: &HeaderMap) -> bool {
    takes(headers, &ACCEPT, "text/html")
}

/// Whether a header that is a list has a word in it that is not refused.
pub(crate) fn takes(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    words(headers, name).any(|(word, weight)| word == wanted && weight > 0.0)
}

fn wanted(headers: &HeaderMap) -> Coding {
    if takes(headers, &ACCEPT_ENCODING, "br") {
        Coding::Brotli
    } else {
        Coding::Gzip
    }
}

/// The words of a header that is a list, in small letters, each with its weight.
fn words<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (String, f32)> + use<'h> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|part| {
            let mut parts = part.split(';').map(str::trim);
            let word = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            (word, weight)
        })
}

/// Whether the client has these bytes. Compared weakly, as the method GET asks for.
fn has_tag(headers: &HeaderMap, sha256: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag.trim_matches('"') == sha256
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_no_extension_and_are_nowhere_where_the_api_is() {
        for path in [
            "/",
            "/s/9f1c",
            "/settings/tokens",
            "/shells",
            "/apiary",
            "/wsx",
            "/files/workspace/src/main.rs",
            "/changes/workspace/v1.2",
        ] {
            assert!(is_page(path), "{path}");
        }
        for path in [
            "/api",
            "/api/",
            "/api/sesions",
            "/ws/sessions/1",
            "/sse",
            "/metrics",
            "/aes/x",
            "/v1/messages",
            "/openai/v1",
            "/task",
            "/tasks/1",
            "/robots.txt",
            "/assets/gone.js",
        ] {
            assert!(!is_page(path), "{path}");
        }
    }

    #[test]
    fn a_coding_that_is_refused_is_not_sent() {
        let coding = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
            wanted(&headers)
        };
        assert_eq!(coding("gzip, deflate, br"), Coding::Brotli);
        assert_eq!(coding("BR;q=0.5"), Coding::Brotli);
        assert_eq!(coding("br;q=0, gzip"), Coding::Gzip);
        assert_eq!(coding("gzip, deflate"), Coding::Gzip);
        assert_eq!(coding("*"), Coding::Gzip);
    }

    #[test]
    fn a_tag_is_found_in_any_spelling_of_a_list() {
        let has = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, text.parse().unwrap());
            has_tag(&headers, "abc")
        };
        assert!(has("\"abc\"") && has("W/\"abc\"") && has("\"x\", \"abc\"") && has("*"));
        assert!(!has("\"ab\"") && !has("\"abcd\"") && !has(""));
    }
}
