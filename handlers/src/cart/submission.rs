//! What a page submits, and the record that is made of it.

use std::collections::HashMap;

use crate::clock::rfc3339_ms;
use crate::json::{self, Json, Object, write_text};

/// Maximum size of a record's data with its partition key, in bytes, unless the stream allows more.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// Maximum number of digits of a user id: DynamoDB's numbers have 38.
const MAX_USER_DIGITS: usize = 38;
const MAX_PRODUCTS: usize = 1000;
const MAX_PRODUCT_BYTES: usize = 128;
const EVENTS: [&str; 4] = ["add_to_cart", "remove_from_cart", "update_cart", "checkout"];

/// A valid submission.
#[derive(Debug, PartialEq)]
pub struct Submission {
    /// Digits without leading zeros. It is the partition key.
    pub user_id: String,
    pub product_ids: Vec<String>,
    /// One line of JSON, with its line break.
    pub record: String,
}

/// Why a submission is refused.
#[derive(Debug, Eq, PartialEq)]
pub struct Refusal {
    pub status: u16,
    /// A sentence without a full stop.
    pub message: String,
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal {
        status: 400,
        message: message.into(),
    }
}

impl Submission {
    /// # Errors
    /// The body is not a valid submission, or its record would be too large.
    pub fn parse(body: &[u8], now_ms: i64) -> Result<Self, Refusal> {
        let json = json::parse(body).map_err(|error| bad(format!("The body is not valid JSON: {error}")))?;
        let Json::Object(object) = json else {
            return Err(bad("The body is not a JSON object"));
        };
        let user_id = user_id(&object)?;
        let product_ids = product_ids(&object)?;
        check_event(&object)?;
        let record = record(&object, &user_id, &product_ids, now_ms);
        if record.len() + user_id.len() > MAX_RECORD_BYTES {
            return Err(Refusal {
                status: 413,
                message: "The submission is larger than 1 MiB".to_owned(),
            });
        }
        Ok(Self {
            user_id,
            product_ids,
            record,
        })
    }
}

fn user_id(object: &Object<'_>) -> Result<String, Refusal> {
    let text: &str = match object.get("user_id") {
        None => return Err(bad("The field user_id is missing")),
        Some(Json::Number(text)) => text,
        Some(Json::Text(text)) => text.trim(),
        Some(_) => "",
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("The field user_id is not a whole number"));
    }
    let digits = text.trim_start_matches('0');
    match digits.len() {
        0 => Ok("0".to_owned()),
        1..=MAX_USER_DIGITS => Ok(digits.to_owned()),
        _ => Err(bad(format!(
            "The field user_id has more than {MAX_USER_DIGITS} digits"
        ))),
    }
}

/// The ids without spaces around them. Empty ones are left out.
fn product_ids(object: &Object<'_>) -> Result<Vec<String>, Refusal> {
    let listed = match object.get("product_ids") {
        None => return Ok(Vec::new()),
        Some(Json::Array(listed)) => listed,
        Some(_) => return Err(bad("The field product_ids is not a list")),
    };
    if listed.len() > MAX_PRODUCTS {
        return Err(bad(format!(
            "The field product_ids has more than {MAX_PRODUCTS} products"
        )));
    }
    let mut ids = Vec::with_capacity(listed.len());
    for id in listed {
        let id: &str = match id {
            Json::Text(text) => text.trim(),
            Json::Number(text) => text,
            _ => return Err(bad("The field product_ids holds a value that is not a string")),
        };
        if !id
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character.is_whitespace())
        {
            return Err(bad(
                "The field product_ids holds a value with characters other than letters, digits and spaces",
            ));
        }
        if id.len() > MAX_PRODUCT_BYTES {
            return Err(bad(format!(
                "The field product_ids holds a value that is longer than {MAX_PRODUCT_BYTES} bytes"
            )));
        }
        if !id.is_empty() {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

fn check_event(object: &Object<'_>) -> Result<(), Refusal> {
    match object.get("event") {
        None => Ok(()),
        Some(Json::Text(event)) if EVENTS.contains(&event.as_ref()) => Ok(()),
        Some(_) => Err(bad(format!(
            "The field event is not one of {}",
            EVENTS.join(", ")
        ))),
    }
}

/// The submission with what the server says of it. The client's time and source get names of their own; further fields stay
/// as they are.
fn record(object: &Object<'_>, user_id: &str, product_ids: &[String], now_ms: i64) -> String {
    let mut record = format!("{{\"user_id\":{user_id},\"product_ids\":[");
    for (place, id) in product_ids.iter().enumerate() {
        record.push_str(if place == 0 { "" } else { "," });
        write_text(id, &mut record);
    }
    record.push(']');
    // Of a repeated name, the last value counts.
    let last: HashMap<&str, usize> = object
        .0
        .iter()
        .enumerate()
        .map(|(place, (name, _))| (name.as_ref(), place))
        .collect();
    for (place, (name, value)) in object.0.iter().enumerate() {
        if last.get(name.as_ref()) != Some(&place) {
            continue;
        }
        let name = match name.as_ref() {
            "user_id" | "product_ids" => continue,
            "client_timestamp" if last.contains_key("timestamp") => continue,
            "client_source" if last.contains_key("source") => continue,
            "timestamp" => "client_timestamp",
            "source" => "client_source",
            other => other,
        };
        record.push(',');
        write_text(name, &mut record);
        record.push(':');
        value.write(&mut record);
    }
    record.push_str(&format!(
        ",\"timestamp\":\"{}\",\"source\":\"api-gateway\"}}\n",
        rfc3339_ms(now_ms)
    ));
    record
}
