//! Every call, at the stand-ins of three forges, with real repositories behind them.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cib_forge::{
    Check, CheckState, ErrorKind, Forge, ForgeError, Forges, Head, NewPull, PullChange, PullState,
    Slug,
};
use cib_https::{Client, Options};
use cib_protocol::forge::{ForgeAccount, ForgeAccounts, ForgeKind};
use cib_protocol::secret::Secret;
use cib_testkit::forge::{Fault, ForgeStandIn, NewRepository};

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
const ALL: [ForgeKind; 3] = [ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea];

fn forge(server: &ForgeStandIn, kind: ForgeKind, token: Option<&str>) -> Arc<Forge> {
    let account = ForgeAccount {
        kind,
        url: server.url(),
        token: token.map(Secret::new),
    };
    let https = Arc::new(Client::new(Options {
        patience: Duration::from_secs(30),
        ..Options::default()
    }));
    let accounts = ForgeAccounts {
        forges: vec![account],
    };
    let forges = Forges::new(&accounts, &https).unwrap();
    Arc::clone(forges.iter().next().unwrap())
}

fn start() -> ForgeStandIn {
    let server = ForgeStandIn::start().unwrap();
    server.token(TOKEN, "me", Some(&["repo", "read:org"]));
    server
}

fn repository(server: &ForgeStandIn, slug: &str, change: impl FnOnce(&mut NewRepository)) -> Slug {
    let mut new = NewRepository {
        slug: slug.to_owned(),
        description: "The API".to_owned(),
        writers: vec!["me".to_owned()],
        files: [("README.md".to_owned(), "Read me".to_owned())].into(),
        ..NewRepository::default()
    };
    change(&mut new);
    server.repository(&new).unwrap();
    slug.parse().unwrap()
}

/// Puts a commit on a branch of a bare repository.
fn commit(dir: &Path, branch: &str) -> String {
    let git = |words: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@b"])
            .args(words)
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let made = git(&[
        "commit-tree",
        "HEAD^{tree}",
        "-p",
        "HEAD",
        "-m",
        "chore: start task",
    ]);
    git(&["update-ref", &format!("refs/heads/{branch}"), &made]);
    made
}

fn new(slug: &Slug, branch: &str) -> NewPull {
    NewPull {
        title: "Mend it".to_owned(),
        body: "Because.".to_owned(),
        head: Head {
            slug: slug.clone(),
            branch: branch.to_owned(),
        },
        base: "main".to_owned(),
        draft: true,
    }
}

#[tokio::test]
async fn a_pull_request_is_opened_kept_current_made_ready_and_closed_at_each_forge() {
    for kind in ALL {
        let server = start();
        let slug = repository(&server, "acme/api", |_| {});
        let id = commit(&server.dir("acme/api").unwrap(), "claude/1");
        let forge = forge(&server, kind, Some(TOKEN));
        assert_eq!(forge.me().await.unwrap().login, "me");
        let seen = forge.repository(&slug).await.unwrap();
        assert_eq!(
            (
                &*seen.default_branch,
                seen.may_push,
                seen.fork,
                seen.archived
            ),
            ("main", true, false, false)
        );
        assert_eq!(forge.branch(&slug, "claude/1").await.unwrap().commit, id);
        assert_eq!(
            forge.file(&slug, "README.md", "main").await.unwrap(),
            "Read me"
        );

        let new = new(&slug, "claude/1");
        assert_eq!(forge.pulls_of(&slug, &new.head).await.unwrap(), []);
        let opened = forge.open_pull(&slug, &new).await.unwrap();
        let pull = opened.pull;
        assert!(!opened.adopted && pull.draft, "{kind:?}: {pull:?}");
        assert_eq!(
            (pull.state, &*pull.base, &*pull.commit),
            (PullState::Open, "main", &*id)
        );
        assert!(pull.url.starts_with(&server.url()), "{}", pull.url);

        // Whoever opens it again gets the same one.
        let again = forge.open_pull(&slug, &new).await.unwrap();
        assert!(
            again.adopted && again.pull.number == pull.number,
            "{kind:?}"
        );
        assert_eq!(forge.pulls_of(&slug, &new.head).await.unwrap().len(), 1);

        let change = PullChange {
            title: None,
            body: Some("More.".to_owned()),
        };
        let changed = forge
            .change_pull(&slug, pull.number, &change)
            .await
            .unwrap();
        assert_eq!((&*changed.body, changed.draft), ("More.", true));
        forge.ready(&slug, pull.number).await.unwrap();
        forge.ready(&slug, pull.number).await.unwrap();
        let ready = forge.pull(&slug, pull.number).await.unwrap();
        assert_eq!((ready.draft, &*ready.title), (false, "Mend it"), "{kind:?}");

        let comment = forge.comment(&slug, pull.number, "one").await.unwrap();
        forge
            .change_comment(&slug, pull.number, comment, "two")
            .await
            .unwrap();
        forge.close_pull(&slug, pull.number).await.unwrap();
        let found = forge.pulls_of(&slug, &new.head).await.unwrap();
        assert_eq!(found[0].state, PullState::Closed, "{kind:?}");
    }
}

#[tokio::test]
async fn what_github_refuses_is_told_apart() {
    let server = start();
    let slug = repository(&server, "acme/api", |new| new.no_drafts = true);
    let dir = server.dir("acme/api").unwrap();
    commit(&dir, "claude/1");
    let forge = forge(&server, ForgeKind::GitHub, Some(TOKEN));
    let opened = forge
        .open_pull(&slug, &new(&slug, "claude/1"))
        .await
        .unwrap();
    assert_eq!(
        (&*opened.pull.title, opened.pull.draft),
        ("[WIP] Mend it", true)
    );
    forge.ready(&slug, opened.pull.number).await.unwrap();
    let ready = forge.pull(&slug, opened.pull.number).await.unwrap();
    assert_eq!((&*ready.title, ready.draft), ("Mend it", false));

    let error = forge
        .open_pull(&slug, &new(&slug, "main"))
        .await
        .unwrap_err();
    assert!(matches!(error, ForgeError::NoCommits { .. }), "{error:?}");
    let error = forge
        .open_pull(&slug, &new(&slug, "gone"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("head or base is invalid"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Refused);

    let read_only = repository(&server, "acme/theirs", |new| new.writers.clear());
    commit(&server.dir("acme/theirs").unwrap(), "claude/1");
    assert!(!forge.repository(&read_only).await.unwrap().may_push);
    let error = forge
        .open_pull(&read_only, &new(&read_only, "claude/1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRight);
    let hidden: Slug = "acme/nothing".parse().unwrap();
    let error = forge.repository(&hidden).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_fork_is_made_once_waited_for_and_a_pull_request_comes_from_it() {
    for kind in ALL {
        let server = start();
        let slug = repository(&server, "acme/api", |new| new.writers.clear());
        let forge = forge(&server, kind, Some(TOKEN));
        server.fail(Fault {
            path: "/me/api.git/".to_owned(),
            status: 404,
            ..Fault::default()
        });
        let fork = forge.fork(&slug).await.unwrap();
        assert_eq!(
            (fork.slug.to_string(), fork.fork, fork.may_push),
            ("me/api".to_owned(), true, true)
        );
        assert_eq!(forge.fork(&slug).await.unwrap().slug, fork.slug, "{kind:?}");
        commit(&server.dir("me/api").unwrap(), "claude/1");
        let new = new(&fork.slug, "claude/1");
        let opened = forge.open_pull(&slug, &new).await.unwrap();
        assert!(!opened.adopted);
        let found = forge.pulls_of(&slug, &new.head).await.unwrap();
        assert_eq!(found.len(), 1, "{kind:?}");
        assert!(
            forge.open_pull(&slug, &new).await.unwrap().adopted,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_renamed_repository_is_followed_and_its_new_name_told_but_a_token_goes_nowhere_else() {
    for kind in [ForgeKind::GitHub, ForgeKind::GitLab] {
        let server = start();
        let old = repository(&server, "acme/api", |_| {});
        server.rename("acme/api", "acme/service");
        let forge = forge(&server, kind, Some(TOKEN));
        let seen = forge.repository(&old).await.unwrap();
        assert_eq!(seen.slug.to_string(), "acme/service", "{kind:?}");
        if kind == ForgeKind::GitHub {
            // What changes something is led there as well.
            commit(&server.dir("acme/service").unwrap(), "claude/1");
            let opened = forge.open_pull(&old, &new(&old, "claude/1")).await.unwrap();
            assert!(
                opened.pull.url.contains("/acme/service/pull/"),
                "{opened:?}"
            );
        }

        let thief = start();
        server.fail(Fault {
            path: "/acme".to_owned(),
            status: 301,
            headers: [(
                "location".to_owned(),
                format!("{}/api/v3/repos/acme/api", thief.url()),
            )]
            .into(),
            ..Fault::default()
        });
        let error = forge
            .repository(&"acme/x".parse().unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(thief.events().len(), 0);
    }
}

#[tokio::test]
async fn repositories_are_listed_page_by_page_and_found_by_words() {
    let server = start();
    for number in 0..105 {
        server
            .repository(&NewRepository {
                slug: format!("acme/r{number}"),
                writers: vec!["me".to_owned()],
                ..NewRepository::default()
            })
            .unwrap();
    }
    server
        .repository(&NewRepository {
            slug: "others/public".to_owned(),
            ..NewRepository::default()
        })
        .unwrap();
    for kind in ALL {
        let forge = forge(&server, kind, Some(TOKEN));
        let (mut next, mut seen) = (Some(1), Vec::new());
        while let Some(page) = next {
            let listed = forge.repositories("", page).await.unwrap();
            seen.extend(listed.items.into_iter().map(|one| one.slug.to_string()));
            next = listed.next;
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 105, "{kind:?}");
        let found = forge.repositories(" R101 ", 1).await.unwrap().items;
        assert_eq!(found.len(), 1, "{kind:?}: {found:?}");
        if kind != ForgeKind::GitLab {
            // What is nobody's of ours is searched for as well.
            let found = forge.repositories("others/public", 1).await.unwrap().items;
            assert_eq!((found.len(), found[0].may_push), (1, false), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_forge_that_takes_no_more_calls_is_left_alone_until_it_does() {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let server = start();
    let slug = repository(&server, "acme/api", |_| {});
    let github = forge(&server, ForgeKind::GitHub, Some(TOKEN));
    let me = github.me().await.unwrap();
    assert_eq!(me.scopes.unwrap(), ["repo", "read:org"]);
    assert_eq!(me.rate.unwrap().limit, 5000);
    for (status, headers, message) in [
        (429, vec![("retry-after", "3")], "Too many"),
        (
            403,
            vec![("retry-after", "3")],
            "You have exceeded a secondary limit",
        ),
    ] {
        server.fail(Fault {
            status,
            message: message.to_owned(),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Fault::default()
        });
        let error = github.repository(&slug).await.unwrap_err();
        let until = error.retry_at().unwrap();
        assert!(until > now() && until <= now() + 5, "{until}");
        let calls = server.events().len();
        assert!(github.repository(&slug).await.unwrap_err().is_passing());
        assert_eq!(server.events().len(), calls, "a call was made all the same");
        let deadline = Instant::now() + Duration::from_secs(60);
        while now() < until {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        github.repository(&slug).await.unwrap();
    }
    server.remaining(0);
    let error = github.repository(&slug).await.unwrap_err();
    // The forge names a day in 2100; a day is believed.
    let until = error.retry_at().unwrap();
    assert!(
        until > now() + 3600 && until <= now() + 24 * 60 * 60,
        "{until}"
    );
}

#[tokio::test]
async fn faults_are_of_a_kind_and_no_error_has_the_token_in_it() {
    let server = start();
    let slug = repository(&server, "acme/api", |_| {});
    for kind in ALL {
        let known = forge(&server, kind, Some(TOKEN));
        for (status, of) in [
            (500, ErrorKind::ForgeDown),
            (503, ErrorKind::ForgeDown),
            (403, ErrorKind::NoRight),
            (401, ErrorKind::AuthExpired),
            (422, ErrorKind::Refused),
        ] {
            let message = format!("no, {TOKEN}\u{1b}[31m is not\nwelcome {}", "x".repeat(5000));
            server.fail(Fault {
                status,
                message,
                ..Fault::default()
            });
            let error = known.repository(&slug).await.unwrap_err();
            assert_eq!(error.kind(), of, "{kind:?} {status}: {error}");
            let said = format!("{error} {error:?}");
            assert!(
                !said.contains(TOKEN) && !error.to_string().contains(['\n', '\u{1b}']),
                "{said}"
            );
            assert!(error.to_string().len() < 500, "{error}");
        }
        let wrong = forge(&server, kind, Some("ghp_wrong"));
        assert_eq!(wrong.me().await.unwrap_err().kind(), ErrorKind::AuthExpired);
        assert!(!format!("{wrong:?} {known:?}").contains("ghp_"));
    }
    let slow = Client::new(Options {
        patience: Duration::from_millis(200),
        ..Options::default()
    });
    let account = ForgeAccount {
        kind: ForgeKind::GitHub,
        url: server.url(),
        token: None,
    };
    let slow = Forge::new(&account, Arc::new(slow)).unwrap();
    server.fail(Fault {
        delay_ms: 2000,
        ..Fault::default()
    });
    let error = slow.repository(&slug).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::ForgeDown && error.is_passing(),
        "{error:?}"
    );
}

#[tokio::test]
async fn of_two_changes_at_once_one_waits_for_the_other() {
    let server = start();
    let slug = repository(&server, "acme/api", |_| {});
    commit(&server.dir("acme/api").unwrap(), "claude/1");
    let forge = forge(&server, ForgeKind::GitHub, Some(TOKEN));
    let number = forge
        .open_pull(&slug, &new(&slug, "claude/1"))
        .await
        .unwrap()
        .pull
        .number;
    for _ in 0..2 {
        server.fail(Fault {
            path: "/comments".to_owned(),
            delay_ms: 1000,
            ..Fault::default()
        });
    }
    let began = Instant::now();
    let (one, two, seen) = tokio::join!(
        forge.comment(&slug, number, "a"),
        forge.comment(&slug, number, "b"),
        async {
            forge.repository(&slug).await.unwrap();
            began.elapsed()
        }
    );
    one.unwrap();
    two.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(2000),
        "{:?}",
        began.elapsed()
    );
    assert!(
        seen < Duration::from_millis(1000),
        "who only looks waited {seen:?}"
    );
}

#[tokio::test]
async fn checks_of_a_commit_are_told_as_running_passed_or_failed() {
    let server = start();
    let slug = repository(&server, "acme/api", |_| {});
    let id = commit(&server.dir("acme/api").unwrap(), "claude/1");
    for (name, status, conclusion) in [
        ("a", "completed", "success"),
        ("b", "completed", "failure"),
        ("c", "in_progress", ""),
    ] {
        server.check("acme/api", &serde_json::json!({"name": name, "status": status, "conclusion": conclusion, "head_sha": id}));
    }
    let forge = forge(&server, ForgeKind::GitHub, Some(TOKEN));
    let states: Vec<_> = forge
        .checks(&slug, &id)
        .await
        .unwrap()
        .into_iter()
        .map(|Check { name, state, .. }| (name, state))
        .collect();
    let expected = [
        ("a", CheckState::Passed),
        ("b", CheckState::Failed),
        ("c", CheckState::Running),
    ];
    assert_eq!(
        states,
        expected.map(|(name, state)| (name.to_owned(), state))
    );
}

#[test]
fn an_address_leads_to_the_account_of_its_host_alone() {
    let account = |kind, url: &str| ForgeAccount {
        kind,
        url: url.to_owned(),
        token: None,
    };
    let accounts = ForgeAccounts {
        forges: vec![
            account(ForgeKind::GitHub, "https://github.com"),
            account(ForgeKind::Gitea, "http://git.local:3000/"),
        ],
    };
    let https = Arc::new(Client::new(Options::default()));
    let forges = Forges::new(&accounts, &https).unwrap();
    let found = |address: &str| {
        forges
            .find(address)
            .map(|(forge, slug)| format!("{} {slug}", forge.host()))
    };
    for address in [
        "https://github.com/acme/api.git",
        "https://GitHub.com/acme/api",
        "git@github.com:acme/api.git",
        "ssh://git@github.com:22/acme/api.git",
    ] {
        assert_eq!(found(address).unwrap(), "github.com acme/api", "{address}");
    }
    assert_eq!(
        found("http://git.local:3000/a/b").unwrap(),
        "git.local:3000 a/b"
    );
    for address in [
        "https://github.com.evil.example/acme/api",
        "https://example.com/github.com/a",
        "https://github.com/acme",
        "file://github.com/a/b",
        "/workspace/api",
        "https://github.com/a/../b",
    ] {
        assert_eq!(found(address), None, "{address}");
    }
    for bad in [
        "github.com",
        "ftp://github.com",
        "https://",
        "https://user:pw@github.com",
        "https://github.com/path",
    ] {
        let accounts = ForgeAccounts {
            forges: vec![account(ForgeKind::GitHub, bad)],
        };
        assert!(Forges::new(&accounts, &https).is_err(), "{bad}");
    }
}
