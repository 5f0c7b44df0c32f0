//! Exact decimal numbers, within what DynamoDB can store: 38 significant digits, magnitudes from 1E-130 to below 1E+126.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// Significant digits of a DynamoDB number.
const MAX_DIGITS: u32 = 38;
/// Powers of ten of the first significant digit of a DynamoDB number.
const MAGNITUDES: std::ops::RangeInclusive<i64> = -130..=125;
/// Significant digits of a quotient that has no exact value.
const QUOTIENT_DIGITS: u32 = 28;

/// `mantissa × 10^exponent`, in lowest terms: no trailing zeros, and zero is `0 × 10^0`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Decimal {
    mantissa: i128,
    exponent: i32,
}

/// Why a text is not a number that DynamoDB can store exactly. Continues "the field … ".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NumberFault {
    /// Not a number in JSON's grammar.
    NotANumber,
    /// More than 38 significant digits.
    TooPrecise,
    /// Too large, or too near to zero.
    OutOfRange,
}

impl fmt::Display for NumberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "is not a number",
            Self::TooPrecise => "has more than 38 significant digits",
            Self::OutOfRange => "is beyond the range of numbers",
        })
    }
}

/// A number's text as DynamoDB would give it back: same value, no exponent where that is short, no trailing zeros, no
/// negative zero.
///
/// # Errors
/// As [`Decimal::parse`].
pub fn canonical(text: &str) -> Result<Cow<'_, str>, NumberFault> {
    if is_canonical(text) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(Decimal::parse(text)?.to_string()))
}

/// The usual case, without arithmetic: `0`, `42`, `-7`, `29.99`.
fn is_canonical(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if digits.len() > MAX_DIGITS as usize {
        return false;
    }
    let (mut points, mut nonzero) = (0, false);
    for digit in digits {
        match digit {
            b'0' => {}
            b'1'..=b'9' => nonzero = true,
            b'.' => points += 1,
            _ => return false,
        }
    }
    let no_leading_zero = match digits {
        [b'0'] => return text == "0",
        [b'0', second, ..] => *second == b'.',
        [b'.', ..] | [] => false,
        _ => true,
    };
    let tail = digits.last().copied();
    no_leading_zero && nonzero && (points == 0 || (points == 1 && tail != Some(b'0') && tail != Some(b'.')))
}

impl Decimal {
    /// Nought.
    pub const ZERO: Self = Self {
        mantissa: 0,
        exponent: 0,
    };

    /// Reads a number in JSON's grammar.
    ///
    /// # Errors
    /// It is no number, or DynamoDB could not store it exactly.
    pub fn parse(text: &str) -> Result<Self, NumberFault> {
        let scanned = Scanned::of(text).ok_or(NumberFault::NotANumber)?;
        let (mut mantissa, mut digits, mut zeros) = (0_i128, 0_u32, 0_u32);
        for byte in scanned.whole.bytes().chain(scanned.fraction.bytes()) {
            if byte == b'0' {
                zeros = zeros.saturating_add(u32::from(mantissa != 0));
                continue;
            }
            let shift = if mantissa == 0 { 1 } else { zeros.saturating_add(1) };
            digits = digits.saturating_add(shift);
            if digits > MAX_DIGITS {
                return Err(NumberFault::TooPrecise);
            }
            mantissa = mantissa * 10_i128.pow(shift) + i128::from(byte - b'0');
            zeros = 0;
        }
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        let fraction = i64::try_from(scanned.fraction.len()).unwrap_or(i64::MAX);
        let exponent = scanned
            .exponent
            .saturating_sub(fraction)
            .saturating_add(i64::from(zeros));
        if !MAGNITUDES.contains(&exponent.saturating_add(i64::from(digits) - 1)) {
            return Err(NumberFault::OutOfRange);
        }
        Ok(Self {
            mantissa: if scanned.negative { -mantissa } else { mantissa },
            exponent: i32::try_from(exponent).map_err(|_| NumberFault::OutOfRange)?,
        })
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// The value, if it is a whole number that fits.
    pub fn to_i64(self) -> Option<i64> {
        let power = 10_i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        i64::try_from(self.mantissa.checked_mul(power)?).ok()
    }

    /// The exact sum, unless it needs more than 38 digits or leaves the range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(if self.mantissa == 0 { other } else { self });
        }
        let exponent = self.exponent.min(other.exponent);
        let sum = self.scaled(exponent)?.checked_add(other.scaled(exponent)?)?;
        Self::reduced(sum, exponent)
    }

    /// The value divided by `count`, exact if 28 significant digits hold it, else rounded half to even there.
    /// Division by zero is zero.
    pub fn divided_by(self, count: u64) -> Self {
        if count == 0 {
            return Self::ZERO;
        }
        let divisor = u128::from(count);
        let dividend = self.mantissa.unsigned_abs();
        let (mut quotient, mut rest) = (dividend / divisor, dividend % divisor);
        let mut exponent = self.exponent;
        while rest != 0 && digits_of(quotient) < QUOTIENT_DIGITS {
            // The rest is below 2^64: ten times it fits.
            quotient = quotient * 10 + rest * 10 / divisor;
            rest = rest * 10 % divisor;
            exponent -= 1;
        }
        let half = (rest * 2).cmp(&divisor);
        if half == Ordering::Greater || (half == Ordering::Equal && quotient % 2 == 1) {
            quotient += 1;
        }
        let signed = i128::try_from(quotient).unwrap_or(i128::MAX) * if self.mantissa < 0 { -1 } else { 1 };
        Self::reduced(signed, exponent).unwrap_or(Self::ZERO)
    }

    fn scaled(self, exponent: i32) -> Option<i128> {
        let power = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(power)?)
    }

    fn reduced(mut mantissa: i128, mut exponent: i32) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        let digits = digits_of(mantissa.unsigned_abs());
        let magnitude = i64::from(exponent) + i64::from(digits) - 1;
        (digits <= MAX_DIGITS && MAGNITUDES.contains(&magnitude)).then_some(Self { mantissa, exponent })
    }

    /// The power of ten just above the value.
    fn magnitude(self) -> i32 {
        let digits = digits_of(self.mantissa.unsigned_abs());
        self.exponent + i32::try_from(digits).unwrap_or(0)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.mantissa.signum().cmp(&other.mantissa.signum());
        if sign != Ordering::Equal || self.mantissa == 0 {
            return sign;
        }
        let size = self.magnitude().cmp(&other.magnitude()).then_with(|| {
            // Of one magnitude, so neither is scaled beyond 38 digits.
            let exponent = self.exponent.min(other.exponent);
            let size = |one: &Self| one.scaled(exponent).unwrap_or(i128::MAX).unsigned_abs();
            size(self).cmp(&size(other))
        });
        if self.mantissa < 0 { size.reverse() } else { size }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self::reduced(i128::from(number), 0).unwrap_or(Self::ZERO)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        let point = length + self.exponent;
        let width = usize::try_from(point).unwrap_or(0);
        match self.exponent {
            0 => write!(f, "{sign}{digits}"),
            1.. if point <= 38 => write!(f, "{sign}{digits:0<width$}"),
            ..0 if point > 0 => write!(f, "{sign}{}.{}", &digits[..width], &digits[width..]),
            ..0 if point > -20 => {
                let zeros = usize::try_from(-point).unwrap_or(0);
                write!(f, "{sign}0.{:0<zeros$}{digits}", "")
            }
            _ => {
                let (first, rest) = digits.split_at(1);
                let dot = if rest.is_empty() { "" } else { "." };
                write!(f, "{sign}{first}{dot}{rest}E{}", point - 1)
            }
        }
    }
}

fn digits_of(number: u128) -> u32 {
    number.checked_ilog10().map_or(1, |log| log + 1)
}

/// The parts of a number in JSON's grammar.
struct Scanned<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Scanned<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (number, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], Self::power(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (number, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
        (well_formed && digits(whole) && digits(fraction)).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// An exponent; one beyond every range is cut off, since its number is zero or out of range anyway.
    fn power(text: &str) -> Option<i64> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let size = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        Some(if text.starts_with('-') { -size } else { size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn a_number_keeps_its_value() {
        let cases = [
            ("29.99", "29.99"),
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("0.0", "0"),
            ("1.50", "1.5"),
            ("1e2", "100"),
            ("1E-2", "0.01"),
            ("-12.30e1", "-123"),
            ("100", "100"),
            ("0.001", "0.001"),
            ("1e125", "1E125"),
            ("1e-130", "1E-130"),
            (
                "12345678901234567890123456789012345678",
                "12345678901234567890123456789012345678",
            ),
            (
                "123456789012345678901234567890123456780",
                "1.2345678901234567890123456789012345678E38",
            ),
            (
                "0.1000000000000000055511151231257827021",
                "0.1000000000000000055511151231257827021",
            ),
            ("0e99999999999999999999", "0"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_dynamodb_cannot_store_is_refused() {
        let cases = [
            ("123456789012345678901234567890123456789", NumberFault::TooPrecise),
            ("1e126", NumberFault::OutOfRange),
            ("1e-131", NumberFault::OutOfRange),
            ("1e99999999999999999999", NumberFault::OutOfRange),
            ("", NumberFault::NotANumber),
            ("-", NumberFault::NotANumber),
            ("1.", NumberFault::NotANumber),
            (".5", NumberFault::NotANumber),
            ("01", NumberFault::NotANumber),
            ("1e", NumberFault::NotANumber),
            ("1.2.3", NumberFault::NotANumber),
            ("NaN", NumberFault::NotANumber),
            ("+1", NumberFault::NotANumber),
            ("1 ", NumberFault::NotANumber),
        ];
        for (text, fault) in cases {
            assert_eq!(canonical(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_or_not_made() {
        assert_eq!(number("0.1").checked_add(number("0.2")), Some(number("0.3")));
        assert_eq!(number("1e30").checked_add(number("-1e30")), Some(Decimal::ZERO));
        assert_eq!(number("1e38").checked_add(number("1e-10")), None);
        let largest = number("9.9999999999999999999999999999999999999e125");
        assert_eq!(largest.checked_add(largest), None);
    }

    #[test]
    fn quotients_are_exact_or_have_28_digits() {
        assert_eq!(number("83").divided_by(4).to_string(), "20.75");
        assert_eq!(
            number("10").divided_by(3).to_string(),
            "3.333333333333333333333333333"
        );
        assert_eq!(
            number("-20").divided_by(3).to_string(),
            "-6.666666666666666666666666667"
        );
        assert_eq!(number("1").divided_by(0), Decimal::ZERO);
    }

    #[test]
    fn whole_numbers_fit_or_not() {
        assert_eq!(number("1.7e12").to_i64(), Some(1_700_000_000_000));
        assert_eq!(number("1.5").to_i64(), None);
        assert_eq!(number("1e30").to_i64(), None);
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(text in r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,2})?") {
            let value = number(&text);
            let canonical_text = canonical(&text).unwrap();
            prop_assert_eq!(number(&canonical_text), value);
            prop_assert_eq!(value.to_string(), canonical_text.as_ref());
            prop_assert_eq!(canonical(&canonical_text).unwrap(), canonical_text.clone());
            let float: f64 = text.parse().unwrap();
            prop_assert_eq!(canonical_text.parse::<f64>().unwrap(), float + 0.0);
        }

        #[test]
        fn addition_is_as_that_of_integers(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000, scale in 0..9) {
            let (left, right) = (number(&format!("{a}e-{scale}")), number(&format!("{b}e-{scale}")));
            prop_assert_eq!(left.checked_add(right), Some(number(&format!("{}e-{scale}", a + b))));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }

        #[test]
        fn rubbish_never_panics(text in r"[-+0-9.eE]{0,60}") {
            let _ = canonical(&text);
        }
    }
}
