//! Memory that an idle process can do without.

use std::fs;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};
use nix::unistd::{SysconfVar, sysconf};

/// Blocks from this size on are mapped by themselves, in bytes: a buffer that waits for
/// netlink to say something holds 64 KiB and seldom touches more than one page of them, and
/// from the heap it would get pages that somebody else had written to.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 32 * 1024;
/// So much free memory at the end of a heap is given back at once, in bytes. The allocator does
/// not look before there is as much as this.
#[cfg(target_env = "gnu")]
const SPARE: i32 = 64 * 1024;
/// What the frames of [`Program::trim`] and of the calls that it makes may take, in bytes.
const FRAMES: usize = 8 * 1024;

/// The mappings of this program's file that nothing ever writes, its code and the constants
/// in front of it; and its stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    clean: Vec<Range<usize>>,
    stack: Range<usize>,
}

/// Has the allocator keep no more than it needs from now on: large blocks are kept out of the
/// heap, the threads that boot steps run in share it, and it takes and keeps nothing in advance.
pub fn be_sparing() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, SPARE),
        (libc::M_TOP_PAD, 0),
        (libc::M_ARENA_MAX, 1),
    ] {
        // SAFETY: sets a number of the allocator's; there are no preconditions.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives free memory back to the kernel. Whoever is about to take a large buffer that is seldom
/// full has it begin with pages that nobody wrote to.
pub fn give_back() {
    // SAFETY: returns free memory to the kernel; there are no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

impl Program {
    /// Finds them in `/proc/self/maps`.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn of_this_process() -> io::Result<Self> {
        let path = fs::read_link("/proc/self/exe")?;
        let maps = cib_foreign::own::read_to_string("/proc/self/maps")?;
        Ok(Self::parse(&maps, &path.to_string_lossy()))
    }

    /// `proc_pid_maps(5)`: addresses, permissions, offset, device, inode, path. Constants
    /// behind the code are left out: the loader wrote addresses into them before it protected
    /// them.
    fn parse(maps: &str, path: &str) -> Self {
        let number = |text| usize::from_str_radix(text, 16).ok();
        let mut found = Self::default();
        let read = maps.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let (permissions, offset) = (fields.next()?, number(fields.next()?)?);
            let clean = permissions == "r-xp" || permissions == "r--p" && offset == 0;
            Some((fields.nth(2)?, clean, number(start)?..number(end)?))
        });
        for (name, clean, range) in read {
            match name {
                "[stack]" => found.stack = range,
                name if clean && name == path => found.clean.push(range),
                _ => {}
            }
        }
        found
    }

    /// Gives back what only the past needed: free memory, the stack of calls that returned,
    /// and pages of the program, which come back from its file when they are used next.
    pub fn trim(&self) {
        give_back();
        let here = 0_u8;
        if let Some(left) = self.returned(std::ptr::from_ref(&here).addr()) {
            let start = NonZero::new(left.start).unwrap_or(NonZero::<usize>::MIN);
            let start = NonNull::without_provenance(start);
            // SAFETY: this thread's stack beyond its last frame, where nothing lives.
            let _ = unsafe { madvise(start, left.len(), MmapAdvise::MADV_DONTNEED) };
        }
        // Last, because whatever runs after it is there again.
        for range in &self.clean {
            let Some(start) = NonZero::new(range.start) else {
                continue;
            };
            let start = NonNull::without_provenance(start);
            // SAFETY: a private mapping of a file that nothing ever wrote to, so the same
            // bytes are there again for whoever looks. A kernel that refuses changes nothing.
            let _ = unsafe { madvise(start, range.len(), MmapAdvise::MADV_DONTNEED) };
        }
    }

    /// The pages of the stack that calls left behind, seen from a frame at `here`; none if
    /// that is another thread's.
    fn returned(&self, here: usize) -> Option<Range<usize>> {
        let page = page_size();
        let end = here.checked_sub(FRAMES)? & !(page - 1);
        (self.stack.contains(&here) && self.stack.start < end).then_some(self.stack.start..end)
    }
}

fn page_size() -> usize {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| size.try_into().ok()).unwrap_or(4096)
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
            a000-a010 r-xp 00000000 00:00 0\n\
            b000-c000 rw-p 00000000 00:00 0 [stack]\n";
        let found = Program::parse(maps, "/usr/bin/cib-init");
        assert_eq!(found.clean, [0x7f00..0x7f10, 0x7f10..0x7f40]);
        assert_eq!(found.stack, 0xb000..0xc000);
    }

    #[test]
    fn of_a_stack_only_what_lies_beyond_the_last_frames_goes() {
        let page = page_size();
        let (start, end) = (100 * page, 200 * page);
        let program = Program {
            clean: Vec::new(),
            stack: start..end,
        };
        assert_eq!(program.returned(end + 1), None);
        assert_eq!(program.returned(start + FRAMES), None);
        let here = end - 7;
        let left = program.returned(here).unwrap();
        assert_eq!((left.start, left.end % page), (start, 0));
        assert!(left.end <= here - FRAMES && left.end > here - FRAMES - page);
    }

    #[test]
    fn a_process_goes_on_after_it_was_trimmed() {
        let program = Program::of_this_process().unwrap();
        assert!(!program.clean.is_empty());
        for _ in 0..3 {
            program.trim();
            assert_eq!(program.clone(), program);
        }
    }
}
