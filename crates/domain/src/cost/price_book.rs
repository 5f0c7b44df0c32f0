//! Prices with their source: those of the repository (`prices.toml`), and those that `cost --refresh` has read.
//!
//! A region or an item without a row has no price. No price is derived from another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use super::item::Item;
use super::money::decimal;
use super::{Money, cache};

/// The rows of the repository.
const SHIPPED: &str = include_str!("prices.toml");
/// The region of prices that hold everywhere.
const GLOBAL: &str = "global";
/// The largest price of a unit that is believed, in US dollars.
const LARGEST: i128 = 10_000;

/// Bytes a second that an account with On-demand Advantage pays for at least, in each direction, all its streams of a
/// region together. Source: "Amazon Kinesis Data Streams launches On-demand Advantage", AWS Big Data Blog, 2025-11-03.
pub const ADVANTAGE_MINIMUM: u64 = 25 << 20;

/// A price for a number of counted units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    pub amount: Money,
    /// Number of units, such as 1,000,000 payload units or the bytes of a GB.
    pub per: u64,
}

impl Price {
    /// The price `usd` of one unit of `item`. Exact: decimals below a billionth of a dollar make `per` greater.
    ///
    /// # Errors
    /// If `usd` is not a decimal number, or not a price that is believed.
    fn parse(item: Item, usd: &str) -> Result<Self, String> {
        let wrong = || format!("{usd:?} is not a price of {item}");
        // The Price List API writes ten decimals.
        let text = match usd.contains('.') {
            true => usd.trim_end_matches('0').trim_end_matches('.'),
            false => usd,
        };
        let (digits, decimals) = decimal(text).ok_or_else(wrong)?;
        if digits > LARGEST * 10i128.pow(decimals) {
            return Err(wrong());
        }
        let (nanos, more) = match 9u32.checked_sub(decimals) {
            Some(missing) => (digits * 10i128.pow(missing), 1),
            None => (digits, 10u64.pow(decimals - 9)),
        };
        Ok(Self {
            amount: Money::from_nanos(nanos),
            per: item.unit().size.saturating_mul(more),
        })
    }

    /// Price of `quantity` units, to the billionth of a dollar, rounded half up.
    pub fn of(&self, quantity: u64) -> Money {
        let per = i128::from(self.per.max(1));
        let exact = self.amount.nanos().saturating_mul(i128::from(quantity));
        Money::from_nanos(exact.saturating_add(per / 2).div_euclid(per))
    }

    /// The price of one unit of `item` in US dollars, with two decimals at least: `0.0000166667`.
    pub fn per_unit(&self, item: Item) -> String {
        let more = self.per / item.unit().size.max(1);
        let decimals = 9 + more.checked_ilog10().unwrap_or(0);
        let width = usize::try_from(decimals).unwrap_or(9);
        let digits = format!("{:0>1$}", self.amount.nanos(), width + 1);
        let (whole, rest) = digits.split_at(digits.len() - width);
        let rest = rest.trim_end_matches('0');
        format!("{whole}.{rest:0<2}")
    }
}

/// A part of a tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The first counted unit of a month that it is for.
    pub from: u64,
    /// The first that it is not for; `None` for the last tier.
    pub to: Option<u64>,
    pub price: Price,
}

/// The price of an item in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// In their order, without a gap.
    tiers: Vec<Tier>,
    /// When it was checked: `2026-11`, or a day.
    pub as_of: String,
    pub source: String,
}

impl Tariff {
    /// The part of `quantity` in each tier, with its price. What is beyond the last tier has none.
    pub fn split(&self, quantity: u64) -> Vec<(u64, Option<Price>)> {
        let within = |tier: &Tier| {
            let end = tier.to.unwrap_or(u64::MAX).min(quantity);
            (end.saturating_sub(tier.from), Some(tier.price))
        };
        let mut parts: Vec<_> = self.tiers.iter().map(within).collect();
        let known: u64 = parts.iter().map(|(part, _)| part).sum();
        parts.push((quantity.saturating_sub(known), None));
        // A quantity of zero keeps the price of the first unit.
        let mut first = true;
        parts.retain(|(part, price)| {
            *part > 0 || (quantity == 0 && price.is_some() && std::mem::take(&mut first))
        });
        parts
    }

    /// The price of the first unit.
    pub fn first(&self) -> Option<Price> {
        self.tiers.first().map(|tier| tier.price)
    }

    /// The price of `quantity`; `None` beyond the last tier.
    pub fn of(&self, quantity: u64) -> Option<Money> {
        let parts = self.split(quantity).into_iter();
        parts.map(|(part, price)| Some(price?.of(part))).sum()
    }
}

/// The prices of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBook {
    pub region: String,
    /// When the oldest of them was checked.
    pub as_of: String,
    /// Source of the prices of streams, or else of the first price.
    pub source: String,
    tariffs: BTreeMap<Item, Tariff>,
}

impl PriceBook {
    fn new(region: &str, tariffs: BTreeMap<Item, Tariff>) -> Self {
        let main = tariffs.get(&Item::ShardHour).or_else(|| tariffs.values().next());
        Self {
            region: region.to_owned(),
            as_of: tariffs
                .values()
                .map(|one| one.as_of.clone())
                .min()
                .unwrap_or_default(),
            source: main.map(|one| one.source.clone()).unwrap_or_default(),
            tariffs,
        }
    }

    /// The tariff of `item`; `None` if it is not known.
    pub fn tariff(&self, item: Item) -> Option<&Tariff> {
        self.tariffs.get(&item)
    }

    /// The price of `quantity` counted units of `item`; `None` if it is not known.
    pub fn amount(&self, item: Item, quantity: u64) -> Option<Money> {
        self.tariff(item)?.of(quantity)
    }

    /// The items that have a price.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        self.tariffs.keys().copied()
    }
}

/// A row of prices, as it is written in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    item: Item,
    regions: BTreeSet<String>,
    usd: String,
    /// The unit of the item, for the reader.
    per: String,
    #[serde(default)]
    from: u64,
    to: Option<u64>,
    source: String,
    as_of: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipped {
    sources: BTreeMap<String, String>,
    prices: Rows,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    rows: Vec<Row>,
}

/// A price of an item in a region, before its tiers are put together. `from` and `to` are in units of the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub region: String,
    pub item: Item,
    pub usd: String,
    pub from: u64,
    pub to: Option<u64>,
    pub source: String,
    pub as_of: String,
}

/// All prices, by region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    books: BTreeMap<String, PriceBook>,
    /// Why the refreshed prices were not used.
    pub problem: Option<String>,
}

impl Prices {
    /// The prices of the repository.
    ///
    /// # Errors
    /// If `prices.toml` is not valid, which a test excludes.
    pub fn shipped() -> Result<Self, String> {
        let read: Shipped = toml::from_str(SHIPPED).map_err(|error| error.to_string())?;
        let mut entries = Vec::new();
        for row in read.prices.rows {
            let unit = row.item.unit().name;
            if row.per != unit {
                return Err(format!(
                    "a price of {} is for a {unit}, not for a {}",
                    row.item, row.per
                ));
            }
            let source = read.sources.get(&row.source);
            let source = source.ok_or_else(|| format!("there is no source {}", row.source))?;
            entries.extend(row.regions.iter().map(|region| Entry {
                region: region.clone(),
                item: row.item,
                usd: row.usd.clone(),
                from: row.from,
                to: row.to,
                source: source.clone(),
                as_of: row.as_of.clone(),
            }));
        }
        Self::of(&entries)
    }

    /// The prices of `entries`.
    ///
    /// # Errors
    /// If one is not a price, or the tiers of an item overlap or have a gap.
    pub(super) fn of(entries: &[Entry]) -> Result<Self, String> {
        let mut tariffs: BTreeMap<String, BTreeMap<Item, Tariff>> = BTreeMap::new();
        for entry in entries {
            let size = entry.item.unit().size;
            let tier = Tier {
                from: entry.from.saturating_mul(size),
                to: entry.to.map(|to| to.saturating_mul(size)),
                price: Price::parse(entry.item, &entry.usd)?,
            };
            let of_region = tariffs.entry(entry.region.clone()).or_default();
            let tariff = of_region.entry(entry.item).or_insert_with(|| Tariff {
                tiers: Vec::new(),
                as_of: entry.as_of.clone(),
                source: entry.source.clone(),
            });
            tariff.tiers.push(tier);
        }
        for (region, of_region) in &mut tariffs {
            for (item, tariff) in of_region {
                tariff.tiers.sort_by_key(|tier| tier.from);
                if !is_seamless(&tariff.tiers) {
                    return Err(format!("the tiers of {item} in {region} overlap or have a gap"));
                }
            }
        }
        Ok(Self::with_tariffs(tariffs))
    }

    fn with_tariffs(mut tariffs: BTreeMap<String, BTreeMap<Item, Tariff>>) -> Self {
        let global = tariffs.remove(GLOBAL).unwrap_or_default();
        let book = |(region, mut own): (String, BTreeMap<Item, Tariff>)| {
            for (item, tariff) in &global {
                own.entry(*item).or_insert_with(|| tariff.clone());
            }
            (region.clone(), PriceBook::new(&region, own))
        };
        Self {
            books: tariffs.into_iter().map(book).collect(),
            problem: None,
        }
    }

    /// These prices, and those of the file `path` in their place where it has any. A file that cannot be used is left out, and
    /// [`Prices::problem`] says why.
    #[must_use]
    pub fn with_cache(mut self, path: &Path) -> Self {
        match cache::read(path) {
            Ok(None) => self,
            Ok(Some(refreshed)) => {
                for (region, book) in refreshed.books {
                    let mut tariffs = self
                        .books
                        .remove(&region)
                        .map(|book| book.tariffs)
                        .unwrap_or_default();
                    tariffs.extend(book.tariffs);
                    let merged = PriceBook::new(&region, tariffs);
                    self.books.insert(region, merged);
                }
                self
            }
            Err(why) => {
                self.problem = Some(format!(
                    "the refreshed prices in {} are not used: {why}",
                    path.display()
                ));
                self
            }
        }
    }

    /// The prices of `region`; `None` if there are none.
    pub fn book(&self, region: &str) -> Option<&PriceBook> {
        self.books.get(region)
    }
}

fn is_seamless(tiers: &[Tier]) -> bool {
    let mut next = Some(0);
    for tier in tiers {
        if next != Some(tier.from) || tier.to.is_some_and(|to| to <= tier.from) {
            return false;
        }
        next = tier.to;
    }
    !tiers.is_empty()
}

static CACHE: OnceLock<PathBuf> = OnceLock::new();
static PRICES: OnceLock<Prices> = OnceLock::new();

/// Names the file of refreshed prices. It is read when a price is first asked for. Without it, only the prices of the
/// repository count.
pub fn keep_refreshed_in(path: PathBuf) {
    CACHE.get_or_init(|| path);
}

/// All prices that this process uses.
pub fn prices() -> &'static Prices {
    PRICES.get_or_init(|| {
        let shipped = Prices::shipped().unwrap_or_else(|problem| Prices {
            problem: Some(problem),
            ..Prices::default()
        });
        match CACHE.get() {
            Some(path) => shipped.with_cache(path),
            None => shipped,
        }
    })
}

/// The prices of `region`; `None` if unknown.
pub fn price_book(region: &str) -> Option<&'static PriceBook> {
    prices().book(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(region: &str) -> PriceBook {
        Prices::shipped().unwrap().book(region).unwrap().clone()
    }

    #[test]
    fn every_row_names_its_source_and_date() {
        let prices = Prices::shipped().unwrap();
        for book in prices.books.values() {
            for item in book.items() {
                let tariff = book.tariff(item).unwrap();
                assert!(tariff.source.starts_with("https://"), "{item}");
                assert!(tariff.as_of.starts_with("2026-"), "{item}");
            }
        }
        assert_eq!(prices.problem, None);
    }

    /// Source: AWS Pricing Calculator, 2026-11.
    #[test]
    fn firehose_is_billed_in_tiers() {
        let tariff = book("eu-west-2").tariff(Item::FirehoseData).unwrap().clone();
        let parts = tariff.split(3_000_000 << 30);
        let amounts: Vec<String> = parts
            .iter()
            .map(|(part, price)| price.unwrap().of(*part).rounded(2))
            .collect();
        assert_eq!(amounts, ["17920.00", "46080.00", "22848.00"]);
        assert_eq!(tariff.of(3_000_000 << 30).unwrap().rounded(2), "86848.00");
        // No price is known beyond 5 PB.
        assert_eq!(tariff.of(6_000_000 << 30), None);
    }

    #[test]
    fn small_prices_keep_every_digit() {
        let tariff = book("us-east-1").tariff(Item::LambdaDuration).unwrap().clone();
        let size = Item::LambdaDuration.unit().size;
        assert_eq!(tariff.of(1_000_000 * size).unwrap().rounded(4), "16.6667");
        let [(_, Some(price))] = tariff.split(0)[..] else {
            panic!("one tier");
        };
        assert_eq!(price.per_unit(Item::LambdaDuration), "0.0000166667");
        let unit = |item: Item| {
            let book = book("us-east-1");
            let parts = book.tariff(item).unwrap().split(0);
            parts[0].1.unwrap().per_unit(item)
        };
        assert_eq!(unit(Item::ShardHour), "0.015");
        assert_eq!(unit(Item::Alarms), "0.10");
        assert_eq!(unit(Item::Dashboards), "3.00");
        assert_eq!(unit(Item::LambdaStorage), "0.0000000309");
    }

    #[test]
    fn the_first_million_requests_of_topics_are_free() {
        let tariff = book("us-east-1").tariff(Item::TopicRequests).unwrap().clone();
        assert_eq!(tariff.of(1_000_000).unwrap(), Money::default());
        assert_eq!(tariff.of(3_000_000).unwrap().rounded(2), "1.00");
    }

    #[test]
    fn prices_that_hold_everywhere_are_in_every_book() {
        assert!(book("ap-northeast-1").tariff(Item::CloudFrontData).is_some());
        assert_eq!(Prices::shipped().unwrap().book("eu-central-1"), None);
    }

    fn entry(item: Item, usd: &str, from: u64, to: Option<u64>) -> Entry {
        Entry {
            region: "eu-central-1".to_owned(),
            item,
            usd: usd.to_owned(),
            from,
            to,
            source: "test".to_owned(),
            as_of: "2026-11-29".to_owned(),
        }
    }

    #[test]
    fn tiers_must_be_seamless_and_prices_numbers() {
        let of = |entries: &[Entry]| Prices::of(entries);
        assert!(of(&[entry(Item::ShardHour, "0.0180000000", 0, None)]).is_ok());
        for wrong in [
            vec![entry(Item::ShardHour, "free", 0, None)],
            vec![entry(Item::ShardHour, "-1", 0, None)],
            vec![entry(Item::ShardHour, "10001", 0, None)],
            vec![entry(Item::ShardHour, "1", 5, None)],
            vec![
                entry(Item::ShardHour, "1", 0, None),
                entry(Item::ShardHour, "2", 0, None),
            ],
            vec![
                entry(Item::ShardHour, "1", 0, Some(5)),
                entry(Item::ShardHour, "2", 6, None),
            ],
            vec![entry(Item::ShardHour, "1", 0, Some(0))],
        ] {
            assert!(of(&wrong).is_err(), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn tiers_cover_all_that_is_used(quantity: u64) {
            for item in [Item::FirehoseData, Item::LambdaDuration, Item::RestApiRequests, Item::ShardHour] {
                let tariff = book("us-east-1").tariff(item).unwrap().clone();
                let parts = tariff.split(quantity);
                proptest::prop_assert_eq!(parts.iter().map(|(part, _)| part).sum::<u64>(), quantity);
            }
        }

        #[test]
        fn a_tier_never_lowers_the_bill(quantity in 0..1u64 << 50, more in 0..1u64 << 50) {
            let tariff = book("us-east-1").tariff(Item::FirehoseData).unwrap().clone();
            proptest::prop_assert!(tariff.of(quantity) <= tariff.of(quantity + more));
        }
    }
}
