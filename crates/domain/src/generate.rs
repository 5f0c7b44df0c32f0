//! Generates events: those that the bundled pipelines take, and those of a JSON template with fakers.
//!
//! The same seed, start and rate make the same events, on any machine and in any version that has the same generator: all
//! chance comes from one [`Dice`], and time is that of the events. Knows neither streams nor the wall clock.

mod cart;
mod concert;
mod dice;
pub mod orders;
mod prices;
mod realtime;
mod retail;
mod template;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::dice::Dice;
use self::template::Template;
use crate::record::{KeyRule, RANDOM_KEY_LENGTH, Record, RecordError, RecordErrorKind, RecordSource};
use ground::error::Result;

/// The events of a burst are this much closer to each other.
const BURST: f64 = 8.0;
/// A burst begins after this many events on average, and has this many.
const BETWEEN_BURSTS: u64 = 400;
const BURST_EVENTS: u64 = 100;

/// A pipeline whose events are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipeline {
    /// Customer events of a shop, in sessions.
    Retail,
    /// Readings of sensors, and clicks.
    Realtime,
    /// Artists, venues, concerts and ticket sales.
    Concert,
    /// Prices of products.
    Prices,
    /// Shopping-cart events of a web page.
    Cart,
}

/// What events are generated.
#[derive(Debug, Clone)]
pub struct Settings {
    pub seed: u64,
    /// The time of the first event, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Events in a second of their own time, on average outside of bursts.
    pub rate: f64,
    /// How many; `None` without an end.
    pub count: Option<u64>,
    /// Where partition keys come from; `None` for the pipeline's own, or random ones.
    pub key: Option<KeyRule>,
}

/// An event.
struct Event {
    data: String,
    /// `None` for a random one.
    key: Option<String>,
}

/// What makes events out of chance and time.
trait Model: Send {
    fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Event;
}

/// Generates events as records.
pub struct Generator {
    settings: Settings,
    model: Box<dyn Model>,
    dice: Dice,
    /// The time of the next event. Not rounded, so that a rate of more than 1,000 a second has its time.
    now_ms: f64,
    /// How many events of the burst are left.
    burst: u64,
    number: u64,
}

impl Generator {
    /// Generates events of a pipeline.
    pub fn of_pipeline(pipeline: Pipeline, settings: Settings) -> Self {
        let mut dice = Dice::new(settings.seed);
        let model: Box<dyn Model> = match pipeline {
            Pipeline::Retail => Box::new(retail::Shop::default()),
            Pipeline::Realtime => Box::new(realtime::Site::new(&mut dice)),
            Pipeline::Concert => Box::new(concert::Agency::default()),
            Pipeline::Prices => Box::new(prices::Catalogue::new(&mut dice)),
            Pipeline::Cart => Box::new(cart::Carts::default()),
        };
        Self::new(model, dice, settings)
    }

    /// Generates events of a template, which is JSON with fakers such as `{{uuid}}`.
    ///
    /// # Errors
    /// Exit 2 for an unknown faker, or a template that does not make JSON.
    pub fn of_template(text: &str, settings: Settings) -> Result<Self> {
        let template = Template::parse(text, settings.start_ms)?;
        let dice = Dice::new(settings.seed);
        Ok(Self::new(Box::new(template), dice, settings))
    }

    #[allow(clippy::cast_precision_loss, reason = "milliseconds of centuries are exact")]
    fn new(model: Box<dyn Model>, dice: Dice, settings: Settings) -> Self {
        Self {
            model,
            dice,
            now_ms: settings.start_ms as f64,
            burst: 0,
            number: 0,
            settings,
        }
    }

    /// The time from one event to the next, in milliseconds: random arrivals, closer to each other in a burst.
    fn gap(&mut self) -> f64 {
        let mean = 1000.0 / self.settings.rate;
        if self.burst > 0 {
            self.burst -= 1;
            return self.dice.exponential(mean / BURST);
        }
        if self.dice.below(BETWEEN_BURSTS) == 0 {
            self.burst = BURST_EVENTS;
        }
        self.dice.exponential(mean)
    }
}

impl RecordSource for Generator {
    fn read_into(&mut self, record: &mut Record) -> std::result::Result<bool, RecordError> {
        if self.settings.count.is_some_and(|count| self.number >= count) {
            return Ok(false);
        }
        // From float to integer, `as` saturates.
        let Event { data, key } = self.model.next(&mut self.dice, self.now_ms as i64);
        self.now_ms += self.gap();
        self.number += 1;
        let is_random = match &self.settings.key {
            Some(rule) => *rule == KeyRule::Random,
            None => key.is_none(),
        };
        let partition_key = match (&self.settings.key, key) {
            (Some(rule), _) if !is_random => rule.key_of(data.as_bytes()).map_err(|kind| self.error(kind))?,
            (None, Some(key)) => key.into(),
            _ => self.dice.hex(RANDOM_KEY_LENGTH).into(),
        };
        *record = Record {
            data: Bytes::from(data),
            partition_key,
            explicit_hash_key: None,
            has_random_key: is_random,
            number: self.number,
            line: self.number,
        };
        Ok(true)
    }

    fn may_wait(&self) -> bool {
        false
    }
}

impl Generator {
    fn error(&self, kind: RecordErrorKind) -> RecordError {
        RecordError {
            kind,
            file: None,
            record: self.number,
            line: self.number,
            column: None,
            started: None,
        }
    }
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("number", &self.number).finish()
    }
}

/// `2026-01-01T12:30:00.000Z`.
fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// An amount of hundredths as a decimal number.
fn hundredths(amount: u64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}
