//! GetMetricData against an endpoint that counts and answers as scripted.

use std::sync::Mutex;

use super::*;

/// Notes the ids of each call and answers it with `respond(call number, ids)`: the results, and whether there is a page
/// after it.
pub(in crate::observe) struct Scripted<F> {
    calls: Mutex<Vec<Vec<String>>>,
    respond: F,
}

impl<F: Fn(usize, &[String]) -> (Vec<MetricDataResult>, bool)> Scripted<F> {
    pub fn new(respond: F) -> Self {
        Self {
            calls: Mutex::default(),
            respond,
        }
    }

    pub fn sizes(&self) -> Vec<usize> {
        self.calls.lock().unwrap().iter().map(Vec::len).collect()
    }
}

impl<F: Fn(usize, &[String]) -> (Vec<MetricDataResult>, bool)> Pages for Scripted<F> {
    async fn page(
        &self,
        queries: &[MetricDataQuery],
        _: Option<String>,
        _: Span,
    ) -> std::result::Result<(Vec<MetricDataResult>, Option<String>), Failure> {
        let ids: Vec<String> = queries
            .iter()
            .map(|query| query.id().unwrap().to_owned())
            .collect();
        let mut calls = self.calls.lock().unwrap();
        calls.push(ids.clone());
        let (results, more) = (self.respond)(calls.len(), &ids);
        Ok((results, more.then(|| calls.len().to_string())))
    }
}

pub(in crate::observe) fn result(id: &str, points: &[(i64, f64)], status: StatusCode) -> MetricDataResult {
    let (times, values): (Vec<_>, Vec<_>) = points
        .iter()
        .map(|(at, value)| (DateTime::from_secs(*at), *value))
        .unzip();
    MetricDataResult::builder()
        .id(id)
        .set_timestamps(Some(times))
        .set_values(Some(values))
        .status_code(status)
        .build()
}

fn expression(id: &str, text: &str) -> MetricDataQuery {
    MetricDataQuery::builder().id(id).expression(text).build()
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_expression_is_asked_for_with_what_it_refers_to() {
    let source = Scripted::new(|call, ids| {
        let status = |id: &str| match (id, call) {
            ("sum", 1) => StatusCode::InternalError,
            _ => StatusCode::Complete,
        };
        let results = ids.iter().map(|id| result(id, &[(60, 7.0)], status(id)));
        (results.collect(), false)
    });
    let metric = MetricDataQuery::builder().id("a").return_data(false).build();
    let calls = vec![vec![metric, expression("sum", "a * 2")]];
    let span = Span { start: 0, end: 240 };
    let found = read(&source, calls, span, "failed").await.unwrap();
    assert_eq!(found["sum"].values, BTreeMap::from([(60, 7.0)]));
    assert_eq!(source.sizes(), [2, 2]);
}
