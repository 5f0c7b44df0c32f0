//! Methods of texts. Positions count characters; Java counts UTF-16 units, which differ beyond U+FFFF only.

use std::rc::Rc;

use regex_lite::{Regex, RegexBuilder};

use super::text_of;
use crate::render::Failure;
use crate::value::{Heap, Number, Value};

type Result<T> = std::result::Result<T, Failure>;

/// Memory of a compiled expression, in bytes.
const MAX_REGEX: usize = 256 << 10;
const COMPILATION_STEPS: u64 = 10_000;

pub(super) fn call(heap: &Heap, text: &str, name: &str, arguments: &[Value]) -> Result<Option<Value>> {
    heap.step(1 + text.len() as u64 / 1024)?;
    let arguments_text: Vec<_> = arguments
        .iter()
        .map(|argument| text_of(heap, argument))
        .collect::<Result<_>>()?;
    let arguments_text: Vec<&str> = arguments_text.iter().map(|text| &**text).collect();
    let made = |made: &str| heap.text(made).map(Some).map_err(Failure::from);
    let is = |value: bool| Ok(Some(Value::Bool(value)));
    match (name, arguments_text.as_slice()) {
        ("length", []) => Ok(Some(Value::integer(text.chars().count()))),
        ("isEmpty", []) => is(text.is_empty()),
        ("trim", []) => made(text.trim_matches(|c: char| c <= ' ')),
        ("toLowerCase", []) => made(&text.to_lowercase()),
        ("toUpperCase", []) => made(&text.to_uppercase()),
        ("concat", [other]) => made(&format!("{text}{other}")),
        ("contains", [part]) => is(text.contains(part)),
        ("startsWith", [part]) => is(text.starts_with(part)),
        ("endsWith", [part]) => is(text.ends_with(part)),
        ("equalsIgnoreCase", [other]) => is(text.to_lowercase() == other.to_lowercase()),
        ("indexOf", [part]) => Ok(Some(position(text, text.find(part)))),
        ("lastIndexOf", [part]) => Ok(Some(position(text, text.rfind(part)))),
        ("charAt", [_]) => substring(text, &arguments[0], None).and_then(|rest| {
            let first = rest.chars().next().ok_or("the text has no character there")?;
            made(&first.to_string())
        }),
        ("substring", [_]) => made(substring(text, &arguments[0], None)?),
        ("substring", [_, _]) => made(substring(text, &arguments[0], Some(&arguments[1]))?),
        ("replace", [from, to]) => {
            heap.step(text.len() as u64 / 16)?;
            heap.charge(bound(text, from, to))?;
            made(&text.replace(from, to))
        }
        ("matches", [pattern]) => is(regex(heap, text, &format!("^(?:{pattern})$"))?.is_match(text)),
        ("replaceAll", [pattern, with]) => replace(heap, text, pattern, with, usize::MAX).map(Some),
        ("replaceFirst", [pattern, with]) => replace(heap, text, pattern, with, 1).map(Some),
        ("split", [pattern]) => split(heap, text, pattern).map(Some),
        _ => Ok(None),
    }
}

/// A bound on the length after a replacement.
fn bound(text: &str, from: &str, to: &str) -> usize {
    let matches = match from {
        "" => text.len() + 1,
        from => text.matches(from).count(),
    };
    text.len() + matches.saturating_mul(to.len())
}

fn position(text: &str, at: Option<usize>) -> Value {
    match at {
        Some(at) => Value::integer(text[..at].chars().count()),
        None => Value::Number(Number::of_i128(-1)),
    }
}

fn substring<'a>(text: &'a str, from: &Value, to: Option<&Value>) -> Result<&'a str> {
    let byte = |value: &Value| {
        let Value::Number(number) = value else {
            return None;
        };
        let index = usize::try_from(number.integer()?).ok()?;
        let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        starts.nth(index)
    };
    let range = byte(from).zip(to.map_or(Some(text.len()), byte));
    match range {
        Some((from, to)) if from <= to => Ok(&text[from..to]),
        _ => {
            let length = text.chars().count();
            Err(format!("the text has {length} characters").into())
        }
    }
}

/// The expression, which is compiled once for a rendering.
fn regex(heap: &Heap, text: &str, pattern: &str) -> Result<Rc<Regex>> {
    // A search takes time in proportion to both.
    heap.step(1 + (text.len() as u64).saturating_mul(pattern.len() as u64) / 16)?;
    let mut regexes = heap.regexes.borrow_mut();
    if let Some(regex) = regexes.get(pattern) {
        return Ok(Rc::clone(regex));
    }
    heap.step(COMPILATION_STEPS)?;
    heap.charge(MAX_REGEX)?;
    let built = RegexBuilder::new(pattern).size_limit(MAX_REGEX).build();
    let built =
        built.map_err(|error| format!("the regular expression {pattern:?} is not offered: {error}"))?;
    let built = Rc::new(built);
    regexes.insert(pattern.to_owned(), Rc::clone(&built));
    Ok(built)
}

/// In the replacement, `$1` is a group and a backslash makes the next character one like any other.
/// Source: `Matcher.replaceAll`, Java SE API.
fn replace(heap: &Heap, text: &str, pattern: &str, with: &str, most: usize) -> Result<Value> {
    let regex = regex(heap, text, pattern)?;
    let mut out = String::new();
    let mut rest = 0;
    for found in regex.captures_iter(text).take(most) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[rest..whole.start()]);
        let before = out.len();
        let mut chars = with.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => out.extend(chars.next()),
                '$' => {
                    let digit = chars.next().and_then(|c| c.to_digit(10));
                    let group = digit.ok_or("$ in a replacement needs the number of a group")?;
                    let group = found.get(group as usize);
                    out.push_str(group.map_or("", |group| group.as_str()));
                }
                c => out.push(c),
            }
        }
        heap.step(1)?;
        heap.charge(out.len() - before)?;
        rest = whole.end();
    }
    out.push_str(&text[rest..]);
    Ok(heap.text(&out)?)
}

/// Empty parts at the end are dropped. Source: `String.split`, Java SE API.
fn split(heap: &Heap, text: &str, pattern: &str) -> Result<Value> {
    let regex = regex(heap, text, pattern)?;
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = 0;
    for found in regex.find_iter(text) {
        heap.step(1)?;
        // An empty match at the beginning never gives an empty part.
        if found.end() == 0 || found.start() == text.len() && found.start() == found.end() {
            continue;
        }
        parts.push(&text[rest..found.start()]);
        rest = found.end();
    }
    parts.push(&text[rest..]);
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let parts: std::result::Result<Vec<Value>, &str> =
        parts.into_iter().map(|part| heap.text(part)).collect();
    Ok(heap.list(parts?, false)?)
}
