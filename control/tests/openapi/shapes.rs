//! The JSON values of the API as schemas.

use cib_control::auth::scope::{Scope, WILDCARD};
use cib_control::routes::Shape;
use cib_protocol::api::{
    Accepted, Answer, ChangeSession, Chat, ClaudeLogin, CreateSession, CreateShell, CreateToken,
    EndedSession, EndedShell, ErrorBody, Health, Info, Input, InputTaken, LoginCode, ModelSet,
    Resize, Send, SessionList, SessionUsage, SetDriver, SetModel, SetPermission, Shell, ShellList,
    StartLogin, StreamEnd, StreamReply, StreamRequest, TokenCreated, TokenList,
};
use cib_protocol::frame::Data;
use cib_protocol::session::SessionMeta;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Collects schemas as they are referred to.
pub(crate) struct Shapes {
    generator: SchemaGenerator,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self {
            generator: settings.into_generator(),
        }
    }

    /// A reference to the schema of a value.
    pub(crate) fn refer(&mut self, shape: Shape) -> Value {
        let generator = &mut self.generator;
        let schema = match shape {
            Shape::Accepted => generator.subschema_for::<Accepted>(),
            Shape::Answer => generator.subschema_for::<Answer>(),
            Shape::ChangeSession => generator.subschema_for::<ChangeSession>(),
            Shape::Chat => generator.subschema_for::<Chat>(),
            Shape::ClaudeLogin => generator.subschema_for::<ClaudeLogin>(),
            Shape::CreateSession => generator.subschema_for::<CreateSession>(),
            Shape::CreateShell => generator.subschema_for::<CreateShell>(),
            Shape::CreateToken => generator.subschema_for::<CreateToken>(),
            Shape::EndedSession => generator.subschema_for::<EndedSession>(),
            Shape::EndedShell => generator.subschema_for::<EndedShell>(),
            Shape::Health => generator.subschema_for::<Health>(),
            Shape::Info => generator.subschema_for::<Info>(),
            Shape::Input => generator.subschema_for::<Input>(),
            Shape::InputTaken => generator.subschema_for::<InputTaken>(),
            Shape::LoginCode => generator.subschema_for::<LoginCode>(),
            Shape::ModelSet => generator.subschema_for::<ModelSet>(),
            Shape::Resize => generator.subschema_for::<Resize>(),
            Shape::Send => generator.subschema_for::<Send>(),
            Shape::SessionList => generator.subschema_for::<SessionList>(),
            Shape::SessionMeta => generator.subschema_for::<SessionMeta>(),
            Shape::SessionUsage => generator.subschema_for::<SessionUsage>(),
            Shape::SetDriver => generator.subschema_for::<SetDriver>(),
            Shape::SetModel => generator.subschema_for::<SetModel>(),
            Shape::SetPermission => generator.subschema_for::<SetPermission>(),
            Shape::Shell => generator.subschema_for::<Shell>(),
            Shape::ShellList => generator.subschema_for::<ShellList>(),
            Shape::StartLogin => generator.subschema_for::<StartLogin>(),
            Shape::TokenCreated => generator.subschema_for::<TokenCreated>(),
            Shape::TokenList => generator.subschema_for::<TokenList>(),
            Shape::Transcript => return reference("Transcript"),
        };
        schema.to_value()
    }

    /// Every schema that was referred to, and those that streams are made of.
    pub(crate) fn finish(mut self) -> Map<String, Value> {
        let generator = &mut self.generator;
        let _ = generator.subschema_for::<ErrorBody>();
        let _ = generator.subschema_for::<StreamRequest>();
        let _ = generator.subschema_for::<StreamReply>();
        let _ = generator.subschema_for::<StreamEnd>();
        let _ = generator.subschema_for::<Data>();
        let mut schemas = generator.take_definitions(true);
        // The protocol knows scopes as words alone.
        let words: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        let every: Vec<_> = [WILDCARD].into_iter().chain(words).collect();
        if let Some(token) = schemas.get_mut("CreateToken") {
            token["properties"]["scopes"]["items"]["enum"] = every.into();
        }
        schemas.insert("Frame".to_owned(), frame());
        schemas.insert("Transcript".to_owned(), transcript());
        schemas
    }
}

/// A reference by name.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The envelope is fixed for good; kinds that a client does not know have to be passed over.
fn frame() -> Value {
    json!({
        "description": "One line of a journal. Kinds may be added; a client passes over those \
                        that it does not know.",
        "type": "object",
        "properties": {
            "session": {"type": "string", "format": "uuid"},
            "seq": {"type": "integer", "format": "uint64", "minimum": 1},
            "ts": {"type": "string", "format": "date-time"},
            "kind": {"type": "string"},
            "data": true,
        },
        "required": ["session", "seq", "ts", "kind", "data"],
        "anyOf": [reference("Data"), true],
    })
}

fn transcript() -> Value {
    let number = json!({"type": "integer", "format": "uint64", "minimum": 0});
    let described = |text: &str| {
        let mut number = number.clone();
        number["description"] = text.into();
        number
    };
    json!({
        "description": "A page of the journal.",
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The session."},
            "last_seq": described("Seq of the last frame in the journal."),
            "frames": {
                "type": "array",
                "description": "The frames of the page, in order.",
                "items": reference("Frame"),
            },
            "next": described("What `from` takes for the next page."),
        },
        "required": ["id", "last_seq", "frames", "next"],
    })
}
