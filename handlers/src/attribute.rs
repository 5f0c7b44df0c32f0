//! Converts JSON to DynamoDB attribute values.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::json::{Json, Object, write_text};

/// DynamoDB's nesting limit, including the attribute itself.
const MAX_DEPTH: usize = 32;

pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Whether DynamoDB can store `object` as a map without changing values.
///
/// # Errors
/// Why it cannot; completes the sentence "the field … ".
pub fn check(object: &Object<'_>) -> Result<(), Cow<'static, str>> {
    check_members(object, 1)
}

fn check_members(object: &Object<'_>, depth: usize) -> Result<(), Cow<'static, str>> {
    object
        .0
        .iter()
        .try_for_each(|(_, value)| check_value(value, depth + 1))
}

/// Like [`check`], for a value that is nested `depth` deep.
///
/// # Errors
/// Why it cannot be stored; completes the sentence "the field … ".
pub fn check_value(value: &Json<'_>, depth: usize) -> Result<(), Cow<'static, str>> {
    if depth > MAX_DEPTH {
        return Err("nests deeper than 32 levels".into());
    }
    match value {
        Json::Number(text) => match decimal::canonical(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("holds a number that {error}").into()),
        },
        Json::Array(elements) => elements
            .iter()
            .try_for_each(|element| check_value(element, depth + 1)),
        Json::Object(object) => check_members(object, depth),
        Json::Null | Json::Bool(_) | Json::Text(_) => Ok(()),
    }
}

/// Converts `object` to a map of attribute values. Numbers that [`check`] rejects become strings.
pub fn map(object: &Object<'_>) -> HashMap<String, AttributeValue> {
    let mut map = HashMap::with_capacity(object.0.len());
    for (name, member) in &object.0 {
        map.insert(name.clone().into_owned(), value(member));
    }
    map
}

/// Converts a value. Numbers that [`check`] rejects become strings.
pub fn value(json: &Json<'_>) -> AttributeValue {
    match json {
        Json::Null => AttributeValue::Null(true),
        Json::Bool(bool) => AttributeValue::Bool(*bool),
        Json::Number(text) => match decimal::canonical(text) {
            Ok(number) => AttributeValue::N(number.into_owned()),
            Err(_) => AttributeValue::S((*text).to_owned()),
        },
        Json::Text(text) => AttributeValue::S(text.clone().into_owned()),
        Json::Array(elements) => AttributeValue::L(elements.iter().map(value).collect()),
        Json::Object(object) => AttributeValue::M(map(object)),
    }
}

/// Appends `item` to `into` as a JSON object: its attributes that `is_shown`, by name. Numbers keep their digits; sets become
/// arrays, and binary values base64.
pub fn write_json(
    item: &HashMap<String, AttributeValue>,
    is_shown: &dyn Fn(&str) -> bool,
    into: &mut String,
) {
    let mut attributes: Vec<_> = item.iter().filter(|(name, _)| is_shown(name)).collect();
    // `id` first, so that a person finds it.
    attributes.sort_unstable_by_key(|(name, _)| (*name != "id", *name));
    into.push('{');
    for (place, (name, value)) in attributes.into_iter().enumerate() {
        into.push_str(if place == 0 { "" } else { "," });
        write_text(name, into);
        into.push(':');
        write_value(value, into);
    }
    into.push('}');
}

fn write_value(value: &AttributeValue, into: &mut String) {
    let list = |into: &mut String, count: usize, write: &dyn Fn(usize, &mut String)| {
        into.push('[');
        for place in 0..count {
            into.push_str(if place == 0 { "" } else { "," });
            write(place, into);
        }
        into.push(']');
    };
    let base64 = |bytes: &[u8], into: &mut String| {
        write_text(&base64_simd::STANDARD.encode_to_string(bytes), into);
    };
    match value {
        AttributeValue::S(text) => write_text(text, into),
        AttributeValue::N(number) => into.push_str(number),
        AttributeValue::Bool(bool) => into.push_str(if *bool { "true" } else { "false" }),
        AttributeValue::B(bytes) => base64(bytes.as_ref(), into),
        AttributeValue::M(map) => write_json(map, &|_| true, into),
        AttributeValue::L(values) => list(into, values.len(), &|at, into| write_value(&values[at], into)),
        AttributeValue::Ss(texts) => list(into, texts.len(), &|at, into| write_text(&texts[at], into)),
        AttributeValue::Ns(numbers) => list(into, numbers.len(), &|at, into| into.push_str(&numbers[at])),
        AttributeValue::Bs(values) => list(into, values.len(), &|at, into| base64(values[at].as_ref(), into)),
        // NULL, and types that do not exist yet.
        _ => into.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn checked(text: &str) -> Result<(), String> {
        let Json::Object(object) = json::parse(text.as_bytes()).unwrap() else {
            panic!()
        };
        check(&object).map_err(Cow::into_owned)
    }

    #[test]
    fn numbers_are_stored_exactly_or_refused() {
        let Json::Object(object) =
            json::parse(br#"{"price":29.99,"tags":["a",null,true,{"n":1.50}]}"#).unwrap()
        else {
            panic!()
        };
        let map = map(&object);
        assert_eq!(map["price"], number("29.99"));
        assert_eq!(
            checked(r#"{"a":[1e126]}"#),
            Err("holds a number that is beyond the range of numbers".to_owned())
        );
        assert_eq!(
            checked(r#"{"a":0.123456789012345678901234567890123456789}"#),
            Err("holds a number that has more than 38 significant digits".to_owned())
        );
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(checked(&nested(30)), Ok(()));
        assert_eq!(
            checked(&nested(31)),
            Err("nests deeper than 32 levels".to_owned())
        );
    }
}
