//! `streamctl policy --function`: what a function is allowed to do.

use serde::Serialize;
use serde_json::Value;

use crate::cli::shared::Session;
use crate::cli::shared::template::PartArgs;
use domain::context::Context;
use domain::functions::permissions::{self, Policy};
use domain::functions::{Handler, bundle};
use domain::pipeline::resources::{Kinds, policy_of};
use domain::pipeline::{Draft, FunctionPart};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct PolicyReport {
    function: String,
    role: String,
    /// Whether the policies are those of the service, not of the template.
    deployed: bool,
    policies: Vec<Policy>,
}

/// Prints the policies of the role of `function`; those of its template with `template`, or if it is not deployed.
pub(super) async fn print(
    function: &str,
    template: bool,
    part: &PartArgs,
    session: &Session,
) -> Result<Exit> {
    let printer = session.printer();
    let bundled = bundle::find(function).ok();
    if template && bundled.is_none() {
        let what = format!("{function} is not a bundled handler and has no template");
        return Err(Error::usage(what).hint("leave --template out"));
    }
    let context = session.context().await?;
    let declared = match bundled {
        Some(handler) => Some(declared_by(part, session, context, handler).await?),
        None => None,
    };
    let name = declared.as_ref().map_or(function, |told| told.function.as_str());
    let report = match permissions::of_function(context, name).await {
        _ if template => declared,
        Ok(Some((role, policies))) => Some(PolicyReport {
            function: name.to_owned(),
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
        return Err(Error::failed(format!("there is no function {function}"))
            .hint("`streamctl handlers` lists what is bundled"));
    };
    let document = serde_json::to_value(&report)
        .map_err(|error| Error::failed("could not write the policies").cause(error))?;
    printer.document(&document)?;
    Ok(Exit::Done)
}

/// The policies that the template of `handler` declares.
async fn declared_by(
    part: &PartArgs,
    session: &Session,
    context: &Context,
    handler: &Handler,
) -> Result<PolicyReport> {
    let (manifest, mut request) = part.request(session, handler.template, false)?;
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
