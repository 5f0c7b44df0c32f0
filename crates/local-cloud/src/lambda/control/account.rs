//! The account's limits, and function settings that the local cloud does not support: shown as unset.

use serde_json::json;

use super::{Answer, Request, ok, version_of};
use crate::lambda::executor::ACCOUNT_CONCURRENCY;
use crate::lambda::model::runtime_version;

impl Request<'_> {
    pub(super) fn get_account_settings(&self) -> Answer {
        let functions = self.lambda.registry.list(self.caller);
        let reserved: u32 = functions.iter().filter_map(|function| function.reserved).sum();
        let size: u64 = functions
            .iter()
            .flat_map(|function| function.all())
            .map(|version| version.code_size)
            .sum();
        ok(json!({
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800_u64,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
                "UnreservedConcurrentExecutions": ACCOUNT_CONCURRENCY.saturating_sub(reserved),
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": functions.len()},
        }))
    }

    pub(super) fn get_code_signing_config(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        self.lambda.registry.find(&name)?;
        ok(json!({"CodeSigningConfigArn": "", "FunctionName": name.name}))
    }

    pub(super) fn get_runtime_management_config(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let function = self.lambda.registry.find(&name)?;
        let version = version_of(&function, &name)?;
        ok(json!({
            "UpdateRuntimeOn": "Auto",
            "FunctionArn": format!("{}:{}", name.arn(), version.version),
            "RuntimeVersionArn": runtime_version(&self.caller.region, &version.runtime),
        }))
    }

    pub(super) fn get_recursion_config(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        self.lambda.registry.find(&name)?;
        ok(json!({"RecursiveLoop": "Terminate"}))
    }
}
