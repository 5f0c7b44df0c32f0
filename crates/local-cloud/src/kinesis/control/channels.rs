//! CreateChannel, DescribeChannel, ListChannels, UpdateChannel, DeleteChannel.
//!
//! Source of the rules: the API reference, and "Delivery quotas and limits" in the developer guide. AWS documents that
//! the role and the bucket are checked while the channel is CREATING: what is wrong with them makes it FAILED.

use std::sync::Arc;

use crate::kinesis::channels::meta::{
    ChannelMeta, ChannelStatus, Compression, DEFAULT_FRESHNESS, DeadLetters, FRESHNESS, Logs, PartitionField,
    PartitionSpec, RecordFormat, S3, Storage, Table, Tables, Target,
};
use crate::kinesis::channels::template;
use crate::kinesis::control::encryption::{check_key, is_own_key};
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::value::Timestamp;
use crate::kinesis::operation::Operation;
use crate::kinesis::stream::meta::{Encryption, StreamMeta};
use crate::kinesis::wire::token;

/// Maximum and default page size.
const MAX_PAGE: i64 = 100;

/// CreateChannel.
pub fn create(engine: &Engine, context: &Context, input: input::CreateChannel) -> Result<output::Channel> {
    let name = text(&input.name);
    let [stream_input] = input.streams.as_ref().map_or(&[][..], |streams| &streams.0[..]) else {
        return Err(ApiError::invalid_argument("A channel reads exactly one stream."));
    };
    let records = stream_input.records.clone().unwrap_or_default();
    let format = RecordFormat::parse(text(&records.format)).unwrap_or(RecordFormat::Json);
    let id = uuid();
    let target = target(&input, name, &id)?;
    check_format(format, &target, records.schema_arn.is_some())?;
    let key_id = input
        .encryption
        .as_ref()
        .map(|encryption| text(&encryption.key_id).to_owned());
    if let Some(key) = &key_id {
        check_customer_key(engine, context, key)?;
    }
    let tags = super::tags::initial(input.tags.clone(), name, &context.caller.account)?;
    let stream = engine.catalog.find(
        &context.caller,
        target_of(text(&stream_input.stream_arn)),
        context.now_ms,
    )?;
    let view = stream.view(context.now_ms);
    check_stream(&view.meta)?;
    let meta = ChannelMeta {
        version: ChannelMeta::VERSION,
        account: context.caller.account.clone(),
        region: context.caller.region.clone(),
        name: name.to_owned(),
        id,
        created_ms: context.now_ms,
        status: ChannelStatus::Creating,
        due_ms: engine.due(context.now_ms),
        reason: None,
        active_ms: None,
        role: text(&input.role).to_owned(),
        stream_name: view.meta.name.clone(),
        stream_id: view.meta.id,
        stream_created_ms: view.meta.created_ms,
        format,
        schema_arn: records.schema_arn,
        target,
        key_id,
        logs: logs(input.logging.as_ref()),
        tags,
    };
    let answer = described(&meta);
    let wanted = meta.clone();
    engine
        .channels
        .create(&context.caller, meta, context.now_ms, |others| {
            admit(&wanted, others)
        })?;
    Ok(answer)
}

/// Rejects a name that is taken, and a second channel of a type. Source: "Delivery quotas and limits", developer guide.
fn admit(wanted: &ChannelMeta, others: &[Arc<ChannelMeta>]) -> Result<()> {
    if others.iter().any(|other| other.name == wanted.name) {
        let text = format!(
            "Channel {} under account {} already exists.",
            wanted.name, wanted.account
        );
        return Err(ApiError::in_use(text));
    }
    let kind = wanted.target.kind();
    let same = |other: &ChannelMeta| other.stream_id == wanted.stream_id && other.target.kind() == kind;
    if others
        .iter()
        .any(|other| same(other) && other.status != ChannelStatus::Deleting)
    {
        return Err(ApiError::limit_exceeded(format!(
            "Stream {} under account {} already has a channel with a destination of type {kind}. A stream can have \
             one of each type.",
            wanted.stream_name, wanted.account
        )));
    }
    Ok(())
}

fn target_of(arn: &str) -> input::Target<'_> {
    input::Target {
        arn: Some(arn),
        ..input::Target::default()
    }
}

fn check_stream(meta: &StreamMeta) -> Result<()> {
    meta.require_on_demand()?;
    meta.require_active()?;
    // Source: "Access control for streaming tables and Amazon S3 delivery", developer guide.
    match &meta.encryption {
        Encryption::Kms(key) if is_own_key(key) => Err(ApiError::invalid_argument(format!(
            "Stream {} under account {} is encrypted with the key aws/kinesis. A channel reads streams that are \
             encrypted with a customer managed key only.",
            meta.name, meta.account
        ))),
        _ => Ok(()),
    }
}

fn check_customer_key(engine: &Engine, context: &Context, key: &str) -> Result<()> {
    if is_own_key(key) {
        let text =
            "The key aws/kinesis cannot encrypt the objects of a channel. Specify a customer managed key.";
        return Err(ApiError::invalid_argument(text));
    }
    check_key(engine, context, key)
}

/// Source: `RecordFormatType` and `GSRSchemaARN`, API reference.
fn check_format(format: RecordFormat, target: &Target, has_schema: bool) -> Result<()> {
    let fits = match target {
        Target::S3(_) => format != RecordFormat::GsrJson,
        Target::Tables(_) => matches!(format, RecordFormat::Json | RecordFormat::GsrJson),
    };
    if !fits {
        return Err(ApiError::invalid_argument(format!(
            "RecordFormatType {} is not supported for a destination of type {}.",
            format.as_str(),
            target.kind()
        )));
    }
    if format == RecordFormat::Json && matches!(target, Target::Tables(_)) && !has_schema {
        let text =
            "GSRSchemaARN must be specified when RecordFormatType is JSON and the destination is a table.";
        return Err(ApiError::invalid_argument(text));
    }
    Ok(())
}

fn target(input: &input::CreateChannel, name: &str, id: &str) -> Result<Target> {
    match (&input.s3, &input.tables) {
        (Some(s3), None) => s3_target(s3, name, id).map(Target::S3),
        (None, Some(tables)) => tables_target(tables, name, id).map(Target::Tables),
        _ => Err(ApiError::invalid_argument(
            "Exactly one of S3DestinationConfiguration and S3TablesDestinationConfiguration must be specified.",
        )),
    }
}

fn s3_target(input: &input::S3Destination, name: &str, id: &str) -> Result<S3> {
    let storage = input.storage.clone().unwrap_or_default();
    let key_template = storage
        .key_template
        .unwrap_or_else(|| template::DEFAULT.to_owned());
    if let Some(fault) = template::fault(&key_template) {
        return Err(ApiError::invalid_argument(format!(
            "OutputKeyTemplate is not valid: {fault}."
        )));
    }
    let storage = Storage {
        bucket_arn: storage.bucket_arn.unwrap_or_default(),
        expected_bucket_owner: storage.owner.unwrap_or_default(),
        output_key_template: key_template,
        storage_class: storage.storage_class.unwrap_or_else(|| "STANDARD".to_owned()),
        compression_type: compression(&storage.compression),
    };
    let own = input::DeadLetterBucket {
        bucket_arn: Some(storage.bucket_arn.clone()),
        owner: Some(storage.expected_bucket_owner.clone()),
        prefix: None,
    };
    Ok(S3 {
        data_freshness: freshness(input.freshness)?,
        dead_letters: dead_letters(input.dead_letters.as_ref().unwrap_or(&own), name, id),
        storage,
    })
}

fn tables_target(input: &input::S3TablesDestination, name: &str, id: &str) -> Result<Tables> {
    let [table] = input.tables.as_ref().map_or(&[][..], |tables| &tables.0[..]) else {
        return Err(ApiError::invalid_argument(
            "A channel writes to exactly one table.",
        ));
    };
    let field = |field: &input::PartitionField| PartitionField {
        transform: text(&field.transform).to_owned(),
        source_name: text(&field.source_name).to_owned(),
    };
    let partition_spec = table.partition_spec.as_ref().map(|spec| PartitionSpec {
        fields: spec
            .fields
            .iter()
            .flat_map(|fields| &fields.0)
            .map(field)
            .collect(),
    });
    let table = Table {
        bucket_arn: text(&table.bucket_arn).to_owned(),
        namespace: text(&table.namespace).to_owned(),
        name: text(&table.name).to_owned(),
        compression_type: compression(&table.compression),
        partition_spec,
    };
    Ok(Tables {
        data_freshness: freshness(input.freshness)?,
        dead_letters: dead_letters(&input.dead_letters.clone().unwrap_or_default(), name, id),
        tables: vec![table],
    })
}

/// The default prefix is that of `AWS::Kinesis::Channel` in the CDK's API reference.
fn dead_letters(input: &input::DeadLetterBucket, name: &str, id: &str) -> DeadLetters {
    let prefix = || format!("kinesis-channel/errors/{name}/{id}/");
    DeadLetters {
        bucket_arn: text(&input.bucket_arn).to_owned(),
        expected_bucket_owner: text(&input.owner).to_owned(),
        error_output_prefix: Some(input.prefix.clone().unwrap_or_else(prefix)),
    }
}

fn compression(word: &Option<String>) -> Compression {
    Compression::parse(text(word)).unwrap_or(Compression::None)
}

fn freshness(seconds: Option<i64>) -> Result<i64> {
    let seconds = seconds.unwrap_or(DEFAULT_FRESHNESS);
    if FRESHNESS.contains(&seconds) {
        return Ok(seconds);
    }
    Err(ApiError::invalid_argument(format!(
        "DataFreshnessInSeconds must be between {} and {}. Specified value was {seconds}.",
        FRESHNESS.start(),
        FRESHNESS.end()
    )))
}

fn logs(input: Option<&input::ChannelLogging>) -> Logs {
    let logs = input.and_then(|input| input.logs.clone()).unwrap_or_default();
    Logs {
        enabled: logs.enabled.unwrap_or_default(),
        group: logs.group,
        stream: logs.stream,
    }
}

/// A version 4 UUID: the form of the ids in AWS's documentation.
fn uuid() -> String {
    let random = (rand::random::<u128>() & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let hex = format!("{random:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// DescribeChannel.
pub fn describe(
    engine: &Engine,
    context: &Context,
    input: input::ChannelReference,
) -> Result<output::Channel> {
    let channel = engine
        .channels
        .find(&context.caller, text(&input.channel_arn), context.now_ms)?;
    Ok(described(&channel.settled(&*engine.destination, context.now_ms)))
}

/// ListChannels, ordered by name.
pub fn list(engine: &Engine, context: &Context, input: input::ListChannels) -> Result<output::ListChannels> {
    let operation = Operation::ListChannels.as_str();
    let after: Option<String> = match &input.next_token {
        Some(token) => Some(token::decode(operation, context.now_ms, token)?),
        None => None,
    };
    let filters = input.streams.map(|streams| streams.0);
    let listed = |meta: &ChannelMeta| {
        let matches = |filter: &input::StreamFilter| {
            let same_time =
                |created: Timestamp| created.0.div_euclid(1000) == meta.stream_created_ms.div_euclid(1000);
            text(&filter.stream_arn) == meta.stream_arn() && filter.created.is_none_or(same_time)
        };
        let after = after.as_ref().is_none_or(|after| meta.name > *after);
        after && filters.as_ref().is_none_or(|filters| filters.iter().any(matches))
    };
    let limit = input.max_results.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize;
    let all = engine.channels.list(&context.caller, context.now_ms);
    let all = all
        .iter()
        .map(|channel| channel.settled(&*engine.destination, context.now_ms));
    let mut rest = all.filter(|meta| listed(meta));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let last = page.last().filter(|_| has_more);
    Ok(output::ListChannels {
        summaries: page.iter().map(|meta| summary(meta)).collect(),
        next_token: last
            .map(|meta| token::encode(operation, context.now_ms, &meta.name))
            .transpose()?,
    })
}

/// UpdateChannel.
pub fn update(engine: &Engine, context: &Context, input: input::UpdateChannel) -> Result<output::Channel> {
    let channel = engine
        .channels
        .find(&context.caller, text(&input.channel_arn), context.now_ms)?;
    channel.settled(&*engine.destination, context.now_ms);
    if input.s3.is_none() && input.tables.is_none() && input.logging.is_none() {
        return Err(ApiError::invalid_argument("Nothing to update is specified."));
    }
    let due_ms = engine.due(context.now_ms);
    let meta = channel.change(|meta| {
        let fits = match &meta.target {
            Target::S3(_) => input.tables.is_none(),
            Target::Tables(_) => input.s3.is_none(),
        };
        if !fits {
            return Err(ApiError::invalid_argument(format!(
                "Channel {} has a destination of type {}.",
                meta.name,
                meta.target.kind()
            )));
        }
        let wanted = input
            .s3
            .as_ref()
            .or(input.tables.as_ref())
            .map(|update| freshness(update.freshness));
        let wanted = wanted.transpose()?;
        meta.require_active()?;
        if let Some(seconds) = wanted {
            meta.target.set_freshness(seconds);
        }
        if let Some(new) = input.logging.as_ref().map(|logging| logs(Some(logging))) {
            // A name that is not given stays.
            meta.logs = Logs {
                enabled: new.enabled,
                group: new.group.or_else(|| meta.logs.group.take()),
                stream: new.stream.or_else(|| meta.logs.stream.take()),
            };
        }
        meta.status = ChannelStatus::Updating;
        meta.due_ms = due_ms;
        Ok(())
    })?;
    Ok(described(&meta))
}

/// DeleteChannel. Records that are not delivered yet are not delivered any more.
pub fn delete(engine: &Engine, context: &Context, input: input::ChannelReference) -> Result<()> {
    let channel = engine
        .channels
        .find(&context.caller, text(&input.channel_arn), context.now_ms)?;
    let due_ms = engine.due(context.now_ms);
    let deleted = channel.change(|meta| {
        if meta.status != ChannelStatus::Deleting {
            meta.status = ChannelStatus::Deleting;
            meta.due_ms = due_ms;
        }
        Ok(())
    });
    deleted.map(drop)
}

fn stream(meta: &ChannelMeta, with_records: bool) -> output::ChannelStream {
    let records = output::RecordConfiguration {
        format: meta.format.as_str(),
        schema_arn: meta.schema_arn.clone(),
    };
    output::ChannelStream {
        arn: meta.stream_arn(),
        created: Timestamp(meta.stream_created_ms),
        records: with_records.then_some(records),
    }
}

fn described(meta: &ChannelMeta) -> output::Channel {
    let (s3, tables) = match meta.target.clone() {
        Target::S3(s3) => (Some(s3), None),
        Target::Tables(tables) => (None, Some(tables)),
    };
    let encryption = meta
        .key_id
        .clone()
        .map(|key_id| output::ChannelEncryption { kind: "KMS", key_id });
    let description = output::ChannelDescription {
        name: meta.name.clone(),
        arn: meta.arn(),
        id: meta.id.clone(),
        status: meta.status.as_str(),
        reason: meta.reason.clone(),
        created: Timestamp(meta.created_ms),
        role: meta.role.clone(),
        streams: vec![stream(meta, true)],
        s3,
        tables,
        encryption,
        logging: output::ChannelLogging {
            logs: meta.logs.clone(),
        },
    };
    output::Channel { description }
}

fn summary(meta: &ChannelMeta) -> output::ChannelSummary {
    output::ChannelSummary {
        name: meta.name.clone(),
        arn: meta.arn(),
        id: meta.id.clone(),
        status: meta.status.as_str(),
        reason: meta.reason.clone(),
        created: Timestamp(meta.created_ms),
        destination: meta.target.kind(),
        streams: vec![stream(meta, false)],
    }
}
