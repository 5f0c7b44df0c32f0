//! `streamctl alarms test`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::shared::Session;
use crate::cli::shared::duration::{SECONDS, length};
use crate::ui::{Report, Style, lines, visible, wrap};
use domain::observe::alarms::{self, Step, Trial};
use ground::error::{Error, Result};
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Name of the alarm
    #[arg(value_name = "NAME")]
    name: String,
    /// Set the state, and put no values (the only way on AWS)
    #[arg(long)]
    set_state: bool,
    /// How long to wait for the alarm and its actions
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = length(SECONDS))]
    timeout: Duration,
    /// Do not ask before the state is set on AWS
    #[arg(short, long)]
    yes: bool,
}

/// JSON is the trial.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct Tried(Trial);

fn words(step: &Step, value: Option<f64>) -> String {
    match (step, value) {
        (Step::Driven, Some(value)) => format!("put {value}"),
        (Step::Driven, None) => "put".to_owned(),
        (Step::Alarm, _) => "went to ALARM".to_owned(),
        (Step::Notified, _) => "executed its actions".to_owned(),
    }
}

impl Report for Tried {
    fn table(&self, style: &Style) -> String {
        let trial = &self.0;
        let mut text = format!("alarm {}\n", visible(&trial.alarm));
        for step in &trial.steps {
            let words = words(step, trial.value);
            text.push_str(&format!("  {}   {words}\n", style.good("good")));
        }
        for action in &trial.actions {
            let mut begin = match action.starts_with("Failed") {
                true => style.bad("fault"),
                false => format!("{} ", style.good("good")),
            };
            for line in wrap(&visible(action), 71) {
                text.push_str(&format!("  {begin}  {line}\n"));
                begin = " ".repeat("fault".len());
            }
        }
        text
    }

    fn text(&self) -> String {
        let trial = &self.0;
        let steps = trial.steps.iter().map(|step| words(step, trial.value));
        let actions = trial.actions.iter().map(|action| visible(action));
        lines(steps.chain(actions).map(|line| vec![visible(&trial.alarm), line]))
    }
}

pub(super) async fn run(args: &TestArgs, session: &Session) -> Result<Exit> {
    let context = session.context_for_change().await?;
    let printer = session.printer();
    let alarm = alarms::find(context, &args.name).await?;
    let drives = context.is_local() && !args.set_state && alarms::can_drive(&alarm);
    if !drives && !context.is_local() {
        let action = format!(
            "set alarm {} to ALARM, which executes its {} actions",
            alarm.name,
            alarm.actions.len()
        );
        session.confirm_by_name(&action, &alarm.name, args.yes).await?;
    }
    if let Some(muted) = &alarm.muted {
        printer.warn(&format!("alarm {} is {}", alarm.name, super::list::muted(muted)));
    }
    let step = printer.progress().step(format!("alarm {}", alarm.name));
    let show = |reached: &Step| step.message(words(reached, None));
    let trial = async {
        match drives {
            true => alarms::drive(context, &alarm, args.timeout, &show).await,
            false => alarms::set_alarm(context, &alarm, args.timeout, &show).await,
        }
    };
    let outcome = tokio::select! {
        outcome = trial => outcome,
        () = session.interrupt().wait() => Err(Error::new(Exit::Interrupted, "stopped waiting for the alarm")),
    };
    step.clear();
    let trial = outcome?;
    if alarm.actions.is_empty() {
        printer.note(&format!("Alarm {} notifies nobody: it has no action", alarm.name));
    }
    let exit = match trial.succeeded() {
        true => Exit::Done,
        false => Exit::Faults,
    };
    printer.report(&Tried(trial))?;
    Ok(exit)
}
