//! Reading and writing single items.

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use super::evaluate::{meets, project};
use super::expression::{self, Action, Condition, Path, Placeholders, Source, Step};
use super::measure::Units;
use super::table::{Key, Table, lower_first, name_of};
use super::value::{Item, check_item, size_of};
use super::{DynamoDb, constraint, legacy, store, update, value};
use crate::Caller;

pub(super) type Input = Map<String, Value>;

/// Takes a map out of a request.
pub(super) fn take_item(input: &mut Input, field: &str) -> Result<Item> {
    match input.remove(field) {
        Some(Value::Object(item)) => Ok(item),
        Some(_) => Err(ApiError::new(
            "SerializationException",
            format!("{field} is not a map"),
        )),
        None => Err(ApiError::constraint(
            "null",
            &lower_first(field),
            "Member must not be null",
        )),
    }
}

pub(super) fn text<'a>(input: &'a Input, field: &str) -> Option<&'a str> {
    input.get(field).and_then(Value::as_str)
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

/// The paths in `ProjectionExpression`, or in `AttributesToGet`, which it replaced.
pub(super) fn projection(input: &Input, placeholders: &Placeholders) -> Result<Option<Vec<Path>>> {
    let Some(text) = text(input, "ProjectionExpression") else {
        return legacy::attributes_to_get(input);
    };
    let paths = expression::projection(&Source {
        kind: "ProjectionExpression",
        text,
        placeholders,
    })?;
    expression::check_overlap("ProjectionExpression", paths.iter())?;
    Ok(Some(paths))
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
    expression::check_overlap("UpdateExpression", actions.iter().map(update::target))?;
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
    /// Whether the actions of an update come from `AttributeUpdates`.
    is_legacy: bool,
}

/// The result of a write.
pub(super) struct Written {
    pub old: Option<Item>,
    pub new: Option<Item>,
    /// Bytes of the new item, or of the old one where there is no new one.
    pub size: usize,
    pub actions: Vec<Action>,
}

impl Write {
    /// Reads the parameters of PutItem, UpdateItem and DeleteItem: expressions, or the legacy parameters.
    fn of_request(kind: &str, input: &mut Input) -> Result<Self> {
        let parameters = if kind == "Update" {
            legacy::UPDATE
        } else {
            legacy::WRITE
        };
        parameters.check(input)?;
        let mut write = Self::read(kind, input)?;
        if let Some(expected) = legacy::expected(input)? {
            write.condition = Some(expected);
        }
        if let Change::Update(_, actions) = &mut write.change
            && let Some(updates) = legacy::updates(input)?
        {
            *actions = updates;
            write.is_legacy = true;
        }
        Ok(write)
    }

    /// Reads the parameters that an action of TransactWriteItems has too.
    pub fn read(kind: &str, input: &mut Input) -> Result<Self> {
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
            is_legacy: false,
        })
    }

    /// A write of BatchWriteItem.
    pub fn unconditional(table: String, change: Change) -> Self {
        Self {
            table,
            change,
            condition: None,
            show_item: false,
            is_legacy: false,
        }
    }

    /// The item, or its key.
    pub fn item(&self) -> &Item {
        match &self.change {
            Change::Put(item, _) | Change::Update(item, _) | Change::Delete(item) | Change::Check(item) => {
                item
            }
        }
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
            size: 0,
            old,
            new: None,
            actions: Vec::new(),
        };
        match self.change {
            Change::Put(item, size) => {
                store::put(db, table, &key, &item, size)?;
                (written.new, written.size) = (Some(item), size);
            }
            Change::Update(key_item, actions) => {
                refuse_key_change(table, &actions)?;
                let only_removes = |action: &Action| matches!(action, Action::Remove(_) | Action::Delete(..));
                // Source: AttributeValueUpdate, API reference: DELETE "causes nothing to happen" where there is no item.
                if self.is_legacy
                    && written.old.is_none()
                    && !actions.is_empty()
                    && actions.iter().all(only_removes)
                {
                    return Ok(written);
                }
                let base = written.old.as_ref().unwrap_or(&key_item);
                let updated = update::apply(base, &actions).and_then(|mut item| {
                    let size = check_item(&mut item)?;
                    Ok((item, size))
                });
                let (item, size) = updated.map_err(|error| of_update(error, self.is_legacy))?;
                store::put(db, table, &key, &item, size)?;
                (written.new, written.size) = (Some(item), size);
                written.actions = actions;
            }
            Change::Delete(_) => {
                if let Some(old) = &written.old {
                    store::delete(db, table, &key, old)?;
                    written.size = size_of(old);
                }
            }
            Change::Check(_) => written.size = written.old.as_ref().map_or(0, size_of),
        }
        Ok(written)
    }
}

/// The error of an update, in AWS's words for it.
fn of_update(error: ApiError, is_legacy: bool) -> ApiError {
    match error.message.as_str() {
        update::INCORRECT_TYPE if is_legacy => ApiError::validation("Type mismatch for attribute to update"),
        value::TOO_LARGE => ApiError::validation("Item size to update has exceeded the maximum allowed size"),
        _ => error,
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

/// `ItemCollectionMetrics`, of tables with a local secondary index.
pub(super) fn collection_metrics(input: &Input, table: &Table, key: &Item) -> Option<Value> {
    let has_local = table.indexes.iter().any(|index| !index.is_global);
    let wanted = text(input, "ReturnItemCollectionMetrics") == Some("SIZE");
    let hash = key.get(&table.schema.hash).filter(|_| has_local && wanted)?;
    Some(json!({
        "ItemCollectionKey": {table.schema.hash.as_str(): hash},
        "SizeEstimateRangeGB": [0.0, 1.0],
    }))
}

impl DynamoDb {
    /// PutItem, UpdateItem and DeleteItem.
    pub(super) fn write_item(&self, caller: &Caller, kind: &str, mut input: Input) -> Result<Value> {
        let wanted = text(&input, "ReturnValues").unwrap_or("NONE").to_owned();
        name_of(&input, "TableName")?;
        constraint::check(&input)?;
        if kind != "Update" && !matches!(wanted.as_str(), "NONE" | "ALL_OLD") {
            return Err(ApiError::validation("ReturnValues can only be ALL_OLD or NONE"));
        }
        let write = Write::of_request(kind, &mut input)?;
        let name = write.table.clone();
        let (written, collection) = self.database.write(|db| {
            let table = self.table_of_items(db, caller, &write.table)?;
            let collection = collection_metrics(&input, &table, write.item());
            Ok::<_, ApiError>((write.apply(db, &table, wanted != "NONE")?, collection))
        })?;
        let Written {
            old,
            new,
            size,
            actions,
        } = written;
        let size = old.as_ref().map_or(0, size_of).max(size);
        let units = Units::Write(write_units(size));
        let units = self.consume(caller, &input, &name, None, units);
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
        out.extend(collection.map(|metrics| ("ItemCollectionMetrics".to_owned(), metrics)));
        Ok(Value::Object(out))
    }

    pub(super) fn get_item(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let name = name_of(&input, "TableName")?;
        constraint::check(&input)?;
        legacy::GET.check(&input)?;
        let placeholders = Placeholders::take(&mut input)?;
        let paths = projection(&input, &placeholders)?;
        placeholders.check_used()?;
        let mut key = take_item(&mut input, "Key")?;
        check_item(&mut key)?;
        let item = self.database.read(|db| {
            let table = self.table_of_items(db, caller, &name)?;
            store::get(db, &table, &table.key_of_request(&key)?)
        })?;
        let consistent = input.get("ConsistentRead") == Some(&Value::Bool(true));
        let size = item.as_ref().map_or(0, size_of);
        let mut out = Map::new();
        if let Some(item) = item {
            let item = paths.map_or_else(|| item.clone(), |paths| project(&item, &paths));
            out.insert("Item".to_owned(), Value::Object(item));
        }
        let units = Units::Read(read_units(size, consistent));
        let units = self.consume(caller, &input, &name, None, units);
        out.extend(units.map(|units| ("ConsumedCapacity".to_owned(), units)));
        Ok(Value::Object(out))
    }
}
