//! Global secondary indexes: the differences, and their state.

use super::IndexFacts;
use super::declared::Index;
use crate::pipeline::resource::{Change, Check, CheckState};

/// What the field of a change of an index begins with; its name follows.
pub(super) const FIELD: &str = "index ";

/// Changes of indexes, those that make room first. DynamoDB changes no index: one that differs is built anew.
pub(super) fn changes(there: &[IndexFacts], wanted: Vec<Index>) -> Vec<Change> {
    let standing = |name: &str| {
        let mut found = there.iter().filter(|facts| facts.status != "DELETING");
        found.find(|facts| facts.index.name == name)
    };
    let change = |name: &str, from: Option<&Index>, to: Option<&Index>| Change::Update {
        field: format!("{FIELD}{name}"),
        from: from.map(ToString::to_string),
        to: to.map(ToString::to_string),
        loses: from.map(|_| match to {
            Some(_) => format!("queries of index {name} fail until it is built anew"),
            None => format!("queries of index {name} fail"),
        }),
    };
    let gone = there
        .iter()
        .filter(|facts| facts.status != "DELETING")
        .filter(|facts| wanted.iter().all(|index| index.name != facts.index.name))
        .map(|facts| change(&facts.index.name, Some(&facts.index), None));
    let set = wanted.iter().filter_map(|index| {
        let there = standing(&index.name).map(|facts| &facts.index);
        (there != Some(index)).then(|| change(&index.name, there, Some(index)))
    });
    gone.chain(set).collect()
}

/// Whether all indexes answer queries.
pub(super) fn check(indexes: &[IndexFacts]) -> Option<Check> {
    if indexes.is_empty() {
        return None;
    }
    let busy: Vec<String> = indexes
        .iter()
        .filter(|facts| facts.status != "ACTIVE")
        .map(|facts| format!("{} is {}", facts.index.name, facts.status))
        .collect();
    let names: Vec<&str> = indexes.iter().map(|facts| facts.index.name.as_str()).collect();
    Some(match busy.is_empty() {
        true => Check::new(
            CheckState::Good,
            "indexes",
            format!("ACTIVE: {}", names.join(", ")),
        ),
        // One that is being built is as declared, and answers no query yet.
        false => Check::new(CheckState::Caution, "indexes", busy.join(", ")),
    })
}
