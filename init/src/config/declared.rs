//! A `[service.NAME]` table, and the [`Service`] that it declares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::document::{Cell, Set, Table};
use super::probe::probe;
use super::service::{Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service};
use crate::environment::{Environment, Fault, Place, Wrong, duration, lookup, path, quoted, size};

/// A declared service, and the places that later faults are about.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// The service. Its environment holds what its table names and nothing else.
    pub(super) service: Service,
    /// Where its `needs` stand, or the service itself.
    pub(super) needs_place: Place,
}

/// Takes a table apart. `place` is where the service was first named.
pub(super) fn service(
    name: &str,
    mut table: Table<'_>,
    place: &Place,
    outside: &Environment,
    faults: &mut Vec<Fault>,
) -> Option<Declared> {
    if let Err(wrong) = check_name(name) {
        faults.push(Fault::new(place.clone(), wrong.problem, wrong.remedy));
    }
    let before = faults.len();
    let command = table.value(faults, "command", Cell::command);
    if command.is_none() && faults.len() == before {
        faults.push(Fault::new(
            place.clone(),
            format!("the service {} has no command", quoted(name)),
            "write command = [\"program\", \"argument\"]",
        ));
    }
    let needs = table.take(faults, "needs", |cell| {
        cell.list(|item| item.text().map(str::to_owned))
    });
    let environment = environment(&mut table, outside, faults);
    let readiness = Readiness {
        probe: table
            .value(faults, "ready", |cell| probe(cell))
            .unwrap_or(Probe::None),
        timeout: span(&mut table, faults, "ready_timeout", Duration::from_secs(30)),
    };
    let restart = restart(&mut table, faults);
    let limits = match table.value(faults, "limits", Cell::table) {
        Some(inner) => limits(inner, faults),
        None => ResourceLimits::default(),
    };
    let service = Service {
        name: name.to_owned(),
        command: command.unwrap_or_default(),
        user: table
            .value(faults, "user", account)
            .unwrap_or_else(|| "coder".to_owned()),
        group: table.value(faults, "group", account),
        environment,
        workdir: table
            .value(faults, "workdir", |cell| path(cell.text()?))
            .unwrap_or_else(|| PathBuf::from("/")),
        needs: needs
            .as_ref()
            .map(|set| set.value.clone())
            .unwrap_or_default(),
        readiness,
        restart,
        stop_signal: table
            .value(faults, "stop_signal", stop_signal)
            .unwrap_or(libc::SIGTERM),
        grace: span(&mut table, faults, "grace", Duration::from_secs(5)),
        limits,
        essential: table
            .value(faults, "essential", Cell::yes_or_no)
            .unwrap_or(false),
        umask: table.value(faults, "umask", umask).unwrap_or(0o022),
    };
    table.finish(faults);
    let needs_place = needs.map_or_else(|| place.clone(), |Set { place, .. }| place);
    (faults.len() == before).then_some(Declared {
        service,
        needs_place,
    })
}

/// A name that can stand in a log line, in a path and on a command line.
fn check_name(name: &str) -> Result<(), Wrong> {
    let wellformed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 32
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !wellformed {
        return Err(Wrong::new(
            format!("{} cannot name a service", quoted(name)),
            "take up to 32 lower-case letters, digits and hyphens, a letter first",
        ));
    }
    if super::RESERVED.contains(&name) {
        return Err(Wrong::new(
            format!("`{name}` is a name of the box's own"),
            "take another name",
        ));
    }
    Ok(())
}

/// A user or group: a name or a number.
fn account(cell: &Cell<'_>) -> Result<String, Wrong> {
    let name = cell.scalar()?;
    let usable = !name.is_empty() && !name.contains([':', '\n', '\0', '/']);
    usable
        .then_some(name)
        .ok_or_else(|| Wrong::new("is no name", "write a name or a number"))
}

/// `environment` and what `pass_environment` takes from outside.
fn environment(
    table: &mut Table<'_>,
    outside: &Environment,
    faults: &mut Vec<Fault>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let passed = table.take(faults, "pass_environment", |cell| cell.list(passed_name));
    for name in passed.into_iter().flat_map(|set| set.value) {
        if let Some(value) = outside.get(&name) {
            environment.insert(name, value.to_owned());
        }
    }
    let own = table.value(faults, "environment", |cell| {
        let mut own = Vec::new();
        for (name, value) in cell
            .entries()
            .ok_or_else(|| Wrong::new("is not a table", "write { NAME = \"value\" }"))?
        {
            if name.is_empty() || name.contains(['=', '\0']) {
                let problem = format!("has the name {}", quoted(name));
                return Err(Wrong::new(problem, "write a variable's name"));
            }
            own.push((name.to_owned(), value.scalar()?));
        }
        Ok(own)
    });
    environment.extend(own.unwrap_or_default());
    environment
}

/// The name of a variable that a service may have: none of the box's secrets.
fn passed_name(cell: &Cell<'_>) -> Result<String, Wrong> {
    let name = cell.text()?;
    let base = name.strip_suffix("_FILE").unwrap_or(name);
    if lookup(name)
        .or_else(|| lookup(base))
        .is_some_and(|variable| variable.secret())
    {
        return Err(Wrong::new(
            format!("names {}, which is a secret of the box", quoted(name)),
            "give the service a secret of its own",
        ));
    }
    Ok(name.to_owned())
}

fn restart(table: &mut Table<'_>, faults: &mut Vec<Fault>) -> Restart {
    let policy = table.value(faults, "restart", |cell| match cell.text()? {
        "always" => Ok(RestartPolicy::Always),
        "on-failure" => Ok(RestartPolicy::OnFailure),
        "never" => Ok(RestartPolicy::Never),
        other => Err(Wrong::new(
            format!("{} is not understood", quoted(other)),
            "write always, on-failure or never",
        )),
    });
    let backoff_min = span(table, faults, "restart_delay", Duration::from_millis(100));
    let longest = table.take(faults, "restart_delay_max", |cell| {
        duration(&cell.scalar()?)
    });
    if let Some(set) = &longest
        && set.value < backoff_min
    {
        faults.push(Fault::new(
            set.place.clone(),
            "`restart_delay_max` is less than `restart_delay`",
            "write a longer one",
        ));
    }
    let give_up_after = table.value(faults, "give_up_after", |cell| {
        u32::try_from(cell.integer()?)
            .map_err(|_| Wrong::new("is too large", "write 0 to never give up"))
    });
    Restart {
        policy: policy.unwrap_or(RestartPolicy::Always),
        backoff_min,
        backoff_max: longest.map_or(backoff_min.max(Duration::from_secs(30)), |set| set.value),
        give_up_after: match give_up_after {
            None => Some(10),
            Some(0) => None,
            Some(runs) => Some(runs),
        },
    }
}

fn span(
    table: &mut Table<'_>,
    faults: &mut Vec<Fault>,
    key: &'static str,
    default: Duration,
) -> Duration {
    table
        .value(faults, key, |cell| duration(&cell.scalar()?))
        .unwrap_or(default)
}

fn stop_signal(cell: &Cell<'_>) -> Result<i32, Wrong> {
    let text = cell.scalar()?;
    crate::signals::parse(&text).ok_or_else(|| {
        Wrong::new(
            format!("{} is no signal", quoted(&text)),
            "write e.g. TERM, INT or QUIT",
        )
    })
}

fn umask(cell: &Cell<'_>) -> Result<u32, Wrong> {
    let wrong = || Wrong::new("is not an octal mode", "write e.g. \"022\" or \"077\"");
    let text = cell.text()?;
    let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let bits = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    bits.filter(|bits| *bits <= 0o777).ok_or_else(wrong)
}

fn limits(mut table: Table<'_>, faults: &mut Vec<Fault>) -> ResourceLimits {
    let bytes = |cell: &Cell<'_>| size(&cell.scalar()?);
    let limits = ResourceLimits {
        open_files: table.value(faults, "open_files", Cell::integer),
        processes: table.value(faults, "processes", Cell::integer),
        core_bytes: table.value(faults, "core", bytes),
        memory_bytes: table.value(faults, "memory", bytes),
        tasks: table.value(faults, "tasks", Cell::integer),
        cpu_milli: table.value(faults, "cpus", cpus),
    };
    table.finish(faults);
    limits
}

/// CPUs as thousandths of one.
fn cpus(cell: &Cell<'_>) -> Result<u64, Wrong> {
    let number = cell.number()?;
    if (0.001..=100_000.0).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 100 million after the check"
        )]
        return Ok((number * 1000.0).round() as u64);
    }
    Err(Wrong::new("is no number of CPUs", "write e.g. 0.5 or 2"))
}
