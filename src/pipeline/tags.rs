//! Tags: whose a resource is, and what the user puts on it.

use std::collections::{BTreeMap, BTreeSet};

use super::parameter::Origin;
use super::resource::Identity;
use ground::error::{Error, Result};

/// The tag that says that streamctl made a resource.
pub const MANAGED_BY: &str = "ManagedBy";
/// Its value.
pub const STREAMCTL: &str = "streamctl";
/// The tag with the pipeline's identity.
pub const PIPELINE: &str = "streamctl:pipeline";
/// The tag on a resource whose making has not come to its end. A run that finds it finishes the work as if the resource
/// were new.
pub const UNFINISHED: &str = "streamctl:unfinished";

/// The tags a resource is to carry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    wanted: BTreeMap<String, (String, Origin)>,
    removed: BTreeSet<String>,
}

impl Tags {
    pub(super) fn set(&mut self, key: &str, value: &str, origin: Origin) {
        self.wanted.insert(key.to_owned(), (value.to_owned(), origin));
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.wanted.remove(key);
        self.removed.insert(key.to_owned());
    }

    /// Adds the marks of ownership.
    pub(super) fn own(&mut self, identity: &Identity) {
        self.set(MANAGED_BY, STREAMCTL, Origin::Template);
        self.set(PIPELINE, &identity.to_string(), Origin::Template);
    }

    /// All of them, as a new resource gets them.
    pub fn all(&self) -> BTreeMap<String, String> {
        let pair = |(key, (value, _)): (&String, &(String, Origin))| (key.clone(), value.clone());
        self.wanted.iter().map(pair).collect()
    }

    /// What to set and what to remove where a resource carries `present`. Tags of other hands stay; a value that is only
    /// a default does not replace another.
    pub fn difference(
        &self,
        present: &BTreeMap<String, String>,
    ) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let set = self
            .wanted
            .iter()
            .filter(|(key, (value, origin))| match present.get(*key) {
                None => true,
                Some(there) => there != value && *origin > Origin::Default,
            })
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect();
        let mut removed: BTreeSet<String> = self.removed.clone();
        removed.insert(UNFINISHED.to_owned());
        removed.retain(|key| present.contains_key(key));
        (set, removed)
    }

    /// [`Tags::difference`] as a change of the field `tags`; `None` where there is none.
    pub fn change(&self, present: &BTreeMap<String, String>) -> Option<super::Change> {
        let (set, removed) = self.difference(present);
        if set.is_empty() && removed.is_empty() {
            return None;
        }
        let keys: Vec<&String> = set
            .keys()
            .chain(removed.iter().filter(|key| *key != UNFINISHED))
            .collect();
        if keys.is_empty() {
            return Some(super::Change::Update {
                field: "tags".to_owned(),
                from: Some("the mark of an unfinished setup".to_owned()),
                to: None,
                loses: None,
            });
        }
        let list = |tags: &BTreeMap<String, String>| {
            let pairs = keys
                .iter()
                .filter_map(|key| tags.get(*key).map(|value| format!("{key}={value}")));
            let text = pairs.collect::<Vec<_>>().join(", ");
            (!text.is_empty()).then_some(text)
        };
        Some(super::Change::Update {
            field: "tags".to_owned(),
            from: list(present),
            to: list(&set),
            loses: None,
        })
    }
}

/// Whose a resource is, by its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This pipeline's.
    Us,
    /// Another pipeline's, by its identity.
    Pipeline(String),
    /// Not made by streamctl.
    Stranger,
}

/// Whose a resource with the tags `tags` is, seen from the pipeline `identity`.
pub fn owner(tags: &BTreeMap<String, String>, identity: &Identity) -> Owner {
    if tags.get(MANAGED_BY).map(String::as_str) != Some(STREAMCTL) {
        return Owner::Stranger;
    }
    match tags.get(PIPELINE) {
        Some(pipeline) if *pipeline == identity.to_string() => Owner::Us,
        Some(other) => Owner::Pipeline(other.clone()),
        None => Owner::Stranger,
    }
}

/// Reads a tag as the user writes it, `key=value`; spaces in key and value are fine.
///
/// # Errors
/// Exit 2 saying what is wrong.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not of the form key=value"))?;
    let (key, value) = (key.trim(), value.trim());
    check_key(key)?;
    if value.chars().count() > 256 {
        return Err(format!("the value of tag {key} is longer than 256 characters"));
    }
    if let Some(bad) = value.chars().find(|c| !allowed(*c)) {
        return Err(format!("the value of tag {key} has a {bad:?}; use {ALLOWED}"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// What AWS takes in keys and values of tags. Source: "Tag restrictions", Kinesis developer guide; `Tag`, IAM API.
const ALLOWED: &str = "letters, digits, spaces and _ . : / = + - @";

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// Refuses what cannot be a tag key of the user's.
///
/// # Errors
/// What is wrong with it.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("a tag needs a key before its `=`".to_owned());
    }
    if key.chars().count() > 128 {
        return Err("the key of a tag is at most 128 characters long".to_owned());
    }
    if let Some(bad) = key.chars().find(|c| !allowed(*c)) {
        return Err(format!("tag key {key:?} has a {bad:?}; use {ALLOWED}"));
    }
    let lower = key.to_ascii_lowercase();
    if lower.starts_with("aws:") {
        return Err(format!(
            "tag key {key} starts with `aws:`, which is reserved for AWS"
        ));
    }
    if lower.starts_with("streamctl:") || key == MANAGED_BY {
        return Err(format!("tag key {key} is streamctl's own mark"));
    }
    Ok(())
}

/// Refuses tags that contradict each other or are too many.
pub(super) fn check(tags: &BTreeMap<String, String>, untag: &BTreeSet<String>) -> Result<()> {
    if let Some(key) = tags.keys().find(|key| untag.contains(*key)) {
        return Err(Error::usage(format!("tag {key} is both set and removed")));
    }
    // 50 a resource (Kinesis, IAM), less streamctl's marks and the template's own.
    if tags.len() > 40 {
        return Err(Error::usage(format!(
            "{} tags are too many: 40 at most",
            tags.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_people_write_them() {
        assert_eq!(
            parse("Cost Centre=Live Music 7").unwrap(),
            ("Cost Centre".into(), "Live Music 7".into())
        );
        assert_eq!(parse("url=a=b").unwrap().1, "a=b");
        assert_eq!(parse("empty=").unwrap().1, "");
    }

    #[test]
    fn bad_tags_are_refused_in_words() {
        let refusals = [
            "team",
            "=x",
            "aws:x=1",
            "ManagedBy=me",
            "streamctl:pipeline=x",
            "a=b,c",
            "a*=1",
        ]
        .map(|text| parse(text).unwrap_err())
        .join("\n");
        insta::assert_snapshot!(refusals, @r#"
        "team" is not of the form key=value
        a tag needs a key before its `=`
        tag key aws:x starts with `aws:`, which is reserved for AWS
        tag key ManagedBy is streamctl's own mark
        tag key streamctl:pipeline is streamctl's own mark
        the value of tag a has a ','; use letters, digits, spaces and _ . : / = + - @
        tag key "a*" has a '*'; use letters, digits, spaces and _ . : / = + - @
        "#);
    }

    #[test]
    fn foreign_tags_stay_and_defaults_replace_nothing() {
        let identity = Identity::new("stream", "orders");
        let mut tags = Tags::default();
        tags.set("Environment", "development", Origin::Default);
        tags.set("Team", "blue", Origin::Given);
        tags.remove("Old");
        tags.own(&identity);
        let mut present = tags.all();
        assert_eq!(owner(&present, &identity), Owner::Us);
        assert_eq!(tags.change(&present), None);
        present.extend([
            ("Environment".to_owned(), "production".to_owned()),
            ("Team".to_owned(), "red".to_owned()),
            ("Old".to_owned(), "1".to_owned()),
            ("Theirs".to_owned(), "1".to_owned()),
        ]);
        let (set, removed) = tags.difference(&present);
        assert_eq!(set, BTreeMap::from([("Team".to_owned(), "blue".to_owned())]));
        assert_eq!(removed, BTreeSet::from(["Old".to_owned()]));
    }
}
