//! Settings of work groups, as requests give them and as they are kept.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{Error, Result};
use crate::types::Tags;

/// What `AUTO` stands for. Source: "Athena engine versioning", Amazon Athena user guide.
const ENGINE: &str = "Athena engine version 3";
const AUTO: &str = "AUTO";
/// Source: `BytesScannedCutoffValue`.
const LEAST_CUTOFF: i64 = 10_000_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Configuration {
    #[serde(default)]
    pub result_configuration: Results,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforce_work_group_configuration: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_cloud_watch_metrics_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_scanned_cutoff_per_query: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester_pays_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_version: Option<Engine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_minimum_encryption_configuration: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Results {
    #[serde(skip_serializing_if = "Option::is_none")]
    output_location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_configuration: Option<Encryption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_bucket_owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acl_configuration: Option<Acl>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Encryption {
    encryption_option: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acl {
    #[serde(rename = "S3AclOption")]
    option: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Engine {
    selected_engine_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_engine_version: Option<String>,
}

/// Source: `WorkGroupConfigurationUpdates`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Updates {
    result_configuration_updates: Option<ResultUpdates>,
    enforce_work_group_configuration: Option<bool>,
    publish_cloud_watch_metrics_enabled: Option<bool>,
    bytes_scanned_cutoff_per_query: Option<i64>,
    #[serde(default)]
    remove_bytes_scanned_cutoff_per_query: bool,
    requester_pays_enabled: Option<bool>,
    engine_version: Option<Engine>,
    enable_minimum_encryption_configuration: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ResultUpdates {
    output_location: Option<String>,
    #[serde(default)]
    remove_output_location: bool,
    encryption_configuration: Option<Encryption>,
    #[serde(default)]
    remove_encryption_configuration: bool,
    expected_bucket_owner: Option<String>,
    #[serde(default)]
    remove_expected_bucket_owner: bool,
    acl_configuration: Option<Acl>,
    #[serde(default)]
    remove_acl_configuration: bool,
}

fn one_of(value: &str, member: &str, values: &[&str]) -> Result<()> {
    match values.contains(&value) {
        true => Ok(()),
        false => {
            let shown: String = value.chars().take(64).collect();
            let constraint = format!("satisfy enum value set: [{}]", values.join(", "));
            Err(Error::constraint(&format!("'{shown}'"), member, &constraint))
        }
    }
}

impl Encryption {
    fn check(&self) -> Result<()> {
        const OPTIONS: &[&str] = &["SSE_S3", "SSE_KMS", "CSE_KMS"];
        one_of(
            &self.encryption_option,
            "encryptionConfiguration.encryptionOption",
            OPTIONS,
        )?;
        match (self.encryption_option.as_str(), &self.kms_key) {
            ("SSE_S3", Some(_)) => Err(Error::invalid("A KMS key goes with SSE_KMS or CSE_KMS.")),
            ("SSE_KMS" | "CSE_KMS", None) => Err(Error::invalid("SSE_KMS and CSE_KMS need a KMS key.")),
            _ => Ok(()),
        }
    }
}

impl Results {
    fn check(&self) -> Result<()> {
        if let Some(location) = &self.output_location {
            let bucket = location.strip_prefix("s3://").map(|rest| rest.split('/').next());
            if !matches!(bucket, Some(Some(bucket)) if !bucket.is_empty()) || location.len() > 1024 {
                return Err(Error::invalid(
                    "The S3 location provided to save your query results is invalid.",
                ));
            }
        }
        if let Some(encryption) = &self.encryption_configuration {
            encryption.check()?;
        }
        if let Some(owner) = &self.expected_bucket_owner
            && (owner.len() != 12 || !owner.bytes().all(|b| b.is_ascii_digit()))
        {
            let pattern = "satisfy regular expression pattern: ^[0-9]+$";
            return Err(Error::constraint("", "expectedBucketOwner", pattern));
        }
        match &self.acl_configuration {
            Some(acl) => one_of(&acl.option, "s3AclOption", &["BUCKET_OWNER_FULL_CONTROL"]),
            None => Ok(()),
        }
    }

    fn update(&mut self, updates: ResultUpdates) {
        set(
            &mut self.output_location,
            updates.output_location,
            updates.remove_output_location,
        );
        set(
            &mut self.encryption_configuration,
            updates.encryption_configuration,
            updates.remove_encryption_configuration,
        );
        set(
            &mut self.expected_bucket_owner,
            updates.expected_bucket_owner,
            updates.remove_expected_bucket_owner,
        );
        set(
            &mut self.acl_configuration,
            updates.acl_configuration,
            updates.remove_acl_configuration,
        );
    }
}

/// A new value, or none, or the former one.
fn set<T>(place: &mut Option<T>, value: Option<T>, remove: bool) {
    if remove {
        *place = None;
    }
    if value.is_some() {
        *place = value;
    }
}

impl Configuration {
    /// With what AWS sets where a request says nothing.
    pub fn checked(mut self) -> Result<Self> {
        self.result_configuration.check()?;
        if let Some(cutoff) = self
            .bytes_scanned_cutoff_per_query
            .filter(|cutoff| *cutoff < LEAST_CUTOFF)
        {
            return Err(Error::constraint(
                &format!("'{cutoff}'"),
                "configuration.bytesScannedCutoffPerQuery",
                &format!("have value greater than or equal to {LEAST_CUTOFF}"),
            ));
        }
        let selected = self
            .engine_version
            .and_then(|engine| engine.selected_engine_version)
            .unwrap_or_else(|| AUTO.to_owned());
        if ![AUTO, ENGINE].contains(&selected.as_str()) {
            return Err(Error::not_offered(format!("the engine version {selected}")));
        }
        self.engine_version = Some(Engine {
            selected_engine_version: Some(selected),
            effective_engine_version: Some(ENGINE.to_owned()),
        });
        self.enforce_work_group_configuration.get_or_insert(true);
        self.publish_cloud_watch_metrics_enabled.get_or_insert(false);
        self.requester_pays_enabled.get_or_insert(false);
        self.enable_minimum_encryption_configuration.get_or_insert(false);
        Ok(self)
    }

    pub fn updated(mut self, updates: Updates) -> Result<Self> {
        if let Some(results) = updates.result_configuration_updates {
            self.result_configuration.update(results);
        }
        set(
            &mut self.enforce_work_group_configuration,
            updates.enforce_work_group_configuration,
            false,
        );
        set(
            &mut self.publish_cloud_watch_metrics_enabled,
            updates.publish_cloud_watch_metrics_enabled,
            false,
        );
        set(
            &mut self.bytes_scanned_cutoff_per_query,
            updates.bytes_scanned_cutoff_per_query,
            updates.remove_bytes_scanned_cutoff_per_query,
        );
        set(
            &mut self.requester_pays_enabled,
            updates.requester_pays_enabled,
            false,
        );
        set(&mut self.engine_version, updates.engine_version, false);
        set(
            &mut self.enable_minimum_encryption_configuration,
            updates.enable_minimum_encryption_configuration,
            false,
        );
        self.checked()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WorkGroup {
    pub name: String,
    pub description: Option<String>,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    pub configuration: Configuration,
    pub created_ms: i64,
    pub tags: Tags,
}

impl WorkGroup {
    pub fn check(&self) -> Result<()> {
        one_of(&self.state, "state", &["ENABLED", "DISABLED"])?;
        match &self.description {
            Some(text) if text.chars().count() > 1024 => Err(Error::constraint(
                "",
                "description",
                "have length less than or equal to 1024",
            )),
            _ => Ok(()),
        }
    }

    pub fn show(&self) -> Value {
        let mut shown = self.summary();
        shown["Configuration"] = json!(self.configuration);
        if let Some(shown) = shown.as_object_mut() {
            shown.remove("EngineVersion");
        }
        shown
    }

    pub fn summary(&self) -> Value {
        let mut shown = json!({
            "Name": self.name,
            "State": self.state,
            "CreationTime": seconds(self.created_ms),
            "EngineVersion": self.configuration.engine_version,
        });
        if let Some(description) = &self.description {
            shown["Description"] = json!(description);
        }
        shown
    }
}

/// A time as JSON 1.1 has it.
pub(super) fn seconds(ms: i64) -> Value {
    json!(ms as f64 / 1000.0)
}
