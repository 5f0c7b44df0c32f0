//! The declarations of a request: attribute definitions, keys, indexes, billing.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::Value;

use super::super::error::{ApiError, Result};
use super::super::items::{Input, text};
use super::super::table::{Index, KeySchema, Table, lower_first};
use super::super::{constraint, store};

/// Source: "Quotas in Amazon DynamoDB", DynamoDB developer guide.
const MAX_GLOBAL_INDEXES: usize = 20;
const MAX_LOCAL_INDEXES: usize = 5;
/// Elements of a key that an error shows.
const MAX_SHOWN: usize = 10;

pub(super) fn definitions(input: &Input) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    let given = input.get("AttributeDefinitions").and_then(Value::as_array);
    for (i, definition) in given.into_iter().flatten().enumerate() {
        let member = |field: &str| format!("attributeDefinitions.{}.member.{field}", i + 1);
        let name = attribute_name(definition, &member("attributeName"))?;
        let kind = enumeration(
            definition,
            "AttributeType",
            &member("attributeType"),
            &["B", "N", "S"],
        )?;
        out.insert(name, kind);
    }
    Ok(out)
}

/// The `AttributeName` of a structure.
fn attribute_name(value: &Value, member: &str) -> Result<String> {
    match value["AttributeName"].as_str() {
        None => Err(ApiError::constraint("null", member, "Member must not be null")),
        Some("") => Err(ApiError::constraint(
            "''",
            member,
            "Member must have length greater than or equal to 1",
        )),
        Some(name) if name.len() > 255 => Err(ApiError::constraint(
            format_args!("'{name}'"),
            member,
            "Member must have length less than or equal to 255",
        )),
        Some(name) => Ok(name.to_owned()),
    }
}

/// A field of a structure that is one of `values`.
fn enumeration(value: &Value, field: &str, member: &str, values: &[&str]) -> Result<String> {
    match value[field].as_str() {
        None => Err(ApiError::constraint("null", member, "Member must not be null")),
        Some(given) if values.contains(&given) => Ok(given.to_owned()),
        Some(given) => Err(ApiError::enumeration(given, member, values)),
    }
}

/// The key of a table or an index. `member` is the name of the parameter.
pub(super) fn key_schema(value: Option<&Value>, member: &str) -> Result<KeySchema> {
    let invalid = |why: &str| ApiError::validation(format!("Invalid KeySchema: {why}"));
    let elements = value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if elements.len() > 2 {
        let shown = elements.iter().take(MAX_SHOWN).map(|element| {
            let field = |name: &str| element[name].as_str().unwrap_or("null");
            format!(
                "KeySchemaElement(attributeName={}, keyType={})",
                field("AttributeName"),
                field("KeyType")
            )
        });
        return Err(ApiError::constraint(
            format_args!("'[{}]'", shown.collect::<Vec<_>>().join(", ")),
            member,
            "Member must have length less than or equal to 2",
        ));
    }
    constraint::check_length(elements, member, 2)?;
    for (i, element) in elements.iter().enumerate() {
        let member = |field: &str| format!("{member}.{}.member.{field}", i + 1);
        attribute_name(element, &member("attributeName"))?;
        enumeration(element, "KeyType", &member("keyType"), &["HASH", "RANGE"])?;
    }
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
        return Err(invalid("Some index key attribute have no definition"));
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
            let modes = ["PROVISIONED", "PAY_PER_REQUEST"];
            return Err(ApiError::enumeration(other, "billingMode", &modes));
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

/// Refuses to provision the capacity that the table has already.
/// Source: UpdateTable, DynamoDB API reference.
pub(super) fn refuse_same_throughput(table: &Table, input: &Input) -> Result<()> {
    match units(input.get("ProvisionedThroughput")) {
        Some((read, write)) if !table.on_demand && (read, write) == (table.read_units, table.write_units) => {
            Err(ApiError::validation(format!(
                "The provisioned throughput for the table will not change. The requested value equals the current \
                 value. Current ReadCapacityUnits provisioned for the table: {read}. Requested ReadCapacityUnits: \
                 {read}. Current WriteCapacityUnits provisioned for the table: {write}. Requested \
                 WriteCapacityUnits: {write}. Refer to the Amazon DynamoDB Developer Guide for current limits and how \
                 to request higher limits."
            )))
        }
        _ => Ok(()),
    }
}

pub(super) fn add_index(table: &mut Table, given: &Value, is_global: bool) -> Result<()> {
    let name = given["IndexName"].as_str().unwrap_or_default();
    let (limit, kind) = if is_global {
        (MAX_GLOBAL_INDEXES, "GlobalSecondaryIndex")
    } else {
        (MAX_LOCAL_INDEXES, "LocalSecondaryIndex")
    };
    let member = format!("{}es.member", lower_first(kind));
    check_index_name(table, name, &format!("{member}.indexName"))?;
    if !is_global && table.schema.range.is_none() {
        return Err(ApiError::invalid(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    }
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
    let schema = key_schema(given.get("KeySchema"), &format!("{member}.keySchema"))?;
    if !is_global && schema.range.is_none() {
        return Err(ApiError::invalid(format!(
            "Index KeySchema does not have a range key for index: {name}"
        )));
    }
    if !is_global && schema.hash != table.schema.hash {
        return Err(ApiError::invalid(format!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}"
        )));
    }
    let (projection, included) = projection(&given["Projection"])?;
    let (read_units, write_units) = units(given.get("ProvisionedThroughput")).unwrap_or_default();
    table.indexes.push(Index {
        name: name.to_owned(),
        slot: table.next_slot,
        is_global,
        schema,
        projection,
        included,
        read_units,
        write_units,
    });
    table.next_slot += 1;
    Ok(())
}

/// The type of a projection, and the attributes that it includes.
fn projection(given: &Value) -> Result<(String, Vec<String>)> {
    let kind = given["ProjectionType"].as_str();
    let Some(kind @ ("ALL" | "KEYS_ONLY" | "INCLUDE")) = kind else {
        return Err(ApiError::invalid(format!(
            "Unknown ProjectionType: {}",
            kind.unwrap_or("null")
        )));
    };
    let included = given["NonKeyAttributes"].as_array().into_iter().flatten();
    let names = included.filter_map(|name| name.as_str().map(str::to_owned));
    Ok((kind.to_owned(), names.collect()))
}

fn check_index_name(table: &Table, name: &str, member: &str) -> Result<()> {
    let is_sound = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    let broken = match name.len() {
        0..=2 => "Member must have length greater than or equal to 3",
        256.. => "Member must have length less than or equal to 255",
        _ if !is_sound => "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        _ if table.indexes.iter().any(|index| index.name == name) => {
            return Err(ApiError::invalid(format!("Duplicate index name: {name}")));
        }
        _ => return Ok(()),
    };
    Err(ApiError::constraint(format_args!("'{name}'"), member, broken))
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
