//! Properties and methods of texts, numbers, lists and maps: those of Java's classes that templates use.

mod text;

use std::cmp::Ordering;
use std::rc::Rc;

use crate::path::at;
use crate::render::Failure;
use crate::value::{Heap, List, Map, Number, VALUE_BYTES, Value, Writer};
use crate::{MAX_OUTPUT, java};

type Result<T> = std::result::Result<T, Failure>;

/// What a template would write for a value.
pub(crate) fn text_of(heap: &Heap, value: &Value) -> Result<Rc<str>> {
    if let Value::Text(text) = value {
        return Ok(Rc::clone(text));
    }
    let mut out = Writer::new(MAX_OUTPUT);
    value.write(&mut out)?;
    heap.step(out.text.len() as u64 / 64)?;
    Ok(out.text.into())
}

/// Numbers by value; null and an empty text are equal; other values of different types by what they are written as.
pub(crate) fn is_equal(heap: &Heap, left: &Value, right: &Value) -> Result<bool> {
    Ok(match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare(left, right) == Some(Ordering::Equal),
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Null, Value::Null) => true,
        (Value::Null, Value::Text(text)) | (Value::Text(text), Value::Null) => text.is_empty(),
        (Value::Null, _) | (_, Value::Null) => false,
        _ => {
            let (left, right) = (text_of(heap, left)?, text_of(heap, right)?);
            heap.step(left.len().min(right.len()) as u64 / 1024)?;
            left == right
        }
    })
}

/// Integers exactly, others as doubles.
pub(crate) fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.integer(), right.integer()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.double().partial_cmp(&right.double()),
    }
}

/// `$map.name`, and getters of other objects. Null if there is none.
pub(crate) fn property(value: &Value, name: &str) -> Value {
    match (value, name) {
        (Value::Map(map), _) => map.entries.borrow().get(name).cloned().unwrap_or(Value::Null),
        (Value::List(list), "empty") => Value::Bool(list.items.borrow().is_empty()),
        (Value::Text(text), "empty") => Value::Bool(text.is_empty()),
        (Value::Text(text), "bytes") => Value::integer(text.len()),
        _ => Value::Null,
    }
}

/// `$list[0]` and `$map["key"]`. Null if there is none.
pub(crate) fn index(heap: &Heap, value: &Value, index: &Value) -> Result<Value> {
    Ok(match value {
        Value::List(list) => match position(index) {
            Some(index) => {
                let items = list.items.borrow();
                let item = at(index, items.len()).and_then(|at| items.get(at));
                item.cloned().unwrap_or(Value::Null)
            }
            None => Value::Null,
        },
        Value::Map(map) => {
            let key = text_of(heap, index)?;
            map.entries.borrow().get(&key).cloned().unwrap_or(Value::Null)
        }
        _ => Value::Null,
    })
}

fn position(index: &Value) -> Option<i64> {
    match index {
        Value::Number(number) => number.integer().and_then(|index| i64::try_from(index).ok()),
        _ => None,
    }
}

/// Sets an entry of a map, or an item of a list. Returns what was there.
pub(crate) fn put(heap: &Heap, holder: &Value, key: &Value, value: Value) -> Result<Value> {
    match holder {
        Value::Map(map) => {
            let key = text_of(heap, key)?;
            heap.charge(2 * VALUE_BYTES + key.len())?;
            Ok(map.entries.borrow_mut().put(key, value).unwrap_or(Value::Null))
        }
        Value::List(list) => {
            let mut items = list.items.borrow_mut();
            let length = items.len();
            match position(key).and_then(|index| at(index, length)) {
                Some(at) => Ok(std::mem::replace(&mut items[at], value)),
                None => Err(format!("the list has {length} items").into()),
            }
        }
        _ => Err("there is no map or list to set it in".into()),
    }
}

/// Calls a method. One of null is null.
pub(crate) fn call(heap: &Heap, value: &Value, name: &str, arguments: &[Value]) -> Result<Value> {
    match (name, arguments) {
        (_, _) if matches!(value, Value::Null) => return Ok(Value::Null),
        ("toString", []) => return Ok(heap.text(&text_of(heap, value)?)?),
        ("equals", [other]) => return Ok(Value::Bool(is_equal(heap, value, other)?)),
        _ => {}
    }
    let found = match value {
        Value::Text(text) => text::call(heap, text, name, arguments)?,
        Value::List(list) => of_list(heap, list, name, arguments)?,
        Value::Map(map) => of_map(heap, map, name, arguments)?,
        Value::Number(number) => of_number(number, name, arguments),
        _ => None,
    };
    found.ok_or_else(|| {
        let kind = match value {
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Number(_) => "a number",
            _ => "this value",
        };
        format!("{kind} has no method {name} with {} arguments", arguments.len()).into()
    })
}

#[allow(clippy::cast_possible_truncation, reason = "as in Java, and saturating")]
fn of_number(number: &Number, name: &str, arguments: &[Value]) -> Option<Value> {
    let truncated = || number.integer().unwrap_or(number.double() as i128);
    Some(match (name, arguments) {
        ("intValue" | "longValue", []) => Value::Number(Number::of_i128(truncated())),
        ("doubleValue" | "floatValue", []) => Value::text(&java::double(number.double())),
        ("compareTo", [Value::Number(other)]) => {
            let order = compare(number, other)?;
            Value::Number(Number::of_i128(order as i128))
        }
        _ => return None,
    })
}

fn of_list(heap: &Heap, list: &Rc<List>, name: &str, arguments: &[Value]) -> Result<Option<Value>> {
    let length = list.items.borrow().len();
    Ok(Some(match (name, arguments) {
        ("size" | "length", []) => Value::integer(length),
        ("isEmpty", []) => Value::Bool(length == 0),
        ("get", [at]) => index(heap, &Value::List(Rc::clone(list)), at)?,
        ("set", [at, value]) => put(heap, &Value::List(Rc::clone(list)), at, value.clone())?,
        ("add", [value]) => {
            heap.charge(VALUE_BYTES)?;
            list.items.borrow_mut().push(value.clone());
            Value::Bool(true)
        }
        ("add", [index, value]) => {
            let index = position(index).and_then(|index| usize::try_from(index).ok());
            let index = index.filter(|index| *index <= length);
            let index = index.ok_or_else(|| format!("the list has {length} items"))?;
            heap.step(length as u64)?;
            heap.charge(VALUE_BYTES)?;
            list.items.borrow_mut().insert(index, value.clone());
            Value::Null
        }
        ("addAll", [Value::List(other)]) => {
            let more = other.items.borrow().clone();
            heap.step(more.len() as u64)?;
            heap.charge(more.len() * VALUE_BYTES)?;
            let is_changed = !more.is_empty();
            list.items.borrow_mut().extend(more);
            Value::Bool(is_changed)
        }
        ("remove", [index]) => {
            let index = position(index).and_then(|index| usize::try_from(index).ok());
            let index = index.filter(|index| *index < length);
            let index = index.ok_or_else(|| format!("the list has {length} items"))?;
            heap.step(length as u64)?;
            list.items.borrow_mut().remove(index)
        }
        ("clear", []) => {
            list.items.borrow_mut().clear();
            Value::Null
        }
        ("contains" | "indexOf", [value]) => {
            let items = list.items.borrow();
            let mut found = None;
            for (at, item) in items.iter().enumerate() {
                heap.step(1)?;
                if is_equal(heap, item, value)? {
                    found = Some(at);
                    break;
                }
            }
            match (name, found) {
                ("contains", found) => Value::Bool(found.is_some()),
                (_, Some(at)) => Value::integer(at),
                (_, None) => Value::Number(Number::of_i128(-1)),
            }
        }
        ("subList", [from, to]) => {
            let bound = |value: &Value| position(value).and_then(|index| usize::try_from(index).ok());
            match (bound(from), bound(to)) {
                (Some(from), Some(to)) if from <= to && to <= length => {
                    let items = list.items.borrow()[from..to].to_vec();
                    heap.step(items.len() as u64)?;
                    heap.list(items, list.is_json)?
                }
                _ => return Err(format!("the list has {length} items").into()),
            }
        }
        _ => return Ok(None),
    }))
}

fn of_map(heap: &Heap, map: &Rc<Map>, name: &str, arguments: &[Value]) -> Result<Option<Value>> {
    let entries = || map.entries.borrow();
    let length = entries().pairs().len();
    if [
        "keySet",
        "values",
        "entrySet",
        "containsValue",
        "putAll",
        "remove",
    ]
    .contains(&name)
    {
        heap.step(length as u64)?;
    }
    Ok(Some(match (name, arguments) {
        ("size", []) => Value::integer(length),
        ("isEmpty", []) => Value::Bool(length == 0),
        ("get", [key]) => index(heap, &Value::Map(Rc::clone(map)), key)?,
        ("getOrDefault", [key, default]) => {
            let key = text_of(heap, key)?;
            entries().get(&key).cloned().unwrap_or_else(|| default.clone())
        }
        ("containsKey", [key]) => Value::Bool(entries().get(&text_of(heap, key)?).is_some()),
        ("containsValue", [value]) => {
            let values: Vec<Value> = entries().pairs().iter().map(|(_, value)| value.clone()).collect();
            let mut is_found = false;
            for item in &values {
                is_found |= is_equal(heap, item, value)?;
            }
            Value::Bool(is_found)
        }
        ("put", [key, value]) => put(heap, &Value::Map(Rc::clone(map)), key, value.clone())?,
        ("putAll", [Value::Map(other)]) => {
            let more = other.entries.borrow().pairs().to_vec();
            heap.step(more.len() as u64)?;
            for (key, value) in more {
                heap.charge(2 * VALUE_BYTES + key.len())?;
                map.entries.borrow_mut().put(key, value);
            }
            Value::Null
        }
        ("remove", [key]) => {
            let key = text_of(heap, key)?;
            map.entries.borrow_mut().remove(&key).unwrap_or(Value::Null)
        }
        ("keySet", []) => {
            let keys = entries()
                .pairs()
                .iter()
                .map(|(key, _)| Value::Text(Rc::clone(key)))
                .collect();
            heap.list(keys, false)?
        }
        ("values", []) => {
            let values = entries().pairs().iter().map(|(_, value)| value.clone()).collect();
            heap.list(values, false)?
        }
        ("entrySet", []) => {
            let pairs = entries().pairs().to_vec();
            let mut items = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                items.push(heap.map([("key".into(), Value::Text(key)), ("value".into(), value)])?);
            }
            heap.list(items, false)?
        }
        // Of an entry.
        ("getKey", []) => property(&Value::Map(Rc::clone(map)), "key"),
        ("getValue", []) => property(&Value::Map(Rc::clone(map)), "value"),
        _ => return Ok(None),
    }))
}
