//! Databases and tables, as requests give them and as they are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::check::{line, lines, name, parameters};
use super::error::Result;
use crate::types::{Caller, Tags};

type Parameters = BTreeMap<String, String>;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DatabaseInput {
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_table_default_permissions: Option<Vec<Permissions>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Permissions {
    principal: Principal,
    permissions: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Principal {
    data_lake_principal_identifier: String,
}

impl DatabaseInput {
    /// With the name as it is stored.
    pub fn checked(mut self) -> Result<(String, Self)> {
        let named = name(self.name.take(), "databaseInput.name")?;
        lines(
            self.description.as_deref().unwrap_or_default(),
            "databaseInput.description",
            0,
            2048,
        )?;
        if let Some(location) = &self.location_uri {
            lines(location, "databaseInput.locationUri", 1, 1024)?;
        }
        parameters(self.parameters.as_ref(), "databaseInput.parameters")?;
        for one in self.create_table_default_permissions.iter().flatten() {
            let principal = &one.principal.data_lake_principal_identifier;
            line(principal, "databaseInput.createTableDefaultPermissions", 1, 255)?;
        }
        self.name = Some(named.clone());
        Ok((named, self))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Database {
    pub input: DatabaseInput,
    pub created_ms: i64,
    pub tags: Tags,
}

impl Database {
    pub fn name(&self) -> &str {
        self.input.name.as_deref().unwrap_or_default()
    }

    pub fn show(&self, caller: &Caller) -> Value {
        let mut shown = json!(self.input);
        shown["CreateTime"] = seconds(self.created_ms);
        shown["CatalogId"] = json!(caller.account);
        // Source: "Changing the default settings for your data lake", Lake Formation developer guide.
        if self.input.create_table_default_permissions.is_none() {
            shown["CreateTableDefaultPermissions"] = json!([{
                "Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"},
                "Permissions": ["ALL"],
            }]);
        }
        shown
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TableInput {
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_access_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_analyzed_time: Option<f64>,
    #[serde(default)]
    retention: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_descriptor: Option<Storage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_keys: Option<Vec<Column>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_original_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_expanded_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Column {
    name: String,
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    of_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Storage {
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_locations: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_format: Option<String>,
    #[serde(default)]
    compressed: bool,
    #[serde(default)]
    number_of_buckets: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    serde_info: Option<SerDe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_columns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_columns: Option<Vec<Order>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skewed_info: Option<Skewed>,
    #[serde(default)]
    stored_as_sub_directories: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SerDe {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serialization_library: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Order {
    column: String,
    sort_order: u8,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Skewed {
    #[serde(skip_serializing_if = "Option::is_none")]
    skewed_column_names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skewed_column_values: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skewed_column_value_location_maps: Option<Parameters>,
}

impl Column {
    fn check(&self, member: &str) -> Result<()> {
        line(&self.name, member, 1, 255)?;
        line(self.of_type.as_deref().unwrap_or_default(), member, 0, 131_072)?;
        line(self.comment.as_deref().unwrap_or_default(), member, 0, 255)?;
        parameters(self.parameters.as_ref(), member)
    }
}

impl Storage {
    fn check(&self) -> Result<()> {
        const AT: &str = "tableInput.storageDescriptor";
        for column in &self.columns {
            column.check(&format!("{AT}.columns"))?;
        }
        for location in self
            .location
            .iter()
            .chain(self.additional_locations.iter().flatten())
        {
            lines(location, &format!("{AT}.location"), 0, 2056)?;
        }
        for format in [&self.input_format, &self.output_format].into_iter().flatten() {
            line(format, &format!("{AT}.inputFormat"), 0, 128)?;
        }
        let serde = self.serde_info.iter();
        for text in serde
            .clone()
            .flat_map(|one| [&one.name, &one.serialization_library])
            .flatten()
        {
            line(text, &format!("{AT}.serdeInfo"), 1, 255)?;
        }
        for one in serde {
            parameters(one.parameters.as_ref(), &format!("{AT}.serdeInfo.parameters"))?;
        }
        parameters(self.parameters.as_ref(), &format!("{AT}.parameters"))
    }
}

impl TableInput {
    /// With the name as it is stored.
    pub fn checked(mut self) -> Result<(String, Self)> {
        let named = name(self.name.take(), "tableInput.name")?;
        lines(
            self.description.as_deref().unwrap_or_default(),
            "tableInput.description",
            0,
            2048,
        )?;
        if let Some(owner) = &self.owner {
            line(owner, "tableInput.owner", 1, 255)?;
        }
        if let Some(storage) = &self.storage_descriptor {
            storage.check()?;
        }
        for column in self.partition_keys.iter().flatten() {
            column.check("tableInput.partitionKeys")?;
        }
        line(
            self.table_type.as_deref().unwrap_or_default(),
            "tableInput.tableType",
            0,
            255,
        )?;
        parameters(self.parameters.as_ref(), "tableInput.parameters")?;
        self.name = Some(named.clone());
        Ok((named, self))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Table {
    pub input: TableInput,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub version: u64,
}

impl Table {
    pub fn show(&self, caller: &Caller, database: &str) -> Value {
        let mut shown = json!(self.input);
        shown["DatabaseName"] = json!(database);
        shown["CreateTime"] = seconds(self.created_ms);
        shown["UpdateTime"] = seconds(self.updated_ms);
        shown["CatalogId"] = json!(caller.account);
        shown["VersionId"] = json!(self.version.to_string());
        shown["CreatedBy"] = json!(format!("arn:aws:iam::{}:root", caller.account));
        shown["IsRegisteredWithLakeFormation"] = json!(false);
        shown
    }
}

/// A time as JSON 1.1 has it.
fn seconds(ms: i64) -> Value {
    json!(ms as f64 / 1000.0)
}
