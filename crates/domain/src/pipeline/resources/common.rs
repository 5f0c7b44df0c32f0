//! Helpers of several kinds: changes, names, refusals of calls, statements in policies that others write to as well, and
//! waiting.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::iam;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Outputs, UNKNOWN};
use ground::backoff::{Backoff, Pauses};
use ground::error::aws::{self, Class};
use ground::error::{Error, Result};

/// The update of `field` that loses `loses` for good.
pub(super) fn lossy_update(
    field: &str,
    from: impl ToString,
    to: impl ToString,
    loses: Option<String>,
) -> Change {
    Change::Update {
        field: field.to_owned(),
        from: Some(from.to_string()),
        to: Some(to.to_string()),
        loses,
    }
}

/// Outputs by name.
pub(super) fn outputs<const N: usize>(pairs: [(&str, String); N]) -> Outputs {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Whether a property's value is known before another resource is created.
pub(super) fn is_known(value: &str) -> bool {
    !value.contains(UNKNOWN)
}

/// "on" or "off".
pub(super) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Refuses a name that is too short or too long (`lengths`), or has characters other than ASCII letters, digits and `more`.
///
/// # Errors
/// Exit 2 naming the rule.
pub(super) fn check_name(kind: &str, name: &str, lengths: (usize, usize), more: &str) -> Result<()> {
    let (shortest, longest) = lengths;
    let allowed = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    if (shortest..=longest).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    let more: Vec<String> = more.chars().map(String::from).collect();
    Err(
        Error::usage(format!("{name:?} is not a {kind} name")).hint(format!(
            "use {shortest} to {longest} letters, digits or any of {}",
            more.join(" ")
        )),
    )
}

/// Whether the service refused a call with one of `codes`.
pub(super) fn refused<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

/// Part of a request. The builders fail only where a required member is missing, and all are set where they are built.
pub(super) fn built<T>(part: Result<T, BuildError>) -> Result<T> {
    part.map_err(|error| Error::failed("a request could not be written").cause(error))
}

/// Tags in the form of a service's SDK, whose type of a tag is `$tag`.
macro_rules! sdk_tags {
    ($tag:ty, $tags:expr) => {
        $crate::pipeline::resources::common::built(
            $tags
                .iter()
                .map(|(key, value)| <$tag>::builder().key(key).value(value).build())
                .collect::<Result<Vec<$tag>, _>>(),
        )
    };
}
pub(super) use sdk_tags;

/// Waits between looks at something that takes its time: growing pauses with jitter, up to a deadline.
pub(super) struct Wait {
    deadline: Instant,
    pauses: Pauses,
}

/// The jitter keeps resources that started together from calling together each time.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
    .factor(1.5)
    .jitter(0.8, 1.0);

impl Wait {
    /// Waits at most `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            deadline: Instant::now() + longest,
            pauses: BACKOFF.pauses(),
        }
    }

    /// Pauses before another look, and tells that `what` is waited for. False, without a pause, once time is up.
    ///
    /// # Errors
    /// Exit 130 once the user wants to stop.
    pub(super) async fn pause(&mut self, step: &Step<'_>, what: &str) -> Result<bool> {
        step.go_on()?;
        let Some(pause) = self.pauses.advance_until(self.deadline) else {
            return Ok(false);
        };
        step.waiting(what);
        sleep(pause).await;
        step.go_on()?;
        Ok(true)
    }
}

/// Makes a call, and makes it again for at most `longest` while another change is under way or calls are throttled.
///
/// # Errors
/// Exit 130 once the user wants to stop.
pub(super) async fn retry<T, E, Sending>(
    longest: Duration,
    step: &Step<'_>,
    waiting: &str,
    mut send: impl FnMut() -> Sending,
) -> Result<Result<T, SdkError<E, HttpResponse>>>
where
    E: ProvideErrorMetadata,
    Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut wait = Wait::new(longest);
    loop {
        match send().await {
            Err(error) if is_busy(&error) && wait.pause(step, waiting).await? => {}
            answer => return Ok(answer),
        }
    }
}

fn is_busy<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(aws::class(error), Class::Conflict | Class::Throttle)
}

/// The policy that `text` holds; `Null` for none, and for one that cannot be read.
pub(super) fn policy(text: Option<&str>) -> Value {
    text.filter(|text| !text.is_empty())
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null)
}

fn statements(policy: &Value) -> Vec<Value> {
    match policy.get("Statement") {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

/// Whether `policy` has a statement that means the same as `statement`; their Sids may differ.
pub(super) fn has_statement(policy: &Value, statement: &Value) -> bool {
    let alone = |statement: &Value| {
        let mut statement = statement.clone();
        if let Some(object) = statement.as_object_mut() {
            object.remove("Sid");
        }
        json!({"Statement": [statement]})
    };
    let wanted = alone(statement);
    statements(policy)
        .iter()
        .any(|one| iam::same(&alone(one), &wanted))
}

/// Whether `policy` has a statement called `sid`.
pub(super) fn has_sid(policy: &Value, sid: &str) -> bool {
    statements(policy).iter().any(|one| one["Sid"] == sid)
}

/// `policy` with `statement` as its only one called `sid`, or with none of that name. It keeps the statements of others;
/// `Null` where none is left.
pub(super) fn with_statement(policy: &Value, sid: &str, statement: Option<&Value>) -> Value {
    let mut kept = statements(policy);
    kept.retain(|one| one["Sid"] != sid);
    kept.extend(statement.cloned());
    if kept.is_empty() {
        return Value::Null;
    }
    let mut policy = match policy {
        Value::Object(_) => policy.clone(),
        _ => json!({"Version": "2012-10-17"}),
    };
    policy["Statement"] = kept.into();
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_others_stay() {
        let theirs = json!({"Version": "2008-10-17", "Id": "theirs", "Statement":
            {"Sid": "Theirs", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:x/*"}});
        let ours = json!({"Sid": "Ours", "Effect": "Deny", "Principal": "*", "Action": ["s3:*"], "Resource": "arn:x"});
        let both = with_statement(&theirs, "Ours", Some(&ours));
        assert_eq!(
            both,
            json!({
                "Version": "2008-10-17",
                "Id": "theirs",
                "Statement": [
                    {
                        "Sid": "Theirs",
                        "Effect": "Allow",
                        "Principal": "*",
                        "Action": "s3:GetObject",
                        "Resource": "arn:x/*"
                    },
                    {
                        "Sid": "Ours",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": [
                            "s3:*"
                        ],
                        "Resource": "arn:x"
                    }
                ]
            })
        );
        assert_eq!(with_statement(&both, "Ours", Some(&ours)), both);
        assert!(has_statement(&both, &ours) && has_sid(&both, "Ours"));
        let without = with_statement(&both, "Ours", None);
        assert!(!has_statement(&without, &ours) && has_sid(&without, "Theirs"));
        assert_eq!(with_statement(&without, "Theirs", None), Value::Null);
    }

    #[test]
    fn a_statement_of_another_name_that_means_the_same_counts() {
        let ours = json!({"Sid": "Ours", "Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:x"]});
        let theirs =
            json!({"Statement": [{"Sid": "T", "Effect": "Deny", "Action": "S3:*", "Resource": "arn:x"}]});
        assert!(has_statement(&theirs, &ours));
        assert!(!has_statement(&Value::Null, &ours));
    }

    #[test]
    fn what_is_no_policy_is_none() {
        assert_eq!(policy(None), Value::Null);
        assert_eq!(policy(Some("")), Value::Null);
        assert_eq!(policy(Some("{")), Value::Null);
    }
}
