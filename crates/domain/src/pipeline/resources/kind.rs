//! What all kinds of resources share: a kind says how its resource is observed, compared, created, changed and deleted, in
//! its own types ([`Kind`]); [`Managed`] makes a [`Resource`] of that. Knows no service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use super::common::{is_known, outputs, refused};
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, Dependencies, Location, Observed, Outputs, Present, Resource, Spec, UNKNOWN, User,
};
use crate::stream::keys::{self, KeyMatch};
use ground::error::{self, Error, Result};

/// Tags by key.
pub(super) type TagMap = BTreeMap<String, String>;
/// Tags to set, and keys of tags to remove.
pub(super) type TagChanges = (TagMap, BTreeSet<String>);

/// A resource on a target, as a manifest declares it with the properties `D`.
pub(super) struct Managed<'a, D> {
    pub(super) context: &'a Context,
    pub(super) location: &'a Location,
    pub(super) spec: Spec,
    pub(super) declared: D,
}

/// A resource that exists.
pub(super) struct Existing<'o, F> {
    /// What the kind has observed of it.
    pub(super) facts: F,
    present: &'o Present,
}

impl<F> Existing<'_, F> {
    pub(super) fn tags(&self) -> &TagMap {
        &self.present.tags
    }

    /// Whether the run that created it did not finish.
    pub(super) fn unfinished(&self) -> bool {
        self.present.unfinished()
    }
}

/// One kind of resource, implemented for [`Managed`] with the kind's properties.
///
/// `create`, `update` and `delete` may run again after a crash at any point: they start from what exists.
#[async_trait]
pub(super) trait Kind: Send + Sync + Sized {
    /// What messages call a resource of this kind, such as `log group`.
    const NOUN: &'static str;

    /// What is observed, as far as differences and messages need it.
    type Facts: Serialize + DeserializeOwned + Send + Sync;

    /// Refuses what the service would refuse, and completes the properties.
    ///
    /// # Errors
    /// Exit 2.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// Its name at the service.
    fn name(&self) -> String;

    /// Kind and name, as error messages say them.
    fn label(&self) -> String {
        format!("{} {}", Self::NOUN, self.name())
    }

    /// Its ARN, where that is known before the resource exists.
    fn arn(&self) -> String {
        UNKNOWN.to_owned()
    }

    /// What is declared, in a few words.
    fn summary(&self) -> String {
        String::new()
    }

    /// Tags and facts; `None` where there is no such resource.
    async fn observe(&self) -> Result<Option<(TagMap, Self::Facts)>>;

    /// What to do where there is no such resource.
    fn changes_if_absent(&self, _dependencies: &Dependencies) -> Result<Vec<Change>> {
        Ok(vec![Change::Create])
    }

    /// The one change where a comparison makes no sense: `Create` for a resource that is being deleted, a refusal for one
    /// that cannot become what is declared.
    fn only_change(&self, _facts: &Self::Facts) -> Option<Change> {
        None
    }

    /// Differences between what is declared and `existing`, but for its tags.
    fn changes(&self, existing: &Existing<'_, Self::Facts>) -> Result<Vec<Change>>;

    /// Whether the service keeps tags for `existing`.
    fn is_tagged(&self, _existing: &Existing<'_, Self::Facts>) -> bool {
        true
    }

    /// Creates it with all its properties and tags, and waits until it is usable.
    async fn create(&self, step: &Step<'_>) -> Result<()>;

    /// Creates it where one of that name is being deleted.
    async fn recreate(&self, _deleting: &Self::Facts, step: &Step<'_>) -> Result<()> {
        self.create(step).await
    }

    /// Makes the change of `field` that [`Kind::changes`] found.
    async fn update(&self, field: &str, existing: &Existing<'_, Self::Facts>, step: &Step<'_>) -> Result<()>;

    /// What [`Kind::tag`] and [`Kind::untag`] take for an existing one, such as its ARN.
    fn tag_target(&self, _facts: &Self::Facts) -> String {
        self.arn()
    }

    /// Sets tags on `target`.
    async fn tag(&self, _target: &str, _tags: TagMap) -> Result<()> {
        Err(unknown_field::<Self>("tags"))
    }

    /// Removes the tags `keys` from `target`.
    async fn untag(&self, _target: &str, _keys: Vec<String>) -> Result<()> {
        Err(unknown_field::<Self>("tags"))
    }

    /// Makes `changes` of its tags.
    async fn update_tags(
        &self,
        existing: &Existing<'_, Self::Facts>,
        changes: TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        change_tags(self, &self.tag_target(&existing.facts), changes, step).await
    }

    /// Deletes it and waits until it is gone.
    async fn delete(&self, existing: &Existing<'_, Self::Facts>, step: &Step<'_>) -> Result<()>;

    /// As [`Resource::dependents`].
    async fn dependents(&self, _facts: &Self::Facts) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// As [`Resource::users`].
    async fn users(&self, _facts: &Self::Facts) -> Result<Vec<User>> {
        Ok(Vec::new())
    }

    /// As [`Resource::takes_along`].
    async fn takes_along(&self, _facts: &Self::Facts) -> Result<Vec<User>> {
        Ok(Vec::new())
    }

    /// As [`Resource::returns_within`].
    fn returns_within(&self) -> Option<Duration> {
        None
    }

    /// As [`Resource::verify`].
    async fn verify(&self, _existing: &Existing<'_, Self::Facts>, _probe: bool) -> Vec<Check> {
        Vec::new()
    }

    /// As [`Resource::outputs`].
    fn outputs(&self, _facts: Option<Self::Facts>) -> Outputs {
        outputs([("name", self.name()), ("arn", self.arn())])
    }

    /// As [`Resource::iam`].
    fn iam(&self) -> Vec<Statement>;

    /// As [`Resource::stays`].
    fn stays(&self) -> bool {
        true
    }
}

fn unknown_field<K: Kind>(field: &str) -> Error {
    Error::failed(format!("a {} has no {field} to change", K::NOUN))
}

/// Makes `changes` of the tags of `target`.
pub(super) async fn change_tags<K: Kind>(
    kind: &K,
    target: &str,
    (set, remove): TagChanges,
    step: &Step<'_>,
) -> Result<()> {
    step.go_on()?;
    if !set.is_empty() {
        step.doing("setting tags");
        kind.tag(target, set).await?;
    }
    if !remove.is_empty() {
        step.go_on()?;
        kind.untag(target, remove.into_iter().collect()).await?;
    }
    Ok(())
}

impl<'a, D: DeserializeOwned> Managed<'a, D>
where
    Self: Kind,
{
    /// What `spec` declares, checked.
    ///
    /// # Errors
    /// Exit 2 when the kind refuses the properties.
    pub(super) fn new(context: &'a Context, location: &'a Location, spec: Spec) -> Result<Self> {
        let mut managed = Self {
            context,
            location,
            declared: spec.read()?,
            spec,
        };
        managed.check()?;
        Ok(managed)
    }
}

impl<D> Managed<'_, D>
where
    Self: Kind,
{
    /// The error for a property that the service would refuse.
    pub(super) fn bad_property(&self, problem: &str) -> Error {
        Error::usage(format!(
            "line {}: resource {}: {problem}",
            self.spec.line, self.spec.id
        ))
    }

    /// What an error message says of a call that failed.
    pub(super) fn failure(&self, action: &str) -> String {
        format!("could not {action} {}", self.label())
    }

    /// The answer of the call that did `action`.
    pub(super) fn response<T, E>(
        &self,
        action: &str,
        answer: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        answer.map_err(|error| error::aws::failed(self.failure(action), error))
    }

    /// The answer of the call that did `action`; `None` where the service knows no such resource.
    pub(super) fn response_if_exists<T, E>(
        &self,
        action: &str,
        answer: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<Option<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match answer {
            Err(error) if error::aws::is_not_found(&error) => Ok(None),
            answer => self.response(action, answer).map(Some),
        }
    }

    /// The answer of the call that did `action`; `None` where the service refused it with one of `codes`.
    pub(super) fn response_unless<T, E>(
        &self,
        action: &str,
        codes: &[&str],
        answer: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<Option<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match answer {
            Err(error) if refused(&error, codes) => Ok(None),
            answer => self.response(action, answer).map(Some),
        }
    }

    /// Whether property `key` is to be enforced on `existing`.
    pub(super) fn enforced<F>(&self, key: &str, existing: &Existing<'_, F>) -> bool {
        self.spec.properties.enforced(key, existing.present)
    }

    /// The ARN of `resource` of `service`, in this account and region.
    pub(super) fn arn_of(&self, service: &str, resource: &str) -> String {
        let Location {
            account,
            region,
            partition,
        } = self.location;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// Name and ARN as outputs; the ARN it will have where it does not exist yet.
    pub(super) fn name_and_arn(&self, arn: Option<String>) -> Outputs {
        outputs([("name", self.name()), ("arn", arn.unwrap_or_else(|| self.arn()))])
    }

    /// The name of the KMS key `there`: the declared one, `wanted`, where that is another name of the same key.
    pub(super) async fn key_name(
        &self,
        wanted: Option<&str>,
        there: Option<String>,
    ) -> Result<Option<String>> {
        let (Some(wanted), Some(key)) = (wanted.filter(|wanted| is_known(wanted)), &there) else {
            return Ok(there);
        };
        Ok(match keys::compare(self.context, wanted, key).await? {
            KeyMatch::Same => Some(wanted.to_owned()),
            KeyMatch::Different | KeyMatch::Unknown(_) => there,
        })
    }

    /// The error for a change of a field that this kind does not have.
    pub(super) fn unknown_field(&self, field: &str) -> Error {
        unknown_field::<Self>(field)
    }

    /// Changes the tags of `target` from `there` to the declared ones.
    pub(super) async fn set_tags(&self, target: &str, there: &TagMap, step: &Step<'_>) -> Result<()> {
        change_tags(self, target, self.spec.tags.difference(there), step).await
    }
}

/// What there is of `kind`. Boxed: the compiler does not prove that a future with a borrowed [`Managed`] is `Send`.
fn observe<K: Kind>(kind: &K) -> BoxFuture<'_, Result<Observed>> {
    async move {
        let observed = look(kind).await?;
        match observed.present() {
            // One that another run deletes between two calls looks like one without tags, which would be a stranger's.
            Some(present) if present.tags.is_empty() => look(kind).await,
            _ => Ok(observed),
        }
    }
    .boxed()
}

async fn look<K: Kind>(kind: &K) -> Result<Observed> {
    let Some((tags, facts)) = kind.observe().await? else {
        return Ok(Observed::Absent);
    };
    let facts = serde_json::to_value(facts)
        .map_err(|error| Error::failed("what was observed cannot be written as JSON").cause(error))?;
    Ok(Observed::Present(Present { tags, facts }))
}

#[async_trait]
impl<D: Send + Sync> Resource for Managed<'_, D>
where
    Self: Kind,
{
    fn name(&self) -> String {
        Kind::name(self)
    }

    fn summary(&self) -> String {
        Kind::summary(self)
    }

    async fn observe(&self) -> Result<Observed> {
        observe(self).await
    }

    fn diff(&self, observed: &Observed, dependencies: &Dependencies) -> Result<Vec<Change>> {
        let Some(existing) = existing(observed)? else {
            return self.changes_if_absent(dependencies);
        };
        if let Some(change) = self.only_change(&existing.facts) {
            return Ok(vec![change]);
        }
        let mut changes = self.changes(&existing)?;
        // Last, since this removes the tag of an unfinished resource.
        if self.is_tagged(&existing) {
            changes.extend(self.spec.tags.change(existing.tags()));
        }
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let existing = existing(observed)?;
        let field = match (change, &existing) {
            (Change::Create, None) => return self.create(step).await,
            (Change::Create, Some(existing)) => return self.recreate(&existing.facts, step).await,
            (Change::Update { field, .. }, _) => field.as_str(),
            (refusal, _) => return Err(Error::failed(refusal.to_string())),
        };
        let Some(existing) = existing else {
            return Err(Error::failed(format!("there is no {} to change", Self::NOUN)));
        };
        step.touched();
        if field == "tags" {
            let changes = self.spec.tags.difference(existing.tags());
            return self.update_tags(&existing, changes, step).await;
        }
        self.update(field, &existing, step).await
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        match existing(observed)? {
            Some(existing) => Kind::delete(self, &existing, step).await,
            None => Ok(()),
        }
    }

    async fn dependents(&self, observed: &Observed) -> Result<Vec<String>> {
        match existing::<<Self as Kind>::Facts>(observed)? {
            Some(existing) => Kind::dependents(self, &existing.facts).await,
            None => Ok(Vec::new()),
        }
    }

    async fn users(&self, observed: &Observed) -> Result<Vec<User>> {
        match existing::<<Self as Kind>::Facts>(observed)? {
            Some(existing) => Kind::users(self, &existing.facts).await,
            None => Ok(Vec::new()),
        }
    }

    async fn takes_along(&self, observed: &Observed) -> Result<Vec<User>> {
        match existing::<<Self as Kind>::Facts>(observed)? {
            Some(existing) => Kind::takes_along(self, &existing.facts).await,
            None => Ok(Vec::new()),
        }
    }

    fn returns_within(&self) -> Option<Duration> {
        Kind::returns_within(self)
    }

    async fn verify(&self, observed: &Observed, probe: bool) -> Vec<Check> {
        match existing(observed) {
            Ok(Some(existing)) => Kind::verify(self, &existing, probe).await,
            Ok(None) => Vec::new(),
            Err(error) => vec![Check::of("described", Err(error))],
        }
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let existing = existing(observed).ok().flatten();
        Kind::outputs(self, existing.map(|existing| existing.facts))
    }

    fn iam(&self) -> Vec<Statement> {
        Kind::iam(self)
    }

    fn stays(&self) -> bool {
        Kind::stays(self)
    }
}

/// What `observed` holds, in the kind's own types.
pub(super) fn existing<F: DeserializeOwned>(observed: &Observed) -> Result<Option<Existing<'_, F>>> {
    let Some(present) = observed.present() else {
        return Ok(None);
    };
    let facts = present.read()?;
    Ok(Some(Existing { facts, present }))
}

/// The names of the properties that the type `D` takes, in the order of its fields.
pub(super) fn property_names<D: DeserializeOwned>() -> &'static [&'static str] {
    /// Takes note of the fields that a type asks for, and gives no value.
    struct Fields<'n>(&'n mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("there are only names here"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    // The error is expected: no value is read.
    let _ = D::deserialize(Fields(&mut names));
    names
}
