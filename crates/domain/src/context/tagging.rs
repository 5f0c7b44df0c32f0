//! Calls of the Resource Groups Tagging API: which resources have a tag, and which values a tag has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Context;
use super::json_api::{Paging, RegionalApi};
use super::signed::Retries;
use ground::error::Result;

const TAGGING: RegionalApi = RegionalApi {
    service: "Resource Groups Tagging API",
    signing_name: "tagging",
    target: "ResourceGroupsTaggingAPI_20170126",
    retries: Retries::All,
};

/// A resource with its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaggedResource {
    pub(crate) arn: String,
    pub(crate) tags: BTreeMap<String, String>,
}

impl TaggedResource {
    /// `None` for one without an ARN.
    fn read(mapping: &Value) -> Option<Self> {
        let tags = mapping["Tags"].as_array().into_iter().flatten();
        let tag = |tag: &Value| {
            let value = tag["Value"].as_str().unwrap_or_default();
            Some((tag["Key"].as_str()?.to_owned(), value.to_owned()))
        };
        Some(Self {
            arn: mapping["ResourceARN"].as_str()?.to_owned(),
            tags: tags.filter_map(tag).collect(),
        })
    }
}

impl Context {
    /// The resources that `filter` accepts, an input of GetResources. `what` begins the sentence of an error.
    ///
    /// # Errors
    /// As [`Context::call_regional`].
    pub(crate) async fn tagged_resources(&self, filter: Value, what: &str) -> Result<Vec<TaggedResource>> {
        let paging = pages("ResourceTagMappingList");
        let found = self
            .call_pages(TAGGING, "GetResources", filter, paging, what)
            .await?;
        Ok(found.iter().filter_map(TaggedResource::read).collect())
    }

    /// The values of the tag `key`, in the order of the service (GetTagValues). `what` begins the sentence of an error.
    ///
    /// # Errors
    /// As [`Context::call_regional`].
    pub(crate) async fn tag_values(&self, key: &str, what: &str) -> Result<Vec<String>> {
        let input = json!({"Key": key});
        let found = self
            .call_pages(TAGGING, "GetTagValues", input, pages("TagValues"), what)
            .await?;
        let values = found.iter().filter_map(Value::as_str);
        Ok(values.map(str::to_owned).collect())
    }
}

/// The pages of an operation that lists `list`.
fn pages(list: &'static str) -> Paging {
    const TOKEN: &str = "PaginationToken";
    Paging {
        list,
        next: TOKEN,
        from: TOKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;

    fn inputs(body: &str) -> (Value, Value) {
        let mut input: Value = serde_json::from_str(body).unwrap();
        let token = input["PaginationToken"].take();
        (input, token)
    }

    #[tokio::test]
    async fn every_page_is_read_with_the_same_filter() {
        let endpoint = Endpoint::start(|_, body| {
            let (input, token) = inputs(body);
            assert_eq!(input["ResourceTypeFilters"], json!(["kinesis:stream"]));
            let page = match token.as_str() {
                None => json!({"PaginationToken": "2", "ResourceTagMappingList": [
                    {"ResourceARN": "arn:1", "Tags": [{"Key": "env", "Value": "prod"}, {"Key": "empty"}]},
                    {"Tags": []},
                ]}),
                Some("2") => json!({"PaginationToken": "3"}),
                Some(_) => {
                    json!({"PaginationToken": "", "ResourceTagMappingList": [{"ResourceARN": "arn:2"}]})
                }
            };
            (200, page.to_string())
        })
        .await;
        let filter = json!({"ResourceTypeFilters": ["kinesis:stream"]});
        let found = endpoint.context.tagged_resources(filter, "could not").await;
        let tags = |tags: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            tags.iter().map(owned).collect()
        };
        let expected = [
            TaggedResource {
                arn: "arn:1".to_owned(),
                tags: tags(&[("env", "prod"), ("empty", "")]),
            },
            TaggedResource {
                arn: "arn:2".to_owned(),
                tags: tags(&[]),
            },
        ];
        assert_eq!(found.unwrap(), expected);
        assert_eq!(endpoint.calls().len(), 3);
    }

    #[tokio::test]
    async fn a_page_that_follows_itself_is_the_last() {
        let endpoint = Endpoint::start(|call, body| {
            assert_eq!(call, "GetTagValues");
            let (input, token) = inputs(body);
            assert_eq!(input["Key"], "owner");
            let value = if token.is_null() { "a" } else { "b" };
            let page = json!({"PaginationToken": "again", "TagValues": [value]});
            (200, page.to_string())
        })
        .await;
        let values = endpoint.context.tag_values("owner", "could not").await.unwrap();
        assert_eq!(values, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_refusal_of_any_page_is_an_error() {
        let endpoint = Endpoint::start(|_, body| match inputs(body).1.is_null() {
            true => (
                200,
                json!({"PaginationToken": "2", "TagValues": ["a"]}).to_string(),
            ),
            false => {
                let refused = json!({"__type": "AccessDeniedException", "Message": "no tag:GetTagValues"});
                (400, refused.to_string())
            }
        })
        .await;
        let error = endpoint.context.tag_values("owner", "could not list").await;
        assert_eq!(
            error.unwrap_err().chain(),
            ["could not list", "AccessDeniedException: no tag:GetTagValues"]
        );
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_empty_page() {
        for answer in ["null", "", r#"{"TagValues":{}}"#] {
            let endpoint = Endpoint::start(move |_, _| (200, answer.to_owned())).await;
            let values = endpoint.context.tag_values("owner", "could not").await.unwrap();
            assert!(values.is_empty(), "{answer}");
        }
    }
}
