//! What several kinds have in common: the way from facts to what is observed, ARNs, statements in policies that other
//! hands write to as well, IAM's own forms, and waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_iam::types::Tag;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::iam;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Location, Observed, Outputs, Present, UNKNOWN};
use ground::error::{Error, Result};

/// What is there, from its tags and the kind's own form of it.
///
/// # Errors
/// When `facts` have no JSON form.
pub(super) fn observed(tags: BTreeMap<String, String>, facts: &impl Serialize) -> Result<Observed> {
    let facts = serde_json::to_value(facts)
        .map_err(|error| Error::failed("could not note what is there").cause(error))?;
    Ok(Observed::Present(Present { tags, facts }))
}

/// The kind's own form of what is there; `None` where nothing is.
pub(super) fn facts<T: DeserializeOwned>(observed: &Observed) -> Option<T> {
    observed.present().and_then(|present| present.read().ok())
}

/// What is there; an error where nothing is, since then there is nothing to change.
///
/// # Errors
/// When nothing is there.
pub(super) fn there<'o>(observed: &'o Observed, what: &str) -> Result<&'o Present> {
    observed
        .present()
        .ok_or_else(|| Error::failed(format!("there is no {what} to change")))
}

/// The field that `change` updates; `None` for a creation.
///
/// # Errors
/// When it cannot be done at all.
pub(super) fn field(change: &Change) -> Result<Option<&str>> {
    match change {
        Change::Create => Ok(None),
        Change::Update { field, .. } => Ok(Some(field)),
        refusal => Err(Error::failed(refusal.to_string())),
    }
}

/// The update of `field` by which `loses` is lost for good.
pub(super) fn costly(field: &str, from: impl ToString, to: impl ToString, loses: Option<String>) -> Change {
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

/// The ARN of `resource` of `service` at `place`.
pub(super) fn arn(location: &Location, service: &str, resource: &str) -> String {
    let Location {
        account,
        region,
        partition,
    } = location;
    format!("arn:{partition}:{service}:{region}:{account}:{resource}")
}

/// Whether a property's value is only known once another resource is made.
pub(super) fn is_known(value: &str) -> bool {
    !value.contains(UNKNOWN)
}

/// "on" or "off".
pub(super) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Refuses a name that is not `longest` characters at most of ASCII letters, digits and `more`.
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

/// What a call found; `None` where it was refused with one of `codes`, which mean that there is none.
///
/// # Errors
/// Any other failure.
#[expect(clippy::result_large_err, reason = "the SDK's own error, passed on")]
pub(super) fn found<T, E: ProvideErrorMetadata>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    codes: &[&str],
) -> Result<Option<T>, SdkError<E, HttpResponse>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if refused(&error, codes) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long something is waited for, in growing pauses with jitter.
pub(super) struct Patience {
    deadline: Instant,
    pause: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Patience {
    /// Waits for `longest` at most.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            deadline: Instant::now() + longest,
            pause: FIRST_PAUSE,
        }
    }

    /// Pauses before another look, saying `what` is waited for. False, without a pause, once time is up.
    ///
    /// # Errors
    /// Exit 130 once the user wants to stop.
    pub(super) async fn pause(&mut self, step: &Step<'_>, what: &str) -> Result<bool> {
        step.go_on()?;
        if Instant::now() + self.pause > self.deadline {
            return Ok(false);
        }
        step.waiting(what);
        // Several resources that began together do not look together for ever.
        sleep(self.pause.mul_f64(rand::random_range(0.8..1.0))).await;
        step.go_on()?;
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        Ok(true)
    }
}

/// The policy that `text` holds; `Null` for none. One that cannot be read is as good as none.
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

/// Whether `policy` has a statement that means what `statement` means, whatever its Sid.
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

/// `policy` with `statement` as its only one called `sid`, or with none of that name. Statements of other hands stay;
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

/// Tags in IAM's own type.
pub(super) fn iam_tags(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>> {
    tags.iter()
        .map(|(key, value)| {
            Tag::builder()
                .key(key)
                .value(value)
                .build()
                .map_err(|error| Error::failed(format!("tag {key} could not be written")).cause(error))
        })
        .collect()
}

/// How long one part of IAM may not know yet what another one has accepted.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const LAG: Duration = Duration::from_secs(10);

/// Makes a call again as long as it is refused with `code`, which may only mean that IAM lags behind itself.
pub(super) async fn while_iam_lags<T, E, Sending>(
    code: &str,
    mut send: impl FnMut() -> Sending,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let deadline = Instant::now() + LAG;
    loop {
        match send().await {
            Err(error) if error.code() == Some(code) && Instant::now() < deadline => {
                sleep(Duration::from_millis(500)).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_other_hands_stay() {
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
    fn a_statement_of_another_name_that_means_the_same_will_do() {
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
