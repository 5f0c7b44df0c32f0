//! `streamctl size`.

pub(super) mod report;

use clap::Args;

use super::shared::Session;
use super::shared::change::existing;
use super::shared::duration::{retention_hours, seconds};
use super::shared::rate::{bytes, bytes_rate, peak, records};
use super::shared::stream::resolve;
use domain::cost::{Demand, Load, Rate, size};
use domain::observe::load::{self, Measured};
use domain::stream::{Mode, StreamState, state};
use ground::duration::{Parser, Unit};
use ground::error::{Error, Result};
use ground::exit::Exit;
use report::{Measurement, SizeReport};

/// Show how many shards a load needs, and what each mode costs
///
/// Compares provisioned, on-demand and On-demand Advantage for a month of 730 hours. The load is what you name, or what
/// CloudWatch has measured of a stream. KB, MB and GB are powers of 1,024, as in the limits and on the bill of Kinesis.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl size --records 2500/s --bytes 1MB/s --consumers 3
  streamctl size --records 1M/day --record-size 1KB --retention 7d
  streamctl size --records 500/s --record-size 2KB --peak 3x --fan-out 2
  streamctl size --from-stream orders --since 7d
  streamctl size --from-stream orders -o json | jq -r .cheapest")]
pub struct SizeArgs {
    /// Records written, such as 2500/s or 1M/day
    #[arg(long, value_name = "RATE", value_parser = records, required_unless_present = "from_stream")]
    records: Option<Rate>,
    /// Bytes written, such as 1MB/s or 20GB/day
    #[arg(long, value_name = "RATE", value_parser = bytes_rate)]
    #[arg(conflicts_with_all = ["record_size", "from_stream"])]
    bytes: Option<Rate>,
    /// Size of an average record, in place of --bytes
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "from_stream")]
    record_size: Option<u64>,
    /// Consumers that share the shards [default: 1, or as measured]
    #[arg(long, value_name = "N")]
    consumers: Option<u32>,
    /// Consumers with enhanced fan-out [default: 0, or those registered]
    #[arg(long, value_name = "N")]
    fan_out: Option<u32>,
    /// How long records are kept: 24h to 8760h [default: 24h, or that of the stream]
    #[arg(long, value_name = "TIME", value_parser = retention_hours)]
    retention: Option<u32>,
    /// Peak load as a multiple, such as 3x [default: 1x; of measured peaks with --from-stream]
    #[arg(long, value_name = "FACTOR", value_parser = peak)]
    peak: Option<(u32, u32)>,
    /// Take the measured load of a stream, by name or ARN
    #[arg(long, value_name = "STREAM", conflicts_with = "records")]
    from_stream: Option<String>,
    /// How far back to measure, 1m to 14d
    #[arg(long, value_name = "TIME", default_value = "1d", requires = "from_stream")]
    #[arg(value_parser = seconds::<i64>(Parser::whole(Unit::Second)))]
    since: i64,
}

pub(super) async fn run(args: SizeArgs, session: &Session) -> Result<Exit> {
    if let Some(text) = &args.from_stream {
        let name = resolve(Some(text), session)?;
        let context = session.context().await?;
        let stream = existing(context, &name).await?;
        let measured = load::measure(context, &stream, args.since)
            .await?
            .ok_or_else(|| nothing_measured(&name))?;
        let demand = args.demand(Some((&stream, &measured)))?;
        let sizing = size(&demand, context.region(), None);
        let from = Measurement::new(&stream, &measured);
        return print(
            session,
            SizeReport::new(demand, context.region(), sizing, Some(from)),
        );
    }
    let demand = args.demand(None)?;
    let region = session.region().await?;
    let sizing = size(&demand, &region, None);
    print(session, SizeReport::new(demand, &region, sizing, None))
}

fn print(session: &Session, mut report: SizeReport) -> Result<Exit> {
    let printer = session.printer();
    for remark in &mut report.remarks {
        *remark = printer.completed(remark).into_owned();
    }
    printer.report(&report)?;
    Ok(Exit::Done)
}

fn nothing_measured(name: &str) -> Error {
    Error::failed(format!(
        "nothing was put into stream {name} in that time, according to CloudWatch"
    ))
    .hint("look further back with --since 14d, or name a load with --records and --bytes")
}

impl SizeArgs {
    /// The demand that the arguments and the stream describe.
    fn demand(&self, of: Option<(&StreamState, &Measured)>) -> Result<Demand> {
        let load = match of {
            Some((_, measured)) => measured.load,
            None => self.load()?,
        };
        let measured = of.map(|(_, measured)| measured);
        let shared = measured.map_or(1, |measured| measured.shared_consumers);
        let fan_out = measured.map_or(0, |measured| measured.fan_out_consumers);
        let retention = of.map_or(state::DEFAULT_RETENTION_HOURS, |(stream, _)| {
            stream.retention_hours
        });
        Ok(Demand {
            load: load.with_peak(self.peak.unwrap_or((1, 1))),
            consumers: self.consumers.unwrap_or(shared),
            fan_out_consumers: self.fan_out.unwrap_or(fan_out),
            retention_hours: self.retention.unwrap_or(retention),
        })
    }

    fn load(&self) -> Result<Load> {
        const LARGEST: u64 = 10 << 20;
        let (Some(records), false) = (self.records, self.records.is_none_or(|rate| rate.is_zero())) else {
            return Err(
                Error::usage("--records must be more than zero").hint("write it like 2500/s or 1M/day")
            );
        };
        let load = match (self.bytes, self.record_size) {
            (Some(bytes), _) => Load::steady(records, bytes),
            (None, Some(size)) => {
                let size = u32::try_from(size).unwrap_or(u32::MAX);
                Load::steady(records, records.times(size, 1))
            }
            (None, None) => {
                return Err(Error::usage("the size of the records is missing")
                    .hint("add --bytes 1MB/s, or --record-size 1KB"));
            }
        };
        // Source: UpdateMaxRecordSize, Kinesis API reference.
        if load.record_bytes().is_some_and(|bytes| bytes > LARGEST) {
            return Err(Error::usage("an average record would be larger than 10 MiB")
                .hint("Kinesis accepts records of at most 10 MiB; check --records and --bytes"));
        }
        Ok(load)
    }
}

/// The name of a stream's mode in the report.
fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Provisioned => "provisioned",
        Mode::OnDemand => "on-demand",
    }
}
