//! Sequence numbers: 186-bit numbers, written as 56 decimal digits, strictly increasing within a shard.
//!
//! The layout is the one that tools for AWS's sequence numbers expect (version 2), highest bits first:
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

pub const DIGITS: usize = 56;

/// Index of a closed shard's ending sequence number. As on AWS, it is above that of every record.
pub const LAST_INDEX: u64 = i64::MAX as u64;

/// 10^19, the largest power of ten in 64 bits.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const SECONDS: u64 = (1 << 36) - 1;

/// The sequence number of a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber([u64; 3]); // Highest limb first, so that the derived order is the numbers' order.

impl SequenceNumber {
    /// Builds a number. Times are milliseconds since the Unix epoch, stored as whole seconds below 2^36. The top bits
    /// of `shard_index` and `index` are dropped.
    pub fn new(shard_created_ms: i64, shard_index: u32, index: u64, arrival_ms: i64) -> Self {
        Self::build(seconds(shard_created_ms), shard_index, index, seconds(arrival_ms))
    }

    fn build(created: u64, shard_index: u32, index: u64, arrival: u64) -> Self {
        let shard = u64::from(shard_index) & 0x7fff_ffff;
        let index = index & LAST_INDEX;
        Self([
            2 << 56 | created << 20 | (shard & 0xf) << 16 | index >> 48,
            index << 16 | arrival >> 28,
            arrival << 36 | shard << 4 | 2,
        ])
    }

    /// Parses a decimal number of version 2. `None` for anything else, including older versions.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; DIGITS] = text.as_bytes().try_into().ok()?;
        let (first, rest) = digits.split_at(DIGITS - 2 * 19);
        let (second, third) = rest.split_at(19);
        let mut limbs = [0, 0, decimal(first)?];
        for chunk in [second, third] {
            let mut carry = u128::from(decimal(chunk)?);
            for limb in limbs.iter_mut().rev() {
                let wide = u128::from(*limb) * u128::from(CHUNK) + carry;
                *limb = wide as u64;
                carry = wide >> 64;
            }
        }
        let number = Self(limbs);
        let made = Self::build(
            number.shard_created_seconds(),
            number.shard_index(),
            number.index(),
            number.arrival_seconds(),
        );
        (made == number).then_some(number)
    }

    /// Appends the 56 decimal digits.
    pub fn write_decimal(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.digits());
    }

    /// The counter within the shard: 0 is the start of the shard, the first record has 1.
    pub fn index(&self) -> u64 {
        (self.0[0] & 0xffff) << 48 | self.0[1] >> 16
    }

    pub fn shard_index(&self) -> u32 {
        (self.0[2] >> 4) as u32
    }

    /// When the shard was created, seconds since the Unix epoch.
    pub fn shard_created_seconds(&self) -> u64 {
        self.0[0] >> 20 & SECONDS
    }

    /// Arrival of the record, seconds since the Unix epoch.
    pub fn arrival_seconds(&self) -> u64 {
        (self.0[1] & 0xff) << 28 | self.0[2] >> 36
    }

    /// Adds up each limb's share of the three groups of 19, 19 and 18 digits, lowest first. This needs only two wide
    /// divisions.
    fn digits(&self) -> [u8; DIGITS] {
        // 2^64 and 2^128 in groups of 19 digits.
        const LIMB: u128 = 8_446_744_073_709_551_616;
        const HIGH: [u128; 3] = [3_374_607_431_768_211_456, 4_028_236_692_093_846_346, 3];
        let [high, middle, low] = self.0.map(u128::from);
        let group = u128::from(CHUNK);
        let third = high * HIGH[0] + middle * LIMB + low;
        let second = high * HIGH[1] + middle + third / group;
        let first = high * HIGH[2] + second / group;
        let mut digits = [0; DIGITS];
        write_group(&mut digits[..18], first as u64);
        write_group(&mut digits[18..37], (second % group) as u64);
        write_group(&mut digits[37..], (third % group) as u64);
        digits
    }
}

/// Fills `digits` with the lowest decimal digits of `value`.
fn write_group(digits: &mut [u8], mut value: u64) {
    let mut pairs = digits.rchunks_exact_mut(2);
    for pair in &mut pairs {
        let two = (value % 100) as u8;
        value /= 100;
        pair[0] = b'0' + two / 10;
        pair[1] = b'0' + two % 10;
    }
    if let [digit] = pairs.into_remainder() {
        *digit = b'0' + (value % 10) as u8;
    }
}

fn seconds(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds / 1000).unwrap_or(0).min(SECONDS)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
    })
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits()
            .iter()
            .try_for_each(|digit| fmt::Write::write_char(formatter, char::from(*digit)))
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LAST_INDEX, SequenceNumber};

    #[test]
    fn the_layout_is_the_one_tools_expect() {
        let number = SequenceNumber::new(1_700_000_000_000, 18, 5, 1_700_000_123_999);
        // '2', 9 digits of creation, low digit of the shard, 16 of the index, '00', 9 of arrival, 8 of the shard, '2'.
        let hex =
            "2".to_owned() + "06553f100" + "2" + "0000000000000005" + "00" + "06553f17b" + "00000012" + "2";
        let expected = hex.bytes().fold(vec![0_u8; 56], |mut digits, byte| {
            let mut carry = char::from(byte).to_digit(16).unwrap();
            for digit in digits.iter_mut().rev() {
                let value = u32::from(*digit) * 16 + carry;
                *digit = (value % 10) as u8;
                carry = value / 10;
            }
            digits
        });
        let expected: String = expected.iter().map(|digit| char::from(b'0' + digit)).collect();
        assert_eq!(number.to_string(), expected);
        assert_eq!(number.index(), 5);
        assert_eq!(number.shard_index(), 18);
        assert_eq!(number.shard_created_seconds(), 1_700_000_000);
        assert_eq!(number.arrival_seconds(), 1_700_000_123);
    }

    #[test]
    fn invalid_numbers_do_not_parse() {
        let good = SequenceNumber::new(1_700_000_000_000, 0, 1, 1_700_000_000_000).to_string();
        assert!(SequenceNumber::parse(&good).is_some());
        let nines = "9".repeat(56);
        let zeros = "0".repeat(56);
        for bad in [
            "",
            "0",
            "1",
            "-1",
            "LATEST",
            &good[1..],
            &format!("{good}0"),
            &format!(" {}", &good[1..]),
            &nines,
            &zeros,
        ] {
            assert_eq!(SequenceNumber::parse(bad), None, "{bad:?}");
        }
        // The last digit holds the version.
        let bent = format!("{}{}", &good[..55], (good.as_bytes()[55] - b'0' + 1) % 10);
        assert_eq!(SequenceNumber::parse(&bent), None);
    }

    proptest! {
        #[test]
        fn written_numbers_parse(created in 0..1_i64 << 36, shard in 0..1_u32 << 31, index in 0..=LAST_INDEX, arrival in 0..1_i64 << 36) {
            let number = SequenceNumber::new(created * 1000, shard, index, arrival * 1000 + 999);
            let text = number.to_string();
            prop_assert_eq!(text.len(), 56);
            prop_assert_eq!(SequenceNumber::parse(&text), Some(number));
            prop_assert_eq!(number.index(), index);
            prop_assert_eq!(number.shard_index(), shard);
            prop_assert_eq!(number.arrival_seconds(), arrival as u64);
            prop_assert_eq!(number.shard_created_seconds(), created as u64);
            let mut bytes = Vec::new();
            number.write_decimal(&mut bytes);
            prop_assert_eq!(bytes, text.into_bytes());
        }

        #[test]
        fn digits_have_the_order_of_the_numbers(a in any::<(u32, u64, u32)>(), b in any::<(u32, u64, u32)>()) {
            let [a, b] = [a, b].map(|(created, index, arrival)| SequenceNumber::new(i64::from(created) * 1000, 7, index, i64::from(arrival) * 1000));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn parsing_arbitrary_text_does_not_panic(text in "[0-9a-z]{50,60}|[0-9]{56}|.*") {
            if let Some(number) = SequenceNumber::parse(&text) {
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}
