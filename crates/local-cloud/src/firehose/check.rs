//! The valid values of parameters, and the refusals of others.
//!
//! Source of the constraints: `service-2.json` of the Firehose API 2015-08-04.

use jiff::tz::TimeZone;
use partition_query::{Fault, Query};
use serde_json::Value;

use super::error::{Error, Result};
use super::input::{
    BufferingHints, DynamicPartitioning, EncryptionConfiguration, Logging, Processing, Processor,
    RetryOptions, Tag,
};
use crate::types::Tags;

/// MiB of records for one call. Source: `ProcessorParameter`, Amazon Data Firehose API reference.
const TRANSFORM_MIB: std::ops::RangeInclusive<f64> = 0.2..=3.0;

pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T> {
    value.ok_or_else(|| Error::missing(member))
}

pub(super) fn check_length(value: Option<&str>, most: usize, member: &str) -> Result<()> {
    match value {
        Some(value) if value.chars().count() > most => Err(Error::constraint(
            &format!("'{value}'"),
            member,
            &format!("have length less than or equal to {most}"),
        )),
        _ => Ok(()),
    }
}

fn pattern_fault(value: &str, member: &str, pattern: &str) -> Error {
    let text = format!("satisfy regular expression pattern: {pattern}");
    Error::constraint(&format!("'{value}'"), member, &text)
}

pub(super) fn one_of(value: &str, member: &str, values: &[&str]) -> Error {
    let text = format!("satisfy enum value set: [{}]", values.join(", "));
    Error::constraint(&format!("'{value}'"), member, &text)
}

pub(super) fn check_range(value: i64, range: std::ops::RangeInclusive<i64>, member: &str) -> Result<()> {
    let text = match () {
        () if value < *range.start() => format!("have value greater than or equal to {}", range.start()),
        () if value > *range.end() => format!("have value less than or equal to {}", range.end()),
        () => return Ok(()),
    };
    Err(Error::constraint(&format!("'{value}'"), member, &text))
}

/// The name of a delivery stream.
pub(super) fn name(value: Option<String>) -> Result<String> {
    const MEMBER: &str = "deliveryStreamName";
    let name = required(value, MEMBER)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    check_length(Some(&name), 64, MEMBER)?;
    match !name.is_empty() && name.chars().all(is_word) {
        true => Ok(name),
        false => Err(pattern_fault(&name, MEMBER, "[a-zA-Z0-9_.-]+")),
    }
}

pub(super) fn check_type(value: &str) -> Result<()> {
    const ALL: &[&str] = &[
        "DirectPut",
        "KinesisStreamAsSource",
        "MSKAsSource",
        "DatabaseAsSource",
    ];
    match ALL.contains(&value) {
        true => Ok(()),
        false => Err(one_of(value, "deliveryStreamType", ALL)),
    }
}

/// An ARN of `service` in an account and a region, whose resource begins with `prefix`.
pub(super) fn check_arn(arn: &str, service: &str, prefix: &str, member: &str) -> Result<()> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c);
    let is_sound = match parts.as_slice() {
        ["arn", _, found, region, account, resource] => {
            let name = resource.strip_prefix(prefix).unwrap_or_default();
            let region = service == "iam" || !region.is_empty();
            *found == service
                && region
                && is_account(account)
                && !name.is_empty()
                && name.chars().all(is_word)
        }
        _ => false,
    };
    match is_sound && arn.len() <= 512 {
        true => Ok(()),
        false => {
            let region = if service == "iam" { "" } else { r"[a-zA-Z0-9\-]+" };
            let pattern = format!(r"arn:.*:{service}:{region}:\d{{12}}:{prefix}[a-zA-Z_0-9+=,.@\-_/]+");
            Err(pattern_fault(arn, member, &pattern))
        }
    }
}

pub(super) fn check_role(arn: &str, member: &str) -> Result<()> {
    check_arn(arn, "iam", "role/", member)
}

/// The name of the bucket with an ARN.
pub(super) fn bucket_of(arn: &str) -> &str {
    arn.rsplit_once(":::").map_or(arn, |(_, name)| name)
}

pub(super) fn check_bucket(arn: &str, member: &str) -> Result<()> {
    let name = bucket_of(arn);
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_sound = arn.starts_with("arn:")
        && arn
            .strip_suffix(name)
            .is_some_and(|start| start.ends_with(":s3:::"))
        && (1..=255).contains(&name.len())
        && name.chars().all(is_word);
    match is_sound {
        true => Ok(()),
        false => Err(pattern_fault(arn, member, r"arn:.*:s3:::[\w\.\-]{1,255}")),
    }
}

pub(super) fn check_extension(extension: Option<&str>, member: &str) -> Result<()> {
    check_length(extension, 128, member)?;
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!-_.*'()".contains(c);
    match extension {
        None | Some("") => Ok(()),
        Some(text)
            if text
                .strip_prefix('.')
                .is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_word)) =>
        {
            Ok(())
        }
        Some(text) => Err(pattern_fault(text, member, r"^$|\.[0-9a-z!\-_.*'()]+")),
    }
}

pub(super) fn check_zone(zone: Option<&str>) -> Result<()> {
    match zone {
        None | Some("") => Ok(()),
        Some(name) if name.len() <= 50 && TimeZone::get(name).is_ok() => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "CustomTimeZone {name} is not a supported time zone."
        ))),
    }
}

pub(super) fn check_offered(mode: &Option<String>, backup: &Option<Value>, at: &str) -> Result<()> {
    match mode.as_deref() {
        None | Some("Disabled") if backup.is_none() => Ok(()),
        None | Some("Disabled" | "Enabled") => Err(Error::not_offered("a backup of source records")),
        Some(other) => Err(one_of(
            other,
            &format!("{at}.s3BackupMode"),
            &["Disabled", "Enabled"],
        )),
    }
}

/// Refuses a configuration that is not `{"Enabled": false}`. Without `Enabled`, it is enabled.
pub(super) fn check_disabled(configuration: Option<&Value>, what: &str) -> Result<()> {
    match configuration {
        Some(given) if given["Enabled"] != Value::Bool(false) => Err(Error::not_offered(what)),
        _ => Ok(()),
    }
}

/// The default of `RetryOptions`. Source: `DynamicPartitioningProps`, AWS CDK API reference.
const RETRY_SECONDS: i64 = 300;

/// Source of the range: `RetryOptions`, Amazon Data Firehose API reference.
pub(super) fn checked_partitioning(
    configuration: Option<DynamicPartitioning>,
    at: &str,
) -> Result<Option<DynamicPartitioning>> {
    let Some(configuration) = configuration else {
        return Ok(None);
    };
    let is_enabled = configuration.enabled == Some(true);
    let given = configuration.retry_options;
    let seconds = given.as_ref().and_then(|options| options.duration_in_seconds);
    let member = format!("{at}.dynamicPartitioningConfiguration.retryOptions.durationInSeconds");
    check_range(seconds.unwrap_or(RETRY_SECONDS), 0..=7200, &member)?;
    let retry_options = match is_enabled {
        true => Some(RetryOptions {
            duration_in_seconds: Some(seconds.unwrap_or(RETRY_SECONDS)),
        }),
        false => given,
    };
    Ok(Some(DynamicPartitioning {
        retry_options,
        enabled: Some(is_enabled),
    }))
}

/// The default size with dynamic partitioning is that of the conversion of record formats, which has the same minimum.
pub(super) fn checked_hints(
    hints: Option<BufferingHints>,
    is_partitioned: bool,
    at: &str,
) -> Result<BufferingHints> {
    let given = hints.map(|hints| (hints.size_in_mbs, hints.interval_in_seconds));
    let (size, interval) = match given {
        None | Some((None, None)) if is_partitioned => (128, 300),
        None | Some((None, None)) => (5, 300),
        Some((Some(size), Some(interval))) => (size, interval),
        Some(_) => {
            return Err(Error::invalid(
                "BufferingHints must have both SizeInMBs and IntervalInSeconds, or neither.",
            ));
        }
    };
    check_range(size, 1..=128, &format!("{at}.bufferingHints.sizeInMBs"))?;
    check_range(
        interval,
        0..=900,
        &format!("{at}.bufferingHints.intervalInSeconds"),
    )?;
    if is_partitioned && size < 64 {
        return Err(Error::invalid(
            "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled.",
        ));
    }
    if is_partitioned && interval < 60 {
        return Err(Error::invalid(
            "BufferingHints.IntervalInSeconds must be at least 60 seconds when Dynamic Partitioning is enabled.",
        ));
    }
    Ok(BufferingHints {
        size_in_mbs: Some(size),
        interval_in_seconds: Some(interval),
    })
}

pub(super) fn checked_compression(format: Option<String>, at: &str) -> Result<String> {
    const ALL: &[&str] = &["UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY"];
    let format = format.unwrap_or_else(|| "UNCOMPRESSED".to_owned());
    match format.as_str() {
        known if ALL.contains(&known) => Ok(format),
        other => Err(one_of(other, &format!("{at}.compressionFormat"), ALL)),
    }
}

pub(super) fn checked_encryption(
    configuration: Option<EncryptionConfiguration>,
    at: &str,
) -> Result<EncryptionConfiguration> {
    let at = format!("{at}.encryptionConfiguration");
    let configuration = configuration.unwrap_or(EncryptionConfiguration {
        none: Some("NoEncryption".to_owned()),
        kms: None,
    });
    match (&configuration.none, &configuration.kms) {
        (Some(word), None) if word == "NoEncryption" => {}
        (Some(word), None) => {
            return Err(one_of(
                word,
                &format!("{at}.noEncryptionConfig"),
                &["NoEncryption"],
            ));
        }
        (None, Some(key)) => {
            let member = format!("{at}.kMSEncryptionConfig.aWSKMSKeyARN");
            let key = required(key.arn.as_deref(), &member)?;
            if check_arn(key, "kms", "key/", &member).is_err() {
                check_arn(key, "kms", "alias/", &member)?;
            }
        }
        _ => {
            return Err(Error::invalid(
                "EncryptionConfiguration must have exactly one of NoEncryptionConfig and KMSEncryptionConfig.",
            ));
        }
    }
    Ok(configuration)
}

pub(super) fn checked_logging(logging: Option<Logging>) -> Result<Logging> {
    let logging = logging.unwrap_or(Logging {
        enabled: Some(false),
        log_group_name: None,
        log_stream_name: None,
    });
    let is_named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    let has_names = is_named(&logging.log_group_name) && is_named(&logging.log_stream_name);
    if logging.enabled == Some(true) && !has_names {
        return Err(Error::invalid(
            "LogGroupName and LogStreamName must be given when CloudWatchLoggingOptions is enabled.",
        ));
    }
    Ok(Logging {
        enabled: Some(logging.enabled.unwrap_or(false)),
        ..logging
    })
}

pub(super) fn check_processing(processing: &Processing, is_partitioned: bool) -> Result<()> {
    let processors = processing.processors.as_deref().unwrap_or_default();
    if processing.enabled == Some(true) && !(1..=5).contains(&processors.len()) {
        return Err(Error::invalid(
            "A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled.",
        ));
    }
    for (index, processor) in processors.iter().enumerate() {
        if processors[..index]
            .iter()
            .any(|other| other.kind == processor.kind)
        {
            return Err(Error::invalid(format!(
                "Only one processor of the type {} can be specified.",
                processor.kind
            )));
        }
        if !is_partitioned && ["MetadataExtraction", "RecordDeAggregation"].contains(&processor.kind.as_str())
        {
            return Err(Error::invalid(format!(
                "class com.amazonaws.services.firehose.internal.model.{}Processor can only be present when Dynamic \
                 Partitioning is enabled.",
                processor.kind
            )));
        }
        check_processor(processor)?;
    }
    Ok(())
}

fn check_processor(processor: &Processor) -> Result<()> {
    let allowed: &[&str] = match processor.kind.as_str() {
        "AppendDelimiterToRecord" => &["Delimiter"],
        "MetadataExtraction" => &["MetadataExtractionQuery", "JsonParsingEngine"],
        "RecordDeAggregation" => &["SubRecordType", "Delimiter"],
        "Lambda" => &[
            "LambdaArn",
            "NumberOfRetries",
            "RoleArn",
            "BufferSizeInMBs",
            "BufferIntervalInSeconds",
        ],
        kind => return Err(Error::not_offered(format_args!("the processor {kind}"))),
    };
    for parameter in processor.parameters.iter().flatten() {
        if !allowed.contains(&parameter.name.as_str()) {
            return Err(Error::not_offered(format_args!(
                "the parameter {} of the processor {}",
                parameter.name, processor.kind
            )));
        }
    }
    match processor.kind.as_str() {
        "Lambda" => check_transform(processor),
        "MetadataExtraction" => check_extraction(processor),
        "RecordDeAggregation" => check_deaggregation(processor),
        _ => check_delimiter(processor),
    }
}

fn check_delimiter(processor: &Processor) -> Result<()> {
    // A line feed is written as two characters: the value of a parameter cannot be white space only.
    match processor.parameter("Delimiter") {
        None | Some("\\n") => Ok(()),
        Some(other) => Err(Error::not_offered(format_args!(
            r"the delimiter {other:?}: records can end with \n only"
        ))),
    }
}

fn check_extraction(processor: &Processor) -> Result<()> {
    if processor.parameter("JsonParsingEngine") != Some("JQ-1.6") {
        return Err(Error::invalid(
            "MetaDataExtraction JSON Parsing Engine has to be one of JQ-1.6",
        ));
    }
    let query = processor.parameter("MetadataExtractionQuery");
    let query = query.ok_or_else(|| Error::invalid("MetaDataExtraction JQ Query should be present"))?;
    match Query::parse(query) {
        Ok(_) => Ok(()),
        Err(Fault::NotOffered(fault)) => Err(Error::not_offered(format_args!(
            "the MetadataExtractionQuery {query:?}: {fault}"
        ))),
        Err(Fault::Invalid(fault)) => Err(Error::invalid(format!(
            "MetaDataExtraction JQ Query is not valid: {fault}."
        ))),
    }
}

/// Source: "Apply dynamic partitioning to aggregated data", Amazon Data Firehose developer guide.
fn check_deaggregation(processor: &Processor) -> Result<()> {
    match (
        processor.parameter("SubRecordType"),
        processor.parameter("Delimiter"),
    ) {
        (Some("JSON"), None) => Ok(()),
        (Some("JSON"), Some(_)) => Err(Error::invalid("Delimiter can only be present for DELIMITED")),
        (Some("DELIMITED"), None | Some("")) => {
            Err(Error::invalid("Delimiter should be present for DELIMITED"))
        }
        (Some("DELIMITED"), Some(delimiter)) => match base64_simd::STANDARD.decode_to_vec(delimiter) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::invalid("Delimiter should be base64 encoded")),
        },
        _ => Err(Error::invalid("SubRecordType has to be one of JSON, DELIMITED")),
    }
}

fn check_transform(processor: &Processor) -> Result<()> {
    let invalid = |name: &str, rule: &str| {
        Err(Error::invalid(format!(
            "The parameter {name} of the processor Lambda {rule}."
        )))
    };
    let function = processor.parameter("LambdaArn").unwrap_or_default();
    if !function.starts_with("arn:") || !function.contains(":lambda:") || !function.contains(":function:") {
        return invalid("LambdaArn", "must be the ARN of a function");
    }
    if let Some(role) = processor.parameter("RoleArn") {
        check_role(role, "processingConfiguration.processors.roleArn")?;
    }
    let number = |name: &str| processor.parameter(name).map(str::parse::<f64>);
    match number("NumberOfRetries") {
        None => {}
        Some(Ok(retries)) if (0.0..=300.0).contains(&retries) && retries.fract() == 0.0 => {}
        Some(_) => return invalid("NumberOfRetries", "must be a whole number from 0 to 300"),
    }
    match number("BufferSizeInMBs") {
        None => {}
        Some(Ok(size)) if TRANSFORM_MIB.contains(&size) => {}
        Some(_) => return invalid("BufferSizeInMBs", "must be from 0.2 to 3"),
    }
    match number("BufferIntervalInSeconds") {
        None => Ok(()),
        Some(Ok(seconds)) if (0.0..=900.0).contains(&seconds) && seconds.fract() == 0.0 => Ok(()),
        Some(_) => invalid("BufferIntervalInSeconds", "must be a whole number from 0 to 900"),
    }
}

/// Tags as a map.
pub(super) fn tags(given: Vec<Tag>) -> Result<Tags> {
    let mut tags = Tags::new();
    for tag in given {
        let key = required(tag.key, "tags.member.key")?;
        check_tag_key(&key)?;
        let value = tag.value.unwrap_or_default();
        check_length(Some(&value), 256, "tags.member.value")?;
        if !value.chars().all(is_tag_word) {
            return Err(pattern_fault(&value, "tags.member.value", TAG_VALUE));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(Error::invalid(format!("The tag key {key} is specified twice.")));
        }
    }
    Ok(tags)
}

const TAG_KEY: &str = r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:\/=+\-@%]*$";
const TAG_VALUE: &str = r"^[\p{L}\p{Z}\p{N}_.:\/=+\-@%]*$";

fn is_tag_word(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@%".contains(c)
}

pub(super) fn check_tag_key(key: &str) -> Result<()> {
    const MEMBER: &str = "tags.member.key";
    check_length(Some(key), 128, MEMBER)?;
    match !key.is_empty() && !key.starts_with("aws:") && key.chars().all(is_tag_word) {
        true => Ok(()),
        false => Err(pattern_fault(key, MEMBER, TAG_KEY)),
    }
}
