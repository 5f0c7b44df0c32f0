//! `alarm`: a CloudWatch alarm on one metric.

mod checks;
mod settings;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::AlarmType;
use serde::{Deserialize, Serialize};

use super::cloudwatch_tags::sdk_tags;
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, Outputs};
use ground::error::{Error, Result};

pub(super) use settings::Settings as Declared;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    /// OK, ALARM or INSUFFICIENT_DATA.
    state: String,
    actions_enabled: bool,
    /// `None` for an alarm of another type, such as one on an expression or on other alarms.
    settings: Option<Declared>,
}

type Alarm<'a> = Managed<'a, Declared>;

impl Alarm<'_> {
    async fn put(&self, settings: &Declared, tags: Option<TagMap>) -> Result<()> {
        let call = settings.put(self.context.cloudwatch().put_metric_alarm());
        let call = call
            .alarm_name(&self.declared.name)
            .actions_enabled(true)
            .set_tags(tags.map(|tags| sdk_tags(&tags)));
        self.response("set", call.send().await).map(drop)
    }
}

#[async_trait]
impl Kind for Alarm<'_> {
    const NOUN: &'static str = "alarm";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        match self.declared.problem() {
            Some(problem) => return Err(self.bad_property(&problem)),
            None => self.declared.complete(),
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("cloudwatch", &format!("alarm:{}", self.declared.name))
    }

    fn summary(&self) -> String {
        self.declared.in_words()
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let call = self.context.cloudwatch().describe_alarms();
        // Both types share their names: PutMetricAlarm would replace a composite alarm of this name.
        let call = call
            .alarm_names(&self.declared.name)
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm);
        let answer = self.response("describe", call.send().await)?;
        let is_named = |name: Option<&str>| name == Some(&self.declared.name);
        let arn = |arn: Option<&str>| arn.map_or_else(|| self.arn(), str::to_owned);
        let metric = answer.metric_alarms().iter();
        let metric = metric
            .filter(|alarm| is_named(alarm.alarm_name()))
            .map(|alarm| Facts {
                arn: arn(alarm.alarm_arn()),
                state: alarm
                    .state_value()
                    .map_or_else(String::new, |state| state.as_str().to_owned()),
                actions_enabled: alarm.actions_enabled().unwrap_or(true),
                settings: Declared::of(alarm),
            });
        let composite = answer.composite_alarms().iter();
        let composite = composite
            .filter(|alarm| is_named(alarm.alarm_name()))
            .map(|alarm| Facts {
                arn: arn(alarm.alarm_arn()),
                state: String::new(),
                actions_enabled: alarm.actions_enabled().unwrap_or(true),
                settings: None,
            });
        let Some(facts) = metric.chain(composite).next() else {
            return Ok(None);
        };
        let tags = self.cloudwatch_tags(&facts.arn).await?;
        Ok(Some((tags.unwrap_or_default(), facts)))
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        facts.settings.is_none().then(|| Change::Refused {
            reason: "already exists as an alarm of another kind".to_owned(),
            hint: "delete it, or choose another name".to_owned(),
        })
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let there = existing.facts.settings.as_ref();
        let mut changes = there.map_or_else(Vec::new, |there| {
            let wanted = self
                .declared
                .enforced_over(there, |key| self.enforced(key, existing));
            wanted.changes_from(there)
        });
        if !existing.facts.actions_enabled {
            changes.push(Change::update("actions", "disabled", "enabled"));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        step.touched();
        self.put(&self.declared, Some(self.spec.tags.all())).await?;
        self.complete_cloudwatch_tags(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        let there = existing.facts.settings.as_ref();
        let there = there.ok_or_else(|| Error::failed(self.failure("change")))?;
        step.doing(format!("setting {field}"));
        let wanted = self
            .declared
            .enforced_over(there, |key| self.enforced(key, existing));
        self.put(&wanted, None).await
    }

    fn tag_target(&self, facts: &Facts) -> String {
        facts.arn.clone()
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        self.cloudwatch_tag(target, &tags).await
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        self.cloudwatch_untag(target, keys).await
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.cloudwatch().delete_alarms();
        self.response_if_exists("delete", call.alarm_names(&self.declared.name).send().await)
            .map(drop)
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        self.checks(&existing.facts).await
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for Amazon CloudWatch", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        vec![
            Statement::new(
                &[
                    "cloudwatch:DeleteAlarms",
                    "cloudwatch:DescribeAlarms",
                    "cloudwatch:ListTagsForResource",
                    "cloudwatch:PutMetricAlarm",
                    "cloudwatch:TagResource",
                    "cloudwatch:UntagResource",
                ],
                [self.arn()],
            ),
            Statement::new(
                &["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"],
                ["*".to_owned()],
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
