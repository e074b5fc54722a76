//! `cib status`: one box, and what goes on in it.

use serde_json::{Value, json};

use super::{Context, list, renew, start};
use crate::args::Which;
use crate::failure::Failure;
use crate::output::table;
use crate::text;

pub(super) fn run(context: &Context<'_>, which: &Which) -> Result<u8, Failure> {
    let (engine, found) = context.choose(which.name.as_deref())?;
    let mut about = list::described(context, &engine, &found);
    // A box that is stopped, or going to be up, is told of all the same.
    let api = found
        .runs()
        .then(|| context.api(&engine, &found).ok())
        .flatten();
    let sessions = api
        .as_ref()
        .and_then(|api| api.get("/api/sessions").ok())
        .map_or(Value::Array(Vec::new()), |list| list["sessions"].clone());
    about["all_sessions"] = sessions.clone();
    about["url"] = json!(api.as_ref().and_then(|api| start::reached(&engine, api)));
    context.output.result(&about, || {
        let row = |what: &str, said: String| vec![what.to_owned(), said];
        let word = |key: &str| text::line(about[key].as_str().unwrap_or("-"));
        let mut rows = vec![
            row("Box", word("name")),
            row("State", word("state")),
            row("Branch", word("branch")),
            row(
                "Commits",
                about["commits"]
                    .as_u64()
                    .map_or("-".into(), |n| n.to_string()),
            ),
            row("Repository", word("path")),
            row("Image", word("image")),
            row("URL", word("url")),
            row("Credential ends", word("credential_ends")),
        ];
        for session in sessions.as_array().into_iter().flatten() {
            rows.push(row("Session", line(session)));
        }
        table(&rows)
    });
    renew::tell(context, &found);
    Ok(0)
}

/// A session in a line.
fn line(session: &Value) -> String {
    let word = |key: &str| text::line(session[key].as_str().unwrap_or_default());
    let cost = session["usage"]["cost_usd"].as_f64().unwrap_or_default();
    let mut line = format!("{}  {}  ${cost:.2}", word("id"), word("state"));
    let doing = session["todo"]["doing"].as_str();
    let asked = session["open_questions"][0]["prompt"].as_str();
    for said in asked
        .map(|said| format!("asks: {said}"))
        .iter()
        .map(String::as_str)
        .chain(doing)
    {
        line.push_str("  ");
        line.push_str(&text::line(said));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_a_line_with_what_it_asks_and_no_control_characters() {
        let session = json!({
            "id": "1a", "state": "waiting_for_input", "usage": {"cost_usd": 0.5},
            "open_questions": [{"prompt": "may\u{1b} I?\n"}], "todo": {"doing": "tests"},
        });
        let expected = "1a  waiting_for_input  $0.50  asks: may\\u{1b} I?\\u{a}  tests";
        assert_eq!(line(&session), expected);
    }
}
