//! The metrics that are read, in display order.

use super::Statistic;

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A metric of the stream: free.
    Stream,
    /// A metric of a shard: enhanced monitoring, charged.
    Shard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// CloudWatch's name.
    pub name: &'static str,
    /// Short name for display.
    pub label: &'static str,
    pub unit: Unit,
    /// Statistic of each period.
    pub statistic: Statistic,
}

const fn total(name: &'static str, label: &'static str, unit: Unit) -> Spec {
    Spec {
        name,
        label,
        unit,
        statistic: Statistic::Sum,
    }
}

const fn latency(name: &'static str, label: &'static str) -> Spec {
    Spec {
        name,
        label,
        unit: Unit::Milliseconds,
        statistic: Statistic::Average,
    }
}

const fn age(name: &'static str, label: &'static str) -> Spec {
    Spec {
        name,
        label,
        unit: Unit::Milliseconds,
        statistic: Statistic::Maximum,
    }
}

static STREAM: &[Spec] = &[
    total("IncomingRecords", "records in", Unit::Count),
    total("IncomingBytes", "bytes in", Unit::Bytes),
    total("PutRecords.SuccessfulRecords", "puts accepted", Unit::Count),
    total("PutRecords.FailedRecords", "puts failed", Unit::Count),
    total("PutRecords.ThrottledRecords", "puts throttled", Unit::Count),
    total(
        "WriteProvisionedThroughputExceeded",
        "writes over limit",
        Unit::Count,
    ),
    total("GetRecords.Records", "records out", Unit::Count),
    total("GetRecords.Bytes", "bytes out", Unit::Bytes),
    total(
        "ReadProvisionedThroughputExceeded",
        "reads over limit",
        Unit::Count,
    ),
    latency("PutRecord.Latency", "PutRecord time"),
    latency("PutRecords.Latency", "PutRecords time"),
    latency("GetRecords.Latency", "GetRecords time"),
    age("GetRecords.IteratorAgeMilliseconds", "iterator age"),
];

static SHARD: &[Spec] = &[
    total("IncomingRecords", "records in", Unit::Count),
    total("IncomingBytes", "bytes in", Unit::Bytes),
    total(
        "WriteProvisionedThroughputExceeded",
        "writes over limit",
        Unit::Count,
    ),
    total("OutgoingRecords", "records out", Unit::Count),
    total("OutgoingBytes", "bytes out", Unit::Bytes),
    total(
        "ReadProvisionedThroughputExceeded",
        "reads over limit",
        Unit::Count,
    ),
    age("IteratorAgeMilliseconds", "iterator age"),
];

pub fn specs(level: Level) -> &'static [Spec] {
    match level {
        Level::Stream => STREAM,
        Level::Shard => SHARD,
    }
}
