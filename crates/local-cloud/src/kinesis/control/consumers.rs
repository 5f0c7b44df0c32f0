//! Registered consumers, for enhanced fan-out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account;
use super::listing::check_creation;
use super::resource::{Resource, find_resource, no_consumer};
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::value::Timestamp;
use crate::kinesis::operation::Operation;
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::meta::{ConsumerMeta, Status, StreamMeta};
use crate::kinesis::wire::token;

/// Consumers per stream.
const MAX_CONSUMERS: usize = 20;
/// Consumers per stream with On-demand Advantage.
const MAX_CONSUMERS_ADVANTAGE: usize = 50;
/// Consumers of a stream in CREATING at the same time.
const MAX_CREATING: usize = 5;
/// Maximum and default page size.
const MAX_PAGE: i64 = 100;

/// RegisterStreamConsumer.
pub fn register(
    engine: &Engine,
    context: &Context,
    input: input::RegisterStreamConsumer,
) -> Result<output::RegisterStreamConsumer> {
    let stream = engine.find(context, &input)?;
    let name = text(&input.consumer_name);
    let tags = super::tags::initial(input.tags.clone(), name, &context.caller.account)?;
    let advantage = account::is_on(&engine.catalog.account(&context.caller), context.now_ms);
    let most = if advantage {
        MAX_CONSUMERS_ADVANTAGE
    } else {
        MAX_CONSUMERS
    };
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        if meta.consumer(name).is_some() {
            return Err(ApiError::in_use(format!(
                "Consumer {name} under stream {} already exists for account {}.",
                meta.name, meta.account
            )));
        }
        let creating = meta.consumers.iter().filter(|c| c.status == Status::Creating).count();
        if meta.consumers.len() >= most || (engine.options.enforce_limits && creating >= MAX_CREATING) {
            return Err(ApiError::limit_exceeded(format!(
                "This request would exceed the limit of {most} consumers ({MAX_CREATING} in CREATING state) of stream \
                 {} under account {}.",
                meta.name, meta.account
            )));
        }
        let consumer = ConsumerMeta {
            name: name.to_owned(),
            created_ms: context.now_ms,
            status: Status::Creating,
            due_ms,
            tags,
            policy: None,
        };
        let answer = output::RegisterStreamConsumer { consumer: Some(shown(meta, &consumer)) };
        meta.consumers.push(consumer);
        Ok(answer)
    })
}

fn shown(meta: &StreamMeta, consumer: &ConsumerMeta) -> output::Consumer {
    output::Consumer {
        name: consumer.name.clone(),
        arn: meta.consumer_arn(consumer),
        status: consumer.status.as_str(),
        created: Timestamp(consumer.created_ms),
    }
}

/// The stream and consumer name of a request: by consumer ARN, or by stream ARN and consumer name.
fn find(
    engine: &Engine,
    context: &Context,
    input: &input::ConsumerReference,
) -> Result<(Arc<Stream>, String)> {
    if let Some(arn) = &input.consumer_arn {
        let (stream, resource) = find_resource(engine, context, arn)?;
        let Resource::Consumer(name) = resource else {
            return Err(no_consumer(arn, &context.caller.account));
        };
        let contradicts = input.consumer_name.as_ref().is_some_and(|given| *given != name)
            || input
                .stream_arn
                .as_ref()
                .is_some_and(|given| *given != stream.view(context.now_ms).meta.arn());
        if contradicts {
            let text = "ConsumerARN, StreamARN and ConsumerName do not name the same consumer.";
            return Err(ApiError::invalid_argument(text));
        }
        return Ok((stream, name));
    }
    match (&input.stream_arn, &input.consumer_name) {
        (Some(_), Some(name)) => {
            let stream = engine.find(context, input)?;
            let known = stream.view(context.now_ms).meta.consumer(name).is_some();
            if known {
                Ok((stream, name.clone()))
            } else {
                Err(no_consumer(name, &context.caller.account))
            }
        }
        _ => Err(ApiError::invalid_argument(
            "Either ConsumerARN or both StreamARN and ConsumerName must be provided.",
        )),
    }
}

/// DescribeStreamConsumer.
pub fn describe(
    engine: &Engine,
    context: &Context,
    input: input::ConsumerReference,
) -> Result<output::DescribeStreamConsumer> {
    let (stream, name) = find(engine, context, &input)?;
    let view = stream.view(context.now_ms);
    engine.admit_on_stream(Operation::DescribeStreamConsumer, &view.meta, context.now_ms)?;
    let consumer = view
        .meta
        .consumer(&name)
        .ok_or_else(|| no_consumer(&name, &context.caller.account))?;
    let description = output::ConsumerDescription {
        name: consumer.name.clone(),
        arn: view.meta.consumer_arn(consumer),
        status: consumer.status.as_str(),
        created: Timestamp(consumer.created_ms),
        stream_arn: view.meta.arn(),
    };
    Ok(output::DescribeStreamConsumer { description })
}

/// DeregisterStreamConsumer.
pub fn deregister(engine: &Engine, context: &Context, input: input::ConsumerReference) -> Result<()> {
    let (stream, name) = find(engine, context, &input)?;
    let meta = &stream.view(context.now_ms).meta;
    engine.admit_on_stream(Operation::DeregisterStreamConsumer, meta, context.now_ms)?;
    let due_ms = engine.due(context.now_ms);
    stream.change(context.now_ms, |meta| {
        let account = meta.account.clone();
        let consumer = meta.consumers.iter_mut().find(|c| c.name == name);
        let consumer = consumer.ok_or_else(|| no_consumer(&name, &account))?;
        consumer.status = Status::Deleting;
        consumer.due_ms = due_ms;
        Ok(())
    })
}

/// Where the next page of ListStreamConsumers starts.
#[derive(Debug, Serialize, Deserialize)]
struct Next {
    stream: u64,
    after: String,
}

/// ListStreamConsumers, ordered by name.
pub fn list(
    engine: &Engine,
    context: &Context,
    input: input::ListStreamConsumers,
) -> Result<output::ListStreamConsumers> {
    let operation = Operation::ListStreamConsumers.as_str();
    let stream = engine.find(context, &input)?;
    let view = stream.view(context.now_ms);
    check_creation(&view, input.stream_creation_timestamp)?;
    engine.admit_on_stream(Operation::ListStreamConsumers, &view.meta, context.now_ms)?;
    let next: Option<Next> = input
        .next_token
        .as_deref()
        .map(|t| token::decode(operation, context.now_ms, t))
        .transpose()?;
    if next.as_ref().is_some_and(|next| next.stream != view.meta.id) {
        return Err(ApiError::invalid_argument("Invalid NextToken."));
    }
    let mut all: Vec<&ConsumerMeta> = view.meta.consumers.iter().collect();
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut rest = all
        .into_iter()
        .filter(|c| next.as_ref().is_none_or(|next| c.name > next.after));
    let limit = input.max_results.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize;
    let page: Vec<&ConsumerMeta> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let last = page.last().filter(|_| has_more);
    let next = last.map(|c| Next {
        stream: view.meta.id,
        after: c.name.clone(),
    });
    Ok(output::ListStreamConsumers {
        consumers: page.into_iter().map(|c| shown(&view.meta, c)).collect(),
        next_token: next
            .map(|next| token::encode(operation, context.now_ms, next))
            .transpose()?,
    })
}
