//! Query and Scan.

use serde_json::{Map, Value, json};

use super::DynamoDb;
use super::error::{ApiError, Result};
use super::evaluate::{meets, project};
use super::expression::{Comparator, Condition, Operand, Path, Placeholders, Step};
use super::items::{Input, condition, projection, read_units, text};
use super::measure::Units;
use super::store::{self, Range};
use super::table::{Index, KeySchema, Table, name_of};
use super::value::{Item, check_item, size_of};
use super::{constraint, legacy};
use crate::Caller;

/// Source: Query, DynamoDB API reference: "a single Query operation can retrieve a maximum of 1 MB of data".
const MAX_PAGE: usize = 1 << 20;
/// Source: Scan, DynamoDB API reference.
const MAX_SEGMENTS: u64 = 1_000_000;

/// The attributes that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Select {
    /// Those of `paths`, or all that the table or index has.
    Projected,
    /// All of the table's, also in an index.
    All,
    Count,
}

impl Select {
    /// Source: Query, `Select`, DynamoDB API reference.
    fn of(input: &Input, has_paths: bool) -> Result<Self> {
        let refused = |what: &str| Err(ApiError::validation(what));
        let parameter = if input.contains_key("AttributesToGet") {
            "AttributesToGet"
        } else {
            "ProjectionExpression"
        };
        match text(input, "Select") {
            Some("ALL_PROJECTED_ATTRIBUTES") if !input.contains_key("IndexName") => {
                refused("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
            }
            Some("SPECIFIC_ATTRIBUTES") if !has_paths => refused(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
            ),
            Some("COUNT") if has_paths => refused(&format!(
                "Cannot specify the {parameter} when choosing to get only the Count"
            )),
            Some(select @ ("ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES")) if has_paths => refused(&format!(
                "Cannot specify the {parameter} when choosing to get {select}"
            )),
            Some("COUNT") => Ok(Self::Count),
            Some("ALL_ATTRIBUTES") => Ok(Self::All),
            _ => Ok(Self::Projected),
        }
    }
}

/// The common parameters of both operations.
struct Reading {
    paths: Option<Vec<Path>>,
    filter: Option<Condition>,
    limit: Option<usize>,
    select: Select,
    start: Option<Item>,
    consistent: bool,
    segment: Option<(u64, u64)>,
}

impl Reading {
    /// `filter` is the legacy parameter in place of `FilterExpression`.
    fn take(input: &mut Input, placeholders: &Placeholders, filter: &'static str) -> Result<Self> {
        let limit = limit(input, filter == "QueryFilter")?;
        let start = match input.remove("ExclusiveStartKey") {
            Some(Value::Object(mut key)) => {
                check_item(&mut key)?;
                Some(key)
            }
            _ => None,
        };
        let paths = projection(input, placeholders)?;
        let legacy = legacy::filter(input, filter)?;
        Ok(Self {
            filter: condition(input, "FilterExpression", placeholders)?.or(legacy),
            limit,
            select: Select::of(input, paths.is_some())?,
            start,
            consistent: input.get("ConsistentRead") == Some(&Value::Bool(true)),
            segment: segment(input)?,
            paths,
        })
    }

    /// # Errors
    /// When the request asks for attributes that a global index does not have.
    fn check_index(&self, table: &Table, index: &Index) -> Result<()> {
        if !index.is_global {
            return Ok(());
        }
        let name = &index.name;
        if self.select == Select::All && index.projection != "ALL" {
            return Err(ApiError::invalid(format!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {name} because its projection \
                 type is not ALL"
            )));
        }
        let paths = self.paths.iter().flatten();
        let missing: Vec<&str> = paths
            .filter_map(|path| match path.first() {
                Some(Step::Name(attribute)) if !table.is_projected(index, attribute) => {
                    Some(attribute.as_str())
                }
                _ => None,
            })
            .collect();
        if !missing.is_empty() {
            return Err(ApiError::invalid(format!(
                "Global secondary index {name} does not project [{}]",
                missing.join(", ")
            )));
        }
        Ok(())
    }

    /// Whether items of `index` are read from the table too: a local index returns attributes that it does not have.
    /// Source: "Local secondary indexes", DynamoDB developer guide: "DynamoDB will automatically fetch those attributes
    /// from the table".
    fn fetches(&self, table: &Table, index: &Index) -> bool {
        let is_missing = |name: &str| !table.is_projected(index, name);
        let wants = |path: &Path| matches!(path.first(), Some(Step::Name(name)) if is_missing(name));
        !index.is_global
            && index.projection != "ALL"
            && (self.select == Select::All
                || self.paths.iter().flatten().any(wants)
                || self
                    .filter
                    .as_ref()
                    .is_some_and(|filter| filter.names().any(is_missing)))
    }
}

fn limit(input: &Input, is_query: bool) -> Result<Option<usize>> {
    match input.get("Limit").and_then(Value::as_i64) {
        Some(limit) if limit < 1 => {
            // AWS's two operations differ.
            let what = if is_query {
                "Value at 'Limit'".to_owned()
            } else {
                format!("Value '{limit}' at 'limit'")
            };
            Err(ApiError::validation(format!(
                "1 validation error detected: {what} failed to satisfy constraint: Member must have value greater than \
                 or equal to 1"
            )))
        }
        limit => Ok(limit.and_then(|limit| usize::try_from(limit).ok())),
    }
}

/// `Segment` and `TotalSegments` of a parallel scan.
fn segment(input: &Input) -> Result<Option<(u64, u64)>> {
    let refused = |why: &str| Err(ApiError::validation(why));
    let number = |field: &str| input.get(field).and_then(Value::as_u64);
    match (number("Segment"), number("TotalSegments")) {
        (None, None) => Ok(None),
        (Some(_), None) => refused(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is \
             present",
        ),
        (None, Some(_)) => refused(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is \
             present",
        ),
        (_, Some(total)) if !(1..=MAX_SEGMENTS).contains(&total) => Err(ApiError::constraint(
            format_args!("'{total}'"),
            "totalSegments",
            if total == 0 {
                "Member must have value greater than or equal to 1"
            } else {
                "Member must have value less than or equal to 1000000"
            },
        )),
        (Some(segment), Some(total)) if segment >= total => refused(&format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is \
             not less than TotalSegments: {total}"
        )),
        (Some(segment), Some(total)) => Ok(Some((segment, total))),
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
fn refuse_keys(condition: &Condition, schema: &KeySchema, is_legacy: bool) -> Result<()> {
    let parameter = if is_legacy {
        "QueryFilter"
    } else {
        "Filter Expression"
    };
    match condition
        .names()
        .find(|name| schema.names().any(|key| key == *name))
    {
        None => Ok(()),
        Some(name) => Err(ApiError::validation(format!(
            "{parameter} can only contain non-primary key attributes: Primary key attribute: {name}"
        ))),
    }
}

impl DynamoDb {
    pub(super) fn query(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let name = name_of(&input, "TableName")?;
        constraint::check(&input)?;
        legacy::QUERY.check(&input)?;
        let is_legacy = input.contains_key("QueryFilter");
        let placeholders = Placeholders::take(&mut input)?;
        let reading = Reading::take(&mut input, &placeholders, "QueryFilter")?;
        let keys = key_condition(&mut input, &placeholders)?;
        placeholders.check_used()?;
        self.database.read(|db| {
            let table = self.table_of_items(db, caller, &name)?;
            let index = index_of(&table, &input, &reading)?;
            let schema = index.map_or(&table.schema, |index| &index.schema);
            if let Some(filter) = &reading.filter {
                refuse_keys(filter, schema, is_legacy)?;
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
            self.page(db, caller, &table, range, &reading, &input)
        })
    }

    pub(super) fn scan(&self, caller: &Caller, mut input: Input) -> Result<Value> {
        let name = name_of(&input, "TableName")?;
        constraint::check(&input)?;
        legacy::SCAN.check(&input)?;
        let placeholders = Placeholders::take(&mut input)?;
        let reading = Reading::take(&mut input, &placeholders, "ScanFilter")?;
        placeholders.check_used()?;
        self.database.read(|db| {
            let table = self.table_of_items(db, caller, &name)?;
            let index = index_of(&table, &input, &reading)?;
            let range = Range {
                index,
                after: after(&table, index, reading.start.as_ref())?,
                ..Range::default()
            };
            self.page(db, caller, &table, range, &reading, &input)
        })
    }

    /// Reads a page, and records the consumed units.
    fn page(
        &self,
        db: &rusqlite::Connection,
        caller: &Caller,
        table: &Table,
        range: Range<'_>,
        reading: &Reading,
        input: &Input,
    ) -> Result<Value> {
        let index = range.index;
        let page = Page::read(db, table, range, reading)?;
        let mut out = Map::new();
        out.insert("Count".to_owned(), json!(page.count));
        out.insert("ScannedCount".to_owned(), json!(page.scanned));
        if reading.select != Select::Count {
            out.insert("Items".to_owned(), Value::Array(page.found));
        }
        if let Some(last) = page.last {
            out.insert("LastEvaluatedKey".to_owned(), Value::Object(last));
        }
        let units = self.consume(caller, input, &table.name, index, Units::Read(page.units));
        out.extend(units.map(|units| ("ConsumedCapacity".to_owned(), units)));
        Ok(Value::Object(out))
    }
}

/// The key condition, as an expression or as `KeyConditions`.
fn key_condition(input: &mut Input, placeholders: &Placeholders) -> Result<Condition> {
    let expression = condition(input, "KeyConditionExpression", placeholders)?;
    match expression.map_or_else(|| legacy::key_conditions(input), |keys| Ok(Some(keys)))? {
        Some(keys) => Ok(keys),
        None => Err(ApiError::validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        )),
    }
}

fn index_of<'a>(table: &'a Table, input: &Input, reading: &Reading) -> Result<Option<&'a Index>> {
    let Some(name) = text(input, "IndexName") else {
        return Ok(None);
    };
    let index = table.index(name)?;
    if reading.consistent && index.is_global {
        return Err(ApiError::validation(
            "Consistent reads are not supported on global secondary indexes",
        ));
    }
    reading.check_index(table, index)?;
    Ok(Some(index))
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

/// The result of reading a page.
struct Page {
    found: Vec<Value>,
    count: usize,
    scanned: usize,
    /// The key of the last item, if there may be more.
    last: Option<Item>,
    units: f64,
}

impl Page {
    fn read(db: &rusqlite::Connection, table: &Table, range: Range<'_>, reading: &Reading) -> Result<Self> {
        let index = range.index;
        let fetches = index.is_some_and(|index| reading.fetches(table, index));
        let (mut found, mut count, mut scanned, mut bytes) = (Vec::new(), 0usize, 0usize, 0usize);
        let (mut last, mut fetched_units) = (None, 0.0);
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
                last = Some(table.key_attributes(index, &item));
                let (item, size) = match index {
                    Some(index) if !fetches && index.projection != "ALL" => {
                        let item = table.projected(index, item);
                        let size = size_of(&item);
                        (item, size)
                    }
                    _ => (item, size),
                };
                bytes += size;
                if fetches {
                    fetched_units += read_units(size, reading.consistent);
                }
                if reading.filter.as_ref().is_none_or(|filter| meets(&item, filter)) {
                    count += 1;
                    if reading.select != Select::Count {
                        found.push(Value::Object(reading.shown(table, index, item)));
                    }
                }
            }
            Ok(reading.limit.is_none_or(|limit| scanned < limit))
        })?;
        let is_full = bytes >= MAX_PAGE || reading.limit.is_some_and(|limit| scanned >= limit);
        Ok(Self {
            found,
            count,
            scanned,
            last: last.filter(|_| is_full),
            units: read_units(bytes, reading.consistent) + fetched_units,
        })
    }
}

impl Reading {
    /// The attributes of `item` that the answer has.
    fn shown(&self, table: &Table, index: Option<&Index>, item: Item) -> Item {
        match (&self.paths, index) {
            (Some(paths), _) => project(&item, paths),
            (None, Some(index)) if self.select == Select::Projected => table.projected(index, item),
            (None, _) => item,
        }
    }
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
