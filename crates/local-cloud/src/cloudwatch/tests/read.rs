//! ListMetrics, GetMetricStatistics and GetMetricData.

use super::*;

#[test]
fn get_metric_data_supports_dimensions_periods_and_statistics() {
    let cloud = cloud();
    for (minute, value) in [(0, 1.0), (0, 3.0), (1, 10.0), (4, 7.0), (5, 100.0)] {
        cloud.requests(minute, value);
    }
    let other =
        json!([{"MetricName": "Requests", "Value": 1000, "Dimensions": [{"Name": "Path", "Value": "/"}]}]);
    cloud.put(other).unwrap();
    let values = |period, stat| {
        let found = cloud
            .data(json!([query("q", "Requests", period, stat)]), 10)
            .unwrap();
        found["MetricDataResults"][0]["Values"].clone()
    };
    assert_eq!(values(60, "Sum"), json!([100.0, 7.0, 10.0, 4.0]));
    assert_eq!(values(300, "Sum"), json!([100.0, 21.0]));
    assert_eq!(values(300, "Average"), json!([100.0, 5.25]));
    assert_eq!(values(300, "Minimum"), json!([100.0, 1.0]));
    assert_eq!(values(300, "Maximum"), json!([100.0, 10.0]));
    assert_eq!(values(300, "SampleCount"), json!([1.0, 4.0]));
    assert_eq!(values(600, "p50"), json!([7.0]));

    let ask =
        json!({"MetricDataQueries": [query("q", "Requests", 300, "Sum")], "ScanBy": "TimestampAscending"});
    let result = json!({"Id": "q", "Label": "Requests", "StatusCode": "Complete",
        "Timestamps": [NOON / 1000, NOON / 1000 + 300], "Values": [21.0, 100.0]});
    let found = cloud.json("GetMetricData", &over_minutes(ask, 10)).unwrap();
    assert_eq!(found, json!({"MetricDataResults": [result], "Messages": []}));
}

#[test]
fn get_metric_data_computes_expressions() {
    let cloud = cloud();
    cloud.requests(0, 60.0);
    cloud.requests(2, 120.0);
    let mut hidden = query("m", "Requests", 60, "Sum");
    hidden["ReturnData"] = json!(false);
    let ask = json!([hidden, {"Id": "e", "Expression": "FILL(m, 0) / PERIOD(m)", "Label": "rate"}]);
    let found = cloud.data(ask, 3).unwrap();
    assert_eq!(found["MetricDataResults"].as_array().unwrap().len(), 1);
    assert_eq!(found["MetricDataResults"][0]["Values"], json!([2.0, 0.0, 1.0]));

    let says = |queries: Value, text: &str| {
        let (code, message) = cloud.data(queries, 3).unwrap_err();
        assert!(
            code.starts_with("ValidationError") && message.contains(text),
            "{message}"
        );
    };
    says(
        json!([{"Id": "e", "Expression": "SELECT SUM(x) FROM y"}]),
        "SELECT",
    );
    says(
        json!([{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(e)"}]),
        "ANOMALY_DETECTION_BAND is not supported",
    );
    says(json!([{"Id": "e", "Expression": "e + 1"}]), "refers to itself");
    says(json!([{"Id": "e", "Expression": "1 + 1"}]), "one time series");
    says(json!([{"Id": "E", "Expression": "1"}]), "lowercase");
    says(json!([query("a", "A", 60, "tm99")]), "tm99");
    says(json!([query("a", "A", 61, "Sum")]), "multiple of 60");
    says(
        json!([query("a", "A", 60, "Sum"), query("a", "B", 60, "Sum")]),
        "two queries",
    );
    says(json!([{"Id": "a"}]), "either MetricStat or Expression");
}

#[test]
fn get_metric_data_pages_lose_and_repeat_nothing() {
    let cloud = cloud();
    for minute in 0..10 {
        cloud.requests(minute, f64::from(i32::try_from(minute).unwrap()));
    }
    for order in ["TimestampAscending", "TimestampDescending"] {
        let queries = json!([
            query("a", "Requests", 60, "Sum"),
            query("b", "Requests", 300, "Sum")
        ]);
        let mut ask = over_minutes(
            json!({"MetricDataQueries": queries, "MaxDatapoints": 5, "ScanBy": order}),
            10,
        );
        let (mut found, mut pages) = ([Vec::new(), Vec::new()], 0);
        loop {
            let page = cloud.json("GetMetricData", &ask).unwrap();
            for (all, result) in found
                .iter_mut()
                .zip(page["MetricDataResults"].as_array().unwrap())
            {
                all.extend(
                    result["Values"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|v| v.as_f64().unwrap()),
                );
            }
            pages += 1;
            match page.get("NextToken") {
                Some(token) => ask["NextToken"] = token.clone(),
                None => break,
            }
        }
        assert!(pages > 1);
        let mut expected = [(0..10).map(f64::from).collect::<Vec<_>>(), vec![10.0, 35.0]];
        if order == "TimestampDescending" {
            expected.iter_mut().for_each(|all| all.reverse());
        }
        assert_eq!(found, expected, "{order}");
        ask["NextToken"] = json!("5-0");
        assert!(
            cloud
                .json("GetMetricData", &ask)
                .unwrap_err()
                .0
                .starts_with("InvalidNextToken")
        );
    }
}

#[test]
fn get_metric_statistics_validates_its_time_range() {
    let cloud = cloud();
    let base = json!({"Namespace": "App", "MetricName": "A", "Period": 60, "Statistics": ["Sum"]});
    let ask = |change: &dyn Fn(&mut Value), minutes| {
        let mut input = over_minutes(base.clone(), minutes);
        change(&mut input);
        cloud.json("GetMetricStatistics", &input)
    };
    assert_eq!(ask(&|_| {}, 1440).unwrap()["Datapoints"], json!([]));
    let (code, message) = ask(&|_| {}, 1441).unwrap_err();
    assert!(
        code.starts_with("InvalidParameterCombination") && message.contains("1441 datapoints"),
        "{message}"
    );
    assert!(ask(&|_| {}, 0).unwrap_err().1.contains("must not equal"));
    assert!(ask(&|_| {}, -1).unwrap_err().1.contains("less than"));
    assert!(ask(&|input| input["Statistics"] = json!([]), 1).is_err());
    assert!(ask(&|input| input["Statistics"] = json!(["Median"]), 1).is_err());
    assert!(ask(&|input| input["ExtendedStatistics"] = json!(["p9"]), 1).is_err());
    assert!(ask(&|input| input["Period"] = json!(0), 1).is_err());
    assert!(ask(&|input| input["StartTime"] = json!("yesterday"), 1).is_err());
}

#[test]
fn percentiles_come_from_values_and_counts() {
    let cloud = cloud();
    cloud
        .put(json!([{"MetricName": "Latency", "Unit": "Milliseconds", "Values": [1, 5, 100], "Counts": [50, 49, 1]}]))
        .unwrap();
    let mut ask = over_minutes(
        json!({"Namespace": "App", "MetricName": "Latency", "Period": 60, "ExtendedStatistics": ["p50", "p99", "p100"]}),
        1,
    );
    let found = cloud.json("GetMetricStatistics", &ask).unwrap();
    let expected = json!({"p50": 1.0, "p99": 5.0, "p100": 100.0});
    assert_eq!(found["Datapoints"][0]["ExtendedStatistics"], expected);
    ask["Unit"] = json!("Seconds");
    assert_eq!(
        cloud.json("GetMetricStatistics", &ask).unwrap()["Datapoints"],
        json!([])
    );
}

#[test]
fn list_metrics_filters_and_pages() {
    let cloud = cloud();
    let data: Vec<_> = (0..999)
        .map(|i| json!({"MetricName": "M", "Value": 1, "Dimensions": [{"Name": "Id", "Value": i.to_string()}]}))
        .collect();
    cloud.put(json!(data)).unwrap();
    cloud.clock.advance(4 * 3_600_000);
    cloud.put(json!([{"MetricName": "New", "Value": 1}])).unwrap();

    let mut names = std::collections::BTreeSet::new();
    let (mut ask, mut sizes) = (json!({}), Vec::new());
    loop {
        let page = cloud.cbor("ListMetrics", &ask).unwrap();
        let metrics = page["Metrics"].as_array().unwrap();
        sizes.push(metrics.len());
        names.extend(metrics.iter().map(ToString::to_string));
        match page.get("NextToken") {
            Some(token) => ask["NextToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!((sizes, names.len()), (vec![500, 500], 1000));

    let list = |input: Value| {
        cloud.json("ListMetrics", &input).unwrap()["Metrics"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(list(json!({"RecentlyActive": "PT3H"})), 1);
    assert_eq!(list(json!({"Dimensions": [{"Name": "Id", "Value": "7"}]})), 1);
    assert_eq!(
        list(json!({"Dimensions": [{"Name": "Id"}], "MetricName": "New"})),
        0
    );
    assert_eq!(list(json!({"Namespace": "Other"})), 0);
    assert!(
        cloud
            .json("ListMetrics", &json!({"RecentlyActive": "PT1H"}))
            .is_err()
    );
    assert!(cloud.json("ListMetrics", &json!({"NextToken": "?"})).is_err());
}

#[test]
fn an_expression_is_limited_in_points() {
    let cloud = cloud();
    let mut ask: Vec<Value> = (0..100)
        .map(|n| query(&format!("m{n}"), "Requests", 60, "Sum"))
        .collect();
    ask.push(json!({"Id": "e", "Expression": "SUM(FILL(METRICS(), 0))"}));
    let (code, message) = cloud.data(json!(ask), 30 * 24 * 60).unwrap_err();
    assert!(code.starts_with("ValidationError"), "{code}");
    assert!(message.contains("too much data"), "{message}");
}
