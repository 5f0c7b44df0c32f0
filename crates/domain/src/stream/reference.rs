//! A stream as a user names it: by name, or by ARN.

use crate::context::Context;
use ground::error::{Error, Result};

/// A stream by name, with the region and account of its ARN if that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReference {
    pub name: String,
    pub region: Option<String>,
    pub account: Option<String>,
}

impl StreamReference {
    /// Reads a name or an ARN such as `arn:aws:kinesis:us-east-1:123456789012:stream/orders`.
    /// Source: `StreamARN`, Kinesis API reference.
    ///
    /// # Errors
    /// Exit 2.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.starts_with("arn:") {
            super::check_name(text)?;
            return Ok(Self {
                name: text.to_owned(),
                region: None,
                account: None,
            });
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "kinesis", region, account, resource] = parts.as_slice() else {
            return Err(not_an_arn(text));
        };
        let name = resource.strip_prefix("stream/").ok_or_else(|| not_an_arn(text))?;
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if partition.is_empty() || region.is_empty() || !is_account || super::check_name(name).is_err() {
            return Err(not_an_arn(text));
        }
        Ok(Self {
            name: name.to_owned(),
            region: Some(region.to_owned()),
            account: Some(account.to_owned()),
        })
    }
}

impl StreamReference {
    /// How calls name the stream: by name, or by ARN if it belongs to another account than the credentials. Kinesis takes an
    /// ARN where a resource policy of the stream allows the call.
    /// Source: "Share your data stream with another account", Kinesis developer guide.
    ///
    /// # Errors
    /// Exit 4 when the account of the credentials cannot be asked for.
    pub async fn address(&self, ctx: &Context) -> Result<String> {
        let (Some(region), Some(account)) = (&self.region, &self.account) else {
            return Ok(self.name.clone());
        };
        match ctx.known_account().await? {
            Some(own) if own != account => {
                let partition = ctx.partition();
                Ok(format!(
                    "arn:{partition}:kinesis:{region}:{account}:stream/{}",
                    self.name
                ))
            }
            _ => Ok(self.name.clone()),
        }
    }

    /// The stream, whatever account it belongs to.
    #[must_use]
    pub fn of_any_account(self) -> Self {
        Self {
            account: None,
            ..self
        }
    }
}

/// The members `StreamName` and `StreamARN` of a call on `stream`, which is a name or an ARN.
pub(crate) fn name_or_arn(stream: &str) -> (Option<String>, Option<String>) {
    match stream.starts_with("arn:") {
        true => (None, Some(stream.to_owned())),
        false => (Some(stream.to_owned()), None),
    }
}

fn not_an_arn(text: &str) -> Error {
    Error::usage(format!("{text:?} is not the ARN of a stream"))
        .hint("it looks like arn:aws:kinesis:us-east-1:123456789012:stream/orders")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_told_apart() {
        let parsed = |text| StreamReference::parse(text).unwrap();
        let orders = parsed("orders");
        assert_eq!(
            (orders.name.as_str(), orders.region, orders.account),
            ("orders", None, None)
        );
        let china = parsed("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b_c-1");
        assert_eq!(china.name, "a.b_c-1");
        assert_eq!(china.region.as_deref(), Some("cn-north-1"));
        assert_eq!(china.account.as_deref(), Some("123456789012"));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "a b",
            "arn:",
            "arn:aws:kinesis:us-east-1:123456789012:stream/",
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/c:1",
            "arn:aws:kinesis:us-east-1:12345678901:stream/orders",
            "arn:aws:kinesis::123456789012:stream/orders",
            "arn:aws:sqs:us-east-1:123456789012:orders",
            "arn:aws:kinesis:us-east-1:123456789012:table/orders",
        ] {
            assert!(StreamReference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_call_names_a_stream_in_one_way() {
        let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
        assert_eq!(name_or_arn("orders"), (Some("orders".to_owned()), None));
        assert_eq!(name_or_arn(arn), (None, Some(arn.to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", tail in "arn:[a-z:]{0,30}[:/a-z0-9]{0,30}") {
            let _ = StreamReference::parse(&text);
            let _ = StreamReference::parse(&tail);
        }
    }
}
