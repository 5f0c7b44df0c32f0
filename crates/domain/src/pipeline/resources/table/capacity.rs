//! Changes of billing mode and capacity.

use aws_sdk_dynamodb::types as sdk;

use super::super::common::built;
use super::super::kind::Kind;
use super::Table;
use super::declared::Billing;
use super::wire::{facts_of, throughput};
use crate::pipeline::event::Step;
use ground::error::{Error, Result};

impl Table<'_> {
    /// Switches the billing mode to the declared one, or the capacity of a provisioned table and its indexes.
    pub(super) async fn set_capacity(&self, step: &Step<'_>) -> Result<()> {
        let Some(table) = self.describe().await? else {
            return Err(Error::failed(format!("there is no table {}", self.declared.name)));
        };
        let facts = facts_of(&table, self.arn());
        let wanted = self.declared.capacity();
        let billing = self.declared.billing_mode.unwrap_or(facts.billing());
        if billing == Billing::OnDemand {
            let doing = "switching to on-demand";
            return self
                .change(step, doing, |call| {
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
        // DynamoDB refuses a capacity that does not change.
        let units = (facts.capacity != wanted).then_some(units);
        self.change(step, &format!("setting {wanted}"), |call| {
            call.set_billing_mode(facts.on_demand.then_some(sdk::BillingMode::Provisioned))
                .set_provisioned_throughput(units.clone())
                .set_global_secondary_index_updates(updates.clone())
        })
        .await
    }
}
