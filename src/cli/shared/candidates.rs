//! What a shell offers for a value that is being typed: bundled names, and names of the target.
//!
//! The target is the one that the words typed so far, the environment and the files choose. A question to it has a time
//! limit, never starts the local cloud, and prints nothing: where there is no answer, nothing is offered.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use tokio::time::{Instant, timeout_at};

use super::global::GlobalArgs;
use crate::cli::Cli;
use domain::context::Context;
use domain::functions::{bundle, names};
use domain::pipeline;
use domain::settings::Settings;
use domain::stream::{Listing, StreamReference, channels, consumers, list, shards};

/// How long the target is asked.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// A name and a few words about it.
type Named = (String, String);

/// The bundled templates that begin with `typed`.
pub(crate) fn templates(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = pipeline::bundled().map(|one| (one.name.to_owned(), one.description().to_owned()));
    beginning_with(typed, all)
}

/// The bundled handlers that begin with `typed`.
pub(crate) fn handlers(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(typed, bundled_handlers())
}

fn bundled_handlers() -> impl Iterator<Item = Named> {
    bundle::all()
        .iter()
        .map(|one| (one.name.to_owned(), one.about.to_owned()))
}

/// The commands whose template is that of a pipeline that exists.
const OF_PIPELINES: [&str; 3] = ["destroy", "outputs", "verify"];

/// The command line for completion: arguments that name something of the target offer its names.
pub(crate) fn with_names_of_the_target(command: clap::Command) -> clap::Command {
    let is_of_pipelines = OF_PIPELINES.contains(&command.get_name());
    command
        .mut_args(|arg| {
            let completer: fn(&OsStr) -> Vec<CompletionCandidate> = match value_of(&arg) {
                Some(Value::Stream) => streams,
                Some(Value::Function) => functions,
                Some(Value::Shard) => shards_of_stream,
                Some(Value::Consumer) => consumers_of_stream,
                Some(Value::Channel) => channels_of_stream,
                Some(Value::Pipeline) => pipelines,
                Some(Value::Template) if is_of_pipelines => pipelines,
                Some(Value::Template) | None => return arg,
            };
            arg.add(ArgValueCompleter::new(completer))
        })
        .mut_subcommands(with_names_of_the_target)
}

enum Value {
    Stream,
    Function,
    Shard,
    Consumer,
    Channel,
    Pipeline,
    Template,
}

/// What an argument names, by its value name.
fn value_of(arg: &clap::Arg) -> Option<Value> {
    let name = arg.get_value_names()?.first()?.as_str();
    let words: Vec<&str> = name.split(['|', '[', '@']).collect();
    let has = |word: &str| words.contains(&word);
    if has("STREAM") || arg.get_long() == Some("stream") {
        return Some(Value::Stream);
    }
    if has("SHARD") || arg.get_long() == Some("shard") {
        return Some(Value::Shard);
    }
    for (word, value) in [
        ("CONSUMER", Value::Consumer),
        ("CHANNEL", Value::Channel),
        ("TEMPLATE", Value::Template),
    ] {
        if has(word) {
            return Some(value);
        }
    }
    if arg.get_long() == Some("pipeline") {
        return Some(Value::Pipeline);
    }
    (has("FUNCTION") || has("HANDLER")).then_some(Value::Function)
}

/// The streams of the target; ARNs if one is being typed.
fn streams(typed: &OsStr) -> Vec<CompletionCandidate> {
    let is_arn = typed.as_encoded_bytes().starts_with(b"arn:");
    let found = ask(async |context, _, deadline| {
        let found = list::until(&context, deadline).await;
        let named = |one: list::StreamEntry| {
            let about = format!("{}, {}", one.status, one.mode);
            (if is_arn { one.arn } else { one.name }, about)
        };
        found.into_iter().map(named).collect()
    });
    beginning_with(typed, found)
}

/// The functions of the target and the bundled handlers.
fn functions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let deployed = ask(async |context, _, deadline| {
        let found = names::until(&context, deadline).await.into_iter();
        found.map(|name| (name, "function".to_owned())).collect()
    });
    let bundled: Vec<Named> = bundled_handlers()
        .filter(|(name, _)| deployed.iter().all(|(found, _)| found != name))
        .collect();
    beginning_with(typed, deployed.into_iter().chain(bundled))
}

/// The shards of the stream that the words name, or of the default stream.
fn shards_of_stream(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |context, stream, deadline| {
        let listed = shards::list(&context, &stream, &Listing::All);
        let Ok(Ok(map)) = timeout_at(deadline, listed).await else {
            return Vec::new();
        };
        let about = |shard: &shards::Shard| {
            let state = if shard.is_open() { "open" } else { "closed" };
            format!("{state}, {:.2} % of the hash keys", shard.share() * 100.0)
        };
        let named = |shard: &shards::Shard| (shard.id.clone(), about(shard));
        map.all().iter().map(named).collect()
    });
    beginning_with(typed, found)
}

/// The consumers of the stream that the words name, or of the default stream.
fn consumers_of_stream(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |context, stream, deadline| {
        let listed = async {
            let arn = context.stream_arn(&stream).await?;
            consumers::consumers(&context, &arn).await
        };
        let Ok(Ok(found)) = timeout_at(deadline, listed).await else {
            return Vec::new();
        };
        let named = |one: consumers::Consumer| (one.name, one.status.to_string());
        found.into_iter().map(named).collect()
    });
    beginning_with(typed, found)
}

/// The channels of the stream that the words name, or of the default stream.
fn channels_of_stream(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |context, stream, deadline| {
        let listed = async {
            let arn = context.stream_arn(&stream).await?;
            channels::list(&context, Some(&arn)).await
        };
        let Ok(Ok(found)) = timeout_at(deadline, listed).await else {
            return Vec::new();
        };
        let named = |one: channels::ChannelEntry| {
            let about = format!("{}, to {}", one.status, one.destination);
            (one.name, about)
        };
        found.into_iter().map(named).collect()
    });
    beginning_with(typed, found)
}

/// The bundled templates with a pipeline at the target; all of them where the target does not tell.
fn pipelines(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |context, _, deadline| {
        let Ok(Ok(found)) = timeout_at(deadline, pipeline::deployed(&context)).await else {
            return Vec::new();
        };
        let names = found.iter().map(|one| one.template().to_owned());
        let names: BTreeSet<String> = names.collect();
        let about = |name: &str| {
            let of_it = found.iter().filter(|one| one.template() == name);
            let all: Vec<String> = of_it.map(ToString::to_string).collect();
            all.join(", ")
        };
        let bundled = names
            .into_iter()
            .filter(|name| pipeline::bundled().any(|one| one.name == name));
        bundled
            .map(|name| {
                let about = about(&name);
                (name, about)
            })
            .collect()
    });
    match found.is_empty() {
        true => templates(typed),
        false => beginning_with(typed, found),
    }
}

/// Asks the target that the words typed so far choose. `question` is given its clients, the stream that the words name or
/// the default stream, and the end of the time limit.
fn ask(question: impl AsyncFnOnce(Context, String, Instant) -> Vec<Named>) -> Vec<Named> {
    let Some((settings, stream)) = chosen(typed_words(std::env::args_os())) else {
        return Vec::new();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let found = runtime.block_on(async {
        let deadline = Instant::now() + TIME_LIMIT;
        let connected = timeout_at(deadline, Context::connect_to_running(settings)).await;
        let Ok(Ok(Some(context))) = connected else {
            return Vec::new();
        };
        let answer = question(context, stream, deadline);
        timeout_at(deadline, answer).await.unwrap_or_default()
    });
    // Do not wait for a name that is still being looked up.
    runtime.shutdown_background();
    found
}

/// What the shell passes after `--`, up to the word that is being typed. A word stands in its place, so that the words before
/// mean what they mean with it.
fn typed_words(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = arguments.skip_while(|word| word != "--").skip(1).collect();
    // Source: the scripts of clap_complete. Those without an index end with the word that is being typed.
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok();
    let index = index.and_then(|index| index.parse::<usize>().ok());
    words.truncate(index.unwrap_or(words.len().saturating_sub(1)));
    words.push(OsString::from("x"));
    words
}

/// The settings and the stream that `words` choose; `None` if that is not clear.
fn chosen(words: Vec<OsString>) -> Option<(Settings, String)> {
    let command = Cli::definition().ignore_errors(true);
    let matches = command.try_get_matches_from(words).ok()?;
    let innermost = innermost(&matches);
    let configuration = GlobalArgs::from_arg_matches(innermost)
        .ok()?
        .configuration()
        .ok()?;
    let mut settings = configuration.settings;
    // The client would take these endpoints from the environment.
    if !settings.access.ignored.is_empty() {
        return None;
    }
    let word = |id: &str| innermost.try_get_one::<String>(id).ok().flatten().cloned();
    let stream = word("stream").or_else(|| word("word"));
    let stream = StreamReference::parse(&stream.unwrap_or_else(|| settings.stream.clone())).ok()?;
    settings.region = stream.region.or(settings.region);
    Some((settings, stream.name))
}

/// The matches of the last subcommand.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches,
    }
}

fn beginning_with(typed: &OsStr, all: impl IntoIterator<Item = Named>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    all.into_iter()
        .filter(|(name, _)| name.starts_with(typed))
        .map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_words_choose_target_and_stream() {
        let chosen = |line: &str| chosen(words(line)).unwrap();
        let (settings, stream) =
            chosen("streamctl tail orders --region eu-west-1 --endpoint-url http://127.0.0.1:1 --shard x");
        assert_eq!(stream, "orders");
        assert_eq!(settings.region.as_deref(), Some("eu-west-1"));
        assert_eq!(settings.target.to_string(), "http://127.0.0.1:1");
        let (settings, stream) =
            chosen("streamctl --target local tail --stream clicks --no-such-flag --shard x");
        assert_eq!(
            (settings.target.to_string().as_str(), stream.as_str()),
            ("local", "clicks")
        );
        let arn = "arn:aws:kinesis:us-west-2:123456789012:stream/orders";
        let (settings, stream) = chosen(&format!("streamctl consumer describe {arn} x"));
        assert_eq!(
            (settings.region.as_deref(), stream.as_str()),
            (Some("us-west-2"), "orders")
        );
        // A command with a `--timeout` of its own.
        let (settings, stream) =
            chosen("streamctl attach scorer --stream clicks --timeout 1m --call-timeout 7s x");
        assert_eq!(
            (settings.timeout, stream.as_str()),
            (Some(std::time::Duration::from_secs(7)), "clicks")
        );
    }

    #[test]
    fn arguments_are_known_by_their_value_names() {
        let command = with_names_of_the_target(Cli::definition());
        let completed = |name: &str| {
            let command = command.find_subcommand(name).unwrap();
            let completed = command
                .get_arguments()
                .filter(|arg| arg.get::<ArgValueCompleter>().is_some());
            completed.map(|arg| arg.get_id().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(completed("describe"), ["word", "stream"]);
        let of_tail = ["word", "stream", "shard", "fan_out", "invoke_local"];
        assert_eq!(completed("tail"), of_tail);
        assert_eq!(completed("invoke")[0], "function");
        assert_eq!(completed("list"), [""; 0]);
        for name in OF_PIPELINES {
            assert_eq!(completed(name)[0], "template");
        }
        assert!(completed("doctor").contains(&"pipeline".to_owned()));
    }
}
