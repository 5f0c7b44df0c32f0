//! `streamctl cost`: estimates to the cent, measured use, refreshed prices, and the bill.

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::schemas;
use crate::support::{Cloud, Machine};

const MILLION: [&str; 5] = ["cost", "--records", "1M/day", "--size", "1KB"];

fn cents(document: &Value) -> String {
    let total: f64 = document["total"].as_str().unwrap().parse().unwrap();
    format!("{total:.2}")
}

/// The JSON document of a cost command.
fn cost(machine: &Machine, more: &[&str]) -> Value {
    let args: Vec<&str> = MILLION
        .iter()
        .chain(more)
        .copied()
        .chain(["-o", "json"])
        .collect();
    let output = machine.streamctl(&args).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    schemas::check(&args, &output.stdout);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_worked_examples_need_no_cloud() {
    let machine = Machine::new();
    assert_eq!(cents(&cost(&machine, &[])), "11.38");
    assert_eq!(cents(&cost(&machine, &["--mode", "on-demand"])), "32.68");
    assert_eq!(cents(&cost(&machine, &["--retention", "7d"])), "25.98");
    assert_eq!(
        cents(&cost(&machine, &["--consumers", "0", "--fan-out", "1"])),
        "22.70"
    );
    assert_eq!(cents(&cost(&machine, &["--metrics", "7"])), "13.48");
    let changed = cost(&machine, &["--what-if", "shards=2,retention=7d"]);
    let change = &changed["what_if"]["change"];
    assert!(
        change["difference"].as_str().unwrap().starts_with("40.15"),
        "{change}"
    );
    assert!(!machine.path().join("streamctl-home").exists());
}

/// Totals of the AWS Pricing Calculator, us-east-2.
#[test]
fn the_calculator_has_the_same_totals() {
    let machine = Machine::new();
    let total = |more: &[&str]| {
        let base = ["cost", "--region", "us-east-2", "-o", "json"];
        let args: Vec<&str> = base.iter().chain(more).copied().collect();
        let output = machine.streamctl(&args).output().unwrap();
        schemas::check(&args, &output.stdout);
        cents(&serde_json::from_slice(&output.stdout).unwrap())
    };
    let ten = [
        "--records",
        "10/s",
        "--size",
        "10KB",
        "--consumers",
        "10",
        "--fan-out",
        "10",
    ];
    assert_eq!(total(&[&ten[..], &["--shards", "2"]].concat()), "273.85");
    assert_eq!(total(&[&ten[..], &["--mode", "on-demand"]].concat()), "274.81");
    let three = [
        "--records",
        "3/s",
        "--size",
        "200KB",
        "--consumers",
        "2",
        "--mode",
        "advantage",
    ];
    // The calculator shows 3,079.73: it rounds the minimum up to whole gigabytes.
    assert_eq!(total(&three), "3079.69");
}

#[test]
fn a_budget_that_is_exceeded_is_exit_5() {
    let machine = Machine::new();
    let run = |budget: &str| {
        let args = MILLION.iter().copied().chain(["--budget", budget]);
        machine.streamctl(args).output().unwrap().status.code()
    };
    assert_eq!(run("11.38"), Some(0));
    assert_eq!(run("11"), Some(5));
    assert_eq!(run("lots"), Some(2));
}

#[test]
fn bad_input_is_refused_before_any_call() {
    let machine = Machine::new();
    machine.fails(2, ["cost", "--records", "1M/day"]);
    machine.fails(2, ["cost", "--records", "0/s", "--size", "1KB"]);
    machine.fails(2, ["cost", "--records", "1/s", "--size", "11MB"]);
    machine.fails(2, ["cost", "--records", "1/s", "--size", "1KB", "orders"]);
    machine.fails(2, ["cost", "--template", "no-such-template"]);
    machine.fails(2, ["cost", "--what-if", "colour=red"]);
    machine.fails(2, ["cost", "--add", "galaxies=1"]);
    machine.fails(2, ["cost", "--param", "a=b"]);
    machine.fails(2, ["cost", "actual", "--since", "2y"]);
}

#[test]
fn a_template_is_estimated_without_a_cloud() {
    let machine = Machine::new();
    let idle = machine.json(["cost", "--template", "retail"]);
    assert_eq!(cents(&idle), "14.70");
    let args = [
        "cost",
        "--template",
        "retail",
        "--records",
        "1M/day",
        "--size",
        "1KB",
    ];
    let busy = machine.json(args);
    assert_eq!(cents(&busy), "99.92");
    let csv = machine.ok(["cost", "--template", "retail", "-o", "csv"]);
    assert!(
        csv.starts_with("resource,item,quantity,unit,unit_price,per,amount\n"),
        "{csv}"
    );
    assert!(
        csv.contains("dashboards,730,dashboard-hours,3.00,dashboard-month,3.000000000"),
        "{csv}"
    );
}

#[test]
fn a_stream_is_measured() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    let empty = cloud.json(["cost", "orders"]);
    assert_eq!(cents(&empty), "21.90");
    let lines: String = (0..50).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    cloud.file("in.ndjson", &lines);
    cloud.ok(["put", "--stream", "orders", "--file", "in.ndjson"]);
    let measured = cloud.json(["cost", "orders", "--since", "1h"]);
    assert!(measured["measured_seconds"].as_u64().unwrap() >= 60);
    let units = &measured["lines"][1];
    assert_eq!(
        (&units["price"], units["quantity"].as_u64().unwrap() >= 50),
        (&json!("put-units"), true)
    );
    let so_far = cloud.json(["cost", "so-far", "orders"]);
    assert_eq!((&so_far["records"], &so_far["hours"]), (&json!(50), &json!(1)));
    assert_eq!(so_far["lines"][0]["quantity"], 2);
    let described = cloud.json(["describe", "orders"]);
    assert_eq!(described["standing_cost_per_month"], "21.9");
    cloud.fails(1, ["cost", "no-such-stream"]);
    // There is no price list here, and no bill.
    cloud.fails(2, ["cost", "--refresh"]);
    cloud.fails(2, ["cost", "actual"]);
}

#[test]
fn a_pipeline_is_measured_and_its_plan_priced() {
    let cloud = Cloud::start();
    let missing = cloud.fails(1, ["cost", "--pipeline", "prices"]);
    assert!(missing.contains("cost --template"), "{missing}");
    let planned = cloud.json(["plan", "prices"]);
    assert_eq!(planned["cost"]["before"], "0");
    let after: f64 = planned["cost"]["after"].as_str().unwrap().parse().unwrap();
    assert!((14.45..14.55).contains(&after), "{planned}");
    cloud.ok(["setup", "prices"]);
    let measured = cloud.json(["cost", "--pipeline", "prices"]);
    let names: Vec<&str> = measured["lines"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["resource"].as_str())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("stream ")), "{measured}");
    let more = cloud.json(["plan", "prices", "--retention", "7d"]);
    assert_eq!(more["cost"]["difference"], "14.6");
    // What is there counts, and not the default of the template.
    cloud.ok(["reshard", "ProductPricesStream", "--to", "2"]);
    let again = cloud.streamctl(["setup", "prices"]).output().unwrap();
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert!(stderr.contains("Cost on AWS: 25.4"), "{stderr}");
}

fn product(group: &str, operation: &str, usd: &str) -> String {
    json!({
        "product": {"productFamily": "Kinesis Streams", "sku": "S", "attributes": {
            "regionCode": "eu-central-1", "group": group, "operation": operation, "servicecode": "AmazonKinesis",
            "usagetype": "EUC1-Any",
        }},
        "serviceCode": "AmazonKinesis",
        "terms": {"OnDemand": {"S.T": {"priceDimensions": {"S.T.R": {
            "unit": "Unit", "beginRange": "0", "endRange": "Inf", "description": "", "pricePerUnit": {"USD": usd},
        }}}}},
        "publicationDate": "2026-11-07T00:00:00Z",
    })
    .to_string()
}

#[test]
fn refreshed_prices_are_kept_and_a_damaged_file_is_named() {
    let machine = Machine::new();
    let unknown = cost(&machine, &["--region", "eu-central-1"]);
    assert_eq!(unknown["total"], Value::Null);
    let list = vec![
        product("Provisioned shard hour", "shardHourStorage", "0.0180000000"),
        product("Payload Units", "PutRequest", "0.0000000175"),
    ];
    let answer = json!({"FormatVersion": "aws_v1", "PriceList": list}).to_string();
    let aws = Fake::start(move |_| (200, answer.clone()));
    let found = machine.json([
        "cost",
        "--refresh",
        "--region",
        "eu-central-1",
        "--endpoint-url",
        &aws.url,
    ]);
    assert_eq!(found["found"], json!(["shard-hour", "put-units"]));
    assert!(
        aws.seen()
            .iter()
            .all(|call| call.starts_with("AWSPriceListService.GetProducts"))
    );
    // 730 h × 0.018, and 30.42 million units × 0.0175.
    assert_eq!(cents(&cost(&machine, &["--region", "eu-central-1"])), "13.67");
    let path = machine.path().join("streamctl-home").join("prices.json");
    std::fs::write(&path, "{").unwrap();
    let args: Vec<&str> = MILLION
        .iter()
        .copied()
        .chain(["--region", "eu-central-1"])
        .collect();
    let output = machine.streamctl(&args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("prices.json are not used"), "{stderr}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("unknown"));
}

#[test]
fn the_bill_is_told_to_cost_a_cent() {
    let machine = Machine::new();
    let answer = json!({
        "ResultsByTime": [{
            "TimePeriod": {"Start": "2026-11-01", "End": "2026-11-29"},
            "Groups": [{"Keys": ["Amazon Kinesis"], "Metrics": {"UnblendedCost": {"Amount": "10.9512345", "Unit": "USD"}}}],
            "Estimated": true,
        }],
    });
    let aws = Fake::start(move |_| (200, answer.to_string()));
    let args = [
        "cost",
        "actual",
        "--pipeline",
        "retail",
        "--endpoint-url",
        &aws.url,
        "-o",
        "json",
    ];
    let output = machine.streamctl(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("0.01 USD for each call"), "{stderr}");
    let bill: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&bill["total"], &bill["pipeline"]),
        (&json!("10.9512345"), &json!("retail/dev"))
    );
    assert!(aws.seen()[0].starts_with("AWSInsightsIndexService.GetCostAndUsage"));
}
