//! Where the model is: in a file of a bucket, evaluated here, or behind a SageMaker endpoint.
//!
//! Files are loaded once, by the first request that needs them. A request whose budget ends before they are there goes on
//! without, and the load continues with the next request. After an error, the next try is a minute later: a model that is
//! missing must not cost each request a call.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::time::Instant;

use super::Score;
use super::features::{COUNT, PRODUCT, Row, Scaler, USER};
use super::model::Model;
use crate::store::{CallError, Objects};

/// Maximum size of a file, in bytes.
const MAX_BYTES: usize = 32 << 20;
/// How long a failed load is not repeated.
const PAUSE: Duration = Duration::from_secs(60);

/// Something that is loaded once.
struct Loaded<T> {
    load: Box<dyn Fn() -> LocalBoxFuture<'static, Result<Arc<T>, String>>>,
    state: RefCell<State<T>>,
}

type Loading<T> = Shared<LocalBoxFuture<'static, Result<Arc<T>, String>>>;

enum State<T> {
    Unknown,
    Loading(Loading<T>),
    Failed(Instant, String),
}

impl<T: Send + 'static> Loaded<T> {
    fn new<F: Objects + Clone + 'static>(
        files: F,
        keys: Vec<String>,
        parse: fn(Vec<Bytes>) -> Result<T, String>,
    ) -> Self {
        let load = move || {
            let (files, keys) = (files.clone(), keys.clone());
            async move {
                let mut read = Vec::with_capacity(keys.len());
                for key in keys {
                    let file = files.read(&key, MAX_BYTES).await;
                    let file = file.map_err(|error| format!("could not read the file {key}: {error}"))?;
                    read.push(file.ok_or_else(|| format!("there is no file {key} in the bucket"))?);
                }
                // Reading a large model takes longer than a request may wait.
                let parsed = tokio::task::spawn_blocking(move || parse(read)).await;
                parsed
                    .unwrap_or_else(|error| Err(format!("could not read the model: {error}")))
                    .map(Arc::new)
            }
            .boxed_local()
        };
        Self {
            load: Box::new(load),
            state: RefCell::new(State::Unknown),
        }
    }

    async fn get(&self) -> Result<Arc<T>, String> {
        let loading = {
            let mut state = self.state.borrow_mut();
            match &*state {
                State::Loading(loading) => loading.clone(),
                State::Failed(at, reason) if at.elapsed() < PAUSE => return Err(reason.clone()),
                State::Failed(..) | State::Unknown => {
                    let loading = (self.load)().shared();
                    *state = State::Loading(loading.clone());
                    loading
                }
            }
        };
        let loaded = loading.await;
        if let Err(reason) = &loaded {
            *self.state.borrow_mut() = State::Failed(Instant::now(), reason.clone());
        }
        loaded
    }
}

/// A model file and a scaler file in a bucket. The model is evaluated here.
pub struct StoredModel(Loaded<(Scaler, Model)>);

impl StoredModel {
    pub fn new<F: Objects + Clone + 'static>(files: F, model: &str, scaler: &str) -> Self {
        let keys = vec![scaler.to_owned(), model.to_owned()];
        Self(Loaded::new(files, keys, |files| match files.as_slice() {
            [scaler, model] => Ok((parse_scaler(scaler)?, parse_model(model)?)),
            _ => Err("the files of the model are not complete".to_owned()),
        }))
    }
}

fn parse_scaler(json: &[u8]) -> Result<Scaler, String> {
    Scaler::parse(json).map_err(|problem| format!("the scaler {problem}"))
}

fn parse_model(json: &[u8]) -> Result<Model, String> {
    let model = Model::parse(json).map_err(|problem| format!("the model {problem}"))?;
    if model.features() != COUNT {
        return Err(format!(
            "the model has {} features, not {COUNT}",
            model.features()
        ));
    }
    let names = model.feature_names();
    if !names.is_empty() && !names.iter().eq(USER.iter().chain(&PRODUCT)) {
        return Err(format!(
            "the model has the features {}: it takes {}, {}",
            names.join(", "),
            USER.join(", "),
            PRODUCT.join(", ")
        ));
    }
    Ok(model)
}

impl Score for StoredModel {
    async fn scaler(&self) -> Result<Scaler, String> {
        self.0.get().await.map(|loaded| loaded.0.clone())
    }

    async fn score(&self, rows: &[Row], deadline: Instant) -> Result<Vec<f32>, String> {
        let loaded = self.0.get().await?;
        let score = |row: &Row| {
            // A timeout cannot interrupt this: it does not wait.
            if Instant::now() >= deadline {
                return Err("the model did not finish in time".to_owned());
            }
            Ok(loaded.1.probability(row))
        };
        rows.iter().map(score).collect()
    }
}

/// A model behind an endpoint, with its scaler in a bucket.
pub struct EndpointModel<E> {
    endpoint: E,
    scaler: Loaded<Scaler>,
}

/// Invokes a SageMaker endpoint.
pub trait Endpoint {
    /// Sends `csv`. Returns the body of the answer.
    fn invoke(&self, csv: String) -> impl Future<Output = Result<Bytes, CallError>>;
}

impl<E> EndpointModel<E> {
    pub fn new<F: Objects + Clone + 'static>(endpoint: E, files: F, scaler: &str) -> Self {
        let parse = |files: Vec<Bytes>| match files.as_slice() {
            [scaler] => parse_scaler(scaler),
            _ => Err("the files of the model are not complete".to_owned()),
        };
        Self {
            endpoint,
            scaler: Loaded::new(files, vec![scaler.to_owned()], parse),
        }
    }
}

impl<E: Endpoint> Score for EndpointModel<E> {
    async fn scaler(&self) -> Result<Scaler, String> {
        self.scaler.get().await.map(|scaler| scaler.as_ref().clone())
    }

    async fn score(&self, rows: &[Row], _deadline: Instant) -> Result<Vec<f32>, String> {
        let answer = self.endpoint.invoke(csv(rows)).await;
        let answer = answer.map_err(|error| format!("could not invoke the endpoint: {error}"))?;
        probabilities(&answer)
    }
}

/// A line for each row. A missing value is empty, as the XGBoost container expects.
fn csv(rows: &[Row]) -> String {
    let value = |value: &f32| {
        if value.is_nan() {
            String::new()
        } else {
            value.to_string()
        }
    };
    let line = |row: &Row| row.iter().map(value).collect::<Vec<_>>().join(",");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The numbers of an answer in CSV: XGBoost's container separates them by commas or line breaks.
fn probabilities(answer: &[u8]) -> Result<Vec<f32>, String> {
    let text = std::str::from_utf8(answer).map_err(|_| "the endpoint's answer is not text".to_owned())?;
    let numbers = text
        .split([',', '\n', '\r'])
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let number = |part: &str| {
        let number = part
            .parse::<f32>()
            .ok()
            .filter(|number| (0.0..=1.0).contains(number));
        number.ok_or_else(|| "the endpoint's answer is not a list of probabilities in CSV".to_owned())
    };
    numbers.map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_csv_and_answers_too() {
        let mut row = [1.5; COUNT];
        row[1] = f32::NAN;
        assert_eq!(
            csv(&[row, [0.0; COUNT]]),
            "1.5,,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5\n0,0,0,0,0,0,0,0,0,0"
        );
        assert_eq!(probabilities(b"0.25,0.5\n1\r\n"), Ok(vec![0.25, 0.5, 1.0]));
        for answer in [&b"{\"score\":1}"[..], b"0.5,high", b"2", b"\xff"] {
            assert!(probabilities(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn a_model_of_other_features_is_refused() {
        let error = parse_model(include_bytes!("model/xgboost.json")).unwrap_err();
        assert_eq!(error, "the model has 4 features, not 10");
    }
}
