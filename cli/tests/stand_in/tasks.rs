//! `cib task`: what a cluster's own program is told, and what is made of its answers.

use serde_json::Value;

use crate::stage::{Stage, said};

/// A stand-in for `kubectl`: it keeps what it was told, and answers from files.
const KUBECTL: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"$STATE/kubectl"
while case "$1" in --*) true ;; *) false ;; esac; do shift; done
case "$1 $2" in
"create --filename=-")
  cat >"$STATE/manifest"
  sed 's/"metadata":{/"metadata":{"creationTimestamp":"2026-11-30T10:00:00Z",/' "$STATE/manifest" >"$STATE/job"
  cat "$STATE/job" ;;
"get jobs") printf '{"items":['; cat "$STATE/job"; printf ']}' ;;
"get job") cat "$STATE/job" || { echo 'jobs.batch "x" not found' >&2; exit 1; } ;;
"get pods") if [ -e "$STATE/pod" ]; then printf '{"items":['; cat "$STATE/pod"; printf ']}'; else echo '{"items":[]}'; fi ;;
logs*) cat "$STATE/podlog" ;;
exec*) cat "$STATE/ended" >"$STATE/pod" ;;
delete*) rm "$STATE/job" ;;
*) echo "what is $*?" >&2; exit 1 ;;
esac
"#;

fn stage() -> Stage {
    let stage = Stage::new();
    stage.program("kubectl", KUBECTL);
    stage.git(&[
        "remote",
        "add",
        "origin",
        "https://forge.example/acme/api.git",
    ]);
    stage
}

/// What a command with `--json` came to.
#[track_caller]
fn json(stage: &Stage, words: &[&str], code: i32) -> Value {
    let words = [&["task", "--json"], words].concat();
    let output = stage.cib(&words).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{words:?}: {}",
        said(&output)
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

fn write(stage: &Stage, name: &str, text: &str) {
    std::fs::write(stage.at("state").join(name), text).unwrap();
}

/// What init needs to be init of other users' processes.
const NEEDED: [&str; 6] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SETGID",
    "SETUID",
];

const TO: [&str; 4] = ["--to", "kubernetes", "--namespace", "team"];

#[test]
fn a_task_becomes_a_job_that_holds_no_credential_and_no_right() {
    let stage = stage();
    let words = [
        &["submit", "--minutes", "30", "--queue", "nightly"],
        &TO[..],
        &["--", "Mend", "it."],
    ];
    let task = json(&stage, &words.concat(), 0);
    let id = task["id"].as_str().unwrap().to_owned();
    assert_eq!(task["state"], "queued");
    let manifest: Value = serde_json::from_str(&stage.read("state/manifest")).unwrap();
    let name = format!("cib-task-{id}");
    assert_eq!(manifest["metadata"]["name"], name);
    assert_eq!(
        manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"],
        "nightly"
    );
    let pod = &manifest["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(pod["restartPolicy"], "Never");
    let secret = &pod["volumes"][0]["secret"];
    assert_eq!(
        (&secret["secretName"], &secret["defaultMode"]),
        (&"cib-task".into(), &0o400.into())
    );
    let cage = &pod["containers"][0];
    let security = &cage["securityContext"];
    assert_eq!(
        security["capabilities"],
        serde_json::json!({"drop": ["ALL"], "add": NEEDED})
    );
    assert_eq!(security["allowPrivilegeEscalation"], false);
    let variable = |name: &str| {
        let variables = cage["env"].as_array().unwrap();
        let found = variables.iter().find(|variable| variable["name"] == name);
        found.map(|variable| variable["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(variable("CIB_TASK_KEY"), Some(name));
    assert_eq!(
        variable("ANTHROPIC_API_KEY_FILE").as_deref(),
        Some("/run/secrets/anthropic_api_key")
    );
    assert_eq!(
        variable("CIB_GITHUB_TOKEN_FILE").as_deref(),
        Some("/run/secrets/github_token")
    );
    let request: Value = serde_json::from_str(&variable("CIB_TASK_REQUEST").unwrap()).unwrap();
    assert_eq!(request["prompt"], "Mend it.");
    assert_eq!(request["repo"], "https://forge.example/acme/api.git");
    assert_eq!(request["branch"], format!("claude/{id}"));
    assert_eq!(request["limits"]["duration_s"], 1800);
    // The key of this machine's own stays here.
    assert!(!stage.read("state/manifest").contains("sk-ant"));
    let told = stage.read("state/kubectl");
    assert!(
        told.starts_with("--namespace=team create --filename=- --output=json\n"),
        "{told}"
    );
}

#[test]
fn a_job_is_listed_followed_and_cancelled_as_a_task_of_a_box_is() {
    let stage = stage();
    let words = [&["submit"], &TO[..], &["--", "x"]].concat();
    let id = json(&stage, &words, 0)["id"].as_str().unwrap().to_owned();
    let id = id.as_str();
    let list = json(&stage, &[&["list"], &TO[..]].concat(), 0);
    assert_eq!(list[0]["id"], id);
    assert_eq!(list[0]["repo"], "https://forge.example/acme/api.git");

    let job = stage.read("state/job");
    let status = |status: &str| {
        let job = job.trim_end().strip_suffix('}').unwrap();
        write(&stage, "job", &format!("{job},\"status\":{status}}}"));
    };
    let pod = |phase: &str, code: Option<u64>| {
        let state = code.map_or("{}".to_owned(), |code| {
            format!(r#"{{"terminated":{{"exitCode":{code}}}}}"#)
        });
        format!(
            r#"{{"metadata":{{"name":"the-pod"}},"status":{{"phase":"{phase}",
               "containerStatuses":[{{"name":"box","state":{state}}}]}}}}"#
        )
    };
    status(r#"{"active":1}"#);
    write(&stage, "pod", &pod("Running", None));
    write(
        &stage,
        "podlog",
        "2026-11-30T10:00:00.000Z info  task      working\n",
    );
    let show = |code| json(&stage, &[&["show", id], &TO[..]].concat(), code);
    assert_eq!(show(0)["state"], "working");

    // Cancelled: the box is told, and its log says what became of it.
    write(&stage, "ended", &pod("Failed", Some(143)));
    let task = json(&stage, &[&["cancel", id], &TO[..]].concat(), 0);
    assert_eq!(task["state"], "cancelling");
    let told = stage.read("state/kubectl");
    let exec = "--namespace=team exec the-pod --container=box -- sh -c kill -TERM 1";
    assert!(told.lines().any(|line| line == exec), "{told}");
    status(r#"{"conditions":[{"type":"Failed","status":"True"}]}"#);
    write(
        &stage,
        "podlog",
        "2026-11-30T10:00:00.000Z info  task      cancelling\n\
         {\"exit_code\":143,\"state\":\"cancelled\",\"commits\":1,\"id\":\"deadbeef\"}\n",
    );
    let task = show(143);
    assert_eq!(
        (&task["state"], &task["commits"]),
        (&"cancelled".into(), &1.into())
    );
    assert_eq!(task["id"], id);
    let output = stage
        .cib(&[&["task", "logs", "--follow", id], &TO[..]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("task      cancelling"), "{text}");

    // What has not begun is removed.
    status("{}");
    std::fs::remove_file(stage.at("state").join("pod")).unwrap();
    let task = json(&stage, &[&["cancel", id], &TO[..]].concat(), 0);
    assert_eq!(task["state"], "cancelled");
    let told = stage.read("state/kubectl");
    assert!(
        told.contains(&format!("delete job/cib-task-{id} --wait=false")),
        "{told}"
    );
}

#[test]
fn a_box_gets_a_task_by_its_api_and_what_it_says_reaches_no_terminal() {
    let stage = stage();
    let output = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let output = stage
        .cib(&["task", "submit", "--follow", "--", "Mend it."])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("state: failed") && text.contains("why: no"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    // A log that clears the screen is shown without that.
    assert!(
        log.contains("working") && log.contains("[now] failed\n"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log:?}");
    assert_eq!(json(&stage, &["list"], 0)[0]["state"], "failed");
    let output = stage.cib(&["task", "cancel", "00c0ffee"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the task is failed"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    let stage = stage();
    for words in [
        &["submit", "--to", "kubernetes"][..],
        &[
            "submit",
            "--to",
            "kubernetes",
            "--credential",
            "../etc",
            "--",
            "x",
        ],
        &["submit", "--to", "kubernetes", "--secret", "-o", "--", "x"],
        &["submit", "--to", "swarm", "--namespace", "x", "--", "x"],
        &["show", "--to", "kubernetes", "job/other"],
    ] {
        let words = [&["task"], words].concat();
        let output = stage.cib(&words).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            said(&output)
        );
    }
    assert_eq!(stage.read("state/kubectl"), "");
    // Neither is what no container could be started with.
    let prompt = stage.at("state").join("prompt");
    std::fs::write(&prompt, "x".repeat(121 * 1024)).unwrap();
    let file = ["submit", "--prompt-file", prompt.to_str().unwrap()];
    for to in ["kubernetes", "swarm"] {
        let words = [&["task"], &file[..], &["--to", to]].concat();
        let output = stage.cib(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{to}: {}", said(&output));
        assert!(said(&output).contains("120 KiB"), "{}", said(&output));
    }
    assert_eq!(stage.read("state/kubectl"), "");
    // Nothing is sent by a dry run either.
    let words = [
        "task",
        "submit",
        "--to",
        "kubernetes",
        "--dry-run",
        "--",
        "x",
    ];
    let output = stage.cib(&words).output().unwrap();
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(manifest["kind"], "Job");
    assert_eq!(stage.read("state/kubectl"), "");
    // With a proxy another container holds it, and it alone has NET_ADMIN.
    let words = [&words[..5], &["--proxy", "--", "x"]].concat();
    let output = stage.cib(&words).output().unwrap();
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pod = &manifest["spec"]["template"]["spec"];
    let (egress, cage) = (
        pod["initContainers"][0].to_string(),
        pod["containers"][0].to_string(),
    );
    assert!(
        egress.contains("NET_ADMIN") && egress.contains("proxy_url"),
        "{egress}"
    );
    assert!(
        !cage.contains("NET_ADMIN") && !cage.contains("proxy_url"),
        "{cage}"
    );
    assert!(
        cage.contains(r#""name":"CIB_PROXY_MODE","value":"join""#),
        "{cage}"
    );
    // A namespace is never an option.
    let words = [
        "task",
        "list",
        "--to",
        "kubernetes",
        "--namespace=--all-namespaces",
    ];
    let _output = stage.cib(&words).output().unwrap();
    assert!(
        stage
            .read("state/kubectl")
            .starts_with("--namespace=--all-namespaces get")
    );
}

/// A stand-in for `docker` as a manager of a Swarm.
const DOCKER: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"$STATE/docker"
case "$1 $2" in
"version "*) echo 28.0.0 ;;
"info "*) cat "$STATE/manager" ;;
"service create") printf %s "$CIB_TASK_REQUEST" >"$STATE/request"; for word; do case "$word" in --name=*) echo "${word#--name=}" >"$STATE/name" ;; esac; done ;;
"service ls") cat "$STATE/name" ;;
"service ps") echo the-task ;;
"service inspect") echo '[{"CreatedAt":"2026-11-30T10:00:00Z","Spec":{"Labels":{"claude-in-box.repo":"https://forge.example/acme/api.git"}}}]' ;;
"service logs") cat "$STATE/out"; cat "$STATE/err" >&2 ;;
"service rm") ;;
"inspect --type=task") cat "$STATE/task" ;;
*) echo "what is $*?" >&2; exit 1 ;;
esac
"#;

#[test]
fn a_service_of_a_swarm_is_a_task_by_what_docker_says() {
    let stage = stage();
    stage.program("docker", DOCKER);
    write(&stage, "manager", "false\n");
    let words = ["submit", "--to", "swarm", "--", "Mend it."];
    let output = stage
        .cib(&[&["task"], &words[..]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));

    write(&stage, "manager", "true\n");
    let status = |state: &str, code: u64| {
        let text = format!(
            r#"[{{"Status":{{"State":"{state}","ContainerStatus":{{"ExitCode":{code}}}}}}}]"#
        );
        write(&stage, "task", &text);
    };
    status("running", 0);
    let id = json(&stage, &words, 0)["id"].as_str().unwrap().to_owned();
    let told = stage.read("state/docker");
    let create = told
        .lines()
        .find(|line| line.starts_with("service create"))
        .unwrap();
    for part in [
        "--mode=replicated-job",
        "--restart-condition=none",
        "--cap-drop=ALL",
        "--env=ANTHROPIC_API_KEY_FILE=/run/secrets/anthropic_api_key",
        "--secret=source=cib_github_token,target=/run/secrets/github_token,mode=0400",
        "--limit-memory=3g",
        "claude-in-box:latest-headless task",
    ] {
        assert!(create.contains(part), "{part} is not in {create}");
    }
    let added = create
        .split(' ')
        .filter_map(|word| word.strip_prefix("--cap-add="));
    assert_eq!(added.collect::<Vec<_>>(), NEEDED);
    assert!(!create.contains("--privileged"), "{create}");
    assert!(!create.contains("sk-ant"), "{create}");
    // Who lists processes does not see what is asked.
    assert!(create.contains("--env=CIB_TASK_REQUEST --env="), "{create}");
    assert!(!told.contains("Mend it."), "{told}");
    let request: Value = serde_json::from_str(&stage.read("state/request")).unwrap();
    assert_eq!(request["prompt"], "Mend it.");
    write(
        &stage,
        "err",
        "2026-11-30T10:00:00.000Z info  task      working\n",
    );
    write(
        &stage,
        "out",
        "{\"exit_code\":73,\"error\":{\"kind\":\"push_refused\"}}\n",
    );
    let list = json(&stage, &["list", "--to", "swarm"], 0);
    assert_eq!(
        (&list[0]["id"], &list[0]["state"]),
        (&id.as_str().into(), &"working".into())
    );
    status("failed", 73);
    let task = json(&stage, &["show", "--to", "swarm", &id], 73);
    assert_eq!(
        (&task["state"], &task["error"]["kind"]),
        (&"failed".into(), &"push_refused".into())
    );
    status("running", 0);
    let task = json(&stage, &["cancel", "--to", "swarm", &id], 0);
    assert_eq!(task["state"], "cancelled");
    assert!(
        stage
            .read("state/docker")
            .contains(&format!("service rm cib-task-{id}"))
    );
}
