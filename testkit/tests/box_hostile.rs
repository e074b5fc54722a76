//! The agent as the adversary, in the real image behind a real proxy: everything that it can
//! try with its own rights, while somebody else's Claude has a session. The table is printed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use cib_testkit::attack::{Aim, Cage, Matrix};
use cib_testkit::client::{BoxClient, Frame};
use cib_testkit::engine::Container;
use cib_testkit::lab::{Lab, PROGRAM, PROXY_PASSWORD, TOKEN};
use cib_testkit::wait::{wait_for, wait_until};

const BOOT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// An answer that takes longer is a box that hangs. Most of it is the engine's own time.
const AT_MOST: Duration = Duration::from_secs(6);

/// A box in its lab, with the victim's session.
struct Caged<'a> {
    cage: &'a Container,
    api: BoxClient,
    session: String,
    /// The victim's record as it was, in bytes and as a digest of them.
    record: (u64, String),
    is_well: bool,
}

impl<'a> Caged<'a> {
    fn new(lab: &Lab, cage: &'a Container) -> Self {
        let api = lab.api();
        let session = api.open("@text A word that stands in the record.");
        let mut events = api.events(&session, 0).unwrap();
        let _ = events.until(SOON, Frame::is_stop);
        drop(events);
        let mut caged = Self {
            cage,
            api,
            session,
            record: (0, String::new()),
            is_well: true,
        };
        let size = format!("stat -c %s {}", caged.journal());
        let size = cage.sh(&size).trim().parse().unwrap();
        caged.record = (size, caged.digest(size));
        caged
    }

    fn journal(&self) -> String {
        format!(
            "/var/lib/claude-in-box/sessions/{}/transcript.jsonl",
            self.session
        )
    }

    /// A digest of the record's first bytes. Once, the engine's own process was gone before it
    /// became the command; that says nothing about the record, so it is read again. Whether the
    /// box answers is asked before, and once.
    fn digest(&self, bytes: u64) -> String {
        let script = format!("head -c {bytes} {} | sha256sum", self.journal());
        wait_for(SOON, "the record to be read", || {
            let ran = self.cage.exec(&["sh", "-c", &script]);
            (ran.code == 0).then_some(ran.stdout)
        })
    }

    fn aim(&self) -> Aim {
        Aim {
            data: "/var/lib/claude-in-box".into(),
            run: "/run/cib".into(),
            session: self.session.clone(),
            port: 8080,
            secret_files: Vec::new(),
            secrets: vec![TOKEN.to_owned(), PROXY_PASSWORD.to_owned()],
        }
    }
}

impl Cage for Caged<'_> {
    fn as_agent(&mut self, words: &[String]) -> Command {
        let mut command = Command::new("docker");
        command
            .args(["exec", "--interactive", "--user", "root"])
            .args(["--workdir", "/workspace", self.cage.name()])
            .args([
                "setpriv",
                "--reuid=coder",
                "--regid=coder",
                "--clear-groups",
            ])
            .args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"])
            // The engine gives what it starts the container's own variables, init gives none.
            .args(["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin"])
            .args(["HOME=/home/coder", PROGRAM])
            .args(words);
        command
    }

    fn harm(&mut self) -> Vec<String> {
        let mut harm = Vec::new();
        let began = Instant::now();
        let health = self.cage.exec(&["cib-init", "healthcheck"]);
        if self.is_well && health.code != 0 {
            harm.push(format!("health: {}{}", health.stdout, health.stderr));
        }
        match self.api.get(&format!("/api/sessions/{}", self.session)) {
            Ok(reply) if reply.status == 200 && reply.json()["state"] == "idle" => {}
            other => harm.push(format!("the session: {other:?}")),
        }
        if began.elapsed() > AT_MOST {
            harm.push(format!("the box took {:?} to answer", began.elapsed()));
        }
        let (bytes, digest) = &self.record;
        if self.digest(*bytes) != *digest {
            harm.push("the victim's record was changed".to_owned());
        }
        harm
    }
}

#[test]
fn nothing_that_the_agent_tries_changes_anything_beyond_its_own_session() {
    let lab = Lab::new();
    let cage = lab.a_box().create();
    cage.copy_from(&lab.client, "/usr/bin/cib-testkit", "/opt");
    cage.start_again();
    cage.wait_healthy(BOOT);
    let mut caged = Caged::new(&lab, &cage);
    let aim = caged.aim();
    let mut matrix = Matrix::default();
    matrix.column("up", &mut caged, &aim);

    lab.proxy.stop(Duration::ZERO);
    wait_until(SOON, "the box to miss its proxy", || {
        cage.sh("cib-init status --json || true")
            .contains("degraded")
            || cage.exec(&["cib-init", "healthcheck"]).code != 0
    });
    caged.is_well = false;
    matrix.column("without its proxy", &mut caged, &aim);

    // Past the harness's capture: the table is wanted from a run that passes as well.
    std::io::stderr()
        .write_all(matrix.table().as_bytes())
        .unwrap();
    assert!(matrix.effects().is_empty(), "{:#?}", matrix.effects());
}
