//! Queues: who may use them, encryption, transport, redrive.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde_json::Value;

use super::Queues;
use super::policy::{self, Exposure};
use crate::functions::mapping::resource_name;
use crate::observe::doctor::finding::{Finding, Looked, Skipped};
use crate::observe::doctor::subject::Subject;
use ground::error;
use ground::shell::quoted;

type Attributes = HashMap<Name, String>;

/// A rule for one queue: its name and its attributes.
type Rule = fn(&str, &Attributes) -> Option<Finding>;

/// The attributes of the queues, read once. Those that do not exist are left out.
async fn queues<'s>(subject: &'s Subject<'_>) -> Result<&'s Queues, Skipped> {
    let known = subject.queues().await?;
    let read = subject.posture().queues.get_or_init(|| async {
        let mut all = Queues::new();
        for queue in known.values().flatten() {
            let call = subject
                .context()
                .sqs()
                .get_queue_attributes()
                .queue_url(&queue.url);
            match call.attribute_names(Name::All).send().await {
                Ok(answer) => {
                    all.insert(queue.name.clone(), answer.attributes.unwrap_or_default());
                }
                Err(failure) if error::aws::is_not_found(&failure) => {}
                Err(failure) => {
                    let what = format!("could not read queue {}", queue.name);
                    return Err(error::aws::failed(what, failure).into());
                }
            }
        }
        Ok(all)
    });
    read.await.as_ref().map_err(Clone::clone)
}

/// What `rule` finds in each queue.
pub(super) async fn each(subject: &Subject<'_>, rule: Rule) -> Looked {
    let all = queues(subject).await?;
    Ok(all
        .iter()
        .filter_map(|(name, attributes)| rule(name, attributes))
        .collect())
}

fn policy_of(attributes: &Attributes) -> Value {
    let text = attributes
        .get(&Name::Policy)
        .map(String::as_str)
        .unwrap_or_default();
    serde_json::from_str(text).unwrap_or(Value::Null)
}

fn text<'a>(attributes: &'a Attributes, name: &Name) -> &'a str {
    attributes.get(name).map(String::as_str).unwrap_or_default()
}

pub(super) fn public(name: &str, attributes: &Attributes) -> Option<Finding> {
    let exposure = policy::exposures(&policy_of(attributes)).into_iter().next()?;
    let Exposure::Everyone(actions) = exposure else {
        return None;
    };
    Some(
        Finding::fault(
            format!("queue {name}"),
            "lets every AWS account in the world use it",
        )
        .evidence(format!("it allows {} to everyone", actions.join(", ")))
        .other_fix(format!(
            "aws sqs set-queue-attributes --queue-url \"$(aws sqs get-queue-url --queue-name {} --query QueueUrl --output \
             text)\" --attributes Policy=",
            quoted(name)
        )),
    )
}

/// The command that sets attributes of the queue.
fn set(finding: Finding, name: &str, attributes: &str) -> Finding {
    finding.other_fix(format!(
        "aws sqs set-queue-attributes --queue-url \"$(aws sqs get-queue-url --queue-name {} --query QueueUrl --output \
         text)\" --attributes {attributes}",
        quoted(name)
    ))
}

/// Source of the rule: prowler, `sqs_queues_server_side_encryption_enabled`.
pub(super) fn encryption(name: &str, attributes: &Attributes) -> Option<Finding> {
    let by_sqs = text(attributes, &Name::SqsManagedSseEnabled) == "true";
    let by_key = !text(attributes, &Name::KmsMasterKeyId).is_empty();
    (!by_sqs && !by_key).then(|| {
        let finding = Finding::caution(format!("queue {name}"), "is not encrypted");
        set(finding, name, "SqsManagedSseEnabled=true")
    })
}

/// Source of the rule: steampipe, `sqs_queue_encrypted_with_kms_cmk`.
pub(super) fn customer_key(name: &str, attributes: &Attributes) -> Option<Finding> {
    let key = text(attributes, &Name::KmsMasterKeyId);
    let is_own = !key.is_empty() && !key.ends_with("alias/aws/sqs");
    let is_encrypted = encryption(name, attributes).is_none();
    (is_encrypted && !is_own).then(|| {
        let finding = Finding::caution(
            format!("queue {name}"),
            "is encrypted, but not with a customer managed key",
        );
        set(finding, name, "KmsMasterKeyId=KEY")
    })
}

/// Source of the rule: prowler, `sqs_queues_secure_transport_enabled`.
pub(super) fn transport(name: &str, attributes: &Attributes) -> Option<Finding> {
    (!policy::requires_tls(&policy_of(attributes))).then(|| {
        Finding::caution(format!("queue {name}"), "accepts requests without TLS")
            .evidence("no statement of its policy denies requests with aws:SecureTransport false")
    })
}

/// Source of the rules: serverless-rules, `redrive_policy`; steampipe, `sqs_queue_dead_letter_queue_configured`. A queue for
/// what has failed needs none.
pub(super) async fn without_redrive(subject: &Subject<'_>) -> Looked {
    let mut failed = subject.failure_queues().await?;
    let all = queues(subject).await?;
    failed.extend(all.values().filter_map(target_of_redrive));
    let working = all.iter().filter(|(name, _)| !failed.contains(*name));
    Ok(working
        .filter_map(|(name, attributes)| no_redrive(name, attributes))
        .collect())
}

/// The name of the queue that takes messages that were received too often.
fn target_of_redrive(attributes: &Attributes) -> Option<String> {
    let policy: Value = serde_json::from_str(text(attributes, &Name::RedrivePolicy)).ok()?;
    policy["deadLetterTargetArn"]
        .as_str()
        .map(|arn| resource_name(arn).to_owned())
}

fn no_redrive(name: &str, attributes: &Attributes) -> Option<Finding> {
    target_of_redrive(attributes).is_none().then(|| {
        let finding = Finding::caution(
            format!("queue {name}"),
            "has no redrive policy: a message that cannot be processed is received again until it expires",
        );
        set(
            finding,
            name,
            r#"'{"RedrivePolicy":"{\"deadLetterTargetArn\":\"QUEUE\",\"maxReceiveCount\":\"5\"}"}'"#,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(attributes: &[(Name, &str)]) -> Attributes {
        let attributes = attributes.iter();
        attributes
            .map(|(name, value)| (name.clone(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_queue_is_encrypted_by_sqs_or_by_a_key() {
        let bare = queue(&[(Name::SqsManagedSseEnabled, "false")]);
        assert!(encryption("q", &bare).is_some());
        assert!(
            customer_key("q", &bare).is_none(),
            "that it is not encrypted is said once"
        );
        let sqs = queue(&[(Name::SqsManagedSseEnabled, "true")]);
        assert!(encryption("q", &sqs).is_none());
        assert!(customer_key("q", &sqs).is_some());
        let aws = queue(&[(Name::KmsMasterKeyId, "alias/aws/sqs")]);
        assert!(encryption("q", &aws).is_none());
        assert!(customer_key("q", &aws).is_some());
        let own = queue(&[(Name::KmsMasterKeyId, "alias/mine")]);
        assert!(customer_key("q", &own).is_none());
    }

    #[test]
    fn a_policy_for_everyone_is_a_fault() {
        let open = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}]}"#;
        let found = public("q", &queue(&[(Name::Policy, open)])).unwrap();
        assert_eq!(found.evidence, ["it allows sqs:* to everyone"]);
        assert!(public("q", &queue(&[])).is_none());
        assert!(public("q", &queue(&[(Name::Policy, "rubbish")])).is_none());
    }

    #[test]
    fn tls_and_redrive_are_looked_for() {
        assert!(transport("q", &queue(&[])).is_some());
        let deny = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:*","Condition":{"Bool":{"aws:SecureTransport":false}}}}"#;
        assert!(transport("q", &queue(&[(Name::Policy, deny)])).is_none());
        assert!(no_redrive("q", &queue(&[])).is_some());
        let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:dead","maxReceiveCount":"5"}"#;
        let attributes = queue(&[(Name::RedrivePolicy, redrive)]);
        assert!(no_redrive("q", &attributes).is_none());
        assert_eq!(target_of_redrive(&attributes).unwrap(), "dead");
    }
}
