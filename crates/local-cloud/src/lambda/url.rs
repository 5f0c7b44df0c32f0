//! Looks up function URLs for [`crate::web`].

use super::Lambda;
use super::name::FunctionName;
use crate::web::function_url::{FunctionUrl, Urls};

impl Urls for Lambda {
    fn find(&self, id: &str) -> Option<FunctionUrl> {
        let mut found = None;
        self.registry.any(|caller, function| {
            found = function
                .urls
                .iter()
                .find(|(_, url)| url.id == id)
                .map(|(alias, url)| {
                    let qualifier = Some(alias.clone()).filter(|alias| !alias.is_empty());
                    let name = FunctionName {
                        caller: caller.clone(),
                        name: function.name.clone(),
                        qualifier,
                    };
                    FunctionUrl {
                        caller: caller.clone(),
                        target: name.qualified_arn(),
                        signed: url.signed,
                        cors: url.cors.clone(),
                    }
                });
            found.is_some()
        });
        found
    }
}
