//! Converts a failed AWS call into an error with a sentence, a cause, a hint and an exit code.

mod class;
mod failure;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

pub use class::{Class, class, class_of, is_not_found, reason};
pub use failure::{CallFailure, LOCAL, is_web_page};

use super::{Error, find_cause, machine};
use crate::duration;
use crate::exit::Exit;

/// Codes that reject the caller (exit 4), not the request.
/// Source: "Common errors" pages of the Kinesis, IAM, STS and CloudWatch API references.
const REFUSED: &[(&str, &str)] = &[
    ("ExpiredToken", EXPIRED),
    ("ExpiredTokenException", EXPIRED),
    ("RequestExpired", WRONG_CLOCK),
    ("RequestTimeTooSkewed", WRONG_CLOCK),
    ("RequestInTheFuture", WRONG_CLOCK),
    ("UnrecognizedClientException", WRONG_KEY),
    ("InvalidClientTokenId", WRONG_KEY),
    ("InvalidAccessKeyId", WRONG_KEY),
    ("SignatureDoesNotMatch", WRONG_KEY),
    ("InvalidSignatureException", WRONG_KEY),
    ("IncompleteSignature", WRONG_KEY),
    ("MissingAuthenticationToken", MISSING),
    ("MissingAuthenticationTokenException", MISSING),
    ("AccessDenied", DENIED),
    ("AccessDeniedException", DENIED),
    ("UnauthorizedOperation", DENIED),
    ("AuthFailure", WRONG_KEY),
    (
        "OptInRequired",
        "enable the region for this account, or choose another with --region",
    ),
];
const EXPIRED: &str = "renew the credentials, for example with `aws sso login`, then run the command again";
const WRONG_CLOCK: &str = "check that this machine's clock is right, then try again";
const WRONG_KEY: &str =
    "check the access key, secret and region; `aws sts get-caller-identity` shows who you are";
const MISSING: &str =
    "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use `--target local`";
const DENIED: &str = "ask for the permission named above, or use another profile with --profile";

/// In the message of an error without any credentials.
pub(super) const NO_CREDENTIALS: &str = "no AWS credentials were found";

/// Whether `code` means that other credentials are needed. `hint` tells where the clock is to blame.
pub(super) fn is_about_keys(code: &str, hint: Option<&str>) -> bool {
    let known = REFUSED.iter().find(|(refused, _)| *refused == code);
    let hint = hint.unwrap_or_default();
    known.is_some_and(|(_, usual)| [EXPIRED, WRONG_KEY, MISSING].contains(usual) && hint == *usual)
}

/// The error for the AWS call `what` ("could not create stream orders").
pub fn failed<E: ProvideErrorMetadata>(what: impl Into<String>, error: SdkError<E, HttpResponse>) -> Error {
    // Compiled once and not for each operation of each service: there are some two hundred.
    describe(
        what.into(),
        error.map_service_error(|service| service.meta().clone()),
    )
}

fn describe(what: String, error: SdkError<ErrorMetadata, HttpResponse>) -> Error {
    let class = class(&error);
    if let SdkError::ServiceError(service) = &error {
        let raw = service.raw();
        let skew = clock_skew(raw.headers().get("date"), SystemTime::now());
        return service_error(&what, service.err(), raw.status().as_u16(), class, skew).with_class(class);
    }
    if let Some(credentials) = find_cause::<CredentialsError>(&error) {
        return credentials_error(&what, credentials).with_class(Class::Credentials);
    }
    let unknown = CallFailure::unknown();
    let failure = find_cause(&error).unwrap_or(&unknown);
    unanswered(&what, &error, class, failure).with_class(class)
}

/// The error of a call that AWS did not answer.
fn unanswered(
    what: &str,
    error: &SdkError<ErrorMetadata, HttpResponse>,
    class: Class,
    failure: &CallFailure,
) -> Error {
    let endpoint = failure.endpoint();
    let waited = failure.waited();
    let code = failure.last_code.as_deref();
    match (error, class) {
        (SdkError::TimeoutError(_), _) => {
            let built = Error::unreachable(format!("{what}: {endpoint} did not answer {waited}"));
            let built = match code {
                Some(code) => built.cause(format!("an earlier attempt was answered with {code}")),
                None => built,
            };
            built.hint(failure.hint())
        }
        (SdkError::DispatchFailure(_), Class::Throttle) => {
            let code = code.unwrap_or("a throttle");
            let text = format!("{what}: {endpoint} answered every attempt {waited} with {code}");
            let built = Error::failed(text).with_code(code);
            match hint_for(code, class) {
                Some(hint) => built.hint(hint),
                None => built,
            }
        }
        (SdkError::DispatchFailure(dispatch), _) => {
            let cause = dispatch.as_connector_error().map(innermost);
            let cause = cause.unwrap_or_else(|| "no connection".to_owned());
            let text = match class {
                Class::Transient => format!("{what}: the connection to {endpoint} broke"),
                _ => format!("{what}: {endpoint} cannot be reached"),
            };
            Error::unreachable(text).cause(cause).hint(failure.hint())
        }
        (SdkError::ResponseError(response), _) => {
            let status = response.raw().status().as_u16();
            let text = match failure.is_web_page {
                true => {
                    format!("{what}: {endpoint} answered with a web page (HTTP {status}), not as AWS does")
                }
                false => format!("{what}: the answer of {endpoint} (HTTP {status}) could not be read"),
            };
            Error::failed(text).hint(failure.not_aws_hint())
        }
        (other, _) => Error::failed(what).cause(innermost(other)),
    }
}

fn service_error(what: &str, error: &ErrorMetadata, status: u16, class: Class, skew: Option<Skew>) -> Error {
    let code = error.code().unwrap_or("UnknownError");
    let message = error
        .message()
        .map_or_else(|| format!("HTTP {status}"), str::to_owned);
    let exit = match class.is_about_the_caller() {
        true => Exit::Unreachable,
        false => Exit::Failed,
    };
    let built = Error::new(exit, what)
        .cause(in_words(code, &message))
        .with_code(code);
    if let Some(hint) = machine::hint(&message) {
        return built.hint(hint);
    }
    let refused = REFUSED.iter().find(|(known, _)| *known == code);
    match (refused, skew) {
        // A signature is wrong too if its time is. An expired or not yet valid one does not indicate a wrong key.
        (Some((_, hint)), Some(skew)) if *hint == WRONG_CLOCK || code.contains("Signature") => built.hint(
            format!("this machine's clock is {skew}: set it right, then try again"),
        ),
        (Some(_), _) if code.contains("Signature") && is_about_time(&message) => built.hint(WRONG_CLOCK),
        (Some((_, hint)), _) => built.hint(*hint),
        (None, _) => match hint_for(code, class) {
            Some(hint) => built.hint(hint),
            None => built,
        },
    }
}

/// An error code and its message in one line. Without the code where a local cloud tells of trouble of its machine: the code
/// only says "internal failure".
pub fn in_words(code: &str, message: &str) -> String {
    match machine::hint(message) {
        Some(_) => machine::plain(message).to_owned(),
        None => format!("{code}: {message}"),
    }
}

/// The error of the operation `what` for an error code and its message, if a local cloud tells of trouble of its machine that
/// lasts, such as a full disk.
pub fn machine_trouble(what: &str, code: &str, message: &str) -> Option<Error> {
    let hint = machine::hint(message).filter(|_| machine::lasts(message))?;
    Some(Error::failed(what).cause(in_words(code, message)).hint(hint))
}

/// How far this machine's clock is from that of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// In whole seconds.
    pub length: Duration,
    pub ahead: bool,
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.ahead { "ahead of" } else { "behind" };
        write!(f, "{} {side} that of the service", duration::format(self.length))
    }
}

/// The skew, if it is long enough to make a signature invalid: AWS allows 5 minutes, and S3 15. `date` is that of the
/// response. Source: "Troubleshoot Signature Version 4 signed requests", IAM user guide.
pub fn clock_skew(date: Option<&str>, now: SystemTime) -> Option<Skew> {
    const ALLOWED: Duration = Duration::from_secs(4 * 60);
    let date = DateTime::from_str(date?, Format::HttpDate).ok()?;
    let service = SystemTime::try_from(date).ok()?;
    let (length, ahead) = match now.duration_since(service) {
        Ok(length) => (length, true),
        Err(error) => (error.duration(), false),
    };
    let length = Duration::from_secs(length.as_secs());
    (length >= ALLOWED).then_some(Skew { length, ahead })
}

/// Source: "Troubleshoot Signature Version 4 signed requests", IAM user guide.
fn is_about_time(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("Signature not yet current")
}

/// The next step after a failed request, if known.
fn hint_for(code: &str, class: Class) -> Option<&'static str> {
    Some(match (code, class) {
        ("ResourceNotFoundException", _) => {
            "`streamctl list` shows the streams here; `streamctl setup` creates one"
        }
        ("ResourceInUseException", _) => {
            "wait until `streamctl list` shows the stream as ACTIVE, then try again"
        }
        ("ProvisionedThroughputExceededException", _) => "the shard is at its limit: slow down or add shards",
        (_, Class::Quota) => {
            "a quota is used up: wait until it is free again, or ask AWS for a higher one (Service Quotas)"
        }
        (_, Class::Throttle) => {
            "the account makes too many calls at the moment: wait, then run the command again"
        }
        (_, Class::Denied) => DENIED,
        _ => return None,
    })
}

fn credentials_error(what: &str, error: &CredentialsError) -> Error {
    let cause = innermost(error);
    let built = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            Error::unreachable(format!("{what}: {NO_CREDENTIALS}")).hint(MISSING)
        }
        _ => Error::unreachable(format!("{what}: the AWS credentials could not be loaded")).hint(EXPIRED),
    };
    built.cause(cause)
}

/// The innermost cause, which is the most specific sentence.
fn innermost(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn refused(status: u16, code: &str, message: &str) -> SdkError<ErrorMetadata, HttpResponse> {
        let meta = ErrorMetadata::builder().code(code).message(message).build();
        let status = StatusCode::try_from(status).unwrap();
        SdkError::service_error(meta, HttpResponse::new(status, SdkBody::empty()))
    }

    #[test]
    fn an_expired_signature_hints_at_the_clock() {
        let code = "InvalidSignatureException";
        let hint = |message| {
            let error = failed("could not list the streams", refused(400, code, message));
            error.hint_text().unwrap().to_owned()
        };
        let late = "Signature expired: 20261121T100000Z is now earlier than 20261121T101500Z";
        assert_eq!(hint(late), WRONG_CLOCK);
        assert_eq!(
            hint("The request signature we calculated does not match"),
            WRONG_KEY
        );
    }

    #[test]
    fn a_wrong_clock_says_by_how_much() {
        let hint = |code: &str, seconds_behind: i64| {
            let now = SystemTime::now();
            let date = DateTime::from(now).secs() + seconds_behind;
            let date = DateTime::from_secs(date).fmt(Format::HttpDate).unwrap();
            let meta = ErrorMetadata::builder().code(code).message("no").build();
            let mut response = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
            response.headers_mut().insert("date", date);
            let error = failed(
                "could not list the streams",
                SdkError::service_error(meta, response),
            );
            error.hint_text().unwrap().to_owned()
        };
        let skewed = hint("RequestTimeTooSkewed", 17 * 60 + 2);
        assert!(skewed.starts_with("this machine's clock is 17m"), "{skewed}");
        assert!(skewed.contains("behind that of the service"), "{skewed}");
        let ahead = hint("InvalidSignatureException", -3_600);
        assert!(
            ahead.contains("1h") && ahead.contains("ahead of that of the service"),
            "{ahead}"
        );
        assert!(hint("SignatureDoesNotMatch", 7_200).contains("behind"));
        // A wrong key is a wrong key, whatever the time, and a right clock is not blamed.
        assert_eq!(hint("InvalidClientTokenId", 7_200), WRONG_KEY);
        assert_eq!(hint("SignatureDoesNotMatch", 2), WRONG_KEY);
        assert_eq!(hint("RequestTimeTooSkewed", 2), WRONG_CLOCK);
        assert_eq!(clock_skew(Some("nonsense"), SystemTime::now()), None);
        assert_eq!(clock_skew(None, SystemTime::now()), None);
    }

    #[test]
    fn every_code_with_a_hint_for_the_caller_is_about_the_caller() {
        for (code, _) in REFUSED {
            assert!(
                class_of(code, "").is_some_and(Class::is_about_the_caller),
                "{code}"
            );
        }
    }

    #[test]
    fn a_quota_and_a_rate_have_their_own_hints() {
        let hint = |message| {
            let error = failed(
                "could not reshard",
                refused(400, "LimitExceededException", message),
            );
            (error.class(), error.hint_text().unwrap().to_owned())
        };
        let (class, quota) = hint("UpdateShardCount was called 10 times in the last 24 hours");
        assert_eq!(class, Some(Class::Quota));
        assert!(quota.starts_with("a quota is used up"), "{quota}");
        let (class, rate) = hint("Rate exceeded for stream orders under account 123456789012.");
        assert_eq!(class, Some(Class::Throttle));
        assert!(rate.contains("too many calls"), "{rate}");
    }
}
