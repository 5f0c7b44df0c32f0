//! IAM's policy simulator: whether a role, user or group may do what an [`Access`](super::Access) needs.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use serde::Serialize;

use crate::context::Context;
use crate::iam::Statement;
use ground::error::{self, Result};

/// The decision about an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
        let entries: Vec<ContextEntry> = values
            .map(|(key, value)| {
                ContextEntry::builder()
                    .context_key_name(key)
                    .context_key_values(value)
                    .context_key_type(ContextKeyTypeEnum::String)
                    .build()
            })
            .collect();
        // With one resource in a call, each action has one result.
        for resource in statement.resources() {
            let call = ctx.iam().simulate_principal_policy();
            let mut pages = call
                .policy_source_arn(principal_arn)
                .set_action_names(Some(statement.actions().map(str::to_owned).collect()))
                .resource_arns(resource)
                .set_context_entries((!entries.is_empty()).then(|| entries.clone()))
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| {
                    error::aws::failed(format!("could not simulate the policies of {principal_arn}"), e)
                })?;
                let results = page.evaluation_results().iter();
                checked.extend(results.map(|found| Checked::of(found, resource)));
            }
        }
    }
    checked.sort_by(|a, b| (&a.resource, &a.action).cmp(&(&b.resource, &b.action)));
    Ok(checked)
}
