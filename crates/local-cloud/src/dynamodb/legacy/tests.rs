//! Conditions of legacy parameters evaluate as AWS's documentation says, and what AWS refuses is refused.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::evaluate::meets;
use super::super::update::apply;
use super::super::value::Item;
use super::*;

/// A small attribute value. Few different ones, so that comparisons are often met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum V {
    S(String),
    N(i8),
    B(Vec<u8>),
    Bool(bool),
    Ss(std::collections::BTreeSet<String>),
    Ns(std::collections::BTreeSet<i8>),
    L(Vec<V>),
}

impl V {
    fn json(&self) -> Value {
        match self {
            Self::S(text) => json!({ "S": text }),
            Self::N(number) => json!({"N": number.to_string()}),
            Self::B(bytes) => json!({"B": base64_simd::STANDARD.encode_to_string(bytes)}),
            Self::Bool(flag) => json!({ "BOOL": flag }),
            Self::Ss(members) => json!({ "SS": members }),
            Self::Ns(members) => {
                let members: Vec<String> = members.iter().map(i8::to_string).collect();
                json!({ "NS": members })
            }
            Self::L(members) => json!({"L": members.iter().map(V::json).collect::<Vec<_>>()}),
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Self::S(_) | Self::N(_) | Self::B(_))
    }

    fn same_type(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

fn text() -> impl Strategy<Value = String> {
    "[ab]{1,3}"
}

fn scalar() -> impl Strategy<Value = V> {
    prop_oneof![
        text().prop_map(V::S),
        (-2i8..=2).prop_map(V::N),
        vec(0u8..2, 1..3).prop_map(V::B),
    ]
}

fn any_value() -> impl Strategy<Value = V> {
    prop_oneof![
        4 => scalar(),
        1 => any::<bool>().prop_map(V::Bool),
        1 => btree_set(text(), 1..3).prop_map(V::Ss),
        1 => btree_set(-2i8..=2, 1..3).prop_map(V::Ns),
        1 => vec(scalar(), 0..3).prop_map(V::L),
    ]
}

#[derive(Debug, Clone)]
enum Expectation {
    Exists(bool, Option<V>),
    Compare(&'static str, Vec<V>),
}

fn expectation_strategy() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        Just(Expectation::Exists(false, None)),
        any_value().prop_map(|value| Expectation::Exists(true, Some(value))),
        prop::sample::select(vec!["NULL", "NOT_NULL"])
            .prop_map(|operator| Expectation::Compare(operator, Vec::new())),
        (prop::sample::select(vec!["EQ", "NE"]), any_value())
            .prop_map(|(operator, value)| Expectation::Compare(operator, vec![value])),
        (
            prop::sample::select(vec!["LT", "LE", "GT", "GE", "CONTAINS", "NOT_CONTAINS"]),
            scalar()
        )
            .prop_map(|(operator, value)| Expectation::Compare(operator, vec![value])),
        text().prop_map(|prefix| Expectation::Compare("BEGINS_WITH", vec![V::S(prefix)])),
        vec(text().prop_map(V::S), 1..4).prop_map(|values| Expectation::Compare("IN", values)),
        (-2i8..=2, -2i8..=2)
            .prop_map(|(a, b)| { Expectation::Compare("BETWEEN", vec![V::N(a.min(b)), V::N(a.max(b))]) }),
    ]
}

impl Expectation {
    fn json(&self) -> Value {
        match self {
            Self::Exists(false, _) => json!({"Exists": false}),
            Self::Exists(true, value) => json!({"Value": value.as_ref().unwrap().json()}),
            Self::Compare(operator, values) => json!({
                "ComparisonOperator": operator,
                "AttributeValueList": values.iter().map(V::json).collect::<Vec<_>>(),
            }),
        }
    }

    /// The sentences of the API reference, one by one.
    fn holds(&self, actual: Option<&V>) -> bool {
        let (operator, values) = match self {
            // "If Exists is false, DynamoDB assumes that the attribute value does not exist in the table."
            Self::Exists(false, _) => return actual.is_none(),
            // "If Exists is true, DynamoDB will check to see if that attribute value already exists in the table."
            Self::Exists(true, value) => return actual == value.as_ref(),
            Self::Compare(operator, values) => (*operator, values),
        };
        match (operator, actual) {
            ("NULL", _) => actual.is_none(),
            ("NOT_NULL", _) => actual.is_some(),
            // "Checks for inequality", "absence of a value": a missing attribute is unequal to and contains nothing.
            ("NE", _) => actual != Some(&values[0]),
            ("NOT_CONTAINS", _) => !actual.is_some_and(|actual| contains(actual, &values[0])),
            (_, None) => false,
            ("EQ", Some(actual)) => *actual == values[0],
            ("IN", Some(actual)) => values.contains(actual),
            ("CONTAINS", Some(actual)) => contains(actual, &values[0]),
            ("BEGINS_WITH", Some(V::S(actual))) => {
                matches!(&values[0], V::S(prefix) if actual.starts_with(prefix))
            }
            ("BEGINS_WITH", Some(_)) => false,
            // "If an item contains an AttributeValue of a different type … the value does not match."
            (_, Some(actual)) if !actual.same_type(&values[0]) || !actual.is_scalar() => false,
            ("LT", Some(actual)) => *actual < values[0],
            ("LE", Some(actual)) => *actual <= values[0],
            ("GT", Some(actual)) => *actual > values[0],
            ("GE", Some(actual)) => *actual >= values[0],
            ("BETWEEN", Some(actual)) => (&values[0]..=&values[1]).contains(&actual),
            _ => unreachable!("{operator}"),
        }
    }
}

/// "If the target attribute of the comparison is a String, then the operator checks for a substring match. … a set:
/// true if it finds an exact match with any member of the set. CONTAINS is supported for lists."
fn contains(actual: &V, part: &V) -> bool {
    match (actual, part) {
        (V::S(text), V::S(part)) => text.contains(part.as_str()),
        (V::B(bytes), V::B(part)) => bytes.windows(part.len()).any(|window| window == part),
        (V::Ss(members), V::S(part)) => members.contains(part),
        (V::Ns(members), V::N(part)) => members.contains(part),
        (V::L(members), part) => members.contains(part),
        _ => false,
    }
}

fn names() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "leaseOwner", "status"]).prop_map(str::to_owned)
}

fn input(value: Value) -> Input {
    value.as_object().unwrap().clone()
}

proptest! {
    #[test]
    fn conditions_are_what_the_documentation_says(
        item in btree_map(names(), any_value(), 0..5),
        expected in btree_map(names(), expectation_strategy(), 0..5),
        any in any::<bool>(),
    ) {
        let stored: Item = item.iter().map(|(name, value)| (name.clone(), value.json())).collect();
        let entries: Map<String, Value> = expected.iter().map(|(name, e)| (name.clone(), e.json())).collect();
        let mut request = input(json!({ "Expected": entries }));
        if expected.len() > 1 {
            request.insert("ConditionalOperator".to_owned(), json!(if any { "OR" } else { "AND" }));
        }
        let condition = super::expected(&mut request).unwrap();
        let mut each = expected.iter().map(|(name, expectation)| expectation.holds(item.get(name)));
        let naive = match expected.len() {
            0 => true,
            1 => each.all(|holds| holds),
            _ if any => each.any(|holds| holds),
            _ => each.all(|holds| holds),
        };
        prop_assert_eq!(condition.is_none_or(|condition| meets(&stored, &condition)), naive);

        // The same conditions are a filter, but for those without an operator.
        let filters: Map<String, Value> = expected
            .iter()
            .filter(|(_, expectation)| matches!(expectation, Expectation::Compare(..)))
            .map(|(name, expectation)| (name.clone(), expectation.json()))
            .collect();
        let naive = expected
            .iter()
            .filter(|(name, _)| filters.contains_key(*name))
            .all(|(name, expectation)| expectation.holds(item.get(name)));
        let filter = super::filter(&mut input(json!({ "ScanFilter": filters })), "ScanFilter").unwrap();
        prop_assert_eq!(filter.is_none_or(|filter| meets(&stored, &filter)), naive);
    }

    #[test]
    fn updates_are_what_the_documentation_says(
        item in btree_map(names(), any_value(), 0..5),
        updates in btree_map(names(), (0..5usize, any_value(), -2i8..=2, btree_set(text(), 1..3)), 1..5),
    ) {
        let mut naive: std::collections::BTreeMap<String, V> = item.clone();
        let mut given = Map::new();
        let mut fails = false;
        for (name, (kind, value, number, members)) in updates {
            let old = naive.get(&name).cloned();
            let update = match kind {
                0 => {
                    naive.insert(name.clone(), value.clone());
                    json!({"Action": "PUT", "Value": value.json()})
                }
                // "Valid values are PUT (default)".
                1 => {
                    naive.insert(name.clone(), value.clone());
                    json!({"Value": value.json()})
                }
                2 => {
                    naive.remove(&name);
                    json!({"Action": "DELETE"})
                }
                3 => {
                    match old {
                        None => drop(naive.insert(name.clone(), V::N(number))),
                        Some(V::N(old)) => drop(naive.insert(name.clone(), V::N(old + number))),
                        Some(_) => fails = true,
                    }
                    json!({"Action": "ADD", "Value": V::N(number).json()})
                }
                _ => {
                    match old {
                        None => {}
                        Some(V::Ss(old)) => {
                            let left: std::collections::BTreeSet<_> = old.difference(&members).cloned().collect();
                            naive.remove(&name);
                            if !left.is_empty() {
                                naive.insert(name.clone(), V::Ss(left));
                            }
                        }
                        Some(_) => fails = true,
                    }
                    json!({"Action": "DELETE", "Value": V::Ss(members).json()})
                }
            };
            given.insert(name, update);
        }
        let stored: Item = item.iter().map(|(name, value)| (name.clone(), value.json())).collect();
        let actions = super::updates(&mut input(json!({ "AttributeUpdates": given }))).unwrap().unwrap();
        match apply(&stored, &actions) {
            Err(_) => prop_assert!(fails),
            Ok(new) => {
                prop_assert!(!fails);
                prop_assert_eq!(new.len(), naive.len());
                for (name, value) in naive {
                    prop_assert!(super::super::value::equal(&new[&name], &value.json()), "{}", name);
                }
            }
        }
    }
}

#[test]
fn what_aws_refuses_is_refused() {
    let value = json!({"S": "x"});
    let message = |field: &str, entry: Value| {
        let mut request = input(json!({ field: {"a": entry} }));
        let error = match field {
            "Expected" => super::expected(&mut request).map(|_| ()),
            "AttributeUpdates" => super::updates(&mut request).map(|_| ()),
            "KeyConditions" => super::key_conditions(&mut request).map(|_| ()),
            _ => super::filter(&mut request, "QueryFilter").map(|_| ()),
        };
        format!("{field}: {}", error.unwrap_err().message)
    };
    let refusals = [
        message("Expected", json!({})),
        message("Expected", json!({"Exists": true})),
        message("Expected", json!({"Exists": false, "Value": value})),
        message("Expected", json!({"AttributeValueList": [value]})),
        message("Expected", json!({"Value": value, "AttributeValueList": [value]})),
        message("Expected", json!({"Exists": true, "ComparisonOperator": "NULL"})),
        message("Expected", json!({"ComparisonOperator": "EQ"})),
        message("Expected", json!({"ComparisonOperator": "LIKE", "Value": value})),
        message(
            "QueryFilter",
            json!({"ComparisonOperator": "EQ", "AttributeValueList": [value, value]}),
        ),
        message(
            "QueryFilter",
            json!({"ComparisonOperator": "NULL", "AttributeValueList": [value]}),
        ),
        message(
            "QueryFilter",
            json!({"ComparisonOperator": "GT", "AttributeValueList": [{"BOOL": true}]}),
        ),
        message(
            "QueryFilter",
            json!({"ComparisonOperator": "IN", "AttributeValueList": [value, {"N": "1"}]}),
        ),
        message(
            "QueryFilter",
            json!({"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "2"}, {"N": "1"}]}),
        ),
        message("QueryFilter", json!({"AttributeValueList": [value]})),
        message(
            "KeyConditions",
            json!({"ComparisonOperator": "NE", "AttributeValueList": [value]}),
        ),
        message("AttributeUpdates", json!({"Action": "PUT"})),
        message("AttributeUpdates", json!({"Action": "ADD", "Value": value})),
        message("AttributeUpdates", json!({"Action": "DELETE", "Value": value})),
        message("AttributeUpdates", json!({"Action": "SET", "Value": value})),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    Expected: One or more parameter values were invalid: Value must be provided when Exists is null for Attribute: a
    Expected: One or more parameter values were invalid: Value must be provided when Exists is true for Attribute: a
    Expected: One or more parameter values were invalid: Value cannot be used when Exists is false for Attribute: a
    Expected: One or more parameter values were invalid: AttributeValueList can only be used with a ComparisonOperator for Attribute: a
    Expected: One or more parameter values were invalid: Value and AttributeValueList cannot be used together for Attribute: a
    Expected: One or more parameter values were invalid: Exists and ComparisonOperator cannot be used together for Attribute: a
    Expected: One or more parameter values were invalid: Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a
    Expected: 1 validation error detected: Value 'LIKE' at 'expected.a.member.comparisonOperator' failed to satisfy constraint: Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]
    QueryFilter: One or more parameter values were invalid: Invalid number of argument(s) for the EQ ComparisonOperator
    QueryFilter: One or more parameter values were invalid: Invalid number of argument(s) for the NULL ComparisonOperator
    QueryFilter: One or more parameter values were invalid: ComparisonOperator GT is not valid for BOOL AttributeValue type
    QueryFilter: One or more parameter values were invalid: AttributeValues inside AttributeValueList must be of same type
    QueryFilter: The BETWEEN condition was provided a range where the lower bound is greater than the upper bound
    QueryFilter: 1 validation error detected: Value null at 'queryFilter.a.member.comparisonOperator' failed to satisfy constraint: Member must not be null
    KeyConditions: Attempted conditional constraint is not an indexable operation
    AttributeUpdates: One or more parameter values were invalid: Only DELETE action is allowed when no attribute value is specified
    AttributeUpdates: One or more parameter values were invalid: ADD action is not supported for the type S
    AttributeUpdates: One or more parameter values were invalid: DELETE action with value is not supported for the type S
    AttributeUpdates: 1 validation error detected: Value 'SET' at 'attributeUpdates.a.member.action' failed to satisfy constraint: Member must satisfy enum value set: [ADD, DELETE, PUT]
    ");
}

#[test]
fn operators_need_two_conditions_to_join() {
    let refused = |request: Value| super::expected(&mut input(request)).unwrap_err().message;
    let one = json!({"a": {"Exists": false}});
    let refusals = [
        refused(json!({"ConditionalOperator": "AND"})),
        refused(json!({"ConditionalOperator": "OR", "Expected": one})),
        refused(json!({"ConditionalOperator": "XOR", "Expected": one})),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    ConditionalOperator cannot be used without Filter or Expected
    ConditionalOperator can only be used when Filter or Expected has two or more elements
    1 validation error detected: Value 'XOR' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]
    ");
}

#[test]
fn expressions_and_legacy_parameters_exclude_each_other() {
    let refused =
        |parameters: &Parameters, request: Value| parameters.check(&input(request)).unwrap_err().message;
    let refusals = [
        refused(
            &UPDATE,
            json!({"AttributeUpdates": {}, "Expected": {}, "UpdateExpression": "SET a = :a"}),
        ),
        refused(&QUERY, json!({"KeyConditions": {}, "FilterExpression": "a = :a"})),
        refused(
            &GET,
            json!({"AttributesToGet": ["a"], "ProjectionExpression": "a"}),
        ),
        refused(
            &WRITE,
            json!({"Expected": {}, "ExpressionAttributeNames": {"#a": "a"}}),
        ),
        refused(
            &UPDATE,
            json!({"Expected": {}, "ExpressionAttributeValues": {":a": {"S": "a"}}}),
        ),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributeUpdates, Expected} Expression parameters: {UpdateExpression}
    Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {KeyConditions} Expression parameters: {FilterExpression}
    Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}
    ExpressionAttributeNames can only be specified when using expressions
    ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null
    ");
}

#[test]
fn many_conditions_make_no_deep_tree() {
    let entries: Map<String, Value> = (0..200_000)
        .map(|i| (format!("a{i}"), json!({"Exists": false})))
        .collect();
    let condition = super::expected(&mut input(json!({ "Expected": entries })))
        .unwrap()
        .unwrap();
    assert!(meets(&Item::new(), &condition));
}
