//! `init.toml`, its drop-ins, the services that they define, and all of it put together with
//! the environment.
//!
//! ```toml
//! [settings]              # what no variable says otherwise, see the reference of variables
//! lan = ["192.168.1.0/24"]
//!
//! [service.redis]
//! command = ["redis-server", "--port", "6379"]
//! ready = { listen = "127.0.0.1:6379" }
//! ```

mod declared;
mod document;
mod files;
pub mod graph;
mod probe;
pub mod service;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

pub use document::SourceFile;
pub use service::{
    ListenAddress, Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service,
};

use crate::environment::{
    Environment, Fault, FileSettings, Place, ReadFile, Settings, read_named_file,
};
use declared::Declared;
use document::Table;

/// Where configuration files stand.
pub const DIRECTORY: &str = "/etc/claude-in-box";

/// Names that no configured service may have: the box's own services and log names.
pub const RESERVED: &[&str] = &[
    "agent", "connect", "control", "egress", "files", "init", "redsocks", "resolver", "session",
    "setup", "task",
];

/// The box's own services that a configured one may need. The way out always stands before
/// configured services start.
pub const NEEDABLE: &[&str] = &["control"];

/// Everything that was asked for, checked.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What the variables and `[settings]` say.
    pub settings: Settings,
    /// The configured services, each after those of them that it needs. Their environment
    /// holds only what their tables name; [`crate::steps::child_env`] completes it.
    pub services: Vec<Service>,
    /// What is odd and does not keep the box from starting.
    pub warnings: Vec<Fault>,
}

/// Why the box does not start (exit code 78). `Display` is one line for each fault.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Every fault, those of the environment first. At least one.
    pub faults: Vec<Fault>,
    /// As [`Configuration::warnings`].
    pub warnings: Vec<Fault>,
    /// What could be understood, so that the host can be judged in the same go.
    pub understood: Box<Settings>,
}

impl Configuration {
    /// Reads the files in `directory` and the environment.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with every fault of both.
    pub fn load(directory: &Path, environment: &Environment) -> Result<Self, Refusal> {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let files = files::read(directory, &mut faults, &mut warnings);
        Self::assembled(&files, environment, &read_named_file, faults, warnings)
    }

    /// Puts files, of which the later ones win, and the environment together.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with every fault of all of them.
    pub fn assemble(
        files: &[SourceFile],
        environment: &Environment,
        read_file: &ReadFile<'_>,
    ) -> Result<Self, Refusal> {
        Self::assembled(files, environment, read_file, Vec::new(), Vec::new())
    }

    /// As [`Configuration::assemble`], with what is known to be wrong or odd already.
    fn assembled(
        files: &[SourceFile],
        environment: &Environment,
        read_file: &ReadFile<'_>,
        known_faults: Vec<Fault>,
        known_warnings: Vec<Fault>,
    ) -> Result<Self, Refusal> {
        let (defaults, services, file_faults) = parse(files, environment);
        let reading = Settings::read(environment, &defaults, read_file);
        let mut warnings = reading.warnings;
        warnings.extend(known_warnings);
        let mut faults = reading.settings.err().unwrap_or_default();
        faults.extend(file_faults);
        faults.extend(known_faults);
        let settings = reading.understood;
        if faults.is_empty() {
            return Ok(Self {
                settings,
                services,
                warnings,
            });
        }
        Err(Refusal {
            faults,
            warnings,
            understood: Box::new(settings),
        })
    }
}

/// What files say: values for variables, services in start order, and what is wrong. A service
/// with a fault is left out.
#[must_use]
pub fn parse(
    files: &[SourceFile],
    environment: &Environment,
) -> (FileSettings, Vec<Service>, Vec<Fault>) {
    let mut faults = Vec::new();
    let documents: Vec<_> = files
        .iter()
        .map(|file| (file, document::parse(file, &mut faults)))
        .collect();
    let mut of_settings = Table::default();
    // By name, with the place where each was named first; in the order of those places.
    let mut names: Vec<(&str, Place)> = Vec::new();
    let mut of_service: BTreeMap<&str, Table<'_>> = BTreeMap::new();
    for (file, table) in &documents {
        for (key, cell) in document::entries(file, table.get_ref()) {
            let Some(entries) = cell.entries() else {
                faults.push(document::unknown(
                    &cell,
                    key,
                    &["[settings]", "[service.NAME]"],
                ));
                continue;
            };
            match key {
                "settings" => of_settings.overlay(entries),
                "service" => {
                    for (name, cell) in entries {
                        let Some(entries) = cell.entries() else {
                            faults.push(document::unknown(&cell, name, &["[service.NAME]"]));
                            continue;
                        };
                        if !of_service.contains_key(name) {
                            names.push((name, cell.place()));
                        }
                        of_service.entry(name).or_default().overlay(entries);
                    }
                }
                _ => faults.push(document::unknown(&cell, key, &["settings", "service"])),
            }
        }
    }
    let defaults = settings::settings(of_settings, &mut faults);
    let mut declared = Vec::new();
    for (name, place) in &names {
        let table = of_service.remove(name).unwrap_or_default();
        declared.extend(declared::service(
            name,
            table,
            place,
            environment,
            &mut faults,
        ));
    }
    let services = in_order(&declared, &names, &mut faults);
    (defaults, services, faults)
}

/// Services after what they need. Needs are checked against every name that was declared, so
/// that a service with a fault of its own is not also missed by others.
fn in_order(
    declared: &[Declared],
    names: &[(&str, Place)],
    faults: &mut Vec<Fault>,
) -> Vec<Service> {
    let needs_of = |name: &str| {
        declared
            .iter()
            .find(|declared| declared.service.name == name)
    };
    let own = NEEDABLE
        .iter()
        .filter(|own| names.iter().all(|(name, _)| name != *own))
        .map(|name| graph::Node {
            name,
            needs: Vec::new(),
        });
    let nodes: Vec<graph::Node<'_>> = own
        .chain(names.iter().map(|(name, _)| {
            graph::Node {
                name,
                needs: needs_of(name)
                    .map(|declared| declared.service.needs.iter().map(String::as_str).collect())
                    .unwrap_or_default(),
            }
        }))
        .collect();
    match graph::order(&nodes) {
        Ok(order) => {
            let position = |service: &Service| {
                order
                    .iter()
                    .position(|&index| nodes[index].name == service.name)
            };
            let mut services: Vec<Service> = declared
                .iter()
                .map(|declared| declared.service.clone())
                .collect();
            services.sort_by_key(position);
            services
        }
        Err(wrong) => {
            for fault in wrong {
                let (name, remedy) = match &fault {
                    graph::GraphFault::Cycle { path } => {
                        (path.first(), "take one of the needs out".to_owned())
                    }
                    graph::GraphFault::Unknown { name, .. } => (
                        Some(name),
                        "need a service that is configured, or control".to_owned(),
                    ),
                    graph::GraphFault::Twice { name } => (Some(name), "rename one".to_owned()),
                };
                let place = name
                    .and_then(|name| needs_of(name))
                    .map_or(Place::File(DIRECTORY.into()), |declared| {
                        declared.needs_place.clone()
                    });
                faults.push(Fault::new(place, fault.to_string(), remedy));
            }
            Vec::new()
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
