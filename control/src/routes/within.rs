//! A request to another route of the table, by the caller of this one.
//!
//! The protocols of others are put together from such requests: what a caller may not ask of a
//! route, it does not get by way of another.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cib_protocol::api::StreamEnd;
use cib_protocol::frame::{Data, Frame};
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use futures_util::StreamExt as _;
use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Call, Chunks, Query, Reply, Upload};
use super::table::ROUTES;
use super::{Access, Route, Shape};
use crate::app::App;
use crate::auth::gate::Arrival;
use crate::auth::{Caller, Who};
use crate::envelope::events::{Events, Told};
use crate::fault::{Code, Fault};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    app: Arc<App>,
    caller: Caller,
    arrival: Arrival,
}

impl Within {
    /// The caller of a request.
    pub(crate) fn new(call: &Call) -> Result<Self, Fault> {
        Ok(Self {
            app: Arc::clone(&call.app),
            caller: call.caller()?,
            arrival: call.arrival,
        })
    }

    /// Who it is.
    pub(crate) fn who(&self) -> &Who {
        &self.caller.who
    }

    /// The same for what has to be cleared away, even if the caller's access has ended by then.
    pub(crate) fn outliving(mut self) -> Self {
        self.caller = self.caller.outliving();
        self
    }

    /// Asks a route, by its name, about a session. The body of one that takes a file is the file.
    ///
    /// # Errors
    /// The route's own, and that the caller may not ask it.
    pub(crate) async fn ask(
        &self,
        name: &'static str,
        session: Option<SessionId>,
        query: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, Fault> {
        let route = row(name)?;
        self.check(route)?;
        let body = body.into();
        let most = route.body.as_ref().map_or(0, |body| body.limit);
        if body.len() > most {
            let detail = format!("the body has more than {most} bytes");
            return Err(Fault::new(Code::TooLarge, detail));
        }
        let is_file = route
            .body
            .as_ref()
            .is_some_and(|body| body.shape == Shape::File);
        let (body, upload) = if is_file {
            (Bytes::new(), Some(Upload::of(body)))
        } else {
            (body, None)
        };
        let path = session.map(|id| ("id".to_owned(), id.to_string()));
        (route.handler)(Call {
            app: Arc::clone(&self.app),
            caller: Some(self.caller.clone()),
            arrival: self.arrival,
            path: path.into_iter().collect(),
            query: Query::parse(query, route.query)?,
            headers: HeaderMap::new(),
            body,
            upload,
        })
        .await
    }

    /// As the server does for a request from outside. A caller may have waited long for the request
    /// before this one.
    fn check(&self, route: &Route) -> Result<(), Fault> {
        if let Some(lapse) = self.caller.lapsed() {
            return Err(Fault::lapsed(lapse));
        }
        match route.access {
            Access::Scope(scope) if !self.caller.scopes.allows(scope) => {
                Err(Fault::scope_missing(scope))
            }
            Access::Administrator if !self.caller.is_administrator() => {
                Err(Fault::everything_missing())
            }
            _ => Ok(()),
        }
    }

    /// What a route answers, as JSON.
    ///
    /// # Errors
    /// As [`Within::ask`].
    pub(crate) async fn json(
        &self,
        name: &'static str,
        session: Option<SessionId>,
        query: &str,
    ) -> Result<Vec<u8>, Fault> {
        whole(self.ask(name, session, query, Bytes::new()).await?)
    }

    /// What a route answers to a body, as JSON.
    ///
    /// # Errors
    /// As [`Within::ask`].
    pub(crate) async fn post(
        &self,
        name: &'static str,
        session: Option<SessionId>,
        body: &(impl Serialize + Sync),
    ) -> Result<Vec<u8>, Fault> {
        let body = serde_json::to_vec(body).map_err(Fault::internal)?;
        whole(self.ask(name, session, "", body).await?)
    }

    /// What a route answers, as a value.
    ///
    /// # Errors
    /// As [`Within::ask`].
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        name: &'static str,
        session: Option<SessionId>,
        query: &str,
    ) -> Result<T, Fault> {
        let json = self.json(name, session, query).await?;
        serde_json::from_slice(&json).map_err(Fault::internal)
    }

    /// Frames of a session behind one, as they come.
    ///
    /// # Errors
    /// As [`Within::ask`].
    pub(crate) async fn follow(
        &self,
        session: SessionId,
        from: u64,
        kinds: &str,
    ) -> Result<Frames, Fault> {
        let query = format!("from={from}&kinds={kinds}");
        match self
            .ask("follow_events", Some(session), &query, Bytes::new())
            .await?
        {
            Reply::Chunks { chunks, .. } => Ok(Frames {
                chunks,
                events: Events::default(),
                told: VecDeque::new(),
            }),
            _ => Err(Fault::internal("events are no stream")),
        }
    }
}

fn row(name: &'static str) -> Result<&'static Route, Fault> {
    ROUTES
        .iter()
        .find(|route| route.name == name)
        .ok_or_else(|| Fault::internal(format!("there is no route {name}")))
}

/// The JSON that a route answers at once. What comes piece by piece may be of any size.
fn whole(reply: Reply) -> Result<Vec<u8>, Fault> {
    match reply {
        Reply::Json(json) | Reply::Partial(json) | Reply::Created { json, .. } => Ok(json),
        Reply::Nothing => Ok(b"{}".to_vec()),
        _ => Err(Fault::internal("the route does not answer in JSON")),
    }
}

/// Frames as they come.
pub(crate) struct Frames {
    chunks: Chunks,
    events: Events,
    told: VecDeque<Step>,
}

/// A frame's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
}

impl At {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            seq: frame.seq,
            time: frame.ts,
        }
    }
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A frame: which it is, and what it says.
    Frame(At, Box<Data>),
    /// Nothing, but the session is followed.
    Life,
    /// The last, and why.
    End(String),
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frames")
    }
}

impl Frames {
    /// Whether what comes next is there already.
    pub(crate) fn has_more(&self) -> bool {
        !self.told.is_empty()
    }

    /// What comes next. Can be dropped and called again without losing frames.
    pub(crate) async fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.told.pop_front() {
                return step;
            }
            let Some(Ok(chunk)) = self.chunks.next().await else {
                return Step::End("broken".to_owned());
            };
            self.events.push(&chunk);
            while let Some(told) = self.events.next() {
                self.told.extend(step(told));
            }
        }
    }
}

/// What a client of ours is told; nothing of a frame that this version cannot read.
fn step(told: Told) -> Option<Step> {
    match told {
        Told::Life => Some(Step::Life),
        Told::Event(json, _) => {
            let frame: Frame = serde_json::from_slice(&json).ok()?;
            let data = frame.decode().ok()??;
            Some(Step::Frame(At::of(&frame), Box::new(data)))
        }
        Told::End(json) => {
            let end: Option<StreamEnd> = serde_json::from_slice(&json).ok();
            Some(Step::End(end.map_or_else(String::new, |end| end.reason)))
        }
    }
}
