//! AWS/SQS metrics: what is in a queue, once a minute, and what went through it since.
//!
//! Source: "Available CloudWatch metrics for Amazon SQS", SQS developer guide.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::queue::{Holds, Queue};
use crate::Caller;
use crate::metrics::{MetricSink, Sample};

/// A queue counts as active that long after somebody used it; others are not measured.
const ACTIVE_MS: i64 = 6 * 3_600_000;

/// What went through the queues, by ARN.
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
    /// Takes note of what the operation `operation`, answered with `output`, did to the queue `arn`.
    pub fn note(&self, arn: &str, operation: &str, output: &Value, now: i64) {
        let listed = |name: &str| output[name].as_array().map_or(0, Vec::len);
        let listed = |name: &str| u32::try_from(listed(name)).unwrap_or(u32::MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(arn.to_owned()).or_default();
        counts.used_ms = now;
        match operation {
            "SendMessage" => counts.sent += 1,
            "SendMessageBatch" => counts.sent += listed("Successful"),
            "DeleteMessage" => counts.deleted += 1,
            "DeleteMessageBatch" => counts.deleted += listed("Successful"),
            "ReceiveMessage" => match listed("Messages") {
                0 => counts.empty += 1,
                received => counts.received += received,
            },
            _ => {}
        }
    }

    /// Hands `sink` what is to be told of `queue`, and counts anew. Nothing of a queue that nobody uses.
    pub fn tell(&self, queue: &Queue, holds: &Holds, now: i64, sink: &dyn MetricSink) {
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
        let held = holds.visible + holds.delayed + holds.hidden;
        if held == 0 && now - counts.used_ms > ACTIVE_MS {
            return;
        }
        let caller = Caller {
            account: queue.account.clone(),
            region: queue.region.clone(),
        };
        let tell = |name: &str, unit: &str, value: f64| {
            let dimensions = [("QueueName", queue.name.as_str())];
            sink.record(&caller, "AWS/SQS", name, &dimensions, unit, Sample::of(value));
        };
        let gauge = |name: &str, value: i32| tell(name, "Count", f64::from(value));
        gauge("ApproximateNumberOfMessagesVisible", holds.visible);
        gauge("ApproximateNumberOfMessagesDelayed", holds.delayed);
        gauge("ApproximateNumberOfMessagesNotVisible", holds.hidden);
        let age_s = holds.oldest_ms.map_or(0, |sent| (now - sent).max(0) / 1000);
        tell(
            "ApproximateAgeOfOldestMessage",
            "Seconds",
            f64::from(i32::try_from(age_s).unwrap_or(i32::MAX)),
        );
        let sum = |name: &str, value: u32| tell(name, "Count", f64::from(value));
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
    use crate::services::sqs::Sqs;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl MetricSink for Kept {
        fn record(
            &self,
            _: &Caller,
            namespace: &str,
            name: &str,
            dimensions: &[(&str, &str)],
            unit: &str,
            sample: Sample,
        ) {
            let (_, queue) = dimensions[0];
            let line = format!("{namespace} {queue} {name} {} {unit}", sample.sum);
            self.0.lock().unwrap().push(line);
        }
    }

    fn told(sqs: &Sqs) -> Vec<String> {
        let kept = Kept::default();
        sqs.measure(&kept);
        kept.0.into_inner().unwrap()
    }

    #[tokio::test]
    async fn what_is_in_a_queue_and_what_went_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_000_000));
        let sqs = Sqs::new(dir.path(), Arc::clone(&clock) as _);
        assert_eq!(told(&sqs), [""; 0], "no database is made only to be measured");
        let caller = Caller::default();
        let call = |operation: &'static str, input: Value| {
            let (sqs, caller) = (&sqs, &caller);
            async move {
                let outcome = sqs.operate(caller, "h", operation, input).await;
                outcome.unwrap_or_else(|fault| panic!("{}", fault.message))
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
        insta::assert_snapshot!(told(&sqs).join("\n"), @r"
        AWS/SQS dead ApproximateNumberOfMessagesVisible 2 Count
        AWS/SQS dead ApproximateNumberOfMessagesDelayed 0 Count
        AWS/SQS dead ApproximateNumberOfMessagesNotVisible 1 Count
        AWS/SQS dead ApproximateAgeOfOldestMessage 9 Seconds
        AWS/SQS dead NumberOfMessagesSent 4 Count
        AWS/SQS dead NumberOfMessagesReceived 2 Count
        AWS/SQS dead NumberOfMessagesDeleted 1 Count
        AWS/SQS dead NumberOfEmptyReceives 0 Count
        ");

        let quiet = told(&sqs);
        assert!(quiet.contains(&"AWS/SQS dead NumberOfMessagesSent 0 Count".to_owned()));
        call("PurgeQueue", json!({"QueueUrl": url})).await;
        clock.advance(ACTIVE_MS + 1);
        assert_eq!(told(&sqs), [""; 0]);
    }
}
