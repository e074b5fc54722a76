//! Waits for children. `nix` has no word for one that a real-time signal ended.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::wait::WaitPidFlag;

/// Takes the change of state of any child: its process id, and how it ended or that it stopped.
/// `None` if nobody has changed and `WNOHANG` is asked for.
///
/// # Errors
/// There is no child (`ECHILD`).
pub fn any(flags: WaitPidFlag) -> io::Result<Option<(i32, ExitStatus)>> {
    let mut status = 0;
    loop {
        // SAFETY: the place of the status is valid for the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags.bits()) };
        if pid > 0 {
            return Ok(Some((pid, ExitStatus::from_raw(status))));
        }
        if pid == 0 {
            return Ok(None);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
