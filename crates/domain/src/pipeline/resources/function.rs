//! `function`: a Lambda function of the runtime `provided.al2023`, with its code, settings, concurrency and tags. What a
//! template does not declare, such as a VPC or layers, stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::common::on_off;
use super::kind::{Existing, Kind, Managed, TagChanges, TagMap};
use crate::functions::bundle;
use crate::functions::function::{self, Changer, Configuration, FunctionState, rules};
use crate::functions::mapping;
use crate::functions::package::{Architecture, Format, Package, short};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, Dependencies, Outputs, Resource, UNKNOWN, User};
use crate::pipeline::substitute::plain;
use crate::pipeline::tags::{Owner, UNFINISHED};
use crate::settings::Target;
use ground::error::{Error, Result};

mod checks;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    /// A bundled handler, or the path of a zip or an executable; empty: the code stays as it is.
    #[serde(default)]
    handler: String,
    role: String,
    memory_mb: Option<u32>,
    timeout_seconds: Option<u32>,
    /// `Null` removes a variable.
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    architecture: Option<String>,
    tracing: Option<bool>,
    reserved_concurrency: Option<u32>,
    description: Option<String>,
    log_group: Option<String>,
    /// Read when it is needed: a function is deleted without its code.
    #[serde(skip)]
    package: OnceLock<Package>,
    /// `architecture`, parsed.
    #[serde(skip)]
    processor: Option<Architecture>,
    /// Whether this run has changed the settings: one call changes them all.
    #[serde(skip)]
    configured: AtomicBool,
}

type Function<'a> = Managed<'a, Declared>;

impl Function<'_> {
    /// The code; `None` where it stays as it is.
    fn package(&self) -> Result<Option<&Package>> {
        let handler = self.declared.handler.as_str();
        if handler.is_empty() {
            return Ok(None);
        }
        if let Some(package) = self.declared.package.get() {
            return Ok(Some(package));
        }
        let package = match bundle::find(handler) {
            Ok(bundled) => bundled.package()?,
            Err(_) if is_file(handler) => Package::from_path(Path::new(handler))?,
            Err(unknown) => return Err(unknown),
        };
        if self.context.settings().target == Target::Aws {
            package.check_for_aws(handler)?;
        }
        // A script runs on any processor.
        if let Some(wanted) = self.declared.processor
            && wanted != package.architecture
            && package.format != Format::Script
        {
            return Err(Error::usage(format!(
                "function {} should run on {wanted}, but its code {handler} is for {}",
                self.declared.name, package.architecture
            ))
            .hint(format!(
                "leave the architecture out, or build the code for {wanted} and give it with --bootstrap"
            )));
        }
        Ok(Some(self.declared.package.get_or_init(|| package)))
    }

    /// Lambda's setting `Handler`: the name of a bundled handler, else the file that is run.
    fn handler_name(&self) -> Option<String> {
        match self.declared.handler.as_str() {
            "" => None,
            handler => Some(
                bundle::find(handler)
                    .map_or("bootstrap", |bundled| bundled.name)
                    .to_owned(),
            ),
        }
    }

    /// All variables of a function that has `there`: those that the manifest does not declare stay.
    fn environment(&self, there: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut variables = there.clone();
        for (name, value) in &self.declared.environment {
            match value {
                Value::Null => variables.remove(name),
                value => variables.insert(name.clone(), plain(value)),
            };
        }
        variables
    }

    async fn change<T>(
        &self,
        step: &Step<'_>,
        change: impl AsyncFnOnce(Changer<'_>) -> Result<T>,
    ) -> Result<T> {
        // A stop takes effect while this waits, so that no call is cut off in the middle.
        let pause = |what: &str| {
            step.go_on()?;
            step.waiting(format!("waiting {what}"));
            Ok(())
        };
        change(Changer::new(self.context, &self.declared.name, &pause)).await
    }

    async fn reserve_concurrency(&self, step: &Step<'_>) -> Result<()> {
        step.doing("reserving concurrency");
        let reserved = self.declared.reserved_concurrency;
        self.change(step, async |changer| changer.set_concurrency(reserved).await)
            .await
    }

    /// Finishes a function that was not seen although it exists: a response can be lost.
    async fn complete(&self, step: &Step<'_>) -> Result<()> {
        let observed = Resource::observe(self).await?;
        if observed.owner(&self.spec.identity) != Some(Owner::Us) {
            let what = format!("there is another function {}", self.declared.name);
            return Err(Error::failed(what).hint("add --adopt to take it over, or delete it"));
        }
        self.change(step, async |changer| changer.wait_until_ready().await)
            .await?;
        for change in self.diff(&observed, &Dependencies::default())? {
            step.go_on()?;
            self.apply(&change, &observed, step).await?;
        }
        Ok(())
    }

    /// The settings that differ, and the changes of them in words.
    fn differences(&self, existing: &Existing<'_, FunctionState>) -> (Configuration, Vec<Change>) {
        let (declared, there) = (&self.declared, &existing.facts);
        let enforced = |key: &str| self.enforced(key, existing);
        let text = |key: &str, wanted: &Option<String>, there: &String| {
            let wanted = wanted.clone();
            wanted.filter(|wanted| wanted != there && enforced(key))
        };
        let number = |key: &str, wanted: Option<u32>, there: u32| {
            wanted.filter(|wanted| *wanted != there && enforced(key))
        };
        let variables = self.environment(&there.environment);
        let wanted = Configuration {
            role: text("role", &Some(declared.role.clone()), &there.role),
            handler: self.handler_name().filter(|handler| *handler != there.handler),
            memory_mb: number("memory_mb", declared.memory_mb, there.memory_mb),
            timeout_seconds: number("timeout_seconds", declared.timeout_seconds, there.timeout_seconds),
            environment: Some(variables)
                .filter(|variables| *variables != there.environment && enforced("environment")),
            tracing: declared
                .tracing
                .filter(|tracing| *tracing != there.tracing && enforced("tracing")),
            description: text("description", &declared.description, &there.description),
            log_group: text("log_group", &declared.log_group, &there.log_group),
        };
        let mut changes = Vec::new();
        let mut add = |field: &str, from: &str, to: Option<String>| {
            changes.extend(to.map(|to| Change::update(field, from, to)));
        };
        let role = wanted.role.as_deref().map(|role| role_name(role).to_owned());
        add("role", role_name(&there.role), role);
        add("handler", &there.handler, wanted.handler.clone());
        let runs_code = !declared.handler.is_empty() && there.runtime != RUNTIME;
        add("runtime", &there.runtime, runs_code.then(|| RUNTIME.to_owned()));
        let memory = |mb: u32| format!("{mb} MB");
        add("memory", &memory(there.memory_mb), wanted.memory_mb.map(memory));
        let timeout = |seconds: u32| format!("{seconds} s");
        add(
            "timeout",
            &timeout(there.timeout_seconds),
            wanted.timeout_seconds.map(timeout),
        );
        let changed = wanted.environment.as_ref();
        let changed = changed.map(|variables| changed_names(&there.environment, variables));
        add("environment", "another", changed);
        let tracing = wanted.tracing.map(|tracing| on_off(tracing).to_owned());
        add("tracing", on_off(there.tracing), tracing);
        add("description", &there.description, wanted.description.clone());
        add("log group", &there.log_group, wanted.log_group.clone());
        (wanted, changes)
    }

    /// The change of the code; the architecture changes with it.
    fn code_change(&self, there: &FunctionState) -> Result<Option<Change>> {
        let Some(package) = self.package()? else {
            let moved = self
                .declared
                .processor
                .filter(|wanted| there.architecture != Some(*wanted));
            return Ok(moved.map(|wanted| Change::Refused {
                reason: format!("cannot be moved to {wanted} without code for it"),
                hint: "give the code with --zip or --bootstrap".to_owned(),
            }));
        };
        let wanted = self.declared.processor.unwrap_or(package.architecture);
        let moves = there.architecture != Some(wanted) && self.moves(package);
        if there.code_sha256 == package.sha256 && !moves {
            return Ok(None);
        }
        let word = |architecture: Option<Architecture>, hash: &str| match architecture {
            Some(architecture) if moves => format!("{} for {architecture}", short(hash)),
            _ => short(hash).to_owned(),
        };
        Ok(Some(Change::update(
            "code",
            word(there.architecture, &there.code_sha256),
            word(Some(wanted), &package.sha256),
        )))
    }

    /// Whether the function moves to the architecture of its code. A script has none: its function stays where it is unless
    /// the manifest declares one.
    fn moves(&self, package: &Package) -> bool {
        self.declared.processor.is_some() || package.format != Format::Script
    }
}

const RUNTIME: &str = "provided.al2023";

/// Whether `handler` is the path of a file, not the name of a bundled handler.
fn is_file(handler: &str) -> bool {
    handler.contains(['/', '\\', '.']) || Path::new(handler).exists()
}

fn no_code(name: &str) -> Error {
    Error::usage(format!(
        "there is no function {name}, and no code was given to create it"
    ))
    .hint(format!(
        "{}give the code with --zip or --bootstrap; `streamctl handlers` lists what is bundled",
        bundle::meant(name)
    ))
}

fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Which variables differ; never their values, which may be secret.
fn changed_names(there: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> String {
    let names: BTreeSet<&String> = there.keys().chain(wanted.keys()).collect();
    let words = names
        .into_iter()
        .filter_map(|name| match (there.get(name), wanted.get(name)) {
            (None, Some(_)) => Some(format!("{name} added")),
            (Some(_), None) => Some(format!("{name} removed")),
            (one, other) if one != other => Some(format!("{name} changed")),
            _ => None,
        });
    words.collect::<Vec<_>>().join(", ")
}

fn reserved_words(reserved: Option<u32>) -> String {
    reserved.map_or_else(|| "none".to_owned(), |n| n.to_string())
}

#[async_trait]
impl Kind for Function<'_> {
    const NOUN: &'static str = "function";
    type Facts = FunctionState;

    fn check(&mut self) -> Result<()> {
        let declared = &mut self.declared;
        rules::check_name(&declared.name)?;
        declared.memory_mb.map_or(Ok(()), rules::check_memory)?;
        declared.timeout_seconds.map_or(Ok(()), rules::check_timeout)?;
        let architecture = declared.architecture.as_deref();
        declared.processor = architecture.map(str::parse).transpose().map_err(Error::usage)?;
        rules::check_environment(&self.environment(&BTreeMap::new()))
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("lambda", &format!("function:{}", self.declared.name))
    }

    fn summary(&self) -> String {
        let mut words = Vec::new();
        if let Some(handler) = self.handler_name().filter(|handler| handler != "bootstrap") {
            words.push(handler);
        }
        if let Ok(Some(package)) = self.package() {
            words.push(
                self.declared
                    .processor
                    .unwrap_or(package.architecture)
                    .to_string(),
            );
        }
        words.extend(self.declared.memory_mb.map(|mb| format!("{mb} MB")));
        words.extend(
            self.declared
                .timeout_seconds
                .map(|seconds| format!("{seconds} s")),
        );
        words.join(", ")
    }

    async fn observe(&self) -> Result<Option<(TagMap, FunctionState)>> {
        let found = function::observe(self.context, &self.declared.name).await?;
        Ok(found.map(|(state, tags)| (tags, state)))
    }

    fn changes_if_absent(&self, _dependencies: &Dependencies) -> Result<Vec<Change>> {
        match self.package()? {
            Some(_) => Ok(vec![Change::Create]),
            None => Err(no_code(&self.declared.name)),
        }
    }

    fn changes(&self, existing: &Existing<'_, FunctionState>) -> Result<Vec<Change>> {
        let there = &existing.facts;
        // Settings come first, so that new code finds those that it needs.
        let (_, mut changes) = self.differences(existing);
        changes.extend(self.code_change(there)?);
        let wanted = self.declared.reserved_concurrency;
        if wanted.is_some()
            && wanted != there.reserved_concurrency
            && self.enforced("reserved_concurrency", existing)
        {
            let (from, to) = (reserved_words(there.reserved_concurrency), reserved_words(wanted));
            changes.push(Change::update("reserved concurrency", from, to));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        let Some(package) = self.package()? else {
            return Err(no_code(&self.declared.name));
        };
        step.doing("creating");
        let wanted = Configuration {
            role: Some(self.declared.role.clone()),
            handler: self.handler_name(),
            memory_mb: self.declared.memory_mb,
            timeout_seconds: self.declared.timeout_seconds,
            environment: Some(self.environment(&BTreeMap::new())),
            tracing: self.declared.tracing,
            description: self.declared.description.clone(),
            log_group: self.declared.log_group.clone(),
        };
        let architecture = self.declared.processor.unwrap_or(package.architecture);
        let reserved = self.declared.reserved_concurrency;
        let mut tags = self.spec.tags.all();
        if reserved.is_some() {
            // Removed at the end: a run that finds the tag knows that the rest is still to be done.
            tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        }
        step.touched();
        let made = self
            .change(step, async |changer| {
                changer.create(&wanted, package, architecture, &tags).await
            })
            .await?;
        if !made {
            return self.complete(step).await;
        }
        if reserved.is_some() {
            step.go_on()?;
            self.reserve_concurrency(step).await?;
            let unfinished = BTreeSet::from([UNFINISHED.to_owned()]);
            self.change(step, async |changer| {
                let none = BTreeMap::new();
                changer.change_tags(&self.arn(), &none, &unfinished).await
            })
            .await?;
        }
        Ok(())
    }

    async fn update(
        &self,
        field: &str,
        existing: &Existing<'_, FunctionState>,
        step: &Step<'_>,
    ) -> Result<()> {
        match field {
            "code" => {
                let Some(package) = self.package()? else {
                    return Err(no_code(&self.declared.name));
                };
                let there = existing.facts.architecture.filter(|_| !self.moves(package));
                let wanted = self.declared.processor.or(there);
                let architecture = wanted.unwrap_or(package.architecture);
                step.doing("replacing the code");
                self.change(step, async |changer| {
                    changer.set_code(package, architecture).await
                })
                .await
            }
            "reserved concurrency" => self.reserve_concurrency(step).await,
            // One call for all settings.
            _ if self.declared.configured.swap(true, Ordering::Relaxed) => Ok(()),
            _ => {
                step.doing("changing its settings");
                let (wanted, _) = self.differences(existing);
                self.change(step, async |changer| changer.configure(&wanted).await)
                    .await
            }
        }
    }

    async fn update_tags(
        &self,
        existing: &Existing<'_, FunctionState>,
        (set, remove): TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        self.change(step, async |changer| {
            changer.change_tags(&existing.facts.arn, &set, &remove).await
        })
        .await
    }

    async fn delete(&self, _existing: &Existing<'_, FunctionState>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        self.change(step, async |changer| changer.delete().await).await
    }

    /// Its event source mappings, which [`Changer::delete`] deletes.
    async fn takes_along(&self, _facts: &FunctionState) -> Result<Vec<User>> {
        let name = self.declared.name.as_str();
        let found = mapping::list(self.context, Some(name), None).await?;
        let staying = found.iter().filter(|one| !one.is_going());
        Ok(staying
            .map(|one| User {
                kind: "event_source_mapping",
                name: format!("{name} ← {}", one.stream()),
            })
            .collect())
    }

    async fn verify(&self, existing: &Existing<'_, FunctionState>, _probe: bool) -> Vec<Check> {
        self.checks(&existing.facts).await
    }

    fn outputs(&self, facts: Option<FunctionState>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for AWS Lambda", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let role = match self.declared.role.as_str() {
            UNKNOWN => "*",
            arn => arn,
        };
        vec![
            Statement::new(
                &[
                    "lambda:CreateFunction",
                    "lambda:DeleteFunction",
                    "lambda:DeleteFunctionConcurrency",
                    "lambda:GetFunction",
                    "lambda:GetFunctionConfiguration",
                    "lambda:ListTags",
                    "lambda:PutFunctionConcurrency",
                    "lambda:TagResource",
                    "lambda:UntagResource",
                    "lambda:UpdateFunctionCode",
                    "lambda:UpdateFunctionConfiguration",
                ],
                [self.arn()],
            ),
            Statement::new(&["lambda:ListEventSourceMappings"], ["*".to_owned()]),
            Statement::new(&["lambda:DeleteEventSourceMapping"], ["*".to_owned()]).only_if(
                "ArnLike",
                "lambda:FunctionArn",
                self.arn(),
            ),
            Statement::new(&["iam:GetRole"], [role.to_owned()]),
            Statement::new(&["iam:PassRole"], [role.to_owned()]).only_if(
                "StringEquals",
                "iam:PassedToService",
                "lambda.amazonaws.com",
            ),
            Statement::new(&["logs:DescribeLogGroups"], ["*".to_owned()]),
        ]
    }
}

#[cfg(test)]
mod tests;
