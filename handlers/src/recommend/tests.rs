use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;

use super::*;
use crate::attribute::text;

fn user(products: &[&str]) -> Item {
    let products = products.iter().map(|id| text(*id)).collect();
    Item::from([(CANDIDATES.to_owned(), AttributeValue::L(products))])
}

#[test]
fn candidates_are_different_few_and_not_in_the_cart() {
    let cart = ["b".to_owned()];
    assert_eq!(candidates(&user(&["c", "a", "b", "c"]), &cart), ["c", "a"]);
    assert!(candidates(&Item::new(), &cart).is_empty());
    assert!(candidates(&Item::from([(CANDIDATES.to_owned(), text("a"))]), &cart).is_empty());
    let many: Vec<String> = (0..500).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(candidates(&user(&many), &cart).len(), MAX_CANDIDATES);
}

proptest! {
    #[test]
    fn the_best_are_the_likeliest(probabilities in proptest::collection::vec(prop_oneof![0.0..=1.0_f32, Just(f32::NAN), Just(0.5)], 0..40)) {
        let products: Vec<(String, Item)> = (0..probabilities.len()).map(|id| (format!("{id:02}"), Item::new())).collect();
        let found = best(products, probabilities.clone());
        let mut expected: Vec<(f32, usize)> = probabilities.iter().copied().zip(0..).filter(|(probability, _)| !probability.is_nan()).collect();
        // A stable sort: of equal ones the lower id is first.
        expected.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        expected.truncate(BEST);
        let expected: Vec<String> = expected.iter().map(|(_, id)| format!("{id:02}")).collect();
        let found: Vec<String> = found.into_iter().map(|product| product.product_id).collect();
        prop_assert_eq!(found, expected);
    }
}
