//! The evaluation of expressions on an item.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::expression::{Comparator, Condition, Operand, Path, Step};
use super::value::{Item, binary, compare, equal, equal_members, typed};

/// The value at `path`.
pub(super) fn at<'a>(item: &'a Item, path: &[Step]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let Step::Name(name) = first else { return None };
    rest.iter().try_fold(item.get(name)?, |value, step| match step {
        Step::Name(name) => value.get("M")?.get(name),
        Step::Index(index) => value.get("L")?.get(index),
    })
}

fn resolve<'a>(item: &'a Item, operand: &'a Operand) -> Option<std::borrow::Cow<'a, Value>> {
    use std::borrow::Cow;
    match operand {
        Operand::Path(path) => at(item, path).map(Cow::Borrowed),
        Operand::Value(value) => Some(Cow::Borrowed(value)),
        Operand::Size(path) => {
            let size = size(at(item, path)?)?;
            Some(Cow::Owned(json!({"N": size.to_string()})))
        }
    }
}

/// Source: "Comparison operator and function reference": length of text, bytes, or members.
fn size(value: &Value) -> Option<usize> {
    let (kind, inner) = typed(value)?;
    match kind {
        "S" => Some(inner.as_str()?.chars().count()),
        "B" => Some(binary(inner).ok()?.len()),
        "SS" | "NS" | "BS" | "L" => Some(inner.as_array()?.len()),
        "M" => Some(inner.as_object()?.len()),
        _ => None,
    }
}

/// Whether `item` meets `condition`. A missing attribute meets only `attribute_not_exists` and `<>`.
pub(super) fn meets(item: &Item, condition: &Condition) -> bool {
    match condition {
        Condition::And(a, b) => meets(item, a) && meets(item, b),
        Condition::Or(a, b) => meets(item, a) || meets(item, b),
        Condition::Not(inner) => !meets(item, inner),
        Condition::Exists(path) => at(item, path).is_some(),
        Condition::NotExists(path) => at(item, path).is_none(),
        Condition::Type(path, kind) => at(item, path)
            .and_then(typed)
            .is_some_and(|(actual, _)| actual == kind),
        Condition::Compare(comparator, a, b) => {
            let (a, b) = (resolve(item, a), resolve(item, b));
            match (a, b) {
                (Some(a), Some(b)) => holds(*comparator, &a, &b),
                _ => *comparator == Comparator::Unequal,
            }
        }
        Condition::Between(value, low, high) => {
            match (resolve(item, value), resolve(item, low), resolve(item, high)) {
                (Some(value), Some(low), Some(high)) => {
                    holds(Comparator::GreaterOrEqual, &value, &low)
                        && holds(Comparator::LessOrEqual, &value, &high)
                }
                _ => false,
            }
        }
        Condition::In(value, options) => resolve(item, value).is_some_and(|value| {
            options
                .iter()
                .filter_map(|option| resolve(item, option))
                .any(|option| equal(&value, &option))
        }),
        Condition::BeginsWith(value, prefix) => match (resolve(item, value), resolve(item, prefix)) {
            (Some(value), Some(prefix)) => begins_with(&value, &prefix),
            _ => false,
        },
        Condition::Contains(value, part) => match (resolve(item, value), resolve(item, part)) {
            (Some(value), Some(part)) => contains(&value, &part),
            _ => false,
        },
    }
}

fn holds(comparator: Comparator, a: &Value, b: &Value) -> bool {
    match comparator {
        Comparator::Equal => equal(a, b),
        Comparator::Unequal => !equal(a, b),
        Comparator::Less => compare(a, b) == Some(Ordering::Less),
        Comparator::LessOrEqual => compare(a, b).is_some_and(Ordering::is_le),
        Comparator::Greater => compare(a, b) == Some(Ordering::Greater),
        Comparator::GreaterOrEqual => compare(a, b).is_some_and(Ordering::is_ge),
    }
}

fn begins_with(value: &Value, prefix: &Value) -> bool {
    match (typed(value), typed(prefix)) {
        (Some(("S", value)), Some(("S", prefix))) => match (value.as_str(), prefix.as_str()) {
            (Some(value), Some(prefix)) => value.starts_with(prefix),
            _ => false,
        },
        (Some(("B", value)), Some(("B", prefix))) => match (binary(value), binary(prefix)) {
            (Ok(value), Ok(prefix)) => value.starts_with(&prefix),
            _ => false,
        },
        _ => false,
    }
}

fn contains(value: &Value, part: &Value) -> bool {
    let (Some((kind, value)), Some((part_kind, inner))) = (typed(value), typed(part)) else {
        return false;
    };
    match kind {
        "S" if part_kind == "S" => match (value.as_str(), inner.as_str()) {
            (Some(value), Some(part)) => value.contains(part),
            _ => false,
        },
        "B" if part_kind == "B" => match (binary(value), binary(inner)) {
            (Ok(value), Ok(part)) => {
                part.is_empty() || value.windows(part.len()).any(|window| window == part)
            }
            _ => false,
        },
        "SS" | "NS" | "BS" if kind.starts_with(part_kind) => value
            .as_array()
            .into_iter()
            .flatten()
            .any(|member| equal_members(part_kind, member, inner)),
        "L" => value
            .as_array()
            .into_iter()
            .flatten()
            .any(|member| equal(member, part)),
        _ => false,
    }
}

/// The projection of `item` on `paths`.
pub(super) fn project(item: &Item, paths: &[Path]) -> Item {
    let mut out = Map::new();
    for path in paths {
        if let Some(value) = at(item, path) {
            put(&mut out, path, value.clone());
        }
    }
    out
}

/// Inserts `value` at its path into the result. Elements of a list move up.
fn put(out: &mut Item, path: &[Step], value: Value) {
    let Some((Step::Name(name), rest)) = path.split_first() else {
        return;
    };
    match rest.first() {
        None => {
            out.insert(name.clone(), value);
        }
        Some(Step::Name(_)) => {
            let inner = out.entry(name.clone()).or_insert_with(|| json!({"M": {}}));
            if let Some(fields) = inner["M"].as_object_mut() {
                put(fields, rest, value);
            }
        }
        Some(Step::Index(_)) => {
            let mut value = value;
            // Values below the position keep their structure.
            for step in rest[1..].iter().rev() {
                value = match step {
                    Step::Name(name) => json!({"M": { name.as_str(): value }}),
                    Step::Index(_) => json!({"L": [value]}),
                };
            }
            let inner = out.entry(name.clone()).or_insert_with(|| json!({"L": []}));
            if let Some(members) = inner["L"].as_array_mut() {
                members.push(value);
            }
        }
    }
}
