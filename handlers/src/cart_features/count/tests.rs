use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn order(user: u64, number: u32, days: Option<f64>, products: &[(&str, u8)]) -> String {
    let line = |(id, reordered): &(&str, u8)| json!({"product_id": id, "reordered": reordered});
    json!({
        "order_id": 1, "user_id": user, "order_number": number, "days_since_prior": days,
        "products": products.iter().map(line).collect::<Vec<_>>(),
    })
    .to_string()
}

type Counted = (Vec<UserFeatures>, BTreeMap<String, ProductFeatures>);

fn count(orders: &[String]) -> Result<Counted, String> {
    let mut counter = Counter::default();
    let mut users = Vec::new();
    for order in orders {
        users.extend(counter.add(order.as_bytes())?);
    }
    let (last, products) = counter.finish();
    users.extend(last);
    let products = products
        .into_iter()
        .map(|(id, features)| (id.to_string(), features));
    Ok((users, products.collect()))
}

#[test]
fn features_of_two_users() {
    let (users, products) = count(&[
        order(7, 1, None, &[("milk", 0), ("tea", 0)]),
        order(7, 2, Some(7.0), &[("milk", 1)]),
        order(7, 4, Some(3.0), &[("bread", 0), ("milk", 1)]),
        order(12, 1, None, &[("tea", 0)]),
    ])
    .unwrap();
    insta::assert_snapshot!(serde_json::to_string(&users).unwrap(), @r#"[{"user_id":7,"user_orders":4,"user_periods":10.0,"user_mean_days_since_prior":3.3333333333333335,"user_products":5,"user_distinct_products":3,"user_reorder_ratio":0.6666666666666666,"products":["milk","bread","tea"]},{"user_id":12,"user_orders":1,"user_periods":0.0,"user_mean_days_since_prior":0.0,"user_products":1,"user_distinct_products":1,"user_reorder_ratio":null,"products":["tea"]}]"#);
    insta::assert_snapshot!(serde_json::to_string(&products).unwrap(), @r#"{"bread":{"prod_orders":1,"prod_reorders":0,"prod_first_orders":1,"prod_second_orders":0},"milk":{"prod_orders":3,"prod_reorders":2,"prod_first_orders":1,"prod_second_orders":1},"tea":{"prod_orders":2,"prod_reorders":0,"prod_first_orders":2,"prod_second_orders":0}}"#);
}

#[test]
fn ids_may_be_numbers_or_text() {
    let line = br#"{"user_id":"7","order_number":1,"days_since_prior":null,"products":[{"product_id":196,"reordered":0}],"x":[]}"#;
    let mut counter = Counter::default();
    assert_eq!(counter.add(line), Ok(None));
    let (user, products) = counter.finish();
    assert_eq!(user.unwrap().products, ["196"]);
    assert_eq!(&*products[0].0, "196");
}

#[test]
fn what_would_give_wrong_features_is_refused() {
    let reasons = [
        vec![order(7, 1, None, &[]), order(6, 1, None, &[])],
        vec![order(7, 2, None, &[]), order(7, 1, None, &[])],
        vec![order(7, 2, None, &[]), order(7, 2, None, &[])],
        vec![order(7, 0, None, &[])],
        vec![order(7, 1, Some(-1.0), &[])],
        vec![order(7, 1, None, &[("tea", 2)])],
        vec![order(7, 1, None, &[("tea", 0), ("tea", 1)])],
        vec![order(7, 1, None, &[("", 0)])],
        vec![order(7, 1, None, &[(&"x".repeat(129), 0)])],
        vec!["{}".to_owned()],
        vec![r#"{"user_id":"a","order_number":1,"products":[]}"#.to_owned()],
    ]
    .map(|orders| count(&orders).unwrap_err());
    insta::assert_snapshot!(reasons.join("\n"), @r"
    user 6 follows user 7: sort the orders by user_id and order_number
    order 1 of user 7 follows order 2: sort the orders by user_id and order_number
    order 2 of user 7 follows order 2: sort the orders by user_id and order_number
    order_number begins at 1
    days_since_prior is from 0 to 1000000
    reordered is neither 0 nor 1
    it has the product tea twice
    a product_id has 1 to 128 bytes
    a product_id has 1 to 128 bytes
    it is not an order: missing field `user_id` at line 1 column 2
    it is not an order: user_id is not a whole number at line 1 column 14
    ");
}

/// User, number, days and lines of an order.
type Ordered = (u64, u32, Option<f64>, Vec<(String, u8)>);

/// A line of an order, as in a table of the lines of all orders.
struct Row {
    user: u64,
    number: u32,
    product: String,
    reordered: u8,
}

/// The features as SQL computes them: groups of rows, and ranks of orders within user and product.
fn by_groups(orders: &[Ordered]) -> Counted {
    let rows: Vec<Row> = orders
        .iter()
        .flat_map(|(user, number, _, lines)| {
            lines.iter().map(|(product, reordered)| Row {
                user: *user,
                number: *number,
                product: product.clone(),
                reordered: *reordered,
            })
        })
        .collect();
    let mut users: Vec<u64> = orders.iter().map(|order| order.0).collect();
    users.dedup();
    let users = users.into_iter().map(|user| {
        let own: Vec<_> = orders.iter().filter(|order| order.0 == user).collect();
        let lines: Vec<&Row> = rows.iter().filter(|row| row.user == user).collect();
        let days: Vec<f64> = own.iter().map(|order| order.2.unwrap_or(0.0)).collect();
        let after = lines.iter().filter(|row| row.number > 1).count();
        let reordered: u32 = lines.iter().map(|row| u32::from(row.reordered)).sum();
        let mut products: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
        for row in &lines {
            let (times, last) = products.entry(&row.product).or_default();
            (*times, *last) = (*times + 1, row.number);
        }
        let mut likely: Vec<_> = products.iter().collect();
        likely.sort_by_key(|(_, bought)| Reverse(**bought));
        UserFeatures {
            user_id: user,
            user_orders: own.iter().map(|order| order.1).max().unwrap(),
            user_periods: days.iter().sum(),
            user_mean_days_since_prior: days.iter().sum::<f64>() / days.len() as f64,
            user_products: lines.len() as u64,
            user_distinct_products: products.len() as u64,
            user_reorder_ratio: (after > 0).then(|| f64::from(reordered) / after as f64),
            products: likely.iter().map(|(id, _)| (**id).to_owned()).collect(),
        }
    });
    let mut products: BTreeMap<String, ProductFeatures> = BTreeMap::new();
    for row in &rows {
        let rank = rows
            .iter()
            .filter(|other| {
                other.user == row.user && other.product == row.product && other.number <= row.number
            })
            .count();
        let features = products.entry(row.product.clone()).or_default();
        features.prod_orders += 1;
        features.prod_reorders += u64::from(row.reordered);
        features.prod_first_orders += u64::from(rank == 1);
        features.prod_second_orders += u64::from(rank == 2);
    }
    (users.collect(), products)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn one_pass_gives_what_groups_give(
        orders in proptest::collection::btree_map(
            (0..4_u64, 1..6_u32),
            (proptest::option::of(0..30_u8), proptest::collection::btree_map("[a-e]", 0..2_u8, 0..4)),
            1..20,
        ),
    ) {
        let orders: Vec<_> = orders
            .into_iter()
            .map(|((user, number), (days, lines))| (user, number, days.map(f64::from), lines.into_iter().collect::<Vec<_>>()))
            .collect();
        let lines: Vec<String> = orders
            .iter()
            .map(|(user, number, days, lines)| {
                let lines: Vec<(&str, u8)> = lines.iter().map(|(id, reordered)| (id.as_str(), *reordered)).collect();
                order(*user, *number, *days, &lines)
            })
            .collect();
        prop_assert_eq!(count(&lines).unwrap(), by_groups(&orders));
    }
}
