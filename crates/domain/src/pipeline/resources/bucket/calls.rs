//! The calls that observe, create and change a bucket. Each names the account that must own the bucket: all accounts share
//! the names, and a deleted bucket's name can be another's a moment later.

use std::time::Duration;

use aws_sdk_s3::types as sdk;
use serde_json::Value;

use super::super::common::{self, built, refused, retry, sdk_tags};
use super::super::kind::TagMap;
use super::lifecycle::{self, Rule};
use super::{Bucket, Encryption, Facts, SID, Versioning};
use crate::pipeline::event::Step;
use crate::pipeline::tags::UNFINISHED;
use crate::settings::Target;
use ground::error::{self, Error, Result};

/// How long S3 may be busy with an earlier call for a bucket of this name.
pub(super) const BUSY: Duration = Duration::from_secs(3 * 60);

/// What HeadBucket says of a name.
enum Name {
    Free,
    Ours,
    /// Another account's, in another region, or not readable for us.
    Elsewhere,
}

/// A call on this bucket, with name and owner.
macro_rules! on {
    ($bucket:expr, $operation:ident) => {
        $bucket
            .context
            .s3()
            .$operation()
            .bucket(&$bucket.declared.name)
            .expected_bucket_owner(&$bucket.location.account)
    };
}
pub(super) use on;

impl Bucket<'_> {
    /// Tags and facts; `None` where there is no such bucket.
    pub(super) async fn observe_bucket(&self) -> Result<Option<(TagMap, Facts)>> {
        match self.head().await? {
            Name::Free => return Ok(None),
            Name::Ours => {}
            Name::Elsewhere => {
                let facts = Facts {
                    elsewhere: true,
                    unmarked: false,
                    versioning: Versioning::Off,
                    encryption: None,
                    public_blocked: false,
                    owner_enforced: false,
                    policy: Value::Null,
                    rules: Vec::new(),
                    cors: Vec::new(),
                };
                return Ok(Some((TagMap::new(), facts)));
            }
        }
        // The tags first: what another run sets before it removes its tag of an unfinished bucket is seen afterwards.
        let looked = async {
            let tags = self.tags().await?;
            tokio::try_join!(
                std::future::ready(Ok(tags)),
                self.versioning(),
                self.default_encryption(),
                self.public_blocked(),
                self.owner_enforced(),
                self.policy(),
                self.lifecycle(),
                self.cors(),
            )
        };
        let (mut tags, versioning, encryption, public_blocked, owner_enforced, policy, lifecycle, cors) =
            match looked.await {
                Ok(looked) => looked,
                // Deleted between these calls.
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
        let mut encryption = encryption;
        if let Some(encryption) = &mut encryption {
            let there = encryption.key.take();
            encryption.key = self.key_name(self.declared.kms_key.as_deref(), there).await?;
        }
        let (rules, _) = lifecycle;
        let bare = tags.is_empty() && versioning == Versioning::Off && policy.is_null() && rules.is_empty();
        let unmarked = bare && self.is_left_unmarked().await?;
        if unmarked {
            tags = self.spec.tags.of_untagged();
        }
        let facts = Facts {
            elsewhere: false,
            unmarked,
            versioning,
            encryption,
            public_blocked,
            owner_enforced,
            policy,
            rules: rules.iter().filter_map(Rule::of_sdk).collect(),
            cors,
        };
        Ok(Some((tags, facts)))
    }

    /// Whether this bucket of the account, which is as CreateBucket makes it, is what a run left that ended before it set
    /// the tags: it is empty, and the endpoint is one that may ignore the tags of CreateBucket. AWS does not.
    async fn is_left_unmarked(&self) -> Result<bool> {
        Ok(self.context.settings().target != Target::Aws && self.contents().await?.is_none())
    }

    async fn head(&self) -> Result<Name> {
        let Err(error) = on!(self, head_bucket).send().await else {
            return Ok(Name::Ours);
        };
        // A response to HEAD has no body, hence no code.
        match error.raw_response().map(|answer| answer.status().as_u16()) {
            Some(404) => Ok(Name::Free),
            Some(301 | 400 | 403) => Ok(Name::Elsewhere),
            _ => Err(error::aws::failed(self.failure("look at"), error)),
        }
    }

    async fn tags(&self) -> Result<TagMap> {
        let answer = self.response_unless(
            "read the tags of",
            &["NoSuchTagSet"],
            on!(self, get_bucket_tagging).send().await,
        )?;
        let tags = answer.map(|answer| answer.tag_set).unwrap_or_default();
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn versioning(&self) -> Result<Versioning> {
        let answer = on!(self, get_bucket_versioning).send().await;
        let answer = self.response("read the versioning of", answer)?;
        Ok(match answer.status {
            Some(sdk::BucketVersioningStatus::Enabled) => Versioning::On,
            Some(_) => Versioning::Suspended,
            None => Versioning::Off,
        })
    }

    async fn default_encryption(&self) -> Result<Option<Encryption>> {
        let none = &["ServerSideEncryptionConfigurationNotFoundError"];
        let answer = self.response_unless(
            "read the encryption of",
            none,
            on!(self, get_bucket_encryption).send().await,
        )?;
        let configuration = answer.and_then(|answer| answer.server_side_encryption_configuration);
        let rule = configuration.and_then(|configuration| configuration.rules.into_iter().next());
        Ok(rule.and_then(|rule| {
            let bucket_key = rule.bucket_key_enabled == Some(true);
            let default = rule.apply_server_side_encryption_by_default?;
            Some(Encryption {
                algorithm: default.sse_algorithm.as_str().to_owned(),
                key: default.kms_master_key_id.filter(|key| !key.is_empty()),
                bucket_key,
            })
        }))
    }

    async fn public_blocked(&self) -> Result<bool> {
        let none = &["NoSuchPublicAccessBlockConfiguration"];
        let answer = self.response_unless(
            "read the public access of",
            none,
            on!(self, get_public_access_block).send().await,
        )?;
        let block = answer.and_then(|answer| answer.public_access_block_configuration);
        Ok(block.is_some_and(|block| {
            let all = [
                block.block_public_acls,
                block.ignore_public_acls,
                block.block_public_policy,
                block.restrict_public_buckets,
            ];
            all.into_iter().all(|one| one == Some(true))
        }))
    }

    async fn owner_enforced(&self) -> Result<bool> {
        let none = &["OwnershipControlsNotFoundError"];
        let answer = self.response_unless(
            "read the ownership of",
            none,
            on!(self, get_bucket_ownership_controls).send().await,
        )?;
        let controls = answer.and_then(|answer| answer.ownership_controls);
        Ok(controls.is_some_and(|controls| {
            let mut rules = controls.rules().iter();
            rules.any(|rule| *rule.object_ownership() == sdk::ObjectOwnership::BucketOwnerEnforced)
        }))
    }

    async fn policy(&self) -> Result<Value> {
        let answer = self.response_unless(
            "read the policy of",
            &["NoSuchBucketPolicy"],
            on!(self, get_bucket_policy).send().await,
        )?;
        Ok(common::policy(answer.and_then(|answer| answer.policy).as_deref()))
    }

    /// All rules, and the size above which objects are moved.
    async fn lifecycle(
        &self,
    ) -> Result<(
        Vec<sdk::LifecycleRule>,
        Option<sdk::TransitionDefaultMinimumObjectSize>,
    )> {
        let none = &["NoSuchLifecycleConfiguration"];
        let answer = self.response_unless(
            "read the lifecycle of",
            none,
            on!(self, get_bucket_lifecycle_configuration).send().await,
        )?;
        Ok(answer.map_or_else(Default::default, |answer| {
            let size = answer.transition_default_minimum_object_size;
            (answer.rules.unwrap_or_default(), size)
        }))
    }

    pub(super) async fn create_with_settings(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        step.touched();
        let tags = self.unfinished_tags();
        self.create_bucket(&tags, step).await?;
        if self.tags().await? != tags {
            // Some AWS-compatible endpoints ignore the tags of CreateBucket.
            self.put_tags(&tags).await?;
        }
        self.block_public().await?;
        if !self.owner_enforced().await? {
            self.enforce_owner().await?;
        }
        step.go_on()?;
        step.doing("setting policy, encryption and lifecycle");
        self.set_policy().await?;
        self.set_encryption().await?;
        if self.declared.versioning == Some(true) {
            self.set_versioning(true).await?;
        }
        self.set_lifecycle(&self.rules(None)).await?;
        if self.declared.cors.is_some() {
            self.set_cors().await?;
        }
        step.go_on()?;
        self.finish_tags().await
    }

    /// The tags of a bucket that is not complete.
    pub(super) fn unfinished_tags(&self) -> TagMap {
        let mut tags = self.spec.tags.all();
        // Removed at the end: a run that finds the tag knows that the rest is still to be done.
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        tags
    }

    async fn create_bucket(&self, tags: &TagMap, step: &Step<'_>) -> Result<()> {
        let mut configuration =
            sdk::CreateBucketConfiguration::builder().set_tags(Some(sdk_tags!(sdk::Tag, tags)?));
        let region = self.context.region();
        // S3 refuses us-east-1 as a location constraint: it is the region without one.
        if region != "us-east-1" {
            configuration = configuration.location_constraint(sdk::BucketLocationConstraint::from(region));
        }
        let configuration = configuration.build();
        let waiting = "S3 is busy with an earlier bucket of this name";
        let created = retry(BUSY, step, waiting, || {
            let call = self.context.s3().create_bucket().bucket(&self.declared.name);
            call.create_bucket_configuration(configuration.clone())
                .object_ownership(sdk::ObjectOwnership::BucketOwnerEnforced)
                .send()
        });
        match created.await? {
            Err(error) if refused(&error, &["BucketAlreadyExists"]) => Err(Error::failed(format!(
                "the bucket name {} is taken by another account",
                self.declared.name
            ))
            .hint("choose another bucket name: all accounts share them")),
            created => self
                .response_unless("create", &["BucketAlreadyOwnedByYou"], created)
                .map(drop),
        }
    }

    pub(super) async fn block_public(&self) -> Result<()> {
        let block = sdk::PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        let call = on!(self, put_public_access_block).public_access_block_configuration(block);
        self.response("block public access to", call.send().await)
            .map(drop)
    }

    pub(super) async fn enforce_owner(&self) -> Result<()> {
        let rule = sdk::OwnershipControlsRule::builder()
            .object_ownership(sdk::ObjectOwnership::BucketOwnerEnforced)
            .build();
        let controls = sdk::OwnershipControls::builder().rules(built(rule)?).build();
        let call = on!(self, put_bucket_ownership_controls).ownership_controls(built(controls)?);
        self.response("set the ownership of", call.send().await).map(drop)
    }

    /// Adds our statement to the policy that the bucket has now.
    pub(super) async fn set_policy(&self) -> Result<()> {
        let policy = common::with_statement(&self.policy().await?, SID, Some(&self.statement()));
        let call = on!(self, put_bucket_policy).policy(policy.to_string());
        self.response("set the policy of", call.send().await).map(drop)
    }

    pub(super) async fn set_versioning(&self, on: bool) -> Result<()> {
        let status = match on {
            true => sdk::BucketVersioningStatus::Enabled,
            false => sdk::BucketVersioningStatus::Suspended,
        };
        let configuration = sdk::VersioningConfiguration::builder().status(status).build();
        let call = on!(self, put_bucket_versioning).versioning_configuration(configuration);
        self.response("set the versioning of", call.send().await)
            .map(drop)
    }

    pub(super) async fn set_encryption(&self) -> Result<()> {
        let wanted = self.encryption();
        let default = sdk::ServerSideEncryptionByDefault::builder()
            .sse_algorithm(sdk::ServerSideEncryption::from(wanted.algorithm.as_str()))
            .set_kms_master_key_id(wanted.key);
        let rule = sdk::ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(built(default.build())?)
            .bucket_key_enabled(wanted.bucket_key)
            .build();
        let configuration = sdk::ServerSideEncryptionConfiguration::builder().rules(rule);
        let call = on!(self, put_bucket_encryption)
            .server_side_encryption_configuration(built(configuration.build())?);
        self.response("set the encryption of", call.send().await)
            .map(drop)
    }

    /// Replaces our rules with `ours`; those of others stay.
    pub(super) async fn set_lifecycle(&self, ours: &[Rule]) -> Result<()> {
        let (mut rules, size) = self.lifecycle().await?;
        rules.retain(lifecycle::is_foreign);
        for rule in ours {
            rules.push(rule.to_sdk()?);
        }
        let configuration = sdk::BucketLifecycleConfiguration::builder().set_rules(Some(rules));
        let call = on!(self, put_bucket_lifecycle_configuration)
            .lifecycle_configuration(built(configuration.build())?)
            .set_transition_default_minimum_object_size(size);
        self.response("set the lifecycle of", call.send().await).map(drop)
    }

    /// Changes the tags to the declared ones, without the `unfinished` tag.
    pub(super) async fn finish_tags(&self) -> Result<()> {
        let mut tags = self.tags().await?;
        let (set, remove) = self.spec.tags.difference(&tags);
        if set.is_empty() && remove.is_empty() {
            return Ok(());
        }
        tags.extend(set);
        tags.retain(|key, _| !remove.contains(key));
        self.put_tags(&tags).await
    }

    /// Replaces all tags with `tags`.
    pub(super) async fn put_tags(&self, tags: &TagMap) -> Result<()> {
        let tagging = sdk::Tagging::builder().set_tag_set(Some(sdk_tags!(sdk::Tag, tags)?));
        let call = on!(self, put_bucket_tagging).tagging(built(tagging.build())?);
        self.response("tag", call.send().await).map(drop)
    }
}
