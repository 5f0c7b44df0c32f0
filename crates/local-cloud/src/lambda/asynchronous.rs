//! Asynchronous invocations: retries and destinations.
//!
//! An event is accepted when it is in the [`super::spool`]. After a restart its events run again from the first try.
//! Source: "How Lambda handles errors and retries with asynchronous invocation", "Capturing records of Lambda
//! asynchronous invocations", Lambda developer guide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Lambda;
use super::error::{ApiError, Result};
use super::executor::{Call, Run};
use super::invocation::MAX_ASYNCHRONOUS;
use super::model::{EventConfig, timestamp};
use super::name::{FunctionName, LATEST};
use super::spool::QueuedEvent;
use crate::clock::until;
use crate::deliver::Undelivered;
use crate::invoke::{Invoke, InvokeResult};
use ground::backoff::Backoff;

/// Maximum KiB of waiting events.
pub(super) const MAX_QUEUED_KIB: u32 = 256 * 1024;
/// Maximum age of an event.
const MAX_AGE_SECONDS: u32 = 6 * 3600;
/// Backoff of a throttled event.
const THROTTLED: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// Final result of an event.
struct EventResult {
    condition: &'static str,
    runs: u32,
    /// Result of the last invocation.
    last: Option<InvokeResult>,
}

impl Lambda {
    /// Stores the call and runs it in the background.
    pub(super) fn enqueue(&self, name: &FunctionName, call: Call) -> Result<()> {
        let room = Arc::clone(&self.events)
            .try_acquire_many_owned(kib(&call.payload))
            .map_err(|_| ApiError::throttled("CallerRateLimitExceeded"))?;
        let this = self
            .me
            .upgrade()
            .ok_or_else(|| ApiError::service("The local cloud is stopping."))?;
        let event = QueuedEvent {
            name: name.clone(),
            request_id: call.request_id.clone(),
            accepted_ms: self.clock.now_ms(),
            payload: call.payload.clone(),
        };
        self.spool.keep(&event).map_err(|error| {
            tracing::error!(%error, "could not store an event");
            ApiError::service("The event could not be stored.")
        })?;
        tokio::spawn(async move {
            this.run_event(&event, call).await;
            drop(room);
        });
        Ok(())
    }

    /// Runs the unfinished events of an earlier process. Returns immediately.
    pub fn resume(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let ids = this.spool.ids().unwrap_or_else(|error| {
                tracing::error!(%error, "could not read the events of an earlier run");
                Vec::new()
            });
            for id in ids {
                match this.spool.load(&id) {
                    Ok(Some(event)) => this.resume_one(event).await,
                    Ok(None) => this.spool.set_aside(&id),
                    Err(error) => tracing::warn!(id, %error, "could not read an event of an earlier run"),
                }
            }
        });
    }

    /// Waits for room for the event, then starts it.
    async fn resume_one(self: &Arc<Self>, event: QueuedEvent) {
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
                    Err(error) if error.code == "ResourceConflictException" => {
                        tokio::time::sleep(THROTTLED.pause(0)).await;
                    }
                    Err(error) => {
                        tracing::warn!(function = event.name.name, %error.message, "discarded an event of an earlier run");
                        break this.spool.remove(&event.request_id);
                    }
                }
            }
            drop(room);
        });
    }

    async fn run_event(&self, event: &QueuedEvent, call: Call) {
        let name = &event.name;
        let config = self
            .registry
            .get(&name.caller, &name.name)
            .and_then(|function| {
                let key = name.qualifier.as_deref().unwrap_or(LATEST);
                function.event_configs.get(key).cloned()
            })
            .unwrap_or_default();
        let result = self.run_until_done(name, &call, event.accepted_ms, &config).await;
        let destination = if result.condition == "Success" {
            &config.on_success
        } else {
            &config.on_failure
        };
        let mut deliveries = Vec::new();
        if let Some(arn) = destination {
            let record = invocation_record(&call, &result, self.clock.now_ms());
            deliveries.push((arn.clone(), self.send_to_destination(&call, arn, &record).await));
        }
        if let Some(arn) = &call.version.dead_letter
            && result.condition != "Success"
        {
            deliveries.push((arn.clone(), self.send_to_dead_letter(&call, arn, &result).await));
        }
        for (arn, delivery) in deliveries {
            if let Err(error) = delivery {
                tracing::warn!(function = call.name, destination = arn, %error, "could not send the result of an event to its destination");
            }
        }
        self.spool.remove(&event.request_id);
    }

    /// Runs the event, with retries.
    async fn run_until_done(
        &self,
        name: &FunctionName,
        call: &Call,
        accepted_ms: i64,
        config: &EventConfig,
    ) -> EventResult {
        let max_age = i64::from(config.max_age_seconds.unwrap_or(MAX_AGE_SECONDS)) * 1000;
        let retries = config.retries.unwrap_or(2);
        let (mut backoff, mut runs, mut last) = (THROTTLED.pauses(), 0, None);
        let condition = loop {
            if self.clock.now_ms() - accepted_ms > max_age {
                break "EventAgeExceeded";
            }
            // With the current state of the function.
            let run = match self.call(name, &call.request_id, call.payload.clone(), MAX_ASYNCHRONOUS) {
                Ok(call) => self.executor.run(call).await,
                Err(error) if error.code == "ResourceConflictException" => Run {
                    outcome: InvokeResult::Throttled,
                    tail: None,
                    throttle: None,
                },
                // The function was deleted.
                Err(_) => break "RetriesExhausted",
            };
            match run.outcome {
                InvokeResult::Returned(_) => {
                    runs += 1;
                    last = Some(run.outcome);
                    break "Success";
                }
                InvokeResult::FunctionError { .. } => {
                    runs += 1;
                    last = Some(run.outcome);
                    if runs > retries {
                        break "RetriesExhausted";
                    }
                    let delay = self.timings.retry_delays[(runs as usize - 1).min(1)];
                    let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                    until(&*self.clock, self.clock.now_ms().saturating_add(delay_ms)).await;
                }
                InvokeResult::Throttled if call.reserved == Some(0) => break "ZeroReservedConcurrency",
                InvokeResult::Throttled | InvokeResult::Refused { .. } => {
                    tokio::time::sleep(backoff.advance()).await;
                }
            }
        };
        EventResult {
            condition,
            runs,
            last,
        }
    }

    async fn send_to_destination(
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
                match invoked.result {
                    InvokeResult::Refused { code, message } => Err(Undelivered { code, message }),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Sends the event to the dead-letter target.
    async fn send_to_dead_letter(
        &self,
        call: &Call,
        arn: &str,
        result: &EventResult,
    ) -> std::result::Result<(), Undelivered> {
        let message = match &result.last {
            Some(InvokeResult::FunctionError { payload, .. }) => serde_json::from_slice::<Value>(payload)
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
                    .unwrap_or_else(|| result.condition.to_owned())
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
    u32::try_from(payload.len().div_ceil(1024).max(1)).unwrap_or(MAX_QUEUED_KIB)
}

fn invocation_record(call: &Call, result: &EventResult, now_ms: i64) -> Value {
    let (payload, error) = match &result.last {
        Some(InvokeResult::Returned(payload)) => (Some(payload), None),
        Some(InvokeResult::FunctionError { kind, payload }) => (Some(payload), Some(*kind)),
        _ => (None, None),
    };
    let mut record = json!({
        "version": "1.0",
        "timestamp": timestamp(now_ms).replace("+0000", "Z"),
        "requestContext": {
            "requestId": call.request_id,
            "functionArn": format!("{}:{}", call.function_arn, call.version.version),
            "condition": result.condition,
            "approximateInvokeCount": result.runs,
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

/// The payload as JSON, or as text if it is not JSON.
fn json_of(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()))
}
