//! The resources of a template that make up one function.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Manifest;
use ground::error::{Error, Result};

/// The ids of these resources.
#[derive(Debug, Default, PartialEq)]
pub struct FunctionPart {
    pub function: String,
    /// Roles that no other function uses.
    pub roles: BTreeSet<String>,
    /// Log groups that no other function uses.
    pub log_groups: BTreeSet<String>,
    /// The event source mappings that invoke it.
    pub mappings: BTreeSet<String>,
}

impl FunctionPart {
    /// The part of `manifest` whose function runs the bundled handler `handler`.
    ///
    /// # Errors
    /// Exit 1 when the template has no such function.
    pub fn of(manifest: &Manifest, handler: &str) -> Result<Self> {
        let kind = |id: &str| {
            manifest
                .resource(id)
                .map(|declared| declared.kind.get_ref().as_str())
        };
        let function = manifest.resources.iter().find(|declared| {
            let code = declared.properties.get("handler").map(|value| value.get_ref());
            declared.kind.get_ref() == "function" && code.and_then(Value::as_str) == Some(handler)
        });
        let function = function.ok_or_else(|| {
            Error::failed(format!(
                "template {} has no function with the handler {handler}",
                manifest.name
            ))
        })?;
        let mut part = Self {
            function: function.id.clone(),
            ..Self::default()
        };
        let mut shared = BTreeSet::new();
        for declared in manifest.resources.iter().filter(|one| one.id != function.id) {
            let needs = declared.needs()?;
            let is = declared.kind.get_ref().as_str();
            if is == "event_source_mapping" && needs.contains(&function.id) {
                part.mappings.insert(declared.id.clone());
            }
            if is == "function" {
                shared.extend(needs);
            }
        }
        for need in function
            .needs()?
            .into_iter()
            .filter(|need| !shared.contains(need))
        {
            match kind(&need) {
                Some("role") => part.roles.insert(need),
                Some("log_group") => part.log_groups.insert(need),
                _ => continue,
            };
        }
        Ok(part)
    }

    /// The function with its roles and log groups. Selected by id, they are part of the pipeline even if their `when` does
    /// not hold.
    pub fn without_mappings(&self) -> BTreeSet<String> {
        let sets = [&self.roles, &self.log_groups];
        let all = sets.into_iter().flatten().chain([&self.function]);
        all.cloned().collect()
    }

    pub fn ids(&self) -> BTreeSet<String> {
        let sets = [&self.roles, &self.log_groups, &self.mappings];
        let all = sets.into_iter().flatten().chain([&self.function]);
        all.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"
        name = "shop"
        description = "Two functions of one stream"
        instance = "one"
        [[resources]]
        kind = "stream"
        id = "stream"
        properties = { name = "orders" }
        [[resources]]
        kind = "role"
        id = "role"
        properties = { name = "shop", statements = [] }
        [[resources]]
        kind = "role"
        id = "common"
        properties = { name = "common", statements = [] }
        [[resources]]
        kind = "log_group"
        id = "logs"
        properties = { name = "/aws/lambda/shop" }
        [[resources]]
        kind = "function"
        id = "scorer"
        depends_on = ["stream", "common"]
        properties = { name = "shop", handler = "price-updater", role = "${role.arn}", log_group = "${logs.name}" }
        [[resources]]
        kind = "function"
        id = "other"
        properties = { name = "other", handler = "concert-data-processor", role = "${common.arn}" }
    "#;

    #[test]
    fn resources_that_functions_share_belong_to_none() {
        let manifest = Manifest::parse("shop", TEMPLATE, &super::super::resources::properties).unwrap();
        let part = FunctionPart::of(&manifest, "price-updater").unwrap();
        assert_eq!(part.function, "scorer");
        assert_eq!(part.ids(), ["logs", "role", "scorer"].map(str::to_owned).into());
        let error = FunctionPart::of(&manifest, "retail-event-processor").unwrap_err();
        insta::assert_snapshot!(error, @"template shop has no function with the handler retail-event-processor");
    }
}
