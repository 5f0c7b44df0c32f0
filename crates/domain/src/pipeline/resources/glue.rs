//! What the kinds of Glue's Data Catalog and of Athena share: calls, names, and which tables are whose.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kind::TagMap;
use crate::context::{Context, GLUE, RegionalApi};
use crate::pipeline::resource::{Identity, Location};
use crate::pipeline::tags::{self, MANAGED_BY, Owner, PIPELINE};
use ground::backoff::{self, Backoff, Patience};
use ground::error::{Error, Result};

/// How long a call is made again that is throttled, or that finds another change under way. The client repeats what fails
/// for other reasons.
const PATIENCE: Patience = Patience {
    throttle: Duration::from_secs(60),
    outage: Duration::ZERO,
    conflict: Duration::from_secs(60),
};
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// Pages of a listing that are read at most: a page has 100 tables, and a database 200,000.
const MAX_PAGES: usize = 2_000;
/// Source: BatchDeleteTable, AWS Glue Web API reference.
pub(super) const MOST_IN_BATCH: usize = 100;

/// Makes a call, again while another change is under way.
///
/// # Errors
/// As [`Context::call_regional`].
pub(super) async fn call_patiently(
    context: &Context,
    api: RegionalApi,
    operation: &str,
    input: &Value,
    what: &str,
) -> Result<Value> {
    let started = Instant::now();
    let send = || context.call_regional(api, operation, input, what.to_owned());
    let until = |error: &Error| PATIENCE.until(error.class()?, started);
    backoff::retry(BACKOFF, send, until, |_, _| true).await
}

pub(super) async fn call(context: &Context, operation: &str, input: &Value, what: &str) -> Result<Value> {
    call_patiently(context, GLUE, operation, input, what).await
}

/// The answer; `None` where there is no such resource.
pub(super) fn if_exists<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.is_not_found() => Ok(None),
        answer => answer.map(Some),
    }
}

/// All tables of a database, as GetTables shows them; `None` where there is no such database.
pub(super) async fn tables(context: &Context, database: &str, what: &str) -> Result<Option<Vec<Value>>> {
    let mut tables = Vec::new();
    let mut input = json!({"DatabaseName": database});
    for _ in 0..MAX_PAGES {
        let answer = if_exists(call(context, "GetTables", &input, what).await)?;
        let Some(mut answer) = answer else {
            return Ok(None);
        };
        if let Value::Array(more) = answer["TableList"].take() {
            tables.extend(more);
        }
        match answer["NextToken"].as_str() {
            Some(token) if !token.is_empty() => input["NextToken"] = json!(token),
            _ => return Ok(Some(tables)),
        }
    }
    Err(Error::failed(what.to_owned()).cause("it has too many tables"))
}

/// The tags of ownership of a table. Glue keeps no tags for tables: parameters stand for them.
/// Source: "AWS tags in AWS Glue", AWS Glue developer guide.
pub(super) fn marks(table: &Value) -> TagMap {
    let parameters = &table["Parameters"];
    let mark = |key: &str| Some((key.to_owned(), parameters[key].as_str()?.to_owned()));
    [MANAGED_BY, PIPELINE].into_iter().filter_map(mark).collect()
}

/// Whether the pipeline made the table.
pub(super) fn is_ours(table: &Value, identity: &Identity) -> bool {
    tags::owner(&marks(table), identity) == Owner::Us
}

/// Whether the data of a table is below a location such as `s3://lake/athena/`.
pub(super) fn is_below(table: &Value, location: &str) -> bool {
    let there = table["StorageDescriptor"]["Location"].as_str();
    // A bucket alone would take in everything.
    there.is_some_and(|there| there.starts_with(location)) && location.ends_with('/')
}

/// Why `location` cannot be a location of S3; `None` for a good one. What is not known yet is good.
pub(super) fn location_problem(location: &str) -> Option<String> {
    let bucket = location
        .strip_prefix("s3://")
        .and_then(|rest| rest.split('/').next());
    let is_line = location.chars().all(|c| !c.is_control());
    match bucket {
        Some(bucket)
            if !bucket.is_empty() && location.ends_with('/') && is_line && location.len() <= 1024 =>
        {
            None
        }
        _ => Some(format!(
            "{location:?} is not a location, such as \"s3://BUCKET/PREFIX/\", with a slash at its end"
        )),
    }
}

/// Why `name` cannot be the name of a database or a table that Athena takes; `None` for a good one.
/// Source: "Name databases, tables, and columns", Amazon Athena user guide; `NameString`, AWS Glue Web API reference.
pub(super) fn name_problem(name: &str) -> Option<String> {
    let is_sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=255).contains(&name.len()) && name.chars().all(is_sound) {
        return None;
    }
    Some(format!(
        "{name:?} is not a name for Glue and Athena: use 1 to 255 lower-case letters, digits or underscores"
    ))
}

/// The ARN of something in the Data Catalog, such as `database/shop`.
pub(super) fn arn(location: &Location, resource: &str) -> String {
    let Location {
        account,
        region,
        partition,
    } = location;
    format!("arn:{partition}:glue:{region}:{account}:{resource}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_below_a_location_that_ends_with_a_slash() {
        let table = json!({"StorageDescriptor": {"Location": "s3://lake/athena/tables/1"}});
        assert!(is_below(&table, "s3://lake/athena/"));
        assert!(!is_below(&table, "s3://lake/athena/tables/1/"));
        assert!(!is_below(&table, "s3://lake/ath"));
        assert!(!is_below(&json!({}), "s3://lake/"));
    }

    #[test]
    fn names_and_locations_are_those_of_athena() {
        for name in ["shop", "shop_2", "_"] {
            assert_eq!(name_problem(name), None);
        }
        for name in ["", "Shop", "my-shop", "a b", &"x".repeat(256)] {
            assert!(name_problem(name).is_some(), "{name}");
        }
        assert_eq!(location_problem("s3://lake/orders/"), None);
        for location in [
            "s3://lake/orders",
            "lake/orders/",
            "s3:///orders/",
            "s3://lake/\n/",
        ] {
            assert!(location_problem(location).is_some(), "{location}");
        }
    }
}
