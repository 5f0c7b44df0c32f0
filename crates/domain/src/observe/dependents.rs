//! What depends on a stream: consumers, functions that read it and their roles, channels, Firehose streams, alarms, and the
//! policy that shares it.
//!
//! Each kind is looked for on its own: one that cannot be looked for is named, and the others are returned.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_firehose::types::DeliveryStreamType;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::alarms::AlarmEntry;
use crate::context::Context;
use crate::functions::invoke::deployed;
use crate::functions::mapping::{self, Mapping};
use crate::stream::channels::{self, ChannelEntry};
use crate::stream::consumers::{Consumer, consumers};
use crate::stream::{Mode, StreamState};
use ground::error::{self, Result};

/// Something that stops working, or loses its use, when the stream is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Dependent {
    /// `consumer`, `function`, `role`, `channel`, `firehose stream`, `alarm` or `resource policy`.
    pub kind: &'static str,
    pub name: String,
}

/// What was found, and what could not be looked for.
#[derive(Debug, Default)]
pub struct Dependents {
    pub found: Vec<Dependent>,
    /// One sentence for each kind that could not be listed.
    pub unknown: Vec<String>,
}

/// How long each kind is looked for before a stream is deleted.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Looks for what depends on `stream`. A listing that fails is named, and the others are made.
pub async fn of_stream(context: &Context, stream: &StreamState) -> Dependents {
    let reading = async {
        let mappings = part(TIME_LIMIT, readers(context, stream)).await?;
        let functions = functions(&mappings);
        Ok((
            functions.clone(),
            part(TIME_LIMIT, roles(context, &functions)).await,
        ))
    };
    let (consumers, reading, delivering, firehose, alarms, policy) = tokio::join!(
        part(TIME_LIMIT, registered(context, stream)),
        reading,
        part(TIME_LIMIT, delivering(context, stream)),
        part(TIME_LIMIT, firehose_streams(context, stream)),
        part(TIME_LIMIT, alarm_names(context, stream)),
        part(TIME_LIMIT, resource_policy(context, stream)),
    );
    let (functions, roles) = match reading {
        Ok((functions, roles)) => (Ok(functions), roles),
        Err(reason) => (Err(reason), Ok(Vec::new())),
    };
    let names = |consumers: Vec<Consumer>| consumers.into_iter().map(|one| one.name).collect();
    let channels = |found: Vec<ChannelEntry>| found.into_iter().map(|one| one.name).collect();
    let shared = |policy: Option<Value>| policy.iter().map(shared_with).collect();
    let mut dependents = Dependents::default();
    for (kind, listed) in [
        ("consumer", consumers.map(names)),
        ("function", functions),
        ("role", roles),
        ("channel", delivering.map(channels)),
        ("firehose stream", firehose),
        ("alarm", alarms),
        ("resource policy", policy.map(shared)),
    ] {
        match listed {
            Ok(names) => dependents
                .found
                .extend(names.into_iter().map(|name| Dependent { kind, name })),
            Err(reason) => dependents
                .unknown
                .push(format!("could not check for a dependent {kind}: {reason}")),
        }
    }
    dependents
}

/// Runs a call that must not fail a whole report.
///
/// # Errors
/// Why there is no result, in words.
pub(super) async fn part<T>(
    limit: Duration,
    call: impl Future<Output = Result<T>>,
) -> std::result::Result<T, String> {
    match timeout(limit, call).await {
        Ok(result) => result.map_err(|error| error.chain().join(": ")),
        Err(_) => Err(format!("no answer within {}", ground::duration::format(limit))),
    }
}

/// The registered consumers. Makes no call for a stream without any.
pub(super) async fn registered(context: &Context, stream: &StreamState) -> Result<Vec<Consumer>> {
    match stream.consumer_count {
        0 => Ok(Vec::new()),
        _ => consumers(context, &stream.arn).await,
    }
}

/// The channels that deliver the stream. Makes no call for a provisioned stream, which has none.
pub(super) async fn delivering(context: &Context, stream: &StreamState) -> Result<Vec<ChannelEntry>> {
    match stream.mode {
        Mode::Provisioned => Ok(Vec::new()),
        Mode::OnDemand => channels::list(context, Some(&stream.arn)).await,
    }
}

/// The mappings that read the stream, also through one of its consumers.
pub(super) async fn readers(context: &Context, stream: &StreamState) -> Result<Vec<Mapping>> {
    let mut found = mapping::list(context, None, Some(&stream.arn)).await?;
    found.retain(|mapping| !mapping.is_going());
    Ok(found)
}

/// The names of the functions of `mappings`, each once.
pub(super) fn functions(mappings: &[Mapping]) -> Vec<String> {
    let names: BTreeSet<&str> = mappings.iter().map(Mapping::function).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// The names of the roles of `functions`, each once.
pub(super) async fn roles(context: &Context, functions: &[String]) -> Result<Vec<String>> {
    const IN_FLIGHT: usize = 4;
    let found: Vec<_> = stream::iter(functions)
        .map(|function| deployed(context, function))
        .buffered(IN_FLIGHT)
        .try_collect()
        .await?;
    let arns = found.iter().flatten().map(|function| function.role.as_str());
    let names: BTreeSet<&str> = arns
        .filter_map(|arn| arn.rsplit('/').next())
        .filter(|name| !name.is_empty())
        .collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The Firehose streams whose source is the stream. Each is described: there is no call that finds them by their source.
pub(super) async fn firehose_streams(context: &Context, stream: &StreamState) -> Result<Vec<String>> {
    // An account has five DescribeDeliveryStream calls a second, and the client makes throttled ones again.
    // Source: "Quota", Firehose developer guide.
    const IN_FLIGHT: usize = 4;
    let all = firehose_names(context).await?;
    let found: Vec<Option<String>> = stream::iter(all)
        .map(|name| async move {
            let call = context.firehose().describe_delivery_stream();
            let answer = match call.delivery_stream_name(&name).send().await {
                Ok(answer) => answer,
                Err(e) if error::aws::is_not_found(&e) => return Ok(None),
                Err(e) => {
                    let what = format!("could not describe the Firehose stream {name}");
                    return Err(error::aws::failed(what, e));
                }
            };
            let source = answer
                .delivery_stream_description
                .and_then(|description| description.source)
                .and_then(|source| source.kinesis_stream_source_description);
            let arn = source.and_then(|source| source.kinesis_stream_arn);
            Ok((arn.as_deref() == Some(stream.arn.as_str())).then_some(name))
        })
        .buffered(IN_FLIGHT)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// The Firehose streams of the region with a Kinesis stream as their source.
async fn firehose_names(context: &Context) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let call = context
            .firehose()
            .list_delivery_streams()
            .delivery_stream_type(DeliveryStreamType::KinesisStreamAsSource)
            .set_exclusive_start_delivery_stream_name(names.last().cloned());
        let page = match call.send().await {
            Ok(page) => page,
            Err(e) => return Err(error::aws::failed("could not list the Firehose streams", e)),
        };
        let is_last = !page.has_more_delivery_streams || page.delivery_stream_names.is_empty();
        names.extend(page.delivery_stream_names);
        if is_last {
            return Ok(names);
        }
    }
}

/// Names of the alarms on the stream.
async fn alarm_names(context: &Context, stream: &StreamState) -> Result<Vec<String>> {
    let alarms = alarms(context, stream).await?;
    Ok(alarms.into_iter().map(|alarm| alarm.name).collect())
}

/// Alarms on a metric of AWS/Kinesis with the stream as a dimension. There is no call that finds alarms by dimension alone.
pub(super) async fn alarms(context: &Context, stream: &StreamState) -> Result<Vec<AlarmEntry>> {
    let mut alarms = Vec::new();
    let mut pages = context.cloudwatch().describe_alarms().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the alarms", e))?;
        let found = page.metric_alarms().iter().map(AlarmEntry::of_metric);
        alarms.extend(found.filter(|alarm| alarm.watches("AWS/Kinesis", "StreamName", &stream.name)));
    }
    Ok(alarms)
}

/// The resource policy of the stream; `None` if there is none.
pub(super) async fn resource_policy(context: &Context, stream: &StreamState) -> Result<Option<Value>> {
    let call = context.kinesis().get_resource_policy().resource_arn(&stream.arn);
    let text = match call.send().await {
        Ok(answer) => answer.policy,
        Err(e) if error::aws::is_not_found(&e) => return Ok(None),
        Err(e) => return Err(error::aws::failed("could not read the resource policy", e)),
    };
    // Kinesis may return an empty document.
    let policy: Option<Value> = serde_json::from_str(&text).ok();
    Ok(policy.filter(|policy| policy.get("Statement").is_some()))
}

/// Whom a resource policy lets use the stream: `shared with 123456789012`.
pub fn shared_with(policy: &Value) -> String {
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let mut principals = BTreeSet::new();
    for statement in statements {
        match statement.get("Principal") {
            Some(Value::String(all)) => {
                principals.insert(all.as_str());
            }
            Some(Value::Object(kinds)) => {
                for names in kinds.values() {
                    match names {
                        Value::Array(names) => principals.extend(names.iter().filter_map(Value::as_str)),
                        one => principals.extend(one.as_str()),
                    }
                }
            }
            _ => {}
        }
    }
    match principals.is_empty() {
        true => "shared".to_owned(),
        false => {
            let names: Vec<&str> = principals.into_iter().collect();
            format!("shared with {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_names_its_principals() {
        let policy = |principal: Value| json!({"Statement": [{"Effect": "Allow", "Principal": principal}]});
        let shared = |principal| shared_with(&policy(principal));
        assert_eq!(shared(json!("*")), "shared with *");
        assert_eq!(
            shared(json!({"AWS": ["222222222222", "111111111111"]})),
            "shared with 111111111111, 222222222222"
        );
        assert_eq!(
            shared(json!({"Service": "lambda.amazonaws.com"})),
            "shared with lambda.amazonaws.com"
        );
        let one = json!({"Statement": {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}}});
        assert_eq!(shared_with(&one), "shared with arn:aws:iam::111111111111:root");
        for odd in [json!({}), json!([]), json!({"Statement": 3}), policy(json!(3))] {
            assert_eq!(shared_with(&odd), "shared");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_without_an_answer_is_named() {
        let limit = Duration::from_secs(5);
        let never = part::<()>(limit, std::future::pending()).await;
        assert_eq!(never, Err("no answer within 5s".to_owned()));
        let failed = part::<()>(limit, async {
            Err(error::Error::failed("could not list the alarms").cause("AccessDenied: no"))
        });
        assert_eq!(
            failed.await,
            Err("could not list the alarms: AccessDenied: no".to_owned())
        );
    }
}
