//! The OpenAPI 3.1 document, made from the route table.

use std::collections::BTreeMap;

use cib_control::auth::scope::WILDCARD;
use cib_control::fault::Code;
use cib_control::routes::manner::Manner;
use cib_control::routes::table::ROUTES;
use cib_control::routes::{Access, Answer, Kind, Param, Route, Shape, Verb};
use serde_json::{Map, Value, json};

use super::shapes::{Shapes, reference};

/// The whole document.
pub(crate) fn document() -> Value {
    let mut shapes = Shapes::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        for (spelling, path) in route.paths.iter().enumerate() {
            let verb = match route.verb {
                Verb::Get => "get",
                Verb::Post => "post",
                Verb::Put => "put",
                Verb::Patch => "patch",
                Verb::Delete => "delete",
            };
            let operation = operation(route, spelling, &mut shapes);
            paths
                .entry(path)
                .or_default()
                .insert(verb.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "claude-in-box",
            "summary": "Sessions of Claude Code in a box, over REST, server-sent events and \
                        WebSocket.",
            "description": "Generated from the route table. docs/spec/api.md says what routes \
                            and streams promise.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://localhost:8080"}],
        "paths": paths,
        "components": {
            "schemas": shapes.finish(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The master token or a device token. A WebSocket may carry \
                                    it as the subprotocol `bearer.<token>`. In a query string \
                                    it is refused.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "cib-<the box's id>",
                    "description": "What a sign-in sets. Over TLS its name begins with \
                                    `__Host-`. It opens nothing without the proof.",
                },
                "proof": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-CIB-Proof",
                    "description": "What a sign-in answers. A WebSocket carries it as the \
                                    subprotocol `proof.<proof>`. It opens nothing without the \
                                    cookie.",
                },
            },
        },
    })
}

fn operation(route: &Route, spelling: usize, shapes: &mut Shapes) -> Value {
    let mut operation = json!({
        "operationId": match spelling {
            0 => route.name.to_owned(),
            n => format!("{}_{}", route.name, n + 1),
        },
        "summary": route.summary,
        "security": match route.access {
            Access::Open => json!([]),
            Access::Caller => json!([{"bearer": []}, {"cookie": [], "proof": []}]),
            Access::Scope(scope) => secured(scope.as_str()),
            Access::Administrator => secured(WILDCARD),
        },
        "responses": responses(route, shapes),
    });
    if spelling > 0 {
        let note = format!(
            "Another spelling of `{}`, for existing clients.",
            route.paths[0]
        );
        operation["description"] = note.into();
    }
    let parameters = parameters(route, route.paths[spelling]);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = &route.body {
        let (most, media) = match body.shape {
            Shape::File => ("`CIB_MAX_UPLOAD`".to_owned(), "application/octet-stream"),
            Shape::Envelope => (body.limit.to_string(), cib_envelope::MEDIA),
            Shape::Form => (body.limit.to_string(), "multipart/form-data"),
            _ => (body.limit.to_string(), "application/json"),
        };
        operation["requestBody"] = json!({
            "required": body.required,
            "description": format!("At most {most} bytes."),
            "content": {media: {"schema": shapes.refer(body.shape)}},
        });
    }
    if let Answer::Socket = route.answer {
        operation["x-websocket"] = json!({
            "subprotocols": match Manner::of(route) {
                Manner::Ttyd => json!(["tty", "bearer.<token>", "proof.<proof>"]),
                _ => json!(["json", "jsonl", "bearer.<token>", "proof.<proof>"]),
            },
            "client": reference("StreamRequest"),
            "server": {"anyOf": [reference("Frame"), reference("StreamReply")]},
        });
    }
    if let Answer::SealedSocket = route.answer {
        operation["x-websocket"] = json!({
            "subprotocols": ["cib-aes-3"],
            "client": shapes.refer(Shape::Envelope),
            "server": shapes.refer(Shape::Envelope),
        });
    }
    if let Answer::FeedSocket = route.answer {
        operation["x-websocket"] = json!({
            "subprotocols": ["json", "jsonl", "bearer.<token>"],
            "server": reference("BoxEvent"),
        });
    }
    operation
}

/// The two ways to be let in, with the scope that is wanted.
fn secured(scope: &str) -> Value {
    json!([{"bearer": [scope]}, {"cookie": [scope], "proof": [scope]}])
}

fn parameters(route: &Route, path: &str) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in ["id", "name", "port", "host", "code"] {
        if path.contains(&format!("{{{name}}}")) {
            parameters.push(json!({
                "name": name, "in": "path", "required": true, "schema": {"type": "string"},
            }));
        }
    }
    parameters.extend(route.query.iter().map(query));
    if let Answer::Events = route.answer {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "As `from`; the larger of the two counts.",
            "schema": {"type": "integer", "minimum": 0},
        }));
    }
    if let Answer::Feed = route.answer {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "In place of `cursor`.",
            "schema": {"type": "string"},
        }));
    }
    parameters
}

fn query(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": "query",
        "description": param.help,
        "schema": match param.kind {
            Kind::Number(least, u64::MAX) => {
                let most = u64::MAX;
                json!({"type": "integer", "format": "uint64", "minimum": least, "maximum": most})
            }
            Kind::Number(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Kind::Text => json!({"type": "string"}),
            Kind::Word(words) => json!({"type": "string", "enum": words}),
        },
    })
}

fn responses(route: &Route, shapes: &mut Shapes) -> Value {
    let json = |schema: Value| json!({"application/json": {"schema": schema}});
    let (status, good) = match route.answer {
        Answer::Ok(shape) | Answer::OkOrPartial(shape) => (
            "200",
            json!({"description": "Done.", "content": json(shapes.refer(shape))}),
        ),
        Answer::Created(shape) => (
            "201",
            json!({
                "description": "Made.",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": json(shapes.refer(shape)),
            }),
        ),
        Answer::Nothing => ("204", json!({"description": "Done."})),
        Answer::Metrics => (
            "200",
            json!({
                "description": "The Prometheus text format, version 0.0.4.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }),
        ),
        Answer::Text => (
            "200",
            json!({
                "description": "Text, as it comes.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }),
        ),
        Answer::Page => (
            "200",
            json!({
                "description": "A page; with 404 or 410 one that says why there is no question.",
                "content": {"text/html": {"schema": {"type": "string"}}},
            }),
        ),
        Answer::Events => (
            "200",
            json!({
                "description": "Events with the frame's seq as `id`, its kind as `event` and \
                                the frame as `data`; the last is `end` with a `StreamEnd`.",
                "content": {"text/event-stream": {"schema": reference("Frame")}},
            }),
        ),
        Answer::Feed => (
            "200",
            json!({
                "description": "Events with the cursor as `id`, the event's name as `event` and \
                                the whole event as `data`; the last is `end` with a `FeedEnd`.",
                "content": {"text/event-stream": {"schema": reference("BoxEvent")}},
            }),
        ),
        Answer::Socket | Answer::FeedSocket | Answer::SealedSocket => {
            ("101", json!({"description": "The WebSocket is open."}))
        }
        Answer::Sealed => (
            "200",
            json!({
                "description": "A message of the sealed envelope. One that does not open is \
                                refused with 400, 401, 403 or 409 and one word.",
                "content": {(cib_envelope::MEDIA): {"schema": shapes.refer(Shape::Envelope)}},
            }),
        ),
        Answer::Foreign(media) => {
            let content = media
                .iter()
                .map(|media| ((*media).to_owned(), json!({"schema": {}})));
            (
                "200",
                json!({
                    "description": "As the protocol says.",
                    "content": content.collect::<Map<_, _>>(),
                }),
            )
        }
        Answer::File => (
            "200",
            json!({
                "description": "The bytes; 206 with the part that `Range` asks for; 304 if \
                                `If-None-Match` has the tag.",
                "content": {"application/octet-stream": {"schema": shapes.refer(Shape::File)}},
            }),
        ),
    };
    let mut responses = Map::new();
    responses.insert(status.to_owned(), good);
    let mut faults: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in common(route).iter().chain(route.faults) {
        let codes = faults.entry(code.number()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    if let Answer::OkOrPartial(shape) = route.answer {
        let late = json!({
            "description": "The time was up: what there was until then; or `request_timeout`: \
                            the request itself came too slowly.",
            "content": json(json!({"anyOf": [shapes.refer(shape), reference("ErrorBody")]})),
        });
        faults.remove(&408);
        responses.insert("408".to_owned(), late);
    }
    let manner = Manner::of(route);
    let refused = match manner {
        Manner::Ours | Manner::Ttyd => reference("ErrorBody"),
        Manner::Runner => json!({
            "type": "object",
            "properties": {"error": {"type": "string", "description": "A sentence."}},
            "required": ["error"],
        }),
        _ => json!({"type": "object", "description": "As the protocol says."}),
    };
    for (number, codes) in faults {
        let description: Vec<_> = codes
            .iter()
            .map(|code| format!("`{}`: {}", code.as_str(), code.meaning()))
            .collect();
        let response = json!({
            "description": description.join(" "),
            "content": {(manner.media()): {"schema": refused.clone()}},
        });
        responses.insert(number.to_string(), response);
    }
    responses.into()
}

/// What can be wrong with any request of a route's kind.
fn common(route: &Route) -> Vec<Code> {
    let mut codes = vec![Code::BadValue, Code::TokenInQuery, Code::Internal];
    match route.access {
        Access::Open => {}
        Access::Caller => {
            codes.extend([
                Code::Unauthorized,
                Code::CrossOrigin,
                Code::TooManyAttempts,
                Code::TooManyConnections,
            ]);
        }
        Access::Scope(_) | Access::Administrator => codes.extend([
            Code::Unauthorized,
            Code::ScopeMissing,
            Code::CrossOrigin,
            Code::TooManyAttempts,
            Code::TooManyConnections,
        ]),
    }
    if route.access != Access::Open && !route.faults.contains(&Code::Busy) {
        codes.push(Code::Busy);
    }
    if route.body.is_some() {
        codes.extend([
            Code::BadJson,
            Code::UnknownField,
            Code::RequestTimeout,
            Code::TooLarge,
        ]);
    }
    codes
}
