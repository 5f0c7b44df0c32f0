//! Tags of alarms and dashboards, which CloudWatch keeps in the same way.

use aws_sdk_cloudwatch::types::Tag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::kind::{Kind, Managed, TagMap};
use crate::pipeline::event::Step;
use ground::error::Result;

/// Codes of AWS-compatible endpoints for an operation that they do not have.
const UNKNOWN_OPERATION: &[&str] = &[
    "InvalidAction",
    "NotImplemented",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedOperation",
];

/// Tags in the form of calls.
pub(super) fn sdk_tags(tags: &TagMap) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

/// Whether an error code means that there are no tags: the endpoint has no such operation, keeps tags of alarms only, or
/// the resource was deleted meanwhile.
fn means_no_tags(code: &str) -> bool {
    UNKNOWN_OPERATION.contains(&code) || code.starts_with("ResourceNotFound")
}

impl<D: Send + Sync> Managed<'_, D>
where
    Self: Kind,
{
    /// The tags of `arn`; `None` where the endpoint keeps no tags for it.
    pub(super) async fn cloudwatch_tags(&self, arn: &str) -> Result<Option<TagMap>> {
        let call = self.context.cloudwatch().list_tags_for_resource();
        match call.resource_arn(arn).send().await {
            Err(error) if error.code().is_some_and(means_no_tags) => Ok(None),
            answer => {
                let tags = self.response("list the tags of", answer)?.tags;
                let pair = |tag: Tag| Some((tag.key?, tag.value?));
                Ok(Some(
                    tags.unwrap_or_default().into_iter().filter_map(pair).collect(),
                ))
            }
        }
    }

    pub(super) async fn cloudwatch_tag(&self, arn: &str, tags: &TagMap) -> Result<()> {
        let call = self.context.cloudwatch().tag_resource().resource_arn(arn);
        let call = call.set_tags(Some(sdk_tags(tags)));
        self.response("tag", call.send().await).map(drop)
    }

    pub(super) async fn cloudwatch_untag(&self, arn: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.cloudwatch().untag_resource().resource_arn(arn);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    /// Sets the tags that the endpoint ignored when it created the resource.
    pub(super) async fn complete_cloudwatch_tags(&self, step: &Step<'_>) -> Result<()> {
        let arn = self.arn();
        let Some(there) = self.cloudwatch_tags(&arn).await? else {
            return Ok(());
        };
        let (missing, _) = self.spec.tags.difference(&there);
        if missing.is_empty() {
            return Ok(());
        }
        self.set_tags(&arn, &there, step).await
    }
}
