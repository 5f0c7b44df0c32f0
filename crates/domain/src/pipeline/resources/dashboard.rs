//! `dashboard`: a CloudWatch dashboard.
//!
//! A dashboard belongs to an account, not to a region: dashboards in two regions need two names. Its tags tell the owner
//! (PutDashboard, Tags). Some endpoints have no tags of dashboards: there the note tells it that ends every dashboard of
//! streamctl, a text widget with the origin, as the reference of PutDashboard advises for programs.

mod body;

use async_trait::async_trait;
use aws_sdk_cloudwatch::operation::put_dashboard::PutDashboardError;
use aws_sdk_cloudwatch::types::DashboardValidationMessage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloudwatch_tags::sdk_tags;
use super::common::check_name;
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Location};
use crate::pipeline::tags::{MANAGED_BY, PIPELINE, STREAMCTL};
use ground::error::{Error, Result};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    /// In the manifest, a table or JSON in a string. Checking the properties replaces it with the table and the note.
    body: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    body: Value,
}

type Dashboard<'a> = Managed<'a, Declared>;

impl Dashboard<'_> {
    async fn put(&self, tags: Option<TagMap>) -> Result<()> {
        let call = self.context.cloudwatch().put_dashboard();
        let call = call
            .dashboard_name(&self.declared.name)
            .dashboard_body(self.declared.body.to_string())
            .set_tags(tags.map(|tags| sdk_tags(&tags)));
        let answer = call.send().await;
        if let Err(error) = &answer
            && let Some(PutDashboardError::DashboardInvalidInputError(invalid)) = error.as_service_error()
            && !invalid.dashboard_validation_messages().is_empty()
        {
            let what = format!("CloudWatch refuses the body of {}", self.label());
            return Err(invalid_body(&what, invalid.dashboard_validation_messages()));
        }
        let answer = self.response("put", answer)?;
        // With warnings, CloudWatch stores the dashboard, and shows a part of it empty.
        match answer.dashboard_validation_messages() {
            [] => Ok(()),
            messages => {
                let what = format!("{} is stored, but a part of it is not valid", self.label());
                Err(invalid_body(&what, messages))
            }
        }
    }
}

fn invalid_body(what: &str, messages: &[DashboardValidationMessage]) -> Error {
    Error::failed(what)
        .cause(in_words(messages))
        .hint("correct the body in the manifest, then run the same command again")
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

#[async_trait]
impl Kind for Dashboard<'_> {
    const NOUN: &'static str = "dashboard";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        // Source: PutDashboard, DashboardName.
        check_name("dashboard", &self.declared.name, (1, 255), "-_")?;
        let body = match &self.declared.body {
            Value::String(text) => serde_json::from_str(text).map_err(|error| {
                self.bad_property(&format!("the body of the dashboard is not JSON: {error}"))
            })?,
            other => other.clone(),
        };
        let body = body::with_note(body, &self.spec.identity);
        self.declared.body = body.map_err(|problem| self.bad_property(&problem))?;
        Ok(())
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    /// Without a region. Source: "Resource types defined by Amazon CloudWatch", service authorization reference.
    fn arn(&self) -> String {
        let Location {
            account, partition, ..
        } = self.location;
        let name = &self.declared.name;
        format!("arn:{partition}:cloudwatch::{account}:dashboard/{name}")
    }

    fn summary(&self) -> String {
        match body::widgets(&self.declared.body).len() {
            1 => "1 widget".to_owned(),
            n => format!("{n} widgets"),
        }
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let call = self.context.cloudwatch().get_dashboard();
        let call = call.dashboard_name(&self.declared.name);
        let Some(answer) = self.response_if_exists("read", call.send().await)? else {
            return Ok(None);
        };
        let text = answer.dashboard_body().unwrap_or_default();
        // A body that is not JSON differs from ours.
        let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let tags = self.cloudwatch_tags(&self.arn()).await?.unwrap_or_default();
        let tags = match body::noted(&body) {
            Some(pipeline) if tags.is_empty() => TagMap::from([
                (MANAGED_BY.to_owned(), STREAMCTL.to_owned()),
                (PIPELINE.to_owned(), pipeline),
            ]),
            _ => tags,
        };
        Ok(Some((tags, Facts { body })))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let (there, wanted) = (&existing.facts.body, &self.declared.body);
        if body::same(there, wanted) {
            return Ok(Vec::new());
        }
        let count = |body: &Value| format!("{} widgets", body::widgets(body).len());
        let (from, to) = match (count(there), count(wanted)) {
            (from, to) if from == to => ("another".to_owned(), "as declared".to_owned()),
            counts => counts,
        };
        Ok(vec![Change::update("body", from, to)])
    }

    /// Not where the tags are only those that the note stands for.
    fn is_tagged(&self, existing: &Existing<'_, Facts>) -> bool {
        let mut keys = existing.tags().keys();
        !(existing.tags().len() == 2 && keys.all(|key| key == MANAGED_BY || key == PIPELINE))
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        step.touched();
        self.put(Some(self.spec.tags.all())).await?;
        self.complete_cloudwatch_tags(step).await
    }

    async fn update(&self, _field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("replacing the body");
        self.put(None).await
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        self.cloudwatch_tag(target, &tags).await
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        self.cloudwatch_untag(target, keys).await
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.cloudwatch().delete_dashboards();
        let call = call.dashboard_names(&self.declared.name);
        self.response_if_exists("delete", call.send().await).map(drop)
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
            [self.arn()],
        )]
    }
}

#[cfg(test)]
mod tests;
