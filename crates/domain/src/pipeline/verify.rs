//! Checks a pipeline: whether every resource exists, belongs to it, matches its declaration and works.

use serde::Serialize;

use super::event::Events;
use super::follow::{CLEAN_UP, Services};
use super::resource::{Change, Check, CheckState, Dependencies};
use super::walk::{self, Reached, Way};
use super::{Pipeline, event};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// The checks of a pipeline. Their fields are a stable contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct VerifyReport {
    pub template: String,
    pub pipeline: String,
    /// The worst state of all checks.
    pub state: CheckState,
    /// Each resource in the order of the graph.
    pub resources: Vec<VerifiedResource>,
}

/// The checks of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct VerifiedResource {
    /// Its name in the manifest.
    pub id: String,
    pub kind: String,
    /// Its name at the service.
    pub name: String,
    pub checks: Vec<Check>,
}

impl Pipeline<'_> {
    /// Checks all resources. `probe` allows checks that leave something behind, such as a record.
    ///
    /// # Errors
    /// The first error that does not belong to a check, such as invalid credentials.
    pub async fn verify(&self, probe: bool) -> Result<VerifyReport> {
        let reached = walk::walk(self.graph(), Way::Forward, &Stop::default(), |node| async move {
            self.verify_one(self.graph().id(node), probe).await
        })
        .await;
        let mut resources = Vec::with_capacity(reached.len());
        for one in reached {
            match one {
                Reached::Done(Some(verified)) => resources.push(verified),
                Reached::Failed(error) => return Err(error),
                Reached::Done(None) | Reached::Blocked(_) => {}
                Reached::Stopped => return Err(event::stopped()),
            }
        }
        let states = resources
            .iter()
            .flat_map(|resource| resource.checks.iter().map(|check| check.state));
        Ok(VerifyReport {
            template: self.identity().template().to_owned(),
            pipeline: self.identity().to_string(),
            state: states.max().unwrap_or(CheckState::Good),
            resources,
        })
    }

    /// As [`Pipeline::verify`], and follows an event through the pipeline if the template declares one. The event is put
    /// before the checks, so that they can find the metrics that it causes. It replaces the records that single checks
    /// would put. No event is put if a declared resource does not exist. A stop ends the wait for the event, and what it
    /// left is deleted.
    ///
    /// # Errors
    /// As [`Pipeline::verify`]; exit 2 when the section `[verify]` of the template is invalid; exit 130 after a stop.
    pub async fn verify_following(
        &self,
        services: &dyn Services,
        events: Events<'_>,
        stop: &Stop,
    ) -> Result<VerifyReport> {
        if self.manifest().verify.is_none() {
            return self.verify(true).await;
        }
        let missing = self.plan().await?.missing();
        let followed = match self.follow()? {
            Some(follow) if missing.is_empty() => follow.run(services, events, stop).await,
            _ => VerifiedResource {
                id: "event".to_owned(),
                kind: "event".to_owned(),
                name: super::follow::MARKER_PREFIX.to_owned(),
                checks: vec![Check::new(
                    CheckState::Caution,
                    "put",
                    format!("no event was put: {}", absent(&missing)),
                )],
            },
        };
        if stop.is_set() {
            return Err(stopped_early(&followed));
        }
        let mut report = self.verify(false).await?;
        let worst = followed.checks.iter().map(|check| check.state).max();
        report.state = report.state.max(worst.unwrap_or(CheckState::Good));
        report.resources.push(followed);
        Ok(report)
    }

    async fn verify_one(&self, id: &str, probe: bool) -> Result<Option<VerifiedResource>> {
        let planned = self.plan_one(id, &Dependencies::default()).await?;
        if !planned.resource.stays() {
            return Ok(None);
        }
        let mut checks = Vec::new();
        if planned.observed.present().is_some() {
            checks.push(Check::new(CheckState::Good, "exists", ""));
            checks.push(match planned.changes.as_slice() {
                [] => Check::new(CheckState::Good, "as declared", ""),
                [foreign @ Change::Foreign { .. }] => {
                    Check::new(CheckState::Caution, "ours", foreign.to_string())
                }
                changes => {
                    let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
                    Check::new(CheckState::Fault, "as declared", words.join("; "))
                }
            });
            checks.extend(planned.resource.verify(&planned.observed, probe).await);
        } else {
            checks.push(Check::new(CheckState::Fault, "exists", "not found"));
        }
        Ok(Some(VerifiedResource {
            id: planned.spec.id.clone(),
            kind: planned.spec.kind.clone(),
            name: planned.resource.name(),
            checks,
        }))
    }
}

/// The error of a stop while the event was followed: it says what could not be deleted.
fn stopped_early(followed: &VerifiedResource) -> Error {
    let error = Error::new(Exit::Interrupted, "stopped before the event was followed");
    let left = followed
        .checks
        .iter()
        .find(|check| check.state != CheckState::Good && check.check == CLEAN_UP);
    match left {
        Some(check) => error.cause(check.detail.clone()),
        None => error.hint("what the event left is deleted; run the same command again"),
    }
}

fn absent(missing: &[String]) -> String {
    match missing {
        [one] => format!("{one} does not exist"),
        many => format!("{} resources do not exist", many.len()),
    }
}
