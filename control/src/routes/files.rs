//! Coder's files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cib_protocol::api::{
    FileContent, FileEncoding, FileEntry, MakeFolder, RemoveFile, RenameFile, WriteFile,
};
use cib_protocol::files::{Condition, FilesReply, FilesRequest, MAX_ENTRIES, Place, unescape};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG, HeaderMap,
    HeaderName, HeaderValue,
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::call::{Call, Reply, Upload};
use crate::fault::{Code, Fault};
use crate::files::ask::{Content, unexpected};
use crate::files::conditions;

/// Bytes of a file that is read or written as JSON.
pub(super) const MAX_TEXT: usize = 4 * 1024 * 1024;

/// The root of requests that name none.
const ROOT: &str = "workspace";

/// A file that is opened as a page may do nothing: it is whatever the agent wrote.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

pub(super) async fn roots(call: Call) -> Result<Reply, Fault> {
    match call.app.files.ask(&FilesRequest::Roots {}).await? {
        FilesReply::Roots(roots) => Reply::json(&roots),
        _ => Err(unexpected()),
    }
}

pub(super) async fn list(call: Call) -> Result<Reply, Fault> {
    let limit = call.query.number("limit").unwrap_or(u64::from(MAX_ENTRIES));
    let request = FilesRequest::List {
        place: asked(&call),
        after: call.query.get("after").map(str::to_owned),
        limit: u32::try_from(limit).unwrap_or(MAX_ENTRIES),
    };
    match call.app.files.ask(&request).await? {
        FilesReply::List(list) => Reply::json(&list),
        _ => Err(unexpected()),
    }
}

pub(super) async fn read(call: Call) -> Result<Reply, Fault> {
    let request = FilesRequest::Read {
        place: asked(&call),
        span: None,
        tag: None,
    };
    let content = call.app.files.read(&request).await?;
    let most = MAX_TEXT as u64;
    if content.length > most || content.offset != 0 {
        let what = format!("the file has more than {most} bytes; ask for /api/fs/raw");
        return Err(Fault::new(Code::TooLarge, what));
    }
    let (entry, bytes) = whole(content).await?;
    let (encoding, data) = match String::from_utf8(bytes) {
        Ok(text) => (FileEncoding::Utf8, text),
        Err(error) => (FileEncoding::Base64, STANDARD.encode(error.as_bytes())),
    };
    let headers = tagged(&entry);
    Ok(Reply::json(&FileContent {
        entry,
        encoding,
        data,
    })?
    .with(headers))
}

async fn whole(mut content: Content) -> Result<(FileEntry, Vec<u8>), Fault> {
    let mut bytes = Vec::new();
    while let Some(piece) = content.pieces.next().await {
        let piece = piece.map_err(|error| {
            Fault::new(Code::FilesUnavailable, "the file was changed meanwhile").because(error)
        })?;
        bytes.extend_from_slice(&piece);
    }
    Ok((content.entry, bytes))
}

pub(super) async fn write(call: Call) -> Result<Reply, Fault> {
    let asked: WriteFile = call.json()?;
    let bytes = match asked.encoding {
        FileEncoding::Utf8 => asked.data.into_bytes(),
        FileEncoding::Base64 => STANDARD
            .decode(&asked.data)
            .map_err(|error| Fault::new(Code::BadValue, "`data` is no base64").because(error))?,
    };
    let upload = Upload::of(Bytes::from(bytes));
    put(
        &call,
        place(asked.root, asked.path),
        MAX_TEXT as u64,
        upload,
    )
    .await
}

pub(super) async fn upload(mut call: Call) -> Result<Reply, Fault> {
    let upload = call.upload.take();
    let upload = upload.ok_or_else(|| Fault::internal("a route of uploads got no body"))?;
    let most = call.app.files.most();
    put(&call, asked(&call), most, upload).await
}

async fn put(call: &Call, place: Place, most: u64, upload: Upload) -> Result<Reply, Fault> {
    let path = place.path.clone();
    let request = FilesRequest::Write {
        place,
        condition: conditions::to_change(&call.headers)?,
        most,
    };
    let entry = call.app.files.write(&request, upload).await?;
    tracing::info!(caller = %call.caller()?.who, ?path, bytes = entry.size, "a file was written");
    let headers = tagged(&entry);
    Ok(Reply::json(&entry)?.with(headers))
}

pub(super) async fn raw(call: Call) -> Result<Reply, Fault> {
    let request = FilesRequest::Read {
        place: asked(&call),
        span: conditions::span(&call.headers),
        tag: conditions::part_of(&call.headers),
    };
    let Content {
        entry,
        offset,
        length,
        pieces,
    } = call.app.files.read(&request).await?;
    let mut headers = tagged(&entry);
    if conditions::is_known(&call.headers, &entry.tag) {
        return Ok(Reply::Unchanged.with(headers));
    }
    headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    insert(&mut headers, CONTENT_DISPOSITION, attachment(&entry.name));
    let is_part = (offset, length) != (0, entry.size);
    let status = if is_part {
        let last = offset.saturating_add(length).saturating_sub(1);
        let range = format!("bytes {offset}-{last}/{}", entry.size);
        insert(&mut headers, CONTENT_RANGE, range);
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    Ok(Reply::File {
        status,
        length,
        pieces,
    }
    .with(headers))
}

/// Has a browser save the file under its name, whatever it is. RFC 6266 and RFC 8187.
fn attachment(name: &str) -> String {
    let bytes = unescape(name).unwrap_or_default();
    let encoded = percent_encode(&bytes, NON_ALPHANUMERIC);
    format!("attachment; filename*=UTF-8''{encoded}")
}

pub(super) async fn make_folder(call: Call) -> Result<Reply, Fault> {
    let asked: MakeFolder = call.json()?;
    let request = FilesRequest::MakeFolder {
        place: place(asked.root, asked.path),
        parents: asked.parents,
    };
    entry(&call, &request, "a folder was made").await
}

pub(super) async fn rename(call: Call) -> Result<Reply, Fault> {
    let asked: RenameFile = call.json()?;
    let request = FilesRequest::Rename {
        to: place(asked.root.clone(), asked.to),
        from: place(asked.root, asked.path),
        replace: asked.replace,
    };
    entry(&call, &request, "a file was renamed").await
}

async fn entry(call: &Call, request: &FilesRequest, what: &str) -> Result<Reply, Fault> {
    match call.app.files.ask(request).await? {
        FilesReply::Entry(entry) => {
            tracing::info!(caller = %call.caller()?.who, name = ?entry.name, "{what}");
            Reply::json(&entry)
        }
        _ => Err(unexpected()),
    }
}

pub(super) async fn remove(call: Call) -> Result<Reply, Fault> {
    let asked: RemoveFile = call.json()?;
    gone(&call, asked).await
}

pub(super) async fn delete(call: Call) -> Result<Reply, Fault> {
    let text = |name| call.query.get(name).map(str::to_owned);
    let asked = RemoveFile {
        root: text("root"),
        path: text("path").unwrap_or_default(),
        recursive: false,
    };
    gone(&call, asked).await
}

async fn gone(call: &Call, asked: RemoveFile) -> Result<Reply, Fault> {
    let path = asked.path.clone();
    let request = FilesRequest::Remove {
        place: place(asked.root, asked.path),
        recursive: asked.recursive,
        condition: match conditions::to_change(&call.headers)? {
            Condition::Absent => {
                let what = "what is not there cannot be removed";
                return Err(Fault::new(Code::BadValue, what));
            }
            condition => condition,
        },
    };
    match call.app.files.ask(&request).await? {
        FilesReply::Removed => {
            tracing::info!(caller = %call.caller()?.who, ?path, "a file was removed");
            Ok(Reply::Nothing)
        }
        _ => Err(unexpected()),
    }
}

/// The place that the query string names.
fn asked(call: &Call) -> Place {
    let text = |name| call.query.get(name).map(str::to_owned);
    place(text("root"), text("path").unwrap_or_default())
}

fn place(root: Option<String>, path: String) -> Place {
    Place {
        root: root.unwrap_or_else(|| ROOT.to_owned()),
        path,
    }
}

/// The header that tells which content this is.
fn tagged(entry: &FileEntry) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let is_plain = |tag: &str| {
        tag.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if is_plain(&entry.tag) {
        insert(&mut headers, ETAG, format!("\"{}\"", entry.tag));
    }
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
