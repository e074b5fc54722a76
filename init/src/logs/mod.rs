//! Every line of the box on one stream.

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of interest to who looks for a fault.
    Debug,
    /// What happened.
    Info,
    /// What someone ought to look at.
    Warn,
    /// What failed.
    Error,
}
