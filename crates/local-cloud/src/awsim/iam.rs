//! IAM. Adds to awsim: tags at creation and in GetPolicy, documents in the URL encoding of the API, DeleteConflict for
//! a policy with versions, `MaxItems`, `Scope`, accounts that survive a restart, and a policy simulator that decides as
//! the local cloud does.

mod policies;
mod simulate;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_iam::state::{IamState, Policy};
use awsim_iam::{IAM_REGION, IamService};
use serde_json::{Value, json};

use super::stored::Handler;
use crate::authorise::PolicySet;
use crate::query;
use crate::service::Permission;
use crate::service::Request;
use crate::types::Caller;

/// awsim restores all accounts into one: here each account has a service of its own.
#[derive(Default)]
pub(crate) struct Iam {
    accounts: Mutex<BTreeMap<String, Arc<IamService>>>,
}

/// Tags a resource can have. Source: "IAM and AWS STS quotas", IAM user guide.
const MAX_TAGS: usize = 50;

impl Iam {
    fn account(&self, account: &str) -> Arc<IamService> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.to_owned()).or_default())
    }

    /// Whether the account of `caller` has the role `arn`.
    pub fn has_role(&self, caller: &Caller, arn: &str) -> bool {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let state = self
            .account(&caller.account)
            .store()
            .get(&caller.account, IAM_REGION);
        state.roles.contains_key(name)
    }

    /// Whether the role `arn` exists, and its trust policy lets the service `principal` assume it. Conditions are not
    /// evaluated.
    pub fn trusts(&self, arn: &str, principal: &str) -> bool {
        let Some((account, name)) = arn.split(':').nth(4).zip(arn.rsplit('/').next()) else {
            return false;
        };
        let state = self.account(account).store().get(account, IAM_REGION);
        let Some(role) = state.roles.get(name).filter(|role| role.arn == arn) else {
            return false;
        };
        let document: Value = serde_json::from_str(&role.assume_role_policy_document).unwrap_or_default();
        let one_or_more = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        one_or_more(&document["Statement"]).iter().any(|statement| {
            statement["Effect"] == "Allow"
                && one_or_more(&statement["Principal"]["Service"])
                    .iter()
                    .any(|service| service == principal)
        })
    }

    /// The policies of the user, group or role `arn`; `None` where it does not exist.
    pub fn policies_of(&self, arn: &str) -> Option<PolicySet> {
        let account = arn.split(':').nth(4)?;
        policies::of(&self.account(account).store().get(account, IAM_REGION), arn)
    }

    /// The ARN of the user with the access key `key`, in any account.
    pub fn user_with_key(&self, key: &str) -> Option<String> {
        self.find(|state| policies::user_with_key(state, key))
    }

    /// The secret access key of a user's access key.
    pub fn secret_of_key(&self, key: &str) -> Option<String> {
        self.find(|state| policies::secret_of_key(state, key))
    }

    fn find<T>(&self, find: impl Fn(&IamState) -> Option<T>) -> Option<T> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts
            .iter()
            .find_map(|(account, iam)| find(&iam.store().get(account, IAM_REGION)))
    }

    /// CreatePolicy and CreateRole: `kind` is what they make.
    async fn create(
        &self,
        iam: &IamService,
        kind: &str,
        input: Value,
        ctx: &RequestContext,
    ) -> Result<Value, AwsError> {
        let tags = input.get("Tags").cloned().filter(|tags| !tags.is_null());
        if tags
            .as_ref()
            .and_then(|tags| tags["member"].as_array())
            .is_some_and(|tags| tags.len() > MAX_TAGS)
        {
            return Err(AwsError::conflict(
                "LimitExceeded",
                format!("The number of tags has reached the maximum limit of {MAX_TAGS}."),
            ));
        }
        let output = iam.handle(&format!("Create{kind}"), input, ctx).await?;
        if let Some(tags) = tags {
            let made = &output[kind];
            let mut input = json!({"PolicyArn": made["Arn"], "RoleName": made["RoleName"]});
            input["Tags"] = tags;
            iam.handle(&format!("Tag{kind}"), input, ctx).await?;
        }
        Ok(output)
    }
}

impl Handler for Iam {
    const NAME: &'static str = "iam";
    const PROTOCOL: Protocol = Protocol::AwsQuery;
    const ACCESS_DENIED: (u16, &'static str) = (403, "AccessDeniedException");

    fn permissions(request: &Request) -> Vec<Permission> {
        Permission::of_operation("iam", request, |_, input| {
            let arn = input["PolicySourceArn"].as_str().or(input["PolicyArn"].as_str());
            arn.map(str::to_owned)
        })
    }
}

#[async_trait]
impl ServiceHandler for Iam {
    fn service_name(&self) -> &str {
        Self::NAME
    }

    fn protocol(&self) -> Protocol {
        Self::PROTOCOL
    }

    async fn handle(
        &self,
        operation: &str,
        mut input: Value,
        ctx: &RequestContext,
    ) -> Result<Value, AwsError> {
        let iam = self.account(&ctx.account_id);
        adapt(&mut input);
        let mut output = match operation {
            "CreatePolicy" => self.create(&iam, "Policy", input, ctx).await?,
            "CreateRole" => self.create(&iam, "Role", input, ctx).await?,
            "GetRole" | "ListRoleTags" | "GetPolicy" | "ListPolicyTags" => {
                let tags = role_tags(&iam, ctx, &input)
                    .or_else(|| policy(&iam, ctx, &input).map(|policy| members(&policy.tags)));
                let mut output = iam.handle(operation, input, ctx).await?;
                let target = match operation.strip_prefix("Get") {
                    Some(kind) => &mut output[kind],
                    None => &mut output,
                };
                if let (Some(tags), Some(target)) = (tags, target.as_object_mut()) {
                    target.insert("Tags".to_owned(), tags);
                }
                output
            }
            "DeletePolicy" => {
                if policy(&iam, ctx, &input).is_some_and(|policy| policy.versions.len() > 1) {
                    return Err(AwsError::conflict(
                        "DeleteConflict",
                        "This policy has more than one version. Before you delete a policy, you must delete the \
                         policy's versions. The default version is deleted with the policy.",
                    ));
                }
                iam.handle(operation, input, ctx).await?
            }
            "ListPolicies" => {
                let scope = input["Scope"].as_str().unwrap_or("All").to_owned();
                let mut output = iam.handle(operation, input, ctx).await?;
                keep_scope(&mut output, &scope);
                output
            }
            "SimulatePrincipalPolicy" => {
                return simulate::principal(&iam.store().get(&ctx.account_id, IAM_REGION), &input);
            }
            "SimulateCustomPolicy" => return simulate::custom(&input),
            _ => iam.handle(operation, input, ctx).await?,
        };
        encode_documents(&mut output);
        Ok(output)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = BTreeMap::new();
        for (account, iam) in accounts.iter() {
            let value: Value = serde_json::from_slice(&iam.snapshot()?).ok()?;
            all.insert(account, value);
        }
        serde_json::to_vec(&all).ok()
    }

    fn restore(&self, data: &[u8]) -> Result<(), String> {
        let all: BTreeMap<String, Value> = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        for (account, value) in all {
            let iam = IamService::new();
            iam.restore(value.to_string().as_bytes())?;
            let store = iam.store();
            // awsim guesses the account from the first user or role, and falls to its own default.
            let found = store.iter_all().pop();
            if let Some(((guessed, _), state)) = found
                && guessed != account
            {
                store.clear();
                if let Some(state) = Arc::into_inner(state) {
                    store.set(&account, IAM_REGION, state);
                }
            }
            accounts.insert(account, Arc::new(iam));
        }
        Ok(())
    }
}

/// Changes parameters to the form that awsim reads.
fn adapt(input: &mut Value) {
    // A query carries numbers as text.
    if let Some(number) = input["MaxItems"]
        .as_str()
        .and_then(|text| text.parse::<u32>().ok())
    {
        input["MaxItems"] = json!(number);
    }
    // Some of awsim's operations know a list only in this form, others in both.
    for list in ["Tags", "TagKeys"] {
        if input[list].is_array() {
            input[list] = json!({"member": input[list].take()});
        }
    }
}

/// The policy that `PolicyArn` names.
fn policy(iam: &IamService, ctx: &RequestContext, input: &Value) -> Option<Policy> {
    let state = iam.store().get(&ctx.account_id, IAM_REGION);
    let policy = state.policies.get(input["PolicyArn"].as_str()?)?;
    Some(policy.clone())
}

/// The tags of the role that `RoleName` names.
fn role_tags(iam: &IamService, ctx: &RequestContext, input: &Value) -> Option<Value> {
    let state = iam.store().get(&ctx.account_id, IAM_REGION);
    let role = state.roles.get(input["RoleName"].as_str()?)?;
    Some(members(&role.tags))
}

/// Sorted, so that answers are the same each time.
fn members(tags: &HashMap<String, String>) -> Value {
    let sorted: BTreeMap<_, _> = tags.iter().collect();
    let members: Vec<Value> = sorted
        .into_iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    json!({ "member": members })
}

/// Policies of AWS itself are there once they have been attached to something.
fn keep_scope(output: &mut Value, scope: &str) {
    let of_aws = |policy: &Value| {
        policy["Arn"]
            .as_str()
            .is_some_and(|arn| arn.contains(":iam::aws:policy/"))
    };
    if let Some(policies) = output["Policies"]["member"].as_array_mut() {
        policies.retain(|policy| match scope {
            "AWS" => of_aws(policy),
            "Local" => !of_aws(policy),
            _ => true,
        });
    }
}

/// "The policy document … is URL-encoded compliant with RFC 3986." Source: PolicyVersion, IAM API reference.
fn encode_documents(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(encode_documents),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), &value) {
                    ("Document" | "PolicyDocument" | "AssumeRolePolicyDocument", Value::String(text)) => {
                        *value = Value::String(query::percent_encode(text));
                    }
                    _ => encode_documents(value),
                }
            }
        }
        _ => {}
    }
}
