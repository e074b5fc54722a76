//! The plan of every kind of box, and what holds for all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::SourceFile;
use crate::environment::{Environment, SecretFileError};

const PROXY: (&str, &str) = ("CIB_PROXY_URL", "socks5://alice:hunter22@192.0.2.1:1080");

fn configuration(variables: &[(&str, &str)], file: &str) -> Configuration {
    let environment: Environment = variables
        .iter()
        .copied()
        .chain([("CIB_AUTH_DISABLED", "1")])
        .collect();
    let files = [SourceFile {
        path: "init.toml".into(),
        text: file.to_owned(),
    }];
    Configuration::assemble(&files, &environment, &|_| Err(SecretFileError::NotText)).unwrap()
}

fn plan(variables: &[(&str, &str)], jobs: usize) -> Plan {
    Plan::build(&configuration(variables, ""), jobs)
}

/// Where a step comes.
fn position(id: StepId) -> usize {
    StepId::ALL.iter().position(|other| *other == id).unwrap()
}

fn todo(plan: &Plan) -> Vec<&'static str> {
    plan.steps
        .iter()
        .filter(|step| step.skipped.is_none())
        .map(|step| step.id.name())
        .collect()
}

#[test]
fn the_order_of_steps_is_one_in_which_everything_needed_comes_first() {
    for (index, id) in StepId::ALL.iter().enumerate() {
        for need in id.needs() {
            assert!(position(need) < index, "{id} comes before {need}");
        }
    }
}

/// Everything that is done before a step begins.
fn before(id: StepId) -> BTreeSet<StepId> {
    let mut before = BTreeSet::new();
    let mut waiting = id.needs();
    while let Some(id) = waiting.pop() {
        before.insert(id);
        waiting.extend(id.needs());
    }
    before
}

#[test]
fn nothing_of_the_users_runs_before_the_proof_and_nothing_at_all_before_the_drop_policy() {
    for id in [
        StepId::Git,
        StepId::Copy,
        StepId::Setup,
        StepId::Control,
        StepId::Services,
    ] {
        assert!(before(id).contains(&StepId::ProveEgress), "{id}");
    }
    assert!(before(StepId::Services).contains(&StepId::Setup));
    // Setup commands see what was copied, and so does whatever comes after them.
    assert!(before(StepId::Setup).contains(&StepId::Copy));
    for id in StepId::ALL {
        let first = [StepId::ReadConfig, StepId::CloseEgress].contains(&id);
        assert!(first || before(id).contains(&StepId::CloseEgress), "{id}");
    }
}

#[test]
fn a_box_without_a_proxy_skips_everything_about_egress() {
    let plan = plan(&[], 0);
    assert_eq!(
        todo(&plan),
        ["read-config", "users", "keys", "git", "journals", "control"]
    );
    let skipped = plan.step(StepId::Redirect).unwrap().skipped.as_deref();
    assert_eq!(skipped, Some("CIB_PROXY_URL is not set"));
}

#[test]
fn a_box_with_a_proxy_redirects_or_asks_and_says_which() {
    let redirect = plan(
        &[PROXY, ("SSH_AUTH_SOCK", "/agent"), ("CIB_AWAIT_COPY", "1")],
        2,
    );
    assert_eq!(redirect.steps.len(), todo(&redirect).len() + 1);
    let what = |plan: &Plan| plan.step(StepId::Redirect).unwrap().what.clone();
    assert!(what(&redirect).contains("redsocks on port 12345"));
    let env = plan(&[PROXY, ("CIB_PROXY_MODE", "env")], 0);
    assert!(what(&env).contains("bridge") && !what(&env).contains("redsocks"));
}

#[test]
fn a_failure_of_the_way_out_ends_the_box_and_one_of_an_agent_does_not() {
    let plan = plan(&[PROXY], 1);
    for id in [
        StepId::CloseEgress,
        StepId::Redirect,
        StepId::ProveEgress,
        StepId::Setup,
    ] {
        let step = plan.step(id).unwrap();
        assert_eq!(step.on_failure, OnFailure::Ends { code: 78 }, "{id}");
    }
    assert_eq!(
        plan.step(StepId::Users).unwrap().on_failure,
        OnFailure::Ends { code: 70 }
    );
    assert_eq!(
        plan.step(StepId::Agent).unwrap().on_failure,
        OnFailure::Degrades
    );
    let continued = self::plan(&[("CIB_SETUP_ON_FAILURE", "continue")], 1);
    assert_eq!(
        continued.step(StepId::Setup).unwrap().on_failure,
        OnFailure::Degrades
    );
}

#[test]
fn setup_has_time_for_each_of_its_commands() {
    let plan = plan(&[("CIB_SETUP_TIMEOUT", "10")], 3);
    assert!(plan.step(StepId::Setup).unwrap().deadline >= Duration::from_secs(30));
}

#[test]
fn services_are_listed_in_start_order() {
    let file = "[service.a]\ncommand = [\"a\"]\nneeds = [\"b\"]\n[service.b]\ncommand = [\"b\"]\n\
                needs = [\"control\"]\nessential = true\n";
    let plan = Plan::build(&configuration(&[], file), 0);
    let names: Vec<_> = plan
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(names, ["b", "a"]);
    assert!(plan.step(StepId::Services).unwrap().skipped.is_none());
    assert!(
        plan.to_string()
            .contains("SERVICE  NEEDS    USER   GIVEN UP\nb        control  coder")
    );
}

#[test]
fn the_table_has_a_line_for_each_step_and_no_secret() {
    let plan = plan(
        &[
            PROXY,
            ("CIB_SETUP_COMMANDS", "export KEY=s3cr3t"),
            ("PUID", "501"),
        ],
        1,
    );
    let table = plan.to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + StepId::ALL.len());
    assert!(lines[0].starts_with("STEP          NEEDS"));
    assert!(
        table.contains("192.0.2.1:1080") && table.contains("(PUID=501)"),
        "{table}"
    );
    let json = serde_json::to_string(&plan).unwrap();
    for text in [&table, &json] {
        assert!(
            !text.contains("hunter22") && !text.contains("s3cr3t"),
            "{text}"
        );
    }
    assert!(lines.iter().all(|line| *line == line.trim_end()));
}

#[test]
fn the_json_form_has_stable_names() {
    let plan = plan(&[], 0);
    let json: serde_json::Value = serde_json::to_value(&plan).unwrap();
    let users = &json["steps"][4];
    assert_eq!(users["step"], "users");
    assert_eq!(users["needs"], serde_json::json!(["close-egress"]));
    assert_eq!(users["deadline_ms"], 120_000);
    assert_eq!(
        users["on_failure"],
        serde_json::json!({ "ends": { "code": 70 } })
    );
    assert_eq!(json["steps"][7]["on_failure"], "degrades");
}

proptest! {
    #[test]
    fn any_plan_has_every_step_once_and_in_order(
        proxy: bool, env: bool, agent: bool, jobs in 0_usize..5,
    ) {
        let mut variables = Vec::new();
        if proxy { variables.push(PROXY); }
        if env { variables.push(("CIB_PROXY_MODE", "env")); }
        if agent { variables.push(("CIB_GPG_AGENT", "/agent")); }
        let plan = plan(&variables, jobs);
        let ids: Vec<_> = plan.steps.iter().map(|step| step.id).collect();
        prop_assert_eq!(&ids, &StepId::ALL.to_vec());
        prop_assert!(plan.steps.iter().all(|step| !step.what.is_empty()));
        for step in &plan.steps {
            if step.id.is_egress() {
                prop_assert!(proxy || step.skipped.is_some());
            }
        }
    }
}

#[test]
fn who_holds_the_network_does_nothing_else_and_who_joins_it_only_proves_it() {
    let hold = todo(&plan(&[PROXY, ("CIB_PROXY_MODE", "hold")], 1));
    assert_eq!(
        hold,
        ["read-config", "close-egress", "redirect", "prove-egress"]
    );
    let join = todo(&plan(&[("CIB_PROXY_MODE", "join")], 0));
    assert!(
        join.contains(&"prove-egress") && join.contains(&"control"),
        "{join:?}"
    );
    assert!(
        !join.contains(&"close-egress") && !join.contains(&"redirect"),
        "{join:?}"
    );
}
