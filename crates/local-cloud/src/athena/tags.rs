//! Tags of work groups.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::groups::{GROUPS, find};
use super::model::WorkGroup;
use super::{Athena, Call};
use crate::service::{apply_tag_change, arn};
use crate::types::{Caller, Tags};

/// Source: "Tag restrictions", Amazon Athena user guide.
const MAX_TAGS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    key: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfResource {
    #[serde(rename = "ResourceARN")]
    arn: Option<String>,
    /// All tags fit into one page.
    #[serde(rename = "NextToken")]
    _next_token: Option<String>,
    #[serde(rename = "MaxResults")]
    _max_results: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    #[serde(rename = "ResourceARN")]
    arn: Option<String>,
    #[serde(rename = "Tags")]
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remove {
    #[serde(rename = "ResourceARN")]
    arn: Option<String>,
    #[serde(rename = "TagKeys")]
    keys: Option<Vec<String>>,
}

/// Tags by key.
pub(super) fn checked(given: impl IntoIterator<Item = Tag>) -> Result<Tags> {
    let mut tags = Tags::new();
    for one in given {
        let key = one.key.ok_or_else(|| Error::missing("tags.member.key"))?;
        tags.insert(key, one.value.unwrap_or_default());
    }
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &Tags) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid(format!(
            "A resource takes at most {MAX_TAGS} tags."
        )));
    }
    for (key, value) in tags {
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            let constraint = "have length less than or equal to 128, and its value 256";
            return Err(Error::constraint("", "tags.member.key", constraint));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::invalid(format!(
                "Tag key {key} begins with aws:, which is reserved."
            )));
        }
    }
    Ok(())
}

fn arn_of(caller: &Caller, group: &str) -> String {
    arn(caller, "athena", &format!("workgroup/{group}"))
}

/// The work group in an ARN.
fn group_of<'a>(caller: &Caller, given: Option<&'a str>) -> Result<&'a str> {
    let given = given.ok_or_else(|| Error::missing("resourceARN"))?;
    let name = given.strip_prefix(arn_of(caller, "").as_str());
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Error::invalid(format!(
            "{given} is not the ARN of a work group of this account and region."
        ))
    })
}

impl Call<'_> {
    pub(super) fn list_tags(&self, input: &OfResource) -> Result<Value> {
        let name = group_of(self.caller, input.arn.as_deref())?;
        let group = self.athena.entries.read(self.caller, |scope| find(scope, name));
        let group = group.map_err(|error| missing(error, input.arn.as_deref()))?;
        let tags = group.tags.iter();
        let tags: Vec<Value> = tags
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        Ok(json!({"Tags": tags}))
    }

    pub(super) fn tag(&self, input: &Add) -> Result<Value> {
        let given = input.tags.as_deref().ok_or_else(|| Error::missing("tags"))?;
        let given = given.iter().map(|tag| Tag {
            key: tag.key.clone(),
            value: tag.value.clone(),
        });
        let added = checked(given)?;
        self.retag(input.arn.as_deref(), |tags| tags.extend(added))
    }

    pub(super) fn untag(&self, input: &Remove) -> Result<Value> {
        let keys = input.keys.as_deref().ok_or_else(|| Error::missing("tagKeys"))?;
        self.retag(input.arn.as_deref(), |tags| {
            tags.retain(|key, _| !keys.contains(key))
        })
    }

    fn retag(&self, arn: Option<&str>, change: impl FnOnce(&mut Tags)) -> Result<Value> {
        let name = group_of(self.caller, arn)?;
        self.athena.entries.write(self.caller, |scope| {
            let mut group = find(scope, name).map_err(|error| missing(error, arn))?;
            change(&mut group.tags);
            check(&group.tags)?;
            scope.put(GROUPS, name, &group)?;
            Ok(json!({}))
        })
    }
}

/// A work group that does not exist, in the words of the operations on tags.
fn missing(error: Error, arn: Option<&str>) -> Error {
    match error == Error::no_group() {
        true => Error::not_found(format!("Resource {} was not found", arn.unwrap_or_default())),
        false => error,
    }
}

/// The tags of the work groups of `caller` that have some, by ARN.
pub(super) fn tagged(athena: &Athena, caller: &Caller) -> BTreeMap<String, Tags> {
    if !athena.entries.exists() {
        return BTreeMap::new();
    }
    let read = athena
        .entries
        .read(caller, |scope| Ok::<_, Error>(scope.all::<WorkGroup>(GROUPS)?));
    let all = read.unwrap_or_default().into_iter();
    all.filter(|one| !one.tags.is_empty())
        .map(|one| (arn_of(caller, &one.name), one.tags))
        .collect()
}

/// A change through resource group tags.
pub(super) fn change(athena: &Athena, caller: &Caller, operation: &str, input: &Value) -> Result<()> {
    let call = Call {
        athena,
        caller,
        body: &[],
    };
    let changed = call.retag(input["ResourceARN"].as_str(), |tags| {
        apply_tag_change(tags, operation, input);
    });
    changed.map(drop)
}
