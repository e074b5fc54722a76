//! The HTTP server: the only module that knows axum and hyper.
//!
//! [`router`] turns the route table into an axum router, [`request`] lets a request in and
//! gives it to its handler, [`reply`] writes the answer, [`websocket`] pumps a WebSocket, and
//! [`server`] serves connections within the limits of [`limits`]: `places` says who may hold how
//! many, and `patient` how long a reader is waited for. [`health`] answers whoever watches over
//! the box.

pub mod health;
mod held;
pub mod limits;
pub mod listen;
mod patient;
mod places;
pub mod reply;
pub mod request;
pub mod server;
pub mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, on};

use limits::Limits;

use crate::app::App;
use crate::fault::{Code, Fault};
use crate::routes::Verb;
use crate::routes::table::ROUTES;

/// The router of every route in the table.
pub fn router(app: &Arc<App>, limits: Limits) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        for path in route.paths {
            let app = Arc::clone(app);
            let handler = move |request: Request| request::serve(app, route, limits, request);
            router = router.route(path, on(filter(route.verb), handler));
        }
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

fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
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
