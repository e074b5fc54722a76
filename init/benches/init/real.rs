//! A box as it is used: with the real control, and behind a real proxy with the real resolver,
//! redsocks and rules. All of it is in network namespaces of its own.

use std::io::{BufRead, BufReader, PipeReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cib_protocol::init::BoxStatus;
use cib_testkit::netns::Netns;
use cib_testkit::process::Process;
use cib_testkit::socks::{Kind, Socks};

use crate::boxed::{Recipe, Running};
use crate::support::INIT;

/// Says what time it is and becomes init. The rules are made for the devices that sysfs shows.
const BEGIN: &str = "mount -t sysfs sysfs /sys\n\
                     printf 'exec at %s\\n' \"$EPOCHREALTIME\" >&2\n\
                     exec /opt/box/cib-init box\n";

const PROXY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The way out of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Proxy,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Direct, Self::Proxy];

    /// The services that run in such a box.
    fn services(self) -> &'static [&'static str] {
        match self {
            Self::Direct => &["control"],
            Self::Proxy => &["resolver", "redsocks", "control"],
        }
    }
}

/// A cable to a proxy, which is all that there is outside of the box.
struct Network {
    inside: Netns,
    proxy: Socks,
    _server: Process,
    _far: Netns,
}

impl Network {
    fn new() -> Self {
        let (inside, far) = (Netns::new().unwrap(), Netns::new().unwrap());
        inside
            .join("198.51.100.2/24", &far, "198.51.100.1/24", "eth0")
            .unwrap();
        inside
            .ip(&format!("route add default via {PROXY}"))
            .unwrap();
        let proxy = Socks {
            kind: Kind::Microsocks,
            listen: (PROXY, 1080).into(),
            from: PROXY.into(),
            login: None,
        };
        let server = proxy.start(&far).unwrap();
        Self {
            inside,
            proxy,
            _server: server,
            _far: far,
        }
    }
}

/// A healthy box.
pub(crate) struct Real {
    pub(crate) running: Running,
    /// From the exec of init to the first health check that it passes.
    pub(crate) took: Duration,
    /// What it shows of itself.
    pub(crate) status: BoxStatus,
    _said: BufReader<PipeReader>,
    _recipe: Recipe,
    _network: Option<Network>,
}

impl Real {
    /// Starts one, and waits until it is healthy.
    pub(crate) fn start(way: Way) -> Self {
        let mut recipe = Recipe::new();
        for name in ["cib-control", "cib-resolver"] {
            let built = Path::new(INIT).with_file_name(name);
            std::fs::copy(&built, recipe.folder("bin").join(name))
                .unwrap_or_else(|error| panic!("{}: {error}; build it first", built.display()));
        }
        let network = (way == Way::Proxy).then(Network::new);
        if let Some(network) = &network {
            recipe.set("CIB_PROXY_URL", &network.proxy.url());
        }
        let (read, write) = std::io::pipe().unwrap();
        recipe.stdout(write.into());
        let words = ["bash", "-c", BEGIN];
        let mut running = match &network {
            None => recipe.start_with(&words),
            Some(network) => {
                let option = format!("--net={}", network.inside.path());
                recipe.start_in(&["nsenter", &option], &words)
            }
        };
        // Found before it is needed: looking for it takes longer than some boots.
        running.pid();
        let mut said = BufReader::new(read);
        let mut lines = String::new();
        while !lines.contains("the box is up after ") {
            let count = said.read_line(&mut lines).unwrap();
            assert!(count > 0, "{lines}{}", running.said());
        }
        running.wait_until_up();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        running.says("exec at ");
        let status = running.status().unwrap();
        let ready = |name: &&str| {
            let mut all = status.services.iter();
            all.any(|service| service.name == **name && service.state == "ready")
        };
        assert!(way.services().iter().all(ready), "{status:?}");
        Self {
            took: now - began(&running.said()),
            running,
            status,
            _said: said,
            _recipe: recipe,
            _network: network,
        }
    }
}

/// When it was that [`BEGIN`] said.
fn began(said: &str) -> Duration {
    let time = said.split("exec at ").nth(1).unwrap();
    let seconds: f64 = time.lines().next().unwrap().parse().unwrap();
    Duration::from_secs_f64(seconds)
}
