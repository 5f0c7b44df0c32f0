//! BatchWriteItem and BatchGetItem.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use super::evaluate::project;
use super::expression::{Path, Placeholders};
use super::items::{
    Change, Input, Write, collection_metrics, projection, read_units, take_item, write_units,
};
use super::measure::Units;
use super::table::{Table, name_of};
use super::value::{Item, check_item, size_of};
use super::{DynamoDb, constraint, legacy, store};
use crate::Caller;

/// Source: BatchWriteItem and BatchGetItem, DynamoDB API reference.
const MAX_WRITES: usize = 25;
const MAX_READS: usize = 100;
const MAX_ANSWER: usize = 16 << 20;

type ByTable<T> = BTreeMap<String, T>;

impl DynamoDb {
    pub(super) fn batch_write(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        constraint::check(&input)?;
        let mut all = Vec::new();
        for (given, requests) in request_items(&mut input, "BatchWriteItem")? {
            let name = name_of(&json_table(&given), "TableName")?;
            let Value::Array(requests) = requests else {
                return Err(ApiError::new(
                    "SerializationException",
                    "RequestItems holds no lists",
                ));
            };
            if !(1..=MAX_WRITES).contains(&requests.len()) {
                return Err(ApiError::constraint(
                    format_args!("'{{{given}=[{} requests]}}'", requests.len()),
                    "requestItems",
                    &format!(
                        "Map value must satisfy constraint: [Member must have length less than or equal to \
                         {MAX_WRITES}, Member must have length greater than or equal to 1]"
                    ),
                ));
            }
            for request in requests {
                all.push(Write::unconditional(name.clone(), batch_change(request)?));
            }
        }
        if all.len() > MAX_WRITES {
            return Err(ApiError::validation(
                "Too many items requested for the BatchWriteItem call",
            ));
        }
        let (units, collections) = self
            .database
            .write(|db| self.write_all(db, caller, &input, all))?;
        let mut out = json!({"UnprocessedItems": {}});
        let consumed: Vec<Value> = units
            .iter()
            .filter_map(|(table, units)| self.consume(caller, &input, table, None, Units::Write(*units)))
            .collect();
        if !consumed.is_empty() {
            out["ConsumedCapacity"] = Value::Array(consumed);
        }
        if !collections.is_empty() {
            out["ItemCollectionMetrics"] = json!(collections);
        }
        Ok(out)
    }

    /// Executes the writes of a batch. Returns the consumed units and the item collections, by table.
    fn write_all(
        &self,
        db: &Connection,
        caller: &Caller,
        input: &Input,
        all: Vec<Write>,
    ) -> Result<(ByTable<f64>, ByTable<Vec<Value>>)> {
        let mut units: ByTable<f64> = BTreeMap::new();
        let mut collections: ByTable<Vec<Value>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for write in all {
            let table = &*self.table_of_items(db, caller, &write.table)?;
            if !seen.insert((table.id, write.key(table)?)) {
                return Err(ApiError::validation(
                    "Provided list of item keys contains duplicates",
                ));
            }
            if let Some(collection) = collection_metrics(input, table, write.item()) {
                collections
                    .entry(write.table.clone())
                    .or_default()
                    .push(collection);
            }
            let name = write.table.clone();
            let written = write.apply(db, table, false)?;
            *units.entry(name).or_default() += write_units(written.size);
        }
        Ok((units, collections))
    }

    pub(super) fn batch_get(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        constraint::check(&input)?;
        let mut reads = Vec::new();
        for (given, request) in request_items(&mut input, "BatchGetItem")? {
            let name = name_of(&json_table(&given), "TableName")?;
            let (request, read) = BatchRead::new(&name, request)?;
            reads.push((given, name, request, read));
        }
        let count: usize = reads.iter().map(|(.., read)| read.keys.len()).sum();
        if count > MAX_READS {
            return Err(ApiError::validation(
                "Too many items requested for the BatchGetItem call",
            ));
        }
        let (mut responses, mut unprocessed) = (Map::new(), Map::new());
        let mut consumed = Vec::new();
        let mut answered = 0;
        for (given, name, mut request, read) in reads {
            let (found, left, units) = self.database.read(|db| {
                let table = self.table_of_items(db, caller, &name)?;
                read.run(db, &table, &mut answered)
            })?;
            consumed.extend(self.consume(caller, &input, &name, None, Units::Read(units)));
            responses.insert(given.clone(), Value::Array(found));
            if !left.is_empty() {
                request.insert("Keys".to_owned(), Value::Array(left));
                unprocessed.insert(given, Value::Object(request));
            }
        }
        let mut out = json!({"Responses": responses, "UnprocessedKeys": unprocessed});
        if !consumed.is_empty() {
            out["ConsumedCapacity"] = Value::Array(consumed);
        }
        Ok(out)
    }
}

/// Takes `RequestItems`, which must not be empty.
fn request_items(input: &mut Input, operation: &str) -> Result<Item> {
    match take_item(input, "RequestItems") {
        Ok(requests) if requests.is_empty() => Err(ApiError::validation(format!(
            "The requestItems parameter is required for {operation}"
        ))),
        requests => requests,
    }
}

/// The reads of BatchGetItem in one table.
struct BatchRead {
    keys: Vec<Value>,
    paths: Option<Vec<Path>>,
    consistent: bool,
}

impl BatchRead {
    /// Reads the entry of `RequestItems` of a table. Also returns the entry without its keys.
    fn new(table: &str, request: Value) -> Result<(Input, Self)> {
        let Value::Object(mut request) = request else {
            return Err(ApiError::new(
                "SerializationException",
                "RequestItems holds no maps",
            ));
        };
        legacy::GET.check(&request)?;
        let Some(Value::Array(keys)) = request.remove("Keys") else {
            let member = format!("requestItems.{table}.member.keys");
            return Err(ApiError::constraint("null", &member, "Member must not be null"));
        };
        if keys.len() > MAX_READS {
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value at 'RequestItems.{table}.member.Keys' failed to satisfy constraint: \
                 Member must have length less than or equal to {MAX_READS}"
            )));
        }
        constraint::check_length(&keys, &format!("requestItems.{table}.member.keys"), MAX_READS)?;
        // What is not processed is returned with its expressions.
        let placeholders = Placeholders::take(&mut request.clone())?;
        let paths = projection(&request, &placeholders)?;
        placeholders.check_used()?;
        let consistent = request.get("ConsistentRead") == Some(&Value::Bool(true));
        let read = Self {
            keys,
            paths,
            consistent,
        };
        Ok((request, read))
    }

    /// The items, the keys that no longer fit in the answer, and the consumed units. `answered` is the size of the
    /// answer so far.
    fn run(
        self,
        db: &Connection,
        table: &Table,
        answered: &mut usize,
    ) -> Result<(Vec<Value>, Vec<Value>, f64)> {
        let (mut found, mut left, mut units) = (Vec::new(), Vec::new(), 0.0);
        let mut seen = HashSet::new();
        for mut key in self.keys {
            let Some(fields) = key.as_object_mut() else {
                return Err(ApiError::new("SerializationException", "A key is not a map"));
            };
            check_item(fields)?;
            let place = table.key_of_request(fields)?;
            if !seen.insert(place.clone()) {
                return Err(ApiError::validation(
                    "Provided list of item keys contains duplicates",
                ));
            }
            if *answered > MAX_ANSWER {
                left.push(key);
                continue;
            }
            let item = store::get(db, table, &place)?;
            let size = item.as_ref().map_or(0, size_of);
            *answered += size;
            units += read_units(size, self.consistent);
            found.extend(item.map(|item| match &self.paths {
                Some(paths) => Value::Object(project(&item, paths)),
                None => Value::Object(item),
            }));
        }
        Ok((found, left, units))
    }
}

/// A request with this table name, for [`name_of`].
fn json_table(name: &str) -> Input {
    Input::from_iter([("TableName".to_owned(), Value::String(name.to_owned()))])
}

fn batch_change(request: Value) -> Result<Change> {
    let empty =
        || ApiError::validation("Supplied AttributeValue has more than one or no request of Put and Delete");
    let Value::Object(fields) = request else {
        return Err(empty());
    };
    let mut requests = fields.into_iter().filter(|(_, value)| !value.is_null());
    match (requests.next(), requests.next()) {
        (Some((kind, Value::Object(mut inner))), None) if kind == "PutRequest" => {
            let mut item = take_item(&mut inner, "Item")?;
            let size = check_item(&mut item)?;
            Ok(Change::Put(item, size))
        }
        (Some((kind, Value::Object(mut inner))), None) if kind == "DeleteRequest" => {
            let mut key = take_item(&mut inner, "Key")?;
            check_item(&mut key)?;
            Ok(Change::Delete(key))
        }
        _ => Err(empty()),
    }
}
