//! Users and sessions of roles, whose policies restrict them, and the policy simulator, which says what they may do.

use aws_credential_types::Credentials;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult};

use super::*;

const STREAM: &str = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders";
const EVE: &str = "arn:aws:iam::000000000000:user/eve";

fn allows(actions: &str, resource: &str) -> String {
    statement("Allow", actions, resource)
}

fn statement(effect: &str, actions: &str, resource: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": actions, "Resource": resource}]}).to_string()
}

/// The same endpoint with other credentials.
fn with_credentials(sdk: &SdkConfig, credentials: Credentials) -> SdkConfig {
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    sdk.clone().into_builder().credentials_provider(provider).build()
}

/// Makes the user `eve` and returns the configuration with an access key of that user.
async fn eve(running: &Running) -> SdkConfig {
    let iam = running.iam();
    ok!(iam.create_user().user_name("eve"));
    let key = ok!(iam.create_access_key().user_name("eve")).access_key.unwrap();
    let credentials = Credentials::new(key.access_key_id, key.secret_access_key, None, None, "test");
    with_credentials(&running.sdk, credentials)
}

async fn arn_of_caller(sdk: &SdkConfig) -> String {
    ok!(aws_sdk_sts::Client::new(sdk).get_caller_identity())
        .arn
        .unwrap()
}

/// Requests in CBOR, and requests that name their stream by an iterator.
#[tokio::test]
async fn every_protocol_needs_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let eve = eve(&running).await;
    let root = aws_sdk_kinesis::Client::new(&running.sdk);
    ok!(root.create_stream().stream_name("orders").shard_count(1));
    let iam = running.iam();
    let put = || iam.put_user_policy().user_name("eve").policy_name("read");
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&eve);
    let denied = refused!(cloudwatch.list_metrics());
    assert_eq!(denied.code(), Some("AccessDeniedException"));
    ok!(put().policy_document(allows("cloudwatch:ListMetrics", "*")));
    ok!(cloudwatch.list_metrics());

    ok!(put().policy_document(allows("kinesis:Get*", STREAM)));
    let kinesis = aws_sdk_kinesis::Client::new(&eve);
    let iterator = loop {
        let call = kinesis
            .get_shard_iterator()
            .stream_name("orders")
            .shard_id("shardId-000000000000");
        let call = call.shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon);
        // The stream is being created at first.
        if let Ok(answer) = call.send().await {
            break answer.shard_iterator;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let read = || kinesis.get_records().set_shard_iterator(iterator.clone());
    ok!(read());
    ok!(put().policy_document(allows("kinesis:GetShardIterator", STREAM)));
    refused!(read());
}

#[tokio::test]
async fn a_user_may_do_what_its_policies_allow() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    assert_eq!(
        arn_of_caller(&running.sdk).await,
        "arn:aws:iam::000000000000:root"
    );
    let eve = eve(&running).await;
    assert_eq!(arn_of_caller(&eve).await, EVE);
    ok!(aws_sdk_kinesis::Client::new(&running.sdk)
        .create_stream()
        .stream_name("orders")
        .shard_count(1));
    let kinesis = aws_sdk_kinesis::Client::new(&eve);
    let describe = || kinesis.describe_stream_summary().stream_name("orders");
    let denied = refused!(describe());
    assert_eq!(denied.code(), Some("AccessDeniedException"));
    assert_eq!(
        denied.message(),
        Some(
            "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: kinesis:DescribeStreamSummary on \
             resource: arn:aws:kinesis:eu-west-1:000000000000:stream/orders because no identity-based policy allows the \
             kinesis:DescribeStreamSummary action"
        )
    );

    // Through a group, then denied by an inline policy.
    ok!(iam.create_group().group_name("readers"));
    ok!(iam
        .put_group_policy()
        .group_name("readers")
        .policy_name("read")
        .policy_document(allows("kinesis:Describe*", STREAM)));
    ok!(iam.add_user_to_group().group_name("readers").user_name("eve"));
    ok!(describe());
    ok!(iam
        .put_user_policy()
        .user_name("eve")
        .policy_name("no")
        .policy_document(statement("Deny", "kinesis:*", "*")));
    assert!(
        refused!(describe())
            .message()
            .unwrap()
            .ends_with("explicit deny in an identity-based policy")
    );
    ok!(iam.delete_user_policy().user_name("eve").policy_name("no"));

    // The key is remembered with its user.
    drop(running);
    let again = Running::on(dir.path()).await;
    let eve = with_credentials(
        &again.sdk,
        aws_credential_types::provider::ProvideCredentials::provide_credentials(
            &eve.credentials_provider().unwrap(),
        )
        .await
        .unwrap(),
    );
    let kinesis = aws_sdk_kinesis::Client::new(&eve);
    ok!(kinesis.describe_stream_summary().stream_name("orders"));
    refused!(kinesis.list_streams());
}

#[tokio::test]
async fn a_session_of_a_role_has_the_permissions_of_the_role() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    let trust = r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}"#;
    let role = ok!(iam
        .create_role()
        .role_name("lister")
        .path("/team/")
        .assume_role_policy_document(trust));
    ok!(iam
        .put_role_policy()
        .role_name("lister")
        .policy_name("list")
        .policy_document(allows("kinesis:ListStreams", "*")));
    let sts = aws_sdk_sts::Client::new(&running.sdk);
    let arn = role.role.unwrap().arn;
    let session = ok!(sts.assume_role().role_arn(&arn).role_session_name("me"))
        .credentials
        .unwrap();
    let session = with_credentials(
        &running.sdk,
        Credentials::new(
            session.access_key_id,
            session.secret_access_key,
            Some(session.session_token),
            None,
            "test",
        ),
    );
    assert_eq!(
        arn_of_caller(&session).await,
        "arn:aws:sts::000000000000:assumed-role/lister/me"
    );
    let kinesis = aws_sdk_kinesis::Client::new(&session);
    ok!(kinesis.list_streams());
    let denied = refused!(kinesis.describe_limits());
    assert!(
        denied
            .message()
            .unwrap()
            .contains("assumed-role/lister/me is not authorized")
    );
}

/// Action, decision, and the policies with statements that match.
fn rows(results: &[EvaluationResult]) -> Vec<(String, String, Vec<String>)> {
    let row = |result: &EvaluationResult| {
        let matched = result.matched_statements().iter();
        (
            result.eval_action_name().to_owned(),
            result.eval_decision().as_str().to_owned(),
            matched
                .filter_map(|statement| statement.source_policy_id())
                .map(str::to_owned)
                .collect(),
        )
    };
    results.iter().map(row).collect()
}

fn row(action: &str, decision: &str, matched: &[&str]) -> (String, String, Vec<String>) {
    let matched = matched.iter().map(|id| (*id).to_owned()).collect();
    (action.to_owned(), decision.to_owned(), matched)
}

#[tokio::test]
async fn the_simulator_says_what_a_principal_may_do() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    eve(&running).await;
    ok!(iam
        .put_user_policy()
        .user_name("eve")
        .policy_name("put")
        .policy_document(allows("kinesis:Put*", STREAM)));
    let made = ok!(iam
        .create_policy()
        .policy_name("no-batches")
        .policy_document(statement("Deny", "kinesis:PutRecords", "*")));
    ok!(iam
        .attach_user_policy()
        .user_name("eve")
        .policy_arn(made.policy.unwrap().arn.unwrap()));
    let simulate = || {
        let call = iam.simulate_principal_policy().policy_source_arn(EVE);
        call.action_names("kinesis:PutRecord")
            .action_names("kinesis:PutRecords")
            .action_names("kinesis:GetRecords")
            .resource_arns(STREAM)
    };
    let answer = ok!(simulate());
    assert_eq!(
        rows(answer.evaluation_results()),
        [
            row("kinesis:PutRecord", "allowed", &["user_eve_put"]),
            row(
                "kinesis:PutRecords",
                "explicitDeny",
                &["no-batches", "user_eve_put"]
            ),
            row("kinesis:GetRecords", "implicitDeny", &[]),
        ]
    );
    assert_eq!(answer.evaluation_results()[0].eval_resource_name(), Some(STREAM));
    assert!(!answer.is_truncated());

    let added = ok!(simulate().policy_input_list(allows("kinesis:GetRecords", "*")));
    assert_eq!(
        rows(added.evaluation_results())[2],
        row("kinesis:GetRecords", "allowed", &["PolicyInputList.1"])
    );
    let first = ok!(simulate().max_items(2));
    assert_eq!(first.evaluation_results().len(), 2);
    assert!(first.is_truncated());
    let rest = ok!(simulate().max_items(2).marker(first.marker.unwrap()));
    assert_eq!(
        rows(rest.evaluation_results()),
        [row("kinesis:GetRecords", "implicitDeny", &[])]
    );
}

#[tokio::test]
async fn the_simulator_knows_groups_boundaries_and_policies_of_aws() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    ok!(iam.create_group().group_name("readers"));
    ok!(iam
        .put_group_policy()
        .group_name("readers")
        .policy_name("read")
        .policy_document(allows("kinesis:Get*", "*")));
    let boundary = ok!(iam
        .create_policy()
        .policy_name("cap")
        .policy_document(allows("kinesis:List*", "*")));
    let trust = r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}"#;
    ok!(iam
        .create_role()
        .role_name("capped")
        .assume_role_policy_document(trust));
    ok!(iam
        .put_role_permissions_boundary()
        .role_name("capped")
        .permissions_boundary(boundary.policy.unwrap().arn.unwrap()));
    ok!(iam
        .attach_role_policy()
        .role_name("capped")
        .policy_arn("arn:aws:iam::aws:policy/AmazonKinesisFullAccess"));
    let decisions = |arn: &str| {
        let call = iam.simulate_principal_policy().policy_source_arn(arn);
        let call = call
            .action_names("kinesis:GetRecords")
            .action_names("kinesis:ListStreams");
        async move {
            let answer = ok!(call);
            let results = answer.evaluation_results.unwrap();
            let allowed = |result: &EvaluationResult| {
                let detail = result.permissions_boundary_decision_detail();
                detail.map(
                    aws_sdk_iam::types::PermissionsBoundaryDecisionDetail::allowed_by_permissions_boundary,
                )
            };
            results
                .iter()
                .map(|result| (result.eval_decision().as_str().to_owned(), allowed(result)))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(
        decisions("arn:aws:iam::000000000000:group/readers").await,
        [("allowed".to_owned(), None), ("implicitDeny".to_owned(), None)]
    );
    assert_eq!(
        decisions("arn:aws:iam::000000000000:role/capped").await,
        [
            ("implicitDeny".to_owned(), Some(false)),
            ("allowed".to_owned(), Some(true))
        ]
    );
}

#[tokio::test]
async fn custom_policies_are_simulated_with_the_context_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    let document = json!({"Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*",
        "Condition": {"StringEquals": {"kms:ViaService": "kinesis.eu-west-1.amazonaws.com"}}}});
    let simulate = || {
        let call = iam.simulate_custom_policy().action_names("kms:Decrypt");
        call.policy_input_list(document.to_string())
    };
    let without = ok!(simulate());
    let without = &without.evaluation_results()[0];
    assert_eq!(without.eval_decision().as_str(), "implicitDeny");
    assert_eq!(without.missing_context_values(), ["kms:ViaService"]);
    let entry = ContextEntry::builder()
        .context_key_name("kms:ViaService")
        .context_key_type(ContextKeyTypeEnum::String)
        .context_key_values("kinesis.eu-west-1.amazonaws.com");
    let with = ok!(simulate().context_entries(entry.build()));
    assert_eq!(with.evaluation_results()[0].eval_decision().as_str(), "allowed");
}

#[tokio::test]
async fn the_simulator_refuses_what_is_no_principal_action_or_resource() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    let simulate = |arn: &str, action: &str, resource: &str| {
        let call = iam.simulate_principal_policy().policy_source_arn(arn);
        let call = call.action_names(action).resource_arns(resource);
        async move {
            let error = refused!(call);
            (
                error.code().unwrap().to_owned(),
                error.message().unwrap().to_owned(),
            )
        }
    };
    let expected = |code: &str, message: &str| (code.to_owned(), message.to_owned());
    let session = "arn:aws:sts::000000000000:assumed-role/lister/me";
    assert_eq!(
        simulate(session, "kinesis:PutRecord", "*").await,
        expected(
            "InvalidInput",
            "Invalid Entity Arn: arn:aws:sts::000000000000:assumed-role/lister/me does not clearly define entity type and name."
        )
    );
    assert_eq!(
        simulate(EVE, "kinesis:PutRecord", "*").await,
        expected("NoSuchEntity", "The user with name eve cannot be found.")
    );
    eve(&running).await;
    for wrong in ["PutRecord", "kinesis:*", ":", "kinesis:"] {
        let said = simulate(EVE, wrong, "*").await;
        assert_eq!(
            said,
            expected("InvalidInput", &format!("Invalid Action: {wrong}"))
        );
    }
    assert_eq!(
        simulate(EVE, "kinesis:PutRecord", "orders").await,
        expected(
            "InvalidInput",
            "ResourceNames are not in a valid ARN format: orders."
        )
    );
}

#[tokio::test]
async fn a_key_without_a_policy_leaves_the_decision_to_iam() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let call = |operation: &str, input: Value| {
        let (running, target) = (&running, format!("TrentService.{operation}"));
        async move { running.json("kms", &target, input).await }
    };
    let made = call("CreateKey", json!({})).await.unwrap();
    let id = made["KeyMetadata"]["KeyId"].clone();
    let read = json!({"KeyId": id, "PolicyName": "default"});
    let answer = call("GetKeyPolicy", read.clone()).await.unwrap();
    let policy: Value = serde_json::from_str(answer["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(
        policy["Statement"][0]["Principal"]["AWS"],
        "arn:aws:iam::000000000000:root"
    );
    let own = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:role/r"},"Action":"kms:*","Resource":"*"}]}"#;
    let put = json!({"KeyId": id, "PolicyName": "default", "Policy": own});
    call("PutKeyPolicy", put).await.unwrap();
    assert_eq!(call("GetKeyPolicy", read).await.unwrap()["Policy"], own);
}
