//! A cloud in memory with one kind of resource, `box`: for tests of the engine. It crashes on demand, and notes what runs
//! at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::event::Step;
use super::resource::{Catalog, Change, Dependencies, Location, Observed, Outputs, Present, Resource, Spec};
use super::tags::UNFINISHED;
use super::{Draft, Given, Manifest, Request};
use crate::iam::Statement;
use ground::error::{Error, Result};

pub(super) const PROPERTIES: &[&str] = &["name", "size", "colour", "beside"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crate {
    pub(super) size: i64,
    pub(super) colour: String,
    /// Not settable: made up by the service when the box is made.
    pub(super) serial: String,
    pub(super) beside: String,
    #[serde(skip)]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) boxes: BTreeMap<String, Crate>,
    /// Every changing call, in order.
    pub(super) calls: Vec<String>,
    /// Changing calls left until each one fails.
    pub(super) crash_after: Option<usize>,
    /// Boxes whose changing calls fail.
    pub(super) broken: Vec<String>,
    /// Looks for which a box that was made or deleted is still shown as it was before.
    pub(super) lag: u32,
    /// What is shown of the boxes that were, and how often still.
    stale: BTreeMap<String, (u32, Option<Crate>)>,
    running: usize,
    pub(super) most_at_once: usize,
}

#[derive(Debug)]
pub(super) struct Cloud {
    state: Mutex<State>,
    location: Location,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            location: Location {
                account: "000000000000".into(),
                region: "us-east-1".into(),
                partition: "aws".into(),
            },
        }
    }
}

impl Cloud {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// One changing call: takes a turn of the runtime, and fails once the cloud has crashed.
    async fn call(&self, name: &str, what: &str, effect: impl FnOnce(&mut State)) -> Result<()> {
        {
            let mut state = self.state();
            state.running += 1;
            state.most_at_once = state.most_at_once.max(state.running);
        }
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.running -= 1;
        if state.crash_after == Some(0) || state.broken.iter().any(|broken| broken == name) {
            return Err(Error::failed(format!("could not {what} {name}")));
        }
        state.crash_after = state.crash_after.map(|left| left - 1);
        state.calls.push(format!("{what} {name}"));
        effect(&mut state);
        Ok(())
    }
}

impl Catalog for Cloud {
    fn location(&self) -> &Location {
        &self.location
    }

    fn make<'c>(&'c self, spec: Spec) -> Result<Box<dyn Resource + 'c>> {
        Ok(Box::new(FakeBox {
            cloud: self,
            declared: spec.read()?,
            spec,
        }))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    colour: String,
    #[serde(default)]
    beside: String,
}

struct FakeBox<'c> {
    cloud: &'c Cloud,
    spec: Spec,
    declared: Declared,
}

#[async_trait]
impl Resource for FakeBox<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        format!("size {}", self.declared.size)
    }

    async fn observe(&self) -> Result<Observed> {
        let mut state = self.cloud.state();
        let shown = match state.stale.get_mut(&self.declared.name) {
            Some((looks @ 1.., before)) => {
                *looks -= 1;
                before.clone()
            }
            _ => state.boxes.get(&self.declared.name).cloned(),
        };
        Ok(match shown {
            None => Observed::Absent,
            Some(there) => Observed::Present(Present {
                tags: there.tags.clone(),
                facts: serde_json::to_value(&there).unwrap(),
            }),
        })
    }

    fn diff(&self, observed: &Observed, _dependencies: &Dependencies) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let there: Crate = present.read()?;
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        let mut changes = Vec::new();
        if there.size != self.declared.size && enforced("size") {
            changes.push(Change::update("size", there.size, self.declared.size));
        }
        if there.colour != self.declared.colour && enforced("colour") {
            changes.push(Change::Refused {
                reason: "cannot be painted".into(),
                hint: "make another".into(),
            });
        }
        if there.beside != self.declared.beside && enforced("beside") {
            changes.push(Change::update("beside", &there.beside, &self.declared.beside));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let name = self.declared.name.clone();
        let set = |state: &mut State, effect: &dyn Fn(&mut Crate)| {
            if let Some(there) = state.boxes.get_mut(&name) {
                effect(there);
            }
        };
        match change {
            Change::Create => {
                step.doing("creating");
                // In two calls, as most kinds need: between them the box is there and not finished.
                let mut tags = self.spec.tags.all();
                tags.insert(UNFINISHED.into(), "setup".into());
                let new = Crate {
                    colour: self.declared.colour.clone(),
                    serial: format!("serial-{name}"),
                    tags,
                    ..Crate::default()
                };
                let key = name.clone();
                self.cloud
                    .call(&name, "create", |state| {
                        state.stale.insert(key.clone(), (state.lag, None));
                        state.boxes.insert(key, new);
                    })
                    .await?;
                step.touched();
                step.go_on()?;
                self.cloud
                    .call(&name, "fill", |state| {
                        set(state, &|there| {
                            there.size = self.declared.size;
                            there.beside.clone_from(&self.declared.beside);
                        });
                    })
                    .await?;
                self.cloud
                    .call(&name, "finish", |state| {
                        set(state, &|there| {
                            there.tags.remove(UNFINISHED);
                        });
                    })
                    .await
            }
            Change::Update { field, .. } => {
                let there = observed.present().unwrap();
                let (tags, removed) = self.spec.tags.difference(&there.tags);
                let effect = |there: &mut Crate| match field.as_str() {
                    "size" => there.size = self.declared.size,
                    "beside" => there.beside.clone_from(&self.declared.beside),
                    _ => {
                        there.tags.extend(tags.clone());
                        there.tags.retain(|key, _| !removed.contains(key));
                    }
                };
                self.cloud
                    .call(&name, &format!("set {field} of"), |state| set(state, &effect))
                    .await
            }
            refusal => Err(Error::failed(refusal.to_string())),
        }
    }

    async fn delete(&self, _observed: &Observed, _step: &Step<'_>) -> Result<()> {
        let name = &self.declared.name;
        self.cloud
            .call(name, "delete", |state| {
                let before = state.boxes.remove(name);
                state.stale.insert(name.clone(), (state.lag, before));
            })
            .await
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let mut outputs = Outputs::from([("name".to_owned(), self.declared.name.clone())]);
        if let Some(there) = observed
            .present()
            .and_then(|present| present.read::<Crate>().ok())
        {
            outputs.insert("serial".to_owned(), there.serial);
        }
        outputs
    }

    fn iam(&self) -> Vec<Statement> {
        vec![Statement::new(&["box:Make"], [self.declared.name.clone()])]
    }
}

/// A template with the parameters `size`, `colour` and `extra`, and the given resources.
pub(super) fn manifest(resources: &str) -> Manifest {
    let head = r#"
        name = "boxes"
        description = "Boxes"
        instance = "one"
        [tags]
        Project = "test"
        [parameters.size]
        type = "integer"
        description = "Size"
        default = 1
        min = 1
        [parameters.colour]
        type = "string"
        description = "Colour"
        default = "red"
        [parameters.extra]
        type = "boolean"
        description = "Whether there is one more"
        default = false
    "#;
    Manifest::parse("boxes", &format!("{head}{resources}"), &|kind| {
        (kind == "box").then_some(PROPERTIES)
    })
    .unwrap()
}

/// A row of boxes: `a` by itself, `b` and `c` beside `a`, `d` beside `b` by its serial, `e` only with `extra`.
pub(super) fn row() -> Manifest {
    manifest(
        r#"
        [[resources]]
        kind = "box"
        id = "a"
        properties = { name = "box-a", size = "${size}", colour = "${colour}" }
        [[resources]]
        kind = "box"
        id = "b"
        properties = { name = "box-b", size = 2, beside = "${a.name}" }
        [[resources]]
        kind = "box"
        id = "c"
        properties = { name = "box-c", size = 3, beside = "${a.name}" }
        [[resources]]
        kind = "box"
        id = "d"
        properties = { name = "box-d", size = 4, beside = "${b.serial}" }
        [[resources]]
        kind = "box"
        id = "e"
        when = "extra"
        properties = { name = "box-e", beside = "${c.name}" }
        [outputs]
        serial = "${d.serial}"
        extra = "${e.name}"
        "#,
    )
}

/// `row` with values for its parameters.
pub(super) fn draft(values: &[(&str, &str)]) -> Draft {
    Draft::new(row(), request(values)).unwrap()
}

pub(super) fn request(values: &[(&str, &str)]) -> Request {
    Request {
        given: values
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Given::flag(&format!("--{name}"), *text)))
            .collect(),
        ..Request::default()
    }
}
