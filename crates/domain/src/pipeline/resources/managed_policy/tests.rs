use std::sync::{Arc, Mutex};

use super::super::test_support::{Endpoint, changes, location, observed, refusal, spec, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::{Owner, UNFINISHED};

const DECLARED: &str = r#"
name = "reading"
statements = [{ sid = "Read", actions = ["kinesis:GetRecords"], resources = ["arn:stream"] }]
"#;
const OURS: &str = "arn:aws:iam::000000000000:policy/streamctl/demo/one/reading";
const BY_HAND: &str = "arn:aws:iam::000000000000:policy/reading";

fn answer(operation: &str, members: &str) -> (u16, String) {
    let body = format!(
        "<{operation}Response><{operation}Result>{members}<IsTruncated>false</IsTruncated></{operation}Result></{operation}Response>"
    );
    (200, body)
}

fn error(status: u16, code: &str) -> (u16, String) {
    let body =
        format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
    (status, body)
}

/// An IAM with one policy at `arn`, with `document` and the default version v2 of `versions`. It notes the versions that
/// are deleted.
async fn iam_with(
    arn: &'static str,
    document: Value,
    versions: &'static [u32],
    attached: &'static str,
) -> (Endpoint, Arc<Mutex<Vec<String>>>) {
    let deleted: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&deleted);
    let endpoint = Endpoint::start(move |call, body| {
        let parameter = |name: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(key, _)| *key == name)?.1;
            Some(value.replace("%3A", ":").replace("%2F", "/"))
        };
        if parameter("PolicyArn").is_some_and(|asked| asked != arn) {
            return error(404, "NoSuchEntity");
        }
        match call {
            "GetPolicy" => {
                let policy = format!("<Policy><Arn>{arn}</Arn><DefaultVersionId>v2</DefaultVersionId></Policy>");
                answer(call, &policy)
            }
            "GetPolicyVersion" => {
                assert_eq!(parameter("VersionId").as_deref(), Some("v2"));
                let document = document.to_string().replace('"', "%22");
                answer(call, &format!("<PolicyVersion><Document>{document}</Document></PolicyVersion>"))
            }
            "ListPolicyVersions" => {
                let member = |version: &u32| {
                    let is_default = *version == 2;
                    format!(
                        "<member><VersionId>v{version}</VersionId><IsDefaultVersion>{is_default}</IsDefaultVersion></member>"
                    )
                };
                let members: String = versions.iter().map(member).collect();
                answer(call, &format!("<Versions>{members}</Versions>"))
            }
            "DeletePolicyVersion" => {
                noted.lock().unwrap().extend(parameter("VersionId"));
                answer(call, "")
            }
            "CreatePolicyVersion" => {
                assert_eq!(parameter("SetAsDefault").as_deref(), Some("true"));
                answer(call, "")
            }
            "ListEntitiesForPolicy" => answer(call, attached),
            "CreatePolicy" => error(409, "EntityAlreadyExists"),
            "ListPolicyTags" => answer(call, "<Tags></Tags>"),
            "TagPolicy" | "UntagPolicy" | "DeletePolicy" => answer(call, ""),
            other => panic!("{other}"),
        }
    })
    .await;
    (endpoint, deleted)
}

fn policy<'a>(endpoint: &'a Endpoint) -> ManagedPolicy<'a> {
    ManagedPolicy::new(
        &endpoint.context,
        location(),
        spec("managed_policy", DECLARED, &[]),
    )
    .unwrap()
}

fn declared_document() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Read", "Effect": "Allow", "Action": ["kinesis:GetRecords"], "Resource": ["arn:stream"]},
    ]})
}

/// Makes the change of `field` to a policy of ours at `arn`.
async fn update(policy: &ManagedPolicy<'_>, field: &str, tags: &[(&str, &str)]) {
    let facts = Facts {
        arn: OURS.into(),
        document: Value::Null,
        attachments: 0,
    };
    let there = observed(&policy.spec, facts, tags);
    let change = Change::update(field, "another", "as declared");
    let (done, _) = with_step(async |step| policy.apply(&change, &there, step).await).await;
    done.unwrap();
}

#[tokio::test]
async fn a_new_policy_is_under_the_pipelines_path_and_gets_its_tags() {
    let endpoint = Endpoint::start(|call, body| match call {
        "CreatePolicy" => {
            assert!(body.contains("Path=%2Fstreamctl%2Fdemo%2Fone%2F"), "{body}");
            assert!(body.contains("Tags.member.1.Key=ManagedBy"), "{body}");
            // Without the tags, as some endpoints answer.
            answer(call, &format!("<Policy><Arn>{OURS}</Arn></Policy>"))
        }
        "TagPolicy" => answer(call, ""),
        other => panic!("{other}"),
    })
    .await;
    let policy = policy(&endpoint);
    assert_eq!(changes(&policy, &Observed::Absent), "create");
    let (made, said) =
        with_step(async |step| policy.apply(&Change::Create, &Observed::Absent, step).await).await;
    made.unwrap();
    assert_eq!(said, ["creating", "setting tags"]);
    assert_eq!(endpoint.calls(), ["CreatePolicy", "TagPolicy"]);
    assert_eq!(Resource::outputs(&policy, &Observed::Absent)["arn"], OURS);
}

#[tokio::test]
async fn only_another_document_is_a_change() {
    let mut same = declared_document();
    same["Statement"][0]["Action"] = json!("Kinesis:GetRecords");
    let mut other = declared_document();
    other["Statement"][0]["Resource"] = json!("*");
    for (document, difference) in [(same, ""), (other, "document: another → as declared")] {
        let (endpoint, _) = iam_with(OURS, document, &[2], "").await;
        let policy = policy(&endpoint);
        let observed = Resource::observe(&policy).await.unwrap();
        // The path stands for the tags that the endpoint does not have.
        assert_eq!(observed.owner(&policy.spec.identity), Some(Owner::Us));
        assert_eq!(changes(&policy, &observed), difference);
    }
}

#[tokio::test]
async fn the_oldest_of_five_versions_makes_room_for_a_new_document() {
    let (endpoint, deleted) = iam_with(OURS, Value::Null, &[10, 2, 4, 3, 9], "").await;
    update(&policy(&endpoint), "document", &[]).await;
    // The oldest but the default one, by number.
    assert_eq!(*deleted.lock().unwrap(), ["v3"]);
    let calls = ["ListPolicyVersions", "DeletePolicyVersion", "CreatePolicyVersion"];
    assert_eq!(endpoint.calls(), calls);

    let (endpoint, deleted) = iam_with(OURS, Value::Null, &[5, 4, 3, 2], "").await;
    update(&policy(&endpoint), "document", &[]).await;
    assert!(deleted.lock().unwrap().is_empty());
    assert_eq!(endpoint.calls(), ["ListPolicyVersions", "CreatePolicyVersion"]);
}

#[tokio::test]
async fn a_policy_of_others_is_not_touched() {
    let (endpoint, _) = iam_with(BY_HAND, declared_document(), &[2], "").await;
    let policy = policy(&endpoint);
    let observed = Resource::observe(&policy).await.unwrap();
    assert_eq!(observed.owner(&policy.spec.identity), Some(Owner::Stranger));
    let seen = endpoint.calls().len();
    let (made, _) =
        with_step(async |step| policy.apply(&Change::Create, &Observed::Absent, step).await).await;
    insta::assert_snapshot!(refusal(made), @r#"
    there is another policy named reading in this account
    hint: delete or rename it, then run the same command again
    "#);
    assert_eq!(endpoint.calls()[seen..], ["CreatePolicy", "GetPolicy"]);
}

#[tokio::test]
async fn a_policy_whose_creation_was_not_seen_is_completed() {
    let (endpoint, _) = iam_with(OURS, Value::Null, &[2], "").await;
    let policy = policy(&endpoint);
    let (made, _) =
        with_step(async |step| policy.apply(&Change::Create, &Observed::Absent, step).await).await;
    made.unwrap();
    let calls = [
        "CreatePolicy",
        "GetPolicy",
        "GetPolicyVersion",
        "ListPolicyVersions",
        "CreatePolicyVersion",
        "ListPolicyTags",
        "TagPolicy",
    ];
    assert_eq!(endpoint.calls(), calls);
}

#[tokio::test]
async fn its_versions_are_deleted_with_it() {
    let (endpoint, deleted) = iam_with(OURS, declared_document(), &[4, 3, 2], "").await;
    let policy = policy(&endpoint);
    let observed = Resource::observe(&policy).await.unwrap();
    let (gone, _) = with_step(async |step| Resource::delete(&policy, &observed, step).await).await;
    gone.unwrap();
    assert_eq!(*deleted.lock().unwrap(), ["v4", "v3"]);
    assert_eq!(endpoint.calls().last().unwrap(), "DeletePolicy");
}

#[tokio::test]
async fn a_policy_that_is_attached_is_not_deleted() {
    let attached = "<PolicyRoles><member><RoleName>reader</RoleName></member></PolicyRoles>\
                    <PolicyUsers><member><UserName>me</UserName></member></PolicyUsers>";
    let (endpoint, deleted) = iam_with(OURS, declared_document(), &[3, 2], attached).await;
    let policy = policy(&endpoint);
    let observed = Resource::observe(&policy).await.unwrap();
    let (gone, _) = with_step(async |step| Resource::delete(&policy, &observed, step).await).await;
    insta::assert_snapshot!(refusal(gone), @r#"
    policy reading is attached to role reader, user me
    hint: detach it there (`aws iam detach-role-policy` or similar), then run the same command again
    "#);
    assert!(deleted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn tags_are_set_and_the_unfinished_tag_is_removed() {
    let (endpoint, _) = iam_with(OURS, declared_document(), &[2], "").await;
    let policy = policy(&endpoint);
    update(
        &policy,
        "tags",
        &[("ManagedBy", "somebody"), (UNFINISHED, "setup")],
    )
    .await;
    assert_eq!(endpoint.calls(), ["TagPolicy", "UntagPolicy"]);
}
