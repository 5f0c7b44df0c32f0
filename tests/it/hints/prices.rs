//! Hints about prices that are not known. AWS has them: an endpoint takes its place.

use std::path::Path;

use serde_json::json;

use super::{By, Row, row};
use crate::fake::Fake;
use crate::harvest::words;
use crate::support::Cloud;

/// What is asked of an estimate.
const ESTIMATE: [&str; 7] = [
    "cost",
    "--records",
    "1M/day",
    "--size",
    "1KB",
    "--region",
    "eu-central-1",
];

/// The stream orders in a region without known prices.
pub const ROWS: &[Row] = &[
    row(
        "crates/domain/src/cost/summary.rs",
        "cost --refresh --region {region} --target aws",
        By::Run(&["describe", "orders", "--region", "eu-central-1"]),
    ),
    row(
        "src/cli/cost/report.rs",
        "cost --refresh --region {} --target aws",
        By::Run(&ESTIMATE),
    ),
    row(
        "src/cli/cost.rs",
        "cost --refresh --target aws",
        By::Made(|cloud| {
            let path = Path::new("streamctl-home").join("prices.json");
            std::fs::write(cloud.path().join(path), "{").unwrap();
            super::output(&cloud.machine, &ESTIMATE[..5], &[])
        }),
    ),
];

#[test]
fn hints_about_prices() {
    let price = json!({
        "product": {"productFamily": "Kinesis Streams", "sku": "S", "attributes": {
            "regionCode": "eu-central-1", "group": "Provisioned shard hour", "operation": "shardHourStorage",
            "servicecode": "AmazonKinesis", "usagetype": "EUC1-Any",
        }},
        "serviceCode": "AmazonKinesis",
        "terms": {"OnDemand": {"S.T": {"priceDimensions": {"S.T.R": {
            "unit": "Unit", "beginRange": "0", "endRange": "Inf", "description": "", "pricePerUnit": {"USD": "0.018"},
        }}}}},
        "publicationDate": "2026-11-07T00:00:00Z",
    });
    let answer = json!({"FormatVersion": "aws_v1", "PriceList": [price.to_string()]}).to_string();
    let aws = Fake::start(move |_| (200, answer.clone()));
    let cloud = Cloud::start();
    cloud.ok(["create", "orders", "--region", "eu-central-1"]);
    for row in ROWS {
        let command = row.command(&cloud).unwrap();
        let there = format!("--endpoint-url {}", aws.url);
        let output = cloud
            .streamctl(words(&command.replace("--target aws", &there)))
            .env("AWS_REGION", "eu-central-1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{}, `{command}`: {said}", row.of());
        let asked = aws.seen();
        assert!(
            asked
                .iter()
                .any(|call| call.starts_with("AWSPriceListService.GetProducts")),
            "{asked:?}"
        );
    }
}
