//! Starting Claude under either driver, for the first time and again.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cib_protocol::frame::Meta;
use cib_protocol::session::{self, SessionSpec, State};
use cib_protocol::time::Timestamp;
use uuid::Uuid;

use super::driver::{Driver, Output, Terminal};
use super::end::Why;
use super::hooks::{self, Hooks};
use super::requests::sized;
use super::watch::Watch;
use super::{Keeper, Options, line_limits};
use crate::claude::Process;
use crate::claude::command::{CommandLine, Conversation, environment, toolbox};
use crate::claude::version;
use crate::home::{self, Home};
use crate::ledger::Ledger;
use crate::runner::Runner;
use crate::settings::{IMAGE_HOOKS, Settings, quoted};
use crate::stream_json::lines::Splitter;
use crate::stream_json::{self, Stream};
use crate::tty::Tty;
use crate::tty::events::Abilities;

/// Name of the folder in the runtime directory that holds what Claude's user wrote there.
const USER: &str = "user";

/// What Claude is to be started with.
pub(super) struct Launch<'a> {
    pub(super) spec: &'a SessionSpec,
    pub(super) options: &'a Options,
    pub(super) runner: &'a mut Runner,
    /// What was found in the files of Claude's user.
    pub(super) home: Home,
    pub(super) command: &'a mut CommandLine,
    pub(super) model: Option<String>,
    pub(super) ledger: Ledger,
    /// US dollars that the conversation has cost.
    pub(super) cost: f64,
    /// Columns and rows.
    pub(super) size: (u16, u16),
}

/// A Claude that has been started, with the first output of its driver.
pub(super) struct Launched {
    pub(super) claude: Process,
    pub(super) driver: Driver,
    pub(super) output: Output,
}

impl Launch<'_> {
    /// Starts Claude under a driver.
    pub(super) fn start(mut self, kind: session::Driver) -> io::Result<Launched> {
        match kind {
            session::Driver::Stream => self.stream(),
            session::Driver::Tty => self.tty(),
        }
    }

    fn stream(&mut self) -> io::Result<Launched> {
        let mut settings = Settings::default();
        if self.has_hooks() {
            // The same patience and bounds as on a terminal.
            settings = Settings::wrapped(format!("{} --run", hook_command(None)?));
            let abilities = self.ask_version()?;
            self.add_hooks(&mut settings, abilities);
        }
        self.add_tools(&mut settings);
        self.write_files(&settings)?;
        let model = self.model.as_deref();
        let command = self.command.stream(self.spec, model);
        let claude = self.runner.start(&command)?;
        let mut stream = Stream::new(self.ledger.clone(), self.cost);
        let mut out = stream_json::Out::default();
        stream.initialize(&mut out);
        for note in settings.notes {
            stream.note(note, &mut out);
        }
        Ok(Launched {
            claude,
            driver: Driver::Stream {
                lines: Splitter::new(line_limits(self.options)),
                stream: Box::new(stream),
            },
            output: out.into(),
        })
    }

    fn tty(&mut self) -> io::Result<Launched> {
        let runtime = &self.options.runtime;
        let limits = line_limits(self.options);
        let abilities = self.ask_version()?;
        let hooks = Hooks::listen(runtime, self.runner.uid(), limits)?;
        let carrier = hook_command(Some(&runtime.join(hooks::SOCKET)))?;
        let mut settings = Settings::wrapped(format!("{carrier} --run"));
        self.add_hooks(&mut settings, abilities);
        settings.add_own(&carrier, abilities);
        self.add_tools(&mut settings);
        self.write_files(&settings)?;
        let id = self.command.conversation.id().to_string();
        let found = self.home.transcript.take();
        let transcript = found.filter(|(path, _)| path.file_stem() == Some(OsStr::new(&id)));
        let mut watch = Watch::start(self.runner, self.spec, transcript, limits)?;
        let started = Timestamp::now();
        let command = self.command.tty(self.spec, self.model.as_deref());
        let claude = match self.runner.start_on_terminal(&command, self.size) {
            Ok(claude) => claude,
            Err(error) => {
                watch.end(self.runner);
                return Err(error);
            }
        };
        watch.process(claude.pid);
        let mut output = Output::default();
        output.frames.push(sized(self.size));
        for note in settings.notes {
            self.ledger.note(note, &mut output.frames);
        }
        let tty = Tty::new(self.ledger.clone(), abilities, started, self.cost);
        Ok(Launched {
            claude,
            driver: Driver::Tty(Box::new(Terminal { tty, hooks, watch })),
            output,
        })
    }

    /// Whether anybody but the keeper has hooks.
    fn has_hooks(&self) -> bool {
        let others = [&self.home.hooks.is_some(), &Path::new(IMAGE_HOOKS).exists()];
        self.spec.hooks.is_some() || others.into_iter().any(|has| *has)
    }

    /// Adds the hooks of the image, of the user and of the session.
    fn add_hooks(&self, settings: &mut Settings, abilities: Abilities) {
        settings.add_file(Path::new(IMAGE_HOOKS), abilities);
        if let Some(text) = &self.home.hooks {
            settings.add_users(text, abilities);
        }
        if let Some(events) = &self.spec.hooks {
            settings.add_events("the session's hooks", events.clone(), abilities);
        }
    }

    /// Adds the session's rules for tools.
    fn add_tools(&self, settings: &mut Settings) {
        if let Some(tools) = &self.spec.tools {
            settings.add_tools(tools);
        }
    }

    /// Writes the files that Claude is told of: its settings, Google's credentials, its only tools.
    fn write_files(&mut self, settings: &Settings) -> io::Result<()> {
        let old = [
            self.command.settings.take(),
            self.command.google.take(),
            self.command.toolbox.take(),
        ];
        for file in old.into_iter().flatten() {
            // Of an earlier Claude, which is gone.
            let _ = fs::remove_file(file);
        }
        let google = std::env::var(session::GOOGLE_CREDENTIALS).ok();
        self.command.settings = self.write("settings", settings.text())?;
        self.command.google = self.write("google", google)?;
        let tools = self.spec.toolbox.as_deref().map(toolbox);
        self.command.toolbox = self.write("tools", tools)?;
        Ok(())
    }

    fn write(&mut self, name: &str, text: Option<String>) -> io::Result<Option<PathBuf>> {
        let Some(text) = text else {
            return Ok(None);
        };
        // It is that user's alone, and what this process writes would be its own. Nobody else
        // finds the name, nor room for anything before and after.
        let dir = self.options.runtime.join(USER);
        let path = dir.join(format!("{name}-{}.json", Uuid::new_v4()));
        open_for_others(&dir, 0o733)?;
        let stored = home::store(self.runner, &path, &text);
        open_for_others(&dir, 0o711)?;
        stored?;
        Ok(Some(path))
    }

    fn ask_version(&mut self) -> io::Result<Abilities> {
        let mut command = Command::new(&self.command.program);
        environment(&mut command, self.spec);
        Ok(Abilities::of(&version::ask(self.runner, command)?))
    }
}

impl Keeper {
    /// Goes on with another process where this one's end was no end of the session: it did not
    /// know an option that it can do without, or the driver is to be changed. Returns whether
    /// it did.
    pub(super) fn start_again(&mut self) -> bool {
        match self.leaving.as_ref().map(|leaving| leaving.why) {
            None => self.retry(),
            Some(Why::Switch(driver)) => self.switch(driver),
            Some(_) => false,
        }
    }

    fn retry(&mut self) -> bool {
        if self.driver.state() != State::Starting {
            return false;
        }
        let complaints = self.claude.complaints.text().unwrap_or_default();
        if !self.command.learn(&complaints) {
            return false;
        }
        let now_ms = self.clock.now_ms();
        let Driver::Stream { stream, .. } = &mut self.driver else {
            return false;
        };
        let mut stream = stream.again(now_ms);
        let command = self
            .command
            .stream(&self.spec, self.record.meta.model.as_deref());
        let Ok(claude) = self.runner.start(&command) else {
            return false;
        };
        let mut out = stream_json::Out::default();
        stream.initialize(&mut out);
        self.adopt(Launched {
            claude,
            driver: Driver::Stream {
                lines: Splitter::new(line_limits(&self.options)),
                stream: Box::new(stream),
            },
            output: out.into(),
        });
        true
    }

    /// Continues the conversation under the other driver.
    fn switch(&mut self, kind: session::Driver) -> bool {
        let now_ms = self.clock.now_ms();
        let output = self.driver.ended(now_ms);
        self.take(output);
        let output = self.driver.set_state(State::Starting, now_ms);
        self.take(output);
        if let Driver::Tty(terminal) = &self.driver {
            terminal.watch.end(&mut self.runner);
        }
        // A conversation in which nothing was said has no transcript to resume.
        let conversation = self.command.conversation;
        let id = conversation.id();
        let home = match home::visit(&mut self.runner, &self.spec, &id.to_string()) {
            Ok(home) => home,
            Err(error) => {
                tracing::warn!("cannot change the driver: {error}");
                return false;
            }
        };
        self.command.conversation = match home.transcript {
            Some(_) => conversation.again(),
            None => Conversation::New(id),
        };
        self.spec.permission_mode = self.record.meta.permission_mode;
        self.spec.effort.clone_from(&self.record.meta.effort);
        let mut ledger = self.driver.ledger().again(now_ms);
        let mut frames = Vec::new();
        let driver = Some(kind);
        ledger.tell(
            Meta {
                driver,
                ..Meta::default()
            },
            &mut frames,
        );
        self.record.append(frames);
        let launch = Launch {
            spec: &self.spec,
            options: &self.options,
            runner: &mut self.runner,
            home,
            command: &mut self.command,
            model: self.record.meta.model.clone(),
            ledger,
            cost: self.record.meta.usage.cost_usd,
            size: self.size,
        };
        match launch.start(kind) {
            Ok(launched) => {
                self.leaving = None;
                self.record.amend(|meta| meta.ended_in = None);
                self.adopt(launched);
                true
            }
            Err(error) => {
                tracing::warn!("cannot change the driver: {error}");
                false
            }
        }
    }

    /// Takes up a Claude that follows another one.
    fn adopt(&mut self, launched: Launched) {
        self.claude = launched.claude;
        self.driver = launched.driver;
        self.exit = None;
        self.close_by = None;
        self.answer_by = Some(self.clock.now_ms() + self.options.start_ms);
        self.begin(launched.output);
    }

    /// Begins with a Claude that has just been started.
    pub(super) fn begin(&mut self, output: Output) {
        self.name_driver();
        let pid = u32::try_from(self.claude.pid).ok();
        self.record.amend(|meta| meta.claude_pid = pid);
        self.take(output);
    }
}

/// Makes a folder of this process's own with rights for others.
fn open_for_others(dir: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

/// What Claude's shell runs for a hook: this program again.
fn hook_command(socket: Option<&Path>) -> io::Result<String> {
    let program = std::env::current_exe()?;
    let mut command = format!("{} hook", quoted(&program.display().to_string()));
    if let Some(socket) = socket {
        command.push_str(" --socket ");
        command.push_str(&quoted(&socket.display().to_string()));
    }
    Ok(command)
}
