//! Keys of delivered objects: the key template, its checks and its rendering.
//!
//! Source: "S3 output key template for Amazon S3 delivery", Amazon Kinesis Data Streams developer guide. The page says
//! that a unique suffix is appended to each key, and not where it stands beside the extension: here it stands before an
//! extension at the end, so that the name of an object still tells its format.

use crate::clock::utc;

/// The template of a channel that has none of its own.
pub const DEFAULT: &str = "kinesis-channel/!{channel-name}/!{channel-id}/!{yyyy}/!{MM}/!{dd}/!{HH}/\
                           !{channel-name}-!{channel-id}-!{yyyy}-!{MM}-!{dd}-!{HH}-!{mm}!{extension}";

const OPEN: &str = "!{";
/// The longest key of an object, in bytes. Source: "Naming Amazon S3 objects", S3 user guide.
const MAX_KEY: usize = 1024;

/// A variable of a template, and its name.
const VARIABLES: [(&str, Variable); 8] = [
    ("channel-name", Variable::ChannelName),
    ("channel-id", Variable::ChannelId),
    ("yyyy", Variable::Time("%Y")),
    ("MM", Variable::Time("%m")),
    ("dd", Variable::Time("%d")),
    ("HH", Variable::Time("%H")),
    ("mm", Variable::Time("%M")),
    ("extension", Variable::Extension),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    ChannelName,
    ChannelId,
    /// A part of the time in UTC, in a format of `strftime`.
    Time(&'static str),
    Extension,
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Variable(Variable),
}

/// The values of one object.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    pub channel_name: &'a str,
    pub channel_id: &'a str,
    /// Arrival of the first record of the object.
    pub at_ms: i64,
    /// Such as `.json.gz`.
    pub extension: &'a str,
    /// Makes the key unique.
    pub suffix: &'a str,
}

/// Why a template is refused; `None` if it is valid.
pub fn fault(template: &str) -> Option<String> {
    let parts = match parse(template) {
        Ok(parts) => parts,
        Err(fault) => return Some(fault),
    };
    let folders = template.split('/').any(|folder| matches!(folder, "." | ".."));
    if template.starts_with('/') || template.ends_with('/') || folders {
        return Some("it must not start or end with a slash, or have . or .. as a folder".to_owned());
    }
    // The longest values: a name of 128 characters, an id of 36, a suffix of 19 and an extension of 9.
    let longest = |part: &Part<'_>| match part {
        Part::Text(text) => text.len(),
        Part::Variable(Variable::ChannelName) => 128,
        Part::Variable(Variable::ChannelId) => 36,
        Part::Variable(Variable::Time(_)) => 4,
        Part::Variable(Variable::Extension) => 9,
    };
    let length: usize = parts.iter().map(longest).sum();
    (length + 19 > MAX_KEY).then(|| format!("its keys can be longer than {MAX_KEY} bytes"))
}

/// The key of an object. A template that is not valid is text.
pub fn render(template: &str, values: &Values<'_>) -> String {
    let parts = parse(template).unwrap_or_else(|_| vec![Part::Text(template)]);
    let before_last = parts.last() == Some(&Part::Variable(Variable::Extension));
    let mut key = String::new();
    for (index, part) in parts.iter().enumerate() {
        if before_last && index + 1 == parts.len() {
            key.push_str(values.suffix);
        }
        match part {
            Part::Text(text) => key.push_str(text),
            Part::Variable(Variable::ChannelName) => key.push_str(values.channel_name),
            Part::Variable(Variable::ChannelId) => key.push_str(values.channel_id),
            Part::Variable(Variable::Time(format)) => key.push_str(&utc(values.at_ms, format)),
            Part::Variable(Variable::Extension) => key.push_str(values.extension),
        }
    }
    if !before_last {
        key.push_str(values.suffix);
    }
    key
}

fn parse(template: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((text, after)) = rest.split_once(OPEN) {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| "a variable has no closing brace".to_owned())?;
        let known = VARIABLES.iter().find(|(known, _)| *known == name);
        let (_, variable) = known.ok_or_else(|| {
            let names: Vec<String> = VARIABLES.iter().map(|(name, _)| format!("!{{{name}}}")).collect();
            format!("!{{{name}}} is not a variable. Variables: {}", names.join(", "))
        })?;
        parts.extend((!text.is_empty()).then_some(Part::Text(text)));
        parts.push(Part::Variable(*variable));
        rest = after;
    }
    parts.extend((!rest.is_empty()).then_some(Part::Text(rest)));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: Values<'static> = Values {
        channel_name: "orders",
        channel_id: "0a1b",
        at_ms: 1_767_225_600_000,
        extension: ".json.gz",
        suffix: "-000007-0a1b",
    };

    #[test]
    fn the_default_template_organises_objects_by_channel_and_hour() {
        assert_eq!(fault(DEFAULT), None);
        assert_eq!(
            render(DEFAULT, &VALUES),
            "kinesis-channel/orders/0a1b/2026/01/01/00/orders-0a1b-2026-01-01-00-00-000007-0a1b.json.gz"
        );
    }

    #[test]
    fn a_key_is_unique_without_an_extension_at_the_end() {
        assert_eq!(render("a/!{yyyy}", &VALUES), "a/2026-000007-0a1b");
        assert_eq!(render("a!{extension}/b", &VALUES), "a.json.gz/b-000007-0a1b");
    }

    #[test]
    fn templates_that_cannot_be_keys_are_refused() {
        for template in [
            "/a",
            "a/",
            "a/../b",
            "./a",
            "!{shard}",
            "a!{yyyy",
            &"x".repeat(1020),
        ] {
            assert!(fault(template).is_some(), "{template}");
        }
        for template in [
            "a",
            "a.b/c..d",
            "dt=!{yyyy}-!{MM}-!{dd}/!{channel-name}!{extension}",
            "{a}!",
        ] {
            assert_eq!(fault(template), None, "{template}");
        }
    }

    proptest! {
        #[test]
        fn a_valid_template_makes_keys_that_s3_accepts(template in r"[a-z/.!{}]{1,30}|([a-z/]{1,3}!\{(yyyy|mm|extension|channel-id)\}){1,9}") {
            if fault(&template).is_none() {
                let key = render(&template, &VALUES);
                prop_assert!(!key.is_empty() && key.len() <= MAX_KEY);
                prop_assert!(!key.starts_with('/'));
                prop_assert!(key.contains(VALUES.suffix));
            }
        }
    }
}
