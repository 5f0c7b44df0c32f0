//! The calls that observe, create, change and delete a table. DynamoDB takes one change of a table at a time: each waits
//! until the table and its indexes are ACTIVE, before and after.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_table::builders::UpdateTableFluentBuilder;
use aws_sdk_dynamodb::types as sdk;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;

use super::super::common::{Wait, built, on_off, retry, sdk_tags};
use super::super::kind::{Existing, Kind, TagMap};
use super::declared::{Attribute, Billing, Index, Sse};
use super::wire::{busy, facts_of, key_schema, projection, specification, throughput};
use super::{Facts, Table};
use crate::pipeline::event::Step;
use crate::pipeline::tags::{self, Owner, UNFINISHED};
use ground::error::{self, Error, Result};

/// How long a new, changed or deleted table may take. Filling an index of a large table takes hours; after a stop, the next
/// run waits on.
const TABLE: Duration = Duration::from_secs(10 * 60);
pub(super) const INDEX: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a call is retried while DynamoDB is busy with another change.
const REFUSALS: Duration = Duration::from_secs(2 * 60);

const WAITING: &str = "DynamoDB is busy with another change";

impl Table<'_> {
    /// Tags and facts; `None` where there is no such table.
    pub(super) async fn observe_table(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(table) = self.describe().await? else {
            return Ok(None);
        };
        let arn = table.table_arn().map_or_else(|| self.arn(), str::to_owned);
        // The tags first: what another run sets before it removes its tag of an unfinished table is seen afterwards.
        let Some(tags) = self.tags(&arn).await? else {
            return Ok(None);
        };
        // Deleted between these calls.
        let (Some(ttl), Some(recovery)) = tokio::try_join!(self.ttl(), self.recovery())? else {
            return Ok(None);
        };
        let mut facts = facts_of(&table, arn);
        facts.ttl = ttl;
        facts.point_in_time_recovery = recovery;
        Ok(Some((tags, facts)))
    }

    pub(super) async fn describe(&self) -> Result<Option<sdk::TableDescription>> {
        let call = self.context.dynamodb().describe_table();
        let answer = call.table_name(&self.declared.name).send().await;
        let answer = self.response_if_exists("read", answer)?;
        Ok(answer.and_then(|answer| answer.table))
    }

    async fn ttl(&self) -> Result<Option<Option<String>>> {
        let call = self.context.dynamodb().describe_time_to_live();
        let answer = call.table_name(&self.declared.name).send().await;
        let answer = self.response_if_exists("read the time to live of", answer)?;
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
        let answer = self.response_if_exists("read the backups of", answer)?;
        Ok(answer.map(|answer| {
            let backups = answer.continuous_backups_description;
            let recovery = backups.and_then(|backups| backups.point_in_time_recovery_description);
            let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
            status == Some(sdk::PointInTimeRecoveryStatus::Enabled)
        }))
    }

    async fn tags(&self, arn: &str) -> Result<Option<TagMap>> {
        let mut tags = TagMap::new();
        let mut token = None;
        loop {
            let call = self.context.dynamodb().list_tags_of_resource();
            let call = call.resource_arn(arn).set_next_token(token);
            let Some(page) = self.response_if_exists("list the tags of", call.send().await)? else {
                return Ok(None);
            };
            tags.extend(
                page.tags
                    .unwrap_or_default()
                    .into_iter()
                    .map(|tag| (tag.key, tag.value)),
            );
            token = page.next_token;
            if token.is_none() {
                return Ok(Some(tags));
            }
        }
    }

    /// Waits until the table is ACTIVE with all its indexes, and `shown` holds.
    pub(super) async fn wait_until_active(
        &self,
        step: &Step<'_>,
        longest: Duration,
        shown: impl Fn(&sdk::TableDescription) -> bool,
    ) -> Result<()> {
        let mut wait = Wait::new(longest);
        loop {
            let Some(table) = self.describe().await? else {
                if wait.pause(step, "waiting until it is visible").await? {
                    continue;
                }
                return Err(Error::failed(format!("there is no table {}", self.declared.name)));
            };
            let busy = busy(&table);
            if busy.is_none() && shown(&table) {
                return Ok(());
            }
            let what = busy.unwrap_or_else(|| "the change is not visible yet".to_owned());
            if !wait.pause(step, &what).await? {
                return Err(
                    Error::failed(format!("table {} is not ready: {what}", self.declared.name))
                        .hint("run the same command again: it continues from there"),
                );
            }
        }
    }

    /// Waits for a table whose creation did not finish: the run may have been stopped before the table was ACTIVE.
    pub(super) async fn wait_if_unfinished(
        &self,
        existing: &Existing<'_, Facts>,
        step: &Step<'_>,
    ) -> Result<()> {
        match existing.unfinished() {
            true => self.wait_until_active(step, TABLE, |_| true).await,
            false => Ok(()),
        }
    }

    /// Waits until there is no such table.
    async fn wait_until_deleted(&self, step: &Step<'_>) -> Result<()> {
        let mut wait = Wait::new(TABLE);
        while self.describe().await?.is_some() {
            if !wait.pause(step, "waiting until it is deleted").await? {
                return Err(
                    Error::failed(format!("table {} is still being deleted", self.declared.name))
                        .hint("run the same command again later"),
                );
            }
        }
        Ok(())
    }

    /// Changes the table, and retries while DynamoDB is busy with another change.
    pub(super) async fn change(
        &self,
        step: &Step<'_>,
        doing: &str,
        change: impl Fn(UpdateTableFluentBuilder) -> UpdateTableFluentBuilder,
    ) -> Result<()> {
        self.wait_until_active(step, INDEX, |_| true).await?;
        step.go_on()?;
        step.doing(doing);
        let changed = retry(REFUSALS, step, WAITING, || {
            let call = self.context.dynamodb().update_table();
            change(call.table_name(&self.declared.name)).send()
        });
        self.response("change", changed.await?)?;
        self.wait_until_active(step, INDEX, |_| true).await
    }

    pub(super) async fn create_and_wait(&self, step: &Step<'_>) -> Result<()> {
        // One that another run has just created is not waited for: its creation is refused.
        let there = self.describe().await?;
        if there.is_some_and(|table| table.table_status == Some(sdk::TableStatus::Deleting)) {
            self.wait_until_deleted(step).await?;
        }
        step.doing("creating");
        step.touched();
        let mut tags = self.spec.tags.all();
        // Removed at the end: a run that finds the tag knows that the rest is still to be done.
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        let call = self.context.dynamodb().create_table();
        let call = call
            .table_name(&self.declared.name)
            .set_attribute_definitions(Some(built(self.definitions(&self.declared.indexes()))?))
            .set_key_schema(Some(built(key_schema(&self.declared.keys()))?))
            .set_tags(Some(sdk_tags!(sdk::Tag, tags)?))
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
        self.response("create", call.send().await)?;
        self.wait_until_active(step, TABLE, |_| true).await?;
        self.finish(step).await
    }

    /// Sets what CreateTable does not take.
    async fn finish(&self, step: &Step<'_>) -> Result<()> {
        self.set_ttl(None, step).await?;
        if self.declared.point_in_time_recovery == Some(true) {
            self.set_recovery(step).await?;
        }
        // Some AWS-compatible endpoints ignore the tags of CreateTable.
        let mut there = self.tags(&self.arn()).await?.unwrap_or_default();
        // A response may not show the tag yet; it is removed all the same.
        there.insert(UNFINISHED.to_owned(), "setup".to_owned());
        self.set_tags(&self.arn(), &there, step).await
    }

    /// Definitions of all key attributes of the table and `indexes`, each once.
    pub(super) fn definitions(&self, indexes: &[Index]) -> Result<Vec<sdk::AttributeDefinition>, BuildError> {
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

    pub(super) async fn set_encryption(&self, step: &Step<'_>) -> Result<()> {
        let Some(sse) = self.declared.sse() else {
            return Ok(());
        };
        let specification = specification(&sse);
        self.change(step, &format!("encrypting with {sse}"), |call| {
            call.sse_specification(specification.clone())
        })
        .await
    }

    pub(super) async fn set_protection(&self, on: bool, step: &Step<'_>) -> Result<()> {
        let doing = format!("turning deletion protection {}", on_off(on));
        self.change(step, &doing, |call| call.deletion_protection_enabled(on))
            .await
    }

    /// Turns time to live on for the declared attribute, or off where it is on `there`.
    pub(super) async fn set_ttl(&self, there: Option<&str>, step: &Step<'_>) -> Result<()> {
        let wanted = self.declared.ttl.as_ref().and_then(|ttl| ttl.attribute());
        let Some(attribute) = wanted.or(there) else {
            return Ok(());
        };
        step.go_on()?;
        let on = wanted.is_some();
        step.doing(format!("turning time to live on {attribute} {}", on_off(on)));
        let specification = sdk::TimeToLiveSpecification::builder();
        let specification = built(specification.attribute_name(attribute).enabled(on).build())?;
        let set = retry(REFUSALS, step, WAITING, || {
            let call = self.context.dynamodb().update_time_to_live();
            call.table_name(&self.declared.name)
                .time_to_live_specification(specification.clone())
                .send()
        });
        let Err(error) = set.await? else { return Ok(()) };
        let message = error.message().unwrap_or_default().to_ascii_lowercase();
        // An earlier call succeeded, and its response was lost.
        if message.contains("already enabled") || message.contains("already disabled") {
            return Ok(());
        }
        let failed = error::aws::failed(self.failure("set the time to live of"), error);
        // Source: UpdateTimeToLive, DynamoDB API reference.
        Err(match message.contains("multiple times") {
            true => failed
                .hint("DynamoDB allows one change of time to live an hour: run the same command again later"),
            false => failed,
        })
    }

    pub(super) async fn set_recovery(&self, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        let on = self.declared.point_in_time_recovery == Some(true);
        step.doing(format!("turning point-in-time recovery {}", on_off(on)));
        let specification =
            sdk::PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(on);
        let specification = built(specification.build())?;
        // A new table takes no backups for its first seconds.
        let waiting = "waiting until backups can be turned on";
        let set = retry(TABLE, step, waiting, || {
            let call = self.context.dynamodb().update_continuous_backups();
            call.table_name(&self.declared.name)
                .point_in_time_recovery_specification(specification.clone())
                .send()
        });
        self.response("set the point-in-time recovery of", set.await?)
            .map(drop)
    }

    pub(super) async fn remove(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        if existing.facts.is_being_deleted() {
            return self.wait_until_deleted(step).await;
        }
        if existing.facts.deletion_protection {
            if tags::owner(existing.tags(), &self.spec.identity) != Owner::Us {
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
        let deleted = retry(REFUSALS, step, WAITING, || {
            let call = self.context.dynamodb().delete_table();
            call.table_name(&self.declared.name).send()
        });
        match self.response_if_exists("delete", deleted.await?)? {
            Some(_) => self.wait_until_deleted(step).await,
            None => Ok(()),
        }
    }
}
