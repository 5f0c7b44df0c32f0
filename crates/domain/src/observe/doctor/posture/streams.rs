//! Streams: who may use them, encryption and retention, and the Firehose streams that read them.

use serde_json::Value;

use super::policy::{self, Exposure};
use crate::observe::doctor::finding::{Finding, Looked, Skipped};
use crate::observe::doctor::subject::Subject;
use crate::stream::StreamState;
use ground::error;

/// Retention in hours that prowler's `kinesis_stream_data_retention_period` asks for.
const WEEK: u32 = 168;

/// What `rule` finds in each stream.
pub(super) async fn each(subject: &Subject<'_>, rule: fn(&StreamState) -> Option<Finding>) -> Looked {
    let streams = subject.streams().await?.into_iter();
    Ok(streams.filter_map(rule).collect())
}

pub(super) async fn public(subject: &Subject<'_>) -> Looked {
    let mut found = Vec::new();
    for stream in subject.streams().await? {
        let call = subject.context().kinesis().get_resource_policy();
        let policy = match call.resource_arn(&stream.arn).send().await {
            Ok(answer) => answer.policy,
            Err(failure) if error::aws::is_not_found(&failure) => continue,
            Err(failure) => {
                let what = format!("could not read the policy of stream {}", stream.name);
                return Err(error::aws::failed(what, failure).into());
            }
        };
        found.extend(exposed(
            stream,
            &serde_json::from_str(&policy).unwrap_or(Value::Null),
        ));
    }
    Ok(found)
}

fn exposed(stream: &StreamState, policy: &Value) -> Option<Finding> {
    let exposure = policy::exposures(policy).into_iter().next()?;
    let Exposure::Everyone(actions) = exposure else {
        return None;
    };
    Some(
        Finding::fault(
            format!("stream {}", stream.name),
            "lets every AWS account in the world use it",
        )
        .evidence(format!("it allows {} to everyone", actions.join(", ")))
        .other_fix(format!(
            "aws kinesis delete-resource-policy --resource-arn {}",
            stream.arn
        )),
    )
}

/// Source of the rules: prowler, `kinesis_stream_encrypted_at_rest`; steampipe,
/// `kinesis_stream_server_side_encryption_enabled`.
pub(super) fn encryption(stream: &StreamState) -> Option<Finding> {
    stream.encryption.is_none().then(|| {
        Finding::caution(format!("stream {}", stream.name), "is not encrypted at rest")
            .evidence("the key that AWS manages needs no permissions of producers and consumers")
            .safe_fix(&["encrypt", &stream.name])
    })
}

/// Source of the rule: steampipe, `kinesis_stream_encrypted_with_kms_cmk`.
pub(super) fn customer_key(stream: &StreamState) -> Option<Finding> {
    let key = stream.encryption.as_deref()?;
    key.ends_with("alias/aws/kinesis").then(|| {
        Finding::caution(
            format!("stream {}", stream.name),
            "is encrypted, but not with a customer managed key",
        )
        .other_fix(format!("streamctl encrypt {} --key KEY", stream.name))
    })
}

pub(super) fn retention(stream: &StreamState) -> Option<Finding> {
    (stream.retention_hours < WEEK).then(|| {
        Finding::caution(
            format!("stream {}", stream.name),
            format!(
                "keeps records for {} hours: an outage of its readers over a long weekend loses some",
                stream.retention_hours
            ),
        )
        .fix(&["retention", &stream.name, "7d"])
    })
}

/// Source of the rules: prowler, `firehose_stream_encrypted_at_rest`; steampipe,
/// `kinesis_firehose_delivery_stream_server_side_encryption_enabled`. Firehose encrypts what it holds of a Kinesis stream if
/// that stream is encrypted. Source: "Data protection in Amazon Data Firehose", Firehose developer guide.
pub(super) async fn firehose(subject: &Subject<'_>) -> Looked {
    let open: Vec<&StreamState> = subject
        .streams()
        .await?
        .into_iter()
        .filter(|stream| stream.encryption.is_none())
        .collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in delivery_streams(subject).await? {
        let call = subject.context().firehose().describe_delivery_stream();
        let described = match call.delivery_stream_name(&name).send().await {
            Ok(answer) => answer.delivery_stream_description,
            Err(failure) if error::aws::is_not_found(&failure) => continue,
            Err(failure) => {
                let what = format!("could not read Firehose stream {name}");
                return Err(error::aws::failed(what, failure).into());
            }
        };
        let source = described
            .and_then(|described| described.source)
            .and_then(|source| source.kinesis_stream_source_description)
            .and_then(|source| source.kinesis_stream_arn);
        let stream = open.iter().find(|stream| source.as_deref() == Some(&stream.arn));
        found.extend(stream.map(|stream| unencrypted(&name, &stream.name)));
    }
    Ok(found)
}

/// The names of the Firehose streams that read a Kinesis stream.
async fn delivery_streams(subject: &Subject<'_>) -> Result<Vec<String>, Skipped> {
    use aws_sdk_firehose::types::DeliveryStreamType;
    let mut names: Vec<String> = Vec::new();
    loop {
        let call = subject.context().firehose().list_delivery_streams();
        let call = call
            .delivery_stream_type(DeliveryStreamType::KinesisStreamAsSource)
            .set_exclusive_start_delivery_stream_name(names.last().cloned());
        let page = call.send().await.map_err(|failure| {
            Skipped::from(error::aws::failed("could not list the Firehose streams", failure))
        })?;
        let is_last = !page.has_more_delivery_streams || page.delivery_stream_names.is_empty();
        names.extend(page.delivery_stream_names);
        if is_last {
            return Ok(names);
        }
    }
}

fn unencrypted(firehose: &str, stream: &str) -> Finding {
    Finding::caution(
        format!("Firehose stream {firehose}"),
        format!("is not encrypted, as its source stream {stream} is not"),
    )
    .safe_fix(&["encrypt", stream])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::doctor::test_support::stream;

    #[test]
    fn encryption_and_its_key() {
        let open = stream("orders");
        let found = encryption(&open).unwrap();
        assert_eq!(found.fixes[0].command, "streamctl encrypt orders");
        assert!(found.fixes[0].is_safe);
        assert_eq!(customer_key(&open), None);
        let managed = StreamState {
            encryption: Some("alias/aws/kinesis".to_owned()),
            ..stream("orders")
        };
        assert_eq!(encryption(&managed), None);
        assert!(customer_key(&managed).is_some());
        let own = StreamState {
            encryption: Some("alias/mine".to_owned()),
            ..stream("orders")
        };
        assert_eq!(customer_key(&own), None);
    }

    #[test]
    fn a_week_of_retention_is_recommended() {
        assert!(retention(&stream("orders")).is_some());
        let week = StreamState {
            retention_hours: WEEK,
            ..stream("orders")
        };
        assert_eq!(retention(&week), None);
    }

    #[test]
    fn a_policy_for_everyone_is_a_fault() {
        let open = json!({"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kinesis:GetRecords"}});
        let found = exposed(&stream("orders"), &open).unwrap();
        assert_eq!(found.evidence, ["it allows kinesis:GetRecords to everyone"]);
        assert!(exposed(&stream("orders"), &Value::Null).is_none());
    }
}
