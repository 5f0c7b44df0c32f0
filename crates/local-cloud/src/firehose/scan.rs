//! What is buffered: counted, and not held in memory.

use std::collections::BTreeMap;

use super::files::{At, Progress};
use crate::kinesis::store::Page;

/// The records after those that are delivered, as far as they have been counted.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where each shard has been counted to.
    pub at: BTreeMap<u32, At>,
    pub bytes: u64,
    pub records: u64,
    /// Arrival of the oldest record.
    pub oldest_ms: Option<i64>,
    pub is_full: bool,
}

impl Scan {
    pub fn at(&self, progress: &Progress, index: u32) -> Option<At> {
        self.at.get(&index).or(progress.shards.get(&index)).copied()
    }

    /// Counts the records of a page until there are `most` bytes.
    pub fn take(&mut self, index: u32, page: &Page, most: u64) {
        for record in &page.records {
            self.records += 1;
            // An empty record counts too: else they would never fill the buffer.
            self.bytes += record.data.len().max(1) as u64;
            let oldest = self.oldest_ms.get_or_insert(record.arrival_ms);
            *oldest = record.arrival_ms.min(*oldest);
            if self.bytes >= most {
                self.is_full = true;
                let next = record.sequence_number.index() + 1;
                self.at.insert(index, At { next, ended: false });
                return;
            }
        }
        let at = At {
            next: page.next.index,
            ended: page.end_of_shard,
        };
        self.at.insert(index, at);
    }
}
