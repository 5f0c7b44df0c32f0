//! Constraints of the model.

use std::collections::BTreeMap;

use super::error::{Error, Result};

/// Tags of a database.
pub(super) const MAX_TAGS: usize = 50;
/// Bytes of a parameter's value. Source: `ParametersMapValue`.
const LONGEST_PARAMETER: usize = 512_000;

pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T> {
    value.ok_or_else(|| Error::missing(member))
}

fn bad_length(text: &str, member: &str, shortest: usize, longest: usize) -> Option<Error> {
    let length = text.chars().count();
    let constraint = if length < shortest {
        format!("have length greater than or equal to {shortest}")
    } else if length > longest {
        format!("have length less than or equal to {longest}")
    } else {
        return None;
    };
    let shown: String = text.chars().take(64).collect();
    Some(Error::constraint(&format!("'{shown}'"), member, &constraint))
}

/// A text of one line.
pub(super) fn line(text: &str, member: &str, shortest: usize, longest: usize) -> Result<()> {
    checked(text, member, (shortest, longest), &['\t'])
}

/// A text that may have several lines.
pub(super) fn lines(text: &str, member: &str, shortest: usize, longest: usize) -> Result<()> {
    checked(text, member, (shortest, longest), &['\t', '\r', '\n'])
}

fn checked(text: &str, member: &str, (shortest, longest): (usize, usize), control: &[char]) -> Result<()> {
    if let Some(error) = bad_length(text, member, shortest, longest) {
        return Err(error);
    }
    // Source: the pattern of `NameString`, whose first character is a space.
    let is_sound = |c: char| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}') || control.contains(&c);
    if text.chars().all(is_sound) {
        return Ok(());
    }
    const PATTERN: &str = "satisfy regular expression pattern: [\\u0020-\\uD7FF\\uE000-\\uFFFD\\uD800\\uDC00-\\uDBFF\\uDFFF\\t]*";
    Err(Error::constraint("with control characters", member, PATTERN))
}

/// A name as Glue stores it. Source: `DatabaseInput`: "folded to lowercase when it is stored".
pub(super) fn name(given: Option<String>, member: &str) -> Result<String> {
    let given = required(given, member)?;
    line(&given, member, 1, 255)?;
    Ok(given.to_lowercase())
}

pub(super) fn parameters(given: Option<&BTreeMap<String, String>>, member: &str) -> Result<()> {
    for (key, value) in given.into_iter().flatten() {
        line(key, member, 1, 255)?;
        if value.len() > LONGEST_PARAMETER {
            let constraint = format!("have length less than or equal to {LONGEST_PARAMETER}");
            return Err(Error::constraint("", &format!("{member}.{key}"), &constraint));
        }
    }
    Ok(())
}

pub(super) fn tags(given: &BTreeMap<String, String>, member: &str) -> Result<()> {
    if given.len() > MAX_TAGS {
        return Err(Error::constraint(
            "",
            member,
            &format!("have length less than or equal to {MAX_TAGS}"),
        ));
    }
    for (key, value) in given {
        line(key, member, 1, 128)?;
        line(value, member, 0, 256)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::invalid(format!(
                "Tag key {key} begins with aws:, which is reserved."
            )));
        }
    }
    Ok(())
}

/// The size of a page. Source: `CatalogGetterPageSize`.
pub(super) fn page_size(given: Option<i64>) -> Result<usize> {
    match given {
        None => Ok(100),
        Some(size @ 1..=100) => Ok(usize::try_from(size).unwrap_or(1)),
        Some(size) => {
            let bound = if size < 1 {
                "greater than or equal to 1"
            } else {
                "less than or equal to 100"
            };
            Err(Error::constraint(
                &format!("'{size}'"),
                "maxResults",
                &format!("have value {bound}"),
            ))
        }
    }
}
