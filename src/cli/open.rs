//! `streamctl open`.

use clap::Args;
use serde::Serialize;

use super::shared::Session;
use super::shared::template::TemplateArgs;
use crate::ui::{Report, Style};
use domain::pipeline::resources::Kinds;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::platform::browser;

/// Open the page of a pipeline in the browser
///
/// The page is that of the first `site` of the template or manifest. Its address is printed as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl open prices
  streamctl open prices --print    only print the address
  streamctl open -f shop.toml      the page of a manifest of your own")]
pub struct OpenArgs {
    #[command(flatten)]
    template: TemplateArgs,
    /// Print the address and open nothing
    #[arg(long)]
    print: bool,
}

/// The page of a pipeline.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Page {
    /// The resource in the manifest.
    resource: String,
    url: String,
    /// Whether a browser was started.
    opened: bool,
}

impl Report for Page {
    fn table(&self, _style: &Style) -> String {
        self.url.clone()
    }

    fn text(&self) -> String {
        self.url.clone()
    }
}

pub(super) async fn run(args: OpenArgs, session: &Session) -> Result<Exit> {
    let draft = args.template.draft(session, None, false).await?;
    let kinds = Kinds::new(session.context().await?).await?;
    let pipeline = draft.bind(&kinds)?;
    let arguments = args.template.command_args_with_parameters(session);
    if !pipeline.has_pages() {
        return Err(Error::usage(format!("{} has no page", pipeline.identity()))
            .hint(format!("`streamctl outputs{arguments}` shows what it has")));
    }
    pipeline.plan().await?;
    let mut pages = pipeline.pages().into_iter();
    let Some((resource, url)) = pages.next() else {
        return Err(
            Error::failed(format!("the page of {} does not exist", pipeline.identity()))
                .hint(format!("create it with `streamctl setup{arguments}`")),
        );
    };
    let opened = !args.print && browser::open(&url);
    if !opened && !args.print {
        session
            .printer()
            .note("There is no browser here: open the address yourself");
    }
    session.printer().report(&Page {
        resource,
        url,
        opened,
    })?;
    Ok(Exit::Done)
}
