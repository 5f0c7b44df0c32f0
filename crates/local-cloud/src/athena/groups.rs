//! Work groups. Each account and region has the work group `primary` from the beginning.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Call;
use super::error::{Error, Result};
use super::model::{Configuration, Updates, WorkGroup};
use super::tags::{self, Tag};
use crate::entries::{List, Scope, name_of_token, token};
use crate::types::Tags;

pub(super) const PRIMARY: &str = "primary";
pub(super) const GROUPS: List<'static> = List::of("workgroup");
/// Source: "Service Quotas", Amazon Athena user guide: work groups of an account in a region.
const MOST: usize = 1_000;
const PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    name: Option<String>,
    configuration: Option<Configuration>,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Named {
    work_group: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Delete {
    work_group: Option<String>,
    #[serde(default)]
    recursive_delete_option: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Update {
    work_group: Option<String>,
    description: Option<String>,
    configuration_updates: Option<Updates>,
    state: Option<String>,
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Page {
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
    pub work_group: Option<String>,
}

impl Page {
    /// The name after which it begins.
    pub fn start(&self) -> Result<String> {
        name_of_token(self.next_token.as_deref()).ok_or_else(|| Error::invalid("The NextToken is not valid."))
    }

    pub fn size(&self) -> Result<usize> {
        match self.max_results {
            None | Some(0) => Ok(PAGE),
            Some(size @ 1..=50) => Ok(usize::try_from(size).unwrap_or(1)),
            Some(size) => {
                let constraint = "have value from 1 to 50";
                Err(Error::constraint(&format!("'{size}'"), "maxResults", constraint))
            }
        }
    }
}

pub(super) fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(name) = next {
        answer["NextToken"] = json!(token(&name));
    }
    answer
}

/// The name of a work group. Source: `WorkGroupName`.
pub(super) fn name<'n>(given: Option<&'n str>, member: &str) -> Result<&'n str> {
    const PATTERN: &str = "satisfy regular expression pattern: [a-zA-Z0-9._-]{1,128}";
    let name = given.ok_or_else(|| Error::missing(member))?;
    let is_sound = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match is_sound {
        true => Ok(name),
        false => {
            let shown: String = name.chars().take(64).collect();
            Err(Error::constraint(&format!("'{shown}'"), member, PATTERN))
        }
    }
}

/// The work group `name`.
pub(super) fn find(scope: &Scope<'_>, name: &str) -> Result<WorkGroup> {
    match scope.get(GROUPS, name)? {
        Some(found) => Ok(found),
        None if name == PRIMARY => primary(),
        None => Err(Error::no_group()),
    }
}

fn primary() -> Result<WorkGroup> {
    Ok(WorkGroup {
        name: PRIMARY.to_owned(),
        description: None,
        state: "ENABLED".to_owned(),
        configuration: Configuration::default().checked()?,
        created_ms: 0,
        tags: Tags::new(),
    })
}

impl Call<'_> {
    pub(super) fn create_group(&self, input: Create) -> Result<Value> {
        let name = name(input.name.as_deref(), "name")?;
        if name == PRIMARY {
            return Err(Error::invalid("primary workGroup could not be created"));
        }
        let made = WorkGroup {
            name: name.to_owned(),
            description: input.description,
            state: "ENABLED".to_owned(),
            configuration: input.configuration.unwrap_or_default().checked()?,
            created_ms: self.athena.clock.now_ms(),
            tags: tags::checked(input.tags.unwrap_or_default())?,
        };
        made.check()?;
        self.athena.entries.write(self.caller, |scope| {
            if scope.get::<WorkGroup>(GROUPS, name)?.is_some() {
                return Err(Error::invalid("WorkGroup is already created"));
            }
            if scope.count(GROUPS)? >= MOST {
                return Err(Error::invalid(format!(
                    "An account has at most {MOST} work groups."
                )));
            }
            scope.put(GROUPS, name, &made)?;
            Ok(json!({}))
        })
    }

    pub(super) fn get_group(&self, input: &Named) -> Result<Value> {
        let name = name(input.work_group.as_deref(), "workGroup")?;
        let entries = &self.athena.entries;
        let found = entries.read(self.caller, |scope| find(scope, name))?;
        Ok(json!({"WorkGroup": found.show()}))
    }

    pub(super) fn list_groups(&self, input: &Page) -> Result<Value> {
        let (after, most) = (input.start()?, input.size()?);
        let (found, next) = self.athena.entries.read(self.caller, |scope| {
            // From the second page on without `primary`, if it was never changed: it is not stored.
            let is_first = after.is_empty() && scope.get::<WorkGroup>(GROUPS, PRIMARY)?.is_none();
            let size = if is_first { most - 1 } else { most };
            let (mut found, next) = match size {
                // The page after the empty name is the first one.
                0 => (Vec::new(), (scope.count(GROUPS)? > 0).then(|| "\u{1}".to_owned())),
                size => scope.page::<WorkGroup>(GROUPS, &after, size, |_| true)?,
            };
            if is_first {
                found.insert(0, primary()?);
            }
            Ok::<_, Error>((found, next))
        })?;
        let shown: Vec<Value> = found.iter().map(WorkGroup::summary).collect();
        Ok(with_token(json!({"WorkGroups": shown}), next))
    }

    pub(super) fn update_group(&self, input: Update) -> Result<Value> {
        let name = name(input.work_group.as_deref(), "workGroup")?;
        self.athena.entries.write(self.caller, |scope| {
            let mut group = find(scope, name)?;
            if input.description.is_some() {
                group.description = input.description;
            }
            if let Some(state) = input.state {
                group.state = state;
            }
            if let Some(updates) = input.configuration_updates {
                group.configuration = group.configuration.updated(updates)?;
            }
            group.check()?;
            scope.put(GROUPS, name, &group)?;
            Ok(json!({}))
        })
    }

    pub(super) fn delete_group(&self, input: &Delete) -> Result<Value> {
        let name = name(input.work_group.as_deref(), "workGroup")?;
        if name == PRIMARY {
            return Err(Error::invalid("primary workGroup could not be deleted"));
        }
        self.athena.entries.write(self.caller, |scope| {
            find(scope, name)?;
            if !self.is_empty(scope, name)? && !input.recursive_delete_option {
                return Err(Error::invalid(format!("WorkGroup {name} is not empty")));
            }
            self.remove_queries(scope, name)?;
            scope.remove(GROUPS, name)?;
            Ok(json!({}))
        })
    }
}
