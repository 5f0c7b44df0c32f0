//! `dashboard`: a CloudWatch dashboard.
//!
//! Dashboards belong to an account, not to a region: a name that is to be made in two regions must differ in them. Whose
//! one is, its tags tell (PutDashboard, Tags). Where an endpoint knows no tags of dashboards, the note does that every
//! dashboard of streamctl's ends with: a text widget that says where it comes from, as the reference of PutDashboard
//! advises for dashboards made by a program.

mod body;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::DashboardValidationMessage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloudwatch_tags;
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Location, Observed, Outputs, Present, Resource, Spec, Surroundings};
use crate::pipeline::tags::{MANAGED_BY, PIPELINE, STREAMCTL};
use ground::error::{self, Error, Result};

/// What a manifest can say about a dashboard.
pub(super) const PROPERTIES: &[&str] = &["name", "body"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    /// The body as a table, or as JSON in a text.
    body: Value,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    body: Value,
}

pub(super) struct Dashboard<'a> {
    context: &'a Context,
    spec: Spec,
    name: String,
    /// With the note.
    body: Value,
    arn: String,
}

impl<'a> Dashboard<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        let problem =
            |problem: String| Error::usage(format!("line {}: resource {}: {problem}", spec.line, spec.id));
        check_name(&declared.name).map_err(problem)?;
        let body = match declared.body {
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| problem(format!("the body of the dashboard is not JSON: {error}")))?,
            other => other,
        };
        let body = body::with_note(body, &spec.identity).map_err(problem)?;
        Ok(Self {
            context,
            // Source: "Resource types defined by Amazon CloudWatch", service authorization reference: no region in it.
            arn: format!(
                "arn:{}:cloudwatch::{}:dashboard/{}",
                location.partition, location.account, declared.name
            ),
            name: declared.name,
            body,
            spec,
        })
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} dashboard {}", self.name)
    }

    async fn put(&self, tags: Option<BTreeMap<String, String>>) -> Result<()> {
        let call = self.context.cloudwatch().put_dashboard();
        let call = call
            .dashboard_name(&self.name)
            .dashboard_body(self.body.to_string())
            .set_tags(tags.map(|tags| cloudwatch_tags::sdk_tags(&tags)));
        match call.send().await {
            Ok(answer) => self.check_messages(answer.dashboard_validation_messages()),
            Err(error) => {
                let messages = error.as_service_error().and_then(|error| match error {
                    aws_sdk_cloudwatch::operation::put_dashboard::PutDashboardError::DashboardInvalidInputError(
                        invalid,
                    ) => Some(in_words(invalid.dashboard_validation_messages())),
                    _ => None,
                });
                let messages = messages.filter(|text| !text.is_empty());
                Err(match messages {
                    Some(text) => {
                        Error::failed(format!("CloudWatch refuses the body of dashboard {}", self.name))
                            .cause(text)
                            .hint("mend the body in the manifest, then run the same command again")
                    }
                    None => error::aws::failed(self.what("put"), error),
                })
            }
        }
    }

    /// With warnings a dashboard is stored all the same, and some of it stays empty.
    fn check_messages(&self, messages: &[DashboardValidationMessage]) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        Err(Error::failed(format!(
            "dashboard {} is stored, and a part of it is not valid",
            self.name
        ))
        .cause(in_words(messages))
        .hint("mend the body in the manifest, then run the same command again"))
    }
}

fn in_words(messages: &[DashboardValidationMessage]) -> String {
    let line = |message: &DashboardValidationMessage| {
        let text = message.message().unwrap_or_default();
        match message.data_path() {
            Some(path) => format!("{path}: {text}"),
            None => text.to_owned(),
        }
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Source: PutDashboard, DashboardName.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=255).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name of a dashboard: 1 to 255 letters, digits, - and _"
    ))
}

#[async_trait]
impl Resource for Dashboard<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn summary(&self) -> String {
        match body::widgets(&self.body).len() {
            1 => "1 widget".to_owned(),
            n => format!("{n} widgets"),
        }
    }

    async fn observe(&self) -> Result<Observed> {
        let call = self.context.cloudwatch().get_dashboard();
        let answer = match call.dashboard_name(&self.name).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = error::aws::failed(self.what("read"), error);
                let codes = [
                    "DashboardNotFoundError",
                    "ResourceNotFound",
                    "ResourceNotFoundException",
                ];
                return if codes.iter().any(|code| error.is(code)) {
                    Ok(Observed::Absent)
                } else {
                    Err(error)
                };
            }
        };
        let text = answer.dashboard_body().unwrap_or_default();
        // A body that is no JSON is none of ours, and differs.
        let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let what = format!("dashboard {}", self.name);
        let tags = match cloudwatch_tags::list(self.context, &self.arn, &what).await? {
            Some(tags) if !tags.is_empty() => tags,
            _ => match body::noted(&body) {
                Some(pipeline) => BTreeMap::from([
                    (MANAGED_BY.to_owned(), STREAMCTL.to_owned()),
                    (PIPELINE.to_owned(), pipeline),
                ]),
                None => BTreeMap::new(),
            },
        };
        let facts = Facts {
            arn: self.arn.clone(),
            body,
        };
        Ok(Observed::Present(Present {
            tags,
            facts: serde_json::to_value(facts)
                .map_err(|error| Error::failed("could not note what is there").cause(error))?,
        }))
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let mut changes = Vec::new();
        if !body::same(&facts.body, &self.body) {
            let count = |body: &Value| format!("{} widgets", body::widgets(body).len());
            let (from, to) = (count(&facts.body), count(&self.body));
            let (from, to) = if from == to {
                ("another".to_owned(), "as declared".to_owned())
            } else {
                (from, to)
            };
            changes.push(Change::update("body", from, to));
        }
        changes.extend(
            self.spec
                .tags
                .change(&present.tags)
                .filter(|_| self.is_tagged(present)),
        );
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let field = match change {
            Change::Create => {
                step.doing("creating");
                step.touched();
                self.put(Some(self.spec.tags.all())).await?;
                return cloudwatch_tags::complete(self.context, &self.arn, &self.spec, &self.name, step)
                    .await;
            }
            Change::Update { field, .. } => field.as_str(),
            refusal => return Err(Error::failed(refusal.to_string())),
        };
        step.touched();
        if field == "tags" {
            let none = BTreeMap::new();
            let there = observed.present().map_or(&none, |present| &present.tags);
            return cloudwatch_tags::set(self.context, &self.arn, &self.spec, there, step).await;
        }
        step.doing("replacing the body");
        self.put(None).await
    }

    async fn delete(&self, _observed: &Observed, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.cloudwatch().delete_dashboards();
        match call.dashboard_names(&self.name).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = error::aws::failed(self.what("delete"), error);
                let gone = error.is("DashboardNotFoundError") || error.is("ResourceNotFound");
                if gone { Ok(()) } else { Err(error) }
            }
        }
    }

    fn outputs(&self, _observed: &Observed) -> Outputs {
        Outputs::from([
            ("name".to_owned(), self.name.clone()),
            ("arn".to_owned(), self.arn.clone()),
        ])
    }

    /// Source: "Actions, resources, and condition keys for Amazon CloudWatch", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        vec![Statement::new(
            &[
                "cloudwatch:DeleteDashboards",
                "cloudwatch:GetDashboard",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutDashboard",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ],
            [self.arn.clone()],
        )]
    }
}

impl Dashboard<'_> {
    /// Whether its tags are real ones: those read off the note alone cannot be brought to more.
    fn is_tagged(&self, present: &Present) -> bool {
        let only_marks = present
            .tags
            .keys()
            .all(|key| key == MANAGED_BY || key == PIPELINE);
        !(only_marks && present.tags.len() == 2)
    }
}

#[cfg(test)]
mod tests;
