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

use super::fault::Fault;
use super::files::Files;
use super::mapping::{Mapping, first_places};
use super::settings::{Input, function_arn, in_range};
use super::{Mappings, NOTHING_YET, cannot_access, may_read};
use crate::answer::{answer, identify, request_id, whole};
use crate::kinesis::stream::locked;
use crate::{Body, Caller, query};

const PATH: &str = "/2015-03-31/event-source-mappings";
const TAGS: &str = "/2017-03-31/tags/";
/// Most mappings of a page, whatever is asked for.
const PAGE: usize = 100;
/// Most tags of a mapping.
const MOST_TAGS: usize = 50;

type Answer = Result<(u16, Value), Fault>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TagInput {
    tags: BTreeMap<String, String>,
}

impl Mappings {
    /// Answers a request about mappings; `None` when it is about something else.
    pub async fn handle(
        self: &Arc<Self>,
        caller: &Caller,
        parts: &Parts,
        body: &[u8],
    ) -> Option<Response<Body>> {
        let path = parts.uri.path();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let answered = if let Some(rest) = path.strip_prefix(PATH) {
            let uuid = match rest.strip_prefix('/') {
                Some(uuid) => uuid.trim_end_matches('/'),
                None if rest.is_empty() => "",
                None => return None,
            };
            match (&parts.method, uuid) {
                (&Method::POST, "") => self.create(caller, body),
                (&Method::GET, "") => self.list(caller, &query),
                (&Method::GET, uuid) => self.get(caller, uuid),
                (&Method::PUT, uuid) if !uuid.is_empty() => self.update(caller, uuid, body),
                (&Method::DELETE, uuid) if !uuid.is_empty() => self.delete(caller, uuid),
                _ => Err(Fault::method()),
            }
        } else {
            let arn = query::percent_decode(path.strip_prefix(TAGS)?);
            let (_, uuid) = arn.split_once(":event-source-mapping:")?;
            match parts.method {
                Method::GET => self.tags(caller, uuid),
                Method::POST => self.tag(caller, uuid, body),
                Method::DELETE => self.untag(caller, uuid, &query),
                _ => Err(Fault::method()),
            }
        };
        let mut response = match answered {
            Ok((204, _)) => answer(204, "application/json", whole("")),
            Ok((status, value)) => answer(status, "application/json", whole(value.to_string())),
            Err(fault) => fault.respond(),
        };
        identify(&mut response, &request_id());
        Some(response)
    }

    fn create(self: &Arc<Self>, caller: &Caller, body: &[u8]) -> Answer {
        let input = Input::parse(body)?;
        check_tags(&input.tags.clone().unwrap_or_default())?;
        let now_ms = self.config.clock.now_ms();
        let settings = input.create(caller, request_id(), now_ms)?;
        if !self.config.invoke.exists(&settings.function_arn) {
            return Err(Fault::invalid("Function does not exist"));
        }
        let stream = self
            .config
            .kinesis
            .stream_of_arn(caller, &settings.event_source_arn);
        let stream = stream
            .ok_or_else(|| Fault::invalid(format!("Stream not found: {}", settings.event_source_arn)))?;
        if !may_read(
            &*self.config.invoke,
            &settings.function_arn,
            &settings.event_source_arn,
        ) {
            return Err(Fault::invalid(cannot_access(&settings.event_source_arn)));
        }
        // Held until the mapping is listed, so that of two like it only one is made.
        let _one = locked(&self.changing);
        let twin = self.all().into_iter().find(|mapping| {
            let other = mapping.settings();
            other.function_arn == settings.function_arn && other.event_source_arn == settings.event_source_arn
        });
        if let Some(twin) = twin {
            return Err(Fault::conflict(format!(
                "The event source arn (\" {} \") and function (\" {} \") provided mapping already exists. Please \
                 update or delete the existing mapping with UUID {}",
                settings.event_source_arn,
                settings.function_name(),
                twin.settings().uuid
            )));
        }
        let failed =
            |error: std::io::Error| Fault::internal(format!("The mapping could not be saved: {error}"));
        let files = Files::new(&self.config.data_dir, &settings.uuid);
        let mut places = files.places().map_err(failed)?;
        let first = first_places(&stream.view(now_ms), &settings).map_err(failed)?;
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
                    value.ok_or_else(|| Fault::constraint("maxItems", text, "Member must be a number"))?;
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
        let input = Input::parse(body)?;
        let _one = locked(&self.changing);
        let mapping = self.find(caller, uuid)?;
        if mapping.is_deleted() {
            return Err(Fault::in_use());
        }
        let before = mapping.settings();
        let settings = input.update(caller, &before, self.config.clock.now_ms())?;
        if settings.function_arn != before.function_arn && !self.config.invoke.exists(&settings.function_arn)
        {
            return Err(Fault::invalid("Function does not exist"));
        }
        save(&mapping, &settings)?;
        mapping.change(settings);
        let (state, result) = mapping.status();
        // "Updated settings are applied asynchronously": the task may have taken them over already.
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
            return Err(Fault::in_use());
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
            .map_err(|error| Fault::content(format!("Could not parse request body into json: {error}")))?;
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

    fn find(&self, caller: &Caller, uuid: &str) -> Result<Arc<Mapping>, Fault> {
        self.by_uuid(uuid)
            .filter(|mapping| mapping.settings().caller() == *caller)
            .ok_or_else(Fault::missing)
    }
}

fn render(mapping: &Mapping) -> Value {
    let (state, result) = mapping.status();
    mapping.settings().render(state, &result)
}

fn save(mapping: &Mapping, settings: &super::settings::Settings) -> Result<(), Fault> {
    mapping
        .files
        .save(settings)
        .map_err(|error| Fault::internal(format!("The mapping could not be saved: {error}")))
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Fault> {
    if tags.len() > MOST_TAGS {
        return Err(Fault::invalid(format!(
            "The number of tags exceeds the maximum of {MOST_TAGS}."
        )));
    }
    let fits =
        |key: &str, value: &str| (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
    match tags.iter().find(|(key, value)| !fits(key, value)) {
        Some((key, _)) => Err(Fault::invalid(format!("The tag {key} is too long or empty."))),
        None => Ok(()),
    }
}

/// The parameters of a request, decoded.
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
