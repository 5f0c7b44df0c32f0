//! When records are sent: at a rate, or at the times at which they were recorded.
//!
//! Stands between what reads records and the put engine. Knows neither.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::produce::{Feed, Input};
use crate::record::{InputReader, Record, RecordError, RecordErrorKind, RecordSource};

/// What is behind the schedule by more than this is not made up for: a target that stood still is not flooded.
const MOST_BEHIND: Duration = Duration::from_secs(1);
/// Messages that wait for the engine.
const MESSAGES: usize = 2;
/// The most records in a message of a replay.
const BUNDLE: usize = 500;

/// How fast records are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Records in a second.
    Records(f64),
    /// Bytes of data and partition keys in a second.
    Bytes(f64),
}

impl Pace {
    /// How long a record takes.
    #[allow(clippy::cast_precision_loss, reason = "the size of a record")]
    fn time_of(self, record: &Record) -> Duration {
        let seconds = match self {
            Self::Records(rate) => 1.0 / rate,
            Self::Bytes(rate) => record.size() as f64 / rate,
        };
        // A rate of next to nothing is a wait of ages, and no panic.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
    }
}

/// Passes on the records of `input` at the rate `pace`, in the same order.
///
/// Must be called within a tokio runtime.
pub fn at_rate(mut input: Feed, pace: Pace) -> Feed {
    let (sender, feed) = mpsc::channel(MESSAGES);
    tokio::spawn(async move {
        let mut due = Instant::now();
        while let Some(next) = input.recv().await {
            let mut records = match next {
                Input::Records(records) => VecDeque::from(records),
                error @ Input::Error(_) => {
                    // Fails only where the receiver was dropped.
                    let _ = sender.send(error).await;
                    return;
                }
            };
            while !records.is_empty() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = sender.closed() => return,
                }
                let now = Instant::now();
                due = due.max(now.checked_sub(MOST_BEHIND).unwrap_or(now));
                let mut bundle = Vec::new();
                while due <= now
                    && let Some(record) = records.pop_front()
                {
                    due += pace.time_of(&record);
                    bundle.push(record);
                }
                if sender.send(Input::Records(bundle)).await.is_err() {
                    return;
                }
            }
        }
    });
    feed
}

/// How a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Playback {
    /// How many times faster than it was recorded; `None` as fast as possible.
    pub speed: Option<f64>,
    /// Only records that arrived at this time or later, in milliseconds since the Unix epoch.
    pub from_ms: Option<i64>,
    /// Only records that arrived before this time.
    pub until_ms: Option<i64>,
}

impl Playback {
    /// Whether every record must have a time.
    fn needs_times(&self) -> bool {
        self.speed.is_some() || self.from_ms.is_some() || self.until_ms.is_some()
    }

    fn has(&self, arrival_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| arrival_ms >= from)
            && self.until_ms.is_none_or(|until| arrival_ms < until)
    }
}

/// A record and when it arrived, or the error that ended the recording.
#[derive(Debug)]
pub enum Recorded {
    Record(Record, Option<i64>),
    Error(RecordError),
}

/// Reads a recording on a thread of its own.
///
/// Must be called within a tokio runtime.
pub fn recording(mut reader: InputReader, playback: Playback) -> mpsc::Receiver<Recorded> {
    let (sender, records) = mpsc::channel(BUNDLE * 2);
    tokio::task::spawn_blocking(move || {
        loop {
            let next = match reader.read() {
                Ok(None) => return,
                Err(error) => Recorded::Error(error),
                Ok(Some(record)) => match reader.arrival_ms() {
                    Some(arrival) if !playback.has(arrival) => continue,
                    None if playback.needs_times() || reader.makes_up_keys() => {
                        Recorded::Error(RecordError {
                            kind: RecordErrorKind::NoArrival,
                            file: None,
                            record: record.number,
                            line: record.line,
                            column: None,
                            started: None,
                        })
                    }
                    arrival => Recorded::Record(record, arrival),
                },
            };
            let is_last = matches!(next, Recorded::Error(_));
            if sender.blocking_send(next).is_err() || is_last {
                return;
            }
        }
    });
    records
}

/// Passes on records in their order, each as long after the first as it arrived after it, divided by the speed. A record
/// that arrived before one that was already passed on, at another shard, follows at once.
///
/// Must be called within a tokio runtime.
pub fn played(mut records: mpsc::Receiver<Recorded>, playback: Playback) -> Feed {
    let (sender, feed) = mpsc::channel(MESSAGES);
    tokio::spawn(async move {
        let mut start: Option<(Instant, i64)> = None;
        let mut bundle = Vec::new();
        loop {
            let next = match records.try_recv() {
                Ok(next) => Some(next),
                Err(_) => {
                    // Nothing is at hand: what is due goes before the wait.
                    if !passed_on(&sender, &mut bundle).await {
                        return;
                    }
                    records.recv().await
                }
            };
            let (record, arrival) = match next {
                Some(Recorded::Record(record, arrival)) => (record, arrival),
                Some(Recorded::Error(error)) => {
                    if passed_on(&sender, &mut bundle).await {
                        // Fails only where the receiver was dropped.
                        let _ = sender.send(Input::Error(error)).await;
                    }
                    return;
                }
                None => return,
            };
            if let (Some(speed), Some(arrival)) = (playback.speed, arrival) {
                let (begun, first) = *start.get_or_insert((Instant::now(), arrival));
                let due = begun + after(arrival.saturating_sub(first), speed);
                if due > Instant::now() {
                    if !passed_on(&sender, &mut bundle).await {
                        return;
                    }
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = sender.closed() => return,
                    }
                }
            }
            bundle.push(record);
            if bundle.len() >= BUNDLE && !passed_on(&sender, &mut bundle).await {
                return;
            }
        }
    });
    feed
}

/// Passes on the bundle; `false` where nobody takes it.
async fn passed_on(sender: &mpsc::Sender<Input>, bundle: &mut Vec<Record>) -> bool {
    bundle.is_empty() || sender.send(Input::Records(std::mem::take(bundle))).await.is_ok()
}

/// `ms` milliseconds at `speed`; nothing for a time that is over.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of centuries are exact")]
fn after(ms: i64, speed: f64) -> Duration {
    let seconds = ms.max(0) as f64 / 1000.0 / speed;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests;
