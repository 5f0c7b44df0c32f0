//! The features of a user and a product: their order, where they are stored, and their scale.
//!
//! One table holds both. The key `id` is `user#` or `product#` and the id. `cart-features` writes it.

use serde::Deserialize;

use crate::store::Item;

/// Features of a user, in the order of the model.
pub const USER: [&str; 6] = [
    "user_orders",
    "user_periods",
    "user_mean_days_since_prior",
    "user_products",
    "user_distinct_products",
    "user_reorder_ratio",
];

/// Features of a product. They follow those of the user.
pub const PRODUCT: [&str; 4] = [
    "prod_orders",
    "prod_reorders",
    "prod_first_orders",
    "prod_second_orders",
];

/// Number of features.
pub const COUNT: usize = USER.len() + PRODUCT.len();

/// The features of one user and one product. What is not known is NaN.
pub type Row = [f32; COUNT];

/// The attribute of a user's item with the ids of the products that may be recommended, the likeliest first.
pub const CANDIDATES: &str = "products";

/// Maximum number of candidates: the keys of one BatchGetItem.
pub const MAX_CANDIDATES: usize = 100;

pub fn user_key(id: &str) -> String {
    format!("user#{id}")
}

pub fn product_key(id: &str) -> String {
    format!("product#{id}")
}

/// The number in `name`, or NaN.
fn number(item: &Item, name: &str) -> f64 {
    let text = item.get(name).and_then(|value| value.as_n().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// The mean and the standard deviation of each feature, as scikit-learn's `StandardScaler` has them in `mean_` and `scale_`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Scaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    /// # Errors
    /// Why it cannot be used. Completes the sentence "the scaler …".
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let scaler: Self = serde_json::from_slice(json)
            .map_err(|error| format!("is not an object with mean and scale: {error}"))?;
        if scaler.mean.len() != COUNT || scaler.scale.len() != COUNT {
            return Err(format!("does not have mean and scale of {COUNT} features"));
        }
        if scaler.mean.iter().any(|mean| !mean.is_finite()) {
            return Err("has a mean that is not a number".to_owned());
        }
        // scikit-learn writes 1 for a feature that is the same everywhere.
        if scaler
            .scale
            .iter()
            .any(|scale| !scale.is_finite() || *scale <= 0.0)
        {
            return Err("has a scale that is not above zero".to_owned());
        }
        Ok(scaler)
    }

    /// The scaled features of `user` and `product`.
    pub fn row(&self, user: &Item, product: &Item) -> Row {
        let values = USER.iter().map(|name| number(user, name));
        let values = values.chain(PRODUCT.iter().map(|name| number(product, name)));
        let mut row = [f32::NAN; COUNT];
        for (place, value) in values.enumerate() {
            row[place] = ((value - self.mean[place]) / self.scale[place]) as f32;
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::attribute;

    fn scaler(mean: &[f64], scale: &[f64]) -> Result<Scaler, String> {
        Scaler::parse(json!({"mean": mean, "scale": scale}).to_string().as_bytes())
    }

    #[test]
    fn a_row_is_scaled_and_in_the_order_of_the_model() {
        let mut mean = [0.0; COUNT];
        let mut scale = [1.0; COUNT];
        (mean[0], scale[0]) = (10.0, 4.0);
        (mean[6], scale[6]) = (100.0, 50.0);
        let user: Item = USER
            .iter()
            .zip(1..)
            .map(|(name, value)| ((*name).to_owned(), attribute::number(value)))
            .collect();
        let product = Item::from([
            ("prod_orders".to_owned(), attribute::number(200)),
            ("prod_reorders".to_owned(), attribute::text("many")),
            ("prod_second_orders".to_owned(), attribute::number("0.5")),
        ]);
        let row = scaler(&mean, &scale).unwrap().row(&user, &product);
        assert_eq!(row[..7], [-2.25, 2.0, 3.0, 4.0, 5.0, 6.0, 2.0]);
        assert!(row[7].is_nan() && row[8].is_nan());
        assert_eq!(row[9], 0.5);
    }

    #[test]
    fn a_scaler_that_cannot_be_used_is_refused() {
        let mut zero = [1.0; COUNT];
        zero[3] = 0.0;
        assert_eq!(
            scaler(&[0.0; COUNT], &zero).unwrap_err(),
            "has a scale that is not above zero"
        );
        assert_eq!(
            scaler(&[0.0; 4], &[1.0; 4]).unwrap_err(),
            "does not have mean and scale of 10 features"
        );
        let error = Scaler::parse(b"{\"mean\": []}").unwrap_err();
        assert_eq!(
            error,
            "is not an object with mean and scale: missing field `scale` at line 1 column 12"
        );
    }
}
