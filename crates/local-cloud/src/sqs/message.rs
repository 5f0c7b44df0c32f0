//! The operations on messages.

use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use super::queue::{self, Queue};
use crate::answer::request_id;

/// Source: "Exactly-once processing in Amazon SQS", SQS developer guide.
const DEDUPLICATION_MS: i64 = 5 * 60_000;

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// Source: "Calculating the MD5 message digest for message attributes", SQS developer guide.
fn md5_of_attributes(attributes: &Map<String, Value>) -> String {
    let mut names: Vec<&String> = attributes.keys().collect();
    names.sort();
    let mut bytes = Vec::new();
    let part = |text: &[u8], bytes: &mut Vec<u8>| {
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(text);
    };
    for name in names {
        let attribute = &attributes[name];
        part(name.as_bytes(), &mut bytes);
        part(
            attribute["DataType"].as_str().unwrap_or_default().as_bytes(),
            &mut bytes,
        );
        if let Some(text) = attribute["StringValue"].as_str() {
            bytes.push(1);
            part(text.as_bytes(), &mut bytes);
        } else {
            bytes.push(2);
            let binary = attribute["BinaryValue"].as_str().unwrap_or_default();
            let binary = base64_simd::STANDARD.decode_to_vec(binary).unwrap_or_default();
            part(&binary, &mut bytes);
        }
    }
    md5_hex(&bytes)
}

fn is_text(body: &str) -> bool {
    // Source: SendMessage, SQS API reference: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
    body.chars().all(
        |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..),
    )
}

fn check_attributes(attributes: &Map<String, Value>) -> Result<usize> {
    if attributes.len() > 10 {
        return Err(ApiError::parameter(
            "Number of message attributes exceeds the allowed maximum [10].",
        ));
    }
    let mut size = 0;
    for (name, attribute) in attributes {
        let kind = attribute["DataType"].as_str().unwrap_or_default();
        let value = match kind.split('.').next() {
            Some("String" | "Number") => attribute["StringValue"].as_str(),
            Some("Binary") => attribute["BinaryValue"].as_str(),
            _ => None,
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Err(ApiError::parameter(format!(
                "The message attribute '{name}' must contain a non-empty value and a type of String, Number or Binary."
            )));
        };
        size += name.len() + kind.len() + value.len();
    }
    Ok(size)
}

fn body(input: &Value) -> Result<&str> {
    let body = input["MessageBody"].as_str().filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| ApiError::missing("MessageBody"))?;
    if !is_text(body) {
        return Err(ApiError::new(
            "InvalidMessageContents",
            "Invalid characters found in the message body.",
        ));
    }
    Ok(body)
}

/// Id and sequence of the message that was sent with this deduplication id in the last five minutes.
fn duplicate(db: &Connection, queue: &Queue, dedup: &str, now: i64) -> Result<Option<(String, i64)>> {
    let known = db
        .prepare_cached(
            "SELECT message_id, sequence FROM sent WHERE queue_id = ?1 AND dedup_id = ?2 AND at_ms > ?3",
        )?
        .query_row(params![queue.id, dedup, now - DEDUPLICATION_MS], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(known)
}

/// SendMessage. `input` is the request, or an entry of a batch.
pub(super) fn send(db: &Connection, queue: &Queue, input: &Value, now: i64) -> Result<Value> {
    let body = body(input)?;
    let attributes = input["MessageAttributes"]
        .as_object()
        .filter(|attributes| !attributes.is_empty());
    let size = body.len() + attributes.map_or(Ok(0), check_attributes)?;
    let limit = queue.number("MaximumMessageSize");
    if i64::try_from(size).unwrap_or(i64::MAX) > limit {
        return Err(ApiError::parameter(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )));
    }
    let delay = match input["DelaySeconds"].as_i64() {
        Some(delay @ 0..=900) => delay,
        Some(_) => return Err(ApiError::parameter("DelaySeconds must be from 0 to 900.")),
        None => queue.number("DelaySeconds"),
    };
    let mut out = json!({"MD5OfMessageBody": md5_hex(body.as_bytes())});
    if let Some(attributes) = attributes {
        out["MD5OfMessageAttributes"] = json!(md5_of_attributes(attributes));
    }
    let (group, dedup) = fifo(queue, input, body)?;
    if let Some(dedup) = &dedup
        && let Some((id, sequence)) = duplicate(db, queue, dedup, now)?
    {
        out["MessageId"] = json!(id);
        out["SequenceNumber"] = json!(sequence_number(sequence));
        return Ok(out);
    }
    let id = request_id();
    db.prepare_cached(
        "INSERT INTO messages (queue_id, message_id, body, attributes, trace, group_id, dedup_id, sent_ms, visible_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        queue.id,
        id,
        body,
        attributes.map(serde_json::to_string).transpose()?,
        input["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"].as_str(),
        group,
        dedup,
        now,
        now + delay * 1000,
    ])?;
    if let Some(dedup) = dedup {
        let sequence = db.last_insert_rowid();
        db.prepare_cached("INSERT OR REPLACE INTO sent VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![queue.id, dedup, id, sequence, now])?;
        out["SequenceNumber"] = json!(sequence_number(sequence));
    }
    out["MessageId"] = json!(id);
    Ok(out)
}

fn sequence_number(id: i64) -> String {
    format!(
        "{:020}",
        18_849_496_460_467_696_128_u128 + u128::try_from(id).unwrap_or(0)
    )
}

/// Group and deduplication id. A FIFO queue requires them.
fn fifo(queue: &Queue, input: &Value, body: &str) -> Result<(Option<String>, Option<String>)> {
    let text = |field: &str| input[field].as_str().map(str::to_owned);
    let group = text("MessageGroupId");
    if !queue.is_fifo() {
        return Ok((None, None));
    }
    if group.is_none() {
        return Err(ApiError::missing("MessageGroupId"));
    }
    let dedup = match text("MessageDeduplicationId") {
        Some(dedup) => dedup,
        None if queue.deduplicates_by_content() => {
            use sha2::Digest as _;
            hex::encode(sha2::Sha256::digest(body.as_bytes()))
        }
        None => {
            return Err(ApiError::parameter(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly",
            ));
        }
    };
    Ok((group, Some(dedup)))
}

/// The parameters of ReceiveMessage.
pub(super) struct Wanted {
    pub max: u32,
    pub timeout_ms: i64,
    system: Vec<String>,
    attributes: Vec<String>,
}

impl Wanted {
    pub fn of(queue: &Queue, input: &Value) -> Result<Self> {
        let list = |field: &str| -> Vec<String> {
            let names = input[field].as_array().into_iter().flatten();
            names
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        let max = match input["MaxNumberOfMessages"].as_i64() {
            None => 1,
            Some(max @ 1..=10) => u32::try_from(max).unwrap_or(1),
            Some(max) => {
                return Err(ApiError::parameter(format!(
                    "Value {max} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if \
                     provided."
                )));
            }
        };
        let timeout = match input["VisibilityTimeout"].as_i64() {
            None => queue.number("VisibilityTimeout"),
            Some(timeout @ 0..=43_200) => timeout,
            Some(_) => return Err(ApiError::parameter("VisibilityTimeout must be from 0 to 43200.")),
        };
        let mut system = list("AttributeNames");
        system.extend(list("MessageSystemAttributeNames"));
        Ok(Self {
            max,
            timeout_ms: timeout * 1000,
            system,
            attributes: list("MessageAttributeNames"),
        })
    }

    fn wants(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|wanted| {
            wanted == "All"
                || wanted == attribute
                || wanted
                    .strip_suffix(".*")
                    .is_some_and(|prefix| attribute.starts_with(prefix))
        })
    }
}

/// Whether a message is visible. Changes nothing.
pub(super) fn is_ready(db: &Connection, queue: &Queue, now: i64) -> Result<bool> {
    let found = db
        .prepare_cached("SELECT 1 FROM messages WHERE queue_id = ?1 AND visible_ms <= ?2 LIMIT 1")?
        .exists(params![queue.id, now])?;
    Ok(found)
}

/// When the next hidden message becomes visible.
pub(super) fn next_visible(db: &Connection, queue: &Queue, now: i64) -> Result<Option<i64>> {
    let next = db
        .prepare_cached("SELECT MIN(visible_ms) FROM messages WHERE queue_id = ?1 AND visible_ms > ?2")?
        .query_row(params![queue.id, now], |row| row.get(0))?;
    Ok(next)
}

struct Row {
    id: i64,
    message_id: String,
    body: String,
    attributes: Option<String>,
    trace: Option<String>,
    group: Option<String>,
    dedup: Option<String>,
    sent_ms: i64,
    receives: i64,
    first_ms: Option<i64>,
    source: Option<String>,
}

pub(super) fn receive(db: &Connection, queue: &Queue, wanted: &Wanted, now: i64) -> Result<Vec<Value>> {
    let redrive = match queue.redrive() {
        Some((arn, count)) => queue::find_by_arn(db, &arn)?.map(|target| (target, count)),
        None => None,
    };
    let mut out = Vec::new();
    // Messages that move to the dead-letter queue make room for others.
    loop {
        let room = i64::from(wanted.max).saturating_sub(i64::try_from(out.len()).unwrap_or(i64::MAX));
        let rows = visible(db, queue, now, room)?;
        let mut moved = false;
        for row in rows {
            if let Some((target, _)) = redrive.as_ref().filter(|(_, count)| row.receives >= *count) {
                db.prepare_cached(
                    "UPDATE messages SET queue_id = ?2, visible_ms = ?3, receives = 0, nonce = NULL, source_arn = ?4
                     WHERE id = ?1",
                )?
                .execute(params![row.id, target.id, now, queue.arn()])?;
                moved = true;
                continue;
            }
            let nonce = format!("{:032x}", rand::random::<u128>());
            // With a timeout of 0 the message is visible again at once, but not in this response.
            let visible = (now + wanted.timeout_ms).max(now + 1);
            db.prepare_cached(
                "UPDATE messages SET visible_ms = ?2, receives = receives + 1, nonce = ?3,
                 first_received_ms = COALESCE(first_received_ms, ?4) WHERE id = ?1",
            )?
            .execute(params![row.id, visible, nonce, now])?;
            out.push(show(queue, &row, wanted, &nonce, now)?);
        }
        if !moved {
            return Ok(out);
        }
    }
}

/// The first visible messages. In a FIFO queue, a message with an earlier message of its group in flight is not
/// visible.
fn visible(db: &Connection, queue: &Queue, now: i64, limit: i64) -> Result<Vec<Row>> {
    const COLUMNS: &str =
        "m.id, m.message_id, m.body, m.attributes, m.trace, m.group_id, m.dedup_id, m.sent_ms,
                           m.receives, m.first_received_ms, m.source_arn";
    let sql = if queue.is_fifo() {
        format!(
            "SELECT {COLUMNS} FROM messages AS m WHERE m.queue_id = ?1 AND m.visible_ms <= ?2 AND m.sent_ms > ?3
             AND NOT EXISTS (SELECT 1 FROM messages AS b WHERE b.queue_id = ?1 AND b.group_id = m.group_id
                             AND b.id < m.id AND b.visible_ms > ?2)
             ORDER BY m.id LIMIT ?4"
        )
    } else {
        format!(
            "SELECT {COLUMNS} FROM messages AS m WHERE m.queue_id = ?1 AND m.visible_ms <= ?2 AND m.sent_ms > ?3
             ORDER BY m.visible_ms, m.id LIMIT ?4"
        )
    };
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![queue.id, now, queue.oldest(now), limit], |row| {
        Ok(Row {
            id: row.get(0)?,
            message_id: row.get(1)?,
            body: row.get(2)?,
            attributes: row.get(3)?,
            trace: row.get(4)?,
            group: row.get(5)?,
            dedup: row.get(6)?,
            sent_ms: row.get(7)?,
            receives: row.get(8)?,
            first_ms: row.get(9)?,
            source: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn show(queue: &Queue, row: &Row, wanted: &Wanted, nonce: &str, now: i64) -> Result<Value> {
    let mut out = json!({
        "MessageId": row.message_id,
        "ReceiptHandle": format!("{:016x}{nonce}", row.id),
        "MD5OfBody": md5_hex(row.body.as_bytes()),
        "Body": row.body,
    });
    let mut system = Map::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value
            && wanted
                .system
                .iter()
                .any(|wanted| wanted == "All" || wanted == name)
        {
            system.insert(name.to_owned(), Value::String(value));
        }
    };
    add("SenderId", Some(queue.account.clone()));
    add("SentTimestamp", Some(row.sent_ms.to_string()));
    add("ApproximateReceiveCount", Some((row.receives + 1).to_string()));
    add(
        "ApproximateFirstReceiveTimestamp",
        Some(row.first_ms.unwrap_or(now).to_string()),
    );
    add("MessageGroupId", row.group.clone());
    add("MessageDeduplicationId", row.dedup.clone());
    add(
        "SequenceNumber",
        row.group.as_ref().map(|_| sequence_number(row.id)),
    );
    add("AWSTraceHeader", row.trace.clone());
    add("DeadLetterQueueSourceArn", row.source.clone());
    if !system.is_empty() {
        out["Attributes"] = Value::Object(system);
    }
    if let Some(attributes) = &row.attributes {
        let mut attributes: Map<String, Value> = serde_json::from_str(attributes)?;
        attributes.retain(|name, _| wanted.wants(name));
        if !attributes.is_empty() {
            out["MD5OfMessageAttributes"] = json!(md5_of_attributes(&attributes));
            out["MessageAttributes"] = Value::Object(attributes);
        }
    }
    Ok(out)
}

fn read_handle(input: &Value) -> Result<(i64, String)> {
    let handle = input["ReceiptHandle"]
        .as_str()
        .ok_or_else(|| ApiError::missing("ReceiptHandle"))?;
    let invalid = || {
        ApiError::new(
            "ReceiptHandleIsInvalid",
            format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
        )
    };
    if handle.len() != 48 || !handle.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    let id = i64::from_str_radix(&handle[..16], 16).map_err(|_| invalid())?;
    Ok((id, handle[16..].to_owned()))
}

/// Deletes a message, if the receipt is that of its last receive. Otherwise does nothing: that is no error.
pub(super) fn delete(db: &Connection, queue: &Queue, input: &Value) -> Result<()> {
    let (id, nonce) = read_handle(input)?;
    db.prepare_cached("DELETE FROM messages WHERE id = ?1 AND queue_id = ?2 AND nonce = ?3")?
        .execute(params![id, queue.id, nonce])?;
    Ok(())
}

pub(super) fn change_visibility(db: &Connection, queue: &Queue, input: &Value, now: i64) -> Result<()> {
    let (id, nonce) = read_handle(input)?;
    let timeout = match input["VisibilityTimeout"].as_i64() {
        Some(timeout @ 0..=43_200) => timeout,
        Some(_) => return Err(ApiError::parameter("VisibilityTimeout must be from 0 to 43200.")),
        None => return Err(ApiError::missing("VisibilityTimeout")),
    };
    let changed = db
        .prepare_cached(
            "UPDATE messages SET visible_ms = ?4 WHERE id = ?1 AND queue_id = ?2 AND nonce = ?3 AND visible_ms > ?5",
        )?
        .execute(params![id, queue.id, nonce, now + timeout * 1000, now])?;
    if changed == 0 {
        return Err(ApiError::new(
            "MessageNotInflight",
            "The message referred to is not in flight or does not exist.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_the_sdks_expect() {
        assert_eq!(md5_hex(b"hello"), "5d41402abc4b2a76b9719d911017c592");
        let attributes = json!({"a": {"DataType": "String", "StringValue": "b"}});
        // Length and name, length and type, 1, length and value.
        let expected = md5_hex(b"\0\0\0\x01a\0\0\0\x06String\x01\0\0\0\x01b");
        assert_eq!(md5_of_attributes(attributes.as_object().unwrap()), expected);
    }
}
