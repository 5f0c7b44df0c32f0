//! `bucket`: an S3 bucket that is never public and refuses unencrypted connections, with its versioning, encryption and
//! lifecycle.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, lossy_update};
use super::kind::{Existing, Kind, Managed, TagChanges, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState};
use crate::stream::change::same_key;
use ground::error::{Error, Result};

mod calls;
mod cors;
mod empty;
mod lifecycle;

use lifecycle::{DeclaredRule, Rule};

/// The statement of the bucket's policy that is streamctl's.
const SID: &str = "StreamctlTlsOnly";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    versioning: Option<bool>,
    encryption: Option<Algorithm>,
    kms_key: Option<String>,
    lifecycle: Option<Vec<DeclaredRule>>,
    /// Which web pages may read and write objects, through URLs that are signed for them.
    cors: Option<Vec<cors::Rule>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Algorithm {
    /// With keys that S3 manages.
    #[serde(rename = "AES256")]
    S3,
    #[serde(rename = "aws:kms")]
    Kms,
}

/// How objects are encrypted unless their writer says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    algorithm: String,
    /// `None` for the key that AWS manages.
    key: Option<String>,
    /// Whether S3 asks KMS once for many objects rather than for each.
    bucket_key: bool,
}

impl std::fmt::Display for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.algorithm)?;
        if let Some(key) = &self.key {
            write!(f, " with key {key}")?;
        }
        if self.algorithm == "aws:kms" && !self.bucket_key {
            f.write_str(" without a bucket key")?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Versioning {
    Off,
    On,
    /// Off again: existing versions stay.
    Suspended,
}

impl std::fmt::Display for Versioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Suspended => "suspended",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Whether the bucket is another account's or in another region, so that nothing more can be observed.
    elsewhere: bool,
    /// Whether it is as CreateBucket makes it on an endpoint that ignores tags: a run ended before it set them.
    #[serde(default)]
    unmarked: bool,
    versioning: Versioning,
    encryption: Option<Encryption>,
    public_blocked: bool,
    /// Whether access control lists are off (BucketOwnerEnforced).
    owner_enforced: bool,
    policy: Value,
    /// The lifecycle rules that are streamctl's.
    rules: Vec<Rule>,
    /// Empty where the manifest declares no CORS.
    #[serde(default)]
    cors: Vec<cors::Rule>,
}

type Bucket<'a> = Managed<'a, Declared>;

impl Bucket<'_> {
    /// Denies requests without TLS.
    /// Source: "Security best practices for Amazon S3", user guide.
    fn statement(&self) -> Value {
        json!({
            "Sid": SID,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [self.arn(), format!("{}/*", self.arn())],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        })
    }

    /// The encryption of a new bucket.
    fn encryption(&self) -> Encryption {
        let kms = match self.declared.encryption {
            Some(algorithm) => algorithm == Algorithm::Kms,
            None => self.declared.kms_key.is_some(),
        };
        match kms {
            false => Encryption {
                algorithm: "AES256".to_owned(),
                key: None,
                bucket_key: false,
            },
            true => Encryption {
                algorithm: "aws:kms".to_owned(),
                key: self.declared.kms_key.clone(),
                bucket_key: true,
            },
        }
    }

    /// The rules of ours that the bucket needs. Those that are only a default do not replace existing ones.
    fn rules(&self, existing: Option<&Existing<'_, Facts>>) -> Vec<Rule> {
        let enforced = existing.is_none_or(|existing| self.enforced("lifecycle", existing));
        match (&self.declared.lifecycle, existing) {
            (Some(declared), _) if enforced => lifecycle::wanted(declared),
            (_, Some(existing)) => lifecycle::with_abort(existing.facts.rules.clone()),
            (declared, None) => lifecycle::wanted(declared.as_deref().unwrap_or_default()),
        }
    }

    fn versioning_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.declared.versioning?;
        let is_on = facts.versioning == Versioning::On;
        let to = match wanted {
            true => Versioning::On,
            false => Versioning::Suspended,
        };
        (wanted != is_on).then(|| Change::update("versioning", facts.versioning, to))
    }

    fn encryption_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.encryption();
        let same = facts.encryption.as_ref().is_some_and(|there| {
            let same_key = match (&wanted.key, &there.key) {
                (None, _) => true,
                (Some(wanted), Some(there)) => same_key(wanted, there) || !common::is_known(wanted),
                (Some(_), None) => false,
            };
            let algorithm = wanted.algorithm == there.algorithm;
            // A bucket key means nothing without KMS.
            let bucket_key = wanted.bucket_key == there.bucket_key || wanted.algorithm == "AES256";
            algorithm && same_key && bucket_key
        });
        let none = || "none".to_owned();
        let there = facts.encryption.as_ref().map_or_else(none, ToString::to_string);
        (!same).then(|| Change::update("encryption", there, wanted))
    }

    fn lifecycle_change(&self, existing: &Existing<'_, Facts>) -> Option<Change> {
        let facts = &existing.facts;
        let wanted = self.rules(Some(existing));
        if lifecycle::same(&facts.rules, &wanted) {
            return None;
        }
        let (from, to) = (lifecycle::words(&facts.rules), lifecycle::words(&wanted));
        Some(lossy_update(
            "lifecycle",
            from,
            to,
            lifecycle::loses(&facts.rules, &wanted),
        ))
    }
}

#[async_trait]
impl Kind for Bucket<'_> {
    const NOUN: &'static str = "bucket";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let declared = &self.declared;
        check_name(&declared.name)?;
        let refuse = |problem: String| Error::usage(format!("bucket {}: {problem}", declared.name));
        if declared.kms_key.is_some() && declared.encryption == Some(Algorithm::S3) {
            return Err(refuse("kms_key goes with the encryption aws:kms".to_owned()));
        }
        if let Some(problem) = cors::problem(declared.cors.as_deref().unwrap_or_default()) {
            return Err(refuse(problem));
        }
        lifecycle::check(declared.lifecycle.as_deref().unwrap_or_default()).map_err(refuse)
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.location.partition, self.declared.name)
    }

    fn summary(&self) -> String {
        let mut words = vec!["private, TLS only".to_owned(), self.encryption().to_string()];
        if self.declared.versioning == Some(true) {
            words.push("versioned".to_owned());
        }
        if let Some(rules) = self.declared.lifecycle.as_ref().filter(|rules| !rules.is_empty()) {
            let rules: Vec<Rule> = rules.iter().map(Rule::from).collect();
            words.push(lifecycle::words(&rules));
        }
        words.join(", ")
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        self.observe_bucket().await
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        facts.elsewhere.then(|| Change::Refused {
            reason: "belongs to another account, is in another region, or you may not read it".to_owned(),
            hint: "choose another bucket name: all accounts share them".to_owned(),
        })
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let enforced = |key: &str| self.enforced(key, existing);
        let mut changes = Vec::new();
        // First: a bucket with settings and without tags is a stranger's.
        if facts.unmarked {
            changes.push(Change::update("owner", "none", "this pipeline"));
        }
        if !facts.public_blocked {
            changes.push(Change::update("public access", "possible", "blocked"));
        }
        if !facts.owner_enforced {
            changes.push(Change::update(
                "ownership",
                "access control lists",
                "the bucket's owner",
            ));
        }
        if !common::has_statement(&facts.policy, &self.statement()) {
            changes.push(Change::update("policy", "another", "TLS only"));
        }
        if enforced("versioning") {
            changes.extend(self.versioning_change(facts));
        }
        let declared = self.declared.encryption.is_some() || self.declared.kms_key.is_some();
        if existing.unfinished() || (declared && (enforced("encryption") || enforced("kms_key"))) {
            changes.extend(self.encryption_change(facts));
        }
        changes.extend(self.lifecycle_change(existing));
        let rules = self.declared.cors.as_ref().filter(|_| enforced("cors"));
        if let Some(rules) = rules.filter(|rules| **rules != facts.cors) {
            changes.push(Change::update(
                "CORS",
                cors::words(&facts.cors),
                cors::words(rules),
            ));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        self.create_with_settings(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting {field}"));
        match field {
            "owner" => self.put_tags(&self.unfinished_tags()).await,
            "public access" => self.block_public().await,
            "ownership" => self.enforce_owner().await,
            "policy" => self.set_policy().await,
            "versioning" => self.set_versioning(self.declared.versioning == Some(true)).await,
            "encryption" => self.set_encryption().await,
            "CORS" => self.set_cors().await,
            "lifecycle" => self.set_lifecycle(&self.rules(Some(existing))).await,
            other => Err(self.unknown_field(other)),
        }
    }

    async fn update_tags(
        &self,
        _existing: &Existing<'_, Facts>,
        _changes: TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        step.doing("setting tags");
        self.finish_tags().await
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        self.remove(step).await
    }

    async fn dependents(&self, _facts: &Facts) -> Result<Vec<String>> {
        Ok(self.contents().await?.into_iter().collect())
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let tls = common::has_statement(&facts.policy, &self.statement());
        let safe = facts.public_blocked && tls;
        let words = [
            if facts.public_blocked {
                "private"
            } else {
                "public access possible"
            }
            .to_owned(),
            if tls { "TLS only" } else { "TLS not required" }.to_owned(),
            facts
                .encryption
                .as_ref()
                .map_or_else(|| "no default encryption".to_owned(), ToString::to_string),
            format!("versioning {}", facts.versioning),
            lifecycle::words(&facts.rules),
        ];
        let state = if safe { CheckState::Good } else { CheckState::Fault };
        vec![Check::new(state, "described", words.join(", "))]
    }

    /// Source: "Actions, resources, and condition keys for Amazon S3", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let cors = Statement::new(&["s3:GetBucketCORS", "s3:PutBucketCORS"], [self.arn()]);
        let cors = self.declared.cors.is_some().then_some(cors);
        let mut statements = vec![
            Statement::new(
                &[
                    "s3:CreateBucket",
                    "s3:DeleteBucket",
                    "s3:DeleteBucketPolicy",
                    "s3:GetBucketOwnershipControls",
                    "s3:GetBucketPolicy",
                    "s3:GetBucketPublicAccessBlock",
                    "s3:GetBucketTagging",
                    "s3:GetBucketVersioning",
                    "s3:GetEncryptionConfiguration",
                    "s3:GetLifecycleConfiguration",
                    "s3:ListBucket",
                    "s3:ListBucketMultipartUploads",
                    "s3:ListBucketVersions",
                    "s3:PutBucketOwnershipControls",
                    "s3:PutBucketPolicy",
                    "s3:PutBucketPublicAccessBlock",
                    "s3:PutBucketTagging",
                    "s3:PutBucketVersioning",
                    "s3:PutEncryptionConfiguration",
                    "s3:PutLifecycleConfiguration",
                    "s3:TagResource",
                ],
                [self.arn()],
            ),
            Statement::new(
                &[
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:DeleteObjectVersion",
                ],
                [format!("{}/*", self.arn())],
            ),
        ];
        statements.extend(cors);
        statements
    }
}

/// Source: "General purpose bucket naming rules", S3 user guide.
fn check_name(name: &str) -> Result<()> {
    const PREFIXES: &[&str] = &["xn--", "sthree-", "amzn-s3-demo-"];
    const SUFFIXES: &[&str] = &["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let problem = if !(3..=63).contains(&name.len()) {
        "is 3 to 63 characters long"
    } else if !name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c))
    {
        "contains only lower-case letters, digits, dots and hyphens"
    } else if name.starts_with(['.', '-']) || name.ends_with(['.', '-']) {
        "begins and ends with a letter or digit"
    } else if name.contains("..") {
        "has no two dots in a row"
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        "does not look like an IP address"
    } else if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        "does not begin with xn--, sthree- or amzn-s3-demo-"
    } else if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        "does not end with a suffix that S3 reserves"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("{name:?} is not a bucket name")).hint(format!("a bucket name {problem}")))
}

#[cfg(test)]
mod tests;
