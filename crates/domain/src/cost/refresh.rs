//! Reads the prices of a region from the AWS Price List API (GetProducts), and keeps them in the user's cache.
//!
//! A product is recognised by its service, region, group, operation and similar attributes. It is never recognised by its
//! usage type, whose prefix differs between regions and whose suffixes overlap. If two products match and differ in price, the
//! item stays unknown.
//! Source of the attributes: the price list of each service, and "Finding services and products using the AWS Price List Query
//! API", Billing user guide.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cache;
use super::item::Item;
use super::price_book::{Entry, Prices};
use crate::context::{Context, JsonApi};
use ground::error::{Error, Result};

/// Products that a call returns at most. Source: GetProducts, Price List API reference.
const PAGE: u32 = 100;
/// Pages that are read of a service. No service has as many products in a region.
const MOST_PAGES: usize = 100;

/// How a product of an item is recognised.
struct Rule {
    item: Item,
    service: &'static str,
    family: Option<&'static str>,
    attributes: &'static [(&'static str, &'static str)],
}

const fn rule(
    item: Item,
    service: &'static str,
    family: Option<&'static str>,
    attributes: &'static [(&'static str, &'static str)],
) -> Rule {
    Rule {
        item,
        service,
        family,
        attributes,
    }
}

macro_rules! kinesis {
    ($item:ident, $group:literal, $operation:literal) => {
        rule(
            Item::$item,
            "AmazonKinesis",
            None,
            &[("group", $group), ("operation", $operation)],
        )
    };
}

const RULES: &[Rule] = &[
    kinesis!(ShardHour, "Provisioned shard hour", "shardHourStorage"),
    kinesis!(PutUnits, "Payload Units", "PutRequest"),
    rule(
        Item::ExtendedRetention,
        "AmazonKinesis",
        None,
        &[("group", "Addon shard hour")],
    ),
    kinesis!(
        ConsumerShardHour,
        "Enhanced fan-out consumer-shard hour",
        "ConsumerHour"
    ),
    kinesis!(
        ConsumerData,
        "Enhanced fan-out GB of data retrieved",
        "EnhancedFanoutDataRetrieval"
    ),
    kinesis!(
        LongTermRetention,
        "Long-term Data Retention GB-month",
        "LongTermRetentionByteHrs"
    ),
    kinesis!(StreamHour, "OnDemand", "OnDemandStreamHr"),
    kinesis!(OnDemandIn, "OnDemand", "OnDemandDataIngested"),
    kinesis!(OnDemandOut, "OnDemand", "OnDemandDataRetrieval"),
    kinesis!(OnDemandConsumerData, "OnDemand", "OnDemandEFODataRetrieval"),
    kinesis!(
        OnDemandExtendedRetention,
        "OnDemand",
        "OnDemandExtendedRetentionByteHrs"
    ),
    kinesis!(
        OnDemandLongTermRetention,
        "OnDemand",
        "OnDemandLongTermRetentionByteHrs"
    ),
    kinesis!(AdvantageIn, "OnDemand Advantage", "AdvantageDataIngested"),
    kinesis!(AdvantageOut, "OnDemand Advantage", "AdvantageDataRetrieval"),
    kinesis!(
        AdvantageConsumerData,
        "OnDemand Advantage",
        "AdvantageEFODataRetrieval"
    ),
    kinesis!(
        AdvantageRetention,
        "OnDemand Advantage",
        "AdvantageExtendedRetentionByteHrs"
    ),
    rule(
        Item::FirehoseData,
        "AmazonKinesisFirehose",
        Some("Kinesis Firehose"),
        &[("group", "Event-by-Event Processing")],
    ),
    rule(
        Item::FirehoseConversion,
        "AmazonKinesisFirehose",
        Some("Kinesis Firehose"),
        &[("operation", "DataFormatConversion")],
    ),
    rule(
        Item::LambdaRequests,
        "AWSLambda",
        Some("Serverless"),
        &[("group", "AWS-Lambda-Requests")],
    ),
    rule(
        Item::LambdaDuration,
        "AWSLambda",
        Some("Serverless"),
        &[("group", "AWS-Lambda-Duration")],
    ),
    rule(
        Item::LambdaDurationArm,
        "AWSLambda",
        Some("Serverless"),
        &[("group", "AWS-Lambda-Duration-ARM")],
    ),
    rule(
        Item::LambdaStorage,
        "AWSLambda",
        Some("Serverless"),
        &[("group", "AWS-Lambda-Storage-Duration")],
    ),
    rule(
        Item::TableWrites,
        "AmazonDynamoDB",
        Some("Amazon DynamoDB PayPerRequest Throughput"),
        &[("group", "DDB-WriteUnits")],
    ),
    rule(
        Item::TableReads,
        "AmazonDynamoDB",
        Some("Amazon DynamoDB PayPerRequest Throughput"),
        &[("group", "DDB-ReadUnits")],
    ),
    rule(
        Item::TableWriteCapacity,
        "AmazonDynamoDB",
        Some("Provisioned IOPS"),
        &[("group", "DDB-WriteUnits")],
    ),
    rule(
        Item::TableReadCapacity,
        "AmazonDynamoDB",
        Some("Provisioned IOPS"),
        &[("group", "DDB-ReadUnits")],
    ),
    rule(
        Item::TableStorage,
        "AmazonDynamoDB",
        Some("Database Storage"),
        &[("volumeType", "Amazon DynamoDB - Indexed DataStore")],
    ),
    rule(
        Item::BucketStorage,
        "AmazonS3",
        Some("Storage"),
        &[("volumeType", "Standard"), ("storageClass", "General Purpose")],
    ),
    rule(
        Item::BucketPuts,
        "AmazonS3",
        Some("API Request"),
        &[("group", "S3-API-Tier1")],
    ),
    rule(
        Item::BucketGets,
        "AmazonS3",
        Some("API Request"),
        &[("group", "S3-API-Tier2")],
    ),
    rule(
        Item::QueueRequests,
        "AWSQueueService",
        Some("API Request"),
        &[("queueType", "Standard")],
    ),
    rule(
        Item::FifoQueueRequests,
        "AWSQueueService",
        Some("API Request"),
        &[("queueType", "FIFO (first-in, first-out)")],
    ),
    rule(
        Item::TopicRequests,
        "AmazonSNS",
        Some("API Request"),
        &[("group", "SNS-Requests-Tier1")],
    ),
    rule(
        Item::Alarms,
        "AmazonCloudWatch",
        Some("Alarm"),
        &[("alarmType", "Standard")],
    ),
    rule(
        Item::HighResolutionAlarms,
        "AmazonCloudWatch",
        Some("Alarm"),
        &[("alarmType", "High Resolution")],
    ),
    rule(
        Item::Metrics,
        "AmazonCloudWatch",
        Some("Metric"),
        &[("group", "Metric"), ("operation", "MetricStorage")],
    ),
    rule(
        Item::LogsIn,
        "AmazonCloudWatch",
        Some("Data Payload"),
        &[("group", "Ingested Logs"), ("operation", "PutLogEvents")],
    ),
    rule(
        Item::LogsStorage,
        "AmazonCloudWatch",
        Some("Storage Snapshot"),
        &[("operation", "HourlyStorageMetering")],
    ),
];

/// What a refresh found. A contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Refreshed {
    pub region: String,
    /// Items with a price now.
    pub found: Vec<Item>,
    /// Items that have no product in the price list, or several that differ.
    pub missing: Vec<Item>,
}

/// Reads the prices of `region` and keeps them in the file `path`.
///
/// # Errors
/// Exit 2 for a region of a partition that has no price list here; exit 4 if AWS cannot be reached or denies the call; exit 1
/// if the list has no price of streams there.
pub async fn refresh(context: &Context, region: &str, path: &Path) -> Result<Refreshed> {
    let api = api(region)?;
    let mut services: Vec<&str> = RULES.iter().map(|rule| rule.service).collect();
    services.dedup();
    let mut products = Vec::new();
    for service in services {
        products.extend(products_of(context, &api, service, region).await?);
    }
    let entries = entries(&products, region);
    let found: Vec<Item> = entries.iter().map(|entry| entry.item).collect();
    if !found.contains(&Item::ShardHour) && !found.contains(&Item::StreamHour) {
        return Err(
            Error::failed(format!("the price list has no price of a stream in {region}"))
                .hint("check the name of the region; the known prices are unchanged"),
        );
    }
    cache::write(path, region, &entries)?;
    let has = |item: Item| found.contains(&item);
    let (found, missing) = RULES.iter().map(|rule| rule.item).partition(|item| has(*item));
    Ok(Refreshed {
        region: region.to_owned(),
        found,
        missing,
    })
}

/// The endpoint that is nearest to `region`. Source: "AWS Price List Query API endpoints", AWS general reference.
fn api(region: &str) -> Result<JsonApi> {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| region.starts_with(prefix));
    if begins(&["cn-", "us-gov-", "us-iso", "eu-iso", "eusc-"]) {
        return Err(
            Error::usage(format!("the Price List API of {region} is not supported"))
                .hint("it belongs to another partition, which has its own endpoints and prices"),
        );
    }
    let nearest = match region {
        _ if begins(&["eu-", "me-", "af-", "il-"]) => "eu-central-1",
        _ if begins(&["ap-"]) => "ap-south-1",
        _ => "us-east-1",
    };
    Ok(JsonApi {
        service: "Pricing",
        signing_name: "pricing",
        region: nearest,
        endpoint: format!("https://api.pricing.{nearest}.amazonaws.com"),
        target: "AWSPriceListService",
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    price_list: Vec<String>,
    next_token: Option<String>,
}

async fn products_of(context: &Context, api: &JsonApi, service: &str, region: &str) -> Result<Vec<Product>> {
    let what = || format!("could not read the prices of {service} in {region}");
    let mut products = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut input = json!({
            "ServiceCode": service,
            "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
            "FormatVersion": "aws_v1",
            "MaxResults": PAGE,
        });
        if let Some(token) = token.take() {
            input["NextToken"] = token.into();
        }
        let answer = context.call_json(api, "GetProducts", &input, what()).await?;
        let page: Page =
            serde_json::from_value(answer).map_err(|error| Error::failed(what()).cause(error))?;
        for text in &page.price_list {
            products.push(serde_json::from_str(text).map_err(|error| Error::failed(what()).cause(error))?);
        }
        match page.next_token.filter(|token| !token.is_empty()) {
            Some(next) => token = Some(next),
            None => return Ok(products),
        }
    }
    Err(Error::failed(what()).cause(format!("it has more than {MOST_PAGES} pages")))
}

/// A product and its prices, in the format `aws_v1`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Product {
    product: Described,
    #[serde(default)]
    service_code: String,
    #[serde(default)]
    terms: Terms,
    publication_date: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    product_family: String,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, Term>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term {
    price_dimensions: BTreeMap<String, Dimension>,
}

/// A tier of a price.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    begin_range: String,
    end_range: String,
    price_per_unit: BTreeMap<String, String>,
}

impl Product {
    fn is(&self, rule: &Rule, region: &str) -> bool {
        let attribute = |name: &str| self.product.attributes.get(name).and_then(Value::as_str);
        self.service_code == rule.service
            && attribute("regionCode") == Some(region)
            && rule
                .family
                .is_none_or(|family| self.product.product_family == family)
            && rule
                .attributes
                .iter()
                .all(|(name, value)| attribute(name) == Some(value))
    }

    /// Its tiers, in units of `item`; `None` if they cannot be read.
    fn tiers(&self, item: Item) -> Option<Vec<(u64, Option<u64>, String)>> {
        let zeros = decimals_of(item);
        let term = self.terms.on_demand.values().next()?;
        let mut tiers = Vec::new();
        for dimension in term.price_dimensions.values() {
            let bound = |text: &str| {
                let whole: u64 = text.split('.').next()?.parse().ok()?;
                let size = 10u64.pow(zeros);
                whole.is_multiple_of(size).then_some(whole / size)
            };
            let to = match dimension.end_range.as_str() {
                "Inf" => None,
                text => Some(bound(text)?),
            };
            let usd = shifted(dimension.price_per_unit.get("USD")?, zeros)?;
            tiers.push((bound(&dimension.begin_range)?, to, usd));
        }
        tiers.sort_unstable();
        (!tiers.is_empty()).then_some(tiers)
    }

    fn published(&self) -> String {
        let day = self.publication_date.as_deref().and_then(|date| date.get(..10));
        day.map_or_else(
            || jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            str::to_owned,
        )
    }
}

/// The price list has prices of single requests and units, and this price book those of 10^n of them.
fn decimals_of(item: Item) -> u32 {
    match item.unit().counted {
        "requests" | "units" => item.unit().size.ilog10(),
        _ => 0,
    }
}

/// `usd` times 10^`zeros`.
fn shifted(usd: &str, zeros: u32) -> Option<String> {
    let (whole, decimals) = usd.split_once('.').unwrap_or((usd, ""));
    let zeros = usize::try_from(zeros).ok()?;
    let decimals = format!("{decimals:0<zeros$}");
    let (moved, rest) = decimals.split_at_checked(zeros)?;
    let whole = format!("{whole}{moved}");
    let whole = whole.trim_start_matches('0');
    let rest = rest.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match rest.is_empty() {
        true => whole.to_owned(),
        false => format!("{whole}.{rest}"),
    })
}

/// The prices that `products` have in `region`.
fn entries(products: &[Product], region: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for rule in RULES {
        let mut matching = products.iter().filter(|product| product.is(rule, region));
        let Some(first) = matching.next() else { continue };
        let Some(tiers) = first.tiers(rule.item) else {
            continue;
        };
        if matching.any(|other| other.tiers(rule.item).as_ref() != Some(&tiers)) {
            continue;
        }
        let of_item = tiers.into_iter().map(|(from, to, usd)| Entry {
            region: region.to_owned(),
            item: rule.item,
            usd,
            from,
            to,
            source: format!("AWS Price List API, {}", rule.service),
            as_of: first.published(),
        });
        let of_item: Vec<Entry> = of_item.collect();
        // An item whose tiers make no sense stays unknown.
        if Prices::of(&of_item).is_ok() {
            entries.extend(of_item);
        }
    }
    entries
}

#[cfg(test)]
mod tests;
