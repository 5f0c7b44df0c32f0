//! Event notifications: which changes of objects are sent to which queue, topic or function.
//!
//! Source: "Amazon S3 Event Notifications", S3 user guide.

use std::fmt;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::S3;
use super::bucket::{Bucket, Versioning};
use super::call::{Call, Reply};
use super::error::{Error, Result};
use super::outbox;
use super::owner_id;
use super::settings::{self, Setting, leaf};
use super::xml::{self, Node};
use crate::clock::utc;
use crate::query::percent_encode;

/// What happens to objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Put,
    Copy,
    CompleteMultipartUpload,
    Delete,
    DeleteMarker,
    TaggingPut,
    TaggingDelete,
    AclPut,
}

impl Event {
    const ALL: [Self; 8] = [
        Self::Put,
        Self::Copy,
        Self::CompleteMultipartUpload,
        Self::Delete,
        Self::DeleteMarker,
        Self::TaggingPut,
        Self::TaggingDelete,
        Self::AclPut,
    ];

    /// Without the prefix `s3:`.
    fn name(self) -> &'static str {
        match self {
            Self::Put => "ObjectCreated:Put",
            Self::Copy => "ObjectCreated:Copy",
            Self::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::Delete => "ObjectRemoved:Delete",
            Self::DeleteMarker => "ObjectRemoved:DeleteMarkerCreated",
            Self::TaggingPut => "ObjectTagging:Put",
            Self::TaggingDelete => "ObjectTagging:Delete",
            Self::AclPut => "ObjectAcl:Put",
        }
    }

    /// Source: "Event message structure", S3 user guide.
    fn version(self) -> &'static str {
        match self {
            Self::TaggingPut | Self::TaggingDelete | Self::AclPut => "2.3",
            _ => "2.1",
        }
    }
}

/// Event types that a configuration may name, and that never occur here.
const OTHER_EVENTS: &[&str] = &[
    "s3:ObjectCreated:Post",
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Queue,
    Topic,
    Function,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Queue, Self::Topic, Self::Function];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Topic => "topic",
            Self::Function => "function",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Element of a rule, and element of the ARN in it.
    fn elements(self) -> (&'static str, &'static str) {
        match self {
            Self::Queue => ("QueueConfiguration", "Queue"),
            Self::Topic => ("TopicConfiguration", "Topic"),
            Self::Function => ("CloudFunctionConfiguration", "CloudFunction"),
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Queue => "sqs",
            Self::Topic => "sns",
            Self::Function => "lambda",
        }
    }
}

/// A rule of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    id: String,
    pub kind: Kind,
    pub arn: String,
    /// With the prefix `s3:`; the last part may be `*`.
    events: Vec<String>,
    prefix: String,
    suffix: String,
}

impl Rule {
    fn of(kind: Kind, node: &Node) -> Result<Self> {
        let (_, element) = kind.elements();
        let arn = node.text_of(element).ok_or_else(Error::malformed_xml)?;
        let events: Vec<String> = node.all("Event").map(|event| event.text.clone()).collect();
        if events.is_empty() {
            return Err(Error::malformed_xml());
        }
        events.iter().try_for_each(|event| check_event(event))?;
        let rules = node.child("Filter").and_then(|filter| filter.child("S3Key"));
        let rules: Vec<&Node> = rules
            .map(|key| key.all("FilterRule").collect())
            .unwrap_or_default();
        Ok(Self {
            id: node.text_of("Id").unwrap_or_default().to_owned(),
            kind,
            arn: arn.to_owned(),
            events,
            prefix: filter_value(&rules, "prefix")?,
            suffix: filter_value(&rules, "suffix")?,
        })
    }

    fn matches(&self, event: Event, key: &str) -> bool {
        let is_asked = self.events.iter().any(|asked| covers(asked, event));
        is_asked && key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }

    /// Whether one object could match both rules for the same event.
    fn overlaps(&self, other: &Self) -> bool {
        let events = Event::ALL.iter().any(|event| {
            let asks = |rule: &Self| rule.events.iter().any(|asked| covers(asked, *event));
            asks(self) && asks(other)
        });
        let prefixes = self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix);
        let suffixes = self.suffix.ends_with(&other.suffix) || other.suffix.ends_with(&self.suffix);
        events && prefixes && suffixes
    }
}

/// Whether an event type of a configuration includes `event`.
fn covers(asked: &str, event: Event) -> bool {
    let asked = asked.strip_prefix("s3:").unwrap_or(asked);
    match asked.strip_suffix('*') {
        Some(start) => event.name().starts_with(start),
        None => event.name() == asked,
    }
}

fn check_event(name: &str) -> Result<()> {
    let is_group = name.ends_with(":*") && name.matches(':').count() == 2;
    let is_whole = !name.contains('*');
    if name.starts_with("s3:")
        && (is_group || is_whole)
        && Event::ALL.iter().any(|event| covers(name, *event))
    {
        return Ok(());
    }
    if OTHER_EVENTS.contains(&name) {
        return Err(Error::not_offered(format_args!("notifications of {name}")));
    }
    let message = "A specified event is not supported for notifications.";
    Err(Error::argument("Event", name, message))
}

fn filter_value(rules: &[&Node], name: &str) -> Result<String> {
    let mut found = rules.iter().filter(|rule| {
        let given = rule.text_of("Name").unwrap_or_default();
        given.eq_ignore_ascii_case(name)
    });
    let value = found
        .next()
        .and_then(|rule| rule.text_of("Value"))
        .unwrap_or_default();
    if found.next().is_some() {
        let message = format!("Cannot specify more than one {name} rule in a filter.");
        return Err(Error::argument("FilterRule", name, message));
    }
    Ok(value.to_owned())
}

/// The rules of a configuration.
///
/// # Errors
/// If one is invalid or asks for what is not offered, or two overlap.
fn rules(document: &Node) -> Result<Vec<Rule>> {
    if document.child("EventBridgeConfiguration").is_some() {
        return Err(Error::not_offered("notifications to EventBridge"));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for node in &document.children {
        let kind = Kind::ALL.into_iter().find(|kind| kind.elements().0 == node.name);
        let rule = Rule::of(kind.ok_or_else(Error::malformed_xml)?, node)?;
        if rules.iter().any(|other| other.overlaps(&rule)) {
            return Err(Error::argument(
                "NotificationConfiguration",
                &rule.id,
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes \
                 are overlapping for the same event type.",
            ));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// An object that a notification is about.
pub(super) struct Object<'a> {
    pub key: &'a str,
    pub version: &'a str,
    /// Size and entity tag; `None` for a deleted object.
    pub content: Option<(u64, &'a str)>,
}

/// Posts the notifications of an event, in the transaction that makes the change: they are sent if and only if the
/// change is kept.
pub(super) fn post(
    db: &Connection,
    call: &Call,
    bucket: &Bucket,
    event: Event,
    object: &Object<'_>,
) -> Result<()> {
    let Some(document) = settings::get(bucket, Setting::Notification) else {
        return Ok(());
    };
    for rule in rules(&document)? {
        if rule.matches(event, object.key) {
            let message = message(call, bucket, event, object, &rule.id);
            outbox::post(db, rule.kind, &rule.arn, &message.to_string(), call.now_ms)?;
        }
    }
    Ok(())
}

/// Source: "Event message structure", S3 user guide.
fn message(call: &Call, bucket: &Bucket, event: Event, object: &Object<'_>, rule: &str) -> Value {
    let mut described = json!({
        // As in a form: a space is a plus sign.
        "key": percent_encode(object.key).replace("%20", "+").replace("%2F", "/"),
    });
    if let Some((size, etag)) = object.content {
        described["size"] = json!(size);
        described["eTag"] = json!(etag.trim_matches('"'));
    }
    if bucket.versioning != Versioning::Off {
        described["versionId"] = json!(object.version);
    }
    // Grows with time, so that two events of a key can be put in order.
    described["sequencer"] = json!(format!("{:016X}", jiff::Timestamp::now().as_nanosecond()));
    json!({"Records": [{
        "eventVersion": event.version(),
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": utc(call.now_ms, "%Y-%m-%dT%H:%M:%S%.3fZ"),
        "eventName": event.name(),
        "userIdentity": {"principalId": format!("AWS:{}", call.caller.account)},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": call.request_id,
            "x-amz-id-2": base64_simd::STANDARD.encode_to_string(&call.request_id),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": owner_id(&bucket.account)},
                "arn": bucket.arn(),
            },
            "object": described,
        },
    }]})
}

fn test_message(call: &Call, bucket: &Bucket) -> String {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": utc(call.now_ms, "%Y-%m-%dT%H:%M:%S%.3fZ"),
        "Bucket": bucket.name,
        "RequestId": call.request_id,
        "HostId": base64_simd::STANDARD.encode_to_string(&call.request_id),
    })
    .to_string()
}

impl S3 {
    /// Stores the configuration, if each destination takes a test message.
    pub(super) fn put_bucket_notification(&self, call: &Call) -> Result<Reply> {
        let mut document = call.document(Setting::Notification.root())?;
        for node in &mut document.children {
            if node.text_of("Id").is_none_or(str::is_empty) {
                node.children.retain(|child| child.name != "Id");
                node.children.insert(0, leaf("Id", &crate::answer::request_id()));
            }
        }
        let rules = rules(&document)?;
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        let skips = call
            .header("x-amz-skip-destination-validation")
            .is_some_and(|skip| skip.eq_ignore_ascii_case("true"));
        for rule in rules.iter().filter(|_| !skips) {
            self.validate(call, &bucket, rule)?;
        }
        self.write(call, |db, bucket| {
            let name = Setting::Notification.name().to_owned();
            match document.children.is_empty() {
                true => bucket.settings.remove(&name),
                false => bucket.settings.insert(name, xml::to_xml(&document)),
            };
            bucket.save(db)
        })?;
        Ok(Reply::empty(200))
    }

    fn validate(&self, call: &Call, bucket: &Bucket, rule: &Rule) -> Result<()> {
        let invalid = |message: &str| Error::argument(rule.kind.elements().1, &rule.arn, message);
        let parts: Vec<&str> = rule.arn.split(':').collect();
        let ["arn", _, service, region, ..] = parts[..] else {
            return Err(invalid("The ARN is not well formed"));
        };
        if service != rule.kind.service() {
            return Err(invalid("The ARN is not well formed"));
        }
        if region != bucket.region {
            return Err(invalid(
                "The notification destination service region is not valid for the bucket location constraint",
            ));
        }
        let unreachable = |cause: &dyn fmt::Display| {
            invalid("Unable to validate the following destination configurations")
                .with("Cause", cause.to_string())
        };
        // Source: "Event notification types and destinations", S3 user guide.
        if rule.arn.ends_with(".fifo") {
            return Err(unreachable(
                &"S3 does not send notifications to FIFO queues and topics.",
            ));
        }
        self.test(rule, &test_message(call, bucket))
            .map_err(|error| unreachable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(inner: &str) -> Result<Vec<Rule>> {
        let document = format!("<NotificationConfiguration>{inner}</NotificationConfiguration>");
        rules(&xml::parse(document.as_bytes(), "NotificationConfiguration").unwrap())
    }

    fn queue(events: &[&str], filter: &[(&str, &str)]) -> String {
        let events: String = events
            .iter()
            .map(|event| format!("<Event>{event}</Event>"))
            .collect();
        let rules: String = filter
            .iter()
            .map(|(name, value)| {
                format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
            })
            .collect();
        format!(
            "<QueueConfiguration><Id>a</Id><Queue>arn:aws:sqs:us-east-1:0:q</Queue>{events}<Filter><S3Key>{rules}\
             </S3Key></Filter></QueueConfiguration>"
        )
    }

    #[test]
    fn rules_select_events_and_keys() {
        let rule = queue(&["s3:ObjectCreated:*"], &[("Prefix", "in/"), ("suffix", ".json")]);
        let rule = &parsed(&rule).unwrap()[0];
        assert!(rule.matches(Event::Put, "in/a.json"));
        assert!(rule.matches(Event::CompleteMultipartUpload, "in/a.json"));
        assert!(!rule.matches(Event::Delete, "in/a.json"));
        assert!(!rule.matches(Event::Put, "in/a.csv"));
        assert!(!rule.matches(Event::Put, "out/a.json"));
    }

    #[test]
    fn what_never_occurs_or_overlaps_is_refused() {
        let code = |inner: &str| parsed(inner).unwrap_err().code;
        assert_eq!(code(&queue(&["s3:ObjectRestore:*"], &[])), "NotImplemented");
        assert_eq!(code("<EventBridgeConfiguration/>"), "NotImplemented");
        for event in ["s3:*", "s3:Object*", "ObjectCreated:Put", "s3:ObjectCreated:Pu"] {
            assert_eq!(code(&queue(&[event], &[])), "InvalidArgument", "{event}");
        }
        let two = [("prefix", "a"), ("prefix", "b")];
        assert_eq!(code(&queue(&["s3:ObjectCreated:Put"], &two)), "InvalidArgument");
        let all = queue(&["s3:ObjectCreated:*"], &[]);
        let some = |prefix| queue(&["s3:ObjectCreated:Put"], &[("prefix", prefix)]);
        assert_eq!(code(&format!("{all}{}", some("in/"))), "InvalidArgument");
        assert!(parsed(&format!("{}{}", some("in/"), some("out/"))).is_ok());
        assert!(parsed(&format!("{all}{}", queue(&["s3:ObjectRemoved:*"], &[]))).is_ok());
    }
}
