//! PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy. Policies are stored and returned, not enforced.

use super::resource::{Resource, find_resource, no_consumer};
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::stream::meta::StreamMeta;

/// Largest policy, bytes: the limit of resource-based policies in other AWS services.
const MAX_POLICY_BYTES: usize = 20_480;

/// PutResourcePolicy.
pub fn put(engine: &Engine, context: &Context, input: input::PutResourcePolicy) -> Result<()> {
    let (stream, resource) = find_resource(engine, context, text(&input.resource_arn))?;
    let policy = text(&input.policy);
    let well_formed = serde_json::from_str::<serde_json::Value>(policy).is_ok_and(|policy| {
        policy
            .get("Statement")
            .is_some_and(|s| s.is_array() || s.is_object())
    });
    if !well_formed || policy.len() > MAX_POLICY_BYTES {
        return Err(ApiError::invalid_argument(
            "The policy is malformed: it must be a JSON policy with a Statement.",
        ));
    }
    stream.change(context.now_ms, |meta| {
        meta.require_active()?;
        *slot(meta, &resource)? = Some(policy.to_owned());
        Ok(())
    })
}

/// GetResourcePolicy.
pub fn get(engine: &Engine, context: &Context, input: input::Resource) -> Result<output::GetResourcePolicy> {
    let arn = text(&input.resource_arn);
    let (stream, resource) = find_resource(engine, context, arn)?;
    let mut meta = stream.view(context.now_ms).meta.clone();
    match slot(&mut meta, &resource)?.take() {
        Some(policy) => Ok(output::GetResourcePolicy { policy }),
        None => Err(none(arn)),
    }
}

/// DeleteResourcePolicy.
pub fn delete(engine: &Engine, context: &Context, input: input::Resource) -> Result<()> {
    let arn = text(&input.resource_arn);
    let (stream, resource) = find_resource(engine, context, arn)?;
    stream.change(context.now_ms, |meta| {
        meta.require_active()?;
        slot(meta, &resource)?.take().map(|_| ()).ok_or_else(|| none(arn))
    })
}

fn none(arn: &str) -> ApiError {
    ApiError::not_found(format!("No resource policy found for resource ARN {arn}."))
}

fn slot<'a>(meta: &'a mut StreamMeta, resource: &Resource) -> Result<&'a mut Option<String>> {
    match resource {
        Resource::Stream => Ok(&mut meta.policy),
        Resource::Consumer(name) => {
            let account = &meta.account;
            meta.consumers
                .iter_mut()
                .find(|c| c.name == *name)
                .map(|c| &mut c.policy)
                .ok_or_else(|| no_consumer(name, account))
        }
    }
}
