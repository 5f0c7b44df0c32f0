//! The resource policy of a stream or of a registered consumer: which other accounts may use it.
//!
//! Kinesis replaces a policy as a whole, so a change reads it first and keeps the statements that it is not about.
//! Source: "Share access using resource-based policies", Kinesis developer guide.

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::{Value, json};

use super::{Location, Purpose};
use crate::context::Context;
use ground::error::{self, Error, Result};

const PRODUCER_ACTIONS: [&str; 4] = [
    "kinesis:DescribeStreamSummary",
    "kinesis:ListShards",
    "kinesis:PutRecord",
    "kinesis:PutRecords",
];
const CONSUMER_ACTIONS: [&str; 5] = [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
];
const FAN_OUT_ACTIONS: [&str; 2] = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];

/// Who may use the stream, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// An account, or the ARN of a role or user of another account.
    pub principal: String,
    pub purpose: Purpose,
}

impl Grant {
    /// Reads an account number or an ARN of IAM.
    ///
    /// # Errors
    /// Exit 2 for another principal, or a purpose that cannot be shared.
    pub fn new(principal: &str, purpose: Purpose) -> Result<Self> {
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        let is_arn = principal.starts_with("arn:")
            && principal.split(':').nth(2) == Some("iam")
            && is_account(Location::of(principal).account);
        if !is_account(principal) && !is_arn {
            let text = format!("{principal:?} is neither an account nor the ARN of a role or user");
            return Err(Error::usage(text).hint("an account has 12 digits, such as 123456789012"));
        }
        if !matches!(purpose, Purpose::Producer | Purpose::Consumer) {
            let text = format!("a stream cannot be shared for {purpose}");
            return Err(Error::usage(text).hint("use --for producer or --for consumer"));
        }
        Ok(Self {
            principal: principal.to_owned(),
            purpose,
        })
    }

    /// The account that is allowed.
    pub fn account(&self) -> &str {
        match self.principal.starts_with("arn:") {
            true => Location::of(&self.principal).account,
            false => &self.principal,
        }
    }

    /// The name of the statement: one for each principal and purpose.
    fn sid(&self) -> String {
        let resource = self.principal.splitn(6, ':').nth(5).unwrap_or_default();
        let words = |text: &str| {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
        };
        let purpose = match self.purpose {
            Purpose::Producer => "Producer",
            _ => "Consumer",
        };
        format!("Streamctl{purpose}{}{}", self.account(), words(resource))
    }

    fn statement(&self, resource_arn: &str) -> Value {
        let actions: &[&str] = match self.purpose {
            Purpose::Producer => &PRODUCER_ACTIONS,
            _ if resource_arn.contains("/consumer/") => &FAN_OUT_ACTIONS,
            _ => &CONSUMER_ACTIONS,
        };
        let principal = match self.principal.starts_with("arn:") {
            true => self.principal.clone(),
            false => format!(
                "arn:{}:iam::{}:root",
                Location::of(resource_arn).partition,
                self.principal
            ),
        };
        json!({
            "Sid": self.sid(),
            "Effect": "Allow",
            "Principal": {"AWS": principal},
            "Action": actions,
            "Resource": resource_arn,
        })
    }
}

/// The resource policy of a stream or consumer; `None` if it has none.
///
/// # Errors
/// When the call fails, or the policy is not JSON.
pub async fn read(ctx: &Context, resource_arn: &str) -> Result<Option<Value>> {
    let what = || format!("could not read the resource policy of {resource_arn}");
    let call = ctx.kinesis().get_resource_policy().resource_arn(resource_arn);
    let text = match call.send().await {
        Ok(answer) => answer.policy,
        Err(e) if e.code() == Some("ResourceNotFoundException") => return Ok(None),
        Err(e) => return Err(error::aws::failed(what(), e)),
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let policy: Value = serde_json::from_str(&text).map_err(|e| Error::failed(what()).cause(e))?;
    Ok(Some(policy).filter(|policy| !statements(policy).is_empty()))
}

/// Replaces the resource policy, or deletes it (`None`).
///
/// # Errors
/// When the call fails.
pub async fn write(ctx: &Context, resource_arn: &str, policy: Option<&Value>) -> Result<()> {
    let what = || format!("could not change the resource policy of {resource_arn}");
    let kinesis = ctx.kinesis();
    match policy {
        Some(policy) => {
            let call = kinesis.put_resource_policy().resource_arn(resource_arn);
            let done = call.policy(policy.to_string()).send().await;
            done.map(drop).map_err(|e| error::aws::failed(what(), e))
        }
        None => {
            let call = kinesis.delete_resource_policy().resource_arn(resource_arn);
            let done = call.send().await;
            done.map(drop).map_err(|e| error::aws::failed(what(), e))
        }
    }
}

fn statements(policy: &Value) -> Vec<Value> {
    match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

fn with_statements(policy: Option<&Value>, statements: Vec<Value>) -> Value {
    let mut policy = policy
        .filter(|policy| policy.is_object())
        .cloned()
        .unwrap_or_else(|| json!({"Version": "2012-10-17"}));
    policy["Statement"] = statements.into();
    policy
}

/// `policy` with `grant`, in place of an earlier one for the same principal and purpose.
pub fn with_grant(policy: Option<&Value>, resource_arn: &str, grant: &Grant) -> Value {
    let mut kept = policy.map(statements).unwrap_or_default();
    kept.retain(|statement| statement["Sid"] != grant.sid());
    kept.push(grant.statement(resource_arn));
    with_statements(policy, kept)
}

/// `policy` without the statements that allow something to `account` alone; `None` if no statement is left.
pub fn without_account(policy: &Value, account: &str) -> Option<Value> {
    let mut kept = statements(policy);
    kept.retain(|statement| !is_of_account(statement, account));
    (!kept.is_empty()).then(|| with_statements(Some(policy), kept))
}

fn is_of_account(statement: &Value, account: &str) -> bool {
    let of_account = |principal: &Value| {
        principal.as_str().is_some_and(|text| {
            text == account || (text.starts_with("arn:") && Location::of(text).account == account)
        })
    };
    statement["Effect"] == "Allow"
        && match &statement["Principal"]["AWS"] {
            Value::Array(principals) => !principals.is_empty() && principals.iter().all(of_account),
            one => of_account(one),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";

    fn grant(principal: &str, purpose: Purpose) -> Grant {
        Grant::new(principal, purpose).unwrap()
    }

    #[test]
    fn a_policy_that_is_no_object_is_replaced() {
        let consumer = grant("222222222222", Purpose::Consumer);
        assert_eq!(
            with_grant(Some(&json!(["x"])), STREAM, &consumer),
            with_grant(None, STREAM, &consumer)
        );
    }

    #[test]
    fn an_account_is_added_once_and_others_stay() {
        let other = json!({"Version": "2012-10-17", "Id": "mine", "Statement": {
            "Sid": "Mine", "Effect": "Allow", "Principal": {"AWS": "333333333333"},
            "Action": "kinesis:ListShards", "Resource": STREAM,
        }});
        let consumer = grant("222222222222", Purpose::Consumer);
        let once = with_grant(Some(&other), STREAM, &consumer);
        assert_eq!(with_grant(Some(&once), STREAM, &consumer), once);
        let both = with_grant(Some(&once), STREAM, &grant("222222222222", Purpose::Producer));
        insta::assert_snapshot!(serde_json::to_string_pretty(&both).unwrap());
        assert_eq!(
            without_account(&both, "333333333333").unwrap()["Statement"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        let mine = without_account(&both, "222222222222").unwrap();
        assert_eq!(mine["Statement"][0]["Sid"], "Mine");
        assert_eq!(mine["Id"], "mine");
        assert_eq!(without_account(&mine, "333333333333"), None);
        assert_eq!(without_account(&mine, "444444444444"), Some(mine.clone()));
    }

    #[test]
    fn a_consumer_is_shared_for_fan_out() {
        let arn = format!("{STREAM}/consumer/analytics:1795251630");
        let role = grant("arn:aws:iam::222222222222:role/a/reader-1", Purpose::Consumer);
        let policy = with_grant(None, &arn, &role);
        insta::assert_snapshot!(policy.to_string(), @r#"{"Version":"2012-10-17","Statement":[{"Sid":"StreamctlConsumer222222222222roleareader1","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:role/a/reader-1"},"Action":["kinesis:DescribeStreamConsumer","kinesis:SubscribeToShard"],"Resource":"arn:aws:kinesis:eu-west-1:111111111111:stream/orders/consumer/analytics:1795251630"}]}"#);
        assert_eq!(without_account(&policy, "222222222222"), None);
    }

    #[test]
    fn a_deny_and_a_statement_about_several_accounts_stay() {
        let policy = json!({"Statement": [
            {"Effect": "Deny", "Principal": {"AWS": "222222222222"}, "Action": "*"},
            {"Effect": "Allow", "Principal": {"AWS": ["222222222222", "333333333333"]}, "Action": "*"},
            {"Effect": "Allow", "Principal": "*", "Action": "*"},
        ]});
        assert_eq!(without_account(&policy, "222222222222"), Some(policy.clone()));
    }

    #[test]
    fn other_principals_are_refused() {
        for bad in [
            "",
            "12345678901",
            "*",
            "arn:aws:s3:::bucket",
            "arn:aws:iam::1:root",
        ] {
            assert!(Grant::new(bad, Purpose::Consumer).is_err(), "{bad}");
        }
        assert!(Grant::new("123456789012", Purpose::Operator).is_err());
    }
}
