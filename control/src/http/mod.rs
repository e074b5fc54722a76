//! The HTTP server: the only module that knows axum and hyper.
//!
//! [`router`] turns the route table into an axum router, [`request`] lets a request in and
//! gives it to its handler, [`reply`] writes the answer, [`websocket`] pumps a WebSocket, and
//! [`server`] serves connections within the limits of [`limits`]: `places` says who may hold how
//! many, and `patient` how long a reader is waited for. `ports` brings what listens in the box to
//! a browser, and [`health`] answers whoever watches over the box.

mod carried;
mod compress;
mod envelope;
pub mod health;
mod held;
pub mod inside;
pub(crate) mod legacy;
pub mod limits;
mod line;
pub mod listen;
mod patient;
mod places;
mod ports;
pub mod reply;
pub mod request;
pub mod server;
pub mod websocket;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures_util::FutureExt as _;
use tower::ServiceExt as _;

use limits::Limits;

use crate::app::App;
use crate::fault::{Code, Fault};
use crate::ports::head::Door;
use crate::routes::table::ROUTES;
use crate::routes::{Answer, Route, Verb};

/// What answers requests: what listens in the box where one is for that, else the table.
#[derive(Clone, Debug)]
pub(super) struct Front {
    app: Arc<App>,
    router: Router,
    /// What is put to the routes by a device.
    inner: Router,
    limits: Limits,
}

impl Front {
    pub(super) fn new(app: &Arc<App>, limits: Limits) -> Self {
        let inner = inner(app, limits);
        Self {
            app: Arc::clone(app),
            router: router(app, limits, &inner),
            inner,
            limits,
        }
    }

    pub(super) async fn answer(self, mut request: Request) -> Result<Response, Infallible> {
        let Some(door) = Door::find(request.uri(), request.headers()) else {
            if legacy::is_one(request.uri().path()) && self.app.envelope.serves_earlier() {
                return Ok(self.earlier(request).await);
            }
            return self.router.oneshot(request).await;
        };
        let served = AssertUnwindSafe(ports::serve(&self.app, self.limits, &door, &mut request));
        let served = served.catch_unwind().await;
        let response = match served.unwrap_or_else(|panic| Some(Err(request::broken(&*panic)))) {
            Some(Ok(response)) => response,
            Some(Err(fault)) => {
                fault.log("port");
                reply::fault(&fault)
            }
            // A person who comes back to an address that was a port's gets a page that says so.
            None if !door.is_by_name() => return self.router.oneshot(request).await,
            None => ports::closed(),
        };
        self.app
            .metrics
            .answered("port", response.status().as_u16());
        Ok(response)
    }
}

impl Front {
    /// Answers what came by an earlier envelope.
    async fn earlier(self, request: Request) -> Response {
        let peer = request::peer(request.extensions());
        let arrival = self.app.gate.origin(peer, request.headers());
        let hold = request.extensions().get::<held::Hold>().cloned();
        let inside = inside::Inside::of(self.inner, arrival, peer, hold);
        let served = AssertUnwindSafe(legacy::serve(
            Arc::clone(&self.app),
            inside,
            self.limits,
            request,
        ));
        let response = served.catch_unwind().await.unwrap_or_else(|panic| {
            let fault = request::broken(&*panic);
            fault.log("aes");
            reply::fault(&fault)
        });
        let status = response.status().as_u16();
        self.app.metrics.answered("aes", status);
        response
    }
}

/// The router of every route in the table.
fn router(app: &Arc<App>, limits: Limits, inner: &Router) -> Router {
    let mut router = Router::new();
    for route in ROUTES.iter().filter(|route| !is_sealed(route)) {
        router = add(router, app, route, limits, None);
    }
    for route in ROUTES.iter().filter(|route| is_sealed(route)) {
        router = add(router, app, route, limits, Some(inner));
    }
    let unknown = {
        let app = Arc::clone(app);
        move |request: Request| page(app, request)
    };
    let app = Arc::clone(app);
    let wrong_method = move |request: Request| refuse(app, request, Code::MethodNotAllowed);
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

fn is_sealed(route: &Route) -> bool {
    matches!(route.answer, Answer::Sealed | Answer::SealedSocket)
}

/// The router of what devices ask: the same routes and nothing else, no page, and nothing sealed.
fn inner(app: &Arc<App>, limits: Limits) -> Router {
    let mut router = Router::new();
    for route in ROUTES.iter().filter(|route| !is_sealed(route)) {
        router = add(router, app, route, limits, None);
    }
    let (app, other) = (Arc::clone(app), Arc::clone(app));
    let unknown = move |request: Request| refuse(app, request, Code::NoSuchRoute);
    let wrong_method = move |request: Request| refuse(other, request, Code::MethodNotAllowed);
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

/// A router with one more row of the table.
fn add(
    mut router: Router,
    app: &Arc<App>,
    route: &'static Route,
    limits: Limits,
    inner: Option<&Router>,
) -> Router {
    for path in route.paths {
        let (app, inner) = (Arc::clone(app), inner.cloned());
        let handler = move |request: Request| request::serve(app, route, limits, inner, request);
        router = router.route(path, on(filter(route.verb), handler));
    }
    router
}

fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Patch => MethodFilter::PATCH,
        Verb::Delete => MethodFilter::DELETE,
    }
}

/// A page or a file of one, or the fault that there is nothing.
async fn page(app: Arc<App>, request: Request) -> Response {
    if let Some(web) = &app.web {
        let answer = web.answer(request.method(), request.uri(), request.headers());
        match answer.await {
            Ok(Some(response)) => {
                app.metrics.answered("web", response.status().as_u16());
                return response.map(Body::from);
            }
            Ok(None) => {}
            Err(fault) => {
                fault.log("web");
                app.metrics.answered("web", fault.code().number());
                return reply::fault(&fault);
            }
        }
    }
    if request.uri().path().starts_with("/ports/") {
        app.metrics.answered("port", Code::NoSuchPort.number());
        return ports::closed();
    }
    refuse(app, request, Code::NoSuchRoute).await
}

#[expect(clippy::unused_async, reason = "axum's handlers are async")]
async fn refuse(app: Arc<App>, request: Request, code: Code) -> Response {
    let detail = match code {
        Code::MethodNotAllowed => {
            format!("{} is not for {}", request.method(), request.uri().path())
        }
        _ => format!("there is nothing at {}", request.uri().path()),
    };
    app.metrics.answered("none", code.number());
    reply::fault(&Fault::new(code, detail))
}
