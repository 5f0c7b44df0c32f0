//! ListStreams, page by page.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{FIVE_A_SECOND, StreamEntry};
use crate::context::Context;
use ground::error::{self, Result};

/// The pages of ListStreams, within the rate of the account. A page has at most 100 streams.
pub(super) struct Pages<'a> {
    ctx: &'a Context,
    started: Instant,
    /// Number of pages read.
    read: u32,
    token: Option<String>,
    /// The last name of the last page.
    last: Option<String>,
    is_done: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(ctx: &'a Context) -> Self {
        Self {
            ctx,
            started: Instant::now(),
            read: 0,
            token: None,
            last: None,
            is_done: false,
        }
    }

    /// The streams of the next page, by name; `None` after the last one.
    ///
    /// # Errors
    /// Exit 4 when the target cannot be reached or denies access, exit 1 for other failures.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<StreamEntry>>> {
        if self.is_done {
            return Ok(None);
        }
        FIVE_A_SECOND.wait(self.ctx, self.started, self.read).await;
        let token = self.token.take();
        // Older endpoints continue after the last name instead of a token, as AWS itself once did.
        let after = if token.is_none() { self.last.clone() } else { None };
        let page = self
            .ctx
            .kinesis()
            .list_streams()
            .set_next_token(token)
            .set_exclusive_start_stream_name(after)
            .send()
            .await
            .map_err(|e| error::aws::failed("could not list the streams", e))?;
        self.read += 1;
        let mut entries: BTreeMap<String, StreamEntry> = page
            .stream_names
            .iter()
            .map(|name| (name.clone(), StreamEntry::named(name.clone())))
            .collect();
        let summaries = page.stream_summaries.as_deref().unwrap_or_default();
        entries.extend(
            summaries
                .iter()
                .map(|s| (s.stream_name.clone(), StreamEntry::from(s))),
        );
        let reached = page.stream_names.last().cloned();
        // An empty page would repeat forever.
        self.is_done = !page.has_more_streams || reached.is_none() || reached == self.last;
        self.last = reached;
        self.token = page.next_token;
        Ok(Some(entries.into_values().collect()))
    }
}
