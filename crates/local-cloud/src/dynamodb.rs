//! DynamoDB. (awsim's computes with 28 digits instead of 38, writes each item of a batch on its own, and reads and
//! writes an item in two steps, between which another request may change it.)
//!
//! Items are in a [`crate::database`], under keys whose bytes sort as their values do ([`number`], [`value`]). Each
//! operation is one transaction. Tables are also held in memory ([`table`]).

mod batch;
mod constraint;
mod control;
mod error;
mod evaluate;
mod expression;
mod items;
mod legacy;
mod measure;
mod number;
mod permissions;
mod query;
mod reserved;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod transact;
mod update;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Response};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::answer::{answer, identify, request_id, whole};
use crate::clock::Clock;
use crate::database::Database;
use crate::json::{TooManyValues, admit};
use crate::metrics::MetricSink;
use crate::operation::operations;
use crate::service::Permission;
use crate::service::{Request, Service};
use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;
use error::{ApiError, Result};
use table::{Table, name_of};

operations! {
    enum Operation {
        BatchGetItem,
        BatchWriteItem,
        CreateTable,
        DeleteItem,
        DeleteTable,
        DescribeContinuousBackups,
        DescribeEndpoints,
        DescribeLimits,
        DescribeTable,
        DescribeTimeToLive,
        GetItem,
        ListTables,
        ListTagsOfResource,
        PutItem,
        Query,
        Scan,
        TagResource,
        TransactGetItems,
        TransactWriteItems,
        UntagResource,
        UpdateContinuousBackups,
        UpdateItem,
        UpdateTable,
        UpdateTimeToLive,
    }
}

/// The ARN of a KMS key that is given by id, ARN or alias, if it is enabled.
pub(crate) type KeyArn = Box<dyn Fn(&Caller, &str) -> Option<String> + Send + Sync>;

type TableKey = (Caller, String);

pub(crate) struct DynamoDb {
    database: Database,
    /// Loaded on first use, and changed only while the database is locked.
    tables: RwLock<Option<HashMap<TableKey, Arc<Table>>>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    key_arn: KeyArn,
}

/// Source: "Time to Live", DynamoDB developer guide: "Items with an expiry older than five years are not deleted".
const OLDEST_EXPIRY_S: i64 = 5 * 365 * 86_400;
/// Items deleted in one transaction of [`DynamoDb::sweep`].
const SWEEP: u32 = 1_000;

impl DynamoDb {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>, metrics: Arc<dyn MetricSink>, key_arn: KeyArn) -> Self {
        Self {
            database: Database::new(&dir.join("dynamodb.db"), store::SCHEMA),
            tables: RwLock::default(),
            clock,
            metrics,
            key_arn,
        }
    }

    fn answer(&self, caller: &Caller, operation: &str, body: &[u8]) -> Response<Body> {
        respond(&self.run(caller, operation, body))
    }

    fn run(&self, caller: &Caller, operation: &str, body: &[u8]) -> Result<Value> {
        let input: Map<String, Value> = if body.is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(body)
                .map_err(|error| ApiError::new("SerializationException", error.to_string()))?
        };
        let operation = Operation::parse(operation).ok_or_else(|| {
            ApiError::new(
                "UnknownOperationException",
                format!("The local cloud does not offer DynamoDB's operation {operation}."),
            )
        })?;
        let (tables, started) = (measure::tables(operation, &input), Instant::now());
        let result = self.execute(caller, operation, input);
        self.measure(caller, operation, &tables, &result, started.elapsed());
        result
    }

    fn execute(&self, caller: &Caller, operation: Operation, input: Map<String, Value>) -> Result<Value> {
        match operation {
            Operation::BatchGetItem => self.batch_get(caller, input),
            Operation::BatchWriteItem => self.batch_write(caller, input),
            Operation::CreateTable => self.create_table(caller, &input),
            Operation::DeleteItem => self.write_item(caller, "Delete", input),
            Operation::DeleteTable => self.delete_table(caller, &name_of(&input, "TableName")?),
            Operation::DescribeContinuousBackups => self.describe_continuous_backups(caller, &input),
            Operation::DescribeEndpoints => Ok(json!({"Endpoints": []})),
            Operation::DescribeLimits => Ok(json!({
                "AccountMaxReadCapacityUnits": 80000, "AccountMaxWriteCapacityUnits": 80000,
                "TableMaxReadCapacityUnits": 40000, "TableMaxWriteCapacityUnits": 40000,
            })),
            Operation::DescribeTable => self.describe_table(caller, &name_of(&input, "TableName")?),
            Operation::DescribeTimeToLive => self.describe_ttl(caller, &input),
            Operation::GetItem => self.get_item(caller, input),
            Operation::ListTables => self.list_tables(caller, &input),
            Operation::ListTagsOfResource => self.list_tags(caller, &input),
            Operation::PutItem => self.write_item(caller, "Put", input),
            Operation::Query => self.query(caller, input),
            Operation::Scan => self.scan(caller, input),
            Operation::TagResource => self.add_tags(caller, &input),
            Operation::TransactGetItems => self.transact_get(caller, input),
            Operation::TransactWriteItems => self.transact_write(caller, input),
            Operation::UntagResource => self.remove_tags(caller, &input),
            Operation::UpdateContinuousBackups => self.update_recovery(caller, &input),
            Operation::UpdateItem => self.write_item(caller, "Update", input),
            Operation::UpdateTable => self.update_table(caller, &input),
            Operation::UpdateTimeToLive => self.update_ttl(caller, &input),
        }
    }

    /// A table by name. `db` proves that the database is locked, without which tables do not change.
    fn table(&self, db: &Connection, caller: &Caller, name: &str) -> Result<Arc<Table>> {
        self.with_tables(db, |tables| {
            let key = (caller.clone(), name.to_owned());
            tables.get(&key).cloned()
        })?
        .ok_or_else(|| ApiError::no_table(name))
    }

    /// A table by name, for an operation on items.
    fn table_of_items(&self, db: &Connection, caller: &Caller, name: &str) -> Result<Arc<Table>> {
        self.table(db, caller, name).map_err(|error| match error.code {
            "ResourceNotFoundException" => ApiError::no_resource(),
            _ => error,
        })
    }

    fn with_tables<T>(
        &self,
        db: &Connection,
        look: impl FnOnce(&HashMap<TableKey, Arc<Table>>) -> T,
    ) -> Result<T> {
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

    /// Drops the tables in memory. The next use loads them from the database.
    fn forget_tables(&self) {
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Deletes expired items, and records provisioned capacity.
    fn sweep(&self) {
        if !self.database.exists() {
            return;
        }
        let tables = self
            .database
            .read(|db| self.with_tables(db, |tables| tables.values().cloned().collect::<Vec<_>>()));
        for table in tables.unwrap_or_default() {
            self.measure_provisioned(&table);
            while table.ttl.is_some() {
                match self.sweep_some(&table) {
                    Ok(deleted) if deleted >= SWEEP as usize => {}
                    Ok(_) => break,
                    Err(error) => {
                        let (message, table) = (error.message, &table.name);
                        tracing::warn!(message, table, "could not delete expired items");
                        break;
                    }
                }
            }
        }
    }

    fn sweep_some(&self, table: &Table) -> Result<usize> {
        let now = self.clock.now_ms() / 1000;
        self.database.write(|db| {
            // It may have been deleted or changed meanwhile.
            let caller = key_of(table).0;
            let Ok(table) = self.table(db, &caller, &table.name) else {
                return Ok(0);
            };
            let expired = store::expired(db, &table, now - OLDEST_EXPIRY_S, now, SWEEP)?;
            for (key, item) in &expired {
                store::delete(db, &table, key, item)?;
            }
            Ok::<_, ApiError>(expired.len())
        })
    }
}

impl Service for DynamoDb {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let operation = request.target().map_or("", |(_, operation)| operation);
            let Ok(_permit) = admit(&request.body).await else {
                return respond(&Err(ApiError::validation(TooManyValues::MESSAGE)));
            };
            self.answer(&request.caller, operation, &request.body)
        }
        .boxed()
    }

    /// Source: "Quotas in Amazon DynamoDB", developer guide: 16 MB in a BatchWriteItem, the largest request.
    fn max_body(&self) -> usize {
        16 << 20
    }

    fn permissions(&self, request: &Request) -> Vec<Permission> {
        permissions::of(request)
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
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

    fn tick(&self) {
        self.sweep();
    }

    fn open(&self) {
        self.database.open_existing();
    }

    fn damage(&self) -> Vec<Damage> {
        self.database.damage()
    }

    fn shutdown(&self) {
        self.database.close();
    }
}

fn respond(result: &Result<Value>) -> Response<Body> {
    let (status, value) = match result {
        Ok(value) => (200, value),
        Err(error) => (error.status, &error.body()),
    };
    let bytes = value.to_string().into_bytes();
    let checksum = crc32fast::hash(&bytes);
    let mut response = answer(status, "application/x-amz-json-1.0", whole(bytes));
    identify(&mut response, &request_id());
    let name = HeaderName::from_static("x-amz-crc32");
    response.headers_mut().insert(name, HeaderValue::from(checksum));
    response
}

fn key_of(table: &Table) -> TableKey {
    let caller = Caller {
        account: table.account.clone(),
        region: table.region.clone(),
    };
    (caller, table.name.clone())
}
