//! `queue`: a standard SQS queue that the declared topics may send to.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, Wait, lossy_update};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use crate::stream::change::same_key;
use ground::error::{Error, Result};

/// The statement of the queue's policy that is streamctl's.
const SID: &str = "StreamctlTopics";
/// The key that AWS manages for SQS in an account.
const AWS_MANAGED_KEY: &str = "alias/aws/sqs";
/// SQS keeps the name of a queue for 60 seconds after its deletion, which itself takes up to 60 seconds.
/// Source: DeleteQueue, SQS API reference.
const DELETION: Duration = Duration::from_secs(90);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    url: String,
    arn: String,
    retention_seconds: u32,
    visibility_seconds: u32,
    encryption: Sse,
    policy: Value,
    /// Approximate number of messages, with those in flight and delayed ones.
    messages: u64,
}

type Queue<'a> = Managed<'a, Declared>;

impl Queue<'_> {
    fn sse(&self) -> Option<Sse> {
        match (&self.declared.kms_key, self.declared.encryption) {
            (_, Some(false)) => Some(Sse::Off),
            (Some(key), _) => Some(Sse::Kms(key.clone())),
            (None, Some(true)) => Some(Sse::Sqs),
            (None, None) => None,
        }
    }

    /// Allows these topics to send; the condition prevents a confused deputy.
    fn statement(&self) -> Option<Value> {
        (!self.declared.topics.is_empty()).then(|| {
            json!({
                "Sid": SID,
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": self.arn(),
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
        let answer = self.response_if_exists("find", call.queue_name(&self.declared.name).send().await)?;
        Ok(answer.and_then(|answer| answer.queue_url))
    }

    async fn attributes(&self, url: &str) -> Result<Option<HashMap<Name, String>>> {
        let call = self.context.sqs().get_queue_attributes().queue_url(url);
        let answer = self.response_if_exists("read", call.attribute_names(Name::All).send().await)?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    async fn tags(&self, url: &str) -> Result<Option<TagMap>> {
        let call = self.context.sqs().list_queue_tags().queue_url(url);
        let answer = self.response_if_exists("list the tags of", call.send().await)?;
        Ok(answer.map(|answer| answer.tags.unwrap_or_default().into_iter().collect()))
    }

    /// The attributes of a new queue.
    fn new_attributes(&self) -> HashMap<Name, String> {
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| seconds.to_string());
        let mut attributes = vec![
            (
                Name::MessageRetentionPeriod,
                seconds(self.declared.retention_seconds),
            ),
            (Name::VisibilityTimeout, seconds(self.declared.visibility_seconds)),
            (Name::Policy, Some(self.policy_text(&Value::Null))),
        ];
        let sse = self.sse();
        let sse = sse.iter().flat_map(sse_attributes);
        attributes.extend(sse.map(|(name, value)| (name, Some(value))));
        attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
            .collect()
    }

    async fn set(&self, url: &str, attributes: impl IntoIterator<Item = (Name, String)>) -> Result<()> {
        let call = self.context.sqs().set_queue_attributes().queue_url(url);
        let call = call.set_attributes(Some(attributes.into_iter().collect()));
        self.response("change", call.send().await).map(drop)
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
        (wanted != there).then(|| lossy_update("retention", time(there), time(wanted), loses))
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
        // Source: CreateQueue, SQS API reference. Neither topics nor mappings can send to a FIFO queue.
        common::check_name("queue", &self.name, (1, 80), "_-")?;
        let range = |name: &str, value: Option<u32>, least: u32, most: u32| match value {
            Some(value) if !(least..=most).contains(&value) => Err(Error::usage(format!(
                "queue {}: {name} is {value}; it must be from {least} to {most}",
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
impl Kind for Queue<'_> {
    const NOUN: &'static str = "queue";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        self.declared.check()
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("sqs", &self.declared.name)
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

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(url) = self.url().await? else {
            return Ok(None);
        };
        // The queue may be deleted between these calls.
        let (Some(attributes), Some(tags)) = tokio::try_join!(self.attributes(&url), self.tags(&url))? else {
            return Ok(None);
        };
        let text = |name: Name| attributes.get(&name).filter(|text| !text.is_empty());
        let count = |name: Name| text(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let seconds = |name: Name| u32::try_from(count(name)).unwrap_or(u32::MAX);
        let managed = text(Name::SqsManagedSseEnabled).is_some_and(|on| on.eq_ignore_ascii_case("true"));
        let key = text(Name::KmsMasterKeyId).cloned();
        let key = self.key_name(self.declared.kms_key.as_deref(), key).await?;
        let facts = Facts {
            arn: text(Name::QueueArn).cloned().unwrap_or_else(|| self.arn()),
            retention_seconds: seconds(Name::MessageRetentionPeriod),
            visibility_seconds: seconds(Name::VisibilityTimeout),
            encryption: match key {
                Some(key) => Sse::Kms(key),
                None if managed => Sse::Sqs,
                None => Sse::Off,
            },
            policy: common::policy(text(Name::Policy).map(String::as_str)),
            messages: count(Name::ApproximateNumberOfMessages)
                + count(Name::ApproximateNumberOfMessagesNotVisible)
                + count(Name::ApproximateNumberOfMessagesDelayed),
            url,
        };
        Ok(Some((tags, facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let enforced = |key: &str| self.enforced(key, existing);
        let mut changes = Vec::new();
        if enforced("retention_seconds") {
            changes.extend(self.retention_change(facts));
        }
        let visibility = self.declared.visibility_seconds;
        if let Some(wanted) = visibility.filter(|_| enforced("visibility_seconds"))
            && wanted != facts.visibility_seconds
        {
            let there = time(facts.visibility_seconds);
            changes.push(Change::update("visibility timeout", there, time(wanted)));
        }
        if enforced("encryption") || enforced("kms_key") {
            changes.extend(self.encryption_change(facts));
        }
        if enforced("topics") {
            changes.extend(self.policy_change(facts));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let attributes = self.new_attributes();
        let waiting = "SQS keeps the name of a deleted queue for 60 seconds";
        let created = common::retry(DELETION, step, waiting, || {
            let call = self.context.sqs().create_queue();
            call.queue_name(&self.declared.name)
                .set_attributes(Some(attributes.clone()))
                .set_tags(Some(self.spec.tags.all().into_iter().collect()))
                .send()
        });
        let answer = self.response("create", created.await?)?;
        step.touched();
        let Some(url) = answer.queue_url else {
            return Ok(());
        };
        // Some AWS-compatible endpoints ignore the tags of CreateQueue.
        let there = self.tags(&url).await?.unwrap_or_default();
        self.set_tags(&url, &there, step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, _step: &Step<'_>) -> Result<()> {
        let url = &existing.facts.url;
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
                // Read again: others may have changed the policy since.
                let there = self.attributes(url).await?.unwrap_or_default();
                let policy = common::policy(there.get(&Name::Policy).map(String::as_str));
                self.set(url, [(Name::Policy, self.policy_text(&policy))]).await
            }
            other => Err(self.unknown_field(other)),
        }
    }

    fn tag_target(&self, facts: &Facts) -> String {
        facts.url.clone()
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.sqs().tag_queue().queue_url(target);
        let call = call.set_tags(Some(tags.into_iter().collect()));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.sqs().untag_queue().queue_url(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.sqs().delete_queue().queue_url(&existing.facts.url);
        self.response_if_exists("delete", call.send().await)?;
        let mut wait = Wait::new(DELETION);
        while self.url().await?.is_some()
            && wait
                .pause(step, "SQS takes up to 60 seconds to delete a queue")
                .await?
        {}
        Ok(())
    }

    async fn dependents(&self, facts: &Facts) -> Result<Vec<String>> {
        let (name, messages) = (&self.declared.name, facts.messages);
        let lost = (messages > 0).then(|| format!("queue {name} holds {}, deleted with it", about(messages)));
        Ok(lost.into_iter().collect())
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let state = match facts.encryption {
            Sse::Off => CheckState::Caution,
            _ => CheckState::Good,
        };
        let detail = format!(
            "encryption {}, keeps messages {}",
            facts.encryption,
            time(facts.retention_seconds)
        );
        let mut checks = vec![Check::new(state, "described", detail)];
        if facts.messages > 0 {
            let name = &self.declared.name;
            let detail = format!("holds {}; see `streamctl dlq list {name}`", about(facts.messages));
            checks.push(Check::new(CheckState::Caution, "messages", detail));
        }
        checks
    }

    /// The URL is only known once the queue exists: each endpoint has its own form of it.
    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        let url = facts.as_ref().map(|facts| ("url".to_owned(), facts.url.clone()));
        let mut outputs = self.name_and_arn(facts.map(|facts| facts.arn));
        outputs.extend(url);
        outputs
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
            [self.arn()],
        )]
    }
}

/// The attributes for `sse`. They turn the other kinds of encryption off.
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

/// As in "4 days".
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
        1 => "about 1 message".to_owned(),
        n => format!("about {n} messages"),
    }
}

#[cfg(test)]
mod tests;
