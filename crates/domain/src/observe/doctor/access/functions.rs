//! Whether the roles of functions allow what their mappings do with them: reading the stream, writing the log, and sending what
//! failed to its destination.
//!
//! Source: "Execution role permissions" for Kinesis event source mappings, Lambda developer guide.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::super::finding::{Finding, Looked, Severity};
use super::super::subject::{Function, Subject};
use super::simulate::{Denial, Simulated, explain, simulate};
use crate::context::Context;
use crate::functions::mapping::Mapping;
use crate::policy::MAPPING_ACTIONS;

/// What a mapping of a consumer needs on the consumer, and on its stream.
const SUBSCRIBE: &[&str] = &["kinesis:SubscribeToShard"];
const DESCRIBE: &[&str] = &[
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:ListShards",
];
const LOG: &[&str] = &["logs:CreateLogStream", "logs:PutLogEvents"];

/// Actions that a function needs on a resource, and what happens without them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    actions: &'static [&'static str],
    resource: String,
    severity: Severity,
    /// What does not work without them.
    loss: String,
}

/// What `function` needs for `mapping`.
fn needs(function: &Function, mapping: &Mapping) -> Vec<Need> {
    let need = |actions, resource: &str, severity, loss: String| Need {
        actions,
        resource: resource.to_owned(),
        severity,
        loss,
    };
    let stream = mapping.stream();
    let not_read = || format!("the stream {stream} is not read");
    let mut needs = Vec::new();
    match mapping.stream_arn.split_once("/consumer/") {
        Some((arn, _)) => {
            needs.push(need(SUBSCRIBE, &mapping.stream_arn, Severity::Fault, not_read()));
            needs.push(need(DESCRIBE, arn, Severity::Fault, not_read()));
        }
        None => needs.push(need(
            &MAPPING_ACTIONS,
            &mapping.stream_arn,
            Severity::Fault,
            not_read(),
        )),
    }
    let destination = mapping.settings.on_failure.as_deref().unwrap_or_default();
    if let Some((actions, resource)) = delivery(destination) {
        let loss = "what cannot be processed is lost".to_owned();
        needs.push(need(actions, &resource, Severity::Fault, loss));
    }
    if let Some(log) = log_stream(function) {
        needs.push(need(LOG, &log, Severity::Caution, "it writes no log".to_owned()));
    }
    needs
}

/// The action that a delivery to the ARN `destination` needs, and its resource.
fn delivery(destination: &str) -> Option<(&'static [&'static str], String)> {
    match destination.split(':').nth(2)? {
        "sqs" => Some((&["sqs:SendMessage"], destination.to_owned())),
        "sns" => Some((&["sns:Publish"], destination.to_owned())),
        "s3" => Some((&["s3:PutObject"], format!("{destination}/streamctl-doctor"))),
        _ => None,
    }
}

/// The ARN of a log stream in the log group of a function.
fn log_stream(function: &Function) -> Option<String> {
    let parts: Vec<&str> = function.state.arn.split(':').collect();
    let ["arn", partition, "lambda", region, account, ..] = parts.as_slice() else {
        return None;
    };
    let group = &function.state.log_group;
    Some(format!(
        "arn:{partition}:logs:{region}:{account}:log-group:{group}:log-stream:x"
    ))
}

/// A statement that allows one log stream or object allows none of the others: the statement names all.
fn widened(denial: Denial) -> Denial {
    let resource = match denial.resource.split_once(":log-stream:") {
        Some((group, _)) => format!("{group}:*"),
        None => denial.resource.replace("/streamctl-doctor", "/*"),
    };
    Denial { resource, ..denial }
}

pub(super) async fn permissions(subject: &Subject<'_>) -> Looked {
    let functions = subject.named_functions().await?;
    let mut wanted: BTreeMap<&str, (&Function, Vec<Need>)> = BTreeMap::new();
    for mapping in subject.mappings().await? {
        let Some(Some(function)) = functions.get(mapping.function()) else {
            continue;
        };
        let (_, kept) = wanted
            .entry(&function.name)
            .or_insert_with(|| (function, Vec::new()));
        // Two mappings share the log.
        for need in needs(function, mapping) {
            if !kept.contains(&need) {
                kept.push(need);
            }
        }
    }
    let examined = wanted
        .values()
        .map(|(function, needs)| examine(subject.context(), function, needs));
    Ok(try_join_all(examined).await?.into_iter().flatten().collect())
}

/// What the role of a function does not allow of its needs.
async fn examine(context: &Context, function: &Function, needs: &[Need]) -> Looked {
    let role = &function.state.role;
    let asked = needs
        .iter()
        .map(|need| simulate(context, role, need.actions, &need.resource, &[]));
    let mut found = Vec::new();
    for (need, simulated) in needs.iter().zip(try_join_all(asked).await?) {
        match simulated {
            Simulated::NoPrincipal => return Ok(vec![without_role(function)]),
            Simulated::Denied(denied) if denied.is_empty() => {}
            Simulated::Denied(denied) => {
                let denied: Vec<Denial> = denied.into_iter().map(widened).collect();
                found.push(finding(function, need, &denied));
            }
        }
    }
    Ok(found)
}

fn finding(function: &Function, need: &Need, denied: &[Denial]) -> Finding {
    let actions: Vec<&str> = denied.iter().map(|denial| denial.action.as_str()).collect();
    let role = function.state.role.rsplit('/').next().unwrap_or_default();
    let summary = format!(
        "has a role {role} that does not allow {}: {}",
        actions.join(", "),
        need.loss
    );
    let subject = format!("function {}", function.name);
    let finding = match need.severity {
        Severity::Fault => Finding::fault(subject, summary),
        Severity::Caution => Finding::caution(subject, summary),
    };
    explain(finding, Some(&function.state.role), &function.name, denied)
}

fn without_role(function: &Function) -> Finding {
    let role = &function.state.role;
    Finding::fault(
        format!("function {}", function.name),
        "has a role that does not exist: it cannot run",
    )
    .evidence(format!("the function names the role {role}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::mapping::Settings;
    use crate::observe::doctor::test_support;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:1:stream/orders";

    fn function() -> Function {
        let mut function = test_support::function("scorer");
        function.state.role = "arn:aws:iam::000000000000:role/team/work".to_owned();
        function
    }

    fn mapping(stream_arn: &str, on_failure: &str) -> Mapping {
        Mapping {
            stream_arn: stream_arn.to_owned(),
            settings: Settings {
                on_failure: Some(on_failure.to_owned()),
                ..Settings::default()
            },
            ..Mapping::default()
        }
    }

    fn needed(stream_arn: &str, on_failure: &str) -> Vec<(&'static str, String)> {
        let needs = needs(&function(), &mapping(stream_arn, on_failure));
        needs
            .into_iter()
            .map(|need| (need.actions[0], need.resource))
            .collect()
    }

    #[test]
    fn a_mapping_needs_to_read_to_deliver_and_to_log() {
        let log = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/scorer:log-stream:x".to_owned();
        assert_eq!(
            needed(STREAM, "arn:aws:sqs:us-east-1:1:failed"),
            [
                ("kinesis:DescribeStream", STREAM.to_owned()),
                ("sqs:SendMessage", "arn:aws:sqs:us-east-1:1:failed".to_owned()),
                ("logs:CreateLogStream", log.clone()),
            ]
        );
        let consumer = format!("{STREAM}/consumer/app:1");
        assert_eq!(
            needed(&consumer, ""),
            [
                ("kinesis:SubscribeToShard", consumer.clone()),
                ("kinesis:DescribeStream", STREAM.to_owned()),
                ("logs:CreateLogStream", log),
            ]
        );
        assert_eq!(
            needed(STREAM, "arn:aws:s3:::dead")[1].1,
            "arn:aws:s3:::dead/streamctl-doctor"
        );
    }

    #[test]
    fn the_statement_names_all_streams_of_a_log_and_all_objects() {
        let widen = |resource: &str| {
            widened(Denial {
                action: String::new(),
                resource: resource.to_owned(),
                reason: String::new(),
                is_explicit: false,
            })
            .resource
        };
        assert_eq!(
            widen("arn:aws:logs:r:1:log-group:g:log-stream:x"),
            "arn:aws:logs:r:1:log-group:g:*"
        );
        assert_eq!(widen("arn:aws:s3:::dead/streamctl-doctor"), "arn:aws:s3:::dead/*");
        assert_eq!(widen(STREAM), STREAM);
    }

    #[test]
    fn the_finding_says_what_is_lost() {
        let function = function();
        let need = &needs(&function, &mapping(STREAM, ""))[0];
        let denied = [Denial {
            action: "kinesis:GetRecords".to_owned(),
            resource: STREAM.to_owned(),
            reason: "no policy allows it".to_owned(),
            is_explicit: false,
        }];
        let found = finding(&function, need, &denied);
        assert_eq!(
            found.summary,
            "has a role work that does not allow kinesis:GetRecords: the stream orders is not read"
        );
        assert_eq!(found.severity, Severity::Fault);
        assert!(
            found.fixes[0]
                .command
                .starts_with("aws iam put-role-policy --role-name work ")
        );
    }
}
