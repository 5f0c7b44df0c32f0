//! `streamctl attach`.

mod local;
pub(super) mod report;
mod settings;

use clap::Args;

use super::shared::Session;
use super::shared::function::{LocalCodeArgs, function_name, with_mapper};
use super::shared::pipeline::{Applied, apply, print_hints};
use super::shared::stream::{arn_of, shared};
use super::shared::template::PartArgs;
use domain::context::Context;
use domain::functions::mapping::{self, Settings};
use domain::functions::{Handler, bundle};
use domain::pipeline::event::ResourceResult;
use domain::pipeline::resources::Kinds;
use domain::pipeline::tags::{MANAGED_BY, STREAMCTL};
use domain::pipeline::{self, Draft, FunctionPart, Manifest, Request, access};
use domain::stream::whereabouts;
use ground::error::{Error, Result};
use ground::exit::Exit;

use report::AttachReport;
use settings::SettingArgs;

/// Attach a function to a stream, or change its mapping
///
/// A bundled handler is attached as its template declares; its stream, function and on-failure queue are created if they do
/// not exist. Any other function is attached to --stream. Settings that are not given do not change. Changes are made in
/// place, and shown as before → after. The stream and the starting position cannot change. Waits until the mapping is
/// enabled or disabled.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl attach retail-processor             as its template declares
  streamctl attach scorer --stream orders --batch-size 500 --window 2s
  streamctl attach scorer --stream orders --retries 3 --bisect \\
      --partial-failures --on-failure queue:failed
  streamctl attach scorer --stream orders --filter '{\"data\":{\"kind\":[\"sale\"]}}'
  streamctl attach scorer --stream orders --disabled
  streamctl attach --local ./bootstrap --stream orders   run the code here")]
pub struct AttachArgs {
    /// A bundled handler, or the name of a function; with --local, the function whose settings are used
    #[arg(value_name = "FUNCTION", required_unless_present = "local")]
    function: Option<String>,
    #[command(flatten)]
    part: PartArgs,
    /// Take over existing resources that streamctl did not create for this function
    #[arg(long, conflicts_with = "local")]
    adopt: bool,
    #[command(flatten)]
    local: LocalCodeArgs,
    /// File for the records that failed with --local [default: attach-failed-TIME.ndjson]
    #[arg(long, value_name = "FILE", requires = "local")]
    failed_file: Option<std::path::PathBuf>,
    /// Show what would be done and change nothing
    #[arg(long, conflicts_with = "local")]
    dry_run: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) async fn run(mut args: AttachArgs, session: &Session) -> Result<Exit> {
    args.part.adopt = args.adopt;
    args.settings.check()?;
    if let Some(code) = args.local.local.clone() {
        return local::run(&args, &code, session).await;
    }
    let name = args.function.clone().unwrap_or_default();
    // A template takes names only, and says so.
    let stream = args
        .part
        .stream()
        .map(|given| shared(given, session))
        .transpose()?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let settings = args.settings.settings(context).await?;
    settings.check()?;
    if let Ok(handler) = bundle::find(&name)
        && pipeline::bundled().any(|template| template.name == handler.template)
    {
        let (manifest, request) = args.part.request(session, handler.template, false)?;
        // With --stream, only a template that has a stream parameter applies.
        if args.part.stream().is_none() || manifest.parameters.contains_key("stream") {
            return by_template(&args, session, context, handler, (manifest, request), &settings).await;
        }
    }
    let Some(stream) = stream else {
        return Err(
            Error::usage(format!("no stream to attach {name} to")).hint(format!(
                "add --stream NAME, as in `streamctl attach {name} --stream orders`"
            )),
        );
    };
    let function = function_name(session, context, &name, &args.part).await?;
    whereabouts::check(context, &stream.address(context).await?).await?;
    let stream_arn = arn_of(context, &stream).await?;
    directly(&args, session, context, &function, &stream_arn, &settings).await
}

/// Applies the template of a bundled handler, restricted to its mappings and what they need.
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
    let Some(Applied { report, .. }) = apply(session, &pipeline, args.dry_run, false).await? else {
        return Ok(Exit::Done);
    };
    print_hints(session, &report);
    if report.exit == Exit::Done {
        let name = args.function.as_deref().unwrap_or_default();
        match report
            .resources
            .iter()
            .all(|one| one.result == ResourceResult::Unchanged)
        {
            true => session
                .printer()
                .note(&format!("Nothing to change: the mapping of {name} is up to date")),
            false => print_next_steps(session, name),
        }
    }
    Ok(report.exit)
}

/// Creates or updates the mapping of any function.
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
    let lacking = lacking.unwrap_or_else(|error| warn_unknown(session, function, &error));
    if args.dry_run {
        session.printer().report(&report)?;
        if let Some(lacking) = &lacking {
            session.printer().note(&format!("For this, {lacking}"));
        }
        session.printer().note("Dry run: nothing was changed");
        return Ok(Exit::Done);
    }
    if let Some(lacking) = &lacking {
        lacking.grant(context).await?;
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
        print_next_steps(session, function);
    }
    Ok(Exit::Done)
}

/// The caller may not be allowed to read roles. Lambda refuses the mapping if the role lacks a permission.
fn warn_unknown(session: &Session, function: &str, error: &Error) -> Option<access::Lacking> {
    let warning = format!("the permissions of the role of {function} are not known: {error}");
    session.printer().warn(&warning);
    None
}

fn print_next_steps(session: &Session, function: &str) {
    session.printer().next_steps(&[
        (format!("streamctl mappings {function}"), "show its state and lag"),
        (format!("streamctl logs {function} --follow"), "show its logs"),
        (format!("streamctl detach {function}"), "delete the mapping"),
    ]);
}
