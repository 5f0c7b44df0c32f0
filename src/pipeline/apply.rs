//! Carrying out a plan: independent resources at once, dependents after what they need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::event::{Events, ResourceResult, Step};
use super::plan::{Plan, Planned};
use super::resource::{Change, Dependencies, Present, Resource};
use super::walk::{self, Reached, Way};
use super::{Graph, Pipeline, lag};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// What a run did. A stable contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The template.
    pub template: String,
    /// The pipeline's identity.
    pub pipeline: String,
    /// Each resource in the order of the graph.
    pub resources: Vec<ResourceReport>,
    /// The template's outputs, as far as they are known; empty after `destroy`.
    pub outputs: BTreeMap<String, String>,
    /// How the process is to end.
    #[serde(skip)]
    pub exit: Exit,
}

/// One resource of a [`RunReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceReport {
    /// What the manifest calls it.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub result: ResourceResult,
    /// What was done, or why not.
    pub detail: String,
    /// What the user can do about a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Changes that were made to a resource, and what came in between.
struct Work {
    done: Vec<Change>,
    /// Whether a change was begun that may have had a part of its effect.
    touched: bool,
    error: Option<Error>,
}

impl<'c> Pipeline<'c> {
    /// Carries out `plan`. Failures are in the report; whatever needs nothing that failed is done nevertheless. Once
    /// `stop` is set no change is begun, and those that run are waited for.
    ///
    /// # Errors
    /// Exit 2 when an output of the template makes no sense.
    pub async fn apply(&self, plan: Plan<'c>, events: Events<'_>, stop: &Stop) -> Result<RunReport> {
        let created: Mutex<BTreeSet<usize>> = Mutex::default();
        let works: Vec<Mutex<Option<Work>>> = plan.resources.iter().map(|_| Mutex::default()).collect();
        let reached = walk::walk(self.graph(), Way::Forward, stop, |node| {
            let (created, work, planned) = (&created, &works[node], &plan.resources[node]);
            async move {
                let dependencies = Dependencies {
                    created: {
                        let created = created.lock().unwrap_or_else(PoisonError::into_inner);
                        self.graph().needs(node).iter().any(|need| created.contains(need))
                    },
                };
                let done = self.apply_one(planned, &dependencies, events, stop).await;
                // One whose making was begun by an earlier run is made in this one.
                let begun = planned.observed.present().is_some_and(Present::unfinished);
                if begun || done.done.contains(&Change::Create) {
                    created
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(node);
                }
                let failed = done.error.is_some();
                *work.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                if failed {
                    Err(Error::failed("failed"))
                } else {
                    Ok(())
                }
            }
        })
        .await;
        let works = works
            .into_iter()
            .map(|work| work.into_inner().unwrap_or_else(PoisonError::into_inner));
        let resources: Vec<(ResourceReport, Option<Exit>)> = plan
            .resources
            .iter()
            .zip(works)
            .zip(reached)
            // An act such as a test record that is not due is nothing to speak of.
            .filter(|((planned, _), _)| planned.resource.stays() || !planned.changes.is_empty())
            .map(|((planned, work), reached)| report(self.graph(), planned, work, &reached))
            .collect();
        Ok(RunReport {
            template: self.identity().template().to_owned(),
            pipeline: self.identity().to_string(),
            exit: exit(&resources, stop),
            resources: resources.into_iter().map(|(report, _)| report).collect(),
            outputs: self.outputs()?,
        })
    }

    async fn apply_one(
        &self,
        planned: &Planned<'c>,
        dependencies: &Dependencies,
        events: Events<'_>,
        stop: &Stop,
    ) -> Work {
        let (id, kind) = (planned.spec.id.as_str(), planned.spec.kind.as_str());
        let step = Step::new(id, kind, planned.resource.name(), events, stop);
        let mut done = Vec::new();
        let outcome = self.try_apply(planned, dependencies, &step, &mut done).await;
        let error = outcome.err();
        match &error {
            Some(error) => finish_failed(&step, error),
            None => step.finished(outcome_of(&done), ""),
        }
        Work {
            touched: step.was_touched() || !done.is_empty(),
            done,
            error,
        }
    }

    async fn try_apply(
        &self,
        planned: &Planned<'c>,
        dependencies: &Dependencies,
        step: &Step<'_>,
        done: &mut Vec<Change>,
    ) -> Result<()> {
        let id = planned.spec.id.as_str();
        // What it refers to may be known only now; then what was planned is looked at again.
        let fresh = if self.spec(id)? == planned.spec {
            None
        } else {
            Some(self.plan_one(id, dependencies).await?)
        };
        let current = fresh.as_ref().unwrap_or(planned);
        if let Some(refusal) = current.changes.iter().find(|change| change.is_refusal()) {
            return Err(Error::failed(refusal.to_string()));
        }
        for change in &current.changes {
            step.go_on()?;
            current.resource.apply(change, &current.observed, step).await?;
            done.push(change.clone());
        }
        if done.is_empty() {
            self.learn(id, current.resource.outputs(&current.observed));
        } else {
            // What refers to it must not be made of outputs that are not known yet.
            let created = done.contains(&Change::Create) && current.resource.stays();
            let observed = match created {
                true => lag::observe_until(current.resource.as_ref(), true).await?,
                false => current.resource.observe().await?,
            };
            if created && observed.present().is_none() {
                return Err(Error::failed("was made and cannot be seen")
                    .hint("run the same command again: it goes on from there"));
            }
            self.learn(id, current.resource.outputs(&observed));
        }
        Ok(())
    }
}

/// What an error makes of a resource: stopped is not failed. `touched` says whether it was begun.
pub(super) fn failure(error: &Error, touched: bool) -> ResourceResult {
    match (error.exit(), touched) {
        (Exit::Interrupted, true) => ResourceResult::Stopped,
        (Exit::Interrupted, false) => ResourceResult::Skipped,
        _ => ResourceResult::Failed,
    }
}

/// Tells that a resource is done with because of `error`.
pub(super) fn finish_failed(step: &Step<'_>, error: &Error) {
    let outcome = failure(error, step.was_touched());
    let detail = match outcome {
        ResourceResult::Failed => error.chain().join(": "),
        _ => String::new(),
    };
    step.finished(outcome, &detail);
}

fn outcome_of(done: &[Change]) -> ResourceResult {
    if done.contains(&Change::Create) {
        ResourceResult::Created
    } else if done.is_empty() {
        ResourceResult::Unchanged
    } else {
        ResourceResult::Updated
    }
}

fn report(
    graph: &Graph,
    planned: &Planned<'_>,
    work: Option<Work>,
    reached: &Reached<()>,
) -> (ResourceReport, Option<Exit>) {
    let mut report = ResourceReport {
        id: planned.spec.id.clone(),
        kind: planned.spec.kind.clone(),
        name: planned.resource.name(),
        result: ResourceResult::Skipped,
        detail: String::new(),
        hint: None,
    };
    let mut exit = None;
    match (work, reached) {
        (Some(work), _) => {
            let words: Vec<String> = work
                .done
                .iter()
                .filter(|change| **change != Change::Create)
                .map(ToString::to_string)
                .collect();
            report.result = outcome_of(&work.done);
            report.detail = match report.result {
                ResourceResult::Created => planned.resource.summary(),
                _ => words.join("; "),
            };
            if let Some(error) = work.error {
                let done = (!work.done.is_empty()).then(|| format!(" (done before: {})", join(&work.done)));
                report.result = failure(&error, work.touched);
                report.detail = error.chain().join(": ") + &done.unwrap_or_default();
                report.hint = error.hint_text().map(str::to_owned);
                exit = Some(match error.exit() {
                    Exit::Interrupted => {
                        report.detail = done_and_left(planned, &work.done);
                        Exit::Interrupted
                    }
                    _ if work.touched => Exit::Partial,
                    other => other,
                });
            }
        }
        (None, Reached::Blocked(root)) => {
            report.detail = format!("needs {}, which is not done", graph.id(*root));
        }
        (None, _) if planned.changes.is_empty() => report.result = ResourceResult::Unchanged,
        (None, _) => report.detail = format!("stopped before: {}", join(&planned.changes)),
    }
    (report, exit)
}

/// What was done of a resource that the user's stop left unfinished, and what was not.
fn done_and_left(planned: &Planned<'_>, done: &[Change]) -> String {
    let left: Vec<Change> = planned
        .changes
        .iter()
        .filter(|change| **change != Change::Create && !done.contains(change))
        .cloned()
        .collect();
    let mut words = Vec::new();
    if !done.is_empty() {
        words.push(format!("done: {}", join(done)));
    }
    words.push(match left.is_empty() {
        true => "not finished".to_owned(),
        false => format!("not finished: {}", join(&left)),
    });
    words.join("; ")
}

fn join(changes: &[Change]) -> String {
    changes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Done where nothing failed; interrupted where the user stopped it; partly done where anything was; else as the failure
/// says.
pub(super) fn exit(resources: &[(ResourceReport, Option<Exit>)], stop: &Stop) -> Exit {
    let unfinished = |report: &ResourceReport| {
        matches!(
            report.result,
            ResourceResult::Failed | ResourceResult::Stopped | ResourceResult::Skipped
        )
    };
    if !resources.iter().any(|(report, _)| unfinished(report)) {
        return Exit::Done;
    }
    let stopped_early = resources
        .iter()
        .all(|(report, exit)| !unfinished(report) || exit.is_none_or(|exit| exit == Exit::Interrupted));
    if stop.is_set() && stopped_early {
        return Exit::Interrupted;
    }
    let some_done = resources
        .iter()
        .any(|(report, exit)| report.result.is_change() || *exit == Some(Exit::Partial));
    if some_done {
        return Exit::Partial;
    }
    let mut failures = resources.iter().filter_map(|(_, exit)| *exit);
    let first = failures.next().unwrap_or(Exit::Failed);
    if failures.all(|other| other == first) {
        first
    } else {
        Exit::Failed
    }
}

/// The name of a resource with its kind, as in "stream orders".
pub(super) fn title(kind: &str, resource: &dyn Resource) -> String {
    format!("{} {}", kind.replace('_', " "), resource.name())
}
