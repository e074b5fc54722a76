//! The three tools of a session that looks for the repository of a task: it lists, looks into and
//! chooses among what the tokens of the box see as their own, and can do nothing else.

use std::sync::Arc;

use cib_forge::{Forge, Repository};
use cib_protocol::frame::Data;
use cib_protocol::task::{StepOutcome, TaskRepository, TaskState, TaskStep, plain};
use cib_tasks::step::{self, Outcome};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::entry::Entry;
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::mcp::{Told, Tool, Tools, arguments};
use crate::publish::named;

/// Repositories on a page of a list.
const PAGE: usize = 50;

/// Repositories that may be chosen at once.
const MOST: usize = 10;

/// Characters of a file that are shown.
const FILE: usize = 16_000;

/// Characters of a reason.
const REASON: usize = 500;

/// What a repository says of itself, if it does.
const READMES: [&str; 4] = ["README.md", "README", "README.rst", "readme.md"];

/// The name of the step in which it was chosen.
const STEP: &str = "choose";

/// The tools.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "find",
        description: "Lists the repositories that come into question, those that were pushed to last \
                      first, by pages of 50. With `query` those that have all of its words in their \
                      name or description.",
        input: r#"{"type":"object","properties":{"query":{"type":"string","maxLength":200},"page":{"type":"integer","minimum":1}},"additionalProperties":false}"#,
        is_read_only: true,
    },
    Tool {
        name: "describe",
        description: "Shows what a repository says of itself, or with `path` a file of its own branch.",
        input: r#"{"type":"object","properties":{"repository":{"type":"string","description":"As `find` names it."},"path":{"type":"string","description":"A file; the README if absent."}},"required":["repository"],"additionalProperties":false}"#,
        is_read_only: true,
    },
    Tool {
        name: "choose",
        description: "Says in which repository the task is to be done. With several, which are as \
                      likely, a person is asked which. It is called once, at the end.",
        input: r#"{"type":"object","properties":{"repositories":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":10,"description":"As `find` names them: one, or those that are as likely."},"reason":{"type":"string","description":"Why, in a sentence."}},"required":["repositories"],"additionalProperties":false}"#,
        is_read_only: false,
    },
];

/// The tools in the hands of the session of one task.
pub struct Choosing {
    /// The control plane.
    pub app: Arc<App>,
    /// The task.
    pub entry: Arc<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    #[serde(default)]
    query: String,
    page: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Describe {
    repository: String,
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choose {
    repositories: Vec<String>,
    #[serde(default)]
    reason: String,
}

impl Tools for Choosing {
    fn server(&self) -> &'static str {
        "claude-in-box"
    }

    fn instructions(&self) -> &'static str {
        "Find the repository that a task means."
    }

    fn tools(&self) -> &'static [Tool] {
        TOOLS
    }

    fn call(self: Arc<Self>, tool: &'static Tool, given: Map<String, Value>) -> Told {
        Box::pin(async move {
            if self.entry.state() != TaskState::Finding {
                let detail = "the repository is known; there is nothing else to do";
                return Err(Fault::new(Code::NothingAsked, detail));
            }
            match tool.name {
                "find" => self.find(&arguments(given)?).await,
                "describe" => self.describe(arguments(given)?).await,
                _ => self.choose(arguments(given)?).await,
            }
        })
    }
}

/// A repository that may be chosen.
struct Known<'a> {
    forge: &'a Forge,
    repository: Repository,
    /// What it is called here.
    name: String,
}

impl Choosing {
    /// Everything that may be chosen.
    async fn all(&self) -> Result<Vec<Known<'_>>, Fault> {
        all(&self.app)
            .await
            .map_err(|why| Fault::new(Code::ForgeFailed, why))
    }

    async fn one(&self, name: &str) -> Result<Known<'_>, Fault> {
        let all = self.all().await?.into_iter();
        let mut found = all.filter(|known| known.name.eq_ignore_ascii_case(name.trim()));
        found.next().ok_or_else(|| {
            let detail = format!("`{}` is none of those that `find` lists", plain(name, 200));
            Fault::new(Code::BadValue, detail)
        })
    }

    async fn find(&self, asked: &Find) -> Result<String, Fault> {
        let words: Vec<_> = asked
            .query
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let has = |known: &Known<'_>| {
            let text = format!("{} {}", known.name, known.repository.description).to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        let found: Vec<_> = self.all().await?.into_iter().filter(has).collect();
        let page = asked.page.unwrap_or(1).max(1);
        let first = (page - 1).saturating_mul(PAGE);
        let shown: Vec<_> = found.iter().skip(first).take(PAGE).map(shown).collect();
        let is_last = first.saturating_add(PAGE) >= found.len();
        Ok(json!({
            "repositories": shown,
            "found": found.len(),
            "next_page": (!is_last).then_some(page + 1),
        })
        .to_string())
    }

    async fn describe(&self, asked: Describe) -> Result<String, Fault> {
        let known = self.one(&asked.repository).await?;
        let Repository {
            slug,
            default_branch,
            ..
        } = &known.repository;
        let files: Vec<&str> = match &asked.path {
            Some(path) => vec![path],
            None => READMES.to_vec(),
        };
        let mut text = shown(&known).to_string();
        for path in files {
            match known.forge.file(slug, path, default_branch).await {
                Ok(file) => {
                    let file: String = file.chars().take(FILE).collect();
                    text.push_str(&format!("\n\n{path}:\n\n{file}"));
                    return Ok(text);
                }
                Err(error) if error.kind() == cib_forge::ErrorKind::NotFound => {}
                Err(error) => return Err(Fault::new(Code::ForgeFailed, error.to_string())),
            }
        }
        text.push_str("\n\nThere is no such file in it.");
        Ok(text)
    }

    async fn choose(&self, asked: Choose) -> Result<String, Fault> {
        if asked.repositories.is_empty() || asked.repositories.len() > MOST {
            let detail = format!("`repositories` has 1 to {MOST} of them");
            return Err(Fault::new(Code::BadValue, detail));
        }
        let mut chosen: Vec<TaskRepository> = Vec::new();
        for name in &asked.repositories {
            let known = self.one(name).await?;
            if known.repository.archived {
                let detail = format!("{} is archived, so nobody may change it", known.name);
                return Err(Fault::new(Code::BadValue, detail));
            }
            let repository = named(known.forge, &known.repository.slug);
            if !chosen.contains(&repository) {
                chosen.push(repository);
            }
        }
        let said = Data::TaskStep(TaskStep {
            step: STEP.to_owned(),
            outcome: StepOutcome::Done,
            detail: Some(plain(&asked.reason, REASON)).filter(|reason| !reason.is_empty()),
        });
        let written = self.entry.write(|now| {
            if now.state != TaskState::Finding || now.repository.is_some() {
                return Vec::new();
            }
            let outcome = match &*chosen {
                [one] => Outcome::Located(one.clone()),
                several => {
                    let several = several.iter().map(|one| one.source.clone());
                    Outcome::Asked(several.collect())
                }
            };
            [said]
                .into_iter()
                .chain(step::after(now, outcome))
                .collect()
        });
        let (_, is_done) = written.await?;
        Ok(match (is_done, chosen.len()) {
            (false, _) => "The repository is known already. There is nothing else to do.",
            (true, 1) => "It is chosen. There is nothing else to do.",
            (true, _) => "A person is asked which of them it is. There is nothing else to do.",
        }
        .to_owned())
    }
}

/// Everything that may be chosen for a task: what the tokens of the box see as their own.
///
/// # Errors
/// What the first forge says that does not answer.
async fn all(app: &App) -> Result<Vec<Known<'_>>, String> {
    let forges: Vec<_> = app
        .publisher
        .forges
        .iter()
        .filter(|forge| is_searched(forge))
        .collect();
    let many = forges.len() > 1;
    let mut all = Vec::new();
    for forge in forges {
        let own = forge.own_repositories().await;
        let own = own.map_err(|error| error.to_string())?;
        all.extend(own.iter().map(|repository| Known {
            forge,
            name: match many {
                true => format!("{}/{}", forge.host(), repository.slug),
                false => repository.slug.to_string(),
            },
            repository: repository.clone(),
        }));
    }
    Ok(all)
}

/// Whether there is anything to choose from.
#[must_use]
pub fn is_possible(app: &App) -> bool {
    let mut forges = app.publisher.forges.iter();
    forges.any(|forge| is_searched(forge))
}

fn is_searched(forge: &Forge) -> bool {
    forge.has_token() && forge.kind() != cib_protocol::forge::ForgeKind::Git
}

/// The first of what may be chosen, for a person who has to.
///
/// # Errors
/// What a forge says.
pub async fn first(app: &App) -> Result<Vec<String>, String> {
    let all = all(app).await?.into_iter();
    let usable = all.filter(|known| !known.repository.archived);
    Ok(usable
        .map(|known| named(known.forge, &known.repository.slug).source)
        .take(MOST)
        .collect())
}

fn shown(known: &Known<'_>) -> Value {
    let Repository {
        description,
        default_branch,
        archived,
        fork,
        private,
        ..
    } = &known.repository;
    json!({
        "repository": known.name,
        "description": description,
        "branch": default_branch,
        "archived": archived,
        "fork": fork,
        "private": private,
    })
}
