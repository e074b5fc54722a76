//! `docs/reference/openapi.json` is the route table, written down.

mod document;
mod shapes;

use std::path::Path;

use cib_control::fault::Code;
use cib_control::routes::table::ROUTES;
use serde_json::Value;

/// Set to have the committed document replaced by what the table says.
const UPDATE: &str = "CIB_UPDATE";

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json")
}

#[test]
fn the_committed_document_is_what_the_route_table_says() {
    let mut text = serde_json::to_string_pretty(&document::document()).unwrap();
    text.push('\n');
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(committed(), &text).unwrap();
    }
    let known = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(
        known == text,
        "docs/reference/openapi.json is not what the code says; \
         `{UPDATE}=1 cargo test -p cib-control --test openapi` writes it anew"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(target) if key == "$ref" => found.push(target),
                        value => references(value, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document::document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
}

#[test]
fn every_route_and_every_code_is_in_the_document() {
    let document = document::document();
    for route in ROUTES {
        for path in route.paths {
            let operations = &document["paths"][path];
            let verb = format!("{:?}", route.verb).to_lowercase();
            assert!(operations[verb].is_object(), "{} {path}", route.name);
        }
    }
    let text = document.to_string();
    // These are answered where there is no route, and where what listens in the box is one.
    let elsewhere = [Code::NoSuchRoute, Code::MethodNotAllowed, Code::PortFailed];
    for code in Code::ALL.iter().filter(|code| !elsewhere.contains(code)) {
        let quoted = format!("`{}`", code.as_str());
        assert!(text.contains(&quoted), "{quoted} is answered by no route");
    }
}

/// The parts of a page of documentation that are tables of codes.
#[test]
fn every_code_is_in_the_specification_with_its_status() {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/api.md");
    let spec = std::fs::read_to_string(spec).unwrap();
    for code in Code::ALL {
        let row = format!(
            "| {} | `{}` | {} |",
            code.number(),
            code.as_str(),
            code.meaning()
        );
        assert!(spec.contains(&row), "docs/spec/api.md needs the row\n{row}");
    }
}

/// What `GET /api/hooks/schema` says of the newest version, for whoever writes hooks by hand.
#[test]
fn the_committed_schema_of_hooks_is_what_the_route_says() {
    let committed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/hooks.schema.json");
    let document = cib_control::hooks::schema::document(None);
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&committed, &text).unwrap();
    }
    let known = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        known == text,
        "`{UPDATE}=1 cargo test -p cib-control --test openapi` writes it anew"
    );
}
