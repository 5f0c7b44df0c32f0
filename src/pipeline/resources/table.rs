//! `table`: a DynamoDB table with its global secondary indexes, capacity, time to live, backups and encryption.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::common::{self, costly, on_off};
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Present, Resource, Spec, Surroundings,
};
use ground::error::{Error, Result};

mod calls;
mod declared;
mod indexes;
mod wire;

use declared::{Billing, Capacity, Declared, Index, Keys, Sse};

pub(super) use declared::PROPERTIES;

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
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
    fn is_going(&self) -> bool {
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

pub(super) struct Table<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    arn: String,
}

impl<'a> Table<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        declared
            .check()
            .map_err(|error| Error::usage(format!("table {}: {error}", declared.name)))?;
        Ok(Self {
            context,
            arn: common::arn(location, "dynamodb", &format!("table/{}", declared.name)),
            declared,
            spec,
        })
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} table {}", self.declared.name)
    }

    /// Changes of billing mode and capacity. Both are settled when the table is made: a default does not undo them.
    fn capacity_changes(&self, facts: &Facts) -> Vec<Change> {
        let explicit = |key| self.spec.properties.enforced(key, &Present::default());
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
                reason: format!("has its time to live on {there}: DynamoDB does not move it to {wanted}"),
                hint: "declare `ttl = false`, run setup, wait an hour, then declare the other attribute"
                    .to_owned(),
            }),
            (there, wanted) => {
                let loses = wanted
                    .filter(|_| !unfinished)
                    .map(|wanted| format!("items whose {wanted} is in the past are deleted"));
                Some(costly("time to live", word(there), word(wanted), loses))
            }
        }
    }

    fn recovery_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.declared.point_in_time_recovery?;
        let loses = (!wanted).then(|| "its backups of the last days are deleted".to_owned());
        (wanted != facts.point_in_time_recovery).then(|| {
            costly(
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

    /// What is off, on by default, and not asked for: chosen once, or turned off by another hand.
    fn left_off(&self, present: &Present, facts: &Facts) -> Vec<Check> {
        let by_default = |key: &str| !self.spec.properties.enforced(key, present);
        let mut checks = Vec::new();
        let mut caution = |key: &str, name: &str, change: Option<Change>| {
            if let Some(change) = change.filter(|_| by_default(key)) {
                checks.push(Check::new(
                    CheckState::Caution,
                    name,
                    format!("is not as by default ({change}); naming it in the command changes it"),
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
impl Resource for Table<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
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

    async fn observe(&self) -> Result<Observed> {
        self.look().await
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        if facts.is_going() {
            return Ok(vec![Change::Create]);
        }
        let wanted = self.declared.keys();
        if facts.keys != wanted {
            return Ok(vec![Change::Refused {
                reason: format!(
                    "has the key {}, not {wanted}, and a key cannot be changed",
                    facts.keys
                ),
                hint: "choose another table name, or export the items and delete the table".to_owned(),
            }]);
        }
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        let mut changes = Vec::new();
        if enforced("deletion_protection") {
            changes.extend(self.protection_change(&facts));
        }
        changes.extend(self.capacity_changes(&facts));
        if enforced("indexes") {
            changes.extend(indexes::changes(&facts.indexes, self.declared.indexes()));
        }
        if enforced("ttl") {
            changes.extend(self.ttl_change(&facts, present.unfinished()));
        }
        if enforced("point_in_time_recovery") {
            changes.extend(self.recovery_change(&facts));
        }
        if enforced("encryption") {
            changes.extend(self.encryption_change(&facts));
        }
        // Last, since this takes the mark of an unfinished table away.
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        let present = common::there(observed, "table")?;
        step.touched();
        if present.unfinished() {
            // The run that began it may have been stopped before it was there.
            self.ready(step).await?;
        }
        match field {
            "billing mode" | "capacity" => self.set_capacity(step).await,
            "time to live" => self.set_ttl(&present.read()?, step).await,
            "point-in-time recovery" => self.set_recovery(step).await,
            "encryption" => self.set_encryption(step).await,
            "deletion protection" => {
                let on = self.declared.deletion_protection == Some(true);
                self.set_protection(on, step).await
            }
            "tags" => {
                let (set, remove) = self.spec.tags.difference(&present.tags);
                self.set_tags(&set, remove, step).await
            }
            other => match other.strip_prefix(indexes::FIELD) {
                Some(index) => self.set_index(index, step).await,
                None => Err(Error::failed(format!("a table has no {other} to change"))),
            },
        }
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        match observed.present() {
            Some(present) => self.remove(present, step).await,
            None => Ok(()),
        }
    }

    async fn dependents(&self, observed: &Observed) -> Result<Vec<String>> {
        let protected = common::facts::<Facts>(observed).is_some_and(|facts| facts.deletion_protection);
        let name = &self.declared.name;
        Ok(protected
            .then(|| {
                format!("table {name} is protected from deletion: the protection is taken off where streamctl made the table")
            })
            .into_iter()
            .collect())
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        let (Some(present), Some(facts)) = (observed.present(), common::facts::<Facts>(observed)) else {
            return Vec::new();
        };
        let mut checks = vec![Check::of("described", self.described(&facts))];
        checks.extend(indexes::check(&facts.indexes));
        checks.extend(self.left_off(present, &facts));
        checks
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let arn = common::facts(observed).map_or_else(|| self.arn.clone(), |facts: Facts| facts.arn);
        common::outputs([("name", self.declared.name.clone()), ("arn", arn)])
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
            [self.arn.clone()],
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
