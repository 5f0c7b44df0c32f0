//! What AWS has billed, from Cost Explorer (GetCostAndUsage). Each call costs 0.01 USD.
//! Source of the price: "AWS Cost Explorer pricing".

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Money;
use super::money::decimal;
use crate::context::{Context, JsonApi};
use crate::pipeline::tags::PIPELINE;
use ground::error::{Error, Result};

/// US dollars of a call.
pub const CALL_COST: &str = "0.01";
/// Pages that are read: each is a call that is paid for.
const MOST_PAGES: usize = 5;

/// The services of which a pipeline consists, in the words of Cost Explorer.
const SERVICES: &[&str] = &[
    "AWS Glue",
    "AWS Key Management Service",
    "AWS Lambda",
    "Amazon API Gateway",
    "Amazon Athena",
    "Amazon CloudFront",
    "Amazon DynamoDB",
    "Amazon Kinesis",
    "Amazon Kinesis Firehose",
    "Amazon Simple Notification Service",
    "Amazon Simple Queue Service",
    "Amazon Simple Storage Service",
    "AmazonCloudWatch",
];

/// What was billed of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Billed {
    pub service: String,
    pub amount: Money,
}

/// What was billed. A contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Actual {
    pub region: String,
    /// The pipeline whose resources are counted; `None` for all.
    pub pipeline: Option<String>,
    /// The first day.
    pub start: Date,
    /// The day after the last.
    pub end: Date,
    /// Whether AWS may still change the amounts.
    pub estimated: bool,
    /// The services, the most expensive first.
    pub services: Vec<Billed>,
    pub total: Money,
    /// Calls that were made. AWS bills 0.01 USD for each.
    pub calls: usize,
}

/// What was billed from `start` to the day before `end` in the region of `context`; of the resources of `pipeline`, if it is
/// named. Cost Explorer knows their tag only after it was activated as a cost allocation tag.
///
/// # Errors
/// Exit 4 if the call is denied; exit 1 if the bill is not in US dollars, or the answer cannot be read.
pub async fn actual(context: &Context, pipeline: Option<&str>, start: Date, end: Date) -> Result<Actual> {
    let what = || "could not read the bill".to_owned();
    let api = JsonApi {
        service: "Cost Explorer",
        signing_name: "ce",
        region: "us-east-1",
        endpoint: "https://ce.us-east-1.amazonaws.com".to_owned(),
        target: "AWSInsightsIndexService",
    };
    let mut input = request(context.region(), pipeline, start, end);
    let mut sums: BTreeMap<String, Money> = BTreeMap::new();
    let mut estimated = false;
    for page in 1..=MOST_PAGES {
        let answer = context.call_json(&api, "GetCostAndUsage", &input, what()).await?;
        let answer: Page =
            serde_json::from_value(answer).map_err(|error| Error::failed(what()).cause(error))?;
        estimated |= answer
            .add_to(&mut sums)
            .map_err(|why| Error::failed(what()).cause(why))?;
        if let Some(token) = answer.next_page_token {
            input["NextPageToken"] = token.into();
            continue;
        }
        let mut services: Vec<Billed> = sums
            .into_iter()
            .map(|(service, amount)| Billed { service, amount })
            .collect();
        services.sort_by_key(|one| std::cmp::Reverse(one.amount));
        return Ok(Actual {
            region: context.region().to_owned(),
            pipeline: pipeline.map(str::to_owned),
            start,
            end,
            estimated,
            total: services.iter().map(|one| one.amount).sum(),
            services,
            calls: page,
        });
    }
    Err(Error::failed(what()).cause(format!("it has more than {MOST_PAGES} pages")))
}

/// Source: GetCostAndUsage, Cost Explorer API reference.
fn request(region: &str, pipeline: Option<&str>, start: Date, end: Date) -> Value {
    let mut filters = vec![
        json!({"Dimensions": {"Key": "REGION", "Values": [region]}}),
        json!({"Dimensions": {"Key": "SERVICE", "Values": SERVICES}}),
    ];
    filters.extend(pipeline.map(|name| json!({"Tags": {"Key": PIPELINE, "Values": [name]}})));
    json!({
        "TimePeriod": {"Start": start.to_string(), "End": end.to_string()},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
        "Filter": {"And": filters},
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    results_by_time: Vec<Period>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Period {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    estimated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    keys: Vec<String>,
    metrics: BTreeMap<String, Amount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Amount {
    amount: String,
    unit: String,
}

impl Page {
    /// Adds the amounts of each service, and returns whether one of them may change.
    fn add_to(&self, sums: &mut BTreeMap<String, Money>) -> Result<bool, String> {
        for group in self.results_by_time.iter().flat_map(|period| &period.groups) {
            let (Some(service), Some(amount)) = (group.keys.first(), group.metrics.get("UnblendedCost"))
            else {
                return Err("a group has no service or no cost".to_owned());
            };
            if amount.unit != "USD" {
                return Err(format!("it is in {}, not in US dollars", amount.unit));
            }
            let money =
                billed(&amount.amount).ok_or_else(|| format!("{:?} is not an amount", amount.amount))?;
            let sum = sums.entry(service.clone()).or_default();
            *sum = *sum + money;
        }
        Ok(self.results_by_time.iter().any(|period| period.estimated))
    }
}

/// An amount with any number of decimals, to the billionth of a dollar. Credits are negative.
fn billed(text: &str) -> Option<Money> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let cut = match digits.split_once('.') {
        Some((whole, decimals)) if decimals.len() > 15 => format!("{whole}.{}", decimals.get(..15)?),
        _ => digits.to_owned(),
    };
    let (digits, decimals) = decimal(&cut)?;
    let nanos = match 9u32.checked_sub(decimals) {
        Some(missing) => digits * 10i128.pow(missing),
        None => {
            let unit = 10i128.pow(decimals - 9);
            (digits + unit / 2) / unit
        }
    };
    Some(Money::from_nanos(sign * nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;
    use jiff::civil::date;

    fn answer(groups: &[(&str, &str)], token: Option<&str>) -> String {
        let group = |(service, amount): &(&str, &str)| json!({"Keys": [service], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}});
        let mut answer = json!({
            "GroupDefinitions": [{"Type": "DIMENSION", "Key": "SERVICE"}],
            "ResultsByTime": [{
                "TimePeriod": {"Start": "2026-11-01", "End": "2026-11-29"},
                "Total": {},
                "Groups": groups.iter().map(group).collect::<Vec<_>>(),
                "Estimated": true,
            }],
            "DimensionValueAttributes": [],
        });
        if let Some(token) = token {
            answer["NextPageToken"] = token.into();
        }
        answer.to_string()
    }

    #[tokio::test]
    async fn amounts_are_added_by_service() {
        let endpoint = Endpoint::start(|call, body| {
            assert_eq!(call, "GetCostAndUsage");
            let input: Value = serde_json::from_str(body).unwrap();
            assert_eq!(
                input["TimePeriod"],
                json!({"Start": "2026-11-01", "End": "2026-11-29"})
            );
            assert_eq!(input["Filter"]["And"][2]["Tags"]["Values"], json!(["retail/dev"]));
            let page = match input.get("NextPageToken") {
                None => answer(
                    &[
                        ("AWS Lambda", "0.2000000000"),
                        ("Amazon Kinesis", "10.9512345678"),
                    ],
                    Some("2"),
                ),
                Some(_) => answer(&[("AWS Lambda", "-0.05")], None),
            };
            (200, page)
        })
        .await;
        let found = actual(
            &endpoint.context,
            Some("retail/dev"),
            date(2026, 11, 1),
            date(2026, 11, 29),
        );
        let found = found.await.unwrap();
        let services: Vec<_> = found
            .services
            .iter()
            .map(|one| (one.service.as_str(), one.amount.rounded(4)))
            .collect();
        assert_eq!(
            services,
            [
                ("Amazon Kinesis", "10.9512".to_owned()),
                ("AWS Lambda", "0.1500".to_owned())
            ]
        );
        assert_eq!(
            (found.total.rounded(2).as_str(), found.calls, found.estimated),
            ("11.10", 2, true)
        );
    }

    #[tokio::test]
    async fn a_bill_in_another_currency_is_refused() {
        let endpoint =
            Endpoint::start(|_, _| (200, answer(&[("AWS Lambda", "1")], None).replace("USD", "CNY"))).await;
        let found = actual(&endpoint.context, None, date(2026, 11, 1), date(2026, 11, 29)).await;
        assert!(found.unwrap_err().chain().join(": ").contains("CNY"));
    }

    #[test]
    fn amounts_are_read_to_the_billionth() {
        let nanos = |text| billed(text).map(Money::nanos);
        assert_eq!(nanos("0.0000000005"), Some(1));
        assert_eq!(nanos("-1.5"), Some(-1_500_000_000));
        assert_eq!(nanos("1.00000000000000000001"), Some(1_000_000_000));
        assert_eq!(nanos("1e5"), None);
        assert_eq!(nanos("--1"), None);
    }
}
