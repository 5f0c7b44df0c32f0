use super::*;

const MAX: u128 = u128::MAX;

fn shard(n: u32, parents: &[u32], range: (u128, u128), open: bool) -> Shard {
    let id = |n: u32| format!("shardId-{n:012}");
    Shard {
        id: id(n),
        parent: parents.first().copied().map(id),
        adjacent_parent: parents.get(1).copied().map(id),
        first_hash: range.0,
        last_hash: range.1,
        first_sequence: "1".into(),
        last_sequence: (!open).then(|| "2".into()),
    }
}

/// Shard 1, whose parent 0 has expired, was split into 2 and 3, which were merged into 4.
fn split_and_merged() -> ShardMap {
    let half = MAX / 2;
    ShardMap::new(vec![
        shard(4, &[2, 3], (0, MAX), true),
        shard(1, &[0], (0, MAX), false),
        shard(3, &[1], (half + 1, MAX), false),
        shard(2, &[1], (0, half), false),
    ])
}

fn numbers<'a>(shards: impl Iterator<Item = &'a Shard>) -> Vec<u32> {
    shards
        .map(|shard| shard.id["shardId-".len()..].parse().unwrap())
        .collect()
}

#[test]
fn lineage_follows_splits_and_merges() {
    let map = split_and_merged();
    assert_eq!(numbers(map.all().iter()), [1, 2, 3, 4]);
    assert_eq!(numbers(map.roots()), [1]);
    assert_eq!(numbers(map.children_of("shardId-000000000001")), [2, 3]);
    assert_eq!(numbers(map.children_of("shardId-000000000003")), [4]);
    assert_eq!(numbers(map.open()), [4]);
    assert_eq!(numbers(map.closed()), [1, 2, 3]);
    assert_eq!(map.get("shardId-000000000009"), None);
}

#[test]
fn a_hash_key_belongs_to_one_open_shard() {
    let third = MAX / 3;
    let map = ShardMap::new(vec![
        shard(0, &[], (0, MAX), false),
        shard(1, &[0], (0, third), true),
        shard(2, &[0], (third + 1, MAX), true),
    ]);
    assert_eq!(map.for_hash(0).unwrap().id, "shardId-000000000001");
    assert_eq!(map.for_hash(third).unwrap().id, "shardId-000000000001");
    assert_eq!(map.for_hash(third + 1).unwrap().id, "shardId-000000000002");
    assert_eq!(map.for_hash(MAX).unwrap().id, "shardId-000000000002");
    assert_eq!(ShardMap::default().for_hash(7), None);
}

#[test]
fn shares_of_the_hash_space_add_up() {
    let map = split_and_merged();
    let share = |n: usize| map.all()[n].share();
    assert!((share(0) - 1.0).abs() < 1e-9);
    assert!((share(1) - 0.5).abs() < 1e-9);
    assert!((share(1) + share(2) - 1.0).abs() < 1e-9);
}

#[test]
fn a_shard_without_its_ranges_is_an_error_and_not_a_guess() {
    let sequences = sdk::SequenceNumberRange::builder()
        .starting_sequence_number("49")
        .build()
        .unwrap();
    let keys = |first: &str, last: &str| {
        let range = sdk::HashKeyRange::builder();
        range
            .starting_hash_key(first)
            .ending_hash_key(last)
            .build()
            .unwrap()
    };
    let api = |range| {
        sdk::Shard::builder()
            .shard_id("shardId-000000000000")
            .hash_key_range(range)
            .sequence_number_range(sequences.clone())
            .build()
            .unwrap()
    };
    let all = "340282366920938463463374607431768211455";
    let shard = parse(api(keys("0", all))).unwrap();
    assert_eq!(
        (shard.first_hash, shard.last_hash, shard.is_open()),
        (0, MAX, true)
    );
    assert!(parse(api(keys("0", "340282366920938463463374607431768211456"))).is_err());
    assert!(parse(api(keys("-1", all))).is_err());
    assert!(parse(api(keys("7", "6"))).is_err());
}
