//! Tags of APIs and stages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Call, no_content, ok};
use crate::apigateway::ApiGateway;
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{self, TagsInput};
use crate::apigateway::model::Api;
use crate::types::{Caller, Tags};

impl Call<'_> {
    pub(super) fn get_tags(&self) -> Answer {
        let (id, stage) = named(&self.route.api)?;
        let mut api = (*self.gateway.store.find(self.caller, &id)?).clone();
        ok(json!({"tags": tags_of(&mut api, stage.as_deref())?}))
    }

    pub(super) fn tag_resource(&self) -> Answer {
        let input: TagsInput = input::read(self.body)?;
        change(self.gateway, self.caller, &self.route.api, |tags| {
            tags.extend(input.tags);
        })?;
        // The API answers with an empty object.
        Ok((201, Some(json!({}))))
    }

    pub(super) fn untag_resource(&self) -> Answer {
        let keys: Vec<&str> = self.route.parameters("tagKeys").collect();
        change(self.gateway, self.caller, &self.route.api, |tags| {
            tags.retain(|key, _| !keys.contains(&key.as_str()));
        })?;
        no_content()
    }
}

/// The tags of all APIs and stages of `caller` that have some, by ARN.
pub(in super::super) fn tagged(gateway: &ApiGateway, caller: &Caller) -> BTreeMap<String, Tags> {
    let mut all = BTreeMap::new();
    for api in gateway.store.list(caller) {
        let arn = api.arn();
        for (name, stage) in &api.stages {
            all.insert(format!("{arn}/stages/{name}"), stage.tags.clone());
        }
        all.insert(arn, api.tags.clone());
    }
    all.retain(|_, tags| !tags.is_empty());
    all
}

/// A change through resource group tags.
pub(in super::super) fn change_tags(
    gateway: &ApiGateway,
    caller: &Caller,
    operation: &str,
    input: &Value,
) -> Result<()> {
    let arn = input["ResourceARN"].as_str().unwrap_or_default();
    change(gateway, caller, arn, |tags| apply(tags, operation, input))
}

/// Applies the input of TagResource or UntagResource of resource group tags.
pub(in super::super) fn apply(tags: &mut Tags, operation: &str, input: &Value) {
    match operation {
        "UntagResource" => {
            let keys = input["TagKeys"].as_array().into_iter().flatten();
            for key in keys.filter_map(Value::as_str) {
                tags.remove(key);
            }
        }
        _ => {
            let given = input["Tags"].as_object().into_iter().flatten();
            let given = given.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            tags.extend(given);
        }
    }
}

fn change(gateway: &ApiGateway, caller: &Caller, arn: &str, work: impl FnOnce(&mut Tags)) -> Result<()> {
    let (id, stage) = named(arn)?;
    let change = gateway.store.change();
    let mut api = (*gateway.store.find(caller, &id)?).clone();
    let tags = tags_of(&mut api, stage.as_deref())?;
    work(tags);
    input::check_tags(tags)?;
    change.put(api).map(drop)
}

/// The API and the stage in an ARN such as `arn:aws:apigateway:us-east-1::/apis/ID/stages/NAME`.
fn named(arn: &str) -> Result<(String, Option<String>)> {
    let path = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["", "apis", id] if arn.starts_with("arn:") => Ok(((*id).to_owned(), None)),
        ["", "apis", id, "stages", name] if arn.starts_with("arn:") => {
            Ok(((*id).to_owned(), Some((*name).to_owned())))
        }
        _ => Err(Error::bad_request(format!(
            "Invalid resource ARN specified {arn}"
        ))),
    }
}

fn tags_of<'a>(api: &'a mut Api, stage: Option<&str>) -> Result<&'a mut Tags> {
    match stage {
        None => Ok(&mut api.tags),
        Some(name) => match api.stages.get_mut(name) {
            Some(stage) => Ok(&mut stage.tags),
            None => Err(Error::not_found("Stage", name)),
        },
    }
}
