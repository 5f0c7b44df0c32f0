//! What the engine asks of a kind of resource, and the values they speak in.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::event::Step;
use super::parameter::Origin;
use super::tags::{self, Owner, Tags};
use crate::iam::Statement;
use ground::error::{Error, Result};

/// Stands for an output that is only known once the resource exists.
pub const UNKNOWN: &str = "(known after setup)";

/// What a resource offers to those that refer to it, by name.
pub type Outputs = BTreeMap<String, String>;

/// One resource of a pipeline, as its kind makes it of a [`Spec`].
///
/// Every method may be called again after a crash at any point: `apply` and `delete` start from what is there.
#[async_trait]
pub trait Resource: Send + Sync {
    /// Its name at the service, as the user knows it.
    fn name(&self) -> String;

    /// What it is to be, in a few words.
    fn summary(&self) -> String {
        String::new()
    }

    /// What is there now.
    async fn observe(&self) -> Result<Observed>;

    /// What is to be changed, in the order in which it is to be done. Asked only for what is absent, ours, or adopted.
    ///
    /// # Errors
    /// When `observed` is not what this kind observes.
    fn diff(&self, observed: &Observed, around: &Surroundings) -> Result<Vec<Change>>;

    /// Makes one change of [`Resource::diff`] and returns when it is through.
    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()>;

    /// Deletes it and returns when it is gone.
    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()>;

    /// What outside the pipeline depends on it and suffers from its deletion, in words.
    async fn dependents(&self, _observed: &Observed) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Whether it works, beyond being there as declared. `probe` allows checks that leave a trace, such as a record.
    async fn verify(&self, _observed: &Observed, _probe: bool) -> Vec<Check> {
        Vec::new()
    }

    /// What it offers to those that refer to it: everything where it is present, else what can be told beforehand.
    fn outputs(&self, observed: &Observed) -> Outputs;

    /// What the operator needs to be allowed for it.
    fn iam(&self) -> Vec<Statement>;

    /// Whether it is a thing that stays, and not an act such as a test record.
    fn stays(&self) -> bool {
        true
    }
}

/// Makes resources: the bridge between the engine and the kinds.
pub trait Catalog: Send + Sync {
    /// Where the resources are.
    fn location(&self) -> &Location;

    /// The resource that `spec` declares.
    ///
    /// # Errors
    /// Exit 2 when the kind refuses the properties.
    fn make<'c>(&'c self, spec: Spec) -> Result<Box<dyn Resource + 'c>>;
}

/// Account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// 12-digit account id.
    pub account: String,
    /// Region, such as `us-east-1`.
    pub region: String,
    /// Partition, such as `aws`.
    pub partition: String,
}

/// Which pipeline something belongs to: template and instance, written `stream/orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    template: String,
    instance: String,
}

impl Identity {
    /// The pipeline `instance` of `template`.
    pub fn new(template: &str, instance: &str) -> Self {
        Self {
            template: template.to_owned(),
            instance: instance.to_owned(),
        }
    }

    /// The template's name.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// What tells it from other pipelines of the template.
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
pub(super) fn shortened(text: &str, longest: usize) -> String {
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

/// Everything a resource is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What the manifest calls it.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The line of the manifest that declares it.
    pub line: usize,
    /// Its properties, with all references filled in.
    pub properties: Properties,
    /// The tags it is to carry.
    pub tags: Tags,
    /// The pipeline it belongs to.
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

/// Properties and where each comes from.
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

    /// Sets a property that the user named; a table adds to the one there is.
    pub(super) fn put(&mut self, key: &str, value: Value) {
        match (self.values.get_mut(key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
            (_, value) => {
                self.values.insert(key.to_owned(), value);
            }
        }
        self.origins.insert(key.to_owned(), Origin::Given);
    }

    /// The value of property `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Where property `key` comes from; [`Origin::Default`] where it is not set.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).copied().unwrap_or(Origin::Default)
    }

    /// Whether property `key` is to be enforced on a resource that exists: a default is not, unless the resource's making
    /// was never finished.
    pub fn enforced(&self, key: &str, present: &Present) -> bool {
        self.origin(key) > Origin::Default || present.unfinished()
    }
}

/// What is there of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// Nothing.
    Absent,
    /// Something of its name.
    Present(Present),
}

/// Something that exists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What the kind knows of it, in the kind's own form.
    pub facts: Value,
}

impl Present {
    /// Whether its making was begun and not finished.
    pub fn unfinished(&self) -> bool {
        self.tags.contains_key(tags::UNFINISHED)
    }

    /// The kind's own form of what is there.
    ///
    /// # Errors
    /// When another kind observed it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.facts.clone())
            .map_err(|error| Error::failed("what is there could not be understood").cause(error))
    }
}

impl Observed {
    /// What is there, if anything.
    pub fn present(&self) -> Option<&Present> {
        match self {
            Self::Absent => None,
            Self::Present(present) => Some(present),
        }
    }

    /// Whose it is, if it is there.
    pub fn owner(&self, identity: &Identity) -> Option<Owner> {
        self.present().map(|present| tags::owner(&present.tags, identity))
    }
}

/// What happens around a resource in this run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Something it needs is made in this run.
    pub dependency_created: bool,
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Change {
    /// Make it, complete with all its properties.
    Create,
    /// Change one property.
    Update {
        /// The property.
        field: String,
        /// What it is; `None` where it is not set.
        from: Option<String>,
        /// What it is to be; `None` where it is to be unset.
        to: Option<String>,
        /// What is lost by it for good, in words. Such a change asks for a confirmation.
        #[serde(skip_serializing_if = "Option::is_none")]
        loses: Option<String>,
    },
    /// Cannot be done without replacing it, or without a decision of the user's.
    Refused {
        /// Why, as one sentence.
        reason: String,
        /// What the user can do.
        hint: String,
    },
    /// It exists and is not ours.
    Foreign {
        /// The pipeline it belongs to, if streamctl made it.
        owner: Option<String>,
    },
}

impl Change {
    /// Whether it stands in the way of applying anything.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Foreign { .. })
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
            Self::Foreign { owner: None } => f.write_str("was not made by streamctl"),
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it is to be.
    Good,
    /// Nothing wrong, but worth a look.
    Caution,
    /// Wrong.
    Fault,
}

/// One check of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, such as `put`.
    pub check: String,
    /// How it came out.
    pub state: CheckState,
    /// What was found.
    pub detail: String,
}

impl Check {
    /// A check that came out as `state`.
    pub fn new(state: CheckState, check: &str, detail: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            state,
            detail: detail.into(),
        }
    }

    /// The check `check`, good with `Ok`'s words, a fault with the error's.
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
