//! `streamctl sample`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::Session;
use super::shared::template::TemplateArgs;
use crate::ui::{Report, Style, lines, table, units};
use domain::pipeline::resources::Kinds;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Print sample events, or load sample items into tables
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl sample events > records.json    write sample records
  streamctl sample events retail
  streamctl sample load prices              load the products of `prices`")]
pub struct SampleArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Events(EventsArgs),
    Load(LoadArgs),
}

/// Print the sample events of a template
///
/// The events are a JSON array, which `streamctl put` takes as it is. They do not depend on the parameters of the template.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl sample events > records.json
  streamctl sample events retail > events.json
  streamctl put --pipeline retail --file events.json")]
struct EventsArgs {
    #[command(flatten)]
    template: TemplateArgs,
}

/// Load the sample items of a template into its tables
///
/// The pipeline must be set up. An item with the same key is replaced; others stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl sample load prices
  streamctl sample load prices --param table=shop")]
struct LoadArgs {
    #[command(flatten)]
    template: TemplateArgs,
}

/// The tables and the number of items that were loaded. A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Loaded(Vec<LoadedTable>);

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LoadedTable {
    table: String,
    items: usize,
}

impl Report for Loaded {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["TABLE", "ITEMS"]);
        for one in &self.0 {
            table.add_row([one.table.clone(), one.items.to_string()]);
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(
            self.0
                .iter()
                .map(|one| [one.table.clone(), one.items.to_string()]),
        )
    }
}

pub(super) async fn run(args: SampleArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Events(args) => events(&args, session).await,
        Action::Load(args) => load(&args, session).await,
    }
}

async fn events(args: &EventsArgs, session: &Session) -> Result<Exit> {
    let manifest = args.template.manifest(session).await?;
    session.printer().out(manifest.sample_events()?.trim_end())?;
    Ok(Exit::Done)
}

async fn load(args: &LoadArgs, session: &Session) -> Result<Exit> {
    let draft = args.template.draft(session, None, false).await?;
    let context = session.context_for_change().await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let plan = pipeline.plan().await?;
    plan.check()?;
    if plan.is_all_missing() {
        return Err(
            Error::failed(format!("{} is not set up", pipeline.identity())).hint(format!(
                "create it with `streamctl setup{}`",
                args.template.command_args_with_parameters(session)
            )),
        );
    }
    let mut loaded = Vec::new();
    for sample in pipeline.sample_items()? {
        let progress = session.printer().progress();
        let step = progress.step(format!("table {}", sample.table));
        let all = sample.items.len();
        let tell =
            |stored: usize| step.message(format!("{stored} of {}", units::counted(all as u64, "item")));
        let outcome = sample.load(context, &tell).await;
        step.clear();
        outcome?;
        loaded.push(LoadedTable {
            table: sample.table,
            items: all,
        });
    }
    session.printer().report(&Loaded(loaded))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_each_table() {
        let report = Loaded(vec![LoadedTable {
            table: "products".to_owned(),
            items: 12,
        }]);
        insta::assert_snapshot!(report.table(&Style::plain()), @"
        TABLE     ITEMS
        products  12
        ");
        assert_eq!(report.text(), "products\t12");
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"[{"table":"products","items":12}]"#
        );
    }
}
