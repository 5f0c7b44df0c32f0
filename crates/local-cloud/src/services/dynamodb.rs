//! DynamoDB. Ours, since awsim's computes with 28 digits instead of 38, writes each item of a batch on its own, and
//! reads and writes an item in two steps between which another may come.
//!
//! Items are in a [`super::database`], under keys whose bytes sort as their values do ([`number`], [`value`]). Each
//! operation is one transaction. Tables are also held in memory ([`table`]).

mod control;
mod evaluate;
mod expression;
mod fault;
mod items;
mod number;
mod query;
mod reserved;
mod store;
mod table;
mod transact;
mod update;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::database::Database;
use super::tagging::Tags;
use crate::answer::{answer, identify, request_id, whole};
use crate::clock::Clock;
use crate::{Body, Caller};
use fault::{Fault, Outcome};
use table::Table;

/// Begins the target of every DynamoDB request.
pub(super) const TARGET: &str = "DynamoDB_20120810";

/// Tells the ARN of a KMS key that a caller names.
pub(super) type KeyArn = Box<dyn Fn(&Caller, &str) -> Option<String> + Send + Sync>;

type TableKey = (Caller, String);

pub(super) struct DynamoDb {
    database: Database,
    /// Filled at the first look into the database, and changed only while it is held.
    tables: RwLock<Option<HashMap<TableKey, Arc<Table>>>>,
    done: Mutex<HashMap<String, transact::Done>>,
    clock: Arc<dyn Clock>,
    key_arn: KeyArn,
}

/// Source: "Time to Live", DynamoDB developer guide: "Items with an expiry older than five years are not deleted".
const OLDEST_EXPIRY_S: i64 = 5 * 365 * 86_400;
/// Items deleted in one transaction of [`DynamoDb::sweep`].
const SWEEP: u32 = 1_000;

impl DynamoDb {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>, key_arn: KeyArn) -> Self {
        Self {
            database: Database::new(&dir.join("dynamodb.db"), store::SCHEMA),
            tables: RwLock::default(),
            done: Mutex::default(),
            clock,
            key_arn,
        }
    }

    /// Answers a request to `operation`. Blocks for as long as the database takes.
    pub fn call(&self, caller: &Caller, operation: &str, body: &Bytes) -> Response<Body> {
        let outcome = self.operate(caller, operation, body);
        let (status, value) = match &outcome {
            Ok(value) => (200, value),
            Err(fault) => (fault.status, &fault.body()),
        };
        let bytes = value.to_string().into_bytes();
        let checksum = crc32fast::hash(&bytes);
        let mut response = answer(status, "application/x-amz-json-1.0", whole(bytes));
        identify(&mut response, &request_id());
        let name = HeaderName::from_static("x-amz-crc32");
        response.headers_mut().insert(name, HeaderValue::from(checksum));
        response
    }

    fn operate(&self, caller: &Caller, operation: &str, body: &Bytes) -> Outcome<Value> {
        let input = if body.is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(body)
                .map_err(|error| Fault::new("SerializationException", error.to_string()))?
        };
        match operation {
            "BatchWriteItem" => self.batch_write(caller, input),
            "PutItem" => self.write_item(caller, "Put", input),
            "UpdateItem" => self.write_item(caller, "Update", input),
            "DeleteItem" => self.write_item(caller, "Delete", input),
            "GetItem" => self.get_item(caller, input),
            "BatchGetItem" => self.batch_get(caller, input),
            "Query" => self.query(caller, input),
            "Scan" => self.scan(caller, input),
            "TransactWriteItems" => self.transact_write(caller, input),
            "TransactGetItems" => self.transact_get(caller, input),
            "DescribeEndpoints" => Ok(json!({"Endpoints": []})),
            "DescribeLimits" => Ok(json!({
                "AccountMaxReadCapacityUnits": 80000, "AccountMaxWriteCapacityUnits": 80000,
                "TableMaxReadCapacityUnits": 40000, "TableMaxWriteCapacityUnits": 40000,
            })),
            _ => self.control(caller, operation, input),
        }
    }

    /// A table by name. `db` is proof that the database is held: tables change only under it.
    fn table(&self, db: &Connection, caller: &Caller, name: &str) -> Outcome<Arc<Table>> {
        self.with_tables(db, |tables| {
            let key = (caller.clone(), name.to_owned());
            tables.get(&key).cloned()
        })?
        .ok_or_else(|| Fault::no_table(name))
    }

    fn with_tables<T>(
        &self,
        db: &Connection,
        look: impl FnOnce(&HashMap<TableKey, Arc<Table>>) -> T,
    ) -> Outcome<T> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = tables.as_ref() {
            return Ok(look(tables));
        }
        drop(tables);
        let found: HashMap<_, _> = store::tables(db)?
            .into_iter()
            .map(|table| (key_of(&table), Arc::new(table)))
            .collect();
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        Ok(look(tables.insert(found)))
    }

    /// Forgets what is known of the tables: the database tells at the next look.
    fn forget_tables(&self) {
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The tagged tables of `caller`, by ARN.
    pub fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        if !self.database.exists() {
            return BTreeMap::new();
        }
        let tagged = self.database.read(|db| {
            self.with_tables(db, |tables| {
                tables
                    .iter()
                    .filter(|((owner, _), table)| owner == caller && !table.tags.is_empty())
                    .map(|(_, table)| (table.arn(), table.tags.clone()))
                    .collect()
            })
        });
        tagged.unwrap_or_default()
    }

    /// Deletes what has expired. Blocks.
    pub fn sweep(&self) {
        if !self.database.exists() {
            return;
        }
        let swept = self.database.read(|db| {
            self.with_tables(db, |tables| {
                tables
                    .values()
                    .filter(|table| table.ttl.is_some())
                    .cloned()
                    .collect::<Vec<_>>()
            })
        });
        for table in swept.unwrap_or_default() {
            loop {
                match self.sweep_some(&table) {
                    Ok(deleted) if deleted >= SWEEP as usize => {}
                    Ok(_) => break,
                    Err(fault) => {
                        let (message, table) = (fault.message, &table.name);
                        tracing::warn!(message, table, "could not delete expired items");
                        break;
                    }
                }
            }
        }
    }

    fn sweep_some(&self, table: &Table) -> Outcome<usize> {
        let now = self.clock.now_ms() / 1000;
        self.database.write(|db| {
            // It may be gone by now, or changed.
            let caller = key_of(table).0;
            let Ok(table) = self.table(db, &caller, &table.name) else {
                return Ok(0);
            };
            let expired = store::expired(db, &table, now - OLDEST_EXPIRY_S, now, SWEEP)?;
            for (key, item) in &expired {
                store::delete(db, &table, key, item)?;
            }
            Ok::<_, Fault>(expired.len())
        })
    }
}

fn key_of(table: &Table) -> TableKey {
    let caller = Caller {
        account: table.account.clone(),
        region: table.region.clone(),
    };
    (caller, table.name.clone())
}
