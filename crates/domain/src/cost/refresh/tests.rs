use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::price_book::Prices;
use super::*;
use crate::pipeline::resources::test_support::Endpoint;
use ground::exit::Exit;

/// A product as GetProducts returns it, with tiers (begin, end, USD).
fn product(
    service: &str,
    family: &str,
    attributes: &[(&str, &str)],
    unit: &str,
    tiers: &[(&str, &str, &str)],
) -> String {
    let mut all = serde_json::Map::new();
    all.insert("servicecode".to_owned(), service.into());
    all.insert("locationType".to_owned(), "AWS Region".into());
    for (name, value) in attributes {
        all.insert((*name).to_owned(), (*value).into());
    }
    let dimension = |(index, (begin, end, usd)): (usize, &(&str, &str, &str))| {
        let price = json!({
            "unit": unit,
            "beginRange": begin,
            "endRange": end,
            "description": format!("${usd} per {unit}"),
            "appliesTo": [],
            "rateCode": format!("SKU.JRTCKXETXF.{index}"),
            "pricePerUnit": {"USD": usd},
        });
        (format!("SKU.JRTCKXETXF.{index}"), price)
    };
    let dimensions: serde_json::Map<String, Value> = tiers.iter().enumerate().map(dimension).collect();
    json!({
        "product": {"productFamily": family, "attributes": all, "sku": "SKU"},
        "serviceCode": service,
        "terms": {"OnDemand": {"SKU.JRTCKXETXF": {
            "priceDimensions": dimensions,
            "sku": "SKU",
            "effectiveDate": "2026-11-01T00:00:00Z",
            "offerTermCode": "JRTCKXETXF",
            "termAttributes": {},
        }}},
        "version": "20261107000000",
        "publicationDate": "2026-11-07T10:11:12Z",
    })
    .to_string()
}

fn kinesis(group: &str, operation: &str, usagetype: &str, usd: &str) -> String {
    let attributes = [
        ("regionCode", "eu-central-1"),
        ("group", group),
        ("operation", operation),
        ("usagetype", usagetype),
    ];
    product(
        "AmazonKinesis",
        "Kinesis Streams",
        &attributes,
        "Unit",
        &[("0", "Inf", usd)],
    )
}

fn frankfurt() -> Vec<String> {
    let lambda = [
        ("regionCode", "eu-central-1"),
        ("group", "AWS-Lambda-Duration"),
        ("usagetype", "EUC1-Lambda-GB-Second"),
    ];
    vec![
        kinesis(
            "Provisioned shard hour",
            "shardHourStorage",
            "EUC1-Storage-ShardHour",
            "0.0180000000",
        ),
        kinesis(
            "Addon shard hour",
            "shardHourStorage",
            "EUC1-Extended-ShardHour",
            "0.0240000000",
        ),
        kinesis(
            "Payload Units",
            "PutRequest",
            "EUC1-PutRequestPayloadUnits",
            "0.0000000175",
        ),
        kinesis(
            "OnDemand",
            "OnDemandStreamHr",
            "EUC1-OnDemand-StreamHour",
            "0.0480000000",
        ),
        // The suffix of its usage type is that of another item.
        kinesis(
            "OnDemand",
            "OnDemandDataIngested",
            "EUC1-Storage-ShardHour",
            "0.0960000000",
        ),
        product(
            "AWSLambda",
            "Serverless",
            &lambda,
            "Lambda-GB-Second",
            &[
                ("6000000000", "15000000000", "0.0000150000"),
                ("0", "6000000000", "0.0000166667"),
                ("15000000000", "Inf", "0.0000133334"),
            ],
        ),
    ]
}

fn parsed(products: &[String]) -> Vec<Product> {
    products
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

#[test]
fn products_are_matched_by_group_and_operation() {
    let prices = Prices::of(&entries(&parsed(&frankfurt()), "eu-central-1")).unwrap();
    let book = prices.book("eu-central-1").unwrap();
    let amount = |item, quantity| book.amount(item, quantity).unwrap().rounded(4);
    assert_eq!(amount(Item::ShardHour, 1), "0.0180");
    assert_eq!(amount(Item::ExtendedRetention, 1), "0.0240");
    assert_eq!(amount(Item::PutUnits, 1_000_000), "0.0175");
    assert_eq!(amount(Item::OnDemandIn, 1 << 30), "0.0960");
    let second = Item::LambdaDuration.unit().size;
    assert_eq!(
        amount(Item::LambdaDuration, 7_000_000_000 * second),
        "115000.2000"
    );
    assert_eq!(book.tariff(Item::OnDemandOut), None);
    assert_eq!(book.as_of, "2026-11-07");
    assert_eq!(book.source, "AWS Price List API, AmazonKinesis");
}

#[test]
fn a_product_of_another_region_or_of_two_prices_is_not_taken() {
    let mut products = frankfurt();
    products.push(kinesis(
        "Provisioned shard hour",
        "shardHourStorage",
        "EUC1-X",
        "0.0190000000",
    ));
    let found = entries(&parsed(&products), "eu-central-1");
    assert!(found.iter().all(|entry| entry.item != Item::ShardHour));
    assert!(found.iter().any(|entry| entry.item == Item::PutUnits));
    assert!(entries(&parsed(&products), "eu-west-1").is_empty());
    // The same price twice is no contradiction.
    let mut products = frankfurt();
    products.push(kinesis(
        "Provisioned shard hour",
        "shardHourStorage",
        "EUC1-X",
        "0.0180000000",
    ));
    let found = entries(&parsed(&products), "eu-central-1");
    assert!(found.iter().any(|entry| entry.item == Item::ShardHour));
}

#[test]
fn tiers_that_make_no_sense_leave_the_price_unknown() {
    for tiers in [
        &[("0", "10", "1"), ("20", "Inf", "2")][..],
        &[("0", "Inf", "much")],
        &[("0", "x", "1")],
        &[],
    ] {
        let attributes = [("regionCode", "eu-west-1"), ("group", "S3-API-Tier1")];
        let text = product("AmazonS3", "API Request", &attributes, "Requests", tiers);
        assert!(entries(&parsed(&[text]), "eu-west-1").is_empty(), "{tiers:?}");
    }
}

#[test]
fn prices_of_one_become_prices_of_a_million() {
    for (usd, zeros, shown) in [
        ("0.0000000140", 6, "0.014"),
        ("0.0000050000", 3, "0.005"),
        ("3", 6, "3000000"),
        ("0", 6, "0"),
        ("0.5", 0, "0.5"),
        ("12.3456", 2, "1234.56"),
    ] {
        assert_eq!(shifted(usd, zeros).as_deref(), Some(shown));
    }
}

#[test]
fn the_nearest_endpoint_is_asked() {
    let nearest = |region: &str| api(region).unwrap().endpoint;
    assert!(nearest("eu-west-2").contains(".eu-central-1."));
    assert!(nearest("ap-northeast-1").contains(".ap-south-1."));
    assert!(nearest("sa-east-1").contains(".us-east-1."));
    assert_eq!(api("cn-north-1").unwrap_err().exit(), Exit::Usage);
}

/// Pages of two products; services without products return none.
async fn price_list(products: Vec<String>) -> (Endpoint, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let endpoint = Endpoint::start(move |call, body| {
        assert_eq!(call, "GetProducts");
        count.fetch_add(1, Ordering::Relaxed);
        let input: Value = serde_json::from_str(body).unwrap();
        assert_eq!(input["Filters"][0]["Value"], "eu-central-1");
        let service = input["ServiceCode"].as_str().unwrap();
        let of_service = products
            .iter()
            .filter(|text| text.contains(&format!("\"serviceCode\":\"{service}\"")));
        let of_service: Vec<&String> = of_service.collect();
        let from: usize = input
            .get("NextToken")
            .map_or(0, |token| token.as_str().unwrap().parse().unwrap());
        let page: Vec<_> = of_service.iter().skip(from).take(2).collect();
        let mut answer = json!({"FormatVersion": "aws_v1", "PriceList": page});
        if from + 2 < of_service.len() {
            answer["NextToken"] = (from + 2).to_string().into();
        }
        (200, answer.to_string())
    })
    .await;
    (endpoint, calls)
}

#[tokio::test]
async fn a_refresh_keeps_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prices.json");
    let (endpoint, calls) = price_list(frankfurt()).await;
    let refreshed = refresh(&endpoint.context, "eu-central-1", &path).await.unwrap();
    assert!(
        refreshed.found.contains(&Item::LambdaDuration) && refreshed.missing.contains(&Item::AdvantageIn)
    );
    assert_eq!(refreshed.found.len() + refreshed.missing.len(), RULES.len());
    // Three pages of Kinesis, one of each other service.
    assert_eq!(calls.load(Ordering::Relaxed), 3 + 7);
    let prices = Prices::shipped().unwrap().with_cache(&path);
    assert_eq!(
        prices
            .book("eu-central-1")
            .unwrap()
            .amount(Item::ShardHour, 730)
            .unwrap()
            .rounded(2),
        "13.14"
    );
}

#[tokio::test]
async fn a_list_without_streams_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prices.json");
    let (endpoint, _) = price_list(Vec::new()).await;
    let error = refresh(&endpoint.context, "eu-central-1", &path)
        .await
        .unwrap_err();
    assert_eq!(error.exit(), Exit::Failed);
    assert!(!path.exists());
}

proptest::proptest! {
    #[test]
    fn no_product_panics(begin in "\\PC{0,8}", end in "\\PC{0,8}", usd in "\\PC{0,20}", date in "\\PC{0,12}") {
        let mut product: Value = serde_json::from_str(&frankfurt()[0]).unwrap();
        product["publicationDate"] = date.into();
        let term = &mut product["terms"]["OnDemand"]["SKU.JRTCKXETXF"]["priceDimensions"]["SKU.JRTCKXETXF.0"];
        term["beginRange"] = begin.into();
        term["endRange"] = end.into();
        term["pricePerUnit"]["USD"] = usd.into();
        let _ = entries(&parsed(&[product.to_string()]), "eu-central-1");
    }
}
