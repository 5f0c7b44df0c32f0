//! Query and Scan.

use serde_json::{Map, Value, json};

use super::DynamoDb;
use super::error::{ApiError, Result};
use super::evaluate::{meets, project};
use super::expression::{self, Comparator, Condition, Operand, Path, Placeholders, Source, Step};
use super::items::{Input, capacity, condition, projection, read_units, refuse_legacy, text};
use super::store::{self, Range};
use super::table::{Index, KeySchema, Table, name_of};
use super::value::{Item, check_item};
use crate::Caller;

/// Source: Query, DynamoDB API reference: "a single Query operation can retrieve a maximum of 1 MB of data".
const MAX_PAGE: usize = 1 << 20;
/// Source: Scan, DynamoDB API reference.
const MAX_SEGMENTS: u64 = 1_000_000;

/// The common parameters of both operations.
struct Reading {
    paths: Option<Vec<Path>>,
    filter: Option<Condition>,
    limit: Option<usize>,
    counts_only: bool,
    start: Option<Item>,
    consistent: bool,
    segment: Option<(u64, u64)>,
}

impl Reading {
    fn take(input: &mut Input, placeholders: &Placeholders) -> Result<Self> {
        let limit = match input.get("Limit").and_then(Value::as_i64) {
            Some(limit) if limit < 1 => {
                return Err(ApiError::validation(format!(
                    "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member \
                     must have value greater than or equal to 1"
                )));
            }
            limit => limit.and_then(|limit| usize::try_from(limit).ok()),
        };
        let start = match input.remove("ExclusiveStartKey") {
            Some(Value::Object(mut key)) => {
                check_item(&mut key)?;
                Some(key)
            }
            _ => None,
        };
        let number = |field: &str| input.get(field).and_then(Value::as_u64);
        let segment = match (number("Segment"), number("TotalSegments")) {
            (None, None) => None,
            (Some(segment), Some(total)) if segment < total && total <= MAX_SEGMENTS => {
                Some((segment, total))
            }
            _ => {
                return Err(ApiError::validation(
                    "The Segment parameter is required with TotalSegments and must be less than it",
                ));
            }
        };
        Ok(Self {
            paths: projection(input, placeholders)?,
            filter: condition(input, "FilterExpression", placeholders)?,
            limit,
            counts_only: text(input, "Select") == Some("COUNT"),
            start,
            consistent: input.get("ConsistentRead") == Some(&Value::Bool(true)),
            segment,
        })
    }
}

/// A condition on the keys, as bounds.
#[derive(Debug, Default, PartialEq)]
struct Bounds {
    hash: Vec<u8>,
    lower: Option<(Vec<u8>, bool)>,
    upper: Option<(Vec<u8>, bool)>,
}

/// The first key after all keys that begin with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let length = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=length].to_vec();
    next[length] += 1;
    Some(next)
}

fn bounds(table: &Table, schema: &KeySchema, condition: &Condition) -> Result<Bounds> {
    let mut parts = Vec::new();
    flatten(condition, &mut parts)?;
    let mut bounds = Bounds::default();
    let (mut has_hash, mut has_range) = (false, false);
    for part in parts {
        let name = key_name(part)?;
        if name == schema.hash && !has_hash {
            let Condition::Compare(Comparator::Equal, _, Operand::Value(value)) = part else {
                return Err(ApiError::validation("Query key condition not supported"));
            };
            bounds.hash = table.key_value(name, value)?;
            has_hash = true;
        } else if Some(name) == schema.range.as_deref() && !has_range {
            range_bounds(table, name, part, &mut bounds)?;
            has_range = true;
        } else {
            return Err(ApiError::validation(format!(
                "Query condition missed key schema element: {}",
                if has_hash {
                    schema.range.as_deref().unwrap_or(&schema.hash)
                } else {
                    &schema.hash
                }
            )));
        }
    }
    if !has_hash {
        return Err(ApiError::validation(format!(
            "Query condition missed key schema element: {}",
            schema.hash
        )));
    }
    Ok(bounds)
}

fn flatten<'a>(condition: &'a Condition, parts: &mut Vec<&'a Condition>) -> Result<()> {
    match condition {
        Condition::And(a, b) => {
            flatten(a, parts)?;
            flatten(b, parts)
        }
        Condition::Compare(..) | Condition::Between(..) | Condition::BeginsWith(..) => {
            parts.push(condition);
            Ok(())
        }
        _ => Err(ApiError::validation(
            "Invalid operator used in KeyConditionExpression: only AND of comparisons of the keys",
        )),
    }
}

fn key_name(part: &Condition) -> Result<&str> {
    let (Condition::Compare(_, subject, _)
    | Condition::Between(subject, ..)
    | Condition::BeginsWith(subject, _)) = part
    else {
        return Err(ApiError::validation("Query key condition not supported"));
    };
    match subject {
        Operand::Path(path) => match path.as_slice() {
            [Step::Name(name)] => Ok(name),
            _ => Err(ApiError::validation(
                "Key condition expressions cannot have conditions on nested attributes",
            )),
        },
        _ => Err(ApiError::validation("Query key condition not supported")),
    }
}

fn range_bounds(table: &Table, name: &str, part: &Condition, bounds: &mut Bounds) -> Result<()> {
    let bytes = |operand: &Operand| match operand {
        Operand::Value(value) => table.key_value(name, value),
        _ => Err(ApiError::validation("Query key condition not supported")),
    };
    match part {
        Condition::Compare(comparator, _, operand) => {
            let value = bytes(operand)?;
            match comparator {
                Comparator::Equal => {
                    bounds.lower = Some((value.clone(), true));
                    bounds.upper = Some((value, true));
                }
                Comparator::Less => bounds.upper = Some((value, false)),
                Comparator::LessOrEqual => bounds.upper = Some((value, true)),
                Comparator::Greater => bounds.lower = Some((value, false)),
                Comparator::GreaterOrEqual => bounds.lower = Some((value, true)),
                Comparator::Unequal => {
                    return Err(ApiError::validation("Unsupported operator on KeyCondition: <>"));
                }
            }
        }
        Condition::Between(_, low, high) => {
            let (low, high) = (bytes(low)?, bytes(high)?);
            if low > high {
                return Err(ApiError::validation(
                    "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater than or \
                     equal to lower bound",
                ));
            }
            (bounds.lower, bounds.upper) = (Some((low, true)), Some((high, true)));
        }
        Condition::BeginsWith(_, prefix) => {
            if table.attributes.get(name).is_some_and(|kind| kind == "N") {
                return Err(ApiError::validation(
                    "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or \
                     function: begins_with, operand type: N",
                ));
            }
            let prefix = bytes(prefix)?;
            bounds.upper = successor(&prefix).map(|next| (next, false));
            bounds.lower = Some((prefix, true));
        }
        _ => return Err(ApiError::validation("Query key condition not supported")),
    }
    Ok(())
}

/// Refuses a filter on key attributes, which a query allows in its key condition only.
fn refuse_keys(condition: &Condition, schema: &KeySchema) -> Result<()> {
    let path = |path: &Path| match path.first() {
        Some(Step::Name(name)) if schema.names().any(|key| key == name) => {
            Err(ApiError::validation(format!(
                "Filter Expression can only contain non-primary key attributes: Primary key attribute: {name}"
            )))
        }
        _ => Ok(()),
    };
    let operand = |operand: &Operand| match operand {
        Operand::Path(inner) | Operand::Size(inner) => path(inner),
        Operand::Value(_) => Ok(()),
    };
    match condition {
        Condition::And(a, b) | Condition::Or(a, b) => {
            refuse_keys(a, schema)?;
            refuse_keys(b, schema)
        }
        Condition::Not(inner) => refuse_keys(inner, schema),
        Condition::Exists(inner) | Condition::NotExists(inner) | Condition::Type(inner, _) => path(inner),
        Condition::Compare(_, a, b) | Condition::BeginsWith(a, b) | Condition::Contains(a, b) => {
            operand(a)?;
            operand(b)
        }
        Condition::Between(a, b, c) => [a, b, c].into_iter().try_for_each(operand),
        Condition::In(a, options) => {
            operand(a)?;
            options.iter().try_for_each(operand)
        }
    }
}

impl DynamoDb {
    pub(super) fn query(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        refuse_legacy(&input)?;
        let name = name_of(&input, "TableName")?;
        let placeholders = Placeholders::take(&mut input)?;
        let Some(text_of_keys) = text(&input, "KeyConditionExpression") else {
            return Err(ApiError::validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            ));
        };
        let keys = expression::condition(&Source {
            kind: "KeyConditionExpression",
            text: text_of_keys,
            placeholders: &placeholders,
        })?;
        let reading = Reading::take(&mut input, &placeholders)?;
        placeholders.check_used()?;
        self.database.read(|db| {
            let table = self.table(db, caller, &name)?;
            let index = index_of(&table, &input, reading.consistent)?;
            let schema = index.map_or(&table.schema, |index| &index.schema);
            if let Some(filter) = &reading.filter {
                refuse_keys(filter, schema)?;
            }
            let bounds = bounds(&table, schema, &keys)?;
            let range = Range {
                index,
                hash: Some(bounds.hash),
                lower: bounds.lower,
                upper: bounds.upper,
                backward: input.get("ScanIndexForward") == Some(&Value::Bool(false)),
                after: after(&table, index, reading.start.as_ref())?,
            };
            page(db, &table, range, &reading, &input)
        })
    }

    pub(super) fn scan(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        refuse_legacy(&input)?;
        let name = name_of(&input, "TableName")?;
        let placeholders = Placeholders::take(&mut input)?;
        let reading = Reading::take(&mut input, &placeholders)?;
        placeholders.check_used()?;
        self.database.read(|db| {
            let table = self.table(db, caller, &name)?;
            let index = index_of(&table, &input, reading.consistent)?;
            let range = Range {
                index,
                after: after(&table, index, reading.start.as_ref())?,
                ..Range::default()
            };
            page(db, &table, range, &reading, &input)
        })
    }
}

fn index_of<'a>(table: &'a Table, input: &Input, consistent: bool) -> Result<Option<&'a Index>> {
    let index = text(input, "IndexName")
        .map(|name| table.index(name))
        .transpose()?;
    if consistent && index.is_some_and(|index| index.is_global) {
        return Err(ApiError::validation(
            "Consistent reads are not supported on global secondary indexes",
        ));
    }
    Ok(index)
}

type Position = (Option<super::table::Key>, super::table::Key);

fn after(table: &Table, index: Option<&Index>, start: Option<&Item>) -> Result<Option<Position>> {
    let Some(start) = start else { return Ok(None) };
    let invalid = || ApiError::validation("The provided starting key is invalid");
    let own: Item = start
        .iter()
        .filter(|(name, _)| table.schema.names().any(|key| key == *name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let key = table.key_of_request(&own).map_err(|_| invalid())?;
    let in_index = match index {
        None if own.len() != start.len() => return Err(invalid()),
        None => None,
        Some(index) => {
            let place = table.key_in_index(index, start).map_err(|_| invalid())?;
            Some(place.ok_or_else(invalid)?)
        }
    };
    Ok(Some((in_index, key)))
}

fn page(
    db: &rusqlite::Connection,
    table: &Table,
    range: Range<'_>,
    reading: &Reading,
    input: &Input,
) -> Result<Value> {
    let index = range.index;
    let (mut found, mut count, mut scanned, mut bytes) = (Vec::new(), 0usize, 0usize, 0usize);
    let mut last = None;
    store::walk(db, table, range, |item, size| {
        // One item more than the page shows that there are more.
        if bytes >= MAX_PAGE {
            return Ok(false);
        }
        let is_ours = reading
            .segment
            .is_none_or(|(segment, total)| in_segment(table, &item, segment, total));
        if is_ours {
            scanned += 1;
            bytes += size;
            let item = match index {
                Some(index) => table.projected(index, item),
                None => item,
            };
            last = Some(table.key_attributes(index, &item));
            if reading.filter.as_ref().is_none_or(|filter| meets(&item, filter)) {
                count += 1;
                if !reading.counts_only {
                    found.push(Value::Object(match &reading.paths {
                        Some(paths) => project(&item, paths),
                        None => item,
                    }));
                }
            }
        }
        Ok(reading.limit.is_none_or(|limit| scanned < limit))
    })?;
    let mut out = Map::new();
    out.insert("Count".to_owned(), json!(count));
    out.insert("ScannedCount".to_owned(), json!(scanned));
    if !reading.counts_only {
        out.insert("Items".to_owned(), Value::Array(found));
    }
    let is_full = bytes >= MAX_PAGE || reading.limit.is_some_and(|limit| scanned >= limit);
    if let Some(last) = last.filter(|_| is_full) {
        out.insert("LastEvaluatedKey".to_owned(), Value::Object(last));
    }
    let units = capacity(input, &table.name, read_units(bytes, reading.consistent));
    out.extend(units.map(|units| ("ConsumedCapacity".to_owned(), units)));
    Ok(Value::Object(out))
}

/// Whether a parallel scan's `segment` of `total` covers the item.
fn in_segment(table: &Table, item: &Item, segment: u64, total: u64) -> bool {
    let hash = table.key_of_item(item).map(|key| key.hash).unwrap_or_default();
    u64::from(crc32fast::hash(&hash)) % total == segment
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn what_follows_a_prefix() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff\xff"), None);
        assert_eq!(successor(b""), None);
    }
}
