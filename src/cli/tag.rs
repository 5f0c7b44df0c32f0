//! `streamctl tag`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::change::{ChangeArgs, change, existing, no_more};
use super::shared::stream::{ChosenStream, StreamFlag, choose};
use super::shared::{Session, StreamArg};
use crate::ui::{Report, Style, lines, table, visible};
use domain::pipeline::tags::parse;
use domain::stream::Desired;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Set, remove and list the tags of a stream
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl tag add orders env=prod
  streamctl tag remove orders env
  streamctl tag list orders")]
pub struct TagArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(AddArgs),
    Remove(RemoveArgs),
    List(ListArgs),
}

/// Set tags
///
/// A stream can have 50 tags. A tag that exists gets the new value; other tags stay.
#[derive(Debug, Args)]
#[command(override_usage = "streamctl tag add [OPTIONS] [STREAM] <KEY=VALUE>...")]
#[command(after_help = "\
Examples:
  streamctl tag add env=prod                        the default stream
  streamctl tag add orders env=prod \"Cost Centre=Live Music\"")]
struct AddArgs {
    /// Tags; a first word without = is the stream, by name or ARN
    #[arg(value_name = "KEY=VALUE", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    stream: StreamFlag,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Remove tags
#[derive(Debug, Args)]
#[command(override_usage = "streamctl tag remove [OPTIONS] [STREAM] <KEY>...")]
#[command(after_help = "\
Examples:
  streamctl tag remove env                 of the default stream
  streamctl tag remove orders env team     two tags of another one
  streamctl tag remove --stream orders env team")]
struct RemoveArgs {
    /// Keys; the first of several words is the stream, unless --stream names it
    #[arg(value_name = "KEY", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    stream: StreamFlag,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List the tags
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl tag list orders
  streamctl tag list orders -o json | jq .env")]
struct ListArgs {
    #[command(flatten)]
    stream: StreamArg,
}

/// Tags by key.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Tags(BTreeMap<String, String>);

impl Report for Tags {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["KEY", "VALUE"]);
        for (key, value) in &self.0 {
            table.add_row([visible(key), visible(value)]);
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|(key, value)| [visible(key), visible(value)]))
    }
}

pub(super) async fn run(args: TagArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Add(args) => {
            let (word, tags) = match args.words.split_first() {
                Some((first, rest)) if !first.contains('=') => (Some(first.as_str()), rest),
                _ => (None, args.words.as_slice()),
            };
            let stream = one_stream(word, &args.stream, session)?;
            let read = |text: &String| parse(text).map_err(Error::usage);
            let desired = Desired {
                tags: tags.iter().map(read).collect::<Result<_>>()?,
                ..Desired::default()
            };
            if desired.tags.is_empty() {
                return Err(Error::usage("no tag was given").hint("write tags as KEY=VALUE"));
            }
            change(session, &stream, &desired, args.change, no_more).await
        }
        Action::Remove(args) => {
            let (word, keys) = match args.words.split_first() {
                Some((first, rest)) if args.stream.stream.is_none() && !rest.is_empty() => {
                    (Some(first.as_str()), rest)
                }
                _ => (None, args.words.as_slice()),
            };
            let stream = one_stream(word, &args.stream, session)?;
            let desired = Desired {
                untag: keys.iter().cloned().collect(),
                ..Desired::default()
            };
            change(session, &stream, &desired, args.change, no_more).await
        }
        Action::List(args) => list(&args, session).await,
    }
}

async fn list(args: &ListArgs, session: &Session) -> Result<Exit> {
    let name = args.stream.resolve(session)?;
    let state = existing(session.context().await?, &name).await?;
    if state.tags.is_empty() {
        session.printer().note(&format!("Stream {name} has no tags"));
    }
    session.printer().report(&Tags(state.tags))?;
    Ok(Exit::Done)
}

/// The stream that a word or `--stream` names.
fn one_stream(word: Option<&str>, flag: &StreamFlag, session: &Session) -> Result<ChosenStream> {
    if word.is_some() && flag.stream.is_some() {
        return Err(
            Error::usage("the stream is named twice").hint("name it either as an argument or with --stream")
        );
    }
    choose(word.or(flag.stream.as_deref()), session)
}
