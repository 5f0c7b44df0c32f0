//! Concurrency limits of an account and of a function.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::Caller;

/// Concurrent invocations of an account in a region. Source: "Lambda quotas", Lambda developer guide.
pub(in crate::lambda) const ACCOUNT_CONCURRENCY: u32 = 1000;

#[derive(Default)]
pub(in crate::lambda) struct Limits(Mutex<HashMap<Caller, Counts>>);

#[derive(Default)]
struct Counts {
    all: u32,
    by_function: HashMap<String, u32>,
}

/// A concurrent invocation. It counts until this is dropped.
pub(in crate::lambda) struct Admitted<'a> {
    limits: &'a Limits,
    caller: Caller,
    name: String,
    /// Concurrent invocations of the function, with this one.
    pub of_function: u32,
    /// Concurrent invocations of the account, with this one.
    pub of_account: u32,
}

impl Limits {
    /// Counts an invocation.
    ///
    /// # Errors
    /// AWS's reason for throttling it.
    pub fn admit(
        &self,
        caller: &Caller,
        name: &str,
        reserved: Option<u32>,
    ) -> Result<Admitted<'_>, &'static str> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(caller.clone()).or_default();
        let of_function = counts.by_function.get(name).copied().unwrap_or(0);
        if reserved.is_some_and(|reserved| of_function >= reserved) {
            return Err("ReservedFunctionConcurrentInvocationLimitExceeded");
        }
        if counts.all >= ACCOUNT_CONCURRENCY {
            return Err("ConcurrentInvocationLimitExceeded");
        }
        counts.all += 1;
        counts.by_function.insert(name.to_owned(), of_function + 1);
        Ok(Admitted {
            limits: self,
            caller: caller.clone(),
            name: name.to_owned(),
            of_function: of_function + 1,
            of_account: counts.all,
        })
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let mut all = self.limits.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = all.get_mut(&self.caller) else {
            return;
        };
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_function.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.by_function.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_account_limits() {
        let limits = Limits::default();
        let caller = Caller::default();
        let held: Vec<_> = (0..2)
            .map(|_| limits.admit(&caller, "a", Some(2)).unwrap())
            .collect();
        let refused = limits.admit(&caller, "a", Some(2)).err();
        assert_eq!(refused, Some("ReservedFunctionConcurrentInvocationLimitExceeded"));
        assert_eq!(limits.admit(&caller, "b", Some(0)).err(), refused);
        let others: Vec<_> = (2..ACCOUNT_CONCURRENCY)
            .map(|_| limits.admit(&caller, "b", None).unwrap())
            .collect();
        assert_eq!(
            limits.admit(&caller, "b", None).err(),
            Some("ConcurrentInvocationLimitExceeded")
        );
        drop((held, others));
        let admitted = limits.admit(&caller, "a", Some(2)).unwrap();
        assert_eq!((admitted.of_function, admitted.of_account), (1, 1));
    }
}
