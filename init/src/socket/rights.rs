//! Who may ask what.

use cib_protocol::init::InitRequest;

/// The user of `cib-control` in every image (`docs/design/interfaces.md`).
pub const CONTROL_UID: u32 = 970;

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
        let own = rustix::process::geteuid().as_raw();
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
            InitRequest::Status {} | InitRequest::Healthcheck {} | InitRequest::Logs { .. } => true,
            InitRequest::ServiceStart { .. }
            | InitRequest::ServiceStop { .. }
            | InitRequest::ServiceRestart { .. }
            | InitRequest::SessionStart { .. }
            | InitRequest::SessionSignal { .. }
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
            InitRequest::LoginStart {},
            InitRequest::EgressTest {},
        ] {
            assert!(!rights.permit(&request), "{request:?}");
            assert!(Rights::Change.permit(&request), "{request:?}");
        }
    }

    #[test]
    fn root_and_control_may_change_and_coder_may_not() {
        assert_eq!(Rights::of(0), Rights::Change);
        assert_eq!(Rights::of(CONTROL_UID), Rights::Change);
        assert_eq!(Rights::of(1000), Rights::Look);
    }
}
