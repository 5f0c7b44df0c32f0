//! AWS/DynamoDB metrics. There are none of throttling: the local cloud does not throttle, and AWS has no data points of
//! it either while nothing is throttled.
//!
//! Source: "DynamoDB metrics and dimensions", DynamoDB developer guide.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{ApiError, Result};
use super::items::Input;
use super::table::{Index, Table, table_name};
use super::{DynamoDb, Operation, key_of};
use crate::metrics::Sample;
use crate::types::Caller;

const NAMESPACE: &str = "AWS/DynamoDB";

/// What capacity units were consumed for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Units {
    Read(f64),
    Write(f64),
}

/// The tables that a request reads or writes items of, by name. None for the operations on tables.
pub(super) fn tables(operation: Operation, input: &Input) -> Vec<String> {
    use Operation as O;
    let given: Vec<&str> = match operation {
        O::GetItem | O::PutItem | O::UpdateItem | O::DeleteItem | O::Query | O::Scan => input
            .get("TableName")
            .and_then(Value::as_str)
            .into_iter()
            .collect(),
        O::BatchGetItem | O::BatchWriteItem => {
            let requests = input.get("RequestItems").and_then(Value::as_object);
            requests
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .collect()
        }
        O::TransactGetItems | O::TransactWriteItems => {
            let actions = input.get("TransactItems").and_then(Value::as_array);
            let actions = actions.into_iter().flatten().filter_map(Value::as_object);
            actions
                .flat_map(Map::values)
                .filter_map(|action| action["TableName"].as_str())
                .collect()
        }
        _ => return Vec::new(),
    };
    let mut names: Vec<String> = given
        .into_iter()
        .map(|given| table_name(given).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl DynamoDb {
    /// Records consumed units, and returns the entry of `ConsumedCapacity` if the request asks for it.
    pub(super) fn consume(
        &self,
        caller: &Caller,
        input: &Input,
        table: &str,
        index: Option<&Index>,
        units: Units,
    ) -> Option<Value> {
        let (name, units) = match units {
            Units::Read(units) => ("ConsumedReadCapacityUnits", units),
            Units::Write(units) => ("ConsumedWriteCapacityUnits", units),
        };
        let mut dimensions = vec![("TableName", table)];
        if let Some(index) = index.filter(|index| index.is_global) {
            dimensions.push(("GlobalSecondaryIndexName", index.name.as_str()));
        }
        self.record(caller, name, &dimensions, "Count", units);
        capacity(input, table, index, units)
    }

    /// Records how a request on the items of `tables` ended.
    pub(super) fn measure(
        &self,
        caller: &Caller,
        operation: Operation,
        tables: &[String],
        result: &Result<Value>,
        took: Duration,
    ) {
        let failed = |error: &ApiError| match (error.code, error.status) {
            (_, 500..) => Some("SystemErrors"),
            ("ConditionalCheckFailedException", _) => Some("ConditionalCheckFailedRequests"),
            _ => None,
        };
        for table in tables {
            let of_operation = [("TableName", table.as_str()), ("Operation", operation.as_str())];
            match result {
                Ok(output) => {
                    let took = took.as_secs_f64() * 1000.0;
                    self.record(
                        caller,
                        "SuccessfulRequestLatency",
                        &of_operation,
                        "Milliseconds",
                        took,
                    );
                    if let (Operation::Query | Operation::Scan, Some(count)) =
                        (operation, output["Count"].as_f64())
                    {
                        self.record(caller, "ReturnedItemCount", &of_operation, "Count", count);
                    }
                }
                Err(error) => match failed(error) {
                    Some(name @ "SystemErrors") => self.record(caller, name, &of_operation, "Count", 1.0),
                    Some(name) => self.record(caller, name, &of_operation[..1], "Count", 1.0),
                    None => {}
                },
            }
        }
        if let Err(error) = result
            && failed(error).is_none()
        {
            self.record(caller, "UserErrors", &[], "Count", 1.0);
        }
    }

    /// Records the provisioned capacity of a table and its indexes.
    pub(super) fn measure_provisioned(&self, table: &Table) {
        if table.on_demand {
            return;
        }
        let caller = key_of(table).0;
        let record = |dimensions: &[(&str, &str)], read: u64, write: u64| {
            for (name, units) in [
                ("ProvisionedReadCapacityUnits", read),
                ("ProvisionedWriteCapacityUnits", write),
            ] {
                self.record(&caller, name, dimensions, "Count", units as f64);
            }
        };
        let of_table = ("TableName", table.name.as_str());
        record(&[of_table], table.read_units, table.write_units);
        for index in table.indexes.iter().filter(|index| index.is_global) {
            let of_index = ("GlobalSecondaryIndexName", index.name.as_str());
            record(&[of_table, of_index], index.read_units, index.write_units);
        }
    }

    fn record(&self, caller: &Caller, name: &str, dimensions: &[(&str, &str)], unit: &str, value: f64) {
        self.metrics
            .record(caller, NAMESPACE, name, dimensions, unit, Sample::of(value));
    }
}

/// The entry of `ConsumedCapacity`.
fn capacity(input: &Input, table: &str, index: Option<&Index>, units: f64) -> Option<Value> {
    use serde_json::json;
    let mut out = json!({"TableName": table, "CapacityUnits": units});
    match input.get("ReturnConsumedCapacity").and_then(Value::as_str)? {
        "TOTAL" => {}
        "INDEXES" => {
            let of_table = if index.is_some() { 0.0 } else { units };
            out["Table"] = json!({"CapacityUnits": of_table});
            if let Some(index) = index {
                let field = if index.is_global {
                    "GlobalSecondaryIndexes"
                } else {
                    "LocalSecondaryIndexes"
                };
                out[field] = json!({index.name.as_str(): {"CapacityUnits": units}});
            }
        }
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests;
