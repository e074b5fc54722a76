//! Memory that a quiet process does without.

use std::fs;
use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// The mappings of this program's file that nothing ever writes: its code, and the constants
/// in front of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    clean: Vec<Range<usize>>,
}

impl Program {
    /// Finds them in `/proc/self/maps`.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn of_this_process() -> io::Result<Self> {
        let path = fs::read_link("/proc/self/exe")?;
        let maps = fs::read_to_string("/proc/self/maps")?;
        Ok(Self::parse(&maps, &path.to_string_lossy()))
    }

    /// `proc_pid_maps(5)`: addresses, permissions, offset, device, inode, path. Constants
    /// behind the code are left out: the loader wrote addresses into them before it protected
    /// them.
    fn parse(maps: &str, path: &str) -> Self {
        let number = |text| usize::from_str_radix(text, 16).ok();
        let clean = maps.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let (permissions, offset) = (fields.next()?, number(fields.next()?)?);
            let clean = permissions == "r-xp" || permissions == "r--p" && offset == 0;
            (clean && fields.nth(2)? == path).then_some(number(start)?..number(end)?)
        });
        Self {
            clean: clean.collect(),
        }
    }

    /// Gives back what only the past needed: free memory, and pages of the program, which come
    /// back from its file when they are used next.
    pub fn rest(&self) {
        // SAFETY: returns free memory to the kernel; there are no preconditions.
        #[cfg(target_env = "gnu")]
        unsafe {
            libc::malloc_trim(0)
        };
        for range in &self.clean {
            let start = std::ptr::without_provenance_mut(range.start);
            // SAFETY: a private mapping of a file that nothing ever wrote to, so the same
            // bytes are there again for whoever looks. A kernel that refuses changes nothing.
            let _ = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_constants_in_front_of_it_are_clean_and_what_was_relocated_is_not() {
        let maps = "\
            7f00-7f10 r--p 00000000 fe:00 7 /usr/bin/cib-init\n\
            7f10-7f40 r-xp 00010000 fe:00 7 /usr/bin/cib-init\n\
            7f40-7f50 r--p 00040000 fe:00 7 /usr/bin/cib-init\n\
            7f50-7f60 rw-p 00050000 fe:00 7 /usr/bin/cib-init\n\
            8000-8010 r-xp 00000000 fe:00 8 /usr/lib/libc.so.6\n\
            9000-9010 rw-p 00000000 00:00 0 [heap]\n\
            a000-a010 r-xp 00000000 00:00 0\n";
        let found = Program::parse(maps, "/usr/bin/cib-init");
        assert_eq!(found.clean, [0x7f00..0x7f10, 0x7f10..0x7f40]);
    }

    #[test]
    fn a_process_that_rested_goes_on() {
        let program = Program::of_this_process().unwrap();
        assert!(!program.clean.is_empty());
        for _ in 0..3 {
            program.rest();
            assert_eq!(program.clone(), program);
        }
    }
}
