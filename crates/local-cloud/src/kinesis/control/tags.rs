//! Tags of streams and consumers: the older operations on streams and the newer operations on resources.

use super::resource::{Resource, find_resource, no_consumer};
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, Tags, text};
use crate::kinesis::model::output;
use crate::kinesis::stream::meta::StreamMeta;

/// Tags per resource. Source: AddTagsToStream.
const MAX_TAGS: usize = 50;

/// AddTagsToStream.
pub fn add(engine: &Engine, context: &Context, input: input::AddTagsToStream) -> Result<()> {
    let stream = engine.find(context, &input)?;
    let new = input.tags.unwrap_or_default();
    stream.change_active(context.now_ms, |meta| {
        let (name, account) = (meta.name.clone(), meta.account.clone());
        merge(&mut meta.tags, new, &name, &account)
    })
}

/// RemoveTagsFromStream. Ignores unknown keys.
pub fn remove(engine: &Engine, context: &Context, input: input::RemoveTagsFromStream) -> Result<()> {
    let stream = engine.find(context, &input)?;
    let keys = input.tag_keys.unwrap_or_default();
    stream.change_active(context.now_ms, |meta| {
        meta.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
}

/// ListTagsForStream, ordered by key.
pub fn list_for_stream(
    engine: &Engine,
    context: &Context,
    input: input::ListTagsForStream,
) -> Result<output::ListTagsForStream> {
    let stream = engine.find(context, &input)?;
    let view = stream.view(context.now_ms);
    let after = input.exclusive_start_tag_key.as_deref();
    let mut rest = view
        .meta
        .tags
        .iter()
        .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    let tags = rest
        .by_ref()
        .take(input.limit.map_or(MAX_TAGS, |limit| limit as usize))
        .map(tag)
        .collect();
    Ok(output::ListTagsForStream {
        tags,
        has_more: rest.next().is_some(),
    })
}

pub fn tag_resource(engine: &Engine, context: &Context, input: input::TagResource) -> Result<()> {
    let new = input.tags.unwrap_or_default();
    change(
        engine,
        context,
        text(&input.resource_arn),
        |tags, name, account| merge(tags, new, name, account),
    )
}

pub fn untag_resource(engine: &Engine, context: &Context, input: input::UntagResource) -> Result<()> {
    let keys = input.tag_keys.unwrap_or_default();
    change(engine, context, text(&input.resource_arn), |tags, _, _| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
}

/// ListTagsForResource.
pub fn list_for_resource(
    engine: &Engine,
    context: &Context,
    input: input::Resource,
) -> Result<output::ListTagsForResource> {
    let arn = text(&input.resource_arn);
    if is_channel(arn) {
        let channel = engine.channels.find(&context.caller, arn, context.now_ms)?;
        let meta = channel.settled(&*engine.destination, context.now_ms);
        return Ok(output::ListTagsForResource {
            tags: meta.tags.iter().map(tag).collect(),
        });
    }
    let (stream, resource) = find_resource(engine, context, arn)?;
    let view = stream.view(context.now_ms);
    let tags = match &resource {
        Resource::Stream => Some(&view.meta.tags),
        Resource::Consumer(name) => view.meta.consumer(name).map(|c| &c.tags),
    };
    Ok(output::ListTagsForResource {
        tags: tags.into_iter().flatten().map(tag).collect(),
    })
}

fn tag((key, value): (&String, &Option<String>)) -> output::Tag {
    output::Tag {
        key: key.clone(),
        value: value.clone(),
    }
}

fn is_channel(arn: &str) -> bool {
    arn.contains(":channel/")
}

fn change(
    engine: &Engine,
    context: &Context,
    arn: &str,
    edit: impl FnOnce(&mut Tags, &str, &str) -> Result<()>,
) -> Result<()> {
    if is_channel(arn) {
        let channel = engine.channels.find(&context.caller, arn, context.now_ms)?;
        return channel
            .change(|meta| edit(&mut meta.tags, &meta.name, &meta.account))
            .map(drop);
    }
    let (stream, resource) = find_resource(engine, context, arn)?;
    let edit = |meta: &mut StreamMeta| {
        let (name, account) = (meta.name.clone(), meta.account.clone());
        match &resource {
            Resource::Stream => {
                meta.require_active()?;
                edit(&mut meta.tags, &name, &account)
            }
            Resource::Consumer(consumer) => match meta.consumers.iter_mut().find(|c| c.name == *consumer) {
                Some(found) => edit(&mut found.tags, consumer, &account),
                None => Err(no_consumer(consumer, &account)),
            },
        }
    };
    stream.change(context.now_ms, edit)
}

/// Tags of a new resource.
///
/// # Errors
/// As [`merge`].
pub fn initial(new: Option<Tags>, name: &str, account: &str) -> Result<Tags> {
    let mut tags = Tags::new();
    merge(&mut tags, new.unwrap_or_default(), name, account)?;
    Ok(tags)
}

/// Adds `new` to `tags`. Replaces values of existing keys.
///
/// # Errors
/// `InvalidArgumentException` for characters or keys that AWS does not accept, or for more than 50 tags in total.
fn merge(tags: &mut Tags, new: Tags, name: &str, account: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    let texts = new
        .iter()
        .flat_map(|(key, value)| std::iter::once(key).chain(value));
    if !texts.into_iter().all(|text| text.chars().all(allowed)) {
        return Err(ApiError::invalid_argument(
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, \
             _ . / = + - @ :.",
        ));
    }
    if let Some(key) = new
        .keys()
        .find(|key| key.to_ascii_lowercase().starts_with("aws:"))
    {
        let text = format!("Tag key {key} is not allowed: keys that start with aws: are reserved.");
        return Err(ApiError::invalid_argument(text));
    }
    let added = new.keys().filter(|key| !tags.contains_key(*key)).count();
    if tags.len() + added > MAX_TAGS {
        return Err(ApiError::invalid_argument(format!(
            "Failed to add tags to stream {name} under account {account} because a given stream cannot have more than \
             {MAX_TAGS} tags associated with it."
        )));
    }
    tags.extend(new);
    Ok(())
}
