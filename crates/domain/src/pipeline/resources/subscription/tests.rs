use super::super::test_support::{Endpoint, context, location, refusal, spec, with_step};
use super::*;
use crate::pipeline::resource::{Dependencies, Observed, Resource};
use crate::pipeline::tags::Owner;

const EMAIL: &str = r#"
topic = "arn:aws:sns:us-east-1:000000000000:alerts"
protocol = "email"
endpoint = "me@example.com"
"#;

/// Two pages of subscriptions, ours on the second and not confirmed, of a topic of `pipeline`.
async fn endpoint(pipeline: &'static str) -> Endpoint {
    let member = |endpoint: &str, arn: &str| {
        format!(
            "<member><Protocol>email</Protocol><Endpoint>{endpoint}</Endpoint><SubscriptionArn>{arn}</SubscriptionArn></member>"
        )
    };
    let page = move |members: String, next: &str| {
        format!(
            "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions>{members}</Subscriptions>\
             {next}</ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"
        )
    };
    Endpoint::start(move |call, body| match call {
        "ListSubscriptionsByTopic" if body.contains("NextToken=2") => {
            (200, page(member("Me@example.com", "PendingConfirmation"), ""))
        }
        "ListSubscriptionsByTopic" => (
            200,
            page(member("other@example.com", "arn:x"), "<NextToken>2</NextToken>"),
        ),
        "ListTagsForResource" => (
            200,
            format!(
                "<ListTagsForResourceResponse><ListTagsForResourceResult><Tags>\
                 <member><Key>ManagedBy</Key><Value>streamctl</Value></member>\
                 <member><Key>streamctl:pipeline</Key><Value>{pipeline}</Value></member>\
                 </Tags></ListTagsForResourceResult></ListTagsForResourceResponse>"
            ),
        ),
        other => panic!("{other}"),
    })
    .await
}

#[tokio::test]
async fn one_that_nobody_confirmed_is_worth_a_look_and_goes_with_its_topic() {
    let endpoint = endpoint("demo/one").await;
    let spec = spec("subscription", EMAIL, &[]);
    let subscription = Subscription::new(&endpoint.context, location(), spec.clone()).unwrap();
    let observed = Resource::observe(&subscription).await.unwrap();
    assert_eq!(observed.owner(&spec.identity), Some(Owner::Us));
    assert_eq!(
        Resource::outputs(&subscription, &observed)["arn"],
        "pending confirmation"
    );
    let dependencies = Dependencies::default();
    assert_eq!(subscription.diff(&observed, &dependencies).unwrap(), []);
    let checks = Resource::verify(&subscription, &observed, false).await;
    assert_eq!(checks[0].state, CheckState::Caution);
    insta::assert_snapshot!(checks[0].detail, @"me@example.com has not confirmed it: nothing is sent there until the link in the message from AWS is opened");

    let calls = endpoint.calls().len();
    let (gone, said) = with_step(async |step| Resource::delete(&subscription, &observed, step).await).await;
    gone.unwrap();
    assert_eq!(endpoint.calls().len(), calls);
    insta::assert_snapshot!(said.join("\n"), @"was never confirmed: AWS removes it with its topic, or after 48 hours");
    assert_eq!(Resource::observe(&subscription).await.unwrap(), Observed::Absent);
}

#[tokio::test]
async fn one_of_another_pipelines_topic_is_that_pipelines() {
    let endpoint = endpoint("demo/two").await;
    let spec = spec("subscription", EMAIL, &[]);
    let subscription = Subscription::new(&endpoint.context, location(), spec.clone()).unwrap();
    let observed = Resource::observe(&subscription).await.unwrap();
    assert_eq!(
        observed.owner(&spec.identity),
        Some(Owner::Pipeline("demo/two".into()))
    );
}

#[tokio::test]
async fn endpoints_fit_their_protocol() {
    let context = context().await;
    let made = |protocol: &str, endpoint: &str| {
        let declared = format!("topic = \"arn:x\"\nprotocol = \"{protocol}\"\nendpoint = \"{endpoint}\"");
        Subscription::new(&context, location(), spec("subscription", &declared, &[])).map(drop)
    };
    let refusals = [
        ("email", "me"),
        ("https", "http://x"),
        ("sqs", "https://sqs/q"),
        ("lambda", "f"),
        ("sms", "1"),
    ]
    .map(|(protocol, endpoint)| refusal(made(protocol, endpoint)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    "me" is not an endpoint for email
    hint: give an email address
    "http://x" is not an endpoint for https
    hint: give a URL that begins with https://
    "https://sqs/q" is not an endpoint for sqs
    hint: give the ARN of a queue
    "f" is not an endpoint for lambda
    hint: give the ARN of a function
    line 1: resource it: unknown variant `sms`, expected one of `email`, `sqs`, `https`, `lambda`
    "#);
    assert!(made("sqs", "arn:aws:sqs:us-east-1:000000000000:q").is_ok());
    assert!(made("sqs", "(known after setup)").is_ok());
}
