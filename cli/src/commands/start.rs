//! `cib start`: a branch, a copy of the repository, a box around it, Claude in it.

use std::thread;

use serde_json::{Value, json};

use super::inside::Load;
use super::making::{self, BOOT, GLANCE, Making};
use super::plan::{self, Plan};
use super::{Context, dry, holder, image, news, open, renew};
use crate::api::Api;
use crate::args::Start;
use crate::boxes::state::State;
use crate::boxes::{Boxes, Found, is_name, volumes};
use crate::config::Configuration;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::Repository;
use crate::{interrupt, process, text};

pub(super) fn run(context: &Context<'_>, arguments: &Start) -> Result<u8, Failure> {
    if let Some(name) = &arguments.again {
        return again(context, name);
    }
    if arguments.dry_run {
        return dry::run(context, arguments);
    }
    let configuration = context.configuration(plan::flags(arguments))?;
    let shown = Shown::of(context, arguments, &configuration);
    let news = news::look(context, &configuration);
    let started = make(context, arguments, |api, configuration| {
        let terminal = shown.is_terminal(api.has_pages());
        first(api, arguments, configuration, terminal)
    })?;
    let Started {
        engine,
        api,
        name,
        branch,
        session,
        ..
    } = &started;
    let pages = api.has_pages();
    let result = json!({
        "name": name, "branch": branch, "base": started.base, "url": reached(engine, api),
        "pages": pages, "session": session["id"], "driver": session["driver"],
    });
    context.output.result(&result, || {
        let mut lines = vec![
            format!("Box     {name}"),
            format!("Branch  {branch}"),
            format!("URL     {}", address(engine, api, name)),
        ];
        lines.push(String::new());
        lines.push(format!(
            "cib attach {name}   this terminal, cib open {name} the browser"
        ));
        lines.push(format!(
            "cib diff {name}     what was done, cib apply {name} takes it over"
        ));
        lines.join("\n")
    });
    if let Some(news) = news {
        news.tell(context);
    }
    if shown.browser && !pages {
        context.output.warn("the image has no pages to open");
    }
    let has_terminal = session["driver"] == "tty" || session["program"] == "shell";
    let browser = shown.is_browser(pages);
    let terminal = shown.is_terminal(pages) && has_terminal;
    if !browser && !terminal {
        return Ok(0);
    }
    let boxes = Boxes::of(engine)?;
    let found = boxes.named(name)?;
    if browser {
        return open::page(context, engine, api, found);
    }
    let attach = crate::args::Attach::default();
    super::attach::to(context, engine, found, session, &attach)
}

/// How a box is shown once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    /// The browser was asked for in so many words.
    browser: bool,
    /// Somebody looks, and may be shown it.
    anyhow: bool,
    /// There is a terminal that can be given to it.
    terminal: bool,
    /// It is not to be the browser.
    no_web: bool,
}

impl Shown {
    fn of(context: &Context<'_>, arguments: &Start, configuration: &Configuration) -> Self {
        let around = context.around;
        let alone = arguments.detach || configuration.is("detached") || context.output.json;
        Self {
            browser: arguments.web,
            anyhow: !alone && around.shows,
            terminal: around.shows && around.can_ask,
            no_web: arguments.no_web,
        }
    }

    /// In the browser.
    fn is_browser(self, pages: bool) -> bool {
        pages && !self.no_web && (self.anyhow || self.browser)
    }

    /// In this terminal.
    fn is_terminal(self, pages: bool) -> bool {
        self.anyhow && self.terminal && !self.is_browser(pages)
    }
}

/// A box's address here, if it has one that outlives this process.
pub(super) fn reached(engine: &Engine, api: &Api) -> Option<String> {
    (!engine.remote).then(|| api.url())
}

/// How a box is reached, for a person.
pub(super) fn address(engine: &Engine, api: &Api, name: &str) -> String {
    reached(engine, api).unwrap_or_else(|| format!("on the engine's machine; cib port {name}"))
}

/// A box that was started.
pub(super) struct Started {
    /// Its engine.
    pub engine: Engine,
    /// Its API.
    pub api: Api,
    /// Its name.
    pub name: String,
    /// Its branch.
    pub branch: String,
    /// The commit that it began with.
    pub base: String,
    /// What was begun in it.
    pub session: Value,
}

/// Makes a box and begins something in it; of what fails nothing is left.
pub(super) fn make(
    context: &Context<'_>,
    arguments: &Start,
    begin: impl FnOnce(&Api, &Configuration) -> Result<Value, Failure>,
) -> Result<Started, Failure> {
    let configuration = context.configuration(plan::flags(arguments))?;
    // Known before anything is made that would have to be found again.
    State::of(context.around, "")?;
    let repository = context.repository()?;
    let watch = interrupt::Watch::begin()?;
    // Neither has to do with the other, and each takes as long as it does.
    let (found, load) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            Load::take(
                context.around,
                context.output,
                &repository,
                configuration.is("includeUntracked"),
                arguments.include_large,
            )
        });
        let found = context.engine_of(&configuration).and_then(|engine| {
            let known = image::known(&engine, &configuration)?;
            let others = others(&engine, &configuration, &repository)?;
            Ok((engine, known, others))
        });
        (found, process::joined(load))
    });
    let (engine, known, others) = watch.outcome(found)?;
    let load = watch.outcome(load)?;
    let plan = watch.outcome(Plan::make(
        context,
        arguments,
        &configuration,
        &repository,
        &load,
        engine.remote,
    ))?;
    for name in others {
        context.output.note(&format!(
            "the box {name} of this repository runs already: cib attach {name}"
        ));
    }
    let image = watch.outcome(image::resolve(context, &engine, &configuration, known))?;
    let making = Making {
        context,
        engine: &engine,
        repository: &repository,
        plan: &plan,
        image: &image,
        name: "",
    };
    let names = names(context, arguments, &configuration, &repository)?;
    // The history is packed while the engine makes the box and starts it.
    let (name, state, made) = thread::scope(|scope| {
        let packing = scope.spawn(|| plan.origin(&load, "").pack(&repository));
        let name = reserve(&engine, &repository, names, |name| {
            Making { name, ..making }.create()
        })?;
        let named = Making {
            name: &name,
            ..making
        };
        let state = State::of(context.around, &name)?;
        let made = named.make(&load, || process::joined(packing), &state);
        let made = made.and_then(|api| {
            let session = begin(&api, &configuration)?;
            Ok((api, session, plan.branch_of(&name)?))
        });
        Ok::<_, Failure>((name, state, made))
    })?;
    match watch.outcome(made) {
        Ok((api, session, branch)) => Ok(Started {
            engine,
            api,
            name,
            branch,
            base: plan.commit,
            session,
        }),
        Err(failure) => {
            interrupt::to_the_end(|| making::discard(&engine, &name));
            state.forget();
            Err(failure)
        }
    }
}

/// The boxes of the repository that run already, where a person wants to know of them.
fn others(
    engine: &Engine,
    configuration: &Configuration,
    repository: &Repository,
) -> Result<Vec<String>, Failure> {
    if configuration.is("skipReconnectCheck") {
        return Ok(Vec::new());
    }
    let id = repository.id();
    let boxes = Boxes::of(engine)?.0.into_iter();
    let ours = boxes.filter(|found| found.repository == id && found.runs());
    Ok(ours.map(|found| found.name).collect())
}

/// The names that a box may get, the best first.
fn names(
    context: &Context<'_>,
    arguments: &Start,
    configuration: &Configuration,
    repository: &Repository,
) -> Result<Vec<String>, Failure> {
    // In the tool before, a name was what names begin with.
    let begins = arguments
        .name
        .as_deref()
        .filter(|_| context.around.as_before);
    if let (Some(name), None) = (&arguments.name, begins) {
        if !is_name(name) {
            return Err(Failure::usage(format!(
                "--name {}: letters, digits, `_`, `.` and `-`, beginning with a letter or a digit",
                text::line(name)
            )));
        }
        return Ok(vec![name.clone()]);
    }
    let folder = repository
        .top
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let begins = begins.or_else(|| configuration.text("containerPrefix"));
    let prefix = slug(begins.unwrap_or(&folder));
    if arguments.runner {
        let others = (2..100).map(|count| format!("{prefix}-runner-{count}"));
        let first = format!("{prefix}-runner");
        return Ok(std::iter::once(first).chain(others).collect());
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let first = format!("{prefix}-{now}");
    let others = (2..100).map(|count| format!("{prefix}-{now}-{count}"));
    Ok(std::iter::once(first).chain(others).collect())
}

/// The first name that nothing else has, made the box's own by `create`.
fn reserve(
    engine: &Engine,
    repository: &Repository,
    names: Vec<String>,
    create: impl Fn(&str) -> Result<bool, Failure>,
) -> Result<String, Failure> {
    let only = names.len() == 1;
    for name in names {
        let branch = format!("refs/heads/claude/{}", plan::stamp_of(&name));
        if !only && repository.commit(&branch)?.is_some() {
            continue;
        }
        // What is in a volume belongs to a box that was removed without it.
        let volumes = volumes(&name);
        let mut arguments = vec!["volume", "inspect"];
        arguments.extend(volumes.iter().map(|(volume, _)| volume.as_str()));
        if !engine.inspect(&arguments).unwrap_or_default().is_empty() {
            continue;
        }
        if create(&name)? {
            return Ok(name);
        }
    }
    Err(
        Failure::failed("there is a box, or a volume of one, of that name already")
            .remedy("choose another with --name"),
    )
}

/// Text as a part of a name.
fn slug(text: &str) -> String {
    let character = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() { c } else { '-' }
    };
    let slug: String = text.chars().take(40).map(character).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() {
        "cib".to_owned()
    } else {
        slug.to_owned()
    }
}

/// The first session or shell of a box; `terminal` is whether this one is going to be given to it.
fn first(
    api: &Api,
    arguments: &Start,
    configuration: &Configuration,
    terminal: bool,
) -> Result<Value, Failure> {
    let shell =
        !configuration.is("autoStartClaude") || configuration.text("defaultShell") == Some("bash");
    if shell {
        let mut shell = api.post("/api/shells", &json!({"workdir": "/workspace"}))?;
        // As `attach` has it: the box does not say it of what can be nothing else.
        shell["program"] = json!("shell");
        return Ok(shell);
    }
    let driver = match configuration.text("driver") {
        Some(driver) => driver,
        None if terminal => "tty",
        None => "stream",
    };
    let mut body = json!({"workdir": "/workspace", "driver": driver});
    if let Some(model) = configuration.text("model") {
        body["model"] = json!(model);
    }
    if let Some(tools) = configuration.allowed_tools() {
        body["tools"] = json!({"allow": tools});
        body["permission_mode"] = json!("default");
    }
    let prompt = arguments.prompt.join(" ");
    if !prompt.is_empty() {
        body["prompt"] = json!(prompt);
    }
    Ok(api.post("/api/sessions", &body)?)
}

/// `cib start --again`: a box that was stopped.
pub(super) fn again(context: &Context<'_>, name: &str) -> Result<u8, Failure> {
    let (engine, found) = context.choose(Some(name))?;
    if !found.runs() {
        // One that has ended is of no use to a box that begins.
        if renew::is_over(context, &found) {
            renew::give(context, &engine, &found)?;
        }
        begin_again(&engine, &found)?;
    }
    let (found, api) = await_again(context, &engine, &found.name)?;
    renew::tell(context, &found);
    let url = reached(&engine, &api);
    let result = json!({"name": found.name, "branch": found.branch, "url": url});
    context.output.result(&result, || {
        let address = address(&engine, &api, &found.name);
        format!("Box     {}\nURL     {address}", found.name)
    });
    Ok(0)
}

/// Starts a box that was stopped, and what holds its network before it.
pub(super) fn begin_again(engine: &Engine, found: &Found) -> Result<(), Failure> {
    if found.holder.is_some() {
        holder::start(engine, &found.name)?;
    }
    engine.ask_for("start the box", &["start", &found.id])?;
    Ok(())
}

/// A box that was started once more, when it is healthy.
pub(super) fn await_again(
    context: &Context<'_>,
    engine: &Engine,
    name: &str,
) -> Result<(Found, Api), Failure> {
    let boxes = Boxes::of(engine)?;
    let found = boxes.named(name)?.clone();
    let api = context.api(engine, &found)?;
    if process::wait_each(GLANCE, BOOT, || api.is_healthy().then_some(())).is_none() {
        return Err(Failure::failed("the box did not become healthy in time")
            .remedy(making::last_lines(engine, name)));
    }
    Ok((found, api))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_name_becomes_a_part_of_a_boxs() {
        for (text, expected) in [
            ("My App", "my-app"),
            ("..", "cib"),
            ("Ünï", "n"),
            ("-x-", "x"),
        ] {
            assert_eq!(slug(text), expected);
            assert!(is_name(&format!("{}-20261129-194811", slug(text))));
        }
    }
}
