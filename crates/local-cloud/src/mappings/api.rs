//! The operations on mappings, over REST and JSON.
//!
//! Source: CreateEventSourceMapping, GetEventSourceMapping, ListEventSourceMappings, UpdateEventSourceMapping,
//! DeleteEventSourceMapping, TagResource, UntagResource and ListTags, Lambda API reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::files::Files;
use super::mapping::{Mapping, initial_checkpoints};
use super::settings::{Input, function_arn, in_range};
use super::{Mappings, NOTHING_YET, cannot_access, destination, may_read};
use crate::answer::{answer, identify, request_id, whole};
use crate::kinesis::stream::locked;
use crate::{Body, Caller, query};

const PATH: &str = "/2015-03-31/event-source-mappings";
const TAGS: &str = "/2017-03-31/tags/";
/// Maximum page size.
const PAGE: usize = 100;
/// Maximum tags of a mapping.
const MOST_TAGS: usize = 50;

type Answer = Result<(u16, Value), ApiError>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TagInput {
    tags: BTreeMap<String, String>,
}

/// An operation on mappings, with the UUID of the mapping in its path.
enum Operation {
    Create,
    List,
    Get(String),
    Update(String),
    Delete(String),
    ListTags(String),
    Tag(String),
    Untag(String),
}

impl Operation {
    /// `None` for a path of other resources.
    fn of(method: &Method, path: &str) -> Option<Result<Self, ApiError>> {
        if let Some(rest) = path.strip_prefix(PATH) {
            let uuid = match rest.strip_prefix('/') {
                Some(uuid) => uuid.trim_end_matches('/'),
                None if rest.is_empty() => "",
                None => return None,
            };
            return Some(match (method, uuid) {
                (&Method::POST, "") => Ok(Self::Create),
                (&Method::GET, "") => Ok(Self::List),
                (&Method::GET, uuid) => Ok(Self::Get(uuid.to_owned())),
                (&Method::PUT, uuid) if !uuid.is_empty() => Ok(Self::Update(uuid.to_owned())),
                (&Method::DELETE, uuid) if !uuid.is_empty() => Ok(Self::Delete(uuid.to_owned())),
                _ => Err(ApiError::method()),
            });
        }
        let arn = crate::query::percent_decode(path.strip_prefix(TAGS)?);
        let uuid = arn.split_once(":event-source-mapping:")?.1.to_owned();
        Some(match *method {
            Method::GET => Ok(Self::ListTags(uuid)),
            Method::POST => Ok(Self::Tag(uuid)),
            Method::DELETE => Ok(Self::Untag(uuid)),
            _ => Err(ApiError::method()),
        })
    }
}

impl Mappings {
    /// Handles a request about mappings. `None` if it is about something else.
    pub async fn handle(
        self: &Arc<Self>,
        caller: &Caller,
        parts: &Parts,
        body: &[u8],
    ) -> Option<Response<Body>> {
        let operation = Operation::of(&parts.method, parts.uri.path())?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let answered = operation.and_then(|operation| match operation {
            Operation::Create => self.create(caller, body),
            Operation::List => self.list(caller, &query),
            Operation::Get(uuid) => self.get(caller, &uuid),
            Operation::Update(uuid) => self.update(caller, &uuid, body),
            Operation::Delete(uuid) => self.delete(caller, &uuid),
            Operation::ListTags(uuid) => self.tags(caller, &uuid),
            Operation::Tag(uuid) => self.tag(caller, &uuid, body),
            Operation::Untag(uuid) => self.untag(caller, &uuid, &query),
        });
        let mut response = match answered {
            Ok((204, _)) => answer(204, "application/json", whole("")),
            Ok((status, value)) => answer(status, "application/json", whole(value.to_string())),
            Err(error) => error.respond(),
        };
        identify(&mut response, &request_id());
        Some(response)
    }

    fn create(self: &Arc<Self>, caller: &Caller, body: &[u8]) -> Answer {
        let input = Input::parse(body, self.config.max_filters)?;
        check_tags(&input.tags.clone().unwrap_or_default())?;
        let now_ms = self.config.clock.now_ms();
        let settings = input.create(caller, request_id(), now_ms)?;
        if !self.config.invoke.exists(&settings.function_arn) {
            return Err(ApiError::invalid("Function does not exist"));
        }
        let stream = self
            .config
            .kinesis
            .stream_of_arn(caller, &settings.event_source_arn);
        let stream = stream
            .ok_or_else(|| ApiError::invalid(format!("Stream not found: {}", settings.event_source_arn)))?;
        if !may_read(
            &*self.config.invoke,
            &settings.function_arn,
            &settings.event_source_arn,
        ) {
            return Err(ApiError::invalid(cannot_access(&settings.event_source_arn)));
        }
        destination::check_role(&*self.config.invoke, &settings)?;
        // Held until the mapping is listed, so that only one of two identical mappings is created.
        let _one = locked(&self.changing);
        let twin = self.all().into_iter().find(|mapping| {
            let other = mapping.settings();
            other.function_arn == settings.function_arn && other.event_source_arn == settings.event_source_arn
        });
        if let Some(twin) = twin {
            return Err(ApiError::conflict(format!(
                "The event source arn (\" {} \") and function (\" {} \") provided mapping already exists. Please \
                 update or delete the existing mapping with UUID {}",
                settings.event_source_arn,
                settings.function_name(),
                twin.settings().uuid
            )));
        }
        let failed =
            |error: std::io::Error| ApiError::internal(format!("The mapping could not be saved: {error}"));
        let files = Files::new(&self.config.data_dir, &settings.uuid);
        let mut places = files.checkpoints().map_err(failed)?;
        let first = initial_checkpoints(&stream.view(now_ms), &settings).map_err(failed)?;
        places.reset(stream.id, first).map_err(failed)?;
        files.save(&settings).map_err(failed)?;
        let value = settings.render("Creating", NOTHING_YET);
        let uuid = settings.uuid.clone();
        let mapping = Arc::new(Mapping::new(self, settings, files, places, "Creating"));
        self.insert(uuid, &mapping);
        mapping.start(Arc::downgrade(self));
        Ok((202, value))
    }

    fn get(&self, caller: &Caller, uuid: &str) -> Answer {
        self.find(caller, uuid).map(|mapping| (200, render(&mapping)))
    }

    fn list(&self, caller: &Caller, query: &Query) -> Answer {
        let most = match query.get("MaxItems") {
            None => PAGE,
            Some(text) => {
                let value = text.parse::<i64>().ok();
                let value =
                    value.ok_or_else(|| ApiError::constraint("maxItems", text, "Member must be a number"))?;
                in_range("maxItems", Some(value), 1, 10_000)?;
                usize::try_from(value).unwrap_or(PAGE).min(PAGE)
            }
        };
        let function = query.get("FunctionName");
        let function = function.map(|name| function_arn(caller, name).unwrap_or_default());
        let marker = query.get("Marker").unwrap_or_default();
        let mut found = self.all().into_iter().filter(|mapping| {
            let settings = mapping.settings();
            settings.caller() == *caller
                && settings.uuid.as_str() >= marker
                && function.as_ref().is_none_or(|arn| *arn == settings.function_arn)
                && query
                    .get("EventSourceArn")
                    .is_none_or(|arn| *arn == *settings.event_source_arn)
        });
        let page: Vec<Value> = found
            .by_ref()
            .take(most)
            .map(|mapping| render(&mapping))
            .collect();
        let mut value = json!({"EventSourceMappings": page});
        if let Some(next) = found.next() {
            value["NextMarker"] = json!(next.settings().uuid);
        }
        Ok((200, value))
    }

    fn update(&self, caller: &Caller, uuid: &str, body: &[u8]) -> Answer {
        let input = Input::parse(body, self.config.max_filters)?;
        let _one = locked(&self.changing);
        let mapping = self.find(caller, uuid)?;
        if mapping.is_deleted() {
            return Err(ApiError::in_use());
        }
        let before = mapping.settings();
        let settings = input.update(caller, &before, self.config.clock.now_ms())?;
        if settings.function_arn != before.function_arn && !self.config.invoke.exists(&settings.function_arn)
        {
            return Err(ApiError::invalid("Function does not exist"));
        }
        if settings.on_failure != before.on_failure || settings.function_arn != before.function_arn {
            destination::check_role(&*self.config.invoke, &settings)?;
        }
        save(&mapping, &settings)?;
        mapping.change(settings);
        let (state, result) = mapping.status();
        // "Updated settings are applied asynchronously": the task may have applied them already.
        let state = if state == "Enabled" || state == "Disabled" {
            "Updating"
        } else {
            state
        };
        Ok((202, mapping.settings().render(state, &result)))
    }

    fn delete(&self, caller: &Caller, uuid: &str) -> Answer {
        let _one = locked(&self.changing);
        let mapping = self.find(caller, uuid)?;
        if mapping.is_deleted() {
            return Err(ApiError::in_use());
        }
        mapping.delete();
        let (_, result) = mapping.status();
        Ok((202, mapping.settings().render("Deleting", &result)))
    }

    fn tags(&self, caller: &Caller, uuid: &str) -> Answer {
        let mapping = self.find(caller, uuid)?;
        Ok((200, json!({"Tags": mapping.settings().tags})))
    }

    fn tag(&self, caller: &Caller, uuid: &str, body: &[u8]) -> Answer {
        let input: TagInput = serde_json::from_slice(body)
            .map_err(|error| ApiError::content(format!("Could not parse request body into json: {error}")))?;
        self.retag(caller, uuid, |tags| tags.extend(input.tags))
    }

    fn untag(&self, caller: &Caller, uuid: &str, query: &Query) -> Answer {
        self.retag(caller, uuid, |tags| {
            for (_, key) in query.0.iter().filter(|(name, _)| name == "tagKeys") {
                tags.remove(key);
            }
        })
    }

    fn retag(&self, caller: &Caller, uuid: &str, edit: impl FnOnce(&mut BTreeMap<String, String>)) -> Answer {
        let _one = locked(&self.changing);
        let mapping = self.find(caller, uuid)?;
        let mut settings = (*mapping.settings()).clone();
        edit(&mut settings.tags);
        check_tags(&settings.tags)?;
        save(&mapping, &settings)?;
        mapping.retag(settings);
        Ok((204, Value::Null))
    }

    fn find(&self, caller: &Caller, uuid: &str) -> Result<Arc<Mapping>, ApiError> {
        self.by_uuid(uuid)
            .filter(|mapping| mapping.settings().caller() == *caller)
            .ok_or_else(ApiError::missing)
    }
}

fn render(mapping: &Mapping) -> Value {
    let (state, result) = mapping.status();
    mapping.settings().render(state, &result)
}

fn save(mapping: &Mapping, settings: &super::settings::Settings) -> Result<(), ApiError> {
    mapping
        .files
        .save(settings)
        .map_err(|error| ApiError::internal(format!("The mapping could not be saved: {error}")))
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > MOST_TAGS {
        return Err(ApiError::invalid(format!(
            "The number of tags exceeds the maximum of {MOST_TAGS}."
        )));
    }
    let fits =
        |key: &str, value: &str| (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
    match tags.iter().find(|(key, value)| !fits(key, value)) {
        Some((key, _)) => Err(ApiError::invalid(format!("The tag {key} is too long or empty."))),
        None => Ok(()),
    }
}

/// The decoded query parameters.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        Self(query::pairs(text.as_bytes()).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}
