//! Hash keys: the position of a partition key in the range of 2^128 values.

use std::fmt;

use md5::{Digest, Md5};

/// A hash key, 0 to 2^128 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

impl HashKey {
    pub const MAX: Self = Self(u128::MAX);

    /// The MD5 of the key's UTF-8 bytes, as a big-endian number.
    /// Source: "PutRecord", Amazon Kinesis Data Streams API reference.
    pub fn of_partition_key(key: &str) -> Self {
        let digest: [u8; 16] = Md5::digest(key.as_bytes()).into();
        Self(u128::from_be_bytes(digest))
    }

    /// Parses a decimal number up to 2^128 − 1: `0`, or digits without a leading zero (the API's pattern
    /// `0|([1-9]\d{0,38})`).
    pub fn parse(text: &str) -> Option<Self> {
        let canonical =
            text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
        if !canonical {
            return None;
        }
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::HashKey;

    #[test]
    fn a_partition_key_hashes_to_its_md5() {
        assert_eq!(
            HashKey::of_partition_key("").0,
            0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e
        );
        assert_eq!(
            HashKey::of_partition_key("a").0,
            0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661
        );
    }

    #[test]
    fn only_canonical_decimals_within_the_range_parse() {
        assert_eq!(HashKey::parse("0"), Some(HashKey(0)));
        let max = "340282366920938463463374607431768211455";
        assert_eq!(HashKey::parse(max), Some(HashKey::MAX));
        assert_eq!(HashKey::MAX.to_string(), max);
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1e3",
            "340282366920938463463374607431768211456",
        ] {
            assert_eq!(HashKey::parse(bad), None, "{bad:?}");
        }
    }
}
