//! Functions of arrays and objects. Source: "Builtin operators and functions", jq 1.6 Manual.

use std::rc::Rc;

use crate::builtin::not_for;
use crate::eval::{Machine, Stop, error};
use crate::value::{Num, Val};

impl Machine {
    /// Functions of arrays and objects.
    pub fn of_items(&self, name: &str, input: &Val) -> Result<Val, Stop> {
        self.reserve(input.size())?;
        Ok(match (name, input) {
            ("keys" | "keys_unsorted", Val::Obj(object)) => Val::array(
                object
                    .entries
                    .iter()
                    .map(|(key, _)| Val::Str(Rc::clone(key)))
                    .collect(),
            ),
            ("keys" | "keys_unsorted", Val::Arr(array)) => {
                Val::array((0..array.items.len()).map(Val::count).collect())
            }
            ("to_entries", Val::Obj(object)) => {
                let entry = |(key, value): &(Rc<str>, Val)| {
                    Val::object(vec![
                        (Rc::from("key"), Val::Str(Rc::clone(key))),
                        (Rc::from("value"), value.clone()),
                    ])
                };
                self.made(Val::array(object.entries.iter().map(entry).collect()))?
            }
            ("from_entries", Val::Arr(array)) => {
                let entries: Result<Vec<_>, Stop> = array.items.iter().map(entry_of).collect();
                Val::object(entries?)
            }
            ("reverse", Val::Null) => Val::array(Vec::new()),
            ("add", Val::Null) => Val::Null,
            ("reverse", Val::Arr(array)) => Val::array(array.items.iter().rev().cloned().collect()),
            ("first", Val::Arr(array)) => array.items.first().cloned().unwrap_or(Val::Null),
            ("last", Val::Arr(array)) => array.items.last().cloned().unwrap_or(Val::Null),
            ("first" | "last", Val::Null) => Val::Null,
            ("any", Val::Arr(array)) => Val::Bool(array.items.iter().any(Val::is_true)),
            ("all", Val::Arr(array)) => Val::Bool(array.items.iter().all(Val::is_true)),
            ("min", Val::Arr(array)) => array
                .items
                .iter()
                .min_by(|a, b| a.order(b))
                .cloned()
                .unwrap_or(Val::Null),
            ("max", Val::Arr(array)) => array
                .items
                .iter()
                .max_by(|a, b| a.order(b))
                .cloned()
                .unwrap_or(Val::Null),
            ("sort" | "unique", Val::Arr(array)) => {
                self.work(input.size().saturating_mul(16))?;
                let mut items = array.items.clone();
                items.sort_by(Val::order);
                if name == "unique" {
                    items.dedup_by(|a, b| a.order(b).is_eq());
                }
                Val::array(items)
            }
            ("flatten", Val::Arr(_)) => self.flat(input, f64::INFINITY)?,
            ("implode", Val::Arr(array)) => {
                let code = |item: &Val| match item {
                    Val::Num(Num::Int(code)) => u32::try_from(*code).ok().and_then(char::from_u32),
                    _ => None,
                };
                match array.items.iter().map(code).collect::<Option<String>>() {
                    Some(text) => Val::text(text),
                    None => return error("implode input must be an array of codepoints"),
                }
            }
            ("add", Val::Arr(array)) => array
                .items
                .iter()
                .try_fold(Val::Null, |all, item| self.add(&all, item))?,
            ("add", Val::Obj(object)) => {
                let values = object.entries.iter().map(|(_, value)| value);
                values
                    .into_iter()
                    .try_fold(Val::Null, |all, item| self.add(&all, item))?
            }
            _ => return not_for(name, input),
        })
    }

    pub fn flat(&self, input: &Val, depth: f64) -> Result<Val, Stop> {
        fn push(items: &mut Vec<Val>, value: &Val, depth: f64) {
            match value {
                Val::Arr(array) if depth >= 0.0 => {
                    array.items.iter().for_each(|item| push(items, item, depth - 1.0))
                }
                other => items.push(other.clone()),
            }
        }
        let mut items = Vec::new();
        self.reserve(input.size())?;
        push(&mut items, input, depth);
        Ok(Val::array(items))
    }

    pub fn contains(&self, whole: &Val, part: &Val) -> Result<bool, Stop> {
        self.charge(1)?;
        Ok(match (whole, part) {
            (Val::Str(whole), Val::Str(part)) => {
                self.work(whole.len().saturating_add(part.len()))?;
                whole.contains(&**part)
            }
            (Val::Arr(whole), Val::Arr(part)) => {
                for wanted in &part.items {
                    let mut found = false;
                    for item in &whole.items {
                        found = item.kind() == wanted.kind() && self.contains(item, wanted)?;
                        if found {
                            break;
                        }
                    }
                    if !found {
                        return Ok(false);
                    }
                }
                true
            }
            (Val::Obj(whole), Val::Obj(part)) => {
                for (key, wanted) in &part.entries {
                    let found = match whole.get(key) {
                        Some(item) => item.kind() == wanted.kind() && self.contains(item, wanted)?,
                        None => false,
                    };
                    if !found {
                        return Ok(false);
                    }
                }
                true
            }
            (whole, part) if whole.kind() == part.kind() => whole.order(part).is_eq(),
            (whole, part) => {
                return error(format!(
                    "{} and {} cannot have their containment checked",
                    whole.kind(),
                    part.kind()
                ));
            }
        })
    }
}

pub(crate) fn has(input: &Val, key: &Val) -> Result<Val, Stop> {
    match (input, key) {
        (Val::Obj(object), Val::Str(key)) => Ok(Val::Bool(object.get(key).is_some())),
        (Val::Arr(array), Val::Num(at)) => {
            let at = at.float();
            Ok(Val::Bool(at >= 0.0 && at < array.items.len() as f64))
        }
        _ => error(format!(
            "Cannot check whether {} has a {} key",
            input.kind(),
            key.kind()
        )),
    }
}

/// An entry of `from_entries`.
fn entry_of(item: &Val) -> Result<(Rc<str>, Val), Stop> {
    let Val::Obj(object) = item else {
        return error(format!("Cannot index {} with \"key\"", item.kind()));
    };
    let of = |names: &[&str]| names.iter().find_map(|name| object.get(name)).cloned();
    let key = match of(&["key", "k", "name", "Name", "Key", "K"]) {
        Some(Val::Str(key)) => key,
        Some(key @ (Val::Num(_) | Val::Bool(_) | Val::Null)) => Rc::from(key.to_string()),
        None => Rc::from("null"),
        Some(key) => return error(format!("Cannot use {} as object key", key.kind())),
    };
    Ok((key, of(&["value", "v", "Value", "V"]).unwrap_or(Val::Null)))
}
