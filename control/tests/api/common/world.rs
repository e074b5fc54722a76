//! A box for one test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cib_control::app::App;
use cib_control::config::Config;
use cib_control::http::limits::Limits;
use cib_control::http::listen::{self, Listen};
use cib_control::http::server;
use cib_control::options::Options;
use cib_control::publish::gate;
use cib_control::run;
use cib_protocol::init::ControlAuth;
use cib_protocol::session::SessionSpec;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::client::Client;
use super::init::{self, State};
use super::keeper::{self, Keeper};

/// The master token of every test.
pub const MASTER: &str = "correct-horse-battery-staple";

/// Bytes that very many files may take.
const ROOM: u64 = 512 << 20;

/// Directories, a false init, and the options to run a server on them.
pub struct World {
    dir: TempDir,
    init: Option<Arc<Mutex<State>>>,
    pub limits: Limits,
    pub options: Options,
}

impl World {
    /// A box whose init is willing.
    pub fn new() -> Self {
        let mut world = Self::without_init();
        world.init = Some(init::start(&world.data(), &world.runtime()));
        world
    }

    /// A box whose init does not listen.
    pub fn without_init() -> Self {
        Self::inside(tempfile::tempdir().unwrap())
    }

    /// A box with very many files, whose init does not listen: in memory, if there is room.
    pub fn with_many_files() -> Self {
        const MEMORY: &str = "/dev/shm";
        let has_room = nix::sys::statvfs::statvfs(MEMORY)
            .is_ok_and(|found| found.blocks_available() * found.fragment_size() >= ROOM);
        let dir = has_room.then(|| tempfile::tempdir_in(MEMORY).ok());
        Self::inside(
            dir.flatten()
                .unwrap_or_else(|| tempfile::tempdir().unwrap()),
        )
    }

    fn inside(dir: TempDir) -> Self {
        let world = Self {
            dir,
            init: None,
            limits: Limits::default(),
            options: Options::default(),
        };
        std::fs::create_dir_all(world.data().join("sessions")).unwrap();
        std::fs::create_dir_all(world.runtime().join("sessions")).unwrap();
        std::fs::create_dir_all(world.workspace()).unwrap();
        world.write_auth(&ControlAuth {
            master_sha256: Some(
                Sha256::digest(MASTER)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            ),
            ..ControlAuth::default()
        });
        world
    }

    pub fn write_auth(&self, auth: &ControlAuth) {
        std::fs::write(self.auth(), serde_json::to_vec(auth).unwrap()).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn runtime(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn workspace(&self) -> PathBuf {
        self.dir.path().join("workspace")
    }

    pub fn auth(&self) -> PathBuf {
        self.dir.path().join("auth.json")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What init knows.
    pub fn init(&self) -> MutexGuard<'_, State> {
        self.init.as_ref().unwrap().lock().unwrap()
    }

    /// A running session that nobody asked init for.
    pub fn keeper(&self) -> Keeper {
        self.keeper_of(&keeper::spec())
    }

    pub fn keeper_of(&self, spec: &SessionSpec) -> Keeper {
        Keeper::start(&self.data(), &self.runtime(), spec)
    }

    pub fn config(&self) -> Config {
        let options = Options {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(self.data()),
            runtime_dir: Some(self.runtime()),
            auth: Some(self.auth()),
            workdir_roots: vec![self.workspace()],
            ..self.options.clone()
        };
        let mut config = Config::load(options, |_| None).unwrap();
        // Short, so that a lost wake-up would show as a failure and not as a delay.
        config.heartbeat = config.heartbeat.max(Duration::from_secs(3600));
        config
    }

    /// Serves the box.
    pub fn serve(&self) -> Server {
        self.serve_with(&self.config())
    }

    pub fn serve_with(&self, config: &Config) -> Server {
        let app = run::assemble(config).unwrap();
        let listener = listen::bind(Listen::Address("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.local_addr().unwrap();
        app.tasks.api.set(address).unwrap();
        let watching = tokio::spawn(Arc::clone(&app).watch());
        let going_on = Arc::clone(&app);
        tokio::spawn(async move { cib_control::tasks::store::revive(&going_on).await });
        let mut background = vec![watching.abort_handle()];
        if app.publisher.is_open() {
            let gits = listen::local(app.publisher.socket()).unwrap();
            let app = Arc::clone(&app);
            let serving = tokio::spawn(async move { gate::serve(gits, app).await.unwrap() });
            // Else it takes the socket from a control that comes after this one.
            background.push(serving.abort_handle());
        }
        tokio::spawn(cib_control::notices::run(Arc::clone(&app)));
        if let Some(bridge) = run::bridge(config, &app) {
            tokio::spawn(bridge);
        }
        let records = listen::bind(Listen::Address("127.0.0.1:0".parse().unwrap())).unwrap();
        let records_address = records.local_addr().unwrap();
        let serving = server::serve(listener, Some(records), Arc::clone(&app), self.limits);
        let serving = tokio::spawn(serving);
        Server {
            app,
            address,
            records: records_address,
            serving: Some(serving),
            background,
        }
    }
}

/// A server in the test's own process.
pub struct Server {
    pub app: Arc<App>,
    pub address: SocketAddr,
    /// Where devices speak without HTTP.
    pub records: SocketAddr,
    serving: Option<JoinHandle<bool>>,
    background: Vec<tokio::task::AbortHandle>,
}

impl Server {
    /// A client with the master token.
    pub fn client(&self) -> Client {
        Client::new(self.address).with_token(MASTER)
    }

    /// A client without a token.
    pub fn stranger(&self) -> Client {
        Client::new(self.address)
    }

    /// Ends in order; returns whether everybody went in time.
    pub async fn end(&mut self) -> bool {
        self.app.begin_shutdown();
        super::soon(self.serving.take().unwrap()).await.unwrap()
    }
}

impl Server {
    /// Ends at once, as a process does that is killed.
    pub fn stop(&mut self) {
        self.background
            .iter()
            .for_each(tokio::task::AbortHandle::abort);
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
