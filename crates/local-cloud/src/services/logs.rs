//! CloudWatch Logs. Ours, since awsim's finds events by part of their text only, in whatever case, and knows its
//! streams by a snapshot of all of them.

mod events;
mod group;
mod pattern;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use serde_json::{Value, json};

use super::database::Database;
use super::tagging::Tags;
use crate::Caller;
use crate::clock::Clock;

/// A refused request.
#[derive(Debug)]
struct Fault {
    code: &'static str,
    message: String,
}

type Outcome<T> = Result<T, Fault>;

const INTERNAL: &str = "ServiceUnavailableException";

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Self {
            code: INTERNAL,
            message: error.to_string(),
        }
    }
}

impl Fault {
    fn answer(self) -> AwsError {
        if self.code == INTERNAL {
            AwsError::server_error(self.code, self.message)
        } else {
            AwsError::bad_request(self.code, self.message)
        }
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault {
        code: "InvalidParameterException",
        message: message.into(),
    }
}

fn conflict(message: &str) -> Fault {
    Fault {
        code: "ResourceAlreadyExistsException",
        message: message.to_owned(),
    }
}

fn missing_group() -> Fault {
    Fault {
        code: "ResourceNotFoundException",
        message: "The specified log group does not exist.".to_owned(),
    }
}

fn missing_stream() -> Fault {
    Fault {
        code: "ResourceNotFoundException",
        message: "The specified log stream does not exist.".to_owned(),
    }
}

fn text<'a>(input: &'a Value, field: &str) -> Outcome<&'a str> {
    input[field]
        .as_str()
        .ok_or_else(|| invalid(format!("{field} must not be null.")))
}

fn number(input: &Value, field: &str) -> Option<i64> {
    input[field].as_i64()
}

/// Cheap to clone; all clones are the same service.
#[derive(Clone)]
pub(super) struct Logs(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl Logs {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            database: Database::new(&dir.join("logs.db"), group::SCHEMA),
            clock,
        }))
    }

    fn operate(&self, caller: &Caller, operation: &str, input: &Value) -> Outcome<Value> {
        let now = self.0.clock.now_ms();
        let database = &self.0.database;
        match operation {
            "PutLogEvents" => database.write(|db| events::put(db, caller, input, now)),
            "GetLogEvents" => database.read(|db| events::get(db, caller, input)),
            "FilterLogEvents" => database.read(|db| events::filter(db, caller, input)),
            "DescribeLogGroups" => database.read(|db| group::describe(db, caller, input)),
            "DescribeLogStreams" => {
                database.read(|db| group::describe_streams(db, &group::named(db, caller, input)?, input))
            }
            "ListTagsLogGroup" | "ListTagsForResource" => {
                let group = database.read(|db| group::named(db, caller, input))?;
                Ok(json!({ "tags": group.tags }))
            }
            "CreateLogGroup" => {
                database.write(|db| group::create(db, caller, input, now))?;
                Ok(json!({}))
            }
            _ => database.write(|db| {
                let change: &dyn Fn(group::Group) -> Outcome<Value> = match operation {
                    "DeleteLogGroup" => &|group| group::delete(db, &group).map(|()| json!({})),
                    "PutRetentionPolicy" => &|group| {
                        let days = number(input, "retentionInDays");
                        let days = days.ok_or_else(|| invalid("retentionInDays must not be null."))?;
                        group::set_retention(db, group, Some(days))
                    },
                    "DeleteRetentionPolicy" => &|group| group::set_retention(db, group, None),
                    "AssociateKmsKey" => &|group| group::set_key(db, group, input["kmsKeyId"].as_str()),
                    "DisassociateKmsKey" => &|group| group::set_key(db, group, None),
                    "TagLogGroup" | "UntagLogGroup" | "TagResource" | "UntagResource" => {
                        &|group| group::change_tags(db, group, input)
                    }
                    "CreateLogStream" => &|group| {
                        group::create_stream(db, group.id, text(input, "logStreamName")?, now)?;
                        Ok(json!({}))
                    },
                    "DeleteLogStream" => {
                        &|group| group::delete_stream(db, &group, text(input, "logStreamName")?)
                    }
                    _ => {
                        return Err(Fault {
                            code: "UnknownOperationException",
                            message: format!(
                                "The local cloud does not offer the operation {operation} of CloudWatch Logs."
                            ),
                        });
                    }
                };
                change(group::named(db, caller, input)?)
            }),
        }
    }

    /// Appends events (milliseconds since the Unix epoch, text), and makes group and stream where they are missing.
    pub fn append(&self, caller: &Caller, group: &str, stream: &str, events: &[(i64, String)]) {
        let now = self.0.clock.now_ms();
        let appended = self.0.database.write(|db| {
            let group = match group::find(db, caller, group)? {
                Some(group) => group.id,
                None => group::create(db, caller, &json!({ "logGroupName": group }), now)?,
            };
            let stream = match events::stream_id(db, group, stream)? {
                Some(stream) => stream,
                None => group::create_stream(db, group, stream, now)?,
            };
            events::append(db, group, stream, events, now)
        });
        if let Err(fault) = appended {
            tracing::warn!(
                group,
                stream,
                message = fault.message,
                "could not keep log events"
            );
        }
    }

    /// The tagged log groups of `caller`, by ARN.
    pub fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        if !self.0.database.exists() {
            return BTreeMap::new();
        }
        let groups = self
            .0
            .database
            .read(|db| group::of_caller(db, caller))
            .unwrap_or_default();
        let tagged = groups.into_iter().filter(|group| !group.tags.is_empty());
        tagged.map(|group| (group.arn(), group.tags)).collect()
    }

    /// Deletes events that are older than their group keeps them. Blocks.
    pub fn sweep(&self) {
        if !self.0.database.exists() {
            return;
        }
        let now = self.0.clock.now_ms();
        let swept = self.0.database.write(|db| {
            for group in group::all(db)? {
                if let Some(days) = group.retention_days {
                    let oldest = now - i64::from(days) * 86_400_000;
                    db.execute(
                        "DELETE FROM events WHERE group_id = ?1 AND at_ms < ?2",
                        [group.id, oldest],
                    )?;
                }
            }
            Ok::<_, Fault>(())
        });
        if let Err(fault) = swept {
            tracing::warn!(message = fault.message, "could not delete old log events");
        }
    }
}

#[async_trait]
impl ServiceHandler for Logs {
    fn service_name(&self) -> &str {
        "logs"
    }

    fn protocol(&self) -> Protocol {
        Protocol::AwsJson1_1
    }

    async fn handle(&self, operation: &str, input: Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        let caller = Caller {
            account: ctx.account_id.clone(),
            region: ctx.region.clone(),
        };
        self.operate(&caller, operation, &input).map_err(Fault::answer)
    }
}
