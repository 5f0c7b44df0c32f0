//! The permissions that a function's role needs for an event source mapping. Roles that streamctl created get them as one
//! inline policy for each stream, which is deleted with the mapping. Other roles are not changed.

use std::fmt;

use aws_sdk_kinesis::types::EncryptionType;
use serde_json::Value;

use super::resource::shortened;
use super::tags::{MANAGED_BY, STREAMCTL};
use crate::context::Context;
use crate::functions::mapping::resource_name;
use crate::functions::permissions;
use crate::iam::{self, Statement};
use ground::error::{self, Result};

/// Source: "Required execution role permissions", "Process Amazon Kinesis Data Streams records with Lambda", Lambda
/// developer guide. A mapping does not need ListStreams, which has no resources.
pub(crate) const READING: [&str; 5] = [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
];
/// The AWS managed key. It needs no permission besides those of the stream.
const AWS_MANAGED_KEY: &str = "alias/aws/kinesis";

/// The permissions that a role created by streamctl lacks for a mapping.
#[derive(Debug)]
pub struct Lacking {
    role: String,
    policy: String,
    document: Value,
    what: String,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} {}", self.role, self.what)
    }
}

impl Lacking {
    /// Adds the permissions to the role.
    ///
    /// # Errors
    /// When IAM refuses it.
    pub async fn grant(&self, context: &Context) -> Result<()> {
        let call = context.iam().put_role_policy().role_name(&self.role);
        let call = call.policy_name(&self.policy);
        let done = call.policy_document(self.document.to_string()).send().await;
        done.map(drop).map_err(|error| {
            let what = format!("could not set the permissions of role {}", self.role);
            error::aws::failed(what, error)
        })
    }
}

/// The permissions that the role of `function` lacks to read the stream and to send failed batches to `on_failure`, an ARN.
/// `None` if it lacks nothing, or was not created by streamctl.
///
/// # Errors
/// When a call fails.
pub async fn lacking(
    context: &Context,
    function: &str,
    stream_arn: &str,
    on_failure: Option<&str>,
) -> Result<Option<Lacking>> {
    let Some((role, policies)) = permissions::of_function(context, function).await? else {
        return Ok(None);
    };
    let mut needed = vec![Statement::new(&READING, [stream_arn.to_owned()])];
    needed.extend(on_failure.filter(|arn| !arn.is_empty()).map(sending));
    let states = |one: &Statement| policies.iter().any(|policy| iam::states(&policy.document, one));
    if needed.iter().all(states) || !is_ours(context, &role).await? {
        return Ok(None);
    }
    needed.extend(decrypting(context, stream_arn).await?);
    let stream = resource_name(stream_arn);
    let mut what = format!("may read {stream}");
    if let Some(arn) = on_failure.filter(|arn| !arn.is_empty()) {
        what.push_str(&format!(" and send to {}", resource_name(arn)));
    }
    Ok(Some(Lacking {
        policy: policy_name(stream),
        document: iam::document(needed),
        role,
        what,
    }))
}

/// Removes the permissions that [`Lacking::grant`] added to the role of `function` for the stream.
///
/// # Errors
/// When a call fails.
pub async fn revoke(context: &Context, function: &str, stream_arn: &str) -> Result<()> {
    let Some(role) = permissions::role_of(context, function).await? else {
        return Ok(());
    };
    let policy = policy_name(resource_name(stream_arn));
    let call = context
        .iam()
        .get_role_policy()
        .role_name(&role)
        .policy_name(&policy);
    match call.send().await {
        Ok(_) if is_ours(context, &role).await? => {}
        Ok(_) => return Ok(()),
        Err(error) if error::aws::is_not_found(&error) => return Ok(()),
        Err(error) => {
            let what = format!("could not read the policies of role {role}");
            return Err(error::aws::failed(what, error));
        }
    }
    let call = context.iam().delete_role_policy().role_name(&role);
    match call.policy_name(&policy).send().await {
        Ok(_) => Ok(()),
        Err(error) if error::aws::is_not_found(&error) => Ok(()),
        Err(error) => {
            let what = format!("could not delete policy {policy} of role {role}");
            Err(error::aws::failed(what, error))
        }
    }
}

/// Names of inline policies have at most 128 characters, and so do those of streams.
/// Source: PutRolePolicy, `PolicyName`, IAM API reference.
fn policy_name(stream: &str) -> String {
    shortened(&format!("stream-{stream}"), 128)
}

async fn is_ours(context: &Context, role: &str) -> Result<bool> {
    let what = || format!("could not read role {role}");
    let answer = context.iam().get_role().role_name(role).send().await;
    let found = answer.map_err(|error| error::aws::failed(what(), error))?.role;
    Ok(found.is_some_and(|role| {
        let tagged = |tag: &aws_sdk_iam::types::Tag| tag.key() == MANAGED_BY && tag.value() == STREAMCTL;
        role.path().starts_with("/streamctl/") || role.tags().iter().any(tagged)
    }))
}

/// Source: "Adding an on-failure destination", "Retain discarded batch records", Lambda developer guide.
fn sending(arn: &str) -> Statement {
    match arn.split(':').nth(2) {
        Some("s3") => Statement::new(
            &["s3:ListBucket", "s3:PutObject"],
            [arn.to_owned(), format!("{arn}/*")],
        ),
        Some("sns") => Statement::new(&["sns:Publish"], [arn.to_owned()]),
        _ => Statement::new(&["sqs:SendMessage"], [arn.to_owned()]),
    }
}

/// The permission to decrypt a stream with a customer managed key.
async fn decrypting(context: &Context, stream_arn: &str) -> Result<Option<Statement>> {
    let call = context.kinesis().describe_stream_summary().stream_arn(stream_arn);
    let answer = call
        .send()
        .await
        .map_err(|error| error::aws::failed(format!("could not read stream {stream_arn}"), error))?;
    let key = answer
        .stream_description_summary
        .filter(|stream| stream.encryption_type == Some(EncryptionType::Kms))
        .and_then(|stream| stream.key_id)
        .filter(|key| key != AWS_MANAGED_KEY);
    Ok(key.map(|key| decrypting_with(&key, stream_arn)))
}

fn decrypting_with(key: &str, stream_arn: &str) -> Statement {
    let mut parts = stream_arn.split(':').skip(1);
    let mut next = || parts.next().unwrap_or_default();
    let (partition, _, region, account) = (next(), next(), next(), next());
    // The key behind an alias is unknown: allow every key, but only through this service.
    let resource = match key.starts_with("arn:") && key.contains(":key/") {
        true => key.to_owned(),
        false => format!("arn:{partition}:kms:{region}:{account}:key/*"),
    };
    let service = format!("kinesis.{region}.amazonaws.com");
    Statement::new(&["kms:Decrypt"], [resource]).only_if("StringEquals", "kms:ViaService", service)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";

    #[test]
    fn each_destination_has_its_action() {
        let of = |arn| iam::document([sending(arn)])["Statement"][0].to_string();
        insta::assert_snapshot!(of("arn:aws:sqs:eu-west-1:123456789012:dead"), @r#"{"Effect":"Allow","Action":["sqs:SendMessage"],"Resource":["arn:aws:sqs:eu-west-1:123456789012:dead"]}"#);
        insta::assert_snapshot!(of("arn:aws:sns:eu-west-1:123456789012:dead"), @r#"{"Effect":"Allow","Action":["sns:Publish"],"Resource":["arn:aws:sns:eu-west-1:123456789012:dead"]}"#);
        insta::assert_snapshot!(of("arn:aws:s3:::dead"), @r#"{"Effect":"Allow","Action":["s3:ListBucket","s3:PutObject"],"Resource":["arn:aws:s3:::dead","arn:aws:s3:::dead/*"]}"#);
    }

    #[test]
    fn a_key_is_used_only_through_kinesis() {
        let of = |key| iam::document([decrypting_with(key, STREAM)])["Statement"][0].to_string();
        insta::assert_snapshot!(of("alias/orders"), @r#"{"Effect":"Allow","Action":["kms:Decrypt"],"Resource":["arn:aws:kms:eu-west-1:123456789012:key/*"],"Condition":{"StringEquals":{"kms:ViaService":"kinesis.eu-west-1.amazonaws.com"}}}"#);
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1";
        assert!(of(key).contains(&format!("[\"{key}\"]")), "{}", of(key));
    }

    #[test]
    fn policies_of_streams_with_long_names_have_different_names() {
        let (one, other) = (
            policy_name(&"a".repeat(128)),
            policy_name(&format!("{}b", "a".repeat(127))),
        );
        assert!(one.len() <= 128 && one != other);
        assert_eq!(policy_name("orders"), "stream-orders");
    }
}
