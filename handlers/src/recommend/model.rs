//! Evaluates a gradient-boosted model that XGBoost saved as JSON.
//!
//! <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>. Everything is `f32`, as in XGBoost: a value that
//! is rounded differently may go the other way at a split. A model is checked when it is read, so that evaluating it cannot
//! fail or go round in circles.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// Maximum number of trees.
const MAX_TREES: usize = 10_000;
/// Maximum number of nodes of all trees. A node takes 20 bytes.
const MAX_NODES: usize = 1_000_000;
/// Maximum number of splits between the root of a tree and a leaf. XGBoost's default is 6.
const MAX_DEPTH: usize = 64;
/// Left child of a leaf.
const NONE: i32 = -1;

/// A model for the probability of one outcome.
#[derive(Debug)]
pub struct Model {
    trees: Vec<Vec<Node>>,
    /// What the trees add to: the logit of `base_score`.
    base: f32,
    features: usize,
    feature_names: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf(f32),
    Split {
        feature: usize,
        value: f32,
        is_missing_left: bool,
        left: usize,
        right: usize,
    },
}

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: Parameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Trees,
}

#[derive(Deserialize)]
struct Trees {
    trees: Vec<Tree>,
}

/// Numbers in text.
#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default = "one")]
    num_target: String,
}

fn one() -> String {
    "1".to_owned()
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

/// A tree as columns: an element for each node.
#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    /// 1 is a split by category.
    #[serde(default)]
    split_type: Vec<u8>,
}

/// 0 or 1. Earlier versions write `false` or `true`.
#[derive(Clone, Copy)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u8),
            Bool(bool),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number @ 0..=1) => Ok(Self(number == 1)),
            Form::Bool(bool) => Ok(Self(bool)),
            Form::Number(number) => Err(D::Error::custom(format!("{number} is neither 0 nor 1"))),
        }
    }
}

impl Model {
    /// Reads a model of the objective `binary:logistic`.
    ///
    /// # Errors
    /// Why it cannot be used. Completes the sentence "the model …".
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let File { learner } = serde_json::from_slice(json)
            .map_err(|error| format!("is not a model that XGBoost saved as JSON: {error}"))?;
        let parameters = &learner.learner_model_param;
        let (booster, objective) = (&learner.gradient_booster.name, &learner.objective.name);
        if booster != "gbtree" {
            return Err(format!("has the booster {booster:?}: only gbtree is supported"));
        }
        if objective != "binary:logistic" {
            return Err(format!(
                "has the objective {objective:?}: only binary:logistic is supported"
            ));
        }
        if !matches!(parameters.num_class.as_str(), "0" | "1") || parameters.num_target != "1" {
            return Err("has more than one output".to_owned());
        }
        let features: usize = parameters
            .num_feature
            .parse()
            .map_err(|_| format!("has {:?} features", parameters.num_feature))?;
        let trees = learner.gradient_booster.model.trees;
        let nodes: usize = trees.iter().map(|tree| tree.left_children.len()).sum();
        if trees.len() > MAX_TREES || nodes > MAX_NODES {
            return Err(format!(
                "has {} trees with {nodes} nodes: at most {MAX_TREES} with {MAX_NODES} are evaluated",
                trees.len()
            ));
        }
        let trees = trees.iter().enumerate().map(|(number, tree)| {
            tree.checked(features)
                .map_err(|problem| format!("has a tree {number} that {problem}"))
        });
        Ok(Self {
            trees: trees.collect::<Result<_, _>>()?,
            base: base(&parameters.base_score)?,
            features,
            feature_names: learner.feature_names,
        })
    }

    /// Number of values of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Names of the values of a row, in order. Empty if the model was trained without names.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// The probability for `row`. Values that are missing, in a short row too, are NaN.
    pub fn probability(&self, row: &[f32]) -> f32 {
        let margin = self
            .trees
            .iter()
            .fold(self.base, |sum, tree| sum + leaf(tree, row));
        sigmoid(margin)
    }
}

fn sigmoid(margin: f32) -> f32 {
    1.0 / (1.0 + (-margin).exp())
}

/// The logit of `base_score`, which is a probability: `5E-1` before XGBoost 3.1, `[5E-1]` since.
fn base(text: &str) -> Result<f32, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<f32>() {
        Ok(score) if score > 0.0 && score < 1.0 => Ok((score / (1.0 - score)).ln()),
        _ => Err(format!("has the base_score {text:?}: it must be one probability")),
    }
}

/// The value of the leaf that `row` reaches.
fn leaf(tree: &[Node], row: &[f32]) -> f32 {
    let mut at = 0;
    // A checked tree has a leaf on each path.
    while let Some(Node::Split {
        feature,
        value,
        is_missing_left,
        left,
        right,
    }) = tree.get(at)
    {
        let given = row.get(*feature).copied().unwrap_or(f32::NAN);
        let is_left = if given.is_nan() {
            *is_missing_left
        } else {
            given < *value
        };
        at = if is_left { *left } else { *right };
    }
    match tree.get(at) {
        Some(Node::Leaf(value)) => *value,
        _ => 0.0,
    }
}

impl Tree {
    /// The nodes, after a check that each is reached on one path at most, and that each path ends at a leaf.
    fn checked(&self, features: usize) -> Result<Vec<Node>, String> {
        let count = self.left_children.len();
        let lengths = [
            self.right_children.len(),
            self.split_indices.len(),
            self.split_conditions.len(),
            self.default_left.len(),
        ];
        if count == 0 || lengths.iter().any(|length| *length != count) {
            return Err("has no nodes, or members of different lengths".to_owned());
        }
        if self.split_type.iter().any(|kind| *kind != 0) {
            return Err("splits by categories: only numbers are supported".to_owned());
        }
        let nodes: Vec<Node> = (0..count)
            .map(|at| self.node(at, features))
            .collect::<Result<_, _>>()?;
        let (mut seen, mut waiting) = (vec![false; count], vec![(0, 0)]);
        while let Some((at, depth)) = waiting.pop() {
            if depth > MAX_DEPTH {
                return Err(format!("is deeper than {MAX_DEPTH} splits"));
            }
            if std::mem::replace(&mut seen[at], true) {
                return Err(format!("reaches its node {at} twice"));
            }
            if let Node::Split { left, right, .. } = nodes[at] {
                waiting.extend([(left, depth + 1), (right, depth + 1)]);
            }
        }
        Ok(nodes)
    }

    fn node(&self, at: usize, features: usize) -> Result<Node, String> {
        // The value of a leaf stands among the conditions.
        let value = self.split_conditions[at];
        if !value.is_finite() {
            return Err(format!(
                "has a number at its node {at} that is out of the range of f32"
            ));
        }
        if self.left_children[at] == NONE {
            return Ok(Node::Leaf(value));
        }
        let child = |child: i32| {
            let child = usize::try_from(child)
                .ok()
                .filter(|child| *child < self.left_children.len());
            child.ok_or_else(|| format!("has a child of its node {at} that does not exist"))
        };
        let feature = self.split_indices[at];
        if feature >= features {
            return Err(format!(
                "splits by the feature {feature}, but has {features} features"
            ));
        }
        Ok(Node::Split {
            feature,
            value,
            is_missing_left: self.default_left[at].0,
            left: child(self.left_children[at])?,
            right: child(self.right_children[at])?,
        })
    }
}

#[cfg(test)]
mod tests;
