//! Transactions, with idempotency by token.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::{ApiError, Result};
use super::evaluate::project;
use super::expression::Placeholders;
use super::items::{Input, Write, projection, take_item, text};
use super::table::name_of;
use super::value::check_item;
use super::{DynamoDb, store};
use crate::Caller;

/// Source: TransactWriteItems, DynamoDB API reference.
const MAX_ACTIONS: usize = 100;
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// A completed transaction, by its token.
pub(super) struct Done {
    request: Value,
    at: Instant,
}

fn actions(input: &mut Input) -> Result<Vec<Input>> {
    let Some(Value::Array(all)) = input.remove("TransactItems") else {
        return Err(ApiError::validation("TransactItems must not be null"));
    };
    if !(1..=MAX_ACTIONS).contains(&all.len()) {
        return Err(ApiError::validation(format!(
            "Member must have length less than or equal to {MAX_ACTIONS} and at least 1: TransactItems"
        )));
    }
    all.into_iter()
        .map(|action| match action {
            Value::Object(fields) => Ok(fields),
            _ => Err(ApiError::new(
                "SerializationException",
                "TransactItems holds no maps",
            )),
        })
        .collect()
}

/// The cancellation because of the action at `at` of `count`.
fn cancelled(error: ApiError, at: usize, count: usize) -> ApiError {
    let code = match error.code {
        "ConditionalCheckFailedException" => "ConditionalCheckFailed",
        "ValidationException" => "ValidationError",
        _ => return error,
    };
    let mut reasons = vec![json!({"Code": "None"}); count];
    let mut reason = json!({"Code": code, "Message": error.message});
    if let Some(item) = error.extra.get("Item") {
        reason["Item"] = item.clone();
    }
    reasons[at] = reason;
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
    out
}

impl DynamoDb {
    pub(super) fn transact_write(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let token = text(&input, "ClientRequestToken")
            .map(|token| format!("{}/{}/{token}", caller.account, caller.region));
        let request = Value::Object(input.clone());
        let actions = actions(&mut input)?;
        let count = actions.len();
        let mut writes = Vec::new();
        for action in actions {
            let mut kinds = action.into_iter().filter(|(_, value)| !value.is_null());
            let (Some((kind, Value::Object(mut inner))), None) = (kinds.next(), kinds.next()) else {
                return Err(ApiError::validation(
                    "TransactItems can only contain one of Check, Put, Update or Delete",
                ));
            };
            let kind = match kind.as_str() {
                "ConditionCheck" => "Check",
                kind @ ("Put" | "Update" | "Delete") => kind,
                other => return Err(ApiError::validation(format!("Unknown action {other}"))),
            };
            writes.push(Write::read(kind, &mut inner)?);
        }
        self.database.write(|db| {
            let mut done = self
                .done
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            done.retain(|_, done| done.at.elapsed() < TOKEN_LIFE);
            if let Some(earlier) = token.as_ref().and_then(|token| done.get(token)) {
                if earlier.request == request {
                    return Ok(());
                }
                return Err(ApiError::new(
                    "IdempotentParameterMismatchException",
                    "The request uses the same client token as a previous, but non-identical request.",
                ));
            }
            let mut seen = HashSet::new();
            for (at, write) in writes.into_iter().enumerate() {
                let table = self.table(db, caller, &write.table)?;
                if !seen.insert((table.id, write.key(&table)?)) {
                    return Err(ApiError::validation(
                        "Transaction request cannot include multiple operations on one item",
                    ));
                }
                write
                    .apply(db, &table, false)
                    .map_err(|error| cancelled(error, at, count))?;
            }
            if let Some(token) = token {
                let at = Instant::now();
                done.insert(token, Done { request, at });
            }
            Ok::<_, ApiError>(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn transact_get(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let actions = actions(&mut input)?;
        let responses = self.database.read(|db| {
            let mut responses = Vec::new();
            for mut action in actions {
                let mut get = take_item(&mut action, "Get")?;
                let placeholders = Placeholders::take(&mut get)?;
                let paths = projection(&get, &placeholders)?;
                placeholders.check_used()?;
                let table = self.table(db, caller, &name_of(&get, "TableName")?)?;
                let mut key = take_item(&mut get, "Key")?;
                check_item(&mut key)?;
                let item = store::get(db, &table, &table.key_of_request(&key)?)?;
                responses.push(match (item, paths) {
                    (None, _) => json!({}),
                    (Some(item), None) => json!({ "Item": item }),
                    (Some(item), Some(paths)) => json!({ "Item": project(&item, &paths) }),
                });
            }
            Ok::<_, ApiError>(responses)
        })?;
        Ok(json!({ "Responses": responses }))
    }
}
