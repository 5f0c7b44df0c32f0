//! What depends on a stream: consumers, event source mappings, alarms.

use serde::Serialize;

use crate::context::Context;
use crate::functions::mapping;
use crate::stream::StreamState;
use crate::stream::consumers::consumers;
use ground::error::{self, Error, Result};

/// Something that stops working when the stream is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependent {
    /// `consumer`, `function` or `alarm`.
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

/// Looks for what depends on `stream`. A listing that fails is named, and the others are made.
pub async fn of_stream(context: &Context, stream: &StreamState) -> Dependents {
    let (consumers, functions, alarms) = tokio::join!(
        registered(context, stream),
        readers(context, stream),
        alarms(context, stream)
    );
    let mut dependents = Dependents::default();
    for (kind, listed) in [
        ("consumer", consumers),
        ("function", functions),
        ("alarm", alarms),
    ] {
        match listed {
            Ok(names) => dependents
                .found
                .extend(names.into_iter().map(|name| Dependent { kind, name })),
            Err(error) => dependents.unknown.push(format!(
                "whether a {kind} depends on it is not known: {}",
                error.chain().join(": ")
            )),
        }
    }
    dependents
}

async fn registered(context: &Context, stream: &StreamState) -> Result<Vec<String>> {
    if stream.consumer_count == 0 {
        return Ok(Vec::new());
    }
    let found = consumers(context, &stream.arn).await?;
    Ok(found.into_iter().map(|consumer| consumer.name).collect())
}

async fn readers(context: &Context, stream: &StreamState) -> Result<Vec<String>> {
    let found = mapping::list(context, None, Some(&stream.arn)).await?;
    let mut names: Vec<String> = found
        .iter()
        .filter(|mapping| !mapping.is_going())
        .map(|mapping| mapping.function().to_owned())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Alarms on a metric of AWS/Kinesis with the stream as a dimension. There is no call that finds alarms by dimension alone.
async fn alarms(context: &Context, stream: &StreamState) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut pages = context.cloudwatch().describe_alarms().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| -> Error { error::aws::failed("could not list the alarms", e) })?;
        let watches = |alarm: &&aws_sdk_cloudwatch::types::MetricAlarm| {
            alarm.namespace() == Some("AWS/Kinesis")
                && alarm.dimensions().iter().any(|dimension| {
                    dimension.name() == Some("StreamName") && dimension.value() == Some(stream.name.as_str())
                })
        };
        let found = page.metric_alarms().iter().filter(watches);
        names.extend(found.filter_map(|alarm| alarm.alarm_name().map(str::to_owned)));
    }
    Ok(names)
}
