//! The response of a handler: which records of the batch failed.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>

use serde::Serialize;

use crate::event::Event;

/// The failed records of one batch.
#[derive(Debug)]
pub struct Failures {
    failed: Vec<bool>,
}

/// Batch item failures. Lambda retries from the lowest sequence number in the list. An empty list means success.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// One for each failed record, in the order of the batch.
    pub batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Sequence number of the record.
    pub item_identifier: String,
}

impl Failures {
    /// No failed records.
    pub fn none_of(event: &Event<'_>) -> Self {
        Self {
            failed: vec![false; event.records.len()],
        }
    }

    /// Marks the record at `index` of the batch as failed, even if only a part of it failed.
    pub fn add(&mut self, index: usize) {
        if let Some(failed) = self.failed.get_mut(index) {
            *failed = true;
        }
    }

    /// Number of failed records.
    pub fn count(&self) -> usize {
        self.failed.iter().filter(|failed| **failed).count()
    }

    /// The response for the batch.
    pub fn response(&self, event: &Event<'_>) -> Response {
        let failed = event
            .records
            .iter()
            .zip(&self.failed)
            .filter(|(_, failed)| **failed);
        Response {
            batch_item_failures: failed
                .map(|(record, _)| Failure {
                    item_identifier: record.sequence_number.clone().into_owned(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn each_failed_record_is_named_once_and_in_order() {
        let payload = testing::event(&[
            testing::record(1, "a", "{}"),
            testing::record(2, "a", "{}"),
            testing::record(3, "a", "{}"),
        ]);
        let event = Event::parse(&payload).unwrap();
        let mut failures = Failures::none_of(&event);
        for index in [2, 0, 2, 99] {
            failures.add(index);
        }
        assert_eq!(failures.count(), 2);
        assert_eq!(
            serde_json::to_string(&failures.response(&event)).unwrap(),
            r#"{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":"3"}]}"#
        );
    }
}
