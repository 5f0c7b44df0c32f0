//! Global secondary indexes: their differences, changes and state.

use aws_sdk_dynamodb::types as sdk;

use super::super::common::built;
use super::super::kind::Kind;
use super::calls::INDEX;
use super::declared::Index;
use super::wire::{facts_of, has_index, key_schema, projection, throughput};
use super::{IndexFacts, Table};
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState};
use ground::error::Result;

/// Prefix of the field of a change of an index; its name follows.
pub(super) const FIELD: &str = "index ";

/// Changes of indexes, deletions first. DynamoDB cannot change an index: one that differs is deleted and created again.
pub(super) fn changes(there: &[IndexFacts], wanted: Vec<Index>) -> Vec<Change> {
    let standing = |name: &str| {
        let mut found = there.iter().filter(|facts| facts.status != "DELETING");
        found.find(|facts| facts.index.name == name)
    };
    let change = |name: &str, from: Option<&Index>, to: Option<&Index>| Change::Update {
        field: format!("{FIELD}{name}"),
        from: from.map(ToString::to_string),
        to: to.map(ToString::to_string),
        loses: from.map(|_| match to {
            Some(_) => format!("queries of index {name} fail until it is rebuilt"),
            None => format!("queries of index {name} fail"),
        }),
    };
    let gone = there
        .iter()
        .filter(|facts| facts.status != "DELETING")
        .filter(|facts| wanted.iter().all(|index| index.name != facts.index.name))
        .map(|facts| change(&facts.index.name, Some(&facts.index), None));
    let set = wanted.iter().filter_map(|index| {
        let there = standing(&index.name).map(|facts| &facts.index);
        (there != Some(index)).then(|| change(&index.name, there, Some(index)))
    });
    gone.chain(set).collect()
}

/// Whether all indexes can be queried.
pub(super) fn check(indexes: &[IndexFacts]) -> Option<Check> {
    if indexes.is_empty() {
        return None;
    }
    let busy: Vec<String> = indexes
        .iter()
        .filter(|facts| facts.status != "ACTIVE")
        .map(|facts| format!("{} is {}", facts.index.name, facts.status))
        .collect();
    let names: Vec<&str> = indexes.iter().map(|facts| facts.index.name.as_str()).collect();
    Some(match busy.is_empty() {
        true => Check::new(
            CheckState::Good,
            "indexes",
            format!("ACTIVE: {}", names.join(", ")),
        ),
        // An index that is being created is as declared, and cannot be queried yet.
        false => Check::new(CheckState::Caution, "indexes", busy.join(", ")),
    })
}

impl Table<'_> {
    /// Creates index `name` as it is declared, or deletes it where it is not declared.
    pub(super) async fn set_index(&self, name: &str, step: &Step<'_>) -> Result<()> {
        self.wait_until_active(step, INDEX, |_| true).await?;
        let table = self.describe().await?;
        let facts = table.map(|table| facts_of(&table, self.arn()));
        let (there, on_demand) = facts.map_or((None, true), |facts| {
            let mut found = facts.indexes.into_iter();
            (found.find(|one| one.index.name == name), facts.on_demand)
        });
        let there = there.map(|facts| facts.index);
        let mut declared = self.declared.indexes().into_iter();
        let wanted = declared.find(|index| index.name == name);
        if there == wanted {
            return Ok(());
        }
        if there.is_some() {
            self.delete_index(name, step).await?;
        }
        match wanted {
            Some(wanted) => self.create_index(&wanted, on_demand, step).await,
            None => Ok(()),
        }
    }

    async fn delete_index(&self, name: &str, step: &Step<'_>) -> Result<()> {
        let delete = sdk::DeleteGlobalSecondaryIndexAction::builder().index_name(name);
        let update = sdk::GlobalSecondaryIndexUpdate::builder()
            .delete(built(delete.build())?)
            .build();
        self.change(step, &format!("deleting {FIELD}{name}"), |call| {
            call.global_secondary_index_updates(update.clone())
        })
        .await?;
        self.wait_until_active(step, INDEX, |table| !has_index(table, name))
            .await
    }

    async fn create_index(&self, wanted: &Index, on_demand: bool, step: &Step<'_>) -> Result<()> {
        let name = &wanted.name;
        let definitions = built(self.definitions(std::slice::from_ref(wanted)))?;
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
        self.change(step, &format!("building {FIELD}{name}"), |call| {
            call.set_attribute_definitions(Some(definitions.clone()))
                .global_secondary_index_updates(update.clone())
        })
        .await?;
        self.wait_until_active(step, INDEX, |table| has_index(table, name))
            .await
    }
}
