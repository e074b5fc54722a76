//! A port of a box on this machine's loopback, by the engine's own program: each connection is a
//! `cib-init relay` in the box. It reaches boxes wherever their engine is, as the person has it
//! set up, and nothing has to be published or tunnelled.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use super::Engine;

/// Connections at once, at most.
const MANY: usize = 64;

/// Whose right a relay has: nobody's, because any may connect to the loopback.
const NOBODY: &str = "65534:65534";

/// Bytes that are passed on at once.
const PIECE: usize = 64 * 1024;

/// Listens at `here`, or at a port that the kernel chooses, until the process ends; the port.
///
/// # Errors
/// The port is somebody else's.
pub fn begin(engine: &Engine, container: &str, inside: u16, here: Option<u16>) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, here.unwrap_or(0)))?;
    let port = listener.local_addr()?.port();
    let (engine, container) = (engine.clone(), container.to_owned());
    thread::spawn(move || {
        let live = Arc::new(());
        for stream in listener.incoming().filter_map(Result::ok) {
            if Arc::strong_count(&live) > MANY {
                continue;
            }
            let mut command = engine.command();
            command
                .args(["exec", "--interactive", "--user", NOBODY, &container])
                .args([crate::boxes::INIT, "relay", &inside.to_string()]);
            let one = Arc::clone(&live);
            thread::spawn(move || {
                // Whoever has connected sees that the connection closes.
                let _ = join(command, &stream);
                let _ = stream.shutdown(Shutdown::Both);
                drop(one);
            });
        }
    });
    Ok(port)
}

fn join(mut command: Command, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut child = command
        // Ctrl-C is this program's to hear.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let other = stream.try_clone()?;
    let input = child.stdin.take();
    thread::spawn(move || input.map(|input| pass(&other, input)));
    let said = child.stdout.take();
    let passed = said.map_or(Ok(()), |said| pass(said, stream));
    // It may have ended by itself.
    let _ = child.kill();
    child.wait()?;
    passed
}

/// Passes on every piece as it comes.
fn pass(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        to.write_all(bytes)?;
    }
}
