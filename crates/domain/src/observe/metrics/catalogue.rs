//! The known metrics of each kind of resource, in display order: name, unit, statistic, the limit that they are measured
//! against, and what a value above zero means.
//!
//! Source of names, units and dimensions: "Monitoring the Amazon Kinesis Data Streams Service with Amazon CloudWatch"
//! (Kinesis), "Types of metrics for Lambda functions" (Lambda), "Available CloudWatch metrics for Amazon SQS" (SQS),
//! "DynamoDB metrics and dimensions" (DynamoDB).

use std::borrow::Cow;

use super::Statistic;
use super::resource::Kind;

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Milliseconds,
    Seconds,
    Percent,
}

impl Unit {
    /// CloudWatch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
            Self::Percent => "Percent",
        }
    }
}

/// What a metric is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Records a second that the shards take.
    RecordsIn,
    /// Bytes a second that the shards take.
    BytesIn,
    /// Bytes a second that the shards give to all readers with GetRecords.
    BytesOut,
    /// Bytes a second that the shards give to one consumer with enhanced fan-out.
    FanOutBytes,
    /// How long the stream keeps records, in milliseconds.
    Retention,
    /// Timeout of the function, in milliseconds.
    Timeout,
    /// Reserved concurrency of the function, or else the concurrency of the account.
    Concurrency,
    /// How long the queue keeps messages, in seconds.
    MessageRetention,
    /// Provisioned read capacity of the table, in units a second.
    ReadUnits,
    /// Provisioned write capacity of the table, in units a second.
    WriteUnits,
}

impl Limit {
    /// The limit in words that follow "of".
    pub fn words(self) -> &'static str {
        match self {
            Self::RecordsIn | Self::BytesIn => "the write limit",
            Self::BytesOut => "the read limit",
            Self::FanOutBytes => "the fan-out limit",
            Self::Retention => "the retention",
            Self::Timeout => "the timeout",
            Self::Concurrency => "the concurrency limit",
            Self::MessageRetention => "the message retention",
            Self::ReadUnits => "the provisioned reads",
            Self::WriteUnits => "the provisioned writes",
        }
    }

    /// Whether it is a rate: per second.
    pub fn is_rate(self) -> bool {
        match self {
            Self::RecordsIn
            | Self::BytesIn
            | Self::BytesOut
            | Self::FanOutBytes
            | Self::ReadUnits
            | Self::WriteUnits => true,
            Self::Retention | Self::Timeout | Self::Concurrency | Self::MessageRetention => false,
        }
    }
}

/// What a value above zero means, in words: "12 writes throttled".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Singular, such as `write`.
    pub noun: &'static str,
    /// Such as `throttled`.
    pub verb: &'static str,
    /// Whether something failed or was lost, not only delayed.
    pub is_failure: bool,
    /// The metric of the same resource that says how much was tried.
    pub among: Option<Among>,
}

/// What a number of refusals or failures is a share of, by CloudWatch's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// The metric counts what was not refused.
    Accepted(&'static str),
    /// The metric counts everything.
    All(&'static str),
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// CloudWatch's name.
    pub name: Cow<'static, str>,
    /// Short name for display.
    pub label: Cow<'static, str>,
    pub unit: Unit,
    /// Statistic of each period.
    pub statistic: Statistic,
    pub limit: Option<Limit>,
    pub trouble: Option<Trouble>,
}

impl Spec {
    const fn known(name: &'static str, label: &'static str, unit: Unit, statistic: Statistic) -> Self {
        Self {
            name: Cow::Borrowed(name),
            label: Cow::Borrowed(label),
            unit,
            statistic,
            limit: None,
            trouble: None,
        }
    }

    /// A metric that is not in the catalogue, such as one of a program of the user.
    pub fn custom(name: &str, unit: Unit, statistic: Statistic) -> Self {
        Self {
            name: Cow::Owned(name.to_owned()),
            label: Cow::Owned(name.to_owned()),
            unit,
            statistic,
            limit: None,
            trouble: None,
        }
    }

    const fn against(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// A value above zero is a delay: what was refused is tried again.
    const fn delays(mut self, noun: &'static str, verb: &'static str) -> Self {
        self.trouble = Some(Trouble {
            noun,
            verb,
            is_failure: false,
            among: None,
        });
        self
    }

    /// Says what a value above zero is a share of.
    const fn among(mut self, among: Among) -> Self {
        if let Some(trouble) = &mut self.trouble {
            trouble.among = Some(among);
        }
        self
    }

    /// A value above zero is a failure.
    const fn fails(mut self, noun: &'static str, verb: &'static str) -> Self {
        self.trouble = Some(Trouble {
            noun,
            verb,
            is_failure: true,
            among: None,
        });
        self
    }
}

const fn count(name: &'static str, label: &'static str) -> Spec {
    Spec::known(name, label, Unit::Count, Statistic::Sum)
}

const fn bytes(name: &'static str, label: &'static str) -> Spec {
    Spec::known(name, label, Unit::Bytes, Statistic::Sum)
}

const fn latency(name: &'static str, label: &'static str) -> Spec {
    Spec::known(name, label, Unit::Milliseconds, Statistic::Average)
}

const fn longest(name: &'static str, label: &'static str) -> Spec {
    Spec::known(name, label, Unit::Milliseconds, Statistic::Maximum)
}

const fn gauge(name: &'static str, label: &'static str) -> Spec {
    Spec::known(name, label, Unit::Count, Statistic::Maximum)
}

static STREAM: &[Spec] = &[
    count("IncomingRecords", "records in").against(Limit::RecordsIn),
    bytes("IncomingBytes", "bytes in").against(Limit::BytesIn),
    count("PutRecords.TotalRecords", "puts"),
    count("PutRecords.SuccessfulRecords", "puts accepted"),
    count("PutRecords.FailedRecords", "puts failed")
        .fails("entry of PutRecords", "failed")
        .among(Among::All("PutRecords.TotalRecords")),
    count("PutRecords.ThrottledRecords", "puts throttled"),
    count("WriteProvisionedThroughputExceeded", "writes over limit")
        .delays("write", "throttled")
        .among(Among::Accepted("IncomingRecords")),
    count("GetRecords.Records", "records out"),
    bytes("GetRecords.Bytes", "bytes out").against(Limit::BytesOut),
    count("ReadProvisionedThroughputExceeded", "reads over limit").delays("read", "throttled"),
    latency("PutRecord.Latency", "PutRecord time"),
    latency("PutRecords.Latency", "PutRecords time"),
    latency("GetRecords.Latency", "GetRecords time"),
    longest("GetRecords.IteratorAgeMilliseconds", "iterator age").against(Limit::Retention),
];

static SHARD: &[Spec] = &[
    count("IncomingRecords", "records in").against(Limit::RecordsIn),
    bytes("IncomingBytes", "bytes in").against(Limit::BytesIn),
    count("WriteProvisionedThroughputExceeded", "writes over limit").delays("write", "throttled"),
    count("OutgoingRecords", "records out"),
    bytes("OutgoingBytes", "bytes out").against(Limit::BytesOut),
    count("ReadProvisionedThroughputExceeded", "reads over limit").delays("read", "throttled"),
    longest("IteratorAgeMilliseconds", "iterator age").against(Limit::Retention),
];

static CONSUMER: &[Spec] = &[
    count("SubscribeToShardEvent.Records", "records out"),
    bytes("SubscribeToShardEvent.Bytes", "bytes out").against(Limit::FanOutBytes),
    longest("SubscribeToShardEvent.MillisBehindLatest", "behind latest").against(Limit::Retention),
    count("SubscribeToShard.RateExceeded", "calls over limit").delays("subscription", "throttled"),
];

static FUNCTION: &[Spec] = &[
    count("Invocations", "invocations"),
    count("Errors", "errors")
        .fails("invocation", "failed")
        .among(Among::All("Invocations")),
    count("Throttles", "throttles")
        .delays("invocation", "throttled")
        .among(Among::Accepted("Invocations")),
    latency("Duration", "duration"),
    longest("Duration", "longest duration").against(Limit::Timeout),
    gauge("ConcurrentExecutions", "concurrency").against(Limit::Concurrency),
    longest("IteratorAge", "iterator age").against(Limit::Retention),
    count("DestinationDeliveryFailures", "delivery failures").fails("failed batch", "not delivered"),
];

static ACCOUNT: &[Spec] = &[gauge("ConcurrentExecutions", "concurrency").against(Limit::Concurrency)];

static MAPPING: &[Spec] = &[
    count("PolledEventCount", "records read"),
    count("FilteredOutEventCount", "filtered out"),
    count("InvokedEventCount", "records invoked"),
    count("FailedInvokeEventCount", "records failed")
        .fails("record", "failed")
        .among(Among::All("InvokedEventCount")),
    count("DroppedEventCount", "records dropped").fails("record", "dropped"),
    count("OnFailureDestinationDeliveredEventCount", "to destination"),
    count("DeletedEventCount", "records deleted"),
];

static QUEUE: &[Spec] = &[
    gauge("ApproximateNumberOfMessagesVisible", "messages"),
    Spec::known(
        "ApproximateAgeOfOldestMessage",
        "oldest message",
        Unit::Seconds,
        Statistic::Maximum,
    )
    .against(Limit::MessageRetention),
    count("NumberOfMessagesSent", "messages sent"),
    count("NumberOfMessagesDeleted", "messages deleted"),
];

static TABLE: &[Spec] = &[
    count("ConsumedWriteCapacityUnits", "units written").against(Limit::WriteUnits),
    count("WriteThrottleEvents", "writes throttled").delays("write", "throttled"),
    count("ConsumedReadCapacityUnits", "units read").against(Limit::ReadUnits),
    count("ReadThrottleEvents", "reads throttled").delays("read", "throttled"),
];

/// The metrics of the bundled functions, which they write to their logs, by namespace.
static RETAIL: &[Spec] = &[
    count("ProcessedEvents", "processed"),
    count("FailedEvents", "failed")
        .fails("event", "failed")
        .among(Among::Accepted("ProcessedEvents")),
    latency("ProcessingDuration", "processing time"),
    Spec::known("SuccessRate", "success rate", Unit::Percent, Statistic::Average),
    count("BatchSize", "records of batches"),
];

static REALTIME: &[Spec] = &[count("RejectedRecords", "rejected").fails("record", "rejected")];

/// The known metrics of `kind`.
pub fn specs(kind: Kind) -> &'static [Spec] {
    match kind {
        Kind::Stream => STREAM,
        Kind::Shard => SHARD,
        Kind::Consumer => CONSUMER,
        Kind::Function => FUNCTION,
        Kind::Account => ACCOUNT,
        Kind::Mapping => MAPPING,
        Kind::Queue => QUEUE,
        Kind::Table => TABLE,
    }
}

/// The known metrics of a namespace of a bundled function.
pub fn custom_specs(namespace: &str) -> &'static [Spec] {
    match namespace {
        "RetailEventProcessing" => RETAIL,
        "RealtimeDataProcessing" => REALTIME,
        _ => &[],
    }
}

/// The namespace and the dimension of the metrics that the bundled function `handler` publishes. The value of a dimension that
/// is not `FunctionName` is that of the environment variable of the same name.
pub(super) fn bundled_namespace(handler: &str) -> Option<(&'static str, &'static str)> {
    match handler {
        "retail-event-processor" => Some(("RetailEventProcessing", "Environment")),
        "realtime-data-processor" => Some(("RealtimeDataProcessing", "FunctionName")),
        _ => None,
    }
}

/// The known metric `name` of `kind`, the first if there are several statistics of it.
pub fn spec(kind: Kind, name: &str) -> Option<&'static Spec> {
    specs(kind).iter().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_listed_once_with_each_statistic() {
        for kind in Kind::ALL {
            let all = specs(kind);
            assert!(!all.is_empty());
            for (index, spec) in all.iter().enumerate() {
                let same = |other: &&Spec| other.name == spec.name && other.statistic == spec.statistic;
                assert!(
                    !all[..index].iter().any(|other| same(&other)),
                    "{kind:?} {}",
                    spec.name
                );
                assert!(spec.label.chars().count() <= 18, "{}", spec.label);
            }
        }
    }

    #[test]
    fn a_limit_that_is_a_rate_belongs_to_a_sum() {
        let all = Kind::ALL.into_iter().flat_map(specs);
        for spec in all {
            let is_sum = spec.statistic == Statistic::Sum;
            assert!(
                spec.limit.is_none_or(|limit| limit.is_rate() == is_sum),
                "{}",
                spec.name
            );
            assert!(spec.trouble.is_none() || is_sum, "{}", spec.name);
        }
    }
}
