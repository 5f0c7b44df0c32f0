//! Transformation by a function.

use super::*;

pub(super) const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:clean";

fn transforming(more: &[(&str, &str)]) -> Value {
    let mut parameters = vec![json!({"ParameterName": "LambdaArn", "ParameterValue": FUNCTION})];
    for (name, value) in more {
        parameters.push(json!({"ParameterName": name, "ParameterValue": value}));
    }
    let mut processing = newlines();
    let lambda = json!({"Type": "Lambda", "Parameters": parameters});
    processing["Processors"].as_array_mut().unwrap().insert(0, lambda);
    lake_with(&json!({"ProcessingConfiguration": processing}))
}

pub(super) fn data_of(record: &Value) -> String {
    let data = record["data"].as_str().unwrap();
    String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap()
}

/// Upper case; drops `drop`, fails `fail` and forgets `forget`.
fn clean(event: &Value) -> InvokeResult {
    let records = event["records"].as_array().unwrap().iter();
    let records: Vec<Value> = records
        .filter(|record| data_of(record) != "forget")
        .map(|record| {
            let text = data_of(record);
            let result = match text.as_str() {
                "drop" => "Dropped",
                "fail" => "ProcessingFailed",
                _ => "Ok",
            };
            let data = base64_simd::STANDARD.encode_to_string(text.to_uppercase());
            json!({"recordId": record["recordId"], "result": result, "data": data})
        })
        .collect();
    InvokeResult::Returned(json!({ "records": records }).to_string().into())
}

impl Fire {
    pub(super) fn scripted(&self, script: impl FnMut(&Value) -> InvokeResult + Send + 'static) {
        *self.function.script.lock().unwrap() = Some(Box::new(script));
    }

    /// Delivers where there is a runtime, as the task does.
    pub(super) fn pass_in_runtime(&self, ms: i64) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        self.pass(ms);
    }

    fn failed_records(&self) -> Vec<Value> {
        let objects = self.objects().into_iter();
        let failed = objects.filter(|(key, _)| key.starts_with("processing-failed/"));
        failed
            .flat_map(|(_, body)| {
                let text = String::from_utf8(body).unwrap();
                let lines: Vec<Value> = text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                lines
            })
            .collect()
    }

    fn transformed(&self) -> String {
        let objects = self.objects().into_iter();
        let delivered = objects.filter(|(key, _)| !key.starts_with("processing-failed/"));
        delivered
            .map(|(_, body)| String::from_utf8(body).unwrap())
            .collect()
    }
}

#[test]
fn records_are_transformed_dropped_and_failed() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    fire.reading("carts", transforming(&[]));
    fire.scripted(clean);
    for text in ["a", "drop", "fail", "forget", "b"] {
        fire.world.put("orders", "k", text);
    }
    fire.pass_in_runtime(70_000);
    assert_eq!(fire.transformed(), "A\nB\n");
    let failed = fire.failed_records();
    let shown: Vec<(String, &Value, &Value)> = failed
        .iter()
        .map(|line| {
            let raw = json!({"data": line["rawData"]});
            (data_of(&raw), &line["errorCode"], &line["attemptsMade"])
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "fail".to_owned(),
                &json!("Lambda.ProcessingFailedStatus"),
                &json!(1)
            ),
            ("forget".to_owned(), &json!("Lambda.MissingRecordId"), &json!(1)),
        ]
    );
    assert_eq!(failed[0]["lambdaArn"], FUNCTION);
    let events = fire.function.events.lock().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["sourceKinesisStreamArn"], fire.world.arn("orders"));
    assert_eq!(events[0]["region"], "us-east-1");
    let metadata = &events[0]["records"][0]["kinesisRecordMetadata"];
    assert_eq!(metadata["shardId"], "shardId-000000000000");
    assert_eq!(metadata["partitionKey"], "k");
}

#[test]
fn calls_are_bounded_in_bytes() {
    let fire = Fire::new();
    fire.direct("carts", transforming(&[("BufferSizeInMBs", "0.2")]));
    fire.scripted(clean);
    for _ in 0..8 {
        fire.put("carts", &"x".repeat(100_000));
    }
    fire.pass_in_runtime(60_000);
    assert_eq!(fire.function.events.lock().unwrap().len(), 4);
    assert_eq!(fire.transformed().len(), 8 * 100_001);
}

#[test]
fn a_call_that_fails_is_repeated_and_then_its_records_are_failed() {
    let fire = Fire::new();
    fire.direct("carts", transforming(&[("NumberOfRetries", "2")]));
    let mut calls = 0;
    fire.scripted(move |event| {
        calls += 1;
        match calls {
            1 => InvokeResult::Throttled,
            3.. => InvokeResult::FunctionError {
                kind: "Unhandled",
                payload: Bytes::from_static(b"{\"errorMessage\":\"boom\"}"),
            },
            _ => clean(event),
        }
    });
    fire.put("carts", "a");
    fire.pass_in_runtime(60_000);
    assert_eq!(fire.transformed(), "A\n", "the second try");
    fire.put("carts", "b");
    fire.pass_in_runtime(60_000);
    let failed = fire.failed_records();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["attemptsMade"], 3);
    assert_eq!(failed[0]["errorCode"], "Lambda.FunctionError");
    assert!(failed[0]["errorMessage"].as_str().unwrap().contains("boom"));
    assert_eq!(fire.metric("ExecuteProcessing.Success"), Some(0.0));
}
