use super::super::test_support::{changes, context, location, refusal, spec, there};
use super::*;

async fn differences(declared: &str, facts: &Facts) -> String {
    let context = context().await;
    let topic = Topic::new(&context, location(), spec("topic", declared, &[])).unwrap();
    changes(&topic, &there(facts, &[]))
}

async fn facts() -> Facts {
    let context = context().await;
    let topic = Topic::new(&context, location(), spec("topic", "name = \"alerts\"", &[])).unwrap();
    Facts {
        arn: topic.arn(),
        policy: common::with_statement(&Value::Null, SID, Some(&topic.statement())),
        ..Facts::default()
    }
}

#[tokio::test]
async fn only_this_accounts_alarms_may_publish() {
    assert_eq!(
        facts().await.policy,
        json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "StreamctlAlarms",
                    "Effect": "Allow",
                    "Principal": {
                        "Service": "cloudwatch.amazonaws.com"
                    },
                    "Action": "sns:Publish",
                    "Resource": "arn:aws:sns:us-east-1:000000000000:alerts",
                    "Condition": {
                        "StringEquals": {
                            "aws:SourceAccount": "000000000000"
                        }
                    }
                }
            ]
        })
    );
}

#[tokio::test]
async fn what_is_declared_is_enforced_and_nothing_else() {
    let declared = "name = \"alerts\"\nkms_key = \"alias/alerts\"\ndisplay_name = \"Alerts\"";
    insta::assert_snapshot!(differences(declared, &Facts { policy: Value::Null, ..facts().await }).await, @r#"
    policy: another → alarms may publish
    encryption: none → alias/alerts
    display name: none → Alerts
    "#);
    let other = Facts {
        kms_key: Some("alias/alerts".into()),
        display_name: "Alarms".into(),
        ..facts().await
    };
    assert_eq!(differences("name = \"alerts\"", &other).await, "");
    insta::assert_snapshot!(differences(declared, &other).await, @"display name: Alarms → Alerts");
    let none = "name = \"alerts\"\nkms_key = \"\"";
    insta::assert_snapshot!(differences(none, &other).await, @"encryption: alias/alerts → none");
}

#[tokio::test]
async fn a_key_that_cloudwatch_may_not_use_is_worth_a_look() {
    let facts = Facts {
        kms_key: Some(AWS_MANAGED_KEY.into()),
        ..Facts::default()
    };
    let check = Topic::described(&facts);
    assert_eq!(check.state, CheckState::Caution);
    insta::assert_snapshot!(check.detail, @"is encrypted with alias/aws/sns, which CloudWatch may not use: no alarm is delivered");
}

#[tokio::test]
async fn fifo_topics_are_refused() {
    let context = context().await;
    let made = Topic::new(&context, location(), spec("topic", "name = \"alerts.fifo\"", &[]));
    insta::assert_snapshot!(refusal(made.map(drop)), @r#"
    "alerts.fifo" is not a topic name
    hint: use 1 to 256 letters, digits or any of _ -
    "#);
}
