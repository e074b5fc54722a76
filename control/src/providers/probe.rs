//! Asks a provider whether it takes its key.
//!
//! Of what it answers nothing is passed on but the status and the names of its models: whoever may
//! have something asked shall not read by it what only this box can reach.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cib_https::{Client, HttpsError, Options};
use cib_protocol::api::{ProbeOutcome, ProviderProbe};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::base::{Reach, reach};
use super::{Kept, Providers};
use crate::fault::{Code, Fault};

/// Probes at once.
pub(super) const AT_ONCE: usize = 2;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// Bytes of an answer, at most.
const MOST: usize = 1 << 20;

/// Models that are told of, at most.
const MAX_MODELS: usize = 50;

/// Characters of a model's name, at most.
const MAX_NAME: usize = 100;

/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";

impl Providers {
    /// Asks. First for the models, which costs nothing; where that cannot be asked, for an answer
    /// of one token of its model.
    ///
    /// # Errors
    /// [`Code::Busy`] while others are asked. What is wrong with the provider is the answer.
    pub async fn probe(&self, kept: &Kept) -> Result<ProviderProbe, Fault> {
        let Ok(_place) = self.probing.try_acquire() else {
            let detail = "other providers are being asked; try again";
            return Err(Fault::new(Code::Busy, detail).retry_after(Duration::from_secs(3)));
        };
        let models = self
            .ask(kept, Method::GET, "/v1/models", Bytes::new())
            .await?;
        let cannot_say = [404, 405, 501].map(Some).contains(&models.http);
        let Some(model) = kept.shown.model.as_deref().filter(|_| cannot_say) else {
            return Ok(models);
        };
        let message = json!({
            "model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}],
        });
        let body = serde_json::to_vec(&message).map_err(Fault::internal)?;
        self.ask(kept, Method::POST, "/v1/messages", body.into())
            .await
    }

    async fn ask(
        &self,
        kept: &Kept,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<ProviderProbe, Fault> {
        let endpoint = format!("{}{path}", kept.shown.base_url);
        let (name, value) = kept.header();
        let mut value: http::HeaderValue = value.expose().parse().map_err(Fault::internal)?;
        value.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(&endpoint)
            .header(name, value)
            .header("anthropic-version", VERSION)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(body)
            .map_err(Fault::internal)?;
        let client = Client::new(Options {
            patience: PATIENCE,
            most: MOST,
            permits: if kept.is_trusted {
                may_be_private
            } else {
                is_public
            },
            bridge: self.bridge,
            ..Options::default()
        });
        let begun = Instant::now();
        let answer = client.send(request).await;
        let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (outcome, http) = match &answer {
            Ok(answer) => (judge(path, answer), Some(answer.status().as_u16())),
            Err(error) => {
                tracing::info!(provider = kept.shown.id, error = %cib_base::errors::chain(error), "a provider did not answer");
                (failed(error), None)
            }
        };
        let models = answer.ok().filter(|_| outcome == ProbeOutcome::Works);
        Ok(ProviderProbe {
            ok: outcome == ProbeOutcome::Works,
            outcome,
            http,
            endpoint,
            latency_ms,
            detail: sentence(outcome).to_owned(),
            models: models
                .map(|answer| names(answer.body()))
                .unwrap_or_default(),
        })
    }
}

fn is_public(ip: IpAddr) -> bool {
    reach(ip) == Reach::Public
}

fn may_be_private(ip: IpAddr) -> bool {
    reach(ip) != Reach::Never
}

/// What an answer means. The API answers with JSON, whatever it says; a page that stands in its
/// place is none.
fn judge(path: &str, answer: &Response<Bytes>) -> ProbeOutcome {
    let json = serde_json::from_slice::<Value>(answer.body()).ok();
    let is_error = |json: &Value| json.get("error").is_some();
    match answer.status() {
        StatusCode::OK if json.as_ref().is_some_and(|json| is_good(path, json)) => {
            ProbeOutcome::Works
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
            ProbeOutcome::KeyRefused
        }
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY
            if path == "/v1/messages" && json.as_ref().is_some_and(is_error) =>
        {
            ProbeOutcome::ModelRefused
        }
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            ProbeOutcome::Faulty
        }
        _ => ProbeOutcome::OtherService,
    }
}

fn is_good(path: &str, json: &Value) -> bool {
    match path {
        "/v1/models" => json.get("data").is_some_and(Value::is_array),
        _ => json.get("content").is_some_and(Value::is_array),
    }
}

fn failed(error: &HttpsError) -> ProbeOutcome {
    match error {
        HttpsError::Forbidden { .. } => ProbeOutcome::Private,
        HttpsError::Tls { .. } | HttpsError::Trust { .. } | HttpsError::Setup(_) => {
            ProbeOutcome::NotTrusted
        }
        HttpsError::Late(_) => ProbeOutcome::Late,
        HttpsError::Http(_) | HttpsError::Broken(_) | HttpsError::Large(_) => {
            ProbeOutcome::OtherService
        }
        _ => ProbeOutcome::Unreachable,
    }
}

/// The names of models, which a list of the API has as `id`.
fn names(body: &[u8]) -> Vec<String> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let list = json.get("data").and_then(Value::as_array);
    let ids = list
        .into_iter()
        .flatten()
        .filter_map(|model| model.get("id")?.as_str());
    ids.filter(|id| id.len() <= MAX_NAME && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .take(MAX_MODELS)
        .map(str::to_owned)
        .collect()
}

fn sentence(outcome: ProbeOutcome) -> &'static str {
    match outcome {
        ProbeOutcome::Works => "it answers, and takes the key",
        ProbeOutcome::ModelRefused => "it takes the key, but not the model",
        ProbeOutcome::KeyRefused => "it does not take the key",
        ProbeOutcome::OtherService => {
            "something answers there, but not as the API does; is the path right?"
        }
        ProbeOutcome::Faulty => "it has a fault of its own, or is asked too much",
        ProbeOutcome::Unreachable => {
            "it cannot be reached: no such name, nothing that listens, or the egress lock"
        }
        ProbeOutcome::NotTrusted => "its certificate is nobody's whom this box trusts",
        ProbeOutcome::Private => {
            "it lies in a private network, where the box looks for who has the scope `*` alone"
        }
        ProbeOutcome::Late => "it did not answer in time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from(body.to_owned()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer
    }

    #[test]
    fn an_answer_is_what_the_api_would_say_or_another_service() {
        let (models, messages) = ("/v1/models", "/v1/messages");
        for (path, status, body, outcome) in [
            (models, 200, r#"{"data": []}"#, ProbeOutcome::Works),
            (models, 200, "<html>", ProbeOutcome::OtherService),
            (models, 200, "[]", ProbeOutcome::OtherService),
            (models, 301, "", ProbeOutcome::OtherService),
            (models, 401, "", ProbeOutcome::KeyRefused),
            (models, 403, "{}", ProbeOutcome::KeyRefused),
            (models, 404, r#"{"error": {}}"#, ProbeOutcome::OtherService),
            (models, 429, "", ProbeOutcome::Faulty),
            (models, 529, "", ProbeOutcome::Faulty),
            (messages, 200, r#"{"content": []}"#, ProbeOutcome::Works),
            (
                messages,
                404,
                r#"{"error": {}}"#,
                ProbeOutcome::ModelRefused,
            ),
            (messages, 404, "not found", ProbeOutcome::OtherService),
        ] {
            assert_eq!(
                judge(path, &answer(status, body)),
                outcome,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn of_an_answer_nothing_is_told_but_names_of_models() {
        let many: Vec<_> = (0..80).map(|n| json!({"id": format!("m{n}")})).collect();
        assert_eq!(
            names(json!({"data": many}).to_string().as_bytes()).len(),
            MAX_MODELS
        );
        let odd = json!({"data": [
            {"id": "good"}, {"id": "a b"}, {"id": "\u{1b}[2J"}, {"id": "x".repeat(101)}, {"id": 7}, 7,
        ]});
        assert_eq!(names(odd.to_string().as_bytes()), ["good"]);
        assert!(names(b"secret").is_empty());
    }
}
