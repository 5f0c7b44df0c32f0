//! Plans: the changes from the observed to the desired state.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::apply::title;
use super::resource::{Change, Dependencies, Observed, Present, Resource, Spec};
use super::tags::Owner;
use super::walk::{self, Reached, Way};
use super::{Pipeline, event};
use crate::cost;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// The changes of a whole pipeline.
pub struct Plan<'c> {
    /// Each resource after those that it needs.
    pub(super) resources: Vec<Planned<'c>>,
}

/// The changes of one resource.
pub(super) struct Planned<'c> {
    pub(super) spec: Spec,
    pub(super) resource: Box<dyn Resource + 'c>,
    pub(super) observed: Observed,
    pub(super) changes: Vec<Change>,
}

/// A plan for display and as data. Its fields are a stable contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct PlanReport {
    pub template: String,
    pub pipeline: String,
    /// Number of changes.
    pub changes: usize,
    /// Each resource after those that it needs.
    pub resources: Vec<PlannedReport>,
    /// What a month costs on AWS without traffic, before and after; `None` for a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<cost::Change>,
}

/// One resource of a [`PlanReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct PlannedReport {
    /// Its name in the manifest.
    pub id: String,
    pub kind: String,
    /// Its name at the service.
    pub name: String,
    pub action: Action,
    /// Summary of a new resource; empty otherwise.
    pub detail: String,
    /// The changes, in their order.
    pub changes: Vec<Change>,
}

/// What a run would do to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "ResourceAction")
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Update,
    None,
    /// A change is impossible, so the run would change nothing at all.
    Refused,
    Delete,
    /// Not deleted by `destroy`, because this pipeline did not create it.
    Kept,
}

impl Action {
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
    /// Observes all resources and determines their changes. Changes nothing.
    ///
    /// # Errors
    /// Exit 2 for an invalid template; otherwise the first error of a call.
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
                // An unfinished resource of an earlier run is finished in this one.
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
                // The list also contains the error of the resource that blocks it.
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
    /// Summary of a new resource; empty otherwise.
    pub(super) fn detail(&self) -> String {
        match self.changes.contains(&Change::Create) {
            true => self.resource.summary(),
            false => String::new(),
        }
    }
}

impl Plan<'_> {
    /// Declared resources that do not exist, by kind and name.
    pub fn missing(&self) -> Vec<String> {
        self.resources
            .iter()
            .filter(|planned| planned.resource.stays() && planned.observed.present().is_none())
            .map(|planned| title(&planned.spec.kind, planned.resource.as_ref()))
            .collect()
    }

    /// The resources that exist, by id.
    pub fn present(&self) -> Vec<String> {
        let there = self
            .resources
            .iter()
            .filter(|planned| planned.observed.present().is_some());
        there.map(|planned| planned.spec.id.clone()).collect()
    }

    /// Whether no resource exists.
    pub fn is_all_missing(&self) -> bool {
        self.resources
            .iter()
            .all(|planned| planned.observed.present().is_none())
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.resources.iter().all(|planned| planned.changes.is_empty())
    }

    /// Rejects a plan with impossible changes, before anything is changed.
    ///
    /// # Errors
    /// Exit 1 with each impossible change.
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
            Error::new(
                Exit::Failed,
                format!("{} resources cannot be changed", lines.len()),
            )
            .cause(lines.join("\n"))
        };
        Err(error.hint(format!("nothing was changed; {hint}")))
    }

    /// What the changes lose permanently, as sentences.
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

    pub fn report(&self, pipeline: &Pipeline<'_>) -> PlanReport {
        let resources: Vec<PlannedReport> = self
            .resources
            .iter()
            // An action that is not due, such as putting a test record, is not reported.
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
            cost: pipeline.cost_change(self).ok(),
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
