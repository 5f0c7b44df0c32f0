//! `table`: a DynamoDB table with its global secondary indexes, capacity, time to live, backups and encryption.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::common::{lossy_update, on_off, sdk_tags};
use super::kind::{Existing, Kind, Managed, TagChanges, TagMap, change_tags};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::parameter::Origin;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use ground::error::{Error, Result};

mod calls;
mod capacity;
mod declared;
mod indexes;
mod wire;

pub(super) use declared::Declared;
use declared::{Billing, Capacity, Index, Keys, Sse};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    status: String,
    keys: Keys,
    on_demand: bool,
    capacity: Capacity,
    indexes: Vec<IndexFacts>,
    /// The attribute that time to live is on, or being turned on.
    ttl: Option<String>,
    point_in_time_recovery: bool,
    /// The ARN of the KMS key; `None` where DynamoDB uses a key of its own.
    kms_key: Option<String>,
    deletion_protection: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct IndexFacts {
    index: Index,
    status: String,
    capacity: Capacity,
}

impl Facts {
    fn is_being_deleted(&self) -> bool {
        self.status == "DELETING"
    }

    fn billing(&self) -> Billing {
        if self.on_demand {
            Billing::OnDemand
        } else {
            Billing::Provisioned
        }
    }

    fn encryption(&self) -> String {
        match &self.kms_key {
            Some(key) => format!("KMS key {key}"),
            None => "DynamoDB's own key".to_owned(),
        }
    }
}

type Table<'a> = Managed<'a, Declared>;

impl Table<'_> {
    /// Changes of billing mode and capacity. Creation sets both: a default does not undo them.
    fn capacity_changes(&self, facts: &Facts) -> Vec<Change> {
        let explicit = |key| self.spec.properties.origin(key) > Origin::Default;
        let billing = match self.declared.billing_mode {
            Some(billing) if explicit("billing_mode") => billing,
            _ => facts.billing(),
        };
        let wanted = self.declared.capacity();
        if billing != facts.billing() {
            let to = match billing {
                Billing::OnDemand => billing.to_string(),
                Billing::Provisioned => format!("{billing}, {wanted}"),
            };
            return vec![Change::update("billing mode", facts.billing(), to)];
        }
        let asked = explicit("read_capacity") || explicit("write_capacity");
        let all = std::iter::once(facts.capacity).chain(facts.indexes.iter().map(|index| index.capacity));
        let differing = all.into_iter().find(|there| *there != wanted);
        match differing {
            Some(there) if billing == Billing::Provisioned && asked => {
                vec![Change::update("capacity", there, wanted)]
            }
            _ => Vec::new(),
        }
    }

    fn ttl_change(&self, facts: &Facts, unfinished: bool) -> Option<Change> {
        let wanted = self.declared.ttl.as_ref()?.attribute();
        let there = facts.ttl.as_deref();
        let off = || "off".to_owned();
        let word = |attribute: Option<&str>| attribute.map_or_else(off, |name| format!("on {name}"));
        match (there, wanted) {
            (there, wanted) if there == wanted => None,
            (Some(there), Some(wanted)) => Some(Change::Refused {
                reason: format!("has its time to live on {there}: DynamoDB cannot move it to {wanted}"),
                hint: "declare `ttl = false`, run setup, wait an hour, then declare the other attribute"
                    .to_owned(),
            }),
            (there, wanted) => {
                let loses = wanted
                    .filter(|_| !unfinished)
                    .map(|wanted| format!("items whose {wanted} is in the past are deleted"));
                Some(lossy_update("time to live", word(there), word(wanted), loses))
            }
        }
    }

    fn recovery_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.declared.point_in_time_recovery?;
        let loses = (!wanted).then(|| "its backups of the last days are deleted".to_owned());
        (wanted != facts.point_in_time_recovery).then(|| {
            lossy_update(
                "point-in-time recovery",
                on_off(facts.point_in_time_recovery),
                on_off(wanted),
                loses,
            )
        })
    }

    fn encryption_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.declared.sse()?;
        (!wanted.is_met_by(facts.kms_key.as_deref()))
            .then(|| Change::update("encryption", facts.encryption(), &wanted))
    }

    fn protection_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.declared.deletion_protection?;
        let there = facts.deletion_protection;
        (wanted != there).then(|| Change::update("deletion protection", on_off(there), on_off(wanted)))
    }

    fn described(&self, facts: &Facts) -> Result<String> {
        if facts.status != "ACTIVE" {
            return Err(Error::failed(format!("is {}, not ACTIVE", facts.status)));
        }
        let mut words = vec!["ACTIVE".to_owned(), facts.billing().to_string()];
        words.push(match &facts.ttl {
            Some(attribute) => format!("time to live on {attribute}"),
            None => "no time to live".to_owned(),
        });
        words.push(format!(
            "point-in-time recovery {}",
            on_off(facts.point_in_time_recovery)
        ));
        words.push(facts.encryption());
        Ok(words.join(", "))
    }

    /// What differs from the template's defaults: an earlier run or another tool changed it.
    fn differs_from_defaults(&self, existing: &Existing<'_, Facts>) -> Vec<Check> {
        let facts = &existing.facts;
        let by_default = |key: &str| !self.enforced(key, existing);
        let mut checks = Vec::new();
        let mut caution = |key: &str, name: &str, change: Option<Change>| {
            if let Some(change) = change.filter(|_| by_default(key)) {
                checks.push(Check::new(
                    CheckState::Caution,
                    name,
                    format!("differs from the default ({change}); name it in the command to change it"),
                ));
            }
        };
        caution("encryption", "encryption", self.encryption_change(facts));
        caution("point_in_time_recovery", "backups", self.recovery_change(facts));
        caution("ttl", "time to live", self.ttl_change(facts, true));
        checks
    }
}

#[async_trait]
impl Kind for Table<'_> {
    const NOUN: &'static str = "table";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let refuse = |problem| Error::usage(format!("table {}: {problem}", self.declared.name));
        self.declared.check().map_err(refuse)
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("dynamodb", &format!("table/{}", self.declared.name))
    }

    fn summary(&self) -> String {
        let mut words = vec![
            format!("key {}", self.declared.keys()),
            self.declared.billing().to_string(),
        ];
        match self.declared.indexes.len() {
            0 => {}
            1 => words.push("1 index".to_owned()),
            n => words.push(format!("{n} indexes")),
        }
        if let Some(attribute) = self.declared.ttl.as_ref().and_then(|ttl| ttl.attribute()) {
            words.push(format!("time to live on {attribute}"));
        }
        if self.declared.point_in_time_recovery == Some(true) {
            words.push("point-in-time recovery".to_owned());
        }
        if let Some(sse @ Sse::Kms(_)) = self.declared.sse() {
            words.push(sse.to_string());
        }
        words.join(", ")
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        self.observe_table().await
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        if facts.is_being_deleted() {
            return Some(Change::Create);
        }
        let wanted = self.declared.keys();
        (facts.keys != wanted).then(|| Change::Refused {
            reason: format!(
                "has the key {}, not {wanted}, and a key cannot be changed",
                facts.keys
            ),
            hint: "choose another table name, or export the items and delete the table".to_owned(),
        })
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let enforced = |key: &str| self.enforced(key, existing);
        let mut changes = Vec::new();
        if enforced("deletion_protection") {
            changes.extend(self.protection_change(facts));
        }
        changes.extend(self.capacity_changes(facts));
        if enforced("indexes") {
            changes.extend(indexes::changes(&facts.indexes, self.declared.indexes()));
        }
        if enforced("ttl") {
            changes.extend(self.ttl_change(facts, existing.unfinished()));
        }
        if enforced("point_in_time_recovery") {
            changes.extend(self.recovery_change(facts));
        }
        if enforced("encryption") {
            changes.extend(self.encryption_change(facts));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        self.create_and_wait(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        self.wait_if_unfinished(existing, step).await?;
        match field {
            "billing mode" | "capacity" => self.set_capacity(step).await,
            "time to live" => self.set_ttl(existing.facts.ttl.as_deref(), step).await,
            "point-in-time recovery" => self.set_recovery(step).await,
            "encryption" => self.set_encryption(step).await,
            "deletion protection" => {
                let on = self.declared.deletion_protection == Some(true);
                self.set_protection(on, step).await
            }
            other => match other.strip_prefix(indexes::FIELD) {
                Some(index) => self.set_index(index, step).await,
                None => Err(self.unknown_field(other)),
            },
        }
    }

    async fn update_tags(
        &self,
        existing: &Existing<'_, Facts>,
        changes: TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        self.wait_if_unfinished(existing, step).await?;
        change_tags(self, &self.arn(), changes, step).await
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.dynamodb().tag_resource().resource_arn(target);
        let call = call.set_tags(Some(sdk_tags!(aws_sdk_dynamodb::types::Tag, tags)?));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.dynamodb().untag_resource().resource_arn(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        self.remove(existing, step).await
    }

    async fn dependents(&self, facts: &Facts) -> Result<Vec<String>> {
        let name = &self.declared.name;
        let protected = facts.deletion_protection.then(|| {
            format!("table {name} is protected from deletion: streamctl turns the protection off for tables that it created")
        });
        Ok(protected.into_iter().collect())
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let mut checks = vec![Check::of("described", self.described(facts))];
        checks.extend(indexes::check(&facts.indexes));
        checks.extend(self.differs_from_defaults(existing));
        checks
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for Amazon DynamoDB", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let mut needs = vec![Statement::new(
            &[
                "dynamodb:CreateTable",
                "dynamodb:DeleteTable",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeTable",
                "dynamodb:DescribeTimeToLive",
                "dynamodb:ListTagsOfResource",
                "dynamodb:TagResource",
                "dynamodb:UntagResource",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:UpdateTable",
                "dynamodb:UpdateTimeToLive",
            ],
            [self.arn()],
        )];
        if let Some(Sse::Kms(key)) = self.declared.sse() {
            // Source: "DynamoDB encryption at rest: usage notes": DynamoDB uses the key on the caller's behalf.
            let key = key.filter(|key| key.starts_with("arn:"));
            let via = format!("dynamodb.{}.amazonaws.com", self.context.region());
            needs.push(
                Statement::new(
                    &["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"],
                    [key.unwrap_or_else(|| "*".to_owned())],
                )
                .only_if("StringEquals", "kms:ViaService", via),
            );
        }
        needs
    }
}

#[cfg(test)]
mod tests;
