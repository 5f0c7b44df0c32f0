//! Alarm mute rules, the results of actions, and the history.

use super::*;
use crate::deliver::Undelivered;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:alerts";

impl super::Cloud {
    fn alarm(&self, name: &str) {
        self.json(
            "PutMetricAlarm",
            &json!({
                "AlarmName": name, "Namespace": "App", "MetricName": "Failed", "Statistic": "Sum", "Period": 60,
                "EvaluationPeriods": 1, "Threshold": 10, "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "ignore", "AlarmActions": [TOPIC],
            }),
        )
        .unwrap();
    }

    fn mute(&self, expression: &str, duration: &str) -> Result<Value, (String, String)> {
        let schedule = json!({"Expression": expression, "Duration": duration});
        self.json(
            "PutAlarmMuteRule",
            &json!({"Name": "quiet", "Rule": {"Schedule": schedule}, "MuteTargets": {"AlarmNames": ["a"]}}),
        )
    }

    /// Puts a value, and evaluates the alarms after its minute.
    fn failed(&self, count: u32) {
        self.put(json!([{"MetricName": "Failed", "Value": count}]))
            .unwrap();
        self.clock.advance(60_000);
        self.watch.evaluate_alarms();
    }

    fn status(&self) -> String {
        let rule = self
            .json("GetAlarmMuteRule", &json!({"AlarmMuteRuleName": "quiet"}))
            .unwrap();
        rule["Status"].as_str().unwrap().to_owned()
    }

    fn summaries(&self, filter: Value) -> Vec<String> {
        let history = self.json("DescribeAlarmHistory", &filter).unwrap();
        let items = history["AlarmHistoryItems"].as_array().unwrap().iter();
        items
            .map(|item| item["HistorySummary"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn muted_actions_are_executed_when_the_rule_ends_and_the_alarm_is_still_in_its_state() {
    let cloud = cloud();
    cloud.alarm("a");
    cloud.mute("at(2026-11-21T09:01)", "PT3M").unwrap();
    assert_eq!(cloud.status(), "SCHEDULED");
    cloud.failed(10);
    assert_eq!(cloud.status(), "ACTIVE");
    cloud.failed(11);
    let muted = cloud
        .json("DescribeAlarms", &json!({"StateValue": "ALARM"}))
        .unwrap();
    assert_eq!(muted["MetricAlarms"][0]["AlarmName"], "a", "the state changes");
    assert_eq!(cloud.watch.notifications(), []);
    cloud.clock.advance(120_000);
    cloud.watch.evaluate_alarms();
    assert_eq!(cloud.status(), "EXPIRED");
    assert_eq!(cloud.watch.notifications().len(), 1);
    cloud.watch.evaluate_alarms();
    assert_eq!(cloud.watch.notifications().len(), 1, "once");
}

#[test]
fn an_alarm_that_recovered_while_it_was_muted_stays_silent() {
    let cloud = cloud();
    cloud.alarm("a");
    cloud.failed(0);
    cloud.mute("at(2026-11-21T09:01)", "PT10M").unwrap();
    cloud.failed(11);
    cloud.failed(0);
    cloud
        .json("DeleteAlarmMuteRule", &json!({"AlarmMuteRuleName": "quiet"}))
        .unwrap();
    cloud.watch.evaluate_alarms();
    assert_eq!(cloud.watch.notifications(), []);
}

#[test]
fn mute_rules_are_listed_by_alarm_and_status() {
    let cloud = cloud();
    cloud.mute("at(2026-11-21T09:00)", "PT1H").unwrap();
    let listed = |filter: Value| {
        let rules = cloud.json("ListAlarmMuteRules", &filter).unwrap();
        rules["AlarmMuteRuleSummaries"].as_array().unwrap().len()
    };
    assert_eq!(listed(json!({})), 1);
    assert_eq!(listed(json!({"AlarmName": "a", "Statuses": ["ACTIVE"]})), 1);
    assert_eq!(listed(json!({"AlarmName": "b"})), 0);
    assert_eq!(listed(json!({"Statuses": ["EXPIRED", "SCHEDULED"]})), 0);
    assert!(
        cloud
            .mute("cron(0 2 * * *)", "PT1H")
            .unwrap_err()
            .1
            .contains("cron")
    );
    assert!(cloud.mute("at(2026-11-21T09:00)", "1h").is_err());
    let unknown = cloud.json("GetAlarmMuteRule", &json!({"AlarmMuteRuleName": "x"}));
    assert!(unknown.unwrap_err().0.starts_with("ResourceNotFoundException"));
}

#[test]
fn an_action_waits_for_its_execution_over_a_restart_and_its_result_is_in_the_history() {
    let cloud = cloud();
    cloud.alarm("a");
    cloud.failed(11);
    let Cloud { watch, clock, _dir } = cloud;
    drop(watch);
    let watch = CloudWatch::open(_dir.path(), clock.clone()).unwrap();
    let cloud = Cloud { watch, clock, _dir };
    let notifications = cloud.watch.notifications();
    assert_eq!(notifications.len(), 1);
    let event: Value = serde_json::from_str(&notifications[0].event).unwrap();
    assert_eq!(event["alarmData"]["state"]["value"], "ALARM");
    assert_eq!(
        event["alarmData"]["configuration"]["metrics"][0]["metricStat"]["metric"]["name"],
        "Failed"
    );
    let gone = Undelivered {
        code: "NotFound".into(),
        message: "Topic does not exist".into(),
    };
    cloud.watch.executed(&notifications[0], Err(gone));
    assert_eq!(cloud.watch.notifications(), []);
    assert_eq!(
        cloud.summaries(json!({"HistoryItemType": "Action"})),
        [format!(
            "Failed to execute action {TOPIC}. Received error: \"Topic does not exist\""
        )]
    );
}

#[test]
fn the_history_is_filtered_and_paged() {
    let cloud = cloud();
    cloud.alarm("a");
    cloud.alarm("b");
    for count in [11, 0, 11, 0] {
        cloud.failed(count);
    }
    let of_a = |filter: Value| {
        let mut filter = filter;
        filter["AlarmName"] = json!("a");
        cloud.summaries(filter)
    };
    let changes = of_a(json!({"HistoryItemType": "StateUpdate", "ScanBy": "TimestampAscending"}));
    assert_eq!(
        changes,
        [
            "Alarm updated from INSUFFICIENT_DATA to ALARM",
            "Alarm updated from ALARM to OK",
            "Alarm updated from OK to ALARM",
            "Alarm updated from ALARM to OK",
        ]
    );
    let since = NOON / 1000 + 120;
    assert_eq!(
        of_a(json!({"HistoryItemType": "StateUpdate", "StartDate": since})).len(),
        3
    );
    assert_eq!(
        of_a(json!({"AlarmTypes": ["CompositeAlarm"]})),
        Vec::<String>::new()
    );
    let (mut all, mut ask) = (Vec::new(), json!({"MaxRecords": 3}));
    loop {
        let page = cloud.json("DescribeAlarmHistory", &ask).unwrap();
        all.extend(page["AlarmHistoryItems"].as_array().unwrap().iter().cloned());
        match page.get("NextToken") {
            Some(token) => ask["NextToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!(all.len(), 10);
    let data: Value = serde_json::from_str(all[0]["HistoryData"].as_str().unwrap()).unwrap();
    assert_eq!(data["oldState"]["stateValue"], "ALARM");
    assert_eq!(data["newState"]["stateReasonData"]["threshold"], 10.0);
}

#[test]
fn tagged_alarms_are_found_by_their_tags() {
    let cloud = cloud();
    cloud.alarm("a");
    let arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a";
    let tag = json!({"ResourceARN": arn, "Tags": [{"Key": "ManagedBy", "Value": "x"}]});
    cloud.json("TagResource", &tag).unwrap();
    let found = Service::tagged(&*cloud.watch, &caller());
    assert_eq!(found[arn]["ManagedBy"], "x");
    let elsewhere = Caller {
        region: "eu-west-1".into(),
        ..caller()
    };
    assert!(Service::tagged(&*cloud.watch, &elsewhere).is_empty());
}
