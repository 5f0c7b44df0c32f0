//! Checks of event source mappings: state, last result, what happens to a batch that fails, size of batches.

use super::Check;
use super::finding::{Finding, Looked};
use super::fixes::{change_mapping, configure};
use super::measured::{Measured, Metric};
use super::subject::{Function, Subject};
use crate::functions::mapping::Mapping;

pub(super) const CHECKS: &[Check] = &[
    Check::new("mapping-disabled", "mappings are enabled", |s| {
        Box::pin(disabled(s))
    }),
    Check::new("mapping-failing", "mappings process their batches", |s| {
        Box::pin(failing(s))
    }),
    Check::new(
        "no-failure-destination",
        "batches that are given up are kept somewhere",
        |s| Box::pin(no_destination(s)),
    ),
    Check::new("poison-pill-risk", "one bad record cannot block a shard", |s| {
        Box::pin(poison_pills(s))
    }),
    Check::new(
        "delivery-failures",
        "failed batches reach their destination",
        |s| Box::pin(deliveries(s)),
    ),
    Check::new("batch-too-large", "a full batch fits into the timeout", |s| {
        Box::pin(batches(s))
    }),
];

/// Retries that are proposed.
const RETRIES: &str = "3";
/// A batch is extrapolated to at most this many times the measured one: the time of small batches says little.
const MOST_EXTRAPOLATION: f64 = 10.0;
/// Share of the timeout that a full batch may need.
const FITS: f64 = 0.9;

fn of(mapping: &Mapping) -> String {
    format!("mapping {} → {}", mapping.stream(), mapping.function())
}

async fn disabled(subject: &Subject<'_>) -> Looked {
    let mappings = subject.mappings().await?.iter();
    Ok(mappings.filter_map(is_disabled).collect())
}

fn is_disabled(mapping: &Mapping) -> Option<Finding> {
    if mapping.settings.enabled != Some(false) {
        return None;
    }
    let reason = (!mapping.state_reason.is_empty()).then(|| format!("reason: {}", mapping.state_reason));
    let finding = Finding::fault(of(mapping), "is disabled: records are not processed, and expire")
        .evidence(format!("state {}", mapping.state))
        .evidence_if(reason);
    Some(change_mapping(finding, mapping, &["--enabled"], true))
}

async fn failing(subject: &Subject<'_>) -> Looked {
    let mappings = subject.mappings().await?.iter();
    Ok(mappings.filter_map(last_failed).collect())
}

fn last_failed(mapping: &Mapping) -> Option<Finding> {
    if !mapping.has_problem() {
        return None;
    }
    let last = mapping.last_result.trim_start_matches("PROBLEM:").trim();
    let finding = Finding::fault(of(mapping), "could not process its last batch")
        .evidence(format!("last result: {last}"))
        .fix(&["logs", mapping.function(), "--since", "1h"]);
    let about_access = ["permission", "access", "role", "authorized"];
    let lower = last.to_ascii_lowercase();
    Some(match about_access.iter().any(|word| lower.contains(word)) {
        true => finding.fix(&["policy", "--function", mapping.function()]),
        false => finding,
    })
}

async fn no_destination(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let mappings = subject.mappings().await?.iter();
    Ok(mappings
        .filter_map(|mapping| discards(mapping, measured))
        .collect())
}

fn gives_up(mapping: &Mapping) -> bool {
    let is_set = |value: Option<i64>| value.is_some_and(|value| value >= 0);
    is_set(mapping.settings.retries) || is_set(mapping.settings.max_record_age_seconds)
}

/// Proposes a queue for the failed records of `mapping`.
fn with_queue(finding: Finding, mapping: &Mapping, flags: &[&str]) -> Finding {
    let queue = format!("{}-failed", mapping.function());
    let destination = format!("queue:{queue}");
    let flags = [flags, &["--on-failure", &destination]].concat();
    let finding = finding.other_fix(format!(
        "aws sqs create-queue --queue-name {queue} --attributes MessageRetentionPeriod=1209600"
    ));
    match mapping.stream_arn.contains("/consumer/") {
        true => finding.other_fix(format!(
            "aws lambda update-event-source-mapping --uuid {} --destination-config \
             'OnFailure={{Destination=ARN}}'",
            mapping.id
        )),
        false => change_mapping(finding, mapping, &flags, false),
    }
}

fn discards(mapping: &Mapping, measured: &Measured) -> Option<Finding> {
    let has_destination = mapping
        .settings
        .on_failure
        .as_deref()
        .is_some_and(|arn| !arn.is_empty());
    if has_destination || !gives_up(mapping) {
        return None;
    }
    let failed = measured.sum(Metric::Errors, mapping.function()).unwrap_or(0.0);
    let finding = match failed > 0.0 {
        true => Finding::fault(of(mapping), "discards the batches that fail: records are lost"),
        false => Finding::caution(of(mapping), "would discard batches that fail: nothing keeps them"),
    };
    let retries = match mapping.settings.retries {
        Some(retries) if retries >= 0 => format!("{retries} retries"),
        _ => "unlimited retries".to_owned(),
    };
    let age = match mapping.settings.max_record_age_seconds {
        Some(seconds) if seconds >= 0 => format!("a maximum record age of {seconds} s"),
        _ => "no maximum record age".to_owned(),
    };
    let finding = finding
        .evidence(format!("{retries}, {age}, no on-failure destination"))
        .evidence_if((failed > 0.0).then(|| format!("{failed:.0} invocations failed in the last hour")));
    Some(with_queue(finding, mapping, &[]))
}

async fn poison_pills(subject: &Subject<'_>) -> Looked {
    let mappings = subject.mappings().await?.iter();
    Ok(mappings.filter_map(can_block).collect())
}

fn can_block(mapping: &Mapping) -> Option<Finding> {
    if gives_up(mapping) {
        return None;
    }
    let finding = Finding::caution(
        of(mapping),
        "retries without limit: one record that always fails blocks its shard until it expires",
    )
    .evidence("neither retries nor the age of records are limited");
    let flags: &[&str] = match mapping.settings.tumbling_window_seconds.unwrap_or(0) {
        0 => &["--retries", RETRIES, "--bisect"],
        _ => &["--retries", RETRIES],
    };
    Some(with_queue(finding, mapping, flags))
}

async fn deliveries(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let mappings = subject.mappings().await?.iter();
    Ok(mappings
        .filter_map(|mapping| undelivered(mapping, measured))
        .collect())
}

fn undelivered(mapping: &Mapping, measured: &Measured) -> Option<Finding> {
    let failures = measured.sum(Metric::DeliveryFailures, mapping.function());
    let failures = failures.filter(|n| *n > 0.0)?;
    let destination = mapping.settings.on_failure.as_deref().unwrap_or_default();
    Some(
        Finding::fault(
            of(mapping),
            "could not send failed batches to their destination: they are lost",
        )
        .evidence(format!("{failures:.0} failures in the last hour"))
        .evidence(format!("destination {destination}"))
        .evidence("the role of the function needs permission to write to it")
        .fix(&["policy", "--function", mapping.function()]),
    )
}

async fn batches(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let functions = subject.named_functions().await?;
    let mappings = subject.mappings().await?;
    let mut findings = Vec::new();
    for mapping in mappings {
        let Some(Some(function)) = functions.get(mapping.function()) else {
            continue;
        };
        // The metrics of a function are those of all its mappings.
        let own = mappings.iter().filter(|one| one.function() == function.name);
        if own.count() == 1 {
            findings.extend(too_large(mapping, function, measured));
        }
    }
    Ok(findings)
}

/// Extrapolates the time of the measured batches to a full one.
fn too_large(mapping: &Mapping, function: &Function, measured: &Measured) -> Option<Finding> {
    let name = function.name.as_str();
    let filtered = mapping
        .settings
        .filters
        .as_ref()
        .is_some_and(|filters| !filters.is_empty());
    let invocations = measured.sum(Metric::Invocations, name).filter(|n| *n > 0.0)?;
    let records = measured.sum(Metric::RecordsIn, mapping.stream())?;
    let seconds = measured.max(Metric::AverageDuration, name)? / 1000.0;
    let size = mapping.settings.batch_size.unwrap_or(100) as f64;
    let timeout = f64::from(function.state.timeout_seconds);
    let batch = records / invocations;
    if filtered || batch < 1.0 || size / batch > MOST_EXTRAPOLATION || size <= batch {
        return None;
    }
    let full = seconds * size / batch;
    if full < FITS * timeout {
        return None;
    }
    let finding = Finding::caution(
        of(mapping),
        format!("a full batch would take about {full:.0} s, and the function has {timeout:.0} s"),
    )
    .evidence(format!(
        "batches of {batch:.0} records on average take up to {seconds:.1} s; a full batch has {size:.0}"
    ));
    let smaller = (size * timeout * 0.5 / full).floor().max(1.0);
    let finding = change_mapping(
        finding,
        mapping,
        &["--batch-size", &format!("{smaller:.0}")],
        false,
    );
    let more = (full * 2.0).ceil().min(900.0);
    Some(configure(
        finding,
        function,
        ("--timeout", &format!("{more:.0}s")),
        &format!("--timeout {more:.0}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{function, mapping};
    use super::*;
    use crate::observe::doctor::Severity;

    fn commands(finding: &Finding) -> Vec<&str> {
        finding.fixes.iter().map(|fix| fix.command.as_str()).collect()
    }

    #[test]
    fn a_disabled_mapping_can_safely_be_enabled() {
        let mut reader = mapping("scorer", "orders");
        assert_eq!(is_disabled(&reader), None);
        reader.settings.enabled = Some(false);
        reader.state = "Disabled".to_owned();
        reader.state_reason = "User action".to_owned();
        let found = is_disabled(&reader).unwrap();
        assert_eq!(
            commands(&found),
            ["streamctl attach scorer --stream orders --enabled"]
        );
        assert!(found.fixes[0].is_safe);
        assert_eq!(found.evidence, ["state Disabled", "reason: User action"]);
    }

    #[test]
    fn the_last_result_is_evidence_and_tells_about_permissions() {
        let mut reader = mapping("scorer", "orders");
        assert_eq!(last_failed(&reader), None);
        reader.last_result = "PROBLEM: Function call failed".to_owned();
        let found = last_failed(&reader).unwrap();
        assert_eq!(found.evidence, ["last result: Function call failed"]);
        assert_eq!(commands(&found), ["streamctl logs scorer --since 1h"]);
        reader.last_result = "PROBLEM: Cannot access stream orders".to_owned();
        assert_eq!(last_failed(&reader).unwrap().fixes.len(), 2);
    }

    #[test]
    fn bounded_retries_need_a_destination() {
        let mut reader = mapping("scorer", "orders");
        let failed = Measured::of(0, &[(Metric::Errors, "scorer", &[(0, 2.0)])]);
        assert_eq!(discards(&reader, &failed), None);
        reader.settings.retries = Some(3);
        let judge =
            |reader: &Mapping, measured: &Measured| discards(reader, measured).map(|found| found.severity);
        assert_eq!(judge(&reader, &failed), Some(Severity::Fault));
        assert_eq!(judge(&reader, &Measured::default()), Some(Severity::Caution));
        let found = discards(&reader, &failed).unwrap();
        assert_eq!(
            commands(&found),
            [
                "aws sqs create-queue --queue-name scorer-failed --attributes MessageRetentionPeriod=1209600",
                "streamctl attach scorer --stream orders --on-failure queue:scorer-failed",
            ]
        );
        reader.settings.on_failure = Some("arn:aws:sqs:us-east-1:000000000000:failed".to_owned());
        assert_eq!(discards(&reader, &failed), None);
    }

    #[test]
    fn endless_retries_let_one_record_block_a_shard() {
        let mut reader = mapping("scorer", "orders");
        let found = can_block(&reader).unwrap();
        assert_eq!(
            commands(&found)[1],
            "streamctl attach scorer --stream orders --retries 3 --bisect --on-failure queue:scorer-failed"
        );
        reader.settings.max_record_age_seconds = Some(3_600);
        assert_eq!(can_block(&reader), None);
        reader.settings.max_record_age_seconds = Some(-1);
        reader.settings.retries = Some(0);
        assert_eq!(can_block(&reader), None);
    }

    #[test]
    fn undelivered_batches_are_lost() {
        let reader = mapping("scorer", "orders");
        let measured = |count| Measured::of(0, &[(Metric::DeliveryFailures, "scorer", &[(0, count)])]);
        assert_eq!(undelivered(&reader, &measured(0.0)), None);
        assert!(undelivered(&reader, &measured(1.0)).is_some());
    }

    #[test]
    fn the_time_of_a_full_batch_is_extrapolated_from_batches_that_are_not_tiny() {
        let scorer = function("scorer");
        let mut reader = mapping("scorer", "orders");
        reader.settings.batch_size = Some(1_000);
        let judge = |records: f64, ms: f64| {
            let measured = Measured::of(
                0,
                &[
                    (Metric::Invocations, "scorer", &[(0, 10.0)]),
                    (Metric::RecordsIn, "orders", &[(0, records)]),
                    (Metric::AverageDuration, "scorer", &[(0, ms)]),
                ],
            );
            too_large(&reader, &scorer, &measured)
        };
        // 100 records in 6 s: 1,000 in 60 s.
        let found = judge(1_000.0, 6_000.0).unwrap();
        assert_eq!(
            found.summary,
            "a full batch would take about 60 s, and the function has 60 s"
        );
        assert_eq!(
            commands(&found)[0],
            "streamctl attach scorer --stream orders --batch-size 500"
        );
        assert_eq!(judge(1_000.0, 5_000.0), None);
        assert_eq!(
            judge(900.0, 6_000.0),
            None,
            "more than ten times the measured batch"
        );
    }
}
