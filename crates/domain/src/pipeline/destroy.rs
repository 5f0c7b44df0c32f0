//! Deletes a pipeline: lists what exists, deletes it in reverse order, then checks that nothing is left.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::apply::{self, ResourceReport, RunReport, title};
use super::event::{Events, ResourceResult, Step};
use super::plan::{Action, PlanReport, PlannedReport};
use super::resource::{Observed, Resource, Spec};
use super::tags::Owner;
use super::walk::{self, Reached, Way};
use super::{Pipeline, event, lag};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// The existing resources of a pipeline, before their deletion.
pub struct Survey<'c> {
    pub(super) resources: Vec<Found<'c>>,
}

pub(super) struct Found<'c> {
    spec: Spec,
    resource: Box<dyn Resource + 'c>,
    observed: Observed,
    /// The reason why it is not deleted, if there is one.
    kept: Option<String>,
    /// Not selected for deletion. Only its outputs are used.
    unselected: bool,
    dependents: Vec<String>,
}

impl Found<'_> {
    fn is_deleted(&self) -> bool {
        !self.unselected && self.observed.present().is_some() && self.kept.is_none()
    }

    /// Whether reports contain it. Actions, such as putting a test record, leave nothing to delete.
    fn is_reported(&self) -> bool {
        !self.unselected && self.resource.stays()
    }

    fn title(&self) -> String {
        title(&self.spec.kind, self.resource.as_ref())
    }
}

impl<'c> Pipeline<'c> {
    /// Observes all resources. Changes nothing.
    ///
    /// # Errors
    /// The first error of a call.
    pub async fn survey(&self) -> Result<Survey<'c>> {
        let reached = walk::walk(self.graph(), Way::Forward, &Stop::default(), |node| async move {
            self.find(self.graph().id(node)).await
        })
        .await;
        let mut resources = Vec::with_capacity(reached.len());
        for one in reached {
            match one {
                Reached::Done(found) => resources.push(found),
                Reached::Failed(error) => return Err(error),
                Reached::Blocked(_) => {}
                Reached::Stopped => return Err(event::stopped()),
            }
        }
        Ok(Survey { resources })
    }

    async fn find(&self, id: &str) -> Result<Found<'c>> {
        if !self.is_selected(id) {
            return Ok(Found {
                resource: self.predict(id)?,
                spec: self.spec(id)?,
                observed: Observed::Absent,
                kept: None,
                unselected: true,
                dependents: Vec::new(),
            });
        }
        let (spec, resource) = self.resource(id)?;
        let observed = resource.observe().await?;
        self.learn(id, resource.outputs(&observed));
        let kept = match observed.owner(self.identity()) {
            Some(Owner::Pipeline(owner)) if !self.adopts() => {
                Some(format!("belongs to the pipeline {owner}"))
            }
            Some(Owner::Stranger) if !self.adopts() => Some("was not created by streamctl".to_owned()),
            _ => None,
        };
        let dependents = match (&observed, &kept) {
            (Observed::Present(_), None) => resource.dependents(&observed).await?,
            _ => Vec::new(),
        };
        Ok(Found {
            spec,
            resource,
            observed,
            kept,
            unselected: false,
            dependents,
        })
    }

    /// Deletes the resources of `survey` that belong to this pipeline, each after those that need it, and checks that they
    /// are gone. A resource that still exists is an error in the report.
    pub async fn destroy(&self, survey: Survey<'c>, events: Events<'_>, stop: &Stop) -> RunReport {
        let errors: Vec<Mutex<Option<(Error, bool)>>> =
            survey.resources.iter().map(|_| Mutex::default()).collect();
        let reached = walk::walk(self.graph(), Way::Backward, stop, |node| {
            let (found, slot) = (&survey.resources[node], &errors[node]);
            async move {
                let step = Step::new(
                    &found.spec.id,
                    &found.spec.kind,
                    found.resource.name(),
                    events,
                    stop,
                );
                match delete(found, &step).await {
                    Ok(()) => Ok(()),
                    Err(error) => {
                        apply::finish_failed(&step, &error);
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some((error, step.was_touched()));
                        Err(Error::failed("failed"))
                    }
                }
            }
        })
        .await;
        let errors = errors
            .into_iter()
            .map(|error| error.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut resources: Vec<(ResourceReport, Option<Exit>)> = survey
            .resources
            .iter()
            .zip(errors)
            .zip(&reached)
            .filter(|((found, _), _)| found.is_reported())
            .map(|((found, error), reached)| self.deletion(found, error, reached))
            .collect();
        // A resource that is left is a fault even if every call succeeded.
        let exit = apply::exit(&resources, stop);
        let left = resources
            .iter()
            .any(|(report, _)| report.result == ResourceResult::Failed);
        let exit = if exit == Exit::Done && left {
            Exit::Faults
        } else {
            exit
        };
        resources.reverse();
        RunReport {
            template: self.identity().template().to_owned(),
            pipeline: self.identity().to_string(),
            resources: resources.into_iter().map(|(report, _)| report).collect(),
            outputs: BTreeMap::new(),
            exit,
        }
    }

    fn deletion(
        &self,
        found: &Found<'_>,
        error: Option<(Error, bool)>,
        reached: &Reached<()>,
    ) -> (ResourceReport, Option<Exit>) {
        let mut report = ResourceReport {
            id: found.spec.id.clone(),
            kind: found.spec.kind.clone(),
            name: found.resource.name(),
            result: ResourceResult::Deleted,
            detail: String::new(),
            hint: None,
        };
        let mut exit = None;
        if let Some(kept) = &found.kept {
            report.result = ResourceResult::Kept;
            report.detail.clone_from(kept);
            report.hint = Some("add --adopt to delete it anyway".to_owned());
        } else if !found.is_deleted() {
            report.result = ResourceResult::Absent;
        } else if let Some((error, touched)) = error {
            report.result = apply::failure(&error, touched);
            report.detail = match report.result {
                ResourceResult::Failed => error.chain().join(": "),
                ResourceResult::Stopped => "its deletion has started".to_owned(),
                _ => "stopped before it was deleted".to_owned(),
            };
            report.hint = error.hint_text().map(str::to_owned);
            exit = Some(error.exit());
        } else if let Reached::Blocked(root) = reached {
            report.result = ResourceResult::Skipped;
            report.detail = format!("{} needs it and was not deleted", self.graph().id(*root));
        } else if let Reached::Stopped = reached {
            report.result = ResourceResult::Skipped;
            report.detail = "stopped before it was deleted".to_owned();
        }
        (report, exit)
    }
}

async fn delete(found: &Found<'_>, step: &Step<'_>) -> Result<()> {
    if let Some(kept) = &found.kept {
        step.finished(ResourceResult::Kept, kept);
        return Ok(());
    }
    if !found.is_deleted() {
        return Ok(());
    }
    step.go_on()?;
    step.touched();
    found.resource.delete(&found.observed, step).await?;
    let left = lag::observe_until(found.resource.as_ref(), false).await?;
    if left.present().is_some() {
        return Err(Error::new(Exit::Faults, "still exists after its deletion")
            .hint("run the same command again; if it still exists, check it in the AWS console"));
    }
    step.finished(ResourceResult::Deleted, "");
    Ok(())
}

impl Survey<'_> {
    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        !self.resources.iter().any(Found::is_deleted)
    }

    /// The resources to delete, in their order, by kind and name.
    pub fn to_delete(&self) -> Vec<String> {
        let deleted = self.resources.iter().rev().filter(|found| found.is_deleted());
        deleted.map(Found::title).collect()
    }

    /// The resources that are not deleted, with the reason.
    pub fn kept(&self) -> Vec<String> {
        let kept = |found: &Found<'_>| Some(format!("{} {}", found.title(), found.kept.as_ref()?));
        self.resources.iter().rev().filter_map(kept).collect()
    }

    /// What the deletion affects outside the pipeline, as sentences.
    pub fn dependents(&self) -> Vec<String> {
        self.resources
            .iter()
            .flat_map(|found| found.dependents.iter().cloned())
            .collect()
    }

    /// The report of a dry run.
    pub fn report(&self, pipeline: &Pipeline<'_>) -> PlanReport {
        let resources: Vec<PlannedReport> = self
            .resources
            .iter()
            .rev()
            .filter(|found| found.is_reported())
            .map(|found| PlannedReport {
                id: found.spec.id.clone(),
                kind: found.spec.kind.clone(),
                name: found.resource.name(),
                action: match (&found.kept, found.is_deleted()) {
                    (Some(_), _) => Action::Kept,
                    (None, true) => Action::Delete,
                    (None, false) => Action::None,
                },
                detail: match (&found.kept, found.is_deleted()) {
                    (Some(kept), _) => kept.clone(),
                    (None, true) => String::new(),
                    (None, false) => "does not exist".to_owned(),
                },
                changes: Vec::new(),
            })
            .collect();
        PlanReport {
            template: pipeline.identity().template().to_owned(),
            pipeline: pipeline.identity().to_string(),
            changes: self.resources.iter().filter(|found| found.is_deleted()).count(),
            resources,
        }
    }
}
