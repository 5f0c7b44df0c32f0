//! Checks of the way of a record: from the stream into the function, and from there into the table.

use std::collections::BTreeMap;

use super::Check;
use super::finding::{Finding, Looked};
use super::functions::shortened;
use super::logs::ErrorLines;
use super::measured::{Measured, Metric};
use super::queues::DeadLetters;
use super::subject::{Function, Scope, Subject};
use crate::functions::mapping::Mapping;

pub(super) const CHECKS: &[Check] = &[
    Check::new("not-processing", "records reach their functions", |s| {
        Box::pin(not_processing(s))
    }),
    Check::new(
        "records-not-in-table",
        "processed records reach the tables",
        |s| Box::pin(not_in_table(s)),
    ),
    Check::new("bad-data", "records have the format that functions read", |s| {
        Box::pin(bad_data(s))
    }),
];

/// Records and invocations must be this old before one is missed: a batching window is 5 minutes at most, and CloudWatch
/// shows a value some minutes late.
const LATE_SECONDS: i64 = 600;

async fn not_processing(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let functions = subject.named_functions().await?;
    let mappings = subject.mappings().await?.iter();
    Ok(mappings
        .filter_map(|mapping| idle(mapping, functions.get(mapping.function())?.as_ref()?, measured))
        .collect())
}

fn idle(mapping: &Mapping, function: &Function, measured: &Measured) -> Option<Finding> {
    let name = function.name.as_str();
    // Those have findings of their own.
    let is_off = mapping.settings.enabled == Some(false) || function.state.reserved_concurrency == Some(0);
    let throttled = measured.sum(Metric::Throttles, name).unwrap_or(0.0) > 0.0;
    let invoked = measured.sum(Metric::Invocations, name).unwrap_or(0.0) > 0.0;
    if is_off || throttled || invoked || mapping.state != "Enabled" {
        return None;
    }
    let stream = mapping.stream();
    let since = mapping.changed_seconds.unwrap_or(i64::MIN);
    let late = |(at, _): &&(i64, f64)| *at <= measured.now - LATE_SECONDS && *at >= since;
    let points = measured.points(Metric::RecordsIn, stream).iter().filter(late);
    let records: f64 = points.map(|(_, value)| value).sum();
    if records <= 0.0 {
        return None;
    }
    let of = format!("function {name}");
    let filters = mapping.settings.filters.as_ref().map_or(0, Vec::len);
    let finding = match filters {
        0 => Finding::fault(of, format!("was not invoked, though stream {stream} has records")),
        _ => Finding::caution(
            of,
            format!("was not invoked: its filters match none of the records of stream {stream}"),
        ),
    };
    Some(
        finding
            .evidence(format!(
                "{records:.0} records in the last hour that are older than 10 minutes, no invocation"
            ))
            .evidence(format!(
                "mapping {}: state {}, last result {}",
                mapping.id, mapping.state, mapping.last_result
            ))
            .evidence_if((filters > 0).then(|| format!("{filters} filters")))
            .fix(&["mappings", name])
            .fix(&["policy", "--function", name]),
    )
}

async fn not_in_table(subject: &Subject<'_>) -> Looked {
    let scope = subject.scope();
    if scope.tables.is_empty() {
        return Ok(Vec::new());
    }
    let measured = subject.measured().await?;
    let functions = subject.named_functions().await?;
    Ok(unwritten(scope, functions, measured).into_iter().collect())
}

fn unwritten(
    scope: &Scope,
    functions: &BTreeMap<String, Option<Function>>,
    measured: &Measured,
) -> Option<Finding> {
    let written = scope
        .tables
        .iter()
        .any(|table| measured.sum(Metric::UnitsWritten, table).unwrap_or(0.0) > 0.0);
    let sum = |metric, name: &str| measured.sum_before(metric, name, LATE_SECONDS);
    let records: f64 = scope
        .streams
        .iter()
        .map(|name| sum(Metric::RecordsIn, name))
        .sum();
    let invocations: f64 = functions.keys().map(|name| sum(Metric::Invocations, name)).sum();
    if written || records <= 0.0 || invocations <= 0.0 {
        return None;
    }
    let tables = scope.tables.join(", ");
    let noun = if scope.tables.len() == 1 {
        "table"
    } else {
        "tables"
    };
    let finding = Finding::fault(
        format!("{noun} {tables}"),
        "received no writes, though records were processed",
    )
    .evidence(format!(
        "{records:.0} records and {invocations:.0} invocations in the last hour that are older than 10 minutes"
    ))
    .evidence("the function fails, drops the records, or writes elsewhere");
    let finding = functions.keys().fold(finding, |finding, name| {
        finding.fix(&["logs", name, "--since", "1h"])
    });
    Some(match scope.setup.split_first() {
        Some((_, template)) => {
            let words: Vec<&str> = std::iter::once("verify")
                .chain(template.iter().map(String::as_str))
                .collect();
            finding.fix(&words)
        }
        None => finding,
    })
}

async fn bad_data(subject: &Subject<'_>) -> Looked {
    let letters = subject.dead_letters().await?;
    let lines = subject.error_lines().await?;
    let queues = letters.iter().filter_map(undecodable);
    let functions = lines.iter().filter_map(cannot_decode);
    Ok(queues.chain(functions).collect())
}

/// What decoders of common languages and the bundled handlers say.
const DECODE_ERRORS: &[&str] = &[
    "json_decode_error",
    "jsondecodeerror",
    "json parse",
    "invalid json",
    "not json",
    "not valid json",
    "unexpected token",
    "unexpected end of json",
    "expected value at line",
    "expected ident at line",
    "eof while parsing",
    "trailing characters",
    "invalid utf-8",
    "invalid utf8",
    "unicodedecodeerror",
    "base64",
    "malformed",
    "missing_field",
    "missing field",
    "invalid_field",
    "invalid type:",
    "unknown variant",
    "deserializ",
    "cannot decode",
    "could not decode",
    "failed to decode",
];

/// Whether `text` says that data could not be decoded.
fn is_decode_error(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    DECODE_ERRORS.iter().any(|word| lower.contains(word))
}

fn undecodable(letters: &DeadLetters) -> Option<Finding> {
    let bad: Vec<&String> = letters
        .reasons
        .iter()
        .filter(|reason| is_decode_error(reason))
        .collect();
    let example = bad.first()?;
    Some(
        Finding::fault(
            format!("queue {}", letters.queue),
            "holds records that could not be decoded: the producer writes another format",
        )
        .evidence(format!(
            "{} of {} messages that were read",
            bad.len(),
            letters.read
        ))
        .evidence(format!("reason: {}", shortened(example)))
        .fix(&["dlq", "list", &letters.queue])
        .fix(&["dlq", "replay", &letters.queue, "--dry-run"]),
    )
}

fn cannot_decode(lines: &ErrorLines) -> Option<Finding> {
    let bad = lines.lines.iter().filter(|line| is_decode_error(line));
    let bad: Vec<&String> = bad.collect();
    let example = bad.last()?;
    Some(
        Finding::fault(
            format!("function {}", lines.function),
            "cannot decode records: the producer writes another format",
        )
        .evidence(format!("{} lines in its log of the last hour", bad.len()))
        .evidence(format!("such as: {}", shortened(example)))
        .fix(&["logs", &lines.function, "--since", "1h"]),
    )
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{function, mapping};
    use super::*;
    use crate::observe::doctor::Severity;

    const NOW: i64 = 7_200;

    fn records(at: i64) -> Measured {
        Measured::of(NOW, &[(Metric::RecordsIn, "orders", &[(at, 12.0)])])
    }

    #[test]
    fn records_without_an_invocation_are_missed_after_a_while() {
        let (reader, scorer) = (mapping("scorer", "orders"), function("scorer"));
        let found = idle(&reader, &scorer, &records(NOW - 600)).unwrap();
        assert_eq!(found.severity, Severity::Fault);
        assert!(
            found.evidence[0].starts_with("12 records"),
            "{:?}",
            found.evidence
        );
        // They may still be in a batch, or the metric of the invocation late.
        assert_eq!(idle(&reader, &scorer, &records(NOW - 540)), None);
        assert_eq!(idle(&reader, &scorer, &Measured::default()), None);
    }

    #[test]
    fn a_mapping_is_not_blamed_for_records_before_its_last_change() {
        let (mut reader, scorer) = (mapping("scorer", "orders"), function("scorer"));
        reader.changed_seconds = Some(NOW - 700);
        assert!(idle(&reader, &scorer, &records(NOW - 660)).is_some());
        assert_eq!(idle(&reader, &scorer, &records(NOW - 720)), None);
        reader.settings.filters = Some(vec!["{}".to_owned()]);
        let filtered = idle(&reader, &scorer, &records(NOW - 660)).unwrap();
        assert_eq!(filtered.severity, Severity::Caution);
        reader.settings.enabled = Some(false);
        assert_eq!(idle(&reader, &scorer, &records(NOW - 660)), None);
    }

    #[test]
    fn tables_without_a_write_are_named_if_functions_ran() {
        let scope = Scope {
            streams: vec!["orders".to_owned()],
            tables: vec!["scores".to_owned()],
            setup: vec!["setup".to_owned(), "retail".to_owned()],
            ..Scope::default()
        };
        let functions = BTreeMap::from([("scorer".to_owned(), Some(function("scorer")))]);
        let judge = |written: f64, invoked_at: i64| {
            let measured = Measured::of(
                NOW,
                &[
                    (Metric::RecordsIn, "orders", &[(3_600, 10.0)]),
                    (Metric::Invocations, "scorer", &[(invoked_at, 2.0)]),
                    (Metric::UnitsWritten, "scores", &[(3_600, written)]),
                ],
            );
            unwritten(&scope, &functions, &measured)
        };
        assert_eq!(judge(1.0, 3_600), None);
        assert_eq!(judge(0.0, NOW - 60), None);
        let found = judge(0.0, 3_600).unwrap();
        let commands: Vec<&str> = found.fixes.iter().map(|fix| fix.command.as_str()).collect();
        assert_eq!(
            commands,
            ["streamctl logs scorer --since 1h", "streamctl verify retail"]
        );
    }

    #[test]
    fn decode_errors_of_common_languages_are_known() {
        for text in [
            "JSON_DECODE_ERROR: expected ident at line 1 column 2",
            "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
            "SyntaxError: Unexpected token 'n', \"not json\" is not valid JSON",
            "EOF while parsing a value at line 1 column 0",
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x80",
            "MISSING_FIELD: userId",
        ] {
            assert!(is_decode_error(text), "{text}");
        }
        for text in ["RetryAttemptsExhausted", "Task timed out after 3.00 seconds", ""] {
            assert!(!is_decode_error(text), "{text}");
        }
    }

    #[test]
    fn only_messages_about_decoding_count() {
        let letters = DeadLetters {
            queue: "failed".to_owned(),
            reasons: vec!["throttled".to_owned(), "JSON_DECODE_ERROR: x".to_owned()],
            read: 2,
        };
        let found = undecodable(&letters).unwrap();
        assert_eq!(found.evidence[0], "1 of 2 messages that were read");
        assert_eq!(undecodable(&DeadLetters::default()), None);
    }
}
