//! References in the values of a manifest: `${name}`, `${resource.output}` and `${arithmetic}`. `$${` is a literal `${`.
//! A table in a list can have a `when`; it is omitted from the list if that does not hold.

use serde_json::Value;

use super::condition::Condition;
use super::formula::Formula;
use super::parameter::Origin;
use ground::error::{Error, Result};

/// The value of a name, or a value with all references replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// `Null` for an optional parameter without a value.
    pub value: Value,
    /// The strongest origin of the parameters in it; `None` if it has no parameters.
    pub origin: Option<Origin>,
}

impl Filled {
    /// An optional parameter without a value.
    pub fn absent() -> Self {
        Self {
            value: Value::Null,
            origin: Some(Origin::Default),
        }
    }
}

/// Looks a name up; `None` if it is unknown.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Filled>;

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
    Formula(Formula),
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            parts.push(Part::Text(before));
            parts.push(Part::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        parts.push(Part::Text(&rest[..at]));
        let inner = &rest[at + 2..];
        let end = inner
            .find('}')
            .ok_or_else(|| format!("{text:?} has a `${{` without a `}}`"))?;
        let inside = inner[..end].trim();
        parts.push(match inside.contains(['+', '-', '*', '/', '(']) {
            true => Part::Formula(Formula::read(inside)?),
            false => Part::Name(inside),
        });
        rest = &inner[end + 1..];
    }
    parts.push(Part::Text(rest));
    parts.retain(|part| *part != Part::Text(""));
    Ok(parts)
}

/// The names that `value` refers to.
///
/// # Errors
/// The problem, as a sentence.
pub fn references(value: &Value) -> Result<Vec<String>, String> {
    Ok(match value {
        Value::String(text) => {
            let mut names = Vec::new();
            for part in parts(text)? {
                match part {
                    Part::Name(name) => names.push(name.to_owned()),
                    Part::Formula(formula) => formula.names(&mut names),
                    Part::Text(_) => {}
                }
            }
            names
        }
        Value::Array(items) => {
            let mut names = flatten(items.iter())?;
            for item in items {
                if let Some(condition) = condition_of(item)? {
                    names.extend(condition.names().map(str::to_owned));
                }
            }
            names
        }
        Value::Object(entries) => flatten(entries.values())?,
        _ => Vec::new(),
    })
}

/// The `when` of an element of a list.
fn condition_of(item: &Value) -> Result<Option<Condition>, String> {
    item.get("when").map(Condition::read).transpose()
}

fn flatten<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Vec<String>, String> {
    let lists: Result<Vec<Vec<String>>, String> = values.map(references).collect();
    Ok(lists?.concat())
}

/// `value` with every reference replaced. A string that consists of one reference takes the type of its value; in a longer
/// string, the value is inserted as text.
///
/// # Errors
/// The problem, as a sentence, such as an unknown name.
pub fn fill(value: &Value, lookup: Lookup<'_>) -> Result<Filled, String> {
    let mut origin = None;
    let value = fill_in(value, lookup, &mut origin)?;
    Ok(Filled { value, origin })
}

fn fill_in(value: &Value, lookup: Lookup<'_>, origin: &mut Option<Origin>) -> Result<Value, String> {
    let mut look = |name: &str| {
        let found = lookup(name).ok_or_else(|| format!("${{{name}}} is not known"))?;
        *origin = (*origin).max(found.origin);
        Ok::<Value, String>(found.value)
    };
    Ok(match value {
        Value::String(text) => match parts(text)?.as_slice() {
            [Part::Name(name)] => look(name)?,
            [Part::Formula(formula)] => formula.value(&mut look)?,
            parts => {
                let mut filled = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => filled.push_str(text),
                        Part::Name(name) => filled.push_str(&plain(&look(name)?)),
                        Part::Formula(formula) => filled.push_str(&plain(&formula.value(&mut look)?)),
                    }
                }
                filled.into()
            }
        },
        Value::Array(items) => {
            let mut filled = Vec::with_capacity(items.len());
            for item in items {
                let item = match condition_of(item)? {
                    Some(condition) if !condition.holds(lookup) => continue,
                    Some(_) => without_condition(item),
                    None => item.clone(),
                };
                let item = fill_in(&item, lookup, origin)?;
                // An optional parameter without a value is omitted from the list.
                if !item.is_null() {
                    filled.push(item);
                }
            }
            filled.into()
        }
        Value::Object(entries) => {
            let mut filled = serde_json::Map::new();
            for (key, item) in entries {
                let item = fill_in(item, lookup, origin)?;
                if !item.is_null() {
                    filled.insert(key.clone(), item);
                }
            }
            filled.into()
        }
        other => other.clone(),
    })
}

fn without_condition(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(entries) = item.as_object_mut() {
        entries.remove("when");
    }
    item
}

/// A string with every reference replaced.
///
/// # Errors
/// Exit 2 as [`fill`].
pub fn text(text: &str, lookup: Lookup<'_>) -> Result<String> {
    let filled = fill(&Value::from(text), lookup).map_err(Error::usage)?;
    Ok(plain(&filled.value))
}

/// A table with its values converted to strings.
pub(super) fn texts(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key, plain(&value).into()));
            entries.collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

/// A value as text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lookup(name: &str) -> Option<Filled> {
        let (value, origin) = match name {
            "count" => (json!(3), Some(Origin::Default)),
            "name" => (json!("orders"), Some(Origin::Given)),
            "stream.arn" => (json!("arn:x"), None),
            "nothing" => (Value::Null, Some(Origin::Default)),
            _ => return None,
        };
        Some(Filled { value, origin })
    }

    #[test]
    fn a_name_alone_keeps_its_type() {
        let filled = fill(
            &json!({"n": "${count}", "t": "${name}-${count}", "l": ["${stream.arn}", "${nothing}"]}),
            &lookup,
        );
        let filled = filled.unwrap();
        assert_eq!(filled.value, json!({"n": 3, "t": "orders-3", "l": ["arn:x"]}));
        assert_eq!(filled.origin, Some(Origin::Given));
    }

    #[test]
    fn a_doubled_dollar_is_literal() {
        let filled = fill(&json!("$${aws:username}/${name}"), &lookup).unwrap();
        assert_eq!(filled.value, json!("${aws:username}/orders"));
        assert_eq!(references(&json!("$${aws:username}/${name}")).unwrap(), ["name"]);
    }

    #[test]
    fn arithmetic_gives_numbers_and_lists_have_optional_members() {
        let value = json!({
            "ms": "${count * 800}",
            "text": "${name}: ${count + 1}",
            "list": [{"when": "nothing", "a": 1}, {"when": "name=orders", "a": "${count}"}],
        });
        let expected = json!({"ms": 2400, "text": "orders: 4", "list": [{"a": 3}]});
        assert_eq!(fill(&value, &lookup).unwrap().value, expected);
        let mut names = references(&value).unwrap();
        names.sort();
        assert_eq!(names, ["count", "count", "count", "name", "name", "nothing"]);
    }

    #[test]
    fn mistakes_are_errors() {
        assert_eq!(
            fill(&json!("${nam}"), &lookup).unwrap_err(),
            "${nam} is not known"
        );
        assert!(
            fill(&json!("${name"), &lookup)
                .unwrap_err()
                .contains("without a `}`")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$ {}a-z.€]{0,24}") {
            let _ = fill(&Value::from(text), &lookup);
        }
    }
}
