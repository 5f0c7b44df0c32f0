//! Alarms on expressions.

use super::*;

fn failed_share() -> Value {
    json!({
        "AlarmName": "share", "EvaluationPeriods": 1, "Threshold": 10,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        "Metrics": [
            {"Id": "failed", "ReturnData": false, "MetricStat": {"Period": 60, "Stat": "Sum",
                "Metric": {"Namespace": "App", "MetricName": "Failed"}}},
            {"Id": "all", "ReturnData": false, "MetricStat": {"Period": 60, "Stat": "Sum",
                "Metric": {"Namespace": "App", "MetricName": "Requests"}}},
            {"Id": "share", "Label": "failed, in percent", "Expression": "IF(all > 5, 100 * FILL(failed, 0) / all, 0)"},
        ],
    })
}

impl super::Cloud {
    fn requests_and_failures(&self, all: u32, failed: u32) -> String {
        self.put(json!([
            {"MetricName": "Requests", "Value": all},
            {"MetricName": "Failed", "Value": failed},
        ]))
        .unwrap();
        self.clock.advance(60_000);
        self.watch.evaluate_alarms();
        let alarms = self.json("DescribeAlarms", &json!({})).unwrap();
        alarms["MetricAlarms"][0]["StateValue"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn an_alarm_on_an_expression_follows_it() {
    let cloud = cloud();
    cloud.json("PutMetricAlarm", &failed_share()).unwrap();
    assert_eq!(
        cloud.requests_and_failures(100, 10),
        "OK",
        "10 % is not above 10 %"
    );
    assert_eq!(cloud.requests_and_failures(100, 11), "ALARM");
    assert_eq!(
        cloud.requests_and_failures(5, 5),
        "OK",
        "too few requests count for nothing"
    );
}

#[test]
fn an_alarm_on_an_expression_is_described_as_it_was_put() {
    let cloud = cloud();
    cloud.json("PutMetricAlarm", &failed_share()).unwrap();
    let Cloud { watch, clock, _dir } = cloud;
    drop(watch);
    // Also after a restart.
    let watch = CloudWatch::open(_dir.path(), clock.clone()).unwrap();
    let cloud = Cloud { watch, clock, _dir };
    let described = cloud.json("DescribeAlarms", &json!({})).unwrap();
    let alarm = &described["MetricAlarms"][0];
    assert_eq!(alarm["Metrics"].as_array().unwrap().len(), 3);
    assert_eq!(
        alarm["Metrics"][2]["Expression"],
        failed_share()["Metrics"][2]["Expression"]
    );
    assert_eq!(
        alarm["Metrics"][0]["MetricStat"]["Metric"]["MetricName"],
        "Failed"
    );
    assert_eq!(alarm["Metrics"][0]["ReturnData"], false);
    assert!(alarm.get("MetricName").is_none() && alarm.get("Period").is_none());
    let of_metric = json!({"Namespace": "App", "MetricName": "Failed"});
    let found = cloud.json("DescribeAlarmsForMetric", &of_metric).unwrap();
    assert_eq!(found["MetricAlarms"][0]["AlarmName"], "share");
}

#[test]
fn invalid_expressions_are_refused() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut alarm = failed_share();
        change(&mut alarm);
        cloud().json("PutMetricAlarm", &alarm).unwrap_err().1
    };
    let says = |text: &str, change: &dyn Fn(&mut Value)| {
        let message = refused(change);
        assert!(message.contains(text), "{message}");
    };
    says("mutually exclusive", &|alarm| alarm["Namespace"] = json!("App"));
    says("return data", &|alarm| {
        alarm["Metrics"][0]["ReturnData"] = json!(true)
    });
    says("same period", &|alarm| {
        alarm["Metrics"][0]["MetricStat"]["Period"] = json!(300)
    });
    says("no query other", &|alarm| {
        alarm["Metrics"][2]["Expression"] = json!("other + 1")
    });
    says("not supported", &|alarm| {
        alarm["Metrics"][2]["Expression"] = json!("SEARCH(all)")
    });
    says("anomaly detection", &|alarm| {
        alarm["ThresholdMetricId"] = json!("share")
    });
}
