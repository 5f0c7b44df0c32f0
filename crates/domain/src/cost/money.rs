//! Amounts in US dollars, exact to a billionth.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Serialize, Serializer};

/// US dollars, in billionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i128);

const DOLLAR: i128 = 1_000_000_000;

impl Money {
    /// `nanos` billionths of a dollar.
    pub const fn from_nanos(nanos: i128) -> Self {
        Self(nanos)
    }

    /// A decimal number of dollars with at most 9 decimals: `11.38`. `None` for anything else, and for more than 10^15.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, decimals) = decimal(text)?;
        let scale = 10i128.pow(9u32.checked_sub(decimals)?);
        Some(Self(digits.checked_mul(scale)?))
    }

    /// Billionths of a dollar.
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// The amount with `decimals` digits (at most 9) after the decimal point, rounded half up: `11.38`.
    pub fn rounded(self, decimals: u32) -> String {
        let decimals = decimals.min(9);
        let unit = 10i128.pow(9 - decimals);
        let steps = self.0.saturating_add(unit / 2).div_euclid(unit);
        let whole = 10i128.pow(decimals);
        let sign = if steps < 0 { "-" } else { "" };
        let (dollars, rest) = (steps.abs() / whole, steps.abs() % whole);
        match usize::try_from(decimals) {
            Ok(width) if width > 0 => format!("{sign}{dollars}.{rest:0width$}"),
            _ => format!("{sign}{dollars}"),
        }
    }
}

/// The digits of a decimal number without a sign, and how many of them are decimals (at most 15): `0.015` is (15, 3).
pub(super) fn decimal(text: &str) -> Option<(i128, u32)> {
    const MOST: usize = 15;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.len() <= MOST && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.ends_with('.') || !is_number(whole) || !is_number(decimals) {
        return None;
    }
    let digits = format!("{whole}{decimals}").parse().ok()?;
    Some((digits, u32::try_from(decimals.len()).ok()?))
}

/// `$11.38`; amounts below a dollar have four decimals.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("$0.00"),
            1..50_000 => f.write_str("<$0.0001"),
            nanos if nanos.abs() < DOLLAR => write!(f, "${}", self.rounded(4)),
            _ => write!(f, "${}", self.rounded(2)),
        }
    }
}

/// A decimal number in a string: a JSON number could be rounded.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.rounded(9);
        serializer.serialize_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(feature = "schemas")]
impl schemars::JsonSchema for Money {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "US dollars, as a decimal number in a string.",
            "type": "string",
            "pattern": "^-?[0-9]+([.][0-9]{1,9})?$",
        })
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_large_and_small_amounts() {
        let show = |nanos| Money::from_nanos(nanos).to_string();
        assert_eq!(show(0), "$0.00");
        assert_eq!(show(14), "<$0.0001");
        assert_eq!(show(15_000_000), "$0.0150");
        assert_eq!(show(11_375_833_333), "$11.38");
        assert_eq!(show(1_005_000_000), "$1.01");
    }

    #[test]
    fn amounts_are_read_exactly() {
        let nanos = |text| Money::parse(text).map(Money::nanos);
        assert_eq!(nanos("50"), Some(50_000_000_000));
        assert_eq!(nanos("0.000000001"), Some(1));
        assert_eq!(nanos("11.38"), Some(11_380_000_000));
        for bad in [
            "",
            ".5",
            "5.",
            "-1",
            "+1",
            "1e3",
            "1.0000000001",
            "1,000",
            "٣",
            "9999999999999999",
        ] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
        assert_eq!(decimal("0.0000166667"), Some((166_667, 10)));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(nanos in 0..10i128.pow(24)) {
            let money = Money::from_nanos(nanos);
            proptest::prop_assert_eq!(Money::parse(&money.rounded(9)), Some(money));
        }
    }

    #[test]
    fn json_keeps_every_digit() {
        let json = |nanos| serde_json::to_string(&Money::from_nanos(nanos)).unwrap();
        assert_eq!(json(15_014_000), "\"0.015014\"");
        assert_eq!(json(2_000_000_000), "\"2\"");
        assert_eq!(json(0), "\"0\"");
    }
}
