//! The control plane.
//!
//! One change is made at a time. It is saved before it is answered.

mod account;
mod aliases;
mod concurrency;
mod event_config;
mod functions;
mod permissions;
mod tags;
mod update;
mod urls;
mod versions;

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::Lambda;
use super::error::{ApiError, Result};
use super::model::{Function, Version};
use super::name::FunctionName;
use super::route::{Operation, Route};
use crate::answer::{answer, identify, request_id, whole};
use crate::{Body, Caller};

/// Maximum page size. Source: ListFunctions, Lambda API reference.
const PAGE: usize = 50;

pub(super) struct Request<'a> {
    pub lambda: &'a Lambda,
    pub caller: &'a Caller,
    pub route: &'a Route,
    pub body: &'a Bytes,
}

/// Status and body. No body for 204.
pub(super) type Answer = Result<(u16, Option<Value>)>;

fn ok(value: Value) -> Answer {
    Ok((200, Some(value)))
}

fn created(value: Value) -> Answer {
    Ok((201, Some(value)))
}

fn no_content() -> Answer {
    Ok((204, None))
}

impl Request<'_> {
    /// Answers the request. Blocks.
    pub fn answer(&self) -> Response<Body> {
        if let Operation::DownloadCode(hash) = &self.route.operation {
            return self.download(hash);
        }
        match self.run() {
            Ok((status, value)) => {
                let bytes = value.map(|value| value.to_string()).unwrap_or_default();
                let mut response = answer(status, "application/json", whole(bytes));
                identify(&mut response, &request_id());
                response
            }
            Err(error) => error.answer(),
        }
    }

    fn run(&self) -> Answer {
        use Operation as O;
        match &self.route.operation {
            O::CreateFunction => self.create_function(),
            O::ListFunctions => self.list_functions(),
            O::GetFunction(name) => self.get_function(name),
            O::DeleteFunction(name) => self.delete_function(name),
            O::GetFunctionConfiguration(name) => self.get_function_configuration(name),
            O::UpdateFunctionConfiguration(name) => self.update_function_configuration(name),
            O::UpdateFunctionCode(name) => self.update_function_code(name),
            O::PublishVersion(name) => self.publish_version(name),
            O::ListVersionsByFunction(name) => self.list_versions(name),
            O::CreateAlias(name) => self.create_alias(name),
            O::ListAliases(name) => self.list_aliases(name),
            O::GetAlias(name, alias) => self.get_alias(name, alias),
            O::UpdateAlias(name, alias) => self.update_alias(name, alias),
            O::DeleteAlias(name, alias) => self.delete_alias(name, alias),
            O::AddPermission(name) => self.add_permission(name),
            O::GetPolicy(name) => self.get_policy(name),
            O::RemovePermission(name, sid) => self.remove_permission(name, sid),
            O::PutFunctionConcurrency(name) => self.put_concurrency(name),
            O::GetFunctionConcurrency(name) => self.get_concurrency(name),
            O::DeleteFunctionConcurrency(name) => self.delete_concurrency(name),
            O::PutFunctionEventInvokeConfig(name) => self.put_event_config(name, true),
            O::UpdateFunctionEventInvokeConfig(name) => self.put_event_config(name, false),
            O::GetFunctionEventInvokeConfig(name) => self.get_event_config(name),
            O::DeleteFunctionEventInvokeConfig(name) => self.delete_event_config(name),
            O::ListFunctionEventInvokeConfigs(name) => self.list_event_configs(name),
            O::CreateFunctionUrlConfig(name) => self.create_url(name),
            O::GetFunctionUrlConfig(name) => self.get_url(name),
            O::UpdateFunctionUrlConfig(name) => self.update_url(name),
            O::DeleteFunctionUrlConfig(name) => self.delete_url(name),
            O::ListFunctionUrlConfigs(name) => self.list_urls(name),
            O::GetFunctionCodeSigningConfig(name) => self.get_code_signing_config(name),
            O::GetRuntimeManagementConfig(name) => self.get_runtime_management_config(name),
            O::GetFunctionRecursionConfig(name) => self.get_recursion_config(name),
            O::ListTags(arn) => self.list_tags(arn),
            O::TagResource(arn) => self.tag_resource(arn),
            O::UntagResource(arn) => self.untag_resource(arn),
            O::GetAccountSettings => self.get_account_settings(),
            O::Invoke(_) | O::InvokeAsync(_) | O::DownloadCode(_) => {
                Err(ApiError::service("This is not a request of the control plane."))
            }
        }
    }

    fn now(&self) -> i64 {
        self.lambda.clock.now_ms()
    }

    /// The function in the path, with the qualifier of the path or the query.
    fn name(&self, text: &str) -> Result<FunctionName> {
        FunctionName::read(self.caller, text, self.route.parameter("Qualifier"))
    }

    /// The function in the path. A qualifier is an error.
    fn unqualified(&self, text: &str) -> Result<FunctionName> {
        let name = FunctionName::read(self.caller, text, None)?;
        match name.qualifier.as_deref() {
            None | Some(super::name::LATEST) => Ok(FunctionName {
                qualifier: None,
                ..name
            }),
            Some(_) => Err(ApiError::invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this \
                 operation. Please specify either a function name or an unqualified function ARN.",
            )),
        }
    }

    /// The requested page. It starts after `Marker`.
    fn page<T>(&self, all: Vec<T>, key: impl Fn(&T) -> String) -> Result<(Vec<T>, Option<String>)> {
        let size = match self.route.parameter("MaxItems") {
            None => PAGE,
            Some(text) => {
                let items = text.parse::<i64>().map_err(|_| {
                    ApiError::serialization(format!("'{text}' can not be converted to an Integer"))
                })?;
                super::settings::ranged(items, "maxItems", 1, 10_000)? as usize
            }
        };
        let marker = self.route.parameter("Marker").filter(|marker| !marker.is_empty());
        let mut rest: Vec<T> = match marker {
            None => all,
            Some(marker) => {
                let last = base64_simd::URL_SAFE_NO_PAD
                    .decode_to_vec(marker)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| ApiError::invalid("Invalid pagination token."))?;
                all.into_iter().filter(|item| key(item) > last).collect()
            }
        };
        let more = rest.len() > size.min(PAGE);
        rest.truncate(size.min(PAGE));
        let next = rest
            .last()
            .filter(|_| more)
            .map(|item| base64_simd::URL_SAFE_NO_PAD.encode_to_string(key(item)));
        Ok((rest, next))
    }
}

/// The version of the name, or Lambda's error if it does not exist.
fn version_of<'a>(function: &'a Function, name: &FunctionName) -> Result<&'a Version> {
    function
        .version(name.qualifier.as_deref())
        .ok_or_else(|| ApiError::not_found(format!("Function not found: {}", name.qualified_arn())))
}

fn check_revision(given: Option<&str>, revision: &str) -> Result<()> {
    match given {
        Some(given) if given != revision => Err(ApiError::precondition()),
        _ => Ok(()),
    }
}
