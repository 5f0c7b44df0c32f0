//! The streams that have certain tags.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::filter::TagFilter;
use super::{FIVE_A_SECOND, StreamEntry};
use crate::context::Context;
use crate::stream::state::tags;
use ground::error::Result;

/// Resources in a page, the most that GetResources returns. Source: Resource Groups Tagging API reference.
const PAGE: i32 = 100;

/// Keeps the streams that have all `wanted` tags. The tagging API tells them with a call for each hundred. Where it is denied
/// or not available, ListTagsForStream is called for each stream, five times a second.
///
/// # Errors
/// When the tags of a stream cannot be read.
pub(super) async fn keep(ctx: &Context, wanted: &[TagFilter], entries: &mut Vec<StreamEntry>) -> Result<()> {
    if wanted.is_empty() || entries.is_empty() {
        return Ok(());
    }
    // Some endpoints list names only.
    let has_arns = entries.iter().all(|entry| !entry.arn.is_empty());
    if has_arns && let Ok(arns) = resources(ctx, wanted).await {
        entries.retain(|entry| arns.contains(&entry.arn));
        return Ok(());
    }
    let started = Instant::now();
    let mut kept = Vec::new();
    for (index, entry) in (0..).zip(entries.drain(..)) {
        FIVE_A_SECOND.wait(ctx, started, index).await;
        // A stream can be deleted meanwhile.
        let Some(tags) = tags(ctx, &entry.name).await? else {
            continue;
        };
        let has = |filter: &TagFilter| {
            let value = tags.get(&filter.key);
            value.is_some_and(|value| filter.value.as_ref().is_none_or(|wanted| wanted == value))
        };
        if wanted.iter().all(has) {
            kept.push(entry);
        }
    }
    *entries = kept;
    Ok(())
}

/// The ARNs of the streams with all `wanted` tags (GetResources).
async fn resources(ctx: &Context, wanted: &[TagFilter]) -> Result<BTreeSet<String>> {
    let filters = wanted.iter().map(|filter| match &filter.value {
        Some(value) => json!({"Key": filter.key, "Values": [value]}),
        None => json!({"Key": filter.key}),
    });
    let input = json!({
        "ResourceTypeFilters": ["kinesis:stream"],
        "TagFilters": filters.collect::<Vec<Value>>(),
        "ResourcesPerPage": PAGE,
    });
    let found = ctx
        .tagged_resources(input, "could not list the tagged streams")
        .await?;
    Ok(found.into_iter().map(|resource| resource.arn).collect())
}
