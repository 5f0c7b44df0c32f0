//! AWS/SQS metrics: the messages in a queue and the traffic of the last minute.
//!
//! Source: "Available CloudWatch metrics for Amazon SQS", SQS developer guide.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Operation;
use super::queue::{Depth, Queue};
use crate::metrics::{MetricSink, Sample};
use crate::types::Caller;

/// A queue is active for this long after its last use. Only active queues have metrics.
const ACTIVE_MS: i64 = 6 * 3_600_000;

/// Messages sent, received and deleted, by ARN of the queue.
#[derive(Default)]
pub(super) struct Traffic(Mutex<BTreeMap<String, Counts>>);

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counts {
    sent: u32,
    received: u32,
    deleted: u32,
    empty: u32,
    used_ms: i64,
}

impl Traffic {
    /// Counts the messages of `operation` on the queue `arn`.
    pub fn count(&self, arn: &str, operation: Operation, output: &Value, now: i64) {
        let listed = |name: &str| output[name].as_array().map_or(0, Vec::len);
        let listed = |name: &str| u32::try_from(listed(name)).unwrap_or(u32::MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(arn.to_owned()).or_default();
        counts.used_ms = now;
        match operation {
            Operation::SendMessage => counts.sent += 1,
            Operation::SendMessageBatch => counts.sent += listed("Successful"),
            Operation::DeleteMessage => counts.deleted += 1,
            Operation::DeleteMessageBatch => counts.deleted += listed("Successful"),
            Operation::ReceiveMessage => match listed("Messages") {
                0 => counts.empty += 1,
                received => counts.received += received,
            },
            Operation::ChangeMessageVisibility
            | Operation::ChangeMessageVisibilityBatch
            | Operation::CreateQueue
            | Operation::DeleteQueue
            | Operation::GetQueueAttributes
            | Operation::GetQueueUrl
            | Operation::ListDeadLetterSourceQueues
            | Operation::ListQueues
            | Operation::ListQueueTags
            | Operation::PurgeQueue
            | Operation::SetQueueAttributes
            | Operation::TagQueue
            | Operation::UntagQueue => {}
        }
    }

    /// Records the metrics of `queue`, if it is active, and resets its counts.
    pub fn record(&self, queue: &Queue, depth: &Depth, now: i64, sink: &dyn MetricSink) {
        let counts = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let counts = all.entry(queue.arn()).or_insert(Counts {
                used_ms: queue.created_ms,
                ..Counts::default()
            });
            let used_ms = counts.used_ms;
            std::mem::replace(
                counts,
                Counts {
                    used_ms,
                    ..Counts::default()
                },
            )
        };
        let held = depth.visible + depth.delayed + depth.hidden;
        if held == 0 && now - counts.used_ms > ACTIVE_MS {
            return;
        }
        let caller = Caller {
            account: queue.account.clone(),
            region: queue.region.clone(),
        };
        let record = |name: &str, unit: &str, value: f64| {
            let dimensions = [("QueueName", queue.name.as_str())];
            sink.record(&caller, "AWS/SQS", name, &dimensions, unit, Sample::of(value));
        };
        let gauge = |name: &str, value: i32| record(name, "Count", f64::from(value));
        gauge("ApproximateNumberOfMessagesVisible", depth.visible);
        gauge("ApproximateNumberOfMessagesDelayed", depth.delayed);
        gauge("ApproximateNumberOfMessagesNotVisible", depth.hidden);
        let age_s = depth.oldest_ms.map_or(0, |sent| (now - sent).max(0) / 1000);
        record(
            "ApproximateAgeOfOldestMessage",
            "Seconds",
            f64::from(i32::try_from(age_s).unwrap_or(i32::MAX)),
        );
        let sum = |name: &str, value: u32| record(name, "Count", f64::from(value));
        sum("NumberOfMessagesSent", counts.sent);
        sum("NumberOfMessagesReceived", counts.received);
        sum("NumberOfMessagesDeleted", counts.deleted);
        sum("NumberOfEmptyReceives", counts.empty);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::clock::ManualClock;
    use crate::sqs::Sqs;
    use crate::test_support::Metrics;

    fn measured(sqs: &Sqs, kept: &Metrics) -> Vec<String> {
        sqs.measure();
        let metrics = std::mem::take(&mut *kept.0.lock().unwrap());
        let lines = metrics.iter().map(|metric| {
            let queue = metric.dimensions.strip_prefix("QueueName=").unwrap();
            let (name, sum) = (&metric.name, metric.sample.sum);
            format!("{} {queue} {name} {sum} {}", metric.namespace, metric.unit)
        });
        lines.collect()
    }

    #[tokio::test]
    async fn what_is_in_a_queue_and_what_went_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_000_000));
        let kept = Arc::new(Metrics::default());
        let sqs = Sqs::new(dir.path(), Arc::clone(&clock) as _, Arc::clone(&kept) as _);
        assert_eq!(
            measured(&sqs, &kept),
            [""; 0],
            "no database is made only to be measured"
        );
        let caller = Caller::default();
        let call = |operation: &'static str, input: Value| {
            let (sqs, caller) = (&sqs, &caller);
            async move {
                let result = sqs.run(caller, "h", operation, input).await;
                result.unwrap_or_else(|error| panic!("{}", error.message))
            }
        };
        let url = call("CreateQueue", json!({"QueueName": "dead"})).await["QueueUrl"].clone();
        for body in ["one", "two", "three"] {
            call("SendMessage", json!({"QueueUrl": url, "MessageBody": body})).await;
        }
        sqs.send(
            "arn:aws:sqs:us-east-1:000000000000:dead",
            &json!({"MessageBody": "four"}),
        )
        .unwrap();
        let taken = call(
            "ReceiveMessage",
            json!({"QueueUrl": url, "MaxNumberOfMessages": 2}),
        )
        .await;
        let receipt = &taken["Messages"][0]["ReceiptHandle"];
        call(
            "DeleteMessage",
            json!({"QueueUrl": url, "ReceiptHandle": receipt}),
        )
        .await;
        clock.advance(9_000);
        insta::assert_snapshot!(measured(&sqs, &kept).join("\n"), @r"
        AWS/SQS dead ApproximateNumberOfMessagesVisible 2 Count
        AWS/SQS dead ApproximateNumberOfMessagesDelayed 0 Count
        AWS/SQS dead ApproximateNumberOfMessagesNotVisible 1 Count
        AWS/SQS dead ApproximateAgeOfOldestMessage 9 Seconds
        AWS/SQS dead NumberOfMessagesSent 4 Count
        AWS/SQS dead NumberOfMessagesReceived 2 Count
        AWS/SQS dead NumberOfMessagesDeleted 1 Count
        AWS/SQS dead NumberOfEmptyReceives 0 Count
        ");

        let quiet = measured(&sqs, &kept);
        assert!(quiet.contains(&"AWS/SQS dead NumberOfMessagesSent 0 Count".to_owned()));
        call("PurgeQueue", json!({"QueueUrl": url})).await;
        clock.advance(ACTIVE_MS + 1);
        assert_eq!(measured(&sqs, &kept), [""; 0]);
    }
}
