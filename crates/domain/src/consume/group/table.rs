//! [`Leases`] in a DynamoDB table.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableStatus,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::{Instant, sleep};

use super::lease::{
    CHECKPOINT, CHILDREN, COUNTER, HANDING_OVER, KEY, OWNER, PENDING, PENDING_STATE, PENDING_SUB_SEQUENCE,
    START_MS, SUB_SEQUENCE, SWITCHES, WRITTEN,
};
use super::{Lease, Leases};
use crate::context::Context;
use ground::backoff::Backoff;
use ground::error::{self, Error, Result};

/// How long a new table may take to become ACTIVE.
const MAKING: Duration = Duration::from_secs(120);
const LOOK: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));

/// The condition of a change by the member that reads the shard.
const READS: &str = "(leaseOwner = :me AND attribute_not_exists(checkpointOwner)) OR checkpointOwner = :me";

/// The lease table of a group.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    pub fn new(ctx: &Context, name: impl Into<String>) -> Self {
        Self {
            client: ctx.dynamodb().clone(),
            name: name.into(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there and is a lease table: its key is `leaseKey`.
    ///
    /// # Errors
    /// Exit 2 if it is another table, exit 1 when it cannot be described.
    pub async fn exists(&self) -> Result<bool> {
        Ok(self.status().await?.is_some())
    }

    /// Creates the table if it does not exist, and waits until it is ACTIVE.
    ///
    /// # Errors
    /// Exit 2 if there is another table with its name, exit 1 when it cannot be created.
    pub async fn create(&self) -> Result<()> {
        let deadline = Instant::now() + MAKING;
        let mut pauses = LOOK.pauses();
        loop {
            match self.status().await? {
                Some(TableStatus::Active | TableStatus::Updating) => return Ok(()),
                Some(_) => {}
                None => self.make().await?,
            }
            let Some(wait) = pauses.advance_until(deadline) else {
                return Err(Error::failed(format!("table {} is still not ACTIVE", self.name))
                    .hint("run the command again: it continues from there"));
            };
            sleep(wait).await;
        }
    }

    async fn make(&self) -> Result<()> {
        let failed = |cause: aws_sdk_dynamodb::error::BuildError| {
            Error::failed("could not describe the lease table").cause(cause)
        };
        let attribute = AttributeDefinition::builder().attribute_name(KEY);
        let attribute = attribute
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(failed)?;
        let key = KeySchemaElement::builder()
            .attribute_name(KEY)
            .key_type(KeyType::Hash);
        let call = self
            .client
            .create_table()
            .table_name(&self.name)
            .attribute_definitions(attribute)
            .key_schema(key.build().map_err(failed)?)
            .billing_mode(BillingMode::PayPerRequest);
        match call.send().await {
            Ok(_) => Ok(()),
            // Another member was faster.
            Err(e) if e.code() == Some("ResourceInUseException") => Ok(()),
            Err(e) => Err(error::aws::failed(
                format!("could not create table {}", self.name),
                e,
            )),
        }
    }

    /// Its status; `None` if there is none.
    async fn status(&self) -> Result<Option<TableStatus>> {
        let answer = match self.client.describe_table().table_name(&self.name).send().await {
            Ok(answer) => answer,
            Err(e) if e.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(e) => {
                return Err(error::aws::failed(
                    format!("could not describe table {}", self.name),
                    e,
                ));
            }
        };
        let table = answer
            .table
            .unwrap_or_else(|| aws_sdk_dynamodb::types::TableDescription::builder().build());
        let keys: Vec<&str> = table
            .key_schema()
            .iter()
            .map(KeySchemaElement::attribute_name)
            .collect();
        match keys == [KEY] {
            true => Ok(Some(table.table_status.unwrap_or(TableStatus::Active))),
            false => Err(Error::usage(format!(
                "table {} is not a lease table: its key is not {KEY}",
                self.name
            ))
            .hint("choose another name for the group; `streamctl group list` shows the groups")),
        }
    }

    /// Writes `lease` over what is there.
    pub(super) async fn put(&self, lease: &Lease) -> Result<()> {
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(lease.item()));
        call.send()
            .await
            .map(drop)
            .map_err(|e| self.failed("write to", e))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key(KEY, text(key));
        call.send()
            .await
            .map(drop)
            .map_err(|e| self.failed("write to", e))
    }

    fn update(&self, key: &str, expression: &str, condition: &str) -> UpdateItemFluentBuilder {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(KEY, text(key));
        call.update_expression(expression).condition_expression(condition)
    }

    async fn updated(&self, call: UpdateItemFluentBuilder) -> Result<bool> {
        match call.send().await {
            Ok(_) => Ok(true),
            Err(e) if e.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(e) => Err(self.failed("write to", e)),
        }
    }

    fn failed<E>(
        &self,
        verb: &str,
        error: aws_sdk_dynamodb::error::SdkError<
            E,
            aws_smithy_runtime_api::client::orchestrator::HttpResponse,
        >,
    ) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        error::aws::failed(format!("could not {verb} lease table {}", self.name), error)
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[async_trait]
impl Leases for Table {
    async fn list(&self) -> Result<Vec<Lease>> {
        let mut leases = Vec::new();
        let mut from: Option<HashMap<String, AttributeValue>> = None;
        loop {
            let call = self.client.scan().table_name(&self.name).consistent_read(true);
            let page = call.set_exclusive_start_key(from).send().await;
            let page = page.map_err(|e| self.failed("read", e))?;
            leases.extend(page.items().iter().filter_map(Lease::read));
            from = page.last_evaluated_key;
            if from.as_ref().is_none_or(HashMap::is_empty) {
                leases.sort_by(|a, b| a.key.cmp(&b.key));
                return Ok(leases);
            }
        }
    }

    async fn create(&self, lease: &Lease) -> Result<bool> {
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(lease.item()));
        let call = call.condition_expression(format!("attribute_not_exists({KEY})"));
        match call.send().await {
            Ok(_) => Ok(true),
            Err(e) if e.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(e) => Err(self.failed("write to", e)),
        }
    }

    async fn renew(&self, key: &str, owner: &str, counter: i64) -> Result<bool> {
        let condition = format!("{COUNTER} = :old AND ({OWNER} = :me OR {HANDING_OVER} = :me)");
        let call = self.update(key, &format!("SET {COUNTER} = :new"), &condition);
        let call = call
            .expression_attribute_values(":old", number(counter))
            .expression_attribute_values(":new", number(counter.wrapping_add(1)))
            .expression_attribute_values(":me", text(owner));
        self.updated(call).await
    }

    async fn take(&self, lease: &Lease, owner: &str) -> Result<bool> {
        let is_other = lease.owner.as_deref().is_some_and(|old| old != owner);
        let switches = lease.owner_switches + i64::from(is_other || lease.handing_over.is_some());
        let change =
            format!("SET {OWNER} = :me, {COUNTER} = :new, {SWITCHES} = :switches REMOVE {HANDING_OVER}");
        let old_owner = match lease.owner {
            Some(_) => format!("{OWNER} = :owner"),
            None => format!("attribute_not_exists({OWNER})"),
        };
        let call = self.update(&lease.key, &change, &format!("{COUNTER} = :old AND {old_owner}"));
        let call = call
            .set_expression_attribute_values(
                lease
                    .owner
                    .as_deref()
                    .map(|owner| HashMap::from([(":owner".to_owned(), text(owner))])),
            )
            .expression_attribute_values(":old", number(lease.counter))
            .expression_attribute_values(":new", number(lease.counter.wrapping_add(1)))
            .expression_attribute_values(":switches", number(switches))
            .expression_attribute_values(":me", text(owner));
        self.updated(call).await
    }

    async fn claim(&self, lease: &Lease, owner: &str) -> Result<bool> {
        let Some(old) = &lease.owner else { return Ok(false) };
        let change = format!("SET {OWNER} = :me, {HANDING_OVER} = :old");
        let condition = format!("{OWNER} = :old AND attribute_not_exists({HANDING_OVER})");
        let call = self.update(&lease.key, &change, &condition);
        let call = call
            .expression_attribute_values(":old", text(old))
            .expression_attribute_values(":me", text(owner));
        self.updated(call).await
    }

    async fn checkpoint(&self, key: &str, owner: &str, sequence_number: &str) -> Result<bool> {
        let change = format!(
            "SET {CHECKPOINT} = :at, {WRITTEN} = :at, {SUB_SEQUENCE} = :none, {SWITCHES} = :none \
             REMOVE {PENDING}, {PENDING_SUB_SEQUENCE}, {PENDING_STATE}, {START_MS}"
        );
        let call = self.update(key, &change, READS);
        let call = call
            .expression_attribute_values(":at", text(sequence_number))
            .expression_attribute_values(":none", number(0))
            .expression_attribute_values(":me", text(owner));
        self.updated(call).await
    }

    async fn end(&self, key: &str, owner: &str, children: &[String]) -> Result<bool> {
        let set_children = match children {
            [] => String::new(),
            _ => format!(", {CHILDREN} = :children"),
        };
        let change = format!(
            "SET {CHECKPOINT} = :end, {SUB_SEQUENCE} = :none, {SWITCHES} = :none{set_children} \
             REMOVE {OWNER}, {HANDING_OVER}, {PENDING}, {PENDING_SUB_SEQUENCE}, {PENDING_STATE}, {START_MS}, {WRITTEN}"
        );
        let children = (!children.is_empty())
            .then(|| HashMap::from([(":children".to_owned(), AttributeValue::Ss(children.to_vec()))]));
        let call = self.update(key, &change, READS);
        let call = call
            .set_expression_attribute_values(children)
            .expression_attribute_values(":end", text("SHARD_END"))
            .expression_attribute_values(":none", number(0))
            .expression_attribute_values(":me", text(owner));
        self.updated(call).await
    }

    async fn release(&self, key: &str, owner: &str) -> Result<bool> {
        let hand_over = self
            .update(
                key,
                &format!("SET {COUNTER} = {COUNTER} + :one REMOVE {HANDING_OVER}"),
                &format!("{HANDING_OVER} = :me"),
            )
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":me", text(owner));
        if self.updated(hand_over).await? {
            return Ok(true);
        }
        let give_up = self
            .update(
                key,
                &format!("SET {COUNTER} = {COUNTER} + :one REMOVE {OWNER}"),
                &format!("{OWNER} = :me"),
            )
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":me", text(owner));
        self.updated(give_up).await
    }
}
