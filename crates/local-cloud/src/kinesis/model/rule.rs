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
/// ARN of a stream, consumer, channel or queue.
pub const RESOURCE_ARN: Rule = pattern(
    1,
    2048,
    r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+",
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
pub const CHANNEL_ARN: Rule = pattern(
    1,
    2048,
    r"arn:aws.*:kinesis:.*:\d{12}:channel/\S+",
    is_channel_arn,
);
pub const ROLE_ARN: Rule = pattern(
    1,
    512,
    r"arn:aws[-a-z0-9]*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+",
    is_role_arn,
);
pub const GSR_SCHEMA_ARN: Rule = pattern(
    1,
    512,
    r"arn:aws[-a-z0-9]*:glue:[-a-z0-9]+:\d{12}:schema/[-a-zA-Z0-9_$#.]+/[-a-zA-Z0-9_$#.]+",
    is_schema_arn,
);
pub const BUCKET_ARN: Rule = pattern(1, 2048, "arn:aws[-a-z0-9]*:s3:::[a-z0-9._-]{3,63}", is_bucket_arn);
pub const TABLE_BUCKET_ARN: Rule = pattern(
    1,
    2048,
    r"arn:aws[-a-z0-9]*:s3tables:[-a-z0-9]+:\d{12}:bucket/[a-z0-9_-]{3,63}",
    is_table_bucket_arn,
);
/// 12-digit account id.
pub const BUCKET_OWNER: Rule = pattern(12, 12, r"\d{12}", is_account);
pub const ERROR_PREFIX: Rule = pattern(1, 512, r"[0-9A-Za-z!\-_'.*()\/]+", is_error_prefix);
pub const KEY_TEMPLATE: Rule = pattern(1, 1024, r"[0-9A-Za-z!\-_'.*()\/=:{}]+", is_key_template);
/// Namespace or name of a table.
pub const TABLE_NAME: Rule = pattern(1, 255, "[0-9a-z_]+", is_table_name);
pub const SOURCE_NAME: Rule = pattern(1, 255, r"[a-zA-Z0-9\.\_]+", is_source_name);
pub const LOG_GROUP: Rule = pattern(1, 512, r"[\.\-_/#A-Za-z0-9]+", is_log_group);
pub const LOG_STREAM: Rule = pattern(1, 512, "[^:*]*", is_log_stream);
pub const RECORD_FORMAT: Rule = Rule::OneOf(&["GSR_JSON", "JSON", "STRING", "BYTE_ARRAY"]);
pub const STORAGE_CLASS: Rule = Rule::OneOf(&["STANDARD", "INTELLIGENT_TIERING", "GLACIER_IR"]);
pub const S3_COMPRESSION: Rule = Rule::OneOf(&["NONE", "GZIP", "ZSTD"]);
pub const TABLE_COMPRESSION: Rule = Rule::OneOf(&["NONE", "ZSTD", "SNAPPY"]);
pub const TRANSFORM: Rule = Rule::OneOf(&["TIME_HOUR"]);
pub const KMS_ONLY: Rule = Rule::OneOf(&["KMS"]);
/// Streams or tables of a channel.
pub const CHANNEL_PARTS: Rule = Rule::List {
    min: 1,
    max: 10_000,
    member: &Rule::Any,
};
pub const PARTITION_FIELDS: Rule = Rule::List {
    min: 1,
    max: 10,
    member: &Rule::Any,
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
    let named = |kind: &str| {
        after_account(text)
            .and_then(|rest| rest.split_once(kind))
            .is_some_and(|(_, name)| is_word(name))
    };
    ["stream/", "channel/", "queue/"].into_iter().any(named)
}

/// Letters, digits and the characters of `also`.
fn is_made_of(text: &str, also: &[u8]) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

/// `arn:<aws…>:<service>:<region>:<account>:<rest>` → rest, if region and account are as wanted.
fn arn_of<'a>(text: &'a str, service: &str, has_region: bool, has_account: bool) -> Option<&'a str> {
    let mut parts = text.splitn(6, ':');
    let (arn, partition, of, region, account) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    let rest = parts.next()?;
    let partition_fits = partition.strip_prefix("aws").is_some_and(|rest| {
        rest.bytes()
            .all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    let region_fits = if has_region {
        is_made_of(region, b"-")
    } else {
        region.is_empty()
    };
    let account_fits = if has_account {
        is_account(account)
    } else {
        account.is_empty()
    };
    (arn == "arn" && partition_fits && of == service && region_fits && account_fits).then_some(rest)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_channel_arn(text: &str) -> bool {
    after_account(text)
        .and_then(|rest| rest.strip_prefix("channel/"))
        .is_some_and(is_word)
}

fn is_role_arn(text: &str) -> bool {
    arn_of(text, "iam", false, true)
        .and_then(|rest| rest.strip_prefix("role/"))
        .is_some_and(|name| is_made_of(name, b"_+=,.@-/"))
}

fn is_schema_arn(text: &str) -> bool {
    let name = |name: &str| is_made_of(name, b"-_$#.");
    arn_of(text, "glue", true, true)
        .and_then(|rest| rest.strip_prefix("schema/"))
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(registry, schema)| name(registry) && name(schema))
}

fn is_bucket_name(text: &str, also: &[u8]) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || also.contains(&b);
    (3..=63).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_bucket_arn(text: &str) -> bool {
    arn_of(text, "s3", false, false).is_some_and(|name| is_bucket_name(name, b"._-"))
}

fn is_table_bucket_arn(text: &str) -> bool {
    arn_of(text, "s3tables", true, true)
        .and_then(|rest| rest.strip_prefix("bucket/"))
        .is_some_and(|name| is_bucket_name(name, b"_-"))
}

fn is_error_prefix(text: &str) -> bool {
    is_made_of(text, b"!-_'.*()/")
}

fn is_key_template(text: &str) -> bool {
    is_made_of(text, b"!-_'.*()/=:{}")
}

fn is_table_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_source_name(text: &str) -> bool {
    is_made_of(text, b"._")
}

fn is_log_group(text: &str) -> bool {
    is_made_of(text, b".-_/#")
}

fn is_log_stream(text: &str) -> bool {
    !text.contains([':', '*'])
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
