//! `streamctl list`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::shared::Session;
use crate::ui::units::{count, counted, time};
use crate::ui::{Format, Report, Style, Table, lines, or_dash, table, width, wrap};
use domain::cost::price_book;
use domain::stream::desired::hours;
use domain::stream::{self, Filter, Mode, NamePattern, Status, StreamEntry, TagFilter, Totals};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// List the streams of the target
///
/// Shows name, status, mode and creation time of each stream in the account and region, sorted by name. With --long it
/// also shows open shards, retention, consumers and what the stream costs a month on AWS without traffic, and the totals.
/// That takes one call for each stream, at most 20 a second. Tags are looked up with one call for each hundred streams.
#[derive(Debug, Args)]
#[command(alias = "ls")]
#[command(after_help = "\
Examples:
  streamctl list                      every stream of the target
  streamctl list 'concert-*'          names that match a pattern
  streamctl list --long               with shards, cost and totals
  streamctl list --tag env=prod --mode on-demand
  streamctl list -o text | cut -f1    names only")]
pub struct ListArgs {
    /// Only streams whose names match: * is any characters, ? is one
    #[arg(value_name = "PATTERN", value_parser = pattern)]
    name: Option<NamePattern>,
    /// Only streams whose names begin with this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only streams with this tag (repeatable: with all of them)
    #[arg(long = "tag", value_name = "KEY[=VALUE]", value_parser = tag)]
    tags: Vec<TagFilter>,
    /// Only streams with this status: creating, active, updating or deleting
    #[arg(
        long,
        value_enum,
        value_name = "STATUS",
        ignore_case = true,
        hide_possible_values = true
    )]
    status: Option<StatusArg>,
    /// Only streams in this mode: provisioned or on-demand
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true)]
    mode: Option<ModeArg>,
    /// Also show shards, retention, consumers and cost, and the totals
    #[arg(short, long)]
    long: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusArg {
    Creating,
    Active,
    Updating,
    Deleting,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    Provisioned,
    OnDemand,
}

fn pattern(text: &str) -> Result<NamePattern, String> {
    text.parse().map_err(|error| sentence(&error))
}

fn tag(text: &str) -> Result<TagFilter, String> {
    text.parse().map_err(|error| sentence(&error))
}

/// Error and hint in one sentence, for clap.
fn sentence(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

impl ListArgs {
    fn filter(&self) -> Filter {
        Filter {
            prefix: self.prefix.clone(),
            name: self.name.clone(),
            status: self.status.map(|status| match status {
                StatusArg::Creating => Status::Creating,
                StatusArg::Active => Status::Active,
                StatusArg::Updating => Status::Updating,
                StatusArg::Deleting => Status::Deleting,
            }),
            mode: self.mode.map(|mode| match mode {
                ModeArg::Provisioned => Mode::Provisioned,
                ModeArg::OnDemand => Mode::OnDemand,
            }),
            tags: self.tags.clone(),
        }
    }

    /// What of the names is asked for, if nothing else is.
    fn names(&self) -> Option<String> {
        let others = self.tags.is_empty() && self.status.is_none() && self.mode.is_none();
        match (&self.name, self.prefix.as_str()) {
            (Some(pattern), "") if others => Some(format!("matching {:?}", pattern.text())),
            (None, prefix) if others => Some(format!("beginning with {prefix:?}")),
            _ => None,
        }
    }
}

pub(super) async fn run(args: ListArgs, session: &Session) -> Result<Exit> {
    let filter = args.filter();
    let context = session.context().await?;
    let report = ListReport {
        streams: stream::list(context, &filter, args.long).await?,
        long: args.long,
        region: context.region().to_owned(),
    };
    let printer = session.printer();
    if report.streams.is_empty() {
        let location = format!("here ({}, region {})", context.target_name(), context.region());
        printer.note(&match args.names() {
            _ if filter.is_empty() => {
                format!("There are no streams {location}; `streamctl setup` creates one")
            }
            Some(names) => format!("No stream {location} has a name {names}"),
            None => format!("No stream {location} matches"),
        });
        if matches!(printer.format(), Format::Table | Format::Text) {
            return Ok(Exit::Done);
        }
    }
    printer.report(&report)?;
    Ok(Exit::Done)
}

/// JSON is an array of streams.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct ListReport {
    streams: Vec<StreamEntry>,
    #[serde(skip)]
    long: bool,
    #[serde(skip)]
    region: String,
}

impl ListReport {
    fn rows(&self) -> Table {
        let headings = match self.long {
            true => &["NAME", "STATUS", "MODE", "SHARDS", "KEPT", "USD/MONTH"][..],
            false => &["NAME", "STATUS", "MODE", "CREATED"],
        };
        let mut rows = table(headings.iter().copied());
        for entry in &self.streams {
            let mut cells = vec![
                entry.name.clone(),
                entry.status.to_string(),
                entry.mode.to_string(),
            ];
            match &entry.details {
                Some(details) => cells.extend([
                    or_dash(entry.open_shards.map(u64::from).map(count)),
                    hours(details.retention_hours),
                    details
                        .standing_cost_per_month
                        .map_or_else(|| "unknown".to_owned(), |cost| cost.rounded(2)),
                ]),
                None => cells.push(time(entry.created)),
            }
            rows.add_row(cells);
        }
        rows
    }

    /// The totals, in words; `None` without details.
    fn totals(&self) -> Option<String> {
        let totals = Totals::of(&self.streams)?;
        let cost = match (totals.standing_cost_per_month, price_book(&self.region)) {
            (Some(cost), Some(book)) => format!(
                "{} USD a month on AWS without traffic (prices of {} in {})",
                cost.rounded(2),
                book.as_of,
                self.region
            ),
            _ => format!("cost unknown: no prices are known for {}", self.region),
        };
        Some(format!(
            "{} with {}, {cost}",
            counted(totals.streams as u64, "stream"),
            counted(totals.open_shards, "open shard")
        ))
    }
}

impl Report for ListReport {
    fn table(&self, _style: &Style) -> String {
        let rows = self.rows();
        match self.totals().filter(|_| self.long && !self.streams.is_empty()) {
            Some(totals) => format!("{}\n\n{}", rows.trim_fmt(), wrap(&totals, width()).join("\n")),
            None => rows.trim_fmt(),
        }
    }

    fn text(&self) -> String {
        lines(self.streams.iter().map(|entry| {
            [
                entry.name.clone(),
                entry.status.to_string(),
                entry.mode.to_string(),
                or_dash(entry.open_shards),
                or_dash(entry.created),
                entry.arn.clone(),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::cost::Money;
    use domain::stream::list::Details;

    fn report(long: bool) -> ListReport {
        let entry = |name: &str, status, mode, shards: u32| StreamEntry {
            name: name.to_owned(),
            status,
            mode,
            open_shards: long.then_some(shards),
            created: "2026-01-01T12:30:00Z".parse().ok(),
            arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
            details: long.then_some(Details {
                retention_hours: 168,
                consumer_count: 2,
                shard_level_metrics: 0,
                standing_cost_per_month: Some(Money::from_nanos(10_950_000_000)),
            }),
        };
        ListReport {
            streams: vec![
                entry("clicks", Status::Updating, Mode::OnDemand, 4),
                entry("concert-data-stream", Status::Active, Mode::Provisioned, 1),
            ],
            long,
            region: "us-east-1".to_owned(),
        }
    }

    #[test]
    fn people_get_a_table() {
        insta::assert_snapshot!(report(false).rows().trim_fmt(), @r"
        NAME                 STATUS    MODE         CREATED
        clicks               UPDATING  on-demand    2026-01-01 12:30:00 UTC
        concert-data-stream  ACTIVE    provisioned  2026-01-01 12:30:00 UTC
        ");
        insta::assert_snapshot!(report(true).rows().trim_fmt(), @r"
        NAME                 STATUS    MODE         SHARDS  KEPT  USD/MONTH
        clicks               UPDATING  on-demand    4       7d    10.95
        concert-data-stream  ACTIVE    provisioned  1       7d    10.95
        ");
        insta::assert_snapshot!(report(true).totals().unwrap(), @"2 streams with 5 open shards, 21.90 USD a month on AWS without traffic (prices of 2026-11 in us-east-1)");
        assert_eq!(report(false).totals(), None);
        let mut elsewhere = report(true);
        elsewhere.region = "xx-north-1".to_owned();
        insta::assert_snapshot!(elsewhere.totals().unwrap(), @"2 streams with 5 open shards, cost unknown: no prices are known for xx-north-1");
    }

    #[test]
    fn a_long_name_loses_its_middle_on_a_terminal() {
        let mut long = report(true);
        long.streams[0].name = format!("first-{}-last", "n".repeat(116));
        let rows = long.rows().trim_fmt();
        assert!(rows.lines().all(|line| line.chars().count() <= 80), "{rows}");
        assert!(rows.contains("\nfirst-nn") && rows.contains("nn-last "), "{rows}");
    }

    #[test]
    fn scripts_get_the_same_columns_whatever_was_asked() {
        insta::assert_snapshot!(report(false).text().replace('\t', " | "), @r"
        clicks | UPDATING | on-demand | - | 2026-01-01T12:30:00Z | arn:aws:kinesis:us-east-1:000000000000:stream/clicks
        concert-data-stream | ACTIVE | provisioned | - | 2026-01-01T12:30:00Z | arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
        ");
        insta::assert_snapshot!(report(true).text().replace('\t', " | "), @r"
        clicks | UPDATING | on-demand | 4 | 2026-01-01T12:30:00Z | arn:aws:kinesis:us-east-1:000000000000:stream/clicks
        concert-data-stream | ACTIVE | provisioned | 1 | 2026-01-01T12:30:00Z | arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
        ");
    }

    #[test]
    fn json_is_an_array_of_streams() {
        insta::assert_json_snapshot!(report(true), @r#"
        [
          {
            "name": "clicks",
            "status": "UPDATING",
            "mode": "ON_DEMAND",
            "open_shards": 4,
            "created": "2026-01-01T12:30:00Z",
            "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
            "retention_hours": 168,
            "consumer_count": 2,
            "shard_level_metrics": 0,
            "standing_cost_per_month": "10.95"
          },
          {
            "name": "concert-data-stream",
            "status": "ACTIVE",
            "mode": "PROVISIONED",
            "open_shards": 1,
            "created": "2026-01-01T12:30:00Z",
            "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream",
            "retention_hours": 168,
            "consumer_count": 2,
            "shard_level_metrics": 0,
            "standing_cost_per_month": "10.95"
          }
        ]
        "#);
    }
}
