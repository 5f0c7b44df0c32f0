//! Sequence numbers: 186-bit numbers, written as 56 decimal digits, strictly rising within a shard.
//!
//! The bits, highest first, are those that tools which take AWS's numbers apart expect (version 2):
//!
//! | bits | content |
//! |---|---|
//! | 4 | `2`: the width of the number |
//! | 36 | creation of the shard, seconds since the Unix epoch |
//! | 4 | the low bits of the shard's index |
//! | 64 | the index: a counter within the shard, below 2^63 |
//! | 8 | zero |
//! | 36 | arrival, seconds since the Unix epoch |
//! | 32 | the shard's index, below 2^31 |
//! | 4 | `2`: the version |

use std::fmt;

/// Number of decimal digits of every sequence number.
pub const DIGITS: usize = 56;

/// The index of a closed shard's ending sequence number: above that of every record, as on AWS.
pub const LAST_INDEX: u64 = i64::MAX as u64;

/// The sequence number of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber([u64; 3]);

impl SequenceNumber {
    /// Puts a number together. Times are milliseconds since the Unix epoch, held as whole seconds below 2^36;
    /// `shard_index` and `index` lose their top bit.
    pub fn new(shard_created_ms: i64, shard_index: u32, index: u64, arrival_ms: i64) -> Self {
        let _ = (shard_created_ms, shard_index, index, arrival_ms);
        Self([0; 3])
    }

    /// Reads a decimal number of version 2. Anything else, also an older version, is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        None
    }

    /// Appends the 56 decimal digits.
    pub fn write_decimal(&self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// The counter within the shard: 0 is the start of the shard, the first record has 1.
    pub fn index(&self) -> u64 {
        self.0[0]
    }

    /// The index of the shard.
    pub fn shard_index(&self) -> u32 {
        0
    }

    /// When the shard was made, seconds since the Unix epoch.
    pub fn shard_created_seconds(&self) -> u64 {
        0
    }

    /// When the record arrived, seconds since the Unix epoch.
    pub fn arrival_seconds(&self) -> u64 {
        0
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, _formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
