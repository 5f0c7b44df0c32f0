//! `athena_workgroup`: a work group of Athena, with the place of its results and a limit on what a query scans.
//!
//! A work group is deleted with the history of its queries, but not while others have saved queries in it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, is_known, on_off};
use super::glue::{self, call_patiently};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::context::ATHENA;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, User};
use crate::pipeline::tags::{self, Owner};
use crate::stream::change::same_key;
use ground::error::{Error, Result};

/// Source: `BytesScannedCutoffValue`, Amazon Athena API reference.
const LEAST_SCAN: u64 = 10_000_000;
/// Source: "Athena engine versioning", Amazon Athena user guide.
const ENGINES: [&str; 2] = ["AUTO", "Athena engine version 3"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    description: Option<String>,
    /// Where the results of queries are, such as `s3://BUCKET/athena/`, in a bucket of this account.
    results: String,
    /// Whether these settings count, and not those of a query; true by default.
    enforce: Option<bool>,
    /// Ends a query that scans more bytes, at least 10,000,000.
    scan_limit_bytes: Option<u64>,
    /// `AUTO` (the default of a new one) or `Athena engine version 3`.
    engine: Option<String>,
    /// `SSE_S3` (the default) or `SSE_KMS`.
    encryption: Option<Algorithm>,
    kms_key: Option<String>,
    /// Whether metrics of its queries are in CloudWatch; true by default.
    metrics: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Algorithm {
    #[serde(rename = "SSE_S3")]
    S3,
    #[serde(rename = "SSE_KMS")]
    Kms,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// `ENABLED` or `DISABLED`.
    state: String,
    description: Option<String>,
    results: Option<String>,
    /// The account that the bucket must belong to.
    bucket_owner: Option<String>,
    enforce: bool,
    scan_limit_bytes: Option<u64>,
    engine: String,
    /// Such as `SSE_S3`.
    encryption: Option<String>,
    kms_key: Option<String>,
    metrics: bool,
}

type WorkGroup<'a> = Managed<'a, Declared>;

impl WorkGroup<'_> {
    async fn call(&self, operation: &str, input: &Value, action: &str) -> Result<Value> {
        call_patiently(self.context, ATHENA, operation, input, &self.failure(action)).await
    }

    fn encryption(&self) -> (&'static str, Option<&str>) {
        let key = self.declared.kms_key.as_deref();
        let is_kms = match self.declared.encryption {
            Some(algorithm) => algorithm == Algorithm::Kms,
            None => key.is_some(),
        };
        if is_kms {
            ("SSE_KMS", key)
        } else {
            ("SSE_S3", None)
        }
    }

    fn encryption_input(&self) -> Value {
        let (option, key) = self.encryption();
        let mut input = json!({"EncryptionOption": option});
        if let Some(key) = key {
            input["KmsKey"] = json!(key);
        }
        input
    }

    fn configuration(&self) -> Value {
        let declared = &self.declared;
        let mut configuration = json!({
            "ResultConfiguration": {
                "OutputLocation": declared.results,
                "ExpectedBucketOwner": self.location.account,
                "EncryptionConfiguration": self.encryption_input(),
            },
            "EnforceWorkGroupConfiguration": declared.enforce.unwrap_or(true),
            "PublishCloudWatchMetricsEnabled": declared.metrics.unwrap_or(true),
            "EngineVersion": {"SelectedEngineVersion": declared.engine.as_deref().unwrap_or(ENGINES[0])},
        });
        if let Some(limit) = declared.scan_limit_bytes {
            configuration["BytesScannedCutoffPerQuery"] = json!(limit);
        }
        configuration
    }

    /// What UpdateWorkGroup gets for a change of `field`.
    fn updates(&self, field: &str) -> Result<Value> {
        let declared = &self.declared;
        let all = self.configuration();
        let results = &all["ResultConfiguration"];
        let of_results = |updates: Value| json!({"ResultConfigurationUpdates": updates});
        let updates = match field {
            "state" => return Ok(json!({"State": "ENABLED"})),
            "description" => return Ok(json!({"Description": declared.description})),
            "results" => of_results(json!({
                "OutputLocation": results["OutputLocation"],
                "ExpectedBucketOwner": results["ExpectedBucketOwner"],
            })),
            "encryption" => {
                of_results(json!({"EncryptionConfiguration": results["EncryptionConfiguration"]}))
            }
            "enforcement" => {
                json!({"EnforceWorkGroupConfiguration": all["EnforceWorkGroupConfiguration"]})
            }
            "metrics" => json!({"PublishCloudWatchMetricsEnabled": all["PublishCloudWatchMetricsEnabled"]}),
            "scan limit" => json!({"BytesScannedCutoffPerQuery": all["BytesScannedCutoffPerQuery"]}),
            "engine" => json!({"EngineVersion": all["EngineVersion"]}),
            other => return Err(self.unknown_field(other)),
        };
        Ok(json!({"ConfigurationUpdates": updates}))
    }

    /// Saved queries and prepared statements: those of the first pages are enough to keep it.
    async fn saved(&self) -> Result<Vec<User>> {
        let name = &self.declared.name;
        let input = json!({"WorkGroup": name});
        let action = "list what is saved in";
        let Some(queries) = if_exists(self.call("ListNamedQueries", &input, action).await)? else {
            return Ok(Vec::new());
        };
        let mut users = Vec::new();
        let mut add = |kind: &'static str, list: &Value, member: &str| {
            let items = list.as_array().into_iter().flatten();
            let names = items.filter_map(|item| item[member].as_str());
            users.extend(names.map(|name| User {
                kind,
                name: name.to_owned(),
            }));
        };
        let ids = queries["NamedQueryIds"].as_array().filter(|ids| !ids.is_empty());
        if let Some(ids) = ids {
            let found = self
                .call("BatchGetNamedQuery", &json!({"NamedQueryIds": ids}), action)
                .await?;
            add("saved query", &found["NamedQueries"], "Name");
        }
        let statements = self.call("ListPreparedStatements", &input, action).await?;
        add(
            "prepared statement",
            &statements["PreparedStatements"],
            "StatementName",
        );
        Ok(users)
    }

    fn encryption_change(&self, facts: &Facts) -> Option<Change> {
        let (option, key) = self.encryption();
        let same_key = match (key, facts.kms_key.as_deref()) {
            (None, _) => true,
            (Some(wanted), Some(there)) => same_key(wanted, there) || !is_known(wanted),
            (Some(_), None) => false,
        };
        let words = |option: &str, key: Option<&str>| match key {
            Some(key) => format!("{option} with key {key}"),
            None => option.to_owned(),
        };
        let there = facts.encryption.as_deref().unwrap_or("none");
        (there != option || !same_key).then(|| {
            Change::update(
                "encryption",
                words(there, facts.kms_key.as_deref()),
                words(option, key),
            )
        })
    }

    fn results_change(&self, facts: &Facts) -> Option<Change> {
        let declared = &self.declared;
        let there = facts.results.as_deref().unwrap_or("none");
        if !is_known(&declared.results) {
            return None;
        }
        if there != declared.results {
            return Some(Change::update("results", there, &declared.results));
        }
        let owner = facts.bucket_owner.as_deref().unwrap_or("any account");
        (owner != self.location.account).then(|| {
            let words = |owner: &str| format!("in a bucket of {owner}");
            Change::update("results", words(owner), words(&self.location.account))
        })
    }
}

/// The answer; `None` where there is no such work group. Athena has no error code for that.
fn if_exists<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error)
            if error.is("InvalidRequestException")
                && error.chain().iter().any(|line| line.contains("not found")) =>
        {
            Ok(None)
        }
        answer => glue::if_exists(answer),
    }
}

fn bytes(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| format!("{limit} bytes"))
}

impl Facts {
    fn read(group: &Value) -> Self {
        let configuration = &group["Configuration"];
        let results = &configuration["ResultConfiguration"];
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            state: text(&group["State"]).unwrap_or_default(),
            description: text(&group["Description"]),
            results: text(&results["OutputLocation"]),
            bucket_owner: text(&results["ExpectedBucketOwner"]),
            enforce: configuration["EnforceWorkGroupConfiguration"] == true,
            scan_limit_bytes: configuration["BytesScannedCutoffPerQuery"].as_u64(),
            engine: text(&configuration["EngineVersion"]["SelectedEngineVersion"]).unwrap_or_default(),
            encryption: text(&results["EncryptionConfiguration"]["EncryptionOption"]),
            kms_key: text(&results["EncryptionConfiguration"]["KmsKey"]),
            metrics: configuration["PublishCloudWatchMetricsEnabled"] == true,
        }
    }

    fn words(&self) -> String {
        let results = self.results.as_deref().unwrap_or("nowhere");
        let mut words = format!("results in {results}, {}", self.engine);
        if let Some(limit) = self.scan_limit_bytes {
            words.push_str(&format!(", a query scans at most {limit} bytes"));
        }
        words
    }
}

#[async_trait]
impl Kind for WorkGroup<'_> {
    const NOUN: &'static str = "Athena work group";
    type Facts = Facts;

    /// Source: CreateWorkGroup, Amazon Athena API reference.
    fn check(&mut self) -> Result<()> {
        let declared = &self.declared;
        if is_known(&declared.name) {
            common::check_name("work group", &declared.name, (1, 128), "._-")?;
        }
        if declared.name == "primary" {
            return Err(self.bad_property("the work group primary belongs to the account"));
        }
        if is_known(&declared.results)
            && let Some(problem) = glue::location_problem(&declared.results)
        {
            return Err(self.bad_property(&problem));
        }
        if declared.scan_limit_bytes.is_some_and(|limit| limit < LEAST_SCAN) {
            return Err(self.bad_property("scan_limit_bytes is at least 10000000"));
        }
        if let Some(engine) = &declared.engine
            && !ENGINES.contains(&engine.as_str())
        {
            let engines = ENGINES.map(|engine| format!("{engine:?}")).join(" or ");
            return Err(self.bad_property(&format!("engine is {engines}")));
        }
        match (self.encryption().0, &declared.kms_key) {
            ("SSE_S3", Some(_)) => Err(self.bad_property("kms_key goes with the encryption SSE_KMS")),
            ("SSE_KMS", None) => Err(self.bad_property("the encryption SSE_KMS needs a kms_key")),
            _ if declared
                .description
                .as_ref()
                .is_some_and(|text| text.chars().count() > 1024) =>
            {
                Err(self.bad_property("a description has at most 1024 characters"))
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("athena", &format!("workgroup/{}", self.declared.name))
    }

    fn summary(&self) -> String {
        format!("results in {}", self.declared.results)
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let input = json!({"WorkGroup": self.declared.name});
        let Some(group) = if_exists(self.call("GetWorkGroup", &input, "read").await)? else {
            return Ok(None);
        };
        let input = json!({"ResourceARN": self.arn()});
        let tags = if_exists(self.call("ListTagsForResource", &input, "list the tags of").await)?;
        let Some(tags) = tags else {
            return Ok(None);
        };
        let tags = tags["Tags"].as_array().into_iter().flatten();
        let tags = tags.filter_map(|tag| {
            let value = tag["Value"].as_str().unwrap_or_default();
            Some((tag["Key"].as_str()?.to_owned(), value.to_owned()))
        });
        Ok(Some((tags.collect(), Facts::read(&group["WorkGroup"]))))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let (declared, facts) = (&self.declared, &existing.facts);
        let enforced = |key: &str| self.enforced(key, existing);
        let mut changes = Vec::new();
        if facts.state != "ENABLED" {
            changes.push(Change::update("state", &facts.state, "ENABLED"));
        }
        if let Some(wanted) = declared.description.as_ref().filter(|_| enforced("description"))
            && facts.description.as_ref() != Some(wanted)
        {
            let there = facts.description.as_deref().unwrap_or("none");
            changes.push(Change::update("description", there, wanted));
        }
        changes.extend(self.results_change(facts));
        if enforced("encryption") || enforced("kms_key") || facts.encryption.is_none() {
            changes.extend(self.encryption_change(facts));
        }
        let flags = [
            ("enforcement", "enforce", declared.enforce, facts.enforce),
            ("metrics", "metrics", declared.metrics, facts.metrics),
        ];
        for (field, key, wanted, there) in flags {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != there && enforced(key)) {
                changes.push(Change::update(field, on_off(there), on_off(wanted)));
            }
        }
        let limit = declared.scan_limit_bytes.filter(|_| enforced("scan_limit_bytes"));
        if limit.is_some() && limit != facts.scan_limit_bytes {
            changes.push(Change::update(
                "scan limit",
                bytes(facts.scan_limit_bytes),
                bytes(limit),
            ));
        }
        if let Some(engine) = declared.engine.as_ref().filter(|_| enforced("engine"))
            && *engine != facts.engine
        {
            changes.push(Change::update("engine", &facts.engine, engine));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let tags = self.spec.tags.all();
        let tags = tags
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}));
        let mut input = json!({
            "Name": self.declared.name,
            "Configuration": self.configuration(),
            "Tags": tags.collect::<Vec<_>>(),
        });
        if let Some(description) = &self.declared.description {
            input["Description"] = json!(description);
        }
        if let Err(error) = self.call("CreateWorkGroup", &input, "create").await {
            // An earlier attempt may have been accepted and its answer lost.
            let ours = match error.is("InvalidRequestException") {
                true => self.observe().await?,
                false => None,
            };
            let ours = ours.filter(|(tags, _)| tags::owner(tags, &self.spec.identity) == Owner::Us);
            if ours.is_none() {
                return Err(error);
            }
        }
        step.touched();
        Ok(())
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting the {field}"));
        let mut input = self.updates(field)?;
        input["WorkGroup"] = json!(self.declared.name);
        self.call("UpdateWorkGroup", &input, "change").await.map(drop)
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let tags = tags
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}));
        let input = json!({"ResourceARN": target, "Tags": tags.collect::<Vec<_>>()});
        self.call("TagResource", &input, "tag").await.map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let input = json!({"ResourceARN": target, "TagKeys": keys});
        self.call("UntagResource", &input, "untag").await.map(drop)
    }

    /// Looks again at what is saved in it, since AWS deletes it with all that.
    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        if let Some(first) = self.saved().await?.first() {
            return Err(Error::failed(self.failure("delete"))
                .cause(format!("it has the {}", first.title()))
                .hint("delete what is saved in it, then run the same command again"));
        }
        step.go_on()?;
        let input = json!({"WorkGroup": self.declared.name, "RecursiveDeleteOption": true});
        if_exists(self.call("DeleteWorkGroup", &input, "delete").await).map(drop)
    }

    async fn users(&self, _facts: &Facts) -> Result<Vec<User>> {
        self.saved().await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        const CHECK: &str = "described";
        let facts = &existing.facts;
        vec![match (facts.state.as_str(), &facts.results) {
            ("ENABLED", Some(_)) => Check::new(CheckState::Good, CHECK, facts.words()),
            ("ENABLED", None) => Check::new(CheckState::Fault, CHECK, "it has no place for results"),
            (state, _) => Check::new(CheckState::Fault, CHECK, format!("it is {state}")),
        }]
    }

    fn outputs(&self, _facts: Option<Facts>) -> Outputs {
        common::outputs([
            ("name", self.name()),
            ("arn", self.arn()),
            ("results", self.declared.results.clone()),
        ])
    }

    /// Source: "Actions, resources, and condition keys for Amazon Athena", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        vec![Statement::new(
            &[
                "athena:BatchGetNamedQuery",
                "athena:CreateWorkGroup",
                "athena:DeleteWorkGroup",
                "athena:GetWorkGroup",
                "athena:ListNamedQueries",
                "athena:ListPreparedStatements",
                "athena:ListTagsForResource",
                "athena:TagResource",
                "athena:UntagResource",
                "athena:UpdateWorkGroup",
            ],
            [self.arn()],
        )]
    }
}

#[cfg(test)]
mod tests;
