//! `streamctl cost`.

pub(super) mod billed;
mod input;
pub(super) mod report;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use super::shared::candidates::templates;
use super::shared::change::existing;
use super::shared::duration::{retention_hours, seconds};
use super::shared::rate::{bytes, records};
use super::shared::session::price_file;
use super::shared::template::{TemplateArgs, parameter};
use super::shared::{Session, StreamArg};
use domain::cost::{
    self, CapacityMode, Delivery, Demand, Encryption, Load, Money, Part, Rate, Scenario, WhatIf, Workload,
    needed_shards, price_book,
};
use domain::observe::usage;
use domain::pipeline::cost::{Assumed, Declarations, ON_DEMAND_SHARDS};
use domain::pipeline::resources::Kinds;
use ground::duration::{Parser, Unit};
use ground::error::{Error, Result};
use ground::exit::Exit;
use input::{amount, budget, milliseconds, what_if};
use report::{CostReport, Subject};

/// Show what a stream or a pipeline costs a month, line by line
///
/// Without a flag that names a load, the use is what CloudWatch has measured for a stream, or for a pipeline with
/// --pipeline. --template and --records estimate what does not exist yet, and make no call. A month has 730 hours; KB,
/// MB and GB are powers of 1,024; taxes, free tiers and discounts are left out. A price that is not known is shown as
/// unknown and never guessed: `--refresh` reads it from AWS.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  streamctl cost --records 1M/day --size 1KB      one shard, one consumer
  streamctl cost --records 1M/day --size 1KB --retention 7d --compare
  streamctl cost --template retail --records 1M/day --size 1KB
  streamctl cost orders --since 7d                a stream as measured
  streamctl cost orders --what-if shards=2,retention=7d
  streamctl cost --pipeline retail --budget 50    exit 5 if it costs more
  streamctl cost --refresh --region eu-central-1  read the prices from AWS
  streamctl cost so-far orders                    since it was created
  streamctl cost actual --pipeline retail         what AWS has billed")]
pub struct CostArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    estimate: EstimateArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what a stream has cost since it was created
    ///
    /// Based on the use that CloudWatch has measured: at most 455 days, since it keeps hourly figures no longer.
    /// Shards, mode, retention and consumers count as they are now.
    #[command(after_help = "\
Examples:
  streamctl cost so-far               the default stream
  streamctl cost so-far orders -o csv")]
    SoFar(billed::SoFarArgs),
    /// Show what AWS has billed, from Cost Explorer
    ///
    /// Each call costs 0.01 USD. Counts the services that pipelines use, in one region. --pipeline counts only what has
    /// the tag of the pipeline, which must be activated as a cost allocation tag.
    #[command(after_help = "\
Examples:
  streamctl cost actual                          this month
  streamctl cost actual --since 30d
  streamctl cost actual --pipeline retail -o json")]
    Actual(billed::ActualArgs),
}

#[derive(Debug, Args)]
struct EstimateArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Records put, such as 2500/s or 1M/day
    #[arg(long, value_name = "RATE", value_parser = records, requires = "size")]
    records: Option<Rate>,
    /// Size of an average record
    #[arg(long, value_name = "SIZE", value_parser = bytes, requires = "records")]
    size: Option<u64>,
    /// Open shards [default: as many as the load needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000), requires = "records", conflicts_with = "template")]
    shards: Option<u64>,
    /// Capacity mode: provisioned, on-demand or advantage [default: provisioned]
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        hide_possible_values = true,
        requires = "records",
        conflicts_with = "template"
    )]
    mode: Option<ModeArg>,
    /// How long records are kept: 24h to 8760h [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = retention_hours, requires = "records", conflicts_with = "template")]
    retention: Option<u32>,
    /// Consumers that share the shards [default: 1]
    #[arg(long, value_name = "N", requires = "records", conflicts_with = "template")]
    consumers: Option<u32>,
    /// Consumers with enhanced fan-out [default: 0]
    #[arg(long, value_name = "N", requires = "records", conflicts_with = "template")]
    fan_out: Option<u32>,
    /// Enabled shard-level metrics: 0 to 7 [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=7), requires = "records", conflicts_with = "template")]
    metrics: Option<u32>,
    /// Aggregate small records into one of this size before they are put
    #[arg(long, value_name = "SIZE", value_parser = bytes, requires = "records", conflicts_with = "template")]
    aggregate: Option<u64>,
    /// Encryption: none, aws-key or own-key [default: none]
    #[arg(
        long,
        value_enum,
        value_name = "KEY",
        hide_possible_values = true,
        requires = "records",
        conflicts_with = "template"
    )]
    encryption: Option<EncryptionArg>,
    /// Deliver all records: firehose, channel, channel-tables (comma-separated)
    #[arg(
        long,
        value_enum,
        value_name = "WAYS",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    #[arg(requires = "records", conflicts_with = "template")]
    deliver: Vec<DeliveryArg>,
    /// Add any item of the price list, with its amount a month: http-api-requests=10M (repeatable)
    #[arg(long, value_name = "ITEM=AMOUNT", value_parser = amount)]
    add: Vec<Part>,
    /// Estimate a template or a manifest file
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "pipeline", add = ArgValueCompleter::new(templates))]
    template: Option<String>,
    /// Measure a pipeline that exists, by its template
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "records", add = ArgValueCompleter::new(templates))]
    pipeline: Option<String>,
    /// Set a parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Average duration of an invocation, for --template
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = milliseconds)]
    duration: u64,
    /// How far back to measure, 1m to 14d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    #[arg(value_parser = seconds::<i64>(Parser::whole(Unit::Second)))]
    since: i64,
    /// Show the cost with changes: shards=2,retention=7d,mode=on-demand,aggregate=25KB
    #[arg(long, value_name = "CHANGES", value_parser = what_if)]
    what_if: Option<WhatIf>,
    /// Compare the capacity modes, and show where they cost the same
    #[arg(long)]
    compare: bool,
    /// Exit 5 if a month costs more than this
    #[arg(long, value_name = "USD", value_parser = budget)]
    budget: Option<Money>,
    /// Read the prices of the region from AWS first, and keep them
    #[arg(long)]
    refresh: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    Provisioned,
    OnDemand,
    Advantage,
}

impl From<ModeArg> for CapacityMode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Provisioned => Self::Provisioned,
            ModeArg::OnDemand => Self::OnDemand,
            ModeArg::Advantage => Self::Advantage,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EncryptionArg {
    None,
    AwsKey,
    OwnKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeliveryArg {
    Firehose,
    Channel,
    ChannelTables,
}

pub(super) async fn run(args: CostArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Some(Action::SoFar(args)) => return billed::so_far(&args, session).await,
        Some(Action::Actual(args)) => return billed::actual(&args, session).await,
        None => {}
    }
    let args = args.estimate;
    if args.refresh {
        let found = refresh(session).await?;
        if !args.names_a_subject() {
            session.printer().report(&report::Refresh(found))?;
            return Ok(Exit::Done);
        }
    }
    warn_of_prices(session);
    let mut subject = args.subject(session).await?;
    subject.scenario.parts.extend(args.add.iter().cloned());
    let mut report = CostReport::new(subject, args.what_if.as_ref(), args.compare, args.budget);
    report.refresh = session.printer().completed(&report.refresh).into_owned();
    session.printer().report(&report)?;
    report.exit()
}

/// Reads the prices of the region from AWS.
async fn refresh(session: &Session) -> Result<cost::refresh::Refreshed> {
    let context = session.context().await?;
    let region = context.region().to_owned();
    let path = price_file(session.settings());
    let found = cost::refresh::refresh(context, &region, &path).await?;
    session.printer().note(&format!(
        "Read {} prices of {region}, kept in {}",
        found.found.len(),
        path.display()
    ));
    Ok(found)
}

/// Names a file of prices that cannot be used.
fn warn_of_prices(session: &Session) {
    if let Some(problem) = &cost::prices().problem {
        session.printer().warn(&format!(
            "{problem}; `streamctl cost --refresh --target aws` writes it again"
        ));
    }
}

impl EstimateArgs {
    /// Whether the arguments say what the estimate is of.
    fn names_a_subject(&self) -> bool {
        let named = self.records.is_some() || self.template.is_some() || self.pipeline.is_some();
        named || self.stream.is_named()
    }

    async fn subject(&self, session: &Session) -> Result<Subject> {
        let is_of_template = self.template.is_some() || self.pipeline.is_some();
        if !is_of_template && !self.parameters.is_empty() {
            return Err(
                Error::usage("--param sets a parameter of a template").hint("add --template or --pipeline")
            );
        }
        if !is_of_template && self.records.is_some() && self.stream.is_named() {
            return Err(Error::usage("--records and a stream both name a load")
                .hint("leave the stream out, or change its load with --what-if records=1M/day"));
        }
        if let Some(template) = &self.template {
            return self.of_template(template, session).await;
        }
        if let Some(template) = &self.pipeline {
            return self.of_pipeline(template, session).await;
        }
        match self.load()? {
            Some(load) => Ok(self.of_flags(load, session.region().await?)),
            None => self.of_stream(session).await,
        }
    }

    /// The load that the flags name.
    fn load(&self) -> Result<Option<Load>> {
        const LARGEST: u64 = 10 << 20;
        let (Some(records), Some(size)) = (self.records, self.size) else {
            return Ok(None);
        };
        if records.is_zero() || size == 0 {
            return Err(Error::usage("--records and --size must be more than zero")
                .hint("write them like --records 1M/day --size 1KB"));
        }
        // Source: UpdateMaxRecordSize, Kinesis API reference.
        let size = u32::try_from(size)
            .ok()
            .filter(|size| u64::from(*size) <= LARGEST);
        let Some(size) = size else {
            return Err(Error::usage("an average record would be larger than 10 MiB")
                .hint("Kinesis accepts records of at most 10 MiB; check --size"));
        };
        Ok(Some(Load::steady(records, records.times(size, 1))))
    }

    fn of_flags(&self, load: Load, region: String) -> Subject {
        let demand = Demand {
            load,
            consumers: self.consumers.unwrap_or(1),
            fan_out_consumers: self.fan_out.unwrap_or(0),
            retention_hours: self.retention.unwrap_or(24),
        };
        let mode = self.mode.map_or(CapacityMode::Provisioned, CapacityMode::from);
        let mut workload = Workload {
            mode,
            shard_level_metrics: self.metrics.unwrap_or(0),
            aggregate: self.aggregate,
            encryption: match self.encryption {
                None | Some(EncryptionArg::None) => Encryption::None,
                Some(EncryptionArg::AwsKey) => Encryption::AwsKey,
                Some(EncryptionArg::OwnKey) => Encryption::OwnKey,
            },
            delivery: Delivery {
                firehose: self.deliver.contains(&DeliveryArg::Firehose),
                channel: self.deliver.contains(&DeliveryArg::Channel),
                tables_channel: self.deliver.contains(&DeliveryArg::ChannelTables),
            },
            ..Workload::new(&demand)
        };
        let needed = match mode {
            CapacityMode::Provisioned => needed_shards(&workload.demand()),
            CapacityMode::OnDemand | CapacityMode::Advantage => ON_DEMAND_SHARDS,
        };
        workload.shards = self.shards.unwrap_or(needed);
        let remarks =
            match price_book(&region).and_then(|book| workload.saved_by_aggregation(&region, Some(book))) {
                Some(saved) => vec![format!(
                    "Aggregating records into 25 KB (--aggregate 25KB) saves {} USD a month.",
                    saved.rounded(2)
                )],
                None => Vec::new(),
            };
        Subject {
            name: format!(
                "{} records of {} bytes",
                report::rate(&load.records),
                load.record_bytes().unwrap_or(0)
            ),
            scenario: of_one(region, workload),
            measured_seconds: None,
            remarks,
        }
    }

    async fn of_stream(&self, session: &Session) -> Result<Subject> {
        let name = self.stream.resolve(session)?;
        let context = session.context().await?;
        let stream = existing(context, &name).await?;
        let used = usage::of_one(context, &stream, self.since).await?;
        let mut remarks = Vec::new();
        if used.seconds.is_none() {
            remarks.push("CloudWatch shows no records put in that time.".to_owned());
        }
        if context.is_local() {
            remarks.push(LOCAL.to_owned());
        }
        Ok(Subject {
            name: format!("stream {name}"),
            scenario: of_one(context.region().to_owned(), used.workload),
            measured_seconds: used.seconds,
            remarks,
        })
    }

    fn template_args(&self, template: &str) -> TemplateArgs {
        TemplateArgs::named(
            template.to_owned(),
            self.stream.flag().clone(),
            self.parameters.clone(),
        )
    }

    async fn of_template(&self, template: &str, session: &Session) -> Result<Subject> {
        let draft = self.template_args(template).draft(session, None, false).await?;
        let catalog = Declarations::in_region(&session.region().await?);
        let pipeline = draft.bind(&catalog)?;
        let assumed = match self.load()? {
            Some(load) => Assumed {
                load,
                duration_ms: self.duration,
            },
            None => Assumed::idle(),
        };
        Ok(Subject {
            name: format!("template {}", pipeline.identity()),
            scenario: pipeline.scenario(&assumed)?,
            measured_seconds: None,
            remarks: assumed.remarks(pipeline.manifest()),
        })
    }

    async fn of_pipeline(&self, template: &str, session: &Session) -> Result<Subject> {
        let draft = self.template_args(template).draft(session, None, false).await?;
        let context = session.context().await?;
        let kinds = Kinds::new(context).await?;
        let pipeline = draft.bind(&kinds)?;
        let mut used = usage::of_pipeline(context, template, &pipeline, self.since).await?;
        if context.is_local() {
            used.remarks.push(LOCAL.to_owned());
        }
        Ok(Subject {
            name: format!("pipeline {}", pipeline.identity()),
            scenario: used.scenario,
            measured_seconds: Some(used.seconds),
            remarks: used.remarks,
        })
    }
}

const LOCAL: &str = "The local cloud costs nothing: this is what AWS bills for the same use.";

fn of_one(region: String, workload: Workload) -> Scenario {
    Scenario {
        region,
        streams: vec![(None, workload)],
        parts: Vec::new(),
    }
}
