//! `event_source_mapping`: makes a function process the records of a stream.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::common::{is_known, outputs};
use super::kind::{Existing, Kind, Managed, TagChanges, TagMap};
use crate::context::Context;
use crate::functions::mapping::{self, Mapper, Mapping, Settings, StartingPosition};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::parameter::Origin;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, Spec, UNKNOWN};
use crate::pipeline::tags::{self, Owner};
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// Iterator age above which `verify` cautions, in milliseconds.
const BEHIND_MS: f64 = 60_000.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
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
    /// What the properties above say.
    #[serde(skip)]
    settings: Settings,
    /// Whether this run has changed the settings: one call changes them all, since each takes seconds.
    #[serde(skip)]
    changed: AtomicBool,
}

impl Declared {
    fn read_settings(&self) -> Result<Settings> {
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    mapping: Mapping,
}

type EventSourceMapping<'a> = Managed<'a, Declared>;

impl EventSourceMapping<'_> {
    /// The settings to enforce on `existing`.
    fn enforced_settings(&self, existing: &Existing<'_, Facts>) -> Settings {
        let settings = self.declared.settings.clone();
        settings.only(|key| self.enforced(key, existing))
    }

    /// Passes the events of calls on mappings to `step`. A stop takes effect where a call only waits.
    fn tell<'s>(step: &'s Step<'_>) -> impl Fn(mapping::Event) -> bool + Send + Sync + 's {
        move |event| {
            match &event {
                mapping::Event::Doing(what) => step.doing(*what),
                other => step.waiting(other.to_string()),
            }
            !step.is_stopped()
        }
    }

    async fn lag(&self, mapping: &Mapping) -> Check {
        const CHECK: &str = "lag";
        let ages = match mapping::iterator_ages(self.context, &[mapping.function()]).await {
            Ok(ages) => ages,
            Err(error) => return Check::new(CheckState::Caution, CHECK, error.chain().join(": ")),
        };
        let Some(age) = ages.values().next() else {
            return Check::new(CheckState::Good, CHECK, "not measured yet");
        };
        let state = match *age > BEHIND_MS {
            true => CheckState::Caution,
            false => CheckState::Good,
        };
        Check::new(state, CHECK, format!("{age:.0} ms behind the stream"))
    }
}

#[async_trait]
impl Kind for EventSourceMapping<'_> {
    const NOUN: &'static str = "event source mapping";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let settings = self.declared.read_settings()?;
        // A destination that does not exist yet has no ARN to check.
        let known = |key: &str| key != "on_failure" || settings.on_failure.as_deref() != Some(UNKNOWN);
        settings.clone().only(known).check()?;
        self.declared.settings = settings;
        Ok(())
    }

    fn name(&self) -> String {
        format!(
            "{} ← {}",
            self.declared.function,
            mapping::resource_name(&self.declared.stream)
        )
    }

    fn summary(&self) -> String {
        let words = self.declared.settings.in_words();
        let told = words.into_iter().filter_map(|(name, value)| match name {
            "batch_size" => Some(format!("batches of {}", value?)),
            "window_seconds" => Some(format!("window {}", value?)),
            "starting_position" => Some(format!("from {}", value?)),
            "retries" => Some(format!("retries {}", value?)),
            _ => None,
        });
        told.collect::<Vec<_>>().join(", ")
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Declared { function, stream, .. } = &self.declared;
        if !is_known(function) || !is_known(stream) {
            return Ok(None);
        }
        let Some(mut mapping) = mapping::find(self.context, function, stream).await? else {
            return Ok(None);
        };
        let quiet = |_| true;
        let mut tags = Mapper::new(self.context, &quiet).tags(&mapping).await?;
        // A mapping that is being deleted loses its tags first. Whoever made it, a run waits for its end.
        if tags.is_empty() {
            mapping = match mapping::find(self.context, function, stream).await? {
                None => return Ok(None),
                Some(now) => now,
            };
            if mapping.is_going() {
                tags = self.spec.tags.of_untagged();
            }
        }
        Ok(Some((tags, Facts { mapping })))
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        facts.mapping.is_going().then_some(Change::Create)
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let there = &existing.facts.mapping.settings;
        let mut changes: Vec<Change> = self
            .enforced_settings(existing)
            .differences(there)
            .into_iter()
            .map(|one| Change::update(one.setting, one.from, one.to))
            .collect();
        if self.spec.properties.origin("starting_position") == Origin::Given
            && let Some((found, wanted)) = self.declared.settings.other_start(there)
        {
            changes.push(Change::Refused {
                reason: format!("started to read at {found}, and this cannot be changed to {wanted}"),
                hint: format!(
                    "`streamctl detach {} --stream {}`, then run the same command again: the new mapping starts there",
                    self.declared.function,
                    existing.facts.mapping.stream()
                ),
            });
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        step.touched();
        let Declared {
            function,
            stream,
            settings,
            ..
        } = &self.declared;
        let tags = self.spec.tags.all();
        let made = mapper.create(function, stream, settings, &tags).await?;
        // The tags may be missing: the mapping is an earlier one whose response was lost, or the endpoint ignores tags.
        let (missing, _) = self.spec.tags.difference(&mapper.tags(&made).await?);
        mapper.change_tags(&made, &missing, &BTreeSet::new()).await
    }

    async fn recreate(&self, deleting: &Facts, step: &Step<'_>) -> Result<()> {
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        mapper.delete(&deleting.mapping.id).await?;
        self.create(step).await
    }

    async fn update(&self, _field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        if self.declared.changed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mapping = &existing.facts.mapping;
        let enforced = self.enforced_settings(existing);
        let different = enforced.differences(&mapping.settings);
        let settings = enforced.only(|key| different.iter().any(|one| one.setting == key));
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        mapper.update(&mapping.id, &settings).await?;
        self.declared.changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn update_tags(
        &self,
        existing: &Existing<'_, Facts>,
        (set, remove): TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        mapper.change_tags(&existing.facts.mapping, &set, &remove).await
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        let tell = Self::tell(step);
        let mapper = Mapper::new(self.context, &tell);
        mapper.delete(&existing.facts.mapping.id).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let mapping = &existing.facts.mapping;
        let state = match mapping.state.as_str() {
            "Enabled" => CheckState::Good,
            "Disabled" if self.declared.settings.enabled == Some(false) => CheckState::Good,
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
        vec![
            Check::new(state, "state", mapping.state.clone()),
            Check::new(problem, "last result", result),
            self.lag(mapping).await,
        ]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        facts.map_or_else(Outputs::new, |Facts { mapping }| {
            outputs([("id", mapping.id), ("arn", mapping.arn)])
        })
    }

    /// Source: "Actions, resources, and condition keys for AWS Lambda", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let function = mapping::function_name(&self.declared.function);
        let function = self.arn_of("lambda", &format!("function:{function}"));
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
                [self.arn_of("lambda", "event-source-mapping:*")],
            ),
        ]
    }
}

/// The mappings of others than `spec`'s pipeline that read the stream `stream_arn`, in words: its deletion affects them. A
/// target without Lambda has none; where listing them is not allowed, the words say so.
pub(super) async fn readers_of(context: &Context, stream_arn: &str, spec: &Spec) -> Vec<String> {
    let mappings = match mapping::list(context, None, Some(stream_arn)).await {
        Ok(mappings) => mappings,
        Err(error) if error.class() == Some(Class::Denied) => {
            return vec![format!(
                "could not find out which functions read it: {}",
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
