//! `streamctl list`.

use clap::Args;
use serde::Serialize;

use super::shared::Session;
use crate::ui::units::time;
use crate::ui::{Format, Report, Style, lines, or_dash, table};
use domain::stream::{self, StreamEntry};
use ground::error::Result;
use ground::exit::Exit;

/// List the streams of the target
///
/// Shows name, status, mode and creation time of each stream in the account and region, sorted by name. With --long it
/// also shows the number of open shards, which takes one call for each stream, at most 20 a second.
#[derive(Debug, Args)]
#[command(alias = "ls")]
#[command(after_help = "\
Examples:
  streamctl list                      every stream of the target
  streamctl list --prefix concert-    names that begin with concert-
  streamctl list --long               with the number of open shards
  streamctl list -o text | cut -f1    names only")]
pub struct ListArgs {
    /// Only streams whose names begin with this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Also show the number of open shards
    #[arg(short, long)]
    long: bool,
}

pub(super) async fn run(args: ListArgs, session: &Session) -> Result<Exit> {
    let context = session.context().await?;
    let report = ListReport {
        streams: stream::list(context, &args.prefix, args.long).await?,
        long: args.long,
    };
    let printer = session.printer();
    if report.streams.is_empty() {
        let location = format!("here ({}, region {})", context.target_name(), context.region());
        printer.note(&match args.prefix.as_str() {
            "" => format!("There are no streams {location}; `streamctl setup` creates one"),
            prefix => format!("No stream {location} has a name beginning with {prefix:?}"),
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
#[serde(transparent)]
struct ListReport {
    streams: Vec<StreamEntry>,
    #[serde(skip)]
    long: bool,
}

impl ListReport {
    fn rows(&self) -> comfy_table::Table {
        let shards = self.long.then_some("SHARDS");
        let headings = ["NAME", "STATUS", "MODE"].into_iter().chain(shards);
        let mut rows = table(headings.chain(["CREATED"]));
        for entry in &self.streams {
            let shards = self.long.then(|| or_dash(entry.open_shards));
            let cells = [
                entry.name.clone(),
                entry.status.to_string(),
                entry.mode.to_string(),
            ];
            rows.add_row(cells.into_iter().chain(shards).chain([time(entry.created)]));
        }
        rows
    }
}

impl Report for ListReport {
    fn table(&self, _style: &Style) -> String {
        self.rows().trim_fmt()
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
    use domain::stream::{Mode, Status};

    fn report(long: bool) -> ListReport {
        let entry = |name: &str, status, mode, shards: u32| StreamEntry {
            name: name.to_owned(),
            status,
            mode,
            open_shards: long.then_some(shards),
            created: "2026-01-01T12:30:00Z".parse().ok(),
            arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
        };
        ListReport {
            streams: vec![
                entry("clicks", Status::Updating, Mode::OnDemand, 4),
                entry("concert-data-stream", Status::Active, Mode::Provisioned, 1),
            ],
            long,
        }
    }

    #[test]
    fn people_get_a_table() {
        insta::assert_snapshot!(report(false).rows().set_width(80).trim_fmt(), @r"
        NAME                 STATUS    MODE         CREATED
        clicks               UPDATING  on-demand    2026-01-01 12:30:00 UTC
        concert-data-stream  ACTIVE    provisioned  2026-01-01 12:30:00 UTC
        ");
        insta::assert_snapshot!(report(true).rows().set_width(80).trim_fmt(), @r"
        NAME                 STATUS    MODE         SHARDS  CREATED
        clicks               UPDATING  on-demand    4       2026-01-01 12:30:00 UTC
        concert-data-stream  ACTIVE    provisioned  1       2026-01-01 12:30:00 UTC
        ");
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
            "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
          },
          {
            "name": "concert-data-stream",
            "status": "ACTIVE",
            "mode": "PROVISIONED",
            "open_shards": 1,
            "created": "2026-01-01T12:30:00Z",
            "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream"
          }
        ]
        "#);
    }
}
