use super::super::kind::property_names;
use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};

const DECLARED: &str = r#"
name = "failed"
retention_seconds = 1209600
visibility_seconds = 60
encryption = true
topics = ["arn:aws:sns:us-east-1:000000000000:alerts"]
"#;

async fn differences(declared: &str, by_default: &[&str], facts: &Facts) -> String {
    let context = context().await;
    let queue = Queue::new(&context, location(), spec("queue", declared, by_default)).unwrap();
    changes(&queue, &there(facts, &[]))
}

fn facts() -> Facts {
    Facts {
        url: "https://sqs/failed".into(),
        arn: "arn:aws:sqs:us-east-1:000000000000:failed".into(),
        retention_seconds: 1_209_600,
        visibility_seconds: 60,
        encryption: Sse::Sqs,
        policy: Value::Null,
        messages: 0,
    }
}

async fn policy() -> Value {
    let context = context().await;
    let queue = Queue::new(&context, location(), spec("queue", DECLARED, &[])).unwrap();
    common::with_statement(&Value::Null, SID, queue.statement().as_ref())
}

#[tokio::test]
async fn only_the_topics_named_may_send() {
    assert_eq!(
        policy().await,
        json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "StreamctlTopics",
                    "Effect": "Allow",
                    "Principal": {
                        "Service": "sns.amazonaws.com"
                    },
                    "Action": "sqs:SendMessage",
                    "Resource": "arn:aws:sqs:us-east-1:000000000000:failed",
                    "Condition": {
                        "ArnEquals": {
                            "aws:SourceArn": [
                                "arn:aws:sns:us-east-1:000000000000:alerts"
                            ]
                        }
                    }
                }
            ]
        })
    );
}

#[tokio::test]
async fn what_differs_is_changed() {
    let policy = policy().await;
    let same = Facts {
        policy: policy.clone(),
        ..facts()
    };
    assert_eq!(differences(DECLARED, &[], &same).await, "");
    let other = Facts {
        retention_seconds: 345_600,
        visibility_seconds: 30,
        encryption: Sse::Kms("alias/mine".into()),
        ..facts()
    };
    insta::assert_snapshot!(differences(DECLARED, &[], &other).await, @r#"
    retention: 4 days → 14 days
    visibility timeout: 30 s → 60 s
    encryption: KMS key alias/mine → SSE-SQS
    policy: another → the topics may send
    "#);
    assert_eq!(
        differences(DECLARED, property_names::<Declared>(), &other).await,
        ""
    );
    let shorter = "name = \"failed\"\nretention_seconds = 60\nencryption = false\ntopics = []";
    let full = Facts { messages: 3, ..same };
    insta::assert_snapshot!(differences(shorter, &[], &full).await, @r#"
    retention: 14 days → 60 s (messages older than 60 s are deleted)
    encryption: SSE-SQS → none
    policy: the topics may send → no topic may send
    "#);
    assert_eq!(differences("name = \"failed\"", &[], &full).await, "");
}

#[tokio::test]
async fn bad_declarations_are_refused_before_any_call() {
    let context = context().await;
    let made = |declared: &str| Queue::new(&context, location(), spec("queue", declared, &[])).map(drop);
    let refusals = [
        "name = \"failed.fifo\"",
        "name = \"failed\"\nretention_seconds = 59",
        "name = \"failed\"\nvisibility_seconds = 43201",
        "name = \"failed\"\nkms_key = \"alias/aws/sqs\"\ntopics = [\"arn:x\"]",
    ]
    .map(|declared| refusal(made(declared)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    "failed.fifo" is not a queue name
    hint: use 1 to 80 letters, digits or any of _ -
    queue failed: retention_seconds is 59; it must be from 60 to 1209600
    queue failed: visibility_seconds is 43201; it must be from 0 to 43200
    queue failed: topics cannot send to a queue that is encrypted with alias/aws/sqs
    hint: use `encryption = true`, or a key of your own that SNS may use
    "#);
}

#[tokio::test]
async fn a_name_that_was_just_given_up_is_waited_for() {
    let mut tries = 0;
    let endpoint = Endpoint::start(move |call, body| match call {
        "CreateQueue" => {
            assert!(body.contains("\"MessageRetentionPeriod\":\"1209600\""), "{body}");
            tries += 1;
            match tries {
                1 => (
                    400,
                    r#"{"__type":"com.amazonaws.sqs#QueueDeletedRecently","message":"wait 60 seconds"}"#
                        .into(),
                ),
                _ => (200, r#"{"QueueUrl":"http://sqs/failed"}"#.into()),
            }
        }
        "ListQueueTags" => (200, r#"{"Tags":{"ManagedBy":"streamctl"}}"#.into()),
        // The endpoint passed over a tag.
        "TagQueue" => {
            assert!(body.contains("demo/one") && !body.contains("ManagedBy"), "{body}");
            (200, "{}".into())
        }
        other => panic!("{other}"),
    })
    .await;
    let queue = Queue::new(&endpoint.context, location(), spec("queue", DECLARED, &[])).unwrap();
    let (made, said) =
        with_step(async |step| queue.apply(&Change::Create, &Observed::Absent, step).await).await;
    made.unwrap();
    insta::assert_snapshot!(said.join("\n"), @r#"
    creating
    SQS keeps the name of a deleted queue for 60 seconds
    setting tags
    "#);
    assert_eq!(
        endpoint.calls(),
        ["CreateQueue", "CreateQueue", "ListQueueTags", "TagQueue"]
    );
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_absent() {
    let endpoint = Endpoint::start(|_, _| {
        let body = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}"#;
        (400, body.into())
    })
    .await;
    let queue = Queue::new(&endpoint.context, location(), spec("queue", DECLARED, &[])).unwrap();
    assert_eq!(Resource::observe(&queue).await.unwrap(), Observed::Absent);
    let outputs = Resource::outputs(&queue, &Observed::Absent);
    assert!(outputs.contains_key("arn") && !outputs.contains_key("url"));
}
