//! The changes of a stream that CloudTrail has recorded in the last 24 hours: how much of a daily quota is used.

use aws_sdk_cloudtrail::config::Builder;
use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::config::timeout::TimeoutConfig;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::time::Duration;

use super::state::timestamp;
use crate::context::Context;

/// Pages of 50 events that are read. LookupEvents takes two calls a second (CloudTrail API reference).
const MOST_PAGES: usize = 10;

/// When the calls of the operation `name` that changed the stream `arn` in the last 24 hours were made, oldest first. `None`
/// if that is not known: only AWS has such records, the caller may not read them, or there are too many of other streams.
pub async fn last_day(ctx: &Context, name: &str, arn: &str) -> Option<Vec<Timestamp>> {
    // Another endpoint could have an empty trail.
    if ctx.is_local() || ctx.is_foreign() {
        return None;
    }
    let begin = Timestamp::now()
        .checked_sub(SignedDuration::from_hours(24))
        .ok()?;
    let attribute = LookupAttribute::builder()
        .attribute_key(LookupAttributeKey::EventName)
        .attribute_value(name)
        .build()
        .ok()?;
    let mut times = Vec::new();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let call = ctx
            .cloudtrail()
            .lookup_events()
            .lookup_attributes(attribute.clone());
        let call = call
            .start_time(DateTime::from_secs(begin.as_second()))
            .set_next_token(token)
            .customize()
            .config_override(impatient());
        let page = call.send().await.ok()?;
        times.extend(page.events().iter().filter_map(|event| changed(event, arn)));
        token = page.next_token;
        if token.is_none() {
            times.sort();
            return Some(times);
        }
    }
    None
}

/// The command can do without.
fn impatient() -> Builder {
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .build();
    Builder::new()
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(limits)
}

/// When `event` changed the stream `arn`; `None` if it failed or is about another stream.
fn changed(event: &Event, arn: &str) -> Option<Timestamp> {
    let record: Value = serde_json::from_str(event.cloud_trail_event()?).ok()?;
    let asked = &record["requestParameters"];
    let name = arn.rsplit('/').next()?;
    let is_ours = asked["streamARN"] == arn || asked["streamName"] == name;
    // Source: "CloudTrail record contents", CloudTrail user guide.
    (is_ours && record["errorCode"].is_null())
        .then(|| event.event_time().and_then(timestamp))
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_successful_changes_of_the_stream_count() {
        let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
        let count = |record: Value| {
            let event = Event::builder()
                .cloud_trail_event(record.to_string())
                .event_time(DateTime::from_secs(60))
                .build();
            changed(&event, arn).map(Timestamp::as_second)
        };
        assert_eq!(count(json!({"requestParameters": {"streamARN": arn}})), Some(60));
        assert_eq!(
            count(json!({"requestParameters": {"streamName": "orders"}})),
            Some(60)
        );
        assert_eq!(
            count(json!({"requestParameters": {"streamARN": arn}, "errorCode": "LimitExceededException"})),
            None
        );
        assert_eq!(
            count(json!({"requestParameters": {"streamName": "clicks"}})),
            None
        );
        assert_eq!(count(json!({"requestParameters": null})), None);
    }
}
