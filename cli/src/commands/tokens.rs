//! `cib tokens`: tokens of a box for other devices.

use serde_json::json;

use super::Context;
use crate::args::Tokens;
use crate::failure::Failure;
use crate::output::table;
use crate::text;

pub(super) fn run(context: &Context<'_>, arguments: &Tokens) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let api = context.api(&engine, &found)?;
    if let Some(label) = &arguments.create {
        let body = json!({
            "label": label, "scopes": arguments.scope, "ttl": arguments.ttl, "kind": arguments.kind,
        });
        let made = api.post("/api/tokens", &body)?;
        context.output.result(&made, || {
            text::line(made["plaintext"].as_str().unwrap_or_default())
        });
        return Ok(0);
    }
    if let Some(id) = &arguments.revoke {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Failure::usage(
                "--revoke takes a token's id, as `cib tokens` lists it",
            ));
        }
        api.delete(&format!("/api/tokens/{id}"))?;
        context.output.result(&json!({"revoked": id}), String::new);
        return Ok(0);
    }
    let list = api.get("/api/tokens")?;
    context.output.result(&list["tokens"], || {
        let mut rows = vec![
            ["ID", "LABEL", "KIND", "SCOPES", "ENDS"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for token in list["tokens"].as_array().into_iter().flatten() {
            let word = |key: &str| text::line(token[key].as_str().unwrap_or("never"));
            let scopes: Vec<&str> = token["scopes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|s| s.as_str())
                .collect();
            rows.push(vec![
                word("id"),
                word("label"),
                text::line(token["kind"].as_str().unwrap_or("bearer")),
                text::line(&scopes.join(" ")),
                word("expires_at"),
            ]);
        }
        if rows.len() == 1 {
            String::new()
        } else {
            table(&rows)
        }
    });
    Ok(0)
}
