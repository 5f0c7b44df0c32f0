//! Converts between DynamoDB's types of a table and ours.

use aws_sdk_dynamodb::types as sdk;
use aws_smithy_types::error::operation::BuildError;

use super::declared::{Attribute, Capacity, Index, Keys, Projection, Sse};
use super::{Facts, IndexFacts};

/// What `table` is still busy with; `None` where it and all its indexes are ACTIVE.
pub(super) fn busy(table: &sdk::TableDescription) -> Option<String> {
    let status = table.table_status().map_or("unknown", sdk::TableStatus::as_str);
    if status != "ACTIVE" {
        return Some(format!("the table is {status}"));
    }
    table.global_secondary_indexes().iter().find_map(|index| {
        let name = index.index_name().unwrap_or_default();
        let status = index.index_status().map_or("unknown", sdk::IndexStatus::as_str);
        (status != "ACTIVE").then(|| format!("index {name} is {status}"))
    })
}

pub(super) fn has_index(table: &sdk::TableDescription, name: &str) -> bool {
    let indexes = table.global_secondary_indexes();
    indexes.iter().any(|index| index.index_name() == Some(name))
}

/// The facts in a response of DescribeTable.
pub(super) fn facts_of(table: &sdk::TableDescription, arn: String) -> Facts {
    let definitions = table.attribute_definitions();
    let index = |index: &sdk::GlobalSecondaryIndexDescription| IndexFacts {
        index: Index {
            name: index.index_name().unwrap_or_default().to_owned(),
            keys: keys_of(index.key_schema(), definitions),
            projection: projection_of(index.projection()),
        },
        status: index
            .index_status()
            .map_or("unknown", sdk::IndexStatus::as_str)
            .to_owned(),
        capacity: capacity_of(index.provisioned_throughput()),
    };
    let billing = table
        .billing_mode_summary()
        .and_then(|summary| summary.billing_mode());
    let sse = table.sse_description();
    Facts {
        arn,
        status: table
            .table_status()
            .map_or("unknown", sdk::TableStatus::as_str)
            .to_owned(),
        keys: keys_of(table.key_schema(), definitions),
        on_demand: billing == Some(&sdk::BillingMode::PayPerRequest),
        capacity: capacity_of(table.provisioned_throughput()),
        indexes: table.global_secondary_indexes().iter().map(index).collect(),
        ttl: None,
        point_in_time_recovery: false,
        kms_key: sse
            .filter(|sse| {
                !matches!(
                    sse.status(),
                    Some(sdk::SseStatus::Disabled | sdk::SseStatus::Disabling)
                )
            })
            .map(|sse| sse.kms_master_key_arn().unwrap_or("of AWS").to_owned()),
        deletion_protection: table.deletion_protection_enabled() == Some(true),
    }
}

pub(super) fn keys_of(schema: &[sdk::KeySchemaElement], definitions: &[sdk::AttributeDefinition]) -> Keys {
    let attribute = |key_type: sdk::KeyType| {
        let element = schema.iter().find(|element| element.key_type == key_type)?;
        let name = element.attribute_name();
        let definition = definitions.iter().find(|one| one.attribute_name() == name);
        Some(Attribute {
            name: name.to_owned(),
            kind: definition
                .map_or("?", |one| one.attribute_type().as_str())
                .to_owned(),
        })
    };
    Keys {
        partition: attribute(sdk::KeyType::Hash).unwrap_or_else(|| Attribute {
            name: "?".to_owned(),
            kind: "?".to_owned(),
        }),
        sort: attribute(sdk::KeyType::Range),
    }
}

pub(super) fn capacity_of(throughput: Option<&sdk::ProvisionedThroughputDescription>) -> Capacity {
    Capacity {
        read: throughput
            .and_then(|units| units.read_capacity_units())
            .unwrap_or(0),
        write: throughput
            .and_then(|units| units.write_capacity_units())
            .unwrap_or(0),
    }
}

pub(super) fn projection_of(projection: Option<&sdk::Projection>) -> Projection {
    match projection.and_then(|projection| projection.projection_type()) {
        Some(sdk::ProjectionType::KeysOnly) => Projection::KeysOnly,
        Some(sdk::ProjectionType::Include) => {
            let names = projection.map(|projection| projection.non_key_attributes());
            Projection::Include(names.unwrap_or_default().iter().cloned().collect())
        }
        _ => Projection::All,
    }
}

pub(super) fn projection(projection: &Projection) -> sdk::Projection {
    let builder = sdk::Projection::builder();
    match projection {
        Projection::All => builder.projection_type(sdk::ProjectionType::All),
        Projection::KeysOnly => builder.projection_type(sdk::ProjectionType::KeysOnly),
        Projection::Include(names) => builder
            .projection_type(sdk::ProjectionType::Include)
            .set_non_key_attributes(Some(names.iter().cloned().collect())),
    }
    .build()
}

pub(super) fn key_schema(keys: &Keys) -> Result<Vec<sdk::KeySchemaElement>, BuildError> {
    let types = [sdk::KeyType::Hash, sdk::KeyType::Range];
    keys.attributes()
        .zip(types)
        .map(|(attribute, key_type)| {
            sdk::KeySchemaElement::builder()
                .attribute_name(&attribute.name)
                .key_type(key_type)
                .build()
        })
        .collect()
}

pub(super) fn throughput(capacity: Capacity) -> Result<sdk::ProvisionedThroughput, BuildError> {
    sdk::ProvisionedThroughput::builder()
        .read_capacity_units(capacity.read)
        .write_capacity_units(capacity.write)
        .build()
}

pub(super) fn specification(sse: &Sse) -> sdk::SseSpecification {
    let builder = sdk::SseSpecification::builder();
    match sse {
        Sse::Owned => builder.enabled(false),
        Sse::Kms(key) => builder
            .enabled(true)
            .sse_type(sdk::SseType::Kms)
            .set_kms_master_key_id(key.clone()),
    }
    .build()
}
