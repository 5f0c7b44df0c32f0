//! Transactions, with idempotency by token.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::{ApiError, Result};
use super::evaluate::project;
use super::expression::{Path, Placeholders};
use super::items::{Input, Write, projection, read_units, take_item, text, write_units};
use super::measure::Units;
use super::table::name_of;
use super::value::{Item, check_item, size_of};
use super::{DynamoDb, constraint, store};
use crate::Caller;

/// Source: TransactWriteItems, DynamoDB API reference.
const MAX_ACTIONS: usize = 100;
const MAX_BYTES: usize = 4 << 20;
const TOKEN_LIFE_MS: i64 = 600_000;

/// A transactional request consumes twice the units.
/// Source: "Managing complex workflows with transactions", DynamoDB developer guide.
const TRANSACTIONAL: f64 = 2.0;

/// The actions of a request: the kind of each, and its parameters.
fn actions(input: &mut Input, kinds: &[&str]) -> Result<Vec<(String, Input)>> {
    let Some(Value::Array(all)) = input.remove("TransactItems") else {
        return Err(ApiError::constraint(
            "null",
            "transactItems",
            "Member must not be null",
        ));
    };
    constraint::check_length(&all, "transactItems", MAX_ACTIONS)?;
    all.into_iter()
        .map(|action| {
            let Value::Object(fields) = action else {
                return Err(ApiError::new(
                    "SerializationException",
                    "TransactItems holds no maps",
                ));
            };
            let mut given = fields
                .into_iter()
                .filter(|(kind, value)| kinds.contains(&kind.as_str()) && !value.is_null());
            match (given.next(), given.next()) {
                (Some((kind, Value::Object(inner))), None) => Ok((kind, inner)),
                _ => Err(ApiError::validation(format!(
                    "TransactItems can only contain one of {}",
                    kinds.join(", ")
                ))),
            }
        })
        .collect()
}

/// Why each action of a transaction does not allow it; `None` for the others.
#[derive(Default)]
struct Reasons(Vec<Option<Value>>);

impl Reasons {
    /// Adds the result of the next action. Returns what it evaluated to.
    ///
    /// # Errors
    /// Those that are not of the action but of the request or the table.
    fn add<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        let error = match result {
            Ok(value) => {
                self.0.push(None);
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        let code = match error.code {
            "ConditionalCheckFailedException" => "ConditionalCheckFailed",
            "ValidationException" => "ValidationError",
            _ => return Err(error),
        };
        let mut reason = json!({"Code": code, "Message": error.message});
        if let Some(item) = error.extra.get("Item") {
            reason["Item"] = item.clone();
        }
        self.0.push(Some(reason));
        Ok(None)
    }

    /// # Errors
    /// `TransactionCanceledException` with a reason for each action, if any has one.
    fn check(self) -> Result<()> {
        if self.0.iter().all(Option::is_none) {
            return Ok(());
        }
        let reasons = self.0.into_iter();
        let reasons: Vec<Value> = reasons
            .map(|reason| reason.unwrap_or_else(|| json!({"Code": "None"})))
            .collect();
        let codes: Vec<&str> = reasons
            .iter()
            .filter_map(|reason| reason["Code"].as_str())
            .collect();
        let mut out = ApiError::new(
            "TransactionCanceledException",
            format!(
                "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
                codes.join(", ")
            ),
        );
        out.extra
            .insert("CancellationReasons".to_owned(), Value::Array(reasons));
        Err(out)
    }
}

fn too_large() -> ApiError {
    ApiError::validation("The aggregate size of the items in the transaction cannot exceed 4 MB")
}

fn several_on_one_item() -> ApiError {
    ApiError::validation("Transaction request cannot include multiple operations on one item")
}

/// Whether a transaction with this token was executed in the last ten minutes. Remembers it otherwise: in the same
/// database transaction, so that a token is known exactly if its writes are stored.
///
/// # Errors
/// `IdempotentParameterMismatchException`, when it was another request.
fn is_repeated(db: &Connection, token: &str, request: &[u8], now_ms: i64) -> Result<bool> {
    db.execute("DELETE FROM tokens WHERE at_ms <= ?1", [now_ms - TOKEN_LIFE_MS])?;
    let known: Option<Vec<u8>> = db
        .prepare_cached("SELECT request FROM tokens WHERE token = ?1")?
        .query_row([token], |row| row.get(0))
        .optional()?;
    match known {
        Some(known) if known == request => Ok(true),
        Some(_) => Err(ApiError::new(
            "IdempotentParameterMismatchException",
            "The request uses the same client token as a previous, but non-identical request.",
        )),
        None => {
            db.prepare_cached("INSERT INTO tokens VALUES (?1, ?2, ?3)")?
                .execute(params![token, request, now_ms])?;
            Ok(false)
        }
    }
}

impl DynamoDb {
    pub(super) fn transact_write(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        constraint::check(&input)?;
        let token = text(&input, "ClientRequestToken")
            .map(|token| format!("{}/{}/{token}", caller.account, caller.region));
        let request = Sha256::digest(serde_json::to_vec(&input)?);
        let mut writes = Vec::new();
        for (kind, mut action) in actions(&mut input, &["ConditionCheck", "Put", "Delete", "Update"])? {
            let kind = if kind == "ConditionCheck" { "Check" } else { &kind };
            constraint::check(&action)?;
            writes.push(Write::read(kind, &mut action)?);
        }
        let now_ms = self.clock.now_ms();
        let units = self.database.write(|db| {
            if let Some(token) = &token
                && is_repeated(db, token, &request, now_ms)?
            {
                return Ok(BTreeMap::new());
            }
            self.apply_all(db, caller, writes)
        })?;
        let consumed = units.iter().filter_map(|(table, units)| {
            let units = Units::Write(units * TRANSACTIONAL);
            self.consume(caller, &input, table, None, units)
        });
        Ok(with_consumed(json!({}), consumed.collect()))
    }

    /// Executes the writes of a transaction. Returns the units of each table.
    fn apply_all(
        &self,
        db: &Connection,
        caller: &Caller,
        writes: Vec<Write>,
    ) -> Result<BTreeMap<String, f64>> {
        let (mut seen, mut reasons, mut bytes) = (HashSet::new(), Reasons::default(), 0);
        let mut units: BTreeMap<String, f64> = BTreeMap::new();
        for write in writes {
            let table = self.table_of_items(db, caller, &write.table)?;
            if let Ok(key) = write.key(&table)
                && !seen.insert((table.id, key))
            {
                return Err(several_on_one_item());
            }
            let name = write.table.clone();
            if let Some(written) = reasons.add(write.apply(db, &table, false))? {
                bytes += written.size;
                *units.entry(name).or_default() += write_units(written.size);
            }
            if bytes > MAX_BYTES {
                return Err(too_large());
            }
        }
        reasons.check()?;
        Ok(units)
    }

    pub(super) fn transact_get(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        constraint::check(&input)?;
        let actions = actions(&mut input, &["Get"])?;
        let gets = actions.into_iter().map(|(_, mut get)| Get::read(&mut get));
        let gets = gets.collect::<Result<Vec<_>>>()?;
        let mut units: BTreeMap<String, f64> = BTreeMap::new();
        let responses = self.database.read(|db| {
            let (mut seen, mut reasons, mut bytes) = (HashSet::new(), Reasons::default(), 0);
            let mut responses = Vec::new();
            for mut get in gets {
                let table = self.table_of_items(db, caller, &get.table)?;
                let key = check_item(&mut get.key).and_then(|_| table.key_of_request(&get.key));
                let Some(key) = reasons.add(key)? else {
                    continue;
                };
                let item = store::get(db, &table, &key)?;
                if !seen.insert((table.id, key)) {
                    return Err(several_on_one_item());
                }
                let size = item.as_ref().map_or(0, size_of);
                bytes += size;
                if bytes > MAX_BYTES {
                    return Err(too_large());
                }
                *units.entry(get.table).or_default() += read_units(size, true);
                responses.push(match (item, get.paths) {
                    (None, _) => json!({}),
                    (Some(item), None) => json!({ "Item": item }),
                    (Some(item), Some(paths)) => json!({ "Item": project(&item, &paths) }),
                });
            }
            reasons.check()?;
            Ok::<_, ApiError>(responses)
        })?;
        let consumed = units.iter().filter_map(|(table, units)| {
            let units = Units::Read(units * TRANSACTIONAL);
            self.consume(caller, &input, table, None, units)
        });
        Ok(with_consumed(
            json!({ "Responses": responses }),
            consumed.collect(),
        ))
    }
}

fn with_consumed(mut output: Value, consumed: Vec<Value>) -> Value {
    if !consumed.is_empty() {
        output["ConsumedCapacity"] = Value::Array(consumed);
    }
    output
}

/// An action of TransactGetItems.
struct Get {
    table: String,
    key: Item,
    paths: Option<Vec<Path>>,
}

impl Get {
    fn read(get: &mut Input) -> Result<Self> {
        let table = name_of(get, "TableName")?;
        let placeholders = Placeholders::take(get)?;
        let paths = projection(get, &placeholders)?;
        placeholders.check_used()?;
        let key = take_item(get, "Key")?;
        Ok(Self { table, key, paths })
    }
}
