//! `${name}` and `${resource.output}` in a manifest's values. `$${` writes a literal `${`.

use serde_json::Value;

use super::parameter::Origin;
use crate::error::{Error, Result};

/// What a name stands for, or a value with all names replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The value; `Null` where an optional parameter has none.
    pub value: Value,
    /// The strongest origin of the parameters in it; `None` where there is none.
    pub origin: Option<Origin>,
}

impl Filled {
    /// Nothing: an optional value that was not given.
    pub fn absent() -> Self {
        Self {
            value: Value::Null,
            origin: None,
        }
    }
}

/// How a name is looked up; `None` for an unknown one.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Filled>;

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
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
            .ok_or_else(|| format!("{text:?} has a `${{` without its `}}`"))?;
        parts.push(Part::Name(inner[..end].trim()));
        rest = &inner[end + 1..];
    }
    parts.push(Part::Text(rest));
    parts.retain(|part| *part != Part::Text(""));
    Ok(parts)
}

/// The names that `value` refers to.
///
/// # Errors
/// What is wrong with the text.
pub fn references(value: &Value) -> Result<Vec<String>, String> {
    Ok(match value {
        Value::String(text) => parts(text)?
            .into_iter()
            .filter_map(|part| match part {
                Part::Name(name) => Some(name.to_owned()),
                Part::Text(_) => None,
            })
            .collect(),
        Value::Array(items) => flatten(items.iter())?,
        Value::Object(entries) => flatten(entries.values())?,
        _ => Vec::new(),
    })
}

fn flatten<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Vec<String>, String> {
    let lists: Result<Vec<Vec<String>>, String> = values.map(references).collect();
    Ok(lists?.concat())
}

/// `value` with every name replaced. A text that is one name alone takes the name's own type; in a longer text the
/// name's value is written out.
///
/// # Errors
/// What is wrong with the text, or the name that is unknown.
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
            parts => {
                let mut filled = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => filled.push_str(text),
                        Part::Name(name) => filled.push_str(&plain(&look(name)?)),
                    }
                }
                filled.into()
            }
        },
        Value::Array(items) => items
            .iter()
            .map(|item| fill_in(item, lookup, origin))
            // A list forgets what an optional parameter left empty.
            .filter(|item| !matches!(item, Ok(Value::Null)))
            .collect::<Result<Vec<Value>, String>>()?
            .into(),
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

/// A text with every name replaced.
///
/// # Errors
/// Exit 2 as [`fill`].
pub fn text(text: &str, lookup: Lookup<'_>) -> Result<String> {
    let filled = fill(&Value::from(text), lookup).map_err(Error::usage)?;
    Ok(plain(&filled.value))
}

/// A value as it stands in a text.
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
    fn mistakes_are_named() {
        assert_eq!(
            fill(&json!("${nam}"), &lookup).unwrap_err(),
            "${nam} is not known"
        );
        assert!(
            fill(&json!("${name"), &lookup)
                .unwrap_err()
                .contains("without its `}`")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$ {}a-z.€]{0,24}") {
            let _ = fill(&Value::from(text), &lookup);
        }
    }
}
