//! `bucket_notification`: invokes a function when objects of a bucket change. S3 keeps one configuration for a bucket: ours
//! is the part with our id, and the rest stays. It belongs to the pipeline that its bucket belongs to.

use async_trait::async_trait;
use aws_sdk_s3::types as sdk;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use super::common::{self, Wait, built, refused};
use super::function_permission::{self, Permission};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, UNKNOWN};
use crate::pipeline::tags::{self, Owner, PIPELINE};
use ground::error::Result;
use std::time::Duration;

const EVENTS: &str = "s3:ObjectCreated:*";
/// How long S3 may not know the permission yet.
const LAG: Duration = Duration::from_secs(60);
/// Held from reading the configuration of a bucket until it is replaced.
static CHANGING: Mutex<()> = Mutex::const_new(());

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    bucket: String,
    /// The ARN of the function.
    function: String,
    events: Option<Vec<String>>,
    /// Only keys that begin and end so.
    prefix: Option<String>,
    suffix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    function: String,
    events: Vec<String>,
    prefix: String,
    suffix: String,
    /// Whether the function's policy lets the bucket invoke it.
    permitted: bool,
}

type Notification<'a> = Managed<'a, Declared>;

/// A call on the bucket, with name and owner.
macro_rules! on {
    ($notification:expr, $operation:ident) => {
        $notification
            .context
            .s3()
            .$operation()
            .bucket(&$notification.declared.bucket)
            .expected_bucket_owner(&$notification.location.account)
    };
}

impl Notification<'_> {
    /// The id of our part of the configuration.
    fn id(&self) -> String {
        format!("streamctl-{}", self.spec.id)
    }

    fn wanted(&self) -> Facts {
        let declared = &self.declared;
        let mut events = declared.events.clone().unwrap_or_else(|| vec![EVENTS.to_owned()]);
        events.sort();
        Facts {
            function: declared.function.clone(),
            events,
            prefix: declared.prefix.clone().unwrap_or_default(),
            suffix: declared.suffix.clone().unwrap_or_default(),
            permitted: true,
        }
    }

    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.location.partition, self.declared.bucket)
    }

    fn permission(&self) -> Permission {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let sid = format!("Streamctl-{}-{}", self.declared.bucket, self.spec.id);
        Permission {
            sid: sid.chars().map(word).take(100).collect(),
            action: "InvokeFunction",
            principal: "s3.amazonaws.com",
            source_arn: Some(self.bucket_arn()),
            source_account: Some(self.location.account.clone()),
            of_url: false,
        }
    }

    /// The configuration of the bucket; `None` where there is no such bucket.
    async fn configuration(&self) -> Result<Option<sdk::NotificationConfiguration>> {
        let answer = on!(self, get_bucket_notification_configuration).send().await;
        let answer = self.response_if_exists("read", answer)?;
        Ok(answer.map(|answer| {
            sdk::NotificationConfiguration::builder()
                .set_topic_configurations(answer.topic_configurations)
                .set_queue_configurations(answer.queue_configurations)
                .set_lambda_function_configurations(answer.lambda_function_configurations)
                .set_event_bridge_configuration(answer.event_bridge_configuration)
                .build()
        }))
    }

    fn ours<'c>(
        &self,
        configuration: &'c sdk::NotificationConfiguration,
    ) -> Option<&'c sdk::LambdaFunctionConfiguration> {
        let mut all = configuration.lambda_function_configurations().iter();
        all.find(|one| one.id() == Some(self.id().as_str()))
    }

    fn described(&self) -> Result<sdk::LambdaFunctionConfiguration> {
        let wanted = self.wanted();
        let rule = |name: sdk::FilterRuleName, value: &str| {
            let rule = sdk::FilterRule::builder().name(name).value(value).build();
            (!value.is_empty()).then_some(rule)
        };
        let rules = [
            rule(sdk::FilterRuleName::Prefix, &wanted.prefix),
            rule(sdk::FilterRuleName::Suffix, &wanted.suffix),
        ];
        let rules: Vec<sdk::FilterRule> = rules.into_iter().flatten().collect();
        let key = sdk::S3KeyFilter::builder()
            .set_filter_rules(Some(rules.clone()))
            .build();
        let filter = sdk::NotificationConfigurationFilter::builder().key(key).build();
        let events = wanted.events.iter().map(|event| sdk::Event::from(event.as_str()));
        built(
            sdk::LambdaFunctionConfiguration::builder()
                .id(self.id())
                .lambda_function_arn(&wanted.function)
                .set_events(Some(events.collect()))
                .set_filter((!rules.is_empty()).then_some(filter))
                .build(),
        )
    }

    /// Replaces our part of the configuration, or removes it.
    async fn put(&self, ours: Option<sdk::LambdaFunctionConfiguration>, step: &Step<'_>) -> Result<()> {
        let _one = CHANGING.lock().await;
        let mut wait = Wait::new(LAG);
        loop {
            let Some(mut configuration) = self.configuration().await? else {
                return Ok(());
            };
            let mut functions = configuration
                .lambda_function_configurations
                .take()
                .unwrap_or_default();
            functions.retain(|one| one.id() != Some(self.id().as_str()));
            functions.extend(ours.clone());
            configuration.lambda_function_configurations = Some(functions).filter(|all| !all.is_empty());
            let call = on!(self, put_bucket_notification_configuration);
            match call.notification_configuration(configuration).send().await {
                // S3 asks Lambda, which may not know the permission yet.
                Err(error)
                    if refused(&error, &["InvalidArgument"])
                        && wait.pause(step, "S3 does not see the permission yet").await? => {}
                answer => return self.response("change", answer).map(drop),
            }
        }
    }

    async fn set(&self, step: &Step<'_>) -> Result<()> {
        let permission = self.permission();
        function_permission::grant(self.context, &self.declared.function, &[permission], step).await?;
        self.put(Some(self.described()?), step).await
    }

    /// The tags that it would have: ours, with the owner of its bucket where that is another pipeline.
    async fn tags(&self) -> Result<TagMap> {
        let answer = on!(self, get_bucket_tagging).send().await;
        let answer = self.response_unless("read the owner of", &["NoSuchTagSet", "NoSuchBucket"], answer)?;
        let bucket = answer.map(|answer| answer.tag_set).unwrap_or_default();
        let bucket: TagMap = bucket.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let mut tags = self.spec.tags.all();
        if let Owner::Pipeline(owner) = tags::owner(&bucket, &self.spec.identity) {
            tags.insert(PIPELINE.to_owned(), owner);
        }
        Ok(tags)
    }
}

#[async_trait]
impl Kind for Notification<'_> {
    const NOUN: &'static str = "bucket notification";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let events = self.declared.events.as_deref().unwrap_or_default();
        match events.iter().find(|event| !event.starts_with("s3:")) {
            Some(event) => Err(self.bad_property(&format!(
                "{event:?} is not an event of S3, such as \"s3:ObjectCreated:*\""
            ))),
            None => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.declared.bucket.clone()
    }

    fn label(&self) -> String {
        format!("the notification of bucket {}", self.declared.bucket)
    }

    fn summary(&self) -> String {
        self.wanted().words()
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        if !common::is_known(&self.declared.bucket) {
            return Ok(None);
        }
        let Some(configuration) = self.configuration().await? else {
            return Ok(None);
        };
        let Some(there) = self.ours(&configuration) else {
            return Ok(None);
        };
        let rules = there
            .filter()
            .and_then(|filter| filter.key())
            .map(|key| key.filter_rules());
        let rules = rules.unwrap_or_default();
        let value = |wanted: &str| {
            let name = |rule: &&sdk::FilterRule| {
                rule.name()
                    .is_some_and(|name| name.as_str().eq_ignore_ascii_case(wanted))
            };
            let found = rules.iter().find(name).and_then(|rule| rule.value());
            found.unwrap_or_default().to_owned()
        };
        let mut events: Vec<String> = there
            .events()
            .iter()
            .map(|event| event.as_str().to_owned())
            .collect();
        events.sort();
        let function = there.lambda_function_arn().to_owned();
        let policy: Value = function_permission::policy(self.context, &function).await?;
        let facts = Facts {
            function,
            events,
            prefix: value("prefix"),
            suffix: value("suffix"),
            permitted: self.permission().is_in(&policy),
        };
        Ok(Some((self.tags().await?, facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let (facts, mut wanted) = (&existing.facts, self.wanted());
        if wanted.function == UNKNOWN {
            wanted.function.clone_from(&facts.function);
        }
        let mut changes = Vec::new();
        if !facts.permitted {
            changes.push(Change::update("permission", "none", "may invoke the function"));
        }
        wanted.permitted = facts.permitted;
        if wanted != *facts {
            changes.push(Change::update("rule", facts.words(), wanted.words()));
        }
        Ok(changes)
    }

    fn is_tagged(&self, _existing: &Existing<'_, Facts>) -> bool {
        false
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        step.touched();
        self.set(step).await
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        match field {
            "permission" | "rule" => self.set(step).await,
            other => Err(self.unknown_field(other)),
        }
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        self.put(None, step).await?;
        let sid = self.permission().sid;
        function_permission::revoke(self.context, &existing.facts.function, &sid).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        vec![match facts.permitted {
            true => Check::new(CheckState::Good, "described", facts.words()),
            false => Check::new(
                CheckState::Fault,
                "described",
                "the function's policy does not let the bucket invoke it",
            ),
        }]
    }

    fn outputs(&self, _facts: Option<Facts>) -> Outputs {
        common::outputs([("id", self.id())])
    }

    /// Source: "Actions, resources, and condition keys for Amazon S3", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let function = match self.declared.function.as_str() {
            UNKNOWN => "*",
            arn => arn,
        };
        let bucket = Statement::new(
            &[
                "s3:GetBucketNotification",
                "s3:GetBucketTagging",
                "s3:PutBucketNotification",
            ],
            [self.bucket_arn()],
        );
        vec![bucket, function_permission::iam(function)]
    }
}

impl Facts {
    fn words(&self) -> String {
        let function = self.function.rsplit(':').next().unwrap_or_default();
        let function = if self.function == UNKNOWN {
            "the function"
        } else {
            function
        };
        let keys = match (self.prefix.as_str(), self.suffix.as_str()) {
            ("", "") => String::new(),
            (prefix, suffix) => format!(" of {prefix}*{suffix}"),
        };
        format!("{}{keys} to {function}", self.events.join(" "))
    }
}

#[cfg(test)]
mod tests;
