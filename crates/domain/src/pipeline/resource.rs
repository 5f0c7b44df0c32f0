//! The interface between the engine and the kinds of resources, and the values that they exchange. Knows neither the
//! kinds nor the services.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::event::Step;
use super::parameter::Origin;
use super::tags::{self, Owner, Tags};
use crate::iam::Statement;
use ground::error::{Error, Result};

/// Stands for an output that is not known before the resource exists.
pub const UNKNOWN: &str = "(known after setup)";

/// Values that other resources can refer to, by name.
pub type Outputs = BTreeMap<String, String>;

/// One resource of a pipeline. Its kind makes it from a [`Spec`].
///
/// Every method may be called again after a crash at any point: `apply` and `delete` start from what exists.
#[async_trait]
pub trait Resource: Send + Sync {
    /// Its name at the service, as the user knows it.
    fn name(&self) -> String;

    /// What is declared, in a few words.
    fn summary(&self) -> String {
        String::new()
    }

    /// What exists now.
    async fn observe(&self) -> Result<Observed>;

    /// The changes to make, in their order. Called only for a resource that is absent, ours, or adopted.
    ///
    /// # Errors
    /// When `observed` is not what this kind observes.
    fn diff(&self, observed: &Observed, dependencies: &Dependencies) -> Result<Vec<Change>>;

    /// Makes one change of [`Resource::diff`], and waits until it is complete.
    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()>;

    /// Deletes it, and waits until it is gone.
    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()>;

    /// What its deletion affects outside the pipeline, in words.
    async fn dependents(&self, _observed: &Observed) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// What would break without it, in this pipeline or outside. It is not deleted while one of them stays.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn users(&self, _observed: &Observed) -> Result<Vec<User>> {
        Ok(Vec::new())
    }

    /// What is deleted with it, besides what the manifest declares.
    ///
    /// # Errors
    /// When it cannot be listed.
    async fn takes_along(&self, _observed: &Observed) -> Result<Vec<User>> {
        Ok(Vec::new())
    }

    /// How long after the deletion of the others its service may create it again by itself; `None` where it does not. Such a
    /// resource is deleted last.
    fn returns_within(&self) -> Option<Duration> {
        None
    }

    /// Checks whether it works. `probe` allows checks that leave something behind, such as a record.
    async fn verify(&self, _observed: &Observed, _probe: bool) -> Vec<Check> {
        Vec::new()
    }

    /// Its outputs: all where it exists, else those that are known before.
    fn outputs(&self, observed: &Observed) -> Outputs;

    /// The permissions that the operator needs for it.
    fn iam(&self) -> Vec<Statement>;

    /// Whether it exists after its creation; false for an action, such as putting a test record.
    fn stays(&self) -> bool {
        true
    }
}

/// Makes resources from their specs.
pub trait Catalog: Send + Sync {
    /// Where the resources are.
    fn location(&self) -> &Location;

    /// The resource that `spec` declares.
    ///
    /// # Errors
    /// Exit 2 when the kind refuses the properties.
    fn make<'c>(&'c self, spec: Spec) -> Result<Box<dyn Resource + 'c>>;
}

/// Account, region and partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// 12 digits.
    pub account: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// Such as `aws`.
    pub partition: String,
}

/// The identity of a pipeline: template and instance, written `stream/orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    template: String,
    instance: String,
}

impl Identity {
    pub fn new(template: &str, instance: &str) -> Self {
        Self {
            template: template.to_owned(),
            instance: instance.to_owned(),
        }
    }

    pub fn template(&self) -> &str {
        &self.template
    }

    /// What distinguishes it from other pipelines of the template.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Path of its IAM resources, such as `/streamctl/stream/orders/`.
    pub fn iam_path(&self) -> String {
        format!("/streamctl/{}/{}/", self.template, self.instance)
    }

    /// The instance in at most 60 characters, still different for different instances.
    pub fn short_instance(&self) -> String {
        self.shortened(60)
    }

    /// The instance in at most `longest` characters (20 or more), still different for different instances.
    pub(super) fn shortened(&self, longest: usize) -> String {
        shortened(&self.instance, longest)
    }

    /// The instance in 12 lower-case hexadecimal digits, for names such as a bucket's that allow little else.
    pub(super) fn hash(&self) -> String {
        format!("{:012x}", fnv1a(&self.instance) & 0xffff_ffff_ffff)
    }
}

/// `text` in at most `longest` characters (20 or more), still different for different texts.
pub(crate) fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let head: String = text.chars().take(longest.saturating_sub(17)).collect();
    format!("{head}-{:016x}", fnv1a(text))
}

/// FNV-1a, 64 bits: stable on every machine and version, unlike the standard library's hashers.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.template, self.instance)
    }
}

/// What a manifest declares for one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name in the manifest.
    pub id: String,
    pub kind: String,
    /// The line of the manifest that declares it.
    pub line: usize,
    /// Its properties, with all references filled in.
    pub properties: Properties,
    /// The tags to set.
    pub tags: Tags,
    pub identity: Identity,
}

impl Spec {
    /// The properties as the kind's own type.
    ///
    /// # Errors
    /// Exit 2 naming the line of the declaration.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(Value::Object(self.properties.values.clone()))
            .map_err(|error| Error::usage(format!("line {}: resource {}: {error}", self.line, self.id)))
    }
}

/// Properties, and the origin of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    values: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
}

impl Properties {
    pub(super) fn set(&mut self, key: &str, value: Value, origin: Origin) {
        self.values.insert(key.to_owned(), value);
        self.origins.insert(key.to_owned(), origin);
    }

    /// Sets a property that the user gave. A table is merged into the declared one.
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        match (self.values.get_mut(key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
            (_, value) => {
                self.values.insert(key.to_owned(), value);
            }
        }
        self.origins.insert(key.to_owned(), Origin::Given);
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The origin of property `key`; [`Origin::Default`] where it is not set.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).copied().unwrap_or(Origin::Default)
    }

    /// Whether property `key` is enforced on a resource that exists. A default is not, unless the resource is unfinished.
    pub fn enforced(&self, key: &str, present: &Present) -> bool {
        self.origin(key) > Origin::Default || present.unfinished()
    }
}

/// What exists of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    Absent,
    /// A resource of its name.
    Present(Present),
}

/// A resource that exists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    pub tags: BTreeMap<String, String>,
    /// What its kind has observed, in the kind's own form.
    pub facts: Value,
}

impl Present {
    /// Whether a run started to create it and did not finish.
    pub fn unfinished(&self) -> bool {
        self.tags.contains_key(tags::UNFINISHED)
    }

    /// The facts in the kind's own type.
    ///
    /// # Errors
    /// When another kind observed it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.facts.clone())
            .map_err(|error| Error::failed("what was observed could not be read").cause(error))
    }
}

impl Observed {
    pub fn present(&self) -> Option<&Present> {
        match self {
            Self::Absent => None,
            Self::Present(present) => Some(present),
        }
    }

    /// Its owner, if it exists.
    pub fn owner(&self, identity: &Identity) -> Option<Owner> {
        self.present().map(|present| tags::owner(&present.tags, identity))
    }
}

/// What uses a resource, or is deleted with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its kind, such as `function`.
    pub kind: &'static str,
    pub name: String,
}

impl User {
    /// Kind and name, for people.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind.replace('_', " "), self.name)
    }
}

/// What this run does to the resources that a resource needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Whether the run creates one of them.
    pub created: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "ResourceChange")
)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Change {
    /// Create it with all its properties.
    Create,
    /// Change one property.
    Update {
        field: String,
        /// The current value; `None` where it is not set.
        from: Option<String>,
        /// The new value; `None` to remove it.
        to: Option<String>,
        /// What the change loses for good, in words. Such a change needs a confirmation.
        #[serde(skip_serializing_if = "Option::is_none")]
        loses: Option<String>,
    },
    /// Impossible without replacing the resource or without a decision of the user.
    Refused {
        /// The reason, as one sentence.
        reason: String,
        /// What the user can do.
        hint: String,
    },
    /// The resource exists and is not ours.
    Foreign {
        /// The pipeline that it belongs to, if streamctl created it.
        owner: Option<String>,
    },
}

impl Change {
    /// Whether it prevents the run from changing anything.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Foreign { .. })
    }

    /// Whether it loses something for good.
    pub fn is_lossy(&self) -> bool {
        matches!(self, Self::Update { loses: Some(_), .. })
    }

    /// The property that it changes; `None` if it is no update.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Update { field, .. } => Some(field),
            Self::Create | Self::Refused { .. } | Self::Foreign { .. } => None,
        }
    }

    /// An update of `field` that loses nothing.
    pub fn update(field: &str, from: impl ToString, to: impl ToString) -> Self {
        Self::Update {
            field: field.to_owned(),
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            loses: None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::Update { field, from, to, .. } => match (from, to) {
                (Some(from), Some(to)) => write!(f, "{field}: {from} → {to}"),
                (None, Some(to)) => write!(f, "{field}: add {to}"),
                (Some(from), None) => write!(f, "{field}: remove {from}"),
                (None, None) => f.write_str(field),
            },
            Self::Refused { reason, .. } => f.write_str(reason),
            Self::Foreign { owner: Some(owner) } => write!(f, "belongs to the pipeline {owner}"),
            Self::Foreign { owner: None } => f.write_str("was not created by streamctl"),
        }
    }
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As expected.
    Good,
    /// Not wrong, but worth a look.
    Caution,
    /// Wrong.
    Fault,
}

/// One check of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was checked, such as `put`.
    pub check: String,
    pub state: CheckState,
    pub detail: String,
}

impl Check {
    pub fn new(state: CheckState, check: &str, detail: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            state,
            detail: detail.into(),
        }
    }

    /// The check `check`: good with the words of `Ok`, a fault with those of the error.
    pub fn of(check: &str, outcome: Result<String>) -> Self {
        match outcome {
            Ok(detail) => Self::new(CheckState::Good, check, detail),
            Err(error) => Self::new(CheckState::Fault, check, error.chain().join(": ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_instances_are_shortened_and_stay_different() {
        let long =
            |last: char| Identity::new("stream", &format!("{}{last}", "x".repeat(127))).short_instance();
        assert_eq!(long('a').len(), 60);
        assert_ne!(long('a'), long('b'));
        assert_eq!(Identity::new("stream", "orders").short_instance(), "orders");
        let long = Identity::new("realtime", "Sensors.of_the_whole.plant");
        assert_eq!(long.shortened(24).len(), 24);
        assert_eq!(long.hash().len(), 12);
    }
}
