//! JSONPath, as `$input.json` and `$input.path` take it.
//!
//! Source: "JsonPath", the README of Jayway JsonPath, which API Gateway's documentation links to: a definite path gives one
//! value, and every other path a list.

use std::rc::Rc;

use crate::value::{Heap, VALUE_BYTES, Value};

/// The most characters, and parts, of a path.
const MAX_PATH: usize = 4096;

enum Part {
    Names(Vec<String>),
    Indices(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    All,
    /// All values below, with themselves.
    Descend,
}

/// The value at `path`; null if there is none.
///
/// # Errors
/// If the path is not valid, or the template has used its steps.
pub(crate) fn find(root: &Value, path: &str, heap: &Heap) -> Result<Value, String> {
    let parts = parse(path)?;
    let is_definite = parts.iter().all(|part| match part {
        Part::Names(names) => names.len() == 1,
        Part::Indices(indices) => indices.len() == 1,
        Part::Slice(..) | Part::All | Part::Descend => false,
    });
    let mut found = vec![root.clone()];
    for part in &parts {
        let mut next = Vec::new();
        for value in &found {
            heap.step(1)?;
            let before = next.len();
            step(value, part, &mut next, heap, 0)?;
            heap.charge((next.len() - before) * VALUE_BYTES)?;
        }
        found = next;
    }
    if is_definite {
        return Ok(found.pop().unwrap_or(Value::Null));
    }
    Ok(heap.list(found, true)?)
}

fn step(value: &Value, part: &Part, found: &mut Vec<Value>, heap: &Heap, depth: usize) -> Result<(), String> {
    match (part, value) {
        (Part::Names(names), Value::Map(map)) => {
            let entries = map.entries.borrow();
            found.extend(names.iter().filter_map(|name| entries.get(name).cloned()));
        }
        (Part::Indices(indices), Value::List(list)) => {
            let items = list.items.borrow();
            let indices = indices.iter().filter_map(|index| at(*index, items.len()));
            found.extend(indices.filter_map(|index| items.get(index).cloned()));
        }
        (Part::Slice(from, to), Value::List(list)) => {
            let items = list.items.borrow();
            let bound = |bound: &Option<i64>, default| match bound {
                Some(index) => at(*index, items.len()).unwrap_or(if *index < 0 { 0 } else { items.len() }),
                None => default,
            };
            let (from, to) = (bound(from, 0), bound(to, items.len()));
            heap.step(items.len() as u64)?;
            found.extend(items.iter().take(to).skip(from).cloned());
        }
        (Part::All, value) => {
            for child in children(value) {
                heap.step(1)?;
                found.push(child);
            }
        }
        (Part::Descend, value) => {
            heap.step(1)?;
            if depth > 2 * crate::MAX_DEPTH {
                return Err("a list or map is nested too deeply, or contains itself".to_owned());
            }
            found.push(value.clone());
            for child in children(value) {
                step(&child, part, found, heap, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn children(value: &Value) -> Vec<Value> {
    match value {
        Value::List(list) => list.items.borrow().clone(),
        Value::Map(map) => {
            let entries = map.entries.borrow();
            entries.pairs().iter().map(|(_, value)| value.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// An index that may count from the end.
pub(crate) fn at(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index).filter(|index| *index < length),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn parse(path: &str) -> Result<Vec<Part>, String> {
    let invalid = |why: &str| Err(format!("{path:?} is not a valid JSONPath: {why}"));
    if path.len() > MAX_PATH {
        return Err(format!("a JSONPath has at most {MAX_PATH} bytes"));
    }
    let mut parts = Vec::new();
    // A path without the dollar sign begins at the root too.
    let mut rest = match path.trim().strip_prefix('$') {
        Some(rest) => Rc::<str>::from(rest),
        None => format!(".{}", path.trim()).into(),
    };
    while !rest.is_empty() {
        let after = if let Some(after) = rest.strip_prefix("..") {
            parts.push(Part::Descend);
            match after.strip_prefix('[') {
                Some(_) => after,
                None => named(after, &mut parts),
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            named(after, &mut parts)
        } else if let Some(after) = rest.strip_prefix('[') {
            let Some((part, after)) = bracket(after) else {
                return invalid("a bracket holds a name in quotes, an index, a range or *");
            };
            parts.push(part);
            after
        } else {
            return invalid("a part begins with a dot or a bracket");
        };
        if matches!(parts.last(), Some(Part::Names(names)) if names.iter().any(String::is_empty)) {
            return invalid("a name is empty");
        }
        rest = after.into();
    }
    Ok(parts)
}

/// A name or an asterisk after a dot.
fn named<'a>(text: &'a str, parts: &mut Vec<Part>) -> &'a str {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    parts.push(match &text[..end] {
        "*" => Part::All,
        name => Part::Names(vec![name.to_owned()]),
    });
    &text[end..]
}

/// What follows an opening bracket, and the rest after the closing one.
fn bracket(text: &str) -> Option<(Part, &str)> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('*') {
        return Some((Part::All, rest.trim_start().strip_prefix(']')?));
    }
    if text.starts_with(['\'', '"']) {
        return names(text);
    }
    let (inner, rest) = text.split_once(']')?;
    if let Some((from, to)) = inner.split_once(':') {
        let bound = |text: &str| match text.trim() {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        return Some((Part::Slice(bound(from)?, bound(to)?), rest));
    }
    let indices: Option<Vec<i64>> = inner.split(',').map(|index| index.trim().parse().ok()).collect();
    Some((Part::Indices(indices?), rest))
}

fn names(text: &str) -> Option<(Part, &str)> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        let mut name = String::new();
        let mut chars = rest[1..].char_indices();
        let end = loop {
            match chars.next()? {
                (at, c) if c == quote => break at,
                (_, '\\') => name.push(chars.next()?.1),
                (_, c) => name.push(c),
            }
        };
        names.push(name);
        rest = rest[1 + end + 1..].trim_start();
        if let Some(after) = rest.strip_prefix(']') {
            return Some((Part::Names(names), after));
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}
