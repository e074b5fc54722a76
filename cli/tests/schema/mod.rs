//! Compares JSON with a schema, as far as the schemas of this command go.

use serde_json::Value;

/// What of a value is not as the schema has it, with where it stands.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    compare(schema, value, "", &mut faults);
    faults
}

fn compare(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |word: &Value| word == kind || (word == "number" && kind == "integer");
    let said = match &schema["type"] {
        Value::Array(words) => words.iter().any(fits),
        word => fits(word),
    };
    if !said {
        faults.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        compare(&schema["items"], item, &format!("{at}/{index}"), faults);
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !name.as_str().is_some_and(|name| object.contains_key(name)) {
            faults.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, inner) in object {
        match schema["properties"].get(name) {
            Some(schema) => compare(schema, inner, &format!("{at}/{name}"), faults),
            None if schema["additionalProperties"] == false => {
                faults.push(format!("{at}: {name} is not described"));
            }
            None => {}
        }
    }
}
