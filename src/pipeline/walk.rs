//! Walks a graph in parallel: a node starts once the nodes it depends on are done.

use std::collections::BTreeSet;
use std::future::Future;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::graph::Graph;
use ground::error::{Error, Result};
use ground::stop::Stop;

/// Resources worked on at once. More would run into the services' rates for control calls (Kinesis: 5 a second).
pub(super) const AT_ONCE: usize = 8;

/// Which way to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Each after what it needs.
    Forward,
    /// Each after what needs it.
    Backward,
}

/// Result of a node.
#[derive(Debug)]
pub(super) enum Reached<T> {
    /// Its work came to its end.
    Done(T),
    /// Its work failed.
    Failed(Error),
    /// It was never begun, because the work of this node failed.
    Blocked(usize),
    /// It was never begun, because the walk was stopped.
    Stopped,
}

/// Does `work` for every node. A failure skips the nodes that depend on it, not the others; once `stop` is set, no node
/// begins and running ones are completed.
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
            if ready && running.len() < AT_ONCE && !stop.is_set() {
                begun.insert(node);
                let job = work(node);
                running.push(async move { (node, job.await) });
            }
        }
        let Some((node, outcome)) = running.next().await else {
            break;
        };
        reached[node] = Some(match outcome {
            Ok(value) => Reached::Done(value),
            Err(error) => Reached::Failed(error),
        });
    }
    reached
        .into_iter()
        .map(|one| one.unwrap_or(Reached::Stopped))
        .collect()
}

/// Marks what can no longer be begun, through to the end of each chain.
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
