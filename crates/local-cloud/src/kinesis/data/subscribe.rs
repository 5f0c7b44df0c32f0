//! SubscribeToShard: records pushed for up to five minutes.
//!
//! A session is a state machine in the answer's body: it works only when polled, and ends when the body is dropped. It
//! wakes for new records, for changes of its stream, and every five seconds to report its position.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::watch;

use super::get::{children, millis_behind, record};
use super::measure::{self, Read};
use super::position::{StartRequest, resolve};
use crate::Body;
use crate::clock::Clock;
use crate::kinesis::control::resource::{Resource, find_resource, no_consumer};
use crate::kinesis::engine::{Context, Engine, dry_run};
use crate::kinesis::error::{ApiError, Code, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::validate::Check;
use crate::kinesis::sequence::SequenceNumber;
use crate::kinesis::store::{Page, Position};
use crate::kinesis::stream::meta::Status;
use crate::kinesis::stream::{Shard, Stream, View};
use crate::kinesis::subscriptions::{SESSION_MS, Subscriptions};
use crate::kinesis::wire::{Format, event};
use crate::metrics::MetricSink;

/// How often a session without records reports its position.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Maximum records per event.
const MAX_RECORDS: usize = 10_000;
/// Maximum bytes per event: one second of the consumer's 2 MiB/s.
const MAX_BYTES: usize = 2 * 1_048_576;

/// SubscribeToShard. The body of the answer is the event stream.
///
/// # Errors
/// Those of the API before the stream begins. Later errors are events.
pub fn subscribe_to_shard(engine: &Engine, context: &Context, body: &[u8]) -> Result<Body> {
    let input: input::SubscribeToShard = context.format.read(body)?;
    Check::run(&input)?;
    let arn = text(&input.consumer_arn);
    let (stream, resource) = find_resource(engine, context, arn)?;
    let Resource::Consumer(consumer) = resource else {
        return Err(no_consumer(arn, &context.caller.account));
    };
    let view = stream.view(context.now_ms);
    view.meta.require_data()?;
    require_active(&view, &consumer)?;
    let shard = Arc::clone(view.shard(text(&input.shard_id), context.now_ms)?.1);
    let start = input.starting_position.unwrap_or_default();
    let start = StartRequest {
        kind: text(&start.position_type),
        sequence_number: start.sequence_number.as_deref(),
        timestamp: start.timestamp,
        operation: "SubscribeToShard",
    };
    let position = resolve(&view, &shard, start, context.now_ms)?;
    dry_run(input.dry_run)?;
    let Some(turn) = engine.subscriptions.start(arn, shard.index, context.now_ms) else {
        measure::subscribed(engine, &view.meta, &consumer, false);
        return Err(ApiError::in_use(format!(
            "Another active subscription exists for this consumer: {}:{}:{consumer}, shard {}",
            view.meta.account, view.meta.name, shard.id
        )));
    };
    measure::subscribed(engine, &view.meta, &consumer, true);
    let session = Session {
        clock: Arc::clone(&engine.clock),
        metrics: Arc::clone(&engine.metrics),
        subscriptions: Arc::clone(&engine.subscriptions),
        closing: engine.closing.subscribe(),
        appended: shard.store.appended(),
        changed: stream.changed(),
        stream,
        shard,
        consumer,
        arn: arn.to_owned(),
        turn,
        position,
        deadline_ms: context.now_ms.saturating_add(SESSION_MS),
        format: context.format,
        stage: Stage::Greeting,
    };
    let events = stream::unfold(session, |mut session| async move {
        let event = session.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), session))
    });
    Ok(StreamBody::new(events.fuse())
        .map_err(|never| -> io::Error { match never {} })
        .boxed_unsync())
}

/// Rejects a consumer that is not ACTIVE.
fn require_active(view: &View, consumer: &str) -> Result<()> {
    let status = view.meta.consumer(consumer).map(|c| c.status);
    if status != Some(Status::Active) {
        return Err(ApiError::in_use(format!(
            "Consumer {consumer} under stream {} is not ACTIVE, instead in state {}",
            view.meta.name,
            status.map_or("DELETING", Status::as_str)
        )));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Reading,
    Over,
}

struct Session {
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    subscriptions: Arc<Subscriptions>,
    closing: watch::Receiver<bool>,
    appended: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
    stream: Arc<Stream>,
    shard: Arc<Shard>,
    consumer: String,
    arn: String,
    turn: u64,
    position: Position,
    deadline_ms: i64,
    format: Format,
    stage: Stage,
}

impl Session {
    /// The next frame. `None` when the session has ended.
    async fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Over => None,
            Stage::Greeting => {
                self.stage = Stage::Reading;
                let empty = self.format.write(&output::Nothing {}).ok()?;
                event::event("initial-response", self.format, empty).ok()
            }
            Stage::Reading => match self.read().await {
                Ok(frame) => frame,
                Err(error) => {
                    self.stage = Stage::Over;
                    event::exception(self.format, &error).ok()
                }
            },
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let mut quiet = false;
        loop {
            let now_ms = self.clock.now_ms();
            // Mark before looking at the state, so that a later change wakes the wait below.
            self.appended.mark_unchanged();
            self.changed.mark_unchanged();
            self.check(now_ms)?;
            if now_ms >= self.deadline_ms || self.is_closing() {
                self.stage = Stage::Over;
                return Ok(None);
            }
            let started = Instant::now();
            let view = self.stream.view(now_ms);
            self.shard.trim(view.meta.horizon_ms(now_ms));
            let page = self.shard.store.read(self.position, MAX_RECORDS, MAX_BYTES);
            let page = page.map_err(|e| ApiError::internal("the shard could not be read", &e))?;
            if !page.records.is_empty() || page.end_of_shard || quiet {
                return self.event(&page, now_ms, started).map(Some);
            }
            self.position = page.next;
            let left = Duration::from_millis(self.deadline_ms.saturating_sub(now_ms).unsigned_abs());
            tokio::select! {
                _ = self.appended.changed() => {}
                _ = self.changed.changed() => {}
                _ = self.closing.changed() => {}
                () = tokio::time::sleep(left.min(HEARTBEAT)) => quiet = true,
            }
        }
    }

    /// Whether the engine is shutting down.
    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }

    /// Checks that the subscription is still valid.
    fn check(&self, now_ms: i64) -> Result<()> {
        let view = self.stream.view(now_ms);
        if view.meta.status == Status::Deleting {
            return Err(ApiError::no_stream(&view.meta.name, &view.meta.account));
        }
        let consumer = view
            .meta
            .consumer(&self.consumer)
            .filter(|c| c.status == Status::Active);
        if consumer.is_none_or(|c| view.meta.consumer_arn(c) != self.arn) {
            return Err(no_consumer(&self.consumer, &view.meta.account));
        }
        if self
            .subscriptions
            .is_current(&self.arn, self.shard.index, self.turn)
        {
            return Ok(());
        }
        Err(ApiError::new(
            Code::ResourceInUseException,
            format!(
                "Another subscription of consumer {} to shard {} took over.",
                self.consumer, self.shard.id
            ),
        ))
    }

    fn event(&mut self, page: &Page, now_ms: i64, started: Instant) -> Result<Bytes> {
        let behind = millis_behind(page, now_ms);
        // If the shard was closed, the newest view contains its children.
        let view = if page.end_of_shard {
            self.stream.after_change(now_ms)
        } else {
            self.stream.view(now_ms)
        };
        let payload = output::SubscribeToShardEvent {
            records: page.records.iter().map(record).collect(),
            continuation: (!page.end_of_shard).then(|| self.continuation(page, now_ms)),
            millis_behind: behind,
            children: page.end_of_shard.then(|| children(&view, self.shard.index)),
        };
        let payload = self.format.write(&payload)?;
        self.position = page.next;
        if page.end_of_shard {
            self.stage = Stage::Over;
        }
        let bytes = page
            .records
            .iter()
            .map(|r| r.partition_key.len() + r.data.len())
            .sum();
        let read = Read {
            shard: self.shard.index,
            bytes,
            records: page.records.len(),
            age_ms: 0,
            latency: started.elapsed(),
            throttled: false,
        };
        measure::event(self.metrics.as_ref(), &view.meta, &self.consumer, &read, behind);
        event::event("SubscribeToShardEvent", self.format, payload)
    }

    /// The continuation sequence number: of the last record, or of the position where it would be.
    fn continuation(&self, page: &Page, now_ms: i64) -> String {
        if let Some(last) = page.records.last() {
            return last.sequence_number.to_string();
        }
        let created_ms = i64::try_from(
            self.shard
                .store
                .starting_sequence_number()
                .shard_created_seconds(),
        )
        .unwrap_or_default()
        .saturating_mul(1000);
        let index = page.next.index.saturating_sub(1);
        SequenceNumber::new(created_ms, self.shard.index, index, now_ms).to_string()
    }
}
