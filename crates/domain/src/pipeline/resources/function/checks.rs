//! Whether a function works: active, with its code, its role and its logs.

use super::{Function, role_name};
use crate::functions::function::{FunctionState, Readiness};
use crate::functions::logs;
use crate::functions::package::short;
use crate::pipeline::resource::{Check, CheckState};
use ground::error::{self, Error, Result};

impl Function<'_> {
    /// The checks of `verify`.
    pub(super) async fn checks(&self, there: &FunctionState) -> Vec<Check> {
        let mut checks = vec![Check::of(
            "active",
            match there.readiness() {
                Ok(Readiness::Ready) => Ok(there.state.clone()),
                Ok(Readiness::Wait(what)) => Err(Error::failed(format!("waiting {what}"))),
                Err(trouble) => Err(Error::failed(trouble)),
            },
        )];
        if let Ok(Some(package)) = self.package() {
            let same = package.sha256 == there.code_sha256;
            let state = if same { CheckState::Good } else { CheckState::Fault };
            let detail = format!("{} of {}", short(&there.code_sha256), self.declared.handler);
            checks.push(Check::new(state, "code", detail));
        }
        checks.push(Check::of("role", self.role_exists(&there.role).await));
        checks.push(self.log_check(&there.log_group).await);
        checks
    }

    async fn role_exists(&self, arn: &str) -> Result<String> {
        let name = role_name(arn);
        let call = self.context.iam().get_role().role_name(name);
        match call.send().await {
            Ok(_) => Ok(name.to_owned()),
            Err(error) if error::aws::is_not_found(&error) => {
                Err(Error::failed(format!("there is no role {name}")))
            }
            Err(error) => Err(error::aws::failed(format!("could not read role {name}"), error)),
        }
    }

    async fn log_check(&self, group: &str) -> Check {
        let (state, detail) = match logs::retention(self.context, group).await {
            Ok(Some(Some(days))) => (CheckState::Good, format!("{group}, {days} days")),
            Ok(Some(None)) => (CheckState::Caution, format!("{group} keeps all logs forever")),
            Ok(None) => (CheckState::Fault, format!("there is no log group {group}")),
            Err(error) => (CheckState::Fault, error.chain().join(": ")),
        };
        Check::new(state, "log group", detail)
    }
}
