//! The names of the functions of an account and region.

use tokio::time::{Instant, timeout_at};

use crate::context::Context;

/// The names that are listed until `deadline`, page by page. An error ends the list.
pub async fn until(context: &Context, deadline: Instant) -> Vec<String> {
    let mut pages = context.lambda().list_functions().into_paginator().send();
    let mut names = Vec::new();
    while let Ok(Some(Ok(page))) = timeout_at(deadline, pages.next()).await {
        let functions = page.functions.unwrap_or_default().into_iter();
        names.extend(functions.filter_map(|function| function.function_name));
    }
    names
}
