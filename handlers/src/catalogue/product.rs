//! The body of a request that creates or changes a product.

use decimal::Decimal;

use crate::attribute;
use crate::json::{self, Json, Object};
use crate::store::Item;

/// DynamoDB's limit for a partition key, in bytes.
pub const MAX_KEY_BYTES: usize = 2048;
/// DynamoDB's limit for a sort key, and ours for the key of an index, in bytes.
const MAX_CATEGORY_BYTES: usize = 1024;
/// The position in the stream of the record that set the price. `price-updater` compares it.
pub const PRICE_SEQUENCE: &str = "price_sequence";
/// Attributes that other functions keep.
const KEPT: [&str; 2] = ["images", PRICE_SEQUENCE];
/// Maximum number of attributes. An update expression has at most 4 KB.
const MAX_ATTRIBUTES: usize = 100;

/// What a request sets and removes.
#[derive(Debug, Default)]
pub struct Changes {
    pub set: Item,
    /// Attributes that are `null` in the body.
    pub remove: Vec<String>,
}

impl Changes {
    /// Reads a body. `id` is that of the product to change; `None` for one to create.
    ///
    /// To change a product, a page may send back what it read: `images` stays as it is.
    ///
    /// # Errors
    /// A sentence without a full stop for the client.
    pub fn parse(body: &[u8], id: Option<&str>) -> Result<Self, String> {
        let json = json::parse(body).map_err(|error| format!("The body is not valid JSON: {error}"))?;
        let Json::Object(object) = json else {
            return Err("The body is not a JSON object".to_owned());
        };
        check_id(&object, id)?;
        if object.0.len() > MAX_ATTRIBUTES {
            return Err(format!("The product has more than {MAX_ATTRIBUTES} fields"));
        }
        let mut changes = Self::default();
        let attributes = object.0.iter().filter(|(name, _)| name != "id");
        for (name, value) in attributes {
            if KEPT.contains(&name.as_ref()) {
                match id {
                    Some(_) => continue,
                    None => return Err(format!("The field {name} is set by the service")),
                }
            }
            // Of a repeated name, the last value counts.
            changes.set.remove(name.as_ref());
            changes.remove.retain(|removed| removed != name);
            if name.is_empty() {
                return Err("A field has no name".to_owned());
            }
            match value {
                Json::Null => changes.remove.push(name.clone().into_owned()),
                value => {
                    let value = checked(name, value)?;
                    changes.set.insert(name.clone().into_owned(), value);
                }
            }
        }
        Ok(changes)
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// The item of a new product.
    pub fn into_item(self, id: &str) -> Item {
        let mut item = self.set;
        item.insert("id".to_owned(), attribute::text(id));
        item
    }
}

fn check_id(object: &Object<'_>, id: Option<&str>) -> Result<(), String> {
    match (object.get_or_null("id"), id) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("Product id is not allowed".to_owned()),
        (Some(Json::Text(given)), Some(id)) if given == id => Ok(()),
        (Some(_), Some(_)) => Err("The id in the body is not that of the product".to_owned()),
    }
}

/// The attribute value of a field. A price is a number, also if it is sent as text.
fn checked(name: &str, value: &Json<'_>) -> Result<aws_sdk_dynamodb::types::AttributeValue, String> {
    match (name, value) {
        ("price", Json::Number(text)) => price(text),
        ("price", Json::Text(text)) => price(text.trim()),
        ("price", _) => Err("The field price is not a number".to_owned()),
        // It is the key of an index.
        ("category", Json::Text(category)) if category.is_empty() || category.len() > MAX_CATEGORY_BYTES => {
            Err(format!(
                "The field category is empty or longer than {MAX_CATEGORY_BYTES} bytes"
            ))
        }
        ("category", Json::Text(category)) => Ok(attribute::text(category.clone())),
        ("category", _) => Err("The field category is not a string".to_owned()),
        _ => {
            attribute::check_value(value, 1).map_err(|problem| format!("The field {name} {problem}"))?;
            Ok(attribute::value(value))
        }
    }
}

fn price(text: &str) -> Result<aws_sdk_dynamodb::types::AttributeValue, String> {
    match Decimal::parse_json(text) {
        Ok(price) if price.is_negative() => Err("The field price is below zero".to_owned()),
        Ok(price) => Ok(attribute::number(price)),
        Err(error) => Err(format!("The field price {error}")),
    }
}
