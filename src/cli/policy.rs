//! `streamctl policy`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use serde_json::Value;

use super::shared::Session;
use super::shared::candidates::handlers;
use super::shared::template::PartArgs;
use domain::context::Context;
use domain::functions::permissions::{self, Policy};
use domain::functions::{Handler, bundle};
use domain::pipeline::resources::{Kinds, policy_of};
use domain::pipeline::{Draft, FunctionPart};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Print what a function is allowed to do
///
/// Prints the inline and attached policies of the function's role as one JSON document. For a bundled handler that is not
/// deployed, prints the policies of its template.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl policy --function retail-processor            policies of its role
  streamctl policy --function retail-processor --template those of its template
  streamctl policy --function scorer | jq '.policies[].document'")]
pub struct PolicyArgs {
    /// A bundled handler, or the name of a function
    #[arg(long, value_name = "HANDLER|NAME", add = ArgValueCompleter::new(handlers))]
    function: String,
    /// Print the policies of the template, even if the function is deployed
    #[arg(long)]
    template: bool,
    #[command(flatten)]
    part: PartArgs,
}

/// A stable contract with scripts.
#[derive(Debug, Serialize)]
struct PolicyReport {
    function: String,
    role: String,
    /// Whether the policies are those of the service, not of the template.
    deployed: bool,
    policies: Vec<Policy>,
}

pub(super) async fn run(args: PolicyArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let bundled = bundle::find(&args.function).ok();
    if args.template && bundled.is_none() {
        let what = format!("{} is not a bundled handler and has no template", args.function);
        return Err(Error::usage(what).hint("leave --template out"));
    }
    let context = session.context().await?;
    let declared = match bundled {
        Some(handler) => Some(args.declared(session, context, handler).await?),
        None => None,
    };
    let name = declared.as_ref().map_or(&args.function, |told| &told.function);
    let report = match permissions::of_function(context, name).await {
        _ if args.template => declared,
        Ok(Some((role, policies))) => Some(PolicyReport {
            function: name.clone(),
            role,
            deployed: true,
            policies,
        }),
        Ok(None) => {
            if declared.is_some() {
                printer.note(&format!(
                    "Function {name} is not deployed: these are the policies of its template"
                ));
            }
            declared
        }
        Err(error) => return Err(error),
    };
    let Some(report) = report else {
        return Err(Error::failed(format!("there is no function {}", args.function))
            .hint("`streamctl handlers` lists what is bundled"));
    };
    // Policies are always a JSON document, whatever -o says.
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Error::failed("could not write the policies").cause(error))?;
    printer.out(&text)?;
    Ok(Exit::Done)
}

impl PolicyArgs {
    /// The policies that the template of `handler` declares.
    async fn declared(
        &self,
        session: &Session,
        context: &Context,
        handler: &Handler,
    ) -> Result<PolicyReport> {
        let (manifest, mut request) = self.part.request(session, handler.template, false)?;
        let part = FunctionPart::of(&manifest, handler.name)?;
        request.only = Some(part.without_mappings());
        let kinds = Kinds::new(context).await?;
        let pipeline = Draft::new(manifest, request)?.bind(&kinds)?;
        let specs = pipeline.specs()?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let named = |id: &str| {
            let spec = specs.iter().find(|spec| spec.id == id);
            text(spec.and_then(|spec| spec.properties.get("name")))
        };
        let mut report = PolicyReport {
            function: named(&part.function),
            role: part.roles.iter().next().map(|id| named(id)).unwrap_or_default(),
            deployed: false,
            policies: Vec::new(),
        };
        for spec in specs.iter().filter(|spec| part.roles.contains(&spec.id)) {
            let document = policy_of(spec)?;
            report.policies.extend(document.map(|document| Policy {
                name: named(&spec.id),
                arn: None,
                document,
            }));
        }
        Ok(report)
    }
}
