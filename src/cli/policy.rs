//! `streamctl policy`.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::shared::Session;
use super::shared::template::PartArgs;
use crate::context::Context;
use crate::functions::permissions::{self, Policy};
use crate::functions::{Handler, bundle};
use crate::pipeline::resources::{Kinds, policy_of};
use crate::pipeline::{Draft, FunctionPart};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Print what a function is allowed to do
///
/// Prints the policy documents of the function's role, inline and attached, as one JSON document. For a bundled handler
/// that is not deployed it prints what its template would give it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl policy --function retail-processor            what its role allows
  streamctl policy --function retail-processor --template what it would be given
  streamctl policy --function scorer | jq '.policies[].document'")]
pub struct PolicyArgs {
    /// A bundled handler, or the name of any Lambda function
    #[arg(long, value_name = "HANDLER|NAME")]
    function: String,
    /// What the bundled template would give it, whatever is deployed
    #[arg(long)]
    template: bool,
    #[command(flatten)]
    part: PartArgs,
}

/// What a function may do. A stable contract with scripts.
#[derive(Debug, Serialize)]
struct PolicyReport {
    function: String,
    /// Name of its role.
    role: String,
    /// Whether it was read from the service, rather than from the template.
    deployed: bool,
    policies: Vec<Policy>,
}

pub(super) async fn run(args: PolicyArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let bundled = bundle::find(&args.function).ok();
    if args.template && bundled.is_none() {
        let what = format!(
            "{} is no bundled handler: no template speaks of it",
            args.function
        );
        return Err(Error::usage(what).hint("leave --template out"));
    }
    let context = session.context().await?;
    let foretold = match bundled {
        Some(handler) => Some(args.foretold(session, context, handler).await?),
        None => None,
    };
    let name = foretold.as_ref().map_or(&args.function, |told| &told.function);
    let report = match permissions::of_function(context, name).await {
        _ if args.template => foretold,
        Ok(Some((role, policies))) => Some(PolicyReport {
            function: name.clone(),
            role,
            deployed: true,
            policies,
        }),
        Ok(None) => {
            if foretold.is_some() {
                printer.note(&format!(
                    "Function {name} is not deployed: this is what its template gives it"
                ));
            }
            foretold
        }
        Err(error) => return Err(error),
    };
    let Some(report) = report else {
        return Err(Error::failed(format!("there is no function {}", args.function))
            .hint("`streamctl handlers` lists what is bundled"));
    };
    // A policy is a JSON document, whatever the format of reports.
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Error::failed("could not write the policies").cause(error))?;
    printer.out(&text)?;
    Ok(Exit::Done)
}

impl PolicyArgs {
    /// What the template of `handler` would give its function.
    async fn foretold(
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
