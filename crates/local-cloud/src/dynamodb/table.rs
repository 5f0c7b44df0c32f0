//! Tables: their keys, indexes and settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use super::value::{Item, key_bytes};
use crate::{Caller, partition};

/// The names of the key attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeySchema {
    pub hash: String,
    pub range: Option<String>,
}

impl KeySchema {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.hash.as_str()).chain(self.range.as_deref())
    }

    fn describe(&self) -> Value {
        let mut elements = vec![json!({"AttributeName": self.hash, "KeyType": "HASH"})];
        if let Some(range) = &self.range {
            elements.push(json!({"AttributeName": range, "KeyType": "RANGE"}));
        }
        Value::Array(elements)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub name: String,
    /// Number in the database. Never reused within a table.
    pub slot: i64,
    pub is_global: bool,
    pub schema: KeySchema,
    /// ALL, KEYS_ONLY or INCLUDE.
    pub projection: String,
    pub included: Vec<String>,
    pub read_units: u64,
    pub write_units: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Encryption {
    pub key_arn: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    /// Number in the database.
    #[serde(skip)]
    pub id: i64,
    pub account: String,
    pub region: String,
    pub name: String,
    pub uuid: String,
    pub created_ms: i64,
    /// Types (S, N, B) of the key attributes of table and indexes.
    pub attributes: BTreeMap<String, String>,
    pub schema: KeySchema,
    pub on_demand: bool,
    pub read_units: u64,
    pub write_units: u64,
    pub indexes: Vec<Index>,
    pub next_slot: i64,
    pub ttl: Option<String>,
    pub recovery_since_ms: Option<i64>,
    pub recovery_days: u64,
    pub encryption: Option<Encryption>,
    pub protected: bool,
    pub class: String,
    pub tags: BTreeMap<String, String>,
}

/// The key of an item in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub hash: Vec<u8>,
    /// Empty without sort key.
    pub range: Vec<u8>,
}

/// Source: "Constraints", DynamoDB developer guide.
const MAX_HASH: usize = 2048;
const MAX_RANGE: usize = 1024;

impl Table {
    pub fn arn(&self) -> String {
        arn(
            &Caller {
                account: self.account.clone(),
                region: self.region.clone(),
            },
            &self.name,
        )
    }

    fn kind(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("S", String::as_str)
    }

    fn key_part(&self, attribute: &str, value: &Value, of_index: bool, max: usize) -> Result<Vec<u8>> {
        let bytes = key_bytes(attribute, self.kind(attribute), value, of_index)?;
        if bytes.len() > max {
            return Err(ApiError::invalid(format!(
                "Size of {} has exceeded the maximum size limit of {max} bytes",
                if max == MAX_HASH { "hashkey" } else { "rangekey" }
            )));
        }
        Ok(bytes)
    }

    /// The key of an item that is to be written.
    pub fn key_of_item(&self, item: &Item) -> Result<Key> {
        let part = |name: &str, max| match item.get(name) {
            Some(value) => self.key_part(name, value, false, max),
            None => Err(ApiError::invalid(format!("Missing the key {name} in the item"))),
        };
        Ok(Key {
            hash: part(&self.schema.hash, MAX_HASH)?,
            range: match &self.schema.range {
                Some(name) => part(name, MAX_RANGE)?,
                None => Vec::new(),
            },
        })
    }

    /// The key that a request names: all key attributes and no other.
    pub fn key_of_request(&self, key: &Item) -> Result<Key> {
        let mismatch = || ApiError::validation("The provided key element does not match the schema");
        if key.len() != self.schema.names().count() || self.schema.names().any(|name| !key.contains_key(name))
        {
            return Err(mismatch());
        }
        self.key_of_item(key).map_err(|error| {
            if error.message.contains("Type mismatch") {
                mismatch()
            } else {
                error
            }
        })
    }

    /// The key of an item in `index`; `None` if the item lacks a key attribute of the index.
    pub fn key_in_index(&self, index: &Index, item: &Item) -> Result<Option<Key>> {
        let part = |name: &str, max| {
            item.get(name)
                .map(|value| self.key_part(name, value, true, max))
                .transpose()
        };
        let Some(hash) = part(&index.schema.hash, MAX_HASH)? else {
            return Ok(None);
        };
        let range = match &index.schema.range {
            None => Vec::new(),
            Some(name) => match part(name, MAX_RANGE)? {
                Some(range) => range,
                None => return Ok(None),
            },
        };
        Ok(Some(Key { hash, range }))
    }

    /// The bytes of one key attribute in a condition.
    pub fn key_value(&self, attribute: &str, value: &Value) -> Result<Vec<u8>> {
        key_bytes(attribute, self.kind(attribute), value, false).map_err(|error| {
            if error.message.contains("Type mismatch") {
                ApiError::invalid("Condition parameter type does not match schema type")
            } else {
                error
            }
        })
    }

    /// The key attributes of an item, and those of `index`.
    pub fn key_attributes(&self, index: Option<&Index>, item: &Item) -> Item {
        let names = self
            .schema
            .names()
            .chain(index.into_iter().flat_map(|index| index.schema.names()));
        names
            .filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())))
            .collect()
    }

    pub fn index(&self, name: &str) -> Result<&Index> {
        self.indexes
            .iter()
            .find(|index| index.name == name)
            .ok_or_else(|| {
                ApiError::validation(format!("The table does not have the specified index: {name}"))
            })
    }

    /// When an item expires, in seconds since the Unix epoch.
    pub fn expiry(&self, item: &Item) -> Option<i64> {
        let text = item.get(self.ttl.as_deref()?)?.get("N")?.as_str()?;
        super::number::parse(text).ok()?.to_i64()
    }

    /// Whether `index` contains the attribute `name`.
    pub fn is_projected(&self, index: &Index, name: &str) -> bool {
        let mut keys = self.schema.names().chain(index.schema.names());
        index.projection == "ALL"
            || keys.any(|key| key == name)
            || index.included.iter().any(|included| included == name)
    }

    /// The projection of an item in `index`.
    pub fn projected(&self, index: &Index, mut item: Item) -> Item {
        item.retain(|name, _| self.is_projected(index, name));
        item
    }

    /// `TableDescription`.
    pub fn describe(&self, status: &str, items: u64, bytes: u64) -> Value {
        let definitions: Vec<Value> = self
            .attributes
            .iter()
            .map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind}))
            .collect();
        let mut out = json!({
            "TableName": self.name,
            "TableArn": self.arn(),
            "TableId": self.uuid,
            "TableStatus": status,
            "CreationDateTime": self.created_ms as f64 / 1000.0,
            "AttributeDefinitions": definitions,
            "KeySchema": self.schema.describe(),
            "ItemCount": items,
            "TableSizeBytes": bytes,
            "ProvisionedThroughput": throughput(self.on_demand, self.read_units, self.write_units),
            "DeletionProtectionEnabled": self.protected,
            "WarmThroughput": {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"},
        });
        if self.on_demand {
            out["BillingModeSummary"] = json!({
                "BillingMode": "PAY_PER_REQUEST",
                "LastUpdateToPayPerRequestDateTime": self.created_ms as f64 / 1000.0,
            });
        }
        if self.class != "STANDARD" {
            out["TableClassSummary"] = json!({"TableClass": self.class});
        }
        if let Some(encryption) = &self.encryption {
            out["SSEDescription"] =
                json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": encryption.key_arn});
        }
        for (field, global) in [("GlobalSecondaryIndexes", true), ("LocalSecondaryIndexes", false)] {
            let indexes: Vec<Value> = self
                .indexes
                .iter()
                .filter(|index| index.is_global == global)
                .map(|index| self.describe_index(index, status))
                .collect();
            if !indexes.is_empty() {
                out[field] = Value::Array(indexes);
            }
        }
        out
    }

    fn describe_index(&self, index: &Index, table_status: &str) -> Value {
        let mut projection = json!({"ProjectionType": index.projection});
        if !index.included.is_empty() {
            projection["NonKeyAttributes"] = json!(index.included);
        }
        let mut out = json!({
            "IndexName": index.name,
            "IndexArn": format!("{}/index/{}", self.arn(), index.name),
            "KeySchema": index.schema.describe(),
            "Projection": projection,
            "IndexSizeBytes": 0,
            "ItemCount": 0,
        });
        if index.is_global {
            let status = if table_status == "DELETING" {
                "DELETING"
            } else {
                table_status
            };
            out["IndexStatus"] = json!(if status == "UPDATING" { "ACTIVE" } else { status });
            out["ProvisionedThroughput"] = throughput(self.on_demand, index.read_units, index.write_units);
        }
        out
    }
}

fn throughput(on_demand: bool, read: u64, write: u64) -> Value {
    let (read, write) = if on_demand { (0, 0) } else { (read, write) };
    json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": read, "WriteCapacityUnits": write})
}

/// The ARN of a table.
pub(super) fn arn(caller: &Caller, name: &str) -> String {
    let Caller { account, region } = caller;
    format!(
        "arn:{}:dynamodb:{region}:{account}:table/{name}",
        partition(region)
    )
}

/// The name of a table that is given by name or ARN.
pub(super) fn table_name(given: &str) -> &str {
    match given.split_once(":table/") {
        Some((_, rest)) if given.starts_with("arn:") => rest.split('/').next().unwrap_or(rest),
        _ => given,
    }
}

/// The table that a request names, by name or ARN.
pub(super) fn name_of(input: &Map<String, Value>, field: &str) -> Result<String> {
    let given = input
        .get(field)
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::constraint("null", &lower_first(field), "Member must not be null"))?;
    let name = table_name(given);
    let is_sound = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    let broken = if name.is_empty() {
        "Member must have length greater than or equal to 1"
    } else if name.len() > 255 {
        "Member must have length less than or equal to 255"
    } else if !is_sound {
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    } else {
        return Ok(name.to_owned());
    };
    Err(ApiError::constraint(
        format_args!("'{name}'"),
        &lower_first(field),
        broken,
    ))
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
