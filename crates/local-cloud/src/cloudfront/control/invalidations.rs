//! Invalidations. Nothing is cached, so each is complete at once.

use super::{Answer, Call, ok};
use crate::cloudfront::error::Error;
use crate::cloudfront::model::{Distribution, Invalidation, new_id};
use crate::cloudfront::{read, write};

/// Paths of an invalidation. Source: "Quotas on invalidations", CloudFront developer guide.
const MAX_PATHS: usize = 3000;
/// Invalidations of a distribution that are remembered.
const REMEMBERED: usize = 100;

impl Call<'_> {
    pub(super) fn create_invalidation(&self) -> Answer {
        let document = read::document(&self.request.body, "InvalidationBatch")?;
        let (paths, caller_reference) = read::invalidation(&document)?;
        if paths.len() > MAX_PATHS {
            return Err(Error::new(
                413,
                "BatchTooLarge",
                "Invalidation batch specified is too large.",
            ));
        }
        let store = &self.cloudfront.store;
        let _one = store.change();
        let there = self.distribution()?;
        let path = |id: &str| format!("distribution/{}/invalidation/{id}", there.id);
        let mut invalidations = there.invalidations.clone();
        // Source: CallerReference of InvalidationBatch, CloudFront API reference.
        let same = invalidations
            .iter()
            .find(|one| one.caller_reference == caller_reference);
        if let Some(same) = same {
            return match same.paths == paths {
                true => Ok(ok(write::invalidation(same))?.created(&path(&same.id))),
                false => Err(Error::argument(
                    "Your request contains a caller reference that was used for a previous invalidation batch for the same \
                     distribution.",
                )),
            };
        }
        let made = Invalidation {
            id: new_id('I', 26),
            created_ms: self.now(),
            caller_reference,
            paths,
        };
        let reply = ok(write::invalidation(&made))?.created(&path(&made.id));
        invalidations.push(made);
        let forgotten = invalidations.len().saturating_sub(REMEMBERED);
        invalidations.drain(..forgotten);
        store.distributions.put(Distribution {
            invalidations,
            ..(*there).clone()
        })?;
        Ok(reply)
    }

    pub(super) fn get_invalidation(&self) -> Answer {
        let distribution = self.distribution()?;
        let mut all = distribution.invalidations.iter();
        let found = all.find(|one| one.id == self.route.invalidation);
        let found = found.ok_or_else(|| {
            Error::new(
                404,
                "NoSuchInvalidation",
                "The specified invalidation does not exist.",
            )
        })?;
        ok(write::invalidation(found))
    }

    pub(super) fn list_invalidations(&self) -> Answer {
        let distribution = self.distribution()?;
        let mut all: Vec<&Invalidation> = distribution.invalidations.iter().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let page = self.page(all, |one| &one.id)?;
        ok(write::page("InvalidationList", &page, |xml, one| {
            write::invalidation_summary(xml, one);
        }))
    }
}
