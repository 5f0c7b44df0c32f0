//! Composite alarms.

use super::*;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:alerts";

impl super::Cloud {
    fn metric_alarm(&self, name: &str) {
        self.json(
            "PutMetricAlarm",
            &json!({
                "AlarmName": name, "Namespace": "App", "MetricName": name, "Statistic": "Sum", "Period": 60,
                "EvaluationPeriods": 1, "Threshold": 0, "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",
            }),
        )
        .unwrap();
    }

    fn composite(&self, name: &str, rule: &str) -> Result<Value, (String, String)> {
        let alarm = json!({"AlarmName": name, "AlarmRule": rule, "AlarmActions": [TOPIC]});
        self.json("PutCompositeAlarm", &alarm)
    }

    fn set(&self, name: &str, state: &str) {
        self.clock.advance(1_000);
        let set = json!({"AlarmName": name, "StateValue": state, "StateReason": "a test"});
        self.json("SetAlarmState", &set).unwrap();
    }

    fn described(&self, name: &str) -> Value {
        let ask = json!({"AlarmNames": [name], "AlarmTypes": ["CompositeAlarm", "MetricAlarm"]});
        let found = self.json("DescribeAlarms", &ask).unwrap();
        let composite = found["CompositeAlarms"][0].clone();
        if composite.is_null() {
            found["MetricAlarms"][0].clone()
        } else {
            composite
        }
    }

    fn state(&self, name: &str) -> String {
        self.described(name)["StateValue"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_composite_alarm_follows_its_children_at_once() {
    let cloud = cloud();
    cloud.metric_alarm("a");
    cloud.metric_alarm("b");
    cloud.composite("both", "ALARM(a) AND ALARM(\"b\")").unwrap();
    let both = cloud.described("both");
    assert_eq!(both["StateValue"], "OK");
    assert_eq!(
        both["StateReason"],
        "arn:aws:cloudwatch:us-east-1:000000000000:alarm:both was created and its alarm rule evaluates to OK"
    );
    cloud.set("a", "ALARM");
    assert_eq!(cloud.state("both"), "OK");
    cloud.set("b", "ALARM");
    let both = cloud.described("both");
    assert_eq!(both["StateValue"], "ALARM");
    assert_eq!(
        both["StateReason"],
        "arn:aws:cloudwatch:us-east-1:000000000000:alarm:b transitioned to ALARM at Saturday 21 November, 2026 \
         09:00:02 UTC"
    );
    let notifications = cloud.watch.notifications();
    assert_eq!(notifications.len(), 1);
    let message: Value = serde_json::from_str(&notifications[0].message).unwrap();
    assert_eq!(message["AlarmRule"], "ALARM(a) AND ALARM(\"b\")");
    assert_eq!(
        message["TriggeringChildren"][0]["Arn"],
        "arn:aws:cloudwatch:us-east-1:000000000000:alarm:b"
    );
}

#[test]
fn composite_alarms_may_depend_on_one_another() {
    let cloud = cloud();
    cloud.metric_alarm("a");
    cloud.composite("inner", "ALARM(a)").unwrap();
    cloud.composite("outer", "NOT OK(inner)").unwrap();
    cloud.set("a", "ALARM");
    assert_eq!([cloud.state("inner"), cloud.state("outer")], ["ALARM", "ALARM"]);
    let delete = |names: Value| cloud.json("DeleteAlarms", &json!({ "AlarmNames": names }));
    assert!(
        delete(json!(["inner"]))
            .unwrap_err()
            .1
            .contains("outer depends on it")
    );
    assert!(
        delete(json!(["inner", "outer"]))
            .unwrap_err()
            .1
            .contains("At most one")
    );
    delete(json!(["outer", "a"])).unwrap();
    delete(json!(["inner"])).unwrap();
}

#[test]
fn a_composite_alarm_that_depends_on_itself_is_not_evaluated() {
    let cloud = cloud();
    cloud.metric_alarm("a");
    cloud.composite("one", "ALARM(a)").unwrap();
    cloud.composite("two", "ALARM(one)").unwrap();
    cloud.composite("one", "ALARM(a) OR NOT ALARM(two)").unwrap();
    cloud.set("a", "ALARM");
    assert_eq!(cloud.state("one"), "OK");
}

#[test]
fn a_state_that_was_set_stays_until_a_child_changes() {
    let cloud = cloud();
    cloud.metric_alarm("a");
    cloud.composite("c", "ALARM(a)").unwrap();
    cloud.clock.advance(60_000);
    cloud.watch.evaluate_alarms();
    cloud.set("c", "ALARM");
    cloud.watch.evaluate_alarms();
    assert_eq!(cloud.state("c"), "ALARM");
    cloud.set("a", "ALARM");
    cloud.set("a", "OK");
    assert_eq!(cloud.state("c"), "OK");
}

#[test]
fn rules_are_checked() {
    let cloud = cloud();
    cloud.metric_alarm("a");
    let refused = |rule: &str| cloud.composite("c", rule).unwrap_err().1;
    assert!(refused("ALARM(a) AND").contains("AlarmRule is not valid: it ends too early"));
    assert!(refused("ALARM(a) OR OK(x)").contains("alarms [x] in the alarm rule do not exist"));
    cloud.composite("c", "ALARM(a)").unwrap();
    let relation = |member: &str, name: &str| {
        let found = cloud.json("DescribeAlarms", &json!({ member: name })).unwrap();
        let lists = [&found["MetricAlarms"], &found["CompositeAlarms"]];
        lists.map(|list| list.as_array().unwrap().len())
    };
    assert_eq!(relation("ChildrenOfAlarmName", "c"), [1, 0]);
    assert_eq!(relation("ParentsOfAlarmName", "a"), [0, 1]);
    // Without types there are no composite alarms.
    assert_eq!(relation("AlarmNamePrefix", "c"), [0, 0]);
    // Both types share their names.
    assert!(
        cloud
            .composite("a", "TRUE")
            .unwrap_err()
            .1
            .contains("another type")
    );
}
