//! A session whose only tools are those of a toolbox, with the real CLI, named by
//! `CIB_TEST_CLAUDE`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::keeper::{Keeper, SOON};
use crate::real::{Real, wait_turns};
use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::{Driver, State};
use cib_testkit::wait::wait_until;
use serde_json::{Value, json};

/// What opens the tools.
const KEY: &str = "Bearer the-key-of-a-toolbox";

/// What the CLI puts where it could name tools later; it does nothing.
const PLACEHOLDER: &str = "DeferredToolPlaceholder";

/// Serves two tools, as control does to a session that looks for a repository; where it does.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || hear(stream));
        }
    });
    url
}

fn hear(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        head.push_str(&line);
        line.clear();
    }
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, said) = if header("authorization") != Some(KEY) {
        ("401 Unauthorized", String::new())
    } else if head.starts_with("POST ") {
        let asked = serde_json::from_slice(&body).unwrap();
        let said = answer(&asked).map_or(String::new(), |said| said.to_string());
        let is_silent = said.is_empty();
        (if is_silent { "202 Accepted" } else { "200 OK" }, said)
    } else {
        ("405 Method Not Allowed", String::new())
    };
    let length = said.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    // Who asked may be gone.
    let _ = reader
        .get_mut()
        .write_all(format!("{head}{said}").as_bytes());
}

fn answer(asked: &Value) -> Option<Value> {
    let id = asked.get("id")?;
    let result = match asked["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "tools", "version": "1"},
        }),
        "tools/list" => {
            let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
            json!({"tools": [tool("find"), tool("choose")]})
        }
        _ => {
            let error = json!({"code": -32601, "message": "there is no such method"});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// The tools that the model was offered, by each request that had any.
fn offered(real: &Real) -> Vec<Vec<String>> {
    let told = real.told();
    // Another may just be written.
    let whole = told.rfind('\n').map_or("", |end| &told[..end]);
    let names = |line: &str| {
        let body: Value = serde_json::from_str(line).unwrap();
        let tools = body["tools"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap_or_default().to_owned())
            .filter(|name| name != PLACEHOLDER)
            .collect();
        names.sort();
        names
    };
    let all = whole.lines().map(names);
    all.filter(|names| !names.is_empty()).collect()
}

/// The same, when so many turns have ended.
fn offered_by(real: &Real, keeper: &Keeper, turns: usize) -> Vec<Vec<String>> {
    wait_turns(keeper, turns);
    offered(real)
}

#[test]
fn a_session_with_a_toolbox_is_offered_its_tools_and_no_others_however_it_goes_on() {
    let real = Real::new();
    let url = serve();
    // What it would have as well: a server of the user's, and what its folder says.
    let headers = json!({"Authorization": KEY});
    let server = json!({"type": "http", "url": url, "headers": headers});
    let servers = json!({"mcpServers": {"users": server}});
    fs::write(real.place.path("home/.claude.json"), servers.to_string()).unwrap();
    let touch = json!([{"hooks": [{"type": "command", "command": "touch hooked"}]}]);
    let settings = json!({"hooks": {"UserPromptSubmit": touch}});
    fs::create_dir(real.place.path("work/.claude")).unwrap();
    let file = real.place.path("work/.claude/settings.json");
    fs::write(file, settings.to_string()).unwrap();

    let key = KEY.strip_prefix("Bearer ").unwrap();
    let mut spec = real.spec("@text one");
    spec["permission_mode"] = "default".into();
    spec["toolbox"] = json!({"url": url, "key": key, "tools": ["find", "choose"]});
    let (mut before, mut turns) = (0, 0);
    let mut has_its_own = |keeper: &Keeper, how: &str| {
        turns += 1;
        let mut all = offered_by(&real, keeper, turns);
        // Their server may be there later than the first question.
        while all.len() == before {
            assert!(turns < 9, "{how}: it has no tools");
            keeper.input("@text again");
            turns += 1;
            all = offered_by(&real, keeper, turns);
        }
        for names in &all {
            assert_eq!(*names, ["mcp__box__choose", "mcp__box__find"], "{how}");
        }
        before = all.len();
        assert!(!real.place.path("work/hooked").exists(), "{how}");
    };
    let mut keeper = real.place.start(&spec);
    has_its_own(&keeper, "begun");
    let to = json!({"op": "set_driver", "driver": "tty"});
    assert_eq!(keeper.ask(&to), KeeperReply::Done);
    wait_until(SOON, "the prompt", || {
        let meta = keeper.meta();
        meta.state == State::Idle && meta.driver == Driver::Tty
    });
    keeper.input("@text two");
    has_its_own(&keeper, "on a terminal");
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);

    spec["prompt"] = "@text three".into();
    spec["resume"] = json!({"claude_session": keeper.id});
    let resumed = real.place.start(&spec);
    has_its_own(&resumed, "resumed");
}
