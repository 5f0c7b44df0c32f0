//! Waiting between tries: pauses that grow, and the loops that look or call again.
//!
//! Time is tokio's, so that tests can stop it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::aws::Class;

/// How the pauses between tries grow.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    factor: f64,
    /// Each pause is multiplied by a random number from the first to the second.
    jitter: (f64, f64),
    random: fn() -> f64,
}

impl Backoff {
    /// Pauses that double from `first` to `longest`, without jitter.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            factor: 2.0,
            jitter: (1.0, 1.0),
            random: rand::random::<f64>,
        }
    }

    /// Pauses of the same length.
    pub const fn constant(pause: Duration) -> Self {
        Self::new(pause, pause)
    }

    /// Multiplies each pause by `factor`, at least 1, to get the next.
    #[must_use]
    pub const fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// Multiplies each pause by a random number from `least` to `most`, so that several waits do not fall into step.
    #[must_use]
    pub const fn jitter(self, least: f64, most: f64) -> Self {
        Self {
            jitter: (least, most),
            ..self
        }
    }

    /// Takes the random numbers, from 0 to 1, from `random`.
    #[must_use]
    pub const fn random(self, random: fn() -> f64) -> Self {
        Self { random, ..self }
    }

    /// The pause after `failures` tries that failed before the last one: 0 gives the first pause.
    pub fn pause(&self, failures: u32) -> Duration {
        let growth = self.factor.powi(i32::try_from(failures).unwrap_or(i32::MAX));
        let ceiling = Duration::try_from_secs_f64(self.first.as_secs_f64() * growth)
            .map_or(self.longest, |pause| pause.min(self.longest));
        let (least, most) = self.jitter;
        if least == most {
            return ceiling;
        }
        let share = least + (most - least) * (self.random)().clamp(0.0, 1.0);
        ceiling.mul_f64(share)
    }

    /// The pauses of one wait.
    pub const fn pauses(self) -> Pauses {
        Pauses {
            backoff: self,
            failures: 0,
        }
    }
}

/// The pauses of one wait, one after the other.
#[derive(Debug, Clone)]
pub struct Pauses {
    backoff: Backoff,
    failures: u32,
}

impl Pauses {
    /// The next pause.
    pub fn advance(&mut self) -> Duration {
        let pause = self.backoff.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// The next pause, shortened so that the next try is at `deadline` at the latest; `None` once it is over.
    pub fn advance_until(&mut self, deadline: Instant) -> Option<Duration> {
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| self.advance().min(left))
    }
}

/// What one look says about a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look<T, State> {
    /// What was waited for.
    Done(T),
    /// What there is in its place.
    NotYet(State),
}

/// How long a call is made again, by what its failure means. Zero is one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Too many requests.
    pub throttle: Duration,
    /// Service or network fail.
    pub outage: Duration,
    /// Another change is under way.
    pub conflict: Duration,
}

impl Patience {
    /// Only failures that concern every call: throttles and outages, for at most `longest`.
    pub const fn of_any_call(longest: Duration) -> Self {
        Self {
            throttle: longest,
            outage: longest,
            conflict: Duration::ZERO,
        }
    }

    /// When a call that failed with `class` is made for the last time; `started` is the time of the first try. `None` for
    /// a refusal: the same call would be refused again.
    pub fn until(&self, class: Class, started: Instant) -> Option<Instant> {
        let longest = match class {
            Class::Throttle => self.throttle,
            Class::Transient | Class::Unreachable => self.outage,
            Class::Conflict => self.conflict,
            Class::Quota | Class::NotFound | Class::Credentials | Class::Denied | Class::Refused => {
                return None;
            }
        };
        Some(started + longest)
    }
}

/// Looks until a look is done, the last time at `deadline`, and at least once. `before_pause` may end the wait with an
/// error, as where the user wants to stop.
///
/// # Errors
/// The first error of a look or of `before_pause`.
pub async fn wait_until<T, State, E, Looking>(
    backoff: Backoff,
    deadline: Instant,
    mut look: impl FnMut() -> Looking,
    mut before_pause: impl FnMut(&State, Duration) -> Result<(), E>,
) -> Result<Look<T, State>, E>
where
    Looking: Future<Output = Result<Look<T, State>, E>>,
{
    let mut pauses = backoff.pauses();
    loop {
        let state = match look().await? {
            Look::NotYet(state) => state,
            done => return Ok(done),
        };
        let Some(pause) = pauses.advance_until(deadline) else {
            return Ok(Look::NotYet(state));
        };
        before_pause(&state, pause)?;
        sleep(pause).await;
    }
}

/// Makes a call again while `until` gives its error more time. `before_pause` may say no to another try.
///
/// # Errors
/// The last error of the call.
pub async fn retry<T, E, Sending>(
    backoff: Backoff,
    mut send: impl FnMut() -> Sending,
    until: impl Fn(&E) -> Option<Instant>,
    mut before_pause: impl FnMut(&E, Duration) -> bool,
) -> Result<T, E>
where
    Sending: Future<Output = Result<T, E>>,
{
    let mut pauses = backoff.pauses();
    loop {
        let error = match send().await {
            Err(error) => error,
            done => return done,
        };
        match until(&error).and_then(|deadline| pauses.advance_until(deadline)) {
            Some(pause) if before_pause(&error, pause) => sleep(pause).await,
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));

    fn first(backoff: Backoff, count: u32) -> Vec<u128> {
        (0..count).map(|n| backoff.pause(n).as_millis()).collect()
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        assert_eq!(
            first(BACKOFF, 10),
            [10, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000]
        );
        assert_eq!(first(BACKOFF.factor(1.5), 5), [10, 15, 22, 33, 50]);
        assert_eq!(first(Backoff::constant(SECOND), 3), [1000, 1000, 1000]);
        assert_eq!(BACKOFF.pause(u32::MAX), 2 * SECOND);
        assert_eq!(Backoff::new(Duration::MAX, Duration::MAX).pause(3), Duration::MAX);
    }

    #[test]
    fn jitter_spreads_each_pause() {
        let spread = BACKOFF.jitter(0.75, 1.25);
        assert_eq!(spread.random(|| 0.0).pause(0).as_micros(), 7_500);
        assert_eq!(spread.random(|| 0.5).pause(0).as_micros(), 10_000);
        assert_eq!(spread.random(|| 1.0).pause(0).as_micros(), 12_500);
        assert!((0..100).all(|_| (7_500..=12_500).contains(&spread.pause(0).as_micros())));
    }

    /// Looks until there were `looks` of them, or `patience` is over; how many there were.
    async fn looks(looks: u32, patience: Duration) -> (Look<u32, u32>, u32) {
        let (mut count, mut paused) = (0, 0);
        let look = || {
            count += 1;
            std::future::ready(Ok::<_, ()>(match count {
                done if done == looks => Look::Done(count),
                _ => Look::NotYet(count),
            }))
        };
        let waited = wait_until(BACKOFF, Instant::now() + patience, look, |_, _| {
            paused += 1;
            Ok(())
        });
        (waited.await.unwrap(), paused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_the_look_that_is_done() {
        let started = Instant::now();
        assert_eq!(looks(4, SECOND).await, (Look::Done(4), 3));
        assert_eq!(started.elapsed().as_millis(), 10 + 20 + 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_looks_at_its_deadline_for_the_last_time() {
        let started = Instant::now();
        assert_eq!(looks(u32::MAX, SECOND).await, (Look::NotYet(8), 7));
        assert_eq!(started.elapsed(), SECOND);
        assert_eq!(looks(u32::MAX, Duration::ZERO).await, (Look::NotYet(1), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_where_it_is_told_to() {
        let started = Instant::now();
        let look = || std::future::ready(Ok(Look::<(), _>::NotYet("busy")));
        let waited = wait_until(BACKOFF, started + SECOND, look, |_, _| Err("stopped"));
        assert_eq!(waited.await, Err("stopped"));
        assert!(started.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_again_while_its_error_is_given_time() {
        let started = Instant::now();
        let mut calls = 0;
        let mut call = async |patience: Option<Duration>, tries: u32| {
            let send = || {
                calls += 1;
                std::future::ready(Err::<(), _>(calls))
            };
            let until = |_: &u32| patience.map(|patience| started + patience);
            let error = retry(BACKOFF, send, until, |error, _| *error < tries).await;
            (error.unwrap_err(), started.elapsed().as_millis())
        };
        assert_eq!(call(None, 10).await, (1, 0));
        assert_eq!(call(Some(2 * SECOND), 4).await, (4, 30));
        assert_eq!(call(Some(SECOND), u32::MAX).await.1, 1000);
    }

    const CLASSES: [Class; 9] = [
        Class::Throttle,
        Class::Transient,
        Class::Unreachable,
        Class::Conflict,
        Class::Quota,
        Class::NotFound,
        Class::Credentials,
        Class::Denied,
        Class::Refused,
    ];

    fn is_refusal(class: Class) -> bool {
        !matches!(class, Class::Throttle | Class::Conflict) && !class.is_outage()
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(future)
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        /// A call that fails in these ways, one after the other, the last for ever, and takes `took` each time.
        #[test]
        fn a_refusal_ends_a_call_and_only_time_ends_an_outage(
            failures in proptest::collection::vec(0usize..9, 1..30),
            throttle in 0u64..90, outage in 0u64..90, conflict in 0u64..90,
            took in 0u64..3_000,
            jitter in 0.0f64..1.0,
        ) {
            let patience = Patience {
                throttle: Duration::from_secs(throttle),
                outage: Duration::from_secs(outage),
                conflict: Duration::from_secs(conflict),
            };
            let (seen, last, after) = block_on(async {
                let started = Instant::now();
                let mut seen = Vec::new();
                let send = || {
                    let class = CLASSES[failures[seen.len().min(failures.len() - 1)]];
                    seen.push(class);
                    async move {
                        sleep(Duration::from_millis(took)).await;
                        Err::<(), _>(class)
                    }
                };
                let backoff = BACKOFF.jitter(jitter, 1.0);
                let last = retry(backoff, send, |class| patience.until(*class, started), |_, _| true).await;
                (seen, last.unwrap_err(), started.elapsed())
            });
            // The error is that of the last call.
            proptest::prop_assert_eq!(seen.last(), Some(&last));
            // No call after a refusal.
            let refusal = seen.iter().position(|class| is_refusal(*class));
            proptest::prop_assert!(refusal.is_none_or(|at| at + 1 == seen.len()), "{seen:?}");
            // Without a refusal, the time of the last failure's class is over.
            if refusal.is_none() {
                let longest = match last {
                    Class::Throttle => patience.throttle,
                    Class::Conflict => patience.conflict,
                    _ => patience.outage,
                };
                proptest::prop_assert!(after >= longest, "{after:?} {seen:?}");
            }
        }
    }
}
