//! Applies a plan: independent resources in parallel, dependent ones in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::event::{Events, ResourceResult, Step};
use super::plan::{Plan, Planned};
use super::resource::{Change, Dependencies, Present, Resource};
use super::walk::{self, Reached, Way};
use super::{Graph, Pipeline, lag};
use ground::backoff::Backoff;
use ground::error::aws::Class;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// How long a resource that another run changes at the same time is planned again.
const OTHERS: Duration = Duration::from_secs(2 * 60);
/// The jitter keeps two runs from meeting again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).jitter(0.5, 1.0);

/// What a run did. Its fields are a stable contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct RunReport {
    pub template: String,
    pub pipeline: String,
    /// Each resource in the order of the graph.
    pub resources: Vec<ResourceReport>,
    /// The template's outputs, as far as they are known. Empty after `destroy`.
    pub outputs: BTreeMap<String, String>,
    /// Exit code of the process.
    #[serde(skip)]
    pub exit: Exit,
}

/// One resource of a [`RunReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ResourceReport {
    /// Its name in the manifest.
    pub id: String,
    pub kind: String,
    /// Its name at the service.
    pub name: String,
    pub result: ResourceResult,
    /// What was done, or the reason why not.
    pub detail: String,
    /// What the user can do about a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Changes made to a resource, and the error that ended them.
struct Work {
    done: Vec<Change>,
    /// Whether a change was started that may have taken effect in part.
    touched: bool,
    error: Option<Error>,
}

impl<'c> Pipeline<'c> {
    /// Applies `plan`. Errors are part of the report: resources that do not depend on a failed one are still changed. Once
    /// `stop` is set, no change starts, and running changes are completed.
    ///
    /// # Errors
    /// Exit 2 when an output of the template is invalid.
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
                // An unfinished resource of an earlier run is finished in this one.
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
            // An action that is not due, such as putting a test record, is not reported.
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
        let applied = self.try_apply(planned, dependencies, &step, &mut done).await;
        let error = applied.err();
        match &error {
            Some(error) => finish_failed(&step, error),
            None => step.finished(result_of(&done), ""),
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
        // Outputs that it refers to may be known only now. Then it is planned again.
        let mut fresh = if self.spec(id)? == planned.spec {
            None
        } else {
            Some(self.plan_one(id, dependencies).await?)
        };
        let (mut pauses, deadline) = (BACKOFF.pauses(), Instant::now() + OTHERS);
        let current = loop {
            let current = fresh.as_ref().unwrap_or(planned);
            let Err(error) = make(current, step, done).await else {
                break current;
            };
            // Another run may have made it, or may be changing it. Then it is planned again from what there is now.
            let is_made = current.observed.present().is_none() && says_it_exists(&error);
            if !is_made && error.class() != Some(Class::Conflict) {
                return Err(error);
            }
            if is_made {
                lag::observe_until(current.resource.as_ref(), true).await?;
            }
            let Some(pause) = pauses.advance_until(deadline) else {
                return Err(error);
            };
            step.waiting(format!("it is being changed elsewhere: {error}"));
            sleep(pause).await;
            step.go_on()?;
            let now = self.plan_one(id, dependencies).await?;
            // The user has not agreed to lose anything else.
            let is_agreed = |change: &Change| !change.is_lossy() || planned.changes.contains(change);
            if !now.changes.iter().all(is_agreed) {
                return Err(error);
            }
            fresh = Some(now);
        };
        if done.is_empty() {
            self.learn(id, current.resource.outputs(&current.observed));
        } else {
            // Resources that refer to it need its outputs, which are known once it is visible.
            let created = done.contains(&Change::Create) && current.resource.stays();
            let observed = match created {
                true => lag::observe_until(current.resource.as_ref(), true).await?,
                false => current.resource.observe().await?,
            };
            if created && observed.present().is_none() {
                return Err(Error::failed("was created but is not visible yet")
                    .hint("run the same command again to continue"));
            }
            self.learn(id, current.resource.outputs(&observed));
        }
        Ok(())
    }
}

/// Whether `error` is about a name that is taken. Services say so with different codes, and Lambda and Kinesis with codes
/// that also mean something else.
fn says_it_exists(error: &Error) -> bool {
    let text = error.chain().join(" ").to_ascii_lowercase();
    ["exists", "already exist", "alreadyowned"]
        .iter()
        .any(|words| text.contains(words))
}

/// Makes the changes of `planned`, and adds each to `done`.
async fn make(planned: &Planned<'_>, step: &Step<'_>, done: &mut Vec<Change>) -> Result<()> {
    if let Some(refusal) = planned.changes.iter().find(|change| change.is_refusal()) {
        return Err(Error::failed(refusal.to_string()));
    }
    for change in &planned.changes {
        step.go_on()?;
        planned.resource.apply(change, &planned.observed, step).await?;
        done.push(change.clone());
    }
    Ok(())
}

/// The result of a resource after `error`. `touched` says whether a change was started.
pub(super) fn failure(error: &Error, touched: bool) -> ResourceResult {
    match (error.exit(), touched) {
        (Exit::Interrupted, true) => ResourceResult::Stopped,
        (Exit::Interrupted, false) => ResourceResult::Skipped,
        _ => ResourceResult::Failed,
    }
}

/// Reports that a resource ended with `error`.
pub(super) fn finish_failed(step: &Step<'_>, error: &Error) {
    let result = failure(error, step.was_touched());
    let detail = match result {
        ResourceResult::Failed => error.chain().join(": "),
        _ => String::new(),
    };
    step.finished(result, &detail);
}

fn result_of(done: &[Change]) -> ResourceResult {
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
            report.result = result_of(&work.done);
            report.detail = match report.result {
                ResourceResult::Created => planned.resource.summary(),
                _ => words.join("; "),
            };
            if let Some(error) = work.error {
                let done = (!work.done.is_empty()).then(|| format!(" (completed: {})", join(&work.done)));
                report.result = failure(&error, work.touched);
                report.detail = error.chain().join(": ") + &done.unwrap_or_default();
                report.hint = error.hint_text().map(str::to_owned);
                exit = Some(match error.exit() {
                    Exit::Interrupted => {
                        report.detail = completed_and_remaining(planned, &work.done);
                        Exit::Interrupted
                    }
                    _ if work.touched => Exit::Partial,
                    other => other,
                });
            }
        }
        (None, Reached::Blocked(root)) => {
            report.detail = format!("needs {}, which was not completed", graph.id(*root));
        }
        (None, _) if planned.changes.is_empty() => report.result = ResourceResult::Unchanged,
        (None, _) => report.detail = format!("not started: {}", join(&planned.changes)),
    }
    (report, exit)
}

/// The completed and the remaining changes of a resource that was stopped by the user.
fn completed_and_remaining(planned: &Planned<'_>, done: &[Change]) -> String {
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

/// The exit code of a run: done if nothing failed, interrupted if the user stopped it, partial if anything was changed,
/// otherwise that of the error.
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

/// Kind and name of a resource, such as "stream orders".
pub(super) fn title(kind: &str, resource: &dyn Resource) -> String {
    format!("{} {}", kind.replace('_', " "), resource.name())
}
