//! Errors as the log shows them.

use std::error::Error;

/// An error with its causes, the outermost first, on one line. Each error's own message says
/// nothing of its source, so nothing shows twice.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
