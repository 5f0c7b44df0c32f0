//! Tags of distributions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Answer, Call, find, no_content, ok};
use crate::cloudfront::error::{Error, Result};
use crate::cloudfront::model::Distribution;
use crate::cloudfront::{CloudFront, read, write};
use crate::service::apply_tag_change;
use crate::types::{Caller, Tags};

impl Call<'_> {
    pub(super) fn list_tags(&self) -> Answer {
        let id = named(&self.route.id)?;
        let distribution = find(self.cloudfront, self.caller, id).map_err(no_resource)?;
        ok(write::tags(&distribution.tags))
    }

    pub(super) fn tag_resource(&self) -> Answer {
        let document = read::document(&self.request.body, "Tags")?;
        let given = read::tags(&document)?;
        change(self.cloudfront, self.caller, &self.route.id, |tags| {
            tags.extend(given)
        })?;
        no_content()
    }

    pub(super) fn untag_resource(&self) -> Answer {
        let document = read::document(&self.request.body, "TagKeys")?;
        let keys = read::tag_keys(&document);
        change(self.cloudfront, self.caller, &self.route.id, |tags| {
            tags.retain(|key, _| !keys.contains(key));
        })?;
        no_content()
    }
}

/// The tags of all distributions of `caller` that have some, by ARN. CloudFront is in us-east-1.
pub(in super::super) fn tagged(cloudfront: &CloudFront, caller: &Caller) -> BTreeMap<String, Tags> {
    if caller.region != "us-east-1" {
        return BTreeMap::new();
    }
    let all = cloudfront
        .store
        .distributions
        .list(|one| one.is_of(caller) && !one.tags.is_empty());
    all.iter().map(|one| (one.arn(), one.tags.clone())).collect()
}

/// A change through resource group tags.
pub(in super::super) fn change_tags(
    cloudfront: &CloudFront,
    caller: &Caller,
    operation: &str,
    input: &Value,
) -> Result<()> {
    let arn = input["ResourceARN"].as_str().unwrap_or_default();
    change(cloudfront, caller, arn, |tags| {
        apply_tag_change(tags, operation, input)
    })
}

fn change(cloudfront: &CloudFront, caller: &Caller, arn: &str, work: impl FnOnce(&mut Tags)) -> Result<()> {
    let id = named(arn)?;
    let _one = cloudfront.store.change();
    let there = find(cloudfront, caller, id).map_err(no_resource)?;
    let mut tags = there.tags.clone();
    work(&mut tags);
    read::check_tags(&tags)?;
    let changed = Distribution {
        tags,
        ..(*there).clone()
    };
    cloudfront.store.distributions.put(changed).map(drop)
}

/// The id in the ARN of a distribution.
fn named(arn: &str) -> Result<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "cloudfront", "", _, resource] => match resource.strip_prefix("distribution/") {
            Some(id) => Ok(id),
            None => Err(Error::not_offered(format_args!("tags of {resource}"))),
        },
        _ => Err(Error::argument(format!("Invalid resource ARN: {arn}"))),
    }
}

fn no_resource(error: Error) -> Error {
    match error.code {
        "NoSuchDistribution" => Error::new(404, "NoSuchResource", "The specified resource does not exist."),
        _ => error,
    }
}
