//! The operations on tables.

mod declare;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::error::{ApiError, Result};
use super::items::{Input, text};
use super::table::{Encryption, Table, arn, name_of};
use super::{DynamoDb, key_of, store};
use crate::answer::request_id;
use crate::types::{Caller, Tags};
use declare::{
    add_index, check_definitions, definitions, forget_definitions, key_schema, refuse_same_throughput,
    set_billing, update_index,
};

/// Source: "Quotas in Amazon DynamoDB", DynamoDB developer guide.
const MAX_TAGS: usize = 50;
const MANAGED_KEY: &str = "alias/aws/dynamodb";

impl DynamoDb {
    pub(super) fn describe_ttl(&self, caller: &Caller, input: &Input) -> Result<Value> {
        self.with_table(caller, input, |table| {
            Ok(json!({"TimeToLiveDescription": match &table.ttl {
                Some(attribute) => json!({"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}),
                None => json!({"TimeToLiveStatus": "DISABLED"}),
            }}))
        })
    }

    pub(super) fn describe_continuous_backups(&self, caller: &Caller, input: &Input) -> Result<Value> {
        let now = self.clock.now_ms();
        self.with_table(caller, input, |table| Ok(describe_recovery(table, now)))
    }

    pub(super) fn list_tags(&self, caller: &Caller, input: &Input) -> Result<Value> {
        let name = name_of(input, "ResourceArn")?;
        let table = self.database.read(|db| self.table(db, caller, &name))?;
        let tags: Vec<Value> = table
            .tags
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        Ok(json!({ "Tags": tags }))
    }

    fn with_table(
        &self,
        caller: &Caller,
        input: &Input,
        show: impl FnOnce(&Table) -> Result<Value>,
    ) -> Result<Value> {
        let name = name_of(input, "TableName")?;
        let table = self.database.read(|db| self.table(db, caller, &name))?;
        show(&table)
    }

    /// Changes a table, in the database and in memory.
    fn change(
        &self,
        caller: &Caller,
        name: &str,
        change: impl FnOnce(&Connection, &mut Table) -> Result<()>,
    ) -> Result<Arc<Table>> {
        let changed = self.database.write(|db| {
            let mut table = Table::clone(&*self.table(db, caller, name)?);
            change(db, &mut table)?;
            store::put_table(db, &table)?;
            let table = Arc::new(table);
            self.replace(&table);
            Ok(table)
        });
        // The transaction may have failed after the change in memory.
        changed.inspect_err(|_| self.forget_tables())
    }

    fn replace(&self, table: &Arc<Table>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = tables.as_mut() {
            tables.insert(key_of(table), Arc::clone(table));
        }
    }

    pub(super) fn create_table(&self, caller: &Caller, input: &Input) -> Result<Value> {
        if text(input, "TableName").is_none() {
            return Err(ApiError::validation(
                "The parameter 'TableName' is required but was not present in the request",
            ));
        }
        let name = name_of(input, "TableName")?;
        if name.len() < 3 {
            return Err(ApiError::constraint(
                format_args!("'{name}'"),
                "tableName",
                "Member must have length greater than or equal to 3",
            ));
        }
        let mut table = self.table_of(caller, name, input)?;
        let created = self.database.write(|db| {
            if self.table(db, caller, &table.name).is_ok() {
                return Err(ApiError::new(
                    "ResourceInUseException",
                    format!("Table already exists: {}", table.name),
                ));
            }
            table.id = store::put_table(db, &table)?;
            let table = Arc::new(table);
            self.replace(&table);
            Ok(table)
        });
        let table = created.inspect_err(|error: &ApiError| {
            if error.code != "ResourceInUseException" {
                self.forget_tables();
            }
        })?;
        Ok(json!({"TableDescription": table.describe("CREATING", 0, 0)}))
    }

    fn table_of(&self, caller: &Caller, name: String, input: &Input) -> Result<Table> {
        if input
            .get("StreamSpecification")
            .is_some_and(|stream| stream["StreamEnabled"] == true)
        {
            return Err(ApiError::validation(
                "The local cloud does not offer DynamoDB Streams",
            ));
        }
        let mut table = Table {
            id: 0,
            account: caller.account.clone(),
            region: caller.region.clone(),
            name,
            uuid: request_id(),
            created_ms: self.clock.now_ms(),
            attributes: definitions(input)?,
            schema: key_schema(input.get("KeySchema"), "keySchema")?,
            on_demand: false,
            read_units: 0,
            write_units: 0,
            indexes: Vec::new(),
            next_slot: 1,
            ttl: None,
            recovery_since_ms: None,
            recovery_days: 35,
            encryption: None,
            protected: input.get("DeletionProtectionEnabled") == Some(&Value::Bool(true)),
            class: text(input, "TableClass").unwrap_or("STANDARD").to_owned(),
            tags: BTreeMap::new(),
        };
        set_billing(&mut table, input, true)?;
        self.set_encryption(caller, &mut table, input)?;
        add_tags(&mut table.tags, input.get("Tags"))?;
        for (field, is_global) in [("GlobalSecondaryIndexes", true), ("LocalSecondaryIndexes", false)] {
            for index in input.get(field).and_then(Value::as_array).into_iter().flatten() {
                add_index(&mut table, index, is_global)?;
            }
        }
        check_definitions(&table)?;
        Ok(table)
    }

    fn set_encryption(&self, caller: &Caller, table: &mut Table, input: &Input) -> Result<()> {
        let Some(specification) = input.get("SSESpecification") else {
            return Ok(());
        };
        table.encryption = match specification["Enabled"].as_bool() {
            Some(true) => {
                let key = specification["KMSMasterKeyId"].as_str().unwrap_or(MANAGED_KEY);
                let key_arn = (self.key_arn)(caller, key).ok_or_else(|| {
                    ApiError::validation(format!("KMS key {key} was not found, or is not enabled"))
                })?;
                Some(Encryption { key_arn })
            }
            _ => None,
        };
        Ok(())
    }

    pub(super) fn describe_table(&self, caller: &Caller, name: &str) -> Result<Value> {
        self.database.read(|db| {
            let table = self.table(db, caller, name)?;
            let (items, bytes) = store::totals(db, &table)?;
            Ok(json!({"Table": table.describe("ACTIVE", items, bytes)}))
        })
    }

    pub(super) fn delete_table(&self, caller: &Caller, name: &str) -> Result<Value> {
        let deleted = self.database.write(|db| {
            let table = self.table(db, caller, name)?;
            if table.protected {
                return Err(ApiError::validation(format!(
                    "Resource cannot be deleted as it is currently protected against deletion. Disable deletion \
                     protection first. Resource: {}",
                    table.arn()
                )));
            }
            store::delete_table(db, &table)?;
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(tables) = tables.as_mut() {
                tables.remove(&key_of(&table));
            }
            Ok(table)
        });
        let table = deleted.inspect_err(|_| self.forget_tables())?;
        Ok(json!({"TableDescription": table.describe("DELETING", 0, 0)}))
    }

    pub(super) fn list_tables(&self, caller: &Caller, input: &Input) -> Result<Value> {
        let limit = match input.get("Limit").and_then(Value::as_u64) {
            None => 100,
            Some(limit @ 1..=100) => usize::try_from(limit).unwrap_or(100),
            Some(limit) => {
                return Err(ApiError::validation(format!(
                    "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member \
                     must have value between 1 and 100"
                )));
            }
        };
        let after = text(input, "ExclusiveStartTableName").unwrap_or_default();
        let mut names: Vec<String> = self.database.read(|db| {
            self.with_tables(db, |tables| {
                tables
                    .keys()
                    .filter(|(owner, name)| owner == caller && name.as_str() > after)
                    .map(|(_, name)| name.clone())
                    .collect()
            })
        })?;
        names.sort();
        let is_last = names.len() <= limit;
        names.truncate(limit);
        let mut out = json!({ "TableNames": names });
        if !is_last {
            out["LastEvaluatedTableName"] = json!(names.last());
        }
        Ok(out)
    }

    pub(super) fn update_table(&self, caller: &Caller, input: &Input) -> Result<Value> {
        if input
            .get("StreamSpecification")
            .is_some_and(|stream| stream["StreamEnabled"] == true)
        {
            return Err(ApiError::validation(
                "The local cloud does not offer DynamoDB Streams",
            ));
        }
        let name = name_of(input, "TableName")?;
        let table = self.change(caller, &name, |db, table| {
            if input.contains_key("AttributeDefinitions") {
                for (attribute, kind) in definitions(input)? {
                    table.attributes.insert(attribute, kind);
                }
            }
            refuse_same_throughput(table, input)?;
            set_billing(table, input, false)?;
            self.set_encryption(caller, table, input)?;
            if let Some(protected) = input.get("DeletionProtectionEnabled").and_then(Value::as_bool) {
                table.protected = protected;
            }
            if let Some(class) = text(input, "TableClass") {
                class.clone_into(&mut table.class);
            }
            let updates = input.get("GlobalSecondaryIndexUpdates").and_then(Value::as_array);
            for update in updates.into_iter().flatten() {
                update_index(db, table, update)?;
            }
            forget_definitions(table);
            check_definitions(table)
        })?;
        Ok(json!({"TableDescription": table.describe("UPDATING", 0, 0)}))
    }

    pub(super) fn update_ttl(&self, caller: &Caller, input: &Input) -> Result<Value> {
        let name = name_of(input, "TableName")?;
        let specification = input.get("TimeToLiveSpecification").unwrap_or(&Value::Null);
        let (Some(enabled), Some(attribute)) = (
            specification["Enabled"].as_bool(),
            specification["AttributeName"].as_str(),
        ) else {
            return Err(ApiError::validation(
                "TimeToLiveSpecification takes Enabled and AttributeName",
            ));
        };
        if attribute.is_empty() {
            return Err(ApiError::constraint(
                "''",
                "timeToLiveSpecification.attributeName",
                "Member must have length greater than or equal to 1",
            ));
        }
        self.change(caller, &name, |db, table| {
            match (&table.ttl, enabled) {
                (Some(_), true) => return Err(ApiError::validation("TimeToLive is already enabled")),
                (None, false) => return Err(ApiError::validation("TimeToLive is already disabled")),
                (Some(known), false) if known != attribute => {
                    return Err(ApiError::validation(
                        "TimeToLive is active on a different AttributeName: current AttributeName is another",
                    ));
                }
                _ => {}
            }
            table.ttl = enabled.then(|| attribute.to_owned());
            store::refill_expiry(db, table)
        })?;
        Ok(json!({ "TimeToLiveSpecification": specification }))
    }

    pub(super) fn update_recovery(&self, caller: &Caller, input: &Input) -> Result<Value> {
        let name = name_of(input, "TableName")?;
        let specification = input
            .get("PointInTimeRecoverySpecification")
            .unwrap_or(&Value::Null);
        let Some(enabled) = specification["PointInTimeRecoveryEnabled"].as_bool() else {
            return Err(ApiError::validation(
                "PointInTimeRecoveryEnabled must not be null",
            ));
        };
        let days = specification["RecoveryPeriodInDays"].as_u64();
        if days.is_some_and(|days| !(1..=35).contains(&days)) {
            return Err(ApiError::validation("RecoveryPeriodInDays must be from 1 to 35"));
        }
        let now = self.clock.now_ms();
        let table = self.change(caller, &name, |_, table| {
            table.recovery_since_ms = match (enabled, table.recovery_since_ms) {
                (true, since) => since.or(Some(now)),
                (false, _) => None,
            };
            table.recovery_days = days.unwrap_or(table.recovery_days);
            Ok(())
        })?;
        Ok(describe_recovery(&table, now))
    }

    pub(super) fn add_tags(&self, caller: &Caller, input: &Input) -> Result<Value> {
        self.change_tags(caller, input, |tags| add_tags(tags, input.get("Tags")))
    }

    pub(super) fn remove_tags(&self, caller: &Caller, input: &Input) -> Result<Value> {
        self.change_tags(caller, input, |tags| {
            let keys = input.get("TagKeys").and_then(Value::as_array);
            for key in keys.into_iter().flatten().filter_map(Value::as_str) {
                tags.remove(key);
            }
            Ok(())
        })
    }

    fn change_tags(
        &self,
        caller: &Caller,
        input: &Input,
        change: impl FnOnce(&mut Tags) -> Result<()>,
    ) -> Result<Value> {
        let name = name_of(input, "ResourceArn")?;
        if text(input, "ResourceArn") != Some(arn(caller, &name).as_str()) {
            return Err(ApiError::validation(format!("Invalid TableArn: {name}")));
        }
        self.change(caller, &name, |_, table| change(&mut table.tags))?;
        Ok(json!({}))
    }
}

fn describe_recovery(table: &Table, now: i64) -> Value {
    let mut recovery = json!({"PointInTimeRecoveryStatus": "DISABLED"});
    if let Some(since) = table.recovery_since_ms {
        recovery = json!({
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": table.recovery_days,
            "EarliestRestorableDateTime": since as f64 / 1000.0,
            "LatestRestorableDateTime": now as f64 / 1000.0,
        });
    }
    json!({"ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": recovery,
    }})
}

fn add_tags(tags: &mut BTreeMap<String, String>, given: Option<&Value>) -> Result<()> {
    for tag in given.and_then(Value::as_array).into_iter().flatten() {
        match (tag["Key"].as_str(), tag["Value"].as_str()) {
            (Some(key), Some(value))
                if (1..=128).contains(&key.chars().count())
                    && value.chars().count() <= 256
                    && !key.starts_with("aws:") =>
            {
                tags.insert(key.to_owned(), value.to_owned());
            }
            _ => return Err(ApiError::validation("A tag is not valid")),
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(ApiError::validation(format!(
            "A resource can have at most {MAX_TAGS} tags"
        )));
    }
    Ok(())
}
