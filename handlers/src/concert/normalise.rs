//! Converts the payloads of different APIs to one format. Unknown fields are kept unchanged.

use std::borrow::Cow;

use super::DataType;
use crate::json::{Json, Object};

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// Fields of a venue's location.
const LOCATION: [&str; 8] = [
    "address",
    "city",
    "state",
    "region",
    "postal_code",
    "country",
    "latitude",
    "longitude",
];

/// Appends the normalised `payload` to `members`. Names that `members` already has are skipped.
pub(super) fn into<'a>(members: &mut Members<'a>, data_type: DataType, payload: &Object<'a>) {
    let (normalised, replaced): (Members<'a>, &[&str]) = match data_type {
        DataType::Artists => (artist(payload), &["id", "genre"]),
        DataType::Venues => (
            venue(payload),
            &[
                "id",
                "address",
                "city",
                "state",
                "region",
                "postal_code",
                "country",
                "latitude",
                "longitude",
            ],
        ),
        DataType::Concerts => (concert(payload), &["id", "event_id"]),
        DataType::TicketSales => (sale(payload), &["id"]),
    };
    members.extend(normalised);
    for (name, value) in &payload.0 {
        if replaced.contains(&name.as_ref()) || members.iter().any(|(taken, _)| taken == name) {
            continue;
        }
        let is_price = name == "price"
            || ["_price", "_amount", "price_per_ticket"]
                .iter()
                .any(|end| name.ends_with(end));
        let value = match data_type {
            DataType::TicketSales if is_price => number(Some(value), "0"),
            _ => value.clone(),
        };
        members.push((name.clone(), value));
    }
}

fn member<'a>(name: &'static str, value: Json<'a>) -> (Cow<'a, str>, Json<'a>) {
    (Cow::Borrowed(name), value)
}

fn artist<'a>(payload: &Object<'a>) -> Members<'a> {
    let genres = match payload.get("genres").or_else(|| payload.get("genre")) {
        Some(Json::Array(genres)) => genres.clone(),
        Some(genre @ Json::Text(_)) => vec![genre.clone()],
        _ => Vec::new(),
    };
    vec![
        member("artist_id", first(payload, &["artist_id", "id"])),
        member("name", trimmed(payload, "name")),
        member("genres", Json::Array(genres)),
        member("popularity", number(popularity(payload), "0")),
    ]
}

/// APIs name it `popularity` or `popularity_score`.
fn popularity<'p, 'a>(payload: &'p Object<'a>) -> Option<&'p Json<'a>> {
    let names = ["popularity", "popularity_score"];
    names.iter().find_map(|name| payload.get(name))
}

fn venue<'a>(payload: &Object<'a>) -> Members<'a> {
    let nested = match payload.get("location") {
        Some(Json::Object(location)) => location.clone(),
        Some(text @ Json::Text(_)) => Object(vec![member("address", text.clone())]),
        _ => Object::default(),
    };
    let mut location = nested.0.clone();
    for name in LOCATION {
        if nested.get(name).is_none()
            && let Some(value) = payload.get(name)
        {
            location.retain(|(known, _)| known != name);
            location.push(member(name, value.clone()));
        }
    }
    vec![
        member("venue_id", first(payload, &["venue_id", "id"])),
        member("name", trimmed(payload, "name")),
        member("location", Json::Object(Object(location))),
        member("capacity", whole_number(payload.get("capacity"))),
    ]
}

fn concert<'a>(payload: &Object<'a>) -> Members<'a> {
    let status = match payload.get("status") {
        Some(status @ Json::Text(text)) if !text.trim().is_empty() => status.clone(),
        _ => Json::Text(Cow::Borrowed("scheduled")),
    };
    vec![
        member("concert_id", first(payload, &["concert_id", "event_id", "id"])),
        member("status", status),
    ]
}

fn sale<'a>(payload: &Object<'a>) -> Members<'a> {
    vec![
        member("sale_id", first(payload, &["sale_id", "id"])),
        member("concert_id", first(payload, &["concert_id", "event_id"])),
        member("quantity", number(payload.get("quantity"), "1")),
        member(
            "unit_price",
            number(payload.get("unit_price").or_else(|| payload.get("price")), "0"),
        ),
        member("total_price", number(payload.get("total_price"), "0")),
    ]
}

fn first<'a>(payload: &Object<'a>, names: &[&str]) -> Json<'a> {
    names
        .iter()
        .find_map(|name| payload.get(name))
        .cloned()
        .unwrap_or(Json::Null)
}

fn trimmed<'a>(payload: &Object<'a>, name: &str) -> Json<'a> {
    match payload.get(name) {
        Some(Json::Text(text)) => Json::Text(Cow::Owned(text.trim().to_owned())),
        _ => Json::Null,
    }
}

/// The number in `value`, or `default` if there is none.
fn number<'a>(value: Option<&Json<'a>>, default: &'static str) -> Json<'a> {
    match value {
        Some(Json::Number(text)) => Json::Number(text),
        Some(Json::Text(Cow::Borrowed(text))) if decimal::canonical(text.trim()).is_ok() => {
            Json::Number(text.trim())
        }
        _ => Json::Number(default),
    }
}

/// The whole number in `value`, or null.
fn whole_number<'a>(value: Option<&Json<'a>>) -> Json<'a> {
    let text = match value {
        Some(Json::Number(text)) => text,
        Some(Json::Text(Cow::Borrowed(text))) => text.trim(),
        _ => return Json::Null,
    };
    match decimal::Decimal::parse_json(text)
        .ok()
        .and_then(decimal::Decimal::to_i64)
    {
        Some(_) if !text.contains(['.', 'e', 'E']) => Json::Number(text),
        _ => Json::Null,
    }
}
