//! `cib-session hook`: the program that Claude runs for the keeper's hooks. It carries a
//! hook's input to the keeper and the keeper's answer back.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Asks the keeper and prints its answer. A keeper that is not there has nothing to say, and
/// a hook that says nothing changes nothing: Claude goes on.
pub fn carry(socket: &Path) {
    if let Ok(answer) = ask(socket) {
        // Claude has ended if nobody reads the answer.
        let _ = io::stdout().write_all(&answer);
    }
}

fn ask(socket: &Path) -> io::Result<Vec<u8>> {
    let mut keeper = UnixStream::connect(socket)?;
    io::copy(&mut io::stdin().lock(), &mut keeper)?;
    keeper.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    keeper.read_to_end(&mut answer)?;
    Ok(answer)
}
