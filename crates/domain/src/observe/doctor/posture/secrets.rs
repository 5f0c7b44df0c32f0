//! Secrets in the variables of a function, which everyone can read who may read its configuration.
//!
//! Never shows a value.

use std::sync::OnceLock;

use regex_lite::Regex;

use super::Configuration;
use super::functions::subject;
use crate::observe::doctor::finding::Finding;

/// The forms of secrets that can be told by themselves.
/// Source: "IAM identifiers", IAM user guide, and the token formats that GitHub, Slack and Stripe document.
const FORMS: &[(&str, &str)] = &[
    ("an AWS access key", r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    ("a Slack token", r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),
    ("a Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{16,}\b"),
    (
        "a password in a URL",
        r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]{3,}@",
    ),
];
/// Words of names under which secrets are kept.
const NAMES: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "API_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
];
/// Words of names that refer to a secret, and do not hold it.
const REFERENCES: &[&str] = &[
    "ARN", "NAME", "ID", "PATH", "URL", "TTL", "EXPIRY", "TABLE", "KEY_ID", "REGION",
];
/// Values that are shorter are not taken for secrets.
const SHORTEST: usize = 8;

/// The forms, compiled once.
fn forms() -> &'static [(&'static str, Regex)] {
    static COMPILED: OnceLock<Vec<(&'static str, Regex)>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let compiled = FORMS.iter();
        compiled
            .filter_map(|(what, form)| Some((*what, Regex::new(form).ok()?)))
            .collect()
    })
}

/// What the value of a variable is, if its form tells that it is a secret.
fn known(value: &str) -> Option<&'static str> {
    let found = forms().iter().find(|(_, form)| form.is_match(value));
    found.map(|(what, _)| *what)
}

/// Whether name and value look like a secret.
fn looks_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_reference = REFERENCES.iter().any(|word| name.ends_with(word))
        || value.starts_with("arn:")
        || value.starts_with('/')
        || value.starts_with("{{resolve:")
        || value.contains("://")
        || value.contains(' ');
    let has_name = NAMES.iter().any(|word| name.contains(word));
    has_name && !is_reference && value.len() >= SHORTEST
}

pub(super) fn in_variables(function: &Configuration) -> Option<Finding> {
    let variables = function
        .environment()
        .and_then(|environment| environment.variables())?;
    let mut sure: Vec<String> = Vec::new();
    let mut likely: Vec<&str> = Vec::new();
    for (name, value) in variables {
        match known(value) {
            Some(what) => sure.push(format!("{name} holds {what}")),
            None if looks_secret(name, value) => likely.push(name),
            None => {}
        }
    }
    sure.sort();
    likely.sort_unstable();
    let finding = match (sure.is_empty(), likely.is_empty()) {
        (true, true) => return None,
        (false, _) => Finding::fault(subject(function), "has variables that hold secrets"),
        (true, false) => Finding::caution(
            subject(function),
            "has variables that look as if they hold secrets",
        ),
    };
    let finding = sure.into_iter().fold(finding, Finding::evidence);
    let finding = likely.into_iter().fold(finding, |finding, name| {
        finding.evidence(format!("{name} has the name of a secret"))
    });
    Some(
        finding
            .evidence("everyone who may call GetFunctionConfiguration can read them")
            .other_fix("aws secretsmanager create-secret --name NAME --secret-string file://SECRET"),
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::EnvironmentResponse;

    use super::*;
    use crate::observe::doctor::finding::Severity;

    fn found(variables: &[(&str, &str)]) -> Option<Finding> {
        let environment = variables
            .iter()
            .fold(EnvironmentResponse::builder(), |built, (name, value)| {
                built.variables(*name, *value)
            });
        let function = Configuration::builder()
            .function_name("scorer")
            .environment(environment.build());
        in_variables(&function.build())
    }

    #[test]
    fn secrets_are_told_by_their_form() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMII";
        for (name, value) in [
            ("KEY", "AKIAIOSFODNN7EXAMPLE"),
            ("CERTIFICATE", pem),
            ("DATABASE", "postgres://app:hunter22@db.example.com/shop"),
        ] {
            let finding = found(&[(name, value)]).unwrap();
            assert_eq!(finding.severity, Severity::Fault, "{name}");
            assert!(
                finding.evidence.iter().all(|line| !line.contains(value)),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn names_make_values_suspicious() {
        let finding = found(&[("DB_PASSWORD", "correct-horse"), ("TABLE_NAME", "events")]).unwrap();
        assert_eq!(finding.severity, Severity::Caution);
        assert_eq!(finding.evidence[0], "DB_PASSWORD has the name of a secret");
    }

    #[test]
    fn what_refers_to_a_secret_is_none() {
        assert_eq!(
            found(&[
                ("SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:db"),
                ("TOKEN_URL", "https://example.com/token"),
                ("DB_SECRET", "arn:aws:secretsmanager:us-east-1:1:secret:db"),
                ("API_KEY_PATH", "/shop/key-of-the-api"),
                ("TOKEN_TTL", "86400000"),
                ("QUEUE_URL", "http://127.0.0.1:4566/000000000000/failed"),
                ("PASSWORD", "short"),
            ]),
            None
        );
        assert_eq!(found(&[]), None);
    }
}
