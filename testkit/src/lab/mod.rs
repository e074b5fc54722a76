//! The three networks of the box tests: `box` can reach only `proxy`, `proxy` can reach
//! `world`, and `client` can reach only `box`.
//!
//! ```text
//! client --- clients --- box --- inside --- proxy --- outside --- world
//! ```
//!
//! `world` runs the stand-in for the Messages API on port 8000, pages on port 80 and names on
//! port 53; its one log tells who asked for what.

mod trap;

pub use trap::{PROGRAM, Trap};

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::client::BoxClient;
use crate::engine::{Container, Engine, Network, Spec};
use crate::log::{Entry, Request, parse};
use crate::socks::{Kind, Login, Socks};

/// The bearer token of every box in a lab.
pub const TOKEN: &str = "lab-token-0123456789";

/// The API key that Claude is given in a lab.
pub const API_KEY: &str = "sk-ant-lab-0123456789abcdef";

/// The proxy's password; every character that a URL has to encode is in it.
pub const PROXY_PASSWORD: &str = "p@ss:w/rd?#%&";

/// The proxy's user.
pub const PROXY_USER: &str = "boxuser";

/// A name that only the name server of `world` knows, with every name below it.
pub const WORLD_NAME: &str = "world.test";

const SOON: Duration = Duration::from_secs(30);
const PROXY_PORT: u16 = 1080;
const API_PORT: u16 = 8000;

/// The networks and everything on them but the box.
#[derive(Debug)]
pub struct Lab {
    /// Runs the SOCKS server.
    pub proxy: Container,
    /// Runs the servers.
    pub world: Container,
    /// Asks the box.
    pub client: Container,
    /// Where box and proxy meet.
    pub inside: Network,
    /// Where proxy and world meet.
    pub outside: Network,
    /// Where client and box meet.
    pub clients: Network,
    socks: Socks,
}

impl Lab {
    /// A lab whose proxy is dante with user and password.
    ///
    /// # Panics
    /// Something does not start.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Kind::Dante)
    }

    /// A lab with another proxy.
    ///
    /// # Panics
    /// Something does not start.
    #[must_use]
    pub fn with(kind: Kind) -> Self {
        let inside = Network::private(Engine::get());
        let proxy = inside.addr(PROXY).into();
        Self::on(inside, Network::public(Engine::get()), kind, proxy)
    }

    /// A lab whose box sits on a network without a way out, and so without a default route.
    ///
    /// # Panics
    /// Something does not start.
    #[must_use]
    pub fn without_a_route(kind: Kind) -> Self {
        let inside = Network::internal(Engine::get());
        let proxy = inside.addr(PROXY).into();
        Self::on(inside, Network::public(Engine::get()), kind, proxy)
    }

    /// A lab whose box finds the proxy at its IPv6 address.
    ///
    /// # Panics
    /// Something does not start.
    #[must_use]
    pub fn with_ipv6(kind: Kind) -> Self {
        let inside = Network::dual(Engine::get());
        let Some(proxy) = inside.addr6(PROXY) else {
            unreachable!("the network is dual")
        };
        Self::on(inside, Network::public(Engine::get()), kind, proxy.into())
    }

    /// A lab whose box sits on `inside` and finds the proxy at `proxy` there.
    fn on(inside: Network, outside: Network, kind: Kind, proxy: IpAddr) -> Self {
        let engine = Engine::get();
        let clients = Network::internal(engine);
        let world = engine
            .kit("world")
            .on(&outside, WORLD)
            .arguments(["world", "--zone"])
            .arguments([format!("{WORLD_NAME}={}", outside.addr(WORLD))])
            .arguments([format!("--zone=*.{WORLD_NAME}={}", outside.addr(WORLD))])
            .start();
        world.wait_for_log(SOON, "listening on 0.0.0.0:53");
        let socks = Socks {
            kind,
            listen: SocketAddr::new(proxy, PROXY_PORT),
            from: IpAddr::V4(outside.addr(PROXY)),
            login: Some(Login {
                user: PROXY_USER.into(),
                password: PROXY_PASSWORD.into(),
            }),
        };
        let mut proxy = engine.kit("proxy").on(&inside, PROXY).on(&outside, PROXY);
        for (name, value) in socks.environment() {
            proxy = proxy.env(name, &value);
        }
        let proxy = proxy
            .option("--entrypoint", "sh")
            .arguments(["-c", &socks.script()])
            .start();
        let client = engine
            .kit("client")
            .on(&clients, CLIENT)
            .option("--entrypoint", "sleep")
            .arguments(["infinity"])
            .start();
        let lab = Self {
            proxy,
            world,
            client,
            inside,
            outside,
            clients,
            socks,
        };
        lab.wait_for_proxy();
        lab
    }

    /// Waits until the SOCKS server listens.
    ///
    /// # Panics
    /// It does not within half a minute.
    #[track_caller]
    pub fn wait_for_proxy(&self) {
        let listening = format!("ss -Hltn 'sport = :{PROXY_PORT}' | grep -q .");
        self.proxy
            .wait_inside(SOON, "the proxy to listen", &listening);
    }

    /// A box that leaves through the proxy, not yet started.
    #[must_use]
    pub fn a_box(&self) -> Spec {
        self.proxied(self.an_open_box())
    }

    fn proxied(&self, spec: Spec) -> Spec {
        spec.env("CIB_PROXY_URL", &self.socks.url())
            .env("CIB_DNS_SERVERS", &self.world_addr())
    }

    /// A box that knows of no proxy, for positive controls and for tests that name another.
    #[must_use]
    pub fn an_open_box(&self) -> Spec {
        self.authorized(
            Engine::get()
                .a_box()
                .on(&self.inside, BOX)
                .on(&self.clients, BOX),
        )
    }

    fn authorized(&self, spec: Spec) -> Spec {
        self.authorized_alone(spec).cap("NET_ADMIN")
    }

    /// Gives a box its token and the stand-in's address, and no capability.
    #[must_use]
    pub fn authorized_alone(&self, spec: Spec) -> Spec {
        let api = format!("http://{}:{API_PORT}", self.world_addr());
        spec.env("CIB_AUTH_TOKEN", TOKEN)
            .env("ANTHROPIC_BASE_URL", &api)
            .env("ANTHROPIC_API_KEY", API_KEY)
    }

    /// Speaks to the API of the box in this lab, from `client`.
    #[must_use]
    pub fn api(&self) -> BoxClient {
        let target = format!("{}:8080", self.clients.addr(BOX));
        let tunnel = [
            "docker",
            "exec",
            "--interactive",
            self.client.name(),
            "cib-testkit",
            "pipe",
        ];
        let mut tunnel: Vec<String> = tunnel.map(String::from).into();
        tunnel.push(target);
        BoxClient::through(tunnel, Some(TOKEN.into()))
    }

    /// Where `world` is.
    #[must_use]
    pub fn world_addr(&self) -> String {
        self.outside.addr(WORLD).to_string()
    }

    /// What the proxy's connections come from.
    #[must_use]
    pub fn proxy_outside(&self) -> IpAddr {
        self.socks.from
    }

    /// Where the box is on its network with the proxy.
    #[must_use]
    pub fn box_inside(&self) -> String {
        self.inside.addr(BOX).to_string()
    }

    /// Where the box finds the proxy, `ADDRESS:PORT`.
    #[must_use]
    pub fn proxy_inside(&self) -> SocketAddr {
        self.socks.listen
    }

    /// The proxy as `CIB_PROXY_URL`.
    #[must_use]
    pub fn proxy_url(&self) -> String {
        self.socks.url()
    }

    /// Everything that `world` was asked up to now. A request of the world to itself closes
    /// the list, since a container's log lags behind the container.
    ///
    /// # Panics
    /// That request does not appear in the log.
    #[track_caller]
    #[must_use]
    pub fn world_log(&self) -> Vec<Entry> {
        static FENCES: AtomicU32 = AtomicU32::new(0);
        let fence = format!("/fence-{}", FENCES.fetch_add(1, Ordering::Relaxed));
        let _page = self
            .world
            .sh(&format!("curl -sS --noproxy '*' http://127.0.0.1{fence}"));
        self.world.wait_for_log(SOON, &fence);
        let log = parse(&self.world.logs());
        log.into_iter()
            .filter(|entry| !entry.peer.ip().is_loopback())
            .collect()
    }

    /// The paths that `world`'s page server was asked for, as far as its log has come; for
    /// waiting until one is there.
    #[must_use]
    pub fn pages(&self) -> Vec<String> {
        let path = |entry: Entry| match entry.request {
            Request::Httpd { path, .. } => Some(path),
            Request::Api(_) | Request::Dns { .. } => None,
        };
        parse(&self.world.logs())
            .into_iter()
            .filter_map(path)
            .collect()
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

const PROXY: u8 = 2;
/// The place of the box in each of its networks.
pub const BOX: u8 = 3;
const CLIENT: u8 = 4;
const WORLD: u8 = 10;
