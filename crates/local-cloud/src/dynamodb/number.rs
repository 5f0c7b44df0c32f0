//! Numbers of attribute values, with DynamoDB's errors.

use decimal::{Decimal, Error};

use super::error::{ApiError, Result};

pub(super) fn parse(text: &str) -> Result<Decimal> {
    Decimal::parse(text).map_err(|error| refused(error, text))
}

pub(super) fn add(a: Decimal, b: Decimal) -> Result<Decimal> {
    a.checked_add(b).map_err(|error| refused(error, ""))
}

/// The bytes that a number counts in the size of an item.
/// Source: "DynamoDB item sizes and formats": "approximately … 1 byte per two significant digits, plus 1 byte".
pub(super) fn size(number: Decimal) -> usize {
    number.digits().div_ceil(2) as usize + 1 + usize::from(number.is_negative())
}

fn refused(error: Error, text: &str) -> ApiError {
    ApiError::validation(match error {
        Error::NotANumber => format!("The parameter cannot be converted to a numeric value: {text}"),
        Error::TooPrecise => "Attempting to store more than 38 significant digits in a Number".to_owned(),
        Error::TooLarge => {
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
                .to_owned()
        }
        Error::TooSmall => {
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
                .to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_dynamodb_cannot_store_are_refused() {
        let message = |text: &str| parse(text).unwrap_err().message;
        assert!(message("abc").ends_with("to a numeric value: abc"));
        assert!(message(&"1".repeat(39)).contains("38 significant digits"));
        assert!(message("1e126").contains("overflow"));
        assert!(message("1e-131").contains("underflow"));
        let (huge, one) = (parse("1e100").unwrap(), parse("1").unwrap());
        assert!(
            add(huge, one)
                .unwrap_err()
                .message
                .contains("38 significant digits")
        );
    }

    #[test]
    fn a_number_takes_a_byte_for_two_digits() {
        for (text, bytes) in [("0", 2), ("1000", 2), ("12", 2), ("123", 3), ("-123", 4)] {
            assert_eq!(size(parse(text).unwrap()), bytes, "{text}");
        }
    }
}
