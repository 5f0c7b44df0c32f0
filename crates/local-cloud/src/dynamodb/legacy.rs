//! The legacy parameters: `Expected`, `AttributeUpdates`, `ConditionalOperator`, `KeyConditions`, `QueryFilter`,
//! `ScanFilter` and `AttributesToGet`. The Kinesis Client Library uses them for its leases.
//!
//! Reads them into the trees of [`expression`](super::expression), so that one evaluator serves both.
//!
//! Source: "Legacy conditional parameters", DynamoDB developer guide; ExpectedAttributeValue, AttributeValueUpdate and
//! Condition, DynamoDB API reference.

use serde_json::{Map, Value};

use super::error::{ApiError, Result};
use super::expression::{Action, Comparator, Condition, Operand, Path, Step, Term};
use super::items::{Input, text};
use super::table::lower_first;
use super::value::{self, compare, typed};

/// Comparison operators, in the order of AWS's message.
const OPERATORS: &[&str] = &[
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
];

const ACTIONS: &[&str] = &["ADD", "DELETE", "PUT"];

/// The legacy parameters of an operation, and the expressions that replaced them.
pub(super) struct Parameters {
    pub legacy: &'static [&'static str],
    pub expressions: &'static [&'static str],
    /// The expressions that use values.
    pub with_values: &'static [&'static str],
}

pub(super) const WRITE: Parameters = Parameters {
    legacy: &["Expected", "ConditionalOperator"],
    expressions: &["ConditionExpression"],
    with_values: &["ConditionExpression"],
};
pub(super) const UPDATE: Parameters = Parameters {
    legacy: &["AttributeUpdates", "Expected", "ConditionalOperator"],
    expressions: &["UpdateExpression", "ConditionExpression"],
    with_values: &["UpdateExpression", "ConditionExpression"],
};
pub(super) const GET: Parameters = Parameters {
    legacy: &["AttributesToGet"],
    expressions: &["ProjectionExpression"],
    with_values: &[],
};
pub(super) const QUERY: Parameters = Parameters {
    legacy: &[
        "AttributesToGet",
        "QueryFilter",
        "ConditionalOperator",
        "KeyConditions",
    ],
    expressions: &[
        "ProjectionExpression",
        "FilterExpression",
        "KeyConditionExpression",
    ],
    with_values: &["FilterExpression", "KeyConditionExpression"],
};
pub(super) const SCAN: Parameters = Parameters {
    legacy: &["AttributesToGet", "ScanFilter", "ConditionalOperator"],
    expressions: &["ProjectionExpression", "FilterExpression"],
    with_values: &["FilterExpression"],
};

impl Parameters {
    /// # Errors
    /// When a request has both legacy parameters and expressions, or placeholders without an expression.
    pub fn check(&self, input: &Input) -> Result<()> {
        let given = |names: &[&'static str]| -> Vec<&'static str> {
            let has = |name: &&'static str| input.get(*name).is_some_and(|value| !value.is_null());
            names.iter().copied().filter(has).collect()
        };
        let (legacy, expressions) = (given(self.legacy), given(self.expressions));
        if !legacy.is_empty() && !expressions.is_empty() {
            return Err(ApiError::validation(format!(
                "Can not use both expression and non-expression parameters in the same request: Non-expression \
                 parameters: {{{}}} Expression parameters: {{{}}}",
                legacy.join(", "),
                expressions.join(", ")
            )));
        }
        if expressions.is_empty() && !given(&["ExpressionAttributeNames"]).is_empty() {
            return Err(ApiError::validation(
                "ExpressionAttributeNames can only be specified when using expressions",
            ));
        }
        if given(self.with_values).is_empty() && !given(&["ExpressionAttributeValues"]).is_empty() {
            let missing = match self.with_values {
                [] => String::new(),
                [one] => format!(": {one} is null"),
                several => format!(": {} are null", several.join(" and ")),
            };
            return Err(ApiError::validation(format!(
                "ExpressionAttributeValues can only be specified when using expressions{missing}"
            )));
        }
        Ok(())
    }
}

fn path(name: &str) -> Path {
    vec![Step::Name(name.to_owned())]
}

/// The fields of a structure, by attribute.
type Structures = Vec<(String, Map<String, Value>)>;

/// Takes a parameter that is a map of structures.
fn take(input: &mut Input, field: &str) -> Result<Option<Structures>> {
    let malformed = || {
        ApiError::new(
            "SerializationException",
            format!("{field} is not a map of structures"),
        )
    };
    match input.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(entries)) => entries
            .into_iter()
            .map(|(name, entry)| match entry {
                Value::Object(mut fields) => {
                    fields.retain(|_, value| !value.is_null());
                    Ok((name, fields))
                }
                _ => Err(malformed()),
            })
            .collect::<Result<_>>()
            .map(Some),
        Some(_) => Err(malformed()),
    }
}

/// The condition in `Expected` and `ConditionalOperator`.
///
/// # Errors
/// `ValidationException`.
pub(super) fn expected(input: &mut Input) -> Result<Option<Condition>> {
    let entries = take(input, "Expected")?.unwrap_or_default();
    let mut conditions = Vec::new();
    for (name, fields) in entries {
        conditions.push(expectation(&name, fields)?);
    }
    join(conditions, text(input, "ConditionalOperator"))
}

fn expectation(name: &str, mut fields: Map<String, Value>) -> Result<Condition> {
    let (value, list) = (fields.remove("Value"), fields.remove("AttributeValueList"));
    let exists = fields.get("Exists").and_then(Value::as_bool);
    if value.is_some() && list.is_some() {
        return Err(ApiError::invalid(format!(
            "Value and AttributeValueList cannot be used together for Attribute: {name}"
        )));
    }
    let Some(operator) = fields.get("ComparisonOperator") else {
        if list.is_some() {
            return Err(ApiError::invalid(format!(
                "AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
            )));
        }
        return match (exists, value) {
            (Some(false), None) => Ok(Condition::NotExists(path(name))),
            (Some(false), Some(_)) => Err(ApiError::invalid(format!(
                "Value cannot be used when Exists is false for Attribute: {name}"
            ))),
            (_, None) => Err(ApiError::invalid(format!(
                "Value must be provided when Exists is {} for Attribute: {name}",
                exists.map_or("null", |_| "true")
            ))),
            (_, Some(value)) => comparison("expected", name, "EQ", vec![value]),
        };
    };
    let operator = operator.as_str().unwrap_or_default();
    if exists.is_some() {
        return Err(ApiError::invalid(format!(
            "Exists and ComparisonOperator cannot be used together for Attribute: {name}"
        )));
    }
    let values = match (value, list) {
        (Some(value), _) => vec![value],
        (None, Some(list)) => list_of(list)?,
        (None, None) if !matches!(operator, "NULL" | "NOT_NULL") && OPERATORS.contains(&operator) => {
            return Err(ApiError::invalid(format!(
                "Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}"
            )));
        }
        (None, None) => Vec::new(),
    };
    comparison("expected", name, operator, values)
}

fn list_of(list: Value) -> Result<Vec<Value>> {
    match list {
        Value::Array(values) => Ok(values),
        _ => Err(ApiError::new(
            "SerializationException",
            "AttributeValueList is not a list",
        )),
    }
}

/// The condition in `QueryFilter` or `ScanFilter`, and `ConditionalOperator`.
///
/// # Errors
/// `ValidationException`.
pub(super) fn filter(input: &mut Input, field: &'static str) -> Result<Option<Condition>> {
    let conditions = take(input, field)?
        .unwrap_or_default()
        .into_iter()
        .map(|(name, fields)| condition(field, &name, fields));
    let conditions = conditions.collect::<Result<_>>()?;
    join(conditions, text(input, "ConditionalOperator"))
}

/// The condition in `KeyConditions`.
///
/// # Errors
/// `ValidationException`.
pub(super) fn key_conditions(input: &mut Input) -> Result<Option<Condition>> {
    let Some(entries) = take(input, "KeyConditions")? else {
        return Ok(None);
    };
    if !(1..=2).contains(&entries.len()) {
        return Err(ApiError::validation("Conditions can be of length 1 or 2 only"));
    }
    let mut conditions = Vec::new();
    for (name, fields) in entries {
        let operator = fields.get("ComparisonOperator").and_then(Value::as_str);
        if let Some("NE" | "IN" | "NULL" | "NOT_NULL" | "CONTAINS" | "NOT_CONTAINS") = operator {
            return Err(ApiError::validation(
                "Attempted conditional constraint is not an indexable operation",
            ));
        }
        conditions.push(condition("KeyConditions", &name, fields)?);
    }
    join(conditions, None)
}

fn condition(field: &str, name: &str, mut fields: Map<String, Value>) -> Result<Condition> {
    let member = lower_first(field);
    let Some(operator) = fields.remove("ComparisonOperator") else {
        let member = format!("{member}.{name}.member.comparisonOperator");
        return Err(ApiError::constraint("null", &member, "Member must not be null"));
    };
    let values = fields
        .remove("AttributeValueList")
        .map_or(Ok(Vec::new()), list_of)?;
    comparison(&member, name, operator.as_str().unwrap_or_default(), values)
}

/// One comparison of the attribute `name`.
fn comparison(member: &str, name: &str, operator: &str, mut values: Vec<Value>) -> Result<Condition> {
    if !OPERATORS.contains(&operator) {
        let member = format!("{member}.{name}.member.comparisonOperator");
        return Err(ApiError::enumeration(operator, &member, OPERATORS));
    }
    for value in &mut values {
        value::check(value, 0)?;
    }
    check_values(operator, &values)?;
    let subject = || Operand::Path(path(name));
    let compare = |comparator, value| Condition::Compare(comparator, subject(), Operand::Value(value));
    let mut values = values.into_iter();
    let mut next = || values.next().unwrap_or(Value::Null);
    Ok(match operator {
        "NULL" => Condition::NotExists(path(name)),
        "NOT_NULL" => Condition::Exists(path(name)),
        "EQ" => compare(Comparator::Equal, next()),
        "NE" => compare(Comparator::Unequal, next()),
        "LT" => compare(Comparator::Less, next()),
        "LE" => compare(Comparator::LessOrEqual, next()),
        "GT" => compare(Comparator::Greater, next()),
        "GE" => compare(Comparator::GreaterOrEqual, next()),
        "BEGINS_WITH" => Condition::BeginsWith(subject(), Operand::Value(next())),
        "CONTAINS" => Condition::Contains(subject(), Operand::Value(next())),
        "NOT_CONTAINS" => Condition::Not(Box::new(Condition::Contains(subject(), Operand::Value(next())))),
        "BETWEEN" => Condition::Between(subject(), Operand::Value(next()), Operand::Value(next())),
        _ => Condition::In(subject(), values.map(Operand::Value).collect()),
    })
}

/// Source: Condition, `ComparisonOperator`, DynamoDB API reference: number and types of the values.
fn check_values(operator: &str, values: &[Value]) -> Result<()> {
    let is_count_right = match operator {
        "NULL" | "NOT_NULL" => values.is_empty(),
        "IN" => !values.is_empty(),
        "BETWEEN" => values.len() == 2,
        _ => values.len() == 1,
    };
    if !is_count_right {
        return Err(ApiError::invalid(format!(
            "Invalid number of argument(s) for the {operator} ComparisonOperator"
        )));
    }
    let kinds: Vec<&str> = values.iter().filter_map(|value| Some(typed(value)?.0)).collect();
    let takes = |kind: &str| match operator {
        "EQ" | "NE" => true,
        "BEGINS_WITH" => matches!(kind, "S" | "B"),
        "CONTAINS" | "NOT_CONTAINS" => !matches!(kind, "SS" | "NS" | "BS" | "L" | "M"),
        _ => matches!(kind, "S" | "N" | "B"),
    };
    if let Some(kind) = kinds.iter().find(|kind| !takes(kind)) {
        return Err(ApiError::invalid(format!(
            "ComparisonOperator {operator} is not valid for {kind} AttributeValue type"
        )));
    }
    if kinds.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(ApiError::invalid(
            "AttributeValues inside AttributeValueList must be of same type",
        ));
    }
    if operator == "BETWEEN" && compare(&values[0], &values[1]).is_some_and(std::cmp::Ordering::is_gt) {
        return Err(ApiError::validation(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ));
    }
    Ok(())
}

/// Joins conditions by `ConditionalOperator`; all must be met if it is missing.
fn join(conditions: Vec<Condition>, operator: Option<&str>) -> Result<Option<Condition>> {
    let any = match operator {
        None => false,
        Some("AND" | "OR") if conditions.is_empty() => {
            return Err(ApiError::validation(
                "ConditionalOperator cannot be used without Filter or Expected",
            ));
        }
        Some("AND" | "OR") if conditions.len() == 1 => {
            return Err(ApiError::validation(
                "ConditionalOperator can only be used when Filter or Expected has two or more elements",
            ));
        }
        Some("AND") => false,
        Some("OR") => true,
        Some(other) => {
            return Err(ApiError::enumeration(
                other,
                "conditionalOperator",
                &["OR", "AND"],
            ));
        }
    };
    Ok(balanced(conditions, any))
}

/// A tree whose depth is the logarithm of the number of conditions, which no quota bounds.
fn balanced(mut conditions: Vec<Condition>, any: bool) -> Option<Condition> {
    while conditions.len() > 1 {
        let mut pairs = Vec::with_capacity(conditions.len().div_ceil(2));
        let mut rest = conditions.into_iter();
        while let Some(first) = rest.next() {
            pairs.push(match rest.next() {
                None => first,
                Some(second) if any => Condition::Or(Box::new(first), Box::new(second)),
                Some(second) => Condition::And(Box::new(first), Box::new(second)),
            });
        }
        conditions = pairs;
    }
    conditions.pop()
}

/// The actions in `AttributeUpdates`.
///
/// # Errors
/// `ValidationException`.
pub(super) fn updates(input: &mut Input) -> Result<Option<Vec<Action>>> {
    let Some(entries) = take(input, "AttributeUpdates")? else {
        return Ok(None);
    };
    let actions = entries.into_iter().map(|(name, fields)| update(&name, fields));
    actions.collect::<Result<_>>().map(Some)
}

fn update(name: &str, mut fields: Map<String, Value>) -> Result<Action> {
    let action = fields.remove("Action");
    let action = action
        .as_ref()
        .map_or("PUT", |action| action.as_str().unwrap_or_default());
    if !ACTIONS.contains(&action) {
        let member = format!("attributeUpdates.{name}.member.action");
        return Err(ApiError::enumeration(action, &member, ACTIONS));
    }
    let path = path(name);
    let Some(mut value) = fields.remove("Value") else {
        return if action == "DELETE" {
            Ok(Action::Remove(path))
        } else {
            Err(ApiError::invalid(
                "Only DELETE action is allowed when no attribute value is specified",
            ))
        };
    };
    value::check(&mut value, 0)?;
    let kind = typed(&value).map_or("", |(kind, _)| kind);
    match (action, kind) {
        ("PUT", _) => Ok(Action::Set(path, Term::Operand(Operand::Value(value)))),
        ("ADD", "N" | "SS" | "NS" | "BS") => Ok(Action::Add(path, value)),
        ("DELETE", "SS" | "NS" | "BS") => Ok(Action::Delete(path, value)),
        ("ADD", _) => Err(ApiError::invalid(format!(
            "ADD action is not supported for the type {kind}"
        ))),
        _ => Err(ApiError::invalid(format!(
            "DELETE action with value is not supported for the type {kind}"
        ))),
    }
}

/// The paths in `AttributesToGet`.
///
/// # Errors
/// `ValidationException`.
pub(super) fn attributes_to_get(input: &Input) -> Result<Option<Vec<Path>>> {
    let names = match input.get("AttributesToGet") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(names)) => names,
        Some(_) => {
            return Err(ApiError::new(
                "SerializationException",
                "AttributesToGet is not a list",
            ));
        }
    };
    if names.is_empty() {
        let constraint = "Member must have length greater than or equal to 1";
        return Err(ApiError::constraint("'[]'", "attributesToGet", constraint));
    }
    let mut seen = std::collections::HashSet::new();
    let mut paths = Vec::new();
    for name in names.iter().filter_map(Value::as_str) {
        if !seen.insert(name) {
            return Err(ApiError::invalid(format!(
                "Duplicate value in attribute name: {name}"
            )));
        }
        paths.push(path(name));
    }
    Ok(Some(paths))
}

#[cfg(test)]
mod tests;
