//! Decides which leases a member takes, and which it asks for.

use std::collections::{HashMap, HashSet};

use super::Lease;

/// A lease, and whether its owner is dead.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) lease: Lease,
    pub(super) is_expired: bool,
}

impl Seen {
    fn is_available(&self) -> bool {
        self.lease.owner.is_none() || self.is_expired
    }
}

/// What a member does next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Keys of leases to take: nobody reads them.
    pub(super) take: Vec<String>,
    /// Keys of leases to ask others for.
    pub(super) claim: Vec<String>,
}

/// Whether the shard of `lease` can be read: it has not ended, and its parents have.
pub(super) fn is_ready(lease: &Lease, ended: &HashSet<&str>, all: &HashSet<&str>) -> bool {
    // A parent without a lease has expired, or was closed before the group began.
    let has_ended = |parent: &String| ended.contains(parent.as_str()) || !all.contains(parent.as_str());
    !lease.is_ended() && lease.parents.iter().all(has_ended)
}

/// The leases whose shards can be read.
pub(super) fn ready(seen: &[Seen]) -> Vec<&Seen> {
    let all = seen.iter().map(|one| one.lease.key.as_str()).collect();
    let ended = seen.iter().filter(|one| one.lease.is_ended());
    let ended = ended.map(|one| one.lease.key.as_str()).collect();
    seen.iter()
        .filter(|one| is_ready(&one.lease, &ended, &all))
        .collect()
}

/// What the member `me` does. Each member gets its share, rounded up: one that has less takes what nobody reads, or asks
/// the member that has most.
pub(super) fn decide(seen: &[Seen], me: &str) -> Decision {
    let ready = ready(seen);
    let mut counts: HashMap<&str, usize> = HashMap::from([(me, 0)]);
    for one in ready.iter().filter(|one| !one.is_available()) {
        *counts
            .entry(one.lease.owner.as_deref().unwrap_or(me))
            .or_default() += 1;
    }
    let share = ready.len().div_ceil(counts.len());
    let mine = counts.get(me).copied().unwrap_or(0);
    let wanted = share.saturating_sub(mine);
    let mut decision = Decision::default();
    let available = ready.iter().filter(|one| one.is_available());
    let available = available.filter(|one| one.lease.owner.as_deref() != Some(me) || one.is_expired);
    decision.take = available.take(wanted).map(|one| one.lease.key.clone()).collect();
    if wanted == 0 || !decision.take.is_empty() {
        return decision;
    }
    // Not one that only has its share, unless this member is short of more than one.
    let richest = counts.into_iter().filter(|(owner, _)| *owner != me);
    let Some((richest, most)) = richest.max_by_key(|(owner, count)| (*count, *owner)) else {
        return decision;
    };
    let surplus = match most.saturating_sub(share) {
        0 if most == share && wanted > 1 => 1,
        surplus => surplus.min(wanted),
    };
    let of_richest = ready.iter().filter(|one| {
        one.lease.owner.as_deref() == Some(richest) && one.lease.handing_over.is_none() && !one.is_expired
    });
    decision.claim = of_richest
        .take(surplus)
        .map(|one| one.lease.key.clone())
        .collect();
    decision
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::consume::group::Checkpoint;

    fn seen(key: &str, owner: Option<&str>) -> Seen {
        Seen {
            lease: Lease {
                key: key.to_owned(),
                owner: owner.map(str::to_owned),
                ..Lease::default()
            },
            is_expired: false,
        }
    }

    #[test]
    fn the_first_member_takes_all_and_the_second_its_half() {
        let free: Vec<Seen> = ["a", "b", "c", "d"].iter().map(|key| seen(key, None)).collect();
        assert_eq!(decide(&free, "me").take, ["a", "b", "c", "d"]);
        let taken: Vec<Seen> = ["a", "b", "c", "d"]
            .iter()
            .map(|key| seen(key, Some("one")))
            .collect();
        assert_eq!(decide(&taken, "me").claim, ["a", "b"]);
        assert_eq!(decide(&taken, "one"), Decision::default());
    }

    #[test]
    fn the_leases_of_a_dead_member_are_taken() {
        let mut leases = vec![seen("a", Some("dead")), seen("b", Some("me"))];
        assert_eq!(decide(&leases, "me"), Decision::default());
        leases[0].is_expired = true;
        assert_eq!(decide(&leases, "me").take, ["a"]);
    }

    #[test]
    fn a_child_waits_for_all_its_parents() {
        let mut child = seen("c", None);
        child.lease.parents = vec!["a".into(), "b".into(), "gone".into()];
        let mut leases = vec![seen("a", Some("x")), seen("b", Some("x")), child];
        let keys = |leases: &[Seen]| -> Vec<String> {
            ready(leases).iter().map(|one| one.lease.key.clone()).collect()
        };
        assert_eq!(keys(&leases), ["a", "b"]);
        leases[0].lease.checkpoint = Checkpoint::ShardEnd;
        assert_eq!(keys(&leases), ["b"]);
        leases[1].lease.checkpoint = Checkpoint::ShardEnd;
        assert_eq!(keys(&leases), ["c"]);
    }

    proptest! {
        /// Members that decide one after the other come to rest, with shares that differ by one at most.
        #[test]
        fn members_share_evenly(leases in 0usize..40, members in 1usize..6, owners in prop::collection::vec(0usize..6, 40)) {
            let name = |member: usize| format!("member-{member}");
            let mut all: Vec<Seen> = (0..leases)
                .map(|key| {
                    let owner = owners[key];
                    seen(&format!("{key:03}"), (owner < members).then(|| name(owner)).as_deref())
                })
                .collect();
            let mut quiet = 0;
            for round in 0..400 {
                let me = name(round % members);
                let decision = decide(&all, &me);
                quiet = if decision == Decision::default() { quiet + 1 } else { 0 };
                for key in decision.take.iter().chain(&decision.claim) {
                    let one = all.iter_mut().find(|one| one.lease.key == *key).unwrap();
                    one.lease.owner = Some(me.clone());
                }
            }
            prop_assert!(quiet >= members, "they take from one another for ever");
            let counts: Vec<usize> = (0..members)
                .map(|member| all.iter().filter(|one| one.lease.owner == Some(name(member))).count())
                .collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), leases);
            let least = counts.iter().min().unwrap();
            prop_assert!(counts.iter().max().unwrap() - least <= 1, "{:?}", counts);
        }
    }
}
