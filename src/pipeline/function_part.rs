//! The resources of a template that make up one function.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Manifest;
use ground::error::{Error, Result};

/// The resources of a template that make up one function, by id.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct FunctionPart {
    /// The function.
    pub(crate) function: String,
    /// The roles that it alone runs as.
    pub(crate) roles: BTreeSet<String>,
    /// The log groups that it alone writes to.
    pub(crate) log_groups: BTreeSet<String>,
    /// The event source mappings that invoke it.
    pub(crate) mappings: BTreeSet<String>,
}

impl FunctionPart {
    /// The part of `manifest` whose code is the bundled handler `handler`.
    ///
    /// # Errors
    /// Exit 1 where the template has no such function.
    pub(crate) fn of(manifest: &Manifest, handler: &str) -> Result<Self> {
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
                "template {} has no function of the handler {handler}",
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

    /// The function, and what it alone runs as and writes to. Named, they are part of the pipeline even where the
    /// template makes them on request only.
    pub(crate) fn without_mappings(&self) -> BTreeSet<String> {
        let sets = [&self.roles, &self.log_groups];
        let all = sets.into_iter().flatten().chain([&self.function]);
        all.cloned().collect()
    }

    /// Everything of it.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
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
    fn the_part_of_a_function_is_what_is_its_alone() {
        let manifest = Manifest::parse("shop", TEMPLATE, &super::super::resources::properties).unwrap();
        let part = FunctionPart::of(&manifest, "price-updater").unwrap();
        assert_eq!(part.function, "scorer");
        assert_eq!(part.ids(), ["logs", "role", "scorer"].map(str::to_owned).into());
        let error = FunctionPart::of(&manifest, "retail-event-processor").unwrap_err();
        insta::assert_snapshot!(error, @"template shop has no function of the handler retail-event-processor");
    }
}
