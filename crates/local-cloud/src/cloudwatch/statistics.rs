//! A statistic set, with its values if they are known.

use serde::{Deserialize, Serialize};

use crate::metrics::Sample;

/// Maximum distinct values that are stored exactly. Above it, values are rounded until they fit.
const MAX_DISTINCT: usize = 128;

/// Measurements of one or several minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Statistics {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// The values, ordered. `None` after a statistic set without values was added, or after they were dropped to save
    /// memory.
    values: Option<Box<Values>>,
}

/// Values and their counts, ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Values {
    /// Significant bits of the mantissas: 52 is exact, 7 gives an error below 1 %.
    bits: u32,
    counts: Vec<(f64, f64)>,
}

impl Statistics {
    pub(super) fn new() -> Self {
        Self {
            count: 0.0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            values: Some(Box::new(Values {
                bits: 52,
                counts: Vec::new(),
            })),
        }
    }

    /// Adds `sample`. Its values are known only if all of them are equal.
    ///
    /// Source: PutMetricData, "CloudWatch needs raw data points to calculate percentile statistics".
    pub(super) fn add(&mut self, sample: &Sample) {
        self.add_totals(sample.count, sample.sum, sample.min, sample.max);
        #[allow(clippy::float_cmp, reason = "equal bounds are the definition")]
        let known = sample.min == sample.max;
        match &mut self.values {
            Some(values) if known => values.add(sample.min, sample.count),
            values => *values = None,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.add_totals(other.count, other.sum, other.min, other.max);
        match (&mut self.values, &other.values) {
            (Some(mine), Some(theirs)) => {
                mine.coarsen(theirs.bits);
                theirs
                    .counts
                    .iter()
                    .for_each(|(value, count)| mine.add(*value, *count));
            }
            (values, _) => *values = None,
        }
    }

    fn add_totals(&mut self, count: f64, sum: f64, min: f64, max: f64) {
        self.count += count;
        self.sum += sum;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }

    /// The average. 0 without values.
    pub(super) fn average(&self) -> f64 {
        if self.count > 0.0 {
            self.sum / self.count
        } else {
            0.0
        }
    }

    /// The value below which `percent` of all values lie. `None` if the values are not known.
    pub(super) fn percentile(&self, percent: f64) -> Option<f64> {
        let values = self.values.as_ref()?;
        let rank = percent / 100.0 * self.count;
        let mut seen = 0.0;
        let found = values.counts.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        let (value, _) = found.or(values.counts.last())?;
        Some(value.clamp(self.min, self.max))
    }

    /// Drops the values. Percentiles are then not available.
    pub(super) fn forget_values(&mut self) {
        self.values = None;
    }

    /// Size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let values = self.values.as_ref();
        size_of::<Self>() + values.map_or(0, |values| size_of::<Values>() + values.counts.capacity() * 16)
    }
}

impl Values {
    fn add(&mut self, value: f64, count: f64) {
        // Maps -0.0 to 0.0.
        let value = round(value + 0.0, self.bits);
        match self.counts.binary_search_by(|(known, _)| known.total_cmp(&value)) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (value, count)),
        }
        while self.counts.len() > MAX_DISTINCT && self.bits > 0 {
            // Start with a resolution at which measurements repeat.
            self.coarsen(if self.bits > 8 { 8 } else { self.bits - 1 });
        }
    }

    fn coarsen(&mut self, bits: u32) {
        if bits >= self.bits {
            return;
        }
        self.bits = bits;
        for (value, _) in &mut self.counts {
            *value = round(*value, bits);
        }
        self.counts.dedup_by(|later, earlier| {
            let same = later.0.total_cmp(&earlier.0).is_eq();
            if same {
                earlier.1 += later.1;
            }
            same
        });
    }
}

/// `value` with its mantissa cut to `bits`. Keeps the order of values.
fn round(value: f64, bits: u32) -> f64 {
    f64::from_bits(value.to_bits() & (u64::MAX << (52 - bits.min(52))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Statistics {
        let mut statistics = Statistics::new();
        values.into_iter().for_each(|v| statistics.add(&Sample::of(v)));
        statistics
    }

    #[test]
    fn few_values_have_exact_percentiles() {
        let statistics = of((1..=50).map(f64::from));
        assert_eq!(statistics.percentile(50.0), Some(25.0));
        assert_eq!(statistics.percentile(90.0), Some(45.0));
        assert_eq!(statistics.percentile(100.0), Some(50.0));
        assert_eq!(statistics.percentile(0.0), Some(1.0));
        assert_eq!(statistics.average(), 25.5);
    }

    #[test]
    fn many_values_use_little_memory_and_stay_accurate() {
        let statistics = of((1..=10_000).map(f64::from));
        assert!(statistics.size() < 5_000);
        let median = statistics.percentile(50.0).unwrap();
        assert!((4_000.0..=6_000.0).contains(&median), "{median}");
        assert_eq!(
            (statistics.count, statistics.min, statistics.max),
            (10_000.0, 1.0, 10_000.0)
        );
    }

    #[test]
    fn percentiles_require_values() {
        let mut statistics = of([1.0, 2.0]);
        statistics.add(&Sample {
            count: 2.0,
            sum: 8.0,
            min: 3.0,
            max: 5.0,
        });
        assert_eq!(statistics.percentile(50.0), None);
        assert_eq!((statistics.sum, statistics.max), (11.0, 5.0));
    }

    #[test]
    fn minutes_are_combined() {
        let mut hour = of([1.0, 9.0]);
        hour.merge(&of([5.0, 5.0, 5.0]));
        assert_eq!((hour.count, hour.sum), (5.0, 25.0));
        assert_eq!(hour.percentile(50.0), Some(5.0));
        assert_eq!(hour.percentile(100.0), Some(9.0));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_values_stay_ordered_and_limited(values in proptest::collection::vec(-1e300f64..1e300, 1..500)) {
            let statistics = of(values);
            let inner = statistics.values.as_ref().unwrap();
            proptest::prop_assert!(inner.counts.windows(2).all(|w| w[0].0 < w[1].0));
            let count: f64 = inner.counts.iter().map(|(_, count)| count).sum();
            proptest::prop_assert_eq!(count, statistics.count);
        }
    }
}
