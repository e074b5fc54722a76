//! Attacks by states of the box, and what each did.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use super::{Aim, Attack, Outcome, Report, attacks};

/// A box that is attacked, whatever it is made of.
pub trait Cage {
    /// A command that runs `cib-testkit` with these words as the agent, inside the box.
    fn as_agent(&mut self, words: &[String]) -> Command;

    /// What is wrong with the box and its record now, compared with before the attacks.
    fn harm(&mut self) -> Vec<String>;
}

/// What became of every attack in every state that was tried.
#[derive(Debug, Default)]
pub struct Matrix {
    states: Vec<String>,
    cells: BTreeMap<(usize, &'static str), String>,
    effects: Vec<String>,
}

impl Matrix {
    /// Runs every attack in the state that the box is in, one after the other, and looks at the
    /// box after each.
    ///
    /// # Panics
    /// An attack cannot be started, or says nothing that can be understood.
    pub fn column(&mut self, state: &str, cage: &mut dyn Cage, aim: &Aim) {
        let place = self.states.len();
        self.states.push(state.to_owned());
        for attack in attacks() {
            let (report, harm) = once(attack, cage, aim);
            let mut word = match &report.outcome {
                Outcome::Got(_) => "GOT",
                Outcome::Refused(_) => "refused",
                Outcome::Done => "no effect",
            };
            if let Outcome::Got(got) = &report.outcome {
                self.effects
                    .push(format!("{state}: {}: {got}", attack.name));
            }
            if !harm.is_empty() {
                word = "HARM";
                self.effects
                    .push(format!("{state}: {}: {}", attack.name, harm.join("; ")));
            }
            self.cells.insert((place, attack.name), word.to_owned());
        }
    }

    /// What attacks got or did beyond the agent's own world.
    #[must_use]
    pub fn effects(&self) -> &[String] {
        &self.effects
    }

    /// The table for people, and the count at its end.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!("\n{:<14}{:<26}", "kind", "attack");
        for state in &self.states {
            let _ = write!(table, "{state:<16}");
        }
        for attack in attacks() {
            let _ = write!(table, "\n{:<14}{:<26}", attack.kind, attack.name);
            for place in 0..self.states.len() {
                let cell = self.cells.get(&(place, attack.name));
                let _ = write!(table, "{:<16}", cell.map_or("-", String::as_str));
            }
        }
        let _ = write!(
            table,
            "\n\n{} attacks, {} states, {} that changed anything beyond the agent's own session\n",
            attacks().len(),
            self.states.len(),
            self.effects.len()
        );
        table
    }
}

/// What an engine says whose own program, which is to become the attack, has ended before that: a
/// busy machine's does so now and then.
const NOT_BEGUN: &str = "OCI runtime exec failed";

/// How often an attack is begun that an engine does not start.
const TRIES: usize = 5;

fn once(attack: &Attack, cage: &mut dyn Cage, aim: &Aim) -> (Report, Vec<String>) {
    let mut said = String::new();
    for _ in 0..TRIES {
        match attempt(attack, cage, aim) {
            Ok(found) => return found,
            Err(failure) => said = failure,
        }
        if !said.contains(NOT_BEGUN) {
            break;
        }
    }
    panic!("{} did not report: {said}", attack.name);
}

/// Runs one attack, and looks at the box while it holds what it took, or after its end; what was
/// said instead of a report.
fn attempt(
    attack: &Attack,
    cage: &mut dyn Cage,
    aim: &Aim,
) -> Result<(Report, Vec<String>), String> {
    let mut words = vec!["attack".to_owned(), attack.name.to_owned()];
    words.extend(aim.arguments());
    let mut child = cage
        .as_agent(&words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", attack.name));
    let mut harm = Vec::new();
    let mut said = String::new();
    if attack.holds {
        let mut reader = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut first = String::new();
        let _ = reader.read_line(&mut first);
        harm = cage.harm();
        for complaint in &mut harm {
            complaint.push_str(" (meanwhile)");
        }
        let_go(&mut child);
        said.push_str(&first);
        let _ = reader.read_to_string(&mut said);
    }
    let output = child.wait_with_output().expect("our own child");
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    let line = said.lines().find(|line| line.starts_with('{'));
    let report = line.and_then(|line| serde_json::from_str(line).ok());
    let report: Report = report.ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("{:?}, {said}{complaint}", output.status)
    })?;
    harm.extend(cage.harm());
    Ok((report, harm))
}

/// Ends what an attack holds on to.
fn let_go(child: &mut Child) {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.flush();
    }
}
