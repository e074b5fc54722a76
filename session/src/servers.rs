//! MCP servers without which Claude works, of which a person is told, once each.

/// Servers of which something was told.
const MOST: usize = 64;

/// What has been told.
#[derive(Debug, Default)]
pub(crate) struct Servers(Vec<String>);

impl Servers {
    /// What is to be told of a server's status, if it is news.
    pub(crate) fn news(&mut self, name: &str, status: &str) -> Option<String> {
        if matches!(status, "connected" | "disabled") {
            return None;
        }
        let said = format!("the MCP server `{name}` is not connected: {status}");
        let is_news = self.0.len() < MOST && !self.0.contains(&said);
        is_news.then(|| {
            self.0.push(said.clone());
            said
        })
    }
}
