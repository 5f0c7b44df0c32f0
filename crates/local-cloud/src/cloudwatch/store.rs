//! All metrics in memory: one statistic set per minute for each metric and unit, limited in age and size.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::statistics::Statistics;
use crate::Caller;
use crate::metrics::Sample;

pub(super) const MINUTE_MS: i64 = 60_000;
/// Minutes of a day, the content of one file.
pub(super) const DAY_MINUTES: i64 = 24 * 60;
/// Source: "Metrics retention", CloudWatch user guide.
const RETENTION_MINUTES: i64 = 15 * DAY_MINUTES;
/// How long percentiles stay available when memory is short.
const VALUES_MINUTES: i64 = 3 * 60;
/// Maximum memory of the store.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Memory per metric, besides its minutes and names.
const METRIC_BYTES: usize = 512;
/// Separates the parts of a key. No part can contain control characters.
const SEPARATOR: char = '\u{1f}';

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MetricName {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Sorted by name.
    pub(super) dimensions: Vec<(String, String)>,
}

/// A metric and its statistics.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub(super) name: MetricName,
    /// By unit, then by minute since the Unix epoch.
    pub(super) units: BTreeMap<String, BTreeMap<i64, Statistics>>,
    /// Time of the last publication, milliseconds since the Unix epoch.
    pub(super) published_ms: i64,
}

/// A metric and unit, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct MetricRef<'a> {
    pub(super) caller: &'a Caller,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) dimensions: &'a [(&'a str, &'a str)],
    pub(super) unit: &'a str,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    metrics: BTreeMap<String, Metric>,
    /// Days (since the Unix epoch) that changed since they were last written.
    dirty: BTreeSet<i64>,
    bytes: usize,
}

/// The minutes of one metric and unit in one day, as stored in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DaySeries {
    pub(super) name: MetricName,
    pub(super) unit: String,
    pub(super) minutes: Vec<(i64, Statistics)>,
}

impl Store {
    /// Adds `samples` to the minute of `at_ms`.
    pub(super) fn add(&mut self, metric_ref: &MetricRef<'_>, at_ms: i64, now_ms: i64, samples: &[Sample]) {
        let MetricRef {
            caller,
            namespace,
            name,
            dimensions,
            unit,
        } = *metric_ref;
        let key = key(caller, namespace, name, dimensions);
        let minute = at_ms.div_euclid(MINUTE_MS);
        if !self.metrics.contains_key(&key) {
            let mut dimensions: Vec<_> = owned(dimensions);
            dimensions.sort();
            let name = MetricName {
                account: caller.account.clone(),
                region: caller.region.clone(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                dimensions,
            };
            let metric = Metric::new(name);
            self.bytes += metric.overhead();
            self.metrics.insert(key.clone(), metric);
        }
        let Some(metric) = self.metrics.get_mut(&key) else {
            return;
        };
        metric.published_ms = metric.published_ms.max(now_ms);
        if !metric.units.contains_key(unit) {
            metric.units.insert(unit.to_owned(), BTreeMap::new());
        }
        let Some(minutes) = metric.units.get_mut(unit) else {
            return;
        };
        let statistics = minutes.entry(minute).or_insert_with(|| {
            let new = Statistics::new();
            self.bytes += new.size();
            new
        });
        let before = statistics.size();
        samples.iter().for_each(|sample| statistics.add(sample));
        self.bytes = (self.bytes + statistics.size()).saturating_sub(before);
        self.dirty.insert(minute.div_euclid(DAY_MINUTES));
    }

    /// Adds the content of a file.
    pub(super) fn load(&mut self, series: DaySeries) {
        let borrowed: Vec<(&str, &str)> = borrowed(&series.name.dimensions);
        let caller = Caller {
            account: series.name.account.clone(),
            region: series.name.region.clone(),
        };
        let key = key(&caller, &series.name.namespace, &series.name.name, &borrowed);
        let bytes = &mut self.bytes;
        let metric = self.metrics.entry(key).or_insert_with(|| {
            let metric = Metric::new(series.name.clone());
            *bytes += metric.overhead();
            metric
        });
        let minutes = metric.units.entry(series.unit).or_default();
        for (minute, statistics) in series.minutes {
            *bytes += statistics.size();
            metric.published_ms = metric.published_ms.max(minute.saturating_mul(MINUTE_MS));
            minutes.insert(minute, statistics);
        }
    }

    /// The metric with exactly these dimensions.
    pub(super) fn find(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        dimensions: &[(String, String)],
    ) -> Option<&Metric> {
        self.metrics
            .get(&key(caller, namespace, name, &borrowed(dimensions)))
    }

    /// The metrics of one account and region with their keys, after the key `after` if given.
    pub(super) fn list<'a>(
        &'a self,
        caller: &Caller,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a Metric)> {
        let prefix = format!("{}{SEPARATOR}{}{SEPARATOR}", caller.account, caller.region);
        let start = after.filter(|key| key.starts_with(&prefix)).map_or_else(
            || std::ops::Bound::Included(prefix.clone()),
            |key| std::ops::Bound::Excluded(key.to_owned()),
        );
        self.metrics
            .range((start, std::ops::Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(key, metric)| (key.as_str(), metric))
    }

    /// Whether the store exceeds its memory limit.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > MAX_BYTES
    }

    /// Drops expired minutes, and the oldest ones when memory is short.
    pub(super) fn trim(&mut self, now_ms: i64) {
        let now = now_ms.div_euclid(MINUTE_MS);
        self.drop_before(now - RETENTION_MINUTES);
        if self.is_full() {
            self.forget_values_before(now - VALUES_MINUTES);
        }
        for keep in [
            7 * DAY_MINUTES,
            3 * DAY_MINUTES,
            DAY_MINUTES,
            6 * 60,
            3 * 60,
            60,
            10,
            1,
            -3 * 60,
        ] {
            if !self.is_full() {
                break;
            }
            self.drop_before(now - keep);
        }
    }

    fn drop_before(&mut self, first: i64) {
        let (mut bytes, dirty) = (0, &mut self.dirty);
        self.metrics.retain(|_, metric| {
            metric.units.retain(|_, minutes| {
                if minutes
                    .first_key_value()
                    .is_some_and(|(minute, _)| *minute < first)
                {
                    let kept = minutes.split_off(&first);
                    dirty.extend(minutes.keys().map(|minute| minute.div_euclid(DAY_MINUTES)));
                    *minutes = kept;
                }
                bytes += minutes.values().map(Statistics::size).sum::<usize>();
                !minutes.is_empty()
            });
            let kept = !metric.units.is_empty();
            bytes += if kept { metric.overhead() } else { 0 };
            kept
        });
        self.bytes = bytes;
    }

    fn forget_values_before(&mut self, first: i64) {
        let minutes = self
            .metrics
            .values_mut()
            .flat_map(|metric| metric.units.values_mut());
        for (_, statistics) in minutes.flat_map(|minutes| minutes.range_mut(..first)) {
            self.bytes = self.bytes.saturating_sub(statistics.size());
            statistics.forget_values();
            self.bytes += statistics.size();
        }
    }

    /// The days that changed since the last call.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.dirty)
    }

    /// Marks a day whose file could not be written.
    pub(super) fn mark_dirty(&mut self, day: i64) {
        self.dirty.insert(day);
    }

    /// All data of one day.
    pub(super) fn day(&self, day: i64) -> Vec<DaySeries> {
        let range = day * DAY_MINUTES..(day + 1) * DAY_MINUTES;
        let mut all = Vec::new();
        for metric in self.metrics.values() {
            for (unit, minutes) in &metric.units {
                let minutes: Vec<_> = minutes
                    .range(range.clone())
                    .map(|(m, s)| (*m, s.clone()))
                    .collect();
                if !minutes.is_empty() {
                    all.push(DaySeries {
                        name: metric.name.clone(),
                        unit: unit.clone(),
                        minutes,
                    });
                }
            }
        }
        all
    }
}

impl Metric {
    fn new(name: MetricName) -> Self {
        Self {
            name,
            units: BTreeMap::new(),
            published_ms: i64::MIN,
        }
    }

    /// Memory besides the minutes. All text is stored twice; dimensions have up to 38 KiB of it.
    fn overhead(&self) -> usize {
        let name = &self.name;
        let dimensions: usize = name.dimensions.iter().map(|(n, v)| n.len() + v.len()).sum();
        METRIC_BYTES
            + 2 * (name.account.len()
                + name.region.len()
                + name.namespace.len()
                + name.name.len()
                + dimensions)
    }

    /// Whether a minute contains data.
    pub(super) fn has_data(&self) -> bool {
        self.units.values().any(|minutes| !minutes.is_empty())
    }
}

/// Statistics of the minutes in `from_ms..to_ms`, combined into periods that start at `from_ms`. The keys are the start
/// of each period in milliseconds.
pub(super) fn periods<'a>(
    units: impl Iterator<Item = &'a BTreeMap<i64, Statistics>>,
    from_ms: i64,
    to_ms: i64,
    period_ms: i64,
) -> BTreeMap<i64, Statistics> {
    let mut found: BTreeMap<i64, Statistics> = BTreeMap::new();
    // Includes the minute in which the range ends.
    let last = to_ms.saturating_add(MINUTE_MS - 1).div_euclid(MINUTE_MS);
    let first = from_ms.div_euclid(MINUTE_MS);
    if first >= last {
        return found;
    }
    for (minute, statistics) in units.flat_map(|minutes| minutes.range(first..last)) {
        let index = (minute * MINUTE_MS - from_ms).div_euclid(period_ms);
        found
            .entry(from_ms + index * period_ms)
            .or_insert_with(Statistics::new)
            .merge(statistics);
    }
    found
}

fn key(caller: &Caller, namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> String {
    let mut sorted = dimensions.to_vec();
    sorted.sort_unstable();
    let mut key = String::with_capacity(128);
    for part in [&caller.account, &caller.region, namespace, name] {
        key.push_str(part);
        key.push(SEPARATOR);
    }
    for (name, value) in sorted {
        key.push_str(name);
        key.push(SEPARATOR);
        key.push_str(value);
        key.push(SEPARATOR);
    }
    key
}

fn owned(dimensions: &[(&str, &str)]) -> Vec<(String, String)> {
    dimensions
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn borrowed(dimensions: &[(String, String)]) -> Vec<(&str, &str)> {
    dimensions.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller {
            account: "1".into(),
            region: "us-east-1".into(),
        }
    }

    fn add(store: &mut Store, name: &str, at_ms: i64, value: f64) {
        put(store, name, &[("A", "1")], at_ms, value);
    }

    fn put(store: &mut Store, name: &str, dimensions: &[(&str, &str)], at_ms: i64, value: f64) {
        let metric_ref = MetricRef {
            caller: &caller(),
            namespace: "App",
            name,
            dimensions,
            unit: "Count",
        };
        store.add(&metric_ref, at_ms, at_ms, &[Sample::of(value)]);
    }

    #[test]
    fn old_minutes_are_dropped_and_their_day_is_rewritten() {
        let mut store = Store::default();
        add(&mut store, "Old", 0, 1.0);
        add(&mut store, "New", 15 * DAY_MINUTES * MINUTE_MS + MINUTE_MS, 1.0);
        store.take_dirty();
        store.trim(15 * DAY_MINUTES * MINUTE_MS + MINUTE_MS);
        let names: Vec<_> = store
            .list(&caller(), None)
            .map(|(_, m)| m.name.name.clone())
            .collect();
        assert_eq!(names, ["New"]);
        assert!(store.take_dirty().contains(&0));
        assert!(store.day(0).is_empty());
    }

    #[test]
    fn long_names_count_towards_the_memory_limit() {
        let mut store = Store::default();
        let value = "v".repeat(1024);
        let names: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let dimensions: Vec<(&str, &str)> =
            names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        for i in 0..600 {
            put(&mut store, &format!("m{i}"), &dimensions, 0, 1.0);
        }
        assert!(
            store.is_full(),
            "{} bytes for 600 metrics of 60 KiB of text",
            store.bytes
        );
        let files = store
            .take_dirty()
            .into_iter()
            .flat_map(|day| store.day(day))
            .collect::<Vec<_>>();
        let mut again = Store::default();
        files.into_iter().for_each(|series| again.load(series));
        assert!(again.is_full());
    }

    #[test]
    fn memory_is_limited() {
        let mut store = Store::default();
        for i in 0..100_000 {
            add(&mut store, &format!("m{i}"), 0, 1.0);
        }
        assert!(store.is_full());
        store.trim(0);
        assert!(!store.is_full());
    }

    #[test]
    fn order_of_dimensions_does_not_matter() {
        let mut store = Store::default();
        put(&mut store, "M", &[("A", "1"), ("B", "2")], 0, 1.0);
        put(&mut store, "M", &[("B", "2"), ("A", "1")], 0, 1.0);
        let dimensions = [("B".to_owned(), "2".to_owned()), ("A".to_owned(), "1".to_owned())];
        let metric = store.find(&caller(), "App", "M", &dimensions).unwrap();
        assert_eq!(metric.units["Count"][&0].count, 2.0);
        assert!(store.find(&caller(), "App", "M", &dimensions[..1]).is_none());
    }
}
