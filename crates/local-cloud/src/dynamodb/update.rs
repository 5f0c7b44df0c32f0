//! The execution of update expressions.

use decimal::Decimal;
use serde_json::{Value, json};

use super::error::{ApiError, Result};
use super::evaluate::at;
use super::expression::{Action, Operand, Path, Step, Term};
use super::number;
use super::value::{Item, equal_members, typed};

/// The error of an operand that is not of the type that the attribute has.
pub(super) const INCORRECT_TYPE: &str = "An operand in the update expression has an incorrect data type";

fn invalid(message: &str) -> ApiError {
    ApiError::validation(format!("Invalid UpdateExpression: {message}"))
}

/// The path that an action changes.
pub(super) fn target(action: &Action) -> &Path {
    match action {
        Action::Set(path, _) | Action::Remove(path) | Action::Add(path, _) | Action::Delete(path, _) => path,
    }
}

/// The item after `actions`. All operands are those of `old`: actions do not see each other's results.
///
/// # Errors
/// `ValidationException`, when an operand is missing or of the wrong type.
pub(super) fn apply(old: &Item, actions: &[Action]) -> Result<Item> {
    let mut new = old.clone();
    let mut removed_members: Vec<&Path> = Vec::new();
    for action in actions {
        match action {
            Action::Set(path, term) => {
                let value = resolve(old, term)?;
                set(&mut new, path, value)?;
            }
            Action::Remove(path) => match path.last() {
                // Positions are those of the old list: remove the later ones first.
                Some(Step::Index(_)) => removed_members.push(path),
                _ => remove(&mut new, path),
            },
            Action::Add(path, value) => add(&mut new, old, path, value)?,
            Action::Delete(path, value) => delete(&mut new, path, value)?,
        }
    }
    removed_members.sort_by_key(|path| match path.last() {
        Some(Step::Index(index)) => std::cmp::Reverse(*index),
        _ => std::cmp::Reverse(0),
    });
    for path in removed_members {
        remove(&mut new, path);
    }
    Ok(new)
}

fn resolve(item: &Item, term: &Term) -> Result<Value> {
    match term {
        Term::Operand(Operand::Value(value)) => Ok(value.clone()),
        Term::Operand(Operand::Path(path)) => at(item, path).cloned().ok_or_else(|| {
            ApiError::validation(
                "The provided expression refers to an attribute that does not exist in the item",
            )
        }),
        Term::Operand(Operand::Size(_)) => Err(invalid(
            "The function is not allowed in an update expression; function: size",
        )),
        Term::IfNotExists(path, default) => match at(item, path) {
            Some(value) => Ok(value.clone()),
            None => resolve(item, default),
        },
        Term::ListAppend(first, second) => {
            let (first, second) = (resolve(item, first)?, resolve(item, second)?);
            match (first["L"].as_array(), second["L"].as_array()) {
                (Some(first), Some(second)) => {
                    let all: Vec<&Value> = first.iter().chain(second).collect();
                    Ok(json!({ "L": all }))
                }
                _ => Err(incorrect_type("list_append")),
            }
        }
        Term::Plus(a, b) => sum(&resolve(item, a)?, &resolve(item, b)?, false),
        Term::Minus(a, b) => sum(&resolve(item, a)?, &resolve(item, b)?, true),
    }
}

fn incorrect_type(function: &str) -> ApiError {
    invalid(&format!(
        "Incorrect operand type for operator or function; operator or function: {function}"
    ))
}

fn number(value: &Value) -> Result<Decimal> {
    match typed(value) {
        Some(("N", inner)) => number::parse(inner.as_str().unwrap_or_default()),
        _ => Err(ApiError::validation(INCORRECT_TYPE)),
    }
}

fn sum(a: &Value, b: &Value, minus: bool) -> Result<Value> {
    let (a, b) = (number(a)?, number(b)?);
    let b = if minus { -b } else { b };
    Ok(json!({"N": number::add(a, b)?.to_string()}))
}

fn bad_path() -> ApiError {
    ApiError::validation("The document path provided in the update expression is invalid for update")
}

fn set(item: &mut Item, path: &Path, value: Value) -> Result<()> {
    let Some((last, parents)) = path.split_last() else {
        return Err(bad_path());
    };
    if parents.is_empty() {
        if let Step::Name(name) = last {
            item.insert(name.clone(), value);
        }
        return Ok(());
    }
    let parent = at_mut(item, parents).ok_or_else(bad_path)?;
    match last {
        Step::Name(name) => {
            let fields = parent.get_mut("M").and_then(Value::as_object_mut);
            fields.ok_or_else(bad_path)?.insert(name.clone(), value);
        }
        Step::Index(index) => {
            let members = parent.get_mut("L").and_then(Value::as_array_mut);
            let members = members.ok_or_else(bad_path)?;
            match members.get_mut(*index) {
                Some(member) => *member = value,
                // Beyond the end the value is appended.
                None => members.push(value),
            }
        }
    }
    Ok(())
}

fn at_mut<'a>(item: &'a mut Item, path: &[Step]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let Step::Name(name) = first else { return None };
    rest.iter()
        .try_fold(item.get_mut(name)?, |value, step| match step {
            Step::Name(name) => value.get_mut("M")?.get_mut(name),
            Step::Index(index) => value.get_mut("L")?.get_mut(index),
        })
}

fn remove(item: &mut Item, path: &Path) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    match last {
        Step::Name(name) if parents.is_empty() => {
            item.remove(name);
        }
        Step::Name(name) => {
            let fields = at_mut(item, parents).and_then(|parent| parent.get_mut("M"));
            if let Some(fields) = fields.and_then(Value::as_object_mut) {
                fields.remove(name);
            }
        }
        Step::Index(index) => {
            let members = at_mut(item, parents).and_then(|parent| parent.get_mut("L"));
            if let Some(members) = members.and_then(Value::as_array_mut)
                && *index < members.len()
            {
                members.remove(*index);
            }
        }
    }
}

fn add(new: &mut Item, old: &Item, path: &Path, value: &Value) -> Result<()> {
    let Some((kind, inner)) = typed(value) else {
        return Err(incorrect_type("ADD"));
    };
    let Some(existing) = at(old, path) else {
        return match kind {
            "N" | "SS" | "NS" | "BS" => set(new, path, value.clone()),
            _ => Err(incorrect_type("ADD")),
        };
    };
    match kind {
        "N" => set(new, path, sum(existing, value, false)?),
        "SS" | "NS" | "BS" => {
            let members = existing
                .get(kind)
                .and_then(Value::as_array)
                .ok_or_else(|| ApiError::validation(INCORRECT_TYPE))?;
            let mut all = members.clone();
            for member in inner.as_array().into_iter().flatten() {
                if !all.iter().any(|known| equal_members(&kind[..1], known, member)) {
                    all.push(member.clone());
                }
            }
            set(new, path, json!({ kind: all }))
        }
        _ => Err(incorrect_type("ADD")),
    }
}

fn delete(new: &mut Item, path: &Path, value: &Value) -> Result<()> {
    let Some((kind @ ("SS" | "NS" | "BS"), inner)) = typed(value) else {
        return Err(incorrect_type("DELETE"));
    };
    let Some(existing) = at(new, path) else {
        return Ok(());
    };
    let members = existing
        .get(kind)
        .and_then(Value::as_array)
        .ok_or_else(|| ApiError::validation(INCORRECT_TYPE))?;
    let gone = inner.as_array().map(Vec::as_slice).unwrap_or_default();
    let left: Vec<Value> = members
        .iter()
        .filter(|member| !gone.iter().any(|gone| equal_members(&kind[..1], gone, member)))
        .cloned()
        .collect();
    // There are no empty sets.
    if left.is_empty() {
        remove(new, path);
        return Ok(());
    }
    set(new, path, json!({ kind: left }))
}
