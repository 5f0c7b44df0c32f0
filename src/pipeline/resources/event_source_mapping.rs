//! `event_source_mapping`: what makes a function process the records of a stream.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::functions::mapping::{self, Mapper, Mapping, Settings, StartingPosition};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::parameter::Origin;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Present, Resource, Spec, Surroundings, UNKNOWN,
};
use crate::pipeline::tags::{self, Owner};
use ground::error::{Error, Result};

use super::common::observed;

/// What a manifest can say about an event source mapping.
pub(super) const PROPERTIES: &[&str] = &[
    "function",
    "stream",
    "batch_size",
    "window_seconds",
    "parallelization",
    "starting_position",
    "retries",
    "max_record_age_seconds",
    "bisect",
    "partial_failures",
    "tumbling_window_seconds",
    "on_failure",
    "filters",
    "enabled",
];

/// An iterator age from which `verify` asks for a look, in milliseconds.
const BEHIND_MS: f64 = 60_000.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    function: String,
    stream: String,
    batch_size: Option<i64>,
    window_seconds: Option<i64>,
    parallelization: Option<i64>,
    starting_position: Option<String>,
    retries: Option<i64>,
    max_record_age_seconds: Option<i64>,
    bisect: Option<bool>,
    partial_failures: Option<bool>,
    tumbling_window_seconds: Option<i64>,
    on_failure: Option<String>,
    filters: Option<Vec<String>>,
    enabled: Option<bool>,
}

impl Declared {
    fn settings(&self) -> Result<Settings> {
        let start = self.starting_position.as_deref();
        let start: Option<StartingPosition> = start.map(str::parse).transpose().map_err(Error::usage)?;
        Ok(Settings {
            batch_size: self.batch_size,
            window_seconds: self.window_seconds,
            parallelization: self.parallelization,
            retries: self.retries,
            max_record_age_seconds: self.max_record_age_seconds,
            bisect: self.bisect,
            partial_failures: self.partial_failures,
            tumbling_window_seconds: self.tumbling_window_seconds,
            on_failure: self.on_failure.clone(),
            filters: self.filters.clone(),
            enabled: self.enabled,
            starting_position: start,
        })
    }
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    mapping: Mapping,
}

pub(super) struct EventSourceMapping<'a> {
    context: &'a Context,
    location: &'a Location,
    spec: Spec,
    declared: Declared,
    settings: Settings,
    /// All settings go in one call, since each change of a mapping takes seconds: whether it was made.
    changed: AtomicBool,
}

impl<'a> EventSourceMapping<'a> {
    pub(super) fn new(context: &'a Context, location: &'a Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        let settings = declared.settings()?;
        // A destination that is still to be made has no ARN to check.
        let known = |key: &str| key != "on_failure" || settings.on_failure.as_deref() != Some(UNKNOWN);
        settings.clone().only(known).check()?;
        Ok(Self {
            context,
            location,
            spec,
            declared,
            settings,
            changed: AtomicBool::new(false),
        })
    }

    /// The settings that are to hold, whatever is there.
    fn enforced(&self, present: &Present) -> Settings {
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        self.settings.clone().only(enforced)
    }

    /// Runs calls on mappings, telling `step`; a wish to stop is heard where one only waits.
    fn tell<'s>(step: &'s Step<'_>) -> impl Fn(mapping::Event) -> bool + Send + Sync + 's {
        move |event| {
            match &event {
                mapping::Event::Doing(what) => step.doing(*what),
                other => step.waiting(other.to_string()),
            }
            !step.is_stopped()
        }
    }

    async fn create(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        if let Some(present) = observed.present() {
            let facts: Facts = present.read()?;
            if facts.mapping.is_going() {
                mapper.delete(&facts.mapping.id).await?;
            }
        }
        step.touched();
        let tags = self.spec.tags.all();
        let (function, stream) = (&self.declared.function, &self.declared.stream);
        let made = mapper.create(function, stream, &self.settings, &tags).await?;
        // Found again after an answer that was lost, or made by an endpoint that passes over tags.
        let (missing, _) = self.spec.tags.difference(&mapper.tags(&made).await?);
        mapper.change_tags(&made, &missing, &BTreeSet::new()).await
    }

    fn is_known(&self) -> bool {
        ![&self.declared.function, &self.declared.stream]
            .iter()
            .any(|text| text.contains(UNKNOWN))
    }
}

#[async_trait]
impl Resource for EventSourceMapping<'_> {
    fn name(&self) -> String {
        format!(
            "{} ← {}",
            self.declared.function,
            mapping::resource_name(&self.declared.stream)
        )
    }

    fn summary(&self) -> String {
        let words = self.settings.in_words();
        let told = words.into_iter().filter_map(|(name, value)| match name {
            "batch_size" => Some(format!("batches of {}", value?)),
            "window_seconds" => Some(format!("window {}", value?)),
            "starting_position" => Some(format!("from {}", value?)),
            "retries" => Some(format!("retries {}", value?)),
            _ => None,
        });
        told.collect::<Vec<_>>().join(", ")
    }

    async fn observe(&self) -> Result<Observed> {
        if !self.is_known() {
            return Ok(Observed::Absent);
        }
        let found = mapping::find(self.context, &self.declared.function, &self.declared.stream).await?;
        let Some(mapping) = found else {
            return Ok(Observed::Absent);
        };
        let quiet = |_| true;
        let tags = Mapper::new(self.context, &quiet).tags(&mapping).await?;
        observed(tags, &Facts { mapping })
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        if facts.mapping.is_going() {
            return Ok(vec![Change::Create]);
        }
        let there = &facts.mapping.settings;
        let mut changes: Vec<Change> = self
            .enforced(present)
            .differences(there)
            .into_iter()
            .map(|one| Change::update(one.setting, one.from, one.to))
            .collect();
        if self.spec.properties.origin("starting_position") == Origin::Given
            && let Some((found, wanted)) = self.settings.other_start(there)
        {
            changes.push(Change::Refused {
                reason: format!("began to read at {found}, and cannot begin at {wanted} any more"),
                hint: format!(
                    "`streamctl detach {}`, then run the same command again: records are read from there on",
                    self.declared.function
                ),
            });
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let field = match change {
            Change::Create => return self.create(observed, step).await,
            Change::Update { field, .. } => field.as_str(),
            refusal => return Err(Error::failed(refusal.to_string())),
        };
        let nothing = || Error::failed("there is no event source mapping to change");
        let present = observed.present().ok_or_else(nothing)?;
        let facts: Facts = present.read()?;
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        step.touched();
        if field == "tags" {
            let (set, remove) = self.spec.tags.difference(&present.tags);
            return mapper.change_tags(&facts.mapping, &set, &remove).await;
        }
        if self.changed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let enforced = self.enforced(present);
        let different = enforced.differences(&facts.mapping.settings);
        let settings = enforced.only(|key| different.iter().any(|one| one.setting == key));
        mapper.update(&facts.mapping.id, &settings).await?;
        self.changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(present) = observed.present() else {
            return Ok(());
        };
        let facts: Facts = present.read()?;
        let tell = Self::tell(step);
        Mapper::new(self.context, &tell).delete(&facts.mapping.id).await
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        let mapping = match observed.present().map(|present| present.read::<Facts>()) {
            Some(Ok(facts)) => facts.mapping,
            Some(Err(error)) => return vec![Check::of("state", Err(error))],
            None => return vec![Check::new(CheckState::Fault, "state", "there is none")],
        };
        let state = match mapping.state.as_str() {
            "Enabled" => CheckState::Good,
            "Disabled" if self.settings.enabled == Some(false) => CheckState::Good,
            _ => CheckState::Fault,
        };
        let result = match mapping.last_result.as_str() {
            "" => "nothing processed yet",
            result => result,
        };
        let problem = if mapping.has_problem() {
            CheckState::Fault
        } else {
            CheckState::Good
        };
        let lag = match mapping::iterator_ages(self.context, &[mapping.function()]).await {
            Err(error) => Check::new(CheckState::Caution, "lag", error.chain().join(": ")),
            Ok(ages) => match ages.values().next() {
                None => Check::new(CheckState::Good, "lag", "not measured yet"),
                Some(age) => Check::new(
                    if *age > BEHIND_MS {
                        CheckState::Caution
                    } else {
                        CheckState::Good
                    },
                    "lag",
                    format!("{age:.0} ms behind the stream"),
                ),
            },
        };
        vec![
            Check::new(state, "state", mapping.state.clone()),
            Check::new(problem, "last result", result),
            lag,
        ]
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let facts = observed
            .present()
            .and_then(|present| present.read::<Facts>().ok());
        match facts {
            Some(Facts { mapping }) => {
                Outputs::from([("id".to_owned(), mapping.id), ("arn".to_owned(), mapping.arn)])
            }
            None => Outputs::new(),
        }
    }

    /// Source: "Actions, resources, and condition keys for AWS Lambda", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let Location {
            account,
            region,
            partition,
        } = self.location;
        let lambda = format!("arn:{partition}:lambda:{region}:{account}");
        let function = format!(
            "{lambda}:function:{}",
            mapping::function_name(&self.declared.function)
        );
        vec![
            Statement::new(&["lambda:CreateEventSourceMapping"], ["*".to_owned()]).only_if(
                "ArnLike",
                "lambda:FunctionArn",
                function,
            ),
            Statement::new(
                &["lambda:ListEventSourceMappings", "cloudwatch:GetMetricData"],
                ["*".to_owned()],
            ),
            Statement::new(
                &[
                    "lambda:DeleteEventSourceMapping",
                    "lambda:GetEventSourceMapping",
                    "lambda:ListTags",
                    "lambda:TagResource",
                    "lambda:UntagResource",
                    "lambda:UpdateEventSourceMapping",
                ],
                [format!("{lambda}:event-source-mapping:*")],
            ),
        ]
    }
}

/// The mappings that read the stream `stream_arn` and are not `spec`'s pipeline's, in words: what its deletion starves.
/// A target without Lambda has none; where asking is not allowed, that is said.
pub(super) async fn readers_of(context: &Context, stream_arn: &str, spec: &Spec) -> Vec<String> {
    let mappings = match mapping::list(context, None, Some(stream_arn)).await {
        Ok(mappings) => mappings,
        Err(error) if error.is("AccessDeniedException") => {
            return vec![format!(
                "which functions read it is not known: {}",
                error.chain().join(": ")
            )];
        }
        Err(error) => {
            tracing::debug!("no event source mappings: {}", error.chain().join(": "));
            return Vec::new();
        }
    };
    let quiet = |_| true;
    let mapper = Mapper::new(context, &quiet);
    let mut readers = Vec::new();
    for mapping in mappings.into_iter().filter(|mapping| !mapping.is_going()) {
        let tags = mapper.tags(&mapping).await.unwrap_or_default();
        let suffix = match tags::owner(&tags, &spec.identity) {
            Owner::Us => continue,
            Owner::Pipeline(owner) => format!(" (pipeline {owner})"),
            Owner::Stranger => String::new(),
        };
        readers.push(format!(
            "function {} reads the stream {}{suffix}",
            mapping.function(),
            mapping.stream()
        ));
    }
    readers
}

#[cfg(test)]
mod tests;
