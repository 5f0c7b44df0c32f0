//! Distributions.

use std::sync::Arc;

use ground::xml::Node;

use super::{Answer, Call, new_etag, no_content, ok};
use crate::cloudfront::error::{Error, Result};
use crate::cloudfront::model::{Config, Distribution, new_id};
use crate::cloudfront::{read, write};
use crate::types::{Tags, partition};

/// Distributions of an account, and of an origin access control.
/// Source: "General quotas on distributions", CloudFront developer guide.
const MAX_DISTRIBUTIONS: usize = 500;
const MAX_USERS: usize = 100;

impl Call<'_> {
    pub(super) fn create_distribution(&self) -> Answer {
        let document = read::document(&self.request.body, "DistributionConfig")?;
        self.create(&document, Tags::new())
    }

    pub(super) fn create_distribution_with_tags(&self) -> Answer {
        let document = read::document(&self.request.body, "DistributionConfigWithTags")?;
        let config = document
            .child("DistributionConfig")
            .ok_or_else(Error::malformed)?;
        let tags = document
            .child("Tags")
            .map(read::tags)
            .transpose()?
            .unwrap_or_default();
        self.create(config, tags)
    }

    fn create(&self, document: &Node, tags: Tags) -> Answer {
        let config = read::config(document)?;
        let store = &self.cloudfront.store;
        let _one = store.change();
        let ours = store.distributions.list(|one| one.is_of(self.caller));
        // Source: CallerReference of DistributionConfig, CloudFront API reference.
        let same = |one: &&Arc<Distribution>| one.config.caller_reference == config.caller_reference;
        if let Some(there) = ours.iter().find(same) {
            return Err(Error::new(
                409,
                "DistributionAlreadyExists",
                format!(
                    "The caller reference that you are using to create a distribution is associated with another distribution. \
                     Already exists: {}",
                    there.id
                ),
            ));
        }
        if ours.len() >= MAX_DISTRIBUTIONS {
            return Err(Error::new(
                400,
                "TooManyDistributions",
                "Processing your request would cause you to exceed the maximum number of distributions allowed.",
            ));
        }
        self.check_origins(&config, "")?;
        let id = loop {
            let id = new_id('E', 14);
            if !store.distributions.is_taken(&id) {
                break id;
            }
        };
        let now = self.now();
        let made = store.distributions.put(Distribution {
            id,
            account: self.caller.account.clone(),
            partition: partition(&self.caller.region).to_owned(),
            etag: new_etag(),
            modified_ms: now,
            deployed_ms: now.saturating_add(self.cloudfront.status_delay_ms),
            config,
            tags,
            invalidations: Vec::new(),
        })?;
        let path = format!("distribution/{}", made.id);
        Ok(self.show(&made)?.created(&path))
    }

    /// Whether the origin access controls exist, and have few enough distributions. `id` is that of the distribution, if it
    /// exists.
    fn check_origins(&self, config: &Config, id: &str) -> Result<()> {
        let store = &self.cloudfront.store;
        for origin in &config.origins {
            let access = store.access_controls.get(&origin.access_control)?;
            if access.is_none_or(|access| access.account != self.caller.account) {
                return Err(Error::new(
                    400,
                    "InvalidOriginAccessControl",
                    "The origin access control is not valid.",
                ));
            }
            let others = store
                .distributions
                .list(|one| one.id != id && one.uses(&origin.access_control));
            if others.len() >= MAX_USERS {
                return Err(Error::new(
                    400,
                    "TooManyDistributionsAssociatedToOriginAccessControl",
                    "The maximum number of distributions have been associated with the specified origin access control.",
                ));
            }
        }
        Ok(())
    }

    fn show(&self, distribution: &Distribution) -> Answer {
        let domain = self.cloudfront.domain(&distribution.id);
        let document = write::distribution(distribution, &domain, self.now());
        Ok(ok(document)?.etag(&distribution.etag))
    }

    pub(super) fn get_distribution(&self) -> Answer {
        let distribution = self.distribution()?;
        self.show(&distribution)
    }

    pub(super) fn get_distribution_config(&self) -> Answer {
        let distribution = self.distribution()?;
        Ok(ok(write::config(&distribution.config))?.etag(&distribution.etag))
    }

    pub(super) fn update_distribution(&self) -> Answer {
        let document = read::document(&self.request.body, "DistributionConfig")?;
        let config = read::config(&document)?;
        let store = &self.cloudfront.store;
        let _one = store.change();
        let there = self.distribution()?;
        self.check_version(&there.etag)?;
        if there.config.caller_reference != config.caller_reference {
            return Err(Error::new(
                400,
                "IllegalUpdate",
                "The update contains modifications that are not allowed: the caller reference is not the same.",
            ));
        }
        self.check_origins(&config, &there.id)?;
        let now = self.now();
        let changed = store.distributions.put(Distribution {
            etag: new_etag(),
            modified_ms: now,
            deployed_ms: now.saturating_add(self.cloudfront.status_delay_ms),
            config,
            ..(*there).clone()
        })?;
        self.show(&changed)
    }

    pub(super) fn delete_distribution(&self) -> Answer {
        let store = &self.cloudfront.store;
        let _one = store.change();
        let there = self.distribution()?;
        self.check_version(&there.etag)?;
        // A change that is under way has not disabled it everywhere.
        if there.config.enabled || !there.is_deployed(self.now()) {
            return Err(Error::new(
                409,
                "DistributionNotDisabled",
                "The distribution you are trying to delete has not been disabled.",
            ));
        }
        store.distributions.remove(&there.id)?;
        no_content()
    }

    pub(super) fn list_distributions(&self) -> Answer {
        let all = self
            .cloudfront
            .store
            .distributions
            .list(|one| one.is_of(self.caller));
        let page = self.page(all, |one| &one.id)?;
        let now = self.now();
        ok(write::page("DistributionList", &page, |xml, one| {
            write::distribution_summary(xml, one, &self.cloudfront.domain(&one.id), now);
        }))
    }
}
