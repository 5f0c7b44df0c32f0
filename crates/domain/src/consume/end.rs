//! Where a reader that does not follow ends in a shard: after the records that were there when it began.
//!
//! Knows pages, not the service. MillisBehindLatest is a hint: it is measured to the next unread record, and some
//! endpoints always answer 0, a large number or nothing. No time is computed from it, and a page with records is not the
//! end of a shard unless one of them arrived after the start.

/// Empty pages in a row at the tip after which a shard has no more records.
const EMPTY_AT_TIP: u32 = 2;
/// Empty pages in a row that come no nearer to the tip. An empty page of Kinesis moves on, so this is an endpoint that does
/// not answer 0.
const EMPTY_WITHOUT_PROGRESS: u32 = 20;

/// The end of one shard.
#[derive(Debug)]
pub(crate) struct End {
    /// The start by the service's clock, in milliseconds since the Unix epoch.
    start_ms: i64,
    at_tip: u32,
    without_progress: u32,
    /// The least distance to the tip in this row of empty pages.
    nearest_ms: Option<i64>,
}

impl End {
    pub(crate) fn new(start_ms: i64) -> Self {
        Self {
            start_ms,
            at_tip: 0,
            without_progress: 0,
            nearest_ms: None,
        }
    }

    /// Whether a record that arrived at `arrival_ms` can have been there at the start.
    pub(crate) fn includes(&self, arrival_ms: i64) -> bool {
        arrival_ms <= self.start_ms
    }

    /// Whether every record that was there at the start has been read, now that a page was: `last_arrival_ms` is the arrival
    /// of its last record, if it has any and the endpoint names it.
    pub(crate) fn reached(
        &mut self,
        is_empty: bool,
        last_arrival_ms: Option<i64>,
        behind_ms: Option<i64>,
    ) -> bool {
        if !is_empty {
            *self = Self::new(self.start_ms);
            return last_arrival_ms.is_some_and(|arrival| !self.includes(arrival));
        }
        match behind_ms.filter(|behind| *behind > 0) {
            None => self.at_tip += 1,
            Some(behind) => {
                self.at_tip = 0;
                let is_nearer = self.nearest_ms.is_none_or(|nearest| behind < nearest);
                self.without_progress = if is_nearer { 0 } else { self.without_progress + 1 };
                self.nearest_ms = self.nearest_ms.into_iter().chain([behind]).min();
            }
        }
        self.at_tip >= EMPTY_AT_TIP || self.without_progress >= EMPTY_WITHOUT_PROGRESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_000;

    /// The number of pages `(records, last arrival, behind)` up to the end.
    fn pages_read(pages: impl IntoIterator<Item = (bool, Option<i64>, Option<i64>)>) -> Option<usize> {
        let mut end = End::new(START);
        let reached = |(empty, arrival, behind)| end.reached(empty, arrival, behind);
        pages
            .into_iter()
            .map(reached)
            .position(|reached| reached)
            .map(|at| at + 1)
    }

    #[test]
    fn a_page_with_records_is_not_the_end() {
        let lies = [Some(0), None, Some(i64::MAX)];
        for behind in lies {
            assert_eq!(pages_read(vec![(false, Some(START), behind); 100]), None);
            assert_eq!(pages_read([(false, Some(START + 1), behind)]), Some(1));
            assert_eq!(pages_read(vec![(false, None, behind); 100]), None);
        }
    }

    #[test]
    fn two_empty_pages_at_the_tip_are_the_end() {
        let empty = |behind| (true, None, behind);
        assert_eq!(pages_read([empty(Some(0)), empty(Some(0))]), Some(2));
        assert_eq!(pages_read([empty(None), empty(None)]), Some(2));
        let record = (false, Some(1), Some(0));
        assert_eq!(
            pages_read([empty(Some(0)), record, empty(Some(0)), empty(Some(0))]),
            Some(4)
        );
        assert_eq!(pages_read([empty(Some(0)), empty(Some(9)), empty(Some(0))]), None);
    }

    #[test]
    fn empty_pages_that_come_nearer_are_not_the_end() {
        let nearer = (1..500).rev().map(|behind| (true, None, Some(behind)));
        assert_eq!(pages_read(nearer), None);
        assert_eq!(pages_read(vec![(true, None, Some(i64::MAX)); 100]), Some(21));
    }
}
