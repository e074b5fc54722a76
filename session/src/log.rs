//! Lines for init's log, on standard error.

/// Writes a line. Nothing of a session's content, environment or spec goes here.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => {
        $crate::log::write(::std::format_args!($($arg)*))
    };
}

/// Writes a line; a log that cannot be written must not disturb the session.
pub fn write(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "cib-session: {line}");
}
