//! `log_group`: a CloudWatch log group with a retention.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::common::{check_name, lossy_update};
use super::kind::{Existing, Kind, Managed, TagChanges, TagMap};
use crate::functions::function::{self, rules};
use crate::functions::logs::retention;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState};
use crate::pipeline::tags::{self, Owner};
use crate::settings::Target;
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// Days that log events can be kept. Source: PutRetentionPolicy, `retentionInDays`, CloudWatch Logs API reference.
const RETENTIONS: &[u32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    /// `None`: the retention of a group stays as it is; a new one keeps its events for ever.
    retention_days: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    retention_days: Option<u32>,
}

type LogGroup<'a> = Managed<'a, Declared>;

/// Lambda creates a log group of this name and the function's for a function that has none.
/// Source: "Sending Lambda function logs to CloudWatch Logs", AWS Lambda developer guide.
const LAMBDA: &str = "/aws/lambda/";
/// How late Lambda may still send lines of a function that is deleted. AWS gives no bound.
const LATE_LINES: Duration = Duration::from_secs(5);

impl LogGroup<'_> {
    async fn tags(&self) -> Result<Option<TagMap>> {
        let call = self.context.logs().list_tags_for_resource();
        let answer =
            self.response_if_exists("list the tags of", call.resource_arn(self.arn()).send().await)?;
        Ok(answer.map(|answer| answer.tags.unwrap_or_default().into_iter().collect()))
    }

    /// Whether Lambda made the group, which has `tags`, for a function of this pipeline: it has no tags, and the function
    /// that it is named after is ours, or is gone.
    async fn is_of_our_function(&self, tags: &TagMap) -> Result<bool> {
        let function = self.declared.name.strip_prefix(LAMBDA);
        let Some(function) = function.filter(|name| tags.is_empty() && rules::check_name(name).is_ok())
        else {
            return Ok(false);
        };
        match function::observe(self.context, function).await {
            Ok(Some((_, tags))) => Ok(tags::owner(&tags, &self.spec.identity) == Owner::Us),
            Ok(None) => Ok(true),
            Err(error) => match error.class() {
                // Without a look at the function, the group is a stranger's.
                Some(Class::Denied | Class::Refused) => Ok(false),
                _ => Err(error),
            },
        }
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
        self.response("set the retention of", call.send().await).map(drop)
    }
}

#[async_trait]
impl Kind for LogGroup<'_> {
    const NOUN: &'static str = "log group";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        // Source: CreateLogGroup, `logGroupName`, CloudWatch Logs API reference.
        check_name("log group", &self.declared.name, (1, 512), "._-/#")?;
        self.declared.retention_days.map_or(Ok(()), check_retention)
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    /// Without the `:*` that stands for its streams in policies.
    fn arn(&self) -> String {
        self.arn_of("logs", &format!("log-group:{}", self.declared.name))
    }

    fn summary(&self) -> String {
        days(self.declared.retention_days)
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(retention_days) = retention(self.context, &self.declared.name).await? else {
            return Ok(None);
        };
        let Some(mut tags) = self.tags().await? else {
            return Ok(None);
        };
        if self.is_of_our_function(&tags).await? {
            tags = self.spec.tags.of_untagged();
        }
        Ok(Some((tags, Facts { retention_days })))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let there = existing.facts.retention_days;
        let wanted = self.declared.retention_days.filter(|wanted| {
            // A group without a retention was not finished.
            there.is_none_or(|there| there != *wanted && self.enforced("retention_days", existing))
        });
        let change = wanted.map(|wanted| {
            // CloudWatch keeps events for ever by default: nobody chose that, so a shorter retention is not a loss.
            let loses = there
                .filter(|there| wanted < *there)
                .map(|_| format!("logs older than {} are deleted", days(Some(wanted))));
            lossy_update("retention", days(there), days(Some(wanted)), loses)
        });
        Ok(change.into_iter().collect())
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.logs().create_log_group();
        let call = call
            .log_group_name(&self.declared.name)
            .set_tags(Some(self.spec.tags.all().into_iter().collect()));
        let created =
            self.response_unless("create", &["ResourceAlreadyExistsException"], call.send().await)?;
        if created.is_none() {
            // Logs may show a new group late, and a response can be lost. Finish only a group of this pipeline.
            let tags = self.tags().await?.unwrap_or_default();
            let ours = tags::owner(&tags, &self.spec.identity) == Owner::Us;
            if !ours && !self.is_of_our_function(&tags).await? {
                let what = format!("there is another log group {}", self.declared.name);
                return Err(Error::failed(what).hint("add --adopt to take it over, or delete it"));
            }
        }
        step.touched();
        step.go_on()?;
        self.set_retention(step).await?;
        // Some AWS-compatible endpoints ignore the tags of CreateLogGroup.
        let there = self.tags().await?.unwrap_or_default();
        self.set_tags(&self.arn(), &there, step).await
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        match field {
            "retention" => self.set_retention(step).await,
            other => Err(self.unknown_field(other)),
        }
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.logs().tag_resource().resource_arn(target);
        let call = call.set_tags(Some(tags.into_iter().collect()));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.logs().untag_resource().resource_arn(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn update_tags(
        &self,
        _existing: &Existing<'_, Facts>,
        _changes: TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        // A group that Lambda made has none of the tags that were observed.
        let there = self.tags().await?.unwrap_or_default();
        self.set_tags(&self.arn(), &there, step).await
    }

    /// Lambda sends the last lines of a function after its deletion, and makes the group again for them.
    fn returns_within(&self) -> Option<Duration> {
        let late = match self.context.settings().target {
            Target::Aws => LATE_LINES,
            Target::Endpoint(_) | Target::Local => Duration::ZERO,
        };
        self.declared.name.starts_with(LAMBDA).then_some(late)
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.logs().delete_log_group();
        let call = call.log_group_name(&self.declared.name);
        self.response_if_exists("delete", call.send().await).map(drop)
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let kept = existing.facts.retention_days;
        let state = match kept {
            Some(_) => CheckState::Good,
            None => CheckState::Caution,
        };
        vec![Check::new(state, "retention", days(kept))]
    }

    /// Source: "Actions, resources, and condition keys for Amazon CloudWatch Logs", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let mut needs = vec![
            Statement::new(
                &[
                    "logs:CreateLogGroup",
                    "logs:DeleteLogGroup",
                    "logs:ListTagsForResource",
                    "logs:PutRetentionPolicy",
                    "logs:TagResource",
                    "logs:UntagResource",
                ],
                [self.arn(), format!("{}:*", self.arn())],
            ),
            Statement::new(&["logs:DescribeLogGroups"], ["*".to_owned()]),
        ];
        // To tell whether Lambda made a group without tags for a function of this pipeline.
        if let Some(function) = self.declared.name.strip_prefix(LAMBDA) {
            let function = self.arn_of("lambda", &format!("function:{function}"));
            needs.push(Statement::new(&["lambda:GetFunction"], [function]));
        }
        needs
    }
}

fn days(days: Option<u32>) -> String {
    match days {
        None => "forever".to_owned(),
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
    }
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
            "use {nearest}; CloudWatch Logs allows {}",
            all.join(", ")
        )),
    )
}

#[cfg(test)]
mod tests;
