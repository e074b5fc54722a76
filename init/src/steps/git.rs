//! What git and ssh are told for every user of the box, beside and below their own files.

use std::fs;
use std::io;
use std::path::Path;

use super::files::{FileError, failed, phrase, write_file};
use super::keys::Keys;
use super::outcome::Outcome;
use super::paths::Paths;
use crate::environment::{GitSettings, HostKeyPolicy, KeySettings, Signing};

/// Read by git before the user's and the repository's configuration.
const SYSTEM_GITCONFIG: &str = "/etc/gitconfig";
/// Read by ssh after the user's configuration; Debian's main file includes the folder.
const SYSTEM_SSH_CONFIG: &str = "/etc/ssh/ssh_config.d/claude-in-box.conf";

/// What ssh said of coder's own configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Options that it does not know.
    pub unknown: Vec<String>,
    /// Whether the agent that it names is not there, and another one is.
    pub agent_is_dead: bool,
}

/// Writes both configurations, and sees to it that programs read them.
///
/// # Errors
///
/// A file below [`Paths::run`] cannot be written.
pub fn prepare(
    paths: &Paths,
    git: &GitSettings,
    keys: &KeySettings,
    found: &Keys,
    taken: &Taken,
) -> Result<Outcome, FileError> {
    let mut outcome = Outcome::default();
    let main = ssh_main(paths, found, taken);
    let at = paths.at(paths.ssh_main());
    if main.is_none() && at.exists() {
        fs::remove_file(&at).map_err(failed("remove", &at))?;
    }
    let mut write = |path: &Path, text: &str| -> Result<(), FileError> {
        if write_file(&paths.at(path), text.as_bytes(), None, 0o644)? {
            outcome.changed(path, "written");
        }
        Ok(())
    };
    let mut text = git_config(paths, git);
    if let Some(main) = main {
        write(&paths.ssh_main(), &main)?;
        let main = paths.ssh_main();
        text.push_str(&format!(
            "[core]\n\tsshCommand = ssh -F {}\n",
            main.display()
        ));
    }
    write(&paths.git_config(), &text)?;
    if let Some(signers) = allowed_signers(git) {
        write(&paths.run.join("git/allowed_signers"), &signers)?;
    }
    write(&paths.ssh_config(), &ssh_config(paths, keys, found))?;
    if let Some(hosts) = &keys.known_hosts {
        write(&paths.known_hosts(), &format!("{hosts}\n"))?;
    }
    let include = format!("[include]\n\tpath = {}\n", paths.git_config().display());
    include_in(paths, SYSTEM_GITCONFIG, &include, &mut outcome);
    let include = format!("Include {}\n", paths.ssh_config().display());
    include_in(paths, SYSTEM_SSH_CONFIG, &include, &mut outcome);
    Ok(outcome)
}

/// Appends an include to a file that lacks it. The images carry both, so that nothing has to be
/// written to a read-only root; this is for images of other makers.
fn include_in(paths: &Paths, file: &str, include: &str, outcome: &mut Outcome) {
    let at = paths.at(file);
    let text = match cib_foreign::own::read_to_string(&at) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return outcome.warn(phrase(&failed("read", Path::new(file))(error))),
    };
    let needle = include
        .split_ascii_whitespace()
        .next_back()
        .unwrap_or(include);
    if text
        .lines()
        .any(|line| line.split_ascii_whitespace().any(|word| word == needle))
    {
        return;
    }
    // An empty text ends as it should.
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    match write_file(&at, format!("{text}{gap}{include}").as_bytes(), None, 0o644) {
        Ok(_) => outcome.changed(Path::new(file), format!("includes {needle}")),
        Err(error) => outcome.warn(format!("{needle} is read by nobody: {}", phrase(&error))),
    }
}

/// The text of git's configuration.
fn git_config(paths: &Paths, git: &GitSettings) -> String {
    let mut text = "# Written by cib-init at every start.\n".to_owned();
    let mut section = |name: &str, entries: &[(&str, &str)]| {
        text.push_str(&format!("[{name}]\n"));
        for (key, value) in entries {
            text.push_str(&format!("\t{key} = {}\n", git_value(value)));
        }
    };
    let workspace = paths.workspace.display().to_string();
    // A mounted folder mostly belongs to somebody else's id.
    section(
        "safe",
        &[
            ("directory", &workspace),
            ("directory", &format!("{workspace}/*")),
        ],
    );
    if let Some(name) = &git.user_name {
        section("user", &[("name", name)]);
    }
    if let Some(email) = &git.user_email {
        section("user", &[("email", email)]);
    }
    if git.signing == Signing::Off {
        return text;
    }
    if let Some(key) = &git.signing_key {
        let literal = git.signing == Signing::Ssh && is_public_key(key);
        let key = if literal {
            format!("key::{key}")
        } else {
            key.clone()
        };
        section("user", &[("signingKey", &key)]);
    }
    if git.signing == Signing::Ssh {
        section("gpg", &[("format", "ssh")]);
        if git.signing_key.is_none() {
            section("gpg \"ssh\"", &[("defaultKeyCommand", "ssh-add -L")]);
        }
        if allowed_signers(git).is_some() {
            let signers = paths.run.join("git/allowed_signers").display().to_string();
            section("gpg \"ssh\"", &[("allowedSignersFile", &signers)]);
        }
    } else {
        section("gpg", &[("format", "openpgp")]);
    }
    section("commit", &[("gpgSign", "true")]);
    section("tag", &[("gpgSign", "true")]);
    text
}

/// A value in git's own quotes. It holds no line break: the settings refuse those.
fn git_value(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a text is a public key itself and not the path of one.
fn is_public_key(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|kind| text.starts_with(kind))
        && text.contains(' ')
}

/// With the key and the address known, our own signatures can be verified.
fn allowed_signers(git: &GitSettings) -> Option<String> {
    let (email, key) = (git.user_email.as_ref()?, git.signing_key.as_ref()?);
    let known =
        git.signing == Signing::Ssh && is_public_key(key) && !email.contains([' ', '"', ',']);
    known.then(|| format!("{email} namespaces=\"git\" {key}\n"))
}

/// The text of ssh's configuration. ssh takes the first value that it finds for a keyword, and
/// reads this file last.
fn ssh_config(paths: &Paths, keys: &KeySettings, found: &Keys) -> String {
    let mut text = "# Written by cib-init at every start.\n".to_owned();
    let mut line = |keyword: &str, values: &[&Path]| {
        text.push_str(keyword);
        for value in values {
            text.push_str(&format!(" \"{}\"", value.display()));
        }
        text.push('\n');
    };
    if let Some(config) = &found.ssh_config {
        line("Include", &[config]);
    }
    line("Host *", &[]);
    for identity in &found.identities {
        line("IdentityFile", &[identity]);
    }
    if let Some(hosts) = &found.known_hosts {
        line(
            "UserKnownHostsFile",
            &[Path::new("~/.ssh/known_hosts"), hosts],
        );
    }
    if keys.known_hosts.is_some() {
        let hosts = paths.known_hosts();
        line(
            "GlobalKnownHostsFile",
            &[&hosts, Path::new("/etc/ssh/ssh_known_hosts")],
        );
    }
    text.push_str(match keys.host_keys {
        HostKeyPolicy::AcceptNew => "StrictHostKeyChecking accept-new\n",
        HostKeyPolicy::Strict => "StrictHostKeyChecking yes\n",
        HostKeyPolicy::Off => "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n",
    });
    text
}

/// What ssh is to read in place of coder's own file and the system's, if it cannot read the
/// first as it is. The launcher of the images and git give it to ssh.
fn ssh_main(paths: &Paths, found: &Keys, taken: &Taken) -> Option<String> {
    if found.ssh_config.is_none() && *taken == Taken::default() {
        return None;
    }
    let mut text = "# Written by cib-init at every start.\n".to_owned();
    if !taken.unknown.is_empty() {
        text.push_str(&format!("IgnoreUnknown {}\n", taken.unknown.join(",")));
    }
    if taken.agent_is_dead {
        text.push_str("IdentityAgent SSH_AUTH_SOCK\n");
    }
    let own = found.ssh_config.as_deref();
    for file in [
        own.unwrap_or(Path::new("~/.ssh/config")),
        &paths.ssh_config(),
        Path::new("/etc/ssh/ssh_config"),
    ] {
        text.push_str(&format!("Include \"{}\"\n", file.display()));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me";

    fn git() -> GitSettings {
        GitSettings {
            user_name: None,
            user_email: None,
            signing: Signing::Off,
            signing_key: None,
        }
    }

    fn keys() -> KeySettings {
        KeySettings {
            ssh_dir: None,
            gnupg_dir: None,
            agents: crate::environment::AgentSettings::default(),
            known_hosts: None,
            host_keys: HostKeyPolicy::AcceptNew,
        }
    }

    fn paths(root: &Path) -> Paths {
        let paths = Paths::below(root, "/data".into());
        for folder in ["run/cib/git", "run/cib/ssh", "etc/ssh/ssh_config.d"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        paths
    }

    #[test]
    fn values_cannot_break_out_of_their_quotes() {
        let git = GitSettings {
            user_name: Some(r#"A "b" \c # d"#.to_owned()),
            ..git()
        };
        let text = git_config(&paths(Path::new("/nonexistent/..")), &git);
        assert!(text.contains(r#"name = "A \"b\" \\c # d""#), "{text}");
    }

    #[test]
    fn signing_by_ssh_takes_the_key_itself_a_path_or_the_agents_first() {
        let paths = Paths::of_the_box("/data".into());
        let text = |key: Option<&str>| {
            let signing_key = key.map(str::to_owned);
            git_config(
                &paths,
                &GitSettings {
                    signing: Signing::Ssh,
                    signing_key,
                    ..git()
                },
            )
        };
        assert!(text(Some(KEY)).contains(&format!("signingKey = \"key::{KEY}\"")));
        assert!(text(Some("/home/coder/.ssh/id.pub")).contains("signingKey = \"/home/coder"));
        assert!(text(None).contains("defaultKeyCommand = \"ssh-add -L\""));
        for text in [text(Some(KEY)), text(None)] {
            assert!(text.contains("format = \"ssh\"") && text.contains("gpgSign = \"true\""));
        }
    }

    #[test]
    fn a_copy_of_keys_is_named_and_the_policy_comes_last() {
        let paths = Paths::of_the_box("/data".into());
        let found = Keys {
            identities: vec!["/dev/shm/cib-keys/ssh/id_ed25519".into()],
            ssh_config: Some("/dev/shm/cib-keys/ssh/config".into()),
            ..Keys::default()
        };
        assert_eq!(
            ssh_config(&paths, &keys(), &found),
            "# Written by cib-init at every start.\n\
             Include \"/dev/shm/cib-keys/ssh/config\"\n\
             Host *\n\
             IdentityFile \"/dev/shm/cib-keys/ssh/id_ed25519\"\n\
             StrictHostKeyChecking accept-new\n"
        );
    }

    #[test]
    fn ssh_reads_a_file_of_ours_only_where_coders_own_does_not_do() {
        let paths = Paths::of_the_box("/data".into());
        let main = |found: &Keys, taken: &Taken| ssh_main(&paths, found, taken);
        assert_eq!(main(&Keys::default(), &Taken::default()), None);
        let taken = Taken {
            unknown: vec!["usekeychain".to_owned(), "other".to_owned()],
            agent_is_dead: true,
        };
        assert_eq!(
            main(&Keys::default(), &taken).unwrap(),
            "# Written by cib-init at every start.\n\
             IgnoreUnknown usekeychain,other\n\
             IdentityAgent SSH_AUTH_SOCK\n\
             Include \"~/.ssh/config\"\n\
             Include \"/run/cib/ssh/config\"\n\
             Include \"/etc/ssh/ssh_config\"\n"
        );
        let copied = Keys {
            ssh_config: Some("/run/cib/keys/ssh/config".into()),
            ..Keys::default()
        };
        let text = main(&copied, &Taken::default()).unwrap();
        assert!(
            text.contains("Include \"/run/cib/keys/ssh/config\""),
            "{text}"
        );
        assert!(!text.contains("~/.ssh/config"), "{text}");
    }

    #[test]
    fn includes_are_added_once_and_other_settings_stay() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        fs::write(root.path().join("etc/gitconfig"), "[core]\n\tpager = less").unwrap();
        let first = prepare(&paths, &git(), &keys(), &Keys::default(), &Taken::default()).unwrap();
        assert_eq!(first.warnings, [""; 0]);
        let text = fs::read_to_string(root.path().join("etc/gitconfig")).unwrap();
        assert_eq!(
            text,
            "[core]\n\tpager = less\n[include]\n\tpath = /run/cib/git/config\n"
        );
        let second = prepare(&paths, &git(), &keys(), &Keys::default(), &Taken::default()).unwrap();
        assert_eq!(second, Outcome::default());
        let conf = root.path().join("etc/ssh/ssh_config.d/claude-in-box.conf");
        assert_eq!(
            fs::read_to_string(conf).unwrap(),
            "Include /run/cib/ssh/config\n"
        );
    }

    #[test]
    fn an_image_without_the_folder_of_ssh_is_warned_of() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        fs::remove_dir_all(root.path().join("etc/ssh")).unwrap();
        let outcome =
            prepare(&paths, &git(), &keys(), &Keys::default(), &Taken::default()).unwrap();
        assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
        assert!(outcome.warnings[0].starts_with("/run/cib/ssh/config is read by nobody"));
    }
}
