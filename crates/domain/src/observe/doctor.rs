//! Finds what is wrong with a stream or a pipeline, with evidence and the command that repairs it.
//!
//! [`examine`] runs the checks of the table [`checks`] on a [`Subject`], which reads each fact once for all of them. A
//! check is a function of facts; each module of checks holds its own list. Changes nothing.

mod access;
mod alarms;
mod cost;
pub mod finding;
mod fixes;
mod flow;
mod functions;
mod lag;
mod logs;
mod mappings;
mod measured;
mod pipeline;
mod posture;
mod queues;
mod runtimes;
mod streams;
mod subject;
#[cfg(test)]
pub(super) mod test_support;
mod throughput;

use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;

pub use alarms::Alarm;
pub use finding::{Finding, Fix, Looked, Outcome, Severity, Skipped};
pub use logs::ErrorLines;
pub use measured::{Measured, Metric};
pub(in crate::observe) use queues::read as queue;
pub use queues::{DeadLetters, EventSource, Queue};
pub use subject::{Function, Scope, Subject};

/// A check in progress.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Looked> + 'a>>;

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    /// Stable id, in kebab case.
    pub id: &'static str,
    /// What it looks at, such as "writes are not throttled".
    pub title: &'static str,
    /// Whether it runs only if asked for: a recommendation, not a fault or an exposure.
    pub is_posture: bool,
    /// Whether it looks at the connection itself: it can look where no call succeeds.
    is_of_connection: bool,
    look: for<'a> fn(&'a Subject<'a>) -> Looking<'a>,
}

impl Check {
    pub(crate) const fn new(
        id: &'static str,
        title: &'static str,
        look: for<'a> fn(&'a Subject<'a>) -> Looking<'a>,
    ) -> Self {
        Self {
            id,
            title,
            is_posture: false,
            is_of_connection: false,
            look,
        }
    }

    /// Makes it run only if recommendations are asked for.
    pub(crate) const fn posture(mut self) -> Self {
        self.is_posture = true;
        self
    }

    /// Makes it run also where no call succeeds.
    pub(crate) const fn of_connection(mut self) -> Self {
        self.is_of_connection = true;
        self
    }
}

/// All checks, by module. The order is that of the report.
const MODULES: &[&[Check]] = &[
    access::CHECKS,
    streams::CHECKS,
    throughput::CHECKS,
    lag::CHECKS,
    mappings::CHECKS,
    functions::CHECKS,
    flow::CHECKS,
    queues::CHECKS,
    logs::CHECKS,
    alarms::CHECKS,
    pipeline::CHECKS,
    cost::CHECKS,
    posture::CHECKS,
];

/// All checks, in the order of the report.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    MODULES.iter().copied().flatten()
}

/// Limit of checks that run in parallel. More would exceed the rates of control plane calls.
const MAX_PARALLEL: usize = 16;

/// A check has finished.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    pub id: &'static str,
    pub title: &'static str,
    pub outcome: &'a Outcome,
    /// Number of checks that have finished, with this one.
    pub finished: usize,
    /// Number of checks.
    pub of: usize,
}

/// Receives events. Called from async code: must not block.
pub type Events<'a> = &'a (dyn Fn(Event<'_>) + Send + Sync);

/// Result of a check, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "DoctorCheckState")
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Good,
    /// It could not run.
    Skipped,
    Caution,
    Fault,
}

/// One check of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "DoctorCheck")
)]
pub struct Checked {
    pub check: &'static str,
    pub title: &'static str,
    pub state: State,
    /// Why it could not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    pub findings: Vec<Finding>,
}

impl Checked {
    fn new(check: &Check, outcome: Outcome) -> Self {
        let (skipped, findings) = match outcome {
            Outcome::Findings(findings) => (None, findings),
            Outcome::Skipped(reason) => (Some(reason), Vec::new()),
        };
        let state = match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Fault) => State::Fault,
            Some(Severity::Caution) => State::Caution,
            None if skipped.is_some() => State::Skipped,
            None => State::Good,
        };
        Self {
            check: check.id,
            title: check.title,
            state,
            skipped,
            findings,
        }
    }
}

/// Runs all checks on `subject` concurrently, those of recommended practice only with `posture`. Emits each outcome as
/// its check finishes. The result is in the order of the table.
///
/// Where credentials are refused or nothing answers, the checks that are not of the connection end at once: each call of
/// theirs would fail for the same reason.
pub async fn examine(subject: &Subject<'_>, posture: bool, events: Events<'_>) -> Vec<Checked> {
    let mut run = Run::new(posture, events);
    let mut waiting = run.chosen.clone().into_iter().enumerate();
    let mut running = FuturesUnordered::new();
    let start = |(index, check): (usize, &'static Check)| {
        let looking = (check.look)(subject);
        async move { (index, looking.await) }
    };
    let mut obstacle = Box::pin(access::obstacle(subject));
    let mut is_asked = false;
    loop {
        while running.len() < MAX_PARALLEL
            && let Some(next) = waiting.next()
        {
            running.push(start(next));
        }
        tokio::select! {
            found = obstacle.as_mut(), if !is_asked => {
                is_asked = true;
                if let Some(reason) = found {
                    run.give_reason(&reason);
                    running.clear();
                    waiting = Vec::new().into_iter().enumerate();
                    for (index, check) in run.unfinished() {
                        match check.is_of_connection {
                            true => running.push(start((index, check))),
                            false => run.finish(index, Err(reason.clone())),
                        }
                    }
                }
            }
            next = running.next() => match next {
                Some((index, looked)) => run.finish(index, looked),
                None => break,
            },
        }
    }
    run.done.into_iter().flatten().collect()
}

/// The checks of one examination, and what has finished.
struct Run<'e> {
    chosen: Vec<&'static Check>,
    done: Vec<Option<Checked>>,
    finished: usize,
    events: Events<'e>,
}

impl<'e> Run<'e> {
    fn new(posture: bool, events: Events<'e>) -> Self {
        let chosen: Vec<_> = checks().filter(|check| posture || !check.is_posture).collect();
        Self {
            done: vec![None; chosen.len()],
            chosen,
            finished: 0,
            events,
        }
    }

    fn unfinished(&self) -> Vec<(usize, &'static Check)> {
        let all = self.chosen.iter().copied().enumerate();
        all.filter(|(index, _)| self.done[*index].is_none()).collect()
    }

    /// Gives `reason` to the checks that could not look before it was known.
    fn give_reason(&mut self, Skipped(reason): &Skipped) {
        for (checked, check) in self.done.iter_mut().zip(&self.chosen) {
            if let Some(checked) = checked
                && !check.is_of_connection
                && checked.skipped.is_some()
            {
                checked.skipped = Some(reason.clone());
            }
        }
    }

    fn finish(&mut self, index: usize, looked: Looked) {
        let check = self.chosen[index];
        self.finished += 1;
        let outcome = match looked {
            Ok(findings) => Outcome::Findings(stamped(check.id, findings)),
            Err(Skipped(reason)) => Outcome::Skipped(reason),
        };
        (self.events)(Event {
            id: check.id,
            title: check.title,
            outcome: &outcome,
            finished: self.finished,
            of: self.chosen.len(),
        });
        self.done[index] = Some(Checked::new(check, outcome));
    }
}

fn stamped(id: &'static str, mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        finding.check = id;
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_in_kebab_case() {
        let mut seen = BTreeSet::new();
        for check in checks() {
            assert!(seen.insert(check.id), "{} is there twice", check.id);
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(check.id.bytes().all(allowed), "{}", check.id);
            assert!(!check.title.ends_with('.'), "{}", check.title);
        }
    }

    /// A future that holds those of the facts that it needs, and these theirs, overflows the stack.
    #[tokio::test]
    async fn the_future_of_each_check_is_small() {
        let context = test_support::context().await;
        let subject = Subject::new(&context, Scope::stream("orders"));
        for check in checks() {
            let looking = (check.look)(&subject);
            let size = std::mem::size_of_val(&*looking);
            assert!(size < 64 * 1024, "{}: {size} bytes", check.id);
        }
    }

    const PAGE: &str = include_str!("../../../../docs/doctor.md");

    /// The rows of the table below the heading `heading`, cell by cell.
    fn rows(heading: &str) -> Vec<Vec<&'static str>> {
        let (_, after) = PAGE.split_once(heading).unwrap();
        let section = after.split("\n## ").next().unwrap();
        let table = section.lines().filter(|line| line.starts_with('|')).skip(2);
        table
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    fn words(cell: &str) -> impl Iterator<Item = &str> {
        cell.split(',').map(|word| word.trim().trim_matches('`'))
    }

    #[test]
    fn the_page_describes_each_check_and_no_other() {
        let described: BTreeSet<&str> = rows("\n## All checks\n")
            .iter()
            .flat_map(|row| words(row[0]))
            .collect();
        let known: BTreeSet<&str> = checks().map(|check| check.id).collect();
        assert_eq!(described, known);
    }

    #[test]
    fn each_symptom_leads_to_a_check_and_each_check_has_a_symptom() {
        let symptoms = rows("\n## Symptoms\n");
        let known: BTreeSet<&str> = checks().map(|check| check.id).collect();
        let named: BTreeSet<&str> = symptoms.iter().flat_map(|row| words(row[1])).collect();
        assert_eq!(named, known);
        for usual in [
            "stream not found",
            "permission denied",
            "throttling",
            "high iterator age",
            "Lambda not processing",
            "records not in the table",
            "high cost",
            "delays",
            "bad data format",
            "uneven keys",
        ] {
            assert!(symptoms.iter().any(|row| row[0] == usual), "{usual}");
        }
    }
}
