//! `streamctl generate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::shared::Session;
use super::shared::duration::{SECONDS, length};
use super::shared::rate::pace;
use super::shared::sending::failed::Unacknowledged;
use super::shared::sending::{Origin, Recipient, Sending};
use crate::ui::{Format, no_csv};
use domain::generate::{Generator, Pipeline, Settings};
use domain::produce::{Feed, Input, PutOptions, feed};
use domain::record::{KeyPattern, KeyRule, to_entry_json};
use domain::schedule::{Pace, at_rate};
use domain::stream::StreamReference;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::file;

/// How many events are generated where neither a number nor a rate is given.
const COUNT: u64 = 100;
/// Events in a second of their own time, where no rate of events is given.
const RATE: f64 = 10.0;
/// The time of the first event where a seed is given: 2026-01-01T00:00:00Z. The same seed makes the same events then.
const SEEDED_START: i64 = 1_767_225_600_000;
/// The largest template.
const MOST_TEMPLATE_BYTES: u64 = 1 << 20;
/// Maximum time to retry a refused record.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// The short and the long help end with the same examples.
macro_rules! examples {
    () => {
        "\
Examples:
  streamctl generate retail --count 1000 --seed 7 > events.ndjson
  streamctl generate retail --rate 200/s --into retail-events-stream-dev
  streamctl generate cart --count 3 -o json            with partition keys
  streamctl generate --template '{\"id\": \"{{uuid}}\", \"n\": {{int 1 6}}}'
  streamctl generate --template @order.json --key-field id --into orders"
    };
}

/// Generate events of a pipeline, or of a template
///
/// Prints the events on stdout, one on each line, or sends them with --into. The same --seed makes the same events. Without
/// one, a seed is chosen and shown, and the events begin now.
#[derive(Debug, Args)]
#[command(after_help = examples!())]
#[command(after_long_help = concat!("\
Pipelines:
  retail     customer events of a shop: views, carts, purchases, in sessions
  realtime   readings of sensors and clicks
  concert    artists, venues, concerts and ticket sales
  prices     prices of products
  cart       shopping-cart events of a web page

A template is JSON with fakers in double braces, or @FILE for the text of a
file. Put a faker that makes text in quotes.
  seq  uuid  hex N  bool  int MIN MAX  float MIN MAX [DECIMALS]
  pick A B …  weighted A 3 B 1 …  name  first_name  last_name  email  city
  country  word  sentence  ip  now  now_ms  now_s

Events have their own times: random gaps to match --rate, closer in bursts.

Output:
  (none)     the events, one on each line
  -o json    put-records entries with partition keys, which `put` reads

", examples!()))]
pub struct GenerateArgs {
    /// Pipeline whose events are generated
    #[arg(
        value_enum,
        value_name = "PIPELINE",
        required_unless_present = "template",
        conflicts_with = "template"
    )]
    pipeline: Option<PipelineArg>,
    /// JSON with fakers, or @FILE
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// How many events [default: 100, or no limit with --rate]
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Generate at this rate: 500/s, 10k/min or 1.5MB/s
    #[arg(long, value_name = "RATE", value_parser = pace)]
    rate: Option<Pace>,
    /// The same seed makes the same events
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Time of the first event [default: now, or 2026-01-01 with --seed]
    #[arg(long, value_name = "TIME")]
    start: Option<jiff::Timestamp>,
    /// Partition key of every event; `random` for random keys
    #[arg(long, value_name = "KEY", group = "keys")]
    key: Option<String>,
    /// Take each event's partition key from this field
    #[arg(long, value_name = "PATH", group = "keys")]
    key_field: Option<String>,
    /// Build each event's partition key from its fields, such as '{source}_{payload.id}'
    #[arg(long, value_name = "PATTERN", group = "keys", value_parser = KeyPattern::parse)]
    key_template: Option<KeyPattern>,
    /// Send the events to this stream, by name or ARN
    #[arg(long, value_name = "STREAM")]
    into: Option<String>,
    /// File for the events that failed [default: put-failed-TIME.ndjson]
    #[arg(long, value_name = "FILE", requires = "into")]
    failed_file: Option<PathBuf>,
    /// How long to retry a refused record: 0s to 1h
    #[arg(long, value_name = "TIME", default_value = "1m", hide_default_value = true, value_parser = length(SECONDS.between(Duration::ZERO, LONGEST_RETRY)), requires = "into")]
    retry_for: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PipelineArg {
    Retail,
    Realtime,
    Concert,
    Prices,
    Cart,
}

impl From<PipelineArg> for Pipeline {
    fn from(arg: PipelineArg) -> Self {
        match arg {
            PipelineArg::Retail => Self::Retail,
            PipelineArg::Realtime => Self::Realtime,
            PipelineArg::Concert => Self::Concert,
            PipelineArg::Prices => Self::Prices,
            PipelineArg::Cart => Self::Cart,
        }
    }
}

pub(super) async fn run(args: GenerateArgs, session: &Session) -> Result<Exit> {
    let settings = settings(&args);
    let generator = match (&args.template, args.pipeline) {
        (Some(template), _) => {
            Generator::of_template(&template_text(session, template).await?, settings.clone())?
        }
        (None, Some(pipeline)) => Generator::of_pipeline(pipeline.into(), settings.clone()),
        (None, None) => return Err(Error::usage("neither a pipeline nor --template was given")),
    };
    let Some(stream) = &args.into else {
        tell_seed(&args, session, settings.seed);
        return print(session, scheduled(&args, generator)).await;
    };
    let reference = StreamReference::parse(stream)?;
    session.act_on(&reference.clone().of_any_account())?;
    let origin = Origin {
        name: "the generator".to_owned(),
        file: None,
        is_repeatable: false,
        is_argument: false,
        has_chosen_keys: true,
    };
    let failed = Unacknowledged::open(&origin, args.failed_file.clone())?;
    let recipient = tokio::select! {
        recipient = recipient(session, &reference, args.retry_for) => recipient?,
        () = session.interrupt().wait() => {
            session.printer().warn("interrupted before anything was sent");
            return Ok(Exit::Interrupted);
        }
    };
    tell_seed(&args, session, settings.seed);
    let options = PutOptions {
        retry_for: args.retry_for,
        ..PutOptions::default()
    };
    let sending = Sending {
        session,
        named: Some(recipient.stream.clone()),
        recipient,
        origin,
        read: None,
        bad: None,
        resume: None,
    };
    sending.run(scheduled(&args, generator), &options, failed).await
}

async fn recipient<'s>(
    session: &'s Session,
    reference: &StreamReference,
    retry_for: Duration,
) -> Result<Recipient<'s>> {
    let context = session.context_for_change().await?;
    Recipient::of(session, context, reference, retry_for).await
}

fn settings(args: &GenerateArgs) -> Settings {
    let start_ms = match (args.start, args.seed) {
        (Some(start), _) => start.as_millisecond(),
        (None, Some(_)) => SEEDED_START,
        (None, None) => jiff::Timestamp::now().as_millisecond(),
    };
    Settings {
        seed: args.seed.unwrap_or_else(rand::random),
        start_ms,
        rate: match args.rate {
            Some(Pace::Records(rate)) => rate,
            Some(Pace::Bytes(_)) | None => RATE,
        },
        count: args.count.or(match args.rate {
            Some(_) => None,
            None => Some(COUNT),
        }),
        key: match (&args.key, &args.key_field, &args.key_template) {
            (Some(key), ..) if key == "random" => Some(KeyRule::Random),
            (Some(key), ..) => Some(KeyRule::Constant(key.as_str().into())),
            (_, Some(path), _) => Some(KeyRule::field(path)),
            (.., Some(pattern)) => Some(KeyRule::Patterns(vec![pattern.clone()])),
            _ => None,
        },
    }
}

/// The text of a template, or of the file after `@`.
async fn template_text(session: &Session, template: &str) -> Result<String> {
    let Some(path) = template.strip_prefix('@').map(PathBuf::from) else {
        return Ok(template.to_owned());
    };
    session
        .read(move || {
            file::read_text(&path, MOST_TEMPLATE_BYTES)
                .map_err(|error| Error::usage(format!("{} could not be read", path.display())).cause(error))
        })
        .await
}

fn tell_seed(args: &GenerateArgs, session: &Session, seed: u64) {
    if args.seed.is_none() {
        session.printer().note(&format!("Seed: {seed}"));
    }
}

/// The events, when they are to be generated.
fn scheduled(args: &GenerateArgs, generator: Generator) -> Feed {
    match args.rate {
        Some(pace) => at_rate(feed(generator), pace),
        None => feed(generator),
    }
}

/// Prints the events.
async fn print(session: &Session, mut events: Feed) -> Result<Exit> {
    let printer = session.printer();
    let with_keys = match printer.format() {
        Format::Json => true,
        Format::Table | Format::Text => false,
        Format::Csv | Format::Raw => return Err(no_csv()),
        Format::Yaml => {
            return Err(Error::usage("generate does not write YAML").hint("use -o json, or no -o at all"));
        }
    };
    loop {
        let next = tokio::select! {
            biased;
            () = session.interrupt().wait() => {
                printer.flush()?;
                return Ok(Exit::Interrupted);
            }
            next = events.recv() => next,
        };
        match next {
            Some(Input::Records(records)) => {
                for record in &records {
                    match with_keys {
                        true => printer.out(&to_entry_json(record))?,
                        false => printer.out_bytes(&record.data, b"\n")?,
                    }
                }
                printer.flush()?;
            }
            Some(Input::Error(error)) => return Err(error.into_error("the generator")),
            None => return Ok(Exit::Done),
        }
    }
}
