//! Checks of functions: state, timeouts, errors, throttles, concurrency, runtime.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::Check;
use super::finding::{Finding, Looked};
use super::fixes::configure;
use super::logs::ErrorLines;
use super::measured::{Measured, Metric};
use super::runtimes;
use super::subject::{Function, Subject};
use crate::functions::function::Readiness;
use crate::functions::mapping::Mapping;
use crate::stream::StreamState;
use ground::error;

pub(super) const CHECKS: &[Check] = &[
    Check::new("function-missing", "mapped functions exist", |s| {
        Box::pin(missing(s))
    }),
    Check::new("function-state", "functions are active", |s| Box::pin(states(s))),
    Check::new("function-errors", "functions do not fail", |s| {
        Box::pin(errors(s))
    }),
    Check::new(
        "function-timeout",
        "functions end well before their timeout",
        |s| Box::pin(timeouts(s)),
    ),
    Check::new("function-throttles", "functions are not throttled", |s| {
        Box::pin(throttles(s))
    }),
    Check::new(
        "function-concurrency",
        "functions have the concurrency that their shards need",
        |s| Box::pin(concurrency(s)),
    ),
    Check::new("account-concurrency", "the account has concurrency left", |s| {
        Box::pin(account_concurrency(s))
    }),
    Check::new("runtime-deprecated", "runtimes are supported", |s| {
        Box::pin(deprecated(s))
    }),
];

/// Share of failed or throttled invocations from which they are a fault.
const MUCH: f64 = 0.05;
/// Share of its timeout from which a function is slow.
const SLOW: f64 = 0.8;
/// The longest timeout, in seconds. Source: "Lambda quotas", Lambda developer guide.
const LONGEST_TIMEOUT: u32 = 900;
/// Share of the account's concurrency from which it is nearly used.
const NEARLY: f64 = 0.8;

fn of(function: &Function) -> String {
    format!("function {}", function.name)
}

async fn missing(subject: &Subject<'_>) -> Looked {
    let functions = subject.named_functions().await?;
    let mappings = subject.mappings().await?.iter();
    let orphans = mappings.filter(|mapping| functions.get(mapping.function()) == Some(&None));
    Ok(orphans.map(is_missing).collect())
}

fn is_missing(mapping: &Mapping) -> Finding {
    let function = mapping.function();
    Finding::fault(
        format!("mapping {} → {function}", mapping.stream()),
        "invokes a function that does not exist: no record is processed",
    )
    .evidence(format!("mapping {}", mapping.id))
    .fix(&["deploy", function])
    .fix(&["detach", function, "--stream", mapping.stream()])
}

async fn states(subject: &Subject<'_>) -> Looked {
    let functions = subject.functions().await?.into_iter();
    Ok(functions.filter_map(state_of).collect())
}

fn state_of(function: &Function) -> Option<Finding> {
    let trouble = match function.state.readiness() {
        Ok(Readiness::Ready) => return None,
        Ok(Readiness::Wait(what)) => {
            return Some(
                Finding::caution(of(function), "is not ready to be invoked yet")
                    .evidence(format!("state {}; wait {what}", function.state.state))
                    .fix(&["mappings", &function.name]),
            );
        }
        Err(trouble) => trouble,
    };
    let finding = Finding::fault(of(function), "cannot be used").evidence(trouble);
    Some(match super::fixes::deploy_words(function) {
        Some(words) => finding.fix(&words.iter().map(String::as_str).collect::<Vec<_>>()),
        None => finding.other_fix(format!(
            "aws lambda get-function --function-name {}",
            function.name
        )),
    })
}

async fn errors(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let lines = subject.error_lines().await.unwrap_or_default();
    let functions = subject.functions().await?.into_iter();
    Ok(functions
        .filter_map(|function| failing(function, measured, lines))
        .collect())
}

fn failing(function: &Function, measured: &Measured, lines: &[ErrorLines]) -> Option<Finding> {
    let name = function.name.as_str();
    let errors = measured.sum(Metric::Errors, name).filter(|n| *n > 0.0)?;
    let invocations = measured.sum(Metric::Invocations, name).unwrap_or(0.0).max(errors);
    let share = errors / invocations;
    let summary = format!("failed in {errors:.0} of {invocations:.0} invocations in the last hour");
    let finding = match share >= MUCH {
        true => Finding::fault(of(function), summary),
        false => Finding::caution(of(function), summary),
    };
    let own = lines.iter().find(|one| one.function == name);
    let last = own.and_then(|own| own.lines.last());
    let last = last.map(|line| format!("last error in its log: {}", shortened(line)));
    Some(finding.evidence_if(last).fix(&["logs", name, "--since", "1h"]))
}

/// The first line of `text`, in at most 160 characters.
pub(super) fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.chars().count() > 160 {
        true => line.chars().take(159).chain(['…']).collect(),
        false => line.to_owned(),
    }
}

async fn timeouts(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let functions = subject.functions().await?.into_iter();
    Ok(functions
        .filter_map(|function| slow(function, measured))
        .collect())
}

fn slow(function: &Function, measured: &Measured) -> Option<Finding> {
    let longest = measured.max(Metric::LongestDuration, &function.name)? / 1000.0;
    let timeout = function.state.timeout_seconds;
    if timeout == 0 || longest < SLOW * f64::from(timeout) {
        return None;
    }
    let finding = match longest >= f64::from(timeout) {
        true => Finding::fault(of(function), "reached its timeout: its batch is retried"),
        false => Finding::caution(of(function), "needs nearly all of its timeout"),
    };
    let average = measured.max(Metric::AverageDuration, &function.name);
    let finding = finding
        .evidence(format!(
            "the longest invocation took {longest:.1} s of {timeout} s"
        ))
        .evidence_if(average.map(|ms| format!("on average up to {:.1} s", ms / 1000.0)));
    let more = (timeout * 2).min(LONGEST_TIMEOUT);
    let seconds = format!("{more}s");
    let finding = match more > timeout {
        true => configure(
            finding,
            function,
            ("--timeout", &seconds),
            &format!("--timeout {more}"),
        ),
        false => finding,
    };
    let memory = (function.state.memory_mb * 2).min(10_240).to_string();
    Some(configure(
        finding,
        function,
        ("--memory", &memory),
        &format!("--memory-size {memory}"),
    ))
}

async fn throttles(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let functions = subject.functions().await?.into_iter();
    Ok(functions
        .filter_map(|function| throttled(function, measured))
        .collect())
}

fn throttled(function: &Function, measured: &Measured) -> Option<Finding> {
    let name = function.name.as_str();
    // A function that is switched off has a finding of its own.
    if function.state.reserved_concurrency == Some(0) {
        return None;
    }
    let throttles = measured.sum(Metric::Throttles, name).filter(|n| *n > 0.0)?;
    let invocations = measured.sum(Metric::Invocations, name).unwrap_or(0.0);
    let share = throttles / (throttles + invocations);
    let summary = format!("was throttled {throttles:.0} times in the last hour");
    let finding = match share >= MUCH {
        true => Finding::fault(of(function), summary),
        false => Finding::caution(of(function), summary),
    };
    let highest = measured.max(Metric::Concurrency, name);
    let finding = finding
        .evidence(format!("{invocations:.0} invocations ran"))
        .evidence_if(highest.map(|n| format!("at most {n:.0} ran at the same time")));
    Some(match function.state.reserved_concurrency {
        Some(reserved) => more_concurrency(
            finding.evidence(format!("reserved concurrency {reserved}")),
            function,
            reserved.saturating_mul(2),
        ),
        None => finding
            .evidence("it has no reserved concurrency: other functions can use up the account's concurrency")
            .other_fix("aws service-quotas list-service-quotas --service-code lambda"),
    })
}

fn more_concurrency(finding: Finding, function: &Function, reserved: u32) -> Finding {
    let reserved = reserved.to_string();
    match super::fixes::deploy_words(function) {
        Some(words) => {
            let words: Vec<&str> = words
                .iter()
                .map(String::as_str)
                .chain(["--reserved-concurrency", &reserved])
                .collect();
            finding.fix(&words)
        }
        None => finding.other_fix(format!(
            "aws lambda put-function-concurrency --function-name {} \
             --reserved-concurrent-executions {reserved}",
            function.name
        )),
    }
}

async fn concurrency(subject: &Subject<'_>) -> Looked {
    let streams = subject.streams().await?;
    let mappings = subject.mappings().await?;
    let functions = subject.functions().await?.into_iter();
    Ok(functions
        .filter_map(|function| limited(function, &streams, mappings))
        .collect())
}

/// Concurrent invocations that the mappings of a function can need: one for each shard and parallel batch.
/// Source: "Polling and batching streams", Lambda developer guide.
fn needed(function: &Function, streams: &[&StreamState], mappings: &[Mapping]) -> u32 {
    let own = mappings.iter().filter(|one| one.function() == function.name);
    let of_mapping = |mapping: &Mapping| {
        let stream = streams.iter().find(|state| state.name == mapping.stream())?;
        let parallel = u32::try_from(mapping.settings.parallelization.unwrap_or(1)).ok()?;
        Some(stream.open_shards.saturating_mul(parallel))
    };
    own.filter_map(of_mapping).fold(0, u32::saturating_add)
}

fn limited(function: &Function, streams: &[&StreamState], mappings: &[Mapping]) -> Option<Finding> {
    let reserved = function.state.reserved_concurrency?;
    let needed = needed(function, streams, mappings);
    if reserved == 0 {
        let finding = Finding::fault(of(function), "is switched off: its reserved concurrency is 0")
            .evidence(format!("its mappings need up to {needed} concurrent invocations"))
            .other_fix(format!(
                "aws lambda delete-function-concurrency --function-name {}",
                function.name
            ));
        return Some(more_concurrency(finding, function, needed.max(1)));
    }
    if reserved >= needed {
        return None;
    }
    let finding = Finding::caution(
        of(function),
        "has less reserved concurrency than its shards can use",
    )
    .evidence(format!(
        "reserved concurrency {reserved}; one invocation for each shard and parallel batch needs {needed}"
    ));
    Some(more_concurrency(finding, function, needed))
}

async fn account_concurrency(subject: &Subject<'_>) -> Looked {
    if subject.functions().await?.is_empty() {
        return Ok(Vec::new());
    }
    let call = subject.context().lambda().get_account_settings();
    let answer = call
        .send()
        .await
        .map_err(|e| error::aws::failed("could not read the limits of Lambda", e))?;
    let limit = answer
        .account_limit()
        .map_or(0, |limit| limit.concurrent_executions());
    let used = subject.measured().await?.max(Metric::AccountConcurrency, "");
    Ok(nearly_used(used, limit).into_iter().collect())
}

fn nearly_used(used: Option<f64>, limit: i32) -> Option<Finding> {
    let used = used?;
    if limit <= 0 || used < NEARLY * f64::from(limit) {
        return None;
    }
    Some(
        Finding::caution(
            "account",
            "has nearly used its whole quota of concurrent invocations",
        )
        .evidence(format!(
            "{used:.0} of {limit} concurrent invocations in the last hour"
        ))
        .other_fix("aws service-quotas list-service-quotas --service-code lambda"),
    )
}

async fn deprecated(subject: &Subject<'_>) -> Looked {
    let today = jiff::Zoned::now().date();
    let functions = subject.functions().await?;
    let mut findings: Vec<Finding> = functions
        .iter()
        .filter_map(|function| old_runtime(function, today))
        .collect();
    // One finding for each function, even if its versions share a runtime.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.subject.clone()));
    Ok(findings)
}

fn old_runtime(function: &Function, today: Date) -> Option<Finding> {
    let since = runtimes::deprecated_since(&function.state.runtime)?;
    if since > today {
        return None;
    }
    Some(
        Finding::caution(of(function), "uses a runtime that Lambda no longer supports")
            .evidence(format!(
                "{} is deprecated since {since}: no security patches, and later no updates",
                function.state.runtime
            ))
            .other_fix(format!(
                "aws lambda update-function-configuration --function-name {} --runtime {}",
                function.name,
                runtimes::successor(&function.state.runtime)
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{function, mapping, stream};
    use super::*;
    use crate::observe::doctor::Severity;

    fn severity(found: Option<Finding>) -> Option<Severity> {
        found.map(|finding| finding.severity)
    }

    #[test]
    fn a_function_that_failed_to_start_is_a_fault() {
        let mut scorer = function("scorer");
        assert_eq!(state_of(&scorer), None);
        scorer.state.state = "Pending".to_owned();
        assert_eq!(severity(state_of(&scorer)), Some(Severity::Caution));
        scorer.state.state = "Failed".to_owned();
        scorer.state.trouble = "no network".to_owned();
        let found = state_of(&scorer).unwrap();
        assert_eq!(found.severity, Severity::Fault);
        assert_eq!(found.evidence, ["Lambda could not set it up: no network"]);
    }

    #[test]
    fn few_errors_are_worth_a_look_and_many_a_fault() {
        let scorer = function("scorer");
        let judge = |errors: f64, invocations: f64| {
            let measured = Measured::of(
                0,
                &[
                    (Metric::Errors, "scorer", &[(0, errors)]),
                    (Metric::Invocations, "scorer", &[(0, invocations)]),
                ],
            );
            severity(failing(&scorer, &measured, &[]))
        };
        assert_eq!(judge(0.0, 10.0), None);
        assert_eq!(judge(1.0, 1_000.0), Some(Severity::Caution));
        assert_eq!(judge(50.0, 1_000.0), Some(Severity::Fault));
        assert_eq!(severity(failing(&scorer, &Measured::default(), &[])), None);
    }

    #[test]
    fn the_last_error_in_the_log_is_evidence() {
        let measured = Measured::of(0, &[(Metric::Errors, "scorer", &[(0, 2.0)])]);
        let lines = [ErrorLines {
            function: "scorer".to_owned(),
            lines: vec!["first".to_owned(), format!("{}\nmore", "x".repeat(200))],
        }];
        let found = failing(&function("scorer"), &measured, &lines).unwrap();
        assert_eq!(
            found.evidence,
            [format!("last error in its log: {}…", "x".repeat(159))]
        );
    }

    #[test]
    fn a_function_at_its_timeout_gets_more_time_or_memory() {
        let scorer = function("scorer");
        let judge = |ms: f64| {
            let measured = Measured::of(0, &[(Metric::LongestDuration, "scorer", &[(0, ms)])]);
            slow(&scorer, &measured)
        };
        assert_eq!(severity(judge(40_000.0)), None);
        assert_eq!(severity(judge(48_000.0)), Some(Severity::Caution));
        let found = judge(60_000.0).unwrap();
        assert_eq!(found.severity, Severity::Fault);
        let commands: Vec<&str> = found.fixes.iter().map(|fix| fix.command.as_str()).collect();
        assert_eq!(
            commands,
            [
                "aws lambda update-function-configuration --function-name scorer --timeout 120",
                "aws lambda update-function-configuration --function-name scorer --memory-size 256",
            ]
        );
    }

    #[test]
    fn throttling_by_a_reservation_is_told_from_that_of_the_account() {
        let mut scorer = function("scorer");
        let measured = Measured::of(
            0,
            &[
                (Metric::Throttles, "scorer", &[(0, 5.0)]),
                (Metric::Invocations, "scorer", &[(0, 5.0)]),
            ],
        );
        let account = throttled(&scorer, &measured).unwrap();
        assert!(account.fixes[0].command.contains("service-quotas"));
        scorer.state.reserved_concurrency = Some(2);
        let reserved = throttled(&scorer, &measured).unwrap();
        assert!(
            reserved.fixes[0]
                .command
                .ends_with("--reserved-concurrent-executions 4")
        );
        scorer.state.reserved_concurrency = Some(0);
        assert_eq!(throttled(&scorer, &measured), None);
    }

    #[test]
    fn a_reservation_covers_shards_times_parallel_batches() {
        let mut orders = stream("orders");
        orders.open_shards = 4;
        let mut reader = mapping("scorer", "orders");
        reader.settings.parallelization = Some(2);
        let judge = |reserved| {
            let mut scorer = function("scorer");
            scorer.state.reserved_concurrency = reserved;
            severity(limited(&scorer, &[&orders], std::slice::from_ref(&reader)))
        };
        assert_eq!(judge(None), None);
        assert_eq!(judge(Some(8)), None);
        assert_eq!(judge(Some(7)), Some(Severity::Caution));
        assert_eq!(judge(Some(0)), Some(Severity::Fault));
    }

    #[test]
    fn the_accounts_concurrency_is_told_before_it_is_used_up() {
        assert_eq!(nearly_used(None, 1_000), None);
        assert_eq!(nearly_used(Some(799.0), 1_000), None);
        assert_eq!(severity(nearly_used(Some(800.0), 1_000)), Some(Severity::Caution));
        assert_eq!(nearly_used(Some(3.0), 0), None);
    }

    #[test]
    fn a_runtime_is_old_from_its_date_on() {
        let mut scorer = function("scorer");
        let on = |function: &Function, day: &str| severity(old_runtime(function, day.parse().unwrap()));
        assert_eq!(on(&scorer, "2026-11-28"), None);
        scorer.state.runtime = "nodejs20.x".to_owned();
        assert_eq!(on(&scorer, "2026-04-29"), None);
        assert_eq!(on(&scorer, "2026-04-30"), Some(Severity::Caution));
    }
}
