//! KMS. Adds to awsim: the AWS managed keys, such as `alias/aws/kinesis`, and AWS's default key policy.

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_kms::KmsService;
use awsim_kms::state::KmsState;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::stored::{Handler, Stored, is_read};
use crate::service::Request;
use crate::service::{Permission, arn};
use crate::types::{Caller, KeyState, partition};

/// Services that have AWS managed keys.
/// Source: "AWS managed keys", KMS developer guide.
const MANAGED: &[&str] = &[
    "dynamodb",
    "ebs",
    "kinesis",
    "lambda",
    "rds",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
];
const MANAGED_PREFIX: &str = "alias/aws/";

#[derive(Default)]
pub(crate) struct Kms(KmsService);

/// The alias of a managed key in a `KeyId`: a name, or an ARN that ends in one.
fn managed_alias(key_id: &Value) -> Option<&str> {
    let text = key_id.as_str()?;
    let alias = match text.rfind(":alias/") {
        Some(at) if text.starts_with("arn:") => &text[at + 1..],
        _ => text,
    };
    let service = alias.strip_prefix(MANAGED_PREFIX)?;
    MANAGED.contains(&service).then_some(alias)
}

impl Kms {
    /// The state of a key, and whether the key was created for the answer.
    fn key_state(&self, caller: &Caller, key_id: &str) -> (KeyState, bool) {
        let mut ctx = RequestContext::new("kms", &caller.region);
        ctx.account_id.clone_from(&caller.account);
        partition(&caller.region).clone_into(&mut ctx.partition);
        let input = json!({ "KeyId": key_id });
        let Ok(created) = self.create_managed(&input, &ctx) else {
            return (KeyState::Missing, false);
        };
        // awsim's handlers never wait.
        let described = self.0.handle("DescribeKey", input, &ctx).now_or_never();
        let state = match described {
            Some(Ok(output)) => match output["KeyMetadata"]["KeyState"].as_str() {
                Some("Enabled") => KeyState::Enabled,
                Some("Disabled") => KeyState::Disabled,
                _ => KeyState::Unusable,
            },
            _ => KeyState::Missing,
        };
        (state, created)
    }

    /// The ARN of a key.
    fn key_arn(&self, caller: &Caller, key_id: &str) -> Option<String> {
        let mut ctx = RequestContext::new("kms", &caller.region);
        ctx.account_id.clone_from(&caller.account);
        partition(&caller.region).clone_into(&mut ctx.partition);
        let described = self
            .0
            .handle("DescribeKey", json!({ "KeyId": key_id }), &ctx)
            .now_or_never();
        described?.ok()?["KeyMetadata"]["Arn"].as_str().map(str::to_owned)
    }

    /// Creates the managed key that `input` names if it does not exist; `true` when it did.
    ///
    /// AWS does the same: "If you specify a predefined AWS alias (an AWS alias with no key ID), KMS associates the
    /// alias with an AWS managed key." Source: DescribeKey, KMS API reference.
    fn create_managed(&self, input: &Value, ctx: &RequestContext) -> Result<bool, AwsError> {
        let Some(alias) = managed_alias(&input["KeyId"]) else {
            return Ok(false);
        };
        let state = self.0.store().get(&ctx.account_id, &ctx.region);
        if state.aliases.contains_key(alias) {
            return Ok(false);
        }
        let service = alias.trim_start_matches(MANAGED_PREFIX);
        let description = format!("Default key that protects my {service} data when no other key is defined");
        let input = json!({ "Description": description });
        let output = match self.0.handle("CreateKey", input, ctx).now_or_never() {
            Some(output) => output?,
            None => return Err(AwsError::internal("the key could not be created immediately")),
        };
        let Some(id) = output["KeyMetadata"]["KeyId"].as_str() else {
            return Err(AwsError::internal("the key that was made has no id"));
        };
        // Of two concurrent first uses, the first to set the alias wins.
        let winner = state
            .aliases
            .entry(alias.to_owned())
            .or_insert_with(|| id.to_owned())
            .clone();
        if winner != id {
            state.keys.remove(id);
        }
        Ok(true)
    }
}

fn is_managed(state: &KmsState, key_id: &str) -> bool {
    state
        .aliases
        .iter()
        .any(|alias| alias.key().starts_with(MANAGED_PREFIX) && alias.value() == key_id)
}

/// Whether a key policy is the one that awsim gives for a key without one: it lets everyone use the key.
fn is_awsims_default(policy: &Value) -> bool {
    let policy: Value = serde_json::from_str(policy.as_str().unwrap_or_default()).unwrap_or_default();
    let statement = &policy["Statement"][0];
    policy["Statement"].as_array().is_some_and(|all| all.len() == 1)
        && statement["Principal"]["AWS"] == "*"
        && statement["Action"] == "kms:*"
        && statement["Resource"]
            .as_str()
            .is_some_and(|arn| arn.contains(":key/"))
}

/// The policy of a key without one: the IAM policies of the account decide.
/// Source: "Default key policy", KMS developer guide.
fn default_policy(ctx: &RequestContext) -> Value {
    let account = format!("arn:{}:iam::{}:root", partition(&ctx.region), ctx.account_id);
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": account},
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
}

impl Stored<Kms> {
    /// The state of a key, named by id, ARN, alias or alias ARN. AWS managed keys always exist: AWS creates them on
    /// first use.
    pub fn key_state(&self, caller: &Caller, key_id: &str) -> KeyState {
        let Ok(kms) = self.get() else {
            return KeyState::Missing;
        };
        let (state, created) = kms.key_state(caller, key_id);
        if created && let Err(error) = self.save() {
            tracing::warn!(%error, "could not save the state of kms");
        }
        state
    }

    /// The ARN of a key that is enabled.
    pub fn key_arn(&self, caller: &Caller, key_id: &str) -> Option<String> {
        if self.key_state(caller, key_id) != KeyState::Enabled {
            return None;
        }
        self.get().ok()?.key_arn(caller, key_id)
    }
}

impl Handler for Kms {
    const NAME: &'static str = "kms";
    const PROTOCOL: Protocol = Protocol::AwsJson1_1;

    /// Cryptography changes nothing. The first use of an AWS managed key creates it.
    fn changes(operation: &str, input: &Value) -> bool {
        const CRYPTOGRAPHY: &[&str] = &[
            "Encrypt",
            "Decrypt",
            "ReEncrypt",
            "Generate",
            "Sign",
            "Verify",
            "Derive",
        ];
        let is_cryptography = CRYPTOGRAPHY.iter().any(|verb| operation.starts_with(verb));
        managed_alias(&input["KeyId"]).is_some() || !(is_cryptography || is_read(operation))
    }

    fn permissions(request: &Request) -> Vec<Permission> {
        Permission::of_operation("kms", request, |_, input| match input["KeyId"].as_str()? {
            key if key.starts_with("arn:") => Some(key.to_owned()),
            key if key.starts_with("alias/") => None,
            key => Some(arn(&request.caller, "kms", &format!("key/{key}"))),
        })
    }
}

#[async_trait]
impl ServiceHandler for Kms {
    fn service_name(&self) -> &str {
        Self::NAME
    }

    fn protocol(&self) -> Protocol {
        Self::PROTOCOL
    }

    async fn handle(&self, operation: &str, input: Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        self.create_managed(&input, ctx)?;
        let mut output = self.0.handle(operation, input, ctx).await?;
        if operation == "DescribeKey" {
            let state = self.0.store().get(&ctx.account_id, &ctx.region);
            let metadata = &mut output["KeyMetadata"];
            if metadata["KeyId"]
                .as_str()
                .is_some_and(|id| is_managed(&state, id))
            {
                metadata["KeyManager"] = json!("AWS");
            }
            metadata["AWSAccountId"] = json!(ctx.account_id);
        }
        if operation == "GetKeyPolicy" && is_awsims_default(&output["Policy"]) {
            output["Policy"] = json!(default_policy(ctx).to_string());
        }
        Ok(output)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        self.0.snapshot()
    }

    fn restore(&self, data: &[u8]) -> Result<(), String> {
        self.0.restore(data)
    }
}
