//! One Lambda function at the service: what it is ([`observe`]) and how it changes ([`Changer`]).
//!
//! Lambda takes one change of a function at a time and is not through with it when it answers: each change waits until
//! the function is active and its last update successful, and is made again while a refusal means "not yet". Such a
//! refusal is also what a role gets that was made a moment ago.

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
use ground::error::{self, Error, Result};

pub mod rules;

/// Told what is waited for, before each pause; its error ends the waiting.
pub type Pause<'a> = &'a (dyn Fn(&str) -> Result<()> + Send + Sync);

/// How long one change may be refused, or take, before it is given up. A role is known everywhere within seconds; Lambda
/// gives no bound for a function's update.
const LONGEST: Duration = Duration::from_secs(180);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(4))
    .factor(1.5)
    .jitter(0.75, 1.25);

/// How a function is set up; `None` leaves a setting as it is, or to Lambda's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    /// ARN of the role it runs as.
    pub role: Option<String>,
    /// Lambda's setting `Handler`.
    pub handler: Option<String>,
    /// Memory in MB, 128 to 10,240.
    pub memory_mb: Option<u32>,
    /// Seconds that one invocation may take, 1 to 900.
    pub timeout_seconds: Option<u32>,
    /// All its environment variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Whether X-Ray traces are sent.
    pub tracing: Option<bool>,
    /// What it does, in at most 256 characters.
    pub description: Option<String>,
    /// The log group it writes to.
    pub log_group: Option<String>,
}

/// A function as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionState {
    /// Its ARN.
    pub arn: String,
    /// ARN of its role.
    pub role: String,
    /// Lambda's setting `Handler`.
    pub handler: String,
    /// Its runtime, such as `provided.al2023`.
    pub runtime: String,
    /// Memory in MB.
    pub memory_mb: u32,
    /// Seconds that one invocation may take.
    pub timeout_seconds: u32,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// What it runs on; `None` for one that this program does not know.
    pub architecture: Option<Architecture>,
    /// Whether X-Ray traces are sent.
    pub tracing: bool,
    /// What it does.
    pub description: String,
    /// The log group it writes to.
    pub log_group: String,
    /// SHA-256 of its code in base64.
    pub code_sha256: String,
    /// Its state, such as `Active`.
    pub state: String,
    /// Why it is in that state, or why its last update failed; empty where all is well.
    pub trouble: String,
    /// How its last update came out, such as `Successful`.
    pub last_update: String,
    /// Concurrent executions set aside for it, and its limit.
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
            // Some AWS-compatible endpoints tell no state: then there is nothing to wait for.
            state: it.state().map_or("Active", State::as_str).to_owned(),
            trouble: reasons.into_iter().flatten().collect::<Vec<_>>().join("; "),
            last_update: it
                .last_update_status()
                .map_or("Successful", LastUpdateStatus::as_str)
                .to_owned(),
            reserved_concurrency: None,
        }
    }

    /// Whether it can be invoked and changed, or still has to be waited for.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn readiness(&self) -> Result<Readiness, String> {
        let because = |what: &str| match self.trouble.as_str() {
            "" => what.to_owned(),
            why => format!("{what}: {why}"),
        };
        match (self.state.as_str(), self.last_update.as_str()) {
            ("Failed", _) => Err(because("Lambda could not set it up")),
            (_, "Failed") => Err(because("its last update failed")),
            ("Pending", _) => Ok(Readiness::Wait("until it is active")),
            (_, "InProgress") => Ok(Readiness::Wait("until its update is through")),
            // Inactive: not invoked for long; the next invocation wakes it.
            ("Active" | "Inactive", _) => Ok(Readiness::Ready),
            ("Deleting", _) => Ok(Readiness::Wait("until it is deleted")),
            (other, _) => Err(because(&format!("it is in state {other}"))),
        }
    }
}

/// Whether a function can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Now.
    Ready,
    /// Not yet; what is waited for, in words.
    Wait(&'static str),
}

/// Where Lambda writes to if no other log group is set.
pub fn default_log_group(function: &str) -> String {
    format!("/aws/lambda/{function}")
}

/// The function `name` with its tags; `None` where there is none.
///
/// # Errors
/// When the call fails.
pub async fn observe(
    context: &Context,
    name: &str,
) -> Result<Option<(FunctionState, BTreeMap<String, String>)>> {
    let answer = match context.lambda().get_function().function_name(name).send().await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
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
    /// Changes the function `name`, telling `pause` what it waits for.
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

    /// Makes the function and waits until it is active. `Ok(false)` where there is one of that name already.
    ///
    /// # Errors
    /// When Lambda refuses it, or it does not become active.
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
            .patiently(|| call.clone().customize().config_override(patient()).send())
            .await;
        match made {
            Ok(_) => self.wait_until_ready().await.map(|_| true),
            Err(error) if already_there(&error) => Ok(false),
            Err(error) => Err(error::aws::failed(self.what("create"), error)),
        }
    }

    /// Changes settings and waits until the update is through.
    ///
    /// # Errors
    /// When Lambda refuses it, or the update fails.
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
            // Its own group must be named here, to leave another one.
            .set_logging_config(wanted.log_group.as_deref().map(logging_to));
        self.patiently(|| call.clone().send())
            .await
            .map_err(|error| error::aws::failed(self.what("configure"), error))?;
        self.wait_until_ready().await
    }

    /// Replaces the code, and what it runs on with it, and waits until the update is through.
    ///
    /// # Errors
    /// When Lambda refuses it, or the update fails.
    pub async fn set_code(&self, package: &Package, architecture: Architecture) -> Result<()> {
        self.wait(false).await?;
        let call = self.context.lambda().update_function_code();
        let call = call
            .function_name(self.name)
            .zip_file(Blob::new(package.bytes.to_vec()))
            .architectures(SdkArchitecture::from(architecture.as_str()));
        self.patiently(|| call.clone().customize().config_override(patient()).send())
            .await
            .map_err(|error| error::aws::failed(self.what("replace the code of"), error))?;
        self.wait_until_ready().await
    }

    /// Sets concurrent executions aside for it, or takes the reservation and limit away.
    ///
    /// # Errors
    /// When Lambda refuses it: an account keeps 100 executions unreserved.
    pub async fn set_concurrency(&self, reserved: Option<u32>) -> Result<()> {
        let Some(reserved) = reserved else {
            let call = self.context.lambda().delete_function_concurrency();
            let call = call.function_name(self.name);
            let done = self.patiently(|| call.clone().send()).await;
            return done
                .map(drop)
                .map_err(|error| error::aws::failed(self.what("take the reserved concurrency of"), error));
        };
        let call = self.context.lambda().put_function_concurrency();
        let call = call
            .function_name(self.name)
            .reserved_concurrent_executions(saturated(reserved));
        let done = self.patiently(|| call.clone().send()).await;
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
            self.patiently(|| call.clone().send())
                .await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            let call = self.context.lambda().untag_resource().resource(arn);
            let call = call.set_tag_keys(Some(remove.iter().cloned().collect()));
            self.patiently(|| call.clone().send())
                .await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }

    /// Deletes the function, and the event source mappings that invoke it: Lambda would leave them behind.
    /// Source: DeleteFunction, Lambda API reference.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn delete(&self) -> Result<()> {
        for mapping in self.mappings().await? {
            let call = self.context.lambda().delete_event_source_mapping().uuid(&mapping);
            let gone = self
                .repeat(
                    |code, _| {
                        (code == "ResourceInUseException").then_some("until its mapping can be deleted")
                    },
                    || call.clone().send(),
                )
                .await;
            match gone {
                Ok(_) => {}
                Err(error) if error.code() == Some("ResourceNotFoundException") => {}
                Err(error) => {
                    let what = self.what(&format!("delete the event source mapping {mapping} of"));
                    return Err(error::aws::failed(what, error));
                }
            }
        }
        let call = self.context.lambda().delete_function().function_name(self.name);
        match self.patiently(|| call.clone().send()).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(()),
            Err(error) => Err(error::aws::failed(self.what("delete"), error)),
        }
    }

    /// The ids of the event source mappings that invoke it and are not being deleted.
    async fn mappings(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut marker = None;
        loop {
            let call = self.context.lambda().list_event_source_mappings();
            let call = call.function_name(self.name).set_marker(marker);
            let page = match call.send().await {
                Ok(page) => page,
                Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(ids),
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

    /// Waits until the function is active and its last update through.
    ///
    /// # Errors
    /// Why Lambda could not set it up or update it; or that it takes too long.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.wait(true).await
    }

    /// As [`Changer::wait_until_ready`]; unless `strict`, a failure ends the waiting too: the next change may mend it.
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
            .hint("run the same command again: it goes on from there")),
        }
    }

    /// Whether it is ready, or what is wrong with it.
    async fn readiness(&self) -> Result<Result<Readiness, String>> {
        let call = self.context.lambda().get_function_configuration();
        let call = call.function_name(self.name);
        // What was just made may not be shown yet.
        let answer = self
            .repeat(
                |code, _| (code == "ResourceNotFoundException").then_some("until it is shown"),
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

    /// Makes a call again while its refusal means "not yet".
    async fn patiently<T, E, Sending>(
        &self,
        send: impl FnMut() -> Sending,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: ProvideErrorMetadata,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.repeat(rules::patience, send).await
    }

    async fn repeat<T, E, Sending>(
        &self,
        judge: impl Fn(&str, &str) -> Option<&'static str>,
        send: impl FnMut() -> Sending,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: ProvideErrorMetadata,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let deadline = Instant::now() + LONGEST;
        let what = |refusal: &SdkError<E, HttpResponse>| {
            judge(
                refusal.code().unwrap_or_default(),
                refusal.message().unwrap_or_default(),
            )
        };
        let until = |refusal: &SdkError<E, HttpResponse>| what(refusal).map(|_| deadline);
        // On a stop or a timeout, return the refusal itself.
        let tell = |refusal: &SdkError<E, HttpResponse>, _: Duration| {
            what(refusal).is_some_and(|what| (self.pause)(what).is_ok())
        };
        backoff::retry(self.backoff, send, until, tell).await
    }

    /// The group that a function writes to by itself need not be named when it is made.
    fn logging(&self, group: &str) -> Option<LoggingConfig> {
        (group != default_log_group(self.name)).then(|| logging_to(group))
    }
}

fn already_there<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("ResourceConflictException")
        && rules::says_exists(error.message().unwrap_or_default())
}

/// Megabytes go up with such a call: the usual half minute can be too short.
fn patient() -> aws_sdk_lambda::config::Builder {
    const UPLOAD: Duration = Duration::from_secs(600);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(UPLOAD)
        .operation_timeout(UPLOAD)
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
