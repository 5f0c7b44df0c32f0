//! A published message: AWS's checks of it, and its forms for each protocol.
//!
//! Source: Publish and PublishBatch, SNS API reference; "Parsing Amazon SNS message formats", SNS developer guide.

use std::collections::HashMap;

use awsim_core::AwsError;
use serde_json::{Map, Value, json};

use crate::answer::request_id;

/// Source: Publish, SNS API reference: 256 KiB with the attributes.
pub(super) const MAX_BYTES: usize = 256 << 10;
const MAX_SUBJECT: usize = 100;

/// Group, deduplication id and sequence number of a message in a FIFO topic.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub group: String,
    pub deduplication: String,
    pub sequence: String,
}

pub(super) struct Message {
    pub id: String,
    pub topic: String,
    body: String,
    /// The bodies by protocol, of `MessageStructure=json`.
    bodies: Option<Map<String, Value>>,
    subject: Option<String>,
    attributes: Map<String, Value>,
    pub order: Option<Order>,
    timestamp: String,
}

pub(super) fn invalid(what: impl std::fmt::Display) -> AwsError {
    AwsError::bad_request("InvalidParameter", format!("Invalid parameter: {what}"))
}

impl Message {
    /// Reads a message for a topic. `input` is the request, or an entry of a batch.
    ///
    /// # Errors
    /// Those of Publish.
    pub fn read(topic: &str, input: &Value) -> Result<Self, AwsError> {
        let body = input["Message"].as_str().ok_or_else(|| {
            AwsError::bad_request(
                "ValidationError",
                "1 validation error detected: Value null at 'message' failed to satisfy constraint: Member must not \
                 be null",
            )
        })?;
        if body.is_empty() {
            return Err(invalid("Empty message"));
        }
        let attributes = input["MessageAttributes"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let subject = input["Subject"].as_str();
        check_subject(subject)?;
        check_attributes(&attributes)?;
        if body.len() + size(&attributes) > MAX_BYTES {
            return Err(invalid("Message too long"));
        }
        Ok(Self {
            id: request_id(),
            topic: topic.to_owned(),
            bodies: bodies(input, body)?,
            body: body.to_owned(),
            subject: subject.map(str::to_owned),
            attributes,
            order: None,
            timestamp: format!("{:.3}", jiff::Timestamp::now()),
        })
    }

    /// Bytes that count for the limit of a batch.
    pub fn size(&self) -> usize {
        self.body.len() + size(&self.attributes)
    }

    /// SHA-256 of the body: the deduplication id of topics that deduplicate by content.
    pub fn digest(&self) -> String {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(self.body.as_bytes()))
    }

    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    fn body(&self, protocol: &str) -> &str {
        let bodies = self.bodies.as_ref();
        let own = bodies.and_then(|bodies| bodies.get(protocol).or_else(|| bodies.get("default")));
        own.and_then(Value::as_str).unwrap_or(&self.body)
    }

    /// Whether the filter policy of a subscription lets the message through.
    pub fn passes(&self, policy: Option<&str>, scope: Option<&str>) -> bool {
        let Some(policy) = policy.and_then(|policy| serde_json::from_str::<Value>(policy).ok()) else {
            return true;
        };
        if scope == Some("MessageBody") {
            let body = serde_json::from_str::<Value>(&self.body);
            return body.is_ok_and(|body| awsim_sns::filter::matches_filter_body(&policy, &body));
        }
        let attributes: HashMap<String, Value> = self
            .attributes
            .iter()
            .map(|(name, attribute)| {
                let value = attribute["StringValue"].as_str().unwrap_or_default();
                (
                    name.clone(),
                    json!({"DataType": attribute["DataType"], "Value": value}),
                )
            })
            .collect();
        awsim_sns::filter::matches_filter(&policy, &attributes)
    }

    /// The message to a queue, as the input of SendMessage.
    pub fn for_queue(&self, subscription: &str, is_raw: bool) -> Value {
        let mut input = if is_raw {
            json!({"MessageBody": self.body("sqs"), "MessageAttributes": self.queue_attributes()})
        } else {
            json!({"MessageBody": self.envelope(subscription).to_string()})
        };
        if let Some(order) = &self.order {
            input["MessageGroupId"] = json!(order.group);
            input["MessageDeduplicationId"] = json!(order.deduplication);
        }
        input
    }

    /// SQS has no list attributes.
    fn queue_attributes(&self) -> Map<String, Value> {
        let mut attributes = self.attributes.clone();
        for attribute in attributes.values_mut() {
            if attribute["DataType"] == "String.Array" {
                attribute["DataType"] = json!("String");
            }
        }
        attributes
    }

    fn envelope(&self, subscription: &str) -> Value {
        let mut out = json!({
            "Type": "Notification",
            "MessageId": self.id,
            "TopicArn": self.topic,
            "Message": self.body("sqs"),
            "Timestamp": self.timestamp,
            "SignatureVersion": "1",
            "Signature": "bG9jYWw=",
            "SigningCertURL": self.certificate(),
            "UnsubscribeURL": self.unsubscribe(subscription),
        });
        if let Some(order) = &self.order {
            out["SequenceNumber"] = json!(order.sequence);
        }
        if let Some(subject) = &self.subject {
            out["Subject"] = json!(subject);
        }
        if !self.attributes.is_empty() {
            out["MessageAttributes"] = self.shown_attributes();
        }
        out
    }

    /// The event of a function.
    /// Source: "Process Amazon SNS notifications with Lambda", Lambda developer guide.
    pub fn for_function(&self, subscription: &str) -> Value {
        json!({"Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription,
            "Sns": {
                "Type": "Notification",
                "MessageId": self.id,
                "TopicArn": self.topic,
                "Subject": self.subject,
                "Message": self.body("lambda"),
                "Timestamp": self.timestamp,
                "SignatureVersion": "1",
                "Signature": "bG9jYWw=",
                "SigningCertUrl": self.certificate(),
                "UnsubscribeUrl": self.unsubscribe(subscription),
                "MessageAttributes": self.shown_attributes(),
            },
        }]})
    }

    fn shown_attributes(&self) -> Value {
        let shown = self.attributes.iter().map(|(name, attribute)| {
            let value = match &attribute["StringValue"] {
                Value::Null => &attribute["BinaryValue"],
                text => text,
            };
            (
                name.clone(),
                json!({"Type": attribute["DataType"], "Value": value}),
            )
        });
        Value::Object(shown.collect())
    }

    fn region(&self) -> &str {
        self.topic.split(':').nth(3).unwrap_or("us-east-1")
    }

    fn certificate(&self) -> String {
        let region = self.region();
        format!(
            "https://sns.{region}.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem"
        )
    }

    fn unsubscribe(&self, subscription: &str) -> String {
        let region = self.region();
        format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={subscription}")
    }
}

/// Source: Publish, `Subject`, SNS API reference.
fn check_subject(subject: Option<&str>) -> Result<(), AwsError> {
    let is_sound = |subject: &str| {
        (1..=MAX_SUBJECT).contains(&subject.chars().count()) && !subject.chars().any(char::is_control)
    };
    if subject.is_some_and(|subject| !is_sound(subject)) {
        return Err(invalid("Subject"));
    }
    Ok(())
}

/// Source: "Amazon SNS message attributes", SNS developer guide.
fn check_attributes(attributes: &Map<String, Value>) -> Result<(), AwsError> {
    let refused = |message: String| Err(AwsError::bad_request("ParameterValueInvalid", message));
    for (name, attribute) in attributes {
        let kind = attribute["DataType"].as_str().unwrap_or_default();
        let field = match kind.split('.').next() {
            Some("String" | "Number") => "StringValue",
            Some("Binary") => "BinaryValue",
            _ => {
                return refused(format!(
                    "The message attribute '{name}' has an invalid message attribute type, the set of supported type \
                     prefixes is Binary, Number, and String."
                ));
            }
        };
        let value = attribute[field].as_str().unwrap_or_default();
        if value.is_empty() {
            return refused(format!(
                "The message attribute '{name}' must contain non-empty message attribute value for message attribute \
                 type '{kind}'."
            ));
        }
        if field == "BinaryValue" && base64_simd::STANDARD.check(value.as_bytes()).is_err() {
            return refused(format!("The message attribute '{name}' is not base64."));
        }
    }
    Ok(())
}

fn size(attributes: &Map<String, Value>) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    attributes
        .iter()
        .map(|(name, attribute)| {
            let binary = text(&attribute["BinaryValue"]) / 4 * 3;
            name.len() + text(&attribute["DataType"]) + text(&attribute["StringValue"]) + binary
        })
        .sum()
}

fn bodies(input: &Value, body: &str) -> Result<Option<Map<String, Value>>, AwsError> {
    match input["MessageStructure"].as_str() {
        None | Some("") => Ok(None),
        Some("json") => match serde_json::from_str::<Map<String, Value>>(body) {
            Err(_) => Err(invalid("Message Structure - JSON message body failed to parse")),
            Ok(bodies) if !bodies.get("default").is_some_and(Value::is_string) => Err(invalid(
                "Message Structure - No default entry in JSON message body",
            )),
            Ok(bodies) => Ok(Some(bodies)),
        },
        Some(_) => Err(invalid("MessageStructure")),
    }
}
