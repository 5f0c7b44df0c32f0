//! Reads one Lambda function ([`observe`]) and changes it ([`Changer`]).
//!
//! Lambda accepts one change of a function at a time, and answers before the change is complete. [`Changer`] waits
//! until the function is active and its last update is successful before each change. It retries errors that are
//! temporary, such as the error for a role that was created a moment ago.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture as SdkArchitecture, Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus,
    LoggingConfig, Runtime, State, TracingConfig, TracingMode,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::package::{Architecture, Package};
use crate::context::Context;
use ground::backoff::{self, Backoff, Look};
use ground::duration;
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

pub mod rules;

/// Called before each wait with what is waited for. An error ends the wait.
pub type Pause<'a> = &'a (dyn Fn(&str) -> Result<()> + Send + Sync);

/// How long one change is retried or waited for. A new role is usable within seconds; Lambda gives no bound for an
/// update.
const LONGEST: Duration = Duration::from_secs(180);
/// How long calls are made again while service or network fail.
const OUTAGE: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(4))
    .factor(1.5)
    .jitter(0.75, 1.25);

/// Settings of a function. `None` keeps the current value, or Lambda's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    /// ARN of the execution role.
    pub role: Option<String>,
    pub handler: Option<String>,
    /// In MB, 128 to 10,240.
    pub memory_mb: Option<u32>,
    /// 1 to 900.
    pub timeout_seconds: Option<u32>,
    /// All environment variables; they replace those that exist.
    pub environment: Option<BTreeMap<String, String>>,
    /// Whether X-Ray traces are sent.
    pub tracing: Option<bool>,
    /// At most 256 characters.
    pub description: Option<String>,
    pub log_group: Option<String>,
}

/// A function as Lambda describes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionState {
    pub arn: String,
    /// ARN of the execution role.
    pub role: String,
    pub handler: String,
    /// Such as `provided.al2023`.
    pub runtime: String,
    pub memory_mb: u32,
    pub timeout_seconds: u32,
    pub environment: BTreeMap<String, String>,
    /// `None` for an architecture that streamctl does not know.
    pub architecture: Option<Architecture>,
    /// Whether X-Ray traces are sent.
    pub tracing: bool,
    pub description: String,
    pub log_group: String,
    /// SHA-256 of the code, in base64.
    pub code_sha256: String,
    /// Such as `Active`.
    pub state: String,
    /// Why it is in that state, or why its last update failed. Empty if there is no problem.
    pub trouble: String,
    /// Status of the last update, such as `Successful`.
    pub last_update: String,
    /// Reserved concurrency.
    pub reserved_concurrency: Option<u32>,
}

impl FunctionState {
    fn of(it: &FunctionConfiguration) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let number = |number: Option<i32>| number.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        let name = it.function_name().unwrap_or_default();
        let group = it.logging_config().and_then(LoggingConfig::log_group);
        let variables = it.environment().and_then(|environment| environment.variables());
        let reasons = [it.state_reason(), it.last_update_status_reason()];
        Self {
            arn: text(it.function_arn()),
            role: text(it.role()),
            handler: text(it.handler()),
            runtime: text(it.runtime().map(Runtime::as_str)),
            memory_mb: number(it.memory_size()),
            timeout_seconds: number(it.timeout()),
            environment: variables
                .map(|variables| variables.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
                .unwrap_or_default(),
            architecture: match it.architectures() {
                // The API's default.
                [] => Some(Architecture::X86_64),
                [one, ..] => one.as_str().parse().ok(),
            },
            tracing: it
                .tracing_config()
                .and_then(|tracing| tracing.mode())
                .is_some_and(|mode| *mode == TracingMode::Active),
            description: text(it.description()),
            log_group: group.map_or_else(|| default_log_group(name), str::to_owned),
            code_sha256: text(it.code_sha256()),
            // Some AWS-compatible endpoints return no state. Then there is nothing to wait for.
            state: it.state().map_or("Active", State::as_str).to_owned(),
            trouble: reasons.into_iter().flatten().collect::<Vec<_>>().join("; "),
            last_update: it
                .last_update_status()
                .map_or("Successful", LastUpdateStatus::as_str)
                .to_owned(),
            reserved_concurrency: None,
        }
    }

    /// Whether it can be invoked and changed, or is not ready yet.
    ///
    /// # Errors
    /// Why the function cannot be used.
    pub fn readiness(&self) -> Result<Readiness, String> {
        let because = |what: &str| match self.trouble.as_str() {
            "" => what.to_owned(),
            why => format!("{what}: {why}"),
        };
        match (self.state.as_str(), self.last_update.as_str()) {
            ("Failed", _) => Err(because("Lambda could not set it up")),
            (_, "Failed") => Err(because("its last update failed")),
            ("Pending", _) => Ok(Readiness::Wait("until it is active")),
            (_, "InProgress") => Ok(Readiness::Wait("until its update is complete")),
            // Inactive: not invoked for a long time. The next invocation makes it active.
            ("Active" | "Inactive", _) => Ok(Readiness::Ready),
            ("Deleting", _) => Ok(Readiness::Wait("until it is deleted")),
            (other, _) => Err(because(&format!("it is in state {other}"))),
        }
    }
}

/// Whether a function can be invoked and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Not yet; the text says what to wait for.
    Wait(&'static str),
}

/// The log group that Lambda uses if none is set.
pub fn default_log_group(function: &str) -> String {
    format!("/aws/lambda/{function}")
}

/// Reads the function `name` and its tags. `None` if it does not exist.
///
/// # Errors
/// When the call fails.
pub async fn observe(
    context: &Context,
    name: &str,
) -> Result<Option<(FunctionState, BTreeMap<String, String>)>> {
    let answer = match context.lambda().get_function().function_name(name).send().await {
        Ok(answer) => answer,
        Err(error) if error::aws::is_not_found(&error) => return Ok(None),
        Err(error) => {
            return Err(error::aws::failed(
                format!("could not read function {name}"),
                error,
            ));
        }
    };
    let Some(configuration) = answer.configuration() else {
        return Err(Error::failed(format!(
            "the answer about function {name} is empty"
        )));
    };
    let reserved = answer
        .concurrency()
        .and_then(|it| it.reserved_concurrent_executions());
    let state = FunctionState {
        reserved_concurrency: reserved.and_then(|n| u32::try_from(n).ok()),
        ..FunctionState::of(configuration)
    };
    let tags = answer.tags.unwrap_or_default().into_iter().collect();
    Ok(Some((state, tags)))
}

/// Changes one function.
pub struct Changer<'a> {
    context: &'a Context,
    name: &'a str,
    pause: Pause<'a>,
    backoff: Backoff,
}

impl<'a> Changer<'a> {
    /// `pause` is called before each wait.
    pub fn new(context: &'a Context, name: &'a str, pause: Pause<'a>) -> Self {
        Self {
            context,
            name,
            pause,
            backoff: BACKOFF,
        }
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} function {}", self.name)
    }

    /// Creates the function and waits until it is active. `Ok(false)` if a function of that name exists.
    ///
    /// # Errors
    /// If Lambda rejects it, or it does not become active.
    pub async fn create(
        &self,
        wanted: &Configuration,
        package: &Package,
        architecture: Architecture,
        tags: &BTreeMap<String, String>,
    ) -> Result<bool> {
        let code = FunctionCode::builder()
            .zip_file(Blob::new(package.bytes.to_vec()))
            .build();
        let call = self.context.lambda().create_function();
        let call = call
            .function_name(self.name)
            .runtime(Runtime::Providedal2023)
            .set_role(wanted.role.clone())
            .set_handler(wanted.handler.clone())
            .code(code)
            .set_description(wanted.description.clone())
            .set_timeout(wanted.timeout_seconds.map(saturated))
            .set_memory_size(wanted.memory_mb.map(saturated))
            .set_environment(wanted.environment.as_ref().map(environment))
            .set_tracing_config(wanted.tracing.map(tracing))
            .set_logging_config(wanted.log_group.as_deref().and_then(|group| self.logging(group)))
            .architectures(SdkArchitecture::from(architecture.as_str()))
            .set_tags(Some(tags.clone().into_iter().collect()));
        let made = self
            .retried(|| {
                call.clone()
                    .customize()
                    .config_override(upload_timeouts(self.context))
                    .send()
            })
            .await;
        match made {
            Ok(_) => self.wait_until_ready().await.map(|_| true),
            Err(error) if already_there(&error) => Ok(false),
            Err(error) => Err(error::aws::failed(self.what("create"), error)),
        }
    }

    /// Changes settings and waits until the update is complete.
    ///
    /// # Errors
    /// If Lambda rejects it, or the update fails.
    pub async fn configure(&self, wanted: &Configuration) -> Result<()> {
        self.wait(false).await?;
        let call = self.context.lambda().update_function_configuration();
        let call = call
            .function_name(self.name)
            .runtime(Runtime::Providedal2023)
            .set_role(wanted.role.clone())
            .set_handler(wanted.handler.clone())
            .set_description(wanted.description.clone())
            .set_timeout(wanted.timeout_seconds.map(saturated))
            .set_memory_size(wanted.memory_mb.map(saturated))
            .set_environment(wanted.environment.as_ref().map(environment))
            .set_tracing_config(wanted.tracing.map(tracing))
            // To leave a custom log group, the default group must be named.
            .set_logging_config(wanted.log_group.as_deref().map(logging_to));
        self.retried(|| call.clone().send())
            .await
            .map_err(|error| error::aws::failed(self.what("configure"), error))?;
        self.wait_until_ready().await
    }

    /// Replaces the code and the architecture, and waits until the update is complete.
    ///
    /// # Errors
    /// If Lambda rejects it, or the update fails.
    pub async fn set_code(&self, package: &Package, architecture: Architecture) -> Result<()> {
        self.wait(false).await?;
        let call = self.context.lambda().update_function_code();
        let call = call
            .function_name(self.name)
            .zip_file(Blob::new(package.bytes.to_vec()))
            .architectures(SdkArchitecture::from(architecture.as_str()));
        self.retried(|| {
            call.clone()
                .customize()
                .config_override(upload_timeouts(self.context))
                .send()
        })
        .await
        .map_err(|error| error::aws::failed(self.what("replace the code of"), error))?;
        self.wait_until_ready().await
    }

    /// Sets or removes the reserved concurrency.
    ///
    /// # Errors
    /// If Lambda rejects it: an account keeps 100 executions unreserved.
    pub async fn set_concurrency(&self, reserved: Option<u32>) -> Result<()> {
        let Some(reserved) = reserved else {
            let call = self.context.lambda().delete_function_concurrency();
            let call = call.function_name(self.name);
            let done = self.retried(|| call.clone().send()).await;
            return done
                .map(drop)
                .map_err(|error| error::aws::failed(self.what("remove the reserved concurrency of"), error));
        };
        let call = self.context.lambda().put_function_concurrency();
        let call = call
            .function_name(self.name)
            .reserved_concurrent_executions(saturated(reserved));
        let done = self.retried(|| call.clone().send()).await;
        done.map(drop)
            .map_err(|error| error::aws::failed(self.what("reserve concurrency for"), error))
    }

    /// Sets and removes tags.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn change_tags(
        &self,
        arn: &str,
        set: &BTreeMap<String, String>,
        remove: &BTreeSet<String>,
    ) -> Result<()> {
        if !set.is_empty() {
            let call = self.context.lambda().tag_resource().resource(arn);
            let call = call.set_tags(Some(set.clone().into_iter().collect()));
            self.retried(|| call.clone().send())
                .await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            let call = self.context.lambda().untag_resource().resource(arn);
            let call = call.set_tag_keys(Some(remove.iter().cloned().collect()));
            self.retried(|| call.clone().send())
                .await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }

    /// Deletes the function and its event source mappings, which Lambda would keep.
    /// Source: DeleteFunction, Lambda API reference.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn delete(&self) -> Result<()> {
        for mapping in self.mappings().await? {
            let call = self.context.lambda().delete_event_source_mapping().uuid(&mapping);
            let gone = self
                .repeat(
                    |class, _, _| (class == Class::Conflict).then_some("until its mapping can be deleted"),
                    || call.clone().send(),
                )
                .await;
            match gone {
                Ok(_) => {}
                Err(error) if error::aws::is_not_found(&error) => {}
                Err(error) => {
                    let what = self.what(&format!("delete the event source mapping {mapping} of"));
                    return Err(error::aws::failed(what, error));
                }
            }
        }
        let call = self.context.lambda().delete_function().function_name(self.name);
        match self.retried(|| call.clone().send()).await {
            Ok(_) => Ok(()),
            Err(error) if error::aws::is_not_found(&error) => Ok(()),
            Err(error) => Err(error::aws::failed(self.what("delete"), error)),
        }
    }

    /// The ids of its event source mappings that are not being deleted.
    async fn mappings(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut marker = None;
        loop {
            let call = self.context.lambda().list_event_source_mappings();
            let call = call.function_name(self.name).set_marker(marker);
            let page = match call.send().await {
                Ok(page) => page,
                Err(error) if error::aws::is_not_found(&error) => return Ok(ids),
                Err(error) => {
                    let what = self.what("list the event source mappings of");
                    return Err(error::aws::failed(what, error));
                }
            };
            let mappings = page.event_source_mappings.unwrap_or_default();
            let staying = mappings.into_iter().filter(|it| it.state() != Some("Deleting"));
            ids.extend(staying.filter_map(|it| it.uuid));
            marker = page.next_marker;
            if marker.is_none() {
                return Ok(ids);
            }
        }
    }

    /// Waits until the function is active and its last update is complete.
    ///
    /// # Errors
    /// If Lambda could not create or update it, or the wait takes too long.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.wait(true).await
    }

    /// Like [`Changer::wait_until_ready`]. Unless `strict`, a failed state also ends the wait: the next change may
    /// repair it.
    async fn wait(&self, strict: bool) -> Result<()> {
        let look = || async {
            match self.readiness().await? {
                Ok(Readiness::Ready) => Ok(Look::Done(())),
                Err(_) if !strict => Ok(Look::Done(())),
                Ok(Readiness::Wait(what)) => Ok(Look::NotYet(what)),
                Err(trouble) => Err(Error::failed(format!("function {}: {trouble}", self.name))),
            }
        };
        let tell = |what: &&str, _: Duration| (self.pause)(what);
        let deadline = Instant::now() + LONGEST;
        match backoff::wait_until(self.backoff, deadline, look, tell).await? {
            Look::Done(()) => Ok(()),
            Look::NotYet(what) => Err(Error::failed(format!(
                "function {} is not ready after {}: {what}",
                self.name,
                duration::format(LONGEST)
            ))
            .hint("run the same command again: it continues from there")),
        }
    }

    /// Whether it is ready, or why it cannot be used.
    async fn readiness(&self) -> Result<Result<Readiness, String>> {
        let call = self.context.lambda().get_function_configuration();
        let call = call.function_name(self.name);
        // A new function may not be visible yet.
        let answer = self
            .repeat(
                |class, _, _| (class == Class::NotFound).then_some("until it is visible"),
                || call.clone().send(),
            )
            .await
            .map_err(|error| error::aws::failed(self.what("read"), error))?;
        let seen = FunctionConfiguration::builder()
            .set_function_name(answer.function_name)
            .set_function_arn(answer.function_arn)
            .set_state(answer.state)
            .set_state_reason(answer.state_reason)
            .set_last_update_status(answer.last_update_status)
            .set_last_update_status_reason(answer.last_update_status_reason)
            .build();
        Ok(FunctionState::of(&seen).readiness())
    }

    /// Retries a call while its error is temporary.
    async fn retried<T, E, Sending>(
        &self,
        send: impl FnMut() -> Sending,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: ProvideErrorMetadata,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.repeat(rules::retry_reason, send).await
    }

    async fn repeat<T, E, Sending>(
        &self,
        judge: impl Fn(Class, &str, &str) -> Option<&'static str>,
        send: impl FnMut() -> Sending,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: ProvideErrorMetadata,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let started = Instant::now();
        let what = |refusal: &SdkError<E, HttpResponse>| {
            judge(
                error::aws::class(refusal),
                refusal.code().unwrap_or_default(),
                refusal.message().unwrap_or_default(),
            )
        };
        let until = |refusal: &SdkError<E, HttpResponse>| {
            let longest = match error::aws::class(refusal).is_outage() {
                true => OUTAGE,
                false => LONGEST,
            };
            what(refusal).map(|_| started + longest)
        };
        // On a stop or a timeout, return the error of the call itself.
        let tell = |refusal: &SdkError<E, HttpResponse>, _: Duration| {
            what(refusal).is_some_and(|what| (self.pause)(what).is_ok())
        };
        backoff::retry(self.backoff, send, until, tell).await
    }

    /// Log settings for a new function. Lambda's default group is not named.
    fn logging(&self, group: &str) -> Option<LoggingConfig> {
        (group != default_log_group(self.name)).then(|| logging_to(group))
    }
}

fn already_there<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("ResourceConflictException")
        && rules::says_exists(error.message().unwrap_or_default())
}

/// Allows more time for uploads: 30 seconds can be too short for a large zip.
fn upload_timeouts(context: &Context) -> aws_sdk_lambda::config::Builder {
    const UPLOAD: Duration = Duration::from_secs(600);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(context.time_limit(UPLOAD))
        .operation_timeout(context.time_limit(UPLOAD))
        .build();
    aws_sdk_lambda::Config::builder().timeout_config(timeouts)
}

fn environment(variables: &BTreeMap<String, String>) -> Environment {
    Environment::builder()
        .set_variables(Some(variables.clone().into_iter().collect()))
        .build()
}

fn tracing(on: bool) -> TracingConfig {
    let mode = if on {
        TracingMode::Active
    } else {
        TracingMode::PassThrough
    };
    TracingConfig::builder().mode(mode).build()
}

fn logging_to(group: &str) -> LoggingConfig {
    LoggingConfig::builder().log_group(group).build()
}

fn saturated(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
