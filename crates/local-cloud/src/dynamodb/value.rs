//! Attribute values in DynamoDB's JSON, `{"S": "text"}`: validation, size, order.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::error::{ApiError, Result};
use super::number;

/// An item: attribute names and values.
pub(super) type Item = Map<String, Value>;

/// Source: "Constraints", DynamoDB developer guide: "nested attributes up to 32 levels deep".
const MAX_DEPTH: usize = 32;
/// Source: the same: "The maximum item size in DynamoDB is 400 KB".
const MAX_ITEM: usize = 400 << 10;

/// The error of an item above the limit.
pub(super) const TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

/// The type letter and the value within.
pub(super) fn typed(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object()?;
    let (kind, inner) = fields.iter().next()?;
    (fields.len() == 1).then_some((kind.as_str(), inner))
}

/// Checks an item and normalizes its numbers. Returns the size for AWS's limit.
///
/// # Errors
/// `ValidationException`, when a value is not valid.
pub(super) fn check_item(item: &mut Item) -> Result<usize> {
    let size = check_attributes(item, 0)?;
    if size > MAX_ITEM {
        return Err(ApiError::validation(TOO_LARGE));
    }
    Ok(size)
}

fn check_attributes(attributes: &mut Item, depth: usize) -> Result<usize> {
    let mut size = 0;
    for (name, value) in attributes.iter_mut() {
        if name.is_empty() && depth == 0 {
            return Err(ApiError::invalid("attribute name must not be empty"));
        }
        size += name.len() + check(value, depth + 1)?;
    }
    Ok(size)
}

/// Checks one value and normalizes its numbers.
///
/// # Errors
/// `ValidationException`, when a value is not valid.
pub(super) fn check(value: &mut Value, depth: usize) -> Result<usize> {
    if depth > MAX_DEPTH {
        return Err(ApiError::validation(
            "Nesting Levels have exceeded supported limits: Attributes nested deeper than 32 levels",
        ));
    }
    let fields = value.as_object_mut().ok_or_else(not_a_value)?;
    if fields.len() != 1 {
        return Err(if fields.is_empty() {
            ApiError::validation(
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            )
        } else {
            ApiError::validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the \
                 supported datatypes",
            )
        });
    }
    let Some((kind, inner)) = fields.iter_mut().next() else {
        return Err(not_a_value());
    };
    match kind.as_str() {
        "S" => Ok(inner.as_str().ok_or_else(not_a_value)?.len()),
        "N" => check_number(inner),
        "B" => binary(inner).map(|bytes| bytes.len()),
        "BOOL" => inner.as_bool().map(|_| 1).ok_or_else(not_a_value),
        "NULL" => match inner.as_bool() {
            Some(true) => Ok(1),
            _ => Err(ApiError::invalid(
                "Null attribute value types must have the value of true",
            )),
        },
        "L" => {
            let items = inner.as_array_mut().ok_or_else(not_a_value)?;
            let mut size = 3;
            for item in items {
                size += 1 + check(item, depth + 1)?;
            }
            Ok(size)
        }
        "M" => {
            let fields = inner.as_object_mut().ok_or_else(not_a_value)?;
            Ok(3 + fields.len() + check_attributes(fields, depth)?)
        }
        "SS" | "NS" | "BS" => {
            let kind = kind.clone();
            check_set(&kind, inner)
        }
        other => Err(ApiError::new(
            "SerializationException",
            format!("Unexpected type of attribute value: {other}"),
        )),
    }
}

fn check_number(inner: &mut Value) -> Result<usize> {
    let text = inner.as_str().ok_or_else(not_a_value)?;
    let number = number::parse(text)?;
    // Most numbers are in the stored form already.
    if !decimal::is_canonical(text) {
        *inner = Value::String(number.to_string());
    }
    Ok(number::size(number))
}

fn check_set(kind: &str, inner: &mut Value) -> Result<usize> {
    let members = inner.as_array_mut().ok_or_else(not_a_value)?;
    if members.is_empty() {
        return Err(ApiError::invalid(match kind {
            "SS" => "An string set  may not be empty",
            "NS" => "An number set  may not be empty",
            _ => "Binary sets should not be empty",
        }));
    }
    let mut size = 3;
    for member in members.iter_mut() {
        size += match kind {
            "NS" => check_number(member)?,
            "BS" => binary(member)?.len(),
            _ => member.as_str().ok_or_else(not_a_value)?.len(),
        };
    }
    let mut seen = std::collections::HashSet::new();
    if !members.iter().all(|member| seen.insert(member.as_str())) {
        let members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
        return Err(ApiError::invalid(format!(
            "Input collection [{}] contains duplicates.",
            members.join(", ")
        )));
    }
    Ok(size)
}

fn not_a_value() -> ApiError {
    ApiError::new(
        "SerializationException",
        "An attribute value is not of the form {\"<type>\": <value>}",
    )
}

/// The bytes of base64 text.
pub(super) fn binary(inner: &Value) -> Result<Vec<u8>> {
    let text = inner.as_str().ok_or_else(not_a_value)?;
    base64_simd::STANDARD
        .decode_to_vec(text)
        .map_err(|_| ApiError::new("SerializationException", "A binary value is not base64"))
}

/// The size of an item, without checking it.
pub(super) fn size_of(item: &Item) -> usize {
    let mut copy = item.clone();
    check_attributes(&mut copy, 0).unwrap_or(0)
}

/// The order of two values; `None` if their types differ or have no order.
pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    let ((kind, a), (other, b)) = (typed(a)?, typed(b)?);
    if kind != other {
        return None;
    }
    match kind {
        "S" => Some(a.as_str()?.as_bytes().cmp(b.as_str()?.as_bytes())),
        "N" => {
            let (a, b) = (number::parse(a.as_str()?).ok()?, number::parse(b.as_str()?).ok()?);
            Some(a.cmp(&b))
        }
        "B" => Some(binary(a).ok()?.cmp(&binary(b).ok()?)),
        _ => None,
    }
}

/// Whether two values are equal: sets in any order, numbers by value.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    let (Some((kind, inner)), Some((other, other_inner))) = (typed(a), typed(b)) else {
        return false;
    };
    if kind != other {
        return false;
    }
    match kind {
        "S" | "N" | "B" => compare(a, b) == Some(Ordering::Equal),
        "SS" | "NS" | "BS" => {
            let (Some(members), Some(others)) = (inner.as_array(), other_inner.as_array()) else {
                return false;
            };
            let element = &kind[..1];
            members.len() == others.len()
                && members
                    .iter()
                    .all(|member| others.iter().any(|other| equal_members(element, member, other)))
        }
        "L" => match (inner.as_array(), other_inner.as_array()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
            _ => false,
        },
        "M" => match (inner.as_object(), other_inner.as_object()) {
            (Some(a), Some(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(name, value)| b.get(name).is_some_and(|other| equal(value, other)))
            }
            _ => false,
        },
        _ => inner == other_inner,
    }
}

/// Whether two members of sets of `element` (`S`, `N`, `B`) are equal. Members were checked: numbers are in normal
/// form.
pub(super) fn equal_members(element: &str, a: &Value, b: &Value) -> bool {
    if element != "N" || a == b {
        return a == b;
    }
    let number = |value: &Value| value.as_str().and_then(|text| number::parse(text).ok());
    number(a).is_some() && number(a) == number(b)
}

/// The bytes of a key attribute, which sort as the values do.
///
/// # Errors
/// When the value is not of the declared type `kind`.
pub(super) fn key_bytes(name: &str, kind: &str, value: &Value, of_index: bool) -> Result<Vec<u8>> {
    let mismatch = |actual: &str| {
        if of_index {
            ApiError::invalid(format!(
                "Type mismatch for Index Key {name} Expected: {kind} Actual: {actual}"
            ))
        } else {
            ApiError::invalid(format!(
                "Type mismatch for key {name} expected: {kind} actual: {actual}"
            ))
        }
    };
    let (actual, inner) = typed(value).ok_or_else(not_a_value)?;
    if actual != kind {
        return Err(mismatch(actual));
    }
    let text = inner.as_str().ok_or_else(not_a_value)?;
    let bytes = match kind {
        "N" => return Ok(number::parse(text)?.sortable().to_vec()),
        "B" => binary(inner)?,
        _ => text.as_bytes().to_vec(),
    };
    if bytes.is_empty() {
        return Err(ApiError::validation(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
             empty {} value. Key: {name}",
            if kind == "B" { "binary" } else { "string" }
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(value: Value) -> Item {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn numbers_are_written_as_dynamodb_does() {
        let mut all = item(json!({
            "price": {"N": "29.99"}, "zeros": {"N": "29.990"}, "set": {"NS": ["1.0", "2"]},
            "deep": {"M": {"l": {"L": [{"N": "1e3"}]}}}
        }));
        check_item(&mut all).unwrap();
        assert_eq!(
            Value::Object(all),
            json!({
                "price": {"N": "29.99"}, "zeros": {"N": "29.99"}, "set": {"NS": ["1", "2"]},
                "deep": {"M": {"l": {"L": [{"N": "1000"}]}}}
            })
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for value in [
            json!({}),
            json!("text"),
            json!({"S": 1}),
            json!({"N": 1}),
            json!({"N": "one"}),
            json!({"S": "a", "N": "1"}),
            json!({"SS": []}),
            json!({"NS": ["1", "1.0"]}),
            json!({"NULL": false}),
            json!({"B": "?"}),
            json!({"X": "a"}),
        ] {
            assert!(check(&mut value.clone(), 0).is_err(), "{value}");
        }
        let mut deep = json!({"S": "a"});
        for _ in 0..40 {
            deep = json!({"L": [deep]});
        }
        assert!(check(&mut deep, 0).is_err());
        let mut large = item(json!({"a": {"S": "x".repeat(400 << 10)}}));
        assert!(
            check_item(&mut large)
                .unwrap_err()
                .message
                .contains("maximum allowed size")
        );
    }

    #[test]
    fn order_and_equality() {
        let less = |a: Value, b: Value| compare(&a, &b) == Some(Ordering::Less);
        assert!(less(json!({"N": "9"}), json!({"N": "10"})));
        assert!(less(json!({"S": "10"}), json!({"S": "9"})));
        assert!(less(json!({"B": "AA=="}), json!({"B": "+A=="})));
        assert_eq!(compare(&json!({"S": "1"}), &json!({"N": "1"})), None);
        assert!(equal(&json!({"SS": ["a", "b"]}), &json!({"SS": ["b", "a"]})));
        assert!(equal(&json!({"N": "1"}), &json!({"N": "1.0"})));
        assert!(!equal(&json!({"L": [{"N": "1"}]}), &json!({"L": []})));
    }
}
