//! Deletes a pipeline: lists what exists, deletes it in reverse order, then checks that nothing is left. Keeps what is not
//! ours, and what something uses that stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::apply::{self, ResourceReport, RunReport, title};
use super::event::{Events, ResourceResult, Step};
use super::plan::{Action, PlanReport, PlannedReport};
use super::resource::{Observed, Resource, Spec, User};
use super::tags::Owner;
use super::walk::{self, Reached, Way};
use super::{Pipeline, event, lag};
use ground::error::aws::Class;
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
    /// Why it is not deleted, if it is not.
    kept: Option<Kept>,
    users: Vec<User>,
    /// What is deleted with it, besides resources of the pipeline.
    takes_along: Vec<User>,
    /// Not selected for deletion. Only its outputs are used.
    unselected: bool,
    dependents: Vec<String>,
}

/// Why a resource is not deleted.
struct Kept {
    /// As the end of a sentence about it.
    reason: String,
    hint: &'static str,
}

impl Kept {
    fn foreign(reason: String) -> Self {
        Self {
            reason,
            hint: "add --adopt to delete it anyway",
        }
    }

    fn used_by(users: &[&User]) -> Self {
        let names: Vec<String> = users
            .iter()
            .map(|user| format!("{} {}", user.kind, user.name))
            .collect();
        Self {
            reason: format!("is used by {}", names.join(", ")),
            hint: "delete what uses it, or let it use another one, then run the same command again",
        }
    }
}

impl<'c> Found<'c> {
    fn absent(spec: Spec, resource: Box<dyn Resource + 'c>) -> Self {
        Self {
            resource,
            spec,
            observed: Observed::Absent,
            kept: None,
            users: Vec::new(),
            takes_along: Vec::new(),
            unselected: false,
            dependents: Vec::new(),
        }
    }
}

impl Found<'_> {
    /// Whether its service may create it again while others are deleted: it is deleted after all of them.
    fn comes_last(&self) -> bool {
        self.is_deleted() && self.resource.returns_within().is_some()
    }

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
        let mut survey = Survey { resources };
        survey.keep_what_is_used();
        survey.name_once();
        Ok(survey)
    }

    async fn find(&self, id: &str) -> Result<Found<'c>> {
        if !self.is_selected(id) {
            let found = Found::absent(self.spec(id)?, self.predict(id)?);
            return Ok(Found {
                unselected: true,
                ..found
            });
        }
        let (spec, resource) = self.resource(id)?;
        let observed = match resource.observe().await {
            // Who never set it up may not be allowed to look for it.
            Err(error) if error.class() == Some(Class::Denied) && self.leaves_out(id) => {
                let found = Found::absent(spec, resource);
                let sentence = format!(
                    "could not find out whether there is a {}, which these parameters leave out: {}",
                    found.title(),
                    error.chain().join(": ")
                );
                return Ok(Found {
                    dependents: vec![sentence],
                    ..found
                });
            }
            observed => observed?,
        };
        self.learn(id, resource.outputs(&observed));
        let kept = match observed.owner(self.identity()) {
            Some(Owner::Pipeline(owner)) if !self.adopts() => {
                Some(Kept::foreign(format!("belongs to the pipeline {owner}")))
            }
            Some(Owner::Stranger) if !self.adopts() => {
                Some(Kept::foreign("was not created by streamctl".to_owned()))
            }
            _ => None,
        };
        let (mut dependents, mut users, mut takes_along) = (Vec::new(), Vec::new(), Vec::new());
        if observed.present().is_some() && kept.is_none() {
            dependents = resource.dependents(&observed).await?;
            takes_along = resource.takes_along(&observed).await?;
            match resource.users(&observed).await {
                Ok(found) => users = found,
                Err(error) if error.class() == Some(Class::Denied) => dependents.push(format!(
                    "could not find out what uses {}: {}",
                    title(&spec.kind, resource.as_ref()),
                    error.chain().join(": ")
                )),
                Err(error) => return Err(error),
            }
        }
        Ok(Found {
            spec,
            resource,
            observed,
            kept,
            users,
            takes_along,
            unselected: false,
            dependents,
        })
    }

    /// Deletes the resources of `survey` that belong to this pipeline, each after those that need it, and checks that they
    /// are gone. A resource that still exists is an error in the report, and one that is kept makes the run partial.
    pub async fn destroy(&self, survey: Survey<'c>, events: Events<'_>, stop: &Stop) -> RunReport {
        let errors: Vec<Slot> = survey.resources.iter().map(|_| Mutex::default()).collect();
        let mut reached = walk::walk(self.graph(), Way::Backward, stop, |node| {
            let (found, slot) = (&survey.resources[node], &errors[node]);
            async move {
                match found.comes_last() {
                    true => Ok(()),
                    false => delete_reporting(found, slot, events, stop).await,
                }
            }
        })
        .await;
        let last = (0..reached.len()).filter(|node| {
            matches!(reached[*node], Reached::Done(())) && survey.resources[*node].comes_last()
        });
        let last: Vec<usize> = last.collect();
        if stop.is_set() {
            last.iter().for_each(|node| reached[*node] = Reached::Stopped);
        } else {
            let deletions = last
                .iter()
                .map(|node| delete_reporting(&survey.resources[*node], &errors[*node], events, stop));
            // Errors are in their slots.
            futures_util::future::join_all(deletions).await;
        }
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
        let kept = resources
            .iter()
            .any(|(report, _)| report.result == ResourceResult::Kept);
        let exit = match exit {
            Exit::Done if left => Exit::Faults,
            Exit::Done if kept => Exit::Partial,
            exit => exit,
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
            report.detail.clone_from(&kept.reason);
            report.hint = Some(kept.hint.to_owned());
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

/// The error of a deletion, and whether it had begun.
type Slot = Mutex<Option<(Error, bool)>>;

/// Deletes `found`, and keeps its error in `slot`.
async fn delete_reporting(found: &Found<'_>, slot: &Slot, events: Events<'_>, stop: &Stop) -> Result<()> {
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
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, step.was_touched()));
            Err(Error::failed("failed"))
        }
    }
}

async fn delete(found: &Found<'_>, step: &Step<'_>) -> Result<()> {
    if let Some(kept) = &found.kept {
        step.finished(ResourceResult::Kept, &kept.reason);
        return Ok(());
    }
    if !found.is_deleted() {
        return Ok(());
    }
    step.go_on()?;
    step.touched();
    let resource = found.resource.as_ref();
    let quiet = Instant::now() + resource.returns_within().unwrap_or_default();
    let mut observed = found.observed.clone();
    for _ in 0..ROUNDS {
        resource.delete(&observed, step).await?;
        let mut left = lag::observe_until(resource, false).await?;
        if left.present().is_none() && Instant::now() < quiet {
            step.waiting("checking whether its service creates it again");
            left = lag::observe_return(resource, quiet).await?;
        }
        if left.present().is_none() {
            step.finished(ResourceResult::Deleted, "");
            return Ok(());
        }
        // It came back. One that someone else made meanwhile is not ours to delete.
        if resource.returns_within().is_none() || left.owner(&found.spec.identity) != Some(Owner::Us) {
            break;
        }
        observed = left;
    }
    Err(Error::new(Exit::Faults, "still exists after its deletion")
        .hint("run the same command again; if it still exists, check it in the AWS console"))
}

/// How often a resource is deleted that its service creates again.
const ROUNDS: u32 = 3;

/// The row of `found`.
fn planned(found: &Found<'_>) -> PlannedReport {
    let (action, detail) = match (&found.kept, found.is_deleted()) {
        (Some(kept), _) => (Action::Kept, kept.reason.clone()),
        (None, true) => (Action::Delete, String::new()),
        (None, false) => (Action::None, "does not exist".to_owned()),
    };
    PlannedReport {
        id: found.spec.id.clone(),
        kind: found.spec.kind.clone(),
        name: found.resource.name(),
        action,
        detail,
        changes: Vec::new(),
    }
}

/// The row of what is deleted with `found`.
fn planned_along(found: &Found<'_>, one: &User) -> PlannedReport {
    PlannedReport {
        id: format!("{}.{}", found.spec.id, one.kind),
        kind: one.kind.to_owned(),
        name: one.name.clone(),
        action: Action::Delete,
        detail: format!("deleted with {}", found.title()),
        changes: Vec::new(),
    }
}

impl Survey<'_> {
    /// Keeps the resources that something uses which is not deleted with them.
    fn keep_what_is_used(&mut self) {
        // What is absent counts too: another run may have deleted it after it was seen as a user.
        let going: BTreeSet<(String, String)> = self
            .resources
            .iter()
            .filter(|found| !found.unselected && found.kept.is_none())
            .map(|found| (found.spec.kind.clone(), found.resource.name()))
            .collect();
        for found in self.resources.iter_mut().filter(|found| found.is_deleted()) {
            let goes = |user: &&User| going.contains(&(user.kind.to_owned(), user.name.clone()));
            let staying: Vec<&User> = found.users.iter().filter(|user| !goes(user)).collect();
            if !staying.is_empty() {
                found.kept = Some(Kept::used_by(&staying));
            }
        }
    }

    /// What goes with a resource and is one of the pipeline is reported as that.
    fn name_once(&mut self) {
        let own: BTreeSet<(String, String)> = self
            .resources
            .iter()
            .map(|found| (found.spec.kind.clone(), found.resource.name()))
            .collect();
        for found in &mut self.resources {
            let is_own = |one: &User| own.contains(&(one.kind.to_owned(), one.name.clone()));
            found.takes_along.retain(|one| !is_own(one));
        }
    }

    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        !self.resources.iter().any(Found::is_deleted)
    }

    /// The resources to delete, in their order, by kind and name.
    pub fn to_delete(&self) -> Vec<String> {
        let deleted = self.resources.iter().rev().filter(|found| found.is_deleted());
        deleted
            .flat_map(|found| {
                let along = found.takes_along.iter().map(User::title);
                along.chain([found.title()]).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The resources that are not deleted, with the reason.
    pub fn kept(&self) -> Vec<String> {
        let kept = |found: &Found<'_>| Some(format!("{} {}", found.title(), found.kept.as_ref()?.reason));
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
            .flat_map(|found| {
                let along = found.takes_along.iter().filter(|_| found.is_deleted());
                let along = along.map(|one| planned_along(found, one));
                along.chain([planned(found)]).collect::<Vec<_>>()
            })
            .collect();
        PlanReport {
            template: pipeline.identity().template().to_owned(),
            pipeline: pipeline.identity().to_string(),
            changes: self.to_delete().len(),
            resources,
            cost: None,
        }
    }
}
