//! The policy simulator: SimulatePrincipalPolicy and SimulateCustomPolicy, on the engine that checks requests
//! ([`crate::authorise`]). Statements carry no positions in their documents.
//!
//! Source: SimulatePrincipalPolicy, IAM API reference.

use std::collections::HashMap;

use awsim_core::AwsError;
use awsim_iam::state::IamState;
use awsim_iam_policy::{
    ContextValue, Decision, EvalContext, EvaluationDetails, PolicyAttribution, PolicyAttributions,
    PolicyDocument, PolicySource,
};
use serde_json::{Value, json};

use super::policies;
use crate::authorise::{self, Policy};

/// Results in a response, where the request names no number.
const PAGE: usize = 100;

/// SimulatePrincipalPolicy: `PolicyInputList` is added to the policies of the principal.
///
/// # Errors
/// `InvalidInput` for an ARN that is not of a user, group or role, for actions and resources that have the wrong form, and for
/// documents that are no policies; `NoSuchEntity`.
pub(super) fn principal(state: &IamState, input: &Value) -> Result<Value, AwsError> {
    let arn = input["PolicySourceArn"].as_str().unwrap_or_default();
    let (kind, name) = entity(arn).ok_or_else(|| {
        let message = format!("Invalid Entity Arn: {arn} does not clearly define entity type and name.");
        invalid(message)
    })?;
    let Some(own) = policies::of(state, arn) else {
        let message = format!("The {kind} with name {name} cannot be found.");
        return Err(AwsError::not_found("NoSuchEntity", message));
    };
    let mut identity = own.identity;
    identity.extend(policy_list(input, "PolicyInputList"));
    let given = policy_list(input, "PermissionsBoundaryPolicyInputList");
    let boundary = given.into_iter().next().or(own.boundary);
    // A user's resources policies name the user; those of a role need a caller.
    let caller = input["CallerArn"].as_str().unwrap_or(arn);
    answer(input, caller, identity, boundary)
}

/// SimulateCustomPolicy: only the policies of the request count.
///
/// # Errors
/// As [`principal`], but for the principal.
pub(super) fn custom(input: &Value) -> Result<Value, AwsError> {
    let caller = input["CallerArn"].as_str().unwrap_or_default();
    let identity = policy_list(input, "PolicyInputList");
    let boundary = policy_list(input, "PermissionsBoundaryPolicyInputList")
        .into_iter()
        .next();
    answer(input, caller, identity, boundary)
}

/// The kind and the name of the user, group or role `arn`.
fn entity(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", _, entity] = parts.as_slice() else {
        return None;
    };
    let (kind, path) = entity.split_once('/')?;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
    matches!(kind, "user" | "group" | "role").then_some((kind, name))
}

/// The policies of all results.
struct Simulation {
    identity: Vec<PolicyDocument>,
    sources: Vec<PolicyAttribution>,
    boundary: Option<PolicyDocument>,
    boundary_source: Option<PolicyAttribution>,
    resource: Option<PolicyDocument>,
    context: HashMap<String, ContextValue>,
}

fn answer(
    input: &Value,
    caller: &str,
    identity: Vec<Policy>,
    boundary: Option<Policy>,
) -> Result<Value, AwsError> {
    let actions = actions(input)?;
    let resources = resources(input)?;
    let source = |policy: &Policy, source_type| PolicyAttribution {
        source_id: policy.id.clone(),
        source_type,
    };
    let resource = input["ResourcePolicy"].as_str().map(|document| Policy {
        id: "ResourcePolicy".to_owned(),
        document: document.to_owned(),
    });
    let simulation = Simulation {
        sources: identity
            .iter()
            .map(|policy| source(policy, PolicySource::Identity))
            .collect(),
        identity: identity.iter().map(parse).collect::<Result<_, _>>()?,
        boundary_source: boundary
            .as_ref()
            .map(|policy| source(policy, PolicySource::PermissionsBoundary)),
        boundary: boundary.as_ref().map(parse).transpose()?,
        resource: resource.as_ref().map(parse).transpose()?,
        context: context(input),
    };
    let number = |name: &str| {
        let value = &input[name];
        let text = value.as_str().map(str::to_owned);
        text.or_else(|| value.as_u64().map(|number| number.to_string()))
            .and_then(|text| text.parse::<usize>().ok())
    };
    let first = number("Marker").unwrap_or(0);
    let page = number("MaxItems").unwrap_or(PAGE).clamp(1, 1000);
    let pairs = actions
        .iter()
        .flat_map(|action| resources.iter().map(move |resource| (action, resource)));
    let results: Vec<Value> = pairs
        .skip(first)
        .take(page)
        .map(|(action, resource)| simulation.result(caller, action, resource))
        .collect();
    let next = first + results.len();
    let is_truncated = next < actions.len() * resources.len();
    let mut output = json!({"EvaluationResults": {"member": results}, "IsTruncated": is_truncated});
    if is_truncated {
        output["Marker"] = json!(next.to_string());
    }
    Ok(output)
}

impl Simulation {
    fn result(&self, caller: &str, action: &str, resource: &str) -> Value {
        let details = self.evaluate(caller, action, resource, &self.identity);
        let matched: Vec<Value> = details
            .matched_statements
            .iter()
            .map(|statement| {
                let kind = match statement.source_type {
                    PolicySource::PermissionsBoundary => "Permissions Boundary",
                    PolicySource::Resource => "Resource Policy",
                    _ => "IAM Policy",
                };
                json!({"SourcePolicyId": statement.source_id, "SourcePolicyType": kind})
            })
            .collect();
        let mut result = json!({
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": match details.decision {
                Decision::Allow => "allowed",
                Decision::ExplicitDeny => "explicitDeny",
                Decision::ImplicitDeny => "implicitDeny",
            },
            "MatchedStatements": {"member": matched},
            "MissingContextValues": {"member": details.missing_context_values},
        });
        if let Some(boundary) = &self.boundary {
            let alone = self.evaluate(caller, action, resource, std::slice::from_ref(boundary));
            let is_allowed = alone.decision == Decision::Allow;
            result["PermissionsBoundaryDecisionDetail"] = json!({"AllowedByPermissionsBoundary": is_allowed});
        }
        result
    }

    fn evaluate(
        &self,
        caller: &str,
        action: &str,
        resource: &str,
        identity: &[PolicyDocument],
    ) -> EvaluationDetails {
        let request = authorise::request(caller, action, resource, &self.context);
        let resource_source = PolicyAttribution {
            source_id: "ResourcePolicy".to_owned(),
            source_type: PolicySource::Resource,
        };
        let policies = EvalContext {
            identity_policies: identity,
            permissions_boundary: self.boundary.as_ref(),
            resource_policy: self.resource.as_ref(),
            ..EvalContext::default()
        };
        let sources = PolicyAttributions {
            identity: &self.sources,
            permissions_boundary: self.boundary_source.as_ref(),
            resource: Some(&resource_source),
            ..PolicyAttributions::default()
        };
        awsim_iam_policy::evaluate_detailed(&request, &policies, &sources)
    }
}

fn actions(input: &Value) -> Result<Vec<String>, AwsError> {
    let actions = strings(&input["ActionNames"]);
    if actions.is_empty() {
        return Err(invalid("ActionNames must have at least one action."));
    }
    let is_action = |action: &String| {
        let names = action.split_once(':');
        names.is_some_and(|(service, name)| !service.is_empty() && !name.is_empty() && !action.contains('*'))
    };
    match actions.iter().find(|action| !is_action(action)) {
        Some(wrong) => Err(invalid(format!("Invalid Action: {wrong}"))),
        None => Ok(actions),
    }
}

fn resources(input: &Value) -> Result<Vec<String>, AwsError> {
    let resources = strings(&input["ResourceArns"]);
    if resources.is_empty() {
        return Ok(vec!["*".to_owned()]);
    }
    let is_arn = |arn: &String| arn == "*" || (arn.starts_with("arn:") && arn.splitn(6, ':').count() == 6);
    match resources.iter().find(|arn| !is_arn(arn)) {
        Some(wrong) => Err(invalid(format!(
            "ResourceNames are not in a valid ARN format: {wrong}."
        ))),
        None => Ok(resources),
    }
}

/// The policies of the request, numbered from 1 as in AWS's answers.
fn policy_list(input: &Value, name: &str) -> Vec<Policy> {
    strings(&input[name])
        .into_iter()
        .enumerate()
        .map(|(at, document)| Policy {
            id: format!("{name}.{}", at + 1),
            document,
        })
        .collect()
}

fn parse(policy: &Policy) -> Result<PolicyDocument, AwsError> {
    authorise::parse(policy).map_err(|error| {
        let message = format!("The policy {} is not a policy document: {error}", policy.id);
        invalid(message)
    })
}

/// The values of the context keys that conditions ask for.
fn context(input: &Value) -> HashMap<String, ContextValue> {
    members(&input["ContextEntries"])
        .iter()
        .filter_map(|entry| {
            let key = entry["ContextKeyName"].as_str()?;
            let values = strings(&entry["ContextKeyValues"]);
            let first = values.first().cloned().unwrap_or_default();
            let value = match entry["ContextKeyType"].as_str().unwrap_or("string") {
                "boolean" => ContextValue::Bool(first == "true"),
                "numeric" => ContextValue::Number(first.parse().ok()?),
                "ip" => ContextValue::Ip(first),
                "string" => ContextValue::String(first),
                _ => ContextValue::StringList(values),
            };
            Some((key.to_owned(), value))
        })
        .collect()
}

/// The members of a list, in either form that awsim's gateway reads lists.
fn members(list: &Value) -> Vec<Value> {
    let list = list.get("member").unwrap_or(list);
    list.as_array().cloned().unwrap_or_default()
}

fn strings(list: &Value) -> Vec<String> {
    members(list)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidInput", message)
}
