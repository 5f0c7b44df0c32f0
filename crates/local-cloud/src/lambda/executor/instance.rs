//! A process of one version of a function, as the pool keeps it.

use std::path::PathBuf;

use daemon::secret::Secret;
use lambda_host::Process;
use tokio::time::Instant;

use super::Call;
use super::log::InstanceLog;
use crate::lambda::credentials;

pub(super) struct Instance {
    /// Identifies the version.
    pub key: String,
    pub process: Process<InstanceLog>,
    /// When it came back to the pool.
    pub idle_since: Instant,
}

/// What to run for a call, and its environment.
/// Source: "Defined runtime environment variables", Lambda developer guide.
pub(super) fn bootstrap(
    call: &Call,
    directory: PathBuf,
    endpoint: &str,
    secret: &Secret,
    log_stream: &str,
) -> lambda_host::Bootstrap {
    let version = &call.version;
    let mut environment = version.environment.clone().unwrap_or_default();
    // The function can override this one.
    environment
        .entry("AWS_ENDPOINT_URL".to_owned())
        .or_insert_with(|| endpoint.to_owned());
    let access_key = credentials::access_key(secret, &call.caller.account, &version.role);
    let secret_key = credentials::secret_key(secret, &access_key);
    for (name, value) in [
        ("AWS_REGION", call.caller.region.as_str()),
        ("AWS_DEFAULT_REGION", &call.caller.region),
        ("AWS_LAMBDA_LOG_FORMAT", &version.logging.format),
        ("AWS_ACCESS_KEY_ID", &access_key),
        ("AWS_SECRET_ACCESS_KEY", &secret_key),
        ("AWS_SESSION_TOKEN", "local"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    if let Some(level) = &version.logging.application_level {
        environment.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.clone());
    }
    lambda_host::Bootstrap {
        directory,
        function_name: call.name.clone(),
        function_version: version.version.clone(),
        handler: version.handler.clone(),
        memory_mb: version.memory_mb,
        timeout: call.timeout(),
        log_group: version.logging.group.clone(),
        log_stream: log_stream.to_owned(),
        environment,
    }
}
