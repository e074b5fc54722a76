//! The whole way from variables to settings.

mod reach;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::reader::Reader;
use super::variable::Kind;
use super::{
    Auth, CATALOG, Environment, FileSetting, FileSettings, Mode, Place, Reading, SecretFileError,
    Settings, SetupRun, Value, markdown,
};

const TOKEN: &str = "correct-horse-battery";

/// Three files: one with a token and a line end, one empty, one URL.
fn read_file(path: &Path) -> Result<String, SecretFileError> {
    match path.to_str() {
        Some("/run/secrets/token") => Ok(format!("{TOKEN}\n")),
        Some("/run/secrets/windows") => Ok(format!("{TOKEN}\r\n")),
        Some("/run/secrets/marked") => Ok(format!("\u{feff}{TOKEN}\n")),
        Some("/run/secrets/quoted") => Ok(format!("\"{TOKEN}\"\n")),
        Some("/run/secrets/blank") => Ok(format!("{TOKEN} \n")),
        Some("/run/secrets/empty") => Ok("\n".to_owned()),
        Some("/run/secrets/short") => Ok("hunter2\n".to_owned()),
        _ => Err(SecretFileError::Read(io::ErrorKind::NotFound.into())),
    }
}

fn read(variables: &[(&str, &str)]) -> Reading {
    let environment: Environment = variables.iter().copied().collect();
    Settings::read(&environment, &FileSettings::new(), &read_file)
}

/// The settings of these variables and a token.
fn settings(variables: &[(&str, &str)]) -> Settings {
    let mut all = vec![("CIB_AUTH_TOKEN", TOKEN)];
    all.extend(variables);
    read(&all)
        .settings
        .unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The faults of these variables and a token, as they are shown.
fn faults(variables: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("CIB_AUTH_TOKEN", TOKEN)];
    all.extend(variables);
    shown(&all)
}

/// The faults of these variables alone, as they are shown.
fn shown(variables: &[(&str, &str)]) -> Vec<String> {
    let faults = read(variables)
        .settings
        .expect_err("there should be a fault");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn with_a_token_alone_every_default_is_understood() {
    let settings = settings(&[]);
    assert_eq!(settings.mode, Mode::Default);
    assert_eq!(settings.port, 8080);
    assert_eq!(settings.egress.redsocks_port, 12345);
    assert!(settings.egress.upstream.is_none());
    assert_eq!(settings.egress.dns_servers.len(), 2);
    assert_eq!(settings.container.shutdown_timeout, Duration::from_secs(8));
    assert_eq!(
        settings.container.data_dir,
        Path::new("/var/lib/claude-in-box")
    );
    assert_eq!(settings.container.puid, None);
    assert_eq!(settings.setup.run, SetupRun::Always);
}

#[test]
fn every_variable_of_the_catalog_is_read() {
    let environment = Environment::default();
    let files = FileSettings::new();
    let mut reader = Reader::new(&environment, &files, &read_file);
    super::read::settings(&mut reader);
    for variable in CATALOG {
        assert!(
            reader.asked.contains(variable.name),
            "nobody reads {}",
            variable.name
        );
    }
}

#[test]
fn every_word_of_a_choice_is_understood() {
    for variable in CATALOG {
        let Kind::Choice(words) = variable.kind else {
            continue;
        };
        for word in words {
            let proxy = ("CIB_PROXY_URL", "socks5://192.0.2.1:1080");
            let needed: &[(&str, &str)] = if *word == "hold" { &[proxy] } else { &[] };
            settings(&[&[(variable.name, *word)], needed].concat());
        }
        assert!(
            faults(&[(variable.name, "neither")])[0].contains("write `"),
            "{}",
            variable.name
        );
    }
}

#[test]
fn a_container_that_holds_the_network_needs_a_proxy_and_no_token() {
    let proxy = ("CIB_PROXY_URL", "socks5://192.0.2.1:1080");
    let hold = ("CIB_PROXY_MODE", "hold");
    let reading = read(&[proxy, hold]);
    assert!(reading.settings.is_ok(), "{:?}", reading.settings);
    assert!(
        shown(&[hold])
            .iter()
            .any(|fault| fault.starts_with("CIB_PROXY_URL: is not set")),
        "{:?}",
        shown(&[hold])
    );
}

#[test]
fn a_box_that_joins_a_network_must_not_know_the_proxy() {
    let proxy = ("CIB_PROXY_URL", "socks5://user:hunter22@192.0.2.1:1080");
    let faults = faults(&[proxy, ("CIB_PROXY_MODE", "join")]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("CIB_PROXY_URL: is set") && faults[0].contains("hold"),
        "{faults:?}"
    );
    assert!(!faults[0].contains("hunter22"));
    settings(&[("CIB_PROXY_MODE", "join")]);
}

#[test]
fn without_a_token_the_box_does_not_start() {
    let faults = shown(&[]);
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("CIB_AUTH_TOKEN: is not set; set it"),
        "{}",
        faults[0]
    );
    assert_eq!(
        shown(&[("CIB_AUTH_TOKEN", "")]),
        faults,
        "an empty one counts as unset"
    );
}

#[test]
fn a_short_token_is_refused_without_being_shown() {
    for variables in [
        [("CIB_AUTH_TOKEN", "hunter2"), ("CIB_MODE", "")],
        [
            ("CIB_AUTH_TOKEN_FILE", "/run/secrets/short"),
            ("CIB_MODE", ""),
        ],
    ] {
        let faults = shown(&variables);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with(variables[0].0), "{}", faults[0]);
        assert!(faults[0].contains("has 7 characters"), "{}", faults[0]);
        assert!(!faults[0].contains("hunter2"));
    }
}

#[test]
fn a_token_that_a_header_cannot_carry_is_refused() {
    for token in [
        "correct horse battery",
        "correct-horse-b\u{e4}ttery",
        "correct\u{7f}horsebattery",
    ] {
        let faults = shown(&[("CIB_AUTH_TOKEN", token)]);
        assert!(faults[0].contains("which a header"), "{}", faults[0]);
    }
}

#[test]
fn a_token_file_is_read_without_its_line_end() {
    let reading = read(&[("CIB_AUTH_TOKEN_FILE", "/run/secrets/token")]);
    let Auth::Token(token) = reading.settings.unwrap().auth else {
        panic!("no token")
    };
    assert_eq!(token.expose(), TOKEN);
}

#[test]
fn no_secret_is_taken_that_nobody_can_have_meant() {
    let files = [
        ("quoted", "quotes"),
        ("marked", "byte order mark"),
        ("blank", "blank"),
        ("windows", "carriage return"),
    ];
    let values = [
        (format!("\"{TOKEN}\""), "quotes"),
        (format!("'{TOKEN}'"), "quotes"),
        (format!("\u{feff}{TOKEN}"), "byte order mark"),
        (format!(" {TOKEN}"), "blank"),
        (format!("{TOKEN}\t"), "blank"),
        (format!("{TOKEN}\r"), "carriage return"),
    ];
    for variable in CATALOG.iter().filter(|variable| variable.secret()) {
        for (value, said) in &values {
            let all = [("CIB_AUTH_DISABLED", "1"), (variable.name, value.as_str())];
            let faults = shown(&all);
            let own = faults.iter().find(|fault| fault.starts_with(variable.name));
            let own = own.unwrap_or_else(|| panic!("{} = {value:?}: {faults:?}", variable.name));
            assert!(own.contains(said) && !own.contains(TOKEN), "{own}");
        }
        for (file, said) in files {
            let (twin, path) = (variable.file_name(), format!("/run/secrets/{file}"));
            let faults = shown(&[("CIB_AUTH_DISABLED", "1"), (&twin, &path)]);
            let own = faults.iter().find(|fault| fault.starts_with(&twin));
            let own = own.unwrap_or_else(|| panic!("{twin} = {path}: {faults:?}"));
            assert!(own.contains(said) && !own.contains(TOKEN), "{own}");
        }
    }
    assert!(faults(&[("CIB_MODE", "\"headless\"")])[0].contains("quotes"));
}

#[test]
fn a_secret_file_is_named_by_the_whole_of_its_path() {
    for path in ["secrets/token", "\"/run/secrets/token\"", "/run/../token"] {
        let faults = shown(&[("CIB_AUTH_TOKEN_FILE", path)]);
        assert!(faults[0].starts_with("CIB_AUTH_TOKEN_FILE: "), "{faults:?}");
    }
    let reading = read(&[("CIB_AUTH_TOKEN_FILE", "/run/secrets/token")]);
    let files = reading.settings.unwrap().secrets.files;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].variable, "CIB_AUTH_TOKEN_FILE");
    assert_eq!(files[0].path, Path::new("/run/secrets/token"));
}

#[test]
fn what_kubernetes_sets_for_a_service_named_like_the_box_is_ignored_with_one_warning() {
    let links = [
        ("CIB_PORT", "tcp://10.96.0.5:8080"),
        ("CIB_SERVICE_HOST", "10.96.0.5"),
        ("CIB_SERVICE_PORT", "8080"),
        ("CIB_SERVICE_PORT_HTTP", "8080"),
        ("CIB_PORT_8080_TCP", "tcp://10.96.0.5:8080"),
        ("CIB_PORT_8080_TCP_PROTO", "tcp"),
        ("CIB_PORT_8080_TCP_PORT", "8080"),
        ("CIB_PORT_8080_TCP_ADDR", "10.96.0.5"),
        ("CIB_API_SERVICE_HOST", "10.96.0.6"),
        ("CIB_API_PORT", "udp://10.96.0.6:53"),
    ];
    let mut all = vec![("CIB_AUTH_TOKEN", TOKEN)];
    all.extend(links);
    let reading = read(&all);
    assert_eq!(reading.settings.unwrap().port, 8080);
    let warnings: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(
        warnings[0].contains("enableServiceLinks: false"),
        "{}",
        warnings[0]
    );
    assert!(warnings[0].contains("9 more"), "{}", warnings[0]);
    // What is none of them is still what it was.
    assert!(faults(&[("CIB_PORT", "http://10.96.0.5")])[0].contains("is not a number"));
    let reading = read(&[("CIB_AUTH_TOKEN", TOKEN), ("CIB_PORT_RANGE", "1-2")]);
    assert!(
        reading.warnings[0]
            .to_string()
            .contains("publish the ports")
    );
}

#[test]
fn a_variable_and_its_file_are_refused_together() {
    let faults = shown(&[
        ("CIB_AUTH_TOKEN", TOKEN),
        ("CIB_AUTH_TOKEN_FILE", "/run/secrets/token"),
    ]);
    assert_eq!(
        faults,
        ["CIB_AUTH_TOKEN: CIB_AUTH_TOKEN_FILE is set as well; unset one of the two"]
    );
    let reading = read(&[("CIB_AUTH_TOKEN", TOKEN), ("CIB_AUTH_TOKEN_FILE", "")]);
    assert!(reading.settings.is_ok(), "an empty twin counts as unset");
}

#[test]
fn a_file_that_cannot_be_used_names_the_variable_and_the_file() {
    let faults = shown(&[("CIB_AUTH_TOKEN_FILE", "/nowhere")]);
    assert!(faults[0].starts_with("CIB_AUTH_TOKEN_FILE: the file `/nowhere` cannot be read"));
    let faults = shown(&[("CIB_AUTH_TOKEN_FILE", "/run/secrets/empty")]);
    assert!(faults[0].contains("is empty"), "{}", faults[0]);
}

#[test]
fn authentication_is_disabled_only_without_a_token() {
    let reading = read(&[("CIB_AUTH_DISABLED", "1")]);
    assert_eq!(reading.settings.unwrap().auth, Auth::Disabled);
    let faults = faults(&[("CIB_AUTH_DISABLED", "1")]);
    assert!(faults[0].starts_with("CIB_AUTH_DISABLED: CIB_AUTH_TOKEN is set as well"));
}

#[test]
fn every_fault_is_reported_at_once() {
    let faults = shown(&[
        ("CIB_MODE", "gui"),
        ("CIB_PORT", "99999"),
        ("CIB_PROXY_URL", "socks5://alice:s3cr3t@"),
        ("CIB_LAN", "10.0.0.0/8, lan, 0.0.0.0/0"),
        ("CIB_SHUTDOWN_TIMEOUT", "soon"),
        ("CIB_DATA_DIR", "data"),
        ("PUID", "0"),
    ]);
    let places: Vec<_> = faults
        .iter()
        .map(|fault| fault.split(':').next().unwrap())
        .collect();
    let expected = [
        "CIB_AUTH_TOKEN",
        "CIB_MODE",
        "CIB_PORT",
        "CIB_PROXY_URL",
        "CIB_LAN",
        "CIB_LAN",
        "PUID",
        "CIB_DATA_DIR",
        "CIB_SHUTDOWN_TIMEOUT",
    ];
    assert_eq!(places, expected, "{faults:#?}");
    for fault in &faults {
        assert!(
            fault.contains("; ") && !fault.contains('\n'),
            "no remedy or not one line: {fault}"
        );
        assert!(!fault.contains("s3cr3t"), "{fault}");
    }
}

#[test]
fn a_proxy_url_is_read_with_its_credentials_and_never_shown_with_them() {
    let url = "socks5://alice:p%40ss%3Aword@[2001:db8::7]:1080";
    let settings = settings(&[("CIB_PROXY_URL", url)]);
    let upstream = settings.egress.upstream.as_ref().unwrap();
    assert_eq!(upstream.port(), 1080);
    assert_eq!(
        upstream.credentials().unwrap().password.expose(),
        b"p@ss:word"
    );
    let debug = format!("{settings:?}");
    assert!(!debug.contains("p@ss") && !debug.contains("p%40ss") && !debug.contains(TOKEN));
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let reading = read(&[
        ("CIB_AUTH_TOKEN", TOKEN),
        ("CIB_PROXY_ULR", "x"),
        ("CIBOLA", "x"),
    ]);
    assert!(reading.settings.is_ok());
    let warnings: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["CIB_PROXY_ULR: is not a variable of the box; did you mean CIB_PROXY_URL?"]
    );
}

#[test]
fn a_variable_of_a_similar_box_is_explained() {
    let reading = read(&[("CIB_AUTH_TOKEN", TOKEN), ("CIB_RUN_AS_ROOT", "1")]);
    assert!(
        reading.warnings[0]
            .to_string()
            .contains("nothing but init runs as root")
    );
}

#[test]
fn a_known_variable_that_is_not_text_is_a_fault_and_a_strange_one_a_warning() {
    use std::os::unix::ffi::OsStringExt as _;
    let pairs = [("CIB_GIT_USER_NAME", "Zo\u{eb}"), ("OTHER", "\u{eb}")].map(|(name, value)| {
        let latin1 = value
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        (name.into(), std::ffi::OsString::from_vec(latin1))
    });
    let environment: Environment = pairs.into_iter().collect();
    let reading = Settings::read(&environment, &FileSettings::new(), &read_file);
    let faults = reading.settings.unwrap_err();
    assert!(
        faults
            .iter()
            .any(|f| f.to_string() == "CIB_GIT_USER_NAME: is not UTF-8 text; write it in UTF-8")
    );
    assert!(
        reading.warnings[0]
            .to_string()
            .starts_with("OTHER: is not UTF-8 text")
    );
}

#[test]
fn setup_commands_are_an_array_or_lines() {
    let commands = |text: &str| settings(&[("CIB_SETUP_COMMANDS", text)]).setup.commands;
    assert_eq!(commands(r#"["npm ci", "a\nb"]"#), ["npm ci", "a\nb"]);
    assert_eq!(
        commands("npm ci\n\n# why\n  make all\n"),
        ["npm ci", "make all"]
    );
    assert!(commands("[]").is_empty());
}

#[test]
fn a_bad_array_of_commands_is_placed_and_not_quoted() {
    for (text, said) in [
        (r#"["export KEY=s3cr3t" "#, "line 1, column"),
        (r#"["a", 7]"#, "entry 2"),
        (r#"["a", " "]"#, "command 2"),
        ("[ -f s3cr3t ] && rm s3cr3t", "write [\"first"),
    ] {
        let faults = faults(&[("CIB_SETUP_COMMANDS", text)]);
        assert!(faults[0].contains(said), "{}", faults[0]);
        assert!(!faults[0].contains("s3cr3t"), "{}", faults[0]);
    }
}

#[test]
fn durations_have_units_and_bounds() {
    let timeout = |text| {
        settings(&[("CIB_SHUTDOWN_TIMEOUT", text)])
            .container
            .shutdown_timeout
    };
    assert_eq!(timeout("20"), Duration::from_secs(20));
    assert_eq!(timeout("500ms"), Duration::from_millis(500));
    assert_eq!(timeout("2m"), Duration::from_secs(120));
    for text in ["0", "2h", "-1", "1d", "ms", "+3", "99999999999999999999"] {
        assert_eq!(faults(&[("CIB_SHUTDOWN_TIMEOUT", text)]).len(), 1, "{text}");
    }
}

#[test]
fn known_hosts_are_checked_line_by_line() {
    let line = "example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA";
    let text = format!("# hosts\n{line}\n");
    assert!(
        settings(&[("CIB_KNOWN_HOSTS", &text)])
            .keys
            .known_hosts
            .unwrap()
            .contains(line)
    );
    assert!(faults(&[("CIB_KNOWN_HOSTS", "# hosts\nexample.org")])[0].contains("line 2"));
}

#[test]
fn what_is_odd_is_warned_of() {
    for (name, value, said) in [
        (
            "CIB_PROXY_URL",
            "socks5://localhost:1080",
            "names the box itself",
        ),
        (
            "CIB_LAN",
            "198.51.100.0/24",
            "does not go through the proxy",
        ),
        ("CIB_GIT_SIGNING_KEY", "ABCD", "nothing is signed"),
        (
            "ANTHROPIC_BASE_URL",
            "https://me:hunter2@api.example/v1",
            "has a password in it",
        ),
    ] {
        let reading = read(&[("CIB_AUTH_TOKEN", TOKEN), (name, value)]);
        assert!(reading.settings.is_ok());
        assert!(
            reading.warnings[0].to_string().contains(said),
            "{:?}",
            reading.warnings
        );
    }
}

#[test]
fn a_variable_overrides_the_file_and_a_fault_of_the_file_names_its_line() {
    let place = || Place::line(Path::new("/etc/claude-in-box/init.toml"), 3);
    let file = |text: &str| {
        let setting = FileSetting {
            value: Value::Text(text.to_owned()),
            place: place(),
        };
        BTreeMap::from([("CIB_PORT", setting)])
    };
    let token: Environment = [("CIB_AUTH_TOKEN", TOKEN)].into_iter().collect();
    let both: Environment = [("CIB_AUTH_TOKEN", TOKEN), ("CIB_PORT", "9090")]
        .into_iter()
        .collect();
    let port = |environment, text| {
        let settings = Settings::read(environment, &file(text), &read_file).settings;
        settings
            .map(|settings| settings.port)
            .map_err(|faults| faults[0].to_string())
    };
    assert_eq!(port(&token, "8888"), Ok(8888));
    assert_eq!(port(&both, "8888"), Ok(9090));
    let fault = port(&token, "many").unwrap_err();
    assert!(
        fault.starts_with("/etc/claude-in-box/init.toml:3: `many` is not"),
        "{fault}"
    );
}

#[test]
fn an_array_of_a_file_is_a_list_or_commands() {
    let list = |items: &[&str]| FileSetting {
        value: Value::List(items.iter().map(|item| (*item).to_owned()).collect()),
        place: Place::line(Path::new("init.toml"), 1),
    };
    let files = BTreeMap::from([
        ("CIB_LAN", list(&["10.0.0.0/8"])),
        ("CIB_SETUP_COMMANDS", list(&["a b", "c"])),
    ]);
    let environment: Environment = [("CIB_AUTH_TOKEN", TOKEN)].into_iter().collect();
    let settings = Settings::read(&environment, &files, &read_file)
        .settings
        .unwrap();
    assert!(settings.egress.lan.contains("10.1.1.1".parse().unwrap()));
    assert_eq!(settings.setup.commands, ["a b", "c"]);
}

#[test]
fn the_reference_page_is_what_the_catalog_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/environment.md");
    if std::env::var_os("CIB_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == markdown(),
        "docs/reference/environment.md is not what the catalog says; \
         run the tests once with CIB_UPDATE_GOLDEN=1 and commit the page"
    );
}

proptest! {
    #[test]
    fn no_value_of_any_variable_makes_reading_panic_or_shows_a_secret(
        index in 0..CATALOG.len(),
        value in "[ -~\u{e4}\n]{0,12}",
    ) {
        let variable = CATALOG[index];
        let marked = format!("{value}zq9x");
        let reading = read(&[(variable.name, &marked), ("CIB_UNKNOWN", &marked)]);
        let shown = format!("{:?} {:?}", reading.settings, reading.warnings);
        if variable.secret() {
            prop_assert!(!shown.contains("zq9x"), "{shown}");
        }
    }
}
