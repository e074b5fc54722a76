//! Real keepers of the real Claude Code, which speaks to a stand-in for the Messages API.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cib_protocol::secret::Secret;
use cib_protocol::session::SessionSpec;
use cib_testkit::api::StandIn;
use cib_testkit::process::Process;

/// How long a keeper may take until it is ready.
const SOON: Duration = Duration::from_secs(30);

/// What starts keepers where a false init would play them. Those that it started end with it.
pub struct Real {
    api: StandIn,
    claude: PathBuf,
    home: PathBuf,
    keepers: Vec<Process>,
}

impl Real {
    /// The Claude that `CIB_TEST_CLAUDE` names, with a home of its own in a folder.
    pub fn new(home: PathBuf) -> Self {
        let claude = std::env::var_os("CIB_TEST_CLAUDE").expect("CIB_TEST_CLAUDE names Claude");
        fs::create_dir_all(&home).unwrap();
        Self {
            api: StandIn::start().unwrap(),
            claude: claude.into(),
            home,
            keepers: Vec::new(),
        }
    }

    /// Starts a keeper, and waits until it is ready; its process id.
    pub fn start(&mut self, data: &Path, runtime: &Path, spec: &SessionSpec) -> u32 {
        let name = spec.id.to_string();
        let dir = data.join("sessions").join(&name);
        let sockets = runtime.join("sessions").join(&name);
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&sockets).unwrap();
        let mut spec = spec.clone();
        for (name, value) in [
            ("ANTHROPIC_BASE_URL", self.api.base_url()),
            (
                "ANTHROPIC_API_KEY",
                "sk-ant-api03-a-key-for-tests-alone-000000000000".to_owned(),
            ),
        ] {
            spec.env.insert(name.to_owned(), Secret::new(value));
        }
        let told = self.home.join("spec.json");
        fs::write(&told, serde_json::to_vec(&spec).unwrap()).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_cib-control")).with_file_name("cib-session");
        assert!(
            program.exists(),
            "cargo build --workspace --bins makes {}",
            program.display()
        );
        // Nothing but its readiness is to come by the pipe that is read.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$@" 3>&1 >>"$HOME/keeper.log" 2>&1"#, "sh"])
            .arg(program);
        // As init starts it; above all without the proxy of the machine that runs the tests.
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .arg("run")
            .arg("--dir")
            .arg(&dir)
            .arg("--runtime")
            .arg(&sockets)
            .arg("--claude")
            .arg(&self.claude)
            .args(["--ready-fd", "3"])
            .stdin(Stdio::from(fs::File::open(&told).unwrap()));
        let mut keeper = Process::spawn(command).unwrap();
        keeper.wait_for_output(SOON, "\n");
        let pid = keeper.pid();
        self.keepers.push(keeper);
        pid
    }

    /// How often the model was asked something.
    pub fn asked(&self) -> usize {
        self.api.requests().len()
    }
}
