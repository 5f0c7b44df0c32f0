//! What `cost` shows.

use serde::Serialize;

use crate::ui::units::count;
use crate::ui::{Report, Style, lines, or_dash, table, visible, wrap};
use domain::cost::refresh::Refreshed;
use domain::cost::{
    CapacityMode, Category, Change, Estimate, HOURS_A_MONTH, Line, Money, Rate, Scenario, WhatIf, Workload,
    price_book,
};
use ground::duration;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Width of the output, and of its columns.
const WIDTH: usize = 80;
const ITEM: usize = 28;
const QUANTITY: usize = 13;
const AMOUNT: usize = 11;

/// What an estimate is of.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) scenario: Scenario,
    /// Seconds that the use was measured; `None` if it is assumed.
    pub(super) measured_seconds: Option<u64>,
    pub(super) remarks: Vec<String>,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct CostReport {
    /// What the cost is for, in words.
    of: String,
    /// The length of the month that is estimated.
    hours: u64,
    /// The time that the traffic was measured over; `None` if it was given.
    measured_seconds: Option<u64>,
    /// The traffic and the settings of the stream, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<Workload>,
    #[serde(flatten)]
    estimate: Estimate,
    /// Only with `--what-if`.
    #[serde(skip_serializing_if = "Option::is_none")]
    what_if: Option<Alternative>,
    /// Only with `--compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    compare: Option<Comparison>,
    /// Only with `--budget`.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Budget>,
    /// What to know about the figures, in words.
    remarks: Vec<String>,
    /// The command that reads the prices of the region, in backticks.
    #[serde(skip)]
    pub(super) refresh: String,
}

/// The estimate with changes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Alternative {
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<Workload>,
    estimate: Estimate,
    change: Change,
}

/// The capacity modes side by side.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Comparison {
    modes: Vec<OfMode>,
    /// The mode with the lowest total among those with known prices.
    cheapest: Option<&'static str>,
    break_even: Vec<BreakEven>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OfMode {
    mode: &'static str,
    estimate: Estimate,
}

/// Where a mode begins to cost less than another.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BreakEven {
    mode: &'static str,
    costs_less_than: &'static str,
    /// `None` if it never does, or a price is not known.
    from_records_per_second: Option<Rate>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CostBudget"))]
struct Budget {
    limit: Money,
    /// `None` if a price is not known, and the others are within the limit.
    is_kept: Option<bool>,
}

impl CostReport {
    pub(super) fn new(
        subject: Subject,
        what_if: Option<&WhatIf>,
        compare: bool,
        budget: Option<Money>,
    ) -> Self {
        let scenario = subject.scenario;
        let book = price_book(&scenario.region);
        let estimate = scenario.estimate(book);
        let what_if = what_if.map(|changes| {
            let changed = scenario.what_if(changes);
            let after = changed.estimate(book);
            Alternative {
                workload: only(&changed),
                change: Change {
                    before: estimate.total,
                    after: after.total,
                },
                estimate: after,
            }
        });
        let workload = only(&scenario);
        let compare = workload
            .filter(|_| compare)
            .map(|workload| comparison(&scenario, &workload));
        let budget = budget.map(|limit| Budget {
            limit,
            is_kept: match (estimate.total, estimate.known_total() > limit) {
                (_, true) => Some(false),
                (Some(_), false) => Some(true),
                (None, false) => None,
            },
        });
        Self {
            refresh: format!(
                "`streamctl cost --refresh --region {} --target aws`",
                estimate.region
            ),
            of: subject.name,
            hours: HOURS_A_MONTH,
            measured_seconds: subject.measured_seconds,
            workload,
            estimate,
            what_if,
            compare,
            budget,
            remarks: subject.remarks,
        }
    }

    /// Exit 5 if the budget is exceeded.
    ///
    /// # Errors
    /// Exit 1 if that is not known.
    pub(super) fn exit(&self) -> Result<Exit> {
        match &self.budget {
            Some(Budget { is_kept: None, .. }) => {
                let failed = Error::failed("the budget cannot be checked: a price is not known");
                Err(failed.hint(format!("{} reads the prices from AWS", self.refresh)))
            }
            Some(Budget {
                is_kept: Some(false), ..
            }) => Ok(Exit::Faults),
            _ => Ok(Exit::Done),
        }
    }

    fn heading(&self) -> String {
        let measured = self.measured_seconds.map_or_else(String::new, |seconds| {
            let length = std::time::Duration::from_secs(seconds);
            format!(", measured over {}", duration::format(length))
        });
        let prices = match &self.estimate.as_of {
            Some(as_of) => format!("prices of {as_of}"),
            None => "no prices known".to_owned(),
        };
        let workload = self
            .workload
            .as_ref()
            .map_or_else(String::new, |workload| format!(", {}", settings(workload)));
        format!(
            "{}{workload}{measured}; a month of {HOURS_A_MONTH} h in {}, {prices}",
            self.of, self.estimate.region
        )
    }

    fn what_if_lines(&self, style: &Style) -> Vec<String> {
        let Some(alternative) = &self.what_if else {
            return Vec::new();
        };
        let settings = alternative.workload.as_ref().map(settings);
        let heading = settings.map_or_else(String::new, |settings| format!(": {settings}"));
        let mut text = vec![String::new(), style.bold(&format!("With the changes{heading}"))];
        text.extend(items(&alternative.estimate, style));
        text.push(format!("Change: {}", alternative.change));
        text
    }

    fn compare_lines(&self, style: &Style) -> Vec<String> {
        let Some(comparison) = &self.compare else {
            return Vec::new();
        };
        let mut text = vec![String::new(), comparison.table()];
        text.push(String::new());
        for sentence in comparison.sentences() {
            text.extend(wrap(&sentence, WIDTH).iter().map(|line| style.bold(line)));
        }
        text
    }

    fn budget_line(&self, style: &Style) -> Option<String> {
        let budget = self.budget.as_ref()?;
        let limit = budget.limit.rounded(2);
        Some(match budget.is_kept {
            Some(true) => style.good(&format!("Within the budget of {limit} USD")),
            Some(false) => style.bad(&format!("Over the budget of {limit} USD")),
            None => style.caution(&format!(
                "It is not known whether this is within the budget of {limit} USD"
            )),
        })
    }

    fn unknown_line(&self) -> Option<String> {
        let unknown = self
            .estimate
            .lines
            .iter()
            .filter(|line| line.amount.is_none())
            .count();
        (unknown > 0).then(|| {
            format!(
                "{unknown} of {} prices are not known: {} reads those of AWS.",
                self.estimate.lines.len(),
                self.refresh
            )
        })
    }
}

/// The stream, if there is one and no other.
fn only(scenario: &Scenario) -> Option<Workload> {
    match scenario.streams.as_slice() {
        [(_, workload)] => Some(*workload),
        _ => None,
    }
}

fn comparison(scenario: &Scenario, workload: &Workload) -> Comparison {
    let book = price_book(&scenario.region);
    let of_mode = |mode: CapacityMode| {
        let changes = WhatIf {
            mode: Some(mode),
            ..WhatIf::default()
        };
        OfMode {
            mode: mode.name(),
            estimate: scenario.what_if(&changes).estimate(book),
        }
    };
    let modes: Vec<OfMode> = CapacityMode::ALL.into_iter().map(of_mode).collect();
    let known = modes
        .iter()
        .filter_map(|one| Some((one.estimate.total?, one.mode)));
    let cheapest = known.min_by_key(|(total, _)| *total).map(|(_, mode)| mode);
    // The provisioned stream has the shards of the comparison.
    let provisioned = WhatIf {
        mode: Some(CapacityMode::Provisioned),
        ..WhatIf::default()
    };
    let base = provisioned.apply(workload);
    let pairs = [
        (CapacityMode::OnDemand, CapacityMode::Provisioned),
        (CapacityMode::OnDemand, CapacityMode::Advantage),
    ];
    let break_even = pairs.map(|(dearer, mode)| BreakEven {
        mode: mode.name(),
        costs_less_than: dearer.name(),
        from_records_per_second: base.break_even(dearer, mode, &scenario.region, book),
    });
    Comparison {
        modes,
        cheapest,
        break_even: break_even.into(),
    }
}

impl Comparison {
    fn table(&self) -> String {
        let headings = self.modes.iter().map(|one| one.mode.to_uppercase());
        let mut costs = table(std::iter::once("USD A MONTH".to_owned()).chain(headings));
        let mut row = |name: &str, cell: &dyn Fn(&Estimate) -> String| {
            let cells = self.modes.iter().map(|one| cell(&one.estimate));
            costs.add_row(std::iter::once(name.to_owned()).chain(cells));
        };
        for (category, name) in CATEGORIES {
            if self.modes.iter().any(|one| one.estimate.has(*category)) {
                row(name, &|estimate| match estimate.has(*category) {
                    true => money(estimate.amount(*category)),
                    false => "-".to_owned(),
                });
            }
        }
        row("total", &|estimate| money(estimate.total));
        costs.trim_fmt()
    }

    fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![match self.cheapest {
            Some(mode) => format!("Cheapest: {mode}."),
            None => "The cheapest mode is not known: a price is missing.".to_owned(),
        }];
        for one in &self.break_even {
            let (mode, other) = (one.mode, one.costs_less_than);
            sentences.extend(one.from_records_per_second.map(|records| {
                format!(
                    "Break-even: {mode} costs less than {other} from {} on, with these records and shards.",
                    rate(&records)
                )
            }));
        }
        sentences
    }
}

const CATEGORIES: &[(Category, &str)] = &[
    (Category::Capacity, "shards or stream"),
    (Category::Writes, "writes"),
    (Category::Reads, "reads"),
    (Category::FanOut, "fan-out"),
    (Category::Retention, "retention"),
    (Category::Metrics, "metrics"),
    (Category::Minimum, "minimum"),
    (Category::Delivery, "delivery"),
    (Category::Functions, "functions"),
    (Category::Tables, "tables"),
    (Category::Buckets, "buckets"),
    (Category::Queues, "queues"),
    (Category::Topics, "topics"),
    (Category::Alarms, "alarms"),
    (Category::Dashboards, "dashboards"),
    (Category::Logs, "logs"),
    (Category::Apis, "APIs"),
    (Category::Queries, "queries"),
    (Category::Keys, "keys"),
];

/// `11.57/s`: a few digits of a rate of records.
pub(super) fn rate(rate: &Rate) -> String {
    let value = rate.as_f64();
    match value {
        _ if value >= 1_000.0 => format!("{}/s", count(rate.per_second())),
        _ if value >= 1.0 => format!("{}/s", duration::decimal(value)),
        _ => format!("{}/h", duration::decimal(value * 3_600.0)),
    }
}

fn settings(workload: &Workload) -> String {
    let shards = match (workload.mode, workload.shards) {
        (CapacityMode::Provisioned, 1) => ", 1 shard".to_owned(),
        (CapacityMode::Provisioned, shards) => format!(", {} shards", count(shards)),
        _ => String::new(),
    };
    let readers = |number: u32, what: &str| match number {
        0 => String::new(),
        1 => format!(", 1 {what}"),
        many => format!(", {many} {what}s"),
    };
    format!(
        "{}{shards}{}{}, kept {} h",
        workload.mode.name(),
        readers(workload.consumers, "reader"),
        readers(workload.fan_out_consumers, "fan-out consumer"),
        workload.retention_hours
    )
}

fn money(amount: Option<Money>) -> String {
    const CENT: i128 = 10_000_000;
    match amount {
        None => "unknown".to_owned(),
        Some(amount) if amount.nanos() > 0 && amount.nanos() < CENT / 2 => "<0.01".to_owned(),
        Some(amount) => amount.rounded(2),
    }
}

/// The quantity of a line in the unit of its price, with at most four decimals.
fn quantity(line: &Line) -> String {
    const STEPS: u128 = 10_000;
    let size = u128::from(line.price.unit().size.max(1));
    let steps = (u128::from(line.quantity) * STEPS + size / 2) / size;
    if steps == 0 && line.quantity > 0 {
        return "<0.0001".to_owned();
    }
    let whole = count(u64::try_from(steps / STEPS).unwrap_or(u64::MAX));
    let decimals = format!("{:04}", steps % STEPS);
    match decimals.trim_end_matches('0') {
        "" => whole,
        decimals => format!("{whole}.{decimals}"),
    }
}

/// The lines of an estimate as a table, those of each resource below its name.
fn items(estimate: &Estimate, style: &Style) -> Vec<String> {
    let price = WIDTH - ITEM - QUANTITY - AMOUNT - 3;
    let row = |item: &str, quantity: &str, per: &str, amount: &str| {
        format!("{item:ITEM$}{quantity:>QUANTITY$}   {per:price$}{amount:>AMOUNT$}")
    };
    let mut text = vec![style.bold(&row("ITEM", "QUANTITY", "PRICE", "USD"))];
    let mut resource: Option<&str> = None;
    for line in &estimate.lines {
        let of = line.resource.as_deref();
        if of != resource {
            resource = of;
            text.extend(of.map(visible));
        }
        let indent = if of.is_some() { "  " } else { "" };
        let per = match &line.unit_price {
            Some(usd) => format!("{usd} / {}", line.per),
            None => format!("? / {}", line.per),
        };
        text.push(row(
            &format!("{indent}{}", line.item),
            &quantity(line),
            &per,
            &money(line.amount),
        ));
    }
    text.push(style.bold(&row("total", "", "", &money(estimate.total))));
    if estimate.total.is_none() && estimate.lines.iter().any(|line| line.amount.is_some()) {
        text.push(row(
            "without unknown prices",
            "",
            "",
            &money(Some(estimate.known_total())),
        ));
    }
    text
}

impl Report for CostReport {
    fn table(&self, style: &Style) -> String {
        let mut text = wrap(&visible(&self.heading()), WIDTH);
        text.push(String::new());
        text.extend(items(&self.estimate, style));
        text.extend(self.what_if_lines(style));
        text.extend(self.compare_lines(style));
        let budget = self.budget_line(style);
        let after: Vec<String> = self
            .unknown_line()
            .into_iter()
            .chain(self.remarks.iter().cloned())
            .collect();
        if budget.is_some() || !after.is_empty() {
            text.push(String::new());
        }
        text.extend(budget);
        text.extend(after.iter().flat_map(|remark| wrap(remark, WIDTH)));
        text.join("\n")
    }

    fn text(&self) -> String {
        estimate_text(&self.estimate)
    }

    fn csv(&self) -> Option<String> {
        Some(estimate_csv(&self.estimate))
    }
}

/// The values of a line, without formatting.
fn values(line: &Line) -> [String; 7] {
    [
        or_dash(line.resource.as_deref()),
        line.item.to_owned(),
        line.quantity.to_string(),
        line.unit.to_owned(),
        or_dash(line.unit_price.as_deref()),
        line.per.to_owned(),
        or_dash(line.amount.map(|amount| amount.rounded(9))),
    ]
}

fn total(estimate: &Estimate) -> [String; 7] {
    let total = or_dash(estimate.total.map(|total| total.rounded(9)));
    let empty = || "-".to_owned();
    [
        "total".to_owned(),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
        total,
    ]
}

/// Lines of resource, item, quantity, unit, price, unit of the price and amount; the last is the total.
pub(super) fn estimate_text(estimate: &Estimate) -> String {
    let all = estimate.lines.iter().map(values);
    lines(all.chain([total(estimate)]))
}

/// The same as [`estimate_text`] with a heading and without a total. What is not known is empty.
pub(super) fn estimate_csv(estimate: &Estimate) -> String {
    let mut text = "resource,item,quantity,unit,unit_price,per,amount".to_owned();
    for line in &estimate.lines {
        let cells = values(line).map(|cell| field(if cell == "-" { "" } else { &cell }));
        text.push('\n');
        text.push_str(&cells.join(","));
    }
    text
}

/// Source: RFC 4180.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// The items of an estimate on a screen.
pub(super) fn estimate_table(estimate: &Estimate, style: &Style) -> String {
    items(estimate, style).join("\n")
}

/// What `--refresh` alone shows.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct Refresh(pub(super) Refreshed);

impl Report for Refresh {
    fn table(&self, _style: &Style) -> String {
        let Refreshed { missing, .. } = &self.0;
        if missing.is_empty() {
            return String::new();
        }
        let names: Vec<&str> = missing.iter().map(|item| item.key()).collect();
        wrap(
            &format!("Not in the price list, or ambiguous there: {}", names.join(", ")),
            WIDTH,
        )
        .join("\n")
    }

    fn text(&self) -> String {
        let row = |word: &str, items: &[domain::cost::Item]| {
            let row = |item: &domain::cost::Item| [word.to_owned(), item.key().to_owned()];
            items.iter().map(row).collect::<Vec<_>>()
        };
        lines(
            row("found", &self.0.found)
                .into_iter()
                .chain(row("missing", &self.0.missing)),
        )
    }
}

#[cfg(test)]
mod tests;
