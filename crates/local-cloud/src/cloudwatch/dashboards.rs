//! Dashboards: named JSON documents, stored unchanged.
//!
//! Source: PutDashboard, GetDashboard, ListDashboards and DeleteDashboards, CloudWatch API reference.

mod body;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) use self::body::Problem;

use super::error::ApiError;
use super::input::Fields;
use super::wire::Out;
use crate::{Caller, partition, state_file};
use daemon::protocol::Damage;

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
    file: StateFile,
    all: BTreeMap<Key, Dashboard>,
}

impl Dashboards {
    /// Opens the dashboards stored in `dir`.
    pub(super) fn open(dir: &Path) -> Self {
        let (file, kept): (_, Vec<(Key, Dashboard)>) = StateFile::open(dir.join("dashboards.json"));
        Self {
            file,
            all: kept.into_iter().collect(),
        }
    }

    pub(super) fn damage(&self) -> Option<Damage> {
        self.file.damage()
    }

    fn save(&self) -> Result<(), ApiError> {
        self.file.write(&self.all.iter().collect::<Vec<_>>())
    }

    pub(super) fn put(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, ApiError> {
        let name = input.need_text("DashboardName", 255)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !name.chars().all(allowed) {
            return Err(input.invalid("DashboardName", name));
        }
        let body = input.need_body("DashboardBody")?;
        let problems = body::problems(body);
        if !problems.is_empty() {
            return Err(ApiError::dashboard(problems));
        }
        let dashboard = Dashboard {
            body: body.to_owned(),
            changed_ms: now_ms,
        };
        self.all
            .insert((caller.account.clone(), name.to_owned()), dashboard);
        self.save()?;
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
        self.save()
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

/// A JSON file of this module.
#[derive(Debug, Default)]
pub(super) struct StateFile {
    path: PathBuf,
    /// Why it cannot be read. An empty one must not replace it.
    fault: Option<String>,
}

impl StateFile {
    /// Reads the file. The default if it does not exist or cannot be read.
    pub(super) fn open<T: DeserializeOwned + Default>(path: PathBuf) -> (Self, T) {
        match state_file::load_json(&path) {
            Ok(value) => (Self { path, fault: None }, value.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "a file of CloudWatch is damaged and stays as it is");
                let fault = Some(error.to_string());
                (Self { path, fault }, T::default())
            }
        }
    }

    /// # Errors
    /// `InternalServiceFault` if the file cannot be written or is damaged.
    pub(super) fn write(&self, value: &impl Serialize) -> Result<(), ApiError> {
        if let Some(fault) = &self.fault {
            return Err(ApiError::internal(fault.clone()));
        }
        state_file::save_json(&self.path, value)
            .map_err(|error| ApiError::internal(format!("The change could not be saved: {error}")))
    }

    pub(super) fn damage(&self) -> Option<Damage> {
        self.fault.as_ref().map(|fault| Damage {
            file: self.path.display().to_string(),
            resource: None,
            records: 0,
            message: format!("{fault}; it cannot be changed"),
        })
    }
}
