//! The retention of a log group.

use crate::context::Context;
use ground::error::{self, Result};

/// How many days the log group `name` keeps its events, `Some(None)` for ever; `None` where there is no such group.
///
/// # Errors
/// When the groups cannot be listed.
pub async fn retention(context: &Context, name: &str) -> Result<Option<Option<u32>>> {
    let call = context.logs().describe_log_groups().log_group_name_prefix(name);
    let mut pages = call.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                let error = error::aws::failed(format!("could not read log group {name}"), error);
                return match error.is_not_found() {
                    true => Ok(None),
                    false => Err(error),
                };
            }
        };
        let groups = page.log_groups();
        if let Some(group) = groups.iter().find(|group| group.log_group_name() == Some(name)) {
            let days = group.retention_in_days.and_then(|days| u32::try_from(days).ok());
            return Ok(Some(days));
        }
    }
    Ok(None)
}
