//! Reading and writing single items and batches of them.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use super::evaluate::{meets, project};
use super::expression::{self, Action, Condition, Path, Placeholders, Source, Step};
use super::table::{Key, Table, name_of};
use super::update;
use super::value::{Item, check_item, size_of};
use super::{DynamoDb, store};
use crate::Caller;

/// Source: BatchWriteItem and BatchGetItem, DynamoDB API reference.
const MAX_WRITES: usize = 25;
const MAX_READS: usize = 100;
const MAX_ANSWER: usize = 16 << 20;

pub(super) type Input = Map<String, Value>;

/// Takes a map out of a request.
pub(super) fn take_item(input: &mut Input, field: &str) -> Result<Item> {
    match input.remove(field) {
        Some(Value::Object(item)) => Ok(item),
        Some(_) => Err(ApiError::new(
            "SerializationException",
            format!("{field} is not a map"),
        )),
        None => Err(ApiError::validation(format!(
            "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
            field.to_ascii_lowercase()
        ))),
    }
}

pub(super) fn text<'a>(input: &'a Input, field: &str) -> Option<&'a str> {
    input.get(field).and_then(Value::as_str)
}

/// Refuses legacy parameters, which expressions replaced.
pub(super) fn refuse_legacy(input: &Input) -> Result<()> {
    const LEGACY: &[&str] = &[
        "AttributeUpdates",
        "Expected",
        "ConditionalOperator",
        "KeyConditions",
        "QueryFilter",
        "ScanFilter",
        "AttributesToGet",
    ];
    match LEGACY
        .iter()
        .find(|field| input.get(**field).is_some_and(|value| !value.is_null()))
    {
        Some(field) => Err(ApiError::validation(format!(
            "The local cloud does not take the legacy parameter {field}: use the expression that replaced it"
        ))),
        None => Ok(()),
    }
}

/// The condition in `field`, if there is one.
pub(super) fn condition(
    input: &Input,
    field: &'static str,
    placeholders: &Placeholders,
) -> Result<Option<Condition>> {
    let Some(text) = text(input, field) else {
        return Ok(None);
    };
    expression::condition(&Source {
        kind: field,
        text,
        placeholders,
    })
    .map(Some)
}

pub(super) fn projection(input: &Input, placeholders: &Placeholders) -> Result<Option<Vec<Path>>> {
    let Some(text) = text(input, "ProjectionExpression") else {
        return Ok(None);
    };
    expression::projection(&Source {
        kind: "ProjectionExpression",
        text,
        placeholders,
    })
    .map(Some)
}

pub(super) fn update_actions(input: &Input, placeholders: &Placeholders) -> Result<Vec<Action>> {
    let Some(text) = text(input, "UpdateExpression") else {
        return Ok(Vec::new());
    };
    let actions = expression::update(&Source {
        kind: "UpdateExpression",
        text,
        placeholders,
    })?;
    update::check_overlap(&actions)?;
    Ok(actions)
}

/// A change of one item. Checked, but not yet against the schema of the table.
pub(super) enum Change {
    Put(Item, usize),
    Update(Item, Vec<Action>),
    Delete(Item),
    Check(Item),
}

pub(super) struct Write {
    pub table: String,
    pub change: Change,
    pub condition: Option<Condition>,
    /// Whether the error of a failed condition contains the item.
    pub show_item: bool,
}

/// The result of a write.
pub(super) struct Written {
    pub old: Option<Item>,
    pub new: Option<Item>,
    pub actions: Vec<Action>,
}

impl Write {
    /// Reads the common parameters of PutItem, UpdateItem, DeleteItem and the actions of TransactWriteItems.
    pub fn read(kind: &str, input: &mut Input) -> Result<Self> {
        refuse_legacy(input)?;
        let table = name_of(input, "TableName")?;
        let placeholders = Placeholders::take(input)?;
        let change = match kind {
            "Put" => {
                let mut item = take_item(input, "Item")?;
                let size = check_item(&mut item)?;
                Change::Put(item, size)
            }
            _ => {
                let mut key = take_item(input, "Key")?;
                check_item(&mut key)?;
                match kind {
                    "Update" => Change::Update(key, update_actions(input, &placeholders)?),
                    "Delete" => Change::Delete(key),
                    _ => Change::Check(key),
                }
            }
        };
        let condition = condition(input, "ConditionExpression", &placeholders)?;
        placeholders.check_used()?;
        Ok(Self {
            table,
            change,
            condition,
            show_item: text(input, "ReturnValuesOnConditionCheckFailure") == Some("ALL_OLD"),
        })
    }

    /// The key of the item.
    pub fn key(&self, table: &Table) -> Result<Key> {
        match &self.change {
            Change::Put(item, _) => table.key_of_item(item),
            Change::Update(key, _) | Change::Delete(key) | Change::Check(key) => table.key_of_request(key),
        }
    }

    /// Executes the write. Reads the old item only if the write depends on it, or if `wants_old`.
    pub fn apply(self, db: &Connection, table: &Table, wants_old: bool) -> Result<Written> {
        let key = self.key(table)?;
        let is_blind = matches!(self.change, Change::Put(..)) && self.condition.is_none() && !wants_old;
        let old = if is_blind {
            None
        } else {
            store::get(db, table, &key)?
        };
        if let Some(condition) = &self.condition
            && !meets(old.as_ref().unwrap_or(&Item::new()), condition)
        {
            return Err(ApiError::condition_failed(old.filter(|_| self.show_item)));
        }
        let mut written = Written {
            old,
            new: None,
            actions: Vec::new(),
        };
        match self.change {
            Change::Put(item, size) => {
                store::put(db, table, &key, &item, size)?;
                written.new = Some(item);
            }
            Change::Update(key_item, actions) => {
                refuse_key_change(table, &actions)?;
                let base = written.old.as_ref().unwrap_or(&key_item);
                let mut item = update::apply(base, &actions)?;
                let size = check_item(&mut item)?;
                store::put(db, table, &key, &item, size)?;
                written.new = Some(item);
                written.actions = actions;
            }
            Change::Delete(_) => {
                if let Some(old) = &written.old {
                    store::delete(db, table, &key, old)?;
                }
            }
            Change::Check(_) => {}
        }
        Ok(written)
    }
}

fn refuse_key_change(table: &Table, actions: &[Action]) -> Result<()> {
    for action in actions {
        if let Some(Step::Name(name)) = update::target(action).first()
            && table.schema.names().any(|key| key == name)
        {
            return Err(ApiError::invalid(format!(
                "Cannot update attribute {name}. This attribute is part of the key"
            )));
        }
    }
    Ok(())
}

/// The attributes of an item that an update changed.
fn touched(item: &Item, actions: &[Action]) -> Item {
    let paths: Vec<Path> = actions
        .iter()
        .map(|action| update::target(action).clone())
        .collect();
    project(item, &paths)
}

pub(super) fn write_units(size: usize) -> f64 {
    size.div_ceil(1024).max(1) as f64
}

pub(super) fn read_units(size: usize, consistent: bool) -> f64 {
    size.div_ceil(4096).max(1) as f64 * if consistent { 1.0 } else { 0.5 }
}

pub(super) fn capacity(input: &Input, table: &str, units: f64) -> Option<Value> {
    match text(input, "ReturnConsumedCapacity") {
        Some("TOTAL") => Some(json!({"TableName": table, "CapacityUnits": units})),
        Some("INDEXES") => {
            Some(json!({"TableName": table, "CapacityUnits": units, "Table": {"CapacityUnits": units}}))
        }
        _ => None,
    }
}

impl DynamoDb {
    /// PutItem, UpdateItem and DeleteItem.
    pub(super) fn write_item(&self, caller: &Caller, kind: &str, mut input: Input) -> Result<Value> {
        let wanted = text(&input, "ReturnValues").unwrap_or("NONE").to_owned();
        let allowed: &[&str] = match kind {
            "Update" => &["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"],
            _ => &["NONE", "ALL_OLD"],
        };
        if !allowed.contains(&wanted.as_str()) {
            return Err(ApiError::validation(format!(
                "Return values set to invalid value: {wanted}; must be one of {}",
                allowed.join(", ")
            )));
        }
        let write = Write::read(kind, &mut input)?;
        let name = write.table.clone();
        let written = self.database.write(|db| {
            let table = self.table(db, caller, &write.table)?;
            write.apply(db, &table, wanted != "NONE")
        })?;
        let Written { old, new, actions } = written;
        let size = old.iter().chain(&new).map(size_of);
        let units = capacity(&input, &name, write_units(size.max().unwrap_or(0)));
        let attributes = match wanted.as_str() {
            "ALL_OLD" => old,
            "ALL_NEW" => new,
            "UPDATED_OLD" => old.map(|old| touched(&old, &actions)),
            "UPDATED_NEW" => new.map(|new| touched(&new, &actions)),
            _ => None,
        };
        let mut out = Map::new();
        if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
            out.insert("Attributes".to_owned(), Value::Object(attributes));
        }
        out.extend(units.map(|units| ("ConsumedCapacity".to_owned(), units)));
        Ok(Value::Object(out))
    }

    pub(super) fn get_item(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        refuse_legacy(&input)?;
        let name = name_of(&input, "TableName")?;
        let placeholders = Placeholders::take(&mut input)?;
        let paths = projection(&input, &placeholders)?;
        placeholders.check_used()?;
        let mut key = take_item(&mut input, "Key")?;
        check_item(&mut key)?;
        let item = self.database.read(|db| {
            let table = self.table(db, caller, &name)?;
            store::get(db, &table, &table.key_of_request(&key)?)
        })?;
        let consistent = input.get("ConsistentRead") == Some(&Value::Bool(true));
        let size = item.as_ref().map_or(0, size_of);
        let mut out = Map::new();
        if let Some(item) = item {
            let item = paths.map_or_else(|| item.clone(), |paths| project(&item, &paths));
            out.insert("Item".to_owned(), Value::Object(item));
        }
        let units = capacity(&input, &name, read_units(size, consistent));
        out.extend(units.map(|units| ("ConsumedCapacity".to_owned(), units)));
        Ok(Value::Object(out))
    }

    pub(super) fn batch_write(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let mut all = Vec::new();
        let mut units: BTreeMap<String, f64> = BTreeMap::new();
        for (given, requests) in take_item(&mut input, "RequestItems")? {
            let name = name_of(&json_table(&given), "TableName")?;
            let Value::Array(requests) = requests else {
                return Err(ApiError::new(
                    "SerializationException",
                    "RequestItems holds no lists",
                ));
            };
            for request in requests {
                let change = batch_change(request)?;
                if let Change::Put(_, size) = &change {
                    *units.entry(name.clone()).or_default() += write_units(*size);
                }
                all.push(Write {
                    table: name.clone(),
                    change,
                    condition: None,
                    show_item: false,
                });
            }
        }
        if !(1..=MAX_WRITES).contains(&all.len()) {
            return Err(ApiError::validation(format!(
                "Too many items requested for the BatchWriteItem call, or none: it takes 1 to {MAX_WRITES}"
            )));
        }
        self.database.write(|db| {
            let mut seen = HashSet::new();
            for write in all {
                let table = &*self.table(db, caller, &write.table)?;
                if !seen.insert((table.id, write.key(table)?)) {
                    return Err(ApiError::validation(
                        "Provided list of item keys contains duplicates",
                    ));
                }
                write.apply(db, table, false)?;
            }
            Ok::<_, ApiError>(())
        })?;
        let mut out = json!({"UnprocessedItems": {}});
        let consumed: Vec<Value> = units
            .iter()
            .filter_map(|(table, units)| capacity(&input, table, *units))
            .collect();
        if !consumed.is_empty() {
            out["ConsumedCapacity"] = Value::Array(consumed);
        }
        Ok(out)
    }

    pub(super) fn batch_get(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let requests = take_item(&mut input, "RequestItems")?;
        let (mut responses, mut unprocessed) = (Map::new(), Map::new());
        let mut consumed = Vec::new();
        let (mut count, mut answered) = (0, 0);
        for (given, request) in requests {
            let name = name_of(&json_table(&given), "TableName")?;
            let (mut request, read) = BatchRead::new(request)?;
            count += read.keys.len();
            if count > MAX_READS || read.keys.is_empty() {
                return Err(ApiError::validation(format!(
                    "Too many items requested for the BatchGetItem call, or none: it takes 1 to {MAX_READS}"
                )));
            }
            let (found, left, units) = self.database.read(|db| {
                let table = self.table(db, caller, &name)?;
                read.run(db, &table, &mut answered)
            })?;
            consumed.extend(capacity(&input, &name, units));
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

/// The reads of BatchGetItem in one table.
struct BatchRead {
    keys: Vec<Value>,
    paths: Option<Vec<Path>>,
    consistent: bool,
}

impl BatchRead {
    /// Reads an entry of `RequestItems`. Also returns the entry without its keys.
    fn new(request: Value) -> Result<(Input, Self)> {
        let Value::Object(mut request) = request else {
            return Err(ApiError::new(
                "SerializationException",
                "RequestItems holds no maps",
            ));
        };
        refuse_legacy(&request)?;
        let placeholders = Placeholders::take(&mut request)?;
        let paths = projection(&request, &placeholders)?;
        placeholders.check_used()?;
        let Some(Value::Array(keys)) = request.remove("Keys") else {
            return Err(ApiError::validation("Keys must not be null"));
        };
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
