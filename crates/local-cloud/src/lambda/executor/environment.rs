//! The environment of a function's process.
//! Source: "Defined runtime environment variables", Lambda developer guide.

use std::collections::BTreeMap;
use std::path::Path;

use super::Call;
use crate::lambda::credentials;

/// Everything the process is given; nothing of this process's own is.
pub(super) fn environment(
    call: &Call,
    dir: &Path,
    endpoint: &str,
    runtime_api: &str,
    log_stream: &str,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    let version = &call.version;
    // These can be overridden.
    set("AWS_ENDPOINT_URL", endpoint);
    set("LANG", "en_US.UTF-8");
    set("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin");
    set("TZ", ":UTC");
    for (name, value) in version.environment.iter().flatten() {
        set(name, value);
    }
    // These cannot.
    set("_HANDLER", &version.handler);
    set("AWS_REGION", &call.caller.region);
    set("AWS_DEFAULT_REGION", &call.caller.region);
    set("AWS_LAMBDA_FUNCTION_NAME", &call.name);
    set("AWS_LAMBDA_FUNCTION_VERSION", &version.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &version.memory_mb.to_string());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    set("AWS_LAMBDA_LOG_GROUP_NAME", &version.logging.group);
    set("AWS_LAMBDA_LOG_STREAM_NAME", log_stream);
    set("AWS_LAMBDA_LOG_FORMAT", &version.logging.format);
    if let Some(level) = &version.logging.application_level {
        set("AWS_LAMBDA_LOG_LEVEL", level);
    }
    set("AWS_LAMBDA_RUNTIME_API", runtime_api);
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    set("LAMBDA_TASK_ROOT", &dir.to_string_lossy());
    set("LAMBDA_RUNTIME_DIR", "/var/runtime");
    set(
        "AWS_ACCESS_KEY_ID",
        &credentials::access_key(&call.caller.account, &version.role),
    );
    set("AWS_SECRET_ACCESS_KEY", "local");
    set("AWS_SESSION_TOKEN", "local");
    all
}
