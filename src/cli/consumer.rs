//! `streamctl consumer`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::change::{existing, to_change, watched};
use super::shared::{Session, StreamArg};
use crate::ui::units::time;
use crate::ui::{Report, Style, lines, or_dash, table};
use domain::stream::consumers::{self, Consumer, check_consumer_name, no_consumer};
use ground::error::Result;
use ground::exit::Exit;

/// Register and deregister enhanced fan-out consumers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl consumer register orders analytics
  streamctl consumer list orders
  streamctl consumer deregister orders analytics")]
pub struct ConsumerArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register a consumer and wait until it is ACTIVE
    ///
    /// A consumer has 2 MiB/s of each shard for itself. A stream can have 20. AWS bills each consumer by the hour for
    /// each shard, and for what it reads.
    #[command(allow_missing_positional = true)]
    #[command(after_help = "\
Examples:
  streamctl consumer register analytics           of the default stream
  streamctl consumer register orders analytics")]
    Register(OneArgs),
    /// List the consumers of a stream
    #[command(after_help = "\
Examples:
  streamctl consumer list orders
  streamctl consumer list orders -o text | cut -f1")]
    List(ListArgs),
    /// Show one consumer
    #[command(allow_missing_positional = true)]
    #[command(after_help = "\
Examples:
  streamctl consumer describe orders analytics -o json | jq -r .arn")]
    Describe(OneArgs),
    /// Deregister a consumer and wait until it is gone
    #[command(allow_missing_positional = true)]
    #[command(after_help = "\
Examples:
  streamctl consumer deregister orders analytics
  streamctl consumer deregister orders analytics --yes")]
    Deregister(DeregisterArgs),
}

#[derive(Debug, Args)]
struct OneArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Name of the consumer
    #[arg(value_name = "CONSUMER")]
    consumer: String,
}

#[derive(Debug, Args)]
struct DeregisterArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    stream: StreamArg,
}

/// JSON is an array of consumers.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Consumers(Vec<Consumer>);

/// JSON is one consumer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct One(Consumer);

/// A consumer that was deregistered. A contract with scripts.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DeregisteredConsumer"))]
pub(super) struct Deregistered {
    stream: String,
    name: String,
    /// The ARN that it had.
    arn: String,
    /// Whether it is gone.
    deleted: bool,
}

impl Report for Deregistered {
    // For people, a note on stderr says it.
    fn table(&self, _style: &Style) -> String {
        String::new()
    }

    fn text(&self) -> String {
        lines([[
            self.stream.clone(),
            self.name.clone(),
            self.arn.clone(),
            self.deleted.to_string(),
        ]])
    }
}

fn rows(consumers: &[Consumer]) -> String {
    let mut rows = table(["NAME", "STATUS", "CREATED", "ARN"]);
    for one in consumers {
        rows.add_row([
            one.name.clone(),
            one.status.to_string(),
            time(one.created),
            one.arn.clone(),
        ]);
    }
    // ARNs are copied: never break one.
    rows.all_whole();
    rows.trim_fmt()
}

fn values(consumers: &[Consumer]) -> String {
    lines(consumers.iter().map(|one| {
        [
            one.name.clone(),
            one.status.to_string(),
            or_dash(one.created),
            one.arn.clone(),
        ]
    }))
}

impl Report for Consumers {
    fn table(&self, _style: &Style) -> String {
        match self.0.as_slice() {
            [] => String::new(),
            consumers => rows(consumers),
        }
    }

    fn text(&self) -> String {
        values(&self.0)
    }
}

impl Report for One {
    fn table(&self, _style: &Style) -> String {
        rows(std::slice::from_ref(&self.0))
    }

    fn text(&self) -> String {
        values(std::slice::from_ref(&self.0))
    }
}

pub(super) async fn run(args: ConsumerArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Register(args) => register(&args, session).await,
        Action::List(args) => list(&args, session).await,
        Action::Describe(args) => describe(&args, session).await,
        Action::Deregister(args) => deregister(&args, session).await,
    }
}

async fn register(args: &OneArgs, session: &Session) -> Result<Exit> {
    check_consumer_name(&args.consumer)?;
    let stream = args.stream.choose(session)?;
    let name = stream.name.as_str();
    to_change(session.context_for_change().await?, &stream).await?;
    let made = watched(session, name, async |changer| {
        changer.register_consumer(&args.consumer).await
    })
    .await?;
    session.printer().report(&One(made))?;
    Ok(Exit::Done)
}

async fn list(args: &ListArgs, session: &Session) -> Result<Exit> {
    let name = args.stream.resolve(session)?;
    let context = session.context().await?;
    let found = consumers::consumers(context, &existing(context, &name).await?.arn).await?;
    if found.is_empty() {
        session
            .printer()
            .note(&format!("Stream {name} has no registered consumers"));
    }
    session.printer().report(&Consumers(found))?;
    Ok(Exit::Done)
}

async fn describe(args: &OneArgs, session: &Session) -> Result<Exit> {
    check_consumer_name(&args.consumer)?;
    let name = args.stream.resolve(session)?;
    let context = session.context().await?;
    let stream = existing(context, &name).await?;
    let found = consumers::consumer(context, &stream.arn, &args.consumer)
        .await?
        .ok_or_else(|| no_consumer(&name, &args.consumer))?;
    session.printer().report(&One(found))?;
    Ok(Exit::Done)
}

async fn deregister(args: &DeregisterArgs, session: &Session) -> Result<Exit> {
    let consumer = &args.one.consumer;
    check_consumer_name(consumer)?;
    let name = args.one.stream.resolve(session)?;
    let context = session.context_for_change().await?;
    let stream = existing(context, &name).await?;
    let found = consumers::consumer(context, &stream.arn, consumer)
        .await?
        .ok_or_else(|| no_consumer(&name, consumer))?;
    let action = format!("deregister consumer {consumer}: its readers lose their subscriptions");
    session.confirm_by_name(&action, consumer, args.yes).await?;
    watched(session, &name, async |changer| {
        changer.deregister_consumer(consumer).await
    })
    .await?;
    session
        .printer()
        .note(&format!("Consumer {consumer} of stream {name} is deregistered"));
    session.printer().report(&Deregistered {
        stream: name,
        name: found.name,
        arn: found.arn,
        deleted: true,
    })?;
    Ok(Exit::Done)
}
