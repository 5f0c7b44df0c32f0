//! What happens to the records of a batch after an invocation. Makes no call.

use std::time::Duration;

use crate::consume::TailRecord;
use crate::functions::answer::{BatchResult, batch_result};
use crate::functions::runtime::InvokeResult;

/// The mapping's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Maximum number of records in a batch.
    pub batch_size: usize,
    /// How long records are collected for a batch.
    pub window: Duration,
    /// Retries of a failed batch; `None` for no limit.
    pub retries: Option<u32>,
    /// Records older than this are given up.
    pub max_age: Option<Duration>,
    /// Whether a failed batch is split in two. A split does not count as a retry.
    pub bisect: bool,
    /// Whether the function's response is read as a report of failures.
    pub partial_failures: bool,
}

/// The records of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The records, of one shard and in order.
    pub records: Vec<TailRecord>,
    /// Failed invocations that count as tries.
    pub tries: u32,
}

/// What happens to the records of an [`Attempt`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// How many records are processed, from the first on.
    pub processed: usize,
    /// The next invocations, in this order.
    pub again: Vec<Attempt>,
    /// Records that are not retried any more.
    pub given_up: Vec<TailRecord>,
}

impl Next {
    /// The next invocations, as text.
    pub fn describe(&self) -> String {
        match self.again.as_slice() {
            [] => "nothing more".to_owned(),
            [one] => format!("{} again", counted(one.records.len())),
            many => format!(
                "split into {}",
                many.iter()
                    .map(|one| one.records.len().to_string())
                    .collect::<Vec<_>>()
                    .join(" and ")
            ),
        }
    }
}

fn counted(records: usize) -> String {
    match records {
        1 => "1 record".to_owned(),
        many => format!("{many} records"),
    }
}

/// What happens to the records of `attempt` after `outcome`.
pub fn next(policy: &Policy, attempt: Attempt, outcome: &InvokeResult) -> Next {
    let Attempt { mut records, tries } = attempt;
    let result = match outcome {
        InvokeResult::Failed(_) => BatchResult::Failure,
        InvokeResult::Returned(_) if !policy.partial_failures => BatchResult::Success,
        InvokeResult::Returned(answer) => {
            let numbers: Vec<&str> = records
                .iter()
                .map(|record| record.sequence_number.as_str())
                .collect();
            batch_result(answer, &numbers)
        }
    };
    let mut next = Next::default();
    match result {
        BatchResult::Success => next.processed = records.len(),
        // With bisect on, the batch is split at the reported record, which does not count as a retry.
        BatchResult::From(index) => {
            next.processed = index;
            let rest = records.split_off(index);
            let tries = if policy.bisect { tries } else { tries + 1 };
            retry(policy, rest, tries, &mut next);
        }
        BatchResult::Failure if policy.bisect && records.len() > 1 => {
            let second = records.split_off(records.len() / 2);
            next.again = [records, second].map(|records| Attempt { records, tries }).into();
        }
        BatchResult::Failure => retry(policy, records, tries + 1, &mut next),
    }
    next
}

fn retry(policy: &Policy, records: Vec<TailRecord>, tries: u32, next: &mut Next) {
    if policy.retries.is_some_and(|retries| tries > retries) {
        next.given_up = records;
    } else {
        next.again.push(Attempt { records, tries });
    }
}
