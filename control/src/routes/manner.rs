//! In whose words a route refuses.

use serde_json::json;

use super::{Route, anthropic, openai, runner};
use crate::fault::Fault;
use crate::mcp;

/// How the names of routes begin that are of a protocol of others, and how that refuses.
const MANNERS: &[(&str, Manner)] = &[
    (runner::PREFIX, Manner::Runner),
    ("anthropic_", Manner::Anthropic),
    ("openai_", Manner::OpenAi),
    ("agentapi_", Manner::AgentApi),
    ("mcp", Manner::Mcp),
    ("ttyd_", Manner::Ttyd),
];

/// Whose words they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Ours: a code and a sentence.
    Ours,
    /// claude-code-runner's: a sentence.
    Runner,
    /// Anthropic's Messages API.
    Anthropic,
    /// OpenAI's API.
    OpenAi,
    /// agentapi's: RFC 9457.
    AgentApi,
    /// The Model Context Protocol's: JSON-RPC.
    Mcp,
    /// Ours, for ttyd has none.
    Ttyd,
}

impl Manner {
    /// Whose words a route uses.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        MANNERS
            .iter()
            .find(|(prefix, _)| route.name.starts_with(prefix))
            .map_or(Self::Ours, |(_, manner)| *manner)
    }

    /// The media type of a refusal.
    #[must_use]
    pub fn media(self) -> &'static str {
        match self {
            Self::AgentApi => "application/problem+json",
            _ => "application/json",
        }
    }

    /// A refusal; nothing for one of ours.
    #[must_use]
    pub fn words(self, fault: &Fault) -> Option<Vec<u8>> {
        let json = match self {
            Self::Ours | Self::Ttyd => return None,
            Self::Mcp => return Some(mcp::words(fault)),
            Self::Runner => json!({"error": runner::words(fault)}),
            Self::Anthropic => anthropic::refusal(fault),
            Self::OpenAi => openai::refusal(fault),
            Self::AgentApi => {
                let status = fault.code().status();
                json!({
                    "title": status.canonical_reason().unwrap_or_default(),
                    "status": status.as_u16(),
                    "detail": fault.detail(),
                    "type": format!("urn:claude-in-box:{}", fault.code().as_str()),
                })
            }
        };
        Some(json.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Code;
    use crate::routes::table::ROUTES;
    use serde_json::Value;

    #[test]
    fn each_protocol_is_refused_in_its_own_words() {
        let fault = Fault::new(Code::Unauthorized, "who are you");
        let words = |manner: Manner| -> Value {
            serde_json::from_slice(&manner.words(&fault).unwrap()).unwrap()
        };
        assert_eq!(Manner::Ours.words(&fault), None);
        assert_eq!(
            words(Manner::Anthropic)["error"]["type"],
            "authentication_error"
        );
        assert_eq!(words(Manner::Anthropic)["type"], "error");
        assert_eq!(words(Manner::OpenAi)["error"]["code"], "unauthorized");
        assert_eq!(words(Manner::AgentApi)["status"], 401);
        assert_eq!(words(Manner::Mcp)["error"]["data"]["code"], "unauthorized");
        assert_eq!(words(Manner::Runner)["error"], "Unauthorized");
    }

    #[test]
    fn our_own_routes_refuse_in_our_words() {
        for route in ROUTES {
            let is_ours = route
                .paths
                .iter()
                .any(|path| path.starts_with("/api") && !path.contains("/agentapi/"));
            let manner = Manner::of(route);
            assert!(
                !is_ours || matches!(manner, Manner::Ours | Manner::Ttyd),
                "{}",
                route.name
            );
        }
    }
}
