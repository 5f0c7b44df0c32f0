//! The role that Kinesis assumes to write the objects of a channel: one that exists, or one made for the channel with the
//! least permissions. Source: "IAM permissions for data delivery", Kinesis developer guide.

use std::time::Duration;

use aws_sdk_iam::types::Tag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::{Value, json};

use super::{Channel, NewChannel};
use crate::context::Context;
use crate::iam::{Statement, decoded, document};
use crate::stream::change::Changer;
use ground::error::{self, Error, Result};

/// The service that assumes the role.
const PRINCIPAL: &str = "kinesis.amazonaws.com";
/// The path of the roles that are made for channels.
const PATH: &str = "/streamctl/channel/";
const PREFIX: &str = "streamctl-channel-";
/// Characters of a role's name. Source: CreateRole, `RoleName`, IAM API reference.
const LONGEST_NAME: usize = 64;
/// How long a new role may be invisible to other services. Source: "Changes that I make are not always immediately
/// visible", IAM user guide.
const LAG: Duration = Duration::from_secs(10);

/// The role of a channel to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// ARN of a role that exists.
    Given(String),
    /// Name of a role to make.
    Made(String),
}

/// Checks that a role can be made for a channel of this name.
///
/// # Errors
/// Exit 2.
pub(super) fn check_name(channel: &str) -> Result<()> {
    if PREFIX.len() + channel.len() <= LONGEST_NAME {
        return Ok(());
    }
    let most = LONGEST_NAME - PREFIX.len();
    Err(Error::usage(format!(
        "the role of channel {channel} would have a name of more than {LONGEST_NAME} characters"
    ))
    .hint(format!(
        "use a channel name of up to {most} characters, or name a role with --role"
    )))
}

/// # Errors
/// Exit 1 when the role that `new` names does not exist or does not trust Kinesis.
pub(super) async fn plan(ctx: &Context, account: &str, new: &NewChannel) -> Result<Role> {
    let Some(given) = &new.role else {
        return Ok(Role::Made(format!("{PREFIX}{}", new.name)));
    };
    let name = given.rsplit('/').next().unwrap_or(given);
    let found = match ctx.iam().get_role().role_name(name).send().await {
        Ok(answer) => answer.role,
        Err(e) if error::aws::is_not_found(&e) => None,
        // Passing a role needs no permission to read it.
        Err(e) if error::aws::class(&e) == error::aws::Class::Denied && given.starts_with("arn:") => {
            return Ok(Role::Given(given.clone()));
        }
        Err(e) => return Err(error::aws::failed(format!("could not read role {name}"), e)),
    };
    let found = found.ok_or_else(|| {
        Error::failed(format!("there is no role {given} in account {account}"))
            .hint("leave out --role: streamctl then creates a role with the least permissions")
    })?;
    let trust = decoded(found.assume_role_policy_document());
    if !trusts(&trust) {
        return Err(Error::failed(format!(
            "the trust policy of role {name} does not name {PRINCIPAL}"
        ))
        .hint(format!(
            "allow the service {PRINCIPAL} to call sts:AssumeRole in it, or leave out --role"
        )));
    }
    Ok(Role::Given(found.arn))
}

fn trusts(document: &Value) -> bool {
    let list = |value: &Value| match value {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    list(&document["Statement"]).iter().any(|statement| {
        statement["Effect"] == "Allow"
            && list(&statement["Principal"]["Service"])
                .iter()
                .any(|one| one == PRINCIPAL)
    })
}

/// Who may assume the role. The conditions prevent a confused deputy.
fn trust(ctx: &Context, account: &str) -> Value {
    let channels = format!(
        "arn:{}:kinesis:{}:{account}:channel/*",
        ctx.partition(),
        ctx.region()
    );
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": PRINCIPAL},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account},
            "ArnLike": {"aws:SourceArn": channels},
        },
    }]})
}

/// What the role may do: write below the prefixes of the channel. AWS documents the actions for channels of MSK, which
/// write in the same way ("Service execution role", Amazon MSK developer guide).
pub fn policy(partition: &str, account: &str, region: &str, new: &NewChannel) -> Value {
    let arn = |bucket: &str| format!("arn:{partition}:s3:::{bucket}");
    let dead = new.dead_letter_bucket.as_ref().unwrap_or(&new.bucket);
    let buckets = [arn(&new.bucket), arn(dead)];
    let objects = [
        format!("{}/{}*", arn(&new.bucket), prefix(new)),
        format!("{}/kinesis-channel/errors/{}/*", arn(dead), new.name),
    ];
    let key = new.kms_key.as_ref().map(|key| {
        let resource = match key {
            key if key.starts_with("arn:") && !key.contains(":alias/") => key.clone(),
            // An alias is no resource of a permission, so the condition names it.
            key if key.contains("alias/") => format!("arn:{partition}:kms:{region}:{account}:key/*"),
            key => format!("arn:{partition}:kms:{region}:{account}:key/{key}"),
        };
        Statement::new(&["kms:Decrypt", "kms:GenerateDataKey"], [resource]).only_if(
            "StringEquals",
            "kms:ViaService",
            format!("s3.{region}.amazonaws.com"),
        )
    });
    document(
        [
            Statement::new(
                &[
                    "s3:GetBucketLocation",
                    "s3:ListBucket",
                    "s3:ListBucketMultipartUploads",
                ],
                buckets,
            ),
            Statement::new(
                &[
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                    "s3:PutObject",
                ],
                objects,
            ),
        ]
        .into_iter()
        .chain(key),
    )
}

/// What the keys of all objects begin with.
fn prefix(new: &NewChannel) -> String {
    let Some(template) = &new.key_template else {
        return format!("kinesis-channel/{}/", new.name);
    };
    template.split("!{").next().unwrap_or_default().to_owned()
}

/// The ARN of the role, which is made if it is new.
///
/// # Errors
/// Exit 1 when a call fails, or there is another role of the name.
pub(super) async fn make(
    changer: &Changer<'_>,
    role: &Role,
    new: &NewChannel,
    account: &str,
) -> Result<String> {
    let name = match role {
        Role::Given(arn) => return Ok(arn.clone()),
        Role::Made(name) => name,
    };
    let ctx = changer.ctx;
    changer.step(format!("making role {name}"));
    let mut tags = Vec::new();
    for (key, value) in &new.tags {
        let tag = Tag::builder().key(key).value(value).build();
        tags.push(super::built(tag)?);
    }
    let call = ctx.iam().create_role().role_name(name).path(PATH);
    let call = call
        .description(format!("Delivers the Kinesis channel {}", new.name))
        .assume_role_policy_document(trust(ctx, account).to_string())
        .set_tags((!tags.is_empty()).then_some(tags));
    let (arn, is_new) = match call.send().await {
        Ok(answer) => (answer.role.map(|role| role.arn).unwrap_or_default(), true),
        Err(e) if e.code() == Some("EntityAlreadyExists") => (ours(ctx, name).await?, false),
        Err(e) => return Err(error::aws::failed(format!("could not create role {name}"), e)),
    };
    let policy = policy(ctx.partition(), account, ctx.region(), new);
    let call = ctx.iam().put_role_policy().role_name(name).policy_name(name);
    let put = call.policy_document(policy.to_string()).send().await;
    put.map_err(|e| error::aws::failed(format!("could not set the policy of role {name}"), e))?;
    if is_new && !ctx.is_local() {
        changer.step(format!("waiting until role {name} is visible"));
        tokio::time::sleep(LAG).await;
    }
    Ok(arn)
}

/// The ARN of a role that an earlier attempt made.
async fn ours(ctx: &Context, name: &str) -> Result<String> {
    let answer = ctx.iam().get_role().role_name(name).send().await;
    let answer = answer.map_err(|e| error::aws::failed(format!("could not read role {name}"), e))?;
    let role = answer.role.filter(|role| role.path == PATH);
    role.map(|role| role.arn).ok_or_else(|| {
        Error::failed(format!("there is another role named {name} in this account"))
            .hint("name a role with --role, or give the channel another name")
    })
}

/// Deletes the role of a deleted channel if it was made for it.
///
/// # Errors
/// Exit 1 when a call fails.
pub(super) async fn remove(changer: &Changer<'_>, channel: &Channel) -> Result<()> {
    let own = format!("role{PATH}{PREFIX}{}", channel.name);
    if !channel.role.ends_with(&own) {
        return Ok(());
    }
    let name = format!("{PREFIX}{}", channel.name);
    changer.step(format!("deleting role {name}"));
    let iam = changer.ctx.iam();
    let what = || {
        format!(
            "channel {} is deleted, but its role {name} could not be",
            channel.name
        )
    };
    match iam
        .delete_role_policy()
        .role_name(&name)
        .policy_name(&name)
        .send()
        .await
    {
        Err(e) if !error::aws::is_not_found(&e) => return Err(error::aws::failed(what(), e)),
        _ => {}
    }
    match iam.delete_role().role_name(&name).send().await {
        Err(e) if !error::aws::is_not_found(&e) => Err(error::aws::failed(what(), e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Compression, RecordFormat};
    use super::*;

    #[test]
    fn a_role_may_write_below_the_prefixes_of_its_channel_only() {
        let new = NewChannel {
            name: "orders".to_owned(),
            bucket: "lake".to_owned(),
            format: RecordFormat::Json,
            compression: Compression::None,
            freshness: Duration::from_secs(300),
            key_template: Some("raw/dt=!{yyyy}/!{channel-name}".to_owned()),
            dead_letter_bucket: Some("dead".to_owned()),
            kms_key: Some("1234".to_owned()),
            role: None,
            tags: BTreeMap::new(),
        };
        let policy = policy("aws", "123456789012", "us-east-1", &new);
        let text = policy.to_string();
        for part in [
            r#""arn:aws:s3:::lake/raw/dt=*""#,
            r#""arn:aws:s3:::dead/kinesis-channel/errors/orders/*""#,
            r#""arn:aws:kms:us-east-1:123456789012:key/1234""#,
            r#"{"kms:ViaService":"s3.us-east-1.amazonaws.com"}"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains(r#""*""#) && !text.contains("s3:*"), "{text}");
        let plain = NewChannel {
            key_template: None,
            dead_letter_bucket: None,
            kms_key: None,
            ..new
        };
        assert_eq!(prefix(&plain), "kinesis-channel/orders/");
    }

    #[test]
    fn the_trust_policy_has_to_name_kinesis() {
        let allow =
            |service: Value| json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": service}}]});
        assert!(trusts(&allow(json!("kinesis.amazonaws.com"))));
        assert!(trusts(&allow(json!([
            "lambda.amazonaws.com",
            "kinesis.amazonaws.com"
        ]))));
        assert!(!trusts(&allow(json!("lambda.amazonaws.com"))));
        assert!(!trusts(&Value::Null));
    }
}
