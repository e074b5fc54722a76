//! One-time links.

use cib_protocol::frame::{Data, Question, ToolUseStart};
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::State;
use cib_testkit::outside::Receiver;
use http::Method;
use serde_json::{Value, json};

use super::{answered, ask, comes, question, serve, watched, webhook};
use crate::common::client::{Answer, Client};
use crate::common::keeper::Keeper;
use crate::common::until;
use crate::common::world::{Server, World};

struct Asked {
    world: World,
    server: Server,
    receiver: Receiver,
    keeper: Keeper,
    /// The path of the link.
    path: String,
}

/// A session that asks, and the link that answers it.
async fn asked(asked: cib_protocol::frame::AskQuestion, before: &[Data]) -> Asked {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    webhook(&server.client(), &receiver).await;
    watched(&server.client(), &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    keeper.become_state(State::Working);
    keeper.append(before);
    ask(&mut keeper, asked);
    let told = comes(&receiver, 1).await[0].json();
    let link = told["data"]["answer_url"].as_str().unwrap();
    let path = link.strip_prefix("https://box.example").unwrap().to_owned();
    Asked {
        world,
        server,
        receiver,
        keeper,
        path,
    }
}

fn page(answer: &Answer) -> String {
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let html = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!html.contains("<script"), "{html}");
    html
}

async fn send(client: &Client, path: &str, form: &str) -> Answer {
    let client = client
        .clone()
        .with_header("content-type", "application/x-www-form-urlencoded");
    client.request(Method::POST, path, form.to_owned()).await
}

/// The answers that reached the keeper.
fn given(keeper: &Keeper) -> Vec<Value> {
    let told = keeper.told();
    let answers = told.iter().filter_map(|request| match request {
        KeeperRequest::Answer { id, answers } => Some(json!({"id": id, "answers": answers})),
        _ => None,
    });
    answers.collect()
}

#[tokio::test]
async fn a_link_answers_once_without_a_token_and_looking_at_it_answers_nothing() {
    let hostile = "Which <b>colour</b>?\u{202e}";
    let it = asked(
        question("q1", hostile, &["Red\"><script>x</script>", "Blue"]),
        &[],
    )
    .await;
    let stranger = it.server.stranger();
    for _ in 0..3 {
        let shown = stranger.get(&it.path).await;
        let html = page(&shown);
        assert_eq!(shown.status, 200);
        assert!(
            html.contains("Which &lt;b&gt;colour&lt;/b&gt;?⟦U+202E⟧"),
            "{html}"
        );
        assert!(html.contains("what Blue means"), "{html}");
    }
    stranger.request(Method::HEAD, &it.path, "").await;
    assert_eq!(given(&it.keeper), [] as [Value; 0]);
    let answer = send(&stranger, &it.path, "q0=Blue").await;
    assert_eq!(answer.status, 200);
    assert!(page(&answer).contains("Claude has your answer"));
    assert_eq!(
        given(&it.keeper),
        [json!({"id": "q1", "answers": {hostile: "Blue"}})]
    );
    assert_eq!(it.keeper.author().as_deref(), Some("link mine"));
    for _ in 0..2 {
        let again = send(&stranger, &it.path, "q0=Blue").await;
        assert_eq!(again.status, 404);
        assert!(page(&again).contains("good for nothing"));
    }
    assert_eq!(given(&it.keeper).len(), 1);
}

#[tokio::test]
async fn a_link_speaks_the_language_of_the_browser() {
    let it = asked(question("q1", "Which?", &["Red"]), &[]).await;
    let stranger = it.server.stranger();
    let chinese = stranger
        .clone()
        .with_header("accept-language", "zh-CN,zh;q=0.9");
    let shown = chinese.get(&it.path).await;
    assert_eq!(shown.headers["content-language"], "zh-CN");
    assert!(page(&shown).contains("其他回答"));
    assert!(page(&stranger.get(&it.path).await).contains("Another answer"));
}

#[tokio::test]
async fn a_permission_is_shown_with_its_call_and_given_or_denied_in_words() {
    let mut may = question("q1", "Allow Bash?", &["Allow", "Deny"]);
    may.tool = Some("Bash".to_owned());
    may.tool_use_id = Some("toolu_1".to_owned());
    let call = Data::ToolUseStart(ToolUseStart {
        tool_use_id: "toolu_1".to_owned(),
        tool: "Bash".to_owned(),
        input: json!({"command": "rm -rf '<build>'"}),
        original_bytes: None,
        agent: None,
    });
    let it = asked(may, &[call]).await;
    let stranger = it.server.stranger();
    let html = page(&stranger.get(&it.path).await);
    assert!(html.contains("rm -rf &#39;&lt;build&gt;&#39;"), "{html}");
    // There is nothing to refuse besides.
    let refused = send(&stranger, &it.path, "refuse=1").await;
    assert_eq!(refused.status, 400);
    let json = stranger
        .post(&it.path, &json!({"answer": "too risky"}))
        .await;
    assert_eq!(json.status, 200);
    assert_eq!(
        given(&it.keeper),
        [json!({"id": "q1", "answers": {"Allow Bash?": "too risky"}})]
    );
}

#[tokio::test]
async fn several_questions_are_answered_together_or_not_at_all() {
    let mut both = question("q1", "One?", &["A", "B"]);
    both.questions[0].multi_select = true;
    both.questions.push(Question {
        question: "Two?".to_owned(),
        header: String::new(),
        options: Vec::new(),
        multi_select: false,
    });
    let it = asked(both, &[]).await;
    let stranger = it.server.stranger();
    let half = send(&stranger, &it.path, "q0=A").await;
    assert_eq!(half.status, 400);
    assert!(page(&half).contains("Each question needs an answer"));
    stranger
        .post(&it.path, &json!({"answer": "A"}))
        .await
        .fault(400, "bad_value");
    stranger
        .post(&it.path, &json!({"a": 1}))
        .await
        .fault(400, "unknown_field");
    assert_eq!(given(&it.keeper), [] as [Value; 0]);
    let whole = send(&stranger, &it.path, "q0=A&q0=B&q1=%E7%95%8C").await;
    assert_eq!(whole.status, 200);
    assert_eq!(
        given(&it.keeper),
        [json!({"id": "q1", "answers": {"One?": "A, B", "Two?": "界"}})]
    );
}

#[tokio::test]
async fn a_question_that_was_answered_otherwise_ends_its_links() {
    let mut it = asked(question("q1", "Which?", &["Red"]), &[]).await;
    let stranger = it.server.stranger();
    answered(&mut it.keeper, "q1");
    until("the link ends", async || {
        stranger.get(&it.path).await.status != 200
    })
    .await;
    until("it is forgotten", async || {
        stranger.get(&it.path).await.status == 404
    })
    .await;
    let late = send(&stranger, &it.path, "q0=Red").await;
    assert_eq!(late.status, 404);
    assert_eq!(given(&it.keeper), [] as [Value; 0]);
    drop(it.world);
}

#[tokio::test]
async fn an_answer_that_did_not_arrive_does_not_use_the_link_up() {
    let it = asked(question("q1", "Which?", &["Red"]), &[]).await;
    let stranger = it.server.stranger();
    let mut first = true;
    it.keeper.answer(move |_| {
        let busy = KeeperReply::Refused {
            code: KeeperFault::Busy,
            detail: "not now".to_owned(),
        };
        Some(if std::mem::take(&mut first) {
            busy
        } else {
            KeeperReply::Done
        })
    });
    send(&stranger, &it.path, "q0=Red").await.fault(503, "busy");
    assert_eq!(send(&stranger, &it.path, "q0=Red").await.status, 200);
}

#[tokio::test]
async fn a_link_outlives_control_and_is_nowhere_on_the_disk() {
    let mut it = asked(question("q1", "Which?", &["Red"]), &[]).await;
    super::settled(&it.server.client()).await;
    let code = it.path.strip_prefix("/a/").unwrap();
    let mut folders = vec![it.world.data()];
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(folder).unwrap() {
            let path = found.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(
                    !String::from_utf8_lossy(&bytes).contains(code),
                    "{}",
                    path.display()
                );
            }
        }
    }
    it.server.end().await;
    let server = serve(&it.world);
    let stranger = server.stranger();
    until("it is known again", async || {
        stranger.get(&it.path).await.status == 200
    })
    .await;
    assert_eq!(send(&stranger, &it.path, "q0=Red").await.status, 200);
    assert_eq!(given(&it.keeper).len(), 1);
    assert_eq!(it.receiver.heard().len(), 1);
}

#[tokio::test]
async fn who_guesses_links_is_held_up_and_a_right_one_is_not() {
    let it = asked(question("q1", "Which?", &["Red"]), &[]).await;
    let stranger = it.server.stranger();
    let mut last = 0;
    for guess in 0..20 {
        let answer = stranger.get(&format!("/a/{guess:020}")).await;
        last = answer.status.as_u16();
    }
    assert_eq!(last, 429);
    assert_eq!(stranger.get(&it.path).await.status, 200);
}
