//! What is to be changed, from what is there.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::apply::title;
use super::resource::{Change, Dependencies, Observed, Present, Resource, Spec};
use super::tags::Owner;
use super::walk::{self, Reached, Way};
use super::{Pipeline, event};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// The changes of a whole pipeline.
pub struct Plan<'c> {
    /// Each resource after those it needs.
    pub(super) resources: Vec<Planned<'c>>,
}

/// One resource's changes.
pub(super) struct Planned<'c> {
    pub(super) spec: Spec,
    pub(super) resource: Box<dyn Resource + 'c>,
    pub(super) observed: Observed,
    pub(super) changes: Vec<Change>,
}

/// A plan in words and as data. A stable contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanReport {
    /// The template.
    pub template: String,
    /// The pipeline's identity.
    pub pipeline: String,
    /// How many changes there are.
    pub changes: usize,
    /// Each resource after those it needs.
    pub resources: Vec<PlannedReport>,
}

/// One resource of a [`PlanReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedReport {
    /// What the manifest calls it.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What would be done.
    pub action: Action,
    /// What is to be made; empty for anything but a new resource.
    pub detail: String,
    /// The changes, in the order in which they would be made.
    pub changes: Vec<Change>,
}

/// What would be done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Made.
    Create,
    /// Changed.
    Update,
    /// Nothing.
    None,
    /// It cannot be done; nothing at all would be changed.
    Refused,
    /// Deleted.
    Delete,
    /// Left alone by `destroy`, not being ours.
    Kept,
}

impl Action {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::None => "no change",
            Self::Refused => "refused",
            Self::Delete => "delete",
            Self::Kept => "kept",
        }
    }
}

impl<'c> Pipeline<'c> {
    /// Observes everything and tells what is to be changed. Makes no changing call.
    ///
    /// # Errors
    /// Exit 2 for faults of the template; else the first failure of a call.
    pub async fn plan(&self) -> Result<Plan<'c>> {
        let created: Mutex<BTreeSet<usize>> = Mutex::default();
        let reached = walk::walk(self.graph(), Way::Forward, &Stop::default(), |node| {
            let created = &created;
            async move {
                let dependencies = Dependencies {
                    created: {
                        let created = created.lock().unwrap_or_else(PoisonError::into_inner);
                        self.graph().needs(node).iter().any(|need| created.contains(need))
                    },
                };
                let planned = self.plan_one(self.graph().id(node), &dependencies).await?;
                // One whose making was begun by an earlier run is made in this one.
                let begun = planned.observed.present().is_some_and(Present::unfinished);
                if begun || planned.changes.contains(&Change::Create) {
                    created
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(node);
                }
                Ok(planned)
            }
        })
        .await;
        let mut resources = Vec::with_capacity(reached.len());
        for one in reached {
            match one {
                Reached::Done(planned) => resources.push(planned),
                Reached::Failed(error) => return Err(error),
                // Its failure follows, or came before.
                Reached::Blocked(_) => {}
                Reached::Stopped => return Err(event::stopped()),
            }
        }
        Ok(Plan { resources })
    }

    pub(super) async fn plan_one(&self, id: &str, dependencies: &Dependencies) -> Result<Planned<'c>> {
        let (spec, resource) = self.resource(id)?;
        let observed = resource.observe().await?;
        self.learn(id, resource.outputs(&observed));
        let changes = match observed.owner(self.identity()) {
            Some(Owner::Pipeline(owner)) if !self.adopts() => vec![Change::Foreign { owner: Some(owner) }],
            Some(Owner::Stranger) if !self.adopts() => vec![Change::Foreign { owner: None }],
            _ => resource.diff(&observed, dependencies)?,
        };
        Ok(Planned {
            spec,
            resource,
            observed,
            changes,
        })
    }
}

impl Planned<'_> {
    /// What is to be made, in words; empty for anything but a new resource.
    pub(super) fn detail(&self) -> String {
        let created = self.changes.contains(&Change::Create);
        if created {
            self.resource.summary()
        } else {
            String::new()
        }
    }
}

impl Plan<'_> {
    /// What the template declares and is not there, with kind and name.
    pub fn missing(&self) -> Vec<String> {
        self.resources
            .iter()
            .filter(|planned| planned.resource.stays() && planned.observed.present().is_none())
            .map(|planned| title(&planned.spec.kind, planned.resource.as_ref()))
            .collect()
    }

    /// Whether nothing at all of it is there.
    pub fn is_all_missing(&self) -> bool {
        self.resources
            .iter()
            .all(|planned| planned.observed.present().is_none())
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.resources.iter().all(|planned| planned.changes.is_empty())
    }

    /// Refuses a plan of which a part cannot be done: then nothing is.
    ///
    /// # Errors
    /// Exit 1 naming each such part.
    pub fn check(&self) -> Result<()> {
        let refused: Vec<(String, &Change)> = self
            .resources
            .iter()
            .flat_map(|planned| {
                let what = || title(&planned.spec.kind, planned.resource.as_ref());
                planned
                    .changes
                    .iter()
                    .filter(|change| change.is_refusal())
                    .map(move |change| (what(), change))
            })
            .collect();
        let Some((_, first)) = refused.first() else {
            return Ok(());
        };
        let hint = match first {
            Change::Refused { hint, .. } => hint.clone(),
            _ => "add --adopt to take it over, or choose another name".to_owned(),
        };
        let mut lines: Vec<String> = refused
            .iter()
            .map(|(what, change)| format!("{what} {change}"))
            .collect();
        let error = if lines.len() == 1 {
            Error::new(Exit::Failed, lines.remove(0))
        } else {
            Error::new(Exit::Failed, format!("{} things cannot be changed", lines.len()))
                .cause(lines.join("\n"))
        };
        Err(error.hint(format!("nothing was changed; {hint}")))
    }

    /// What the changes lose for good, in words.
    pub fn losses(&self) -> Vec<String> {
        self.resources
            .iter()
            .flat_map(|planned| {
                planned.changes.iter().filter_map(|change| match change {
                    Change::Update {
                        loses: Some(loses), ..
                    } => Some(format!("{}: {loses}", planned.resource.name())),
                    _ => None,
                })
            })
            .collect()
    }

    /// The plan as a report.
    pub fn report(&self, pipeline: &Pipeline<'_>) -> PlanReport {
        let resources: Vec<PlannedReport> = self
            .resources
            .iter()
            // An act such as a test record that is not due is nothing to speak of.
            .filter(|planned| planned.resource.stays() || !planned.changes.is_empty())
            .map(|planned| PlannedReport {
                id: planned.spec.id.clone(),
                kind: planned.spec.kind.clone(),
                name: planned.resource.name(),
                action: action(&planned.changes),
                detail: planned.detail(),
                changes: planned.changes.clone(),
            })
            .collect();
        PlanReport {
            template: pipeline.identity().template().to_owned(),
            pipeline: pipeline.identity().to_string(),
            changes: resources.iter().map(|one| one.changes.len()).sum(),
            resources,
        }
    }
}

fn action(changes: &[Change]) -> Action {
    if changes.iter().any(Change::is_refusal) {
        Action::Refused
    } else if changes.contains(&Change::Create) {
        Action::Create
    } else if changes.is_empty() {
        Action::None
    } else {
        Action::Update
    }
}
