//! The operations on delivery streams.

use serde_json::{Value, json};

use super::Firehose;
use super::delivery::PRINCIPAL;
use super::error::{Error, Result};
use super::files::{At, Progress};
use super::input::{self, check_range, required};
use super::model::{DESTINATION_ID, Encryption, KinesisSource, Meta, Status};
use super::source::Source;
use crate::types::{Caller, KeyState};

/// How often encryption can be started or stopped in 24 hours.
const ENCRYPTION_CALLS: usize = 25;
const DAY_MS: i64 = 86_400_000;
/// Names in a list by default.
const PAGE: usize = 10;

impl Firehose {
    pub(super) fn create(&self, caller: &Caller, input: input::Create) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let kind = input
            .delivery_stream_type
            .unwrap_or_else(|| "DirectPut".to_owned());
        input::check_type(&kind)?;
        let source = match (kind.as_str(), input.kinesis_stream_source_configuration) {
            ("DirectPut", None) => None,
            ("KinesisStreamAsSource", Some(source)) => Some(source.checked()?),
            ("DirectPut", Some(_)) => {
                return Err(Error::invalid(
                    "KinesisStreamSourceConfiguration can only be specified for the type KinesisStreamAsSource.",
                ));
            }
            ("KinesisStreamAsSource", None) => {
                return Err(Error::invalid(
                    "KinesisStreamSourceConfiguration must be specified for the type KinesisStreamAsSource.",
                ));
            }
            (other, _) => {
                return Err(Error::not_offered(format_args!(
                    "delivery streams of the type {other}"
                )));
            }
        };
        let names = ["S3DestinationConfiguration", "ExtendedS3DestinationConfiguration"];
        let (destination, at) = input::destination(input.s3, input.extended_s3, names)?;
        let destination = destination.checked(&member(at))?;
        let tags = input::tags(input.tags.unwrap_or_default())?;
        if tags.len() > input::MAX_TAGS {
            return Err(too_many_tags());
        }
        let now_ms = self.now_ms();
        let mut meta = Meta {
            version: Meta::VERSION,
            id: String::new(),
            name,
            account: caller.account.clone(),
            region: caller.region.clone(),
            created_ms: now_ms,
            updated_ms: None,
            due_ms: self.due_ms(),
            deleting: false,
            version_id: 1,
            source,
            destination,
            encryption: None,
            encryption_calls_ms: Vec::new(),
            tags,
        };
        if let Some(wanted) = input.delivery_stream_encryption_configuration_input {
            let (key_type, key_arn) = wanted.checked()?;
            require_direct(&meta)?;
            self.encrypt(caller, &mut meta, key_type, key_arn);
        }
        self.check_roles(&meta)?;
        let arn = meta.arn();
        let looked_at = meta.clone();
        self.store
            .create(caller, meta, now_ms, || self.start(&looked_at, now_ms))?;
        Ok(json!({ "DeliveryStreamARN": arn }))
    }

    /// Where a new delivery stream begins: after the newest record of each shard.
    fn start(&self, meta: &Meta, now_ms: i64) -> Result<Progress> {
        let Some(kinesis) = &meta.source else {
            return Ok(Progress::default());
        };
        let source = Source::open(meta, None, &self.shared.kinesis, now_ms);
        let source = source.ok_or_else(|| missing_stream(meta, kinesis))?;
        let mut progress = Progress {
            source_id: source.id(),
            ..Progress::default()
        };
        for shard in source.shards() {
            let (next, is_closed) = source
                .end(shard.index)
                .map_err(|error| Error::internal(format!("The source stream cannot be read: {error}.")))?;
            if !is_closed {
                let at = At { next, ended: false };
                progress.shards.insert(shard.index, at);
            }
            progress.known = shard.index + 1;
        }
        Ok(progress)
    }

    /// AWS assumes the roles when a delivery stream is created or updated.
    fn check_roles(&self, meta: &Meta) -> Result<()> {
        let destination = &self.shared.destination;
        let role = meta.destination.role_arn.as_deref();
        let of_source = meta.source.as_ref().map(|source| source.role_arn.as_str());
        let of_transform = meta.processors().transform.map(|transform| transform.role);
        for role in role.into_iter().chain(of_source).chain(of_transform.as_deref()) {
            if !destination.trusts(role, PRINCIPAL) {
                return Err(Error::invalid(format!(
                    "Firehose is unable to assume role {role}. Please check the role provided."
                )));
            }
        }
        if let Some(source) = &meta.source {
            let (role, arn) = (&source.role_arn, &source.stream_arn);
            let action = "kinesis:DescribeStream";
            if !destination.allows(role, action, arn) {
                return Err(Error::invalid(format!(
                    "Role {role} is not authorized to perform: {action} on resource {arn}."
                )));
            }
        }
        Ok(())
    }

    pub(super) fn describe(&self, caller: &Caller, input: input::Describe) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        if let Some(limit) = input.limit {
            check_range(limit, 1..=10_000, "limit")?;
        }
        let now_ms = self.now_ms();
        let meta = self.store.find(caller, &name, now_ms)?.meta();
        let mut description = meta.description(now_ms);
        if input.exclusive_start_destination_id.is_some() {
            description["Destinations"] = json!([]);
        }
        Ok(json!({ "DeliveryStreamDescription": description }))
    }

    pub(super) fn list(&self, caller: &Caller, input: &input::List) -> Result<Value> {
        if let Some(limit) = input.limit {
            check_range(limit, 1..=10_000, "limit")?;
        }
        if let Some(kind) = &input.delivery_stream_type {
            input::check_type(kind)?;
        }
        let most = input
            .limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(PAGE);
        let start = input.exclusive_start_delivery_stream_name.as_deref();
        let all = self.store.list(caller, self.now_ms()).into_iter();
        let mut names: Vec<String> = all
            .map(|(meta, _)| meta)
            .filter(|meta| {
                let kind = input.delivery_stream_type.as_deref();
                kind.is_none_or(|kind| kind == meta.kind())
                    && start.is_none_or(|start| meta.name.as_str() > start)
            })
            .map(|meta| meta.name.clone())
            .collect();
        let has_more = names.len() > most;
        names.truncate(most);
        Ok(json!({"DeliveryStreamNames": names, "HasMoreDeliveryStreams": has_more}))
    }

    pub(super) fn delete(&self, caller: &Caller, input: input::Delete) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let now_ms = self.now_ms();
        let due_ms = self.due_ms();
        let hose = self.store.find(caller, &name, now_ms)?;
        hose.change(|meta| match meta.status(now_ms) {
            Status::Creating => Err(not_now(meta, now_ms)),
            Status::Deleting => Ok(()),
            Status::Active => {
                meta.deleting = true;
                meta.due_ms = due_ms;
                Ok(())
            }
        })?;
        Ok(json!({}))
    }

    pub(super) fn update_destination(&self, caller: &Caller, input: input::Update) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let version = required(
            input.current_delivery_stream_version_id,
            "currentDeliveryStreamVersionId",
        )?;
        let destination_id = required(input.destination_id, "destinationId")?;
        let names = ["S3DestinationUpdate", "ExtendedS3DestinationUpdate"];
        let (update, at) = input::destination(input.s3, input.extended_s3, names)?;
        let now_ms = self.now_ms();
        let hose = self.store.find(caller, &name, now_ms)?;
        hose.change(|meta| {
            if meta.status(now_ms) != Status::Active {
                return Err(not_now(meta, now_ms));
            }
            if destination_id != DESTINATION_ID {
                return Err(Error::invalid(format!(
                    "Destination Id {destination_id} not found"
                )));
            }
            if version != meta.version_id.to_string() {
                return Err(Error::concurrent(format!(
                    "Cannot update firehose: {} since the current version id: {} and specified version id: {version} do \
                     not match",
                    meta.name, meta.version_id
                )));
            }
            let was_partitioned = meta.destination.is_partitioned();
            let merged = std::mem::take(&mut meta.destination).merged(update);
            meta.destination = merged.checked(&member(at))?;
            // Source: "Enable dynamic partitioning", Amazon Data Firehose developer guide.
            match (was_partitioned, meta.destination.is_partitioned()) {
                (false, true) => {
                    return Err(Error::invalid(
                        "Dynamic Partitioning can only be enabled when a delivery stream is created.",
                    ));
                }
                (true, false) => {
                    return Err(Error::invalid("Dynamic Partitioning cannot be disabled once it is enabled."));
                }
                _ => {}
            }
            meta.version_id += 1;
            meta.updated_ms = Some(now_ms);
            self.check_roles(meta)
        })?;
        Ok(json!({}))
    }

    pub(super) fn tag(&self, caller: &Caller, input: input::TagStream) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let tags = input::tags(required(input.tags, "tags")?)?;
        self.change_tags(caller, &name, |all| {
            all.extend(tags);
            match all.len() > input::MAX_TAGS {
                true => Err(too_many_tags()),
                false => Ok(()),
            }
        })
    }

    pub(super) fn untag(&self, caller: &Caller, input: input::UntagStream) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let keys = required(input.tag_keys, "tagKeys")?;
        keys.iter().try_for_each(|key| input::check_tag_key(key))?;
        self.change_tags(caller, &name, |all| {
            all.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    fn change_tags(
        &self,
        caller: &Caller,
        name: &str,
        edit: impl FnOnce(&mut crate::types::Tags) -> Result<()>,
    ) -> Result<Value> {
        let now_ms = self.now_ms();
        let hose = self.store.find(caller, name, now_ms)?;
        hose.change(|meta| match meta.status(now_ms) {
            Status::Deleting => Err(not_now(meta, now_ms)),
            Status::Creating | Status::Active => edit(&mut meta.tags),
        })?;
        Ok(json!({}))
    }

    pub(super) fn list_tags(&self, caller: &Caller, input: input::ListTags) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let limit = input.limit.unwrap_or(50);
        check_range(limit, 1..=50, "limit")?;
        let meta = self.store.find(caller, &name, self.now_ms())?.meta();
        let start = input.exclusive_start_tag_key.as_deref();
        let mut tags: Vec<Value> = meta
            .tags
            .iter()
            .filter(|(key, _)| start.is_none_or(|start| key.as_str() > start))
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        let most = usize::try_from(limit).unwrap_or(50);
        let has_more = tags.len() > most;
        tags.truncate(most);
        Ok(json!({"Tags": tags, "HasMoreTags": has_more}))
    }

    pub(super) fn start_encryption(&self, caller: &Caller, input: input::StartEncryption) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let wanted = input.delivery_stream_encryption_configuration_input;
        let (key_type, key_arn) = match wanted {
            Some(wanted) => wanted.checked()?,
            None => ("AWS_OWNED_CMK".to_owned(), None),
        };
        self.change_encryption(caller, &name, |meta| {
            self.encrypt(caller, meta, key_type, key_arn);
        })
    }

    pub(super) fn stop_encryption(&self, caller: &Caller, input: input::Describe) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let due_ms = self.due_ms();
        self.change_encryption(caller, &name, |meta| {
            if let Some(encryption) = &mut meta.encryption {
                encryption.enabled = false;
                encryption.failure = None;
                encryption.due_ms = due_ms;
            }
        })
    }

    fn change_encryption(&self, caller: &Caller, name: &str, edit: impl FnOnce(&mut Meta)) -> Result<Value> {
        let now_ms = self.now_ms();
        let hose = self.store.find(caller, name, now_ms)?;
        hose.change(|meta| {
            if meta.status(now_ms) != Status::Active {
                return Err(not_now(meta, now_ms));
            }
            require_direct(meta)?;
            meta.encryption_calls_ms.retain(|at| now_ms - at < DAY_MS);
            if meta.encryption_calls_ms.len() >= ENCRYPTION_CALLS {
                return Err(Error::limit(format!(
                    "Encryption of a delivery stream can be started or stopped {ENCRYPTION_CALLS} times in 24 hours."
                )));
            }
            meta.encryption_calls_ms.push(now_ms);
            edit(meta);
            Ok(())
        })?;
        Ok(json!({}))
    }

    /// Begins to encrypt with a key. If it cannot be used, encryption stays as it is, and the description says why.
    fn encrypt(&self, caller: &Caller, meta: &mut Meta, key_type: String, key_arn: Option<String>) {
        let state = key_arn.as_deref().map(|key| self.shared.kms.exists(caller, key));
        let failure = match state {
            None | Some(KeyState::Enabled) => None,
            Some(KeyState::Disabled) => Some(("DISABLED_KMS_KEY", "The key is disabled.")),
            Some(KeyState::Unusable) => Some(("INVALID_KMS_KEY", "The key cannot be used.")),
            Some(KeyState::Missing) => Some(("KMS_KEY_NOT_FOUND", "The key does not exist.")),
        };
        let was_enabled = meta
            .encryption
            .as_ref()
            .is_some_and(|encryption| encryption.enabled);
        meta.encryption = Some(Encryption {
            enabled: failure.is_none() || was_enabled,
            key_type,
            key_arn,
            due_ms: self.due_ms(),
            failure: failure.map(|(kind, details)| (kind.to_owned(), details.to_owned())),
        });
    }
}

/// A member as messages of constraints name it.
fn member(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// Source: StartDeliveryStreamEncryption, API reference.
fn require_direct(meta: &Meta) -> Result<()> {
    match meta.source {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "Server-side encryption can only be enabled for delivery streams of the type DirectPut.",
        )),
    }
}

fn too_many_tags() -> Error {
    Error::limit(format!(
        "A delivery stream can have up to {} tags.",
        input::MAX_TAGS
    ))
}

fn not_now(meta: &Meta, now_ms: i64) -> Error {
    Error::in_use(format!(
        "Firehose {} under account {} is not in a state that allows this: it is {}.",
        meta.name,
        meta.account,
        meta.status(now_ms).as_str()
    ))
}

fn missing_stream(meta: &Meta, source: &KinesisSource) -> Error {
    let name = source
        .stream_arn
        .rsplit_once('/')
        .map_or(source.stream_arn.as_str(), |(_, name)| name);
    Error::invalid(format!("Stream {name} under account {} not found.", meta.account))
}
