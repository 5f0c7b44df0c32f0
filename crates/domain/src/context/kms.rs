//! Calls of KMS: what a key is, who may use it, and which aliases it has.

use serde_json::{Value, json};

use super::Context;
use super::json_api::{Paging, RegionalApi};
use super::signed::Retries;
use ground::error::Result;

const KMS: RegionalApi = RegionalApi {
    service: "KMS",
    signing_name: "kms",
    target: "TrentService",
    retries: Retries::All,
};

/// A key, as far as it is used. States and kinds are the words of the service, such as `PendingDeletion`.
/// Source: KeyMetadata, KMS API reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyMetadata {
    pub(crate) id: String,
    pub(crate) arn: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) usage: Option<String>,
    pub(crate) spec: Option<String>,
    /// `AWS` for an AWS managed key, else `CUSTOMER`.
    pub(crate) manager: Option<String>,
}

impl KeyMetadata {
    fn read(metadata: &Value) -> Self {
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        Self {
            id: text("KeyId").unwrap_or_default(),
            arn: text("Arn"),
            state: text("KeyState"),
            usage: text("KeyUsage"),
            spec: text("KeySpec"),
            manager: text("KeyManager"),
        }
    }
}

impl Context {
    /// The key with this alias, id or ARN (DescribeKey); `None` if the answer does not describe it. `what` begins the sentence
    /// of an error.
    ///
    /// # Errors
    /// As [`Context::call_regional`].
    pub(crate) async fn describe_key(&self, key: &str, what: String) -> Result<Option<KeyMetadata>> {
        let input = json!({"KeyId": key});
        let answer = self.call_regional(KMS, "DescribeKey", &input, what).await?;
        let metadata = &answer["KeyMetadata"];
        Ok(metadata.is_object().then(|| KeyMetadata::read(metadata)))
    }

    /// The text of the policy of a key, by its id or ARN (GetKeyPolicy).
    ///
    /// # Errors
    /// As [`Context::call_regional`].
    pub(crate) async fn key_policy(&self, key: &str, what: String) -> Result<String> {
        // A key has no other policy.
        let input = json!({"KeyId": key, "PolicyName": "default"});
        let answer = self.call_regional(KMS, "GetKeyPolicy", &input, what).await?;
        Ok(answer["Policy"].as_str().unwrap_or_default().to_owned())
    }

    /// The names of the aliases of a key, by its id or ARN (ListAliases).
    ///
    /// # Errors
    /// As [`Context::call_regional`].
    pub(crate) async fn aliases_of_key(&self, key: &str, what: &str) -> Result<Vec<String>> {
        let input = json!({"KeyId": key});
        let paging = Paging {
            list: "Aliases",
            next: "NextMarker",
            from: "Marker",
        };
        let aliases = self.call_pages(KMS, "ListAliases", input, paging, what).await?;
        let names = aliases.iter().filter_map(|alias| alias["AliasName"].as_str());
        Ok(names.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;

    const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/1";

    fn what() -> String {
        "could not".to_owned()
    }

    #[tokio::test]
    async fn a_key_is_what_the_service_says_it_is() {
        let endpoint = Endpoint::start(|call, body| {
            let answer = match (call, body) {
                ("DescribeKey", r#"{"KeyId":"alias/mine"}"#) => json!({"KeyMetadata": {
                    "KeyId": "1", "Arn": ARN, "KeyState": "Disabled", "KeyUsage": "ENCRYPT_DECRYPT",
                    "KeySpec": "SYMMETRIC_DEFAULT", "KeyManager": "CUSTOMER", "CreationDate": 1_767_225_600.25,
                }}),
                ("DescribeKey", _) => json!({"KeyMetadata": null}),
                ("GetKeyPolicy", r#"{"KeyId":"1","PolicyName":"default"}"#) => json!({"Policy": "{}"}),
                ("ListAliases", r#"{"KeyId":"1"}"#) => {
                    json!({"Aliases": [{"AliasName": "alias/mine"}, {}], "Truncated": true, "NextMarker": "m"})
                }
                ("ListAliases", r#"{"KeyId":"1","Marker":"m"}"#) => {
                    json!({"Aliases": [{"AliasName": "alias/other"}], "Truncated": false})
                }
                other => panic!("{other:?} is not expected"),
            };
            (200, answer.to_string())
        })
        .await;
        let context = &endpoint.context;
        let text = |text: &str| Some(text.to_owned());
        let key = KeyMetadata {
            id: "1".to_owned(),
            arn: text(ARN),
            state: text("Disabled"),
            usage: text("ENCRYPT_DECRYPT"),
            spec: text("SYMMETRIC_DEFAULT"),
            manager: text("CUSTOMER"),
        };
        assert_eq!(
            context.describe_key("alias/mine", what()).await.unwrap(),
            Some(key)
        );
        assert_eq!(context.describe_key("2", what()).await.unwrap(), None);
        assert_eq!(context.key_policy("1", what()).await.unwrap(), "{}");
        assert_eq!(
            context.aliases_of_key("1", "could not").await.unwrap(),
            ["alias/mine", "alias/other"]
        );
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_says_nothing() {
        let endpoint = Endpoint::start(|_, _| {
            let answer = json!({"KeyMetadata": 7, "Policy": [], "Aliases": {}});
            (200, answer.to_string())
        })
        .await;
        let context = &endpoint.context;
        assert_eq!(context.describe_key("1", what()).await.unwrap(), None);
        assert_eq!(context.key_policy("1", what()).await.unwrap(), "");
        assert!(context.aliases_of_key("1", "could not").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_is_not_found_and_a_throttle_is_tried_again() {
        let mut throttled = false;
        let endpoint = Endpoint::start(move |_, _| {
            let code = match std::mem::replace(&mut throttled, true) {
                true => "NotFoundException",
                false => "ThrottlingException",
            };
            (400, json!({"__type": code, "message": "no"}).to_string())
        })
        .await;
        let error = endpoint.context.describe_key("1", what()).await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        assert_eq!(error.chain(), ["could not", "NotFoundException: no"]);
        assert_eq!(endpoint.calls(), ["DescribeKey", "DescribeKey"]);
    }
}
