//! Every variable that the box understands. The reference page is made from this table.

use super::variable::{Delivery, Group, Kind, Variable};

/// Defines a static for each variable, and [`CATALOG`] of them all, so that none can be
/// understood without being documented.
macro_rules! catalog {
    ($($group:ident { $($name:ident, $delivery:ident, $kind:expr, $default:literal, $doc:literal;)* })*) => {
        $($(
            #[doc = $doc]
            pub static $name: Variable = Variable {
                name: stringify!($name),
                group: Group::$group,
                kind: $kind,
                default: $default,
                delivery: Delivery::$delivery,
                doc: $doc,
                since: "0.1.0",
            };
        )*)*

        /// Every variable, by chapter.
        pub static CATALOG: &[&Variable] = &[$($(&$name,)*)*];
    };
}

const PORT: Kind = Kind::Integer { min: 1, max: 65535 };
/// Above this the kernel reads -1, "no change", into an id.
const ID: Kind = Kind::Integer {
    min: 1,
    max: 4_294_967_293,
};
const NETWORKS: Kind = Kind::List("addresses or networks such as `192.168.1.0/24`");

catalog! {
    Access {
        CIB_AUTH_TOKEN, Secret, Kind::Text("at least 16 printable characters without a space"), "",
        "The master token: whoever sends it as `Authorization: Bearer` may do everything. The box \
         does not start without one.";
        CIB_AUTH_DISABLED, Variable, Kind::Flag, "0",
        "Asks for no token. The API then listens on the box's own loopback alone, and says so again \
         and again. For development on one's own machine.";
        CIB_ADMIN_USER, Setting, Kind::Text("letters, digits and `.`, `_`, `-`, `@`, `+`"), "admin",
        "Name of the administrator that `CIB_ADMIN_PASSWORD` makes.";
        CIB_ADMIN_PASSWORD, Secret, Kind::Text("8 to 1024 bytes"), "",
        "Makes an administrator where there is no account yet, so that nobody has to set the box up \
         by hand. Where there is one it changes nothing: `cib-init passwd` does.";
        CIB_EXPOSED_SECRETS, Variable, Kind::Choice(&["refuse", "allow"]), "refuse",
        "What happens when `coder`, as whom the agent runs, could read a file that the `_FILE` \
         twin of a secret names, and init cannot close it (`docs/guides/secrets.md`). `refuse` \
         ends the start with exit code 78; `allow` starts the box and warns.";
        CIB_MODE, Setting, Kind::Choice(&["default", "headless"]), "default",
        "`headless` serves the API without the web pages.";
        CIB_PORT, Setting, PORT, "8080",
        "TCP port of the API.";
        CIB_TCP_PORT, Setting, PORT, "",
        "TCP port on which devices speak the sealed envelope without HTTP (`docs/AES-TRANSPORT.md`), \
         `8081` say. Unset, there is none; over HTTP they are always served.";
        CIB_WEB_DIR, Setting, Kind::Path, "/usr/share/claude-in-box/web",
        "Folder with the web pages. Where none are in it, as in every image but `latest`, the API is \
         served without pages.";
        CIB_MAX_UPLOAD, Setting, Kind::Text("bytes, or a number with `K`, `M` or `G`"), "1G",
        "The largest file that may be uploaded.";
        CIB_TRUSTED_PROXIES, Setting, NETWORKS, "",
        "Reverse proxies whose `X-Forwarded-User` and `X-Forwarded-For` are believed. An address of \
         the box itself is never one, because programs in the box could send from it, unless \
         `CIB_TRUSTED_PROXY_SECRET` is set.";
        CIB_TRUSTED_PROXY_SECRET, Secret, Kind::Text("at least 16 printable characters without a space"), "",
        "What each of them has to send as `X-CIB-Proxy-Secret`. Whoever does not is no proxy, \
         wherever it is.";
        CIB_LOGOUT_URL, Setting, Kind::Text("a path such as `/oauth2/sign_out`, or an address of http or https"), "",
        "Where signing out leads whoever a reverse proxy signed in, because only the proxy can end \
         that. Unset, the pages of the box have no button for it.";
        CIB_PUBLIC_URL, Setting, Kind::Text("`https://host` or `http://host`"), "",
        "The address at which the box is reached from outside. Notices have links to it with which a \
         question is answered; unset, they have none.";
        CIB_WEBHOOK_PRIVATE, Setting, Kind::Flag, "0",
        "Lets webhooks, pushes and other notices go to private addresses, such as an ntfy of one's own \
         network. What `CIB_LAN` does not let out stays in the box all the same.";
        CIB_NOTICES, Secret, Kind::Text("a JSON array of channels, each as `POST /api/notices/channels` takes it"), "",
        "Where notices go from the beginning: webhooks, ntfy, Telegram, Slack, mail \
         (`docs/guides/notices.md`). Each needs a label of its own.";
    }
    Egress {
        CIB_PROXY_URL, Secret,
        Kind::Text("`socks5://`, `socks5h://`, `socks4://` or `http://`, then `[user:password@]host:port`"), "",
        "The proxy that every packet leaves through, or not at all. User and password are \
         percent-encoded; an IPv6 address stands in brackets. Names are resolved on the far side \
         whatever the scheme. Unset: the box reaches the network directly.";
        CIB_PROXY_MODE, Setting, Kind::Choice(&["redirect", "env", "hold", "join"]), "redirect",
        "`redirect` takes every packet to the proxy by the kernel's rules and needs the capability \
         NET_ADMIN. `env` needs none: it sets the proxy variables for every program and hopes that \
         they are heeded. It is not leak-proof, and every status says so. `hold` does what \
         `redirect` does and nothing else, for a box with `join` that is started in this \
         container's network without NET_ADMIN: then not even root there can change a rule \
         (`deploy/compose.hardened.yaml`).";
        REDSOCKS_LOCAL_PORT, Setting, PORT, "12345",
        "Port on the box's loopback that redirected connections are taken to.";
        CIB_LAN, Setting, NETWORKS, "",
        "What the box may reach directly, past the proxy. Every other private address is refused.";
        CIB_DNS_SERVERS, Setting,
        Kind::List("addresses such as `1.1.1.1` or `9.9.9.9:53`, or `https://host/path`"), "1.1.1.1, 9.9.9.9",
        "DNS servers that are asked through the proxy. An address is asked over TCP, and over HTTPS \
         where that is refused. Used with a proxy only.";
        CIB_PROXY_PROBE, Setting, Kind::Text("`host:port`, or `off`"), "",
        "Where the box connects to through the proxy when it starts, every five minutes, and in \
         `cib-init egress test`, to see whether connections by address get through; it says \
         nothing there and hangs up. Unset: the first of `CIB_DNS_SERVERS` that answers, to which \
         the resolver connects in any case.";
        CIB_NETWORK_SHARED, Variable, Kind::Flag, "0",
        "Says that the network namespace is shared with others on purpose, as with `--network \
         container:NAME`. With `CIB_PROXY_URL` the box closes it for everybody in it, and without \
         this it does not start where it finds somebody else's bridges, devices or listeners, or where \
         the network is the machine's own: also with a runtime that gives each container a machine.";
        CIB_LOCAL_NAMES, Setting, Kind::List("host names"), "",
        "Exact names that Docker's own name server answers instead: other containers, which \
         `CIB_LAN` lets the box reach.";
    }
    Container {
        PUID, Setting, ID, "",
        "User id that `coder` gets, so that files in mounted folders belong to their owner outside. \
         Unset: 1000.";
        PGID, Setting, ID, "",
        "Group id that `coder` gets. Unset: 1000.";
        TZ, Setting, Kind::Text("a name such as `Europe/Berlin`"), "",
        "Time zone of every program in the box.";
        CIB_DATA_DIR, Setting, Kind::Path, "/var/lib/claude-in-box",
        "Where everything stands that outlives the container: sessions, accounts, device tokens, markers. \
         Mount a volume there.";
        CIB_LOG, Setting, Kind::Choice(&["text", "json"]), "text",
        "Form of the log on standard output. `json` is one object a line.";
        CIB_LOG_LEVEL, Setting, Kind::Choice(&["error", "warn", "info", "debug", "trace"]), "info",
        "Least important lines that are written.";
        CIB_SHUTDOWN_TIMEOUT, Setting, Kind::Duration { min_ms: 500, max_ms: 3_600_000 }, "8",
        "How long everything may take to end before it is killed. Docker's own limit is 10 seconds; \
         raise `stop_grace_period` with this.";
    }
    Keys {
        SSH_AUTH_SOCK, Variable, Kind::Path, "",
        "Socket of an ssh-agent that was mounted into the box, whatever its owner and mode. Programs \
         in the box get a socket of their own that leads to it. Mount the folder that holds the \
         socket, and the box survives a restart of the agent.";
        CIB_GPG_AGENT, Variable, Kind::Path, "",
        "Socket of a mounted GnuPG agent, best its extra socket \
         (`gpgconf --list-dirs agent-extra-socket`). `gpg` in the box then uses it.";
        CIB_SSH_DIR, Setting, Kind::Path, "",
        "Folder with ssh keys that was mounted read-only. It is copied to memory that only `coder` \
         reads, with the modes that ssh insists on, and `~/.ssh` leads there.";
        CIB_GNUPG_DIR, Setting, Kind::Path, "",
        "The same for `~/.gnupg`.";
        CIB_KNOWN_HOSTS, SettingOrFile, Kind::Lines("lines as in `~/.ssh/known_hosts`"), "",
        "Host keys that every ssh in the box trusts, beside those in `~/.ssh/known_hosts`.";
        CIB_KNOWN_HOSTS_POLICY, Setting, Kind::Choice(&["accept-new", "strict", "off"]), "accept-new",
        "What ssh does with a host that it does not know: `accept-new` remembers it, `strict` \
         refuses it, `off` checks nothing. A changed key is refused by the first two.";
        CIB_GIT_USER_NAME, Setting, Kind::Text("one line"), "",
        "Author of commits (`user.name`), unless `~/.gitconfig` or the repository says otherwise.";
        CIB_GIT_USER_EMAIL, Setting, Kind::Text("one line"), "",
        "Their address (`user.email`), likewise.";
        CIB_GIT_SIGNING, Setting, Kind::Choice(&["off", "ssh", "gpg"]), "off",
        "Signs every commit and tag. `ssh` without `CIB_GIT_SIGNING_KEY` takes the agent's first key.";
        CIB_GIT_SIGNING_KEY, Setting, Kind::Text("a public key, a path to one, or a GnuPG key id"), "",
        "Key for `CIB_GIT_SIGNING`.";
    }
    Setup {
        CIB_SETUP_COMMANDS, Setting, Kind::Lines("a JSON array of commands, or one command a line"), "",
        "Shell commands that run as `coder` in `/workspace` when the network stands and before the \
         API answers, in order. They come after `/etc/claude-in-box/setup.d/*` and `CIB_SETUP_FILE`.";
        CIB_SETUP_FILE, Setting, Kind::Path, "",
        "A script to run before `CIB_SETUP_COMMANDS`. Without the executable bit bash runs it.";
        CIB_SETUP, Setting, Kind::Choice(&["always", "once"]), "always",
        "`once` runs each command once for each volume at `CIB_DATA_DIR`: what succeeded there is \
         not run again until it changes.";
        CIB_SETUP_ON_FAILURE, Setting, Kind::Choice(&["stop", "continue"]), "stop",
        "`stop` ends the box with exit code 78 when a command fails; `continue` warns and goes on.";
        CIB_SETUP_TIMEOUT, Setting, Kind::Duration { min_ms: 1000, max_ms: 86_400_000 }, "600",
        "How long each command may take.";
        CIB_AWAIT_COPY, Variable, Kind::Flag, "0",
        "Holds setup commands, and with them the API and services, until whoever has made the box has \
         put a copy of a repository into `/workspace` and made the file `/run/cib/copied` as root. Once \
         `/run/cib/awaits-copy` is there, that may begin. It is waited for once for each volume at \
         `CIB_DATA_DIR`, and for a day at most. `cib start` sets it.";
    }
    Sessions {
        CIB_RESUME, Setting, Kind::Choice(&["never", "always"]), "never",
        "`always` resumes, when the container starts, the sessions that were working when it stopped.";
        CIB_MAX_SESSIONS, Setting, Kind::Integer { min: 0, max: 100_000 }, "",
        "How many sessions may be live at once; one more is refused. `0` is no limit. Unset: one \
         for each 400 MB of memory that the container may use, or the machine has, and at least 2.";
        CIB_JOURNAL_SYNC, Setting, Kind::Choice(&["none", "batch", "frame"]), "none",
        "When a session's journal is forced to disk: when the kernel likes and at the session's \
         end, after every write, or after every frame. The death of a process or of the container \
         loses nothing with any of them; the machine's own crash can.";
        CIB_SESSION_USERS, Setting, Kind::Choice(&["shared", "separate"]), "shared",
        "Whose processes sessions are. `shared`: coder's, so that they share `/workspace`, the login \
         and everything else of one user, each other's environment included. `separate`: each \
         session's own user (20000 and up) with a home of its own below `CIB_DATA_DIR`, so that no \
         session can read another's files, environment or home. Needs root in the container.";
        CIB_SESSION_RETENTION, Setting,
        Kind::Text("`0`, or a number of hours such as `720h`, from `1h` to `87600h`"), "",
        "How long the record of a session or shell is kept after its end; then it is purged, with \
         the home that it may have had of its own. One whose journal is damaged is never purged by \
         itself, and none while the clock cannot be gone by (`docs/spec/sessions.md`). Unset, or \
         `0`: for ever.";
        CIB_TASK_RETENTION, Setting,
        Kind::Text("`0`, or a number of hours such as `720h`, from `1h` to `87600h`"), "",
        "How long a task is kept after its end; then it is removed, with its work tree, and the box's \
         own copy of a repository that no task is about any more. One with commits that were not taken \
         anywhere is never removed by itself (`docs/spec/tasks.md`). Unset, or `0`: for ever.";
        CIB_CLAUDE_VERSION, Setting, Kind::Text("a version such as `2.1.112` that the image carries"), "",
        "Version of Claude Code to use where the image carries several. Unset: the newest that runs \
         on this processor.";
    }
    Claude {
        ANTHROPIC_API_KEY, Secret, Kind::Text("a key"), "",
        "Claude's API key. Sessions alone see it.";
        ANTHROPIC_AUTH_TOKEN, Secret, Kind::Text("a token"), "",
        "Bearer token for `ANTHROPIC_BASE_URL`. Sessions alone see it.";
        CLAUDE_CODE_OAUTH_TOKEN, Secret, Kind::Text("a token from `claude setup-token`"), "",
        "Token of a Claude subscription. Sessions alone see it.";
        AWS_BEARER_TOKEN_BEDROCK, Secret, Kind::Text("an API key of Bedrock's"), "",
        "Key for Amazon Bedrock, with `CLAUDE_CODE_USE_BEDROCK=1` and `AWS_REGION`. Sessions alone \
         see it.";
        CIB_AWS_CREDENTIALS, Secret,
        Kind::Text("JSON with `AccessKeyId`, `SecretAccessKey` and, if there is one, `SessionToken`"), "",
        "The same as an access key, in the form of `aws configure export-credentials`. Claude gets it \
         as `AWS_ACCESS_KEY_ID` and so on; sessions alone see it.";
        CIB_GOOGLE_CREDENTIALS, Secret,
        Kind::Text("JSON of the type `authorized_user` or `service_account`"), "",
        "Application default credentials for Vertex AI, with `CLAUDE_CODE_USE_VERTEX=1`, \
         `ANTHROPIC_VERTEX_PROJECT_ID` and `CLOUD_ML_REGION`. Each session gets a file with them, \
         in memory and gone with the session, that `GOOGLE_APPLICATION_CREDENTIALS` names.";
        ANTHROPIC_BASE_URL, Variable, Kind::Text("`https://host` or `http://host`"), "",
        "API that Claude speaks to instead of Anthropic's own.";
        ANTHROPIC_MODEL, Variable, Kind::Text("a model's name"), "",
        "Model of sessions that name none.";
    }
    Forges {
        CIB_GITHUB_TOKEN, Secret, Kind::Text("a token of GitHub's"), "",
        "With it the box opens pull requests at GitHub and lists repositories. Control alone has it: \
         no program of `coder`'s, Claude among them, sees it or can use it. A fine-grained token \
         needs the rights `contents` and `pull requests` (read and write), a classic one `repo`.";
        CIB_GITHUB_URL, Setting, Kind::Text("`https://host`"), "https://github.com",
        "GitHub's address, or that of a GitHub Enterprise.";
        CIB_GITLAB_TOKEN, Secret, Kind::Text("a token of GitLab's"), "",
        "The same for GitLab; it needs the scope `api`.";
        CIB_GITLAB_URL, Setting, Kind::Text("`https://host`"), "https://gitlab.com",
        "GitLab's address.";
        CIB_GITEA_TOKEN, Secret, Kind::Text("a token of Gitea's or Forgejo's"), "",
        "The same for Gitea or Forgejo; it needs to read the user, and to read and write repositories \
         and issues.";
        CIB_GITEA_URL, Setting, Kind::Text("`https://host`"), "",
        "Its address, such as `https://codeberg.org`. Needed with `CIB_GITEA_TOKEN`.";
    }
    Task {
        CIB_TASK_PROMPT, SettingOrFile, Kind::Lines("what is to be done"), "",
        "Makes a task the container's main job (`docs/guides/tasks-at-scale.md`): the box boots, does \
         it, says on standard output what became of it, and ends with a code that means something. \
         At most 1 MiB, in a file; a variable or an argument can have 128 KiB.";
        CIB_TASK_REQUEST, Secret, Kind::Text("a JSON object, as `POST /api/tasks` takes it"), "",
        "The same for everything that a task can be asked for, such as a webhook. The variables below \
         come before what it says.";
        CIB_TASK_REPO, Setting, Kind::Text("`owner/name`, a URL, or a folder in `/workspace`"), "",
        "The repository. Unset: the one that the prompt names, or the only one that there is.";
        CIB_TASK_BASE, Setting, Kind::Text("a branch"), "",
        "Where the task's branch begins. Unset: at the repository's own.";
        CIB_TASK_BRANCH, Setting, Kind::Text("a branch"), "",
        "The branch to work on. Unset: `claude/` and the task's id.";
        CIB_TASK_MODEL, Setting, Kind::Text("a model's name"), "",
        "Model of the task.";
        CIB_TASK_EFFORT, Setting, Kind::Text("`low`, `medium`, `high`, `xhigh` or `max`"), "",
        "Reasoning effort of the task.";
        CIB_TASK_SETUP, Setting, Kind::Lines("a JSON array of commands, or one command a line"), "",
        "Shell commands that run in the work tree before Claude begins.";
        CIB_TASK_PUSH, Setting, Kind::Flag, "",
        "Whether the branch is pushed. Unset: `1`.";
        CIB_TASK_DRAFT, Setting, Kind::Flag, "",
        "Whether the pull request stays a draft when the task is completed. Unset: `1`.";
        CIB_TASK_PRIVATE_PROMPT, Setting, Kind::Flag, "",
        "Whether the pull request says nothing of the prompt. Unset: `0`.";
        CIB_TASK_TURNS, Setting, Kind::Integer { min: 1, max: 1_000_000 }, "",
        "Turns that Claude may take. Unset: any number.";
        CIB_TASK_COST, Setting, Kind::Text("US dollars, such as `2.50`"), "",
        "What the task may cost, by Claude's own accounting. Unset: anything.";
        CIB_TASK_TIME, Setting, Kind::Duration { min_ms: 1000, max_ms: 86_400_000 }, "",
        "How long Claude may work, without what it waits for. Unset: an hour.";
        CIB_TASK_TIMEOUT, Setting, Kind::Duration { min_ms: 1000, max_ms: 604_800_000 }, "",
        "How long all of it may take once the box is up; then the task is cancelled, and its work is \
         saved. Unset: as long as its steps may take.";
        CIB_TASK_QUESTIONS, Setting, Kind::Choice(&["fail", "wait"]), "fail",
        "What a question means that only a person can answer: `fail` cancels the task, and its work is \
         saved; `wait` waits for an answer over the API or by a notice.";
        CIB_TASK_KEY, Variable, Kind::Text("1 to 200 printable characters without a space"), "",
        "What one task is told from another by, in a data volume that outlives the container: of two \
         starts with one key the second goes on with the first one's task. Unset: the container's host \
         name and what is asked for, so that a container that is started again goes on.";
        CIB_TASK_RESULT, Variable, Kind::Path, "",
        "File that the result is written to, instead of standard output. It is made, and emptied, when \
         the box begins; no link on the way to it is followed, and no folder of the agent's is taken.";
    }
    Devices {
        CIB_AES_LEGACY, Setting, Kind::Flag, "0",
        "Serves versions 1 and 2 of the sealed envelope at `/aes/`, as clients that were published \
         before speak it. What they cannot protect no server can: `docs/AES-TRANSPORT.md`.";
        CIB_MQTT_URL, Secret,
        Kind::Text("`mqtt://` or `mqtts://`, then `[user:password@]host[:port]`, and `?v=3` for MQTT 3.1.1"), "",
        "The MQTT broker at which the box says what its sessions do (`docs/guides/mqtt.md`). User and \
         password are percent-encoded. It is reached as everything is: through the proxy, or by \
         `CIB_LAN`.";
        CIB_MQTT_CA, SettingOrFile, Kind::Lines("certificates in PEM"), "",
        "Who says who the broker is, and nobody else. Unset: whom the box trusts in general.";
        CIB_MQTT_CERT, SettingOrFile, Kind::Lines("certificates in PEM"), "",
        "The certificate that the box shows the broker, and what leads to it.";
        CIB_MQTT_KEY, Secret, Kind::Text("a key in PEM"), "",
        "The key of `CIB_MQTT_CERT`.";
        CIB_MQTT_PREFIX, Setting, Kind::Text("words with `/` between them"), "",
        "What every topic of the box begins with; its last word is the box's name at the broker. \
         Unset: `cib/` and the container's host name, which is another for each new container unless \
         it is set.";
        CIB_MQTT_SCOPES, Setting, Kind::List("scopes, as a device token has them"), "",
        "What commands at the broker may do. Unset, the box listens to none: whoever may publish \
         there would command it, and the broker's rules are all that stands before that.";
        CIB_MQTT_KINDS, Setting, Kind::List("kinds of frames such as `status` or `tool.use.*`"),
        "status, stop, ask.question, todo.update, usage, tool.use.*, meta",
        "Which frames are published. `*` is all of them, also every word that Claude writes.";
        CIB_MQTT_COALESCE, Setting, Kind::Duration { min_ms: 0, max_ms: 10_000 }, "0",
        "For how long pieces of what Claude writes are joined into one message; it has `seq_from` then, \
         and the `seq` of its last piece. `0` joins none.";
        CIB_MQTT_HOME_ASSISTANT, Setting, Kind::Flag, "0",
        "Tells Home Assistant of the box and its sessions, as devices with sensors and, if there are \
         `CIB_MQTT_SCOPES`, a text input and buttons.";
    }
}

/// Names that programs of a similar box understand and this one does not, with the reason.
pub static FOREIGN: &[(&str, &str)] = &[
    (
        "CIB_DNS_OVER_TCP",
        "unset it: with a proxy, names are always looked up over TCP",
    ),
    (
        "CIB_PORT_RANGE",
        "unset it, and publish the ports with the container engine",
    ),
    (
        "CIB_RUN_AS_ROOT",
        "unset it: nothing but init runs as root in this box",
    ),
    (
        "CIB_SERVICES",
        "unset it, and define services in /etc/claude-in-box/init.d",
    ),
];

/// The variable of this name.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Variable> {
    CATALOG
        .iter()
        .copied()
        .find(|variable| variable.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_and_no_key_occurs_twice() {
        let mut seen = BTreeSet::new();
        for variable in CATALOG {
            assert!(seen.insert(variable.name.to_owned()), "{}", variable.name);
            if variable.has_file() {
                assert!(
                    seen.insert(variable.file_name()),
                    "{}",
                    variable.file_name()
                );
            }
        }
        let keys: Vec<String> = CATALOG
            .iter()
            .filter_map(|variable| variable.key())
            .collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }

    #[test]
    fn chapters_are_not_torn_apart() {
        let groups: Vec<Group> = CATALOG.iter().map(|variable| variable.group).collect();
        assert!(groups.is_sorted());
    }
}
