//! `log_group`: a CloudWatch log group with a retention.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};

use super::common::{self, observed};
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Resource, Spec, Surroundings,
};
use crate::pipeline::tags::{self, Owner};
use ground::error::{self, Error, Result};

/// What a manifest can say about a log group.
pub(super) const PROPERTIES: &[&str] = &["name", "retention_days"];

/// Days that log events can be kept. Source: PutRetentionPolicy, `retentionInDays`, CloudWatch Logs API reference.
const RETENTIONS: &[u32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    /// `None`: for ever, or as it is.
    retention_days: Option<u32>,
}

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    retention_days: Option<u32>,
}

pub(super) struct LogGroup<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    arn: String,
}

impl<'a> LogGroup<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        check_name(&declared.name)?;
        if let Some(days) = declared.retention_days {
            check_retention(days)?;
        }
        let Location {
            account,
            region,
            partition,
        } = location;
        Ok(Self {
            context,
            arn: format!(
                "arn:{partition}:logs:{region}:{account}:log-group:{}",
                declared.name
            ),
            declared,
            spec,
        })
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} log group {}", self.declared.name)
    }

    async fn facts(&self) -> Result<Option<Facts>> {
        let retention = retention(self.context, &self.declared.name).await?;
        Ok(retention.map(|retention_days| Facts {
            arn: self.arn.clone(),
            retention_days,
        }))
    }

    async fn tags(&self) -> Result<Option<BTreeMap<String, String>>> {
        let call = self.context.logs().list_tags_for_resource();
        match call.resource_arn(&self.arn).send().await {
            Ok(answer) => Ok(Some(answer.tags.unwrap_or_default().into_iter().collect())),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(error::aws::failed(self.what("list the tags of"), error)),
        }
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.logs().create_log_group();
        let call = call
            .log_group_name(&self.declared.name)
            .set_tags(Some(self.spec.tags.all().into_iter().collect()));
        match call.send().await {
            Ok(_) => {}
            // Seen late, or made by an attempt whose answer was lost: only ours is finished.
            Err(error) if error.code() == Some("ResourceAlreadyExistsException") => {
                let tags = self.tags().await?.unwrap_or_default();
                if tags::owner(&tags, &self.spec.identity) != Owner::Us {
                    let what = format!("there is another log group {}", self.declared.name);
                    return Err(Error::failed(what).hint("add --adopt to take it over, or delete it"));
                }
            }
            Err(error) => return Err(error::aws::failed(self.what("create"), error)),
        }
        step.touched();
        step.go_on()?;
        self.set_retention(step).await?;
        // Some AWS-compatible endpoints pass over the tags of CreateLogGroup.
        let there = self.tags().await?.unwrap_or_default();
        self.set_tags(&there, step).await
    }

    async fn set_retention(&self, step: &Step<'_>) -> Result<()> {
        let Some(days) = self.declared.retention_days else {
            return Ok(());
        };
        step.doing(format!("keeping logs {days} days"));
        let call = self.context.logs().put_retention_policy();
        let call = call
            .log_group_name(&self.declared.name)
            .retention_in_days(i32::try_from(days).unwrap_or(i32::MAX));
        let done = call.send().await;
        done.map(drop)
            .map_err(|error| error::aws::failed(self.what("set the retention of"), error))
    }

    async fn set_tags(&self, there: &BTreeMap<String, String>, step: &Step<'_>) -> Result<()> {
        let (set, remove) = self.spec.tags.difference(there);
        if !set.is_empty() {
            step.doing("setting tags");
            let call = self.context.logs().tag_resource().resource_arn(&self.arn);
            let call = call.set_tags(Some(set.into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            step.go_on()?;
            let call = self.context.logs().untag_resource().resource_arn(&self.arn);
            let call = call.set_tag_keys(Some(remove.into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }
}

/// How many days the log group `name` keeps its events, `Some(None)` for ever; `None` where there is no such group.
pub(super) async fn retention(context: &Context, name: &str) -> Result<Option<Option<u32>>> {
    let mut token = None;
    loop {
        let call = context.logs().describe_log_groups().log_group_name_prefix(name);
        let page = match call.set_next_token(token).send().await {
            Ok(page) => page,
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => {
                return Err(error::aws::failed(
                    format!("could not read log group {name}"),
                    error,
                ));
            }
        };
        let groups = page.log_groups.unwrap_or_default();
        if let Some(group) = groups.iter().find(|group| group.log_group_name() == Some(name)) {
            return Ok(Some(
                group.retention_in_days.and_then(|days| u32::try_from(days).ok()),
            ));
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(None);
        }
    }
}

fn days(days: Option<u32>) -> String {
    match days {
        None => "for ever".to_owned(),
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
    }
}

#[async_trait]
impl Resource for LogGroup<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        days(self.declared.retention_days)
    }

    async fn observe(&self) -> Result<Observed> {
        let Some(facts) = self.facts().await? else {
            return Ok(Observed::Absent);
        };
        match self.tags().await? {
            Some(tags) => observed(tags, &facts),
            // Gone in between.
            None => Ok(Observed::Absent),
        }
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let mut changes = Vec::new();
        if let Some(wanted) = self.declared.retention_days
            && facts.retention_days != Some(wanted)
            // One without a retention was not finished.
            && (facts.retention_days.is_none() || self.spec.properties.enforced("retention_days", present))
        {
            let shorter = facts.retention_days.is_none_or(|there| wanted < there);
            changes.push(Change::Update {
                field: "retention".to_owned(),
                from: Some(days(facts.retention_days)),
                to: Some(days(Some(wanted))),
                // Nobody chose to keep everything for ever.
                loses: (shorter && facts.retention_days.is_some())
                    .then(|| format!("logs older than {} are deleted", days(Some(wanted)))),
            });
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        match field {
            "retention" => self.set_retention(step).await,
            "tags" => {
                let there = &common::there(observed, "log group")?.tags;
                self.set_tags(there, step).await
            }
            other => Err(Error::failed(format!("a log group has no {other} to change"))),
        }
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        if observed.present().is_none() {
            return Ok(());
        }
        step.doing("deleting");
        let call = self.context.logs().delete_log_group();
        match call.log_group_name(&self.declared.name).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(()),
            Err(error) => Err(error::aws::failed(self.what("delete"), error)),
        }
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        let facts = observed
            .present()
            .and_then(|present| present.read::<Facts>().ok());
        let kept = facts.and_then(|facts| facts.retention_days);
        let state = match kept {
            Some(_) => CheckState::Good,
            None => CheckState::Caution,
        };
        vec![Check::new(state, "retention", days(kept))]
    }

    fn outputs(&self, _observed: &Observed) -> Outputs {
        Outputs::from([
            ("name".to_owned(), self.declared.name.clone()),
            // Without the `:*` that stands for its streams in policies.
            ("arn".to_owned(), self.arn.clone()),
        ])
    }

    /// Source: "Actions, resources, and condition keys for Amazon CloudWatch Logs", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        vec![
            Statement::new(
                &[
                    "logs:CreateLogGroup",
                    "logs:DeleteLogGroup",
                    "logs:ListTagsForResource",
                    "logs:PutRetentionPolicy",
                    "logs:TagResource",
                    "logs:UntagResource",
                ],
                [self.arn.clone(), format!("{}:*", self.arn)],
            ),
            Statement::new(&["logs:DescribeLogGroups"], ["*".to_owned()]),
        ]
    }
}

/// 1 to 512 characters. Source: CreateLogGroup, `logGroupName`, CloudWatch Logs API reference.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/#".contains(c);
    if (1..=512).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} is not the name of a log group"))
        .hint("use 1 to 512 letters, digits or any of . _ - / #"))
}

fn check_retention(days: u32) -> Result<()> {
    if RETENTIONS.contains(&days) {
        return Ok(());
    }
    let above = RETENTIONS.iter().find(|allowed| **allowed > days);
    let nearest = above.or(RETENTIONS.last()).map_or(0, |days| *days);
    let all: Vec<String> = RETENTIONS.iter().map(ToString::to_string).collect();
    Err(
        Error::usage(format!("logs cannot be kept for {days} days")).hint(format!(
            "take {nearest}; CloudWatch Logs allows {}",
            all.join(", ")
        )),
    )
}

#[cfg(test)]
mod tests;
