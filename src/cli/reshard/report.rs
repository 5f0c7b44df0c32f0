//! The plan of `reshard` as a table and as a document.

use std::time::Duration;

use serde::Serialize;

use super::plan::{Plan, Work};
use crate::ui::units::{count as grouped, time};
use crate::ui::{Report, Style, lines, table, visible, wrap};
use domain::context::Context;
use domain::cost::{Change, Item, Money, price_book};
use domain::observe::dependents::{self, Dependent};
use domain::observe::traffic::{ShardDivision, Traffic};
use domain::stream::StreamState;
use domain::stream::autoscale::Decision;
use domain::stream::budget::{self, Basis, Budget};
use domain::stream::list::standing_cost_with;
use domain::stream::reshard::{AccountShards, Expected, Step, account_shards};
use ground::duration;
use ground::error::Result;

/// Steps that a table shows: the first of a long plan and its end.
const SHOWN: usize = 20;
/// Width of the output and of the labels.
const SCREEN: usize = 80;
const LABEL: usize = 10;

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ReshardReport {
    pub(super) stream: String,
    arn: String,
    /// Whether it was done; false for a dry run.
    pub(super) changed: bool,
    shards_before: u32,
    shards_after: u32,
    /// Empty if nothing has to change.
    steps: Vec<Step>,
    before: Capacity,
    after: Capacity,
    /// Steps of UpdateShardCount in 24 hours; `None` for splits and merges, which are not counted, and if unknown.
    budget: Option<Budget>,
    /// `None` if the account may not ask.
    account: Option<AccountShards>,
    /// `None` for the local cloud.
    expected: Option<Expected>,
    /// Functions and consumers that will see closed shards.
    readers: Vec<Dependent>,
    /// For a split of the hottest shard.
    traffic: Option<Traffic>,
    /// For a split by traffic.
    division: Option<ShardDivision>,
    /// For `--auto`.
    decision: Option<Decision>,
    /// What is billed for the shards in a month; `None` for the local cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Change>,
    #[serde(skip)]
    unknown: Vec<String>,
}

impl ReshardReport {
    /// What `plan` means for `state`. What cannot be found out is left out.
    pub(super) async fn of(context: &Context, state: &StreamState, plan: &Plan, changes: bool) -> Self {
        let after = plan.steps.last().map_or(state.open_shards, |step| step.shards);
        let is_change = !plan.steps.is_empty();
        let now = jiff::Timestamp::now();
        let (budget, account, dependents) = tokio::join!(
            async {
                match plan.work {
                    Work::Uniform(_) => budget::budget(context, state, &plan.map, now).await.ok(),
                    _ => None,
                }
            },
            async {
                match is_change {
                    true => account_shards(context).await.ok().flatten(),
                    false => None,
                }
            },
            async {
                match is_change {
                    true => dependents::of_stream(context, state).await,
                    false => dependents::Dependents::default(),
                }
            },
        );
        let reads = |dependent: &Dependent| matches!(dependent.kind, "function" | "consumer");
        let [before, shards_after] =
            [state.open_shards, after].map(|shards| Capacity::of(shards, context, state));
        let cost = Change {
            before: before.usd_per_month,
            after: shards_after.usd_per_month,
        };
        Self {
            cost: Some(cost).filter(|_| is_change && !context.is_local()),
            stream: state.name.clone(),
            arn: state.arn.clone(),
            changed: changes && is_change,
            shards_before: state.open_shards,
            shards_after: after,
            before,
            after: shards_after,
            budget,
            account,
            expected: Expected::of(&plan.steps).filter(|_| !context.is_local()),
            readers: dependents.found.into_iter().filter(reads).collect(),
            unknown: dependents.unknown,
            traffic: plan.traffic.clone(),
            division: plan.division.clone(),
            decision: plan.decision.clone(),
            steps: plan.steps.clone(),
        }
    }

    /// What could not be found out, where it matters.
    pub(super) fn notes(&self) -> Vec<String> {
        let readers = |text: &&String| text.contains("a function") || text.contains("a consumer");
        self.unknown.iter().filter(readers).cloned().collect()
    }

    /// Refuses a plan that the 24 hours do not have steps for.
    pub(super) fn check_budget(&self) -> Result<()> {
        let counts: Vec<u32> = self.steps.iter().map(|step| step.shards).collect();
        self.budget
            .as_ref()
            .map_or(Ok(()), |budget| budget.check(&counts))
    }

    fn budget_text(&self) -> Option<String> {
        let budget = self.budget.as_ref()?;
        let steps = self.steps.len();
        let left = budget.left.saturating_sub(steps);
        let source = match budget.basis {
            Basis::CloudTrail => "from CloudTrail, which is up to 15 minutes late",
            Basis::Lineage => "an estimate from the lineage of the shards",
        };
        let used = match (budget.basis, budget.used) {
            (_, 0) => "none".to_owned(),
            (Basis::CloudTrail, used) => used.to_string(),
            (Basis::Lineage, used) => format!("at most {used}"),
        };
        let free = budget.next_free.map_or_else(String::new, |at| {
            format!("; the first is available at {}", time(Some(at)))
        });
        Some(format!(
            "{used} of 10 steps used, {left} left after this ({source}){free}"
        ))
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        facts.extend(self.budget_text().map(|text| ("24 hours", text)));
        if let Some(AccountShards { open, limit }) = self.account {
            let after = open
                .saturating_sub(self.shards_before)
                .saturating_add(self.shards_after);
            let (open, limit, after) = (open.into(), limit.into(), after.into());
            let text = format!(
                "{} of {} shards open, {} after this",
                grouped(open),
                grouped(limit),
                grouped(after)
            );
            facts.push(("account", text));
        }
        if let Some(Expected {
            least_seconds,
            most_seconds,
        }) = self.expected
        {
            let text = |seconds| duration::format(Duration::from_secs(seconds));
            facts.push((
                "time",
                format!("{} to {} (an estimate)", text(least_seconds), text(most_seconds)),
            ));
        }
        facts.extend(self.cost.map(|cost| ("cost", cost.to_string())));
        if !self.readers.is_empty() {
            let name = |reader: &Dependent| format!("{} {}", reader.kind, visible(&reader.name));
            let names: Vec<String> = self.readers.iter().map(name).collect();
            let text = format!(
                "{}: they finish the closed shards before the new ones",
                names.join(", ")
            );
            facts.push(("readers", text));
        }
        facts
    }

    fn step_table(&self) -> String {
        let mut steps = table(["STEP", "CHANGE", "SHARDS"]);
        let hidden = self.steps.len().saturating_sub(SHOWN);
        let row =
            |(number, step): (usize, &Step)| [number.to_string(), step.words(), step.shards.to_string()];
        let rows = (1..).zip(&self.steps).map(row);
        if hidden <= 1 {
            steps.add_rows(rows);
            return steps.trim_fmt();
        }
        let rows: Vec<[String; 3]> = rows.collect();
        steps.add_rows(rows.iter().take(SHOWN - 1).cloned());
        steps.add_row([
            "…".to_owned(),
            format!("{} more", grouped(hidden as u64)),
            String::new(),
        ]);
        steps.add_rows(rows.last().cloned());
        steps.trim_fmt()
    }
}

/// Capacity of a number of shards.
/// Source: CreateStream, Kinesis API reference: 1 MiB and 1,000 records a second in, 2 MiB a second out, each shard.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Capacity {
    write_mib_per_second: u64,
    write_records_per_second: u64,
    read_mib_per_second: u64,
    /// Price of the shards in an hour; `None` where the region's prices are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_hour: Option<String>,
    /// What is billed for each shard in a month of 730 hours: the shard, longer retention, consumers, shard-level metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_month: Option<Money>,
}

impl Capacity {
    fn of(shards: u32, context: &Context, state: &StreamState) -> Self {
        let region = Some(context.region()).filter(|_| !context.is_local());
        let month = region.and_then(|region| standing_cost_with(state, shards, region));
        let book = region.and_then(price_book);
        let shards = u64::from(shards);
        Self {
            write_mib_per_second: shards,
            write_records_per_second: shards * 1_000,
            read_mib_per_second: shards * 2,
            usd_per_hour: book
                .and_then(|book| book.amount(Item::ShardHour, shards))
                .map(|amount| amount.rounded(3)),
            usd_per_month: month,
        }
    }

    fn cells(&self) -> [String; 4] {
        [
            format!("{} MiB/s", grouped(self.write_mib_per_second)),
            format!("{}/s", grouped(self.write_records_per_second)),
            format!("{} MiB/s", grouped(self.read_mib_per_second)),
            self.usd_per_month
                .map_or_else(|| "-".to_owned(), |usd| format!("{usd} a month")),
        ]
    }
}

impl Report for ReshardReport {
    fn table(&self, style: &Style) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut capacity = table(["", "SHARDS", "WRITE", "RECORDS", "READ", "PRICE"]);
        for (name, shards, row) in [
            ("before", self.shards_before, &self.before),
            ("after", self.shards_after, &self.after),
        ] {
            let cells = [name.to_owned(), grouped(shards.into())]
                .into_iter()
                .chain(row.cells());
            capacity.add_row(cells);
        }
        let mut screen = format!("{}\n\n{}", self.step_table(), capacity.trim_fmt());
        for (index, (label, text)) in self.facts().into_iter().enumerate() {
            screen.push_str(if index == 0 { "\n\n" } else { "\n" });
            let label = format!("{label:LABEL$}");
            let indent = format!("\n{:LABEL$}", "");
            screen.push_str(&style.bold(&label));
            screen.push_str(&wrap(&text, SCREEN - LABEL).join(&indent));
        }
        screen
    }

    fn text(&self) -> String {
        lines(
            (1..)
                .zip(&self.steps)
                .map(|(number, step): (u32, _)| [number.to_string(), step.words(), step.shards.to_string()]),
        )
    }
}
