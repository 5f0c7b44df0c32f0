//! `streamctl deploy`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};

use super::shared::Session;
use super::shared::candidates::handlers;
use super::shared::duration::seconds;
use super::shared::function::{self, OWN, name_own};
use super::shared::pipeline::{Applied, apply, print_hints};
use super::shared::template::PartArgs;
use domain::context::Context;
use domain::functions::function::rules;
use domain::functions::package::Architecture;
use domain::functions::{Package, bundle};
use domain::pipeline::apply::RunReport;
use domain::pipeline::event::ResourceResult;
use domain::pipeline::resources::Kinds;
use domain::pipeline::{Draft, FunctionPart, Given, Request};
use domain::stream::whereabouts;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Deploy a bundled handler or your code as a Lambda function
///
/// For a bundled handler it creates what the template declares: function, role, log group, the tables, buckets and queues
/// that it writes to, and its stream. For your own code it creates the function, a log group, and a role that can write to
/// the log group and read --stream. On an existing function, settings that are not given do not change, and the code is
/// replaced if its hash differs. Waits until the function is active. Use `attach` to connect it to a stream.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl deploy retail-processor                    a bundled handler
  streamctl deploy retail-processor --memory 512 --env LOG_LEVEL=debug
  streamctl deploy scorer --bootstrap ./bootstrap --stream orders
  streamctl deploy scorer --zip scorer.zip --timeout 30s
  streamctl deploy prices --dry-run                    show what would be done
  streamctl handlers                                   list the bundled handlers")]
pub struct DeployArgs {
    /// A bundled handler, or the name of a function of your own
    #[arg(value_name = "HANDLER|NAME", add = ArgValueCompleter::new(handlers))]
    name: String,
    /// Code: a zip with an executable `bootstrap` at its root
    #[arg(long, value_name = "FILE", conflicts_with = "bootstrap")]
    zip: Option<PathBuf>,
    /// Code: an executable for Amazon Linux 2023; streamctl makes the zip
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    part: PartArgs,
    /// Take over existing resources that streamctl did not create for this function
    #[arg(long)]
    adopt: bool,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before a change that loses data
    #[arg(short, long)]
    yes: bool,
}

/// Settings of a function.
#[derive(Debug, Clone, Args)]
struct SettingArgs {
    /// Memory in MB: 128 to 10240; CPU power is in proportion to it
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// How long one invocation may take: 1s to 15m
    #[arg(long, value_name = "TIME", value_parser = seconds::<u32>(rules::TIMEOUT))]
    timeout: Option<u32>,
    /// Environment variable (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Remove this environment variable (repeatable)
    #[arg(long, value_name = "NAME", value_parser = variable_name)]
    unset_env: Vec<String>,
    /// Architecture: x86_64 or arm64 [default: that of the code]
    #[arg(long, value_name = "ARCHITECTURE", value_parser = architecture)]
    architecture: Option<Architecture>,
    /// Send X-Ray traces; `--tracing false` turns them off
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    tracing: Option<bool>,
    /// Reserved concurrency; 0 stops the function
    #[arg(long, value_name = "N")]
    reserved_concurrency: Option<u32>,
}

impl SettingArgs {
    /// As properties of a resource of the kind `function`.
    fn properties(&self) -> Result<BTreeMap<String, Value>> {
        self.memory.map_or(Ok(()), rules::check_memory)?;
        let mut properties = BTreeMap::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value);
            }
        };
        set("memory_mb", self.memory.map(Value::from));
        set("timeout_seconds", self.timeout.map(Value::from));
        set("architecture", self.architecture.map(|it| it.as_str().into()));
        set("tracing", self.tracing.map(Value::from));
        set("reserved_concurrency", self.reserved_concurrency.map(Value::from));
        let removed = self.unset_env.iter().map(|name| (name.clone(), Value::Null));
        let given = self
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)));
        let variables: serde_json::Map<String, Value> = removed.chain(given).collect();
        set("environment", (!variables.is_empty()).then(|| variables.into()));
        Ok(properties)
    }
}

pub(super) async fn run(mut args: DeployArgs, session: &Session) -> Result<Exit> {
    args.part.adopt = args.adopt;
    let code = args.code()?;
    let bundled = bundle::find(&args.name);
    if let Err(unknown) = &bundled
        && (args.name.contains(['/', '.']) || rules::check_name(&args.name).is_err())
    {
        return Err(
            Error::usage(unknown.to_string()).hint("give a name, and the file with --zip or --bootstrap")
        );
    }
    let context = session.context_for_change_unless(args.dry_run).await?;
    let draft = match bundled {
        Ok(handler) => args.bundled_draft(session, handler, code)?,
        Err(_) => args.own_draft(session, context, code).await?,
    };
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let Some(Applied { report, .. }) = apply(session, &pipeline, args.dry_run, args.yes).await? else {
        return Ok(Exit::Done);
    };
    print_result(&args, session, &report);
    Ok(report.exit)
}

impl DeployArgs {
    /// The file with the code, checked.
    fn code(&self) -> Result<Option<String>> {
        let path = match (&self.zip, &self.bootstrap) {
            (Some(path), _) => {
                Package::from_zip(path)?;
                path
            }
            (None, Some(path)) => {
                Package::from_bootstrap(path)?;
                path
            }
            (None, None) => return Ok(None),
        };
        let text = path.to_str().ok_or_else(|| {
            Error::usage(format!("the path {} is not UTF-8", path.display())).hint("rename the file")
        })?;
        // A file with the name of a bundled handler needs a directory, to be taken for a path.
        Ok(Some(match bundle::find(text) {
            Ok(_) => format!("./{text}"),
            Err(_) => text.to_owned(),
        }))
    }

    fn bundled_draft(
        &self,
        session: &Session,
        handler: &bundle::Handler,
        code: Option<String>,
    ) -> Result<Draft> {
        let (manifest, mut request) = self.part.request(session, handler.template, false)?;
        let part = FunctionPart::of(&manifest, handler.name)?;
        self.restrict(&mut request, &part, code)?;
        Draft::new(manifest, request)
    }

    async fn own_draft(&self, session: &Session, context: &Context, code: Option<String>) -> Result<Draft> {
        let (manifest, mut request) = self.part.request(session, OWN, false)?;
        name_own(&mut request, &self.name)?;
        if let Some(stream) = self.part.stream() {
            domain::stream::check_name(stream)?;
            warn_of_no_stream(session, context, stream).await?;
            let arn = context.stream_arn(stream).await?;
            let given = Given::flag("--stream", arn);
            request.given.insert("stream_arn".to_owned(), given);
        }
        let part = FunctionPart {
            function: "function".to_owned(),
            roles: BTreeSet::from(["role".to_owned()]),
            ..FunctionPart::default()
        };
        self.restrict(&mut request, &part, code)?;
        Draft::new(manifest, request)
    }

    /// Restricts `request` to the function, with what was named on the command line.
    fn restrict(&self, request: &mut Request, part: &FunctionPart, code: Option<String>) -> Result<()> {
        let mut properties = self.settings.properties()?;
        if let Some(tracing) = properties.get("tracing") {
            // The role must allow traces too.
            let allowed = BTreeMap::from([("tracing".to_owned(), tracing.clone())]);
            for role in &part.roles {
                request.properties.insert(role.clone(), allowed.clone());
            }
        }
        properties.extend(code.map(|code| ("handler".to_owned(), Value::from(code))));
        request.properties.insert(part.function.clone(), properties);
        request.only = Some(part.without_mappings());
        Ok(())
    }
}

/// The function may read a stream that is created later, and the name may be wrong.
async fn warn_of_no_stream(session: &Session, context: &Context, stream: &str) -> Result<()> {
    match whereabouts::check(context, stream).await {
        Err(error) if error.is_not_found() => {
            let hint = error.hint_text().unwrap_or_default();
            let text = format!("{error}; the function can read it once it exists ({hint})");
            session.printer().warn(&text);
            Ok(())
        }
        outcome => outcome,
    }
}

fn print_result(args: &DeployArgs, session: &Session, report: &RunReport) {
    let printer = session.printer();
    print_hints(session, report);
    match report.exit {
        Exit::Done => {}
        Exit::Interrupted => return printer.note("Stopped. Run the same command again to continue"),
        _ => {
            let text = "Not everything was done. Fix the cause, then run the same command again to continue";
            return printer.note(text);
        }
    }
    let function = report.resources.iter().find(|one| one.kind == "function");
    let name = function.map_or(args.name.as_str(), |function| function.name.as_str());
    let unchanged = |result| result == ResourceResult::Unchanged;
    if report.resources.iter().all(|one| unchanged(one.result)) {
        printer.note(&format!("Nothing to change: function {name} is up to date"));
        return;
    }
    printer.note(&format!("Function {name} is active"));
    let typed = &args.name;
    // The template of a bundled handler says which stream it reads.
    let stream = match bundle::find(typed) {
        Ok(_) => "",
        Err(_) => " --stream STREAM",
    };
    printer.next_steps(&[
        (
            format!("streamctl attach {typed}{stream}"),
            "connect it to a stream",
        ),
        (format!("streamctl logs {typed}"), "show its logs"),
        (
            format!("streamctl policy --function {typed}"),
            "show its permissions",
        ),
        (format!("streamctl undeploy {typed}"), "delete it"),
    ]);
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = function::variable(text)?;
    rules::check_variable(&name)?;
    Ok((name, value))
}

fn variable_name(text: &str) -> Result<String, String> {
    rules::check_variable(text).map(|()| text.to_owned())
}

fn architecture(text: &str) -> Result<Architecture, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_properties_of_the_function() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            settings: SettingArgs,
        }
        let parse = |line: &str| <Line as clap::Parser>::try_parse_from(line.split(' '));
        let line = "x --memory 512 --timeout 2m --env A_B=1=2 --env LOG_LEVEL= --unset-env OLD --architecture aarch64 --tracing";
        let properties = parse(line).unwrap().settings.properties().unwrap();
        let expected = json!({
            "architecture": "arm64",
            "environment": { "OLD": null, "A_B": "1=2", "LOG_LEVEL": "" },
            "memory_mb": 512,
            "timeout_seconds": 120,
            "tracing": true,
        });
        assert_eq!(json!(properties), expected);
        insta::assert_snapshot!(parse("x --memory 64").unwrap().settings.properties().unwrap_err(), @"memory of 64 MB is out of range: Lambda takes 128 to 10240 MB");
        for bad in [
            "x --env AWS_REGION=eu",
            "x --env A",
            "x --timeout 1h",
            "x --timeout -1",
            "x --architecture riscv",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
