//! The versions of a managed policy's document, and what it is attached to.

use std::time::Duration;

use aws_sdk_iam::types::PolicyVersion;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::ManagedPolicy;
use crate::error::{self, Result};
use crate::pipeline::event::Step;

/// Versions a policy can have. Source: "IAM and AWS STS quotas", IAM user guide.
const VERSIONS: usize = 5;

impl ManagedPolicy<'_> {
    /// The document of `version`. IAM gives it percent-encoded.
    pub(super) async fn document_of(&self, arn: &str, version: &str) -> Result<Value> {
        let answer = while_iam_lags("NoSuchEntity", || {
            let call = self.context.iam().get_policy_version().policy_arn(arn);
            call.version_id(version).send()
        })
        .await
        .map_err(|error| error::aws::failed(self.what("read the document of"), error))?;
        let text = answer.policy_version.and_then(|version| version.document);
        let text = percent_decode(&text.unwrap_or_default());
        // One that cannot be read is replaced like any other that is not ours.
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Makes the declared document the default one; the oldest of five versions makes room.
    pub(super) async fn replace_document(&self, arn: &str, step: &Step<'_>) -> Result<()> {
        step.doing("replacing the document");
        let versions = self.versions(arn).await?;
        if versions.len() >= VERSIONS
            && let Some(oldest) = versions
                .iter()
                .filter(|version| !version.is_default_version)
                .min_by_key(|version| number(version))
        {
            self.delete_version(arn, oldest).await?;
            step.go_on()?;
        }
        let call = self.context.iam().create_policy_version().policy_arn(arn);
        let call = call
            .policy_document(self.document().to_string())
            .set_as_default(true);
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("replace the document of"), error))
    }

    /// Deletes every version but the default one, which goes with the policy.
    pub(super) async fn delete_versions(&self, arn: &str, step: &Step<'_>) -> Result<()> {
        for version in self.versions(arn).await? {
            if !version.is_default_version {
                step.go_on()?;
                self.delete_version(arn, &version).await?;
            }
        }
        Ok(())
    }

    async fn delete_version(&self, arn: &str, version: &PolicyVersion) -> Result<()> {
        let id = version.version_id.clone().unwrap_or_default();
        let call = self.context.iam().delete_policy_version().policy_arn(arn);
        match call.version_id(&id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(()),
            Err(error) => Err(error::aws::failed(
                self.what(&format!("delete version {id} of")),
                error,
            )),
        }
    }

    async fn versions(&self, arn: &str) -> Result<Vec<PolicyVersion>> {
        let mut versions = Vec::new();
        let mut marker = None;
        loop {
            let call = self.context.iam().list_policy_versions().policy_arn(arn);
            let page = call
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| error::aws::failed(self.what("list the versions of"), error))?;
            versions.extend(page.versions.unwrap_or_default());
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(versions);
            }
        }
    }

    /// Roles, users and groups it is attached to.
    pub(super) async fn attached(&self, arn: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut marker = None;
        loop {
            let call = self.context.iam().list_entities_for_policy().policy_arn(arn);
            let page = call
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| error::aws::failed(self.what("list what is attached to"), error))?;
            let named =
                |kind: &str, name: &Option<String>| format!("{kind} {}", name.as_deref().unwrap_or("?"));
            names.extend(
                page.policy_roles()
                    .iter()
                    .map(|role| named("role", &role.role_name)),
            );
            names.extend(
                page.policy_users()
                    .iter()
                    .map(|user| named("user", &user.user_name)),
            );
            names.extend(
                page.policy_groups()
                    .iter()
                    .map(|group| named("group", &group.group_name)),
            );
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(names);
            }
        }
    }
}

/// How long one part of IAM may not know yet what another one has accepted.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const LAG: Duration = Duration::from_secs(10);

/// Makes a call again as long as it is refused with `code`, which may only mean that IAM lags behind itself.
pub(super) async fn while_iam_lags<T, E, Sending>(
    code: &str,
    mut send: impl FnMut() -> Sending,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let deadline = Instant::now() + LAG;
    loop {
        match send().await {
            Err(error) if error.code() == Some(code) && Instant::now() < deadline => {
                sleep(Duration::from_millis(500)).await;
            }
            outcome => return outcome,
        }
    }
}

/// The number in a version id such as `v12`.
fn number(version: &PolicyVersion) -> u64 {
    let digits = version.version_id.as_deref().map(|id| id.trim_start_matches('v'));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

/// Decodes `%XX` (RFC 3986); anything else stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let decoded = match rest {
            [b'%', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_percent_decoded() {
        assert_eq!(
            percent_decode("%7B%22Version%22%3A%20%221%22%7D"),
            r#"{"Version": "1"}"#
        );
        assert_eq!(percent_decode(r#"{"a":"100%"}"#), r#"{"a":"100%"}"#);
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,20}|[%0-9a-f]{0,12}") {
            percent_decode(&text);
        }
    }
}
