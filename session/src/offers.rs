//! What Claude says that it has, read and bounded.

use cib_foreign::json::{self, Object};
use cib_protocol::offers::{
    Command, MAX_COMMANDS, MAX_DESCRIPTION, MAX_EFFORTS, MAX_MODELS, MAX_NAME, Model, Offers,
};

/// Reads the answer to a greeting.
#[must_use]
pub fn read(answer: &Object<'_>) -> Offers {
    let objects = |name| {
        let items = answer.items(name).unwrap_or_default();
        items.into_iter().filter_map(Object::read)
    };
    Offers {
        models: objects("models")
            .filter_map(|one| model(&one))
            .take(MAX_MODELS)
            .collect(),
        commands: objects("commands")
            .filter_map(|one| command(&one))
            .take(MAX_COMMANDS)
            .collect(),
        claude_version: answer
            .text("claude_code_version")
            .and_then(|version| word(&version)),
    }
}

fn model(one: &Object<'_>) -> Option<Model> {
    let value = word(&one.text("value")?)?;
    let name = one
        .text("displayName")
        .and_then(|name| line(&name, MAX_NAME));
    let efforts = one.items("supportedEffortLevels").unwrap_or_default();
    Some(Model {
        name: name.unwrap_or_else(|| value.clone()),
        value,
        description: one
            .text("description")
            .and_then(|text| line(&text, MAX_DESCRIPTION)),
        efforts: efforts
            .into_iter()
            .filter_map(|effort| word(&json::string(effort)?))
            .take(MAX_EFFORTS)
            .collect(),
    })
}

fn command(one: &Object<'_>) -> Option<Command> {
    Some(Command {
        name: word(&one.text("name")?)?,
        description: one
            .text("description")
            .and_then(|text| line(&text, MAX_DESCRIPTION)),
        hint: one
            .text("argumentHint")
            .and_then(|text| line(&text, MAX_DESCRIPTION)),
    })
}

/// A text that is one word, as names are; a longer one would be another name if it were cut.
fn word(text: &str) -> Option<String> {
    let is_word = !text.is_empty()
        && text.chars().count() <= MAX_NAME
        && !text
            .chars()
            .any(|char| char.is_whitespace() || char.is_control());
    is_word.then(|| text.to_owned())
}

/// The beginning of a text, on one line; `None` if nothing is left.
fn line(text: &str, most: usize) -> Option<String> {
    let mut line = String::new();
    for word in text.split(|char: char| char.is_whitespace() || char.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    if let Some((at, _)) = line.char_indices().nth(most) {
        line.truncate(at);
        line.pop();
        line.push('…');
    }
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Offers {
        read(&Object::read(text).unwrap())
    }

    #[test]
    fn what_a_greeting_is_answered_with_is_read() {
        let offers = of(r#"{"claude_code_version":"2.1.330","commands":[
            {"name":"compact","description":"Makes\n room","argumentHint":"[what to keep]","builtin":true},
            {"name":"cost","description":"","argumentHint":""}],
            "models":[{"value":"opus[1m]","displayName":"Opus (1M context)","description":"d",
                "supportsEffort":true,"supportedEffortLevels":["low","max"]},{"value":"haiku"}]}"#);
        assert_eq!(offers.claude_version.as_deref(), Some("2.1.330"));
        let [opus, haiku] = &*offers.models else {
            panic!("{offers:?}")
        };
        assert_eq!(
            (&*opus.value, &*opus.name),
            ("opus[1m]", "Opus (1M context)")
        );
        assert_eq!(opus.efforts, ["low", "max"]);
        assert_eq!((&*haiku.value, &*haiku.name), ("haiku", "haiku"));
        let [compact, cost] = &*offers.commands else {
            panic!("{offers:?}")
        };
        assert_eq!(compact.description.as_deref(), Some("Makes room"));
        assert_eq!(compact.hint.as_deref(), Some("[what to keep]"));
        assert_eq!((&cost.description, &cost.hint), (&None, &None));
    }

    #[test]
    fn whatever_is_said_is_bounded_and_on_one_line() {
        let long = "x".repeat(10_000);
        let one =
            format!(r#"{{"name":"a","description":"\u001b[2J{long}","argumentHint":"{long}"}}"#);
        let wrong = format!(r#"{{"name":"two words"}},{{"name":"{long}"}},{{"name":7}},3,{{}}"#);
        let many = vec![one; 1000].join(",");
        let models = vec![
            r#"{"value":"m","supportedEffortLevels":["a","b","c","d","e","f","g","h","i"]}"#;
            500
        ];
        let offers = of(&format!(
            r#"{{"commands":[{wrong},{many}],"models":[{}]}}"#,
            models.join(",")
        ));
        assert_eq!(offers.commands.len(), MAX_COMMANDS);
        assert_eq!(offers.models.len(), MAX_MODELS);
        assert_eq!(offers.models[0].efforts.len(), MAX_EFFORTS);
        for command in &offers.commands {
            assert_eq!(command.name, "a");
            let text = command.description.as_deref().unwrap();
            assert_eq!(text.chars().count(), MAX_DESCRIPTION);
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        // A keeper's answer has to fit what control reads of one.
        assert!(serde_json::to_string(&offers).unwrap().len() < 1 << 19);
    }

    #[test]
    fn an_answer_of_something_else_offers_nothing() {
        assert!(of(r#"{"commands":7,"models":{"a":1}}"#).is_empty());
    }
}
