use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// XGBoost 3.4.1 saved this model, and computed the probabilities of `vectors.json` with it.
const MODEL: &[u8] = include_bytes!("xgboost.json");
const VECTORS: &[u8] = include_bytes!("vectors.json");

fn model() -> Value {
    serde_json::from_slice(MODEL).unwrap()
}

fn parse(model: &Value) -> Result<Model, String> {
    Model::parse(model.to_string().as_bytes())
}

/// A model of one tree: `x < 0.5` goes left, a missing `x` right.
fn stump() -> Value {
    let mut model = model();
    model["learner"]["gradient_booster"]["model"]["trees"] = json!([{
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
        "split_conditions": [0.5, -1.0, 1.0], "default_left": [0, 0, 0],
    }]);
    model["learner"]["learner_model_param"]["base_score"] = "5E-1".into();
    model
}

#[test]
fn agrees_with_xgboost() {
    let vectors: Value = serde_json::from_slice(VECTORS).unwrap();
    let model = Model::parse(MODEL).unwrap();
    assert_eq!(
        (model.features(), model.feature_names()),
        (4, &["a", "b", "c", "d"].map(str::to_owned)[..])
    );
    let rows = vectors["X"].as_array().unwrap();
    assert_eq!(rows.len(), 50);
    for (row, expected) in rows.iter().zip(vectors["p"].as_array().unwrap()) {
        let row: Vec<f32> = row.as_array().unwrap().iter().map(number).collect();
        let difference = f64::from(model.probability(&row)) - expected.as_f64().unwrap();
        assert!(difference.abs() <= 1e-6, "{row:?}: {difference}");
    }
}

fn number(value: &Value) -> f32 {
    value.as_f64().map_or(f32::NAN, |value| value as f32)
}

#[test]
fn equal_goes_right_and_missing_by_default() {
    let left = sigmoid(-1.0);
    let right = sigmoid(1.0);
    let mut stump = stump();
    let model = parse(&stump).unwrap();
    for (row, expected) in [
        (vec![0.499_999_97], left),
        (vec![0.5], right),
        (vec![f32::NAN], right),
        (vec![], right),
        (vec![f32::NEG_INFINITY], left),
    ] {
        assert_eq!(model.probability(&row), expected, "{row:?}");
    }
    stump["learner"]["gradient_booster"]["model"]["trees"][0]["default_left"] = json!([true, false, false]);
    assert_eq!(parse(&stump).unwrap().probability(&[f32::NAN]), left);
}

#[test]
fn base_score_is_a_probability_in_both_spellings() {
    for (text, margin) in [("5E-1", 0.0), ("[5E-1]", 0.0), ("[2.5E-1]", -(3.0_f32.ln()))] {
        assert!((base(text).unwrap() - margin).abs() < 1e-6, "{text}");
    }
    for text in ["", "0E0", "1E0", "[2E-1,3E-1]", "NaN", "-1"] {
        assert_eq!(
            base(text).unwrap_err(),
            format!("has the base_score {text:?}: it must be one probability")
        );
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_a_reason() {
    let tree = |member: &str, value: Value| {
        let mut model = stump();
        model["learner"]["gradient_booster"]["model"]["trees"][0][member] = value;
        parse(&model).unwrap_err()
    };
    let learner = |pointer: &str, value: Value| {
        let mut model = stump();
        *model.pointer_mut(&format!("/learner/{pointer}")).unwrap() = value;
        parse(&model).unwrap_err()
    };
    let cases = [
        learner("gradient_booster/name", "dart".into()),
        learner("objective/name", "multi:softprob".into()),
        learner("learner_model_param/num_class", "3".into()),
        learner("learner_model_param/num_feature", "many".into()),
        tree("left_children", json!([])),
        tree("left_children", json!([1, -1])),
        tree("left_children", json!([7, -1, -1])),
        tree("left_children", json!([-2, -1, -1])),
        tree("left_children", json!([0, -1, -1])),
        tree("right_children", json!([1, -1, -1])),
        tree("split_indices", json!([4, 0, 0])),
        tree("split_conditions", json!([1e60, 0, 0])),
        tree("default_left", json!([2, 0, 0])),
        tree("split_type", json!([1, 0, 0])),
        Model::parse(b"{}").unwrap_err(),
        Model::parse(&MODEL[..1000]).unwrap_err(),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    has the booster "dart": only gbtree is supported
    has the objective "multi:softprob": only binary:logistic is supported
    has more than one output
    has "many" features
    has a tree 0 that has no nodes, or members of different lengths
    has a tree 0 that has no nodes, or members of different lengths
    has a tree 0 that has a child of its node 0 that does not exist
    has a tree 0 that has a child of its node 0 that does not exist
    has a tree 0 that reaches its node 0 twice
    has a tree 0 that reaches its node 1 twice
    has a tree 0 that splits by the feature 4, but has 4 features
    has a tree 0 that has a number at its node 0 that is out of the range of f32
    is not a model that XGBoost saved as JSON: 2 is neither 0 nor 1 at line 1 column 306
    has a tree 0 that splits by categories: only numbers are supported
    is not a model that XGBoost saved as JSON: missing field `learner` at line 1 column 2
    is not a model that XGBoost saved as JSON: EOF while parsing an object at line 1 column 1000
    "#);
}

#[test]
fn size_is_bounded() {
    // A path of splits: node 2i splits into the leaf 2i+1 and the node 2i+2.
    let path = |splits: i32| {
        let nodes = 2 * splits + 1;
        let is_split = |node: i32| node % 2 == 0 && node < nodes - 1;
        let child = |offset| -> Value {
            (0..nodes)
                .map(|node| if is_split(node) { node + offset } else { -1 })
                .collect()
        };
        let zeros: Value = (0..nodes).map(|_| 0).collect();
        let mut model = stump();
        model["learner"]["gradient_booster"]["model"]["trees"] = json!([{
            "left_children": child(1), "right_children": child(2), "split_indices": zeros,
            "split_conditions": zeros, "default_left": zeros,
        }]);
        parse(&model)
    };
    assert!(path(64).is_ok());
    assert_eq!(
        path(65).unwrap_err(),
        "has a tree 0 that is deeper than 64 splits"
    );
    let mut model = stump();
    let trees = &mut model["learner"]["gradient_booster"]["model"]["trees"];
    *trees = vec![trees[0].clone(); MAX_TREES + 1].into();
    assert_eq!(
        parse(&model).unwrap_err(),
        "has 10001 trees with 30003 nodes: at most 10000 with 1000000 are evaluated"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damage_never_panics(
        at in 0..MODEL.len(),
        byte in any::<u8>(),
        end in 0..=MODEL.len(),
        row in proptest::collection::vec(any::<f32>(), 0..6),
    ) {
        let mut damaged = MODEL.to_vec();
        damaged[at] = byte;
        for damaged in [&damaged[..], &MODEL[..end]] {
            if let Ok(model) = Model::parse(damaged) {
                let probability = model.probability(&row);
                prop_assert!((0.0..=1.0).contains(&probability), "{probability}");
            }
        }
    }

    #[test]
    fn children_at_random_are_refused_or_end(children in proptest::collection::vec(-1..8_i32, 14)) {
        let mut model = model();
        let tree = &mut model["learner"]["gradient_booster"]["model"]["trees"][0];
        tree["left_children"] = json!(children[..7]);
        tree["right_children"] = json!(children[7..]);
        if let Ok(model) = parse(&model) {
            prop_assert!(model.probability(&[0.1, 0.2]).is_finite());
        }
    }
}
