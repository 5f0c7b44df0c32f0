//! Which records of the input are settled: acknowledged, or given up and reported. A run that was stopped goes on after them.

use std::collections::VecDeque;

/// Record numbers, both inclusive.
pub type NumberRange = (u64, u64);

/// The settled records of one input, whose numbers rise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// All records up to this number are settled.
    through: u64,
    /// Place of the first record in `open`, counted from the first record read.
    base: u64,
    /// The records from the first that is not settled on: number, and whether it is settled.
    open: VecDeque<(u64, bool)>,
}

impl Settled {
    /// A record was read; returns its place.
    pub(super) fn read(&mut self, number: u64) -> u64 {
        self.open.push_back((number, false));
        self.base + self.open.len() as u64 - 1
    }

    /// The record at `place` is settled.
    pub(super) fn settle(&mut self, place: u64) {
        let index = place
            .checked_sub(self.base)
            .and_then(|index| usize::try_from(index).ok());
        if let Some((_, settled)) = index.and_then(|index| self.open.get_mut(index)) {
            *settled = true;
        }
        while let Some((number, _)) = self.open.front().copied().filter(|(_, settled)| *settled) {
            self.through = number;
            self.base += 1;
            self.open.pop_front();
        }
    }

    /// The number up to which all records that were read are settled; 0 for none.
    pub fn through(&self) -> u64 {
        self.through
    }

    /// The settled records after the first one that is not, at most `most` ranges.
    pub fn beyond(&self, most: usize) -> Vec<NumberRange> {
        let mut ranges: Vec<NumberRange> = Vec::new();
        let mut follows = false;
        for (number, settled) in &self.open {
            let is_full = ranges.len() == most;
            match ranges.last_mut() {
                Some((_, last)) if *settled && follows => *last = *number,
                _ if *settled && is_full => break,
                _ if *settled => ranges.push((*number, *number)),
                _ => {}
            }
            follows = *settled;
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unsettled_record_is_the_limit() {
        let mut settled = Settled::default();
        let places: Vec<u64> = [3, 4, 7, 8, 9].map(|number| settled.read(number)).to_vec();
        settled.settle(places[1]);
        settled.settle(places[2]);
        settled.settle(places[4]);
        assert_eq!((settled.through(), settled.beyond(9)), (0, vec![(4, 7), (9, 9)]));
        assert_eq!(settled.beyond(1), [(4, 7)]);
        settled.settle(places[0]);
        assert_eq!((settled.through(), settled.beyond(9)), (7, vec![(9, 9)]));
        settled.settle(places[3]);
        assert_eq!((settled.through(), settled.beyond(9)), (9, vec![]));
        assert_eq!(settled.read(10), 5);
    }
}
