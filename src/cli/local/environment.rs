//! What `streamctl local env` prints: the variables that lead AWS SDKs and tools to the local cloud.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::ui::{Report, Style, lines, shell_quoted};
use domain::settings::SERVICES;

/// The variables that AWS SDKs and tools read. Source: "Environment variables support", AWS SDKs and Tools reference guide.
pub(super) fn variables(endpoint: &str, secret: &str, region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", daemon::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
    ]
}

/// Variables that would lead SDKs and tools away from the local cloud, or mix other credentials into the requests. Always
/// those of a session and a profile; endpoints of single services and the switch that ignores endpoints if they are set.
pub(super) fn cleared(is_set: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let services = SERVICES.iter().map(|(_, variable)| *variable);
    let others = services.chain(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]);
    ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
        .into_iter()
        .chain(others.filter(|name| is_set(name)))
        .collect()
}

pub(super) struct Environment {
    pub(super) variables: Vec<(&'static str, String)>,
    /// Variables to unset.
    pub(super) cleared: Vec<&'static str>,
    /// Print how to unset `variables`.
    pub(super) unset: bool,
}

impl Environment {
    /// Every variable with its value; `None` for one to unset.
    fn all(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let set = self.variables.iter().map(|(name, value)| {
            let value = (!self.unset).then_some(value.as_str());
            (*name, value)
        });
        let cleared = self.cleared.iter().filter(|_| !self.unset);
        set.chain(cleared.map(|name| (*name, None)))
    }
}

impl Serialize for Environment {
    /// An object of the variables; one to unset is null.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let object: Map<String, Value> = self
            .all()
            .map(|(name, value)| (name.to_owned(), value.map_or(Value::Null, Value::from)))
            .collect();
        object.serialize(serializer)
    }
}

impl Report for Environment {
    fn table(&self, _style: &Style) -> String {
        let export =
            |(name, value): (&str, Option<&str>)| Some(format!("export {name}={}", shell_quoted(value?)));
        let mut lines: Vec<String> = self.all().filter_map(export).collect();
        let unset: Vec<&str> = self
            .all()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        lines.push(format!("unset {}", unset.join(" ")));
        lines.join("\n")
    }

    /// One to unset has an empty value.
    fn text(&self) -> String {
        lines(
            self.all()
                .map(|(name, value)| [name.to_owned(), value.unwrap_or_default().to_owned()]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_is_for_the_shell() {
        let mut report = Environment {
            variables: variables("http://127.0.0.1:4566", "0123456789", "us-east-1"),
            cleared: cleared(&|name| name == "AWS_ENDPOINT_URL_S3"),
            unset: false,
        };
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        export AWS_ENDPOINT_URL=http://127.0.0.1:4566
        export AWS_ACCESS_KEY_ID=local
        export AWS_SECRET_ACCESS_KEY=0123456789
        export AWS_REGION=us-east-1
        export AWS_DEFAULT_REGION=us-east-1
        unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL_S3
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["AWS_SECRET_ACCESS_KEY"], "0123456789");
        let null = [
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_ENDPOINT_URL_S3",
        ];
        assert!(
            null.iter().all(|name| json.get(name) == Some(&Value::Null)),
            "{json}"
        );
        assert!(report.text().contains("\nAWS_PROFILE\t\n"), "{}", report.text());
        report.unset = true;
        insta::assert_snapshot!(
            report.table(&Style::plain()),
            @"unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION"
        );
    }
}
