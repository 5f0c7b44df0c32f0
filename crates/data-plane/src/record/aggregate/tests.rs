use proptest::prelude::*;

use super::*;

fn record(key: &str, hash_key: Option<&str>, data: &[u8]) -> Record {
    Record {
        data: Bytes::copy_from_slice(data),
        partition_key: key.into(),
        explicit_hash_key: hash_key.map(str::to_owned),
        has_random_key: false,
        number: 7,
        line: 9,
    }
}

fn aggregate(records: impl IntoIterator<Item = Record>) -> Aggregate {
    let mut aggregate = Aggregate::new(usize::MAX);
    records.into_iter().for_each(|record| aggregate.push(record));
    aggregate
}

/// An aggregated record with this message and the right checksum.
fn with_checksum(message: &[u8]) -> Bytes {
    let mut data = [&MAGIC, message].concat();
    data.extend_from_slice(&Md5::digest(message));
    data.into()
}

fn records_of(data: &Bytes) -> UserRecords {
    match decode(data) {
        Content::Aggregate(records) => records,
        other => panic!("{other:?}"),
    }
}

fn damage_of(message: &[u8]) -> Damage {
    match decode(&with_checksum(message)) {
        Content::Damaged(damage) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_aggregate_has_the_bytes_that_others_write() {
    // Written by aws_kinesis_agg 1.2.3 (awslabs/kinesis-aggregation) for these records.
    let theirs = [
        "f3899ac20a026b310a026b320a026b331201351a0708001a036f6e651a09080110001a0374776f1a0808001000",
        "1a0200ff1a870108021a8201",
        &"78".repeat(130),
        "1a96a93da09ca5e7753ce485c3774052",
    ]
    .concat();
    let ours = aggregate([
        record("k1", None, b"one"),
        record("k2", Some("5"), b"two"),
        record("k1", Some("5"), b"\x00\xff"),
        record("k3", None, &[b'x'; 130]),
    ]);
    let size = ours.size();
    let ours = ours.finish().unwrap();
    let hex = ours.record.data.iter().map(|byte| format!("{byte:02x}"));
    assert_eq!(hex.collect::<String>(), theirs);
    assert_eq!(ours.record.size(), size);
    assert_eq!(ours.record.partition_key, "a");
    // The MD5 of k1.
    let hash_key = ours.record.explicit_hash_key.as_deref();
    assert_eq!(hash_key, Some("242208671286853988395785178707875403226"));
    assert_eq!(ours.parts.len(), 4);
    assert_eq!((ours.record.number, ours.record.line), (7, 9));
}

#[test]
fn one_record_alone_is_sent_as_it_is() {
    let alone = record("key", None, b"data");
    let one = aggregate([alone.clone()]);
    assert_eq!(one.size(), 7);
    assert_eq!(one.finish().unwrap().record, alone);
    assert!(aggregate([]).finish().is_none());
    assert_eq!(aggregate([]).size(), 0);
}

#[test]
fn an_explicit_hash_key_is_kept() {
    let both = aggregate([record("a", Some("340"), b"1"), record("b", None, b"2")]);
    let both = both.finish().unwrap();
    assert_eq!(both.record.explicit_hash_key.as_deref(), Some("340"));
    let records = records_of(&both.record.data);
    assert_eq!(records.get(0).unwrap().explicit_hash_key, Some("340"));
    assert_eq!(records.get(1).unwrap().explicit_hash_key, None);
    assert_eq!(records.get(2), None);
}

#[test]
fn random_keys_take_the_room_of_one() {
    let random = |n: u32| Record {
        has_random_key: true,
        ..record(&format!("{n:032x}"), None, &[b'x'; 200])
    };
    let own = record("own", None, b"");
    let mixed = aggregate([random(0), own.clone(), random(1), own, random(2)]);
    let mixed = mixed.finish().unwrap();
    let records = records_of(&mixed.record.data);
    let keys: Vec<_> = records.iter().map(|record| record.partition_key).collect();
    let first = format!("{:032x}", 0);
    assert_eq!(keys, [first.as_str(), "own", &first, "own", &first]);
    // 1 MiB a second takes 5 × the 1,000 records a second of a shard.
    let many = aggregate((0..240).map(random));
    assert!(1024 * 1024 * many.len() / many.size() > 5000, "{}", many.size());
}

#[test]
fn a_record_fits_until_the_limit() {
    let small = || record("k", None, b"0123456789");
    let mut aggregate = Aggregate::new(80);
    while aggregate.fits(&small()) {
        aggregate.push(small());
    }
    assert!(aggregate.size() <= 80 && aggregate.len() > 2, "{aggregate:?}");
    aggregate.push(small());
    assert!(aggregate.size() > 80);
    // The first record is taken whatever its size.
    assert!(Aggregate::new(3).fits(&small()));
}

#[test]
fn user_records_are_slices_and_nested_ones_are_read_level_by_level() {
    let inner = aggregate([record("a", None, b"1"), record("b", None, b"2")]);
    let inner = inner.finish().unwrap().record.data;
    let outer = aggregate([record("c", None, &inner), record("d", None, b"3")]);
    let outer = outer.finish().unwrap().record.data;
    let records = records_of(&outer);
    let nested = records.get(0).unwrap();
    assert_eq!((nested.partition_key, &nested.data), ("c", &inner));
    let within = outer.as_ptr_range();
    assert!(within.contains(&nested.data.as_ptr()));
    let nested = records_of(&nested.data);
    assert_eq!(nested.get(1).unwrap().data, "2");
}

#[test]
fn what_is_no_aggregate_is_named() {
    assert!(matches!(decode(&Bytes::new()), Content::Plain));
    assert!(matches!(
        decode(&Bytes::from_static(b"\xF3\x89\x9A")),
        Content::Plain
    ));
    let short = Bytes::from([&MAGIC[..], &[0; 15]].concat());
    assert!(matches!(decode(&short), Content::Damaged(Damage::Short)));
    let wrong = Bytes::from([&MAGIC[..], &[0; 16]].concat());
    assert!(matches!(decode(&wrong), Content::Damaged(Damage::Checksum)));
    assert!(records_of(&with_checksum(b"")).is_empty());
    // Key "k", and a record without data, without key, with an index past the table.
    assert_eq!(damage_of(b"\x0A\x01k\x1A\x02\x08\x00"), Damage::Incomplete(0));
    assert_eq!(damage_of(b"\x0A\x01k\x1A\x02\x1A\x00"), Damage::Incomplete(0));
    assert_eq!(damage_of(b"\x0A\x01k\x1A\x04\x08\x01\x1A\x00"), Damage::Index(0));
    assert_eq!(
        damage_of(b"\x0A\x01k\x1A\x06\x08\x00\x10\x00\x1A\x00"),
        Damage::Index(0)
    );
    assert_eq!(damage_of(b"\x0A\x01\xFF"), Damage::Text);
    assert_eq!(damage_of(b"\x0A\x05k"), Damage::Malformed(2));
    assert_eq!(damage_of(b"\x0A"), Damage::Malformed(1));
    assert_eq!(damage_of(b"\x02\x00"), Damage::Malformed(0));
    assert_eq!(damage_of(b"\x0B"), Damage::Malformed(0));
    assert_eq!(damage_of(&[0xFF; 11]), Damage::Malformed(0));
}

#[test]
fn what_is_not_known_is_skipped() {
    let fields = [
        b"\x08\x00".as_slice(),
        // A tag, and unknown fields of 8, of 4 and of other bytes.
        b"\x22\x03\x0A\x01t",
        b"\x29\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\x35\x01\x02\x03\x04",
        b"\x3A\x01?",
        // The index of the key, as another type.
        b"\x0A\x02ab",
        b"\x1A\x02hi",
    ]
    .concat();
    // The table may come after the record.
    let message = [&[0x1A, fields.len() as u8], &fields[..], b"\x0A\x01k"].concat();
    let records = records_of(&with_checksum(&message));
    let only = records.get(0).unwrap();
    assert_eq!((only.partition_key, &only.data[..]), ("k", &b"hi"[..]));
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let key = prop_oneof!["[a-c]", "\\PC{1,40}"];
    let hash_key = prop::option::weighted(0.3, prop_oneof![Just(0), Just(u128::MAX), any::<u128>()]);
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (100usize..140, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        (16_370usize..16_390, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ];
    let one = (key, hash_key, data).prop_map(|(key, hash_key, data)| {
        let hash_key = hash_key.map(|key| key.to_string());
        record(&key, hash_key.as_deref(), &data)
    });
    prop::collection::vec(one, 2..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn what_is_written_is_read_and_the_size_is_exact(records in records()) {
        let mut growing = Aggregate::new(usize::MAX);
        for record in &records {
            let before = growing.size();
            growing.push(record.clone());
            prop_assert!(growing.size() > before);
        }
        let size = growing.size();
        let done = growing.finish().unwrap();
        prop_assert_eq!(done.record.size(), size);
        prop_assert_eq!(&done.parts, &records);
        prop_assert_eq!(done.record.hash_key(), records[0].hash_key());
        let read = records_of(&done.record.data);
        prop_assert_eq!(read.len(), records.len());
        for (read, record) in read.iter().zip(&records) {
            prop_assert_eq!(read.partition_key, &record.partition_key);
            prop_assert_eq!(read.explicit_hash_key, record.explicit_hash_key.as_deref());
            prop_assert_eq!(read.data, &record.data);
        }
    }

    #[test]
    fn damage_is_never_taken_as_something_else(
        records in records(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let whole = aggregate(records).finish().unwrap().record.data;
        let mut data = whole.to_vec();
        for (at, flip) in flips {
            let at = at.index(data.len());
            data[at] ^= flip;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        prop_assume!(data != whole);
        let has_magic = data.starts_with(&MAGIC);
        match decode(&data.into()) {
            Content::Plain => prop_assert!(!has_magic),
            Content::Damaged(_) => prop_assert!(has_magic),
            Content::Aggregate(_) => prop_assert!(false, "damage was not noticed"),
        }
    }

    #[test]
    fn a_damaged_message_with_a_right_checksum_is_read_within_its_bounds(
        records in records(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let whole = aggregate(records).finish().unwrap().record.data;
        let mut message = whole[MAGIC.len()..whole.len() - CHECKSUM].to_vec();
        for (at, byte) in flips {
            let at = at.index(message.len());
            message[at] = byte;
        }
        check_within_bounds(&with_checksum(&message))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn any_bytes_behind_the_magic_are_read_within_their_bounds(
        // Likely tags, small numbers and anything.
        message in prop::collection::vec(
            prop_oneof![prop::sample::select(vec![0x08u8, 0x0A, 0x10, 0x12, 0x1A, 0x22]), 0u8..6, any::<u8>()],
            0..64,
        ),
    ) {
        check_within_bounds(&with_checksum(&message))?;
        let unchecked = Bytes::from([&MAGIC[..], &message].concat());
        prop_assert!(matches!(decode(&unchecked), Content::Damaged(Damage::Short | Damage::Checksum)));
    }
}

fn check_within_bounds(data: &Bytes) -> Result<(), TestCaseError> {
    let Content::Aggregate(records) = decode(data) else {
        return Ok(());
    };
    let within = data.as_ptr_range();
    for record in records.iter() {
        let slice = record.data.as_ptr_range();
        prop_assert!(record.data.is_empty() || (within.start <= slice.start && slice.end <= within.end));
        prop_assert!(record.partition_key.len() <= data.len());
    }
    Ok(())
}
