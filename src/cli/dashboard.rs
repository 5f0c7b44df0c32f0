//! `streamctl dashboard`.

pub(super) mod show;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::Session;
use super::shared::pipeline::{Applied, apply, delete, print_hints};
use super::shared::scope::{Chosen, ScopeArgs};
use crate::ui::{Report, Style};
use domain::context::Context;
use domain::observe::alarms::{self, Filter, Subjects};
use domain::observe::dashboards;
use domain::observe::doctor::Subject;
use domain::pipeline::resources::Kinds;
use domain::pipeline::{Draft, Manifest, Request};
use ground::error::Result;
use ground::exit::Exit;

/// Create, show and open CloudWatch dashboards
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl dashboard create orders
  streamctl dashboard show orders --since 3h   in the terminal
  streamctl dashboard open --pipeline retail   the address in the console")]
pub struct DashboardArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create or update the dashboard of a stream, a function or a pipeline
    ///
    /// Graphs of what comes in and goes out, throttles, ages, errors, durations and queues, with the states of the
    /// alarms of `alarms set`. Running it again replaces the body with one for what exists now.
    #[command(after_help = "\
Examples:
  streamctl dashboard create orders
  streamctl dashboard create --pipeline retail --dry-run")]
    Create(CreateArgs),
    /// Print the address of the dashboard in the console
    #[command(after_help = "\
Examples:
  streamctl dashboard open orders
  xdg-open $(streamctl dashboard open orders)")]
    Open(OpenArgs),
    /// Show a dashboard with its values in the terminal
    #[command(after_help = "\
Examples:
  streamctl dashboard show orders
  streamctl dashboard show --name retail-analytics-dev-us-east-1
  streamctl dashboard show orders --since 1d -o json")]
    Show(show::ShowArgs),
    /// Delete the dashboard of a stream, a function or a pipeline
    #[command(after_help = "\
Examples:
  streamctl dashboard delete orders --yes")]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Show what would be changed and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct OpenArgs {
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Show what would be deleted and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// Selects a dashboard that exists.
#[derive(Debug, Args)]
struct WhichArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Any dashboard, by its name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["word", "stream", "pipeline", "function"])]
    name: Option<String>,
}

impl WhichArgs {
    fn check(&self, session: &Session) -> Result<()> {
        match self.name {
            Some(_) => Ok(()),
            None => self.scope.check(session),
        }
    }

    async fn resolve(&self, session: &Session, context: &Context) -> Result<String> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => {
                let chosen = self.scope.resolve(session, context).await?;
                Ok(dashboards::name(&chosen.name, context.region()))
            }
        }
    }
}

/// Where the console shows a dashboard.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DashboardAddress"))]
pub(super) struct Address {
    name: String,
    url: String,
}

impl Report for Address {
    fn table(&self, _style: &Style) -> String {
        self.url.clone()
    }

    fn text(&self) -> String {
        self.url.clone()
    }
}

pub(super) async fn run(args: DashboardArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Create(args) => create(&args, session).await,
        Action::Open(args) => open(&args, session).await,
        Action::Show(args) => show::run(&args, session).await,
        Action::Delete(args) => remove(&args, session).await,
    }
}

async fn create(args: &CreateArgs, session: &Session) -> Result<Exit> {
    args.scope.check(session)?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let chosen = args.scope.resolve(session, context).await?;
    let subject = Subject::new(context, chosen.scope.clone());
    let ours = Filter {
        only_ours: true,
        ..Filter::default()
    };
    let (subjects, found) = tokio::join!(
        alarms::subjects(&subject, chosen.failed_events.clone()),
        alarms::list(context, &ours),
    );
    let of_set: Vec<String> = found?
        .into_iter()
        .filter(|alarm| {
            let of_pipeline = alarm.pipeline.as_ref() == chosen.scope.pipeline.as_ref();
            alarm.is_of_set(&chosen.name) || (chosen.scope.pipeline.is_some() && of_pipeline)
        })
        .map(|alarm| alarm.arn)
        .collect();
    let manifest = declared(&chosen, &subjects?, &of_set, context)?;
    let kinds = Kinds::new(context).await?;
    let pipeline = Draft::new(manifest, Request::default())?.bind(&kinds)?;
    let Some(Applied { report, .. }) = apply(session, &pipeline, args.dry_run, false).await? else {
        return Ok(Exit::Done);
    };
    print_hints(session, &report);
    if report.exit == Exit::Done {
        printer.note("A dashboard costs 3 USD a month on AWS after the first three of an account");
    }
    Ok(report.exit)
}

fn declared(
    chosen: &Chosen,
    subjects: &Subjects<'_>,
    alarms: &[String],
    context: &Context,
) -> Result<Manifest> {
    let body = dashboards::body(&chosen.title, subjects, alarms, context.region());
    let name = dashboards::name(&chosen.name, context.region());
    dashboards::manifest(&chosen.name, &name, &body)
}

async fn open(args: &OpenArgs, session: &Session) -> Result<Exit> {
    args.which.check(session)?;
    let context = session.context().await?;
    let name = args.which.resolve(session, context).await?;
    if context.is_local() {
        session.printer().note(&format!(
            "The local cloud has no console: the dashboard is shown in the terminal\n  streamctl dashboard show --name {name}"
        ));
        return show::print(session, context, &name, show::HOUR).await;
    }
    session.printer().report(&Address {
        url: dashboards::console_url(context.partition(), context.region(), &name),
        name,
    })?;
    Ok(Exit::Done)
}

/// Deletes the dashboard. Its body does not matter, so nothing is read to make one.
async fn remove(args: &DeleteArgs, session: &Session) -> Result<Exit> {
    args.scope.check(session)?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let chosen = args.scope.resolve(session, context).await?;
    let manifest = declared(&chosen, &Subjects::default(), &[], context)?;
    let kinds = Kinds::new(context).await?;
    let pipeline = Draft::new(manifest, Request::default())?.bind(&kinds)?;
    let what = format!("the dashboard of {}", chosen.title);
    delete(session, &pipeline, (&what, &chosen.name), args.dry_run, args.yes).await
}
