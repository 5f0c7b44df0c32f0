//! The dependency graph of a pipeline's resources.

use std::collections::{BTreeMap, BTreeSet};

use ground::error::{Error, Result};

/// An acyclic graph. Nodes are numbered in a fixed topological order: 0 needs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    ids: Vec<String>,
    needs: Vec<BTreeSet<usize>>,
    index: BTreeMap<String, usize>,
}

impl Graph {
    /// A graph of nodes with the ids that each needs. Independent nodes keep the given order.
    ///
    /// # Errors
    /// Exit 2 when a node needs an unknown one, or the graph has a cycle.
    pub fn new(nodes: Vec<(String, BTreeSet<String>)>) -> Result<Self> {
        let known: BTreeSet<&str> = nodes.iter().map(|(id, _)| id.as_str()).collect();
        if let Some((id, need)) = nodes
            .iter()
            .flat_map(|(id, needs)| needs.iter().map(move |need| (id, need)))
            .find(|(_, need)| !known.contains(need.as_str()))
        {
            return Err(Error::usage(format!(
                "resource {id} depends on {need}, which is not declared"
            )));
        }
        let mut graph = Self {
            ids: Vec::with_capacity(nodes.len()),
            needs: Vec::with_capacity(nodes.len()),
            index: BTreeMap::new(),
        };
        let mut left = nodes;
        while !left.is_empty() {
            let ready = left
                .iter()
                .position(|(_, needs)| needs.iter().all(|need| graph.index.contains_key(need)));
            let Some(ready) = ready else {
                return Err(cycle(&left));
            };
            let (id, needs) = left.remove(ready);
            let needs = needs
                .iter()
                .filter_map(|need| graph.index.get(need).copied())
                .collect();
            graph.index.insert(id.clone(), graph.ids.len());
            graph.ids.push(id);
            graph.needs.push(needs);
        }
        Ok(graph)
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids, each after those that it needs.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    pub fn id(&self, node: usize) -> &str {
        &self.ids[node]
    }

    /// The number of the node `id`.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The nodes that node `node` needs.
    pub fn needs(&self, node: usize) -> &BTreeSet<usize> {
        &self.needs[node]
    }

    /// For each node, the nodes that need it. They are deleted before it.
    pub(super) fn needed_by(&self) -> Vec<BTreeSet<usize>> {
        let mut needed_by = vec![BTreeSet::new(); self.len()];
        for (node, needs) in self.needs.iter().enumerate() {
            for need in needs {
                needed_by[*need].insert(node);
            }
        }
        needed_by
    }
}

/// The error that names one cycle. Each node of `left` needs another one of them.
fn cycle(left: &[(String, BTreeSet<String>)]) -> Error {
    let needs: BTreeMap<&str, &BTreeSet<String>> =
        left.iter().map(|(id, needs)| (id.as_str(), needs)).collect();
    let mut path: Vec<&str> = vec![left[0].0.as_str()];
    loop {
        let here = path[path.len() - 1];
        // Every node that is left needs another one, or it would have been ready.
        let next = needs
            .get(here)
            .into_iter()
            .flat_map(|needs| needs.iter())
            .map(String::as_str)
            .find(|need| needs.contains_key(need));
        let Some(next) = next else { break };
        if let Some(start) = path.iter().position(|id| *id == next) {
            path.drain(..start);
            path.push(next);
            break;
        }
        path.push(next);
    }
    Error::usage(format!(
        "circular dependency between resources: {}",
        path.join(" → ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(nodes: &[(&str, &[&str])]) -> Result<Graph> {
        Graph::new(
            nodes
                .iter()
                .map(|(id, needs)| ((*id).to_owned(), needs.iter().map(|n| (*n).to_owned()).collect()))
                .collect(),
        )
    }

    #[test]
    fn each_comes_after_what_it_needs() {
        let graph = graph(&[
            ("alarm", &["role", "topic"]),
            ("role", &[]),
            ("topic", &["key"]),
            ("key", &[]),
        ])
        .unwrap();
        assert_eq!(
            graph.order().collect::<Vec<_>>(),
            ["role", "key", "topic", "alarm"]
        );
    }

    #[test]
    fn a_cycle_is_refused_by_name() {
        let error = graph(&[("d", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]).unwrap_err();
        insta::assert_snapshot!(error, @"circular dependency between resources: a → b → c → a");
        let error = graph(&[("a", &["a"])]).unwrap_err();
        insta::assert_snapshot!(error, @"circular dependency between resources: a → a");
    }

    #[test]
    fn an_unknown_need_is_refused() {
        let error = graph(&[("a", &["b"])]).unwrap_err();
        insta::assert_snapshot!(error, @"resource a depends on b, which is not declared");
    }

    proptest! {
        #[test]
        fn any_graph_is_ordered_or_refused(edges in prop::collection::vec((0usize..8, 0usize..8), 0..20)) {
            let mut nodes: Vec<(String, BTreeSet<String>)> =
                (0..8).map(|n| (n.to_string(), BTreeSet::new())).collect();
            for (from, to) in edges {
                nodes[from].1.insert(to.to_string());
            }
            if let Ok(graph) = Graph::new(nodes) {
                prop_assert_eq!(graph.len(), 8);
                for node in 0..8 {
                    prop_assert!(graph.needs(node).iter().all(|need| *need < node));
                }
            }
        }
    }
}
