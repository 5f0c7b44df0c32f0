//! `streamctl create`.

use std::collections::BTreeSet;
use std::str::FromStr;

use clap::Args;

use super::shared::change::{ChangeReport, watched};
use super::shared::duration::retention_hours;
use super::shared::size::record_size;
use super::shared::{Session, StreamArg};
use domain::pipeline::tags;
use domain::stream::{self, Capacity, Desired, Mode, NewStream, ShardMetric, StreamState};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Create a stream and wait until it has all its settings
///
/// A setting that is not given has the default of Kinesis: 24 hours of retention, no encryption, no shard-level metrics.
/// A stream that exists with these settings is not changed; `setup` creates a stream with safer defaults and keeps it so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl create orders                          provisioned, one shard
  streamctl create orders --shards 4 --retention 7d --kms-key alias/aws/kinesis
  streamctl create orders --on-demand --tag team=payments
  streamctl create orders --monitoring all --max-record-size 10MiB")]
pub struct CreateArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Number of shards; each takes 1 MB/s and 1,000 records/s
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "on_demand")]
    shards: u32,
    /// On-demand mode: Kinesis manages the number of shards
    #[arg(long)]
    on_demand: bool,
    /// How long records are kept: 24h to 8760h, or 1d to 365d [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = retention_hours)]
    retention: Option<u32>,
    /// Encrypt with this KMS key: alias, id or ARN
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Shard-level metrics: all, or a comma-separated list
    #[arg(long, value_name = "METRICS", value_delimiter = ',')]
    monitoring: Vec<String>,
    /// Size of the largest record: 1MiB to 10MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = record_size)]
    max_record_size: Option<u32>,
    /// Warm write throughput of an on-demand stream, in MiB/s
    #[arg(long, value_name = "MIBPS", requires = "on_demand")]
    warm_throughput: Option<u32>,
    /// Tag (repeatable)
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tags::parse)]
    tags: Vec<(String, String)>,
    /// Show what would be created and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl CreateArgs {
    fn desired(&self) -> Result<Desired> {
        let desired = Desired {
            tags: self.tags.iter().cloned().collect(),
            untag: BTreeSet::new(),
            retention_hours: self.retention,
            max_record_size_kib: self.max_record_size,
            mode: Some(match self.on_demand {
                true => Mode::OnDemand,
                false => Mode::Provisioned,
            }),
            shards: (!self.on_demand).then_some(self.shards),
            warm_throughput_mibps: self.warm_throughput,
            monitoring: match self.monitoring.as_slice() {
                [] => None,
                [one] if one.eq_ignore_ascii_case("all") => Some(ShardMetric::all()),
                some => Some(
                    some.iter()
                        .map(|name| ShardMetric::from_str(name))
                        .collect::<Result<_>>()?,
                ),
            },
            encryption: self.kms_key.clone().map(Some),
        };
        desired.check()?;
        Ok(desired)
    }

    fn new_stream(&self, desired: &Desired) -> NewStream {
        NewStream {
            capacity: match self.on_demand {
                true => Capacity::OnDemand,
                false => Capacity::Provisioned { shards: self.shards },
            },
            tags: desired.tags.clone(),
            max_record_size_kib: self.max_record_size,
        }
    }
}

pub(super) async fn run(args: CreateArgs, session: &Session) -> Result<Exit> {
    let desired = args.desired()?;
    let name = args.stream.resolve(session)?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    if let Some(found) = stream::observe(context, &name)
        .await?
        .filter(|found| found.is_active())
    {
        as_asked(&found, &desired)?;
        printer.note(&format!(
            "Nothing to create: stream {name} exists with these settings"
        ));
        printer.report(&ChangeReport::new(&name, &found.arn, false, Vec::new()))?;
        return Ok(Exit::Done);
    }
    let settings = desired.settings();
    if args.dry_run {
        let arn = context.stream_arn(&name).await?;
        printer.report(&ChangeReport::new(&name, &arn, false, settings))?;
        printer.note("Dry run: nothing was created");
        return Ok(Exit::Done);
    }
    let new = args.new_stream(&desired);
    let made = watched(session, &name, async |changer| {
        changer.create(&new).await?;
        changer.make(&desired).await
    })
    .await?;
    printer.report(&ChangeReport::new(&name, &made.arn, true, settings))?;
    Ok(Exit::Done)
}

/// Refuses a stream that exists with other settings.
fn as_asked(found: &StreamState, desired: &Desired) -> Result<()> {
    let differences = desired.differences(found)?;
    if differences.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = differences
        .iter()
        .map(|one| {
            let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            format!("{} is {}, not {}", one.setting, word(&one.from), word(&one.to))
        })
        .collect();
    Err(
        Error::failed(format!("stream {} exists with other settings", found.name))
            .cause(words.join("; "))
            .hint("change them one by one (`streamctl --help` lists the commands), or choose another name"),
    )
}
