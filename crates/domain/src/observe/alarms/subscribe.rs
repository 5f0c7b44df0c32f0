//! The topic that alarms notify, and the subscriptions of email addresses to it.

use super::set::quoted;
use crate::pipeline::Manifest;
use crate::pipeline::resources;
use ground::error::{Error, Result};

/// The name of the topic. Alarms of `alarms set` notify it unless they are given another one.
pub const TOPIC: &str = "streamctl-alarms";

/// Refuses what is not an email address.
///
/// # Errors
/// Exit 2.
pub fn check_email(address: &str) -> Result<()> {
    let parts = address.split_once('@');
    let is_address = parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    });
    let is_plain = !address
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == ',');
    match is_address && is_plain && address.matches('@').count() == 1 {
        true => Ok(()),
        false => Err(Error::usage(format!("{address:?} is not an email address"))
            .hint("give one address, such as me@example.com")),
    }
}

/// The manifest that declares the topic and the subscription of `email`.
///
/// # Errors
/// Exit 2 for an address that is not one.
pub fn manifest(email: &str) -> Result<Manifest> {
    check_email(email)?;
    let text = format!(
        "name = \"notifications\"\n\
         description = \"The topic of the alarms\"\n\
         instance = \"alarms\"\n\
         [[resources]]\n\
         kind = \"topic\"\n\
         id = \"topic\"\n\
         properties = {{ name = {topic}, display_name = \"streamctl alarms\" }}\n\
         [[resources]]\n\
         kind = \"subscription\"\n\
         id = \"email\"\n\
         properties = {{ topic = \"${{topic.arn}}\", protocol = \"email\", endpoint = {email} }}\n",
        topic = quoted(TOPIC),
        email = quoted(email),
    );
    Manifest::parse("of the topic", &text, &resources::properties)
}
