//! CORS as HTTP APIs and function URLs take it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a manifest declares, and what a service shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cors {
    pub allow_origins: Vec<String>,
    pub allow_methods: Vec<String>,
    pub allow_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age_seconds: Option<i32>,
    pub allow_credentials: bool,
}

impl Cors {
    /// What a service would refuse.
    pub(super) fn problem(&self) -> Option<String> {
        if self.allow_credentials && self.allow_origins.iter().any(|origin| origin == "*") {
            // Source: "Configure CORS for HTTP APIs", API Gateway developer guide.
            return Some("allow_credentials needs allow_origins without \"*\"".to_owned());
        }
        let seconds = self.max_age_seconds.unwrap_or(0);
        if !(0..=86_400).contains(&seconds) {
            return Some(format!("max_age_seconds must be from 0 to 86400, not {seconds}"));
        }
        None
    }

    /// Whether both allow the same. Services show lists in an order of their own, and some methods and headers in another
    /// case.
    pub(super) fn same(&self, other: &Self) -> bool {
        let sorted = |list: &[String]| {
            let mut list: Vec<String> = list.iter().map(|text| text.to_ascii_lowercase()).collect();
            list.sort();
            list
        };
        let lists = |cors: &Self| {
            [
                sorted(&cors.allow_origins),
                sorted(&cors.allow_methods),
                sorted(&cors.allow_headers),
                sorted(&cors.expose_headers),
            ]
        };
        lists(self) == lists(other)
            && self.max_age_seconds.unwrap_or(0) == other.max_age_seconds.unwrap_or(0)
            && self.allow_credentials == other.allow_credentials
    }

    /// For reports.
    pub(super) fn words(&self) -> String {
        match self.allow_origins.as_slice() {
            [] => "none".to_owned(),
            origins => {
                let methods = self.allow_methods.join(" ");
                format!("{} for {}", methods, origins.join(" ")).trim().to_owned()
            }
        }
    }

    /// As API Gateway writes it.
    pub(super) fn to_api(&self) -> Value {
        let mut value = Map::new();
        for (name, list) in [
            ("allowOrigins", &self.allow_origins),
            ("allowMethods", &self.allow_methods),
            ("allowHeaders", &self.allow_headers),
            ("exposeHeaders", &self.expose_headers),
        ] {
            if !list.is_empty() {
                value.insert(name.to_owned(), json!(list));
            }
        }
        if let Some(seconds) = self.max_age_seconds {
            value.insert("maxAge".to_owned(), json!(seconds));
        }
        if self.allow_credentials {
            value.insert("allowCredentials".to_owned(), json!(true));
        }
        Value::Object(value)
    }

    pub(super) fn of_api(value: &Value) -> Self {
        let list = |name: &str| {
            let all = value[name].as_array().into_iter().flatten();
            all.filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        Self {
            allow_origins: list("allowOrigins"),
            allow_methods: list("allowMethods"),
            allow_headers: list("allowHeaders"),
            expose_headers: list("exposeHeaders"),
            max_age_seconds: value["maxAge"]
                .as_i64()
                .and_then(|seconds| i32::try_from(seconds).ok()),
            allow_credentials: value["allowCredentials"] == true,
        }
    }

    /// As Lambda writes it.
    pub(super) fn to_lambda(&self) -> aws_sdk_lambda::types::Cors {
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        aws_sdk_lambda::types::Cors::builder()
            .set_allow_origins(list(&self.allow_origins))
            .set_allow_methods(list(&self.allow_methods))
            .set_allow_headers(list(&self.allow_headers))
            .set_expose_headers(list(&self.expose_headers))
            .set_max_age(self.max_age_seconds)
            .set_allow_credentials(self.allow_credentials.then_some(true))
            .build()
    }

    pub(super) fn of_lambda(cors: &aws_sdk_lambda::types::Cors) -> Self {
        Self {
            allow_origins: cors.allow_origins().to_vec(),
            allow_methods: cors.allow_methods().to_vec(),
            allow_headers: cors.allow_headers().to_vec(),
            expose_headers: cors.expose_headers().to_vec(),
            max_age_seconds: cors.max_age(),
            allow_credentials: cors.allow_credentials() == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_case_do_not_count() {
        let cors = |methods: &[&str], headers: &[&str]| Cors {
            allow_origins: vec!["*".to_owned()],
            allow_methods: methods.iter().map(|text| (*text).to_owned()).collect(),
            allow_headers: headers.iter().map(|text| (*text).to_owned()).collect(),
            ..Cors::default()
        };
        let one = cors(&["GET", "POST"], &["Content-Type", "Authorization"]);
        assert!(one.same(&cors(&["POST", "GET"], &["authorization", "content-type"])));
        assert!(!one.same(&cors(&["POST"], &["authorization", "content-type"])));
        assert!(Cors::of_api(&one.to_api()).same(&one));
        assert!(Cors::of_lambda(&one.to_lambda()).same(&one));
        assert_eq!(one.words(), "GET POST for *");
    }
}
