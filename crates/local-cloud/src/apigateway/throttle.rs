//! Limits of requests: a token bucket for each stage and for each route that has limits of its own.
//!
//! Source: "Throttle your HTTP APIs" and "Throttle requests to your REST APIs", API Gateway developer guide.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::model::{Limits, Stage};

/// API, stage, and a route key, the key of method settings, or nothing.
type Key = (String, String, String);

/// Buckets that are kept at most. Beyond that, all begin anew.
const MAX_BUCKETS: usize = 10_000;

#[derive(Default)]
pub(super) struct Throttles(Mutex<HashMap<Key, Bucket>>);

struct Bucket {
    tokens: f64,
    at_ms: i64,
}

impl Throttles {
    /// Whether a request may pass at `now_ms`.
    pub fn admit(&self, api: &str, name: &str, stage: &Stage, route: &str, now_ms: i64) -> bool {
        let (limits, key) = match stage.route_limits.get(route) {
            Some(limits) => (limits, route),
            None => (&stage.default_limits, ""),
        };
        self.take(api, name, key, limits, now_ms)
    }

    /// Whether a request may pass the bucket `key`, which has these limits.
    pub fn take(&self, api: &str, name: &str, key: &str, limits: &Limits, now_ms: i64) -> bool {
        let Limits {
            throttling_burst_limit: burst,
            throttling_rate_limit: rate,
            ..
        } = limits;
        if burst.is_none() && rate.is_none() {
            return true;
        }
        let rate = rate.unwrap_or(f64::INFINITY);
        // At a rate below one a second, a request has to pass at some time.
        let of_rate = if rate > 0.0 { rate.max(1.0) } else { 0.0 };
        let capacity = burst.map_or(of_rate, f64::from);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            buckets.clear();
        }
        let key = (api.to_owned(), name.to_owned(), key.to_owned());
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: capacity,
            at_ms: now_ms,
        });
        bucket.refill(capacity, rate, now_ms);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

impl Bucket {
    #[allow(clippy::cast_precision_loss, reason = "the time between two requests")]
    fn refill(&mut self, capacity: f64, rate: f64, now_ms: i64) {
        let seconds = now_ms.saturating_sub(self.at_ms).max(0) as f64 / 1000.0;
        // Without a limit of the rate, the product would be no number at the same instant.
        let gained = if seconds > 0.0 { seconds * rate } else { 0.0 };
        self.tokens = (self.tokens + gained).min(capacity);
        self.at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(burst: Option<u32>, rate: Option<f64>) -> Stage {
        Stage {
            default_limits: Limits {
                throttling_burst_limit: burst,
                throttling_rate_limit: rate,
                detailed_metrics_enabled: None,
            },
            ..Stage::default()
        }
    }

    fn passed(stage: &Stage, throttles: &Throttles, route: &str, now_ms: i64) -> usize {
        (0..100)
            .filter(|_| throttles.admit("a", "s", stage, route, now_ms))
            .count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (limited, throttles) = (stage(Some(5), Some(2.0)), Throttles::default());
        assert_eq!(passed(&limited, &throttles, "GET /", 0), 5);
        assert_eq!(passed(&limited, &throttles, "GET /", 499), 0);
        assert_eq!(passed(&limited, &throttles, "GET /", 1_400), 2);
        assert_eq!(passed(&limited, &throttles, "GET /", 3_600_000), 5);
        assert_eq!(
            passed(&limited, &throttles, "GET /", 0),
            0,
            "the clock was set back"
        );
    }

    #[test]
    fn routes_have_limits_of_their_own() {
        let mut limited = stage(Some(3), Some(1.0));
        let own = stage(Some(1), Some(1.0)).default_limits;
        limited.route_limits.insert("GET /own".to_owned(), own);
        let throttles = Throttles::default();
        assert_eq!(passed(&limited, &throttles, "GET /own", 0), 1);
        assert_eq!(passed(&limited, &throttles, "GET /", 0), 3);
        assert_eq!(passed(&stage(None, None), &throttles, "GET /", 0), 100);
        assert_eq!(
            passed(&stage(Some(0), None), &Throttles::default(), "GET /", 0),
            0
        );
        assert_eq!(
            passed(&stage(None, Some(0.0)), &Throttles::default(), "GET /", 0),
            0
        );
    }
}
