//! `alarms` and `dashboard` on the local cloud: from a metric to the message in a queue.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, Statistic};
use serde_json::{Value, json};

use crate::contents::until;
use crate::support::{Cloud, Machine, block_on};

impl Cloud {
    fn alarms(&self) -> Vec<Value> {
        self.json(["alarms", "list"]).as_array().unwrap().clone()
    }

    fn alarm(&self, name: &str) -> Value {
        let found = self.alarms().into_iter().find(|alarm| alarm["name"] == name);
        found.unwrap_or_else(|| panic!("no alarm {name}"))
    }

    /// A queue that gets the messages of the topic `topic`. Returns its address.
    fn queue_of(&self, topic: &str) -> String {
        block_on(async {
            let sdk = self.sdk();
            let sqs = aws_sdk_sqs::Client::new(&sdk);
            let url = sqs.create_queue().queue_name("told").send().await.unwrap();
            let url = url.queue_url.unwrap();
            let arn = "arn:aws:sqs:us-east-1:000000000000:told";
            let sns = aws_sdk_sns::Client::new(&sdk);
            sns.subscribe()
                .topic_arn(topic)
                .protocol("sqs")
                .endpoint(arn)
                .attributes("RawMessageDelivery", "true")
                .send()
                .await
                .unwrap();
            url
        })
    }

    /// The messages of the queue, which are JSON.
    fn told(&self, queue: &str) -> Vec<Value> {
        block_on(async {
            let sqs = aws_sdk_sqs::Client::new(&self.sdk());
            let call = sqs.receive_message().queue_url(queue).max_number_of_messages(10);
            let messages = call.send().await.unwrap().messages.unwrap_or_default();
            let bodies = messages.iter().filter_map(|message| message.body());
            bodies.map(|body| serde_json::from_str(body).unwrap()).collect()
        })
    }
}

#[test]
fn a_set_is_planned_made_once_changed_and_deleted() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let planned = cloud.json(["alarms", "set", "orders", "--dry-run"]);
    assert_eq!(planned["pipeline"], "alarms/orders");
    assert_eq!(planned["changes"], 6);
    assert!(cloud.alarms().is_empty(), "a dry run makes nothing");

    let made = cloud.streamctl(["alarms", "set", "orders"]).output().unwrap();
    let notes = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success(), "{notes}");
    assert!(notes.contains("6 alarms: 0.60 USD a month"), "{notes}");
    assert!(notes.contains("streamctl alarms subscribe"), "{notes}");
    let alarms = cloud.alarms();
    assert_eq!(alarms.len(), 6);
    assert!(alarms.iter().all(|alarm| alarm["pipeline"] == "alarms/orders"));
    assert_eq!(cloud.alarm("orders-late")["threshold"], 300_000.0);
    assert_eq!(cloud.alarm("orders-near-loss")["threshold"], 43_200_000.0);

    let again = cloud.json(["alarms", "set", "orders"]);
    let results = again["resources"].as_array().unwrap();
    assert!(results.iter().all(|one| one["result"] == "unchanged"), "{again}");
    cloud.ok(["alarms", "set", "orders", "--lag", "1m"]);
    assert_eq!(cloud.alarm("orders-late")["threshold"], 60_000.0);

    let described = cloud.ok(["describe", "orders"]);
    assert!(described.contains("6 alarms, none in ALARM"), "{described}");
    let refusal = cloud.fails(2, ["alarms", "delete", "--set", "orders"]);
    assert!(refusal.contains("--yes"), "{refusal}");
    let delete = |option| cloud.json(["alarms", "delete", "--set", "orders", option]);
    let planned = delete("--dry-run");
    assert_eq!(planned["deleted"], false);
    assert_eq!(planned["alarms"].as_array().unwrap().len(), 6);
    assert_eq!(cloud.alarms().len(), 6, "a dry run deletes nothing");
    let deleted = delete("--yes");
    assert_eq!(deleted["deleted"], true);
    assert_eq!(deleted["alarms"], planned["alarms"]);
    assert!(cloud.alarms().is_empty());
    assert_eq!(delete("--yes"), json!({ "deleted": false, "alarms": [] }));
}

#[test]
fn alarms_of_others_are_listed_and_never_changed() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    block_on(async {
        let client = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
        client
            .put_metric_alarm()
            .alarm_name("orders-late")
            .namespace("App")
            .metric_name("Lag")
            .statistic(Statistic::Maximum)
            .period(60)
            .evaluation_periods(1)
            .threshold(1.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .send()
            .await
            .unwrap();
        let composite = client.put_composite_alarm().alarm_name("any");
        composite
            .alarm_rule("ALARM(\"orders-late\")")
            .send()
            .await
            .unwrap();
    });
    assert_eq!(cloud.alarm("any")["type"], "composite");
    assert_eq!(
        cloud.json(["alarms", "list", "--ours"]).as_array().unwrap().len(),
        0
    );
    let refusal = cloud.fails(1, ["alarms", "set", "orders"]);
    assert!(refusal.contains("orders-late"), "{refusal}");
    assert_eq!(cloud.alarms().len(), 2, "nothing was made");
    let refusal = cloud.fails(1, ["alarms", "delete", "orders-late", "--yes"]);
    assert!(refusal.contains("streamctl did not make"), "{refusal}");
    assert_eq!(cloud.alarm("orders-late")["threshold"], 1.0);
}

#[test]
fn an_alarm_fires_at_11_failed_events_in_a_minute_and_not_at_10() {
    let cloud = Cloud::start();
    let subscribed = cloud.json(["alarms", "subscribe", "me@example.com"]);
    assert_eq!(subscribed["resources"][0]["result"], "created", "{subscribed}");
    let topic = "arn:aws:sns:us-east-1:000000000000:streamctl-alarms";
    let queue = cloud.queue_of(topic);
    let of = |name: &str| Dimension::builder().name("Environment").value(name).build();
    block_on(async {
        let client = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
        for name in ["ten", "eleven"] {
            client
                .put_metric_alarm()
                .alarm_name(name)
                .namespace("RetailEventProcessing")
                .metric_name("FailedEvents")
                .dimensions(of(name))
                .statistic(Statistic::Sum)
                .period(60)
                .evaluation_periods(1)
                .threshold(10.0)
                .comparison_operator(ComparisonOperator::GreaterThanThreshold)
                .treat_missing_data("notBreaching")
                .alarm_actions(topic)
                .send()
                .await
                .unwrap();
        }
        // In the minute that is complete: alarms use complete minutes.
        let now = SystemTime::now() - Duration::from_secs(60);
        let data = [("ten", 10), ("eleven", 11)].map(|(name, count)| {
            let failed = MetricDatum::builder()
                .metric_name("FailedEvents")
                .dimensions(of(name))
                .timestamp(now.into());
            failed
                .set_values(Some(vec![1.0]))
                .counts(f64::from(count))
                .build()
        });
        let call = client.put_metric_data().namespace("RetailEventProcessing");
        call.set_metric_data(Some(data.into())).send().await.unwrap();
    });
    let eleven = until("ALARM", || match cloud.alarm("eleven") {
        alarm if alarm["state"] == "ALARM" => Ok(alarm),
        other => Err(other.to_string()),
    });
    assert!(eleven["reason"].as_str().unwrap().contains("[11.0 ("), "{eleven}");
    assert_eq!(cloud.alarm("ten")["state"], "OK");
    let told = until("notification", || match cloud.told(&queue) {
        messages if messages.is_empty() => Err("no message".to_owned()),
        messages => Ok(messages),
    });
    assert_eq!(told.len(), 1);
    assert_eq!(
        (
            &told[0]["AlarmName"],
            &told[0]["NewStateValue"],
            &told[0]["Trigger"]["Threshold"]
        ),
        (&Value::from("eleven"), &Value::from("ALARM"), &Value::from(10.0))
    );
    assert!(
        !cloud
            .json(["alarms", "history", "eleven"])
            .as_array()
            .unwrap()
            .is_empty()
    );
    let history = cloud.ok(["alarms", "history", "eleven", "-o", "text"]);
    assert!(history.contains("Successfully executed action"), "{history}");
    assert!(history.contains("to ALARM"), "{history}");
}

#[test]
fn an_alarm_is_tried_from_its_metric_to_its_notification() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["alarms", "subscribe", "me@example.com"]);
    cloud.ok(["alarms", "set", "orders"]);
    let alarm = cloud.alarm("orders-late");
    let queue = cloud.queue_of(alarm["actions"][0].as_str().unwrap());
    let trial = cloud.json(["alarms", "test", "orders-late"]);
    assert_eq!(
        trial["steps"],
        serde_json::json!(["driven", "alarm", "notified"]),
        "{trial}"
    );
    let told = until("notification", || match cloud.told(&queue) {
        messages if messages.is_empty() => Err("no message".to_owned()),
        messages => Ok(messages),
    });
    assert!(told.iter().any(|message| message["AlarmName"] == "orders-late"));
    let firing = cloud.ok(["alarms", "list", "--state", "alarm", "-o", "text"]);
    assert!(firing.starts_with("orders-late\tALARM\t") || firing.contains("\norders-late\tALARM\t"));
    assert!(cloud.ok(["describe", "orders"]).contains("in ALARM: "));
    // The values are those of the stream: another client may not put them.
    let refused = block_on(async {
        let client = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
        let datum = MetricDatum::builder()
            .metric_name("IncomingBytes")
            .value(1.0)
            .build();
        let call = client.put_metric_data().namespace("AWS/Kinesis");
        call.metric_data(datum).send().await.is_err()
    });
    assert!(refused);
}

/// As on AWS, where no client may put metrics of a service: the same cloud, as an endpoint that streamctl does not know.
#[test]
fn elsewhere_a_trial_asks_and_sets_the_state() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["alarms", "subscribe", "me@example.com"]);
    cloud.ok(["alarms", "set", "orders"]);
    let alarm = cloud.alarm("orders-late");
    let queue = cloud.queue_of(alarm["actions"][0].as_str().unwrap());
    let elsewhere = |more: &[&str]| {
        let endpoint = ["--endpoint-url", &cloud.endpoint, "--region", "us-east-1"];
        let mut command = cloud.streamctl(["alarms", "test", "orders-late", "-o", "json"]);
        command
            .args(endpoint)
            .args(more)
            .env_remove("STREAMCTL_TARGET")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command.output().unwrap()
    };
    let refused = elsewhere(&[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("set alarm orders-late to ALARM"), "{said}");
    assert_eq!(cloud.alarm("orders-late")["state"], alarm["state"]);

    let tried = elsewhere(&["--yes"]);
    let said = String::from_utf8(tried.stderr).unwrap();
    assert!(tried.status.success(), "{said}");
    let trial: Value = serde_json::from_slice(&tried.stdout).unwrap();
    assert_eq!(
        trial["steps"],
        serde_json::json!(["alarm", "notified"]),
        "{trial}"
    );
    assert_eq!(trial["value"], Value::Null, "no value is put into the metric");
    let told = until("notification", || match cloud.told(&queue) {
        messages if messages.is_empty() => Err("no message".to_owned()),
        messages => Ok(messages),
    });
    assert!(
        told.iter()
            .any(|message| message["NewStateReason"] == "set by streamctl alarms test")
    );
}

#[test]
fn a_pipeline_and_a_function_get_the_alarms_of_their_parts() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "retail", "--yes"]);
    let names = |set: &str| -> Vec<String> {
        let alarms = cloud.alarms();
        let of_set = alarms.iter().filter(|alarm| alarm["pipeline"] == set);
        of_set
            .map(|alarm| alarm["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let shipped = cloud.alarms().len();
    let function = "retail-event-processor-dev";
    let planned = cloud.json(["alarms", "set", "--function", function, "--dry-run"]);
    let of_function = planned["resources"].to_string();
    assert!(
        of_function.contains(&format!("{function}-throttles")),
        "{planned}"
    );
    let planned = cloud.json(["alarms", "set", "--pipeline", "retail", "--dry-run"]);
    let set = planned["pipeline"].as_str().unwrap().to_owned();
    assert_eq!(cloud.alarms().len(), shipped, "a dry run makes nothing");
    cloud.ok(["alarms", "set", "--pipeline", "retail"]);
    let made = names(&set);
    // The template has alarms for the errors of the function and the depth of the queue.
    for part in ["retail-dev-late", "processor-dev-throttles", "dlq-dev-age"] {
        assert!(made.iter().any(|name| name.ends_with(part)), "{part}: {made:?}");
    }
    let again = cloud.json(["alarms", "set", "--pipeline", "retail"]);
    let results = again["resources"].as_array().unwrap();
    assert!(results.iter().all(|one| one["result"] == "unchanged"), "{again}");
    // Everything of the function is watched now: the answer is complete, and empty.
    let set = ["alarms", "set", "--function", function, "--dry-run"];
    for nothing in [cloud.json(set), cloud.json([set[0], set[1], set[2], set[3]])] {
        assert_eq!(nothing["resources"], serde_json::json!([]), "{nothing}");
    }
}

#[test]
fn a_mute_ends_by_itself_or_when_asked() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["alarms", "set", "orders"]);
    let mute = ["alarms", "mute", "orders-late"];
    let mut muted = json!({ "name": "orders-late", "changed": true, "muted": "disabled" });
    assert_eq!(cloud.json(mute), muted);
    assert_eq!(cloud.alarm("orders-late")["muted"], "disabled");
    muted["changed"] = json!(false);
    assert_eq!(cloud.json(mute), muted);
    let unmute = ["alarms", "unmute", "orders-late"];
    let mut unmuted = json!({ "name": "orders-late", "changed": true, "muted": null });
    assert_eq!(cloud.json(unmute), unmuted);
    assert_eq!(cloud.alarm("orders-late")["muted"], Value::Null);
    unmuted["changed"] = json!(false);
    assert_eq!(cloud.json(unmute), unmuted);
    let made = cloud.json(["alarms", "mute", "orders-late", "--for", "2h"]);
    assert_eq!(made["changed"], true);
    let muted = &cloud.alarm("orders-late")["muted"]["rule"];
    assert_eq!(made["muted"]["rule"], *muted);
    assert_eq!(muted["name"], "streamctl-orders-late");
    assert!(muted["until"].is_string(), "{muted}");
    cloud.ok(["alarms", "unmute", "orders-late"]);
    assert_eq!(cloud.alarm("orders-late")["muted"], Value::Null);
    let missing = cloud.fails(1, ["alarms", "mute", "none"]);
    assert!(missing.contains("there is no alarm none"), "{missing}");
}

#[test]
fn bad_input_is_refused_before_the_first_call() {
    // Nothing starts a local cloud here: a call would.
    let machine = Machine::new();
    for words in [
        ["alarms", "subscribe", "nobody"],
        ["alarms", "set", "--datapoints=6/5"],
        ["alarms", "set", "--topic=alerts"],
        ["alarms", "set", "a b"],
        ["alarms", "set", "--retention-share=0"],
        ["alarms", "list", "--state=bad"],
        ["alarms", "history", "--limit=0"],
        ["dashboard", "create", "a b"],
        ["dashboard", "show", "--since=1s"],
    ] {
        machine.fails(2, words);
    }
    machine.fails(2, ["alarms", "mute", "x", "--for", "16d"]);
    assert!(!machine.path().join("streamctl-home").exists());
}

#[test]
fn a_dashboard_is_made_shown_and_deleted() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let missing = cloud.fails(1, ["dashboard", "show", "orders"]);
    assert!(missing.contains("streamctl dashboard create"), "{missing}");
    cloud.ok(["alarms", "set", "orders"]);
    cloud.ok(["dashboard", "create", "orders"]);
    let again = cloud.json(["dashboard", "create", "orders"]);
    assert_eq!(again["resources"][0]["result"], "unchanged", "{again}");
    let put = cloud
        .streamctl(["put", "--stream", "orders"])
        .write_stdin("{\"a\":1}\n{\"a\":2}\n")
        .output();
    assert!(put.unwrap().status.success());
    let shown = until("records", || {
        let shown = cloud.ok(["dashboard", "show", "orders"]);
        let line = shown
            .lines()
            .find(|line| line.contains("IncomingRecords"))
            .unwrap()
            .to_owned();
        if line.split_whitespace().nth(1) == Some("2") {
            Ok(shown)
        } else {
            Err(line)
        }
    });
    assert!(shown.contains("orders-late"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let opened = cloud.streamctl(["dashboard", "open", "orders"]).output().unwrap();
    assert!(
        String::from_utf8(opened.stderr)
            .unwrap()
            .contains("has no console")
    );
    let json = cloud.json([
        "dashboard",
        "show",
        "--name",
        "streamctl-orders-us-east-1",
        "--since",
        "3h",
    ]);
    assert_eq!(json["widgets"][0]["type"], "text");
    let opened = cloud.json(["dashboard", "open", "orders"]);
    assert_eq!(opened["widgets"][0], json["widgets"][0]);
    let deleted = cloud.json(["dashboard", "delete", "orders", "--yes"]);
    assert_eq!(deleted["resources"][0]["result"], "deleted", "{deleted}");
    cloud.fails(1, ["dashboard", "show", "orders"]);
}
