//! `streamctl attach`.

mod local;
mod report;
mod settings;

use clap::Args;

use super::shared::Session;
use super::shared::function::{LocalCodeArgs, function_name, with_mapper};
use super::shared::pipeline::{apply, print_hints};
use super::shared::template::PartArgs;
use crate::context::Context;
use crate::functions::mapping::{self, Settings};
use crate::functions::{Handler, bundle};
use crate::pipeline::event::Outcome;
use crate::pipeline::resources::Kinds;
use crate::pipeline::tags::{MANAGED_BY, STREAMCTL};
use crate::pipeline::{self, Draft, FunctionPart, Manifest, Request, access};
use crate::ui::next_steps;
use ground::error::{Error, Result};
use ground::exit::Exit;

use report::AttachReport;
use settings::SettingArgs;

/// Give a function the records of a stream, or change how it gets them
///
/// A bundled handler is attached as its template says, with its stream, function and on-failure queue made where they
/// are missing. Any other function is attached to --stream. What is not named stays as it is; a change is made in place,
/// and shown before → after. The stream and the place where reading began cannot change. Ends when the mapping is settled.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl attach retail-processor             as its template says
  streamctl attach scorer --stream orders --batch-size 500 --window 2s
  streamctl attach scorer --stream orders --retries 3 --bisect \\
      --partial-failures --on-failure queue:failed
  streamctl attach scorer --stream orders --filter '{\"data\":{\"kind\":[\"sale\"]}}'
  streamctl attach scorer --stream orders --disabled
  streamctl attach --local ./bootstrap --stream orders   run it here instead")]
pub struct AttachArgs {
    /// A bundled handler, or the name of any function; with --local the function whose settings the code gets
    #[arg(value_name = "FUNCTION", required_unless_present = "local")]
    function: Option<String>,
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    local: LocalCodeArgs,
    /// Where records go that the code run here gives up [default: attach-failed-TIME.ndjson]
    #[arg(long, value_name = "FILE", requires = "local")]
    failed_file: Option<std::path::PathBuf>,
    /// Show what would be done, and change nothing
    #[arg(long, conflicts_with = "local")]
    dry_run: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) async fn run(args: AttachArgs, session: &Session) -> Result<Exit> {
    args.settings.check()?;
    if let Some(code) = args.local.local.clone() {
        return local::run(&args, &code, session).await;
    }
    let name = args.function.clone().unwrap_or_default();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let settings = args.settings.settings(context).await?;
    settings.check()?;
    if let Ok(handler) = bundle::find(&name)
        && pipeline::bundled().any(|template| template.name == handler.template)
    {
        let (manifest, request) = args.part.request(session, handler.template, false)?;
        // A stream that the template knows how to take is the template's business too.
        if args.part.stream().is_none() || manifest.parameters.contains_key("stream") {
            return by_template(&args, session, context, handler, (manifest, request), &settings).await;
        }
    }
    let Some(stream) = args.part.stream() else {
        return Err(
            Error::usage(format!("{name} is attached to which stream?")).hint(format!(
                "add --stream NAME, as in `streamctl attach {name} --stream orders`"
            )),
        );
    };
    crate::stream::check_name(stream)?;
    let function = function_name(session, context, &name, &args.part).await?;
    let stream_arn = context.stream_arn(stream).await?;
    directly(&args, session, context, &function, &stream_arn, &settings).await
}

/// A bundled handler: its template, restricted to its mapping and what that needs.
async fn by_template(
    args: &AttachArgs,
    session: &Session,
    context: &Context,
    handler: &Handler,
    (manifest, mut request): (Manifest, Request),
    settings: &Settings,
) -> Result<Exit> {
    let part = FunctionPart::of(&manifest, handler.name)?;
    if part.mappings.is_empty() {
        let template = handler.template;
        return Err(Error::failed(format!(
            "template {template} has no event source mapping for {}",
            handler.name
        ))
        .hint("name a stream with --stream"));
    }
    for id in &part.mappings {
        request
            .properties
            .insert(id.clone(), settings::properties(settings)?);
    }
    request.only = Some(part.ids());
    let kinds = Kinds::new(context).await?;
    let pipeline = Draft::new(manifest, request)?.bind(&kinds)?;
    let Some(report) = apply(session, &pipeline, args.dry_run, false).await? else {
        return Ok(Exit::Done);
    };
    print_hints(session, &report);
    if report.exit == Exit::Done {
        let name = args.function.as_deref().unwrap_or_default();
        match report
            .resources
            .iter()
            .all(|one| one.result == Outcome::Unchanged)
        {
            true => session
                .printer()
                .note(&format!("Nothing to change: {name} is attached as asked for")),
            false => say_next(session, name),
        }
    }
    Ok(report.exit)
}

/// Any function: one mapping, made or changed in place.
async fn directly(
    args: &AttachArgs,
    session: &Session,
    context: &Context,
    function: &str,
    stream_arn: &str,
    settings: &Settings,
) -> Result<Exit> {
    let there = mapping::find(context, function, stream_arn)
        .await?
        .filter(|one| !one.is_going());
    let mut report = AttachReport::new(function, stream_arn, there.as_ref(), settings)?;
    let on_failure = settings.on_failure.as_deref();
    let on_failure = on_failure.or(there
        .as_ref()
        .and_then(|there| there.settings.on_failure.as_deref()));
    let lacking = access::lacking(context, function, stream_arn, on_failure).await;
    let lacking = lacking.unwrap_or_else(|error| not_known(session, function, &error));
    if args.dry_run {
        session.printer().report(&report)?;
        if let Some(lacking) = &lacking {
            session.printer().note(&format!("For it, {lacking}"));
        }
        session.printer().note("Dry run: nothing was changed");
        return Ok(Exit::Done);
    }
    if let Some(lacking) = &lacking {
        lacking.give(context).await?;
        session.printer().note(&format!("From now on, {lacking}"));
    }
    let settled = with_mapper(session, context, function, async |mapper| match &there {
        None => {
            let tags = [(MANAGED_BY.to_owned(), STREAMCTL.to_owned())].into();
            mapper.create(function, stream_arn, settings, &tags).await
        }
        Some(there) if report.changes.is_empty() => Ok(there.clone()),
        Some(there) => {
            let only = |key: &str| report.changes.iter().any(|one| one.setting == key);
            mapper.update(&there.id, &settings.clone().only(only)).await
        }
    })
    .await?;
    report.settle(&settled);
    session.printer().report(&report)?;
    if report.is_change() {
        say_next(session, function);
    }
    Ok(Exit::Done)
}

/// Whoever may attach need not be allowed to look at roles: Lambda will say whether this one will do.
fn not_known(session: &Session, function: &str, error: &Error) -> Option<access::Lacking> {
    let warning = format!("what the role of {function} may do is not known: {error}");
    session.printer().warn(&warning);
    None
}

fn say_next(session: &Session, function: &str) {
    let place = session.target_flags();
    session.printer().note(&next_steps(&[
        (format!("streamctl mappings {function}{place}"), "how it is doing"),
        (
            format!("streamctl logs {function}{place} --follow"),
            "what it logs",
        ),
        (format!("streamctl detach {function}{place}"), "take it off again"),
    ]));
}
