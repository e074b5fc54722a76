//! `cib open`: a box's page in the browser.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{Context, port};
use crate::api::Api;
use crate::args::Open;
use crate::boxes::Found;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::surroundings::Surroundings;

/// Seconds that the token in an address lives.
const LIFE: u64 = 12 * 3600;

/// What the page needs.
const SCOPES: [&str; 6] = [
    "sessions:read",
    "sessions:write",
    "sessions:input",
    "shells:read",
    "shells:write",
    "shells:input",
];

pub(super) fn run(context: &Context<'_>, arguments: &Open) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let api = context.api(&engine, &found)?;
    if !api.has_pages() {
        return Err(
            Failure::failed(format!("the image {} has no pages", found.image)).remedy(format!(
                "cib attach {}, or a box of claude-in-box:latest",
                found.name
            )),
        );
    }
    if arguments.print || context.output.json {
        let address = address(&api)?;
        context
            .output
            .result(&json!({"url": address}), || address.clone());
        if engine.remote {
            stay(context);
        }
        return Ok(0);
    }
    page(context, &engine, &api, &found)
}

/// Opens the browser on a box's page, and stays for as long as the page is reached through here.
pub(super) fn page(
    context: &Context<'_>,
    engine: &Engine,
    api: &Api,
    found: &Found,
) -> Result<u8, Failure> {
    browse(context, api, found)?;
    if engine.remote {
        stay(context);
    }
    Ok(0)
}

fn stay(context: &Context<'_>) {
    context.output.note("its engine is on another machine: the page is reached through this command; Ctrl-C ends that, and the box goes on");
    port::wait();
}

/// Opens the browser on a box's page.
fn browse(context: &Context<'_>, api: &Api, found: &Found) -> Result<(), Failure> {
    let address = address(api)?;
    context.output.step(&format!("Opening {}", api.url()));
    if !browser(context.around, &address) {
        context.output.warn(&format!(
            "no browser could be opened; cib open --print {} says the address",
            found.name
        ));
    }
    Ok(())
}

/// Opens an address in the person's browser; whether something could be started for that.
fn browser(around: &Surroundings, address: &str) -> bool {
    let started = |program: &Path| {
        let mut command = Command::new(program);
        // Neither Ctrl-C here nor the end of this terminal is for the browser.
        command
            .process_group(0)
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_ok()
    };
    if let Some(browser) = around.variable("BROWSER") {
        return started(Path::new(browser));
    }
    if around.is_wsl() {
        // The browser is on the other side. No shell reads the address there: `cmd` would take
        // what it has for its own.
        let known = ["wslview", "explorer.exe"].iter();
        if let Some(program) = known.filter_map(|name| around.program(name)).next() {
            return started(&program);
        }
    }
    open::that_detached(address).is_ok()
}

/// The page's address with a token of its own, which has an end. It stands in the fragment, which
/// reaches no server.
fn address(api: &Api) -> Result<String, Failure> {
    let made = api.post(
        "/api/tokens",
        &json!({"label": "cib open", "scopes": SCOPES, "ttl": LIFE}),
    )?;
    let token = made["plaintext"].as_str().unwrap_or_default();
    let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
    Ok(format!("{}/#token={token}", api.url()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn on_windows_linux_the_address_reaches_the_browser_of_windows_as_one_word() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard");
        let mut around = Surroundings {
            variables: [
                ("PATH", folder.path().display().to_string()),
                ("WSL_DISTRO_NAME", "Debian".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            ..Surroundings::default()
        };
        let address = "http://127.0.0.1:8080/#token=a%26b&c";
        for name in ["explorer.exe", "wslview"] {
            let program = folder.path().join(name);
            let script = format!(
                "#!/bin/sh\nprintf '%s %s %s' {name} $# \"$1\" > {0}.part\n/bin/mv {0}.part {0}\n",
                heard.display()
            );
            std::fs::write(&program, script).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&program, mode).unwrap();
            assert!(browser(&around, address));
            let said = crate::process::wait_for(Duration::from_secs(20), || {
                std::fs::read_to_string(&heard).ok()
            });
            assert_eq!(said.unwrap(), format!("{name} 1 {address}"));
            std::fs::remove_file(&heard).unwrap();
        }
        // What a person has chosen goes before.
        around
            .variables
            .insert("BROWSER".into(), "/nonexistent/browser".into());
        assert!(!browser(&around, address));
    }
}
