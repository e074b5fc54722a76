//! Decides who may ask for what.

use cib_protocol::init::InitRequest;

/// The user of `cib-control` in every image (`docs/design/interfaces.md`).
pub const CONTROL_UID: u32 = 970;

/// Logs that not everybody in the box may read.
const PRIVATE_LOGS: [&str; 6] = [
    "control", "files", "session", "redsocks", "resolver", "connect",
];

/// What a peer may ask, by the user that the kernel says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Look.
    Look,
    /// Look and change.
    Change,
}

impl Rights {
    /// The rights of a user.
    #[must_use]
    pub fn of(uid: u32) -> Self {
        // Init's own user too: without root in the container there is only that one.
        let own = nix::unistd::geteuid().as_raw();
        if uid == 0 || uid == CONTROL_UID || uid == own {
            Self::Change
        } else {
            Self::Look
        }
    }

    /// Whether anything may be changed.
    #[must_use]
    pub fn may_change(self) -> bool {
        self == Self::Change
    }

    /// Whether this may be asked.
    #[must_use]
    pub fn permit(self, request: &InitRequest) -> bool {
        match request {
            InitRequest::Status {} | InitRequest::Healthcheck {} => true,
            // Who speaks to the box from outside, and with whom other sessions speak, is in
            // there.
            InitRequest::Logs { service, .. } => {
                self.may_change() || !PRIVATE_LOGS.contains(&service.as_str())
            }
            InitRequest::ServiceStart { .. }
            | InitRequest::ServiceStop { .. }
            | InitRequest::ServiceRestart { .. }
            | InitRequest::SessionStart { .. }
            | InitRequest::SessionSignal { .. }
            | InitRequest::SessionPurge { .. }
            | InitRequest::LoginStart {}
            | InitRequest::EgressTest {} => self.may_change(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_the_box_may_look_and_not_touch() {
        let rights = Rights::Look;
        assert!(rights.permit(&InitRequest::Status {}));
        assert!(rights.permit(&InitRequest::Healthcheck {}));
        for request in [
            InitRequest::ServiceStop {
                service: "redsocks".into(),
            },
            InitRequest::SessionSignal {
                session: uuid::Uuid::nil(),
                kill: true,
            },
            InitRequest::SessionPurge {
                session: uuid::Uuid::nil(),
            },
            InitRequest::LoginStart {},
            InitRequest::EgressTest {},
        ] {
            assert!(!rights.permit(&request), "{request:?}");
            assert!(Rights::Change.permit(&request), "{request:?}");
        }
    }

    #[test]
    fn who_speaks_with_the_box_is_not_for_everybody_to_read() {
        let logs = |service: &str| InitRequest::Logs {
            service: service.to_owned(),
            lines: 10,
        };
        for service in ["control", "session", "resolver", "redsocks"] {
            assert!(!Rights::Look.permit(&logs(service)), "{service}");
            assert!(Rights::Change.permit(&logs(service)), "{service}");
        }
        for service in ["init", "setup", "postgres"] {
            assert!(Rights::Look.permit(&logs(service)), "{service}");
        }
    }

    #[test]
    fn root_and_control_may_change_and_coder_may_not() {
        assert_eq!(Rights::of(0), Rights::Change);
        assert_eq!(Rights::of(CONTROL_UID), Rights::Change);
        assert_eq!(Rights::of(1000), Rights::Look);
    }
}
