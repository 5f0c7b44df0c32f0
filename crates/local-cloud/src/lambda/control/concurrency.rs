//! Reserved concurrency.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Request, no_content, ok};
use crate::lambda::error::ApiError;
use crate::lambda::executor::ACCOUNT_CONCURRENCY;
use crate::lambda::settings;

/// Concurrency that must remain unreserved. Source: "Configuring reserved concurrency", developer guide.
const UNRESERVED: u32 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Put {
    reserved_concurrent_executions: Option<i64>,
}

impl Request<'_> {
    pub(super) fn put_concurrency(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let input: Put = settings::read(self.body)?;
        let wanted = input
            .reserved_concurrent_executions
            .ok_or_else(|| ApiError::missing("reservedConcurrentExecutions"))?;
        let wanted = settings::ranged(wanted, "reservedConcurrentExecutions", 0, u32::MAX)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        let others: u32 = self
            .lambda
            .registry
            .list(self.caller)
            .iter()
            .filter(|other| other.name != name.name)
            .filter_map(|other| other.reserved)
            .sum();
        if wanted > (ACCOUNT_CONCURRENCY - UNRESERVED).saturating_sub(others) {
            return Err(ApiError::invalid(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
                 below its minimum value of [{UNRESERVED}]."
            )));
        }
        function.reserved = Some(wanted);
        change.put(self.caller, function)?;
        ok(json!({"ReservedConcurrentExecutions": wanted}))
    }

    pub(super) fn get_concurrency(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let function = self.lambda.registry.find(&name)?;
        ok(match function.reserved {
            Some(reserved) => json!({"ReservedConcurrentExecutions": reserved}),
            None => json!({}),
        })
    }

    pub(super) fn delete_concurrency(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        function.reserved = None;
        change.put(self.caller, function)?;
        no_content()
    }
}
