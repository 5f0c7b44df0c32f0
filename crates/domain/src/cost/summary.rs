//! What several resources cost together, in a month, in one line, and before and after a change.

use std::fmt;

use serde::Serialize;

use super::estimate::{Estimate, items};
use super::item::Item;
use super::price_book::{PriceBook, price_book};
use super::workload::{WhatIf, Workload};
use super::{HOURS_A_MONTH, Money};

/// What a resource uses of an item in a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Kind and name, such as `function scorer`.
    pub resource: String,
    pub item: Item,
    /// In counted units of the item.
    pub quantity: u64,
}

/// All that is paid for: streams with their traffic, and what other resources use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenario {
    pub region: String,
    /// The streams, each with the name of its resource where there are others.
    pub streams: Vec<(Option<String>, Workload)>,
    pub parts: Vec<Part>,
}

impl Scenario {
    /// A month of it. Each resource is billed as if it were alone: tiers of a price that the account shares are not joined.
    pub fn estimate(&self, book: Option<&PriceBook>) -> Estimate {
        let mut lines = Vec::new();
        for (name, workload) in &self.streams {
            let of_stream = workload.lines(&self.region, book).into_iter();
            lines.extend(of_stream.map(|mut line| {
                line.resource.clone_from(name);
                line
            }));
        }
        for part in &self.parts {
            let of_part = items(book, &[(part.item, part.quantity)]).into_iter();
            lines.extend(of_part.map(|mut line| {
                line.resource = Some(part.resource.clone());
                line
            }));
        }
        Estimate::new(&self.region, book, lines)
    }

    /// The same with `change` made to its streams.
    #[must_use]
    pub fn what_if(&self, change: &WhatIf) -> Self {
        let changed = |(name, workload): &(Option<String>, Workload)| (name.clone(), change.apply(workload));
        Self {
            streams: self.streams.iter().map(changed).collect(),
            ..self.clone()
        }
    }
}

/// The cost of a month before and after a change; `None` where a price is not known. A contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "CostChange")
)]
#[serde(into = "ShownChange")]
pub struct Change {
    pub before: Option<Money>,
    pub after: Option<Money>,
}

impl Change {
    /// How much more a month costs: negative if it costs less.
    pub fn difference(&self) -> Option<Money> {
        Some(self.after? - self.before?)
    }
}

/// The cost of a month before and after a change; `None` where a price is not known.
#[derive(Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
struct ShownChange {
    before: Option<Money>,
    after: Option<Money>,
    /// How much more a month costs: negative if it costs less.
    difference: Option<Money>,
}

impl From<Change> for ShownChange {
    fn from(change: Change) -> Self {
        Self {
            before: change.before,
            after: change.after,
            difference: change.difference(),
        }
    }
}

/// `10.95 → 25.55 USD a month (+14.60)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount =
            |amount: Option<Money>| amount.map_or_else(|| "unknown".to_owned(), |one| one.rounded(2));
        write!(f, "{} → {} USD a month", amount(self.before), amount(self.after))?;
        match self.difference() {
            Some(more) if more >= Money::default() => write!(f, " (+{})", more.rounded(2)),
            Some(less) => write!(f, " ({})", less.rounded(2)),
            None => Ok(()),
        }
    }
}

/// What a month costs without traffic, in one line. `amount` is `None` where a price of `region` is not known.
pub fn standing(amount: Option<Money>, region: &str) -> String {
    match (amount, price_book(region)) {
        (Some(amount), Some(book)) => format!(
            "{} USD a month of {HOURS_A_MONTH} h without traffic ({region}, {})",
            amount.rounded(2),
            book.as_of
        ),
        _ => {
            format!(
                "unknown: a price of {region} is missing (`streamctl cost --refresh --region {region} --target aws`)"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Demand, Load, Rate};
    use super::*;

    #[test]
    fn a_change_is_shown_with_its_sign() {
        let money = |text| Money::parse(text);
        let show = |before, after| Change { before, after }.to_string();
        assert_eq!(
            show(money("10.95"), money("25.55")),
            "10.95 → 25.55 USD a month (+14.60)"
        );
        assert_eq!(
            show(money("21.90"), money("10.95")),
            "21.90 → 10.95 USD a month (-10.95)"
        );
        assert_eq!(show(None, money("1")), "unknown → 1.00 USD a month");
        let change = Change {
            before: money("2"),
            after: money("0.5"),
        };
        assert_eq!(
            serde_json::to_string(&change).unwrap(),
            r#"{"before":"2","after":"0.5","difference":"-1.5"}"#
        );
    }

    #[test]
    fn one_line_without_traffic() {
        assert_eq!(
            standing(Money::parse("10.95"), "us-east-1"),
            "10.95 USD a month of 730 h without traffic (us-east-1, 2026-11)"
        );
        assert!(standing(None, "eu-central-1").starts_with("unknown: "));
    }

    #[test]
    fn resources_are_added_up() {
        let records = Rate::new(1_000_000, 86_400);
        let workload = Workload::new(&Demand {
            load: Load::steady(records, records.times(1_024, 1)),
            consumers: 1,
            fan_out_consumers: 0,
            retention_hours: 24,
        });
        let scenario = Scenario {
            region: "us-east-1".to_owned(),
            streams: vec![(Some("stream orders".to_owned()), workload)],
            parts: vec![
                Part {
                    resource: "alarm errors".to_owned(),
                    item: Item::Alarms,
                    quantity: HOURS_A_MONTH,
                },
                Part {
                    resource: "queue dead".to_owned(),
                    item: Item::QueueRequests,
                    quantity: 0,
                },
            ],
        };
        let estimate = scenario.estimate(price_book("us-east-1"));
        assert_eq!(estimate.total.unwrap().rounded(2), "11.48");
        let names: Vec<_> = estimate
            .lines
            .iter()
            .filter_map(|line| line.resource.as_deref())
            .collect();
        assert_eq!(names, ["stream orders", "stream orders", "alarm errors"]);
        let two = WhatIf {
            shards: Some(2),
            ..WhatIf::default()
        };
        let changed = scenario.what_if(&two).estimate(price_book("us-east-1"));
        assert_eq!(changed.total.unwrap().rounded(2), "22.43");
        assert_eq!(scenario.what_if(&WhatIf::default()), scenario);
    }
}
