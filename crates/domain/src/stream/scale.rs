//! Changes of a shard count in proportion to it.

use std::str::FromStr;

use super::change::check_shards;
use ground::error::Result;

/// A change of the shard count in proportion: `+50%`, `-25%`, `200%` or `2x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// In percent.
    percent: u32,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let grammar = || "not a change; write it like +50%, -25%, 200% or 2x".to_owned();
        let number = |text: &str| text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
        let percent = if let Some(times) = text.strip_suffix('x') {
            number(times).and_then(|times| times.checked_mul(100))
        } else {
            let figure = text.strip_suffix('%').ok_or_else(grammar)?;
            match (figure.strip_prefix('+'), figure.strip_prefix('-')) {
                (Some(more), _) => number(more).and_then(|more| more.checked_add(100)),
                (_, Some(less)) => number(less).and_then(|less| 100u32.checked_sub(less)),
                _ => number(figure),
            }
        };
        percent
            .filter(|percent| *percent > 0)
            .map(|percent| Self { percent })
            .ok_or_else(grammar)
    }
}

impl Scale {
    /// The shard count that `shards` shards become, rounded up, so that there is never less than was asked for.
    ///
    /// # Errors
    /// Exit 2 when it is more than a stream can have.
    pub fn of(self, shards: u32) -> Result<u32> {
        let scaled = (u64::from(shards) * u64::from(self.percent)).div_ceil(100).max(1);
        let scaled = u32::try_from(scaled).unwrap_or(u32::MAX);
        check_shards(scaled)?;
        Ok(scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_read_and_rounded_up() {
        let scaled = |text: &str, shards| text.parse::<Scale>().unwrap().of(shards).unwrap();
        assert_eq!(scaled("+50%", 4), 6);
        assert_eq!(scaled("+50%", 3), 5);
        assert_eq!(scaled("-25%", 4), 3);
        assert_eq!(scaled("-99%", 4), 1);
        assert_eq!(scaled("200%", 4), 8);
        assert_eq!(scaled("2x", 4), 8);
        for bad in [
            "",
            "50",
            "%",
            "+%",
            "0%",
            "-100%",
            "x",
            "++1%",
            "+-1%",
            "1.5x",
            "-200%",
            "99999999999%",
        ] {
            assert!(bad.parse::<Scale>().is_err(), "{bad}");
        }
        assert!("100x".parse::<Scale>().unwrap().of(101).is_err());
    }
}
