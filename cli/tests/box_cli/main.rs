//! `cib` against a real engine, real boxes of the headless image, the real git, and the stand-in
//! for the Messages API.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod attached;
mod clouds;
mod hostile;
mod large;
mod life;
mod offload;
mod pushes;
mod remote;
mod rootless;
mod runner;
#[path = "../schema/mod.rs"]
mod schema;
mod shapes;
mod stage;

use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Network};
use cib_testkit::wait::wait_until;
use serde_json::Value;

use stage::Stage;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_dirty_repository_arrives_as_it_is_and_what_claude_commits_comes_back() {
    let stage = Stage::new();
    stage.make_dirty();
    let before = stage.status();
    let prompt = "@bash cd /workspace && printf 'made\\n' > made.txt && git add made.txt && git commit -qm 'From the box' made.txt\n@text Done.";
    let started = stage.json(&["start", "--json", "--", prompt]);
    let name = started["name"].as_str().unwrap();
    let branch = started["branch"].as_str().unwrap();
    assert!(branch.starts_with("claude/20"), "{branch}");
    assert!(
        started["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );

    // As it was outside, before Claude has done anything: what it commits is one more file.
    wait_until(SOON, "Claude's commit", || {
        stage.inside(name, "git log -1 --format=%s").trim() == "From the box"
    });
    let inside = stage.inside(name, "git status --porcelain=v2 --untracked-files=all");
    assert_eq!(inside, before);
    assert_eq!(stage.status(), before, "the repository outside has changed");
    assert_eq!(
        stage.inside(name, "git branch --show-current").trim(),
        branch
    );
    assert_eq!(stage.inside(name, "git log --format=%s").lines().count(), 3);

    // A turn that takes its time is waited for, and not for longer than was said.
    let slow = "@bash timeout 3 tail -f /dev/null; true\n@text At last.";
    let late = stage.cib(&["ask", "--box", name, "--time", "1", slow]);
    assert_eq!(late.code, 1, "{}", late.stdout);
    assert!(late.stderr.contains("within 1 s"), "{}", late.stderr);
    wait_until(SOON, "the turn's end", || {
        let status = stage.json(&["status", name, "--json"]);
        status["all_sessions"][0]["state"] == "idle"
    });
    let asked = stage.json(&["ask", "--box", name, "--json", "@text Forty-two."]);
    assert_eq!(asked["text"], "Forty-two.", "{asked}");
    let said = stage.good(&["logs", name, "--session", "last"]);
    for words in ["> @text Forty-two.\nForty-two.\n", "    Bash (ok"] {
        assert!(said.contains(words), "{said}");
    }
    let last = stage.good(&["logs", name, "--session", "last", "-n", "1"]);
    assert_eq!(last, "Forty-two.\n");
    let status = stage.json(&["status", name, "--json"]);
    assert_eq!(status["all_sessions"][0]["state"], "idle", "{status}");
    assert_eq!(stage.good(&["list", "-q"]).trim(), name);

    let listed = stage.json(&["list", "--json"]);
    assert_eq!(listed[0]["name"], name);
    assert_eq!(listed[0]["commits"], 1, "{listed}");
    assert_eq!(listed[0]["branch"], branch);
    let changed = before.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(listed[0]["uncommitted"], changed, "{listed}");
    assert!(listed[0]["memory"].as_u64() > Some(1 << 20), "{listed}");
    let schema = stage.json(&["list", "--schema"]);
    assert_eq!(schema::faults(&schema, &listed), [""; 0], "{listed}");
    let shown = stage.good(&["list"]);
    assert!(
        shown.contains("MEMORY") && shown.contains(" MiB"),
        "{shown}"
    );

    let fetched = stage.json(&["fetch", name, "--json"]);
    let new = fetched["branches"][0]["new"].as_str().unwrap();
    assert_eq!(
        new,
        stage.inside(name, "git rev-parse HEAD").trim(),
        "the ids differ"
    );
    let diff = stage.good(&["diff", name]);
    assert!(
        diff.contains("+made") && diff.contains("made.txt"),
        "{diff}"
    );

    let applied = stage.json(&["apply", name, "--json"]);
    assert_eq!(applied["commit"], new);
    assert_eq!(stage.git(&["rev-parse", branch]).trim(), new);
    assert_eq!(stage.status(), before, "apply has changed a file");
}

#[test]
fn no_secret_is_in_what_the_engine_tells_or_in_what_the_agent_can_read() {
    let stage = Stage::new();
    let name = stage.start(&[
        "--env",
        "ANTHROPIC_AUTH_TOKEN=auth-token-of-the-test",
        "--env",
        "PLAIN=seen",
    ]);
    let told = stage.docker(&["inspect", &name]);
    let token = std::fs::read_to_string(stage.state(&name).join("token")).unwrap();
    for secret in [token.as_str(), "auth-token-of-the-test", stage::API_KEY] {
        assert!(
            !told.contains(secret),
            "a secret is in what the engine tells"
        );
    }
    assert!(told.contains("PLAIN=seen"));
    let listed = stage.docker(&[
        "exec",
        &name,
        "stat",
        "-c",
        "%U %a",
        "/run/secrets/auth_token",
    ]);
    assert_eq!(listed.trim(), "root 400");
    let read = stage.cib(&["exec", &name, "cat", "/run/secrets/auth_token"]);
    assert_ne!(read.code, 0, "{}", read.stdout);
    assert_eq!(read.stdout, "");
    // What is lost here is found in the box again.
    std::fs::remove_dir_all(stage.state(&name)).unwrap();
    let tokens = stage.json(&["tokens", &name, "--json"]);
    assert_eq!(tokens, Value::Array(Vec::new()));
    assert_eq!(
        std::fs::read_to_string(stage.state(&name).join("token")).unwrap(),
        token
    );
}

#[test]
fn a_box_with_work_that_is_nowhere_else_is_not_cleaned_away() {
    let stage = Stage::new();
    stage.make_dirty();
    let name = stage.start(&[]);
    let running = stage.cib(&["rm", &name]);
    assert_eq!(running.code, 1, "{}", running.stderr);
    stage.inside(
        &name,
        "echo x > x && git add x && git commit -qm x && echo y > y",
    );
    stage.good(&["stop", &name]);
    let refused = stage.cib(&["clean"]);
    assert_eq!(refused.code, 1);
    for words in ["branch claude/", "not committed"] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    stage.good(&["fetch", &name]);
    let refused = stage.cib(&["rm", &name]);
    assert!(
        refused.stderr.contains("not committed"),
        "{}",
        refused.stderr
    );
    stage.good(&["diff", &name, "--wip"]);
    stage.good(&["clean"]);
    assert_eq!(stage.good(&["list", "-a", "--names"]), "");
    let volumes = stage.docker(&["volume", "ls", "-q", "--filter", &format!("name={name}-")]);
    assert_eq!(volumes, "");
    let kept = stage.git(&["log", "-1", "--format=%s", &format!("refs/cib/{name}/wip^")]);
    assert_eq!(kept.trim(), "x");
}

#[test]
fn a_box_that_nobody_has_worked_in_goes_with_what_came_from_here() {
    let stage = Stage::new();
    stage.make_dirty();
    let name = stage.start(&[]);
    stage.good(&["stop", &name]);
    stage.good(&["rm", &name]);
    assert!(!stage.state(&name).exists());
}

#[test]
fn a_setup_command_sees_the_repository_and_one_that_fails_ends_with_78_and_leaves_nothing() {
    let stage = Stage::new();
    stage.write(
        "cib.toml",
        "setupCommands = [\"test -f tracked.txt && echo prepared > prepared.txt\"]\n",
    );
    let name = stage.start(&[]);
    assert_eq!(stage.inside(&name, "cat prepared.txt").trim(), "prepared");
    stage.good(&["rm", "--force", &name]);
    stage.write(
        "cib.toml",
        "setupCommands = [\"echo the cause is here; exit 7\"]\n",
    );
    let failed = stage.cib(&["start", "--name", "failing"]);
    assert_eq!(failed.code, 78, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("the cause is here"),
        "{}",
        failed.stderr
    );
    assert_eq!(
        stage.docker(&["ps", "-aq", "--filter", "name=^failing$"]),
        ""
    );
    assert_eq!(
        stage.docker(&["volume", "ls", "-q", "--filter", "name=failing-"]),
        ""
    );
    assert!(!stage.state("failing").exists());
}

#[test]
fn commands_and_copies_have_the_agents_rights_and_not_the_containers() {
    let stage = Stage::new();
    let name = stage.start(&[]);
    let ran = stage.cib(&[
        "exec",
        &name,
        "--",
        "sh",
        "-c",
        "id -un; grep CapBnd /proc/self/status; env; exit 7",
    ]);
    assert_eq!(ran.code, 7);
    assert!(
        ran.stdout.starts_with("coder\nCapBnd:\t0000000000000000\n"),
        "{}",
        ran.stdout
    );
    assert!(
        !ran.stdout.contains("CIB_AUTH_TOKEN_FILE"),
        "{}",
        ran.stdout
    );

    for (user, restricted) in [("coder", true), ("root", false), ("cib-keeper", false)] {
        let words = [
            "exec",
            "-u",
            user,
            &name,
            "sh",
            "-c",
            "id -un; grep CapBnd /proc/self/status",
        ];
        let ran = stage.good(&words);
        assert!(ran.starts_with(&format!("{user}\n")), "{ran}");
        assert_eq!(
            ran.contains("CapBnd:\t0000000000000000"),
            restricted,
            "{ran}"
        );
    }

    let words = ["exec", "-w", "/tmp", "-e", "GIVEN=a b", &name, "sh", "-c"];
    let ran = stage.good(&[&words[..], &["pwd; echo \"$GIVEN\""]].concat());
    assert_eq!(ran, "/tmp\na b\n");

    stage.write("folder/a.txt", "there");
    stage.good(&["cp", "folder", &format!("{name}:copied")]);
    assert_eq!(stage.inside(&name, "cat copied/a.txt"), "there");
    stage.inside(
        &name,
        "mkdir out && echo back > out/b.txt && ln -s b.txt out/c",
    );
    stage.good(&["cp", &format!("{name}:out"), "."]);
    assert_eq!(stage.read("out/c"), "back\n");
    // A link of the agent's leads no further than the agent itself gets.
    stage.inside(
        &name,
        "ln -s /etc/claude-in-box trap && ln -s /run/secrets keys",
    );
    let into = stage.cib(&["cp", "folder/a.txt", &format!("{name}:trap/a.txt")]);
    assert_ne!(into.code, 0);
    let from = stage.cib(&["cp", &format!("{name}:keys/auth_token"), "stolen"]);
    assert_ne!(from.code, 0);
    assert!(!stage.path("stolen").exists());
}

#[test]
fn boxes_that_are_started_at_once_have_names_branches_and_volumes_of_their_own() {
    // Two persons on one engine, whose repositories have the same name.
    let (one, other) = (Stage::new(), Stage::new());
    other.write("other.txt", "other\n");
    let names: Vec<String> = std::thread::scope(|scope| {
        let starts = [&one, &one, &other].map(|stage| scope.spawn(|| stage.start(&["--shell"])));
        starts.map(|start| start.join().unwrap()).into()
    });
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{names:?}");
    }
    let branches = one.json(&["list", "--json"]);
    assert_eq!(branches.as_array().unwrap().len(), 2);
    assert_ne!(branches[0]["branch"], branches[1]["branch"]);
    assert_ne!(branches[0]["port"], branches[1]["port"]);
    assert_eq!(other.inside(&names[2], "cat other.txt"), "other\n");
    // A name that is taken is refused, and whose it is loses nothing.
    let refused = other.cib(&["start", "--shell", "--name", &names[0]]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert_eq!(
        one.inside(&names[0], "git log --format=%s").lines().count(),
        2
    );
}

/// What only a proxy reaches: the stand-in for the model, at an address that is not private.
struct Beyond {
    world: Container,
    proxy: Container,
    /// A file with the proxy's URL.
    file: String,
    /// The proxy's URL itself.
    url: String,
    /// Where the stand-in is.
    api: String,
    /// Goes when nobody is in it any more.
    _outside: Network,
}

/// What a proxy asks for that is not for everybody.
const LOGIN: &str = "user:secret-of-the-proxy@";

impl Beyond {
    /// With a proxy that asks for [`LOGIN`], or for nothing.
    fn of(stage: &Stage, login: &str) -> Self {
        let outside = Network::public(Engine::get());
        let world = Engine::get()
            .kit("world")
            .on(&outside, 2)
            .arguments(["api", "--listen", "0.0.0.0:8000"])
            .start();
        let proxy = Engine::get()
            .kit("proxy")
            .on(&outside, 3)
            .option("--entrypoint", "microsocks")
            .arguments(
                if login.is_empty() {
                    &["-p", "1080"][..]
                } else {
                    &["-u", "user", "-P", "secret-of-the-proxy", "-p", "1080"]
                }
                .iter()
                .copied(),
            )
            .start();
        stage.docker(&["network", "connect", "bridge", proxy.name()]);
        let addr = proxy.inspect("{{.NetworkSettings.Networks.bridge.IPAddress}}");
        let file = stage.home().join("proxy-url");
        let url = format!("socks5://{login}{addr}:1080");
        std::fs::write(&file, format!("{url}\n")).unwrap();
        Self {
            world,
            proxy,
            file: file.to_str().unwrap().to_owned(),
            url,
            api: format!("http://{}:8000", outside.addr(2)),
            _outside: outside,
        }
    }
}

#[test]
fn with_a_proxy_nothing_leaves_but_through_it_and_its_url_is_seen_by_nobody() {
    let stage = Stage::new();
    let beyond = Beyond::of(&stage, LOGIN);
    let base = format!("ANTHROPIC_BASE_URL={}", beyond.api);
    let started = stage.json(&[
        "start",
        "--json",
        "--single",
        "--proxy-file",
        &beyond.file,
        "--env",
        &base,
        "--",
        "@text Through the proxy.",
    ]);
    let name = started["name"].as_str().unwrap();
    let told = stage.docker(&["inspect", name]);
    assert!(!told.contains("secret-of-the-proxy"));
    wait_until(SOON, "a request of the model's", || {
        beyond.world.logs().contains("/v1/messages")
    });
    drop(beyond.proxy);
    let blocked = stage.cib(&["exec", name, "curl", "-sS", "--max-time", "5", &beyond.api]);
    assert_ne!(blocked.code, 0, "{}", blocked.stdout);
    let rules = stage.cib(&["exec", name, "nft", "list", "ruleset"]);
    assert_ne!(rules.code, 0, "{}", rules.stdout);
    assert!(rules.stderr.contains("not permitted"), "{}", rules.stderr);
}

#[test]
fn one_container_and_a_proxy_of_the_command_line_hold_what_they_promise() {
    let stage = Stage::new();
    let beyond = Beyond::of(&stage, "");
    stage.write("cib.toml", "hardened = true\n");
    let base = format!("ANTHROPIC_BASE_URL={}", beyond.api);
    let started = stage.json(&[
        "start",
        "--json",
        "--single",
        "--proxy",
        &beyond.url,
        "--env",
        &base,
        "--",
        "@text Through the proxy.",
    ]);
    let name = started["name"].as_str().unwrap();
    let filter = format!("name=^{name}");
    let made = stage.docker(&["ps", "-aq", "--filter", &filter]);
    assert_eq!(made.lines().count(), 1, "{made}");
    wait_until(SOON, "a request of the model's", || {
        beyond.world.logs().contains("/v1/messages")
    });
    let rules = stage.cib(&["exec", name, "nft", "list", "ruleset"]);
    assert_ne!(rules.code, 0, "{}", rules.stdout);
    let rules = stage.docker(&["exec", name, "nft", "list", "ruleset"]);
    assert!(rules.contains("drop"), "{rules}");
}

#[test]
fn with_a_holder_not_even_root_in_the_box_changes_the_rules_and_both_come_and_go_together() {
    let stage = Stage::new();
    let beyond = Beyond::of(&stage, LOGIN);
    let refused = stage.cib(&["start", "--hardened"]);
    assert_eq!(refused.code, 78, "{}", refused.stderr);
    let base = format!("ANTHROPIC_BASE_URL={}", beyond.api);
    let started = stage.json(&[
        "start",
        "--json",
        "--proxy-file",
        &beyond.file,
        "--env",
        &base,
        "--",
        "@text Held.",
    ]);
    let name = started["name"].as_str().unwrap();
    let holder = format!("{name}-egress");
    wait_until(SOON, "a request of the model's", || {
        beyond.world.logs().contains("/v1/messages")
    });
    let told = stage.docker(&["inspect", name, &holder]);
    assert!(!told.contains("secret-of-the-proxy"));
    for attempt in [
        &["nft", "flush", "ruleset"][..],
        &["cat", "/run/secrets/proxy_url"],
    ] {
        let ran = stage.cib(&[&["exec", "--root", name][..], attempt].concat());
        assert_ne!(ran.code, 0, "{attempt:?}: {}", ran.stdout);
    }
    stage.good(&["stop", name]);
    let running = stage.docker(&["ps", "-q", "--filter", &format!("name=^{name}")]);
    assert_eq!(running, "");
    stage.good(&["start", "--again", name]);
    assert_eq!(stage.inside(name, "git log --format=%s").lines().count(), 2);
    // An engine that ends ends both. It brings neither back, so that no box is up before its
    // holder; and nobody else brings back the one without the other.
    stage.docker(&["kill", name, &holder]);
    let policies = "{{.HostConfig.RestartPolicy.Name}}";
    let policies = stage.docker(&["inspect", "--format", policies, name, &holder]);
    assert!(
        policies.lines().all(|policy| matches!(policy, "" | "no")),
        "{policies}"
    );
    let alone = Engine::get().run(&["start", name]);
    assert!(!alone.status.success(), "the box is up without its holder");
    stage.good(&["start", "--again", name]);
    let rules = stage.docker(&["exec", &holder, "nft", "list", "ruleset"]);
    assert!(rules.contains("drop"), "{rules}");
    stage.good(&["rm", "--force", name]);
    let filter = format!("name={name}");
    assert_eq!(stage.docker(&["ps", "-aq", "--filter", &filter]), "");
    assert_eq!(
        stage.docker(&["volume", "ls", "-q", "--filter", &filter]),
        ""
    );
}

#[test]
fn a_box_without_pages_says_what_to_do_instead_and_its_address_alone_opens_nothing() {
    let stage = Stage::new();
    let started = stage.json(&["start", "--shell", "--json"]);
    let name = started["name"].as_str().unwrap().to_owned();
    let ran = stage.cib(&["open", &name]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains(&format!("cib attach {name}")),
        "{}",
        ran.stderr
    );
    // Another user of this machine finds the port, and does not have the token.
    let address = format!("{}/api/shells", started["url"].as_str().unwrap());
    let token = stage.state(&name).join("token");
    let asked = |more: &[&str]| {
        let words = [
            "--reuid",
            "65534",
            "--clear-groups",
            "curl",
            "-sS",
            "-m",
            "20",
        ];
        let status = ["-o", "/dev/null", "-w", "%{http_code}", &address];
        stage.run("setpriv", &[&words[..], more, &status].concat())
    };
    let header = |token: &str| format!("Authorization: Bearer {token}");
    assert_eq!(asked(&[]), "401");
    assert_eq!(asked(&["-H", &header("a-token-that-is-none")]), "401");
    assert_eq!(
        asked(&["-H", &header(&std::fs::read_to_string(&token).unwrap())]),
        "200"
    );
    let mut reads = stage.command("setpriv");
    reads
        .args(["--reuid", "65534", "--clear-groups", "cat"])
        .arg(&token);
    assert_ne!(Stage::finish(reads).code, 0, "another user reads the token");
}

#[test]
fn what_a_repositorys_file_sets_for_the_box_changes_nothing_of_the_engines_program() {
    let stage = Stage::new();
    stage.write("cib.toml", "[environment]\nPATH = \"/nowhere\"\nDOCKER_HOST = \"unix:///nowhere\"\nSEEN = \"a = b # c\"\n");
    let name = stage.start(&["--shell"]);
    let told = stage.docker(&["inspect", "--format", "{{json .Config.Env}}", &name]);
    for words in ["DOCKER_HOST=unix:///nowhere", "SEEN=a = b # c"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn no_program_that_the_agent_writes_runs_as_root_whatever_the_boxs_path_is() {
    let stage = Stage::new();
    stage.write(
        "cib.toml",
        "[environment]\nPATH = \"/workspace/bin:/usr/local/bin:/usr/bin:/bin\"\n",
    );
    std::fs::create_dir(stage.path("bin")).unwrap();
    for program in ["cat", "cib-init", "env", "id", "sh", "sleep"] {
        let file = format!("bin/{program}");
        stage.write(
            &file,
            &format!(
                "#!/bin/sh\n: >/tmp/ran-as-$(/usr/bin/id -u)\nexec /usr/bin/{program} \"$@\"\n"
            ),
        );
        stage.run("chmod", &["0755", &file]);
    }
    stage.git(&["add", "bin"]);
    stage.git(&["commit", "-qm", "programs"]);
    // A start waits for the health check, which is the engine's.
    let name = stage.start(&["--shell"]);
    stage.good(&["exec", &name, "id"]);
    stage.good(&["exec", "--user", "root", &name, "id"]);
    stage.good(&["fetch", &name]);
    stage.good(&["status", &name]);
    let ran = || stage.docker(&["exec", &name, "/bin/ls", "/tmp"]);
    wait_until(SOON, "the engine's own look at its health", || {
        let health = ["inspect", "--format", "{{.State.Health.Status}}", &name];
        stage.docker(&health).trim() == "healthy"
    });
    assert!(!ran().contains("ran-as-0"), "{}", ran());
    assert!(
        ran().contains("ran-as-1000"),
        "nothing was in the way: {}",
        ran()
    );
    // By name alone it would be run.
    stage.docker(&["exec", &name, "cib-init", "status"]);
    assert!(ran().contains("ran-as-0"), "{}", ran());
}

#[test]
fn what_a_person_gets_wrong_ends_with_the_code_that_says_so() {
    let stage = Stage::new();
    stage.write("claude-run.config.json", "{\n  \"dockerimage\": \"x\"\n}");
    let wrong = stage.cib(&["start"]);
    assert_eq!(wrong.code, 78);
    for words in ["claude-run.config.json:2", "did you mean `dockerImage`"] {
        assert!(wrong.stderr.contains(words), "{}", wrong.stderr);
    }
    std::fs::remove_file(stage.path("claude-run.config.json")).unwrap();
    let none = stage.without("ANTHROPIC_API_KEY").cib(&["start"]);
    assert_eq!(none.code, 4, "{}", none.stderr);
    let none = stage.cib(&["start", "--engine", "/nonexistent/docker.sock"]);
    assert_eq!(none.code, 69, "{}", none.stderr);
    let none = stage.cib(&["start", "--image", stage::KIT_IMAGE]);
    assert_eq!(none.code, 78, "{}", none.stderr);
    assert_eq!(stage.cib(&["attach", "nothing"]).code, 1);
    assert_eq!(stage.cib(&["start", "--branch", "x;touch p"]).code, 2);
    assert_eq!(stage.good(&["list", "-a", "--names"]), "");
}
