//! Least-privilege policies of a stream: what a producer, a consumer, an operator and a function need ([`Purpose`]), customer
//! managed policies that say so ([`managed`]), the policy simulator ([`simulate`]), whether readers may use a KMS key
//! ([`key_access`]), and the resource policy with which another account may use the stream ([`sharing`]).
//!
//! Knows the actions of streamctl's own commands, of the Kinesis Client Library and of Lambda's pollers. Whether a policy
//! has all that they need is tested end to end.

pub mod key_access;
pub mod managed;
pub mod sharing;
pub mod simulate;

use std::fmt;

use serde_json::Value;

use crate::iam::{self, Statement};
use crate::stream::change::AWS_MANAGED_KEY;
use ground::error::{Error, Result};

/// What a poller of Lambda does with a stream.
/// Source: "Required execution role permissions", "Process Amazon Kinesis Data Streams records with Lambda", Lambda
/// developer guide. A mapping does not need ListStreams, which has no resources.
pub(crate) const MAPPING_ACTIONS: [&str; 5] = [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
];

/// PutRecord is for other producers: `put` calls PutRecords, and describes the stream first.
const PRODUCER_ACTIONS: [&str; 3] = [
    "kinesis:DescribeStreamSummary",
    "kinesis:PutRecord",
    "kinesis:PutRecords",
];

/// What `tail` and other readers need.
const CONSUMER_ACTIONS: [&str; 3] = [
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
];

/// What the commands of streamctl on one stream need.
const OPERATOR_ACTIONS: [&str; 23] = [
    "kinesis:AddTagsToStream",
    "kinesis:CreateStream",
    "kinesis:DecreaseStreamRetentionPeriod",
    "kinesis:DeleteResourcePolicy",
    "kinesis:DeleteStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:DisableEnhancedMonitoring",
    "kinesis:EnableEnhancedMonitoring",
    "kinesis:GetResourcePolicy",
    "kinesis:IncreaseStreamRetentionPeriod",
    "kinesis:ListShards",
    "kinesis:ListStreamConsumers",
    "kinesis:ListTagsForStream",
    "kinesis:MergeShards",
    "kinesis:PutResourcePolicy",
    "kinesis:RemoveTagsFromStream",
    "kinesis:SplitShard",
    "kinesis:StartStreamEncryption",
    "kinesis:StopStreamEncryption",
    "kinesis:UpdateMaxRecordSize",
    "kinesis:UpdateShardCount",
    "kinesis:UpdateStreamMode",
    "kinesis:UpdateStreamWarmThroughput",
];

/// Actions on registered consumers. IAM checks them for the stream and for the consumer.
/// Source: "Actions, resources, and condition keys for Amazon Kinesis Data Streams", service authorization reference.
const OPERATOR_CONSUMER_ACTIONS: [&str; 3] = [
    "kinesis:DeregisterStreamConsumer",
    "kinesis:DescribeStreamConsumer",
    "kinesis:RegisterStreamConsumer",
];

/// Actions that have no resources, or whose resource is not the stream: metrics and dependents of a stream, and its latest
/// changes.
const OPERATOR_GENERAL_ACTIONS: [&str; 11] = [
    "cloudtrail:LookupEvents",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "firehose:DescribeDeliveryStream",
    "firehose:ListDeliveryStreams",
    "kinesis:DescribeAccountSettings",
    "kinesis:DescribeLimits",
    "kinesis:ListChannels",
    "kinesis:ListStreams",
    "lambda:GetFunctionConfiguration",
    "lambda:ListEventSourceMappings",
];

/// Source: "IAM permissions required for KCL consumer applications", Kinesis developer guide.
const KCL_STREAM_ACTIONS: [&str; 2] = ["kinesis:DescribeStream", "kinesis:DescribeStreamSummary"];
const KCL_TABLE_ACTIONS: [&str; 7] = [
    "dynamodb:CreateTable",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
];

/// What somebody wants to do with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Producer,
    Consumer,
    Operator,
    /// The role of a function that reads the stream by an event source mapping.
    Lambda,
}

impl Purpose {
    pub fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Operator => "operator",
            Self::Lambda => "lambda",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A purpose and the stream that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub purpose: Purpose,
    pub stream_arn: String,
    /// The customer managed key of the stream: alias, id or ARN.
    pub key: Option<String>,
    /// Read with enhanced fan-out.
    pub fan_out: bool,
    /// The name of an application of the Kinesis Client Library.
    pub kcl: Option<String>,
}

impl Access {
    /// Refuses options that the purpose does not have.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(&self) -> Result<()> {
        let purpose = self.purpose;
        if self.fan_out && !matches!(purpose, Purpose::Consumer | Purpose::Lambda) {
            let text = format!("{} policies have no enhanced fan-out", purpose.name());
            return Err(Error::usage(text).hint("leave --fan-out out, or use --for consumer"));
        }
        let Some(application) = &self.kcl else {
            return Ok(());
        };
        if purpose != Purpose::Consumer {
            let text = "only consumers use the Kinesis Client Library";
            return Err(Error::usage(text).hint("leave --kcl out, or use --for consumer"));
        }
        // The name of the application is that of its table. Source: CreateTable, `TableName`, DynamoDB API reference.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if (3..=255).contains(&application.len()) && application.bytes().all(allowed) {
            return Ok(());
        }
        let text = format!("{application:?} is not the name of an application of the Kinesis Client Library");
        Err(Error::usage(text).hint("its table has this name: 3 to 255 letters, digits, `_`, `.` or `-`"))
    }

    /// The policy as IAM takes it.
    pub fn document(&self) -> Value {
        iam::document(self.statements())
    }

    /// The permissions that are needed.
    pub fn statements(&self) -> Vec<Statement> {
        let stream = || [self.stream_arn.clone()];
        let on_stream = |actions: &[&str]| Statement::new(actions, stream());
        let mut statements = match self.purpose {
            Purpose::Producer => vec![on_stream(&PRODUCER_ACTIONS)],
            Purpose::Consumer => vec![on_stream(&CONSUMER_ACTIONS)],
            Purpose::Lambda => vec![on_stream(&MAPPING_ACTIONS)],
            Purpose::Operator => vec![
                on_stream(&OPERATOR_ACTIONS),
                Statement::new(
                    &OPERATOR_CONSUMER_ACTIONS,
                    [self.stream_arn.clone(), self.consumers()],
                ),
                Statement::new(&OPERATOR_GENERAL_ACTIONS, ["*".to_owned()]),
            ],
        };
        if self.fan_out {
            let subscribing = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
            statements.push(Statement::new(&subscribing, [self.consumers()]));
        }
        if let Some(application) = &self.kcl {
            statements.extend(self.client_library(application));
        }
        if let Some(key) = self.key.as_ref().filter(|key| !is_aws_managed(key)) {
            // Source: "Permissions to use user-generated KMS keys", Kinesis developer guide.
            let action = match self.purpose {
                Purpose::Producer => "kms:GenerateDataKey",
                Purpose::Consumer | Purpose::Lambda => "kms:Decrypt",
                Purpose::Operator => "kms:DescribeKey",
            };
            statements.push(match self.purpose {
                // Not called by Kinesis on behalf of the operator, but by the operator.
                Purpose::Operator => Statement::new(&[action], [key_arn(key, &self.stream_arn)]),
                _ => key_statement(action, key, &self.stream_arn),
            });
        }
        statements
    }

    /// All registered consumers of the stream.
    fn consumers(&self) -> String {
        format!("{}/consumer/*", self.stream_arn)
    }

    fn client_library(&self, application: &str) -> Vec<Statement> {
        let Location {
            partition,
            region,
            account,
        } = Location::of(&self.stream_arn);
        let table =
            |suffix: &str| format!("arn:{partition}:dynamodb:{region}:{account}:table/{application}{suffix}");
        let tables = [table(""), table("-CoordinatorState"), table("-WorkerMetricStats")];
        let mut statements = vec![
            Statement::new(&KCL_STREAM_ACTIONS, [self.stream_arn.clone()]),
            Statement::new(&KCL_TABLE_ACTIONS, tables),
            Statement::new(&["dynamodb:UpdateTable"], [table("")]),
            Statement::new(&["dynamodb:Query"], [table("/index/*")]),
            // The library publishes its metrics under the name of the application.
            Statement::new(&["cloudwatch:PutMetricData"], ["*".to_owned()]).only_if(
                "StringEquals",
                "cloudwatch:namespace",
                application,
            ),
        ];
        if self.fan_out {
            let resources = [self.stream_arn.clone(), self.consumers()];
            statements.push(Statement::new(&["kinesis:RegisterStreamConsumer"], resources));
        }
        statements
    }
}

/// Whether `key` is the key that AWS manages for Kinesis. It needs no permission besides those of the stream.
/// Source: as of [`Access::statements`].
pub fn is_aws_managed(key: &str) -> bool {
    key == AWS_MANAGED_KEY || key.ends_with(&format!(":{AWS_MANAGED_KEY}"))
}

/// The permission for `action` on the key of a stream, when Kinesis asks for it.
pub(crate) fn key_statement(action: &str, key: &str, stream_arn: &str) -> Statement {
    let region = Location::of(stream_arn).region;
    let service = format!("kinesis.{region}.amazonaws.com");
    Statement::new(&[action], [key_arn(key, stream_arn)]).only_if("StringEquals", "kms:ViaService", service)
}

/// The ARN of `key`. The key behind an alias is unknown: those of all keys then.
fn key_arn(key: &str, stream_arn: &str) -> String {
    if key.starts_with("arn:") && key.contains(":key/") {
        return key.to_owned();
    }
    let Location {
        partition,
        region,
        account,
    } = Location::of(stream_arn);
    let id = match key.contains("alias/") {
        true => "*",
        false => key,
    };
    format!("arn:{partition}:kms:{region}:{account}:key/{id}")
}

/// Where a resource is, by its ARN.
struct Location<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
}

impl<'a> Location<'a> {
    fn of(arn: &'a str) -> Self {
        let mut parts = arn.split(':').skip(1);
        let mut next = || parts.next().unwrap_or_default();
        let (partition, _, region, account) = (next(), next(), next(), next());
        Self {
            partition,
            region,
            account,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";

    fn access(purpose: Purpose) -> Access {
        Access {
            purpose,
            stream_arn: STREAM.to_owned(),
            key: None,
            fan_out: false,
            kcl: None,
        }
    }

    fn printed(access: &Access) -> String {
        access.check().unwrap();
        assert_eq!(iam::beyond_a_managed_policy(&access.document()), None);
        serde_json::to_string_pretty(&access.document()).unwrap()
    }

    #[test]
    fn a_producer_with_a_key_of_its_own() {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1";
        let access = Access {
            key: Some(key.to_owned()),
            ..access(Purpose::Producer)
        };
        insta::assert_snapshot!(printed(&access));
    }

    #[test]
    fn an_application_of_the_client_library_with_fan_out() {
        let access = Access {
            fan_out: true,
            kcl: Some("scores".to_owned()),
            ..access(Purpose::Consumer)
        };
        insta::assert_snapshot!(printed(&access));
    }

    #[test]
    fn an_operator() {
        insta::assert_snapshot!(printed(&access(Purpose::Operator)));
    }

    #[test]
    fn a_key_is_used_only_through_kinesis() {
        let of = |key| iam::document([key_statement("kms:Decrypt", key, STREAM)])["Statement"][0].to_string();
        insta::assert_snapshot!(of("alias/orders"), @r#"{"Effect":"Allow","Action":["kms:Decrypt"],"Resource":["arn:aws:kms:eu-west-1:123456789012:key/*"],"Condition":{"StringEquals":{"kms:ViaService":"kinesis.eu-west-1.amazonaws.com"}}}"#);
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1";
        assert!(of(key).contains(&format!("[\"{key}\"]")), "{}", of(key));
        assert!(of("1").contains(&format!("[\"{key}\"]")), "{}", of("1"));
    }

    #[test]
    fn the_key_of_aws_needs_no_permission() {
        for key in [
            AWS_MANAGED_KEY,
            "arn:aws:kms:eu-west-1:123456789012:alias/aws/kinesis",
        ] {
            let managed = Access {
                key: Some(key.to_owned()),
                ..access(Purpose::Consumer)
            };
            assert_eq!(managed.document(), access(Purpose::Consumer).document());
        }
    }

    #[test]
    fn options_of_other_purposes_are_refused() {
        let refused = |access: Access| access.check().unwrap_err().to_string();
        let fan_out = |purpose| Access {
            fan_out: true,
            ..access(purpose)
        };
        let kcl = |purpose, name: &str| Access {
            kcl: Some(name.to_owned()),
            ..access(purpose)
        };
        insta::assert_snapshot!(
            [
                refused(fan_out(Purpose::Producer)),
                refused(kcl(Purpose::Lambda, "scores")),
                refused(kcl(Purpose::Consumer, "a*")),
            ]
            .join("\n"),
            @r#"
            producer policies have no enhanced fan-out
            only consumers use the Kinesis Client Library
            "a*" is not the name of an application of the Kinesis Client Library
            "#
        );
        fan_out(Purpose::Lambda).check().unwrap();
    }
}
