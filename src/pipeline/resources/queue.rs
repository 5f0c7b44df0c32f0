//! `queue`: a standard SQS queue that the topics named may send to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, Patience, costly, found, refused};
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Resource, Spec, Surroundings,
};
use crate::stream::change::same_key;
use ground::error::{self, Error, Result};

/// What a manifest can say about a queue.
pub(super) const PROPERTIES: &[&str] = &[
    "name",
    "retention_seconds",
    "visibility_seconds",
    "encryption",
    "kms_key",
    "topics",
];

/// The statement of the queue's policy that is streamctl's.
const SID: &str = "StreamctlTopics";
/// The key that AWS manages for SQS in an account.
const AWS_MANAGED_KEY: &str = "alias/aws/sqs";
const NOT_FOUND: &[&str] = &["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"];
/// A queue's name is taken for 60 seconds after its deletion, which itself takes up to 60 seconds.
/// Source: DeleteQueue, SQS API reference.
const DELETED_RECENTLY: &[&str] = &[
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "QueueDeletedRecently",
];
const DELETION: Duration = Duration::from_secs(90);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    retention_seconds: Option<u32>,
    visibility_seconds: Option<u32>,
    encryption: Option<bool>,
    kms_key: Option<String>,
    #[serde(default)]
    topics: BTreeSet<String>,
}

/// How messages are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Sse {
    Off,
    /// With keys that SQS manages.
    Sqs,
    Kms(String),
}

impl std::fmt::Display for Sse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("none"),
            Self::Sqs => f.write_str("SSE-SQS"),
            Self::Kms(key) => write!(f, "KMS key {key}"),
        }
    }
}

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    url: String,
    arn: String,
    retention_seconds: u32,
    visibility_seconds: u32,
    encryption: Sse,
    policy: Value,
    /// About how many there are, hidden and delayed ones too.
    messages: u64,
}

pub(super) struct Queue<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    arn: String,
}

impl<'a> Queue<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        declared.check()?;
        Ok(Self {
            context,
            arn: common::arn(location, "sqs", &declared.name),
            declared,
            spec,
        })
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} queue {}", self.declared.name)
    }

    fn sse(&self) -> Option<Sse> {
        match (&self.declared.kms_key, self.declared.encryption) {
            (_, Some(false)) => Some(Sse::Off),
            (Some(key), _) => Some(Sse::Kms(key.clone())),
            (None, Some(true)) => Some(Sse::Sqs),
            (None, None) => None,
        }
    }

    /// Lets the topics send, and nobody in their location.
    fn statement(&self) -> Option<Value> {
        (!self.declared.topics.is_empty()).then(|| {
            json!({
                "Sid": SID,
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": self.arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": self.declared.topics}},
            })
        })
    }

    fn policy_text(&self, there: &Value) -> String {
        match common::with_statement(there, SID, self.statement().as_ref()) {
            Value::Null => String::new(),
            policy => policy.to_string(),
        }
    }

    async fn url(&self) -> Result<Option<String>> {
        let call = self.context.sqs().get_queue_url();
        let answer = call.queue_name(&self.declared.name).send().await;
        let answer =
            found(answer, NOT_FOUND).map_err(|error| error::aws::failed(self.what("find"), error))?;
        Ok(answer.and_then(|answer| answer.queue_url))
    }

    async fn attributes(&self, url: &str) -> Result<Option<HashMap<Name, String>>> {
        let call = self.context.sqs().get_queue_attributes();
        let answer = call.queue_url(url).attribute_names(Name::All).send().await;
        let answer =
            found(answer, NOT_FOUND).map_err(|error| error::aws::failed(self.what("read"), error))?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    async fn tags(&self, url: &str) -> Result<Option<BTreeMap<String, String>>> {
        let call = self.context.sqs().list_queue_tags().queue_url(url);
        let answer = found(call.send().await, NOT_FOUND)
            .map_err(|error| error::aws::failed(self.what("list the tags of"), error))?;
        Ok(answer.map(|answer| answer.tags.unwrap_or_default().into_iter().collect()))
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let mut attributes = HashMap::new();
        let mut set = |name: Name, value: Option<String>| {
            attributes.extend(value.map(|value| (name, value)));
        };
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| seconds.to_string());
        set(
            Name::MessageRetentionPeriod,
            seconds(self.declared.retention_seconds),
        );
        set(Name::VisibilityTimeout, seconds(self.declared.visibility_seconds));
        set(
            Name::Policy,
            Some(self.policy_text(&Value::Null)).filter(|text| !text.is_empty()),
        );
        for (name, value) in self.sse().iter().flat_map(sse_attributes) {
            set(name, Some(value).filter(|value| !value.is_empty()));
        }
        let mut patience = Patience::new(DELETION);
        let url = loop {
            let call = self.context.sqs().create_queue();
            let call = call
                .queue_name(&self.declared.name)
                .set_attributes(Some(attributes.clone()))
                .set_tags(Some(self.spec.tags.all().into_iter().collect()));
            let error = match call.send().await {
                Ok(answer) => break answer.queue_url,
                Err(error) => error,
            };
            let again = refused(&error, DELETED_RECENTLY)
                && patience
                    .pause(step, "SQS keeps the name of a deleted queue for 60 seconds")
                    .await?;
            if !again {
                return Err(error::aws::failed(self.what("create"), error));
            }
        };
        step.touched();
        let Some(url) = url else { return Ok(()) };
        // Some AWS-compatible endpoints pass over the tags of CreateQueue.
        let there = self.tags(&url).await?.unwrap_or_default();
        let (set, remove) = self.spec.tags.difference(&there);
        self.set_tags(&url, &set, remove, step).await
    }

    async fn set(&self, url: &str, attributes: impl IntoIterator<Item = (Name, String)>) -> Result<()> {
        let call = self.context.sqs().set_queue_attributes().queue_url(url);
        let call = call.set_attributes(Some(attributes.into_iter().collect()));
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("change"), error))
    }

    async fn set_tags(
        &self,
        url: &str,
        set: &BTreeMap<String, String>,
        remove: BTreeSet<String>,
        step: &Step<'_>,
    ) -> Result<()> {
        step.go_on()?;
        if !set.is_empty() {
            step.doing("setting tags");
            let call = self.context.sqs().tag_queue().queue_url(url);
            let call = call.set_tags(Some(set.clone().into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            let call = self.context.sqs().untag_queue().queue_url(url);
            let call = call.set_tag_keys(Some(remove.into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }

    fn policy_change(&self, facts: &Facts) -> Option<Change> {
        let words = |topics: bool| {
            if topics {
                "the topics may send"
            } else {
                "no topic may send"
            }
        };
        let change = match self.statement() {
            Some(statement) if common::has_statement(&facts.policy, &statement) => return None,
            Some(_) => Change::update("policy", "another", words(true)),
            None if common::has_sid(&facts.policy, SID) => {
                Change::update("policy", words(true), words(false))
            }
            None => return None,
        };
        Some(change)
    }

    fn retention_change(&self, facts: &Facts) -> Option<Change> {
        let (wanted, there) = (self.declared.retention_seconds?, facts.retention_seconds);
        let loses = (wanted < there && facts.messages > 0)
            .then(|| format!("messages older than {} are deleted", time(wanted)));
        (wanted != there).then(|| costly("retention", time(there), time(wanted), loses))
    }

    fn encryption_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.sse()?;
        let same = match (&wanted, &facts.encryption) {
            (Sse::Kms(wanted), Sse::Kms(there)) => same_key(wanted, there) || !common::is_known(wanted),
            (wanted, there) => wanted == there,
        };
        (!same).then(|| Change::update("encryption", &facts.encryption, wanted))
    }
}

impl Declared {
    fn check(&self) -> Result<()> {
        // Source: CreateQueue, SQS API reference. A FIFO queue takes neither topics nor failures of a mapping.
        common::check_name("queue", &self.name, (1, 80), "_-")?;
        let range = |name: &str, value: Option<u32>, least: u32, most: u32| match value {
            Some(value) if !(least..=most).contains(&value) => Err(Error::usage(format!(
                "queue {}: {name} is {value}; it is {least} to {most}",
                self.name
            ))),
            _ => Ok(()),
        };
        range("retention_seconds", self.retention_seconds, 60, 14 * 86_400)?;
        range("visibility_seconds", self.visibility_seconds, 0, 12 * 3_600)?;
        let managed = self
            .kms_key
            .as_deref()
            .is_some_and(|key| same_key(key, AWS_MANAGED_KEY));
        if managed && !self.topics.is_empty() {
            // Source: "Configuring AWS KMS permissions for Amazon SNS", SQS developer guide.
            return Err(Error::usage(format!(
                "queue {}: topics cannot send to a queue that is encrypted with {AWS_MANAGED_KEY}",
                self.name
            ))
            .hint("use `encryption = true`, or a key of your own that SNS may use"));
        }
        Ok(())
    }
}

#[async_trait]
impl Resource for Queue<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        let mut words = Vec::new();
        words.extend(
            self.declared
                .retention_seconds
                .map(|seconds| format!("keeps messages {}", time(seconds))),
        );
        words.extend(self.sse().map(|sse| format!("encryption {sse}")));
        match self.declared.topics.len() {
            0 => {}
            1 => words.push("1 topic may send".to_owned()),
            n => words.push(format!("{n} topics may send")),
        }
        words.join(", ")
    }

    async fn observe(&self) -> Result<Observed> {
        let Some(url) = self.url().await? else {
            return Ok(Observed::Absent);
        };
        // Deleted in between.
        let looked = tokio::try_join!(self.attributes(&url), self.tags(&url))?;
        let (Some(attributes), Some(tags)) = looked else {
            return Ok(Observed::Absent);
        };
        let text = |name: Name| attributes.get(&name).filter(|text| !text.is_empty());
        let count = |name: Name| text(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let seconds = |name: Name| u32::try_from(count(name)).unwrap_or(u32::MAX);
        let managed = text(Name::SqsManagedSseEnabled).is_some_and(|on| on.eq_ignore_ascii_case("true"));
        let facts = Facts {
            arn: text(Name::QueueArn).unwrap_or(&self.arn).clone(),
            retention_seconds: seconds(Name::MessageRetentionPeriod),
            visibility_seconds: seconds(Name::VisibilityTimeout),
            encryption: match text(Name::KmsMasterKeyId) {
                Some(key) => Sse::Kms(key.clone()),
                None if managed => Sse::Sqs,
                None => Sse::Off,
            },
            policy: common::policy(text(Name::Policy).map(String::as_str)),
            messages: count(Name::ApproximateNumberOfMessages)
                + count(Name::ApproximateNumberOfMessagesNotVisible)
                + count(Name::ApproximateNumberOfMessagesDelayed),
            url,
        };
        common::observed(tags, &facts)
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        let mut changes = Vec::new();
        if enforced("retention_seconds") {
            changes.extend(self.retention_change(&facts));
        }
        let visibility = self.declared.visibility_seconds;
        if let Some(wanted) = visibility.filter(|_| enforced("visibility_seconds"))
            && wanted != facts.visibility_seconds
        {
            let there = time(facts.visibility_seconds);
            changes.push(Change::update("visibility timeout", there, time(wanted)));
        }
        if enforced("encryption") || enforced("kms_key") {
            changes.extend(self.encryption_change(&facts));
        }
        if enforced("topics") {
            changes.extend(self.policy_change(&facts));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        let present = common::there(observed, "queue")?;
        let facts: Facts = present.read()?;
        let url = &facts.url;
        step.touched();
        let seconds = |seconds: Option<u32>| seconds.unwrap_or_default().to_string();
        match field {
            "retention" => {
                let value = seconds(self.declared.retention_seconds);
                self.set(url, [(Name::MessageRetentionPeriod, value)]).await
            }
            "visibility timeout" => {
                let value = seconds(self.declared.visibility_seconds);
                self.set(url, [(Name::VisibilityTimeout, value)]).await
            }
            "encryption" => {
                let attributes = self.sse().iter().flat_map(sse_attributes).collect::<Vec<_>>();
                self.set(url, attributes).await
            }
            "policy" => {
                // As it is now: other hands may have written to it since.
                let there = self.attributes(url).await?.unwrap_or_default();
                let policy = common::policy(there.get(&Name::Policy).map(String::as_str));
                self.set(url, [(Name::Policy, self.policy_text(&policy))]).await
            }
            "tags" => {
                let (set, remove) = self.spec.tags.difference(&present.tags);
                self.set_tags(url, &set, remove, step).await
            }
            other => Err(Error::failed(format!("a queue has no {other} to change"))),
        }
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(facts) = common::facts::<Facts>(observed) else {
            return Ok(());
        };
        step.doing("deleting");
        let call = self.context.sqs().delete_queue().queue_url(&facts.url);
        found(call.send().await, NOT_FOUND)
            .map_err(|error| error::aws::failed(self.what("delete"), error))?;
        let mut patience = Patience::new(DELETION);
        while self.url().await?.is_some() {
            if !patience
                .pause(step, "SQS takes up to 60 seconds to delete a queue")
                .await?
            {
                break;
            }
        }
        Ok(())
    }

    async fn dependents(&self, observed: &Observed) -> Result<Vec<String>> {
        let messages = common::facts::<Facts>(observed).map_or(0, |facts| facts.messages);
        let name = &self.declared.name;
        Ok((messages > 0)
            .then(|| format!("queue {name} holds {}, deleted with it", about(messages)))
            .into_iter()
            .collect())
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        let Some(facts) = common::facts::<Facts>(observed) else {
            return Vec::new();
        };
        let state = match facts.encryption {
            Sse::Off => CheckState::Caution,
            _ => CheckState::Good,
        };
        let detail = format!(
            "encryption {}, keeps messages {}, {} in it",
            facts.encryption,
            time(facts.retention_seconds),
            about(facts.messages)
        );
        vec![Check::new(state, "described", detail)]
    }

    /// The URL is only known once the queue is there: each endpoint has its own form of it.
    fn outputs(&self, observed: &Observed) -> Outputs {
        let name = self.declared.name.clone();
        match common::facts::<Facts>(observed) {
            Some(facts) => common::outputs([("name", name), ("arn", facts.arn), ("url", facts.url)]),
            None => common::outputs([("name", name), ("arn", self.arn.clone())]),
        }
    }

    /// Source: "Actions, resources, and condition keys for Amazon SQS", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        vec![Statement::new(
            &[
                "sqs:CreateQueue",
                "sqs:DeleteQueue",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ListQueueTags",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
                "sqs:UntagQueue",
            ],
            [self.arn.clone()],
        )]
    }
}

/// The attributes that make the encryption what it is to be. The other way of encrypting is turned off.
fn sse_attributes(sse: &Sse) -> Vec<(Name, String)> {
    let (key, managed) = match sse {
        Sse::Off => ("", "false"),
        Sse::Sqs => ("", "true"),
        Sse::Kms(key) => (key.as_str(), "false"),
    };
    vec![
        (Name::KmsMasterKeyId, key.to_owned()),
        (Name::SqsManagedSseEnabled, managed.to_owned()),
    ]
}

/// Seconds as people say them.
fn time(seconds: u32) -> String {
    match seconds {
        86_400 => "1 day".to_owned(),
        seconds if seconds > 0 && seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        seconds if seconds > 0 && seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds => format!("{seconds} s"),
    }
}

fn about(messages: u64) -> String {
    match messages {
        0 => "no message".to_owned(),
        1 => "about 1 message".to_owned(),
        n => format!("about {n} messages"),
    }
}

#[cfg(test)]
mod tests;
