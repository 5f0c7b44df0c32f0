//! How much is in flight: the number of requests, their sizes and their time limits, by what the line carries.
//!
//! The rate of the line is measured as bytes acknowledged between the sending of a request and its answer, the highest of
//! the last seconds. As much is in flight as the line carries in about a second: more would only wait in buffers until it
//! is too late, and less would leave the line idle. Source of the measure: "BBR: Congestion-Based Congestion Control", ACM
//! Queue, 2016.

use std::time::Duration;

use tokio::time::Instant;

/// In flight before anything is measured, in bytes.
const FIRST_BYTES: f64 = 2.0 * 1024.0 * 1024.0;
/// Never less is in flight.
const FEWEST_BYTES: f64 = 64.0 * 1024.0;
/// A request is at most this part of what is in flight, so that the line is busy while an answer is on its way.
const PARTS: f64 = 3.0;
/// Requests in flight on any line.
const FEWEST: usize = 2;
/// What is in flight, in seconds of the line: a multiple of the shortest answer, within these limits.
const SHORTEST_SECONDS: f64 = 1.0;
const LONGEST_SECONDS: f64 = 4.0;
/// A measured rate counts for this long.
const MEMORY: Duration = Duration::from_secs(10);
/// A line that is not measured is taken for this fast, in bytes a second, when a time limit is set.
const UNMEASURED: f64 = 64.0 * 1024.0;
/// The time limit of a request is this multiple of the time that the line needs for all that is in flight.
const GENEROUS: f64 = 5.0;
const SHORTEST_LIMIT: Duration = Duration::from_secs(10);
const LONGEST_LIMIT: Duration = Duration::from_secs(600);

/// The line to the service.
#[derive(Debug)]
pub(super) struct Line {
    /// Requests that may be in flight: additive increase, multiplicative decrease.
    window: f64,
    most: f64,
    /// Bytes and requests in flight.
    bytes: usize,
    requests: usize,
    /// Bytes acknowledged so far.
    delivered: u64,
    /// The highest rate of this period and the one before, in bytes a second.
    rates: [f64; 2],
    /// The shortest answer of both, in seconds.
    answers: [f64; 2],
    period: Instant,
    /// Attempts in a row without an answer in time.
    timeouts: u32,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Instant,
    bytes: usize,
    delivered: u64,
    /// When to give it up.
    pub(super) limit: Duration,
}

impl Line {
    /// A line with at most `most` requests in flight.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        let most = most.max(1) as f64;
        Self {
            window: most,
            most,
            bytes: 0,
            requests: 0,
            delivered: 0,
            rates: [0.0; 2],
            answers: [f64::INFINITY; 2],
            period: now,
            timeouts: 0,
        }
    }

    /// Whether another request may be sent.
    pub(super) fn is_free(&self) -> bool {
        let requests = self.requests as f64;
        requests < self.window.floor() && (self.requests < FEWEST || (self.bytes as f64) < self.room())
    }

    /// The size of the next request, in bytes, if the service allows `most`.
    pub(super) fn request_bytes(&self, most: usize) -> usize {
        // From float to integer, `as` saturates.
        most.min((self.room() / PARTS) as usize)
    }

    /// The rate of the line in bytes a second, once it is measured.
    fn rate(&self) -> Option<f64> {
        let rate = self.rates[0].max(self.rates[1]);
        (rate > 0.0).then_some(rate)
    }

    /// Bytes that may be in flight.
    fn room(&self) -> f64 {
        let Some(rate) = self.rate() else {
            return FIRST_BYTES;
        };
        let answer = self.answers[0].min(self.answers[1]);
        (rate * (2.0 * answer).clamp(SHORTEST_SECONDS, LONGEST_SECONDS)).max(FEWEST_BYTES)
    }

    /// A request of `bytes` is sent.
    pub(super) fn send(&mut self, bytes: usize, now: Instant) -> Sent {
        self.bytes += bytes;
        self.requests += 1;
        Sent {
            at: now,
            bytes,
            delivered: self.delivered,
            limit: self.time_limit(),
        }
    }

    /// The time limit of a request that is sent behind all others.
    fn time_limit(&self) -> Duration {
        let rate = self.rate().unwrap_or(UNMEASURED);
        let needed = GENEROUS * self.bytes as f64 / rate;
        let needed = Duration::try_from_secs_f64(needed).unwrap_or(LONGEST_LIMIT);
        let patience = 1 << self.timeouts.min(6);
        (needed.max(SHORTEST_LIMIT) * patience).min(LONGEST_LIMIT)
    }

    /// A request was answered, whatever its answer says of its records.
    pub(super) fn answered(&mut self, sent: Sent, now: Instant) {
        self.ended(sent);
        self.delivered += sent.bytes as u64;
        self.timeouts = 0;
        if now.duration_since(self.period) >= MEMORY {
            self.rates = [0.0, self.rates[0]];
            self.answers = [f64::INFINITY, self.answers[0]];
            self.period = now;
        }
        let seconds = now.duration_since(sent.at).as_secs_f64().max(1e-6);
        let rate = (self.delivered - sent.delivered) as f64 / seconds;
        self.rates[0] = self.rates[0].max(rate);
        self.answers[0] = self.answers[0].min(seconds);
    }

    /// A request had no answer. `in_time` means that it failed before its time limit.
    pub(super) fn failed(&mut self, sent: Sent, in_time: bool) {
        self.ended(sent);
        if !in_time {
            self.timeouts = self.timeouts.saturating_add(1);
            // The line is slower than it was.
            self.rates = self.rates.map(|rate| rate / 2.0);
        }
    }

    fn ended(&mut self, sent: Sent) {
        self.bytes = self.bytes.saturating_sub(sent.bytes);
        self.requests = self.requests.saturating_sub(1);
    }

    /// More requests may be in flight.
    pub(super) fn widen(&mut self) {
        self.window = (self.window + 1.0 / self.window).min(self.most);
    }

    /// Fewer requests may be in flight.
    pub(super) fn narrow(&mut self) {
        self.window = (self.window * 0.7).max(1.0);
    }
}
