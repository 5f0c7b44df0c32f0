//! The code of a function and the environment of its process.
//! Source: "Defined runtime environment variables", Lambda developer guide.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Variables that Lambda sets and that a function's settings must not set.
pub const RESERVED_VARIABLES: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// A `bootstrap` and how it is run.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The unpacked code, with the executable `bootstrap`. The process runs in it.
    pub directory: PathBuf,
    pub function_name: String,
    pub function_version: String,
    pub handler: String,
    /// The process is killed if it and its children use more. Linux only.
    pub memory_mb: u32,
    /// The longest time for an invocation.
    pub timeout: Duration,
    pub log_group: String,
    pub log_stream: String,
    /// Further variables, among them the region and the credentials. The process gets none of this process's own.
    pub environment: BTreeMap<String, String>,
}

impl Bootstrap {
    pub fn executable(&self) -> PathBuf {
        self.directory.join("bootstrap")
    }

    /// All variables of the process. `runtime_api` is the address of its Runtime API.
    pub(crate) fn variables(&self, runtime_api: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut set = |name: &str, value: &str| {
            all.insert(name.to_owned(), value.to_owned());
        };
        // The function's settings can override these three.
        set("LANG", "en_US.UTF-8");
        set("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin");
        set("TZ", ":UTC");
        for (name, value) in &self.environment {
            set(name, value);
        }
        set("_HANDLER", &self.handler);
        set("AWS_LAMBDA_FUNCTION_NAME", &self.function_name);
        set("AWS_LAMBDA_FUNCTION_VERSION", &self.function_version);
        set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &self.memory_mb.to_string());
        set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
        set("AWS_LAMBDA_LOG_GROUP_NAME", &self.log_group);
        set("AWS_LAMBDA_LOG_STREAM_NAME", &self.log_stream);
        set("AWS_LAMBDA_RUNTIME_API", runtime_api);
        set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
        set("LAMBDA_TASK_ROOT", &self.directory.to_string_lossy());
        set("LAMBDA_RUNTIME_DIR", "/var/runtime");
        all
    }
}
