//! `alarm`: a CloudWatch alarm on one metric.

mod checks;
mod settings;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::settings::Settings;
use super::cloudwatch_tags;
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, Location, Observed, Outputs, Present, Resource, Spec, Surroundings,
};
use ground::error::{self, Error, Result};

/// What a manifest can say about an alarm.
pub(super) const PROPERTIES: &[&str] = &[
    "name",
    "description",
    "namespace",
    "metric",
    "dimensions",
    "statistic",
    "period_seconds",
    "evaluation_periods",
    "datapoints_to_alarm",
    "threshold",
    "comparison",
    "missing_data",
    "actions",
    "ok_actions",
];

/// What is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    /// OK, ALARM or INSUFFICIENT_DATA.
    state: String,
    actions_enabled: bool,
    /// `None`: it is of another kind, such as one on an expression or on other alarms.
    settings: Option<Settings>,
}

pub(super) struct Alarm<'a> {
    context: &'a Context,
    spec: Spec,
    name: String,
    wanted: Settings,
    arn: String,
}

impl<'a> Alarm<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let (name, wanted) = Settings::read(&spec)?;
        let Location {
            account,
            region,
            partition,
        } = location;
        Ok(Self {
            context,
            arn: format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"),
            name,
            wanted,
            spec,
        })
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} alarm {}", self.name)
    }

    async fn put(&self, settings: &Settings, tags: Option<BTreeMap<String, String>>) -> Result<()> {
        let call = self.context.cloudwatch().put_metric_alarm();
        let call = settings
            .fill(call.alarm_name(&self.name))
            .actions_enabled(true)
            .set_tags(tags.map(|tags| cloudwatch_tags::sdk_tags(&tags)));
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("set"), error))
    }
}

#[async_trait]
impl Resource for Alarm<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn summary(&self) -> String {
        self.wanted.in_words()
    }

    async fn observe(&self) -> Result<Observed> {
        let call = self.context.cloudwatch().describe_alarms();
        let call = call.alarm_names(&self.name);
        // Names are shared by both kinds: PutMetricAlarm would replace a composite alarm of this name.
        let call = call
            .alarm_types(aws_sdk_cloudwatch::types::AlarmType::MetricAlarm)
            .alarm_types(aws_sdk_cloudwatch::types::AlarmType::CompositeAlarm);
        let answer = call
            .send()
            .await
            .map_err(|error| error::aws::failed(self.what("describe"), error))?;
        let named = |name: Option<&str>| name == Some(&self.name);
        let mut metric = answer.metric_alarms.unwrap_or_default().into_iter();
        let metric = metric.find(|alarm| named(alarm.alarm_name()));
        let mut composite = answer.composite_alarms.unwrap_or_default().into_iter();
        let composite = composite.find(|alarm| named(alarm.alarm_name()));
        let facts = match (metric, composite) {
            (None, None) => return Ok(Observed::Absent),
            (Some(alarm), _) => Facts {
                arn: alarm.alarm_arn().unwrap_or(&self.arn).to_owned(),
                state: alarm
                    .state_value()
                    .map_or_else(String::new, |state| state.as_str().to_owned()),
                actions_enabled: alarm.actions_enabled().unwrap_or(true),
                settings: Settings::of(&alarm),
            },
            (None, Some(alarm)) => Facts {
                arn: alarm.alarm_arn().unwrap_or(&self.arn).to_owned(),
                state: String::new(),
                actions_enabled: alarm.actions_enabled().unwrap_or(true),
                settings: None,
            },
        };
        let what = format!("alarm {}", self.name);
        let tags = cloudwatch_tags::list(self.context, &facts.arn, &what).await?;
        Ok(Observed::Present(Present {
            tags: tags.unwrap_or_default(),
            facts: serde_json::to_value(facts)
                .map_err(|error| Error::failed("could not note what is there").cause(error))?,
        }))
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let Some(there) = facts.settings else {
            return Ok(vec![Change::Refused {
                reason: "is there as an alarm of another kind".to_owned(),
                hint: "delete it, or choose another name".to_owned(),
            }]);
        };
        let wanted = self.wanted.enforced_over(&there, &self.spec, present);
        let mut changes = wanted.changes_from(&there);
        if !facts.actions_enabled {
            changes.push(Change::update("actions", "disabled", "enabled"));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let field = match change {
            Change::Create => {
                step.doing("creating");
                step.touched();
                self.put(&self.wanted, Some(self.spec.tags.all())).await?;
                return cloudwatch_tags::complete(self.context, &self.arn, &self.spec, &self.name, step)
                    .await;
            }
            Change::Update { field, .. } => field.as_str(),
            refusal => return Err(Error::failed(refusal.to_string())),
        };
        let present = observed
            .present()
            .ok_or_else(|| Error::failed(self.what("change")))?;
        let facts: Facts = present.read()?;
        step.touched();
        if field == "tags" {
            return cloudwatch_tags::set(self.context, &facts.arn, &self.spec, &present.tags, step).await;
        }
        let there = facts.settings.ok_or_else(|| Error::failed(self.what("change")))?;
        step.doing(format!("setting {field}"));
        let wanted = self.wanted.enforced_over(&there, &self.spec, present);
        self.put(&wanted, None).await
    }

    async fn delete(&self, _observed: &Observed, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.cloudwatch().delete_alarms();
        match call.alarm_names(&self.name).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = error::aws::failed(self.what("delete"), error);
                let gone = error.is("ResourceNotFound") || error.is("ResourceNotFoundException");
                if gone { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        self.checks(observed).await
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let facts = observed
            .present()
            .and_then(|present| present.read::<Facts>().ok());
        let arn = facts.map_or_else(|| self.arn.clone(), |facts| facts.arn);
        Outputs::from([("name".to_owned(), self.name.clone()), ("arn".to_owned(), arn)])
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
                [self.arn.clone()],
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
