//! Walks a graph in parallel: a node starts once the nodes it depends on are done.

use std::collections::BTreeSet;
use std::future::Future;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::graph::Graph;
use ground::error::{Error, Result};
use ground::stop::Stop;

/// Limit of nodes that run in parallel. More would exceed the rates of control plane calls (Kinesis: 5 per second).
pub(super) const MAX_PARALLEL: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Each node after those that it needs.
    Forward,
    /// Each node after those that need it.
    Backward,
}

/// Result of a node.
#[derive(Debug)]
pub(super) enum Reached<T> {
    Done(T),
    Failed(Error),
    /// Not started, because this node failed.
    Blocked(usize),
    /// Not started, because the walk was stopped.
    Stopped,
}

/// Runs `work` for every node. If it fails, only the nodes that depend on this one are skipped. Once `stop` is set, no
/// node starts, and running ones are completed.
pub(super) async fn walk<T, F, Fut>(graph: &Graph, way: Way, stop: &Stop, work: F) -> Vec<Reached<T>>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let before: Vec<BTreeSet<usize>> = match way {
        Way::Forward => (0..graph.len()).map(|node| graph.needs(node).clone()).collect(),
        Way::Backward => graph.needed_by(),
    };
    let mut reached: Vec<Option<Reached<T>>> = (0..graph.len()).map(|_| None).collect();
    let mut begun = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    loop {
        mark_blocked(&before, &mut reached, &begun);
        for node in 0..graph.len() {
            let ready = !begun.contains(&node)
                && reached[node].is_none()
                && before[node]
                    .iter()
                    .all(|other| matches!(reached[*other], Some(Reached::Done(_))));
            if ready && running.len() < MAX_PARALLEL && !stop.is_set() {
                begun.insert(node);
                let job = work(node);
                running.push(async move { (node, job.await) });
            }
        }
        let Some((node, result)) = running.next().await else {
            break;
        };
        reached[node] = Some(match result {
            Ok(value) => Reached::Done(value),
            Err(error) => Reached::Failed(error),
        });
    }
    reached
        .into_iter()
        .map(|one| one.unwrap_or(Reached::Stopped))
        .collect()
}

/// Marks the nodes that directly or indirectly depend on a failed one.
fn mark_blocked<T>(before: &[BTreeSet<usize>], reached: &mut [Option<Reached<T>>], begun: &BTreeSet<usize>) {
    loop {
        let blocked = (0..before.len()).find_map(|node| {
            if begun.contains(&node) || reached[node].is_some() {
                return None;
            }
            before[node].iter().find_map(|other| match reached[*other] {
                Some(Reached::Failed(_)) => Some((node, *other)),
                Some(Reached::Blocked(root)) => Some((node, root)),
                _ => None,
            })
        });
        let Some((node, root)) = blocked else { return };
        reached[node] = Some(Reached::Blocked(root));
    }
}
