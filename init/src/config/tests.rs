//! From files to a configuration.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::environment::SecretFileError;

const TOKEN: &str = "correct-horse-battery";

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        path: PathBuf::from(name),
        text: text.to_owned(),
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables
        .iter()
        .copied()
        .chain([("CIB_AUTH_TOKEN", TOKEN)])
        .collect()
}

fn assemble(files: &[SourceFile]) -> Result<Configuration, Refusal> {
    Configuration::assemble(files, &environment(&[]), &|_| Err(SecretFileError::NotText))
}

fn services(text: &str) -> Vec<Service> {
    assemble(&[file("init.toml", text)])
        .unwrap_or_else(|refusal| panic!("{refusal}"))
        .services
}

fn faults(text: &str) -> Vec<String> {
    let refusal = assemble(&[file("init.toml", text)]).expect_err("there should be a fault");
    refusal.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_with_a_command_alone_gets_every_default() {
    let services = services("[service.web]\ncommand = [\"web\"]\n");
    let expected = Service {
        name: "web".to_owned(),
        command: vec!["web".to_owned()],
        user: "coder".to_owned(),
        group: None,
        environment: BTreeMap::new(),
        workdir: PathBuf::from("/"),
        needs: Vec::new(),
        readiness: Readiness {
            probe: Probe::None,
            timeout: Duration::from_secs(30),
        },
        restart: Restart {
            policy: RestartPolicy::Always,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            give_up_after: Some(10),
        },
        stop_signal: libc::SIGTERM,
        grace: Duration::from_secs(5),
        limits: ResourceLimits::default(),
        essential: false,
        umask: 0o022,
    };
    assert_eq!(services, [expected]);
}

#[test]
fn every_key_of_a_service_is_understood() {
    let services = services(
        r#"
        [service.redis]
        command = ["redis-server", "--port", 6379]
        user = "cib"
        group = 970
        environment = { LEVEL = 3, NAME = "x" }
        workdir = "/workspace"
        needs = ["control"]
        ready = { listen = "127.0.0.1:6379" }
        ready_timeout = "1m"
        restart = "on-failure"
        restart_delay = "50ms"
        restart_delay_max = 5
        give_up_after = 0
        stop_signal = "INT"
        grace = 2
        essential = true
        umask = "077"
        [service.redis.limits]
        open_files = 1024
        processes = 64
        core = 0
        memory = "256M"
        tasks = 32
        cpus = 0.5
        "#,
    );
    let redis = &services[0];
    assert_eq!(redis.command, ["redis-server", "--port", "6379"]);
    assert_eq!(
        (redis.user.as_str(), redis.group.as_deref()),
        ("cib", Some("970"))
    );
    assert_eq!(redis.environment["LEVEL"], "3");
    let listening = ListenAddress::Tcp("127.0.0.1:6379".parse().unwrap());
    assert_eq!(
        redis.readiness.probe,
        Probe::Listening { address: listening }
    );
    assert_eq!(redis.readiness.timeout, Duration::from_secs(60));
    assert_eq!(redis.restart.policy, RestartPolicy::OnFailure);
    assert_eq!(redis.restart.give_up_after, None);
    assert_eq!(redis.stop_signal, libc::SIGINT);
    assert_eq!(redis.umask, 0o077);
    assert!(redis.essential);
    let limits = ResourceLimits {
        open_files: Some(1024),
        processes: Some(64),
        core_bytes: Some(0),
        memory_bytes: Some(256 << 20),
        tasks: Some(32),
        cpu_milli: Some(500),
    };
    assert_eq!(redis.limits, limits);
}

#[test]
fn readiness_has_five_forms() {
    let probe = |ready: &str| {
        let text = format!("[service.a]\ncommand = [\"a\"]\nready = {ready}\n");
        services(&text).remove(0).readiness.probe
    };
    assert_eq!(probe(r#""running""#), Probe::None);
    assert_eq!(probe(r#""notify""#), Probe::Notify);
    assert_eq!(probe("{ fd = 3 }"), Probe::Newline { fd: 3 });
    let unix = ListenAddress::Unix("/run/a.sock".into());
    assert_eq!(
        probe(r#"{ listen = "/run/a.sock" }"#),
        Probe::Listening { address: unix }
    );
    assert_eq!(
        probe(r#"{ path = "/run/a" }"#),
        Probe::Path("/run/a".into())
    );
    assert_eq!(
        probe(r#"{ command = ["true"] }"#),
        Probe::Command(vec!["true".to_owned()])
    );
}

#[test]
fn every_fault_of_every_file_is_reported_with_its_line() {
    let files = [
        file(
            "init.toml",
            "[setings]\nport = 1\n\n[settings]\nport = \"many\"\nprot = 1\nauth_token = \"x\"\n",
        ),
        file(
            "init.d/redis.toml",
            "[service.redis]\ncomand = [\"redis\"]\ncommand = \"redis-server\"\nready = \"soon\"\n\
             ready_timeout = \"long\"\n\n[service.web]\nneeds = [\"rediss\"]\ncommand = [\"web\"]\n\
             umask = 22\n[service.web.limits]\nmemory = \"1T\"\nram = 1\n",
        ),
        file("init.d/broken.toml", "[service.x\ncommand = [\"x\"]\n"),
    ];
    let refusal = assemble(&files).unwrap_err();
    let shown = refusal.to_string();
    for expected in [
        "init.toml:1: the key `setings` is unknown; did you mean `settings`?",
        "init.toml:5: `many` is not a number",
        "init.toml:6: the key `prot` is unknown; did you mean `port`?",
        "init.toml:7: `auth_token` is not taken from a file, which everybody in the box may read; \
         set CIB_AUTH_TOKEN",
        "init.d/redis.toml:2: the key `comand` is unknown; did you mean `command`?",
        "init.d/redis.toml:3: `command` is not an array",
        "init.d/redis.toml:4: `ready` `soon` is not understood",
        "init.d/redis.toml:5: `ready_timeout` `long` is not a duration",
        "init.d/redis.toml:10: `umask` is an integer",
        "init.d/redis.toml:12: `memory` `1T` is not a size",
        "init.d/redis.toml:13: the key `ram` is unknown",
        "init.d/broken.toml:1: is not TOML",
    ] {
        assert!(
            shown.lines().any(|line| line.starts_with(expected)),
            "{expected}\nin\n{shown}"
        );
    }
    assert!(refusal.faults.iter().all(|fault| !fault.remedy.is_empty()));
}

#[test]
fn faults_of_the_environment_and_of_files_come_together() {
    let files = [file("init.toml", "[service.a]\n")];
    let environment: Environment = [("CIB_PORT", "x")].into_iter().collect();
    let refusal = Configuration::assemble(&files, &environment, &|_| Err(SecretFileError::NotText))
        .unwrap_err();
    let shown = refusal.to_string();
    assert!(
        shown.contains("CIB_AUTH_TOKEN: ") && shown.contains("CIB_PORT: "),
        "{shown}"
    );
    assert!(
        shown.contains("init.toml:1: the service `a` has no command"),
        "{shown}"
    );
}

#[test]
fn a_later_file_wins_key_by_key() {
    let files = [
        file(
            "init.toml",
            "[settings]\nport = 1000\nlog = \"json\"\n[service.a]\ncommand = [\"a\"]\ngrace = 1\n",
        ),
        file(
            "init.d/b.toml",
            "[settings]\nport = 2000\n[service.a]\ngrace = 2\n",
        ),
    ];
    let configuration = assemble(&files).unwrap();
    assert_eq!(configuration.settings.port, 2000);
    assert_eq!(
        configuration.settings.container.log_format,
        crate::environment::LogFormat::Json
    );
    assert_eq!(configuration.services[0].command, ["a"]);
    assert_eq!(configuration.services[0].grace, Duration::from_secs(2));
}

#[test]
fn services_come_after_what_they_need() {
    let text = "[service.a]\ncommand = [\"a\"]\nneeds = [\"c\", \"control\"]\n\
                [service.b]\ncommand = [\"b\"]\n[service.c]\ncommand = [\"c\"]\nneeds = [\"b\"]\n";
    let names: Vec<_> = services(text)
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn cycles_and_unknown_needs_are_placed_at_the_needs() {
    let faults = faults(
        "[service.a]\ncommand = [\"a\"]\nneeds = [\"b\"]\n\
         [service.b]\ncommand = [\"b\"]\nneeds = [\"a\"]\n\
         [service.web]\ncommand = [\"w\"]\nneeds = [\"contrl\"]\n",
    );
    assert_eq!(
        faults,
        [
            "init.toml:9: web needs contrl, which does not exist (did you mean control?); \
             need a service that is configured, or control",
            "init.toml:3: a -> b -> a wait for each other; take one of the needs out",
        ]
    );
}

#[test]
fn a_service_with_a_fault_is_not_missed_by_those_that_need_it() {
    let faults =
        faults("[service.db]\ncommand = []\n[service.web]\ncommand = [\"w\"]\nneeds = [\"db\"]\n");
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn names_of_the_box_and_names_that_cannot_be_shown_are_refused() {
    for name in [
        "control", "redsocks", "Web", "-a", "\"a b\"", "\"\"", "\"../x\"",
    ] {
        let faults = faults(&format!("[service.{name}]\ncommand = [\"a\"]\n"));
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
    }
}

#[test]
fn variables_are_passed_by_name_and_secrets_are_not() {
    let text = "[service.a]\ncommand = [\"a\"]\npass_environment = [\"LANG\", \"UNSET\"]\n\
                environment = { LANG = \"C\" }\n";
    let outside = environment(&[("LANG", "de_DE"), ("OTHER", "x")]);
    let files = [file("init.toml", text)];
    let (_, services, faults) = parse(&files, &outside);
    assert!(faults.is_empty());
    assert_eq!(
        services[0].environment,
        BTreeMap::from([("LANG".to_owned(), "C".to_owned())])
    );
    let secret = text.replace("UNSET", "CIB_PROXY_URL_FILE");
    let (_, _, faults) = parse(&[file("init.toml", &secret)], &outside);
    assert!(
        faults[0].to_string().contains("a secret of the box"),
        "{faults:?}"
    );
}

#[test]
fn files_are_read_in_order_and_strange_names_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let drop_ins = directory.path().join("init.d");
    std::fs::create_dir(&drop_ins).unwrap();
    std::fs::write(directory.path().join("init.toml"), "[settings]\nport = 1\n").unwrap();
    std::fs::write(drop_ins.join("20.toml"), "[settings]\nport = 20\n").unwrap();
    std::fs::write(drop_ins.join("10.toml"), "[settings]\nport = 10\n").unwrap();
    std::fs::write(drop_ins.join("30.conf"), "[settings]\nport = 30\n").unwrap();
    let configuration = Configuration::load(directory.path(), &environment(&[])).unwrap();
    assert_eq!(configuration.settings.port, 20);
    assert_eq!(configuration.warnings.len(), 1);
    assert!(
        configuration.warnings[0]
            .to_string()
            .contains("30.conf: is not read")
    );
    std::fs::write(drop_ins.join("40.toml"), b"\xff").unwrap();
    std::fs::create_dir(drop_ins.join("50.toml")).unwrap();
    let refusal = Configuration::load(directory.path(), &environment(&[])).unwrap_err();
    let shown = refusal.to_string();
    assert!(shown.contains("40.toml: is not text") && shown.contains("50.toml: is not a regular"));
}

#[test]
fn without_any_file_the_environment_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = Configuration::load(&directory.path().join("none"), &environment(&[]));
    assert!(configuration.unwrap().services.is_empty());
}

#[test]
fn a_need_with_a_fault_of_its_own_is_one_fault_and_not_two() {
    let text = "[service.a]\ncommand = [\"a\"]\nneeds = [\"b\"]\n[service.b]\n";
    let (_, services, faults) = parse(&[file("init.toml", text)], &Environment::default());
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].to_string().contains("`b` has no command"),
        "{}",
        faults[0]
    );
    assert_eq!(services.len(), 1);
}

/// Words that occur in real files, strung together at random: most results are broken in an
/// interesting way.
fn almost_toml() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[settings]\n",
        "[service.a]\n",
        "[service.b]\n",
        "[service.a.limits]\n",
        "[[service]]\n",
        "command = [\"a\"]\n",
        "command = 1\n",
        "needs = [\"a\"]\n",
        "needs = [\"b\"]\n",
        "ready = { fd = 3 }\n",
        "ready = {}\n",
        "port = 1\n",
        "port = []\n",
        "umask = \"8\"\n",
        "cpus = inf\n",
        "cpus = nan\n",
        "x = 1979-05-27\n",
        "\"\" = 0x10\n",
        "a.b = 1\n",
        "= ",
        "[",
        "\"",
        "\n",
        "grace = 18446744073709551616\n",
        "memory = \"99999999999G\"\n",
        "restart_delay = -1\n",
    ]);
    prop::collection::vec(words, 0..14).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_text_gives_faults_or_services_and_never_a_panic(text in prop_oneof![almost_toml(), ".{0,60}"]) {
        let files = [file("init.toml", &text)];
        let (_, services, faults) = parse(&files, &Environment::default());
        for fault in &faults {
            let shown = fault.to_string();
            prop_assert!(shown.starts_with("init.toml:") && !shown.contains('\n'), "{shown}");
        }
        let names: Vec<_> = services.iter().map(|service| service.name.clone()).collect();
        for (index, service) in services.iter().enumerate() {
            prop_assert!(!service.command.is_empty());
            for need in &service.needs {
                match names.iter().position(|name| name == need) {
                    Some(at) => prop_assert!(at < index),
                    // What is needed has a fault of its own, and was left out for it.
                    None => prop_assert!(need == "control" || !faults.is_empty()),
                }
            }
        }
    }
}

#[test]
fn the_example_of_the_reference_page_holds_every_key_and_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/services.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let mut shown = services(example).remove(0);
    let default = services("[service.redis]\ncommand = [\"redis-server\", \"--port\", \"6379\"]\n");
    assert!(shown.group.is_some() && !shown.environment.is_empty() && !shown.needs.is_empty());
    assert_ne!(shown.readiness.probe, Probe::None);
    assert!(shown.limits.cpu_milli.is_some());
    shown.group = None;
    shown.environment.clear();
    shown.needs.clear();
    shown.readiness.probe = Probe::None;
    shown.limits = ResourceLimits::default();
    assert_eq!([shown], default.as_slice());
    let unknown = faults("[service.a]\ncommand = [\"a\"]\nzzzzzzzzzzzz = 1\n").remove(0);
    let (_, keys) = unknown.split_once("the keys here are ").unwrap();
    for key in keys.split(", ") {
        assert!(
            page.contains(&format!("\n{key} = ")) || page.contains(&format!(".{key}]")),
            "{key} is not on the page"
        );
    }
}
