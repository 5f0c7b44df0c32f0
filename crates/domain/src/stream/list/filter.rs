//! Which streams a list shows.

use std::str::FromStr;

use super::StreamEntry;
use crate::stream::state::{Mode, Status};
use ground::error::{Error, Result};

/// Selects streams. Everything must hold; an empty filter selects all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// How the name begins.
    pub prefix: String,
    pub name: Option<NamePattern>,
    pub status: Option<Status>,
    pub mode: Option<Mode>,
    /// Tags that a stream must have.
    pub tags: Vec<TagFilter>,
}

impl Filter {
    /// Whether it selects every stream.
    pub fn is_empty(&self) -> bool {
        let Self {
            prefix,
            name,
            status,
            mode,
            tags,
        } = self;
        prefix.is_empty() && name.is_none() && status.is_none() && mode.is_none() && tags.is_empty()
    }

    /// Whether it can select a stream, as far as the entry is known. Tags are not looked at.
    pub(super) fn may_select(&self, entry: &StreamEntry) -> bool {
        let is_known = !entry.arn.is_empty();
        self.selects_name(&entry.name) && (!is_known || self.selects(entry))
    }

    /// Whether it selects a stream. Tags are not looked at.
    pub(super) fn selects(&self, entry: &StreamEntry) -> bool {
        self.selects_name(&entry.name)
            && self.status.as_ref().is_none_or(|status| *status == entry.status)
            && self.mode.is_none_or(|mode| mode == entry.mode)
    }

    fn selects_name(&self, name: &str) -> bool {
        name.starts_with(&self.prefix) && self.name.as_ref().is_none_or(|pattern| pattern.matches(name))
    }
}

/// A pattern of names: `*` stands for any characters, `?` for one.
#[derive(Debug, Clone)]
pub struct NamePattern {
    expression: regex_lite::Regex,
    text: String,
}

impl NamePattern {
    /// The pattern as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, name: &str) -> bool {
        self.expression.is_match(name)
    }
}

impl FromStr for NamePattern {
    type Err = Error;

    /// # Errors
    /// Exit 2 for characters that no name has.
    fn from_str(text: &str) -> Result<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-*?".contains(&b);
        let refused = || {
            Error::usage(format!("{text:?} is not a pattern of stream names"))
                .hint("use letters, digits, `_`, `.`, `-`, and `*` and `?` for any characters")
        };
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(refused());
        }
        let translated: String = text
            .chars()
            .map(|c| match c {
                '*' => ".*".to_owned(),
                '?' => ".".to_owned(),
                other => regex_lite::escape(other.encode_utf8(&mut [0; 4])),
            })
            .collect();
        let expression = regex_lite::Regex::new(&format!("^{translated}$")).map_err(|_| refused())?;
        Ok(Self {
            expression,
            text: text.to_owned(),
        })
    }
}

/// A tag with any value, or with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    pub key: String,
    pub value: Option<String>,
}

impl FromStr for TagFilter {
    type Err = Error;

    /// Reads `KEY` or `KEY=VALUE`.
    ///
    /// # Errors
    /// Exit 2 without a key.
    fn from_str(text: &str) -> Result<Self> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err(Error::usage(format!("{text:?} names no tag")).hint("use KEY or KEY=VALUE"));
        }
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let matching = |pattern: &str| -> Vec<&str> {
            let pattern: NamePattern = pattern.parse().unwrap();
            let names = ["orders", "orders.eu", "orders-eu", "clicks", "my-orders"];
            names.into_iter().filter(|name| pattern.matches(name)).collect()
        };
        assert_eq!(matching("orders"), ["orders"]);
        assert_eq!(matching("orders*"), ["orders", "orders.eu", "orders-eu"]);
        assert_eq!(matching("orders.eu"), ["orders.eu"]);
        assert_eq!(matching("orders?eu"), ["orders.eu", "orders-eu"]);
        assert_eq!(
            matching("*rd*"),
            ["orders", "orders.eu", "orders-eu", "my-orders"]
        );
        assert_eq!(matching("*").len(), 5);
        for refused in ["", "a b", "(", "[a-z]", "ä"] {
            assert!(refused.parse::<NamePattern>().is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_tag_has_a_value_or_any() {
        let tag = |text: &str| text.parse::<TagFilter>().map(|tag| (tag.key, tag.value));
        assert_eq!(tag("env").unwrap(), ("env".to_owned(), None));
        assert_eq!(tag("env=").unwrap(), ("env".to_owned(), Some(String::new())));
        assert_eq!(
            tag("a b=c=d").unwrap(),
            ("a b".to_owned(), Some("c=d".to_owned()))
        );
        assert!(tag("=x").is_err());
    }

    #[test]
    fn what_is_not_known_yet_may_be_selected() {
        let filter = Filter {
            mode: Some(Mode::OnDemand),
            prefix: "or".to_owned(),
            ..Filter::default()
        };
        assert!(!filter.is_empty());
        assert!(Filter::default().is_empty());
        let named = StreamEntry::named("orders".to_owned());
        assert!(filter.may_select(&named));
        assert!(!filter.may_select(&StreamEntry::named("clicks".to_owned())));
        let known = StreamEntry {
            arn: "arn".to_owned(),
            ..named
        };
        assert!(!filter.may_select(&known));
        let on_demand = StreamEntry {
            mode: Mode::OnDemand,
            ..known
        };
        assert!(filter.may_select(&on_demand));
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_is_read_or_refused(text in ".{0,60}", pattern in "[a-z*?.]{1,40}", name in "[a-z.]{0,40}") {
            let _ = text.parse::<NamePattern>();
            let _ = pattern.parse::<NamePattern>().unwrap().matches(&name);
        }
    }
}
