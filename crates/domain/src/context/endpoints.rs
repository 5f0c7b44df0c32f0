//! Where each service is called.

use std::collections::BTreeMap;

use aws_runtime::env_config::EnvConfigValue;
use aws_types::os_shim_internal::Env;

use super::shared_config::SharedConfig;
use crate::settings::{Access, SERVICES};
use ground::error::{Error, Result};

/// Endpoints in place of those of AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// The endpoint of every service without one of its own.
    pub(super) all: Option<String>,
    /// Endpoints by service of [`SERVICES`].
    services: BTreeMap<&'static str, String>,
    /// What chose `all`, such as "--endpoint-url".
    named_by: Option<String>,
    /// What chose each of `services`: a variable or the profile.
    services_named_by: BTreeMap<&'static str, String>,
}

impl Endpoints {
    /// `all`, the endpoints that the environment names, then those of the profile, as far as `access` lets it name any.
    ///
    /// # Errors
    /// Exit 2 if the profile names something that is not a URL.
    pub(super) fn resolve(all: Option<&str>, access: &Access, shared: Option<&SharedConfig>) -> Result<Self> {
        let mut endpoints = Self {
            all: all.map(str::to_owned),
            services: access.endpoints.clone(),
            named_by: access.named_by.clone(),
            services_named_by: BTreeMap::new(),
        };
        for (service, variable) in SERVICES {
            if endpoints.services.contains_key(service) {
                endpoints
                    .services_named_by
                    .insert(service, (*variable).to_owned());
            }
        }
        let Some(shared) = shared.filter(|shared| access.profile_endpoints && !shared.ignores_endpoints())
        else {
            return Ok(endpoints);
        };
        // No environment: the settings have read it.
        let none = Env::from_slice(&[]);
        let named = |service: Option<&str>| {
            let mut value = EnvConfigValue::new().profile("endpoint_url");
            if let Some(service) = service {
                value = value.service_id(service);
            }
            let (url, _) = value.load(&none, Some(&shared.sections))?;
            Some(url.into_owned())
        };
        let profile = format!("the AWS profile {}", shared.sections.selected_profile());
        endpoints.all = named(None);
        endpoints.named_by = endpoints.all.as_ref().map(|_| profile.clone());
        for (service, _) in SERVICES {
            if let Some(url) = named(Some(service)).filter(|url| endpoints.all.as_ref() != Some(url)) {
                endpoints.services.entry(service).or_insert(url);
                let by = endpoints.services_named_by.entry(service);
                by.or_insert_with(|| profile.clone());
            }
        }
        for url in endpoints.all.iter().chain(endpoints.services.values()) {
            if !crate::settings::is_endpoint(url) {
                return Err(Error::usage(format!(
                    "the AWS profile names the endpoint {url:?}, which is not a URL"
                ))
                .hint("give scheme, host and port, such as http://127.0.0.1:4566, in ~/.aws/config"));
            }
        }
        Ok(endpoints)
    }

    /// The endpoint of a service of [`SERVICES`]; `None` for AWS's own.
    pub(super) fn of(&self, service: &str) -> Option<&str> {
        let own = self.services.get(service);
        own.or(self.all.as_ref()).map(String::as_str)
    }

    /// What chose the endpoint of a service; `None` if it is AWS's own.
    pub(super) fn named_by(&self, service: &str) -> Option<&str> {
        match self.has(service) {
            true => self.services_named_by.get(service).map(String::as_str),
            false => self.named_by.as_deref(),
        }
    }

    /// Whether the service has an endpoint of its own.
    pub(super) fn has(&self, service: &str) -> bool {
        self.services.contains_key(service)
    }

    /// Every endpoint.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().chain(self.services.values()).map(String::as_str)
    }

    /// Such as "endpoint http://127.0.0.1:4566", or "AWS, Kinesis at https://vpce-1.example.com".
    pub(super) fn in_words(&self) -> String {
        let mut text = match &self.all {
            Some(url) => format!("endpoint {url}"),
            None => "AWS".to_owned(),
        };
        for (service, url) in &self.services {
            text.push_str(&format!(", {service} at {url}"));
        }
        text
    }
}

/// Whether an endpoint is AWS's own, such as that of a VPC; `None` is AWS's.
pub(super) fn is_of_aws(endpoint: Option<&str>) -> bool {
    let Some(url) = endpoint else { return true };
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    // Source: "Kinesis Data Streams endpoints and quotas", AWS General Reference.
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
        .iter()
        .any(|domain| host.ends_with(domain))
}
