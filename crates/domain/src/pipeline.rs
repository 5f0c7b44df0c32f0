//! Pipelines: from a template's [`manifest`] through the [`graph`] of its resources to a [`plan`], which is
//! [`apply`]ed, [`verify`]d and [`destroy`]ed.
//!
//! There is no state file: each run observes what exists. Names are deterministic, and every resource carries the
//! pipeline's [`Identity`] in its tags, so that a run on another machine, or after a crash, continues where the last one
//! ended. Kinds of resources are in [`resources`], one file each, behind the [`Resource`] trait. The engine knows no kind.

pub mod access;
pub mod apply;
pub mod condition;
pub mod cost;
mod deployed;
pub mod destroy;
pub mod event;
pub mod follow;
mod formula;
mod function_part;
pub mod graph;
mod lag;
pub mod manifest;
pub mod parameter;
pub mod plan;
pub mod resource;
pub mod resources;
pub mod samples;
pub mod source;
pub mod substitute;
pub mod tags;
pub mod verify;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

pub use deployed::deployed;
pub use event::{Event, Step};
pub use function_part::FunctionPart;
pub use graph::Graph;
pub use manifest::{Manifest, SampleEvents};
pub use parameter::{Given, Origin, Values};
pub use resource::{
    Catalog, Change, Check, CheckState, Dependencies, Identity, Location, Observed, Outputs, Present,
    Properties, Resource, Spec, UNKNOWN,
};
pub use source::{Bundled, bundled, read_file, template};
pub use tags::Tags;

use crate::iam;
use crate::settings::DEFAULT_REGION;
use ground::error::{Error, Result};

/// What the user asks for, besides the template.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Values for parameters, by name.
    pub given: BTreeMap<String, Given>,
    /// Tags for every resource, besides those of the template.
    pub tags: BTreeMap<String, String>,
    /// Tag keys to remove from every resource.
    pub untag: BTreeSet<String>,
    /// Whether to change and delete resources that this pipeline did not create.
    pub adopt: bool,
    /// Includes resources whose `when` does not hold, as `destroy` does.
    pub everything: bool,
    /// Only these resources, by id, whether or not their `when` holds. `plan` and `apply` include what they need;
    /// `destroy` does not.
    pub only: Option<BTreeSet<String>>,
    /// Properties by resource id. They override the template's; a table is merged into the template's table.
    pub properties: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// A template with resolved parameters. Needs no call to a service.
#[derive(Debug, Clone)]
pub struct Draft {
    manifest: Manifest,
    values: Values,
    request: Request,
    identity: Identity,
    /// Whether the instance is that of the template's default parameters.
    default_instance: bool,
}

impl Draft {
    /// Resolves the parameters of `manifest`.
    ///
    /// # Errors
    /// Exit 2 with every invalid value.
    pub fn new(manifest: Manifest, request: Request) -> Result<Self> {
        let mut manifest = manifest;
        let values = parameter::resolve(&manifest.name, &manifest.parameters, &request.given)?;
        let resources = manifest.resources.iter();
        manifest.resources = resources.flat_map(|declared| declared.expand(&values)).collect();
        tags::check(&request.tags, &request.untag)?;
        let named = |values: &Values| substitute::text(&manifest.instance, &|name| values.lookup(name));
        let instance = named(&values)?;
        let defaults = parameter::defaults(&manifest.parameters);
        let default_instance = named(&defaults).is_ok_and(|default| default == instance);
        let identity = Identity::new(&manifest.name, &instance);
        Ok(Self {
            manifest,
            values,
            request,
            identity,
            default_instance,
        })
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The name of its stream, if parameters alone make it.
    pub fn stream_name(&self) -> Option<String> {
        let is_stream = |declared: &&manifest::Declaration| declared.kind.get_ref() == "stream";
        let stream = self.manifest.resources.iter().find(is_stream)?;
        let name = stream.properties.get("name")?.get_ref().as_str()?;
        substitute::text(name, &|name| self.values.lookup(name)).ok()
    }

    /// Binds the draft to the account and region of `catalog`.
    ///
    /// # Errors
    /// Exit 2 when the references of the manifest contain a cycle.
    pub fn bind<'c>(self, catalog: &'c dyn Catalog) -> Result<Pipeline<'c>> {
        let Self {
            manifest,
            values,
            request,
            identity,
            default_instance,
        } = self;
        let named = |id: &String| request.only.as_ref().is_some_and(|only| only.contains(id));
        let mut included: BTreeSet<&str> = manifest
            .resources
            .iter()
            .filter(|declared| is_included(declared, &values, request.everything || named(&declared.id)))
            .map(|declared| declared.id.as_str())
            .collect();
        let mut needs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for declared in &manifest.resources {
            let needed = declared.needs()?.into_iter();
            let needed = needed.filter(|id| included.contains(id.as_str())).collect();
            needs.insert(&declared.id, needed);
        }
        if let Some(only) = &request.only {
            included = with_needs(&manifest, only, &needs, &included)?;
        }
        let nodes = manifest
            .resources
            .iter()
            .filter(|declared| included.contains(declared.id.as_str()))
            .map(|declared| {
                let needed = needs.get(declared.id.as_str()).cloned().unwrap_or_default();
                (declared.id.clone(), needed)
            })
            .collect();
        let graph = Graph::new(nodes)?;
        let suffix = suffix(&identity, default_instance, catalog.location());
        Ok(Pipeline {
            manifest,
            values,
            request,
            identity,
            suffix,
            default_instance,
            graph,
            catalog,
            outputs: Mutex::new(BTreeMap::new()),
        })
    }
}

/// Whether a resource is part of the pipeline: its `when` holds, or `everything` is set. With `everything`, a resource is
/// still excluded if its properties refer to a parameter of its `when` that has no value: its name is unknown.
fn is_included(declared: &manifest::Declaration, values: &Values, everything: bool) -> bool {
    let Some(condition) = &declared.when else {
        return true;
    };
    let nameless = |name: &str| {
        let empty = values.get(name).is_none_or(serde_json::Value::is_null);
        empty && declared.refers_to(name)
    };
    condition.holds(&|name| values.lookup(name)) || (everything && !condition.names().any(nameless))
}

/// The resources `only`, and everything that they need, as far as it is `included`.
fn with_needs<'m>(
    manifest: &'m Manifest,
    only: &BTreeSet<String>,
    needs: &BTreeMap<&str, BTreeSet<String>>,
    included: &BTreeSet<&str>,
) -> Result<BTreeSet<&'m str>> {
    let mut reached: BTreeSet<&'m str> = BTreeSet::new();
    let mut left: Vec<&str> = only.iter().map(String::as_str).collect();
    while let Some(id) = left.pop() {
        let declared = manifest
            .resource(id)
            .ok_or_else(|| Error::usage(format!("template {} declares no resource {id}", manifest.name)))?;
        if included.contains(id) && reached.insert(&declared.id) {
            left.extend(needs.get(id).into_iter().flatten().map(String::as_str));
        }
    }
    Ok(reached)
}

/// The suffix of the names of account-wide resources (IAM), so that two pipelines do not share one. Empty for the
/// template's default instance in the default region; otherwise the instance and the region, where they differ.
fn suffix(identity: &Identity, default_instance: bool, location: &Location) -> String {
    let mut suffix = String::new();
    if !default_instance {
        suffix.push('-');
        suffix.push_str(&identity.short_instance());
    }
    if location.region != DEFAULT_REGION {
        suffix.push('-');
        suffix.push_str(&location.region);
    }
    suffix
}

/// Properties whose values are tables of strings: numbers and booleans in them are converted.
const TEXTS: &[&str] = &["environment", "dimensions"];

/// A template bound to an account and a region. It can be planned, applied, verified and destroyed.
pub struct Pipeline<'c> {
    manifest: Manifest,
    values: Values,
    request: Request,
    identity: Identity,
    suffix: String,
    default_instance: bool,
    graph: Graph,
    catalog: &'c dyn Catalog,
    /// The outputs of each resource, as far as they are known.
    outputs: Mutex<BTreeMap<String, Outputs>>,
}

impl<'c> Pipeline<'c> {
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The dependencies between the resources.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether to change and delete resources that this pipeline did not create.
    pub fn adopts(&self) -> bool {
        self.request.adopt
    }

    /// Whether the parameters leave out resource `id`: it exists only if an earlier setup had others.
    fn leaves_out(&self, id: &str) -> bool {
        let declared = self.manifest.resource(id);
        declared.is_some_and(|declared| !is_included(declared, &self.values, false))
    }

    /// The desired state of resource `id`, as far as it is known now.
    ///
    /// # Errors
    /// Exit 2 when the manifest refers to something that does not exist.
    pub fn spec(&self, id: &str) -> Result<Spec> {
        let declared = self
            .manifest
            .resource(id)
            .ok_or_else(|| Error::failed(format!("the template declares no resource {id}")))?;
        let lookup = |name: &str| self.lookup(name);
        let mut properties = Properties::default();
        for (key, value) in &declared.properties {
            let filled = substitute::fill(value.get_ref(), &lookup)
                .map_err(|problem| declared.problem(&format!("property {key}: {problem}")))?;
            // An optional parameter without a value omits the property.
            if !filled.value.is_null() {
                let value = if TEXTS.contains(&key.as_str()) {
                    substitute::texts(filled.value)
                } else {
                    filled.value
                };
                properties.set(key, value, filled.origin.unwrap_or(Origin::Template));
            }
        }
        for (key, value) in self.request.properties.get(id).into_iter().flatten() {
            properties.put(key, value.clone());
        }
        let mut tags = Tags::default();
        for (key, value) in &self.manifest.tags {
            let filled = substitute::fill(&value.as_str().into(), &lookup).map_err(|problem| {
                Error::usage(format!("tag {key} of template {}: {problem}", self.manifest.name))
            })?;
            let text = substitute::plain(&filled.value);
            tags.set(key, &text, filled.origin.unwrap_or(Origin::Template));
        }
        for (key, value) in &self.request.tags {
            tags.set(key, value, Origin::Given);
        }
        for key in &self.request.untag {
            tags.remove(key);
        }
        tags.set_owner(&self.identity);
        Ok(Spec {
            id: declared.id.clone(),
            kind: declared.kind.get_ref().clone(),
            line: declared.line,
            properties,
            tags,
            identity: self.identity.clone(),
        })
    }

    /// The resource `id` and its spec.
    ///
    /// # Errors
    /// Exit 2 when the kind refuses the properties.
    pub fn resource(&self, id: &str) -> Result<(Spec, Box<dyn Resource + 'c>)> {
        let spec = self.spec(id)?;
        let resource = self.catalog.make(spec.clone())?;
        Ok((spec, resource))
    }

    /// Stores the outputs of resource `id` for the resources that refer to them.
    fn learn(&self, id: &str, outputs: Outputs) {
        self.lock_outputs().insert(id.to_owned(), outputs);
    }

    fn lock_outputs(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Outputs>> {
        self.outputs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lookup(&self, name: &str) -> Option<substitute::Filled> {
        let Some((id, output)) = name.split_once('.') else {
            return self.values.lookup(name);
        };
        let location = self.catalog.location();
        let text = match (id, output) {
            ("pipeline", "template") => self.identity.template().to_owned(),
            ("pipeline", "instance") => self.identity.instance().to_owned(),
            ("pipeline", "instance_suffix") => self.unless_default(|identity| identity.shortened(24)),
            ("pipeline", "instance_hash") => self.unless_default(Identity::hash),
            ("pipeline", "instance_word") => self.unless_default(Identity::hash).replace('-', "_"),
            ("pipeline", "suffix") => self.suffix.clone(),
            ("pipeline", "account") => location.account.clone(),
            ("pipeline", "region") => location.region.clone(),
            ("pipeline", "partition") => location.partition.clone(),
            ("pipeline", _) => return None,
            _ if self.graph.index(id).is_none() => {
                // Declared, but excluded by its `when`: like an optional parameter without a value. Such a value is a
                // default, so it does not change a resource that exists.
                self.manifest.resource(id)?;
                return Some(substitute::Filled::absent());
            }
            _ => {
                let known = self.lock_outputs();
                let text = known.get(id).and_then(|outputs| outputs.get(output));
                text.cloned().unwrap_or_else(|| UNKNOWN.to_owned())
            }
        };
        Some(substitute::Filled {
            value: text.into(),
            origin: None,
        })
    }

    /// Part of the names that distinguishes this pipeline from the template's default instance, where it is empty.
    fn unless_default(&self, part: impl Fn(&Identity) -> String) -> String {
        match self.default_instance {
            true => String::new(),
            false => format!("-{}", part(&self.identity)),
        }
    }

    /// Whether it declares a page.
    pub fn has_pages(&self) -> bool {
        self.sites().next().is_some()
    }

    /// The addresses of its pages that exist, with the name of the resource in the manifest. They are known once a plan has
    /// been made.
    pub fn pages(&self) -> Vec<(String, String)> {
        let known = self.lock_outputs();
        let address = |id: &str| known.get(id)?.get("url").filter(|url| *url != UNKNOWN).cloned();
        self.sites()
            .filter_map(|id| Some((id.to_owned(), address(id)?)))
            .collect()
    }

    fn sites(&self) -> impl Iterator<Item = &str> {
        let is_site = move |id: &&str| {
            let declared = self.manifest.resource(id);
            declared.is_some_and(|declared| declared.kind.get_ref() == "site")
        };
        self.graph.order().filter(is_site)
    }

    /// The template's outputs, as far as they are known.
    ///
    /// # Errors
    /// Exit 2 when an output refers to something that does not exist.
    pub fn outputs(&self) -> Result<BTreeMap<String, String>> {
        let mut outputs = BTreeMap::new();
        for (name, text) in &self.manifest.outputs {
            let filled = substitute::fill(&text.as_str().into(), &|name| self.lookup(name))
                .map_err(|problem| Error::usage(format!("output {name}: {problem}")))?;
            if !filled.value.is_null() {
                outputs.insert(name.clone(), substitute::plain(&filled.value));
            }
        }
        Ok(outputs)
    }

    /// The permissions to plan, apply, verify and destroy this pipeline. `whole` is the same pipeline with
    /// [`Request::everything`]: `destroy` also deletes resources that only an earlier setup created.
    ///
    /// # Errors
    /// Exit 2 when a kind refuses its properties.
    pub fn operator_policy(&self, whole: &Self) -> Result<serde_json::Value> {
        let mut statements = vec![iam::Statement::new(&["sts:GetCallerIdentity"], ["*".to_owned()])];
        let mut ours = BTreeSet::new();
        for id in self.graph.order() {
            statements.extend(self.predict(id)?.iam());
            ours.insert(id);
        }
        for id in whole.graph.order() {
            let resource = whole.predict(id)?;
            if !ours.contains(id) {
                let needs = resource.iam().into_iter();
                statements.extend(needs.filter_map(iam::Statement::only_deleting));
            }
        }
        if let Some(follow) = self.follow()? {
            statements.extend(follow.iam(self.catalog.location()));
        }
        Ok(iam::document(statements))
    }

    /// The desired state of every resource, as far as it is known without a call.
    ///
    /// # Errors
    /// Exit 2 when a kind refuses its properties.
    pub fn specs(&self) -> Result<Vec<Spec>> {
        let order = self.graph.order();
        order
            .map(|id| self.predict(id).and_then(|_| self.spec(id)))
            .collect()
    }

    /// Stores the outputs of a resource that are known before it exists.
    fn predict(&self, id: &str) -> Result<Box<dyn Resource + 'c>> {
        let (_, resource) = self.resource(id)?;
        self.learn(id, resource.outputs(&Observed::Absent));
        Ok(resource)
    }

    /// Whether `destroy` may delete resource `id`. It only reads the outputs of the others.
    fn is_selected(&self, id: &str) -> bool {
        self.request.only.as_ref().is_none_or(|only| only.contains(id))
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
