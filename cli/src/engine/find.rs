//! Finding an engine: the places that are looked at, in order, and what would help.

use std::path::{Path, PathBuf};

use crate::surroundings::Surroundings;

/// Which program speaks to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `docker`, whatever is behind it.
    Docker,
    /// `podman`.
    Podman,
    /// `nerdctl`.
    Nerdctl,
}

impl Kind {
    /// The kind of a program, by its name.
    #[must_use]
    pub fn of(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("podman") {
            Self::Podman
        } else if name.starts_with("nerdctl") {
            Self::Nerdctl
        } else {
            Self::Docker
        }
    }

    /// Its program's name.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
        }
    }
}

/// A place where an engine may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who named it.
    pub origin: String,
    /// The program that speaks to it, as a name or a path.
    pub program: String,
    /// Its address, if not the one that the program takes by itself.
    pub host: Option<String>,
}

/// A place that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Who named it, and what it is.
    pub place: String,
    /// Why it is none.
    pub why: String,
}

/// The places to look at, in order. One that was named (`--engine`, `CIB_ENGINE`, the
/// configuration) is the only one.
#[must_use]
pub fn candidates(
    around: &Surroundings,
    flag: Option<&str>,
    socket: Option<(&str, &str)>,
) -> Vec<Candidate> {
    let named = flag
        .map(|engine| ("--engine", engine))
        // The word for whatever is there, which other commands of the project know.
        .or_else(|| Some(("CIB_ENGINE", around.variable("CIB_ENGINE")?)))
        .filter(|(_, engine)| *engine != "auto");
    if let Some((origin, engine)) = named {
        return of_word(origin, engine);
    }
    if let Some((origin, path)) = socket {
        return at(origin, &format!("unix://{path}"));
    }
    let place = |origin: &str, program: &str, host: Option<String>| Candidate {
        origin: origin.to_owned(),
        program: program.to_owned(),
        host,
    };
    let mut places = Vec::new();
    if around.variable("DOCKER_HOST").is_some() {
        places.push(place("DOCKER_HOST", "docker", None));
    }
    if around.variable("CONTAINER_HOST").is_some() {
        places.push(place("CONTAINER_HOST", "podman", None));
    }
    if let Some(host) = around.variable("DOCKER_HOST") {
        // Only podman may be installed to speak to it.
        places.push(place("DOCKER_HOST", "podman", Some(host.to_owned())));
    }
    places.push(place("docker's current context", "docker", None));
    places.push(place("podman", "podman", None));
    for socket in sockets(around) {
        let origin = socket.display().to_string();
        places.extend(at(&origin, &format!("unix://{origin}")));
    }
    places
}

/// A name of a program, a path of one, an address, or a path of a socket. Only a person says
/// such a word: a repository's file names a socket and nothing that is started.
fn of_word(origin: &str, word: &str) -> Vec<Candidate> {
    if word.contains("://") {
        return at(origin, word);
    }
    if word.starts_with('/') && word.contains(".sock") {
        return at(origin, &format!("unix://{word}"));
    }
    vec![Candidate {
        origin: origin.to_owned(),
        program: word.to_owned(),
        host: None,
    }]
}

/// An address, for both programs that may speak to it.
fn at(origin: &str, host: &str) -> Vec<Candidate> {
    let programs = if host.contains("podman") {
        ["podman", "docker"]
    } else {
        ["docker", "podman"]
    };
    let one = |program: &str| Candidate {
        origin: origin.to_owned(),
        program: program.to_owned(),
        host: Some(host.to_owned()),
    };
    programs.map(one).into()
}

/// Whether an address is one of another machine. Podman's machine has its own on this one's
/// loopback, and what its containers publish is there, too.
#[must_use]
pub fn is_remote(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else {
        return false;
    };
    if matches!(scheme, "unix" | "npipe") {
        return false;
    }
    let machine = rest.contains("/podman/podman.sock") || rest.starts_with("core@");
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    !(machine && matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
}

/// The context that a person has chosen for docker, as its own file has it.
#[must_use]
pub fn chosen_context(around: &Surroundings) -> Option<String> {
    let folder = match around.variable("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => around.home()?.join(".docker"),
    };
    let text = cib_foreign::read_to_string(&folder.join("config.json"), 1 << 20).ok()?;
    let file: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(file["currentContext"].as_str()?.to_owned())
}

/// Where sockets usually are.
fn sockets(around: &Surroundings) -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(runtime) = around.variable("XDG_RUNTIME_DIR") {
        sockets.push(Path::new(runtime).join("podman/podman.sock"));
    }
    let user = format!("/run/user/{}/podman/podman.sock", nix::unistd::getuid());
    if !sockets.contains(&PathBuf::from(&user)) {
        sockets.push(user.into());
    }
    sockets.push("/run/podman/podman.sock".into());
    if let Some(home) = around.home() {
        for socket in [
            ".docker/run/docker.sock",
            ".orbstack/run/docker.sock",
            ".colima/default/docker.sock",
        ] {
            sockets.push(home.join(socket));
        }
    }
    sockets
}

/// The one thing that would help most, out of what the places said.
#[must_use]
pub fn remedy(tried: &[Tried]) -> String {
    let says = |words: &str| tried.iter().any(|place| place.why.contains(words));
    let installed = |program: &str| {
        let ending = format!("({program})");
        let mut of = tried.iter().filter(|place| place.place.ends_with(&ending));
        of.any(|place| place.why != NOT_INSTALLED)
    };
    if says("permission denied") {
        return "you may not use the engine's socket: sudo usermod -aG docker \"$USER\", then log in again".to_owned();
    }
    if installed("docker") {
        return "docker is installed and its engine does not run: sudo systemctl start docker, or start Docker Desktop".to_owned();
    }
    if installed("podman") {
        return "podman is installed and does not work: systemctl --user enable --now podman.socket; on a machine that is not Linux, podman machine start".to_owned();
    }
    "install Docker or Podman, or name an engine with --engine or CIB_ENGINE".to_owned()
}

/// What helps against what an engine says when it refuses, where that is known.
#[must_use]
pub fn remedy_of_refusal(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["no space left", "disk quota exceeded"]) {
        return Some(
            "the engine's disk is full: cib clean removes boxes that do not run, docker system prune what no box has",
        );
    }
    if says(&["address already in use", "port is already allocated"]) {
        return Some("something listens at that port already: stop it, or try again");
    }
    None
}

/// Why a place whose program is not there is none.
pub const NOT_INSTALLED: &str = "not installed";

#[cfg(test)]
mod tests {
    use super::*;

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Surroundings::default()
        }
    }

    fn origins(places: &[Candidate]) -> Vec<String> {
        places
            .iter()
            .map(|place| format!("{} ({})", place.origin, place.program))
            .collect()
    }

    #[test]
    fn a_named_engine_is_the_only_one_and_the_flag_beats_the_variable_and_the_file() {
        let around = around(&[("CIB_ENGINE", "podman"), ("DOCKER_HOST", "unix:///d")]);
        let file = Some(("dockerSocketPath", "/run/p/podman.sock"));
        let of = |flag, file| candidates(&around, flag, file);
        assert_eq!(origins(&of(Some("nerdctl"), file)), ["--engine (nerdctl)"]);
        assert_eq!(origins(&of(None, file)), ["CIB_ENGINE (podman)"]);
        let around = self::around(&[("CIB_ENGINE", "auto")]);
        let named = candidates(&around, None, file);
        let both = ["dockerSocketPath (podman)", "dockerSocketPath (docker)"];
        assert_eq!(origins(&named), both);
        assert_eq!(named[0].host.as_deref(), Some("unix:///run/p/podman.sock"));
        let remote = candidates(&around, Some("ssh://me@host"), None);
        assert_eq!(remote[0].host.as_deref(), Some("ssh://me@host"));
    }

    #[test]
    fn what_a_repositorys_file_names_is_a_socket_and_never_started() {
        let around = around(&[]);
        for path in ["/repo/evil", "/repo/ssh://evil", "/repo/evil.sock"] {
            for place in candidates(&around, None, Some(("dockerSocketPath", path))) {
                assert!(matches!(place.program.as_str(), "docker" | "podman"));
                assert_eq!(place.host, Some(format!("unix://{path}")));
            }
        }
    }

    #[test]
    fn without_a_name_variables_come_before_programs_and_these_before_sockets() {
        let around = around(&[
            ("HOME", "/h"),
            ("DOCKER_HOST", "unix:///d"),
            ("CONTAINER_HOST", "unix:///c"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ]);
        let origins = origins(&candidates(&around, None, None));
        let place = |wanted: &str| {
            let at = origins.iter().position(|origin| origin == wanted);
            at.unwrap_or_else(|| panic!("{wanted} is not among {origins:?}"))
        };
        let order = [
            "DOCKER_HOST (docker)",
            "CONTAINER_HOST (podman)",
            "docker's current context (docker)",
            "podman (podman)",
            "/var/run/docker.sock (docker)",
            "/run/user/7/podman/podman.sock (podman)",
            "/run/podman/podman.sock (podman)",
            "/h/.docker/run/docker.sock (docker)",
            "/h/.orbstack/run/docker.sock (docker)",
            "/h/.colima/default/docker.sock (docker)",
        ];
        assert!(order.map(place).is_sorted(), "{origins:?}");
    }

    #[test]
    fn an_engine_on_another_machine_is_known_by_its_address() {
        for (address, remote) in [
            ("unix:///var/run/docker.sock", false),
            ("npipe:////./pipe/docker_engine", false),
            ("ssh://me@host", true),
            ("ssh://me@127.0.0.1:2222", true),
            (
                "ssh://core@127.0.0.1:50999/run/user/501/podman/podman.sock",
                false,
            ),
            ("ssh://core@host:22/run/user/501/podman/podman.sock", true),
            ("tcp://10.0.0.7:2376", true),
            ("tcp://127.0.0.1:2375", true),
            ("/run/docker.sock", false),
        ] {
            assert_eq!(is_remote(address), remote, "{address}");
        }
    }

    #[test]
    fn the_remedy_is_for_what_the_places_said() {
        let tried = |place: &str, why: &str| Tried {
            place: place.to_owned(),
            why: why.to_owned(),
        };
        let none = [
            tried("a (docker)", NOT_INSTALLED),
            tried("b (podman)", NOT_INSTALLED),
        ];
        assert!(remedy(&none).starts_with("install"));
        let denied = [tried("a (docker)", "dial unix: permission denied")];
        assert!(remedy(&denied).contains("usermod -aG docker"));
        let stopped = [
            tried("a (docker)", NOT_INSTALLED),
            tried("b (podman)", "cannot connect"),
        ];
        assert!(remedy(&stopped).contains("podman.socket"));
    }
}
