//! The calls that make, change and delete a table. DynamoDB takes one change of a table at a time: each waits until the
//! table and its indexes are ACTIVE, before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_table::builders::UpdateTableFluentBuilder;
use aws_sdk_dynamodb::types as sdk;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;

use super::super::common::{self, Patience, found, refused};
use super::declared::{Attribute, Billing, Index, Sse};
use super::indexes;
use super::wire::{
    built, busy, facts_of, has_index, key_schema, projection, sdk_tags, specification, tag_map, throughput,
};
use super::{Facts, Table};
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Observed, Present};
use crate::pipeline::tags::{self, Owner, UNFINISHED};
use ground::error::{self, Error, Result};

/// How long a new, changed or deleted table may take. Filling an index of a large one takes hours, and is waited for
/// longer: whoever stops finds it building on the next run.
const TABLE: Duration = Duration::from_secs(10 * 60);
const INDEX: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a refusal that means "not now" is tried again.
const REFUSALS: Duration = Duration::from_secs(2 * 60);

const NOT_FOUND: &[&str] = &["ResourceNotFoundException", "TableNotFoundException"];
const NOT_NOW: &[&str] = &["ResourceInUseException", "LimitExceededException"];

impl Table<'_> {
    /// What is there now.
    pub(super) async fn look(&self) -> Result<Observed> {
        let Some(table) = self.describe().await? else {
            return Ok(Observed::Absent);
        };
        let arn = table.table_arn().unwrap_or(&self.arn).to_owned();
        let looked = tokio::try_join!(self.ttl(), self.recovery(), self.tags(&arn))?;
        // Deleted in between.
        let (Some(ttl), Some(recovery), Some(tags)) = looked else {
            return Ok(Observed::Absent);
        };
        let mut facts = facts_of(&table, arn);
        facts.ttl = ttl;
        facts.point_in_time_recovery = recovery;
        common::observed(tags, &facts)
    }

    async fn describe(&self) -> Result<Option<sdk::TableDescription>> {
        let call = self.context.dynamodb().describe_table();
        let answer = call.table_name(&self.declared.name).send().await;
        let answer =
            found(answer, NOT_FOUND).map_err(|error| error::aws::failed(self.what("read"), error))?;
        Ok(answer.and_then(|answer| answer.table))
    }

    async fn ttl(&self) -> Result<Option<Option<String>>> {
        let call = self.context.dynamodb().describe_time_to_live();
        let answer = call.table_name(&self.declared.name).send().await;
        let answer = found(answer, NOT_FOUND)
            .map_err(|error| error::aws::failed(self.what("read the time to live of"), error))?;
        Ok(answer.map(|answer| {
            let ttl = answer.time_to_live_description?;
            let on = matches!(
                ttl.time_to_live_status,
                Some(sdk::TimeToLiveStatus::Enabled | sdk::TimeToLiveStatus::Enabling)
            );
            ttl.attribute_name.filter(|_| on)
        }))
    }

    async fn recovery(&self) -> Result<Option<bool>> {
        let call = self.context.dynamodb().describe_continuous_backups();
        let answer = call.table_name(&self.declared.name).send().await;
        let answer = found(answer, NOT_FOUND)
            .map_err(|error| error::aws::failed(self.what("read the backups of"), error))?;
        Ok(answer.map(|answer| {
            let backups = answer.continuous_backups_description;
            let recovery = backups.and_then(|backups| backups.point_in_time_recovery_description);
            let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
            status == Some(sdk::PointInTimeRecoveryStatus::Enabled)
        }))
    }

    async fn tags(&self, arn: &str) -> Result<Option<BTreeMap<String, String>>> {
        let mut tags = BTreeMap::new();
        let mut token = None;
        loop {
            let call = self.context.dynamodb().list_tags_of_resource();
            let answer = call.resource_arn(arn).set_next_token(token).send().await;
            let page = found(answer, NOT_FOUND)
                .map_err(|error| error::aws::failed(self.what("list the tags of"), error))?;
            let Some(page) = page else { return Ok(None) };
            tags.extend(tag_map(page.tags.unwrap_or_default()));
            token = page.next_token;
            if token.is_none() {
                return Ok(Some(tags));
            }
        }
    }

    /// Waits until the table is ACTIVE with all its indexes, and `shown` holds.
    async fn settled(
        &self,
        step: &Step<'_>,
        longest: Duration,
        shown: impl Fn(&sdk::TableDescription) -> bool,
    ) -> Result<()> {
        let mut patience = Patience::new(longest);
        loop {
            let Some(table) = self.describe().await? else {
                if patience.pause(step, "waiting until it is shown").await? {
                    continue;
                }
                return Err(Error::failed(format!("there is no table {}", self.declared.name)));
            };
            let busy = busy(&table);
            if busy.is_none() && shown(&table) {
                return Ok(());
            }
            let what = busy.unwrap_or_else(|| "the change is not shown yet".to_owned());
            if !patience.pause(step, &what).await? {
                return Err(
                    Error::failed(format!("table {} is not ready: {what}", self.declared.name))
                        .hint("run the same command again: it goes on from there"),
                );
            }
        }
    }

    /// Waits until a new table is there.
    pub(super) async fn ready(&self, step: &Step<'_>) -> Result<()> {
        self.settled(step, TABLE, |_| true).await
    }

    /// Waits until there is no such table.
    async fn gone(&self, step: &Step<'_>) -> Result<()> {
        let mut patience = Patience::new(TABLE);
        while self.describe().await?.is_some() {
            if !patience.pause(step, "waiting until it is gone").await? {
                return Err(
                    Error::failed(format!("table {} is still being deleted", self.declared.name))
                        .hint("run the same command again later"),
                );
            }
        }
        Ok(())
    }

    /// Changes the table, trying again while DynamoDB is busy with another change.
    async fn update(
        &self,
        step: &Step<'_>,
        doing: &str,
        change: impl Fn(UpdateTableFluentBuilder) -> UpdateTableFluentBuilder,
    ) -> Result<()> {
        let mut patience = Patience::new(REFUSALS);
        self.settled(step, INDEX, |_| true).await?;
        step.go_on()?;
        step.doing(doing);
        loop {
            let call = self.context.dynamodb().update_table();
            let Err(error) = change(call.table_name(&self.declared.name)).send().await else {
                break;
            };
            let again = refused(&error, NOT_NOW)
                && patience
                    .pause(step, "DynamoDB is busy with another change")
                    .await?;
            if !again {
                return Err(error::aws::failed(self.what("change"), error));
            }
        }
        self.settled(step, INDEX, |_| true).await
    }

    pub(super) async fn create(&self, step: &Step<'_>) -> Result<()> {
        // One of that name may be on its way out.
        self.gone(step).await?;
        step.doing("creating");
        step.touched();
        let mut tags = self.spec.tags.all();
        // Taken away at the end: a run that finds it knows that the rest is still to be done.
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        let call = self.context.dynamodb().create_table();
        let call = call
            .table_name(&self.declared.name)
            .set_attribute_definitions(Some(built(self.definitions(&self.declared.indexes()))?))
            .set_key_schema(Some(built(key_schema(&self.declared.keys()))?))
            .set_tags(Some(built(sdk_tags(&tags))?))
            .set_deletion_protection_enabled(self.declared.deletion_protection);
        let call = match self.declared.billing() {
            Billing::OnDemand => call.billing_mode(sdk::BillingMode::PayPerRequest),
            Billing::Provisioned => call
                .billing_mode(sdk::BillingMode::Provisioned)
                .provisioned_throughput(built(throughput(self.declared.capacity()))?),
        };
        let indexes = self.declared.indexes();
        let indexes: Vec<sdk::GlobalSecondaryIndex> = indexes
            .iter()
            .map(|index| built(self.new_index(index)))
            .collect::<Result<_>>()?;
        let call = call.set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes));
        let call = match self.declared.sse() {
            Some(sse @ Sse::Kms(_)) => call.sse_specification(specification(&sse)),
            _ => call,
        };
        call.send()
            .await
            .map_err(|error| error::aws::failed(self.what("create"), error))?;
        self.ready(step).await?;
        self.finish(step).await
    }

    /// What cannot be said to CreateTable.
    async fn finish(&self, step: &Step<'_>) -> Result<()> {
        if self
            .declared
            .ttl
            .as_ref()
            .is_some_and(|ttl| ttl.attribute().is_some())
        {
            self.switch_ttl(None, step).await?;
        }
        if self.declared.point_in_time_recovery == Some(true) {
            self.set_recovery(step).await?;
        }
        // Some AWS-compatible endpoints pass over the tags of CreateTable.
        let there = self.tags(&self.arn).await?.unwrap_or_default();
        let (set, mut remove) = self.spec.tags.difference(&there);
        remove.insert(UNFINISHED.to_owned());
        self.set_tags(&set, remove, step).await
    }

    /// Definitions of all key attributes of the table and `indexes`, each once.
    fn definitions(&self, indexes: &[Index]) -> Result<Vec<sdk::AttributeDefinition>, BuildError> {
        let keys = self.declared.keys();
        let all = keys
            .attributes()
            .chain(indexes.iter().flat_map(|index| index.keys.attributes()));
        let all: BTreeMap<&str, &Attribute> = all
            .map(|attribute| (attribute.name.as_str(), attribute))
            .collect();
        all.into_values()
            .map(|attribute| {
                sdk::AttributeDefinition::builder()
                    .attribute_name(&attribute.name)
                    .attribute_type(attribute.kind.as_str().into())
                    .build()
            })
            .collect()
    }

    fn new_index(&self, index: &Index) -> Result<sdk::GlobalSecondaryIndex, BuildError> {
        let throughput = match self.declared.billing() {
            Billing::OnDemand => None,
            Billing::Provisioned => Some(throughput(self.declared.capacity())?),
        };
        sdk::GlobalSecondaryIndex::builder()
            .index_name(&index.name)
            .set_key_schema(Some(key_schema(&index.keys)?))
            .projection(projection(&index.projection))
            .set_provisioned_throughput(throughput)
            .build()
    }

    /// Makes index `name` as it is declared, or takes it away where it is not declared.
    pub(super) async fn set_index(&self, name: &str, step: &Step<'_>) -> Result<()> {
        self.settled(step, INDEX, |_| true).await?;
        let table = self.describe().await?;
        let facts = table.map(|table| facts_of(&table, self.arn.clone()));
        let (there, on_demand) = facts.map_or((None, true), |facts| {
            let mut found = facts.indexes.into_iter();
            (found.find(|one| one.index.name == name), facts.on_demand)
        });
        let wanted = self
            .declared
            .indexes()
            .into_iter()
            .find(|index| index.name == name);
        let there = there.map(|facts| (facts.index, facts.capacity));
        if there.as_ref().map(|(index, _)| index) == wanted.as_ref() {
            return Ok(());
        }
        if there.is_some() {
            let delete = sdk::DeleteGlobalSecondaryIndexAction::builder().index_name(name);
            let update = sdk::GlobalSecondaryIndexUpdate::builder()
                .delete(built(delete.build())?)
                .build();
            let doing = format!("deleting {}{name}", indexes::FIELD);
            self.update(step, &doing, |call| {
                call.global_secondary_index_updates(update.clone())
            })
            .await?;
            self.settled(step, INDEX, |table| !has_index(table, name)).await?;
        }
        let Some(wanted) = wanted else { return Ok(()) };
        let definitions = built(self.definitions(std::slice::from_ref(&wanted)))?;
        let throughput = match on_demand {
            true => None,
            false => Some(built(throughput(self.declared.capacity()))?),
        };
        let create = sdk::CreateGlobalSecondaryIndexAction::builder()
            .index_name(name)
            .set_key_schema(Some(built(key_schema(&wanted.keys))?))
            .projection(projection(&wanted.projection))
            .set_provisioned_throughput(throughput);
        let update = sdk::GlobalSecondaryIndexUpdate::builder()
            .create(built(create.build())?)
            .build();
        let doing = format!("building {}{name}", indexes::FIELD);
        self.update(step, &doing, |call| {
            call.set_attribute_definitions(Some(definitions.clone()))
                .global_secondary_index_updates(update.clone())
        })
        .await?;
        self.settled(step, INDEX, |table| has_index(table, name)).await
    }

    /// Switches the billing mode to the declared one, or the capacity of a provisioned table and its indexes.
    pub(super) async fn set_capacity(&self, step: &Step<'_>) -> Result<()> {
        let Some(table) = self.describe().await? else {
            return Err(Error::failed(format!("there is no table {}", self.declared.name)));
        };
        let facts = facts_of(&table, self.arn.clone());
        let wanted = self.declared.capacity();
        let billing = self.declared.billing_mode.unwrap_or(facts.billing());
        if billing == Billing::OnDemand {
            let doing = "switching to on-demand";
            return self
                .update(step, doing, |call| {
                    call.billing_mode(sdk::BillingMode::PayPerRequest)
                })
                .await;
        }
        let units = built(throughput(wanted))?;
        let mut updates = Vec::new();
        for index in facts.indexes.iter().filter(|index| index.capacity != wanted) {
            let action = sdk::UpdateGlobalSecondaryIndexAction::builder()
                .index_name(&index.index.name)
                .provisioned_throughput(units.clone())
                .build();
            let update = sdk::GlobalSecondaryIndexUpdate::builder();
            updates.push(update.update(built(action)?).build());
        }
        let updates = (!updates.is_empty()).then_some(updates);
        // DynamoDB refuses capacity that is what it was.
        let units = (facts.capacity != wanted).then_some(units);
        self.update(step, &format!("setting {wanted}"), |call| {
            call.set_billing_mode(facts.on_demand.then_some(sdk::BillingMode::Provisioned))
                .set_provisioned_throughput(units.clone())
                .set_global_secondary_index_updates(updates.clone())
        })
        .await
    }

    pub(super) async fn set_encryption(&self, step: &Step<'_>) -> Result<()> {
        let Some(sse) = self.declared.sse() else {
            return Ok(());
        };
        let specification = specification(&sse);
        self.update(step, &format!("encrypting with {sse}"), |call| {
            call.sse_specification(specification.clone())
        })
        .await
    }

    pub(super) async fn set_protection(&self, on: bool, step: &Step<'_>) -> Result<()> {
        let doing = format!("turning deletion protection {}", common::on_off(on));
        self.update(step, &doing, |call| call.deletion_protection_enabled(on))
            .await
    }

    pub(super) async fn set_ttl(&self, there: &Facts, step: &Step<'_>) -> Result<()> {
        self.switch_ttl(there.ttl.as_deref(), step).await
    }

    /// Turns time to live on for the declared attribute, or off where it is on `there`.
    async fn switch_ttl(&self, there: Option<&str>, step: &Step<'_>) -> Result<()> {
        let wanted = self.declared.ttl.as_ref().and_then(|ttl| ttl.attribute());
        let Some(attribute) = wanted.or(there) else {
            return Ok(());
        };
        step.go_on()?;
        step.doing(format!(
            "turning time to live on {attribute} {}",
            common::on_off(wanted.is_some())
        ));
        let specification = sdk::TimeToLiveSpecification::builder()
            .attribute_name(attribute)
            .enabled(wanted.is_some());
        let specification = built(specification.build())?;
        let mut patience = Patience::new(REFUSALS);
        loop {
            let call = self.context.dynamodb().update_time_to_live();
            let call = call
                .table_name(&self.declared.name)
                .time_to_live_specification(specification.clone());
            let Err(error) = call.send().await else {
                return Ok(());
            };
            let message = error.message().unwrap_or_default().to_ascii_lowercase();
            // An earlier attempt was accepted, and its answer lost.
            if message.contains("already enabled") || message.contains("already disabled") {
                return Ok(());
            }
            let again = refused(&error, NOT_NOW)
                && patience
                    .pause(step, "DynamoDB is busy with another change")
                    .await?;
            if !again {
                let failed = error::aws::failed(self.what("set the time to live of"), error);
                // Source: UpdateTimeToLive, DynamoDB API reference.
                return Err(match message.contains("multiple times") {
                    true => failed.hint(
                        "DynamoDB takes one change of time to live an hour: run the same command again later",
                    ),
                    false => failed,
                });
            }
        }
    }

    pub(super) async fn set_recovery(&self, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        let on = self.declared.point_in_time_recovery == Some(true);
        step.doing(format!("turning point-in-time recovery {}", common::on_off(on)));
        let specification =
            sdk::PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(on);
        let specification = built(specification.build())?;
        let mut patience = Patience::new(TABLE);
        loop {
            let call = self.context.dynamodb().update_continuous_backups();
            let call = call
                .table_name(&self.declared.name)
                .point_in_time_recovery_specification(specification.clone());
            let Err(error) = call.send().await else {
                return Ok(());
            };
            // A new table takes no backups for its first seconds.
            let again = refused(&error, &["ContinuousBackupsUnavailableException"])
                && patience
                    .pause(step, "waiting until backups can be turned on")
                    .await?;
            if !again {
                return Err(error::aws::failed(
                    self.what("set the point-in-time recovery of"),
                    error,
                ));
            }
        }
    }

    /// Sets and removes tags; the mark of an unfinished table goes last.
    pub(super) async fn set_tags(
        &self,
        set: &BTreeMap<String, String>,
        remove: BTreeSet<String>,
        step: &Step<'_>,
    ) -> Result<()> {
        step.go_on()?;
        if !set.is_empty() {
            step.doing("setting tags");
            let call = self.context.dynamodb().tag_resource();
            let call = call.resource_arn(&self.arn).set_tags(Some(built(sdk_tags(set))?));
            call.send()
                .await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            let call = self.context.dynamodb().untag_resource();
            let call = call
                .resource_arn(&self.arn)
                .set_tag_keys(Some(remove.into_iter().collect()));
            call.send()
                .await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }

    pub(super) async fn remove(&self, present: &Present, step: &Step<'_>) -> Result<()> {
        let facts: Facts = present.read()?;
        if facts.is_going() {
            return self.gone(step).await;
        }
        if facts.deletion_protection {
            if tags::owner(&present.tags, &self.spec.identity) != Owner::Us {
                return Err(Error::failed(format!(
                    "table {} is protected from deletion",
                    self.declared.name
                ))
                .hint("turn its deletion protection off, then run the same command again"));
            }
            self.set_protection(false, step).await?;
        }
        step.go_on()?;
        step.doing("deleting");
        let mut patience = Patience::new(REFUSALS);
        loop {
            let call = self.context.dynamodb().delete_table();
            let Err(error) = call.table_name(&self.declared.name).send().await else {
                break;
            };
            if refused(&error, NOT_FOUND) {
                return Ok(());
            }
            let again = refused(&error, NOT_NOW)
                && patience
                    .pause(step, "DynamoDB is busy with another change")
                    .await?;
            if !again {
                return Err(error::aws::failed(self.what("delete"), error));
            }
        }
        self.gone(step).await
    }
}
