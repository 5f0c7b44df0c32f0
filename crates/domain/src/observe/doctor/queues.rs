//! Checks of queues: records that failed, and the time that a function has for a message.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Name;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Check;
use super::finding::{Finding, Looked, Skipped};
use super::measured::{Measured, Metric};
use super::subject::{Function, Subject};
use crate::context::Context;
use crate::functions::dead_letter::{MessageSource, Replay};
use crate::functions::mapping::resource_name;
use ground::duration;
use ground::error::{self, Result};

pub(super) const CHECKS: &[Check] = &[
    Check::new("dead-letters", "no failed records wait in a queue", |s| {
        Box::pin(dead_letters(s))
    }),
    Check::new("failure-queue-missing", "queues of failed records exist", |s| {
        Box::pin(missing(s))
    }),
    Check::new(
        "queue-visibility",
        "a message stays hidden while its function works",
        |s| Box::pin(visibility(s)),
    ),
];

/// Share of a queue's retention after which its messages are about to be deleted.
const OLD: f64 = 0.75;
/// Source: "Using Lambda with Amazon SQS", Lambda developer guide: a visibility timeout of at least six times the
/// function's timeout.
const VISIBILITY_TIMES: u32 = 6;

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub url: String,
    /// Approximate number of messages that can be received.
    pub visible: u64,
    /// Approximate number of messages that were received and not deleted yet.
    pub in_flight: u64,
    pub visibility_seconds: u32,
    pub retention_seconds: u32,
    /// Whether messages that are received too often go to another queue: then none is received to look at it.
    pub redrives: bool,
}

/// A queue that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    pub queue: String,
    pub function: String,
}

/// Why some of the records in a queue failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetters {
    pub queue: String,
    /// Reasons of the messages that were read, each as it is in the message.
    pub reasons: Vec<String>,
    /// Messages that were read.
    pub read: usize,
}

/// The name in the ARN of a queue; `None` for another destination.
pub(super) fn queue_of(destination: Option<&str>) -> Option<String> {
    let arn = destination?;
    arn.contains(":sqs:").then(|| resource_name(arn).to_owned())
}

/// The queue `name`; `None` if it does not exist.
pub(in crate::observe) async fn read(context: &Context, name: &str) -> Result<Option<Queue>> {
    let what = || format!("could not read queue {name}");
    let is_absent = |code: Option<&str>| {
        matches!(
            code,
            Some("AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist")
        )
    };
    let call = context.sqs().get_queue_url().queue_name(name).send();
    let url = match call.await {
        Ok(answer) => answer.queue_url.unwrap_or_default(),
        Err(error) if error::aws::is_not_found(&error) || is_absent(error.code()) => return Ok(None),
        Err(error) => return Err(error::aws::failed(what(), error)),
    };
    let call = context.sqs().get_queue_attributes().queue_url(&url);
    let answer = match call.attribute_names(Name::All).send().await {
        Ok(answer) => answer,
        Err(error) if error::aws::is_not_found(&error) || is_absent(error.code()) => return Ok(None),
        Err(error) => return Err(error::aws::failed(what(), error)),
    };
    let attributes = answer.attributes.unwrap_or_default();
    let number = |name: &Name| attributes.get(name).and_then(|text| text.parse::<u64>().ok());
    let seconds = |name: &Name| {
        number(name)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default()
    };
    Ok(Some(Queue {
        name: name.to_owned(),
        url,
        visible: number(&Name::ApproximateNumberOfMessages).unwrap_or_default(),
        in_flight: number(&Name::ApproximateNumberOfMessagesNotVisible).unwrap_or_default(),
        visibility_seconds: seconds(&Name::VisibilityTimeout),
        retention_seconds: seconds(&Name::MessageRetentionPeriod),
        redrives: attributes.contains_key(&Name::RedrivePolicy),
    }))
}

/// The queues whose messages invoke `function`.
pub(super) async fn event_sources(context: &Context, function: &str) -> Result<Vec<EventSource>, Skipped> {
    let call = context.lambda().list_event_source_mappings();
    let mut pages = call.function_name(function).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| error::aws::failed(format!("could not list the mappings of {function}"), e))?;
        let arns = page.event_source_mappings().iter();
        let queues = arns.filter_map(|mapping| queue_of(mapping.event_source_arn()));
        found.extend(queues.map(|queue| EventSource {
            queue,
            function: function.to_owned(),
        }));
    }
    Ok(found)
}

/// Reads some messages of `queue` and keeps them.
pub(super) async fn sample(context: &Context, queue: &Queue) -> Result<DeadLetters> {
    let mut letters = DeadLetters {
        queue: queue.name.clone(),
        ..DeadLetters::default()
    };
    let source = MessageSource::Queue(queue.url.clone());
    Replay::peek(context, &source, |letter| {
        letters.read += 1;
        letters.reasons.push(match letter {
            Ok(letter) => letter.reason,
            Err(problem) => problem,
        });
    })
    .await?;
    Ok(letters)
}

async fn dead_letters(subject: &Subject<'_>) -> Looked {
    let names = subject.failure_queues().await?;
    let queues = subject.queues().await?;
    let measured = subject.measured().await.ok();
    let queues = names.iter().filter_map(|name| queues.get(name)?.as_ref());
    Ok(queues.filter_map(|queue| waiting(queue, measured)).collect())
}

fn waiting(queue: &Queue, measured: Option<&Measured>) -> Option<Finding> {
    if queue.visible + queue.in_flight == 0 {
        return None;
    }
    let kept = Duration::from_secs(queue.retention_seconds.into());
    let messages = match queue.visible {
        1 => "1 message".to_owned(),
        many => format!("{many} messages"),
    };
    let oldest = measured.and_then(|measured| measured.newest(Metric::OldestMessage, &queue.name));
    let oldest = oldest.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let oldest = oldest.filter(|age| age.as_secs() > 0);
    let is_old = oldest.is_some_and(|age| age.as_secs_f64() > OLD * kept.as_secs_f64());
    let in_words = |length: Duration| duration::format(Duration::from_secs(length.as_secs()));
    let age = oldest.map(|age| {
        let lost = match is_old {
            true => format!("; it is deleted in {}", in_words(kept.saturating_sub(age))),
            false => String::new(),
        };
        format!("the oldest is {} old{lost}", in_words(age))
    });
    let in_flight = (queue.in_flight > 0).then(|| format!("{} more are being read", queue.in_flight));
    Some(
        Finding::fault(
            format!("queue {}", queue.name),
            format!("holds {messages} about records that failed"),
        )
        .evidence_if(age)
        .evidence_if(in_flight)
        .evidence(format!("it keeps messages for {}", in_words(kept)))
        .fix(&["dlq", "list", &queue.name])
        .fix(&["dlq", "replay", &queue.name]),
    )
}

async fn missing(subject: &Subject<'_>) -> Looked {
    let mut findings = Vec::new();
    let queues = subject.queues().await?;
    for mapping in subject.mappings().await? {
        let Some(name) = queue_of(mapping.settings.on_failure.as_deref()) else {
            continue;
        };
        if queues.get(&name).is_some_and(Option::is_none) {
            let finding = Finding::fault(
                format!("mapping {} → {}", mapping.stream(), mapping.function()),
                "sends failed records to a queue that does not exist: they are lost",
            );
            let finding = finding.evidence(format!("on-failure destination: queue {name}"));
            let none = ["--on-failure", "none"];
            findings.push(super::fixes::change_mapping(finding, mapping, &none, false));
        }
    }
    Ok(findings)
}

async fn visibility(subject: &Subject<'_>) -> Looked {
    let queues = subject.queues().await?;
    let functions = subject.named_functions().await?;
    let sources: BTreeSet<(&str, &str)> = subject
        .event_sources()
        .await?
        .iter()
        .map(|source| (source.queue.as_str(), source.function.as_str()))
        .collect();
    let pairs = sources.into_iter().filter_map(|(queue, function)| {
        let queue = queues.get(queue)?.as_ref()?;
        let function = functions.get(function)?.as_ref()?;
        hidden_too_short(queue, function)
    });
    Ok(pairs.collect())
}

fn hidden_too_short(queue: &Queue, function: &Function) -> Option<Finding> {
    let timeout = function.state.timeout_seconds;
    let wanted = timeout.saturating_mul(VISIBILITY_TIMES);
    if queue.visibility_seconds >= wanted {
        return None;
    }
    let of = format!("queue {}", queue.name);
    let finding = match queue.visibility_seconds < timeout {
        true => Finding::fault(of, "shows messages again while the function still processes them"),
        false => Finding::caution(of, "may show messages again before the function has retried them"),
    };
    Some(
        finding
            .evidence(format!(
                "visibility timeout {} s, timeout of function {} {timeout} s; AWS advises six times that",
                queue.visibility_seconds, function.name
            ))
            .other_fix(format!(
                "aws sqs set-queue-attributes --queue-url {} --attributes VisibilityTimeout={wanted}",
                queue.url
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::super::test_support::function;
    use super::*;
    use crate::observe::doctor::Severity;

    fn queue(visible: u64) -> Queue {
        Queue {
            name: "failed".to_owned(),
            url: "https://sqs.us-east-1.amazonaws.com/000000000000/failed".to_owned(),
            visible,
            in_flight: 0,
            visibility_seconds: 30,
            retention_seconds: 1_209_600,
            redrives: false,
        }
    }

    #[test]
    fn failed_records_wait_until_the_queue_deletes_them() {
        assert_eq!(waiting(&queue(0), None), None);
        let found = waiting(&queue(3), None).unwrap();
        assert_eq!(found.summary, "holds 3 messages about records that failed");
        assert_eq!(found.fixes[0].command, "streamctl dlq list failed");
        let old = Measured::of(0, &[(Metric::OldestMessage, "failed", &[(0, 1_100_000.0)])]);
        let found = waiting(&queue(1), Some(&old)).unwrap();
        assert_eq!(
            found.evidence,
            [
                "the oldest is 12d17h33m20s old; it is deleted in 1d6h26m40s",
                "it keeps messages for 14d",
            ]
        );
    }

    #[test]
    fn a_queue_hides_a_message_six_times_as_long_as_the_function_may_work() {
        let mut scorer = function("scorer");
        let judge = |function: &Function| hidden_too_short(&queue(0), function).map(|one| one.severity);
        assert_eq!(judge(&scorer), Some(Severity::Fault));
        scorer.state.timeout_seconds = 30;
        assert_eq!(judge(&scorer), Some(Severity::Caution));
        scorer.state.timeout_seconds = 5;
        assert_eq!(judge(&scorer), None);
    }

    #[test]
    fn only_the_arn_of_a_queue_names_a_queue() {
        let of = |arn| queue_of(Some(arn));
        assert_eq!(
            of("arn:aws:sqs:us-east-1:000000000000:failed").as_deref(),
            Some("failed")
        );
        assert_eq!(of("arn:aws:s3:::failed"), None);
        assert_eq!(of(""), None);
        assert_eq!(queue_of(None), None);
    }
}
