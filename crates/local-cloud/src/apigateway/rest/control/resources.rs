//! Resources: the parts of paths.

use serde::Deserialize;

use super::{Answer, Call, accepted, created, ok, read};
use crate::apigateway::control::check_count;
use crate::apigateway::error::{Error, Result};
use crate::apigateway::rest::model::{Resource, RestApi};
use crate::apigateway::rest::patch;
use crate::apigateway::store::new_id;

/// Source: "Quotas for configuring and running a REST API", API Gateway developer guide.
const MAX_RESOURCES: usize = 300;
const MAX_PATH: usize = 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Input {
    path_part: String,
}

impl Call<'_> {
    /// The path names the parent.
    pub(super) fn create_resource(&self) -> Answer {
        let Input { path_part: part } = read(self.body)?;
        check_part(&part)?;
        created(self.change(|api| {
            check_count(api.paths.resources.len(), MAX_RESOURCES, "resources")?;
            let parent = self.resource(api)?;
            let path = format!("{}/{part}", parent.path.trim_end_matches('/'));
            check(api, &self.route.id, parent, &part, &path)?;
            let resource = Resource {
                parent: Some(self.route.id.clone()),
                part,
                path,
                ..Resource::default()
            };
            let id = new_id(6);
            let shown = resource.describe(&id, false);
            api.paths.resources.insert(id, resource);
            Ok(shown)
        })?)
    }

    pub(super) fn get_resource(&self) -> Answer {
        let api = self.api()?;
        ok(self
            .resource(&api)?
            .describe(&self.route.id, self.embeds_methods()))
    }

    pub(super) fn get_resources(&self) -> Answer {
        let api = self.api()?;
        let all = self.embeds_methods();
        let resources = api.paths.resources.iter();
        self.page(resources.map(|(id, resource)| (id.clone(), resource.describe(id, all))))
    }

    fn embeds_methods(&self) -> bool {
        self.route.parameters("embed").any(|what| what == "methods")
    }

    pub(super) fn update_resource(&self) -> Answer {
        match patch::read(self.body)?.first() {
            Some(patch) => Err(patch.invalid()),
            None => self.get_resource(),
        }
    }

    /// Deletes what is below it too.
    pub(super) fn delete_resource(&self) -> Answer {
        self.change(|api| {
            let Resource { parent, path, .. } = self.resource(api)?.clone();
            if parent.is_none() {
                return Err(Error::bad_request("Root resource cannot be deleted"));
            }
            let below = format!("{path}/");
            api.paths
                .resources
                .retain(|_, resource| resource.path != path && !resource.path.starts_with(&below));
            Ok(())
        })?;
        accepted()
    }
}

fn check(api: &RestApi, parent_id: &str, parent: &Resource, part: &str, path: &str) -> Result<()> {
    if path.len() > MAX_PATH {
        return Err(Error::bad_request(format!(
            "A path has at most {MAX_PATH} characters"
        )));
    }
    if parent.part.ends_with("+}") {
        return Err(Error::bad_request(format!(
            "Cannot create a child of a resource with a greedy path variable: {}",
            parent.path
        )));
    }
    let is_sibling = |resource: &&Resource| resource.parent.as_deref() == Some(parent_id);
    let mut siblings = api.paths.resources.values().filter(is_sibling);
    let is_variable = |part: &str| part.starts_with('{') && !part.ends_with("+}");
    let clash = siblings.find(|other| other.part == part || is_variable(&other.part) && is_variable(part));
    match clash {
        Some(other) if other.part == part => Err(Error::conflict(
            "Another resource with the same parent already has this name: ".to_owned() + part,
        )),
        Some(other) => Err(Error::bad_request(format!(
            "A sibling ({}) of this resource already has a variable path part -- only one is allowed",
            other.part
        ))),
        None => Ok(()),
    }
}

fn check_part(part: &str) -> Result<()> {
    let inner = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(name) => name.strip_suffix('+').unwrap_or(name),
        None => part,
    };
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    if !inner.is_empty() && inner.bytes().all(is_sound) {
        return Ok(());
    }
    Err(Error::bad_request(
        "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and \
         the end.",
    ))
}
