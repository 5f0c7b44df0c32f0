//! Tags of CloudWatch's resources: alarms and dashboards have them in the same way.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::Tag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::context::Context;
use crate::pipeline::event::Step;
use crate::pipeline::resource::Spec;
use ground::error::{self, Result};

/// What AWS-compatible endpoints say of an operation that they do not have.
const UNKNOWN_OPERATION: &[&str] = &[
    "InvalidAction",
    "NotImplemented",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedOperation",
];

/// Tags in the form of calls.
pub(super) fn sdk_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

/// Whether an answer says that there are no tags to speak of: the operation is unknown; or the resource, where only alarms
/// have tags, or after it was deleted meanwhile.
fn knows_no_tags(code: &str) -> bool {
    UNKNOWN_OPERATION.contains(&code) || code.starts_with("ResourceNotFound")
}

/// The tags of `arn`; `None` where the endpoint knows no tags of it.
pub(super) async fn list(
    context: &Context,
    arn: &str,
    what: &str,
) -> Result<Option<BTreeMap<String, String>>> {
    let call = context.cloudwatch().list_tags_for_resource().resource_arn(arn);
    match call.send().await {
        Ok(answer) => {
            let tags = answer.tags.unwrap_or_default().into_iter();
            let pair = |tag: Tag| Some((tag.key?, tag.value?));
            Ok(Some(tags.filter_map(pair).collect()))
        }
        Err(error) if error.code().is_some_and(knows_no_tags) => Ok(None),
        Err(error) => Err(error::aws::failed(
            format!("could not list the tags of {what}"),
            error,
        )),
    }
}

/// Brings the tags of `arn` from `there` to those of `spec`.
pub(super) async fn set(
    context: &Context,
    arn: &str,
    spec: &Spec,
    there: &BTreeMap<String, String>,
    step: &Step<'_>,
) -> Result<()> {
    step.doing("setting tags");
    let (set, remove): (_, BTreeSet<String>) = spec.tags.difference(there);
    if !set.is_empty() {
        let call = context.cloudwatch().tag_resource().resource_arn(arn);
        let call = call.set_tags(Some(sdk_tags(&set))).send();
        call.await
            .map_err(|error| error::aws::failed(format!("could not tag {}", spec.id), error))?;
    }
    if !remove.is_empty() {
        step.go_on()?;
        let call = context.cloudwatch().untag_resource().resource_arn(arn);
        let call = call.set_tag_keys(Some(remove.into_iter().collect())).send();
        call.await
            .map_err(|error| error::aws::failed(format!("could not untag {}", spec.id), error))?;
    }
    Ok(())
}

/// Sets what an endpoint passed over of the tags that something was made with.
pub(super) async fn complete(
    context: &Context,
    arn: &str,
    spec: &Spec,
    what: &str,
    step: &Step<'_>,
) -> Result<()> {
    let Some(there) = list(context, arn, what).await? else {
        return Ok(());
    };
    let (missing, _) = spec.tags.difference(&there);
    if missing.is_empty() {
        return Ok(());
    }
    set(context, arn, spec, &there, step).await
}
