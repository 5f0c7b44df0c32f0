//! Tags of functions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Request, no_content, ok};
use crate::lambda::error::{ApiError, Result};
use crate::lambda::name::FunctionName;
use crate::lambda::settings;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    tags: Option<BTreeMap<String, String>>,
}

impl Request<'_> {
    fn tagged(&self, arn: &str) -> Result<FunctionName> {
        if arn.starts_with("arn:") && arn.split(':').nth(5) != Some("function") {
            return Err(ApiError::not_found("The resource you requested does not exist."));
        }
        self.unqualified(arn)
    }

    pub(super) fn list_tags(&self, arn: &str) -> Answer {
        let function = self.lambda.registry.find(&self.tagged(arn)?)?;
        ok(json!({"Tags": function.tags}))
    }

    pub(super) fn tag_resource(&self, arn: &str) -> Answer {
        let name = self.tagged(arn)?;
        let input: Tag = settings::read(self.body)?;
        let tags = input.tags.ok_or_else(|| ApiError::missing("tags"))?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        function.tags.extend(tags);
        settings::check_tags(&function.tags)?;
        change.put(self.caller, function)?;
        no_content()
    }

    pub(super) fn untag_resource(&self, arn: &str) -> Answer {
        let name = self.tagged(arn)?;
        if self.route.parameter("tagKeys").is_none() {
            return Err(ApiError::missing("tagKeys"));
        }
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        for key in self.route.parameters("tagKeys") {
            function.tags.remove(key);
        }
        change.put(self.caller, function)?;
        no_content()
    }
}
