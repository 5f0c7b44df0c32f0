//! Log groups and log streams.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Result, conflict, invalid, missing_group, missing_stream, number, text};
use crate::{Caller, partition};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS groups (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE (account, region, name)
    );
    CREATE TABLE IF NOT EXISTS streams (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        group_id INTEGER NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,
        first_ms INTEGER, last_ms INTEGER, ingested_ms INTEGER,
        UNIQUE (group_id, name)
    );
    CREATE TABLE IF NOT EXISTS events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        group_id INTEGER NOT NULL, stream_id INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, ingested_ms INTEGER NOT NULL, message TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS events_by_stream ON events (stream_id, at_ms, id);
    CREATE INDEX IF NOT EXISTS events_by_group ON events (group_id, at_ms, id);
";

/// Source: PutRetentionPolicy, CloudWatch Logs API reference.
const RETENTIONS: &[u32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];
const MAX_PAGE: i64 = 50;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    #[serde(skip)]
    pub id: i64,
    #[serde(skip)]
    pub bytes: i64,
    pub account: String,
    pub region: String,
    pub name: String,
    pub created_ms: i64,
    pub retention_days: Option<u32>,
    pub kms_key: Option<String>,
    pub class: String,
    pub tags: BTreeMap<String, String>,
}

impl Group {
    pub fn arn(&self) -> String {
        let Self {
            account,
            region,
            name,
            ..
        } = self;
        format!(
            "arn:{}:logs:{region}:{account}:log-group:{name}",
            partition(region)
        )
    }

    fn show(&self) -> Value {
        let mut out = json!({
            "logGroupName": self.name,
            "arn": format!("{}:*", self.arn()),
            "logGroupArn": self.arn(),
            "creationTime": self.created_ms,
            "metricFilterCount": 0,
            "storedBytes": self.bytes,
            "logGroupClass": self.class,
        });
        if let Some(days) = self.retention_days {
            out["retentionInDays"] = json!(days);
        }
        if let Some(key) = &self.kms_key {
            out["kmsKeyId"] = json!(key);
        }
        out
    }
}

fn read((id, bytes, description): (i64, i64, String)) -> Result<Group> {
    let group: Group = serde_json::from_str(&description)?;
    Ok(Group { id, bytes, ..group })
}

pub(super) fn find(db: &Connection, caller: &Caller, name: &str) -> Result<Option<Group>> {
    db.prepare_cached(
        "SELECT id, bytes, description FROM groups WHERE account = ?1 AND region = ?2 AND name = ?3",
    )?
    .query_row([&caller.account, &caller.region, name], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .optional()?
    .map(read)
    .transpose()
}

pub(super) fn all(db: &Connection) -> Result<Vec<Group>> {
    let mut statement = db.prepare_cached("SELECT id, bytes, description FROM groups ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    rows.into_iter().map(read).collect()
}

pub(super) fn of_caller(db: &Connection, caller: &Caller) -> Result<Vec<Group>> {
    let mut groups = all(db)?;
    groups.retain(|group| group.account == caller.account && group.region == caller.region);
    Ok(groups)
}

/// The name in an ARN of a group, or the name itself.
fn name_in(given: &str) -> &str {
    match given.split_once(":log-group:") {
        Some((_, name)) if given.starts_with("arn:") => name.strip_suffix(":*").unwrap_or(name),
        _ => given,
    }
}

/// The group that a request names.
pub(super) fn named(db: &Connection, caller: &Caller, input: &Value) -> Result<Group> {
    let given = ["logGroupName", "logGroupIdentifier", "resourceArn"]
        .iter()
        .find_map(|field| input[*field].as_str())
        .ok_or_else(|| invalid("logGroupName must not be null."))?;
    find(db, caller, name_in(given))?.ok_or_else(missing_group)
}

fn check_name(name: &str) -> Result<()> {
    let is_sound = (1..=512).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-/.#".contains(&b));
    if is_sound {
        return Ok(());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
    )))
}

fn tags(given: &Value) -> BTreeMap<String, String> {
    let tags = given.as_object().into_iter().flatten();
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn save(db: &Connection, group: &Group) -> Result<i64> {
    let description = serde_json::to_string(group)?;
    if group.id != 0 {
        db.execute(
            "UPDATE groups SET description = ?2 WHERE id = ?1",
            params![group.id, description],
        )?;
        return Ok(group.id);
    }
    db.execute(
        "INSERT INTO groups (account, region, name, description) VALUES (?1, ?2, ?3, ?4)",
        params![group.account, group.region, group.name, description],
    )?;
    Ok(db.last_insert_rowid())
}

pub(super) fn create(db: &Connection, caller: &Caller, input: &Value, now: i64) -> Result<i64> {
    let name = text(input, "logGroupName")?;
    check_name(name)?;
    if find(db, caller, name)?.is_some() {
        return Err(conflict("The specified log group already exists"));
    }
    save(
        db,
        &Group {
            id: 0,
            bytes: 0,
            account: caller.account.clone(),
            region: caller.region.clone(),
            name: name.to_owned(),
            created_ms: now,
            retention_days: None,
            kms_key: input["kmsKeyId"].as_str().map(str::to_owned),
            class: input["logGroupClass"].as_str().unwrap_or("STANDARD").to_owned(),
            tags: tags(&input["tags"]),
        },
    )
}

pub(super) fn delete(db: &Connection, group: &Group) -> Result<()> {
    for statement in [
        "DELETE FROM events WHERE group_id = ?1",
        "DELETE FROM streams WHERE group_id = ?1",
        "DELETE FROM groups WHERE id = ?1",
    ] {
        db.execute(statement, [group.id])?;
    }
    Ok(())
}

fn page(input: &Value) -> Result<(usize, usize)> {
    let limit = match number(input, "limit") {
        None => MAX_PAGE,
        Some(limit @ 1..=MAX_PAGE) => limit,
        Some(_) => return Err(invalid(format!("limit must be from 1 to {MAX_PAGE}."))),
    };
    let skip = match input["nextToken"].as_str() {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| invalid("The specified nextToken is invalid."))?,
    };
    Ok((skip, usize::try_from(limit).unwrap_or(1)))
}

fn show_page(field: &str, all: Vec<Value>, (skip, limit): (usize, usize)) -> Value {
    let next = skip.saturating_add(limit);
    let more = next < all.len();
    let mut out = Map::new();
    out.insert(field.to_owned(), all.into_iter().skip(skip).take(limit).collect());
    if more {
        out.insert("nextToken".to_owned(), json!(next.to_string()));
    }
    Value::Object(out)
}

pub(super) fn describe(db: &Connection, caller: &Caller, input: &Value) -> Result<Value> {
    let (prefix, pattern) = (
        input["logGroupNamePrefix"].as_str(),
        input["logGroupNamePattern"].as_str(),
    );
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid(
            "logGroupNamePrefix and logGroupNamePattern exclude each other.",
        ));
    }
    let found: Vec<Value> = of_caller(db, caller)?
        .iter()
        .filter(|group| prefix.is_none_or(|prefix| group.name.starts_with(prefix)))
        .filter(|group| {
            pattern.is_none_or(|pattern| group.name.to_lowercase().contains(&pattern.to_lowercase()))
        })
        .map(Group::show)
        .collect();
    Ok(show_page("logGroups", found, page(input)?))
}

pub(super) fn set_retention(db: &Connection, mut group: Group, days: Option<i64>) -> Result<Value> {
    group.retention_days = match days {
        None => None,
        Some(days) => Some(
            u32::try_from(days)
                .ok()
                .filter(|days| RETENTIONS.contains(days))
                .ok_or_else(|| invalid("The specified retentionInDays is not valid."))?,
        ),
    };
    save(db, &group)?;
    Ok(json!({}))
}

pub(super) fn set_key(db: &Connection, mut group: Group, key: Option<&str>) -> Result<Value> {
    group.kms_key = key.map(str::to_owned);
    save(db, &group)?;
    Ok(json!({}))
}

pub(super) fn change_tags(db: &Connection, mut group: Group, input: &Value) -> Result<Value> {
    let removed = input["tagKeys"].as_array().or_else(|| input["tags"].as_array());
    group.tags.extend(tags(&input["tags"]));
    for key in removed.into_iter().flatten().filter_map(Value::as_str) {
        group.tags.remove(key);
    }
    save(db, &group)?;
    Ok(json!({}))
}

pub(super) fn create_stream(db: &Connection, group: i64, name: &str, now: i64) -> Result<i64> {
    if !(1..=512).contains(&name.len()) || name.contains([':', '*']) {
        return Err(invalid(
            "1 validation error detected: Value at 'logStreamName' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: [^:*]*",
        ));
    }
    if stream_id(db, group, name)?.is_some() {
        return Err(conflict("The specified log stream already exists"));
    }
    db.prepare_cached("INSERT INTO streams (group_id, name, created_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![group, name, now])?;
    Ok(db.last_insert_rowid())
}

pub(super) fn delete_stream(db: &Connection, group: &Group, name: &str) -> Result<Value> {
    let id = stream_id(db, group.id, name)?.ok_or_else(missing_stream)?;
    db.execute("DELETE FROM events WHERE stream_id = ?1", [id])?;
    db.execute("DELETE FROM streams WHERE id = ?1", [id])?;
    Ok(json!({}))
}

pub(super) fn describe_streams(db: &Connection, group: &Group, input: &Value) -> Result<Value> {
    let prefix = input["logStreamNamePrefix"].as_str();
    let by_time = input["orderBy"] == "LastEventTime";
    if by_time && prefix.is_some() {
        return Err(invalid(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let direction = if input["descending"] == true {
        "DESC"
    } else {
        "ASC"
    };
    let column = if by_time {
        "COALESCE(last_ms, created_ms)"
    } else {
        "name"
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT name, created_ms, first_ms, last_ms, ingested_ms FROM streams WHERE group_id = ?1
         ORDER BY {column} {direction}, id {direction}"
    ))?;
    let mut rows = statement.query([group.id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if !prefix.is_none_or(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let mut stream = json!({
            "arn": format!("{}:log-stream:{name}", group.arn()),
            "logStreamName": name,
            "creationTime": row.get::<_, i64>(1)?,
            "storedBytes": 0,
        });
        if let (Some(first), Some(last), Some(ingested)) = (
            row.get::<_, Option<i64>>(2)?,
            row.get::<_, Option<i64>>(3)?,
            row.get::<_, Option<i64>>(4)?,
        ) {
            stream["firstEventTimestamp"] = json!(first);
            stream["lastEventTimestamp"] = json!(last);
            stream["lastIngestionTime"] = json!(ingested);
            stream["uploadSequenceToken"] = json!(format!("{ingested:056}"));
        }
        found.push(stream);
    }
    Ok(show_page("logStreams", found, page(input)?))
}

pub(super) fn stream_id(db: &Connection, group: i64, stream: &str) -> Result<Option<i64>> {
    let id = db
        .prepare_cached("SELECT id FROM streams WHERE group_id = ?1 AND name = ?2")?
        .query_row(params![group, stream], |row| row.get(0))
        .optional()?;
    Ok(id)
}
