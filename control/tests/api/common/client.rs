//! A client: plain requests, event streams, WebSockets.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    token: Option<Arc<str>>,
    headers: HeaderMap,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts a fault by name, and returns its detail.
    #[track_caller]
    pub fn fault(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["error"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        body["detail"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json()
    }

    #[track_caller]
    pub fn created(&self) -> Value {
        assert_eq!(self.status, StatusCode::CREATED, "{self:?}");
        self.json()
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            token: None,
            headers: HeaderMap::new(),
        }
    }

    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// Sends a request and returns the head of the answer with its body to come.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Full::new(body))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(sender.send_request(request).await?)
    }

    pub async fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let exchange = async {
            let response = self.send(method, path, body.into()).await.unwrap();
            let (parts, body) = response.into_parts();
            Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        };
        super::soon(exchange).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, body.to_string()).await
    }

    /// Opens an event stream.
    pub async fn events(&self, path: &str) -> Events {
        let response = super::soon(self.send(Method::GET, path, Bytes::new()))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events::new(response.into_body())
    }

    /// Opens a WebSocket, with the token as browsers send it.
    pub async fn socket(&self, path: &str) -> Result<Socket, tungstenite::Error> {
        self.socket_with("json", path).await
    }

    /// As [`Client::socket`], with another subprotocol.
    pub async fn socket_with(
        &self,
        protocol: &str,
        path: &str,
    ) -> Result<Socket, tungstenite::Error> {
        let stream = TcpStream::connect(self.address).await?;
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        let headers = request.headers_mut();
        if let Some(token) = &self.token {
            let protocols = format!("bearer.{token}, {protocol}");
            headers.insert("sec-websocket-protocol", protocols.parse().unwrap());
        }
        headers.extend(self.headers.clone());
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Socket(socket))
    }
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<u64>,
    pub event: String,
    pub data: String,
    pub comment: Option<String>,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split_once(':').unwrap() {
                ("", comment) => event.comment = Some(comment.to_owned()),
                ("id", id) => event.id = Some(id.trim().parse().unwrap()),
                ("event", name) => event.event = name.trim().to_owned(),
                ("data", data) => event.data = data.strip_prefix(' ').unwrap().to_owned(),
                ("retry", _) => {}
                (other, _) => panic!("no field of an event: {other}"),
            }
        }
        event
    }
}

pub struct Events {
    body: Incoming,
    buffer: BytesMut,
    seen: usize,
}

impl Events {
    pub fn new(body: Incoming) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            seen: 0,
        }
    }

    /// The next event's id, name and data, comments passed over.
    pub async fn raw(&mut self) -> (String, String, String) {
        loop {
            let text = self.text().await.expect("the stream ended");
            let field = |name: &str| {
                let of = |line: &str| line.strip_prefix(name).map(|value| value.trim().to_owned());
                text.lines().find_map(of)
            };
            if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
                return (field("id:").unwrap_or_default(), event, data);
            }
        }
    }

    /// Names and data of every event until the server closes.
    pub async fn rest_raw(&mut self) -> Vec<(String, String)> {
        super::soon(async {
            let mut events = Vec::new();
            while let Some(text) = self.text().await {
                let mut fields = text.lines().filter_map(|line| line.split_once(": "));
                let event = fields.find(|(name, _)| *name == "event");
                let data = fields.find(|(name, _)| *name == "data");
                if let (Some((_, event)), Some((_, data))) = (event, data) {
                    events.push((event.to_owned(), data.to_owned()));
                }
            }
            events
        })
        .await
    }

    /// The next event, comments included; `None` at the end, however it came.
    pub async fn next(&mut self) -> Option<Event> {
        self.text().await.map(|text| Event::parse(&text))
    }

    /// The next event as it is written.
    async fn text(&mut self) -> Option<String> {
        loop {
            // What was looked through before is not looked through again: events may be long.
            let unseen = &self.buffer[self.seen..];
            if let Some(end) = memchr::memmem::find(unseen, b"\n\n") {
                let text = self.buffer.split_to(self.seen + end + 2);
                self.seen = 0;
                return Some(std::str::from_utf8(&text).unwrap().to_owned());
            }
            self.seen = self.buffer.len().saturating_sub(1);
            let frame = self.body.frame().await?.ok()?;
            self.buffer.extend_from_slice(&frame.into_data().ok()?);
        }
    }

    /// The next event that is no comment.
    pub async fn event(&mut self) -> Event {
        super::soon(async {
            loop {
                let event = self.next().await.expect("the stream ended");
                if event.comment.is_none() {
                    return event;
                }
            }
        })
        .await
    }

    /// The seqs of the frames up to and including one.
    pub async fn seqs_to(&mut self, last: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            let event = self.event().await;
            assert_eq!(event.json()["seq"].as_u64(), event.id);
            seqs.push(event.id.unwrap());
        }
        seqs
    }

    /// Every event until the server closes.
    pub async fn rest(&mut self) -> Vec<Event> {
        super::soon(async {
            let mut events = Vec::new();
            while let Some(event) = self.next().await {
                if event.comment.is_none() {
                    events.push(event);
                }
            }
            events
        })
        .await
    }
}

pub struct Socket(pub WebSocketStream<TcpStream>);

impl Socket {
    /// The next text message, or how the conversation was closed.
    pub async fn next(&mut self) -> Result<Value, Option<(u16, String)>> {
        super::soon(async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Ok(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame
                            .map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(None),
                }
            }
        })
        .await
    }

    /// The next text message as it is.
    pub async fn text(&mut self) -> String {
        super::soon(async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                    Some(Ok(_)) => {}
                    other => panic!("the conversation ended: {other:?}"),
                }
            }
        })
        .await
    }

    pub async fn say(&mut self, message: &Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    pub async fn seqs_to(&mut self, last: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            seqs.push(self.next().await.unwrap()["seq"].as_u64().unwrap());
        }
        seqs
    }
}
