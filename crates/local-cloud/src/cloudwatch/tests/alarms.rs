//! Alarms and dashboards: creation, all protocols, evaluation, persistence.

use super::*;
use crate::metrics::Sample;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:alerts";

fn too_many_errors() -> Value {
    json!({
        "AlarmName": "errors", "AlarmDescription": "too many", "Namespace": "AWS/Lambda", "MetricName": "Errors",
        "Dimensions": [{"Name": "FunctionName", "Value": "f"}], "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 2, "DatapointsToAlarm": 2, "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        "AlarmActions": [TOPIC], "Tags": [{"Key": "Project", "Value": "x"}],
    })
}

impl super::Cloud {
    fn errors(&self, count: f64) {
        let dimensions = [("FunctionName", "f")];
        self.watch.record(
            &caller(),
            "AWS/Lambda",
            "Errors",
            &dimensions,
            "Count",
            Sample::of(count),
        );
    }

    /// Advances a minute and evaluates.
    fn minute(&self) -> (String, Vec<Notification>) {
        self.clock.advance(60_000);
        self.watch.evaluate_alarms();
        let alarms = self.json("DescribeAlarms", &json!({})).unwrap();
        let state = alarms["MetricAlarms"][0]["StateValue"]
            .as_str()
            .unwrap()
            .to_owned();
        (state, self.executed())
    }

    /// Executes the actions.
    fn executed(&self) -> Vec<Notification> {
        let all = self.watch.notifications();
        all.iter().for_each(|one| self.watch.executed(one, Ok(())));
        all
    }
}

#[test]
fn an_alarm_notifies_its_topic_once_and_recovers() {
    let cloud = cloud();
    cloud.json("PutMetricAlarm", &too_many_errors()).unwrap();
    assert_eq!(cloud.minute(), ("OK".to_owned(), Vec::new()));
    cloud.errors(6.0);
    assert_eq!(cloud.minute().0, "OK", "one breaching period of two");
    cloud.errors(7.0);
    let (state, notifications) = cloud.minute();
    assert_eq!((state.as_str(), notifications.len()), ("ALARM", 1));
    assert_eq!(notifications[0].action, TOPIC);
    assert_eq!(
        notifications[0].subject,
        "ALARM: \"errors\" in US East (N. Virginia)"
    );
    let message: Value = serde_json::from_str(&notifications[0].message).unwrap();
    assert_eq!(message["NewStateValue"], "ALARM");
    assert_eq!(message["OldStateValue"], "OK");
    assert_eq!(
        message["Trigger"]["Dimensions"][0],
        json!({"name": "FunctionName", "value": "f"})
    );
    cloud.errors(8.0);
    assert_eq!(cloud.minute(), ("ALARM".to_owned(), Vec::new()), "notified once");
    let states: Vec<String> = (0..4).map(|_| cloud.minute().0).collect();
    assert_eq!(states.last().unwrap(), "OK");
    let history = cloud
        .json("DescribeAlarmHistory", &json!({"AlarmName": "errors"}))
        .unwrap();
    let summaries: Vec<&str> = history["AlarmHistoryItems"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|item| item["HistorySummary"].as_str().unwrap())
        .collect();
    assert_eq!(
        summaries,
        [
            "Alarm \"errors\" created",
            "Alarm updated from INSUFFICIENT_DATA to OK",
            "Alarm updated from OK to ALARM",
            "Successfully executed action arn:aws:sns:us-east-1:000000000000:alerts",
            "Alarm updated from ALARM to OK",
        ]
    );
}

#[test]
fn all_fields_are_returned_in_all_protocols() {
    let cloud = cloud();
    cloud.json("PutMetricAlarm", &too_many_errors()).unwrap();
    for described in [
        cloud
            .json("DescribeAlarms", &json!({"AlarmNames": ["errors"]}))
            .unwrap(),
        cloud
            .cbor("DescribeAlarms", &json!({"AlarmNamePrefix": "err"}))
            .unwrap(),
    ] {
        let alarm = &described["MetricAlarms"][0];
        assert_eq!(
            alarm["AlarmArn"],
            "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors"
        );
        assert_eq!(alarm["TreatMissingData"], "notBreaching");
        assert_eq!(alarm["DatapointsToAlarm"], 2);
        assert_eq!(alarm["Threshold"], 5.0);
        assert_eq!(alarm["ActionsEnabled"], true);
        assert_eq!(alarm["AlarmActions"], json!([TOPIC]));
    }
    let tags = json!({"ResourceARN": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors"});
    let tags = cloud.json("ListTagsForResource", &tags).unwrap();
    assert_eq!(tags["Tags"], json!([{"Key": "Project", "Value": "x"}]));
}

#[test]
fn invalid_alarms_are_rejected() {
    let refused = |field: &str, value: Value| {
        let mut alarm = too_many_errors();
        alarm[field] = value;
        cloud().json("PutMetricAlarm", &alarm).unwrap_err().0
    };
    assert_eq!(
        refused("EvaluationPeriods", json!(0)),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(refused("DatapointsToAlarm", json!(3)), "ValidationError;Sender");
    assert_eq!(
        refused("EvaluationPeriods", json!(1441)),
        "ValidationError;Sender"
    );
    assert_eq!(
        refused("ComparisonOperator", json!(">")),
        "InvalidParameterValue;Sender"
    );
    assert_eq!(refused("Statistic", json!("p99")), "InvalidParameterValue;Sender");
    assert_eq!(
        refused("TreatMissingData", json!("fine")),
        "InvalidParameterValue;Sender"
    );
}

#[test]
fn set_alarm_state_acts_immediately_and_evaluation_corrects_it() {
    let cloud = cloud();
    cloud.json("PutMetricAlarm", &too_many_errors()).unwrap();
    let set = json!({"AlarmName": "errors", "StateValue": "ALARM", "StateReason": "a drill"});
    cloud.json("SetAlarmState", &set).unwrap();
    assert_eq!(cloud.executed().len(), 1);
    assert_eq!(cloud.minute().0, "OK");
    let unknown = json!({"AlarmName": "none", "StateValue": "ALARM", "StateReason": "a drill"});
    assert_eq!(
        cloud.json("SetAlarmState", &unknown).unwrap_err().0,
        "ResourceNotFound;Sender"
    );
}

#[test]
fn dashboards_are_stored_unchanged_and_survive_a_restart() {
    let Cloud { watch, clock, _dir } = cloud();
    let cloud = Cloud { watch, clock, _dir };
    let body = "{ \"widgets\": [] }";
    let tags = json!([{"Key": "Project", "Value": "x"}]);
    let put = json!({"DashboardName": "d", "DashboardBody": body, "Tags": tags});
    cloud.json("PutDashboard", &put).unwrap();
    let arn = json!({"ResourceARN": "arn:aws:cloudwatch::000000000000:dashboard/d"});
    assert_eq!(cloud.json("ListTagsForResource", &arn).unwrap()["Tags"], tags);
    cloud.json("PutMetricAlarm", &too_many_errors()).unwrap();
    let bad = json!({"DashboardName": "d", "DashboardBody": "{}"});
    assert_eq!(
        cloud.json("PutDashboard", &bad).unwrap_err().0,
        "InvalidParameterInput;Sender"
    );

    let Cloud { watch, clock, _dir } = cloud;
    drop(watch);
    let watch = CloudWatch::open(_dir.path(), clock.clone()).unwrap();
    let cloud = Cloud { watch, clock, _dir };
    let got = cloud
        .json("GetDashboard", &json!({"DashboardName": "d"}))
        .unwrap();
    assert_eq!(got["DashboardBody"], body);
    let listed = cloud.json("ListDashboards", &json!({})).unwrap();
    assert_eq!(listed["DashboardEntries"][0]["Size"], body.len());
    let alarms = cloud.json("DescribeAlarms", &json!({})).unwrap();
    assert_eq!(alarms["MetricAlarms"][0]["AlarmName"], "errors");

    let both = json!({"DashboardNames": ["d", "none"]});
    assert_eq!(
        cloud.json("DeleteDashboards", &both).unwrap_err().0,
        "ResourceNotFound;Sender"
    );
    cloud
        .json("DeleteDashboards", &json!({"DashboardNames": ["d"]}))
        .unwrap();
    cloud
        .json("DeleteAlarms", &json!({"AlarmNames": ["errors", "none"]}))
        .unwrap();
    assert_eq!(
        cloud.json("DescribeAlarms", &json!({})).unwrap()["MetricAlarms"],
        json!([])
    );
}
