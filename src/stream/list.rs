//! The streams of an account and region.

use aws_sdk_kinesis::types as sdk;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::state::{Mode, Status, summary, timestamp};
use crate::context::Context;
use crate::error::{self, Result};

/// One line of the list: what ListStreams says, and the shard count where asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamEntry {
    /// Name, unique in account and region.
    pub name: String,
    /// Where it is in its life.
    pub status: Status,
    /// Who decides on the number of shards.
    pub mode: Mode,
    /// Shards that take records; `None` where not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_shards: Option<u32>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Amazon Resource Name.
    pub arn: String,
}

/// DescribeStreamSummary calls in flight: the API takes 20 a second per account (Kinesis API reference), and an
/// answer from AWS takes longer than a tenth of a second with its signature and its connection.
const SUMMARIES_IN_FLIGHT: usize = 4;

/// All streams whose names begin with `prefix`, by name. `with_shards` asks for the open shards of each, one call a
/// stream.
///
/// # Errors
/// Exit 4 when the target is out of reach or refuses, exit 1 for other failures of the calls.
pub async fn list(ctx: &Context, prefix: &str, with_shards: bool) -> Result<Vec<StreamEntry>> {
    let mut entries = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let page = ctx
            .kinesis()
            .list_streams()
            .set_next_token(token.clone())
            .send()
            .await
            .map_err(|e| error::aws::failed("could not list the streams", e))?;
        let summaries = page.stream_summaries.unwrap_or_default();
        entries.extend(summaries.iter().map(StreamEntry::from));
        if !page.has_more_streams || page.next_token.is_none() || page.next_token == token {
            break;
        }
        token = page.next_token;
    }
    entries.retain(|entry| entry.name.starts_with(prefix));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if !with_shards {
        return Ok(entries);
    }
    stream::iter(entries)
        .map(|mut entry| async move {
            let summary = summary(ctx, &entry.name).await?;
            entry.open_shards = summary.map(|s| u32::try_from(s.open_shard_count).unwrap_or(0));
            Ok(entry)
        })
        .buffered(SUMMARIES_IN_FLIGHT)
        .try_collect()
        .await
}

impl From<&sdk::StreamSummary> for StreamEntry {
    fn from(summary: &sdk::StreamSummary) -> Self {
        Self {
            name: summary.stream_name.clone(),
            status: Status::from(&summary.stream_status),
            mode: Mode::from(summary.stream_mode_details.as_ref()),
            open_shards: None,
            created: summary.stream_creation_timestamp.as_ref().and_then(timestamp),
            arn: summary.stream_arn.clone(),
        }
    }
}
