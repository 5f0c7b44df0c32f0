//! STS. Adds to awsim: GetCallerIdentity names users, functions, sessions of roles, and otherwise the root user.

use std::sync::Arc;

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_sts::{StsService, StsSessionStore};
use bytes::Bytes;
use serde_json::{Value, json};

use super::stored::Handler;
use crate::authorise::Policies;
use crate::service::Request;
use crate::service::{Permission, operation};
use crate::types::{Caller, partition};

pub(crate) struct Sts {
    service: StsService,
    policies: Arc<dyn Policies>,
}

impl Sts {
    /// `sessions` are those of AssumeRole; they last as long as this process.
    pub fn new(sessions: Arc<StsSessionStore>, policies: Arc<dyn Policies>) -> Self {
        Self {
            service: StsService::with_session_store(sessions),
            policies,
        }
    }

    /// GetCallerIdentity. Who is not restricted by policies is the root user of the account.
    fn identity(&self, ctx: &RequestContext) -> Value {
        let caller = Caller {
            account: ctx.account_id.clone(),
            region: ctx.region.clone(),
        };
        let key = ctx.access_key.as_deref().unwrap_or_default();
        let (arn, id) = match self.policies.principal(key) {
            Some(principal) => {
                let id = match &principal.session {
                    Some(session) => format!(
                        "{}:{session}",
                        principal.arn.rsplit('/').next().unwrap_or_default()
                    ),
                    None => key.to_owned(),
                };
                (principal.caller_arn(&caller), id)
            }
            None => {
                let (partition, account) = (partition(&caller.region), &caller.account);
                (format!("arn:{partition}:iam::{account}:root"), account.clone())
            }
        };
        json!({"Account": caller.account, "Arn": arn, "UserId": id})
    }
}

impl Handler for Sts {
    const NAME: &'static str = "sts";
    const PROTOCOL: Protocol = Protocol::AwsQuery;
    const ACCESS_DENIED: (u16, &'static str) = (403, "AccessDeniedException");

    fn changes(_operation: &str, _input: &Value) -> bool {
        false
    }

    /// GetCallerIdentity needs no permission.
    fn permissions(request: &Request) -> Vec<Permission> {
        let operation = operation(request).filter(|(operation, _)| operation != "GetCallerIdentity");
        operation
            .map(|(operation, input)| {
                let role = input["RoleArn"].as_str().map(str::to_owned);
                Permission::new("sts", &operation, role)
            })
            .into_iter()
            .collect()
    }

    /// Source: AWS Security Token Service API reference: "calling ... does not require the use of AWS security
    /// credentials".
    fn accepts_unsigned(body: &Bytes) -> bool {
        crate::query::pairs(body).any(|(name, value)| {
            name == "Action" && matches!(value.as_str(), "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity")
        })
    }
}

#[async_trait]
impl ServiceHandler for Sts {
    fn service_name(&self) -> &str {
        Self::NAME
    }

    fn protocol(&self) -> Protocol {
        Self::PROTOCOL
    }

    async fn handle(&self, operation: &str, input: Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        match operation {
            "GetCallerIdentity" => Ok(self.identity(ctx)),
            _ => self.service.handle(operation, input, ctx).await,
        }
    }
}
