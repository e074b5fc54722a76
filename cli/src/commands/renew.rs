//! A credential that ends: told before it does, and given to the box anew.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::making::{self, SECRETS};
use super::{Context, holder, plan, start};
use crate::boxes::Found;
use crate::boxes::state::State;
use crate::credentials::{self, Choice, Credential};
use crate::engine::Engine;
use crate::failure::{Exit, Failure};

/// How long before its end a credential is told of.
const SOON: SignedDuration = SignedDuration::from_mins(30);

/// How much longer than now a credential has to last to be worth a start.
const LEAST: SignedDuration = SignedDuration::from_mins(1);

/// When a box's credential ends, if that is known here.
pub(super) fn ends(context: &Context<'_>, found: &Found) -> Option<Timestamp> {
    let state = State::of(context.around, &found.name).ok()?;
    Timestamp::from_second(state.credential_ends()?).ok()
}

/// Whether a box's credential has ended.
pub(super) fn is_over(context: &Context<'_>, found: &Found) -> bool {
    ends(context, found).is_some_and(|at| at <= Timestamp::now() + LEAST)
}

/// What a person has to know of a credential that ends at a time.
fn words(name: &str, at: Timestamp, now: Timestamp) -> Option<String> {
    let renew = format!("cib login {name} --renew gives it another one");
    if at <= now {
        return Some(format!("the credential of {name} has ended: {renew}"));
    }
    (at <= now + SOON).then(|| {
        let minutes = at.duration_since(now).as_mins() + 1;
        format!("the credential of {name} ends in {minutes} min: {renew}")
    })
}

/// Says that a box's credential ends soon, or has ended.
pub(super) fn tell(context: &Context<'_>, found: &Found) {
    Told::default().once(context, found);
}

/// What was told of a box's credential.
#[derive(Debug, Default)]
pub(super) struct Told {
    soon: bool,
    over: bool,
}

impl Told {
    /// Says that it ends soon, and that it has ended, each once.
    pub(super) fn once(&mut self, context: &Context<'_>, found: &Found) {
        let Some(at) = ends(context, found).filter(|_| !self.over) else {
            return;
        };
        let now = Timestamp::now();
        let is_new = if at <= now { !self.over } else { !self.soon };
        if let Some(words) = words(&found.name, at, now).filter(|_| is_new) {
            context.output.warn(&words);
            self.soon = true;
            self.over = at <= now;
        }
    }
}

/// Refuses a credential that has ended: a box could do nothing with it.
pub(super) fn usable(credential: &Credential) -> Result<(), Failure> {
    let ends = credential
        .ends
        .and_then(|at| Timestamp::from_second(at).ok());
    if ends.is_none_or(|at| at > Timestamp::now() + LEAST) {
        return Ok(());
    }
    let what = format!(
        "the credential {} from {} has ended",
        credential.variable, credential.origin
    );
    Err(Failure::new(Exit::Credential, what).remedy(match credential.variable {
        "CLAUDE_CODE_OAUTH_TOKEN" => "start `claude` here once, which renews it; or CLAUDE_CODE_OAUTH_TOKEN from `claude setup-token`, which lasts a year",
        "CIB_AWS_CREDENTIALS" => "aws sso login, or whatever makes another one",
        _ => "get another one",
    }))
}

/// `cib login --renew`
pub(super) fn run(context: &Context<'_>, engine: &Engine, found: &Found) -> Result<u8, Failure> {
    give(context, engine, found)?;
    if found.runs() {
        // The box reads its credential when it begins.
        context.output.step(&format!(
            "Starting {} anew; its sessions can be resumed",
            found.name
        ));
        engine.ask_for("stop the box", &["stop", "-t", "15", &found.id])?;
        holder::stop(engine, found, "15")?;
        start::begin_again(engine, found)?;
        start::await_again(context, engine, &found.name)?;
    }
    let ends = ends(context, found).map(|at| at.to_string());
    let result = json!({"name": found.name, "credential_ends": ends});
    context.output.result(&result, String::new);
    Ok(0)
}

/// Puts this machine's credential into a box that has one of its kind.
pub(super) fn give(context: &Context<'_>, engine: &Engine, found: &Found) -> Result<(), Failure> {
    let configuration = context.configuration(Vec::new())?;
    let config = configuration.path("claudeConfigPath", context.around);
    let variables = known(engine, found)?;
    // Of what this machine has, the one that the box can take: its variables stand.
    let choice = configuration.text("credential").and_then(Choice::of);
    let choices = [choice.unwrap_or_default(), of_box(&variables)];
    let mut ended = None;
    for choice in choices {
        let Ok(Some(credential)) = credentials::found(context.around, config.as_deref(), choice)
        else {
            continue;
        };
        let (variable, file) = plan::file_of(credential.variable);
        if !variables.iter().any(|known| known == variable) {
            continue;
        }
        if let Err(failure) = usable(&credential) {
            ended = Some(failure);
            continue;
        }
        plan::tell(context, &credential);
        let secrets = [(variable, file, credential.value.clone())];
        let target = format!("{}:{SECRETS}", found.name);
        engine.tell(
            "put the credential into the box",
            &["cp", "-", &target],
            &making::archive(&secrets)?,
        )?;
        State::of(context.around, &found.name)?.keep_credential(&credential)?;
        return Ok(());
    }
    Err(ended.unwrap_or_else(|| {
        let what = format!("nothing of the kind that {} has was found here", found.name);
        Failure::new(Exit::Credential, what)
            .remedy("cib doctor says what is here; cib login logs Claude in, in the box")
    }))
}

/// The names of a box's variables.
fn known(engine: &Engine, found: &Found) -> Result<Vec<String>, Failure> {
    let about = engine.inspect(&["container", "inspect", &found.id])?;
    let listed = about.first().and_then(|about| about.pointer("/Config/Env"));
    let listed = listed.and_then(serde_json::Value::as_array);
    let name = |line: &serde_json::Value| Some(line.as_str()?.split('=').next()?.to_owned());
    Ok(listed.into_iter().flatten().filter_map(name).collect())
}

/// Which kind of credential a box has, by its variables.
fn of_box(variables: &[String]) -> Choice {
    let has = |name: &str| variables.iter().any(|known| known == name);
    if has("CIB_AWS_CREDENTIALS_FILE") || has("AWS_BEARER_TOKEN_BEDROCK_FILE") {
        Choice::Bedrock
    } else if has("CIB_GOOGLE_CREDENTIALS_FILE") {
        Choice::Vertex
    } else if has("CLAUDE_CODE_OAUTH_TOKEN_FILE") {
        Choice::Subscription
    } else {
        Choice::Key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_end_is_told_before_it_and_after_it() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let at = |minutes| now + SignedDuration::from_mins(minutes);
        assert_eq!(words("one", at(31), now), None);
        let soon = words("one", at(10), now).unwrap();
        assert!(
            soon.contains("ends in 11 min: cib login one --renew"),
            "{soon}"
        );
        assert!(words("one", at(-1), now).unwrap().contains("has ended"));
    }

    #[test]
    fn a_credential_that_has_ended_is_not_given_to_a_box() {
        let of = |ends| Credential {
            variable: "CIB_AWS_CREDENTIALS",
            origin: "the test".to_owned(),
            value: String::new(),
            ends,
            beside: Vec::new(),
        };
        let now = Timestamp::now().as_second();
        assert!(usable(&of(None)).is_ok() && usable(&of(Some(now + 3600))).is_ok());
        let failure = usable(&of(Some(now - 1))).unwrap_err();
        assert_eq!(failure.exit.code(), 4);
        assert!(failure.remedy.unwrap().contains("aws sso login"));
    }

    #[test]
    fn a_box_tells_which_kind_it_can_take() {
        let of = |name: &str| of_box(&["PATH".to_owned(), name.to_owned()]);
        assert_eq!(of("CIB_AWS_CREDENTIALS_FILE"), Choice::Bedrock);
        assert_eq!(of("CIB_GOOGLE_CREDENTIALS_FILE"), Choice::Vertex);
        assert_eq!(of("CLAUDE_CODE_OAUTH_TOKEN_FILE"), Choice::Subscription);
        assert_eq!(of("ANTHROPIC_API_KEY_FILE"), Choice::Key);
    }
}
