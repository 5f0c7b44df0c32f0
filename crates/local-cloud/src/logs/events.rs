//! The operations on log events.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Row, params};
use serde_json::{Value, json};

use super::pattern::Pattern;
use super::{Result, group, invalid, missing_stream, number, text};
use crate::Caller;

/// Source: PutLogEvents, CloudWatch Logs API reference.
const MAX_BATCH: usize = 10_000;
const MAX_BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const MAX_AGE_MS: i64 = 14 * 86_400_000;
const MAX_AHEAD_MS: i64 = 2 * 3_600_000;
/// Source: GetLogEvents and FilterLogEvents, the same.
const MAX_PAGE: usize = 10_000;
const MAX_PAGE_BYTES: usize = 1 << 20;
/// Maximum number of events that one call of FilterLogEvents reads.
const MAX_LOOKED_AT: usize = 100_000;

/// Appends events to a stream.
pub(super) fn append(
    db: &Connection,
    group: i64,
    stream: i64,
    events: &[(i64, String)],
    now: i64,
) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO events (group_id, stream_id, at_ms, ingested_ms, message) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let (mut first, mut last, mut bytes) = (i64::MAX, i64::MIN, 0);
    for (at, message) in events {
        insert.execute(params![group, stream, at, now, message])?;
        (first, last) = (first.min(*at), last.max(*at));
        bytes += message.len() + EVENT_OVERHEAD;
    }
    if events.is_empty() {
        return Ok(());
    }
    db.prepare_cached(
        "UPDATE streams SET first_ms = MIN(COALESCE(first_ms, ?2), ?2), last_ms = MAX(COALESCE(last_ms, ?3), ?3),
         ingested_ms = ?4 WHERE id = ?1",
    )?
    .execute(params![stream, first, last, now])?;
    db.prepare_cached("UPDATE groups SET bytes = bytes + ?2 WHERE id = ?1")?
        .execute(params![group, bytes])?;
    Ok(())
}

pub(super) fn put(db: &Connection, caller: &Caller, input: &Value, now: i64) -> Result<Value> {
    let group = group::named(db, caller, input)?;
    let name = text(input, "logStreamName")?;
    let stream = group::stream_id(db, group.id, name)?.ok_or_else(missing_stream)?;
    let given = input["logEvents"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if !(1..=MAX_BATCH).contains(&given.len()) {
        return Err(invalid(format!("logEvents must have 1 to {MAX_BATCH} members.")));
    }
    let oldest = now
        - group
            .retention_days
            .map_or(MAX_AGE_MS, |days| (i64::from(days) * 86_400_000).min(MAX_AGE_MS));
    let (mut events, mut bytes) = (Vec::with_capacity(given.len()), 0);
    let (mut old, mut new) = (None, None);
    let mut previous = i64::MIN;
    for (at, event) in given.iter().enumerate() {
        let (Some(time), Some(message)) = (event["timestamp"].as_i64(), event["message"].as_str()) else {
            return Err(invalid("A log event must have a timestamp and a message."));
        };
        if message.is_empty() {
            return Err(invalid("Log event message must not be empty."));
        }
        if time < previous {
            return Err(invalid(
                "Log events in a single PutLogEvents request must be in chronological order.",
            ));
        }
        previous = time;
        bytes += message.len() + EVENT_OVERHEAD;
        if time < oldest {
            old = Some(at + 1);
        } else if time > now + MAX_AHEAD_MS {
            new = new.or(Some(at));
        } else {
            events.push((time, message.to_owned()));
        }
    }
    if bytes > MAX_BATCH_BYTES {
        return Err(invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {MAX_BATCH_BYTES}"
        )));
    }
    append(db, group.id, stream, &events, now)?;
    let mut out = json!({"nextSequenceToken": format!("{now:056}")});
    if let Some(end) = old {
        out["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] = json!(end);
    }
    if let Some(start) = new {
        out["rejectedLogEventsInfo"]["tooNewLogEventStartIndex"] = json!(start);
    }
    Ok(out)
}

/// A position between events: after (or before) the event with this time and number.
type Place = (i64, i64);

fn read_place(token: &str) -> Option<Place> {
    let (at, id) = token.split_once('/')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

fn limit(input: &Value) -> Result<usize> {
    match number(input, "limit") {
        None => Ok(MAX_PAGE),
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=MAX_PAGE).contains(limit))
            .ok_or_else(|| invalid(format!("limit must be from 1 to {MAX_PAGE}."))),
    }
}

/// The token of GetLogEvents: whether it leads forward, and from where.
fn direction(input: &Value) -> Result<Option<(bool, Place)>> {
    let Some(token) = input["nextToken"].as_str() else {
        return Ok(None);
    };
    let parts = token.split_once('/');
    let token = parts.and_then(|(way, place)| Some((way == "f", read_place(place)?)));
    let token = token.ok_or_else(|| invalid("The specified nextToken is invalid."))?;
    Ok(Some(token))
}

/// GetLogEvents. Tokens are `f/` or `b/` and a position. At the end of the stream the same token is returned.
pub(super) fn get(db: &Connection, caller: &Caller, input: &Value) -> Result<Value> {
    let group = group::named(db, caller, input)?;
    let stream = group::stream_id(db, group.id, text(input, "logStreamName")?)?.ok_or_else(missing_stream)?;
    let (from, to) = (
        number(input, "startTime").unwrap_or(0),
        number(input, "endTime").unwrap_or(i64::MAX),
    );
    let limit = limit(input)?;
    let token = direction(input)?;
    let (forward, place) = match token {
        Some(token) => token,
        None if input["startFromHead"] == true => (true, (i64::MIN, 0)),
        None => (false, (i64::MAX, i64::MAX)),
    };
    let mut statement: CachedStatement<'_> = db.prepare_cached(if forward {
        "SELECT id, at_ms, ingested_ms, message FROM events WHERE stream_id = ?1 AND at_ms >= ?2 AND at_ms < ?3
         AND (at_ms, id) > (?4, ?5) ORDER BY at_ms, id LIMIT ?6"
    } else {
        "SELECT id, at_ms, ingested_ms, message FROM events WHERE stream_id = ?1 AND at_ms >= ?2 AND at_ms < ?3
         AND (at_ms, id) < (?4, ?5) ORDER BY at_ms DESC, id DESC LIMIT ?6"
    })?;
    let mut rows = statement.query(params![stream, from, to, place.0, place.1, limit])?;
    let (mut events, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = show(row)?;
        bytes += event["message"].as_str().map_or(0, str::len) + EVENT_OVERHEAD;
        if bytes > MAX_PAGE_BYTES && !events.is_empty() {
            break;
        }
        places.push((row.get(1)?, row.get(0)?));
        events.push(event);
    }
    if !forward {
        events.reverse();
        places.reverse();
    }
    // Without events, continue at the position of this call.
    let nothing: Place = match token {
        Some((_, place)) => place,
        None => (from.max(0), 0),
    };
    let (first, last) = (
        places.first().unwrap_or(&nothing),
        places.last().unwrap_or(&nothing),
    );
    Ok(json!({
        "events": events,
        "nextForwardToken": format!("f/{}/{}", last.0, last.1),
        "nextBackwardToken": format!("b/{}/{}", first.0, first.1),
    }))
}

fn show(row: &Row<'_>) -> rusqlite::Result<Value> {
    Ok(json!({
        "timestamp": row.get::<_, i64>(1)?,
        "ingestionTime": row.get::<_, i64>(2)?,
        "message": row.get::<_, String>(3)?,
    }))
}

/// FilterLogEvents.
pub(super) fn filter(db: &Connection, caller: &Caller, input: &Value) -> Result<Value> {
    let group = group::named(db, caller, input)?;
    let pattern = Pattern::parse(input["filterPattern"].as_str().unwrap_or_default())
        .map_err(|why| invalid(format!("Invalid filter pattern: {why}")))?;
    let (from, to) = (
        number(input, "startTime").unwrap_or(0),
        number(input, "endTime").unwrap_or(i64::MAX),
    );
    let limit = limit(input)?;
    let place = match input["nextToken"].as_str() {
        None => (i64::MIN, 0),
        Some(token) => read_place(token).ok_or_else(|| invalid("The specified nextToken is invalid."))?,
    };
    let streams = wanted_streams(db, group.id, input)?;
    let mut statement = db.prepare_cached(
        "SELECT id, at_ms, ingested_ms, message, stream_id FROM events WHERE group_id = ?1 AND at_ms >= ?2
         AND at_ms <= ?3 AND (at_ms, id) > (?4, ?5) ORDER BY at_ms, id",
    )?;
    let mut rows = statement.query(params![group.id, from, to, place.0, place.1])?;
    let (mut events, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    let mut out = json!({"searchedLogStreams": []});
    let mut last = place;
    while let Some(row) = rows.next()? {
        if events.len() >= limit || bytes >= MAX_PAGE_BYTES || looked_at >= MAX_LOOKED_AT {
            out["nextToken"] = json!(format!("{}/{}", last.0, last.1));
            break;
        }
        looked_at += 1;
        last = (row.get(1)?, row.get(0)?);
        let message = row.get_ref(3)?.as_str().unwrap_or_default();
        let stream: i64 = row.get(4)?;
        if let Some(name) = streams.get(&stream)
            && pattern.matches(message)
        {
            bytes += message.len() + EVENT_OVERHEAD;
            let mut event = show(row)?;
            event["logStreamName"] = json!(name);
            event["eventId"] = json!(format!("{:056}", last.1));
            events.push(event);
        }
    }
    out["events"] = Value::Array(events);
    Ok(out)
}

/// Number and name of the requested streams.
fn wanted_streams(db: &Connection, group: i64, input: &Value) -> Result<HashMap<i64, String>> {
    let names: Option<Vec<&str>> = input["logStreamNames"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect());
    let prefix = input["logStreamNamePrefix"].as_str();
    if names.is_some() && prefix.is_some() {
        return Err(invalid(
            "logStreamNames and logStreamNamePrefix exclude each other.",
        ));
    }
    let mut statement = db.prepare_cached("SELECT id, name FROM streams WHERE group_id = ?1")?;
    let rows = statement.query_map([group], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut streams: HashMap<i64, String> = rows.collect::<Result<_, _>>()?;
    if let Some(names) = names {
        if let Some(missing) = names
            .iter()
            .find(|name| !streams.values().any(|known| known == *name))
        {
            let mut error = missing_stream();
            error.message = format!("The specified log stream does not exist: {missing}");
            return Err(error);
        }
        streams.retain(|_, name| names.contains(&name.as_str()));
    }
    if let Some(prefix) = prefix {
        streams.retain(|_, name| name.starts_with(prefix));
    }
    Ok(streams)
}
