//! Rates from CloudWatch metrics, which have one value a minute.
//!
//! The local cloud shows the running minute, so two readings of it give the rate of the seconds between them. AWS publishes
//! a minute after it has ended: there the rate is that of the newest minute, and has an age.

use std::collections::HashMap;

use crate::observe::metrics::{Point, Resource, Series};

const MINUTE: i64 = 60;
/// Two readings that are nearer give no rate, in milliseconds.
const NEAREST_MS: i64 = 500;
/// Two readings that are further apart do not belong together, in milliseconds.
const FURTHEST_MS: i64 = 120_000;

/// The last readings.
#[derive(Debug)]
pub struct Meter {
    /// Whether the running minute is shown.
    is_immediate: bool,
    seen: HashMap<Resource, Vec<(String, Seen)>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    at_ms: i64,
    points: Vec<Point>,
    rate: Option<f64>,
    figure: Option<f64>,
    newest: Option<f64>,
}

impl Meter {
    pub fn new(is_immediate: bool) -> Self {
        Self {
            is_immediate,
            seen: HashMap::new(),
        }
    }

    /// Takes series that were read at `now_ms`, in milliseconds since the epoch.
    pub fn read(&mut self, series: Vec<Series>, now_ms: i64) {
        for Series {
            resource,
            spec,
            points,
            is_complete,
        } in series
        {
            let metrics = self.seen.entry(resource.clone()).or_default();
            let place = metrics.iter().position(|(name, _)| *name == spec.name);
            let before = place.map(|place| &metrics[place].1);
            let rate = match self.is_immediate {
                true => running_rate(before, &points, now_ms),
                false => published(&points, now_ms).map(|point| point.value / MINUTE as f64),
            };
            let is_too_near = before.is_some_and(|seen| now_ms - seen.at_ms < NEAREST_MS);
            if self.is_immediate && is_too_near {
                continue;
            }
            let series = Series {
                resource,
                spec,
                points,
                is_complete,
            };
            let seen = Seen {
                at_ms: now_ms,
                rate,
                figure: series.figure(),
                newest: series.newest(),
                points: series.points,
            };
            match place {
                Some(place) => metrics[place].1 = seen,
                None => metrics.push((series.spec.name.into_owned(), seen)),
            }
        }
    }

    fn seen(&self, resource: &Resource, metric: &str) -> Option<&Seen> {
        let metrics = self.seen.get(resource)?;
        metrics
            .iter()
            .find(|(name, _)| name == metric)
            .map(|(_, seen)| seen)
    }

    /// Whether anything was read of `resource`.
    pub fn knows(&self, resource: &Resource) -> bool {
        self.seen.contains_key(resource)
    }

    /// Per second.
    pub fn rate(&self, resource: &Resource, metric: &str) -> Option<f64> {
        self.seen(resource, metric)?.rate
    }

    /// The sum or maximum of all that was read.
    pub fn figure(&self, resource: &Resource, metric: &str) -> Option<f64> {
        self.seen(resource, metric)?.figure
    }

    pub fn newest(&self, resource: &Resource, metric: &str) -> Option<f64> {
        self.seen(resource, metric)?.newest
    }

    /// Seconds since the end of the newest minute of `resources`; `None` if the running minute is shown, or nothing.
    pub fn age_seconds(&self, resources: &[Resource], now_ms: i64) -> Option<i64> {
        if self.is_immediate {
            return None;
        }
        let seen = resources.iter().filter_map(|resource| self.seen.get(resource));
        let points = seen
            .flatten()
            .filter_map(|(_, seen)| published(&seen.points, now_ms));
        let newest = points.map(|point| point.at + MINUTE).max()?;
        Some(now_ms.div_euclid(1_000) - newest)
    }

    /// Forgets what was not read since `ms`.
    pub fn forget_before(&mut self, ms: i64) {
        self.seen
            .retain(|_, metrics| metrics.iter().any(|(_, seen)| seen.at_ms >= ms));
    }
}

/// The rate since the reading `before`, or of the last minute and the running one.
fn running_rate(before: Option<&Seen>, points: &[Point], now_ms: i64) -> Option<f64> {
    if points.is_empty() {
        return None;
    }
    let elapsed = before.map(|seen| now_ms - seen.at_ms);
    match (before, elapsed) {
        (Some(before), Some(elapsed)) if (NEAREST_MS..=FURTHEST_MS).contains(&elapsed) => {
            let old = |at: i64| before.points.iter().find(|point| point.at == at);
            let added = |point: &Point| (point.value - old(point.at).map_or(0.0, |old| old.value)).max(0.0);
            let added: f64 = points.iter().map(added).sum();
            Some(added * 1_000.0 / elapsed as f64)
        }
        _ => {
            let now = now_ms as f64 / 1_000.0;
            let minute = now_ms.div_euclid(1_000 * MINUTE) * MINUTE;
            let since = minute - MINUTE;
            let sum: f64 = points
                .iter()
                .filter(|point| point.at >= since)
                .map(|p| p.value)
                .sum();
            Some(sum / (now - since as f64).max(1.0))
        }
    }
}

/// The newest point of a minute that has ended.
fn published(points: &[Point], now_ms: i64) -> Option<&Point> {
    let now = now_ms.div_euclid(1_000);
    points.iter().rev().find(|point| point.at + MINUTE <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::test_support::series;

    const RECORDS: &str = "IncomingRecords";

    fn orders() -> Resource {
        Resource::Stream("orders".into())
    }

    fn of(values: &[(i64, f64)]) -> Vec<Series> {
        vec![series(orders(), RECORDS, values)]
    }

    #[test]
    fn two_readings_of_the_running_minute_give_the_rate_between_them() {
        let mut meter = Meter::new(true);
        // 600 s is the start of a minute: the first reading knows only averages.
        meter.read(of(&[(540, 300.0), (600, 60.0)]), 630_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(4.0));
        meter.read(of(&[(540, 300.0), (600, 160.0)]), 631_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(100.0));
        // Over the end of a minute.
        meter.read(of(&[(600, 180.0), (660, 40.0)]), 661_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(2.0));
        meter.read(of(&[(600, 180.0), (660, 40.0)]), 662_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(0.0));
        assert_eq!(meter.figure(&orders(), RECORDS), Some(220.0));
        assert_eq!(meter.age_seconds(&[orders()], 662_000), None);
    }

    #[test]
    fn a_reading_too_soon_changes_nothing() {
        let mut meter = Meter::new(true);
        meter.read(of(&[(600, 0.0)]), 610_000);
        meter.read(of(&[(600, 10.0)]), 611_000);
        meter.read(of(&[(600, 11.0)]), 611_100);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(10.0));
        meter.read(of(&[(600, 20.0)]), 612_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(10.0));
    }

    #[test]
    fn no_data_is_not_zero() {
        let mut meter = Meter::new(true);
        meter.read(of(&[]), 610_000);
        assert_eq!(meter.rate(&orders(), RECORDS), None);
        // The first data after a reading without any is new.
        meter.read(of(&[(600, 5.0)]), 611_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(5.0));
    }

    #[test]
    fn published_minutes_have_an_age() {
        let mut meter = Meter::new(false);
        meter.read(of(&[(480, 60.0), (540, 120.0), (600, 7.0)]), 630_000);
        assert_eq!(meter.rate(&orders(), RECORDS), Some(2.0));
        assert_eq!(meter.age_seconds(&[orders()], 630_000), Some(30));
        meter.forget_before(640_000);
        assert!(!meter.knows(&orders()));
    }
}
