//! `CIB_PROXY_URL`: the upstream that it names, how it is read, and how it is written.

mod fault;
mod parse;
mod parts;
mod write;

pub use fault::{UpstreamFault, VARIABLE};
pub use parse::is_host_name;
pub use parts::{Credentials, Endpoint, Host, Scheme, Upstream};
pub use write::as_url;

#[cfg(test)]
mod tests;
