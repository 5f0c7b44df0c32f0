//! Recommendations, and that a submission needs none.

use std::rc::Rc;

use bytes::Bytes;

use super::*;
use crate::attribute::{number, text};
use crate::recommend::features::{PRODUCT, USER};
use crate::recommend::{Endpoint, FeatureTable};
use crate::store::{Item, Objects};
use aws_sdk_dynamodb::types::AttributeValue;

const BUDGET: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

/// How a fake answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    Well,
    /// With an error.
    Failing(CallErrorKind),
    /// After this time.
    Slow(Duration),
}

impl Mood {
    async fn show(self) -> Result<(), CallError> {
        match self {
            Self::Well => Ok(()),
            Self::Failing(kind) => Err(CallError::new(kind, "ResourceNotFoundException")),
            Self::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

/// User 7 with 15 candidates, P0 to P14, of which P14 is no product.
struct Features(Mood);

impl FeatureTable for Features {
    async fn get(&self, id: &str) -> Result<Option<Item>, CallError> {
        self.0.show().await?;
        if id != "user#7" {
            return Ok(None);
        }
        let mut item: Item = USER.iter().map(|name| ((*name).to_owned(), number(1))).collect();
        let candidates = (0..15).map(|place| text(format!("P{place}"))).collect();
        item.insert("products".to_owned(), AttributeValue::L(candidates));
        Ok(Some(item))
    }

    async fn get_all(&self, ids: Vec<String>) -> Result<Vec<Item>, CallError> {
        self.0.show().await?;
        assert!(!ids.is_empty() && ids.len() <= 100);
        let product = |id: &String| {
            let place: u32 = id.strip_prefix("product#P")?.parse().ok()?;
            let mut item: Item = PRODUCT
                .iter()
                .map(|name| ((*name).to_owned(), number(place)))
                .collect();
            item.insert("id".to_owned(), text(id.clone()));
            item.insert("product_name".to_owned(), text(format!("Product {place}")));
            item.insert("department".to_owned(), text("produce"));
            (place < 14).then_some(item)
        };
        // The table answers in no particular order.
        Ok(ids.iter().rev().filter_map(product).collect())
    }
}

/// The files of a bucket: `model.json` and `scaler.json`.
#[derive(Clone)]
struct Shelf {
    mood: Mood,
    model: Option<Bytes>,
    reads: Rc<Cell<usize>>,
}

impl Shelf {
    fn new(mood: Mood) -> Self {
        Self {
            mood,
            model: Some(model()),
            reads: Rc::default(),
        }
    }
}

impl Objects for Shelf {
    async fn read(&self, key: &str, _max: usize) -> Result<Option<Bytes>, CallError> {
        self.reads.set(self.reads.get() + 1);
        self.mood.show().await?;
        Ok(match key {
            "model.json" => self.model.clone(),
            "scaler.json" => Some(
                json!({"mean": vec![0; 10], "scale": vec![1; 10]})
                    .to_string()
                    .into(),
            ),
            _ => None,
        })
    }
}

/// A tree for each split of `prod_orders`: the more orders, the likelier.
fn model() -> Bytes {
    let tree = |split: f64| {
        json!({
            "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [6, 0, 0],
            "split_conditions": [split, -0.1, 0.1], "default_left": [1, 0, 0],
        })
    };
    let trees: Vec<Value> = (0..14).map(|place| tree(f64::from(place) + 0.5)).collect();
    let model = json!({"learner": {
        "gradient_booster": {"name": "gbtree", "model": {"trees": trees}},
        "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "10"},
        "objective": {"name": "binary:logistic"},
    }});
    model.to_string().into()
}

fn recommender(table: Mood, shelf: Shelf) -> Recommender<Features, StoredModel> {
    Recommender::new(
        Features(table),
        StoredModel::new(shelf, "model.json", "scaler.json"),
    )
}

async fn ask<R: Recommend>(recommender: R, user: u32) -> (Value, Vec<Value>) {
    let (shard, lines) = (Shard::default(), Lines::shared());
    let api = Served(CartApi::new(&shard, Some(recommender), At(ARRIVAL_MS)).with_budget(BUDGET));
    let body = json!({"user_id": user, "product_ids": ["P13"]}).to_string();
    let (event, invocation) = (event("POST", "/submit", &body), invocation(lines.clone()));
    let answer = api.answer(&event, &invocation).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        shard.records.borrow().len(),
        1,
        "the record is sent once, whatever is recommended"
    );
    (serde_json::from_str(&answer.body).unwrap(), lines.json())
}

#[tokio::test]
async fn the_ten_likeliest_products_are_recommended() {
    let (answer, _) = ask(recommender(Mood::Well, Shelf::new(Mood::Well)), 7).await;
    let recommended = answer["recommendations"].as_array().unwrap();
    let ids: Vec<&str> = recommended
        .iter()
        .map(|product| product["product_id"].as_str().unwrap())
        .collect();
    // Without P13, which is in the cart, and P14, which the table does not know.
    assert_eq!(
        ids,
        ["P12", "P11", "P10", "P9", "P8", "P7", "P6", "P5", "P4", "P3"]
    );
    insta::assert_snapshot!(recommended[0], @r#"{"department":"produce","probability":0.7310586,"product_id":"P12","product_name":"Product 12"}"#);
}

#[tokio::test]
async fn a_user_without_features_gets_none() {
    let (answer, _) = ask(recommender(Mood::Well, Shelf::new(Mood::Well)), 8).await;
    assert_eq!(answer["recommendations"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_a_recommendation_fails_or_delays_a_submission() {
    let missing = Shelf {
        model: None,
        ..Shelf::new(Mood::Well)
    };
    let damaged = Shelf {
        model: Some(Bytes::from_static(b"{\"learner\":")),
        ..Shelf::new(Mood::Well)
    };
    let refused = Mood::Failing(CallErrorKind::Refused);
    for (table, shelf, reason) in [
        (
            refused,
            Shelf::new(Mood::Well),
            "could not read the table of features",
        ),
        (
            Mood::Failing(CallErrorKind::Transient),
            Shelf::new(Mood::Well),
            "could not read the table of features",
        ),
        (
            Mood::Slow(LONG),
            Shelf::new(Mood::Well),
            "there were none within 300 ms",
        ),
        (
            Mood::Well,
            Shelf::new(refused),
            "could not read the file scaler.json",
        ),
        (
            Mood::Well,
            Shelf::new(Mood::Slow(LONG)),
            "there were none within 300 ms",
        ),
        (Mood::Well, missing, "there is no file model.json in the bucket"),
        (
            Mood::Well,
            damaged,
            "the model is not a model that XGBoost saved as JSON",
        ),
    ] {
        let began = Instant::now();
        let (answer, lines) = ask(recommender(table, shelf), 7).await;
        assert!(began.elapsed() <= BUDGET, "{reason}");
        assert_eq!(answer.get("recommendations"), None, "{reason}");
        let warned = lines
            .iter()
            .find(|line| line["message"] == "no recommendations")
            .unwrap();
        assert!(warned["error"].as_str().unwrap().starts_with(reason), "{warned}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_with_the_next_submission() {
    let shelf = Shelf::new(Mood::Slow(Duration::from_millis(400)));
    let reads = shelf.reads.clone();
    let recommender = Rc::new(recommender(Mood::Well, shelf));
    let mut recommended = 0;
    for _ in 0..5 {
        let (answer, _) = ask(Rc::clone(&recommender), 7).await;
        recommended += usize::from(answer.get("recommendations").is_some());
    }
    assert!((1..=4).contains(&recommended), "{recommended}");
    assert_eq!(reads.get(), 2, "each file is read once");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_missing_is_looked_for_again_after_a_minute() {
    let shelf = Shelf {
        model: None,
        ..Shelf::new(Mood::Well)
    };
    let reads = shelf.reads.clone();
    let recommender = Rc::new(recommender(Mood::Well, shelf));
    for (wait, expected) in [(0, 2), (1, 2), (58, 2), (2, 4)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        ask(Rc::clone(&recommender), 7).await;
        assert_eq!(reads.get(), expected, "after {wait} s more");
    }
}

impl<R: Recommend> Recommend for Rc<R> {
    async fn recommend(
        &self,
        user_id: &str,
        cart: &[String],
        deadline: Instant,
    ) -> Result<Vec<Recommendation>, String> {
        self.as_ref().recommend(user_id, cart, deadline).await
    }
}

/// An endpoint that gives each row a probability, unless its answer is another.
struct Remote(Mood, Option<&'static str>);

impl Endpoint for Remote {
    async fn invoke(&self, csv: String) -> Result<Bytes, CallError> {
        self.0.show().await?;
        let rows = csv.lines().map(|line| {
            assert_eq!(line.split(',').count(), 10);
            "0.5"
        });
        let rows: Vec<&str> = rows.collect();
        Ok(self.1.map_or_else(|| rows.join(","), str::to_owned).into())
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_may_take_the_place_of_the_file() {
    let recommender = |remote| {
        let shelf = Shelf::new(Mood::Well);
        Recommender::new(
            Features(Mood::Well),
            EndpointModel::new(remote, shelf, "scaler.json"),
        )
    };
    let (answer, _) = ask(recommender(Remote(Mood::Well, None)), 7).await;
    assert_eq!(answer["recommendations"].as_array().unwrap().len(), 10);
    assert_eq!(answer["recommendations"][0]["probability"], 0.5);
    for remote in [
        Remote(Mood::Slow(LONG), None),
        Remote(Mood::Failing(CallErrorKind::Refused), None),
        Remote(Mood::Well, Some("0.5")),
        Remote(Mood::Well, Some("<html>")),
    ] {
        let began = Instant::now();
        let (answer, _) = ask(recommender(remote), 7).await;
        assert_eq!(answer.get("recommendations"), None);
        assert!(began.elapsed() <= BUDGET);
    }
}
