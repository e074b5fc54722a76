//! Tasks as Jobs of a Kubernetes cluster, by `kubectl`.
//!
//! A Job is made once and never changed: its name has the task's id, its pods have the log, and the
//! exit code of a pod says how the task ended (`deploy/kubernetes/task.yaml` is the same by hand).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Where;
use super::job::{END, Job, SECRETS, id_of, merged, name};
use super::{Place, Submission};
use crate::boxes::CAPABILITIES;
use crate::failure::{Exit, Failure};
use crate::process;
use crate::surroundings::Surroundings;

/// The label by which our Jobs are found.
const OURS: &str = "app.kubernetes.io/managed-by=cib";

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Codes of a box that another try does not mend.
const FINAL: [u8; 10] = [1, 64, 65, 66, 73, 74, 77, 78, 124, 143];

/// A cluster.
pub(super) struct Kubernetes {
    program: PathBuf,
    options: Vec<String>,
}

impl Kubernetes {
    pub(super) fn new(around: &Surroundings, at: &Where) -> Result<Self, Failure> {
        let program = around.program("kubectl").ok_or_else(|| {
            Failure::new(Exit::Engine, "kubectl is not installed")
                .remedy("install it, and set it up for your cluster")
        })?;
        let mut options = Vec::new();
        // Joined, so that no value is an option of its own.
        options.extend(at.context.iter().map(|name| format!("--context={name}")));
        options.extend(
            at.namespace
                .iter()
                .map(|name| format!("--namespace={name}")),
        );
        Ok(Self { program, options })
    }

    fn ask(&self, what: &str, words: &[&str], input: &[u8]) -> Result<String, Failure> {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(words);
        let ran = process::run(&mut command, input, PATIENCE)?;
        if ran.good() {
            return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
        }
        let said = ran.complaint();
        Err(Failure::failed(format!(
            "the cluster does not {what}: {said}"
        )))
    }

    fn json(&self, what: &str, words: &[&str]) -> Result<Value, Failure> {
        serde_json::from_str(&self.ask(what, words, b"")?).map_err(Failure::failed)
    }

    fn job(&self, id: &str) -> Result<Value, Failure> {
        let words = ["get", "job", &name(id), "--output=json"];
        self.json("know the task", &words)
    }

    /// The newest pod of a task, if there is one.
    fn pod(&self, id: &str) -> Result<Option<Value>, Failure> {
        let selector = format!("--selector=batch.kubernetes.io/job-name={}", name(id));
        let words = ["get", "pods", &selector, "--output=json"];
        let mut list = self.json("list pods", &words)?;
        let pods = match list["items"].take() {
            Value::Array(pods) => pods,
            _ => Vec::new(),
        };
        let made = |pod: &Value| created(pod).to_owned();
        Ok(pods.into_iter().max_by_key(made))
    }
}

impl Place for Kubernetes {
    fn submit(&self, task: &Submission) -> Result<Value, Failure> {
        let manifest = manifest(&task.job, &task.request);
        if task.dry_run {
            return Ok(manifest);
        }
        let words = ["create", "--filename=-", "--output=json"];
        let made = self.ask("take the task", &words, manifest.to_string().as_bytes())?;
        let made = serde_json::from_str(&made).map_err(Failure::failed)?;
        Ok(shown(&made, None))
    }

    fn list(&self) -> Result<Vec<Value>, Failure> {
        let selector = format!("--selector={OURS}");
        let words = ["get", "jobs", &selector, "--output=json"];
        let list = self.json("list tasks", &words)?;
        let jobs = list["items"].as_array().into_iter().flatten();
        let mut jobs: Vec<_> = jobs.filter(|job| id_of(label(job)).is_some()).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(created(job).to_owned()));
        Ok(jobs.into_iter().map(|job| shown(job, None)).collect())
    }

    fn show(&self, id: &str) -> Result<Value, Failure> {
        let job = self.job(id)?;
        let pod = self.pod(id)?;
        let task = shown(&job, pod.as_ref());
        if task["state"] == "queued" {
            return Ok(task);
        }
        // A pod that was taken away has none.
        let log = self.logs(id).unwrap_or_default();
        Ok(merged(task, &log))
    }

    fn logs(&self, id: &str) -> Result<String, Failure> {
        let Some(pod) = self.pod(id)? else {
            return Ok(String::new());
        };
        // Before it has begun there is none, which kubectl calls an error.
        if pod["status"]["phase"] == "Pending" {
            return Ok(String::new());
        }
        let target = format!("pod/{}", label(&pod));
        let words = ["logs", &target, "--container=box"];
        self.ask("show the log", &words, b"")
    }

    fn cancel(&self, id: &str) -> Result<Value, Failure> {
        let job = self.job(id)?;
        let pod = self.pod(id)?;
        let mut task = shown(&job, pod.as_ref());
        if super::is_ended(&task) {
            return Ok(task);
        }
        let running = pod.filter(|pod| pod["status"]["phase"] == "Running");
        if let Some(pod) = running {
            // The box cancels the task, saves its work and ends with a code that ends the Job. Its log
            // stays, as that of a Job that is deleted would not.
            // By the shell: the image has no such program.
            let words = [
                "exec",
                label(&pod),
                "--container=box",
                "--",
                "sh",
                "-c",
                "kill -TERM 1",
            ];
            self.ask("tell the box", &words, b"")?;
            task["state"] = json!("cancelling");
        } else {
            let target = format!("job/{}", name(id));
            let words = ["delete", &target, "--wait=false"];
            self.ask("remove the task", &words, b"")?;
            task["state"] = json!("cancelled");
        }
        Ok(task)
    }
}

/// The name of anything that a cluster has.
fn label(thing: &Value) -> &str {
    thing["metadata"]["name"].as_str().unwrap_or_default()
}

fn created(thing: &Value) -> &str {
    thing["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap_or_default()
}

/// A Job as a task.
fn shown(job: &Value, pod: Option<&Value>) -> Value {
    let annotation = |name: &str| job["metadata"]["annotations"][name].clone();
    let mut task = json!({
        "id": id_of(label(job)).unwrap_or_default(),
        "state": state(job, pod),
        "created_at": created(job),
    });
    let repo = annotation("claude-in-box/repo");
    if repo.is_string() {
        task["repo"] = repo;
    }
    if let Some(code) = pod.and_then(ended_with) {
        task["exit_code"] = json!(code);
    }
    task
}

/// The code that a pod's box has ended with.
fn ended_with(pod: &Value) -> Option<u64> {
    let boxes = pod["status"]["containerStatuses"].as_array()?;
    let found = boxes.iter().find(|container| container["name"] == "box")?;
    found["state"]["terminated"]["exitCode"].as_u64()
}

/// Where a Job stands, in a task's words.
fn state(job: &Value, pod: Option<&Value>) -> &'static str {
    let has = |kind: &str| {
        let conditions = job["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one["type"] == kind && one["status"] == "True")
        })
    };
    let is_cancelled = pod.and_then(ended_with) == Some(143);
    if has("Complete") {
        "completed"
    } else if has("Failed") && is_cancelled {
        "cancelled"
    } else if has("Failed") {
        "failed"
    } else if job["spec"]["suspend"] == true || job["status"]["active"].as_u64().unwrap_or(0) == 0 {
        "queued"
    } else {
        match pod.map(|pod| &pod["status"]["phase"]) {
            Some(phase) if phase == "Pending" => "queued",
            _ => "working",
        }
    }
}

/// The Job of a task. What is written by hand in `deploy/kubernetes/task.yaml` is this.
pub(super) fn manifest(job: &Job, request: &Value) -> Value {
    let mut labels = json!({
        "app.kubernetes.io/name": "claude-in-box",
        "app.kubernetes.io/component": "task",
        "app.kubernetes.io/managed-by": "cib",
    });
    let pod_labels = labels.clone();
    if let Some(queue) = &job.queue {
        labels["kueue.x-k8s.io/queue-name"] = json!(queue);
    }
    let variables = job.variables(request).into_iter();
    let variables: Vec<_> = variables
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut annotations = json!({});
    if let Some(repo) = request["repo"].as_str() {
        annotations["claude-in-box/repo"] = json!(repo);
    }
    let mut manifest = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name(), "labels": labels, "annotations": annotations},
        "spec": {
            "backoffLimit": 2,
            "activeDeadlineSeconds": 90_000,
            "ttlSecondsAfterFinished": 7 * 86_400,
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {
                    "containerName": "box", "operator": "In", "values": FINAL,
                }},
            ]},
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": END.1,
                    "containers": [{
                        "name": "box",
                        "image": job.image,
                        "args": ["task"],
                        "env": variables,
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": {
                                "drop": ["ALL"],
                                "add": CAPABILITIES,
                            },
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "resources": {
                            "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "4Gi"},
                            "limits": {"memory": job.memory, "ephemeral-storage": "20Gi"},
                        },
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "volumeMounts": [{"name": "secrets", "mountPath": SECRETS, "readOnly": true}],
                    }],
                    "volumes": [{
                        "name": "secrets",
                        "secret": {"secretName": job.secret, "defaultMode": 0o400},
                    }],
                },
            },
        },
    });
    if job.proxied {
        put_behind_proxy(&mut manifest, &job.image);
    }
    manifest
}

/// Has another container of the pod hold its network, with the proxy and its rules: only that one
/// has NET_ADMIN, and the box never sees the proxy (`deploy/kubernetes/task-proxied.yaml`).
fn put_behind_proxy(manifest: &mut Value, image: &str) {
    let template = &mut manifest["spec"]["template"];
    template["metadata"]["labels"]["app.kubernetes.io/component"] = json!("task-proxied");
    let pod = &mut template["spec"];
    let mut security = pod["containers"][0]["securityContext"].clone();
    if let Some(kept) = security["capabilities"]["add"].as_array_mut() {
        kept.push(json!("NET_ADMIN"));
    }
    if let Some(variables) = pod["containers"][0]["env"].as_array_mut() {
        variables.push(json!({"name": "CIB_PROXY_MODE", "value": "join"}));
    }
    pod["initContainers"] = json!([{
        "name": "egress",
        "restartPolicy": "Always",
        "image": image,
        "env": [
            {"name": "CIB_PROXY_MODE", "value": "hold"},
            {"name": "CIB_PROXY_URL_FILE", "value": format!("{SECRETS}/proxy_url")},
        ],
        "startupProbe": {
            "exec": {"command": [crate::boxes::INIT, "healthcheck"]},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
        "securityContext": security,
        "resources": {
            "requests": {"cpu": "20m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
        "volumeMounts": [{"name": "egress", "mountPath": SECRETS, "readOnly": true}],
    }]);
    if let Some(volumes) = pod["volumes"].as_array_mut() {
        volumes.push(json!({
            "name": "egress",
            "secret": {"secretName": "cib-egress", "defaultMode": 0o400},
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_stands_where_its_pod_does() {
        let job =
            |status: Value| json!({"metadata": {"name": "cib-task-00c0ffee"}, "status": status});
        let ended = |code: u64| {
            let state = json!({"terminated": {"exitCode": code}});
            json!({"status": {"phase": "Failed", "containerStatuses": [
                {"name": "box", "state": state}]}})
        };
        let phase = |phase: &str| json!({"status": {"phase": phase}});
        let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True"}]});
        let cases = [
            (json!({}), None, "queued"),
            (json!({"active": 1}), Some(phase("Pending")), "queued"),
            (json!({"active": 1}), Some(phase("Running")), "working"),
            (condition("Complete"), Some(ended(0)), "completed"),
            (condition("Failed"), Some(ended(77)), "failed"),
            (condition("Failed"), Some(ended(143)), "cancelled"),
            (condition("Suspended"), None, "queued"),
        ];
        for (status, pod, expected) in cases {
            let task = shown(&job(status.clone()), pod.as_ref());
            assert_eq!(task["state"], expected, "{status}");
            assert_eq!(task["id"], "00c0ffee");
        }
        assert_eq!(
            shown(&job(condition("Failed")), Some(&ended(77)))["exit_code"],
            77
        );
    }
}
