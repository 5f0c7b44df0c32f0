//! IAM's policy simulator: whether a role, user or group may do what an [`Access`](super::Access) needs.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use serde::Serialize;

use crate::context::Context;
use crate::iam::Statement;
use ground::error::{self, Result};

/// The decision about an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "PolicyDecision")
)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

impl Decision {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ExplicitDeny => "explicitDeny",
            Self::ImplicitDeny => "implicitDeny",
        }
    }
}

/// An action on a resource, and whether it is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "SimulatedAction")
)]
pub struct Checked {
    pub action: String,
    pub resource: String,
    pub decision: Decision,
    /// The policies with the statements that decided.
    pub policies: BTreeSet<String>,
}

impl Checked {
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allowed
    }

    fn of(found: &EvaluationResult, resource: &str) -> Self {
        let policies = found.matched_statements().iter();
        Self {
            action: found.eval_action_name.clone(),
            resource: resource.to_owned(),
            decision: match &found.eval_decision {
                PolicyEvaluationDecisionType::Allowed => Decision::Allowed,
                PolicyEvaluationDecisionType::ExplicitDeny => Decision::ExplicitDeny,
                _ => Decision::ImplicitDeny,
            },
            policies: policies
                .filter_map(|statement| statement.source_policy_id().map(str::to_owned))
                .collect(),
        }
    }
}

/// Simulates every action of `statements` on each of its resources as the role, user or group `principal_arn`
/// (SimulatePrincipalPolicy). `known` are keys and values of the request that conditions of its policies may ask for, besides
/// those of the statements. The answer is about policies of the identity and of the account: a resource policy, such as that
/// of a KMS key, is not known to the simulator.
///
/// # Errors
/// When there is no such principal, or IAM refuses the simulation.
pub async fn simulate(
    ctx: &Context,
    principal_arn: &str,
    statements: &[Statement],
    known: &[(&str, &str)],
) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    for statement in statements {
        let values = statement.condition().into_iter().chain(known.iter().copied());
        let keys: Vec<(&str, &str)> = values.collect();
        let actions: Vec<&str> = statement.actions().collect();
        for resource in statement.resources() {
            let results = evaluate(ctx, principal_arn, &actions, resource, &keys).await?;
            checked.extend(results.iter().map(|found| Checked::of(found, resource)));
        }
    }
    checked.sort_by(|a, b| (&a.resource, &a.action).cmp(&(&b.resource, &b.action)));
    Ok(checked)
}

/// What the simulator says of `actions` on `resource` as the role, user or group `principal_arn`: with one resource, each
/// action has one result. `keys` are context keys and their values.
///
/// # Errors
/// When there is no such principal, or IAM refuses the simulation.
pub(crate) async fn evaluate(
    ctx: &Context,
    principal_arn: &str,
    actions: &[&str],
    resource: &str,
    keys: &[(&str, &str)],
) -> Result<Vec<EvaluationResult>> {
    let entry = |&(name, value): &(&str, &str)| {
        ContextEntry::builder()
            .context_key_name(name)
            .context_key_values(value)
            .context_key_type(ContextKeyTypeEnum::String)
            .build()
    };
    let mut pages = ctx
        .iam()
        .simulate_principal_policy()
        .policy_source_arn(principal_arn)
        .set_action_names(Some(actions.iter().map(|&action| action.to_owned()).collect()))
        .resource_arns(resource)
        .set_context_entries((!keys.is_empty()).then(|| keys.iter().map(entry).collect()))
        .into_paginator()
        .send();
    let mut results = Vec::new();
    while let Some(page) = pages.next().await {
        let what = || format!("could not simulate the policies of {principal_arn}");
        let page = page.map_err(|e| error::aws::failed(what(), e))?;
        results.extend(page.evaluation_results.unwrap_or_default());
    }
    Ok(results)
}
