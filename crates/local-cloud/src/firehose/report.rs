//! Metrics and errors of a delivery stream.
//!
//! Source: "Monitor Amazon Data Firehose with CloudWatch metrics" and "Monitor Amazon Data Firehose using CloudWatch Logs",
//! Amazon Data Firehose developer guide.

use super::hose::Shared;
use super::model::Meta;
use crate::metrics::Sample;

const NAMESPACE: &str = "AWS/Firehose";

pub(super) fn measure_try(
    shared: &Shared,
    meta: &Meta,
    oldest_ms: Option<i64>,
    is_success: bool,
    now_ms: i64,
) {
    let success = f64::from(u8::from(is_success));
    metric(shared, meta, "DeliveryToS3.Success", "Count", success);
    if let Some(oldest_ms) = oldest_ms {
        let age = (now_ms - oldest_ms).max(0) as f64 / 1000.0;
        metric(shared, meta, "DeliveryToS3.DataFreshness", "Seconds", age);
    }
}

pub(super) fn metric(shared: &Shared, meta: &Meta, name: &str, unit: &str, value: f64) {
    let dimensions = [("DeliveryStreamName", meta.name.as_str())];
    let sample = Sample::of(value);
    shared
        .metrics
        .record(&meta.owner(), NAMESPACE, name, &dimensions, unit, sample);
}

/// Writes an error to the log of the local cloud, and to that of the delivery stream if it has one.
pub(super) fn report(shared: &Shared, meta: &Meta, error: &str, now_ms: i64) {
    tracing::warn!(stream = meta.name, "{error}");
    let s3 = &meta.destination;
    let Some(options) = s3
        .cloud_watch_logging_options
        .as_ref()
        .filter(|options| options.enabled == Some(true))
    else {
        return;
    };
    let (Some(group), Some(stream)) = (&options.log_group_name, &options.log_stream_name) else {
        return;
    };
    let owner = meta.owner();
    let resource = format!("log-group:{group}:log-stream:{stream}");
    let resource = crate::service::arn(&owner, "logs", &resource);
    let role = s3.role_arn.as_deref().unwrap_or_default();
    if !shared.destination.allows(role, "logs:PutLogEvents", &resource) {
        return;
    }
    let code = error.split_once(": ").map(|(code, _)| code);
    let code = code.filter(|code| code.starts_with("S3.") || code.starts_with("Lambda."));
    let text = serde_json::json!({
        "deliveryStreamARN": meta.arn(),
        "destination": s3.bucket_arn,
        "deliveryStreamVersionId": meta.version_id,
        "message": error,
        "errorCode": code.unwrap_or("InternalError"),
    });
    shared
        .destination
        .log(&owner, group, stream, now_ms, text.to_string());
}
