//! Configuration of asynchronous invocations: retries, age, destinations.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Request, no_content, ok, version_of};
use crate::lambda::error::{ApiError, Result};
use crate::lambda::model::EventConfig;
use crate::lambda::name::{FunctionName, LATEST};
use crate::lambda::settings;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Put {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<Destinations>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destinations {
    on_success: Option<Destination>,
    on_failure: Option<Destination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    destination: Option<String>,
}

impl Put {
    fn apply(&self, config: &mut EventConfig) -> Result<()> {
        if let Some(retries) = self.maximum_retry_attempts {
            config.retries = Some(settings::ranged(retries, "maximumRetryAttempts", 0, 2)?);
        }
        if let Some(age) = self.maximum_event_age_in_seconds {
            config.max_age_seconds = Some(settings::ranged(age, "maximumEventAgeInSeconds", 60, 21_600)?);
        }
        if let Some(destinations) = &self.destination_config {
            if let Some(on_success) = &destinations.on_success {
                config.on_success = arn(on_success, &["sqs", "sns", "lambda"])?;
            }
            if let Some(on_failure) = &destinations.on_failure {
                config.on_failure = arn(on_failure, &["sqs", "sns", "lambda", "s3"])?;
            }
        }
        Ok(())
    }
}

fn arn(destination: &Destination, services: &[&str]) -> Result<Option<String>> {
    let Some(arn) = destination.destination.as_ref().filter(|arn| !arn.is_empty()) else {
        return Ok(None);
    };
    let service = arn.split(':').nth(2).unwrap_or_default();
    if arn.starts_with("arn:") && services.contains(&service) {
        return Ok(Some(arn.clone()));
    }
    Err(ApiError::invalid(format!(
        "The provided destination config DestinationConfig is invalid: {arn} is not of {}.",
        services.join(", ")
    )))
}

impl Request<'_> {
    /// Replaces the configuration, or only the given members unless `replace`.
    pub(super) fn put_event_config(&self, text: &str, replace: bool) -> Answer {
        let name = self.name(text)?;
        let input: Put = settings::read(self.body)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        version_of(&function, &name)?;
        let key = key(&name);
        let mut config = match function.event_configs.get(&key) {
            Some(before) if !replace => before.clone(),
            None if !replace => return Err(none(&name)),
            _ => EventConfig::default(),
        };
        input.apply(&mut config)?;
        config.modified_ms = self.now();
        let shown = config.describe(&arn_of(&name, &key));
        function.event_configs.insert(key, config);
        change.put(self.caller, function)?;
        ok(shown)
    }

    pub(super) fn get_event_config(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let function = self.lambda.registry.find(&name)?;
        let key = key(&name);
        let config = function.event_configs.get(&key).ok_or_else(|| none(&name))?;
        ok(config.describe(&arn_of(&name, &key)))
    }

    pub(super) fn delete_event_config(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        if function.event_configs.remove(&key(&name)).is_none() {
            return Err(none(&name));
        }
        change.put(self.caller, function)?;
        no_content()
    }

    pub(super) fn list_event_configs(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let function = self.lambda.registry.find(&name)?;
        let (page, next) = self.page(function.event_configs.iter().collect(), |(key, _)| (*key).clone())?;
        let configs: Vec<Value> = page
            .into_iter()
            .map(|(key, config)| config.describe(&arn_of(&name, key)))
            .collect();
        ok(json!({"FunctionEventInvokeConfigs": configs, "NextMarker": next}))
    }
}

fn key(name: &FunctionName) -> String {
    name.qualifier.clone().unwrap_or_else(|| LATEST.to_owned())
}

fn arn_of(name: &FunctionName, key: &str) -> String {
    format!("{}:{key}", name.arn())
}

fn none(name: &FunctionName) -> ApiError {
    ApiError::not_found(format!(
        "The function {} doesn't have an EventInvokeConfig",
        name.qualified_arn()
    ))
}
