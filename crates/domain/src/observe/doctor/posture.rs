//! Checks of posture: who outside the account has access, secrets, and what scanners recommend.
//!
//! Exposures are looked for always. What is recommended, such as a customer managed key, is looked for only if asked for: it
//! may be left out on purpose. The rules are those of prowler, steampipe and serverless-rules that concern what streamctl
//! works with; docs/doctor.md lists the others with the reason.

mod functions;
mod policy;
mod queues;
mod secrets;
mod streams;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput as Configuration;
use aws_sdk_sqs::types::QueueAttributeName;
use tokio::sync::OnceCell;

use super::Check;
use super::finding::Skipped;

pub(super) const CHECKS: &[Check] = &[
    Check::new("stream-public", "streams are not open to everyone", |s| {
        Box::pin(streams::public(s))
    }),
    Check::new("function-public", "functions are not open to everyone", |s| {
        Box::pin(functions::public(s))
    }),
    Check::new("queue-public", "queues are not open to everyone", |s| {
        Box::pin(queues::each(s, queues::public))
    }),
    Check::new(
        "secret-in-variable",
        "variables of functions hold no secrets",
        |s| Box::pin(functions::each(s, secrets::in_variables)),
    ),
    Check::new("stream-encryption", "streams are encrypted", |s| {
        Box::pin(streams::each(s, streams::encryption))
    })
    .posture(),
    Check::new("stream-customer-key", "streams use a customer managed key", |s| {
        Box::pin(streams::each(s, streams::customer_key))
    })
    .posture(),
    Check::new("stream-retention", "records are kept for 7 days", |s| {
        Box::pin(streams::each(s, streams::retention))
    })
    .posture(),
    Check::new(
        "firehose-encryption",
        "Firehose reads from encrypted streams",
        |s| Box::pin(streams::firehose(s)),
    )
    .posture(),
    Check::new("function-tracing", "functions are traced", |s| {
        Box::pin(functions::each(s, functions::tracing))
    })
    .posture(),
    Check::new(
        "function-defaults",
        "memory and timeout of functions are not the defaults",
        |s| Box::pin(functions::each(s, functions::defaults)),
    )
    .posture(),
    Check::new(
        "function-dead-letters",
        "failed asynchronous events are kept",
        |s| Box::pin(functions::without_destination(s)),
    )
    .posture(),
    Check::new("function-limit", "concurrency of functions is limited", |s| {
        Box::pin(functions::without_limit(s))
    })
    .posture(),
    Check::new(
        "function-variables-key",
        "variables use a customer managed key",
        |s| Box::pin(functions::each(s, functions::variables_key)),
    )
    .posture(),
    Check::new("function-architecture", "functions run on arm64", |s| {
        Box::pin(functions::each(s, functions::architecture))
    })
    .posture(),
    Check::new(
        "function-principals",
        "each function is invoked by one service",
        |s| Box::pin(functions::principals(s)),
    )
    .posture(),
    Check::new("role-wildcard", "roles of functions name their actions", |s| {
        Box::pin(functions::wildcards(s))
    })
    .posture(),
    Check::new("queue-encryption", "queues are encrypted", |s| {
        Box::pin(queues::each(s, queues::encryption))
    })
    .posture(),
    Check::new("queue-customer-key", "queues use a customer managed key", |s| {
        Box::pin(queues::each(s, queues::customer_key))
    })
    .posture(),
    Check::new(
        "queue-redrive",
        "queues that invoke functions have a redrive policy",
        |s| Box::pin(queues::without_redrive(s)),
    )
    .posture(),
    Check::new("queue-transport", "queues accept requests over TLS only", |s| {
        Box::pin(queues::each(s, queues::transport))
    })
    .posture(),
];

/// The configurations of functions, by name.
type Configurations = BTreeMap<String, Configuration>;
/// The attributes of queues, by name.
type Queues = BTreeMap<String, HashMap<QueueAttributeName, String>>;

/// What several of these checks ask for, read once.
#[derive(Default)]
pub(super) struct Facts {
    configurations: OnceCell<Result<Configurations, Skipped>>,
    /// The resource policies of functions, by name; `None` where there is none.
    policies: OnceCell<Result<BTreeMap<String, Option<serde_json::Value>>, Skipped>>,
    queues: OnceCell<Result<Queues, Skipped>>,
}
