//! What can be wrong with a request, and the one table from code to status.
//!
//! A fault has two audiences. The client gets the code and a sentence; the log gets the chain
//! of causes, which may hold paths and the kernel's words and never leaves the box.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::auth::Lapse;
use crate::auth::scope::{Scope, WILDCARD};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $status:literal $name:literal,)+) => {
        /// Stable codes of the API's errors. A code never changes its meaning or its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// Every code, in the order of its status.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as a client sees it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The number of its HTTP status.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    BadJson = 400 "bad_json",
    /// The body has a field that the route does not know.
    UnknownField = 400 "unknown_field",
    /// A field, a parameter or a header has a value that cannot be used.
    BadValue = 400 "bad_value",
    /// The directory is not inside the box's allowed roots.
    WorkdirOutside = 400 "workdir_outside",
    /// A token was sent in the query string, where logs would keep it.
    TokenInQuery = 400 "token_in_query",
    /// A record of a sealed message is damaged or missing, or is none.
    BadRecord = 400 "bad_record",
    /// The token, the password or the sign-in is missing, wrong, expired or revoked.
    Unauthorized = 401 "unauthorized",
    /// The device token of a sealed message reached the end of its time.
    TokenExpired = 401 "token_expired",
    /// The time of a sealed message is too far from the box's, which its answer tells.
    Clock = 401 "clock",
    /// The token's scopes do not cover the route.
    ScopeMissing = 403 "scope_missing",
    /// The box's user may not do that with the file, or its root is not to be changed.
    FileForbidden = 403 "file_forbidden",
    /// A page of another origin made the request.
    CrossOrigin = 403 "cross_origin",
    /// The password that was to be shown once more is wrong.
    WrongPassword = 403 "wrong_password",
    /// Only who has the master token may do that.
    MasterNeeded = 403 "master_needed",
    /// No route has that path.
    NoSuchRoute = 404 "no_such_route",
    /// No session has that id.
    NoSuchSession = 404 "no_such_session",
    /// No shell has that id.
    NoSuchShell = 404 "no_such_shell",
    /// No task has that id.
    NoSuchTask = 404 "no_such_task",
    /// The box has no account at that forge.
    NoSuchForge = 404 "no_such_forge",
    /// No device token has that id.
    NoSuchToken = 404 "no_such_token",
    /// No provider has that id.
    NoSuchProvider = 404 "no_such_provider",
    /// No account has that name.
    NoSuchAccount = 404 "no_such_account",
    /// There is no sign-in of that id, or none at all.
    NoSuchSignIn = 404 "no_such_sign_in",
    /// No question of that id is open.
    NoSuchQuestion = 404 "no_such_question",
    /// No channel has that id.
    NoSuchChannel = 404 "no_such_channel",
    /// No delivery has that id.
    NoSuchDelivery = 404 "no_such_delivery",
    /// No subscription of the caller's has that id.
    NoSuchSubscription = 404 "no_such_subscription",
    /// Nothing of the agent's listens on the port, or it was not opened at that address.
    NoSuchPort = 404 "no_such_port",
    /// Nothing stands at the path.
    NoSuchFile = 404 "no_such_file",
    /// There is no repository there, or git does not find in it what was named.
    NoRepository = 404 "no_repository",
    /// The path exists, but not with that method.
    MethodNotAllowed = 405 "method_not_allowed",
    /// The request's body did not arrive in time.
    RequestTimeout = 408 "request_timeout",
    /// The session has a live keeper, so it cannot be resumed or purged.
    SessionRunning = 409 "session_running",
    /// The session or shell has ended, or is ending.
    SessionEnded = 409 "session_ended",
    /// The session's driver cannot do that.
    WrongDriver = 409 "wrong_driver",
    /// The session has no conversation of Claude's yet, or none that anybody but its task resumes.
    NothingToResume = 409 "nothing_to_resume",
    /// A login of Claude's is on its way.
    LoginRunning = 409 "login_running",
    /// No login of Claude's waits for that.
    NoLogin = 409 "no_login",
    /// There are as many device tokens as may be.
    TooManyTokens = 409 "too_many_tokens",
    /// There are as many providers as may be.
    TooManyProviders = 409 "too_many_providers",
    /// There are as many channels, or as many subscriptions, as may be.
    TooManyChannels = 409 "too_many_channels",
    /// The box has its first account already.
    AlreadySetUp = 409 "already_set_up",
    /// There is an account of that name.
    AccountExists = 409 "account_exists",
    /// There are as many accounts as may be.
    TooManyAccounts = 409 "too_many_accounts",
    /// The box asks nobody who they are.
    AuthDisabled = 409 "auth_disabled",
    /// As many sessions are live as may be.
    TooManySessions = 409 "too_many_sessions",
    /// As many shells are open as may be.
    TooManyShells = 409 "too_many_shells",
    /// The task waits for nobody to say which repository it is about.
    NothingAsked = 409 "nothing_asked",
    /// The task has no pull request.
    NoPullRequest = 409 "no_pull_request",
    /// The task has ended, or is about to.
    TaskEnded = 409 "task_ended",
    /// The task has not ended.
    TaskRunning = 409 "task_running",
    /// There are as many tasks as are kept, or as many messages to one as it takes.
    TooManyTasks = 409 "too_many_tasks",
    /// A link stands at the path or on the way to it, and links are not followed.
    IsLink = 409 "is_link",
    /// What stands at the path is no regular file.
    NotAFile = 409 "not_a_file",
    /// What stands at the path, or on the way to it, is no folder.
    NotAFolder = 409 "not_a_folder",
    /// Something stands at the path already.
    FileExists = 409 "file_exists",
    /// The folder has something in it.
    FolderNotEmpty = 409 "folder_not_empty",
    /// Another disk begins there.
    OtherDisk = 409 "other_disk",
    /// The push or the pull request may not be; the sentence says what may.
    PushRefused = 409 "push_refused",
    /// The file is not what the caller knows of it.
    FileChanged = 412 "file_changed",
    /// The body is larger than the route takes.
    TooLarge = 413 "too_large",
    /// The part of the file that was asked for lies behind its end.
    RangeUnsatisfiable = 416 "range_unsatisfiable",
    /// The route speaks WebSocket only.
    UpgradeRequired = 426 "upgrade_required",
    /// Too many wrong tokens or passwords came from the client's address.
    TooManyAttempts = 429 "too_many_attempts",
    /// Something failed inside the box; its log says what.
    Internal = 500 "internal",
    /// Claude answered the command with an error.
    ClaudeRefused = 502 "claude_refused",
    /// The session's keeper did not become ready.
    KeeperFailed = 502 "keeper_failed",
    /// The forge refuses, fails, or does not answer.
    ForgeFailed = 502 "forge_failed",
    /// What listens on the port does not answer as a server of HTTP does.
    PortFailed = 502 "port_failed",
    /// The box is booting or shutting down.
    NotNow = 503 "not_now",
    /// The box's init does not answer.
    InitUnreachable = 503 "init_unreachable",
    /// Claude does not take input as fast as it comes, or the disk does not give what is asked.
    Busy = 503 "busy",
    /// What looks at the files does not answer, or answers nonsense.
    FilesUnavailable = 503 "files_unavailable",
    /// There are as many connections as may be, or as the caller may have.
    TooManyConnections = 503 "too_many_connections",
    /// The session's journal cannot be read or is no journal. Other sessions are as they were.
    JournalUnreadable = 500 "journal_unreadable",
    /// The session's journal cannot be written: the disk is full, or read-only.
    JournalUnwritable = 503 "journal_unwritable",
    /// The session's keeper did not answer in time.
    KeeperTimeout = 504 "keeper_timeout",
    /// What was asked of the files took too long; of a folder that was to go, a part may be gone.
    FilesLate = 504 "files_late",
    /// The session did not end in time, or its files are so many; asking again goes on.
    PurgeLate = 504 "purge_late",
    /// The disk is full.
    DiskFull = 507 "disk_full",
}

impl Code {
    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Why a request was not served.
#[derive(Debug)]
pub struct Fault {
    code: Code,
    detail: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of the client, or of the moment. `detail` is shown to the client.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: None,
            source: None,
        }
    }

    /// A fault of the box: the client learns only that it was one, the log gets `source`.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "the box could not do that; its log says why",
        )
        .because(source)
    }

    /// A body that is not what the route takes, by what the parser says of it.
    #[must_use]
    pub fn from_json(error: &serde_json::Error) -> Self {
        let detail = error.to_string();
        let code = if error.is_data() {
            if detail.starts_with("unknown field") {
                Code::UnknownField
            } else {
                Code::BadValue
            }
        } else {
            Code::BadJson
        };
        Self::new(code, detail)
    }

    /// A token that may not do what was asked.
    #[must_use]
    pub fn scope_missing(scope: Scope) -> Self {
        let scope = scope.as_str();
        Self::new(
            Code::ScopeMissing,
            format!("the token does not have the scope `{scope}`"),
        )
    }

    /// A caller whose access has ended since the request was let in.
    #[must_use]
    pub fn lapsed(lapse: Lapse) -> Self {
        let detail = format!("the access ended meanwhile: {}", lapse.as_str());
        Self::new(Code::Unauthorized, detail)
    }

    /// A caller that is no administrator.
    #[must_use]
    pub fn everything_missing() -> Self {
        let detail = format!("only who has the scope `{WILDCARD}` may do that");
        Self::new(Code::ScopeMissing, detail)
    }

    /// Tells the log, in the words for it: a fault of the box is an error there, one of the
    /// client hardly of interest.
    pub fn log(&self, route: &str) {
        let code = self.code.as_str();
        let causes = self.causes();
        if self.code == Code::Internal {
            tracing::error!(route, code, causes, "a request failed");
        } else if self.source.is_some() && self.code.number() >= 500 {
            tracing::warn!(route, code, causes, "a request failed");
        } else {
            tracing::debug!(route, code, causes, "a request was refused");
        }
    }

    /// Adds a cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for the client.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whole seconds to wait before trying again, if that is known.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }

    /// The causes, outermost first, joined for one line of the log; empty without any.
    #[must_use]
    pub fn causes(&self) -> String {
        cib_base::errors::causes(self)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_that_is_an_error_and_a_name_of_its_own() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let status = code.status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code:?}"
            );
            assert_eq!(status.as_u16(), code.number(), "{code:?}");
            assert!(code.meaning().ends_with('.'), "{code:?}");
        }
    }

    #[test]
    fn an_internal_fault_tells_the_client_nothing_of_its_cause() {
        let fault = Fault::internal(std::io::Error::other("/run/cib/secret: denied"));
        assert!(!fault.detail().contains("secret"));
        assert_eq!(fault.causes(), "/run/cib/secret: denied");
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let fault = Fault::new(Code::TooManyAttempts, "").retry_after(Duration::from_millis(1200));
        assert_eq!(fault.retry_after_seconds(), Some(2));
    }
}
