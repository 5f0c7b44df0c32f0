//! Which records an aggregate has counted.
//!
//! Lambda delivers a batch again after a failure, splits it, or gives it up and delivers the next one. Later, the batch
//! that was given up may be replayed. So the last counted position alone does not tell whether an earlier record was
//! counted. This set does: it has the intervals of the positions that were counted. An event has all records of a
//! partition key between its first and its last one, so one interval covers what one invocation counts.

use crate::event::Entry;
use crate::invalid::Invalid;

/// Decimal digits that fit into one `u64`.
const LIMB_DIGITS: usize = 19;
const LIMBS: usize = 3;
/// Size of a position in bytes: the sequence number and the index in an aggregated record, in big-endian order.
const BYTES: usize = LIMBS * 8 + 4;
/// Maximum number of intervals that are kept, which is 56 KiB. DynamoDB's limit for an item is 400 KB.
const MAX_INTERVALS: usize = 1024;

/// A place in a shard. A later record of the shard has a greater position.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Position([u8; BYTES]);

impl Position {
    /// Less than or equal to every position.
    pub(super) const START: Self = Self([0; BYTES]);

    /// The position of an entry.
    ///
    /// # Errors
    /// The sequence number is not a decimal number of at most 57 digits. Those of Kinesis have 56.
    pub(super) fn of(entry: &Entry<'_>) -> Result<Self, Invalid> {
        let digits = entry.record.sequence_number.as_bytes();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !is_number || digits.len() > LIMBS * LIMB_DIGITS {
            return Err(Invalid::processing(
                "the sequence number is not a decimal number of at most 57 digits",
            ));
        }
        let mut bytes = [0; BYTES];
        let (limbs, sub) = bytes.split_at_mut(LIMBS * 8);
        for (limb, digits) in limbs.rchunks_mut(8).zip(digits.rchunks(LIMB_DIGITS)) {
            let number = digits
                .iter()
                .fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
            limb.copy_from_slice(&number.to_be_bytes());
        }
        sub.copy_from_slice(&entry.sub_sequence.unwrap_or(0).to_be_bytes());
        Ok(Self(bytes))
    }
}

/// What a set knows about a position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Known {
    Counted,
    NotCounted,
    /// The set no longer has intervals that old.
    Forgotten,
}

/// A set of positions of one ordering key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Counted {
    /// What is known of earlier positions was dropped.
    forgotten_before: Option<Position>,
    /// In order, without overlaps. Both ends belong to the interval.
    intervals: Vec<(Position, Position)>,
}

impl Counted {
    pub(super) fn find(&self, position: Position) -> Known {
        if self.forgotten_before.is_some_and(|before| position < before) {
            return Known::Forgotten;
        }
        let next = self.intervals.partition_point(|(first, _)| *first <= position);
        let candidate = next.checked_sub(1).and_then(|index| self.intervals.get(index));
        match candidate {
            Some((_, last)) if position <= *last => Known::Counted,
            _ => Known::NotCounted,
        }
    }

    /// Adds all positions from `first` to `last`.
    pub(super) fn insert(&mut self, mut first: Position, mut last: Position) {
        let start = self.intervals.partition_point(|(_, end)| *end < first);
        let end = self.intervals.partition_point(|(begin, _)| *begin <= last);
        for (begin, end) in self.intervals.get(start..end).into_iter().flatten() {
            first = first.min(*begin);
            last = last.max(*end);
        }
        self.intervals.splice(start..end.max(start), [(first, last)]);
        if self.intervals.len() > MAX_INTERVALS {
            self.intervals.drain(..MAX_INTERVALS / 2);
            self.forgotten_before = self.intervals.first().map(|(first, _)| *first);
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let before = self.forgotten_before.unwrap_or(Position::START);
        let intervals = self.intervals.iter().flat_map(|(first, last)| [*first, *last]);
        std::iter::once(before)
            .chain(intervals)
            .flat_map(|position| position.0)
            .collect()
    }

    /// Reads what [`Counted::to_bytes`] has written. `None` for anything else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (positions, rest) = bytes.as_chunks::<BYTES>();
        let mut positions = positions.iter().map(|bytes| Position(*bytes));
        let before = positions.next()?;
        let positions: Vec<_> = positions.collect();
        let (pairs, odd) = positions.as_chunks::<2>();
        let is_sorted = positions.is_sorted();
        (rest.is_empty() && odd.is_empty() && is_sorted).then(|| Self {
            forgotten_before: (before > Position::START).then_some(before),
            intervals: pairs.iter().map(|[first, last]| (*first, *last)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::Event;
    use crate::testing;
    use proptest::prelude::*;

    fn at(number: u32) -> Position {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Position(bytes)
    }

    fn position(sequence_number: &str) -> Result<Position, Invalid> {
        let mut record = testing::record(1, "k", "{}");
        record["kinesis"]["sequenceNumber"] = sequence_number.into();
        let payload = testing::event(&[record]);
        Position::of(&Event::parse(&payload).unwrap().entries()[0])
    }

    #[test]
    fn positions_sort_as_sequence_numbers() {
        let numbers = [
            "0",
            "9",
            "10",
            "9999999999999999999",
            "10000000000000000000",
            "49590338271490256608559692538361571095921575989136588898",
            "49590338271490256608559692538361571095921575989136588899",
            "999999999999999999999999999999999999999999999999999999999",
        ];
        let positions: Vec<_> = numbers.map(|number| position(number).unwrap()).to_vec();
        assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
        let long = "1".repeat(58);
        for bad in ["", "-1", "1.0", "LATEST", &long] {
            position(bad).unwrap_err();
        }
    }

    #[test]
    fn what_is_too_old_to_be_known_is_told_apart() {
        let mut counted = Counted::default();
        let intervals = u32::try_from(MAX_INTERVALS).unwrap() + 1;
        (0..intervals).for_each(|number| counted.insert(at(number * 2), at(number * 2)));
        assert_eq!(counted.find(at(0)), Known::Forgotten);
        assert_eq!(counted.find(at(1)), Known::Forgotten);
        assert_eq!(counted.find(at(intervals * 2 - 2)), Known::Counted);
        assert_eq!(counted.find(at(intervals * 2 - 3)), Known::NotCounted);
        assert_eq!(Counted::from_bytes(&counted.to_bytes()), Some(counted));
    }

    proptest! {
        #[test]
        fn it_is_a_set(inserted in proptest::collection::vec((0..60_u32, 0..6_u32), 0..20)) {
            let (mut counted, mut model) = (Counted::default(), BTreeSet::new());
            for (first, length) in inserted {
                counted.insert(at(first), at(first + length));
                model.extend(first..=first + length);
            }
            for number in 0..70 {
                prop_assert_eq!(counted.find(at(number)) == Known::Counted, model.contains(&number));
            }
            prop_assert_eq!(Counted::from_bytes(&counted.to_bytes()), Some(counted));
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(counted) = Counted::from_bytes(&bytes) {
                prop_assert_eq!(counted.to_bytes(), bytes);
            }
        }
    }
}
