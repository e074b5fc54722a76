//! What needs `unsafe`: a child's life between fork and exec, a descriptor by its number, and
//! this program's own mappings.

#![expect(unsafe_code, reason = "none of it has a safe interface")]

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::mman::{MmapAdvise, madvise};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpid, getppid, setsid};

/// Which controlling terminal a child has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It has none.
    No,
    /// That of this process, in whose session and process group it stays.
    Same,
}

/// Starts a child, in a session and process group of its own unless it shares this process's
/// terminal, with no signal blocked, that gets `at_death` when this process ends in any way.
///
/// # Errors
/// If it cannot be forked or the program cannot be executed.
pub fn spawn(command: &mut Command, at_death: Signal, terminal: Terminal) -> io::Result<Child> {
    let keeper = getpid();
    let in_child = move || {
        if terminal != Terminal::Same {
            setsid()?;
        }
        set_pdeathsig(at_death)?;
        // The keeper may have died before the line above; its signal is then never sent.
        if getppid() != keeper {
            return Err(io::ErrorKind::NotConnected.into());
        }
        SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls may be made. The closure makes
    // system calls alone and allocates nothing: its errors are plain numbers.
    unsafe { command.pre_exec(in_child) };
    command.spawn()
}

/// Takes over a descriptor that this process was started with, and keeps it from its children.
/// `None` if there is none of that number, or if it is one of the standard three.
#[must_use]
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the number comes from whoever started this process and passed the descriptor for
    // this use; nothing else in this process refers to it. If it is not open, the next line
    // notices, and forgetting it keeps its number from being closed.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    let kept = fcntl(&fd, FcntlArg::F_GETFD).and_then(|flags| {
        let flags = FdFlag::from_bits_retain(flags) | FdFlag::FD_CLOEXEC;
        fcntl(&fd, FcntlArg::F_SETFD(flags))
    });
    match kept {
        Ok(_) => Some(fd),
        Err(_) => {
            std::mem::forget(fd);
            None
        }
    }
}

/// Whether something is mounted on a folder that was opened, which `nix` does not ask. Kernels
/// before 5.8 cannot tell, and then nothing is.
pub fn is_mount_root(folder: impl AsFd) -> bool {
    let mut seen = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT;
    let fd = folder.as_fd().as_raw_fd();
    // SAFETY: the name is ended by NUL, and the place is valid for the call.
    let asked =
        unsafe { libc::statx(fd, c"".as_ptr(), flags, libc::STATX_TYPE, seen.as_mut_ptr()) };
    // SAFETY: all of it is integers, zero before the kernel filled it.
    let seen = unsafe { seen.assume_init() };
    let root = u64::from(libc::STATX_ATTR_MOUNT_ROOT.cast_unsigned());
    asked == 0 && seen.stx_attributes & root != 0
}

/// Changes the size of a terminal, which `nix` has no call for.
///
/// # Errors
/// It is no terminal (any more).
pub fn resize(terminal: impl AsFd, cols: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the call reads one such structure.
    if unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The parts of this program that are mapped from its file and are never written: its code,
/// and the constants at the file's beginning.
#[derive(Debug, Default)]
pub struct Code {
    ranges: Vec<(usize, usize)>,
}

impl Code {
    /// Finds them in `/proc/self/maps` (proc_pid_maps(5)).
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn find() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let program = program.display().to_string();
        let maps = cib_foreign::own::read_to_string("/proc/self/maps")?;
        let ranges = maps
            .lines()
            .filter(|line| line.ends_with(&program))
            .filter_map(clean_range)
            .collect();
        Ok(Self { ranges })
    }

    /// Lets go of their pages. What is executed next is mapped again from the page cache; what
    /// only the start needed is not, and no longer counts as this process's memory.
    pub fn release(&self) {
        for &(start, end) in &self.ranges {
            // Where the kernel refuses, the pages just stay.
            let Some(address) = NonZero::new(start) else {
                continue;
            };
            let address = NonNull::without_provenance(address);
            // SAFETY: the range is a private mapping of this program's file that nothing ever
            // writes, so its pages come back from the file as they were.
            let _ = unsafe { madvise(address, end - start, MmapAdvise::MADV_DONTNEED) };
        }
    }
}

/// The range of a mapping that is never written. Read-only data behind the code has been: the
/// loader put addresses into it before it was protected.
fn clean_range(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let clean = match (fields.next()?, fields.next()?) {
        ("r-xp", _) => true,
        ("r--p", offset) => usize::from_str_radix(offset, 16).ok()? == 0,
        _ => false,
    };
    let number = |text| usize::from_str_radix(text, 16).ok();
    if clean {
        Some((number(start)?, number(end)?))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_that_are_never_written_are_let_go() {
        let mapping = |rest: &str| clean_range(&format!("7f00-8f00 {rest} fe:00 12 /bin/it"));
        assert_eq!(mapping("r-xp 00071000"), Some((0x7f00, 0x8f00)));
        assert_eq!(mapping("r--p 00000000"), Some((0x7f00, 0x8f00)));
        assert_eq!(mapping("r--p 001e4000"), None);
        assert_eq!(mapping("rw-p 001ec000"), None);
    }

    #[test]
    fn the_program_runs_on_after_its_code_was_let_go() {
        let code = Code::find().unwrap();
        assert!(!code.ranges.is_empty());
        code.release();
        assert_eq!(Code::find().unwrap().ranges, code.ranges);
    }
}
