//! `streamctl outputs`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::shared::Session;
use super::shared::template::TemplateArgs;
use crate::ui::{Report, Style, lines, table};
use domain::pipeline::resources::Kinds;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Print the names and ARNs of what setup created
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl outputs
  streamctl outputs -o json            {\"stream_arn\": …, \"stream_name\": …, …}
  streamctl outputs -o text            name, tab, value")]
pub struct OutputsArgs {
    #[command(flatten)]
    template: TemplateArgs,
}

/// The outputs by name.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Outputs(BTreeMap<String, String>);

impl Report for Outputs {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["OUTPUT", "VALUE"]);
        for (name, value) in &self.0 {
            table.add_row([name, value]);
        }
        // Values are copied: never break one.
        table.all_whole();
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|(name, value)| [name.clone(), value.clone()]))
    }
}

pub(super) async fn run(args: OutputsArgs, session: &Session) -> Result<Exit> {
    let draft = args.template.draft(session, None, false).await?;
    let kinds = Kinds::new(session.context().await?).await?;
    let pipeline = draft.bind(&kinds)?;
    let plan = pipeline.plan().await?;
    if plan.is_all_missing() {
        return Err(
            Error::failed(format!("{} is not set up", pipeline.identity())).hint(format!(
                "create it with `streamctl setup{}`",
                args.template.command_args_with_parameters(session)
            )),
        );
    }
    for missing in plan.missing() {
        session.printer().warn(&format!("{missing} does not exist"));
    }
    session.printer().report(&Outputs(pipeline.outputs()?))?;
    Ok(Exit::Done)
}
