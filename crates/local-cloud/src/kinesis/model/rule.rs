//! The constraints of the model, one constant for each shape. Source: `service-2.json` of the Kinesis API 2013-12-02.

/// A constraint on a value.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Only the type.
    Any,
    /// Length in characters (text), items (list, map) or bytes (blob), and a pattern.
    Length {
        min: usize,
        max: usize,
        /// Must match the whole text.
        pattern: Option<Pattern>,
    },
    /// Both ends are inclusive.
    Range { min: i64, max: Option<i64> },
    /// One of these values.
    OneOf(&'static [&'static str]),
    List {
        min: usize,
        max: usize,
        member: &'static Rule,
    },
    Map {
        min: usize,
        max: usize,
        /// Minimum and maximum length of a key.
        key: (usize, usize),
        /// Minimum and maximum length of a value.
        value: (usize, usize),
    },
}

/// A regular expression of the model and a function that implements it.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// The expression as the model and AWS's messages write it.
    pub text: &'static str,
    /// Whether the whole value matches.
    pub matches: fn(&str) -> bool,
}

const fn length(min: usize, max: usize) -> Rule {
    Rule::Length {
        min,
        max,
        pattern: None,
    }
}

const fn pattern(min: usize, max: usize, text: &'static str, matches: fn(&str) -> bool) -> Rule {
    Rule::Length {
        min,
        max,
        pattern: Some(Pattern { text, matches }),
    }
}

pub const ANY: Rule = Rule::Any;
/// Name of a stream, consumer or shard.
pub const NAME: Rule = pattern(1, 128, "[a-zA-Z0-9_.-]+", is_name);
pub const STREAM_ARN: Rule = pattern(1, 2048, r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+", is_stream_arn);
/// ARN of a stream or consumer.
pub const RESOURCE_ARN: Rule = pattern(
    1,
    2048,
    r"arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+",
    is_resource_arn,
);
pub const CONSUMER_ARN: Rule = pattern(
    1,
    2048,
    r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
    is_consumer_arn,
);
pub const STREAM_ID: Rule = pattern(1, 24, "[a-z0-9]{20}-[a-z0-9]{3}", is_stream_id);
/// A hash key, decimal.
pub const HASH_KEY: Rule = pattern(0, usize::MAX, r"0|([1-9]\d{0,38})", is_hash_key);
/// A sequence number, decimal.
pub const SEQUENCE_NUMBER: Rule = pattern(0, usize::MAX, r"0|([1-9]\d{0,128})", is_sequence_number);
pub const PARTITION_KEY: Rule = length(1, 256);
/// 10 MiB: the largest limit that a stream can have.
pub const DATA: Rule = length(0, 10_485_760);
pub const NEXT_TOKEN: Rule = length(1, 1_048_576);
pub const SHARD_ITERATOR: Rule = length(1, 512);
pub const KEY_ID: Rule = length(1, 2048);
pub const PAGE: Rule = Rule::Range {
    min: 1,
    max: Some(10_000),
};
pub const TAG_PAGE: Rule = Rule::Range {
    min: 1,
    max: Some(50),
};
pub const POSITIVE: Rule = Rule::Range { min: 1, max: None };
/// Throughput in MiB/s.
pub const NATURAL: Rule = Rule::Range { min: 0, max: None };
/// KiB.
pub const MAX_RECORD_SIZE: Rule = Rule::Range {
    min: 1024,
    max: Some(10_240),
};
pub const TAG_KEY: Rule = length(1, 128);
pub const TAG_KEYS: Rule = Rule::List {
    min: 1,
    max: 50,
    member: &TAG_KEY,
};
pub const TAGS: Rule = Rule::Map {
    min: 1,
    max: 200,
    key: (1, 128),
    value: (0, 256),
};
pub const ENCRYPTION_TYPE: Rule = Rule::OneOf(&["NONE", "KMS"]);
pub const SCALING_TYPE: Rule = Rule::OneOf(&["UNIFORM_SCALING"]);
pub const STREAM_MODE: Rule = Rule::OneOf(&["PROVISIONED", "ON_DEMAND"]);
pub const DISTRIBUTION: Rule = Rule::OneOf(&["AUTO", "USER_PARTITION_KEY"]);
pub const ITERATOR_TYPE: Rule = Rule::OneOf(&[
    "AFTER_SEQUENCE_NUMBER",
    "LATEST",
    "AT_TIMESTAMP",
    "AT_SEQUENCE_NUMBER",
    "TRIM_HORIZON",
]);
pub const FILTER_TYPE: Rule = Rule::OneOf(&[
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
]);
pub const METRIC: Rule = Rule::OneOf(&[
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
    "ALL",
]);
pub const METRICS: Rule = Rule::List {
    min: 1,
    max: 7,
    member: &METRIC,
};
pub const COMMITMENT: Rule = Rule::OneOf(&["ENABLED", "DISABLED"]);
pub const RECORDS: Rule = Rule::List {
    min: 1,
    max: 500,
    member: &Rule::Any,
};

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// `arn:<aws…>:kinesis:<region>:<account>:<rest>` → rest.
fn after_account(text: &str) -> Option<&str> {
    let mut parts = text.splitn(6, ':');
    let head = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    let rest = parts.next()?;
    let account_fits = head.4.len() == 12 && head.4.bytes().all(|b| b.is_ascii_digit());
    (head.0 == "arn" && head.1.starts_with("aws") && head.2 == "kinesis" && account_fits).then_some(rest)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

fn is_stream_arn(text: &str) -> bool {
    after_account(text)
        .and_then(|rest| rest.strip_prefix("stream/"))
        .is_some_and(is_word)
}

fn is_resource_arn(text: &str) -> bool {
    after_account(text)
        .and_then(|rest| rest.split_once("stream/"))
        .is_some_and(|(_, name)| is_word(name))
}

fn is_consumer_arn(text: &str) -> bool {
    let Some((_, rest)) = after_account(text).and_then(|rest| rest.split_once("stream/")) else {
        return false;
    };
    let Some((stream, rest)) = rest.split_once("/consumer/") else {
        return false;
    };
    let Some((consumer, created)) = rest.split_once(':') else {
        return false;
    };
    is_name(stream) && is_name(consumer) && !created.is_empty() && created.bytes().all(|b| b.is_ascii_digit())
}

fn is_stream_id(text: &str) -> bool {
    let fits = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split_once('-')
        .is_some_and(|(a, b)| fits(a, 20) && fits(b, 3))
}

fn is_decimal(text: &str, max_digits: usize) -> bool {
    text == "0"
        || (!text.is_empty()
            && text.len() <= max_digits
            && !text.starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit()))
}

fn is_hash_key(text: &str) -> bool {
    is_decimal(text, 39)
}

fn is_sequence_number(text: &str) -> bool {
    is_decimal(text, 129)
}
