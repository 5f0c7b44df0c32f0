//! What follows from the outcome of one invocation. Pure.

use std::time::Duration;

use crate::consume::TailRecord;
use crate::functions::answer::{Verdict, verdict};
use crate::functions::runtime::Outcome;

/// The mapping's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Records of a batch at most.
    pub batch_size: usize,
    /// How long a batch is gathered.
    pub window: Duration,
    /// Retries of a failed batch; `None` without end.
    pub retries: Option<u32>,
    /// Records older than this are given up.
    pub max_age: Option<Duration>,
    /// Whether a failed batch is split in two; splitting costs no retry.
    pub bisect: bool,
    /// Whether the function's answer is read as a report of failures.
    pub partial_failures: bool,
}

/// Records that are to be one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The records, of one shard and in order.
    pub records: Vec<TailRecord>,
    /// Failed invocations so far that count.
    pub tries: u32,
}

/// What follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// How many records, from the first, are processed.
    pub processed: usize,
    /// What is to be invoked again, in this order.
    pub again: Vec<Attempt>,
    /// What is given up.
    pub given_up: Vec<TailRecord>,
}

impl Next {
    /// What is to be invoked again, in words.
    pub fn in_words(&self) -> String {
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

/// What follows from `outcome` of `attempt`.
pub fn next(policy: &Policy, attempt: Attempt, outcome: &Outcome) -> Next {
    let Attempt { mut records, tries } = attempt;
    let judged = match outcome {
        Outcome::Failed(_) => Verdict::Failure,
        Outcome::Returned(_) if !policy.partial_failures => Verdict::Success,
        Outcome::Returned(answer) => {
            let numbers: Vec<&str> = records
                .iter()
                .map(|record| record.sequence_number.as_str())
                .collect();
            verdict(answer, &numbers)
        }
    };
    let mut next = Next::default();
    match judged {
        Verdict::Success => next.processed = records.len(),
        // The batch is split where the report says, which costs no retry where splitting is on.
        Verdict::From(place) => {
            next.processed = place;
            let rest = records.split_off(place);
            let tries = if policy.bisect { tries } else { tries + 1 };
            retry(policy, rest, tries, &mut next);
        }
        Verdict::Failure if policy.bisect && records.len() > 1 => {
            let second = records.split_off(records.len() / 2);
            next.again = [records, second].map(|records| Attempt { records, tries }).into();
        }
        Verdict::Failure => retry(policy, records, tries + 1, &mut next),
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
