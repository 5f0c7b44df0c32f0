//! `streamctl channel`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::change::{ChangeReport, existing, to_change, watched};
use super::shared::duration::length;
use super::shared::{Session, StreamArg};
use crate::ui::units::time;
use crate::ui::{Report, Style, lines, or_dash, table, visible};
use domain::pipeline::tags::{MANAGED_BY, STREAMCTL, parse as parse_tag};
use domain::stream::Difference;
use domain::stream::channels::{
    self, Channel, ChannelEntry, Compression, DOES_NOT, FRESHNESS, NewChannel, RecordFormat, Role, choose,
    no_channel,
};
use ground::duration::{Parser, Unit};
use ground::error::Result;
use ground::exit::Exit;

/// Deliver a stream to a bucket without a consumer
///
/// A channel writes the records of an on-demand stream to S3, in objects. It uses no capacity of the shards.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl channel create orders --bucket lake
  streamctl channel list orders
  streamctl channel delete orders")]
pub struct ChannelArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a channel to a bucket and wait until it is ACTIVE
    ///
    /// Checks first that the stream is on demand, and that the bucket exists in its region. Creates a role that may
    /// write the objects of the channel and nothing else, unless --role names one. A stream has one channel to a
    /// bucket.
    ///
    /// A channel delivers records that arrive after it is ACTIVE, at least once and as they are. A record that is not
    /// in the format goes to the dead letter bucket.
    #[command(after_help = "\
Examples:
  streamctl channel create orders --bucket lake --dry-run
  streamctl channel create orders --bucket lake --compression zstd --freshness 15m
  streamctl channel create orders --bucket lake --format bytes --role writer
  streamctl channel create orders --bucket lake \\
      --key 'orders/dt=!{yyyy}-!{MM}-!{dd}/!{HH}!{extension}'")]
    Create(Box<CreateArgs>),
    /// List the channels of a stream, or of all streams
    #[command(after_help = "\
Examples:
  streamctl channel list orders
  streamctl channel list --all -o text | cut -f1")]
    List(ListArgs),
    /// Show a channel
    #[command(after_help = "\
Examples:
  streamctl channel describe orders -o json | jq -r .arn")]
    Describe(OneArgs),
    /// Change how soon a channel delivers, and wait until it is ACTIVE
    ///
    /// Nothing else of a channel can be changed: delete it and create it again.
    #[command(after_help = "\
Examples:
  streamctl channel update orders --freshness 15m")]
    Update(UpdateArgs),
    /// Delete a channel and wait until it is gone
    ///
    /// Objects stay. Records that are not delivered yet will not be delivered; they stay in the stream. A role that
    /// streamctl made for the channel is deleted too.
    #[command(after_help = "\
Examples:
  streamctl channel delete orders
  streamctl channel delete orders --yes")]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Bucket to deliver to
    #[arg(long, value_name = "BUCKET")]
    bucket: String,
    /// Name of the channel [default: the stream's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Format of the records
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = RecordFormat::WORDS.to_vec())]
    format: String,
    /// Compression of the objects
    #[arg(long, value_name = "KIND", default_value = "gzip", value_parser = Compression::WORDS.to_vec())]
    compression: String,
    /// Maximum age of a record before it is delivered: 5m to 15m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = freshness())]
    freshness: Duration,
    /// Template of the objects' keys, such as '!{yyyy}/!{MM}/!{dd}/x!{extension}'
    #[arg(long, value_name = "TEMPLATE")]
    key: Option<String>,
    /// Bucket of records that cannot be delivered [default: the same bucket]
    #[arg(long, value_name = "BUCKET")]
    dead_letters: Option<String>,
    /// Encrypt the objects with this KMS key: alias, id or ARN
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Role to deliver with, by name or ARN [default: one is created]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Tag (repeatable)
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// Show what would be created and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// The channels of all streams of the region
    #[arg(long, conflicts_with_all = ["word", "stream"])]
    all: bool,
}

#[derive(Debug, Args)]
struct OneArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Name of the channel, if the stream has several
    #[arg(long, value_name = "CHANNEL")]
    name: Option<String>,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Maximum age of a record before it is delivered: 5m to 15m
    #[arg(long, value_name = "TIME", value_parser = freshness())]
    freshness: Duration,
    /// Show what would be changed and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Show what would be deleted and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

fn freshness() -> impl Fn(&str) -> std::result::Result<Duration, String> + Clone + Send + Sync {
    length(Parser::whole(Unit::Second).between(*FRESHNESS.start(), *FRESHNESS.end()))
}

impl CreateArgs {
    fn new_channel(&self, stream: &str) -> Result<NewChannel> {
        let mut tags: std::collections::BTreeMap<String, String> = self.tags.iter().cloned().collect();
        tags.insert(MANAGED_BY.to_owned(), STREAMCTL.to_owned());
        let new = NewChannel {
            name: self.name.clone().unwrap_or_else(|| stream.to_owned()),
            bucket: self.bucket.clone(),
            format: self.format.parse()?,
            compression: self.compression.parse()?,
            freshness: self.freshness,
            key_template: self.key.clone(),
            dead_letter_bucket: self.dead_letters.clone(),
            kms_key: self.kms_key.clone(),
            role: self.role.clone(),
            tags,
        };
        new.check()?;
        Ok(new)
    }
}

/// JSON is an array of channels.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Channels(Vec<ChannelEntry>);

/// JSON is one channel.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct One(Channel);

/// A channel that was, or would be, deleted, as it was before. A contract with scripts.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DeletedChannel"))]
pub(super) struct Deleted {
    /// Whether it is gone; false for a dry run.
    deleted: bool,
    #[serde(flatten)]
    channel: Channel,
}

/// A channel that was, or would be, created. A contract with scripts.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CreatedChannel"))]
pub(super) struct Created {
    /// Whether it was created; false for a dry run, and if it exists with these settings.
    changed: bool,
    stream: String,
    name: String,
    /// `null` for a dry run.
    arn: Option<String>,
    bucket: String,
    format: RecordFormat,
    compression: Compression,
    freshness_seconds: u64,
    /// `null` for the default of Kinesis.
    key_template: Option<String>,
    dead_letter_bucket: String,
    /// ARN of the role, or the name of the role that would be made.
    role: String,
    /// Whether the role is made for the channel.
    makes_role: bool,
}

impl Report for Channels {
    fn table(&self, _style: &Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut rows = table(["NAME", "STATUS", "DESTINATION", "STREAM", "CREATED"]);
        for one in &self.0 {
            rows.add_row([
                visible(&one.name),
                one.status.to_string(),
                visible(&one.destination),
                visible(stream_name(&one.stream_arn)),
                time(one.created),
            ]);
        }
        rows.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|one| {
            [
                visible(&one.name),
                one.status.to_string(),
                visible(&one.destination),
                visible(stream_name(&one.stream_arn)),
                or_dash(one.created),
                visible(&one.arn),
            ]
        }))
    }
}

fn stream_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Names and values. Values are copied: none is broken.
fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {value}");
    pairs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What there is to say of a channel.
fn facts(channel: &Channel) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("name", visible(&channel.name)),
        ("arn", visible(&channel.arn)),
        ("status", channel.status.to_string()),
    ];
    let freshness = channel.freshness_seconds.map(|seconds| format!("{seconds} s"));
    let optional = [
        ("reason", &channel.reason),
        ("format", &channel.format),
        ("compression", &channel.compression),
        ("storage class", &channel.storage_class),
        ("key template", &channel.key_template),
        ("data freshness", &freshness),
        ("dead letters", &channel.dead_letters),
        ("kms key", &channel.kms_key),
    ];
    pairs.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| (name, visible(value)))),
    );
    pairs.extend([
        ("stream", visible(stream_name(&channel.stream_arn))),
        ("destination", visible(&channel.destination)),
        ("to", visible(&channel.to)),
        ("role", visible(&channel.role)),
        ("created", time(channel.created)),
    ]);
    pairs
}

/// Names and values of `-o text`.
fn pair_lines(pairs: Vec<(&str, String)>) -> String {
    lines(pairs.into_iter().map(|(name, value)| [name.to_owned(), value]))
}

impl Report for One {
    fn table(&self, _style: &Style) -> String {
        pairs(&facts(&self.0))
    }

    fn text(&self) -> String {
        pair_lines(facts(&self.0))
    }
}

impl Report for Deleted {
    /// What a dry run shows. After a deletion, a note on stderr says it.
    fn table(&self, _style: &Style) -> String {
        match self.deleted {
            true => String::new(),
            false => pairs(&facts(&self.channel)),
        }
    }

    fn text(&self) -> String {
        pair_lines(facts(&self.channel))
    }
}

impl Created {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("name", visible(&self.name)),
            ("arn", or_dash(self.arn.as_deref().map(visible))),
            ("bucket", visible(&self.bucket)),
            ("format", self.format.wire().to_owned()),
            ("compression", self.compression.wire().to_owned()),
            ("data freshness", format!("{} s", self.freshness_seconds)),
            (
                "key template",
                self.key_template
                    .as_deref()
                    .map_or_else(|| "default".to_owned(), visible),
            ),
            ("dead letters", visible(&self.dead_letter_bucket)),
            (
                "role",
                match self.makes_role {
                    true => format!("{} (created for the channel)", visible(&self.role)),
                    false => visible(&self.role),
                },
            ),
        ]
    }
}

impl Report for Created {
    fn table(&self, _style: &Style) -> String {
        pairs(&self.pairs())
    }

    fn text(&self) -> String {
        pair_lines(self.pairs())
    }
}

pub(super) async fn run(args: ChannelArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Create(args) => create(&args, session).await,
        Action::List(args) => list(&args, session).await,
        Action::Describe(args) => describe(&args, session).await,
        Action::Update(args) => update(&args, session).await,
        Action::Delete(args) => delete(&args, session).await,
    }
}

async fn create(args: &CreateArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let new = args.new_channel(&stream.name)?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let state = to_change(context, &stream).await?;
    let plan = channels::plan(context, &state, &new).await?;
    let (role, makes_role) = match &plan.role {
        Role::Given(arn) => (arn.clone(), false),
        Role::Made(name) => (name.clone(), true),
    };
    let mut report = Created {
        changed: false,
        stream: stream.name.clone(),
        name: new.name.clone(),
        arn: plan.existing.as_ref().map(|channel| channel.arn.clone()),
        bucket: new.bucket.clone(),
        format: new.format,
        compression: new.compression,
        freshness_seconds: new.freshness.as_secs(),
        key_template: new.key_template.clone(),
        dead_letter_bucket: new
            .dead_letter_bucket
            .clone()
            .unwrap_or_else(|| new.bucket.clone()),
        role,
        makes_role,
    };
    match plan.existing {
        Some(_) => printer.note(&format!(
            "Nothing to create: channel {} exists with these settings",
            new.name
        )),
        None => {
            printer.note(&format!("Not done by a channel: {DOES_NOT}"));
            printer.note(
                "Cost: AWS bills each GB that a channel delivers, and S3 bills each object. streamctl does not know the price;\n\
                 see https://aws.amazon.com/kinesis/data-streams/pricing/",
            );
        }
    }
    if args.dry_run {
        printer.report(&report)?;
        printer.note("Dry run: nothing was created");
        return Ok(Exit::Done);
    }
    let is_new = plan.existing.is_none();
    let made = watched(session, &stream.name, async |changer| {
        changer.create_channel(&plan, &new).await
    });
    let made = made.await?;
    report.changed = is_new;
    report.arn = Some(made.arn);
    report.role = made.role;
    printer.report(&report)?;
    Ok(Exit::Done)
}

async fn list(args: &ListArgs, session: &Session) -> Result<Exit> {
    let found = if args.all {
        channels::list(session.context().await?, None).await?
    } else {
        let name = args.stream.resolve(session)?;
        let context = session.context().await?;
        let stream = existing(context, &name).await?;
        channels::list(context, Some(&stream.arn)).await?
    };
    if found.is_empty() {
        session.printer().note("No channels");
    }
    session.printer().report(&Channels(found))?;
    Ok(Exit::Done)
}

async fn one(args: &OneArgs, session: &Session, stream: &str) -> Result<Channel> {
    let context = session.context().await?;
    let state = existing(context, stream).await?;
    let all = channels::list(context, Some(&state.arn)).await?;
    let entry = choose(stream, all, args.name.as_deref())?;
    let found = channels::describe(context, &entry.arn).await?;
    // It may have been deleted between the two calls.
    found.ok_or_else(|| no_channel(stream, Some(&entry.name)))
}

async fn describe(args: &OneArgs, session: &Session) -> Result<Exit> {
    let name = args.stream.resolve(session)?;
    let found = one(args, session, &name).await?;
    session.printer().report(&One(found))?;
    Ok(Exit::Done)
}

async fn update(args: &UpdateArgs, session: &Session) -> Result<Exit> {
    let stream = args.one.stream.resolve(session)?;
    session.context_for_change_unless(args.dry_run).await?;
    let found = one(&args.one, session, &stream).await?;
    let text = |seconds: Option<i32>| seconds.map(|seconds| format!("{seconds} s"));
    let wanted = i32::try_from(args.freshness.as_secs()).ok();
    let mut changes = Vec::new();
    if found.freshness_seconds == wanted {
        let note = format!(
            "Nothing to change: channel {} has these settings already",
            found.name
        );
        session.printer().note(&note);
    } else {
        changes.push(Difference {
            setting: "data freshness".to_owned(),
            from: text(found.freshness_seconds),
            to: text(wanted),
            loses: None,
        });
    }
    let changed = !args.dry_run && !changes.is_empty();
    if changed {
        watched(session, &stream, async |changer| {
            changer.update_channel(&found, args.freshness).await
        })
        .await?;
    }
    let report = ChangeReport::new(&stream, &found.arn, changed, changes);
    session.printer().report(&report)?;
    if args.dry_run {
        session.printer().note("Dry run: nothing was changed");
    }
    Ok(Exit::Done)
}

async fn delete(args: &DeleteArgs, session: &Session) -> Result<Exit> {
    let stream = args.one.stream.resolve(session)?;
    session.context_for_change_unless(args.dry_run).await?;
    let found = one(&args.one, session, &stream).await?;
    let name = found.name.clone();
    let report = |channel, deleted| session.printer().report(&Deleted { deleted, channel });
    if args.dry_run {
        report(found, false)?;
        session.printer().note("Dry run: nothing was deleted");
        return Ok(Exit::Done);
    }
    let action =
        format!("delete channel {name}: records that it has not delivered yet will not be delivered");
    session.confirm_by_name(&action, &name, args.yes).await?;
    watched(session, &stream, async |changer| {
        changer.delete_channel(&found).await
    })
    .await?;
    session
        .printer()
        .note(&format!("Channel {name} of stream {stream} is deleted"));
    report(found, true)?;
    Ok(Exit::Done)
}
