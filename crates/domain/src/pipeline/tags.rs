//! Tags of resources: those that record the owner, and those of the user.

use std::collections::{BTreeMap, BTreeSet};

use super::parameter::Origin;
use super::resource::Identity;
use ground::error::{Error, Result};

/// The tag of every resource that streamctl created.
pub const MANAGED_BY: &str = "ManagedBy";
/// Value of [`MANAGED_BY`].
pub const STREAMCTL: &str = "streamctl";
/// The tag that holds the pipeline's identity.
pub const PIPELINE: &str = "streamctl:pipeline";
/// The tag on a resource whose creation is not complete. A run that finds it completes the resource as if it were new. It
/// is internal: reports do not show it unless it is the only change.
pub const UNFINISHED: &str = "streamctl:unfinished";

/// The desired tags of a resource.
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

    /// Adds the tags that record the owner.
    pub(super) fn set_owner(&mut self, identity: &Identity) {
        self.set(MANAGED_BY, STREAMCTL, Origin::Template);
        self.set(PIPELINE, &identity.to_string(), Origin::Template);
    }

    /// The tags of a new resource.
    pub fn all(&self) -> BTreeMap<String, String> {
        let pair = |(key, (value, _)): (&String, &(String, Origin))| (key.clone(), value.clone());
        self.wanted.iter().map(pair).collect()
    }

    /// What is shown for a resource of ours that its service, or a run that did not finish, made without tags: it is
    /// completed as if it were new.
    pub fn of_untagged(&self) -> BTreeMap<String, String> {
        let mut tags = self.all();
        tags.retain(|key, _| key == MANAGED_BY || key == PIPELINE);
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        tags
    }

    /// The tags to set and the keys to remove on a resource that has the tags `present`. Other tags are kept, and a default
    /// does not replace a value.
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

    /// [`Tags::difference`] as a change of the field `tags`; `None` if it is empty.
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
                from: Some("the tag of an unfinished setup".to_owned()),
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

/// The owner of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This pipeline.
    Us,
    /// Another pipeline, by its identity.
    Pipeline(String),
    /// Not created by streamctl.
    Stranger,
}

/// The owner of a resource with these tags, as seen by the pipeline `identity`.
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

/// Parses a tag that the user wrote as `key=value`. Key and value may contain spaces.
///
/// # Errors
/// The problem, as a sentence.
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

/// Characters that AWS allows in keys and values of tags. Source: "Tag restrictions", Kinesis developer guide; `Tag`, IAM API.
const ALLOWED: &str = "letters, digits, spaces and _ . : / = + - @";

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// Checks a tag key of the user.
///
/// # Errors
/// The problem, as a sentence.
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
        return Err(format!("tag key {key} is reserved for streamctl"));
    }
    Ok(())
}

/// Rejects too many tags, and keys that are both set and removed.
pub(super) fn check(tags: &BTreeMap<String, String>, untag: &BTreeSet<String>) -> Result<()> {
    if let Some(key) = tags.keys().find(|key| untag.contains(*key)) {
        return Err(Error::usage(format!("tag {key} is both set and removed")));
    }
    // The limit per resource is 50 (Kinesis, IAM); the others are left for streamctl and the template.
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
    fn tags_may_contain_spaces_and_equals_signs() {
        assert_eq!(
            parse("Cost Centre=Live Music 7").unwrap(),
            ("Cost Centre".into(), "Live Music 7".into())
        );
        assert_eq!(parse("url=a=b").unwrap().1, "a=b");
        assert_eq!(parse("empty=").unwrap().1, "");
    }

    #[test]
    fn invalid_tags_are_refused() {
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
        tag key ManagedBy is reserved for streamctl
        tag key streamctl:pipeline is reserved for streamctl
        the value of tag a has a ','; use letters, digits, spaces and _ . : / = + - @
        tag key "a*" has a '*'; use letters, digits, spaces and _ . : / = + - @
        "#);
    }

    #[test]
    fn foreign_tags_are_kept_and_defaults_replace_nothing() {
        let identity = Identity::new("stream", "orders");
        let mut tags = Tags::default();
        tags.set("Environment", "development", Origin::Default);
        tags.set("Team", "blue", Origin::Given);
        tags.remove("Old");
        tags.set_owner(&identity);
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
