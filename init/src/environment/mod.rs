//! The environment variables of the box: one catalog, read into typed [`Settings`].
//!
//! [`Settings::read`] is a function of a map, so that tests need no environment of their own,
//! and it reports every fault at once. Nothing here reads the process's environment but
//! [`Environment::of_process`].

pub mod catalog;
mod cloud;
mod fault;
mod forges;
mod mqtt;
mod parse;
mod read;
mod reader;
mod reference;
mod secret_file;
mod settings;
mod source;
mod task;
mod unknown;
mod variable;
mod written;

pub use catalog::{CATALOG, FOREIGN, lookup};
pub use cloud::{Aws, Google};
pub use fault::{Fault, Place};
pub(crate) use fault::{nearest, quoted};
pub(crate) use parse::{Wrong, duration, path, size};
pub use read::Reading;
pub use reader::ReadFile;
pub use reference::markdown;
pub use secret_file::{SecretFileError, read_named_file, read_secret_file};
pub use settings::{
    Admin, AgentSettings, Auth, ContainerSettings, Credentials, EgressSettings, ExposedSecrets,
    GitSettings, HostKeyPolicy, JournalSync, KeySettings, LogFormat, LogLevel, Mode,
    OnSetupFailure, ProbeTarget, ProxyMode, Questions, Resume, SecretFile, SecretSettings,
    SessionSettings, SessionUsers, Settings, SetupRun, SetupSettings, Signing, TaskSettings,
};
pub use source::{Environment, FileSetting, FileSettings, Purpose, Value};
pub use variable::{Delivery, Group, Kind, Variable};

#[cfg(test)]
mod tests;
