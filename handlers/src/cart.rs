//! `cart-api`: takes what the cart page submits, puts it into a stream, and recommends products.
//!
//! Recommendations never fail a submission: they have a budget of time that runs beside the call of Kinesis, and the answer
//! goes without them if they are not there in time.

mod submission;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::aws::{Clients, DynamoTable, KinesisStream, S3Bucket, SageMakerEndpoint};
use crate::clock::{Clock, SystemClock};
use crate::deliver::retried;
use crate::environment::{Environment, InvalidVariable};
use crate::http::{Answer, Api, Request, Served};
use crate::log::Level;
use crate::recommend::features::{Row, Scaler};
use crate::recommend::{EndpointModel, Recommend, Recommendation, Recommender, Score, StoredModel};
use crate::runtime::{self, Invocation};
use crate::store::{CallError, CallErrorKind};
use submission::Submission;

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run_function(from_environment)
}

const ALLOWED: &str = "POST, OPTIONS";
/// How long the call of Kinesis is retried. An HTTP API waits 30 seconds for the function.
const PUT_BUDGET: Duration = Duration::from_secs(10);

/// A Kinesis stream.
pub trait Stream {
    /// Puts one record.
    fn put(&self, partition_key: &str, data: &[u8]) -> impl Future<Output = Result<Receipt, CallError>>;
}

/// Where Kinesis stored a record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Receipt {
    pub sequence_number: String,
    pub shard_id: String,
}

pub struct CartApi<S, R, C> {
    stream: S,
    recommender: Option<R>,
    budget: Duration,
    clock: C,
}

/// The body of an answer to an accepted submission.
#[derive(Serialize)]
struct Accepted<'a> {
    message: &'static str,
    record_id: &'a str,
    shard_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recommendations: Option<Vec<Recommendation>>,
}

/// The model that the environment names.
pub enum Model {
    Stored(StoredModel),
    Endpoint(EndpointModel<SageMakerEndpoint>),
}

impl Score for Model {
    async fn scaler(&self) -> Result<Scaler, String> {
        match self {
            Self::Stored(model) => model.scaler().await,
            Self::Endpoint(model) => model.scaler().await,
        }
    }

    async fn score(&self, rows: &[Row], deadline: Instant) -> Result<Vec<f32>, String> {
        match self {
            Self::Stored(model) => model.score(rows, deadline).await,
            Self::Endpoint(model) => model.score(rows, deadline).await,
        }
    }
}

impl Model {
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let bucket = environment.required(
            "MODEL_BUCKET",
            "the bucket with the files of the model, and FEATURES_TABLE needs it",
        )?;
        let bucket: S3Bucket = clients.bucket(bucket);
        let scaler = environment.optional("SCALER_KEY").unwrap_or("scaler.json");
        Ok(match environment.optional("SAGEMAKER_ENDPOINT") {
            Some(name) => Self::Endpoint(EndpointModel::new(clients.endpoint(name), bucket, scaler)),
            None => {
                let model = environment.optional("MODEL_KEY").unwrap_or("model.json");
                Self::Stored(StoredModel::new(bucket, model, scaler))
            }
        })
    }
}

/// `cart-api`, as its binary runs it.
pub type CartFunction = Served<CartApi<KinesisStream, Recommender<DynamoTable, Model>, SystemClock>>;

/// Reads `STREAM_NAME`, and for recommendations `FEATURES_TABLE`, `MODEL_BUCKET`, `MODEL_KEY`, `SCALER_KEY`,
/// `SAGEMAKER_ENDPOINT` and `RECOMMENDATION_BUDGET_MS`.
///
/// # Errors
/// A variable is missing or out of range.
fn from_environment(environment: &Environment, clients: &Clients) -> Result<CartFunction, InvalidVariable> {
    let stream = environment.required("STREAM_NAME", "the stream that submissions are put into")?;
    let budget = environment.number("RECOMMENDATION_BUDGET_MS", 300, 1..=10_000)?;
    let recommender = match environment.optional("FEATURES_TABLE") {
        Some(table) => Some(Recommender::new(
            clients.table(table),
            Model::from_environment(environment, clients)?,
        )),
        None => None,
    };
    let api = CartApi::new(clients.stream(stream), recommender, SystemClock);
    Ok(Served(api.with_budget(Duration::from_millis(budget))))
}

impl<S, R, C> CartApi<S, R, C> {
    pub fn new(stream: S, recommender: Option<R>, clock: C) -> Self {
        Self {
            stream,
            recommender,
            budget: Duration::from_millis(300),
            clock,
        }
    }

    /// How long an answer waits for recommendations.
    #[must_use]
    pub fn with_budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }
}

impl<S: Stream, R: Recommend, C: Clock> CartApi<S, R, C> {
    async fn submit(&self, body: &[u8], invocation: &Invocation) -> Answer {
        let submission = match Submission::parse(body, self.clock.now_ms()) {
            Ok(submission) => submission,
            Err(refusal) => return Answer::message(refusal.status, &refusal.message),
        };
        let deadline = invocation.deadline.min(Instant::now() + PUT_BUDGET);
        let put = retried(deadline, || {
            self.stream.put(&submission.user_id, submission.record.as_bytes())
        });
        let (put, recommendations) = join(put, self.recommendations(&submission, invocation)).await;
        match put {
            Ok(receipt) => accepted(&receipt, recommendations),
            Err(error) => {
                invocation.log.write(
                    Level::Error,
                    "record not sent",
                    || serde_json::json!({"error": error.message}),
                );
                refused(&error)
            }
        }
    }

    /// `None` if this function recommends nothing, or could not in time.
    async fn recommendations(
        &self,
        submission: &Submission,
        invocation: &Invocation,
    ) -> Option<Vec<Recommendation>> {
        let recommender = self.recommender.as_ref()?;
        let deadline = invocation.deadline.min(Instant::now() + self.budget);
        let recommend = recommender.recommend(&submission.user_id, &submission.product_ids, deadline);
        let reason = match timeout_at(deadline, recommend).await {
            Ok(Ok(recommendations)) => return Some(recommendations),
            Ok(Err(reason)) => reason,
            Err(_) => format!("there were none within {} ms", self.budget.as_millis()),
        };
        invocation.log.write(
            Level::Warn,
            "no recommendations",
            || serde_json::json!({"error": reason}),
        );
        None
    }
}

fn accepted(receipt: &Receipt, recommendations: Option<Vec<Recommendation>>) -> Answer {
    let body = serde_json::to_string(&Accepted {
        message: "Data sent to Kinesis successfully",
        record_id: &receipt.sequence_number,
        shard_id: &receipt.shard_id,
        recommendations,
    });
    Answer::json(200, body.unwrap_or_default())
}

/// The answer if Kinesis did not take the record. The log has the reason.
fn refused(error: &CallError) -> Answer {
    match error.kind {
        CallErrorKind::Transient | CallErrorKind::Timeout => {
            let mut answer =
                Answer::message(503, "Kinesis does not accept the record at the moment; try again");
            answer.headers.push(("Retry-After", "1".to_owned()));
            answer
        }
        CallErrorKind::Rejected | CallErrorKind::Refused => {
            Answer::message(500, "The record could not be sent to Kinesis")
        }
    }
}

impl<S: Stream, R: Recommend, C: Clock> Api for CartApi<S, R, C> {
    const METHODS: &'static str = ALLOWED;

    async fn respond(&self, request: &Request, invocation: &Invocation) -> Answer {
        match (request.segments().as_slice(), request.method.as_str()) {
            (["submit"], "POST") => self.submit(&request.body, invocation).await,
            (["submit"], _) => Answer::not_allowed(ALLOWED),
            _ => Answer::not_found(),
        }
    }
}

#[cfg(test)]
mod tests;
