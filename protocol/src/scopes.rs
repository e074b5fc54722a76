//! The words for what somebody may do, for those who check them before control is there.

/// Every scope, in the order in which they are shown. Control's own table is tested to have the same.
pub const SCOPES: &[&str] = &[
    "sessions:read",
    "sessions:write",
    "sessions:input",
    "shells:read",
    "shells:write",
    "shells:input",
    "fs:read",
    "fs:write",
    "providers:read",
    "providers:write",
    "prefs:read",
    "prefs:write",
    "ports:read",
    "ports:write",
    "hooks:read",
    "hooks:write",
    "tokens:read",
    "tokens:write",
    "proxy:read",
    "usage:read",
    "tasks:read",
    "tasks:write",
];
