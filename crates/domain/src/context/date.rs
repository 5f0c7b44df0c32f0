//! The time by the clock of a service: the header `Date` of its answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;

/// Keeps the header `Date` of the last answer to a call, and when it came. An interceptor of calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswerDate(Arc<Mutex<Option<(String, SystemTime)>>>);

impl AnswerDate {
    /// The header, and when it came; `None` before an answer.
    pub(crate) fn last(&self) -> Option<(String, SystemTime)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn time_ms(&self) -> Option<i64> {
        let (date, _) = self.last()?;
        let time = DateTime::from_str(&date, Format::HttpDate).ok()?;
        time.to_millis().ok()
    }
}

impl Intercept for AnswerDate {
    fn name(&self) -> &'static str {
        "AnswerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some((date.to_owned(), SystemTime::now()));
        }
        Ok(())
    }
}
