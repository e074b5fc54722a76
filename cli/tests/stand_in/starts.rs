//! What a start brings into a box, and how it shows the box.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use crate::release::Publisher;
use crate::stage::{Stage, json, said};
use cib_testkit::terminal::Terminal;

/// A machine with agents, keys and tokens of everything.
struct Rich {
    stage: Stage,
    _sockets: [UnixListener; 2],
}

impl Rich {
    fn new() -> Self {
        let stage = Stage::new();
        let socket = |name: &str| UnixListener::bind(stage.at(name)).unwrap();
        let sockets = [socket("ssh.sock"), socket("gpg.sock")];
        for folder in ["home/.ssh", "home/.gnupg"] {
            std::fs::create_dir(stage.at(folder)).unwrap();
        }
        let told = format!("#!/bin/sh\necho '{}'\n", stage.at("gpg.sock").display());
        stage.program("gpgconf", &told);
        Self {
            stage,
            _sockets: sockets,
        }
    }

    fn start(&self, more: &[&str]) -> Command {
        let mut command = self.stage.cib(&["start", "--json"]);
        command
            .args(more)
            .env("SSH_AUTH_SOCK", self.stage.at("ssh.sock"))
            .env("GITHUB_TOKEN", "ghp_of_the_test");
        command
    }
}

/// A key of GnuPG's for the person of a stage, in a home of its own; the variable that names it.
fn gnupg(stage: &Stage) -> PathBuf {
    let home = stage.at("gnupg");
    std::fs::create_dir(&home).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&home, mode).unwrap();
    let mut generate = stage.command("/usr/bin/gpg");
    generate.env("GNUPGHOME", &home).args([
        "--batch",
        "--quiet",
        "--pinentry-mode=loopback",
        "--passphrase=",
        "--quick-generate-key",
        "A Person <person@example.com>",
        "ed25519",
        "sign",
        "never",
    ]);
    let output = generate.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut end = stage.command("/usr/bin/gpgconf");
    let end = end.env("GNUPGHOME", &home).args(["--kill", "all"]);
    assert!(end.status().unwrap().success());
    home
}

#[test]
fn what_with_names_goes_in_and_nothing_else_does() {
    let rich = Rich::new();
    let mounts = |more: &[&str]| {
        let told = json(rich.start(&[&["--dry-run"][..], more].concat()));
        let notes = told["mounts"].as_array().unwrap().iter();
        let notes: Vec<&str> = notes.map(|note| note.as_str().unwrap()).collect();
        (notes.join("; "), told["secrets"].to_string())
    };
    let agent = "goes in: your ssh agent; the box can log in with it wherever you can";
    // By itself it is the ssh agent alone, and with --no-keys not even that.
    assert_eq!(mounts(&[]).0, agent);
    assert_eq!(mounts(&["--no-keys"]).0, "");
    for (what, more) in [
        ("ssh-agent", ""),
        ("ssh-keys", "; goes in: your ssh keys (~/.ssh)"),
        ("gpg-keys", "; goes in: your GnuPG keys (~/.gnupg)"),
        ("gpg-agent", "; goes in: your GnuPG agent's extra socket"),
        ("github", ""),
    ] {
        let (notes, secrets) = mounts(&["--with", what]);
        assert_eq!(notes, format!("{agent}{more}"), "{what}");
        assert_eq!(secrets.contains("github_token"), what == "github", "{what}");
    }

    let told = json(rich.start(&["--with", "ssh-keys,gpg-keys,gpg", "--with", "github"]));
    assert_eq!(told["session"], "a-session");
    let stage = &rich.stage;
    let (created, variables) = stage.made();
    for (source, target, mode) in [
        ("ssh.sock", "ssh-agent", ""),
        ("home/.ssh", "ssh", ":ro"),
        ("home/.gnupg", "gnupg", ":ro"),
        ("gpg.sock", "gpg-agent", ""),
    ] {
        let volume = format!(
            "--volume {}:/run/host/{target}{mode} ",
            stage.at(source).display()
        );
        assert!(created.contains(&volume), "{volume}: {created}");
    }
    for line in [
        "SSH_AUTH_SOCK=/run/host/ssh-agent\n",
        "CIB_SSH_DIR=/run/host/ssh\n",
        "CIB_GNUPG_DIR=/run/host/gnupg\n",
        "CIB_GPG_AGENT=/run/host/gpg-agent\n",
        "CIB_GIT_SIGNING=gpg\n",
    ] {
        assert!(variables.contains(line), "{line}: {variables}");
    }
    // The token is a file of root's, and on no command line and in no variable.
    assert!(created.contains("--env CIB_GITHUB_TOKEN_FILE=/run/secrets/github_token"));
    assert!(stage.secrets().contains("ghp_of_the_test"));
    for text in [&created, &variables, &stage.read("state/log")] {
        assert!(!text.contains("ghp_of_the_test"), "{text}");
    }
}

#[test]
fn what_with_names_and_is_not_here_starts_no_box() {
    let stage = Stage::new();
    for (what, code, words) in [
        ("ssh-agent", 78, "SSH_AUTH_SOCK"),
        ("ssh-keys", 78, "there is no ~/.ssh"),
        ("gpg-keys", 78, "there is no ~/.gnupg"),
        ("gpg-agent", 78, "no GnuPG agent runs here"),
        ("github", 4, "GITHUB_TOKEN"),
        ("everything", 2, "possible values"),
    ] {
        stage.program("gpgconf", "#!/bin/sh\necho /nonexistent/socket\n");
        stage.program("gh", "#!/bin/sh\nexit 1\n");
        let output = stage.cib(&["start", "--with", what]).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{what}: {}",
            said(&output)
        );
        assert!(said(&output).contains(words), "{what}: {}", said(&output));
        assert!(stage.left().is_empty(), "{what}: {:?}", stage.left());
    }
    // What a file asks for is left out where it is not.
    let file = stage.at("my repo/claude-run.config.json");
    std::fs::write(file, r#"{"forwardSshKeys": true}"#).unwrap();
    json(stage.cib(&["start", "--json"]));
}

#[test]
fn a_box_that_signs_by_an_agent_of_gnupg_is_given_the_public_key_and_nothing_else() {
    let rich = Rich::new();
    let stage = &rich.stage;
    let start = |more: &[&str]| {
        let mut command = rich.start(more);
        command.env("GNUPGHOME", stage.at("gnupg"));
        command
    };
    // Without one there is nothing that a commit in the box could be signed with.
    let refused = start(&["--with", "gpg"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
    assert!(said(&refused).contains("signingkey"), "{}", said(&refused));
    assert!(stage.left().is_empty(), "{:?}", stage.left());

    let home = gnupg(stage);
    json(start(&["--with", "gpg"]));
    let inside = |option: &str| {
        let mut list = stage.command("/usr/bin/gpg");
        list.env("GNUPGHOME", stage.at("state/coder/.gnupg"));
        let output = list.args(["--batch", option, "--with-colons"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(inside("--list-keys").contains("person@example.com"));
    assert!(!inside("--list-secret-keys").contains("sec"));
    assert!(home.join("private-keys-v1.d").exists());
    let (created, variables) = stage.made();
    assert!(!created.contains(".gnupg"), "{created}");
    assert!(!variables.contains("CIB_GIT_SIGNING_KEY"), "{variables}");

    stage.forget();
    stage.git(&["config", "user.signingkey", "person@example.com"]);
    json(start(&["--with", "gpg"]));
    let (_, variables) = stage.made();
    let line = "CIB_GIT_SIGNING_KEY=person@example.com\n";
    assert!(variables.contains(line), "{variables}");
}

#[test]
fn one_container_is_made_where_that_is_said_whatever_the_file_has() {
    let stage = Stage::new();
    let url = "socks5://user:secret-of-the-proxy@127.0.0.1:9";
    std::fs::write(stage.at("home/proxy"), format!("{url}\n")).unwrap();
    let file = "proxyFile = \"~/proxy\"\n";
    std::fs::write(stage.at("my repo/cib.toml"), file).unwrap();
    let place = |more: &[&str]| {
        let told = json(stage.cib(&[&["start", "--dry-run", "--json"][..], more].concat()));
        told["proxy"].as_str().unwrap().to_owned()
    };
    assert_eq!(place(&[]), "in a container of its own");
    assert_eq!(place(&["--hardened"]), "in a container of its own");
    assert_eq!(place(&["--single"]), "in the box");
    let no = format!("hardened = false\n{file}");
    std::fs::write(stage.at("my repo/cib.toml"), no).unwrap();
    assert_eq!(place(&[]), "in the box");
    std::fs::write(stage.at("my repo/cib.toml"), "").unwrap();
    assert_eq!(place(&[]), "none");
    std::fs::write(stage.at("my repo/cib.toml"), "hardened = true\n").unwrap();
    let alone = stage.cib(&["start", "--dry-run"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(78), "{}", said(&alone));
    std::fs::write(
        stage.at("my repo/cib.toml"),
        format!("hardened = true\n{file}"),
    )
    .unwrap();
    json(stage.cib(&["start", "--json", "--single"]));
    let log = stage.read("state/log");
    let made: Vec<&str> = log.lines().filter(|l| l.starts_with("create ")).collect();
    assert_eq!(made.len(), 1, "{log}");
    assert!(made[0].contains("--cap-add NET_ADMIN"), "{log}");
    assert!(!log.contains("-egress") && !log.contains("secret-of-the-proxy"));
    assert!(stage.secrets().contains(url));
    let both = stage.cib(&["start", "--single", "--hardened"]).output();
    assert_eq!(both.unwrap().status.code(), Some(2));
}

#[test]
fn a_proxy_of_the_command_line_goes_in_as_a_file_and_one_with_a_password_does_not() {
    let stage = Stage::new();
    for url in [
        "socks5://u:pass-word@127.0.0.1:9",
        "u:pass-word@127.0.0.1:9",
    ] {
        let output = stage.cib(&["start", "--proxy", url]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let text = said(&output);
        assert!(text.contains("--proxy-file"), "{text}");
        assert!(!text.contains("pass-word"), "{text}");
        assert!(stage.left().is_empty(), "{:?}", stage.left());
    }
    let url = "socks5://127.0.0.1:9/";
    json(stage.cib(&["start", "--json", "--single", "--proxy", url]));
    let (created, variables) = stage.made();
    let named = "--env CIB_PROXY_URL_FILE=/run/secrets/proxy_url";
    assert!(created.contains(named), "{created}");
    assert!(created.contains("--cap-add NET_ADMIN"), "{created}");
    assert!(!created.contains(url) && !variables.contains(url));
    assert!(stage.secrets().contains(url));
}

#[test]
fn with_a_proxy_another_container_holds_it_and_goes_with_its_box() {
    let stage = Stage::new();
    let url = "socks5://127.0.0.1:9";
    let started = json(stage.cib(&["start", "--json", "--proxy", url]));
    let name = started["name"].as_str().unwrap();
    let page = format!("http://127.0.0.1:{}", stage.read("state/port"));
    assert_eq!(started["url"], page);
    let holder = std::fs::read(stage.at("state/holder.tar")).unwrap();
    assert!(String::from_utf8_lossy(&holder).contains(url));
    assert!(!stage.secrets().contains(url));
    let (created, _) = stage.made();
    let joined = format!("--network container:{name}-egress --env CIB_PROXY_MODE=join ");
    assert!(created.contains(&joined), "{created}");
    assert!(!created.contains("NET_ADMIN") && !created.contains("--publish"));
    assert!(!stage.read("state/log").contains(url));
    json(stage.cib(&["rm", name, "--force", "--json"]));
    let boxes = stage.left();
    assert!(boxes.is_empty(), "{boxes:?}");
}

/// `cib` in a terminal, with a browser.
fn in_terminal(stage: &Stage, arguments: &str) -> Terminal {
    let mut script = stage.command("script");
    script.env("BROWSER", stage.browser()).env("NO_COLOR", "1");
    let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_cib"));
    Terminal::running(script, &line)
}

#[test]
fn a_start_in_a_terminal_opens_the_browser_unless_somebody_says_otherwise() {
    let stage = Stage::new();
    let page = format!(
        "http://127.0.0.1:{}/#token=a%2Dtoken",
        stage.read("state/port")
    );
    let file = stage.at("my repo/cib.toml");
    for (arguments, detached, opens, driver) in [
        ("", false, true, "stream"),
        ("start", false, true, "stream"),
        ("start", true, false, "stream"),
        ("--detach", false, false, "stream"),
        ("start --web", true, true, "stream"),
        ("--no-web", false, false, "tty"),
    ] {
        std::fs::write(&file, format!("detached = {detached}\n")).unwrap();
        let mut terminal = in_terminal(&stage, arguments);
        // What speaks for a box here has no terminal to give: that is where --no-web ends.
        terminal.is_done(i32::from(driver == "tty"));
        let screen = terminal.screen();
        assert!(screen.contains("URL     http://127.0.0.1:"), "{screen}");
        let posted = stage.asked("POST /api/sessions ");
        let wanted = format!("\"driver\":\"{driver}\"");
        assert!(posted.last().unwrap().contains(&wanted), "{posted:?}");
        if opens {
            assert_eq!(stage.opened(), page, "{arguments}");
        }
        let tokens = stage.asked("POST /api/tokens ").len();
        assert_eq!(tokens == 1, opens, "{arguments}: {screen}");
        let attached = !stage.asked("GET /api/sessions/a-session/").is_empty();
        assert_eq!(attached, driver == "tty", "{arguments}: {screen}");
        stage.forget();
    }
}

#[test]
fn a_box_without_pages_is_shown_in_the_terminal() {
    let stage = Stage::new();
    stage.without_pages();
    let mut terminal = in_terminal(&stage, "");
    terminal.shows("Session of ");
    terminal.is_done(1);
    let posted = stage.asked("POST /api/sessions ");
    assert!(posted[0].contains(r#""driver":"tty""#), "{posted:?}");
    stage.forget();
    let mut terminal = in_terminal(&stage, "--shell --web");
    terminal.shows("no pages to open");
    terminal.shows("Shell of ");
    terminal.is_done(1);
    assert_eq!(stage.asked("POST /api/shells ").len(), 1);
    assert!(!stage.at("state/opened").exists());
}

#[test]
fn without_a_terminal_the_browser_opens_for_web_alone() {
    let stage = Stage::new();
    let cib = |arguments: &[&str]| {
        let mut command = stage.cib(arguments);
        command.env("BROWSER", stage.browser());
        command
    };
    json(cib(&["--json"]));
    assert!(stage.asked("POST /api/tokens ").is_empty());
    stage.forget();
    let told = json(cib(&["--web", "--json"]));
    let url = told["url"].as_str().unwrap();
    assert_eq!(stage.opened(), format!("{url}/#token=a%2Dtoken"));
    for wrong in ["--no-web", "--detach"] {
        let both = cib(&["--web", wrong]).output().unwrap();
        assert_eq!(both.status.code(), Some(2), "{}", said(&both));
    }
}

#[test]
fn a_newer_version_is_told_once_a_day_in_a_terminal_and_nobody_is_asked_without_one() {
    let stage = Stage::new();
    let publisher = Publisher::new(&stage.at("home"));
    publisher.publish("99.0.0", "unread");
    let kept = stage.at("home/.local/state/cib/update-check.json");
    let set = |command: &mut Command| {
        command
            .env("CIB_UPDATE_FROM", publisher.release())
            .env("CIB_UPDATE_KEY", publisher.key_file());
    };
    let start = |more: &str, known: bool, off: bool| {
        let mut script = stage.command("script");
        if known {
            set(&mut script);
        }
        if off {
            script.env("CIB_NO_UPDATE_CHECK", "1");
        }
        let line = format!("'{}' start --detach {more}", env!("CARGO_BIN_EXE_cib"));
        let mut terminal = Terminal::running(script, &line);
        terminal.is_done(0);
        stage.forget();
        terminal.screen()
    };
    // Nobody to tell, switched off in either way, or nowhere to look: nothing is looked at.
    let mut alone = stage.cib(&["start"]);
    set(&mut alone);
    assert!(alone.output().unwrap().status.success());
    stage.forget();
    start("--quiet", true, false);
    start("", true, true);
    start("", false, false);
    let file = stage.at("my repo/cib.toml");
    std::fs::write(&file, "updateCheck = false\n").unwrap();
    start("", true, false);
    std::fs::remove_file(&file).unwrap();
    assert!(!kept.exists());

    const NOTICE: &str = "cib 99.0.0 is there";
    let mut screen = start("", true, false);
    assert!(kept.exists());
    if !screen.contains(NOTICE) {
        // It came too late for that start: the next one tells.
        screen = start("", true, false);
    }
    assert_eq!(screen.matches(NOTICE).count(), 1, "{screen}");
    assert!(screen.contains("cib self-update"), "{screen}");
    assert!(!start("", true, false).contains(NOTICE));
    // What is not signed is not believed, and not spoken of.
    std::fs::remove_file(&kept).unwrap();
    std::fs::write(publisher.release().join("SHA256SUMS"), "else\n").unwrap();
    let screen = start("", true, false);
    assert!(
        !screen.contains("is there") && !screen.contains("SHA256SUMS"),
        "{screen}"
    );
    assert!(kept.exists());
}

#[test]
fn a_history_arrives_whole_whatever_the_repository_is_and_nothing_else_with_it() {
    let stage = Stage::new();
    // What no commit of the branch's leads to.
    stage.git(&["checkout", "-q", "-b", "other"]);
    stage.git(&["commit", "-qam", "another branch's"]);
    let elsewhere = stage.git(&["rev-parse", "HEAD"]).trim().to_owned();
    stage.git(&["checkout", "-q", "main"]);
    for count in 0..3 {
        std::fs::write(stage.at("my repo/file"), format!("{count}\n")).unwrap();
        stage.git(&["commit", "-qam", "more"]);
    }
    stage.git(&["clone", "-q", "--shared", ".", "../borrows"]);
    let address = format!("file://{}", stage.at("my repo").display());
    stage.git(&["clone", "-q", "--depth", "2", &address, "../shallow"]);
    stage.git(&["config", "uploadpack.allowFilter", "true"]);
    let partial = ["clone", "-q", "--filter=blob:none", &address, "../partial"];
    stage.git(&partial);
    stage.git(&["init", "-q", "--object-format=sha256", "../other digests"]);
    let there = stage.at("other digests").display().to_string();
    let author = ["-c", "user.name=p", "-c", "user.email=p@x"];
    let words = ["commit", "-q", "--allow-empty", "-m", "First"];
    stage.git(&[&["-C", &there][..], &author, &words].concat());
    for name in ["my repo", "borrows", "shallow", "partial", "other digests"] {
        let here = stage.at(name).display().to_string();
        std::fs::write(stage.at(name).join("file"), "staged\n").unwrap();
        stage.git(&["-C", &here, "add", "file"]);
        std::fs::write(stage.at(name).join("file"), "changed\n").unwrap();
        std::fs::write(stage.at(name).join("new"), "new\n").unwrap();
        let mut start = stage.cib(&["start", "--json"]);
        let started = start.current_dir(stage.at(name)).output().unwrap();
        assert!(started.status.success(), "{name}: {}", said(&started));
        let inside = stage.at("state/workspace").display().to_string();
        let both = |words: &[&str]| {
            let git = |folder: &str| stage.git(&[&["-C", folder], words].concat());
            let (here, inside) = (git(&here), git(&inside));
            assert_eq!(here, inside, "{name}: {words:?}");
            inside
        };
        both(&["status", "--porcelain"]);
        both(&["rev-parse", "HEAD"]);
        both(&["rev-parse", "--is-shallow-repository"]);
        both(&["rev-list", "--objects", "HEAD"]);
        stage.git(&["-C", &inside, "fsck", "--strict"]);
        let other = ["-C", &inside, "cat-file", "-e", &elsewhere];
        let other = stage.command("git").args(other).output().unwrap();
        assert!(!other.status.success(), "{name}");
        stage.forget();
    }
    let left: Vec<_> = std::fs::read_dir(stage.at("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
