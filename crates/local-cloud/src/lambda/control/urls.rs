//! Function URLs.
//! Source: CreateFunctionUrlConfig, Lambda API reference.

use rand::Rng;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Request, created, no_content, ok, version_of};
use crate::lambda::error::{ApiError, Result};
use crate::lambda::model::{Function, Url, timestamp};
use crate::lambda::name::FunctionName;
use crate::lambda::settings;
use crate::web::address::{self, Kind};
use crate::web::cors::Cors;

/// Characters of an id.
const ID: usize = 32;
/// Methods that `AllowMethods` may name.
const METHODS: [&str; 7] = ["*", "GET", "PUT", "HEAD", "POST", "PATCH", "DELETE"];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    auth_type: Option<String>,
    cors: Option<CorsInput>,
    invoke_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CorsInput {
    allow_credentials: Option<bool>,
    allow_headers: Option<Vec<String>>,
    allow_methods: Option<Vec<String>>,
    allow_origins: Option<Vec<String>>,
    expose_headers: Option<Vec<String>>,
    max_age: Option<i64>,
}

impl Input {
    /// Whether requests must be signed; `None` if it is not given.
    fn signed(&self) -> Result<Option<bool>> {
        match self.auth_type.as_deref() {
            None => Ok(None),
            Some("NONE") => Ok(Some(false)),
            Some("AWS_IAM") => Ok(Some(true)),
            Some(other) => Err(ApiError::constraint(
                other,
                "authType",
                "Member must satisfy enum value set: [NONE, AWS_IAM]",
            )),
        }
    }

    fn check_mode(&self) -> Result<()> {
        match self.invoke_mode.as_deref() {
            None | Some("BUFFERED") => Ok(()),
            Some("RESPONSE_STREAM") => Err(ApiError::invalid(
                "The local cloud does not stream the responses of functions: the invoke mode must be BUFFERED.",
            )),
            Some(other) => Err(ApiError::constraint(
                other,
                "invokeMode",
                "Member must satisfy enum value set: [BUFFERED, RESPONSE_STREAM]",
            )),
        }
    }
}

impl CorsInput {
    /// `None` for an empty structure, which removes the configuration.
    fn read(&self) -> Result<Option<Cors>> {
        let list = |given: &Option<Vec<String>>, field: &str, limits: (usize, usize)| {
            let list = given.clone().unwrap_or_default();
            let (items, length) = limits;
            if list.len() > items || list.iter().any(|text| text.is_empty() || text.len() > length) {
                let shown = format!("[{}]", list.join(", "));
                return Err(ApiError::constraint(
                    shown,
                    field,
                    &format!("Member must have at most {items} items of 1 to {length} characters"),
                ));
            }
            Ok(list)
        };
        let cors = Cors {
            allow_credentials: self.allow_credentials,
            allow_headers: list(&self.allow_headers, "cors.allowHeaders", (100, 1024))?,
            allow_methods: list(&self.allow_methods, "cors.allowMethods", (6, 6))?,
            allow_origins: list(&self.allow_origins, "cors.allowOrigins", (100, 253))?,
            expose_headers: list(&self.expose_headers, "cors.exposeHeaders", (100, 1024))?,
            max_age: match self.max_age {
                Some(seconds) => Some(settings::ranged(seconds, "cors.maxAge", 0, 86_400)?.into()),
                None => None,
            },
        };
        if let Some(method) = cors
            .allow_methods
            .iter()
            .find(|method| !METHODS.contains(&method.as_str()))
        {
            return Err(ApiError::constraint(
                method,
                "cors.allowMethods",
                "Member must satisfy regular expression pattern: .*",
            ));
        }
        Ok(Some(cors).filter(|cors| *cors != Cors::default()))
    }
}

impl Request<'_> {
    pub(super) fn create_url(&self, text: &str) -> Answer {
        let (name, key) = self.url_of(text)?;
        let input: Input = settings::read(self.body)?;
        let signed = input.signed()?.ok_or_else(|| ApiError::missing("authType"))?;
        input.check_mode()?;
        let cors = input.cors.as_ref().map(CorsInput::read).transpose()?.flatten();
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        version_of(&function, &name)?;
        if function.urls.contains_key(&key) {
            return Err(ApiError::conflict(format!(
                "Failed to create function url config for [functionArn = {}]. Error message:  FunctionUrlConfig exists for \
                 this Lambda function",
                name.qualified_arn()
            )));
        }
        let now = self.now();
        let url = Url {
            id: new_id(),
            signed,
            cors,
            created_ms: now,
            modified_ms: now,
        };
        let mut shown = self.describe_url(&name, &url);
        if let Some(members) = shown.as_object_mut() {
            members.remove("LastModifiedTime");
        }
        function.urls.insert(key, url);
        change.put(self.caller, function)?;
        created(shown)
    }

    pub(super) fn get_url(&self, text: &str) -> Answer {
        let (name, key) = self.url_of(text)?;
        let function = self.lambda.registry.find(&name)?;
        ok(self.describe_url(&name, found(&function, &key)?))
    }

    pub(super) fn update_url(&self, text: &str) -> Answer {
        let (name, key) = self.url_of(text)?;
        let input: Input = settings::read(self.body)?;
        let signed = input.signed()?;
        input.check_mode()?;
        let cors = input.cors.as_ref().map(CorsInput::read).transpose()?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        found(&function, &key)?;
        let now = self.now();
        let url = function.urls.get_mut(&key).ok_or_else(none)?;
        url.signed = signed.unwrap_or(url.signed);
        if let Some(cors) = cors {
            url.cors = cors;
        }
        url.modified_ms = now;
        let shown = self.describe_url(&name, url);
        change.put(self.caller, function)?;
        ok(shown)
    }

    pub(super) fn delete_url(&self, text: &str) -> Answer {
        let (name, key) = self.url_of(text)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        function.urls.remove(&key).ok_or_else(none)?;
        change.put(self.caller, function)?;
        no_content()
    }

    pub(super) fn list_urls(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let function = self.lambda.registry.find(&name)?;
        let (page, next) = self.page(function.urls.iter().collect(), |(key, _)| (*key).clone())?;
        let configs: Vec<Value> = page
            .into_iter()
            .map(|(key, url)| {
                let qualifier = Some(key.clone()).filter(|key| !key.is_empty());
                let name = FunctionName {
                    qualifier,
                    ..name.clone()
                };
                self.describe_url(&name, url)
            })
            .collect();
        ok(json!({"FunctionUrlConfigs": configs, "NextMarker": next}))
    }

    /// The function or alias that a request names, and the key of its URL.
    fn url_of(&self, text: &str) -> Result<(FunctionName, String)> {
        let name = self.name(text)?;
        if let Some(qualifier) = &name.qualifier
            && (qualifier.starts_with('$') || qualifier.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(ApiError::constraint(
                qualifier,
                "qualifier",
                "Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)",
            ));
        }
        let key = name.qualifier.clone().unwrap_or_default();
        Ok((name, key))
    }

    /// FunctionUrlConfig.
    fn describe_url(&self, name: &FunctionName, url: &Url) -> Value {
        let endpoint = address::url(&self.lambda.endpoint, Kind::FunctionUrl, &url.id);
        let mut value = json!({
            "FunctionUrl": format!("{endpoint}/"),
            "FunctionArn": name.qualified_arn(),
            "AuthType": if url.signed { "AWS_IAM" } else { "NONE" },
            "CreationTime": timestamp(url.created_ms),
            "LastModifiedTime": timestamp(url.modified_ms),
            "InvokeMode": "BUFFERED",
        });
        if let Some(cors) = &url.cors {
            value["Cors"] = describe_cors(cors);
        }
        value
    }
}

fn describe_cors(cors: &Cors) -> Value {
    let mut value = Map::new();
    if let Some(allow) = cors.allow_credentials {
        value.insert("AllowCredentials".to_owned(), json!(allow));
    }
    for (name, list) in [
        ("AllowHeaders", &cors.allow_headers),
        ("AllowMethods", &cors.allow_methods),
        ("AllowOrigins", &cors.allow_origins),
        ("ExposeHeaders", &cors.expose_headers),
    ] {
        if !list.is_empty() {
            value.insert(name.to_owned(), json!(list));
        }
    }
    if let Some(seconds) = cors.max_age {
        value.insert("MaxAge".to_owned(), json!(seconds));
    }
    Value::Object(value)
}

fn found<'a>(function: &'a Function, key: &str) -> Result<&'a Url> {
    function.urls.get(key).ok_or_else(none)
}

fn none() -> ApiError {
    ApiError::not_found("The resource you requested does not exist.")
}

/// An id that cannot be guessed: a page must not find the URLs of functions.
fn new_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = rand::rng();
    (0..ID)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}
