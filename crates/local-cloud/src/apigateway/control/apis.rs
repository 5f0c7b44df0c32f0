//! APIs.

use std::collections::BTreeMap;

use super::{Answer, Call, created, no_content, ok};
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{self, ApiInput, CorsInput};
use crate::apigateway::model::{
    Api, ApiRoute, DEFAULT, Integration, MAX_TIMEOUT_MS, Paths, Stage, function_of,
};
use crate::apigateway::select;
use crate::apigateway::store::new_id;

const MAX_NAME: usize = 128;

impl Call<'_> {
    pub(super) fn create_api(&self) -> Answer {
        let input: ApiInput = input::read(self.body)?;
        let name = required(input.name.as_deref(), "name")?;
        check(&input)?;
        match required(input.protocol_type.as_deref(), "protocolType")? {
            "HTTP" => {}
            "WEBSOCKET" => return Err(Error::not_offered("WebSocket APIs")),
            other => {
                return Err(Error::bad_request(format!(
                    "Invalid protocol {other}: it must be HTTP or WEBSOCKET"
                )));
            }
        }
        let tags = input.tags.clone().unwrap_or_default();
        input::check_tags(&tags)?;
        let cors = input.cors_configuration.as_ref().map(CorsInput::read);
        let cors = cors.transpose()?.flatten();
        let (paths, stages) = self.quick(&input)?;
        let api = self.gateway.store.change().add(self.caller, |id| Api {
            id,
            account: self.caller.account.clone(),
            region: self.caller.region.clone(),
            name: name.to_owned(),
            description: input.description.clone(),
            version: input.version.clone(),
            cors,
            disabled: input.disable_execute_api_endpoint == Some(true),
            created_ms: self.now(),
            tags,
            paths,
            stages,
            deployments: BTreeMap::new(),
        })?;
        created(api.describe(&self.gateway.origin))
    }

    /// Route, integration and stage of an API that is created for a function.
    fn quick(&self, input: &ApiInput) -> Result<(Paths, BTreeMap<String, Stage>)> {
        let Some(target) = &input.target else {
            return Ok(Default::default());
        };
        if function_of(target).is_none() {
            return Err(Error::not_offered("targets that are not Lambda functions"));
        }
        let key = input.route_key.as_deref().unwrap_or(DEFAULT);
        select::check_key(key)
            .map_err(|why| Error::bad_request(format!("The provided route key is not valid: {why}")))?;
        let (integration, now) = (new_id(7), self.now());
        let route = ApiRoute {
            key: key.to_owned(),
            integration: Some(integration.clone()),
            operation_name: None,
        };
        let function = Integration {
            uri: target.clone(),
            format_1: false,
            timeout_ms: MAX_TIMEOUT_MS,
            description: None,
        };
        let stage = Stage {
            auto_deploy: true,
            created_ms: now,
            updated_ms: now,
            ..Stage::default()
        };
        let paths = Paths {
            routes: BTreeMap::from([(new_id(7), route)]),
            integrations: BTreeMap::from([(integration, function)]),
        };
        Ok((paths, BTreeMap::from([(DEFAULT.to_owned(), stage)])))
    }

    pub(super) fn get_api(&self) -> Answer {
        ok(self.api()?.describe(&self.gateway.origin))
    }

    pub(super) fn get_apis(&self) -> Answer {
        let apis = self.gateway.store.list(self.caller).into_iter();
        self.page(apis.map(|api| (api.id.clone(), api.describe(&self.gateway.origin))))
    }

    pub(super) fn update_api(&self) -> Answer {
        let input: ApiInput = input::read(self.body)?;
        check(&input)?;
        if input.target.is_some() || input.route_key.is_some() {
            return Err(Error::not_offered(
                "changes of route and target with the API: change its routes and integrations",
            ));
        }
        let cors = input
            .cors_configuration
            .as_ref()
            .map(CorsInput::read)
            .transpose()?;
        ok(self.change(|api| {
            if let Some(name) = input.name {
                api.name = name;
            }
            if input.description.is_some() {
                api.description = input.description;
            }
            if input.version.is_some() {
                api.version = input.version;
            }
            if let Some(cors) = cors {
                api.cors = cors;
            }
            if let Some(disabled) = input.disable_execute_api_endpoint {
                api.disabled = disabled;
            }
            Ok(api.describe(&self.gateway.origin))
        })?)
    }

    pub(super) fn delete_api(&self) -> Answer {
        let change = self.gateway.store.change();
        change.remove(&self.api()?.id)?;
        no_content()
    }

    pub(super) fn delete_cors(&self) -> Answer {
        self.change(|api| {
            api.cors = None;
            Ok(())
        })?;
        no_content()
    }
}

fn check(input: &ApiInput) -> Result<()> {
    if let Some(name) = &input.name
        && !(1..=MAX_NAME).contains(&name.chars().count())
    {
        return Err(Error::bad_request(format!(
            "name must have 1 to {MAX_NAME} characters"
        )));
    }
    if input.credentials_arn.is_some() {
        return Err(Error::not_offered(
            "credentials of integrations: the resource policy of the function decides",
        ));
    }
    for (name, text) in [("description", &input.description), ("version", &input.version)] {
        input::check_text(name, text.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

pub(super) fn required<'a>(member: Option<&'a str>, name: &str) -> Result<&'a str> {
    member.ok_or_else(|| Error::bad_request(format!("{name} is required")))
}
