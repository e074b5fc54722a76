//! Which of root's powers are left to whom.
//!
//! Init alone may touch the network's rules. Whatever it starts has the dangerous ones taken
//! out of its bounding set, so that not even a root shell in the box can get them back.

use caps::{CapSet, Capability, CapsHashSet};

use crate::spawn::Capabilities;

/// What a root process of the box keeps: what it takes to look after files, users and
/// processes. Everything else goes, by number and not by name, so that a capability that a
/// newer kernel has and this program does not know goes too. Gone are in particular
/// `NET_ADMIN` (the rules), `NET_RAW` (packets that no rule sees as they are), `SYS_ADMIN`,
/// `SYS_PTRACE` (another process's memory, and with it the proxy's password), `SYS_MODULE`
/// and, so that none of it comes back, `SETPCAP` and `SETFCAP`.
pub const KEPT: &[Capability] = &[
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_KILL,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYS_NICE,
    Capability::CAP_SYS_RESOURCE,
];

/// What the launcher of a session keeps: to become the session's user, to signal what it
/// started as that user, and to leave that user's processes nothing.
pub const LAUNCH: &[Capability] = &[
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SETPCAP,
];

/// What a child's sets become, in the kernel's words: bit `n` is capability `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What stays in the bounding set; `None` leaves it as it is.
    pub bounding: Option<u64>,
    /// What stays permitted and effective; `None` leaves them as they are.
    pub permitted: Option<u64>,
}

/// The policy of one kind of child.
#[must_use]
pub fn policy(kind: Capabilities) -> Policy {
    match kind {
        Capabilities::None => Policy {
            bounding: Some(0),
            permitted: Some(0),
        },
        Capabilities::Reduced => Policy {
            bounding: Some(word(KEPT)),
            permitted: Some(word(KEPT)),
        },
        Capabilities::Launch => Policy {
            bounding: Some(word(LAUNCH)),
            permitted: Some(word(LAUNCH)),
        },
        Capabilities::Own => Policy {
            bounding: None,
            permitted: None,
        },
    }
}

fn word(capabilities: &[Capability]) -> u64 {
    capabilities
        .iter()
        .fold(0, |word, one| word | one.bitmask())
}

/// Whether init itself has a capability now.
#[must_use]
pub fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Those of `wanted` that init does not have, in their order.
#[must_use]
pub fn missing(wanted: &[Capability]) -> Vec<Capability> {
    let own: CapsHashSet = caps::read(None, CapSet::Effective).unwrap_or_default();
    wanted
        .iter()
        .copied()
        .filter(|capability| !own.contains(capability))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_keeps_nothing() {
        let policy = policy(Capabilities::None);
        assert_eq!((policy.bounding, policy.permitted), (Some(0), Some(0)));
    }

    #[test]
    fn a_launcher_can_become_a_user_and_signal_it_and_read_no_file_of_anybodys() {
        // Bits 5 to 8 of capability.h: KILL, SETGID, SETUID and SETPCAP.
        let policy = policy(Capabilities::Launch);
        assert_eq!(policy.bounding, Some(0b1_1110_0000));
        assert_eq!(policy.permitted, policy.bounding);
    }

    #[test]
    fn a_root_shell_can_change_files_and_users_but_not_the_network() {
        let kept = policy(Capabilities::Reduced).bounding.unwrap();
        for gone in [
            "NET_ADMIN",
            "NET_RAW",
            "SYS_ADMIN",
            "SYS_PTRACE",
            "SYS_MODULE",
            "SETPCAP",
        ] {
            let capability: Capability = format!("CAP_{gone}").parse().unwrap();
            assert_eq!(kept & capability.bitmask(), 0, "{gone}");
        }
        for stays in [
            "CHOWN",
            "DAC_OVERRIDE",
            "SETUID",
            "SETGID",
            "KILL",
            "NET_BIND_SERVICE",
        ] {
            let capability: Capability = format!("CAP_{stays}").parse().unwrap();
            assert_ne!(kept & capability.bitmask(), 0, "{stays}");
        }
    }

    #[test]
    fn a_capability_of_a_newer_kernel_goes_too() {
        let kept = policy(Capabilities::Reduced).bounding.unwrap();
        assert_eq!(kept >> (Capability::CAP_CHECKPOINT_RESTORE as u8 + 1), 0);
    }
}
