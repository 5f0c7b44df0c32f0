//! Waiting between tries: pauses that grow, and the loop that looks again until something is so.
//!
//! Time is tokio's, so that tests can stop it.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

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
    /// Starts again with the first pause.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

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

/// What a look says about a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look<T, Why> {
    /// The wait is over.
    Done(T),
    /// Worth another look, at the latest at that time.
    NotYet(Why, Instant),
}

/// Looks until a look is done; `Err` with the last reason once its time is over.
///
/// Before each pause, `before_pause` is told why and how long; it may end the wait. The last look is at the deadline,
/// and there is at least one.
///
/// # Errors
/// The last reason.
pub async fn poll<T, Why, Looking>(
    backoff: Backoff,
    mut look: impl FnMut() -> Looking,
    mut before_pause: impl FnMut(Why, Duration) -> ControlFlow<T>,
) -> Result<T, Why>
where
    Looking: Future<Output = Look<T, Why>>,
{
    let mut pauses = backoff.pauses();
    loop {
        let (why, deadline) = match look().await {
            Look::Done(value) => return Ok(value),
            Look::NotYet(why, deadline) => (why, deadline),
        };
        let Some(pause) = pauses.advance_until(deadline) else {
            return Err(why);
        };
        if let ControlFlow::Break(value) = before_pause(why, pause) {
            return Ok(value);
        }
        sleep(pause).await;
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

    #[test]
    fn a_reset_starts_with_the_first_pause() {
        let mut pauses = BACKOFF.pauses();
        pauses.advance();
        pauses.advance();
        pauses.reset();
        assert_eq!(pauses.advance().as_millis(), 10);
    }

    /// Looks until there were `looks` of them, or `patience` is over; how many there were.
    async fn looks(looks: u32, patience: Duration) -> (Result<u32, u32>, u32) {
        let deadline = Instant::now() + patience;
        let (mut count, mut paused) = (0, 0);
        let outcome = poll(
            BACKOFF,
            || {
                count += 1;
                std::future::ready(match count {
                    done if done == looks => Look::Done(count),
                    _ => Look::NotYet(count, deadline),
                })
            },
            |_, _| {
                paused += 1;
                ControlFlow::Continue(())
            },
        )
        .await;
        (outcome, paused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_ends_with_the_look_that_is_done() {
        let started = Instant::now();
        assert_eq!(looks(4, SECOND).await, (Ok(4), 3));
        assert_eq!(started.elapsed().as_millis(), 10 + 20 + 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_looks_at_its_deadline_for_the_last_time() {
        let started = Instant::now();
        assert_eq!(looks(u32::MAX, SECOND).await, (Err(8), 7));
        assert_eq!(started.elapsed(), SECOND);
        assert_eq!(looks(u32::MAX, Duration::ZERO).await, (Err(1), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_ends_where_it_is_told_to() {
        let deadline = Instant::now() + SECOND;
        let look = || std::future::ready(Look::NotYet("busy", deadline));
        let outcome = poll(BACKOFF, look, |why, _| ControlFlow::Break(why)).await;
        assert_eq!(outcome, Ok("busy"));
        assert_eq!(Instant::now() + SECOND, deadline);
    }
}
