//! IAM policy documents: writes them, compares them by meaning, and reads them as IAM encodes them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::PolicyVersion;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// Permission for actions on resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    actions: BTreeSet<String>,
    resources: BTreeSet<String>,
    /// Operator, key and value.
    condition: Option<(String, String, String)>,
}

impl Statement {
    /// Allows `actions` on `resources`.
    pub fn new(actions: &[&str], resources: impl IntoIterator<Item = String>) -> Self {
        Self {
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
            resources: resources.into_iter().collect(),
            condition: None,
        }
    }

    /// Adds a condition, such as `StringEquals`, `kms:ViaService` and a service.
    #[must_use]
    pub fn only_if(mut self, operator: &str, key: &str, value: impl Into<String>) -> Self {
        self.condition = Some((operator.to_owned(), key.to_owned(), value.into()));
        self
    }

    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(String::as_str)
    }

    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(String::as_str)
    }

    /// Key and value of the condition.
    pub fn condition(&self) -> Option<(&str, &str)> {
        let (_, key, value) = self.condition.as_ref()?;
        Some((key, value))
    }

    /// Keeps only the actions that observe and delete; `None` where there are none.
    #[must_use]
    pub fn only_deleting(mut self) -> Option<Self> {
        let deletes = |action: &String| {
            let name = action.split_once(':').map_or(action.as_str(), |(_, name)| name);
            // API Gateway's actions are `GET` and `DELETE`.
            DELETING.iter().any(|verb| {
                let start = name.get(..verb.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(verb))
            })
        };
        self.actions.retain(deletes);
        (!self.actions.is_empty()).then_some(self)
    }
}

/// Prefixes of the actions that observe, empty or delete a resource.
const DELETING: &[&str] = &[
    "Abort",
    "Delete",
    "Describe",
    "Detach",
    "Get",
    "List",
    // A notification is deleted by putting those of others.
    "PutBucketNotification",
    "RemovePermission",
    "Unsubscribe",
];

/// Resources or actions, and the condition.
type Shared = (BTreeSet<String>, Option<(String, String, String)>);

/// A policy document that allows all of `statements`. Those on the same resources are merged, and then those with the same
/// actions: a policy has a limited size.
pub fn document(statements: impl IntoIterator<Item = Statement>) -> Value {
    let mut of_resources: BTreeMap<Shared, BTreeSet<String>> = BTreeMap::new();
    for statement in statements {
        of_resources
            .entry((statement.resources, statement.condition))
            .or_default()
            .extend(statement.actions);
    }
    let mut of_actions: BTreeMap<Shared, BTreeSet<String>> = BTreeMap::new();
    for ((resources, condition), actions) in of_resources {
        of_actions
            .entry((actions, condition))
            .or_default()
            .extend(resources);
    }
    let statements: Vec<Value> = of_actions
        .into_iter()
        .map(|((actions, condition), resources)| {
            let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
            if let Some((operator, key, value)) = condition {
                statement["Condition"] = json!({operator: {key: value}});
            }
            statement
        })
        .collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Whether two policy documents mean the same. Order, case of actions, and a value instead of a list of one value do not
/// matter. Source: "Grammar of the IAM JSON policy language", IAM user guide.
pub fn same(one: &Value, other: &Value) -> bool {
    normal(one) == normal(other)
}

fn normal(document: &Value) -> Value {
    let mut document = document.clone();
    let Some(object) = document.as_object_mut() else {
        return document;
    };
    let statements = match object.remove("Statement") {
        Some(Value::Array(items)) => items,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let mut statements: Vec<Value> = statements.into_iter().map(normal_statement).collect();
    statements.sort_by_cached_key(|statement| sorted(statement).to_string());
    object.insert("Statement".to_owned(), statements.into());
    document
}

fn normal_statement(mut statement: Value) -> Value {
    if let Some(object) = statement.as_object_mut() {
        for key in ["Action", "NotAction", "Resource", "NotResource"] {
            if let Some(value) = object.get_mut(key) {
                let case_matters = !key.ends_with("Action");
                *value = normal_list(value, case_matters);
            }
        }
        if let Some(Value::Object(operators)) = object.get_mut("Condition") {
            for keys in operators.values_mut().filter_map(Value::as_object_mut) {
                keys.values_mut()
                    .for_each(|value| *value = normal_list(value, true));
            }
        }
    }
    statement
}

/// The same value with its keys sorted, whatever order the map keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries: BTreeMap<&String, Value> =
                entries.iter().map(|(key, value)| (key, sorted(value))).collect();
            entries
                .into_iter()
                .map(|(key, value)| (key.clone(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn normal_list(value: &Value, case_matters: bool) -> Value {
    let text = |item: &Value| match item {
        Value::String(text) if case_matters => text.clone(),
        Value::String(text) => text.to_ascii_lowercase(),
        other => other.to_string(),
    };
    let items: BTreeSet<String> = match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => BTreeSet::from([text(one)]),
    };
    json!(items)
}

/// Whether one statement of `document` contains all that `wanted` has, literally and without a condition.
pub fn states(document: &Value, wanted: &Statement) -> bool {
    let list = |value: &Value| match value {
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        one => one
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect::<BTreeSet<String>>(),
    };
    let says = |statement: &Value| {
        statement["Effect"] == "Allow"
            && statement["Condition"].is_null()
            && wanted.actions.is_subset(&list(&statement["Action"]))
            && wanted.resources.is_subset(&list(&statement["Resource"]))
    };
    match &document["Statement"] {
        Value::Array(statements) => statements.iter().any(says),
        one => says(one),
    }
}

/// Largest managed policy in characters, without white space. All inline policies of a role together may have 10,240.
/// Source: "IAM and AWS STS quotas", IAM user guide.
pub const LARGEST_MANAGED_POLICY: usize = 6_144;

/// The size of `document` where it is larger than a managed policy may be.
pub fn beyond_a_managed_policy(document: &Value) -> Option<usize> {
    let text = document.to_string();
    let size = text.chars().filter(|c| !c.is_whitespace()).count();
    (size > LARGEST_MANAGED_POLICY).then_some(size)
}

/// Versions that a managed policy can have. Source: "IAM and AWS STS quotas", IAM user guide.
const MOST_VERSIONS: usize = 5;

/// The version of a managed policy to delete before another one is made: the oldest that is not the default, where the
/// policy has all the versions that IAM allows.
pub fn version_in_the_way(versions: &[PolicyVersion]) -> Option<&PolicyVersion> {
    let number = |version: &&PolicyVersion| {
        let digits = version.version_id().map(|id| id.trim_start_matches('v'));
        digits
            .and_then(|digits| digits.parse::<u64>().ok())
            .unwrap_or(u64::MAX)
    };
    let others = versions.iter().filter(|version| !version.is_default_version);
    others
        .min_by_key(number)
        .filter(|_| versions.len() >= MOST_VERSIONS)
}

/// A policy document that IAM has percent-encoded. One that cannot be read is `Null`, which differs from all others.
pub fn decoded(text: Option<&str>) -> Value {
    let text = percent_decode_str(text.unwrap_or_default()).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_needs_no_permission_to_create() {
        let topic = ["sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes"];
        let left = Statement::new(&topic, ["arn:t".to_owned()]).only_deleting();
        let wanted = ["sns:DeleteTopic", "sns:GetTopicAttributes"];
        assert_eq!(left, Some(Statement::new(&wanted, ["arn:t".to_owned()])));
        let api = [
            "apigateway:DELETE",
            "apigateway:GET",
            "apigateway:PATCH",
            "apigateway:POST",
        ];
        let left = Statement::new(&api, ["arn:a".to_owned()]).only_deleting();
        let wanted = ["apigateway:DELETE", "apigateway:GET"];
        assert_eq!(left, Some(Statement::new(&wanted, ["arn:a".to_owned()])));
        let role = Statement::new(&["iam:PassRole"], ["arn:r".to_owned()]);
        assert_eq!(role.only_deleting(), None);
    }

    #[test]
    fn white_space_does_not_count_in_the_size_of_a_policy() {
        let of = |text: String| beyond_a_managed_policy(&json!({"Sid": text}));
        let fits = LARGEST_MANAGED_POLICY - r#"{"Sid":""}"#.len();
        assert_eq!(of("a".repeat(fits)), None);
        assert_eq!(of("a ".repeat(fits)), None);
        assert_eq!(of("a".repeat(fits + 1)), Some(LARGEST_MANAGED_POLICY + 1));
    }

    #[test]
    fn a_statement_is_found_in_a_policy_that_says_more() {
        let wanted = Statement::new(&["sqs:SendMessage"], ["arn:q".to_owned()]);
        let says = |statement: Value| states(&json!({"Statement": statement}), &wanted);
        assert!(says(
            json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": ["arn:q", "arn:r"]})
        ));
        assert!(says(
            json!([{"Effect": "Allow", "Action": ["sqs:SendMessage", "sqs:ReceiveMessage"], "Resource": "arn:q"}])
        ));
        assert!(!says(
            json!({"Effect": "Deny", "Action": "sqs:SendMessage", "Resource": "arn:q"})
        ));
        assert!(!says(
            json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:r"})
        ));
        let condition = json!({"StringEquals": {"a:b": "c"}});
        assert!(!says(
            json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:q", "Condition": condition})
        ));
    }

    #[test]
    fn documents_are_compared_by_meaning() {
        let one = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["kinesis:PutRecord", "kinesis:GetRecords"], "Resource": "arn:a"},
            {"Effect": "Allow", "Action": "kinesis:ListStreams", "Resource": ["*"]},
        ]});
        let same_again = json!({"Statement": [
            {"Resource": "*", "Effect": "Allow", "Action": ["Kinesis:ListStreams"]},
            {"Resource": ["arn:a"], "Effect": "Allow", "Action": ["kinesis:GetRecords", "kinesis:putrecord"]},
        ], "Version": "2012-10-17"});
        assert!(same(&one, &same_again));
        let mut other = one.clone();
        other["Statement"][0]["Resource"] = json!("arn:A");
        assert!(!same(&one, &other));
    }

    #[test]
    fn statements_with_the_same_resources_or_actions_become_one() {
        let document = document([
            Statement::new(&["kinesis:PutRecord"], ["arn:a".to_owned()]),
            Statement::new(&["kinesis:DescribeStreamSummary"], ["arn:a".to_owned()]),
            Statement::new(
                &["kinesis:DescribeStreamSummary", "kinesis:PutRecord"],
                ["arn:b".to_owned()],
            ),
            Statement::new(&["kms:GenerateDataKey"], ["*".to_owned()]).only_if(
                "StringEquals",
                "kms:ViaService",
                "kinesis",
            ),
        ]);
        assert_eq!(
            document,
            json!({"Version": "2012-10-17", "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["kinesis:DescribeStreamSummary", "kinesis:PutRecord"],
                    "Resource": ["arn:a", "arn:b"],
                },
                {
                    "Effect": "Allow",
                    "Action": ["kms:GenerateDataKey"],
                    "Resource": ["*"],
                    "Condition": {"StringEquals": {"kms:ViaService": "kinesis"}},
                },
            ]})
        );
    }

    #[test]
    fn the_oldest_version_makes_room() {
        let version = |number: u32, is_default| {
            let version = PolicyVersion::builder().version_id(format!("v{number}"));
            version.is_default_version(is_default).build()
        };
        let in_the_way = |numbers: &[u32], default: u32| {
            let versions: Vec<_> = numbers.iter().map(|n| version(*n, *n == default)).collect();
            version_in_the_way(&versions).and_then(|one| one.version_id().map(str::to_owned))
        };
        assert_eq!(in_the_way(&[1, 2, 3, 4], 4), None);
        assert_eq!(in_the_way(&[12, 11, 10, 9, 8], 12).as_deref(), Some("v8"));
        assert_eq!(in_the_way(&[9, 10, 11, 12, 8], 8).as_deref(), Some("v9"));
    }

    #[test]
    fn documents_are_percent_decoded() {
        let document = serde_json::json!({"Version": "1", "a": "100%"});
        assert_eq!(
            decoded(Some("%7B%22Version%22%3a%20%221%22,%22a%22:%22100%%22%7D")),
            document
        );
        assert_eq!(decoded(Some("%zz%4")), Value::Null);
        assert_eq!(decoded(None), Value::Null);
    }
}
