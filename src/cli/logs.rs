//! `streamctl logs`.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use super::shared::Session;
use super::shared::function::function_name;
use super::shared::template::PartArgs;
use crate::ui::units::rfc3339;
use crate::ui::{Format, visible};
use domain::consume::{Start, StartRule};
use domain::context::Context;
use domain::functions::invoke::deployed;
use domain::functions::logs::{CloudWatchLogs, Follower, LogLine, Query, read};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Pause between two polls. The quota of FilterLogEvents is 5 to 10 calls a second for an account.
const PAUSE: Duration = Duration::from_secs(2);
const LOCAL_PAUSE: Duration = Duration::from_millis(300);

/// Show the logs of functions
///
/// The events of all functions, log groups and log streams are merged in order of time. --follow shows each event once, even
/// if it arrives late.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl logs retail-processor                the last 10 minutes
  streamctl logs retail-processor --follow
  streamctl logs scorer prices --since 1h --filter ERROR
  streamctl logs scorer --filter '{ $.level = \"WARN\" }' -n 20
  streamctl logs /aws/lambda/scorer -o json | jq -r .message")]
pub struct LogsArgs {
    /// Bundled handlers, functions, or log groups (anything with a `/`)
    #[arg(value_name = "FUNCTION|GROUP", required = true)]
    names: Vec<String>,
    /// Show new events as they arrive
    #[arg(short, long)]
    follow: bool,
    /// Start: 10m, 2h, 1d, or a time such as 2026-11-21T10:00:00Z
    #[arg(long, value_name = "TIME", default_value = "10m")]
    since: String,
    /// Only events that match this CloudWatch Logs pattern, such as ERROR or '{ $.level = "WARN" }'
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Only the last N events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

pub(super) async fn run(args: LogsArgs, session: &Session) -> Result<Exit> {
    if session.printer().format() == Format::Yaml {
        return Err(Error::usage("logs does not write YAML").hint("use -o json, -o text, or no -o at all"));
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let from_ms = match args.since.parse::<StartRule>()?.resolve(now_ms, &[])? {
        Start::Timestamp(ms) => ms,
        Start::Latest => now_ms,
        Start::TrimHorizon => 0,
        Start::Sequence { .. } | Start::Last(_) => {
            return Err(
                Error::usage("--since takes a time, not a record").hint("use 10m or 2026-11-21T10:00:00Z")
            );
        }
    };
    let context = session.context().await?;
    let mut groups = Vec::new();
    for name in &args.names {
        groups.push(group_of(session, context, name).await?);
    }
    groups.sort();
    groups.dedup();
    let show = Show {
        session,
        several: groups.len() > 1,
    };
    let query = Query {
        groups,
        from_ms,
        pattern: args.filter.clone(),
    };
    let work = async {
        match args.follow {
            true => follow(&args, context, &show, query).await,
            false => once(&args, context, &show, query).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = session.interrupt().wait() => {
            session.printer().flush()?;
            Ok(Exit::Interrupted)
        }
    }
}

async fn once(args: &LogsArgs, context: &Context, show: &Show<'_>, query: Query) -> Result<Exit> {
    let source = CloudWatchLogs::new(context, false);
    let mut last = VecDeque::new();
    let mut count = 0_u64;
    read(&source, &query, |line| {
        count += 1;
        match args.limit {
            None => show.line(&line)?,
            Some(limit) => {
                last.push_back(line);
                if last.len() > limit as usize {
                    last.pop_front();
                }
            }
        }
        Ok(true)
    })
    .await?;
    last.iter().try_for_each(|line| show.line(line))?;
    let printer = show.session.printer();
    printer.flush()?;
    if count == 0 {
        printer.note(&nothing(&query));
    }
    Ok(Exit::Done)
}

/// Such as "Nothing that matches ERROR was logged since 2026-11-21T10:00:00.000Z".
fn nothing(query: &Query) -> String {
    let what = match &query.pattern {
        Some(pattern) => format!("Nothing that matches {} was logged", visible(pattern)),
        None => "Nothing was logged".to_owned(),
    };
    match query.from_ms {
        0 => what,
        from_ms => format!("{what} since {}", rfc3339(from_ms)),
    }
}

async fn follow(args: &LogsArgs, context: &Context, show: &Show<'_>, query: Query) -> Result<Exit> {
    let source = CloudWatchLogs::new(context, true);
    let pause = if context.is_local() { LOCAL_PAUSE } else { PAUSE };
    let mut follower = Follower::new(query);
    let mut first = true;
    let printer = show.session.printer();
    let status = printer
        .progress()
        .status_line("Waiting for new events … (Ctrl-C stops)");
    loop {
        let lines = follower.poll(&source).await?;
        let skip = match args.limit {
            Some(limit) if first => lines.len().saturating_sub(limit as usize),
            _ => 0,
        };
        // The status line says it on a terminal.
        if first && lines.is_empty() && status.is_none() {
            printer.note("Waiting for new events (Ctrl-C stops)");
        }
        first = false;
        if !lines.is_empty() {
            printer.above_progress(|| lines.iter().skip(skip).try_for_each(|line| show.line(line)))?;
        }
        sleep(pause).await;
    }
}

/// The log group of a function or a bundled handler; a name with a `/` is a log group.
async fn group_of(session: &Session, context: &Context, name: &str) -> Result<String> {
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    let function = function_name(session, context, name, &PartArgs::default()).await?;
    // Logs remain after the function is deleted: use Lambda's default log group.
    let found = deployed(context, &function).await?;
    Ok(found.map_or_else(|| format!("/aws/lambda/{function}"), |found| found.log_group))
}

struct Show<'a> {
    session: &'a Session,
    several: bool,
}

/// A log event. A contract with scripts.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LogEvent"))]
pub(super) struct JsonLine<'a> {
    /// When it was logged, in UTC.
    time: String,
    /// The log group.
    group: &'a str,
    /// The log stream.
    stream: &'a str,
    message: &'a str,
}

impl Show<'_> {
    fn line(&self, line: &LogLine) -> Result<()> {
        let printer = self.session.printer();
        match printer.format() {
            Format::Json => printer.ndjson(&JsonLine {
                time: rfc3339(line.at_ms),
                group: &line.group,
                stream: &line.stream,
                message: &line.message,
            }),
            Format::Text => printer.out_bytes(line.message.as_bytes(), b"\n"),
            Format::Table | Format::Yaml | Format::Csv | Format::Raw => {
                let style = printer.style();
                let group = match self.several {
                    true => format!("{}  ", style.dim(&short(&line.group))),
                    false => String::new(),
                };
                printer.out(&format!(
                    "{}  {group}{}",
                    style.dim(&rfc3339(line.at_ms)),
                    message(&line.message)
                ))
            }
        }
    }
}

/// The name of the function, for a log group of Lambda.
fn short(group: &str) -> String {
    visible(group.strip_prefix("/aws/lambda/").unwrap_or(group))
}

/// The message on one line. Lambda separates the fields of its own lines with tabs, which become spaces.
fn message(text: &str) -> String {
    visible(&text.trim_end().replace('\t', "  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_log_is_told_with_its_filter_and_start() {
        let nothing_of = |pattern: Option<&str>, from_ms| {
            nothing(&Query {
                groups: vec!["/app".to_owned()],
                from_ms,
                pattern: pattern.map(str::to_owned),
            })
        };
        assert_eq!(nothing_of(None, 0), "Nothing was logged");
        assert_eq!(
            nothing_of(Some("ERROR"), 1_763_719_200_000),
            "Nothing that matches ERROR was logged since 2025-11-21T10:00:00.000Z"
        );
    }
}
