//! `streamctl cost so-far` and `streamctl cost actual`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::report::{estimate_csv, estimate_table, estimate_text};
use crate::cli::shared::candidates::templates;
use crate::cli::shared::change::existing;
use crate::cli::shared::duration::seconds;
use crate::cli::shared::template::{TemplateArgs, parameter};
use crate::cli::shared::{Session, StreamArg};
use crate::ui::units::{count, time};
use crate::ui::{Report, Style, lines, visible, wrap};
use domain::cost::Estimate;
use domain::cost::actual::{self, Actual, CALL_COST};
use domain::observe::usage;
use domain::pipeline::cost::Declarations;
use ground::duration::{Parser, Unit};
use ground::error::{Error, Result};
use ground::exit::Exit;

const WIDTH: usize = 80;

#[derive(Debug, Args)]
pub(super) struct SoFarArgs {
    #[command(flatten)]
    stream: StreamArg,
}

#[derive(Debug, Args)]
pub(super) struct ActualArgs {
    /// Count only the resources of a pipeline, by its template
    #[arg(long, value_name = "TEMPLATE", add = ArgValueCompleter::new(templates))]
    pipeline: Option<String>,
    /// Stream of the pipeline, if the pipeline is named after one
    #[arg(long, value_name = "NAME", requires = "pipeline")]
    stream: Option<String>,
    /// Set a parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "pipeline")]
    parameters: Vec<(String, String)>,
    /// How far back, 1d to 365d [default: since the first day of this month]
    #[arg(long, value_name = "TIME")]
    #[arg(value_parser = seconds::<i64>(Parser::whole(Unit::Day)))]
    since: Option<i64>,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct SoFarReport {
    stream: String,
    since: Timestamp,
    hours: u64,
    /// Records that were written since then.
    records: u64,
    #[serde(flatten)]
    estimate: Estimate,
    /// What to know about the figures, in words.
    remarks: Vec<String>,
}

impl Report for SoFarReport {
    fn table(&self, style: &Style) -> String {
        let heading = format!(
            "stream {}: {} records put in {} h since {} ({})",
            self.stream,
            count(self.records),
            count(self.hours),
            time(Some(self.since)),
            self.estimate.region
        );
        let mut text = wrap(&visible(&heading), WIDTH).join("\n");
        text.push_str("\n\n");
        text.push_str(&estimate_table(&self.estimate, style));
        for (index, remark) in self.remarks.iter().enumerate() {
            text.push_str(if index == 0 { "\n\n" } else { "\n" });
            text.push_str(&wrap(remark, WIDTH).join("\n"));
        }
        text
    }

    fn text(&self) -> String {
        estimate_text(&self.estimate)
    }

    fn csv(&self) -> Option<String> {
        Some(estimate_csv(&self.estimate))
    }
}

pub(super) async fn so_far(args: &SoFarArgs, session: &Session) -> Result<Exit> {
    let name = args.stream.resolve(session)?;
    let context = session.context().await?;
    super::warn_of_prices(session);
    let stream = existing(context, &name).await?;
    let found = usage::so_far(context, &stream).await?;
    let mut remarks = vec![
        "Shards, mode, retention and consumers are taken as they are now. A started hour is billed in full."
            .to_owned(),
    ];
    if stream.consumer_count > 0 {
        remarks.push("Each fan-out consumer is assumed to have read all records.".to_owned());
    }
    if found.is_cut {
        remarks
            .push("The stream is older than that: CloudWatch keeps hourly figures for 455 days.".to_owned());
    }
    if context.is_local() {
        remarks.push(super::LOCAL.to_owned());
    }
    session.printer().report(&SoFarReport {
        stream: name,
        since: found.since,
        hours: found.hours,
        records: found.records,
        estimate: found.estimate,
        remarks,
    })?;
    Ok(Exit::Done)
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct ActualReport(Actual);

impl Report for ActualReport {
    fn table(&self, style: &Style) -> String {
        const NAME: usize = 44;
        let bill = &self.0;
        let of = bill
            .pipeline
            .as_ref()
            .map_or_else(String::new, |name| format!(" of {name}"));
        let mut text = format!(
            "Billed{} in {} from {} to {}\n\n",
            visible(&of),
            bill.region,
            bill.start,
            bill.end
        );
        text.push_str(&style.bold(&format!("{:NAME$}{:>12}", "SERVICE", "USD")));
        for one in &bill.services {
            let name = visible(&one.service);
            text.push_str(&format!("\n{name:NAME$}{:>12}", one.amount.rounded(2)));
        }
        text.push('\n');
        text.push_str(&style.bold(&format!("{:NAME$}{:>12}", "total", bill.total.rounded(2))));
        if bill.estimated {
            text.push_str(
                "\n\nAWS may still change these amounts: a bill is final some days after the month.",
            );
        }
        text
    }

    fn text(&self) -> String {
        let rows = self
            .0
            .services
            .iter()
            .map(|one| [visible(&one.service), one.amount.rounded(9)]);
        lines(rows.chain([["total".to_owned(), self.0.total.rounded(9)]]))
    }
}

pub(super) async fn actual(args: &ActualArgs, session: &Session) -> Result<Exit> {
    let (start, end) = period(args.since, Timestamp::now())?;
    let pipeline = match &args.pipeline {
        Some(template) => Some(args.identity(template, session).await?),
        None => None,
    };
    let context = session.context().await?;
    let printer = session.printer();
    printer.note(&format!("Cost Explorer bills {CALL_COST} USD for each call"));
    let bill = actual::actual(context, pipeline.as_deref(), start, end).await?;
    let calls = bill.calls;
    printer.report(&ActualReport(bill))?;
    if calls > 1 {
        printer.note(&format!("{calls} calls were made"));
    }
    Ok(Exit::Done)
}

impl ActualArgs {
    /// The name of the pipeline, as its tag has it.
    async fn identity(&self, template: &str, session: &Session) -> Result<String> {
        let stream = crate::cli::shared::StreamFlag {
            stream: self.stream.clone(),
        };
        let template = TemplateArgs::named(template.to_owned(), stream, self.parameters.clone());
        let draft = template.draft(session, None, false).await?;
        let catalog = Declarations::in_region(&session.region().await?);
        Ok(draft.bind(&catalog)?.identity().to_string())
    }
}

/// The first day, and the day after the last. Cost Explorer counts days in UTC.
fn period(since: Option<i64>, now: Timestamp) -> Result<(Date, Date)> {
    const DAY: i64 = 86_400;
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let tomorrow = today.tomorrow().unwrap_or(today);
    let Some(since) = since else {
        return Ok((today.first_of_month(), tomorrow));
    };
    if !(DAY..=365 * DAY).contains(&since) {
        return Err(Error::usage("--since must be between 1d and 365d")
            .hint("Cost Explorer keeps daily figures for about a year"));
    }
    let start = today.checked_sub(Span::new().days(since / DAY)).unwrap_or(today);
    Ok((start, tomorrow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::cost::Money;
    use domain::cost::actual::Billed;
    use jiff::civil::date;

    #[test]
    fn a_period_is_in_whole_days() {
        let now: Timestamp = "2026-11-29T23:59:59Z".parse().unwrap();
        assert_eq!(
            period(None, now).unwrap(),
            (date(2026, 11, 1), date(2026, 11, 30))
        );
        assert_eq!(
            period(Some(86_400), now).unwrap(),
            (date(2026, 11, 28), date(2026, 11, 30))
        );
        assert!(period(Some(366 * 86_400), now).is_err());
        assert!(period(Some(0), now).is_err());
    }

    #[test]
    fn a_bill_by_service() {
        let billed = |service: &str, amount| Billed {
            service: service.to_owned(),
            amount: Money::parse(amount).unwrap(),
        };
        let report = ActualReport(Actual {
            region: "us-east-1".to_owned(),
            pipeline: Some("retail/dev".to_owned()),
            start: date(2026, 11, 1),
            end: date(2026, 11, 30),
            estimated: true,
            services: vec![billed("Amazon Kinesis", "10.95123"), billed("AWS Lambda", "0.2")],
            total: Money::parse("11.15123").unwrap(),
            calls: 1,
        });
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
    Billed of retail/dev in us-east-1 from 2026-11-01 to 2026-11-30

    SERVICE                                              USD
    Amazon Kinesis                                     10.95
    AWS Lambda                                          0.20
    total                                              11.15

    AWS may still change these amounts: a bill is final some days after the month.
    ");
        assert_eq!(
            report.text(),
            "Amazon Kinesis\t10.951230000\nAWS Lambda\t0.200000000\ntotal\t11.151230000"
        );
    }
}
