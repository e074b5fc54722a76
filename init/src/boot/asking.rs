//! Asks ssh, git and GnuPG what they make of coder's configuration.
//!
//! A configuration that was made for another machine ends every call of ssh, git or GnuPG with
//! an error that an agent cannot do anything about. So each is run once as coder where there is
//! a file to read, with little time, and what it complains of is said when the box starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Output, Processes, Run};
use crate::spawn::{Command, Ids};
use crate::steps::git::Taken;
use crate::steps::keys::Keys;

/// None of them takes a tenth of this to read its files.
const PATIENCE: Duration = Duration::from_secs(3);
/// As many of a program's complaints are said.
const COMPLAINTS: usize = 5;
/// A host that ssh does not connect to here.
const HOST: &str = "github.com";

/// How coder's programs are run.
pub(super) struct Asking {
    pub(super) processes: Processes,
    pub(super) ids: Option<Ids>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) home: PathBuf,
    /// Whether an ssh-agent is relayed to coder.
    pub(super) forwarded: bool,
}

impl Asking {
    /// What is to be taken into account, and what a person has to know.
    pub(super) async fn ask(&self, keys: &Keys) -> (Taken, Vec<String>) {
        let mut warnings = Vec::new();
        let mut taken = Taken::default();
        // A copy beside the original is read in its place, and its owner and mode are right.
        let copied = keys.ssh_config.as_deref();
        let config = copied.map_or_else(|| self.home.join(".ssh/config"), Path::to_owned);
        if present(&config) {
            let file = copied.map(|path| vec!["-F".to_owned(), path.display().to_string()]);
            let words = [
                vec!["-G".to_owned()],
                file.unwrap_or_default(),
                vec![HOST.to_owned()],
            ];
            if let Some(output) = self.run("ssh", &words.concat()).await {
                self.ssh(&config, &output, &mut taken, &mut warnings);
            }
        }
        for (file, program, words) in [
            (".gitconfig", "git", &["config", "--global", "--list"][..]),
            (
                ".gnupg/gpg.conf",
                "gpg",
                &["--batch", "--no-autostart", "--gpgconf-test"],
            ),
        ] {
            if !present(&self.home.join(file)) {
                continue;
            }
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            if let Some(output) = self.run(program, &words).await
                && !output.exit.success()
            {
                warnings.extend(complaints(program, &output));
            }
        }
        (taken, warnings)
    }

    fn ssh(&self, config: &Path, output: &Output, taken: &mut Taken, warnings: &mut Vec<String>) {
        let said = String::from_utf8_lossy(&output.stderr);
        let unknown: Vec<Unknown> = said.lines().filter_map(unknown).collect();
        for option in &unknown {
            warnings.push(format!(
                "{}, line {}: ssh does not know `{}` here, and it is ignored",
                option.file, option.line, option.name
            ));
            if !taken.unknown.contains(&option.name) {
                taken.unknown.push(option.name.clone());
            }
        }
        if !output.exit.success() && unknown.is_empty() {
            warnings.extend(complaints("ssh", output));
        }
        let shown = String::from_utf8_lossy(&output.stdout);
        let agent = shown
            .lines()
            .find_map(|line| line.strip_prefix("identityagent "));
        if let Some(agent) = agent.filter(|agent| is_dead(agent)) {
            let instead = if self.forwarded {
                taken.agent_is_dead = true;
                "and the forwarded one is used"
            } else {
                "and nobody signs for ssh"
            };
            let config = config.display();
            warnings.push(format!(
                "{config}: there is no agent at its IdentityAgent {agent}, {instead}"
            ));
        }
    }

    async fn run(&self, program: &str, words: &[String]) -> Option<Output> {
        let mut command = Command::new(program)
            .args(words.iter().cloned())
            .env(self.environment.iter().cloned())
            .workdir("/");
        command.ids.clone_from(&self.ids);
        // An image without the program needs no word about its files.
        self.processes
            .run(command, Run::within(PATIENCE))
            .await
            .ok()
    }
}

/// Whether something bears that name, whatever it is.
fn present(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether a path is given and nothing is there.
fn is_dead(agent: &str) -> bool {
    agent.starts_with('/') && !present(Path::new(agent))
}

/// An option that ssh does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unknown {
    file: String,
    line: u32,
    name: String,
}

/// Reads `FILE: line 3: Bad configuration option: usekeychain`.
fn unknown(line: &str) -> Option<Unknown> {
    let (place, name) = line.split_once(": Bad configuration option: ")?;
    let (file, line) = place.rsplit_once(": line ")?;
    let name = name.trim();
    // It is written into a file that ssh reads.
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| Unknown {
        file: file.to_owned(),
        line: line.parse().unwrap_or_default(),
        name: name.to_owned(),
    })
}

/// A program's first words about what is wrong.
fn complaints(program: &str, output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    lines
        .take(COMPLAINTS)
        .map(|line| {
            let line: String = line.chars().take(300).map(plain).collect();
            format!("{program} does not take coder's configuration: {line}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_unknown_option_is_read_and_nothing_else() {
        let found =
            unknown("/home/coder/.ssh/config: line 3: Bad configuration option: usekeychain");
        let expected = Unknown {
            file: "/home/coder/.ssh/config".to_owned(),
            line: 3,
            name: "usekeychain".to_owned(),
        };
        assert_eq!(found, Some(expected));
        for other in [
            "/home/coder/.ssh/config: terminating, 1 bad configuration options",
            "/x: line 3: Bad configuration option: a b\" c",
            "/x: line 3: Bad configuration option: ",
        ] {
            assert_eq!(unknown(other), None, "{other}");
        }
    }

    #[test]
    fn an_agent_is_dead_if_its_path_leads_nowhere() {
        assert!(is_dead("/nowhere/agent"));
        for alive in ["/dev/null", "SSH_AUTH_SOCK", "none", "$AGENT"] {
            assert!(!is_dead(alive), "{alive}");
        }
    }
}
