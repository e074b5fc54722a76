//! Decides which capabilities each kind of child keeps.
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

/// What a child keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What stays in the bounding set, where bit `n` is capability `n`: `caps` can drop what it
    /// has a name for, and what a newer kernel has goes too.
    pub bounding: u64,
    /// What becomes permitted and effective: never more than init itself has.
    pub permitted: CapsHashSet,
}

/// What a child of one kind keeps that becomes this user; `None` if it keeps all that there is.
#[must_use]
pub fn kept(kind: Capabilities, uid: Option<u32>) -> Option<Kept> {
    let named: &[Capability] = match kind {
        Capabilities::None => &[],
        Capabilities::Reduced => KEPT,
        Capabilities::Launch => LAUNCH,
        Capabilities::Own => return None,
    };
    let becomes_another = uid.is_some_and(|uid| uid != 0);
    let own = match caps::read(None, CapSet::Permitted) {
        // The kernel takes all from whoever stops being root.
        Ok(own) if !becomes_another => own,
        _ => CapsHashSet::new(),
    };
    Some(Kept {
        bounding: named.iter().fold(0, |bits, one| bits | one.bitmask()),
        permitted: named
            .iter()
            .copied()
            .filter(|one| own.contains(one))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_keeps_nothing() {
        let kept = kept(Capabilities::None, None).unwrap();
        assert_eq!((kept.bounding, kept.permitted.len()), (0, 0));
    }

    #[test]
    fn a_launcher_can_become_a_user_and_signal_it_and_read_no_file_of_anybodys() {
        // Bits 5 to 8 of capability.h: KILL, SETGID, SETUID and SETPCAP.
        let kept = kept(Capabilities::Launch, None).unwrap();
        assert_eq!(kept.bounding, 0b1_1110_0000);
        assert!(kept.permitted.iter().all(|one| LAUNCH.contains(one)));
    }

    #[test]
    fn a_root_shell_can_change_files_and_users_but_not_the_network() {
        let kept = kept(Capabilities::Reduced, None).unwrap().bounding;
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
    fn who_becomes_another_user_is_permitted_nothing() {
        let kept = kept(Capabilities::Reduced, Some(1000)).unwrap();
        assert_eq!(kept.permitted.len(), 0);
        assert_ne!(kept.bounding, 0);
    }

    #[test]
    fn a_capability_of_a_newer_kernel_goes_too() {
        let kept = kept(Capabilities::Reduced, None).unwrap().bounding;
        assert_eq!(kept >> (Capability::CAP_CHECKPOINT_RESTORE as u8 + 1), 0);
    }
}
