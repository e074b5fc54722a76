//! Exit codes, and what the kernel says of how a child ended.

/// Everything went as asked.
pub const OK: u8 = 0;
/// The command line could not be understood (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// Something inside failed, or a service that the box needs was given up (`EX_SOFTWARE`).
pub const INTERNAL: u8 = 70;
/// The command exists but cannot be executed, as shells have it.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command does not exist, as shells have it.
pub const NOT_FOUND: u8 = 127;

/// The code that a shell would show for a status of `wait4(2)`: the child's own, or 128 plus the
/// signal that ended it. `None` if it was only stopped.
pub(crate) fn code(status: i32) -> Option<u8> {
    let signal = status & 0x7f;
    match signal {
        0 => Some((status >> 8) as u8),
        0x7f => None,
        _ => Some(128 | signal as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_a_signal_and_a_stop_are_told_apart() {
        assert_eq!(code(0), Some(0));
        assert_eq!(code(0x0300), Some(3));
        assert_eq!(code(0xff00), Some(255));
        assert_eq!(code(15), Some(143));
        // With a core dump.
        assert_eq!(code(0x80 | 6), Some(134));
        assert_eq!(code(64), Some(192));
        assert_eq!(code(0x137f), None);
    }
}
