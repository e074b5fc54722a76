//! A stand-in for forges: GitHub as its own `gh` was recorded speaking to it, GitLab and Gitea by
//! their documentation. All three speak of the same repositories, which are real ones behind
//! `git http-backend`.
//!
//! | paths | whose |
//! |---|---|
//! | `/api/v3/…`, `/api/graphql`; `/…` for hosts that begin with `api.` | GitHub |
//! | `/api/v4/…` | GitLab |
//! | `/api/v1/…` | Gitea |
//! | `/owner/name.git/info/lfs/…` | Git LFS |
//! | `/owner/name.git/…` | git |
//! | `/_kit/…` | the test's own: see [`kit`] |
//!
//! `gh` speaks to it with `GH_HOST=github.localhost` and `HTTP_PROXY` set to where it listens.

mod backend;
mod gitea;
mod github;
mod gitlab;
mod graphql;
pub mod kit;
mod large;
mod talk;
mod world;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::serve::{Running, Work, listen};

pub use world::{Event, Fault, NewRepository, Token};

use talk::{Answer, Asked, Forge};
use world::World;

/// Bytes of a request, at most: a pack has to fit.
const MOST: usize = 256 << 20;

/// The stand-in, running in this process until dropped.
#[derive(Debug)]
pub struct ForgeStandIn {
    running: Running,
    world: Shared,
    root: PathBuf,
}

type Shared = Arc<Mutex<World>>;

fn locked(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ForgeStandIn {
    /// Starts on a free port of the loopback, with its repositories in a folder that goes with it.
    ///
    /// # Errors
    /// No port can be bound, or no folder be made.
    pub fn start() -> io::Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "cib-forge-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&root)?;
        let world = Arc::new(Mutex::new(World::new(root.clone())));
        let shared = Arc::clone(&world);
        let running =
            Running::start(move || bind_world(SocketAddr::from(([127, 0, 0, 1], 0)), shared))?;
        Ok(Self {
            running,
            world,
            root,
        })
    }

    /// What a person would open in a browser, and what a forge's address is set to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.running.addr())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// Makes a token.
    pub fn token(&self, token: &str, login: &str, scopes: Option<&[&str]>) {
        let scopes = scopes.map(|scopes| scopes.iter().map(|&scope| scope.to_owned()).collect());
        locked(&self.world).tokens.push(Token {
            token: token.to_owned(),
            login: login.to_owned(),
            scopes,
        });
    }

    /// Makes a repository.
    ///
    /// # Errors
    /// git cannot.
    pub fn repository(&self, new: &NewRepository) -> io::Result<()> {
        locked(&self.world).add(new).map(drop)
    }

    /// Gives a repository another name; the old one leads to it.
    pub fn rename(&self, from: &str, to: &str) {
        locked(&self.world).rename(from, to);
    }

    /// Has the next calls of a kind fail, or wait.
    pub fn fail(&self, fault: Fault) {
        locked(&self.world).faults.push(fault);
    }

    /// How many more calls GitHub takes.
    pub fn remaining(&self, calls: u64) {
        locked(&self.world).remaining = calls;
    }

    /// The calls so far, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        locked(&self.world).events.clone()
    }

    /// The bare repository of a name, to look into it.
    #[must_use]
    pub fn dir(&self, slug: &str) -> Option<PathBuf> {
        locked(&self.world)
            .named(slug)
            .map(|(repo, _)| repo.dir.clone())
    }

    /// The content of a large file, by its digest.
    #[must_use]
    pub fn large(&self, oid: &str) -> Option<bytes::Bytes> {
        locked(&self.world).large.get(oid).cloned()
    }

    /// Adds a check of a commit, as GitHub tells of it: `status`, `conclusion`.
    pub fn check(&self, slug: &str, check: &Value) {
        let mut world = locked(&self.world);
        let id = world.named(slug).map(|(repo, _)| repo.id);
        for repo in world.repos.iter_mut().filter(|repo| Some(repo.id) == id) {
            repo.checks.push(check.clone());
        }
    }
}

impl Drop for ForgeStandIn {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Binds `addr`; the work returned serves until dropped. Must be called inside a runtime.
///
/// # Errors
/// The address cannot be bound, or the folder of repositories not be made.
pub fn bind(addr: SocketAddr, root: &Path) -> io::Result<(SocketAddr, Work)> {
    std::fs::create_dir_all(root)?;
    bind_world(addr, Arc::new(Mutex::new(World::new(root.canonicalize()?))))
}

fn bind_world(addr: SocketAddr, world: Shared) -> io::Result<(SocketAddr, Work)> {
    let listener = listen(addr)?;
    let addr = listener.local_addr()?;
    let service = Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::disable())
        .with_state(world);
    Ok((
        addr,
        Box::pin(async move { axum::serve(listener, service).await }),
    ))
}

async fn serve(State(world): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, MOST).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mut asked = Asked::new(&head, &body);
    if let Some(rest) = asked.path.strip_prefix("/_kit/") {
        return kit::answer(&mut locked(&world), &head.method, rest, &asked.body).into();
    }
    asked.login = talk::login(&locked(&world), &head.headers);
    let fault = locked(&world).fault(&asked).unwrap_or_default();
    let wait = tokio::time::sleep(Duration::from_millis(fault.delay_ms));
    let keep = |status: StatusCode| {
        let event = Event {
            method: asked.method.to_string(),
            path: asked.whole(),
            login: asked.login.clone(),
            status: status.as_u16(),
            body: graphql::named(&asked),
        };
        locked(&world).events.push(event);
    };
    if fault.done {
        let done = answer(&world, &head, &asked, body).await;
        // It is known of while its answer is held.
        keep(done.status());
        wait.await;
        return match fault.status {
            0 => done,
            _ => Answer::fault(&fault).into(),
        };
    }
    wait.await;
    let response = match fault.status {
        0 => answer(&world, &head, &asked, body).await,
        _ => Answer::fault(&fault).into(),
    };
    keep(response.status());
    response
}

async fn answer(
    world: &Shared,
    head: &axum::http::request::Parts,
    asked: &Asked,
    body: bytes::Bytes,
) -> Response<Body> {
    if let Some((slug, rest)) = asked.path.trim_start_matches('/').split_once(".git/") {
        return git(world, head, asked, (slug, rest), body).await;
    }
    let mut world = locked(world);
    match asked.forge {
        Forge::GraphQl => graphql::answer(&mut world, asked),
        Forge::GitHub => github::answer(&mut world, asked),
        Forge::GitLab => gitlab::answer(&mut world, asked),
        Forge::Gitea => gitea::answer(&mut world, asked),
        Forge::None => Answer::missing(),
    }
    .into()
}

async fn git(
    world: &Shared,
    head: &axum::http::request::Parts,
    asked: &Asked,
    (slug, rest): (&str, &str),
    body: bytes::Bytes,
) -> Response<Body> {
    let found = locked(world)
        .named(slug)
        .map(|(repo, moved)| (repo.clone(), moved));
    let Some((repo, moved)) = found.filter(|(repo, _)| repo.may_see(asked.login.as_deref())) else {
        // Nobody is told without a token what there is.
        return if asked.login.is_some() {
            Answer::missing().into()
        } else {
            backend::ask_for_token()
        };
    };
    if moved && head.method == Method::GET {
        let to = format!("/{}.git/{rest}?{}", repo.slug(), asked.query);
        return Answer::moved(&to).into();
    }
    if let Some(rest) = rest.strip_prefix("info/lfs/objects/") {
        return large::answer(&mut locked(world), &repo, asked, rest, body).into();
    }
    let login = asked.login.as_deref();
    if backend::service(rest, &asked.query) == "git-receive-pack" {
        if login.is_none() {
            return backend::ask_for_token();
        }
        if !repo.may_push(login) {
            let words = format!(
                "Permission to {} denied to {}.",
                repo.slug(),
                login.unwrap_or("")
            );
            return Answer::refused(403, &words).into();
        }
    }
    let method = head.method.as_str();
    let done = backend::run(repo, method, rest, &asked.query, &head.headers, body, login).await;
    done.unwrap_or_else(|error| Answer::refused(500, &error.to_string()).into())
}
