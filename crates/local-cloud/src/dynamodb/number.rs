//! DynamoDB's numbers: 38 decimal digits, exact.

use std::cmp::Ordering;
use std::fmt;

use super::error::ApiError;

/// Significant digits. Source: "Numbers", DynamoDB developer guide.
const DIGITS: u32 = 38;
/// The largest exponent of the first digit: 9.9…E+125.
const MAX_EXPONENT: i32 = 125;
/// The smallest: 1E-130.
const MIN_EXPONENT: i32 = -130;

/// `± coefficient × 10^exponent`. The coefficient has no trailing zero, so that equal numbers are the same; zero has
/// coefficient, exponent and sign 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Number {
    negative: bool,
    /// Below 10^38, which fits.
    coefficient: u128,
    exponent: i32,
}

impl Number {
    /// Reads `-12.50e3` and the like.
    ///
    /// # Errors
    /// `ValidationException`, when the text is no number, or out of DynamoDB's range.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let malformed = || {
            ApiError::validation(format!(
                "The parameter cannot be converted to a numeric value: {text}"
            ))
        };
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent).ok_or_else(malformed)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(malformed());
        }
        let mut coefficient: u128 = 0;
        let mut digits = 0;
        // Zeros that may be trailing.
        let mut zeros: u32 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            match byte {
                b'0' if digits == 0 => {}
                b'0' => zeros = zeros.saturating_add(1),
                b'1'..=b'9' => {
                    digits += zeros + 1;
                    if digits > DIGITS {
                        return Err(too_precise());
                    }
                    coefficient = coefficient * 10u128.pow(zeros + 1) + u128::from(byte - b'0');
                    zeros = 0;
                }
                _ => return Err(malformed()),
            }
        }
        let fraction = i32::try_from(fraction.len()).map_err(|_| malformed())?;
        let zeros = i32::try_from(zeros).map_err(|_| malformed())?;
        let exponent = exponent.saturating_sub(fraction).saturating_add(zeros);
        Self::of(negative, coefficient, exponent)
    }

    /// Drops trailing zeros and checks the range.
    fn of(negative: bool, mut coefficient: u128, mut exponent: i32) -> Result<Self, ApiError> {
        if coefficient == 0 {
            return Ok(Self {
                negative: false,
                coefficient: 0,
                exponent: 0,
            });
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent = exponent.saturating_add(1);
        }
        if length(coefficient) > DIGITS {
            return Err(too_precise());
        }
        let number = Self {
            negative,
            coefficient,
            exponent,
        };
        match number.magnitude() {
            high if high > MAX_EXPONENT => Err(ApiError::validation(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            )),
            low if low < MIN_EXPONENT => Err(ApiError::validation(
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            )),
            _ => Ok(number),
        }
    }

    /// The power of ten of the first digit.
    fn magnitude(&self) -> i32 {
        // At most 38 digits.
        let digits = length(self.coefficient) as i32;
        self.exponent.saturating_add(digits - 1)
    }

    /// The coefficient with zeros appended to 38 digits.
    fn padded(&self) -> u128 {
        self.coefficient * 10u128.pow(DIGITS - length(self.coefficient))
    }

    /// # Errors
    /// `ValidationException`, when the sum needs more than 38 digits.
    pub fn plus(&self, other: &Self) -> Result<Self, ApiError> {
        if self.coefficient == 0 {
            return Ok(*other);
        }
        if other.coefficient == 0 {
            return Ok(*self);
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| {
            let shift = number.exponent.abs_diff(exponent);
            10u128
                .checked_pow(shift)
                .and_then(|factor| number.coefficient.checked_mul(factor))
                .ok_or_else(too_precise)
        };
        let (a, b) = (aligned(self)?, aligned(other)?);
        let (negative, coefficient) = if self.negative == other.negative {
            (self.negative, a.checked_add(b).ok_or_else(too_precise)?)
        } else if a >= b {
            (self.negative, a - b)
        } else {
            (other.negative, b - a)
        };
        Self::of(negative, coefficient, exponent)
    }

    /// The negated number.
    pub fn negated(&self) -> Self {
        Self {
            negative: !self.negative && self.coefficient != 0,
            ..*self
        }
    }

    /// Bytes whose order is that of the numbers: class, power of ten, digits; inverted for negative numbers.
    pub fn sortable(&self) -> [u8; 19] {
        let mut bytes = [0; 19];
        if self.coefficient == 0 {
            bytes[0] = 1;
            return bytes;
        }
        let magnitude = self.magnitude() - MIN_EXPONENT;
        // 0 to 255, since the range was checked.
        bytes[1..3].copy_from_slice(&u16::try_from(magnitude).unwrap_or_default().to_be_bytes());
        bytes[3..].copy_from_slice(&self.padded().to_be_bytes());
        if self.negative {
            bytes[1..].iter_mut().for_each(|byte| *byte = !*byte);
        } else {
            bytes[0] = 2;
        }
        bytes
    }

    /// The size of the number in the size of an item.
    /// Source: "DynamoDB item sizes and formats": "approximately … 1 byte per two significant digits, plus 1 byte".
    pub fn size(&self) -> usize {
        (length(self.coefficient) as usize).div_ceil(2) + 1 + usize::from(self.negative)
    }

    /// The value as an integer, if it is one and fits.
    pub fn to_i64(self) -> Option<i64> {
        let exponent = u32::try_from(self.exponent).ok()?;
        let value = self.coefficient.checked_mul(10u128.checked_pow(exponent)?)?;
        let value = i64::try_from(value).ok()?;
        Some(if self.negative { -value } else { value })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sortable().cmp(&other.sortable())
    }
}

/// Plain digits, without an exponent, as DynamoDB answers.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let digits = self.coefficient.to_string();
        if self.exponent >= 0 {
            let zeros = usize::try_from(self.exponent).unwrap_or_default();
            return write!(f, "{digits}{:0<zeros$}", "");
        }
        let places = self.exponent.unsigned_abs() as usize;
        match digits.len().checked_sub(places) {
            Some(point) if point > 0 => write!(f, "{}.{}", &digits[..point], &digits[point..]),
            _ => write!(f, "0.{digits:0>places$}"),
        }
    }
}

fn too_precise() -> ApiError {
    ApiError::validation("Attempting to store more than 38 significant digits in a Number")
}

/// Decimal digits.
fn length(coefficient: u128) -> u32 {
    coefficient.checked_ilog10().map_or(1, |log| log + 1)
}

/// `+5`, `-5`, `5`; a value that does not fit is out of range.
fn read_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i32>().unwrap_or(1_000_000).min(1_000_000);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    fn shown(text: &str) -> String {
        number(text).to_string()
    }

    #[test]
    fn numbers_are_kept_exactly() {
        assert_eq!(shown("29.99"), "29.99");
        assert_eq!(shown("29.990"), "29.99");
        assert_eq!(shown("-0.0"), "0");
        assert_eq!(shown("007"), "7");
        assert_eq!(shown("1e2"), "100");
        assert_eq!(shown("-1.5E-3"), "-0.0015");
        assert_eq!(shown(".5"), "0.5");
        assert_eq!(
            shown("1700000000000.12345678901234567890"),
            "1700000000000.1234567890123456789"
        );
        let all = "12345678901234567890123456789012345678";
        assert_eq!(shown(all), all);
        assert_eq!(shown("1E125").len(), 126);
    }

    #[test]
    fn what_dynamodb_cannot_hold_is_refused() {
        for text in [
            "", "-", ".", "1e", "1e+", "abc", "1.2.3", "NaN", "Infinity", " 1", "1 ", "0x10", "--1",
        ] {
            assert!(Number::parse(text).is_err(), "{text}");
        }
        let message = |text: &str| Number::parse(text).unwrap_err().message;
        assert!(message(&"1".repeat(39)).contains("38 significant digits"));
        assert!(message("1e126").contains("overflow"));
        assert!(message("1e-131").contains("underflow"));
        assert!(message("1e99999999999").contains("overflow"));
        assert_eq!(
            shown(&format!("1{}", "0".repeat(100))).len(),
            101,
            "trailing zeros count for nothing"
        );
    }

    #[test]
    fn sums_are_exact() {
        let sum = |a: &str, b: &str| number(a).plus(&number(b)).map(|sum| sum.to_string());
        assert_eq!(sum("0.1", "0.2").unwrap(), "0.3");
        assert_eq!(sum("29.99", "-30").unwrap(), "-0.01");
        assert_eq!(sum("5", "-5").unwrap(), "0");
        assert_eq!(sum("1e30", "1").unwrap(), "1000000000000000000000000000001");
        assert!(sum("1e100", "1").is_err());
        assert_eq!(
            number("3").plus(&number("5").negated()).unwrap().to_string(),
            "-2"
        );
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(a in -10_000i64..10_000, b in -10_000i64..10_000, places in 0usize..6) {
            let text = |n: i64| format!("{n}e-{places}");
            let (x, y) = (number(&text(a)), number(&text(b)));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x == y, a == b);
        }

        #[test]
        fn what_is_shown_reads_back(digits in "[1-9][0-9]{0,37}", exponent in -130i32..80, negative: bool) {
            let text = format!("{}{digits}e{exponent}", if negative { "-" } else { "" });
            if let Ok(number) = Number::parse(&text) {
                prop_assert_eq!(Number::parse(&number.to_string()).unwrap(), number);
            }
        }

        #[test]
        fn no_text_is_a_panic(text in "[-+0-9.eE]{0,60}") {
            let _ = Number::parse(&text);
        }
    }
}
