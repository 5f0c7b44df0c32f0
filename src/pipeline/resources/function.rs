//! `function`: a Lambda function of the runtime `provided.al2023`, with its code, settings, concurrency and tags. What a
//! template does not speak of, such as a VPC or layers, stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::common::{self, observed};
use crate::context::Context;
use crate::functions::bundle;
use crate::functions::function::{self, Changer, Configuration, FunctionState, rules};
use crate::functions::package::{Architecture, Format, Package, short};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, Location, Observed, Outputs, Present, Resource, Spec, Surroundings, UNKNOWN,
};
use crate::pipeline::substitute::plain;
use crate::pipeline::tags::{Owner, UNFINISHED};
use crate::settings::Target;
use ground::error::{Error, Result};

mod checks;

/// What a manifest can say about a function.
pub(super) const PROPERTIES: &[&str] = &[
    "name",
    "handler",
    "role",
    "memory_mb",
    "timeout_seconds",
    "environment",
    "architecture",
    "tracing",
    "reserved_concurrency",
    "description",
    "log_group",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    /// A bundled handler, or the path of a zip or an executable; empty: the code stays as it is.
    #[serde(default)]
    handler: String,
    role: String,
    memory_mb: Option<u32>,
    timeout_seconds: Option<u32>,
    /// `Null` takes a variable away.
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    architecture: Option<String>,
    tracing: Option<bool>,
    reserved_concurrency: Option<u32>,
    description: Option<String>,
    log_group: Option<String>,
}

pub(super) struct Function<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    architecture: Option<Architecture>,
    arn: String,
    /// Read when it is needed: a function is deleted without its code.
    package: OnceLock<Package>,
    /// Whether the settings were changed in this run: one call changes them all.
    configured: AtomicBool,
}

impl<'a> Function<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        rules::check_name(&declared.name)?;
        declared.memory_mb.map_or(Ok(()), rules::check_memory)?;
        declared.timeout_seconds.map_or(Ok(()), rules::check_timeout)?;
        let architecture = match &declared.architecture {
            Some(text) => Some(text.parse().map_err(Error::usage)?),
            None => None,
        };
        let Location {
            account,
            region,
            partition,
        } = location;
        let function = Self {
            context,
            architecture,
            arn: format!(
                "arn:{partition}:lambda:{region}:{account}:function:{}",
                declared.name
            ),
            declared,
            spec,
            package: OnceLock::new(),
            configured: AtomicBool::new(false),
        };
        rules::check_environment(&function.environment(&BTreeMap::new()))?;
        Ok(function)
    }

    /// The code; `None` where it is to stay as it is.
    fn package(&self) -> Result<Option<&Package>> {
        let handler = self.declared.handler.as_str();
        if handler.is_empty() {
            return Ok(None);
        }
        if let Some(package) = self.package.get() {
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
        // A script runs on any.
        if let Some(wanted) = self.architecture
            && wanted != package.architecture
            && package.format != Format::Script
        {
            return Err(Error::usage(format!(
                "function {} is to run on {wanted}, and its code {handler} is for {}",
                self.declared.name, package.architecture
            ))
            .hint(format!(
                "leave the architecture out, or build the code for {wanted} and give it with --bootstrap"
            )));
        }
        Ok(Some(self.package.get_or_init(|| package)))
    }

    /// Lambda's setting `Handler`: what a bundled handler is called, else the file that is run.
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

    /// All variables, where `there` are some: those of other hands stay.
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

    fn what(&self, action: &str) -> String {
        format!("could not {action} function {}", self.declared.name)
    }

    async fn change<T>(
        &self,
        step: &Step<'_>,
        change: impl AsyncFnOnce(Changer<'_>) -> Result<T>,
    ) -> Result<T> {
        // A wish to stop is heard while it waits, so that no call is cut off in the middle.
        let pause = |what: &str| {
            step.go_on()?;
            step.waiting(format!("waiting {what}"));
            Ok(())
        };
        change(Changer::new(self.context, &self.declared.name, &pause)).await
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
        let architecture = self.architecture.unwrap_or(package.architecture);
        let reserved = self.declared.reserved_concurrency;
        let mut tags = self.spec.tags.all();
        if reserved.is_some() {
            // Taken away at the end: a run that finds it knows that the rest is still to be done.
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
            step.doing("reserving concurrency");
            self.change(step, async |changer| changer.set_concurrency(reserved).await)
                .await?;
            let mark = BTreeSet::from([UNFINISHED.to_owned()]);
            self.change(step, async |changer| {
                changer.change_tags(&self.arn, &BTreeMap::new(), &mark).await
            })
            .await?;
        }
        Ok(())
    }

    /// Brings a function to what is declared that is there although it was not seen: an answer can be lost.
    async fn complete(&self, step: &Step<'_>) -> Result<()> {
        let observed = self.observe().await?;
        if observed.owner(&self.spec.identity) != Some(Owner::Us) {
            let what = format!("there is another function {}", self.declared.name);
            return Err(Error::failed(what).hint("add --adopt to take it over, or delete it"));
        }
        self.change(step, async |changer| changer.wait_until_ready().await)
            .await?;
        for change in self.diff(&observed, &Surroundings::default())? {
            step.go_on()?;
            self.apply(&change, &observed, step).await?;
        }
        Ok(())
    }

    /// The settings that differ, and in which words.
    fn differences(&self, there: &FunctionState, present: &Present) -> (Configuration, Vec<Change>) {
        let declared = &self.declared;
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        let mut wanted = Configuration::default();
        let mut changes = Vec::new();
        if there.role != declared.role && enforced("role") {
            changes.push(Change::update(
                "role",
                role_name(&there.role),
                role_name(&declared.role),
            ));
            wanted.role = Some(declared.role.clone());
        }
        if let Some(handler) = self.handler_name()
            && handler != there.handler
        {
            changes.push(Change::update("handler", &there.handler, &handler));
            wanted.handler = Some(handler);
        }
        if there.runtime != RUNTIME && !declared.handler.is_empty() {
            changes.push(Change::update("runtime", &there.runtime, RUNTIME));
        }
        if let Some(mb) = declared.memory_mb
            && mb != there.memory_mb
            && enforced("memory_mb")
        {
            changes.push(Change::update(
                "memory",
                format!("{} MB", there.memory_mb),
                format!("{mb} MB"),
            ));
            wanted.memory_mb = Some(mb);
        }
        if let Some(seconds) = declared.timeout_seconds
            && seconds != there.timeout_seconds
            && enforced("timeout_seconds")
        {
            let from = format!("{} s", there.timeout_seconds);
            changes.push(Change::update("timeout", from, format!("{seconds} s")));
            wanted.timeout_seconds = Some(seconds);
        }
        let variables = self.environment(&there.environment);
        if variables != there.environment && enforced("environment") {
            changes.push(Change::update(
                "environment",
                "another",
                changed_names(&there.environment, &variables),
            ));
            wanted.environment = Some(variables);
        }
        if let Some(tracing) = declared.tracing
            && tracing != there.tracing
            && enforced("tracing")
        {
            let word = |on: bool| if on { "on" } else { "off" };
            changes.push(Change::update("tracing", word(there.tracing), word(tracing)));
            wanted.tracing = Some(tracing);
        }
        if let Some(text) = &declared.description
            && *text != there.description
            && enforced("description")
        {
            changes.push(Change::update("description", &there.description, text));
            wanted.description = Some(text.clone());
        }
        if let Some(group) = &declared.log_group
            && *group != there.log_group
            && enforced("log_group")
        {
            changes.push(Change::update("log group", &there.log_group, group));
            wanted.log_group = Some(group.clone());
        }
        (wanted, changes)
    }

    /// What is to be done about the code; the architecture changes with it.
    fn code_change(&self, there: &FunctionState) -> Result<Option<Change>> {
        let Some(package) = self.package()? else {
            let moved = self
                .architecture
                .filter(|wanted| there.architecture != Some(*wanted));
            return Ok(moved.map(|wanted| Change::Refused {
                reason: format!("cannot be moved to {wanted} without code for it"),
                hint: "give the code with --zip or --bootstrap".to_owned(),
            }));
        };
        let wanted = self.architecture.unwrap_or(package.architecture);
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

    /// Whether the code says what it runs on. A script does not: it stays where it is unless told otherwise.
    fn moves(&self, package: &Package) -> bool {
        self.architecture.is_some() || package.format != Format::Script
    }
}

const RUNTIME: &str = "provided.al2023";

/// Whether `handler` can only be meant as a file.
fn is_file(handler: &str) -> bool {
    handler.contains(['/', '\\', '.']) || Path::new(handler).exists()
}

fn no_code(name: &str) -> Error {
    Error::usage(format!(
        "function {name} is not there, and no code was given to make it of"
    ))
    .hint("give the code with --zip or --bootstrap; `streamctl handlers` lists what is bundled")
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
impl Resource for Function<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        let mut words = Vec::new();
        if let Some(handler) = self.handler_name().filter(|handler| handler != "bootstrap") {
            words.push(handler);
        }
        if let Ok(Some(package)) = self.package() {
            words.push(self.architecture.unwrap_or(package.architecture).to_string());
        }
        words.extend(self.declared.memory_mb.map(|mb| format!("{mb} MB")));
        words.extend(
            self.declared
                .timeout_seconds
                .map(|seconds| format!("{seconds} s")),
        );
        words.join(", ")
    }

    async fn observe(&self) -> Result<Observed> {
        match function::observe(self.context, &self.declared.name).await? {
            None => Ok(Observed::Absent),
            Some((state, tags)) => observed(tags, &state),
        }
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            if self.package()?.is_none() {
                return Err(no_code(&self.declared.name));
            }
            return Ok(vec![Change::Create]);
        };
        let there: FunctionState = present.read()?;
        // New code finds the settings it needs: they come first.
        let (_, mut changes) = self.differences(&there, present);
        changes.extend(self.code_change(&there)?);
        let wanted = self.declared.reserved_concurrency;
        if wanted.is_some()
            && wanted != there.reserved_concurrency
            && self.spec.properties.enforced("reserved_concurrency", present)
        {
            let (from, to) = (reserved_words(there.reserved_concurrency), reserved_words(wanted));
            changes.push(Change::update("reserved concurrency", from, to));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        let present = observed
            .present()
            .ok_or_else(|| Error::failed(self.what("change")))?;
        let there: FunctionState = present.read()?;
        step.touched();
        match field {
            "code" => {
                let Some(package) = self.package()? else {
                    return Err(no_code(&self.declared.name));
                };
                let there = there.architecture.filter(|_| !self.moves(package));
                let architecture = self.architecture.or(there).unwrap_or(package.architecture);
                step.doing("replacing the code");
                self.change(step, async |changer| {
                    changer.set_code(package, architecture).await
                })
                .await
            }
            "reserved concurrency" => {
                step.doing("reserving concurrency");
                let reserved = self.declared.reserved_concurrency;
                self.change(step, async |changer| changer.set_concurrency(reserved).await)
                    .await
            }
            "tags" => {
                let (set, remove) = self.spec.tags.difference(&present.tags);
                self.change(step, async |changer| {
                    changer.change_tags(&there.arn, &set, &remove).await
                })
                .await
            }
            // One call for all settings.
            _ if self.configured.swap(true, Ordering::Relaxed) => Ok(()),
            _ => {
                step.doing("changing its settings");
                let (wanted, _) = self.differences(&there, present);
                self.change(step, async |changer| changer.configure(&wanted).await)
                    .await
            }
        }
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        if observed.present().is_none() {
            return Ok(());
        }
        step.doing("deleting");
        self.change(step, async |changer| changer.delete().await).await
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        self.checks(observed).await
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let arn = common::facts(observed).map_or_else(|| self.arn.clone(), |there: FunctionState| there.arn);
        common::outputs([("name", self.declared.name.clone()), ("arn", arn)])
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
                [self.arn.clone()],
            ),
            Statement::new(&["lambda:ListEventSourceMappings"], ["*".to_owned()]),
            Statement::new(&["lambda:DeleteEventSourceMapping"], ["*".to_owned()]).only_if(
                "ArnLike",
                "lambda:FunctionArn",
                &self.arn,
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
