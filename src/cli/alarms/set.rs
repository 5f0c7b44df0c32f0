//! `streamctl alarms set`.

use std::time::Duration;

use clap::Args;

use crate::cli::shared::Session;
use crate::cli::shared::duration::{SECONDS, length};
use crate::cli::shared::pipeline::{Applied, apply, print_hints};
use crate::cli::shared::scope::ScopeArgs;
use crate::ui::units::counted;
use crate::ui::wrap;
use domain::context::Context;
use domain::observe::alarms::{self, AlarmEntry, AlarmSet, Filter, Thresholds};
use domain::observe::doctor::Subject;
use domain::pipeline::plan::{Action, PlanReport};
use domain::pipeline::resources::Kinds;
use domain::pipeline::{Draft, Request};
use ground::error::{Error, Result};
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Topic that the alarms notify [default: that of `alarms subscribe`, if there is one]
    #[arg(long, value_name = "ARN", value_parser = topic)]
    topic: Option<String>,
    /// Age of the records that a reader is given
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = length(SECONDS))]
    lag: Duration,
    /// Share of the retention that the age may reach, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=99))]
    retention_share: u32,
    /// Errors of a function in a minute
    #[arg(long, value_name = "N", default_value_t = 0)]
    errors: u32,
    /// Share of a function's timeout, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=99))]
    duration_share: u32,
    /// Messages that may wait in a queue of failures
    #[arg(long, value_name = "N", default_value_t = 0)]
    queue_depth: u32,
    /// Failed events of a pipeline in a minute
    #[arg(long, value_name = "N", default_value_t = 10)]
    failed_events: u32,
    /// Minutes that must breach, and out of how many
    #[arg(long, value_name = "M/N", default_value = "3/5", value_parser = datapoints)]
    datapoints: (i32, i32),
    /// Show what would be changed and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The ARN of a topic.
fn topic(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        ["arn", _, "sns", region, account, name]
            if !region.is_empty() && !account.is_empty() && !name.is_empty() =>
        {
            Ok(text.to_owned())
        }
        _ => Err("not the ARN of a topic, such as arn:aws:sns:us-east-1:123456789012:alerts".to_owned()),
    }
}

/// `M/N`, at most an hour.
fn datapoints(text: &str) -> Result<(i32, i32), String> {
    let parsed = text.split_once('/').and_then(|(needed, of)| {
        let pair: (i32, i32) = (needed.trim().parse().ok()?, of.trim().parse().ok()?);
        (pair.0 >= 1 && pair.0 <= pair.1 && pair.1 <= 60).then_some(pair)
    });
    parsed.ok_or_else(|| {
        "write it like 3/5: the second number is at most 60, and the first is not larger than the second"
            .to_owned()
    })
}

impl SetArgs {
    fn thresholds(&self) -> Result<Thresholds> {
        let lag_seconds = u32::try_from(self.lag.as_secs())
            .ok()
            .filter(|seconds| *seconds >= 1)
            .ok_or_else(|| Error::usage("--lag is at least a second and at most a year"))?;
        Ok(Thresholds {
            lag_seconds,
            retention_percent: self.retention_share,
            errors: self.errors,
            duration_percent: self.duration_share,
            queue_depth: self.queue_depth,
            failed_events: self.failed_events,
            datapoints: self.datapoints,
        })
    }
}

pub(super) async fn run(args: &SetArgs, session: &Session) -> Result<Exit> {
    let thresholds = args.thresholds()?;
    args.scope.check(session)?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let chosen = args.scope.resolve(session, context).await?;
    let subject = Subject::new(context, chosen.scope.clone());
    let all = Filter::default();
    let (subjects, existing) = tokio::join!(
        alarms::subjects(&subject, chosen.failed_events.clone()),
        alarms::list(context, &all),
    );
    let existing = existing?;
    let set = AlarmSet::new(&chosen.name, &subjects?, &thresholds, &existing);
    for kept in &set.kept {
        printer.note(&format!("{}: alarm {} watches it already", kept.suffix, kept.by));
    }
    let is_empty = set.alarms.is_empty();
    if is_empty {
        printer.note(&format!(
            "Nothing to watch: {} has nothing that needs an alarm",
            chosen.title
        ));
    }
    let topics = topics(args, context).await?;
    let manifest = alarms::manifest(&set, &topics)?;
    let kinds = Kinds::new(context).await?;
    let pipeline = Draft::new(manifest, Request::default())?.bind(&kinds)?;
    if !args.dry_run && !is_empty {
        show(session, &pipeline.plan().await?.report(&pipeline));
    }
    let report = apply(session, &pipeline, args.dry_run, false).await?;
    if !is_empty {
        say_cost(session, context, &set);
    }
    say_the_rest(session, &set, &existing, &topics);
    let Some(Applied { report, .. }) = report else {
        return Ok(Exit::Done);
    };
    print_hints(session, &report);
    Ok(report.exit)
}

/// The topics of new alarms.
async fn topics(args: &SetArgs, context: &Context) -> Result<Vec<String>> {
    match &args.topic {
        Some(topic) => Ok(vec![topic.clone()]),
        None => Ok(alarms::own_topic(context).await?.into_iter().collect()),
    }
}

/// Shows what is about to change.
fn show(session: &Session, plan: &PlanReport) {
    let changed = plan.resources.iter().filter(|one| one.action != Action::None);
    let lines: Vec<String> = changed
        .map(|one| {
            let changes: Vec<String> = one.changes.iter().map(ToString::to_string).collect();
            let detail = match one.action {
                Action::Create => one.detail.clone(),
                _ => changes.join("; "),
            };
            let detail = wrap(&detail, 74).join("\n    ");
            format!("  {} {}\n    {detail}", one.action.word(), one.name)
        })
        .collect();
    let note = match lines.is_empty() {
        true => "Nothing to change: the alarms exist with these settings".to_owned(),
        false => format!("To be changed:\n{}", lines.join("\n")),
    };
    session.printer().note(&note);
}

fn say_cost(session: &Session, context: &Context, set: &AlarmSet) {
    let count = counted(set.alarms.len() as u64, "alarm");
    let where_ = if context.is_local() { " on AWS" } else { "" };
    session
        .printer()
        .note(&match alarms::monthly_cost(context.region(), set.alarms.len()) {
            Some(cost) => format!("{count}: {} USD a month{where_}", cost.rounded(2)),
            None => format!(
                "{count}; the price of an alarm in {} is not known",
                context.region()
            ),
        });
}

fn say_the_rest(session: &Session, set: &AlarmSet, existing: &[AlarmEntry], topics: &[String]) {
    let printer = session.printer();
    let left_over = set.left_over(existing);
    if !left_over.is_empty() {
        let names = left_over.join(" ");
        printer.note(&format!(
            "No longer part of the set: `streamctl alarms delete {names}` deletes what is left"
        ));
    }
    if topics.is_empty() && !set.alarms.is_empty() {
        printer.note(
            "New alarms notify nobody: there is no topic. `streamctl alarms subscribe EMAIL` creates one; then run the same \
             command again",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datapoints_are_a_part_of_the_periods() {
        assert_eq!(datapoints("3/5"), Ok((3, 5)));
        assert_eq!(datapoints("1/1"), Ok((1, 1)));
        for bad in ["", "3", "0/1", "6/5", "1/61", "a/b", "-1/5"] {
            assert!(datapoints(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn topics_are_named_by_arn() {
        assert!(topic("arn:aws:sns:us-east-1:123456789012:alerts").is_ok());
        for bad in [
            "alerts",
            "arn:aws:sqs:us-east-1:123456789012:q",
            "arn:aws:sns:::",
            "",
        ] {
            assert!(topic(bad).is_err(), "{bad}");
        }
    }
}
