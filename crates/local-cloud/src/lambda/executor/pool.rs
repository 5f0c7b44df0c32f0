//! Instances between invocations. The instance used last is used first, so that unneeded ones reach the idle limit.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::instance::Instance;

/// How often idle instances are checked against the limits.
pub(super) const REAP_INTERVAL: Duration = Duration::from_secs(15);
/// How long an instance may be idle. On AWS it is some minutes too.
const MAX_IDLE_TIME: Duration = Duration::from_secs(300);
/// Idle instances of all functions.
const MAX_IDLE: usize = 64;
/// Resident bytes of all idle instances.
const MAX_IDLE_BYTES: u64 = 1 << 30;

#[derive(Default)]
pub(super) struct Pool(Mutex<State>);

#[derive(Default)]
struct State {
    idle: HashMap<String, Vec<Instance>>,
    /// Instances by key, idle and busy.
    count: HashMap<String, usize>,
    /// Keys whose instances end when they come back.
    retired: HashSet<String>,
}

impl State {
    fn uncount(&mut self, key: &str) {
        if let Some(count) = self.count.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(key);
                self.retired.remove(key);
            }
        }
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new instance of `key`.
    pub fn count(&self, key: &str) {
        *self.state().count.entry(key.to_owned()).or_default() += 1;
    }

    /// Counts an instance of `key` that has ended.
    pub fn uncount(&self, key: &str) {
        self.state().uncount(key);
    }

    /// The idle instance of `key` that was used last, if its process is alive.
    pub fn take(&self, key: &str) -> Option<Instance> {
        let mut state = self.state();
        let mut dead = Vec::new();
        let alive = loop {
            let Some(mut instance) = state.idle.get_mut(key).and_then(Vec::pop) else {
                break None;
            };
            if instance.process.is_alive() {
                break Some(instance);
            }
            state.uncount(key);
            dead.push(instance);
        };
        drop(state);
        alive
    }

    /// Takes a ready instance back.
    pub fn give_back(&self, mut instance: Instance) {
        instance.idle_since = Instant::now();
        let mut state = self.state();
        if state.retired.contains(&instance.key) {
            state.uncount(&instance.key);
            drop(state);
            drop(instance);
            return;
        }
        let key = instance.key.clone();
        state.idle.entry(key).or_default().push(instance);
    }

    /// Ends an instance.
    pub fn discard(&self, instance: Instance) {
        self.uncount(&instance.key);
        drop(instance);
    }

    /// Ends the idle instances of `key` now, and the busy ones when they come back.
    pub fn retire(&self, key: &str) {
        let mut state = self.state();
        let ended = state.idle.remove(key).unwrap_or_default();
        for _ in &ended {
            state.uncount(key);
        }
        if state.count.contains_key(key) {
            state.retired.insert(key.to_owned());
        }
        drop(state);
        drop(ended);
    }

    /// Ends the instances over the limits.
    pub fn reap(&self) {
        let mut state = self.state();
        let mut all: Vec<Instance> = state.idle.drain().flat_map(|(_, instances)| instances).collect();
        // The instance used last comes first.
        all.sort_by_key(|instance| instance.idle_since.elapsed());
        let (mut count, mut bytes) = (0, 0);
        let mut ended = Vec::new();
        for mut instance in all {
            count += 1;
            bytes += instance.process.resident_memory();
            let keep = instance.idle_since.elapsed() < MAX_IDLE_TIME
                && count <= MAX_IDLE
                && bytes <= MAX_IDLE_BYTES
                && instance.process.is_alive();
            if keep {
                state.idle.entry(instance.key.clone()).or_default().push(instance);
            } else {
                state.uncount(&instance.key);
                ended.push(instance);
            }
        }
        for instances in state.idle.values_mut() {
            instances.reverse();
        }
        drop(state);
        drop(ended);
    }

    /// Ends all idle instances.
    pub fn clear(&self) {
        let ended: Vec<_> = self.state().idle.drain().collect();
        drop(ended);
    }
}
