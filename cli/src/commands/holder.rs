//! The container that holds a box's network and its rules, so that nobody in the box changes them.
//!
//! As `deploy/compose.hardened.yaml` has it: the holder alone knows the proxy and has NET_ADMIN, and
//! the box joins its network.

use std::time::Duration;

use super::making::{self, SECRETS};
use crate::boxes::{CAPABILITIES, Found, LABEL, PORT};
use crate::engine::{Engine, EngineError};
use crate::failure::Failure;
use crate::process;

/// How long the rules may take.
const READY: Duration = Duration::from_secs(90);

/// The name of a box's holder, and of its volume.
pub(super) fn name(of_box: &str) -> String {
    format!("{of_box}-egress")
}

/// What both containers may do.
pub(super) fn restricted(words: &mut Vec<String>) {
    words.extend(
        [
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges:true",
        ]
        .map(str::to_owned),
    );
    for capability in CAPABILITIES {
        words.extend(["--cap-add", capability].map(str::to_owned));
    }
}

/// Makes the holder of a box that is going to be; whether nobody else had its name.
pub(super) fn create(engine: &Engine, of_box: &str, image: &str) -> Result<bool, Failure> {
    let name = name(of_box);
    let mut words: Vec<String> = [
        "create",
        "--name",
        &name,
        "--hostname",
        of_box,
        "--pull",
        "never",
    ]
    .map(str::to_owned)
    .into();
    restricted(&mut words);
    for (option, value) in [
        ("--cap-add", "NET_ADMIN".to_owned()),
        ("--label", format!("{LABEL}.holder-of={of_box}")),
        ("--volume", format!("{name}:{SECRETS}")),
        ("--env", "CIB_PROXY_MODE=hold".to_owned()),
        ("--env", format!("CIB_PROXY_URL_FILE={SECRETS}/proxy_url")),
    ] {
        words.extend([option.to_owned(), value]);
    }
    if !engine.remote {
        words.extend(["--publish".to_owned(), format!("127.0.0.1::{PORT}")]);
    }
    words.push(image.to_owned());
    making::is_made(engine, &words, &name)
}

/// Gives the holder the proxy's URL, and starts it.
pub(super) fn fill(engine: &Engine, of_box: &str, url: &str) -> Result<(), Failure> {
    let secrets = [("CIB_PROXY_URL_FILE", "proxy_url", url.to_owned())];
    let target = format!("{}:{SECRETS}", name(of_box));
    engine.tell(
        "put the proxy's URL into the container that holds the network",
        &["cp", "-", &target],
        &making::archive(&secrets)?,
    )?;
    start(engine, of_box)
}

/// Starts the holder, and waits until its rules stand.
pub(super) fn start(engine: &Engine, of_box: &str) -> Result<(), Failure> {
    let name = name(of_box);
    engine.ask_for(
        "start the container that holds the network",
        &["start", &name],
    )?;
    let stands = process::wait_for(READY, || {
        let words = [
            "exec",
            "--user",
            "0",
            &name,
            crate::boxes::INIT,
            "healthcheck",
        ];
        let ran = engine.run("look at the rules", &words, b"").ok()?;
        ran.good().then_some(())
    });
    stands.ok_or_else(|| {
        Failure::failed("the container that holds the network did not become healthy in time")
            .remedy(making::last_lines(engine, &name))
    })
}

/// Stops the holder of a box that has one.
pub(super) fn stop(engine: &Engine, found: &Found, time: &str) -> Result<(), EngineError> {
    if let Some(holder) = &found.holder {
        engine.ask_for(
            "stop the container that holds the network",
            &["stop", "-t", time, holder],
        )?;
    }
    Ok(())
}

/// Removes the holder of a box that has one, with its volume.
pub(super) fn remove(engine: &Engine, found: &Found) -> Result<(), EngineError> {
    if let Some(holder) = &found.holder {
        engine.ask_for(
            "remove the container that held the network",
            &["rm", "--force", holder],
        )?;
        engine.ask_for("remove a volume", &["volume", "rm", "--force", holder])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_containers_have_the_capabilities_of_the_compose_file() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/compose.hardened.yaml"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let both = CAPABILITIES.join(", ");
        for line in [
            format!("cap_add: [{both}, NET_ADMIN]"),
            format!("cap_add: [{both}]"),
        ] {
            assert_eq!(text.matches(&line).count(), 1, "{line}");
        }
        let mut words = Vec::new();
        restricted(&mut words);
        assert!(
            words
                .join(" ")
                .starts_with("--cap-drop ALL --security-opt no-new-privileges:true")
        );
    }
}
