//! A value that is read again when it is old.

use std::time::Duration;

use tokio::time::Instant;

use ground::error::Result;

#[derive(Debug)]
pub struct Cache<T> {
    keep: Duration,
    value: Option<(Instant, T)>,
}

impl<T> Cache<T> {
    /// Keeps a value for `keep`.
    pub fn new(keep: Duration) -> Self {
        Self { keep, value: None }
    }

    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// The value, if one was read.
    pub fn kept(&self) -> Option<&T> {
        self.value.as_ref().map(|(_, value)| value)
    }

    /// Drops a value that is not `wanted`.
    pub fn keep_if(&mut self, wanted: impl Fn(&T) -> bool) {
        self.value.take_if(|(_, value)| !wanted(value));
    }

    /// The value, read with `read` if it is old.
    ///
    /// # Errors
    /// Those of `read`; the old value is kept, and read again the next time.
    pub async fn get<F: Future<Output = Result<T>>>(&mut self, read: impl FnOnce() -> F) -> Result<&T> {
        let keep = self.keep;
        if let Some(kept) = self.value.take_if(|(at, _)| at.elapsed() < keep) {
            return Ok(&self.value.insert(kept).1);
        }
        // Nothing is taken out before the answer is there: the caller may stop waiting.
        let value = read().await?;
        Ok(&self.value.insert((Instant::now(), value)).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ground::error::Error;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_read_again_when_it_is_old_and_kept_when_that_fails() {
        let mut cache = Cache::new(Duration::from_secs(5));
        assert_eq!(*cache.get(|| async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*cache.get(|| async { Ok(2) }).await.unwrap(), 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        let failed = cache.get(|| async { Err(Error::failed("away")) }).await;
        assert!(failed.is_err());
        assert_eq!(cache.kept(), Some(&1));
        assert_eq!(*cache.get(|| async { Ok(3) }).await.unwrap(), 3);
        cache.keep_if(|value| *value == 4);
        assert_eq!(cache.kept(), None);
    }
}
