//! Pipelines: from a template's [`manifest`] through the [`graph`] of its resources to a [`plan`], which is
//! [`apply`]ed, [`verify`]d and [`destroy`]ed.
//!
//! Observed state is the truth: nothing is remembered between runs. Names are deterministic and everything made
//! carries the pipeline's [`Identity`], so that a run on another machine, or after a crash, finds its way.
//! Kinds of resources live in [`resources`], one file each, behind the [`Resource`] trait; the engine knows none.

pub mod access;
pub mod apply;
pub mod condition;
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
pub mod source;
pub mod substitute;
pub mod tags;
pub mod verify;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

pub use event::{Event, Step};
pub(crate) use function_part::FunctionPart;
pub use graph::Graph;
pub use manifest::Manifest;
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

/// What the user asks of a template.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Values for parameters, by name.
    pub given: BTreeMap<String, Given>,
    /// Tags for everything, besides the template's own.
    pub tags: BTreeMap<String, String>,
    /// Tag keys to take away from everything.
    pub untag: BTreeSet<String>,
    /// Whether what another hand made may be changed and deleted.
    pub adopt: bool,
    /// Take in the resources whose `when` is not fulfilled too, as `destroy` does.
    pub everything: bool,
    /// Only these resources, by id, whether or not their `when` is fulfilled: `plan` and `apply` take in what they need
    /// too, `destroy` nothing else.
    pub only: Option<BTreeSet<String>>,
    /// Properties by resource id that stand above the template's; a table goes into the template's table.
    pub properties: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// A template with its parameters settled and checked: made without any call.
#[derive(Debug, Clone)]
pub struct Draft {
    manifest: Manifest,
    values: Values,
    request: Request,
    identity: Identity,
    /// Whether the instance is the one the template's defaults name.
    default_instance: bool,
}

impl Draft {
    /// Settles the parameters of `manifest`.
    ///
    /// # Errors
    /// Exit 2 with every bad value at once.
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

    /// Which pipeline this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The template.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The settled parameters.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Puts the draft onto the resources of `catalog`.
    ///
    /// # Errors
    /// Exit 2 when the manifest's references make a cycle.
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

/// Whether a resource is part of the pipeline: its `when` holds, or everything is asked for. What cannot even be named
/// without a parameter that has no value is not: there is nothing to look for.
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

/// The resources `only` and all that they need, of those that are `included`.
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

/// What names of account-wide resources (IAM) end in, so that two pipelines do not fight over one: nothing for the
/// template's default instance in the default region, else instance and region as far as they differ.
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

/// Properties that are tables of texts, whatever the type of what they refer to.
const TEXTS: &[&str] = &["environment", "dimensions"];

/// A template bound to a place: what can be planned, applied, verified and destroyed.
pub struct Pipeline<'c> {
    manifest: Manifest,
    values: Values,
    request: Request,
    identity: Identity,
    suffix: String,
    default_instance: bool,
    graph: Graph,
    catalog: &'c dyn Catalog,
    /// What is known of each resource's outputs so far.
    outputs: Mutex<BTreeMap<String, Outputs>>,
}

impl<'c> Pipeline<'c> {
    /// Which pipeline this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The template.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The resources and what they need of each other.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether what another hand made may be changed and deleted.
    pub fn adopts(&self) -> bool {
        self.request.adopt
    }

    /// Everything resource `id` is to be, as far as it is known now.
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
            // An optional parameter that was not given leaves the property out.
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
        tags.own(&self.identity);
        Ok(Spec {
            id: declared.id.clone(),
            kind: declared.kind.get_ref().clone(),
            line: declared.line,
            properties,
            tags,
            identity: self.identity.clone(),
        })
    }

    /// The resource `id` as its kind makes it of its spec.
    ///
    /// # Errors
    /// Exit 2 when the kind refuses the properties.
    pub fn resource(&self, id: &str) -> Result<(Spec, Box<dyn Resource + 'c>)> {
        let spec = self.spec(id)?;
        let resource = self.catalog.make(spec.clone())?;
        Ok((spec, resource))
    }

    /// Remembers what `resource` offers to those that refer to it.
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
            ("pipeline", "suffix") => self.suffix.clone(),
            ("pipeline", "account") => location.account.clone(),
            ("pipeline", "region") => location.region.clone(),
            ("pipeline", "partition") => location.partition.clone(),
            ("pipeline", _) => return None,
            _ if self.graph.index(id).is_none() => {
                // Declared, but left out by its `when`: as if it were an optional parameter without a value.
                self.manifest.resource(id)?;
                // As with a default, what exists is not changed for the lack of it.
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

    /// What tells the names of this pipeline's resources from those of the template's default instance.
    fn unless_default(&self, tell: impl Fn(&Identity) -> String) -> String {
        match self.default_instance {
            true => String::new(),
            false => format!("-{}", tell(&self.identity)),
        }
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

    /// What an operator needs to be allowed to plan, apply, verify and destroy this pipeline. `whole` is the same with
    /// [`Request::everything`]: `destroy` looks for what is in it alone, and deletes it if an earlier setup made it.
    ///
    /// # Errors
    /// Exit 2 when a kind refuses its properties.
    pub fn operator_policy(&self, whole: &Self) -> Result<serde_json::Value> {
        let mut statements = vec![iam::Statement::new(&["sts:GetCallerIdentity"], ["*".to_owned()])];
        let mut ours = BTreeSet::new();
        for id in self.graph.order() {
            statements.extend(self.foretell(id)?.iam());
            ours.insert(id);
        }
        for id in whole.graph.order() {
            let resource = whole.foretell(id)?;
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

    /// Every resource as it is to be, as far as that can be told without a call.
    ///
    /// # Errors
    /// Exit 2 when a kind refuses its properties.
    pub fn specs(&self) -> Result<Vec<Spec>> {
        let order = self.graph.order();
        order
            .map(|id| self.foretell(id).and_then(|_| self.spec(id)))
            .collect()
    }

    /// Learns what can be told of a resource before it is there.
    fn foretell(&self, id: &str) -> Result<Box<dyn Resource + 'c>> {
        let (_, resource) = self.resource(id)?;
        self.learn(id, resource.outputs(&Observed::Absent));
        Ok(resource)
    }

    /// Whether `destroy` may delete resource `id`, rather than only learn from it.
    fn is_meant(&self, id: &str) -> bool {
        self.request.only.as_ref().is_none_or(|only| only.contains(id))
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
