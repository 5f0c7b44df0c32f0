//! Tags of APIs and stages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Call, no_content, ok, read};
use crate::apigateway::control::apply_tags;
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{TagsInput, check_tags};
use crate::apigateway::rest::RestApis;
use crate::apigateway::rest::model::RestApi;
use crate::types::{Caller, Tags};

impl Call<'_> {
    pub(super) fn get_tags(&self) -> Answer {
        let (id, stage) = named(&self.route.api)?;
        let mut api = (*self.apis.store.find(self.caller, &id)?).clone();
        ok(json!({"tags": tags_of(&mut api, stage.as_deref())?}))
    }

    pub(super) fn tag_resource(&self) -> Answer {
        let input: TagsInput = read(self.body)?;
        change(self.apis, self.caller, &self.route.api, |tags| {
            tags.extend(input.tags);
        })?;
        no_content()
    }

    pub(super) fn untag_resource(&self) -> Answer {
        let keys: Vec<&str> = self.route.parameters("tagKeys").collect();
        change(self.apis, self.caller, &self.route.api, |tags| {
            tags.retain(|key, _| !keys.contains(&key.as_str()));
        })?;
        no_content()
    }
}

/// The tags of all APIs and stages of `caller` that have some, by ARN.
pub(in super::super) fn tagged(apis: &RestApis, caller: &Caller) -> BTreeMap<String, Tags> {
    let mut all = BTreeMap::new();
    for api in apis.store.list(caller) {
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
    apis: &RestApis,
    caller: &Caller,
    operation: &str,
    input: &Value,
) -> Result<()> {
    let arn = input["ResourceARN"].as_str().unwrap_or_default();
    change(apis, caller, arn, |tags| apply_tags(tags, operation, input))
}

fn change(apis: &RestApis, caller: &Caller, arn: &str, work: impl FnOnce(&mut Tags)) -> Result<()> {
    let (id, stage) = named(arn)?;
    let change = apis.store.change();
    let mut api = (*apis.store.find(caller, &id)?).clone();
    let tags = tags_of(&mut api, stage.as_deref())?;
    work(tags);
    check_tags(tags)?;
    change.put(api).map(drop)
}

/// The API and the stage in an ARN such as `arn:aws:apigateway:us-east-1::/restapis/ID/stages/NAME`.
fn named(arn: &str) -> Result<(String, Option<String>)> {
    let path = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["", "restapis", id] if arn.starts_with("arn:") => Ok(((*id).to_owned(), None)),
        ["", "restapis", id, "stages", name] if arn.starts_with("arn:") => {
            Ok(((*id).to_owned(), Some((*name).to_owned())))
        }
        _ => Err(Error::bad_request(format!(
            "Invalid resource ARN specified {arn}"
        ))),
    }
}

fn tags_of<'a>(api: &'a mut RestApi, stage: Option<&str>) -> Result<&'a mut Tags> {
    match stage {
        None => Ok(&mut api.tags),
        Some(name) => match api.stages.get_mut(name) {
            Some(stage) => Ok(&mut stage.tags),
            None => Err(Error::not_found("Stage", name)),
        },
    }
}
