//! Asynchronous invocations: retried, and their outcome handed to destinations.
//!
//! An event is accepted once it is in the [`super::spool`]; after a restart those in it are run, from their first try on.
//! Source: "How Lambda handles errors and retries with asynchronous invocation", "Capturing records of Lambda
//! asynchronous invocations", Lambda developer guide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Lambda;
use super::executor::{Call, Run};
use super::fault::{Fault, Result};
use super::invocation::MAX_ASYNCHRONOUS;
use super::model::{EventConfig, timestamp};
use super::name::{FunctionName, LATEST};
use super::spool::Waiting;
use crate::deliver::Undelivered;
use crate::invoke::{Invoke, Outcome};
use ground::backoff::Backoff;

/// KiB of events that may wait at once.
pub(super) const ROOM_KIB: u32 = 256 * 1024;
/// How old an event may become.
const MAX_AGE_SECONDS: u32 = 6 * 3600;
/// How long an event that was throttled waits.
const THROTTLED: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// How an event came out in the end.
struct Ended {
    condition: &'static str,
    runs: u32,
    outcome: Option<Outcome>,
}

impl Lambda {
    /// Takes the call and runs it in its own time.
    pub(super) fn enqueue(&self, name: &FunctionName, call: Call) -> Result<()> {
        let room = Arc::clone(&self.events)
            .try_acquire_many_owned(kib(&call.payload))
            .map_err(|_| Fault::throttled("CallerRateLimitExceeded"))?;
        let this = self
            .me
            .upgrade()
            .ok_or_else(|| Fault::service("The local cloud is stopping."))?;
        let event = Waiting {
            name: name.clone(),
            request_id: call.request_id.clone(),
            born_ms: self.clock.now_ms(),
            payload: call.payload.clone(),
        };
        self.spool.keep(&event).map_err(|error| {
            tracing::error!(%error, "an event could not be kept");
            Fault::service("The event could not be kept.")
        })?;
        tokio::spawn(async move {
            this.run_event(&event, call).await;
            drop(room);
        });
        Ok(())
    }

    /// Runs the events that an earlier process accepted and was not done with. Returns at once.
    pub fn resume(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let ids = this.spool.ids().unwrap_or_else(|error| {
                tracing::error!(%error, "the events of an earlier run cannot be read");
                Vec::new()
            });
            for id in ids {
                match this.spool.load(&id) {
                    Ok(Some(event)) => this.resume_one(event).await,
                    Ok(None) => this.spool.remove(&id),
                    Err(error) => tracing::warn!(id, %error, "an event of an earlier run cannot be read"),
                }
            }
        });
    }

    /// Returns once there is room for the event, which then runs.
    async fn resume_one(self: &Arc<Self>, event: Waiting) {
        let room = Arc::clone(&self.events)
            .acquire_many_owned(kib(&event.payload))
            .await;
        let this = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let called = this.call(
                    &event.name,
                    &event.request_id,
                    event.payload.clone(),
                    MAX_ASYNCHRONOUS,
                );
                match called {
                    Ok(call) => break this.run_event(&event, call).await,
                    Err(fault) if fault.code == "ResourceConflictException" => {
                        tokio::time::sleep(THROTTLED.pause(0)).await;
                    }
                    Err(fault) => {
                        tracing::warn!(function = event.name.name, %fault.message, "an event of an earlier run is dropped");
                        break this.spool.remove(&event.request_id);
                    }
                }
            }
            drop(room);
        });
    }

    async fn run_event(&self, event: &Waiting, call: Call) {
        let name = &event.name;
        let config = self
            .registry
            .get(&name.caller, &name.name)
            .and_then(|function| {
                let key = name.qualifier.as_deref().unwrap_or(LATEST);
                function.event_configs.get(key).cloned()
            })
            .unwrap_or_default();
        let ended = self.run_until_done(name, &call, event.born_ms, &config).await;
        let destination = if ended.condition == "Success" {
            &config.on_success
        } else {
            &config.on_failure
        };
        let mut outcomes = Vec::new();
        if let Some(arn) = destination {
            let record = invocation_record(&call, &ended, self.clock.now_ms());
            outcomes.push((arn.clone(), self.hand_over(&call, arn, &record).await));
        }
        if let Some(arn) = &call.version.dead_letter
            && ended.condition != "Success"
        {
            outcomes.push((arn.clone(), self.to_dead_letter(&call, arn, &ended).await));
        }
        for (arn, outcome) in outcomes {
            if let Err(error) = outcome {
                tracing::warn!(function = call.name, destination = arn, %error, "an outcome could not be delivered");
            }
        }
        self.spool.remove(&event.request_id);
    }

    /// Runs the event, again if need be.
    async fn run_until_done(
        &self,
        name: &FunctionName,
        call: &Call,
        born: i64,
        config: &EventConfig,
    ) -> Ended {
        let max_age = i64::from(config.max_age_seconds.unwrap_or(MAX_AGE_SECONDS)) * 1000;
        let retries = config.retries.unwrap_or(2);
        let (mut throttled, mut runs, mut last) = (THROTTLED.pauses(), 0, None);
        loop {
            if self.clock.now_ms() - born > max_age {
                return Ended {
                    condition: "EventAgeExceeded",
                    runs,
                    outcome: last,
                };
            }
            // As the function is by now.
            let run = match self.call(name, &call.request_id, call.payload.clone(), MAX_ASYNCHRONOUS) {
                Ok(call) => self.executor.run(call).await,
                Err(fault) if fault.code == "ResourceConflictException" => Run {
                    outcome: Outcome::Throttled,
                    tail: None,
                    throttle: None,
                },
                // The function is gone.
                Err(_) => {
                    return Ended {
                        condition: "RetriesExhausted",
                        runs,
                        outcome: last,
                    };
                }
            };
            match run.outcome {
                Outcome::Returned(_) => {
                    return Ended {
                        condition: "Success",
                        runs: runs + 1,
                        outcome: Some(run.outcome),
                    };
                }
                Outcome::FunctionError { .. } => {
                    runs += 1;
                    last = Some(run.outcome);
                    if runs > retries {
                        return Ended {
                            condition: "RetriesExhausted",
                            runs,
                            outcome: last,
                        };
                    }
                    let delay = self.pace.retry_delays[(runs as usize - 1).min(1)];
                    tokio::time::sleep(delay).await;
                }
                Outcome::Throttled if call.reserved == Some(0) => {
                    return Ended {
                        condition: "ZeroReservedConcurrency",
                        runs,
                        outcome: last,
                    };
                }
                Outcome::Throttled | Outcome::Refused { .. } => {
                    tokio::time::sleep(throttled.advance()).await;
                }
            }
        }
    }

    async fn hand_over(
        &self,
        call: &Call,
        arn: &str,
        record: &Value,
    ) -> std::result::Result<(), Undelivered> {
        let body = record.to_string();
        match arn.split(':').nth(2) {
            Some("sqs") => self.deliver.to_queue(arn, &body, &BTreeMap::new()).await,
            Some("sns") => self.deliver.to_topic(arn, None, &body).await,
            Some("s3") => {
                let bucket = arn.rsplit(':').next().unwrap_or_default();
                let key = format!(
                    "aws/lambda/async/{}/{}/{}",
                    call.name,
                    timestamp(self.clock.now_ms())
                        .get(..10)
                        .unwrap_or_default()
                        .replace('-', "/"),
                    call.request_id
                );
                self.deliver
                    .to_bucket(&call.caller, bucket, &key, Bytes::from(body))
                    .await
            }
            _ => {
                let invoked = self.invoke(arn, Bytes::from(body)).await;
                match invoked.outcome {
                    Outcome::Refused { code, message } => Err(Undelivered { code, message }),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Hands the event itself to the dead-letter target.
    async fn to_dead_letter(
        &self,
        call: &Call,
        arn: &str,
        ended: &Ended,
    ) -> std::result::Result<(), Undelivered> {
        let message = match &ended.outcome {
            Some(Outcome::FunctionError { payload, .. }) => serde_json::from_slice::<Value>(payload)
                .ok()
                .and_then(|value| value["errorMessage"].as_str().map(str::to_owned)),
            _ => None,
        };
        let attributes = BTreeMap::from([
            ("RequestID".to_owned(), call.request_id.clone()),
            ("ErrorCode".to_owned(), "200".to_owned()),
            (
                "ErrorMessage".to_owned(),
                message
                    .unwrap_or_else(|| ended.condition.to_owned())
                    .chars()
                    .take(1024)
                    .collect(),
            ),
        ]);
        let body = String::from_utf8_lossy(&call.payload);
        if arn.contains(":sns:") {
            self.deliver.to_topic(arn, None, &body).await
        } else {
            self.deliver.to_queue(arn, &body, &attributes).await
        }
    }
}

fn kib(payload: &Bytes) -> u32 {
    u32::try_from(payload.len().div_ceil(1024).max(1)).unwrap_or(ROOM_KIB)
}

fn invocation_record(call: &Call, ended: &Ended, now_ms: i64) -> Value {
    let (payload, error) = match &ended.outcome {
        Some(Outcome::Returned(payload)) => (Some(payload), None),
        Some(Outcome::FunctionError { kind, payload }) => (Some(payload), Some(*kind)),
        _ => (None, None),
    };
    let mut record = json!({
        "version": "1.0",
        "timestamp": timestamp(now_ms).replace("+0000", "Z"),
        "requestContext": {
            "requestId": call.request_id,
            "functionArn": format!("{}:{}", call.function_arn, call.version.version),
            "condition": ended.condition,
            "approximateInvokeCount": ended.runs,
        },
        "requestPayload": json_of(&call.payload),
    });
    if let Some(payload) = payload {
        record["responseContext"] = json!({"statusCode": 200, "executedVersion": call.version.version});
        if let Some(error) = error {
            record["responseContext"]["functionError"] = json!(error);
        }
        record["responsePayload"] = json_of(payload);
    }
    record
}

/// The payload as JSON; as a text if it is none.
fn json_of(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()))
}
