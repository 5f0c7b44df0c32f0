//! Exact decimal numbers, within what DynamoDB can store: 38 significant digits, magnitudes from 1E-130 to below 1E+126.
//!
//! The handlers and the local cloud's DynamoDB share this crate. It depends on nothing: it is part of every handler.
//!
//! Source: "Number", Supported data types and naming rules in Amazon DynamoDB.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// Significant digits of a DynamoDB number.
const MAX_DIGITS: u32 = 38;
/// Powers of ten of the first significant digit of a DynamoDB number.
const MIN_MAGNITUDE: i64 = -130;
const MAX_MAGNITUDE: i64 = 125;
/// Significant digits of a quotient that has no exact value.
const QUOTIENT_DIGITS: u32 = 28;

/// `± coefficient × 10^exponent`. The coefficient has no trailing zeros; zero is `+ 0 × 10^0`. So equal numbers have
/// equal fields.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Decimal {
    negative: bool,
    /// Below 10^38.
    coefficient: u128,
    exponent: i32,
}

/// Why DynamoDB cannot store a number exactly. Continues "the field … ".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    NotANumber,
    /// More than 38 significant digits.
    TooPrecise,
    TooLarge,
    /// Too near to zero.
    TooSmall,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "is not a number",
            Self::TooPrecise => "has more than 38 significant digits",
            Self::TooLarge | Self::TooSmall => "is beyond the range of numbers",
        })
    }
}

impl std::error::Error for Error {}

/// The text of a JSON number as DynamoDB returns it: no exponent, no trailing zeros, no negative zero.
///
/// # Errors
/// As [`Decimal::parse_json`].
pub fn canonical(text: &str) -> Result<Cow<'_, str>, Error> {
    if is_canonical(text) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(Decimal::parse_json(text)?.to_string()))
}

/// Whether a text is a number in canonical form, without arithmetic: `0`, `42`, `-7`, `29.99`. Long ones are not
/// recognised.
pub fn is_canonical(text: &str) -> bool {
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

/// Whether what precedes the exponent has JSON's shape, given that the whole text is a number.
fn has_json_shape(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    matches!(whole.as_bytes(), [b'0'] | [b'1'..=b'9', ..]) && fraction != Some("")
}

impl Decimal {
    pub const ZERO: Self = Self {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// Reads a number in DynamoDB's grammar, which allows more than JSON's: `+1`, `.5`, `007`.
    ///
    /// # Errors
    /// The text is not a number, or DynamoDB cannot store it exactly.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(Error::NotANumber);
        }
        let (mut coefficient, mut digits) = (0_u128, 0_u32);
        // Zeros that may turn out to be trailing.
        let mut zeros = 0_u32;
        let mut too_precise = false;
        for byte in whole.bytes().chain(fraction.bytes()) {
            match byte {
                b'0' => zeros = zeros.saturating_add(u32::from(digits > 0)),
                b'1'..=b'9' => {
                    digits = digits.saturating_add(zeros).saturating_add(1);
                    too_precise |= digits > MAX_DIGITS;
                    if !too_precise {
                        coefficient = coefficient * 10_u128.pow(zeros + 1) + u128::from(byte - b'0');
                    }
                    zeros = 0;
                }
                _ => return Err(Error::NotANumber),
            }
        }
        if too_precise {
            return Err(Error::TooPrecise);
        }
        let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let exponent = exponent.saturating_sub(places).saturating_add(i64::from(zeros));
        Self::checked(negative, coefficient, exponent)
    }

    /// Reads a number in JSON's grammar.
    ///
    /// # Errors
    /// As [`Decimal::parse`].
    pub fn parse_json(text: &str) -> Result<Self, Error> {
        let number = Self::parse(text);
        if has_json_shape(text) {
            number
        } else {
            Err(Error::NotANumber)
        }
    }

    /// Drops trailing zeros and checks digits and range.
    fn checked(negative: bool, mut coefficient: u128, mut exponent: i64) -> Result<Self, Error> {
        if coefficient == 0 {
            return Ok(Self::ZERO);
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent = exponent.saturating_add(1);
        }
        let digits = digits_of(coefficient);
        if digits > MAX_DIGITS {
            return Err(Error::TooPrecise);
        }
        let magnitude = exponent.saturating_add(i64::from(digits) - 1);
        if magnitude < MIN_MAGNITUDE {
            return Err(Error::TooSmall);
        }
        if magnitude > MAX_MAGNITUDE {
            return Err(Error::TooLarge);
        }
        Ok(Self {
            negative,
            coefficient,
            exponent: i32::try_from(exponent).map_err(|_| Error::TooLarge)?,
        })
    }

    pub const fn is_negative(self) -> bool {
        self.negative
    }

    /// The number of significant digits; 1 for zero.
    pub fn digits(self) -> u32 {
        digits_of(self.coefficient)
    }

    /// The value, if it is a whole number that fits.
    pub fn to_i64(self) -> Option<i64> {
        let power = 10_u128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let size = i128::try_from(self.coefficient.checked_mul(power)?).ok()?;
        i64::try_from(if self.negative { -size } else { size }).ok()
    }

    /// The exact sum.
    ///
    /// # Errors
    /// The sum has more than 38 significant digits, or is out of range.
    pub fn checked_add(self, other: Self) -> Result<Self, Error> {
        if self.coefficient == 0 || other.coefficient == 0 {
            return Ok(if self.coefficient == 0 { other } else { self });
        }
        let exponent = self.exponent.min(other.exponent);
        // A term that does not fit is at least 3.4 × 10^38, so the sum has more than 38 digits.
        let scaled = |term: Self| {
            let power = 10_u128.checked_pow(term.exponent.abs_diff(exponent))?;
            term.coefficient.checked_mul(power)
        };
        let a = scaled(self).ok_or(Error::TooPrecise)?;
        let b = scaled(other).ok_or(Error::TooPrecise)?;
        let (negative, sum) = if self.negative == other.negative {
            (self.negative, a.checked_add(b).ok_or(Error::TooPrecise)?)
        } else if a >= b {
            (self.negative, a - b)
        } else {
            (other.negative, b - a)
        };
        Self::checked(negative, sum, i64::from(exponent))
    }

    /// The value divided by `count`, exact if 28 significant digits hold it, else rounded half to even there.
    /// Division by zero is zero.
    pub fn divided_by(self, count: u64) -> Self {
        if count == 0 {
            return Self::ZERO;
        }
        let divisor = u128::from(count);
        let (mut quotient, mut rest) = (self.coefficient / divisor, self.coefficient % divisor);
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
        Self::checked(self.negative, quotient, i64::from(exponent)).unwrap_or(Self::ZERO)
    }

    /// Bytes that sort as the numbers do: sign, power of ten, digits; inverted for negative numbers.
    pub fn sortable(self) -> [u8; 19] {
        let mut bytes = [0; 19];
        if self.coefficient == 0 {
            bytes[0] = 1;
            return bytes;
        }
        // 0 to 255, since the range was checked.
        let magnitude = u16::try_from(self.magnitude() - MIN_MAGNITUDE).unwrap_or_default();
        bytes[1..3].copy_from_slice(&magnitude.to_be_bytes());
        bytes[3..].copy_from_slice(&self.padded().to_be_bytes());
        if self.negative {
            bytes[1..].iter_mut().for_each(|byte| *byte = !*byte);
        } else {
            bytes[0] = 2;
        }
        bytes
    }

    /// The power of ten of the first digit.
    fn magnitude(self) -> i64 {
        i64::from(self.exponent) + i64::from(self.digits()) - 1
    }

    /// The coefficient with zeros appended to 38 digits.
    fn padded(self) -> u128 {
        self.coefficient * 10_u128.pow(MAX_DIGITS - self.digits())
    }

    fn sign(self) -> i8 {
        match (self.coefficient, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }
}

impl std::ops::Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            negative: !self.negative && self.coefficient != 0,
            ..self
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.sign().cmp(&other.sign());
        if sign != Ordering::Equal || self.coefficient == 0 {
            return sign;
        }
        let size = self.magnitude().cmp(&other.magnitude());
        let size = size.then_with(|| self.padded().cmp(&other.padded()));
        if self.negative { size.reverse() } else { size }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Plain digits, without an exponent, as DynamoDB returns them.
impl fmt::Display for Decimal {
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

/// `+5`, `-5`, `5`. An exponent that does not fit is cut: its number is zero or out of range anyway.
fn parse_exponent(text: &str) -> Result<i64, Error> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::NotANumber);
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Ok(if text.starts_with('-') { -size } else { size })
}

fn digits_of(number: u128) -> u32 {
    number.checked_ilog10().map_or(1, |log| log + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse_json(text).unwrap()
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
            (
                "12345678901234567890123456789012345678",
                "12345678901234567890123456789012345678",
            ),
            (
                "123456789012345678901234567890123456780",
                "123456789012345678901234567890123456780",
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
        assert_eq!(number("1e125").to_string(), format!("1{:0125}", 0));
        assert_eq!(number("1e-130").to_string(), format!("0.{:0129}1", 0));
        let zeros = format!("1{:0100}", 0);
        assert_eq!(number(&zeros).to_string(), zeros, "trailing zeros do not count");
    }

    #[test]
    fn what_dynamodb_cannot_store_is_refused() {
        let cases = [
            ("123456789012345678901234567890123456789", Error::TooPrecise),
            ("1e126", Error::TooLarge),
            ("1e-131", Error::TooSmall),
            ("1e99999999999999999999", Error::TooLarge),
            ("", Error::NotANumber),
            ("-", Error::NotANumber),
            ("1.", Error::NotANumber),
            (".5", Error::NotANumber),
            ("01", Error::NotANumber),
            ("1e", Error::NotANumber),
            ("1.2.3", Error::NotANumber),
            ("NaN", Error::NotANumber),
            ("+1", Error::NotANumber),
            ("1 ", Error::NotANumber),
            ("0x10", Error::NotANumber),
            ("--1", Error::NotANumber),
            ("1e+", Error::NotANumber),
            (".", Error::NotANumber),
        ];
        for (text, error) in cases {
            assert_eq!(canonical(text), Err(error), "{text}");
        }
    }

    #[test]
    fn dynamodb_reads_more_than_json() {
        for (text, expected) in [
            ("007", "7"),
            (".5", "0.5"),
            ("+1", "1"),
            ("1.", "1"),
            ("-1.5E-3", "-0.0015"),
        ] {
            assert_eq!(Decimal::parse(text), Ok(number(expected)), "{text}");
        }
        for text in ["", "-", "+", ".", "-+1", "1e", "0x10"] {
            assert_eq!(Decimal::parse(text), Err(Error::NotANumber), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_or_not_made() {
        assert_eq!(number("0.1").checked_add(number("0.2")), Ok(number("0.3")));
        assert_eq!(number("1e30").checked_add(number("-1e30")), Ok(Decimal::ZERO));
        assert_eq!(
            number("1e38").checked_add(number("1e-10")),
            Err(Error::TooPrecise)
        );
        let large = number("9e125");
        assert_eq!(large.checked_add(large), Err(Error::TooLarge));
        assert_eq!(number("3").checked_add(-number("5")), Ok(number("-2")));
        // Terms of 39 digits at the common exponent, whose sum has 38.
        let sum = number("1.8e38").checked_add(number("-95000000000000000000000000000000000001"));
        assert_eq!(sum, Ok(number("84999999999999999999999999999999999999")));
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
            prop_assert_eq!(left.checked_add(right), Ok(number(&format!("{}e-{scale}", a + b))));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.sortable().cmp(&right.sortable()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_refused_or_reads_back(text in r"[-+0-9.eE]{0,60}|-?[0-9]{1,30}(\.[0-9]{0,8})?(e-?[0-9]{1,3})?") {
            let _ = canonical(&text);
            if let Ok(number) = Decimal::parse(&text) {
                prop_assert_eq!(Decimal::parse_json(&number.to_string()), Ok(number));
            }
        }
    }
}
