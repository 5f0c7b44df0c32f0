//! Tags of alarms, alarm mute rules and dashboards.
//!
//! Source: TagResource, UntagResource and ListTagsForResource, CloudWatch API reference.

use std::collections::BTreeMap;
use std::path::Path;

use super::dashboards::StateFile;
use super::error::ApiError;
use super::input::Fields;
use super::wire::Out;
use crate::Caller;
use daemon::protocol::Damage;

/// Source: TagResource: "as many as 50 tags".
const MAX_TAGS: usize = 50;

/// Tags by resource ARN.
#[derive(Debug, Default)]
pub(super) struct Tags {
    file: StateFile,
    all: BTreeMap<String, BTreeMap<String, String>>,
}

impl Tags {
    /// Opens the tags stored in `dir`.
    pub(super) fn open(dir: &Path) -> Self {
        let (file, all) = StateFile::open(dir.join("tags.json"));
        Self { file, all }
    }

    pub(super) fn damage(&self) -> Option<Damage> {
        self.file.damage()
    }

    /// Adds the `Tags` of a request.
    pub(super) fn add(&mut self, arn: &str, input: &Fields<'_>) -> Result<(), ApiError> {
        let mut tags = self.all.get(arn).cloned().unwrap_or_default();
        for tag in input.list("Tags", MAX_TAGS)? {
            let value = tag.text("Value", 256).or_else(|error| {
                // An empty value is valid here.
                tag.is_empty_text("Value").then_some(None).ok_or(error)
            })?;
            tags.insert(
                tag.need_text("Key", 128)?.to_owned(),
                value.unwrap_or_default().to_owned(),
            );
        }
        if tags.len() > MAX_TAGS {
            return Err(ApiError::invalid(format!(
                "A resource takes at most {MAX_TAGS} tags."
            )));
        }
        if !tags.is_empty() {
            self.all.insert(arn.to_owned(), tags);
            self.save()?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, arn: &str, input: &Fields<'_>) -> Result<(), ApiError> {
        for key in input.words("TagKeys", MAX_TAGS)? {
            if let Some(tags) = self.all.get_mut(arn) {
                tags.remove(key);
            }
        }
        self.save()
    }

    pub(super) fn list(&self, arn: &str) -> Out {
        let tags = self.all.get(arn).into_iter().flatten().map(|(key, value)| {
            Out::Struct(vec![
                ("Key", Out::Text(key.clone())),
                ("Value", Out::Text(value.clone())),
            ])
        });
        Out::Struct(vec![("Tags", Out::List(tags.collect()))])
    }

    /// The tagged resources of an account in a region, by ARN. Dashboards belong to no region.
    pub(super) fn of(&self, caller: &Caller) -> BTreeMap<String, crate::types::Tags> {
        let is_of = |arn: &String| {
            let mut parts = arn.split(':').skip(3);
            let (region, account) = (parts.next(), parts.next());
            account == Some(&caller.account)
                && matches!(region, Some(region) if region.is_empty() || region == caller.region)
        };
        let tagged = self
            .all
            .iter()
            .filter(|(arn, tags)| is_of(arn) && !tags.is_empty());
        tagged.map(|(arn, tags)| (arn.clone(), tags.clone())).collect()
    }

    /// Removes the tags of a deleted resource.
    pub(super) fn forget(&mut self, arn: &str) -> Result<(), ApiError> {
        match self.all.remove(arn) {
            Some(_) => self.save(),
            None => Ok(()),
        }
    }

    fn save(&self) -> Result<(), ApiError> {
        self.file.write(&self.all)
    }
}
