//! REST APIs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, accepted, created, ok, read};
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{check_tags, check_text};
use crate::apigateway::rest::model::{Paths, Resource, RestApi};
use crate::apigateway::rest::patch;
use crate::apigateway::store::new_id;
use crate::types::Tags;

const MAX_NAME: usize = 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Input {
    name: Option<String>,
    description: Option<String>,
    version: Option<String>,
    endpoint_configuration: Option<Endpoint>,
    api_key_source: Option<String>,
    disable_execute_api_endpoint: Option<bool>,
    tags: Option<Tags>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Endpoint {
    types: Vec<String>,
    ip_address_type: Option<String>,
}

impl Call<'_> {
    pub(super) fn create_api(&self) -> Answer {
        let input: Input = read(self.body)?;
        let name = checked(&input)?;
        let endpoint = endpoint(input.endpoint_configuration.as_ref())?;
        let tags = input.tags.unwrap_or_default();
        check_tags(&tags)?;
        let root = Resource {
            path: "/".to_owned(),
            ..Resource::default()
        };
        let api = self.apis.store.change().add(self.caller, |id| RestApi {
            id,
            account: self.caller.account.clone(),
            region: self.caller.region.clone(),
            name,
            description: input.description,
            version: input.version,
            endpoint,
            disabled: input.disable_execute_api_endpoint == Some(true),
            created_ms: self.now(),
            tags,
            paths: Paths {
                resources: BTreeMap::from([(new_id(10), root)]),
                gateway_responses: BTreeMap::new(),
            },
            deployments: BTreeMap::new(),
            stages: BTreeMap::new(),
        })?;
        created(api.describe(&self.apis.origin))
    }

    pub(super) fn get_api(&self) -> Answer {
        ok(self.api()?.describe(&self.apis.origin))
    }

    pub(super) fn get_apis(&self) -> Answer {
        let apis = self.apis.store.list(self.caller).into_iter();
        self.page(apis.map(|api| (api.id.clone(), api.describe(&self.apis.origin))))
    }

    pub(super) fn update_api(&self) -> Answer {
        let patches = patch::read(self.body)?;
        ok(self.change(|api| {
            let mut document = json!({
                "name": api.name,
                "description": api.description,
                "version": api.version,
                "disableExecuteApiEndpoint": api.disabled,
            });
            for patch in &patches {
                let names = ["name", "description", "version", "disableExecuteApiEndpoint"];
                patch.apply(&mut document, &names)?;
            }
            let input: Input = read(document.to_string().as_bytes())?;
            api.name = checked(&input)?;
            api.description = input.description;
            api.version = input.version;
            api.disabled = input.disable_execute_api_endpoint == Some(true);
            Ok(api.describe(&self.apis.origin))
        })?)
    }

    pub(super) fn delete_api(&self) -> Answer {
        let change = self.apis.store.change();
        change.remove(&self.api()?.id)?;
        accepted()
    }
}

/// The name, if all is valid.
fn checked(input: &Input) -> Result<String> {
    let name = input.name.clone().unwrap_or_default();
    if !(1..=MAX_NAME).contains(&name.chars().count()) {
        return Err(Error::bad_request("No Rest API name specified"));
    }
    for (name, text) in [("description", &input.description), ("version", &input.version)] {
        check_text(name, text.as_deref().unwrap_or_default())?;
    }
    match input.api_key_source.as_deref() {
        None | Some("HEADER") => Ok(name),
        Some(other) => Err(Error::not_offered(format_args!("the API key source {other}"))),
    }
}

fn endpoint(given: Option<&Endpoint>) -> Result<String> {
    let types = given
        .map(|endpoint| endpoint.types.as_slice())
        .unwrap_or_default();
    let address = given.and_then(|endpoint| endpoint.ip_address_type.as_deref());
    if address.is_some_and(|address| address != "ipv4") {
        return Err(Error::not_offered("IP addresses of endpoints other than ipv4"));
    }
    match types {
        [] => Ok("EDGE".to_owned()),
        [one] if one == "EDGE" || one == "REGIONAL" => Ok(one.clone()),
        other => Err(Error::not_offered(format_args!(
            "the endpoint type {}: it is EDGE or REGIONAL",
            Value::from(other.to_vec())
        ))),
    }
}
