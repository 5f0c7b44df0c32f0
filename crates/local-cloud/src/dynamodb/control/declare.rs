//! The declarations of a request: attribute definitions, keys, indexes, billing.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::Value;

use super::super::error::{ApiError, Result};
use super::super::items::{Input, text};
use super::super::store;
use super::super::table::{Index, KeySchema, Table};

/// Source: "Quotas in Amazon DynamoDB", DynamoDB developer guide.
const MAX_GLOBAL_INDEXES: usize = 20;
const MAX_LOCAL_INDEXES: usize = 5;

pub(super) fn definitions(input: &Input) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    let given = input.get("AttributeDefinitions").and_then(Value::as_array);
    for definition in given.into_iter().flatten() {
        match (
            definition["AttributeName"].as_str(),
            definition["AttributeType"].as_str(),
        ) {
            (Some(name), Some(kind @ ("S" | "N" | "B"))) if !name.is_empty() => {
                out.insert(name.to_owned(), kind.to_owned());
            }
            _ => {
                return Err(ApiError::validation(
                    "AttributeDefinitions takes names, and types of S, N and B",
                ));
            }
        }
    }
    Ok(out)
}

pub(super) fn key_schema(value: Option<&Value>) -> Result<KeySchema> {
    let invalid = |why: &str| ApiError::validation(format!("Invalid KeySchema: {why}"));
    let elements = value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let part = |element: &Value, kind: &str| {
        (element["KeyType"] == kind)
            .then(|| element["AttributeName"].as_str().map(str::to_owned))
            .flatten()
    };
    let (hash, range) = match elements {
        [hash] => (part(hash, "HASH"), None),
        [hash, range] => {
            let range = part(range, "RANGE")
                .ok_or_else(|| invalid("The second KeySchemaElement is not a RANGE key type"))?;
            (part(hash, "HASH"), Some(range))
        }
        _ => return Err(invalid("It must have one or two elements")),
    };
    let hash = hash.ok_or_else(|| invalid("The first KeySchemaElement is not a HASH key type"))?;
    if range.as_ref() == Some(&hash) {
        return Err(invalid(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ));
    }
    Ok(KeySchema { hash, range })
}

pub(super) fn units(value: Option<&Value>) -> Option<(u64, u64)> {
    let value = value?;
    Some((
        value["ReadCapacityUnits"].as_u64()?,
        value["WriteCapacityUnits"].as_u64()?,
    ))
}

pub(super) fn set_billing(table: &mut Table, input: &Input, is_new: bool) -> Result<()> {
    let given = units(input.get("ProvisionedThroughput"));
    let on_demand = match text(input, "BillingMode") {
        Some("PAY_PER_REQUEST") => true,
        Some("PROVISIONED") => false,
        Some(other) => {
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value '{other}' at 'billingMode' failed to satisfy constraint: Member \
                 must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]"
            )));
        }
        None if is_new => false,
        None => table.on_demand,
    };
    match (on_demand, given) {
        (true, Some((1.., _) | (_, 1..))) => {
            return Err(ApiError::invalid(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
            ));
        }
        (false, Some((0, _) | (_, 0))) => {
            return Err(ApiError::validation(
                "ReadCapacityUnits and WriteCapacityUnits must be at least 1",
            ));
        }
        (false, None) if is_new || table.on_demand => {
            return Err(ApiError::invalid(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
            ));
        }
        (true, _) => (table.read_units, table.write_units) = (0, 0),
        (false, Some((read, write))) => (table.read_units, table.write_units) = (read, write),
        (false, None) => {}
    }
    table.on_demand = on_demand;
    Ok(())
}

pub(super) fn add_index(table: &mut Table, given: &Value, is_global: bool) -> Result<()> {
    let name = given["IndexName"].as_str().unwrap_or_default();
    if name.len() < 3 || table.indexes.iter().any(|index| index.name == name) {
        return Err(ApiError::invalid(format!(
            "Duplicate or invalid index name: {name}"
        )));
    }
    let (limit, kind) = if is_global {
        (MAX_GLOBAL_INDEXES, "GlobalSecondaryIndex")
    } else {
        (MAX_LOCAL_INDEXES, "LocalSecondaryIndex")
    };
    if table
        .indexes
        .iter()
        .filter(|index| index.is_global == is_global)
        .count()
        >= limit
    {
        return Err(ApiError::invalid(format!(
            "{kind} count exceeds the per-table limit of {limit}"
        )));
    }
    let schema = key_schema(given.get("KeySchema"))?;
    if !is_global && (schema.hash != table.schema.hash || schema.range.is_none()) {
        return Err(ApiError::invalid(format!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}"
        )));
    }
    let projection = given["Projection"]["ProjectionType"].as_str();
    let Some(projection @ ("ALL" | "KEYS_ONLY" | "INCLUDE")) = projection else {
        return Err(ApiError::invalid(format!(
            "Unknown ProjectionType: {}",
            projection.unwrap_or("null")
        )));
    };
    let included = given["Projection"]["NonKeyAttributes"].as_array();
    let (read_units, write_units) = units(given.get("ProvisionedThroughput")).unwrap_or_default();
    table.indexes.push(Index {
        name: name.to_owned(),
        slot: table.next_slot,
        is_global,
        schema,
        projection: projection.to_owned(),
        included: included
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        read_units,
        write_units,
    });
    table.next_slot += 1;
    Ok(())
}

pub(super) fn update_index(db: &Connection, table: &mut Table, update: &Value) -> Result<()> {
    let named = |update: &Value| update["IndexName"].as_str().unwrap_or_default().to_owned();
    let missing = |name: &str| {
        ApiError::new(
            "ResourceNotFoundException",
            format!("Requested resource not found: Index: {name} not found"),
        )
    };
    if let Some(create) = update.get("Create").filter(|create| create.is_object()) {
        add_index(table, create, true)?;
        if let Some(index) = table.indexes.last() {
            store::fill_index(db, table, index)?;
        }
    } else if let Some(delete) = update.get("Delete").filter(|delete| delete.is_object()) {
        let name = named(delete);
        let at = table
            .indexes
            .iter()
            .position(|index| index.name == name && index.is_global);
        let index = table.indexes.remove(at.ok_or_else(|| missing(&name))?);
        store::drop_index(db, table, &index)?;
    } else if let Some(change) = update.get("Update").filter(|change| change.is_object()) {
        let name = named(change);
        let index = table
            .indexes
            .iter_mut()
            .find(|index| index.name == name && index.is_global);
        let index = index.ok_or_else(|| missing(&name))?;
        if let Some((read, write)) = units(change.get("ProvisionedThroughput")) {
            (index.read_units, index.write_units) = (read, write);
        }
    }
    Ok(())
}

pub(super) fn key_names(table: &Table) -> impl Iterator<Item = &str> {
    let of_indexes = table.indexes.iter().flat_map(|index| index.schema.names());
    table.schema.names().chain(of_indexes)
}

/// Checks that exactly the key attributes have a definition.
pub(super) fn check_definitions(table: &Table) -> Result<()> {
    if let Some(name) = key_names(table).find(|name| !table.attributes.contains_key(*name)) {
        return Err(ApiError::invalid(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}]"
        )));
    }
    if let Some(name) = table
        .attributes
        .keys()
        .find(|name| !key_names(table).any(|key| key == *name))
    {
        return Err(ApiError::invalid(format!(
            "Some AttributeDefinitions are not used. AttributeDefinitions: [{name}]"
        )));
    }
    Ok(())
}

/// Removes the definitions that only a deleted index used.
pub(super) fn forget_definitions(table: &mut Table) {
    let used: Vec<String> = key_names(table).map(str::to_owned).collect();
    table.attributes.retain(|name, _| used.contains(name));
}
