//! Whether the caller may read and write the streams: cheap reads, and calls with `DryRun`, which change nothing.
//!
//! Source of `DryRun`: PutRecord, PutRecords, GetRecords, GetShardIterator and SubscribeToShard, Kinesis API reference. An
//! endpoint that does not know it would store the record of a probe. GetShardIterator, which does no harm, shows first
//! whether the endpoint knows it.

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, StartingPosition};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::finding::{Finding, Looked, Skipped};
use super::super::subject::Subject;
use super::simulate::{Denial, Simulated, explain, principal_of, simulate};
use crate::context::Context;
use crate::stream::consumers::ConsumerStatus;
use ground::error;
use ground::error::aws::Class;

/// The actions on records. Each is probed, unless the endpoint does not know `DryRun`.
const DATA: &[&str] = &["kinesis:GetRecords", "kinesis:PutRecord", "kinesis:PutRecords"];

/// What a call shows about a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Probe {
    Allowed,
    /// The error code and what the service says.
    Denied(String, String),
    /// The call was carried out: `DryRun` is not known here.
    Ignored,
    /// It failed for another reason.
    Unknown(String),
}

/// Reads the answer to a call with `DryRun`.
fn dry<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E, HttpResponse>>) -> Probe {
    match answer {
        Ok(_) => Probe::Ignored,
        Err(failure) => refused(&failure),
    }
}

/// Reads the answer to a call that only reads.
fn real<T, E: ProvideErrorMetadata>(answer: &Result<T, SdkError<E, HttpResponse>>) -> Probe {
    match answer {
        Ok(_) => Probe::Allowed,
        Err(failure) => refused(failure),
    }
}

fn refused<E: ProvideErrorMetadata>(failure: &SdkError<E, HttpResponse>) -> Probe {
    let code = failure.as_service_error().and_then(ProvideErrorMetadata::code);
    if code == Some("DryRunOperationException") {
        return Probe::Allowed;
    }
    match error::aws::class(failure) {
        Class::Denied => {
            let message = failure.as_service_error().and_then(ProvideErrorMetadata::message);
            Probe::Denied(
                code.unwrap_or_default().to_owned(),
                message.unwrap_or("access denied").to_owned(),
            )
        }
        // A caller without the permission is refused before the rate is looked at.
        Class::Throttle => Probe::Allowed,
        _ => Probe::Unknown(error::aws::reason(failure)),
    }
}

/// The results for one stream: the action and what its probe shows.
type Results = Vec<(&'static str, Probe)>;

pub(super) async fn permissions(subject: &Subject<'_>) -> Looked {
    let context = subject.context();
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for name in &subject.scope().streams {
        let Some((arn, results)) = probe(subject, name).await else {
            continue;
        };
        unknown.extend(results.iter().filter_map(|(action, probe)| match probe {
            Probe::Unknown(reason) => Some(format!("{action} on {name}: {reason}")),
            _ => None,
        }));
        let mut denied = denials(&results, &arn);
        let caller = context.caller().await.ok().flatten();
        let caller = caller
            .map(|caller| caller.arn.as_str())
            .filter(|arn| !arn.is_empty());
        let unprobed: Vec<&str> = DATA
            .iter()
            .copied()
            .filter(|action| !results.iter().any(|(probed, _)| probed == action))
            .collect();
        if let Some(caller) = caller {
            denied.extend(simulated(context, caller, &unprobed, &arn).await);
        }
        if !denied.is_empty() {
            found.push(finding(name, caller, &denied));
        }
    }
    match unknown.first() {
        Some(first) if found.is_empty() => Err(Skipped(format!("a probe failed: {first}"))),
        _ => Ok(found),
    }
}

/// What the policies of the caller do not allow of the actions that could not be probed. Nothing where IAM does not tell.
async fn simulated(context: &Context, caller: &str, actions: &[&str], arn: &str) -> Vec<Denial> {
    if actions.is_empty() {
        return Vec::new();
    }
    let Some(principal) = principal_of(context, caller).await else {
        return Vec::new();
    };
    match simulate(context, &principal, actions, arn, &[]).await {
        Ok(Simulated::Denied(denied)) => denied,
        Ok(Simulated::NoPrincipal) | Err(_) => Vec::new(),
    }
}

/// Probes each action on the stream `name`; `None` if there is no such stream.
async fn probe(subject: &Subject<'_>, name: &str) -> Option<(String, Results)> {
    let context = subject.context();
    let kinesis = context.kinesis();
    let (summary, shards) = tokio::join!(
        kinesis.describe_stream_summary().stream_name(name).send(),
        kinesis.list_shards().stream_name(name).max_results(1).send(),
    );
    if let Err(failure) = &summary
        && error::aws::is_not_found(failure)
    {
        return None;
    }
    let described = summary
        .as_ref()
        .ok()
        .and_then(|answer| answer.stream_description_summary());
    let arn = match described {
        Some(described) => described.stream_arn().to_owned(),
        None => context.stream_arn(name).await.unwrap_or_else(|_| "*".to_owned()),
    };
    let mut results = vec![
        ("kinesis:DescribeStreamSummary", real(&summary)),
        ("kinesis:ListShards", real(&shards)),
    ];
    let listed = shards
        .ok()
        .and_then(|answer| answer.shards.unwrap_or_default().into_iter().next());
    let shard = listed.map_or_else(|| "shardId-000000000000".to_owned(), |shard| shard.shard_id);
    let iterator = || {
        let call = kinesis.get_shard_iterator().stream_name(name).shard_id(&shard);
        call.shard_iterator_type(ShardIteratorType::Latest)
    };
    let first = dry(iterator().dry_run(true).send().await);
    let is_safe = first == Probe::Allowed || context.is_local() || !context.is_foreign();
    let may_iterate = first == Probe::Allowed;
    results.push(("kinesis:GetShardIterator", first));
    if !is_safe {
        return Some((arn, results));
    }
    let read = async {
        let iterator = match may_iterate {
            true => iterator().send().await.ok()?.shard_iterator?,
            false => return None,
        };
        let call = kinesis
            .get_records()
            .shard_iterator(iterator)
            .limit(1)
            .dry_run(true);
        Some(dry(call.send().await))
    };
    let (read, (one, many), subscribed) =
        tokio::join!(read, write(context, name), subscribe(subject, name, &shard));
    results.extend(read.map(|probe| ("kinesis:GetRecords", probe)));
    results.extend([("kinesis:PutRecord", one), ("kinesis:PutRecords", many)]);
    results.extend(subscribed.map(|probe| ("kinesis:SubscribeToShard", probe)));
    Some((arn, results))
}

/// PutRecord and PutRecords. Nothing is stored.
async fn write(context: &Context, name: &str) -> (Probe, Probe) {
    const KEY: &str = "streamctl-doctor";
    let one = context
        .kinesis()
        .put_record()
        .stream_name(name)
        .partition_key(KEY);
    let one = one.data(Blob::new("probe")).dry_run(true);
    let entry = PutRecordsRequestEntry::builder()
        .partition_key(KEY)
        .data(Blob::new("probe"));
    let Ok(entry) = entry.build() else {
        let failed = Probe::Unknown("the request could not be built".to_owned());
        return (failed.clone(), failed);
    };
    let many = context
        .kinesis()
        .put_records()
        .stream_name(name)
        .records(entry)
        .dry_run(true);
    let (one, many) = tokio::join!(one.send(), many.send());
    (dry(one), dry(many))
}

/// SubscribeToShard of the first active consumer, if there is one.
async fn subscribe(subject: &Subject<'_>, name: &str, shard: &str) -> Option<Probe> {
    let all = subject.consumers().await.ok()?;
    let consumers = all.get(name)?;
    let consumer = consumers.iter().find(|it| it.status == ConsumerStatus::Active)?;
    let latest = StartingPosition::builder()
        .r#type(ShardIteratorType::Latest)
        .build()
        .ok()?;
    let call = subject.context().kinesis().subscribe_to_shard();
    let call = call
        .consumer_arn(&consumer.arn)
        .shard_id(shard)
        .starting_position(latest);
    Some(dry(call.dry_run(true).send().await))
}

/// What is denied on the stream `arn`. A refusal of KMS is about the key, which the stream names.
fn denials(results: &Results, arn: &str) -> Vec<Denial> {
    let denied = results.iter().filter_map(|(action, probe)| match probe {
        Probe::Denied(code, message) => Some((*action, code, message)),
        _ => None,
    });
    let mut denials: Vec<Denial> = denied
        .map(|(action, code, message)| {
            let of_key = code.starts_with("KMS");
            let action = match action {
                "kinesis:PutRecord" | "kinesis:PutRecords" if of_key => "kms:GenerateDataKey",
                _ if of_key => "kms:Decrypt",
                action => action,
            };
            let key = message.split_whitespace().find(|word| word.contains(":kms:"));
            let resource = match of_key {
                true => key.unwrap_or("*"),
                false => arn,
            };
            Denial {
                action: action.to_owned(),
                resource: resource.to_owned(),
                reason: message.clone(),
                is_explicit: message.contains("explicit deny"),
            }
        })
        .collect();
    denials.dedup_by(|one, other| one.action == other.action);
    denials
}

/// The caller may need no more than it has, so this is not called a fault.
fn finding(name: &str, caller: Option<&str>, denied: &[Denial]) -> Finding {
    let actions: Vec<&str> = denied
        .iter()
        .map(|denial| denial.action.rsplit(':').next().unwrap_or_default())
        .collect();
    let who = caller.map_or("the caller", |arn| arn.rsplit(':').next().unwrap_or(arn));
    let summary = format!("may not {} on stream {name}", actions.join(", "));
    explain(Finding::caution(who, summary), caller, name, denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kinesis:us-east-1:1:stream/orders";

    fn denied(code: &str, message: &str) -> Probe {
        Probe::Denied(code.to_owned(), message.to_owned())
    }

    #[test]
    fn only_what_is_refused_is_a_denial() {
        let results = vec![
            ("kinesis:ListShards", Probe::Allowed),
            ("kinesis:GetShardIterator", Probe::Ignored),
            (
                "kinesis:GetRecords",
                Probe::Unknown("no answer in time".to_owned()),
            ),
            (
                "kinesis:PutRecord",
                denied("AccessDeniedException", "because no policy allows it"),
            ),
            (
                "kinesis:PutRecords",
                denied(
                    "AccessDeniedException",
                    "with an explicit deny in an identity-based policy",
                ),
            ),
        ];
        let found = denials(&results, ARN);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.action.as_str(), it.resource.as_str(), it.is_explicit))
            .collect();
        assert_eq!(
            found,
            [
                ("kinesis:PutRecord", ARN, false),
                ("kinesis:PutRecords", ARN, true)
            ]
        );
    }

    #[test]
    fn a_refusal_of_kms_is_about_the_key() {
        let key = "arn:aws:kms:us-east-1:1:key/7";
        let message =
            format!("User: eve is not authorized to perform: kms:GenerateDataKey on resource: {key} because");
        let results = vec![
            ("kinesis:PutRecord", denied("KMSAccessDeniedException", &message)),
            ("kinesis:PutRecords", denied("KMSAccessDeniedException", &message)),
        ];
        let found = denials(&results, ARN);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].action.as_str(), found[0].resource.as_str()),
            ("kms:GenerateDataKey", key)
        );
    }

    #[test]
    fn the_summary_names_the_caller_and_the_actions() {
        let results = vec![
            ("kinesis:PutRecord", denied("AccessDeniedException", "no")),
            ("kinesis:PutRecords", denied("AccessDeniedException", "no")),
        ];
        let found = finding("orders", Some("arn:aws:iam::1:user/eve"), &denials(&results, ARN));
        assert_eq!(found.summary, "may not PutRecord, PutRecords on stream orders");
        assert_eq!(found.subject, "user/eve");
    }
}
