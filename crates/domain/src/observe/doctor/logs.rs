//! Checks of the logs of functions.

use jiff::Timestamp;

use super::Check;
use super::finding::{Finding, Looked};
use super::measured::{Measured, Metric, RANGE};
use super::subject::{Function, Subject};
use crate::context::Context;
use crate::functions::logs::{CloudWatchLogs, LogSource};
use ground::error::Result;

pub(super) const CHECKS: &[Check] = &[
    Check::new("log-group-missing", "functions write logs", |s| {
        Box::pin(missing(s))
    }),
    Check::new("log-retention", "logs expire", |s| Box::pin(retention(s))),
];

/// Lines that are kept for each function.
const LINES: usize = 20;
/// Matches what runtimes and handlers write about a failure.
/// Source: "Filter pattern syntax", CloudWatch Logs user guide.
const PATTERN: &str = "?ERROR ?Error ?error ?Exception ?Traceback ?panicked";
/// Days that are proposed for a log group without a retention.
const DAYS: &str = "30";

/// Lines about failures of a function, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorLines {
    pub function: String,
    pub lines: Vec<String>,
}

/// The first lines of the last hour about failures of `function`.
pub(super) async fn error_lines(context: &Context, function: &Function) -> Result<ErrorLines> {
    let from_ms = (Timestamp::now().as_second() - RANGE) * 1000;
    let source = CloudWatchLogs::new(context, true);
    let mut lines = Vec::new();
    let mut token = None;
    // A page may be empty although more follow.
    for _ in 0..3 {
        let page = source
            .page(&function.state.log_group, from_ms, Some(PATTERN), token.take())
            .await?;
        lines.extend(page.lines.into_iter().map(|line| line.message.trim().to_owned()));
        token = page.next;
        if lines.len() >= LINES || token.is_none() {
            break;
        }
    }
    lines.truncate(LINES);
    Ok(ErrorLines {
        function: function.name.clone(),
        lines,
    })
}

async fn missing(subject: &Subject<'_>) -> Looked {
    let groups = subject.log_groups().await?;
    let measured = subject.measured().await?;
    let functions = subject.functions().await?.into_iter();
    Ok(functions
        .filter(|function| groups.get(&function.state.log_group) == Some(&None))
        .filter_map(|function| writes_no_log(function, measured))
        .collect())
}

/// Lambda makes the log group with the first invocation, so only a function that ran must have one.
fn writes_no_log(function: &Function, measured: &Measured) -> Option<Finding> {
    // CloudWatch shows the metric later than the log.
    let invocations = measured.sum(Metric::Invocations, &function.name)?;
    if invocations <= 0.0 {
        return None;
    }
    let group = &function.state.log_group;
    Some(
        Finding::fault(
            format!("function {}", function.name),
            "writes no log: its log group does not exist",
        )
        .evidence(format!(
            "{invocations:.0} invocations in the last hour, and no log group {group}"
        ))
        .evidence("its role may lack logs:CreateLogGroup, logs:CreateLogStream or logs:PutLogEvents")
        .fix(&["policy", "--function", &function.name])
        .other_fix(format!("aws logs create-log-group --log-group-name {group}")),
    )
}

async fn retention(subject: &Subject<'_>) -> Looked {
    let groups = subject.log_groups().await?.iter();
    let endless = groups.filter(|(_, kept)| **kept == Some(None));
    Ok(endless.map(|(group, _)| kept_for_ever(group)).collect())
}

fn kept_for_ever(group: &str) -> Finding {
    Finding::caution(
        format!("log group {group}"),
        "keeps all logs forever: its cost only grows",
    )
    .other_fix(format!(
        "aws logs put-retention-policy --log-group-name {group} --retention-in-days {DAYS}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::function;
    use super::*;

    #[test]
    fn a_function_that_ran_has_a_log() {
        let scorer = function("scorer");
        let measured = |count| Measured::of(0, &[(Metric::Invocations, "scorer", &[(0, count)])]);
        assert_eq!(writes_no_log(&scorer, &measured(0.0)), None);
        assert_eq!(writes_no_log(&scorer, &Measured::default()), None);
        let found = writes_no_log(&scorer, &measured(4.0)).unwrap();
        assert_eq!(
            found.evidence[0],
            "4 invocations in the last hour, and no log group /aws/lambda/scorer"
        );
    }
}
