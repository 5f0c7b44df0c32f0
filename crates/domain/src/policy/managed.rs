//! Customer managed policies with the permissions of an [`Access`], and their attachment to roles, users and groups.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use aws_sdk_iam::types::Tag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Serialize;
use serde_json::Value;

use super::Access;
use super::simulate::simulate;
use crate::context::Context;
use crate::functions::mapping::resource_name;
use crate::iam;
use crate::pipeline::resource::shortened;
use crate::pipeline::tags::{MANAGED_BY, STREAMCTL};
use ground::error::{self, Error, Result};

/// The path of the policies. What is below it is made by streamctl, and nobody else's.
const PATH: &str = "/streamctl/";
/// Longest name of a policy. Source: CreatePolicy, `PolicyName`, IAM API reference.
const LONGEST_NAME: usize = 128;

/// What was done to make a policy as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    /// It had another document.
    Updated,
    Unchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        })
    }
}

/// A managed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ManagedPolicy {
    pub name: String,
    pub arn: String,
}

impl ManagedPolicy {
    /// The policy of `access`. Its name says what it allows, so that the same access has the same policy each time.
    pub fn of(access: &Access) -> Self {
        let mut name = format!(
            "streamctl-{}-{}",
            resource_name(&access.stream_arn),
            access.purpose
        );
        if access.fan_out {
            name.push_str("-fan-out");
        }
        if let Some(application) = &access.kcl {
            name.push_str(&format!("-kcl-{application}"));
        }
        let location = super::Location::of(&access.stream_arn);
        // Policies are global: streams of this name in two regions have two policies.
        name.push_str(&format!("-{}", location.region));
        let name = shortened(&name, LONGEST_NAME);
        let arn = format!(
            "arn:{}:iam::{}:policy{PATH}{name}",
            location.partition, location.account
        );
        Self { name, arn }
    }

    /// The document of the default version; `None` if there is no such policy.
    async fn document(&self, ctx: &Context) -> Result<Option<Value>> {
        let what = || format!("could not read policy {}", self.name);
        let found = match ctx.iam().get_policy().policy_arn(&self.arn).send().await {
            Ok(found) => found,
            Err(e) if error::aws::is_not_found(&e) => return Ok(None),
            Err(e) => return Err(error::aws::failed(what(), e)),
        };
        let version = found.policy.and_then(|policy| policy.default_version_id);
        let call = ctx.iam().get_policy_version().policy_arn(&self.arn);
        let call = call.version_id(version.as_deref().unwrap_or("v1"));
        let answer = call.send().await.map_err(|e| error::aws::failed(what(), e))?;
        let text = answer.policy_version.and_then(|version| version.document);
        Ok(Some(iam::decoded(text.as_deref())))
    }

    /// What [`ManagedPolicy::ensure`] would do.
    ///
    /// # Errors
    /// When IAM refuses to show the policy.
    pub async fn outcome(&self, ctx: &Context, document: &Value) -> Result<Outcome> {
        Ok(match self.document(ctx).await? {
            None => Outcome::Created,
            Some(found) if iam::same(&found, document) => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        })
    }

    /// Makes the policy with this document, or changes the one that is there.
    ///
    /// # Errors
    /// When IAM refuses it, or a policy of this name that streamctl did not make exists.
    pub async fn ensure(&self, ctx: &Context, access: &Access) -> Result<Outcome> {
        let document = access.document();
        let outcome = self.outcome(ctx, &document).await?;
        match outcome {
            Outcome::Created => self.create(ctx, access, &document).await?,
            Outcome::Updated => self.replace(ctx, &document).await?,
            Outcome::Unchanged => {}
        }
        Ok(outcome)
    }

    async fn create(&self, ctx: &Context, access: &Access, document: &Value) -> Result<()> {
        let what = || format!("could not create policy {}", self.name);
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let stream = resource_name(&access.stream_arn);
        let tags = [
            tag(MANAGED_BY, STREAMCTL),
            tag("Stream", stream),
            tag("Purpose", access.purpose.name()),
        ];
        let tags = tags.into_iter().collect::<Result<Vec<_>, _>>();
        let call = ctx.iam().create_policy().policy_name(&self.name).path(PATH);
        let call = call
            .description(format!("What a {} of stream {stream} needs", access.purpose))
            .policy_document(document.to_string())
            .set_tags(Some(tags.map_err(|e| Error::failed(what()).cause(e))?));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some("EntityAlreadyExists") => {
                // Names are unique in an account, whatever the path. A policy of ours may have been made at the same time.
                match self.document(ctx).await? {
                    Some(found) if iam::same(&found, document) => Ok(()),
                    _ => Err(error::aws::failed(what(), e).hint(
                        "another policy has this name: delete it, or rename it, then run the command again",
                    )),
                }
            }
            Err(e) => Err(error::aws::failed(what(), e)),
        }
    }

    async fn replace(&self, ctx: &Context, document: &Value) -> Result<()> {
        let what = || format!("could not change policy {}", self.name);
        let call = ctx.iam().list_policy_versions().policy_arn(&self.arn);
        let versions = call.into_paginator().items().send();
        let versions = versions.collect::<Result<Vec<_>, _>>().await;
        let versions = versions.map_err(|e| error::aws::failed(what(), e))?;
        if let Some(oldest) = iam::version_in_the_way(&versions) {
            let call = ctx.iam().delete_policy_version().policy_arn(&self.arn);
            let call = call.version_id(oldest.version_id().unwrap_or_default());
            call.send().await.map_err(|e| error::aws::failed(what(), e))?;
        }
        let call = ctx.iam().create_policy_version().policy_arn(&self.arn);
        let call = call.policy_document(document.to_string()).set_as_default(true);
        call.send()
            .await
            .map(drop)
            .map_err(|e| error::aws::failed(what(), e))
    }

    /// Attaches the policy. IAM accepts it again if it is attached already.
    ///
    /// # Errors
    /// When IAM refuses it, or there is no such identity.
    pub async fn attach(&self, ctx: &Context, to: &Identity) -> Result<()> {
        let what = || format!("could not attach policy {} to {to}", self.name);
        let iam = ctx.iam();
        let (name, arn) = (&to.name, &self.arn);
        match to.kind {
            IdentityKind::Role => {
                let call = iam.attach_role_policy().role_name(name).policy_arn(arn);
                call.send()
                    .await
                    .map(drop)
                    .map_err(|e| error::aws::failed(what(), e))
            }
            IdentityKind::User => {
                let call = iam.attach_user_policy().user_name(name).policy_arn(arn);
                call.send()
                    .await
                    .map(drop)
                    .map_err(|e| error::aws::failed(what(), e))
            }
            IdentityKind::Group => {
                let call = iam.attach_group_policy().group_name(name).policy_arn(arn);
                call.send()
                    .await
                    .map(drop)
                    .map_err(|e| error::aws::failed(what(), e))
            }
        }
    }
}

impl ManagedPolicy {
    /// Whether the policy is attached to `to`.
    ///
    /// # Errors
    /// When IAM refuses to show the policies of `to`, or there is no such identity.
    pub async fn is_attached(&self, ctx: &Context, to: &Identity) -> Result<bool> {
        let what = || format!("could not list the policies of {to}");
        let iam = ctx.iam();
        let attached = match to.kind {
            IdentityKind::Role => {
                let call = iam.list_attached_role_policies().role_name(&to.name);
                let found = call.into_paginator().items().send();
                let found = found.collect::<Result<Vec<_>, _>>().await;
                found.map_err(|e| error::aws::failed(what(), e))?
            }
            IdentityKind::User => {
                let call = iam.list_attached_user_policies().user_name(&to.name);
                let found = call.into_paginator().items().send();
                let found = found.collect::<Result<Vec<_>, _>>().await;
                found.map_err(|e| error::aws::failed(what(), e))?
            }
            IdentityKind::Group => {
                let call = iam.list_attached_group_policies().group_name(&to.name);
                let found = call.into_paginator().items().send();
                let found = found.collect::<Result<Vec<_>, _>>().await;
                found.map_err(|e| error::aws::failed(what(), e))?
            }
        };
        Ok(attached
            .iter()
            .any(|policy| policy.policy_arn() == Some(self.arn.as_str())))
    }

    /// Detaches the policy. The policy itself stays.
    ///
    /// # Errors
    /// When IAM refuses it.
    pub async fn detach(&self, ctx: &Context, from: &Identity) -> Result<()> {
        let what = || format!("could not detach policy {} from {from}", self.name);
        let iam = ctx.iam();
        let (name, arn) = (&from.name, &self.arn);
        match from.kind {
            IdentityKind::Role => {
                let call = iam.detach_role_policy().role_name(name).policy_arn(arn);
                call.send()
                    .await
                    .map(drop)
                    .map_err(|e| error::aws::failed(what(), e))
            }
            IdentityKind::User => {
                let call = iam.detach_user_policy().user_name(name).policy_arn(arn);
                call.send()
                    .await
                    .map(drop)
                    .map_err(|e| error::aws::failed(what(), e))
            }
            IdentityKind::Group => {
                let call = iam.detach_group_policy().group_name(name).policy_arn(arn);
                call.send()
                    .await
                    .map(drop)
                    .map_err(|e| error::aws::failed(what(), e))
            }
        }
    }

    /// The actions of `access` that `from` is allowed by this policy alone, as IAM's policy simulator says.
    ///
    /// # Errors
    /// When IAM refuses the simulation.
    pub async fn allowed_by_it_alone(
        &self,
        ctx: &Context,
        access: &Access,
        from: &Identity,
    ) -> Result<BTreeSet<String>> {
        let principal = from.arn(ctx).await?;
        let checked = simulate(ctx, &principal, &access.statements(), &[]).await?;
        let alone = checked.into_iter().filter(|one| {
            one.is_allowed()
                && !one.policies.is_empty()
                && one.policies.iter().all(|policy| policy.contains(&self.name))
        });
        Ok(alone.map(|one| one.action).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    Role,
    User,
    Group,
}

/// A role, user or group of IAM, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub kind: IdentityKind,
    /// Without a path.
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            IdentityKind::Role => "role",
            IdentityKind::User => "user",
            IdentityKind::Group => "group",
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl FromStr for Identity {
    type Err = String;

    /// Reads `role/NAME`, `user/NAME`, `group/NAME`, or an ARN that ends in one, also with a path. The ARN of a session is
    /// that of its role.
    fn from_str(text: &str) -> Result<Self, String> {
        const GRAMMAR: &str = "not a role, user or group; write it like role/NAME, user/NAME or group/NAME";
        let resource = match text.starts_with("arn:") {
            true => text.splitn(6, ':').nth(5).unwrap_or_default(),
            false => text,
        };
        let (kind, rest) = resource.split_once('/').ok_or(GRAMMAR)?;
        let (kind, name) = match kind {
            "role" => (IdentityKind::Role, rest.rsplit('/').next()),
            "user" => (IdentityKind::User, rest.rsplit('/').next()),
            "group" => (IdentityKind::Group, rest.rsplit('/').next()),
            "assumed-role" => (IdentityKind::Role, rest.split('/').next()),
            _ => return Err(GRAMMAR.to_owned()),
        };
        // Source: "IAM names", IAM user guide.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        let name = name.filter(|name| (1..=128).contains(&name.len()) && name.bytes().all(allowed));
        Ok(Self {
            kind,
            name: name.ok_or(GRAMMAR)?.to_owned(),
        })
    }
}

impl Identity {
    /// The ARN, with the path that IAM shows.
    ///
    /// # Errors
    /// When there is no such identity, or IAM refuses to show it.
    pub async fn arn(&self, ctx: &Context) -> Result<String> {
        let what = || format!("could not read {self}");
        let iam = ctx.iam();
        let arn = match self.kind {
            IdentityKind::Role => {
                let answer = iam.get_role().role_name(&self.name).send().await;
                answer
                    .map_err(|e| error::aws::failed(what(), e))?
                    .role
                    .map(|role| role.arn)
            }
            IdentityKind::User => {
                let answer = iam.get_user().user_name(&self.name).send().await;
                answer
                    .map_err(|e| error::aws::failed(what(), e))?
                    .user
                    .map(|user| user.arn)
            }
            IdentityKind::Group => {
                let answer = iam.get_group().group_name(&self.name).send().await;
                answer
                    .map_err(|e| error::aws::failed(what(), e))?
                    .group
                    .map(|group| group.arn)
            }
        };
        arn.ok_or_else(|| Error::failed(what()).cause("the answer names no ARN"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;

    fn policy(stream: &str, kcl: Option<&str>) -> ManagedPolicy {
        ManagedPolicy::of(&Access {
            purpose: Purpose::Consumer,
            stream_arn: format!("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/{stream}"),
            key: None,
            fan_out: true,
            kcl: kcl.map(str::to_owned),
        })
    }

    #[test]
    fn the_name_says_what_the_policy_allows() {
        let policy = policy("orders", Some("scores"));
        assert_eq!(
            policy.name,
            "streamctl-orders-consumer-fan-out-kcl-scores-cn-north-1"
        );
        assert_eq!(
            policy.arn,
            format!("arn:aws-cn:iam::123456789012:policy/streamctl/{}", policy.name)
        );
    }

    #[test]
    fn long_names_stay_different() {
        let (one, other) = (
            policy(&"a".repeat(128), None).name,
            policy(&format!("{}b", "a".repeat(127)), None).name,
        );
        assert!(one.len() <= LONGEST_NAME && one != other, "{one}");
    }

    #[test]
    fn identities_are_read_from_names_and_arns() {
        let read = |text: &str| text.parse::<Identity>().map(|one| one.to_string());
        assert_eq!(read("role/scorer").unwrap(), "role scorer");
        assert_eq!(
            read("arn:aws:iam::123456789012:user/team/ann").unwrap(),
            "user ann"
        );
        assert_eq!(
            read("arn:aws:sts::123456789012:assumed-role/scorer/i-1").unwrap(),
            "role scorer"
        );
        assert_eq!(read("group/readers").unwrap(), "group readers");
        for bad in [
            "",
            "scorer",
            "role/",
            "policy/x",
            "role/a b",
            "arn:aws:iam::1:root",
            "arn:",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
