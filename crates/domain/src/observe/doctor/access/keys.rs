//! The KMS keys of encrypted streams: whether they work, and whether functions that read may decrypt.
//!
//! AWS managed keys always work, and need no permission.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Finding, Looked, Skipped};
use super::super::subject::{Function, Subject};
use super::simulate::{Denial, Simulated, explain, simulate};
use crate::context::{Context, KeyMetadata};
use crate::policy::key_access;
use crate::stream::StreamState;

/// The keys that are not managed by AWS, by stream.
pub(super) type Keys = BTreeMap<String, Result<Key, Skipped>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// There is no such key.
    Missing(String),
    Found(Metadata),
    /// Managed by AWS.
    Managed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    arn: String,
    id: String,
    /// Such as `Enabled`.
    state: String,
}

impl From<KeyMetadata> for Key {
    fn from(it: KeyMetadata) -> Self {
        if it.manager.as_deref() == Some("AWS") {
            return Self::Managed;
        }
        Self::Found(Metadata {
            arn: it.arn.unwrap_or_default(),
            state: it.state.unwrap_or_else(|| "Enabled".to_owned()),
            id: it.id,
        })
    }
}

/// The keys of the streams, read once.
async fn keys<'s>(subject: &'s Subject<'_>) -> Result<&'s Keys, Skipped> {
    let streams = subject.streams().await?;
    let facts = subject.access();
    Ok(facts
        .keys
        .get_or_init(|| async {
            let mut keys = Keys::new();
            for stream in streams {
                let Some(name) = stream.encryption.as_deref().filter(|name| !is_managed(name)) else {
                    continue;
                };
                keys.insert(stream.name.clone(), key(subject.context(), name).await);
            }
            keys
        })
        .await)
}

/// Whether `name` is the alias of an AWS managed key.
fn is_managed(name: &str) -> bool {
    name.rsplit(':').next().unwrap_or(name).starts_with("alias/aws/")
}

async fn key(context: &Context, name: &str) -> Result<Key, Skipped> {
    let what = format!("the KMS key {name} could not be read");
    match context.describe_key(name, what).await {
        Ok(metadata) => metadata
            .map(Key::from)
            .ok_or_else(|| Skipped(format!("KMS does not describe the key {name}"))),
        Err(error) if error.is_not_found() => Ok(Key::Missing(name.to_owned())),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn usable(subject: &Subject<'_>) -> Looked {
    let mut found = Vec::new();
    for (stream, key) in keys(subject).await? {
        let key = key.as_ref().map_err(Clone::clone)?;
        found.extend(unusable(stream, key));
    }
    Ok(found)
}

/// Without its key, no record can be written or read. Records that are kept are lost when the key is deleted.
fn unusable(stream: &str, key: &Key) -> Option<Finding> {
    let fault = |summary: &str| Finding::fault(format!("stream {stream}"), summary.to_owned());
    let other_key = ["encrypt", stream, "--key", "alias/aws/kinesis"];
    match key {
        Key::Managed => None,
        Key::Missing(name) => Some(
            fault("has a KMS key that does not exist: nothing can be written or read")
                .evidence(format!("the stream names the key {name}"))
                .fix(&other_key),
        ),
        Key::Found(key) => {
            // Source: "Key states of AWS KMS keys", KMS developer guide.
            let finding = match key.state.as_str() {
                "Enabled" | "Creating" | "Updating" => return None,
                "Disabled" => fault("has a KMS key that is disabled: nothing can be written or read")
                    .other_fix(format!("aws kms enable-key --key-id {}", key.id)),
                "PendingDeletion" | "PendingReplicaDeletion" => {
                    fault("has a KMS key that is being deleted: its records will be lost").other_fix(format!(
                        "aws kms cancel-key-deletion --key-id {0} && aws kms enable-key --key-id {0}",
                        key.id
                    ))
                }
                _ => fault("has a KMS key that cannot be used"),
            };
            Some(
                finding
                    .evidence(format!("the key {} is {}", key.arn, key.state))
                    .fix(&other_key),
            )
        }
    }
}

pub(super) async fn permissions(subject: &Subject<'_>) -> Looked {
    let keys = keys(subject).await?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (mappings, functions) = (subject.mappings().await?, subject.functions().await?);
    let streams = subject.streams().await?;
    let mut found = Vec::new();
    for stream in streams {
        let Some(Ok(Key::Found(key))) = keys.get(&stream.name) else {
            continue;
        };
        let readers: BTreeSet<&str> = mappings
            .iter()
            .filter(|mapping| mapping.stream() == stream.name)
            .map(|mapping| mapping.function())
            .collect();
        let mut policy = None;
        for function in functions
            .iter()
            .filter(|function| readers.contains(function.name.as_str()))
        {
            let denied = denied(subject.context(), stream, key, function).await?;
            if denied.is_empty() {
                continue;
            }
            if policy.is_none() {
                policy = Some(key_access::key_policy(subject.context(), &key.id).await?);
            }
            if !policy
                .as_ref()
                .is_some_and(|policy| key_access::allows_by_itself(policy, &function.state.role, &key.arn))
            {
                found.push(finding(stream, function, &denied));
            }
        }
    }
    Ok(found)
}

/// Whether IAM policies of the role allow it to decrypt records of the stream.
async fn denied(
    context: &Context,
    stream: &StreamState,
    key: &Metadata,
    function: &Function,
) -> Result<Vec<Denial>, Skipped> {
    let parts: Vec<&str> = stream.arn.split(':').collect();
    let region = parts.get(3).copied().unwrap_or_default();
    let account = parts.get(4).copied().unwrap_or_default();
    // Source: "How do I get started with server-side encryption?", Kinesis developer guide, and `kms:ViaService`, KMS
    // developer guide.
    let via = format!("kinesis.{region}.amazonaws.com");
    let values = [
        ("kms:ViaService", via.as_str()),
        ("kms:CallerAccount", account),
        ("kms:EncryptionContext:aws:kinesis:arn", stream.arn.as_str()),
    ];
    let role = &function.state.role;
    match simulate(context, role, &["kms:Decrypt"], &key.arn, &values).await? {
        Simulated::Denied(denied) => Ok(denied),
        // A finding of its own.
        Simulated::NoPrincipal => Ok(Vec::new()),
    }
}

fn finding(stream: &StreamState, function: &Function, denied: &[Denial]) -> Finding {
    let summary = format!(
        "may not decrypt the records of stream {}: none is processed",
        stream.name
    );
    explain(
        Finding::fault(format!("function {}", function.name), summary),
        Some(&function.state.role),
        &function.name,
        denied,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(state: &str) -> Key {
        Key::Found(Metadata {
            arn: "arn:aws:kms:us-east-1:1:key/7".to_owned(),
            id: "7".to_owned(),
            state: state.to_owned(),
        })
    }

    #[test]
    fn a_key_that_cannot_be_used_is_a_fault_with_the_way_back() {
        assert_eq!(unusable("orders", &key("Enabled")), None);
        assert_eq!(unusable("orders", &Key::Managed), None);
        let commands = |key: &Key| -> Vec<String> {
            let found = unusable("orders", key).unwrap();
            found.fixes.into_iter().map(|fix| fix.command).collect()
        };
        let other = "streamctl encrypt orders --key alias/aws/kinesis";
        assert_eq!(
            commands(&key("Disabled")),
            ["aws kms enable-key --key-id 7", other]
        );
        assert_eq!(
            commands(&key("PendingDeletion")),
            [
                "aws kms cancel-key-deletion --key-id 7 && aws kms enable-key --key-id 7",
                other
            ]
        );
        assert_eq!(commands(&Key::Missing("7".to_owned())), [other]);
    }

    #[test]
    fn aliases_of_aws_need_no_look() {
        assert!(is_managed("alias/aws/kinesis"));
        assert!(is_managed("arn:aws:kms:us-east-1:1:alias/aws/kinesis"));
        assert!(!is_managed("alias/mine"));
        assert!(!is_managed("arn:aws:kms:us-east-1:1:key/7"));
    }
}
