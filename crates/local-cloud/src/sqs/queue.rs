//! Queues: their names, attributes and tags.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use crate::{Caller, partition};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS queues (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL,
        UNIQUE (account, region, name)
    );
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue_id INTEGER NOT NULL,
        message_id TEXT NOT NULL, body TEXT NOT NULL, attributes TEXT, trace TEXT,
        group_id TEXT, dedup_id TEXT,
        sent_ms INTEGER NOT NULL, visible_ms INTEGER NOT NULL,
        receives INTEGER NOT NULL DEFAULT 0, first_received_ms INTEGER, nonce TEXT, source_arn TEXT
    );
    CREATE INDEX IF NOT EXISTS messages_by_visibility ON messages (queue_id, visible_ms, id);
    CREATE INDEX IF NOT EXISTS messages_by_group ON messages (queue_id, group_id, id) WHERE group_id IS NOT NULL;
    CREATE TABLE IF NOT EXISTS sent (
        queue_id INTEGER NOT NULL, dedup_id TEXT NOT NULL, message_id TEXT NOT NULL, sequence INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (queue_id, dedup_id)
    ) WITHOUT ROWID;
";

/// Least time between two purges of a queue.
const PURGE_MS: i64 = 60_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Queue {
    #[serde(skip)]
    pub id: i64,
    pub account: String,
    pub region: String,
    pub name: String,
    pub created_ms: i64,
    pub modified_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_ms: Option<i64>,
    /// The attributes that were set.
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

/// Name, range and default of an attribute.
type Settable = (&'static str, Option<(u64, u64)>, &'static str);

/// Attributes that can be set, their range if they are numbers, and their default.
/// Source: SetQueueAttributes, SQS API reference.
const SETTABLE: &[Settable] = &[
    ("VisibilityTimeout", Some((0, 43_200)), "30"),
    ("MaximumMessageSize", Some((1_024, 1_048_576)), "1048576"),
    ("MessageRetentionPeriod", Some((60, 1_209_600)), "345600"),
    ("DelaySeconds", Some((0, 900)), "0"),
    ("ReceiveMessageWaitTimeSeconds", Some((0, 20)), "0"),
    ("KmsDataKeyReusePeriodSeconds", Some((60, 86_400)), ""),
    ("SqsManagedSseEnabled", None, ""),
    ("KmsMasterKeyId", None, ""),
    ("Policy", None, ""),
    ("RedrivePolicy", None, ""),
    ("RedriveAllowPolicy", None, ""),
    ("FifoQueue", None, ""),
    ("ContentBasedDeduplication", None, ""),
    ("DeduplicationScope", None, ""),
    ("FifoThroughputLimit", None, ""),
];

/// The messages in a queue.
pub(super) struct Depth {
    pub visible: i32,
    pub delayed: i32,
    pub hidden: i32,
    pub oldest_ms: Option<i64>,
}

impl Queue {
    pub fn arn(&self) -> String {
        arn(&self.account, &self.region, &self.name)
    }

    pub fn is_fifo(&self) -> bool {
        std::path::Path::new(&self.name)
            .extension()
            .is_some_and(|extension| extension == "fifo")
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let known = SETTABLE.iter().find(|(known, ..)| *known == name)?;
        let set = self.attributes.get(name).map(String::as_str);
        set.or(Some(known.2)).filter(|value| !value.is_empty())
    }

    /// The value of a numeric attribute; 0 if it has no default.
    pub fn number(&self, name: &str) -> i64 {
        self.attribute(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    pub fn deduplicates_by_content(&self) -> bool {
        self.attribute("ContentBasedDeduplication") == Some("true")
    }

    /// ARN of the dead-letter queue, and the maximum number of receives.
    pub fn redrive(&self) -> Option<(String, i64)> {
        let policy: Value = serde_json::from_str(self.attribute("RedrivePolicy")?).ok()?;
        let count = &policy["maxReceiveCount"];
        let count = count.as_i64().or_else(|| count.as_str()?.parse().ok())?;
        Some((policy["deadLetterTargetArn"].as_str()?.to_owned(), count))
    }

    /// Messages sent before this time have expired.
    pub fn oldest(&self, now: i64) -> i64 {
        now - self.number("MessageRetentionPeriod") * 1000
    }

    pub fn depth(&self, db: &Connection, now: i64) -> Result<Depth> {
        let depth = db.query_row(
            "SELECT COUNT(*) FILTER (WHERE visible_ms <= ?2),
                    COUNT(*) FILTER (WHERE visible_ms > ?2 AND receives = 0),
                    COUNT(*) FILTER (WHERE visible_ms > ?2 AND receives > 0),
                    MIN(sent_ms)
             FROM messages WHERE queue_id = ?1 AND sent_ms > ?3",
            params![self.id, now, self.oldest(now)],
            |row| {
                Ok(Depth {
                    visible: row.get(0)?,
                    delayed: row.get(1)?,
                    hidden: row.get(2)?,
                    oldest_ms: row.get(3)?,
                })
            },
        )?;
        Ok(depth)
    }

    fn describe(&self, db: &Connection, now: i64) -> Result<Map<String, Value>> {
        let depth = self.depth(db, now)?;
        let mut out = Map::new();
        let mut set = |name: &str, value: String| out.insert(name.to_owned(), Value::String(value));
        for (name, ..) in SETTABLE {
            if let Some(value) = self.attribute(name) {
                set(name, value.to_owned());
            }
        }
        if !self.attributes.contains_key("SqsManagedSseEnabled") {
            let by_kms = self
                .attributes
                .get("KmsMasterKeyId")
                .is_some_and(|key| !key.is_empty());
            set("SqsManagedSseEnabled", (!by_kms).to_string());
        }
        set("QueueArn", self.arn());
        set("CreatedTimestamp", (self.created_ms / 1000).to_string());
        set("LastModifiedTimestamp", (self.modified_ms / 1000).to_string());
        set("ApproximateNumberOfMessages", depth.visible.to_string());
        set("ApproximateNumberOfMessagesDelayed", depth.delayed.to_string());
        set("ApproximateNumberOfMessagesNotVisible", depth.hidden.to_string());
        Ok(out)
    }

    fn set(&mut self, given: &Map<String, Value>) -> Result<()> {
        for (name, value) in given {
            let Some((_, range, _)) = SETTABLE.iter().find(|(known, ..)| known == name) else {
                return Err(ApiError::new(
                    "InvalidAttributeName",
                    format!("Unknown Attribute {name}."),
                ));
            };
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let is_sound = range.is_none_or(|(low, high)| {
                text.parse::<u64>()
                    .is_ok_and(|number| (low..=high).contains(&number))
            });
            let is_json = !name.ends_with("Policy")
                || text.is_empty()
                || serde_json::from_str::<Value>(&text).is_ok_and(|policy| policy.is_object());
            if !is_sound || !is_json {
                return Err(ApiError::new(
                    "InvalidAttributeValue",
                    format!("Invalid value for the parameter {name}."),
                ));
            }
            // An empty text removes a policy or key.
            if text.is_empty() {
                self.attributes.remove(name);
            } else {
                self.attributes.insert(name.clone(), text);
            }
        }
        Ok(())
    }
}

pub(super) fn arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:{}:sqs:{region}:{account}:{name}", partition(region))
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn queue((id, description): (i64, String)) -> Result<Queue> {
    let queue: Queue = serde_json::from_str(&description)?;
    Ok(Queue { id, ..queue })
}

pub(super) fn find(db: &Connection, account: &str, region: &str, name: &str) -> Result<Option<Queue>> {
    db.prepare_cached("SELECT id, description FROM queues WHERE account = ?1 AND region = ?2 AND name = ?3")?
        .query_row([account, region, name], read)
        .optional()?
        .map(queue)
        .transpose()
}

pub(super) fn find_by_arn(db: &Connection, arn: &str) -> Result<Option<Queue>> {
    match arn.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "sqs", region, account, name] => find(db, account, region, name),
        _ => Ok(None),
    }
}

pub(super) fn all(db: &Connection) -> Result<Vec<Queue>> {
    let mut statement = db.prepare_cached("SELECT id, description FROM queues ORDER BY name")?;
    let rows: Vec<(i64, String)> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(queue).collect()
}

pub(super) fn of_caller(db: &Connection, caller: &Caller) -> Result<Vec<Queue>> {
    let mut queues = all(db)?;
    queues.retain(|queue| queue.account == caller.account && queue.region == caller.region);
    Ok(queues)
}

fn save(db: &Connection, queue: &Queue) -> Result<()> {
    let description = serde_json::to_string(queue)?;
    if queue.id == 0 {
        db.execute(
            "INSERT INTO queues (account, region, name, description) VALUES (?1, ?2, ?3, ?4)",
            params![queue.account, queue.region, queue.name, description],
        )?;
    } else {
        db.execute(
            "UPDATE queues SET description = ?2 WHERE id = ?1",
            params![queue.id, description],
        )?;
    }
    Ok(())
}

fn tags_of(input: &Value) -> BTreeMap<String, String> {
    let given = input["Tags"].as_object().or_else(|| input["tags"].as_object());
    given
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

pub(super) fn create(db: &Connection, caller: &Caller, input: &Value, now: i64) -> Result<String> {
    let name = input["QueueName"]
        .as_str()
        .ok_or_else(|| ApiError::missing("QueueName"))?;
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let is_sound = (1..=80).contains(&name.len())
        && !stem.is_empty()
        && stem
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !is_sound {
        return Err(ApiError::parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        ));
    }
    let empty = Map::new();
    let given = input["Attributes"].as_object().unwrap_or(&empty);
    let is_fifo = stem.len() != name.len();
    if given
        .get("FifoQueue")
        .is_some_and(|fifo| (fifo == "true") != is_fifo)
    {
        return Err(ApiError::parameter(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end \
             with .fifo suffix and be 1 to 80 in length.",
        ));
    }
    let mut queue = Queue {
        id: 0,
        account: caller.account.clone(),
        region: caller.region.clone(),
        name: name.to_owned(),
        created_ms: now,
        modified_ms: now,
        purged_ms: None,
        attributes: BTreeMap::new(),
        tags: tags_of(input),
    };
    queue.set(given)?;
    if is_fifo {
        queue.attributes.insert("FifoQueue".to_owned(), "true".to_owned());
    }
    if let Some(known) = find(db, &queue.account, &queue.region, name)? {
        let differs = |(name, value): (&String, &String)| known.attribute(name) != Some(value.as_str());
        if queue.attributes.iter().any(differs) {
            return Err(ApiError::new(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for an attribute",
            ));
        }
        return Ok(known.name);
    }
    save(db, &queue)?;
    Ok(queue.name)
}

pub(super) fn delete(db: &Connection, queue: &Queue) -> Result<()> {
    for statement in [
        "DELETE FROM messages WHERE queue_id = ?1",
        "DELETE FROM sent WHERE queue_id = ?1",
        "DELETE FROM queues WHERE id = ?1",
    ] {
        db.execute(statement, [queue.id])?;
    }
    Ok(())
}

/// Deletes all messages. Source: PurgeQueue, SQS API reference: once in 60 seconds.
pub(super) fn purge(db: &Connection, mut queue: Queue, now: i64) -> Result<()> {
    if queue
        .purged_ms
        .is_some_and(|purged| (0..PURGE_MS).contains(&(now - purged)))
    {
        return Err(ApiError::new(
            "PurgeQueueInProgress",
            format!(
                "Only one PurgeQueue operation on {} is allowed every 60 seconds.",
                queue.name
            ),
        ));
    }
    db.execute("DELETE FROM messages WHERE queue_id = ?1", [queue.id])?;
    queue.purged_ms = Some(now);
    save(db, &queue)
}

pub(super) fn get_attributes(db: &Connection, queue: &Queue, input: &Value, now: i64) -> Result<Value> {
    let mut all = queue.describe(db, now)?;
    let wanted: Vec<&str> = input["AttributeNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(unknown) = wanted.iter().find(|name| {
        **name != "All" && !all.contains_key(**name) && !SETTABLE.iter().any(|known| known.0 == **name)
    }) {
        return Err(ApiError::new(
            "InvalidAttributeName",
            format!("Unknown Attribute {unknown}."),
        ));
    }
    all.retain(|name, _| wanted.contains(&"All") || wanted.contains(&name.as_str()));
    Ok(if all.is_empty() {
        json!({})
    } else {
        json!({ "Attributes": all })
    })
}

pub(super) fn set_attributes(db: &Connection, mut queue: Queue, input: &Value, now: i64) -> Result<Value> {
    let given = input["Attributes"]
        .as_object()
        .ok_or_else(|| ApiError::missing("Attributes"))?;
    // The two kinds of encryption exclude each other: the later one replaces the other.
    if given.get("SqsManagedSseEnabled").is_some_and(|on| on == "true") {
        queue.attributes.remove("KmsMasterKeyId");
    } else if given.get("KmsMasterKeyId").is_some_and(|key| key != "") {
        queue.attributes.remove("SqsManagedSseEnabled");
    }
    queue.set(given)?;
    queue.modified_ms = now;
    save(db, &queue)?;
    Ok(json!({}))
}

pub(super) fn change_tags(db: &Connection, mut queue: Queue, input: &Value) -> Result<Value> {
    queue.tags.extend(tags_of(input));
    for key in input["TagKeys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        queue.tags.remove(key);
    }
    save(db, &queue)?;
    Ok(json!({}))
}
