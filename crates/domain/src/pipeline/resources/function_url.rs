//! `function_url`: the URL of a function, who may call it, and its CORS. Lambda keeps no tags for it: it belongs to the
//! pipeline that its function belongs to.

use async_trait::async_trait;
use aws_sdk_lambda::types::FunctionUrlAuthType;
use serde::{Deserialize, Serialize};

use super::common;
use super::function_permission::{self, Permission};
use super::kind::{Existing, Kind, Managed, TagMap};
use super::web_cors::Cors;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use crate::pipeline::tags::{self, Owner, PIPELINE};
use ground::error::{self, Result};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    /// Name or ARN.
    function: String,
    auth: Option<Auth>,
    cors: Option<Cors>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    /// Everyone may call it.
    None,
    /// Calls are signed.
    Iam,
}

impl Auth {
    fn word(self) -> &'static str {
        match self {
            Self::None => "public",
            Self::Iam => "signed requests only",
        }
    }

    fn sdk(self) -> FunctionUrlAuthType {
        match self {
            Self::None => FunctionUrlAuthType::None,
            Self::Iam => FunctionUrlAuthType::AwsIam,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Without a slash at its end.
    url: String,
    auth: Auth,
    cors: Cors,
    /// Whether the function's policy has the statements that a public URL needs.
    public: bool,
}

type Url<'a> = Managed<'a, Declared>;

impl Url<'_> {
    fn auth(&self) -> Auth {
        self.declared.auth.unwrap_or(Auth::None)
    }

    /// The name of the function.
    fn function(&self) -> &str {
        let function = &self.declared.function;
        function.rsplit(':').next().unwrap_or(function)
    }

    fn function_arn(&self) -> String {
        self.arn_of("lambda", &format!("function:{}", self.function()))
    }

    /// A public URL needs both.
    /// Source: "Control access to Lambda function URLs", Lambda developer guide.
    fn permissions(&self) -> [Permission; 2] {
        [
            ("StreamctlUrl", "InvokeFunctionUrl"),
            ("StreamctlUrlInvoke", "InvokeFunction"),
        ]
        .map(|(sid, action)| Permission {
            sid: sid.to_owned(),
            action,
            principal: "*",
            source_arn: None,
            source_account: None,
            of_url: true,
        })
    }

    /// The tags that it would have: ours, with the owner of its function where that is another pipeline.
    async fn tags(&self) -> Result<TagMap> {
        let call = self.context.lambda().list_tags().resource(self.function_arn());
        let function: TagMap = match call.send().await {
            Ok(answer) => answer.tags.unwrap_or_default().into_iter().collect(),
            Err(error) if error::aws::is_not_found(&error) => TagMap::new(),
            Err(error) => {
                let what = format!("could not list the tags of function {}", self.function());
                return Err(error::aws::failed(what, error));
            }
        };
        let mut tags = self.spec.tags.all();
        if let Owner::Pipeline(owner) = tags::owner(&function, &self.spec.identity) {
            tags.insert(PIPELINE.to_owned(), owner);
        }
        Ok(tags)
    }

    /// Grants what a public URL needs, or takes it back.
    async fn set_permissions(&self, step: &Step<'_>) -> Result<()> {
        let permissions = self.permissions();
        if self.auth() == Auth::None {
            return function_permission::grant(self.context, self.function(), &permissions, step).await;
        }
        for permission in &permissions {
            function_permission::revoke(self.context, self.function(), &permission.sid).await?;
        }
        Ok(())
    }

    async fn set(&self, auth: Option<Auth>, cors: Option<&Cors>) -> Result<()> {
        let call = self.context.lambda().update_function_url_config();
        let call = call
            .function_name(self.function())
            .set_auth_type(auth.map(Auth::sdk))
            .set_cors(cors.map(Cors::to_lambda));
        self.response("change", call.send().await).map(drop)
    }
}

#[async_trait]
impl Kind for Url<'_> {
    const NOUN: &'static str = "function URL";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        match self.declared.cors.as_ref().and_then(Cors::problem) {
            Some(problem) => Err(self.bad_property(&problem)),
            None => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.function().to_owned()
    }

    fn label(&self) -> String {
        format!("the URL of function {}", self.function())
    }

    fn summary(&self) -> String {
        self.auth().word().to_owned()
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        if !common::is_known(&self.declared.function) {
            return Ok(None);
        }
        let call = self.context.lambda().get_function_url_config();
        let answer = call.function_name(self.function()).send().await;
        let Some(there) = self.response_if_exists("read", answer)? else {
            return Ok(None);
        };
        let policy = function_permission::policy(self.context, self.function()).await?;
        let facts = Facts {
            url: there.function_url.trim_end_matches('/').to_owned(),
            auth: match there.auth_type {
                FunctionUrlAuthType::AwsIam => Auth::Iam,
                _ => Auth::None,
            },
            cors: there.cors.as_ref().map(Cors::of_lambda).unwrap_or_default(),
            public: self.permissions().iter().all(|one| one.is_in(&policy)),
        };
        Ok(Some((self.tags().await?, facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let mut changes = Vec::new();
        if facts.auth != self.auth() && self.enforced("auth", existing) {
            changes.push(Change::update("access", facts.auth.word(), self.auth().word()));
        } else if facts.auth == Auth::None && self.auth() == Auth::None && !facts.public {
            changes.push(Change::update("permission", "none", "everyone may call it"));
        }
        let cors = self.declared.cors.as_ref();
        if let Some(cors) = cors.filter(|cors| self.enforced("cors", existing) && !cors.same(&facts.cors)) {
            changes.push(Change::update("CORS", facts.cors.words(), cors.words()));
        }
        Ok(changes)
    }

    fn is_tagged(&self, _existing: &Existing<'_, Facts>) -> bool {
        false
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.lambda().create_function_url_config();
        let call = call
            .function_name(self.function())
            .auth_type(self.auth().sdk())
            .set_cors(self.declared.cors.as_ref().map(Cors::to_lambda));
        self.response("create", call.send().await)?;
        step.touched();
        self.set_permissions(step).await
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting {field}"));
        match field {
            "access" => {
                self.set(Some(self.auth()), None).await?;
                self.set_permissions(step).await
            }
            "permission" => self.set_permissions(step).await,
            "CORS" => self.set(None, self.declared.cors.as_ref()).await,
            other => Err(self.unknown_field(other)),
        }
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.lambda().delete_function_url_config();
        let answer = call.function_name(self.function()).send().await;
        self.response_if_exists("delete", answer)?;
        for permission in self.permissions() {
            function_permission::revoke(self.context, self.function(), &permission.sid).await?;
        }
        Ok(())
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let (state, words) = match facts.auth {
            Auth::None if !facts.public => (
                CheckState::Fault,
                "refuses every request: the function's policy does not allow everyone",
            ),
            auth => (CheckState::Good, auth.word()),
        };
        vec![Check::new(state, "described", words)]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        match facts {
            Some(facts) => common::outputs([("url", facts.url)]),
            None => Outputs::new(),
        }
    }

    /// Source: "Actions, resources, and condition keys for AWS Lambda", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let arn = self.function_arn();
        let url = Statement::new(
            &[
                "lambda:CreateFunctionUrlConfig",
                "lambda:DeleteFunctionUrlConfig",
                "lambda:GetFunctionUrlConfig",
                "lambda:ListTags",
                "lambda:UpdateFunctionUrlConfig",
            ],
            [arn.clone()],
        );
        vec![url, function_permission::iam(&arn)]
    }
}

#[cfg(test)]
mod tests;
