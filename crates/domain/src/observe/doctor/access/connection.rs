//! Credentials, clock, endpoint and region, judged by one call of Kinesis.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::config::Builder;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use super::super::finding::{Finding, Looked, Skipped};
use super::super::subject::Subject;
use crate::context::Context;
use crate::context::date::AnswerDate;
use crate::settings::{CredentialSource, Settings};
use ground::duration;
use ground::error::aws::{Class, Skew, clock_skew};
use ground::error::{self, Error};

/// Credentials that end sooner than this may end during the next command.
const SOON: Duration = Duration::from_secs(15 * 60);
/// How far a clock may be off. Source: "Troubleshoot Signature Version 4 signed requests", IAM user guide.
const ALLOWED_SKEW: Duration = Duration::from_secs(5 * 60);

/// What Kinesis answered to a cheap call.
pub(super) struct Answer {
    /// Why the call failed.
    failure: Option<Error>,
    /// Whether what answered is something else than Kinesis.
    is_other_service: bool,
    skew: Option<Skew>,
}

/// The answer of Kinesis, asked for once.
async fn answer<'s>(subject: &'s Subject<'_>) -> &'s Answer {
    let facts = subject.access();
    facts.answer.get_or_init(|| ask(subject.context())).await
}

/// A call that any caller may make or is refused: either shows that credentials, clock and endpoint are right.
async fn ask(context: &Context) -> Answer {
    let date = AnswerDate::default();
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let config = Builder::new()
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(limits);
    let call = context.kinesis().list_streams().limit(1).customize();
    let answered = call
        .config_override(config)
        .interceptor(date.clone())
        .send()
        .await;
    let (failure, is_other_service) = match answered {
        Ok(_) => (None, false),
        Err(failure) => {
            let is_other = match &failure {
                SdkError::ServiceError(service) => {
                    is_other_service(service.err().code(), service.raw().status().as_u16())
                }
                SdkError::ResponseError(_) => true,
                _ => false,
            };
            (
                Some(error::aws::failed("Kinesis could not be called", failure)),
                is_other,
            )
        }
    };
    Answer {
        failure,
        is_other_service,
        // A local cloud does not refuse signatures by their time, and its clock may be another on purpose.
        skew: date
            .last()
            .filter(|_| !context.is_local())
            .and_then(|(date, at)| clock_skew(Some(&date), at)),
    }
}

/// Why no call can succeed: the credentials are missing or refused, or what answers is not Kinesis.
pub(in super::super) async fn obstacle(subject: &Subject<'_>) -> Option<Skipped> {
    if let Err(error) = subject.context().credentials().await {
        return Some(Skipped::from(&error));
    }
    let answer = answer(subject).await;
    let failure = answer.failure.as_ref()?;
    let class = failure.class();
    let stops = class.is_some_and(|class| class.is_outage() || class == Class::Credentials);
    (stops || answer.is_other_service).then(|| Skipped::from(failure))
}

/// Whether an error is one that Kinesis does not have: none at all, or that there is no such operation.
fn is_other_service(code: Option<&str>, status: u16) -> bool {
    match code {
        None => status < 500,
        Some(code) => {
            code.contains("UnknownOperation") || code.contains("InvalidAction") || code == "NotImplemented"
        }
    }
}

/// Where the credentials come from, for a reader.
fn source(settings: &Settings, is_local: bool) -> String {
    let profile = || match &settings.profile {
        Some(profile) => format!("the profile {profile}"),
        None => "the AWS configuration of this machine".to_owned(),
    };
    match &settings.access.credentials {
        _ if is_local => "the home of the local cloud".to_owned(),
        CredentialSource::Variables => "the variable AWS_ACCESS_KEY_ID".to_owned(),
        CredentialSource::Keys(_) => "AWS_ACCESS_KEY_ID in .env".to_owned(),
        CredentialSource::Machine | CredentialSource::Profile | CredentialSource::Incomplete { .. } => {
            profile()
        }
    }
}

pub(super) async fn credentials(subject: &Subject<'_>) -> Looked {
    let context = subject.context();
    let source = source(context.settings(), context.is_local());
    let is_out = |failure: &Error| failure.class().is_some_and(Class::is_outage);
    let found = match context.credentials().await {
        Err(error) => Some(missing(&source, &error)),
        Ok(credentials) => {
            let answer = answer(subject).await;
            // A wrong clock makes each signature wrong, and is a finding of its own.
            let failure = answer.failure.as_ref().filter(|_| answer.skew.is_none());
            let refused = failure.filter(|failure| failure.class() == Some(Class::Credentials));
            let now = SystemTime::now();
            let found = refused
                .map(|refused| refusal(&source, refused))
                .or_else(|| expiry(&source, credentials.expiry(), now));
            if found.is_none() && answer.failure.as_ref().is_some_and(is_out) {
                return Err(Skipped(
                    "Kinesis did not answer, so they were not checked".to_owned(),
                ));
            }
            found
        }
    };
    let profile = context.settings().profile.as_deref();
    Ok(found
        .map(|finding| finding.other_fix(renewal(&context.settings().access.credentials, profile)))
        .into_iter()
        .collect())
}

fn missing(source: &str, error: &Error) -> Finding {
    Finding::fault("credentials", "are missing or cannot be loaded")
        .evidence(format!("source of the credentials: {source}"))
        .evidence(error.chain().join(": "))
}

fn refusal(source: &str, refused: &Error) -> Finding {
    Finding::fault("credentials", "are refused by the service")
        .evidence(format!("they come from {source}"))
        .evidence(refused.chain().join(": "))
}

/// Credentials without an expiry do not expire.
fn expiry(source: &str, expiry: Option<SystemTime>, now: SystemTime) -> Option<Finding> {
    let expiry = expiry?;
    let finding = match expiry.duration_since(now) {
        Ok(left) if left >= SOON => return None,
        Ok(left) => {
            let left = duration::measured(Duration::from_secs(left.as_secs()));
            Finding::caution("credentials", format!("expire in {left}"))
        }
        Err(past) => {
            let ago = duration::measured(Duration::from_secs(past.duration().as_secs()));
            Finding::fault("credentials", format!("expired {ago} ago"))
        }
    };
    Some(finding.evidence(format!("they come from {source}")))
}

/// The command that gets new credentials, or shows which are used.
fn renewal(source: &CredentialSource, profile: Option<&str>) -> String {
    match (source, profile) {
        (CredentialSource::Variables | CredentialSource::Keys(_), _) => {
            "aws sts get-caller-identity".to_owned()
        }
        (_, Some(profile)) => format!("aws sso login --profile {}", ground::shell::quoted(profile)),
        (_, None) => "aws configure".to_owned(),
    }
}

pub(super) async fn clock(subject: &Subject<'_>) -> Looked {
    let answer = answer(subject).await;
    if let (Some(failure), None) = (&answer.failure, answer.skew)
        && failure.class().is_some_and(Class::is_outage)
    {
        return Err(Skipped(
            "Kinesis did not answer, so its time is not known".to_owned(),
        ));
    }
    Ok(answer.skew.map(skewed).into_iter().collect())
}

fn skewed(skew: Skew) -> Finding {
    let summary = format!("is {skew}");
    let finding = match skew.length >= ALLOWED_SKEW {
        true => Finding::fault("clock of this machine", summary),
        false => Finding::caution("clock of this machine", summary),
    };
    finding
        .evidence("AWS refuses signatures that are more than 5 minutes off")
        .other_fix("sudo timedatectl set-ntp true")
}

pub(super) async fn endpoint(subject: &Subject<'_>) -> Looked {
    let context = subject.context();
    let answer = answer(subject).await;
    let Some(failure) = &answer.failure else {
        return Ok(Vec::new());
    };
    let summary = if answer.is_other_service {
        "does not answer like Kinesis"
    } else if failure.class().is_some_and(Class::is_outage) {
        "cannot be reached, or does not answer"
    } else {
        return Ok(Vec::new());
    };
    let finding = Finding::fault(context.target_name(), summary).evidence(failure.chain().join(": "));
    Ok(vec![match context.is_local() {
        true => finding.fix(&["local", "status"]).fix(&["local", "start"]),
        false => finding.fix(&["config", "show"]),
    }])
}

/// Only names of AWS's own regions can be judged: other endpoints take any.
pub(super) async fn region(subject: &Subject<'_>) -> Looked {
    let context = subject.context();
    if context.is_local() || context.is_foreign() {
        return Ok(Vec::new());
    }
    Ok(wrong_region(context.region()).into_iter().collect())
}

fn wrong_region(region: &str) -> Option<Finding> {
    (!is_region(region)).then(|| {
        Finding::fault(format!("region {region}"), "is not the name of a region")
            .evidence("a region has a name such as us-east-1 or eu-central-2")
            .fix(&["config", "show"])
    })
}

/// Whether `name` has the form of a region: letters in two or more parts, then a number.
/// Source: "AWS Regions", AWS regions and availability zones user guide.
fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let area = words.first().is_some_and(|area| (2..=4).contains(&area.len()));
    area && words.len() >= 2
        && words.iter().all(is_word)
        && matches!(number.len(), 1 | 2)
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Severity;
    use super::*;

    #[test]
    fn credentials_that_end_soon_are_a_caution_and_those_that_ended_a_fault() {
        let now = SystemTime::now();
        let found = |seconds: i64| {
            let length = Duration::from_secs(seconds.unsigned_abs());
            let at = if seconds < 0 { now - length } else { now + length };
            expiry("the profile work", Some(at), now).map(|found| (found.severity, found.summary))
        };
        assert_eq!(found(15 * 60), None);
        assert_eq!(
            found(14 * 60),
            Some((Severity::Caution, "expire in 14m".to_owned()))
        );
        assert_eq!(found(-3600), Some((Severity::Fault, "expired 1h ago".to_owned())));
        assert_eq!(expiry("x", None, now), None);
    }

    #[test]
    fn a_clock_is_wrong_by_five_minutes() {
        let by = |seconds| {
            skewed(Skew {
                length: Duration::from_secs(seconds),
                ahead: true,
            })
        };
        assert_eq!(by(300).severity, Severity::Fault);
        assert_eq!(by(240).severity, Severity::Caution);
        assert_eq!(by(301).summary, "is 5m1s ahead of that of the service");
    }

    #[test]
    fn names_of_regions_have_a_form() {
        for region in [
            "us-east-1",
            "eu-central-2",
            "us-gov-west-1",
            "cn-northwest-1",
            "ap-southeast-7",
            "us-isob-east-1",
            "eusc-de-east-1",
            "me-central-1",
        ] {
            assert!(is_region(region), "{region}");
        }
        for other in [
            "",
            "us-east",
            "useast1",
            "us-east-1a",
            "US-EAST-1",
            "frankfurt",
            "us--1",
            "europe-west-1",
        ] {
            assert!(wrong_region(other).is_some(), "{other}");
        }
    }

    #[test]
    fn an_answer_that_kinesis_would_not_give_is_of_another_service() {
        assert!(is_other_service(None, 404));
        assert!(is_other_service(Some("UnknownOperationException"), 400));
        assert!(!is_other_service(Some("AccessDeniedException"), 400));
        assert!(!is_other_service(None, 503));
    }

    #[test]
    fn the_fix_gets_new_credentials() {
        assert_eq!(
            renewal(&CredentialSource::Machine, Some("work")),
            "aws sso login --profile work"
        );
        assert_eq!(
            renewal(&CredentialSource::Variables, None),
            "aws sts get-caller-identity"
        );
    }
}
