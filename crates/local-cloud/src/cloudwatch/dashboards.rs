//! Dashboards: named JSON documents, stored unchanged.
//!
//! Source: PutDashboard, GetDashboard, ListDashboards and DeleteDashboards, CloudWatch API reference.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ApiError;
use super::input::Fields;
use super::wire::Out;
use crate::{Caller, partition};

/// Source: ListDashboards: "as many as 1000".
const PAGE: usize = 1000;

/// Account and name: dashboards are not regional.
type Key = (String, String);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Dashboard {
    body: String,
    changed_ms: i64,
}

#[derive(Debug, Default)]
pub(super) struct Dashboards {
    file: PathBuf,
    all: BTreeMap<Key, Dashboard>,
}

impl Dashboards {
    /// Opens the dashboards stored in `dir`.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let file = dir.join("dashboards.json");
        let kept: Vec<(Key, Dashboard)> = read_file(&file)?;
        Ok(Self {
            file,
            all: kept.into_iter().collect(),
        })
    }

    fn save(&self) {
        write_file(&self.file, &self.all.iter().collect::<Vec<_>>());
    }

    pub(super) fn put(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, ApiError> {
        let name = input.need_text("DashboardName", 255)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !name.chars().all(allowed) {
            return Err(input.invalid("DashboardName", name));
        }
        let body = input.need_body("DashboardBody")?;
        check(body)?;
        let dashboard = Dashboard {
            body: body.to_owned(),
            changed_ms: now_ms,
        };
        self.all
            .insert((caller.account.clone(), name.to_owned()), dashboard);
        self.save();
        Ok(Out::Struct(vec![(
            "DashboardValidationMessages",
            Out::List(Vec::new()),
        )]))
    }

    pub(super) fn get(&self, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
        let name = input.need_text("DashboardName", 255)?;
        let key = (caller.account.clone(), name.to_owned());
        let dashboard = self.all.get(&key).ok_or_else(|| not_found(name))?;
        Ok(Out::Struct(vec![
            ("DashboardArn", Out::Text(arn(caller, name))),
            ("DashboardBody", Out::Text(dashboard.body.clone())),
            ("DashboardName", Out::Text(name.to_owned())),
        ]))
    }

    pub(super) fn list(&self, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
        let prefix = input.text("DashboardNamePrefix", 255)?.unwrap_or_default();
        let after = input.text("NextToken", 255)?;
        let mut page: Vec<_> = self
            .all
            .iter()
            .filter(|((account, name), _)| *account == caller.account && name.starts_with(prefix))
            .filter(|((_, name), _)| after.is_none_or(|after| name.as_str() > after))
            .take(PAGE + 1)
            .collect();
        let more = page.len() > PAGE;
        page.truncate(PAGE);
        let next = page.last().filter(|_| more).map(|((_, name), _)| name.clone());
        let entries = page.into_iter().map(|((_, name), dashboard)| {
            Out::Struct(vec![
                ("DashboardName", Out::Text(name.clone())),
                ("DashboardArn", Out::Text(arn(caller, name))),
                ("LastModified", Out::Time(dashboard.changed_ms)),
                (
                    "Size",
                    Out::Whole(i64::try_from(dashboard.body.len()).unwrap_or(i64::MAX)),
                ),
            ])
        });
        let mut out = vec![("DashboardEntries", Out::List(entries.collect()))];
        out.extend(next.map(|next| ("NextToken", Out::Text(next))));
        Ok(Out::Struct(out))
    }

    /// Whether a dashboard with this ARN exists.
    pub(super) fn has_arn(&self, caller: &Caller, wanted: &str) -> bool {
        let mut of_account = self.all.keys().filter(|(account, _)| *account == caller.account);
        of_account.any(|(_, name)| arn(caller, name) == wanted)
    }

    pub(super) fn delete(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<(), ApiError> {
        let names = input.words("DashboardNames", PAGE)?;
        let key = |name: &str| (caller.account.clone(), name.to_owned());
        // All or none. Source: DeleteDashboards: "If there is an error during this call, no dashboards are deleted".
        if let Some(missing) = names.iter().find(|name| !self.all.contains_key(&key(name))) {
            return Err(not_found(missing));
        }
        for name in names {
            self.all.remove(&key(name));
        }
        self.save();
        Ok(())
    }
}

/// Checks that a body is an object with its widgets in a list.
fn check(body: &str) -> Result<(), ApiError> {
    let bad = |what: &str| {
        ApiError::dashboard(format!(
            "The field DashboardBody must be a valid JSON object: {what}"
        ))
    };
    let value: Value = serde_json::from_str(body).map_err(|error| bad(&error.to_string()))?;
    let object = value.as_object().ok_or_else(|| bad("it is not an object"))?;
    match object.get("widgets") {
        None => Err(bad("/widgets is required")),
        Some(Value::Array(_)) => Ok(()),
        Some(_) => Err(bad("/widgets must be an array")),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found(
        "DashboardNotFoundError",
        format!("Dashboard {name} does not exist"),
    )
}

pub(super) fn arn(caller: &Caller, name: &str) -> String {
    format!(
        "arn:{}:cloudwatch::{}:dashboard/{name}",
        partition(&caller.region),
        caller.account
    )
}

/// Reads a JSON file of this module. The default if it does not exist.
///
/// # Errors
/// If it exists and cannot be read: the default would overwrite it.
pub(super) fn read_file<T: DeserializeOwned + Default>(file: &Path) -> io::Result<T> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} cannot be read: {error}", file.display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}

/// Replaces a JSON file of this module. An error is only logged.
pub(super) fn write_file(file: &Path, value: &impl Serialize) {
    let written = serde_json::to_vec(value)
        .map_err(io::Error::other)
        .and_then(|bytes| ground::platform::replace_private_file(file, &bytes));
    if let Err(error) = written {
        tracing::warn!(file = %file.display(), %error, "could not write the file");
    }
}
