//! The changes of a stream that CloudTrail has recorded in the last 24 hours: how much of a daily quota is used.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

use crate::context::{CLOUDTRAIL, Context};

/// Pages of 50 events that are read. LookupEvents takes two calls a second (CloudTrail API reference).
const MOST_PAGES: usize = 10;
/// The command can do without.
const LONGEST_CALL: Duration = Duration::from_secs(5);

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
    let mut times = Vec::new();
    let mut token = Value::Null;
    for _ in 0..MOST_PAGES {
        let mut input = json!({
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": name}],
            "StartTime": begin.as_second(),
        });
        if !token.is_null() {
            input["NextToken"] = token;
        }
        let what = "could not look up events".to_owned();
        let call = ctx.call_regional(CLOUDTRAIL, "LookupEvents", &input, what);
        let mut page = timeout(LONGEST_CALL, call).await.ok()?.ok()?;
        let events = page["Events"].as_array().into_iter().flatten();
        times.extend(events.filter_map(|event| changed(event, arn)));
        token = page["NextToken"].take();
        if token.is_null() {
            times.sort();
            return Some(times);
        }
    }
    None
}

/// When `event` changed the stream `arn`; `None` if it failed or is about another stream.
fn changed(event: &Value, arn: &str) -> Option<Timestamp> {
    let record: Value = serde_json::from_str(event["CloudTrailEvent"].as_str()?).ok()?;
    let asked = &record["requestParameters"];
    let name = arn.rsplit('/').next()?;
    let is_ours = asked["streamARN"] == arn || asked["streamName"] == name;
    // Source: "CloudTrail record contents", CloudTrail user guide.
    let counts = is_ours && record["errorCode"].is_null();
    // Seconds, with a fraction. Source: AWS JSON 1.1 protocol, Smithy.
    let seconds = event["EventTime"].as_f64().filter(|_| counts)?;
    Timestamp::UNIX_EPOCH
        .checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successful_changes_of_the_stream_count() {
        let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
        let count = |record: Value| {
            let event = json!({"CloudTrailEvent": record.to_string(), "EventTime": 60.25});
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
