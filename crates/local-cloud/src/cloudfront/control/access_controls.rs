//! Origin access controls.

use std::sync::Arc;

use super::{Answer, Call, new_etag, no_content, ok};
use crate::cloudfront::error::{Error, Result};
use crate::cloudfront::model::{AccessControl, new_id};
use crate::cloudfront::{read, write};

/// Origin access controls of an account. Source: "General quotas on distributions", CloudFront developer guide.
const MAX_ACCESS_CONTROLS: usize = 100;

impl Call<'_> {
    fn access_control(&self) -> Result<Arc<AccessControl>> {
        let found = self.cloudfront.store.access_controls.get(&self.route.id)?;
        found
            .filter(|one| one.account == self.caller.account)
            .ok_or_else(Error::no_access_control)
    }

    fn access_controls(&self) -> Vec<Arc<AccessControl>> {
        let all = &self.cloudfront.store.access_controls;
        all.list(|one| one.account == self.caller.account)
    }

    /// Refuses a name that another one has.
    fn check_name(&self, name: &str, id: &str) -> Result<()> {
        let mut all = self.access_controls().into_iter();
        match all.any(|one| one.name == name && one.id != id) {
            true => Err(Error::new(
                409,
                "OriginAccessControlAlreadyExists",
                "An origin access control with the same name already exists.",
            )),
            false => Ok(()),
        }
    }

    pub(super) fn create_access_control(&self) -> Answer {
        let document = read::document(&self.request.body, "OriginAccessControlConfig")?;
        let given = read::access_control(&document)?;
        let store = &self.cloudfront.store;
        let _one = store.change();
        self.check_name(&given.name, "")?;
        if self.access_controls().len() >= MAX_ACCESS_CONTROLS {
            return Err(Error::new(
                400,
                "TooManyOriginAccessControls",
                "The number of origin access controls in your account exceeds the maximum allowed.",
            ));
        }
        let id = loop {
            let id = new_id('E', 14);
            if !store.access_controls.is_taken(&id) {
                break id;
            }
        };
        let made = store.access_controls.put(AccessControl {
            id,
            account: self.caller.account.clone(),
            etag: new_etag(),
            ..given
        })?;
        let path = format!("origin-access-control/{}", made.id);
        let reply = ok(write::access_control(&made))?.etag(&made.etag);
        Ok(reply.created(&path))
    }

    pub(super) fn get_access_control(&self, only_config: bool) -> Answer {
        let control = self.access_control()?;
        let document = match only_config {
            true => write::access_control_config(&control),
            false => write::access_control(&control),
        };
        Ok(ok(document)?.etag(&control.etag))
    }

    pub(super) fn update_access_control(&self) -> Answer {
        let document = read::document(&self.request.body, "OriginAccessControlConfig")?;
        let given = read::access_control(&document)?;
        let store = &self.cloudfront.store;
        let _one = store.change();
        let there = self.access_control()?;
        self.check_version(&there.etag)?;
        self.check_name(&given.name, &there.id)?;
        let changed = store.access_controls.put(AccessControl {
            id: there.id.clone(),
            account: there.account.clone(),
            etag: new_etag(),
            ..given
        })?;
        Ok(ok(write::access_control(&changed))?.etag(&changed.etag))
    }

    pub(super) fn delete_access_control(&self) -> Answer {
        let store = &self.cloudfront.store;
        let _one = store.change();
        let there = self.access_control()?;
        self.check_version(&there.etag)?;
        let users = store.distributions.list(|one| one.uses(&there.id));
        if !users.is_empty() {
            return Err(Error::new(
                409,
                "OriginAccessControlInUse",
                "Cannot delete the origin access control because it's in use by one or more distributions.",
            ));
        }
        store.access_controls.remove(&there.id)?;
        no_content()
    }

    pub(super) fn list_access_controls(&self) -> Answer {
        let page = self.page(self.access_controls(), |one| &one.id)?;
        ok(write::page("OriginAccessControlList", &page, |xml, one| {
            write::access_control_summary(xml, one);
        }))
    }
}
