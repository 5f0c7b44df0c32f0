//! A histogram of latencies in a fixed number of buckets.

use std::time::Duration;

/// Buckets for each doubling: a percentile is at most 1/16 too high.
const STEPS: usize = 16;
/// Doublings from 1 microsecond; the last bucket takes all above 19 hours.
const DOUBLINGS: usize = 36;

/// Latencies of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    buckets: Box<[u64]>,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; STEPS * DOUBLINGS].into(),
            count: 0,
        }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        let index = bucket_of(latency).min(self.buckets.len() - 1);
        self.buckets[index] += 1;
        self.count += 1;
    }

    /// The latency that `percent` of the requests did not exceed; `None` without requests.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let index = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(upper_bound(index))
    }
}

fn bucket_of(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS as u64 {
        return usize::try_from(micros).unwrap_or(0);
    }
    let doubling = micros.ilog2() - STEPS.ilog2();
    // The leading bit, and the four after it.
    let step = usize::try_from(micros >> doubling).unwrap_or(0) - STEPS;
    (doubling as usize + 1) * STEPS + step
}

/// The highest latency in a bucket.
fn upper_bound(index: usize) -> Duration {
    if index < STEPS {
        return Duration::from_micros(index as u64);
    }
    let (doubling, step) = (index / STEPS - 1, index % STEPS);
    Duration::from_micros((((STEPS + step + 1) as u64) << doubling) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_percentile_is_at_most_a_sixteenth_too_high(
            mut micros in prop::collection::vec(0u64..100_000_000, 1..300),
            percent in 1u64..=100,
        ) {
            let mut latencies = Latencies::default();
            micros.iter().for_each(|micros| latencies.add(Duration::from_micros(*micros)));
            micros.sort_unstable();
            let rank = (micros.len() as u64 * percent).div_ceil(100) as usize;
            let (exact, found) = (micros[rank - 1], latencies.percentile(percent).unwrap().as_micros() as u64);
            prop_assert!(found >= exact && found <= exact + exact / 16 + 1, "{exact} {found}");
        }
    }

    #[test]
    fn nothing_was_measured_and_the_longest_counts() {
        assert_eq!(Latencies::default().percentile(50), None);
        let mut latencies = Latencies::default();
        latencies.add(Duration::MAX);
        assert!(latencies.percentile(99).unwrap() > Duration::from_secs(3600));
    }
}
