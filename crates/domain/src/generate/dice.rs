//! Chance that is the same for the same seed, everywhere and always.
//!
//! The generators of the crate `rand` may change their numbers with a new version, so this is SplitMix64, whose numbers are
//! defined. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

#[derive(Debug, Clone)]
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end` − 1; 0 for an `end` of 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: the bias is below 2^-32 for the small numbers of events.
        let product = u128::from(self.next()) * u128::from(end);
        (product >> 64) as u64
    }

    /// `first` to `last`, both included.
    pub(super) fn between(&mut self, first: i64, last: i64) -> i64 {
        let span = last.wrapping_sub(first) as u64;
        let offset = match span.checked_add(1) {
            Some(count) => self.below(count),
            None => self.next(),
        };
        first.wrapping_add(offset as i64)
    }

    /// 0 to 1, 1 excluded.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which is not empty.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// The index of one of `weights`, which are not all 0.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = u64> + Clone) -> usize {
        let mut left = self.below(weights.clone().sum());
        for (index, weight) in weights.enumerate() {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }

    /// 0 to `end` − 1, low numbers far more often than high ones, as the popularity of products is.
    #[allow(clippy::cast_precision_loss, reason = "a number of things")]
    pub(super) fn popular(&mut self, end: u64) -> u64 {
        let place = (end as f64).powf(self.unit()) - 1.0;
        (place as u64).min(end.saturating_sub(1))
    }

    /// A time between random arrivals.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// That many hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(digits);
        text
    }

    /// A version 4 UUID. Source: RFC 9562, section 5.4.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let high = high & !0xf000 | 0x4000;
        let low = low & !(0b11 << 62) | 0b10 << 62;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}
