//! Damaged, truncated and missing files of a log.

use super::*;

/// A log of 30 records in several files, and the records.
fn log_of_30(dir: &TempDir) -> Vec<StoredRecord> {
    let store = small(dir);
    for at in 0..30_u8 {
        let data = vec![at; 20 + usize::from(at) * 13];
        store
            .append(&[record("key", &data)], CREATED + i64::from(at))
            .unwrap();
    }
    all(&store)
}

/// The indexes that are still served; and that a lost record is always counted.
fn served(store: &ShardStore, before: &[StoredRecord]) -> Vec<u64> {
    let after = all(store);
    for record in &after {
        assert_eq!(record, &before[record.sequence_number.index() as usize - 1]);
    }
    let lost: u64 = store.damage().iter().map(|file| file.records).sum();
    assert_eq!(
        after.len() as u64 + lost,
        before.len() as u64,
        "{:?}",
        store.damage()
    );
    indexes(&after)
}

fn without(lost: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let lost: Vec<u64> = lost.into_iter().collect();
    (1..=30).filter(|index| !lost.contains(index)).collect()
}

/// What a copy of `dir` serves after `damage`; and that it still does after a restart, with numbers that go on.
fn after_damage(
    dir: &TempDir,
    before: &[StoredRecord],
    damage: impl FnOnce(&Path),
) -> (Vec<u64>, Vec<DamagedFile>) {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    damage(copy.path());
    let store = reopen(&copy);
    let found = served(&store, before);
    let damaged = store.damage();
    match store.append(&[record("k", b"new")], CREATED) {
        Ok(numbers) => {
            assert_eq!(numbers[0].index(), 31, "a lost number is not used again");
            drop(store);
            let store = reopen(&copy);
            let mut again = indexes(&all(&store));
            assert_eq!(again.pop(), Some(31));
            assert_eq!(again, found, "the same after a restart");
            assert_eq!(store.damage(), damaged, "reported at each start");
        }
        Err(refused) => {
            let path = damaged[0].path.display().to_string();
            assert!(refused.to_string().starts_with(&path), "{refused}");
        }
    }
    (found, damaged)
}

#[test]
fn a_flipped_byte_loses_one_record_at_most() {
    let dir = TempDir::new().unwrap();
    let before = log_of_30(&dir);
    for path in log_files(&dir) {
        let name = path.file_name().unwrap();
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7).chain([8, 31, 32, whole.len() - 1]) {
            let (found, damaged) = after_damage(&dir, &before, |copy| {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x41;
                fs::write(copy.join(name), bytes).unwrap();
                let _ = fs::remove_file(copy.join(name).with_extension("idx"));
            });
            assert!(found.len() >= 29, "byte {at} of {path:?}: {found:?}");
            assert_eq!(damaged.len(), 1);
        }
    }
}

#[test]
fn damaged_bytes_are_kept_aside() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 1 << 20);
    let data: Vec<String> = (0..9).map(|at| format!("record {at}")).collect();
    for data in &data {
        store.append(&[record("k", data.as_bytes())], CREATED).unwrap();
    }
    drop(store);
    let path = log_files(&dir).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let length = frame::HEADER + 9;
    let start = segment::HEADER + 4 * length;
    bytes[start + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open(&dir, 1 << 20);
    assert_eq!(indexes(&all(&store)), [1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!(store.damage()[0].path, path);
    assert_eq!(store.damage()[0].records, 1);
    let aside = PathBuf::from(format!("{}.damaged-{start}", path.display()));
    assert_eq!(fs::read(&aside).unwrap(), bytes[start..start + length]);
    assert_eq!(fs::read(&path).unwrap(), bytes, "the file is as it was");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&aside).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    // Retention deletes it with the file.
    store.append(&[record("k", &[0; 1 << 20])], CREATED + 5).unwrap();
    store.append(&[record("k", b"newest")], CREATED + 9).unwrap();
    store.trim_before(CREATED + 9).unwrap();
    assert_eq!(indexes(&all(&store)), [11]);
    assert_eq!(
        (store.damage(), aside.exists(), path.exists()),
        (vec![], false, false)
    );
}

#[test]
fn a_truncated_file_loses_its_end_only_and_says_so() {
    let dir = TempDir::new().unwrap();
    let before = log_of_30(&dir);
    for path in log_files(&dir) {
        let name = path.file_name().unwrap();
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(97).chain([31, 32, 33]) {
            let (found, damaged) = after_damage(&dir, &before, |copy| {
                fs::write(copy.join(name), &whole[..length]).unwrap();
            });
            assert!(found.len() < 30 && found.len() >= 15, "{length}: {found:?}");
            assert!(!damaged.is_empty());
        }
    }
}

#[test]
fn a_missing_file_is_reported_wherever_it_was() {
    let dir = TempDir::new().unwrap();
    let before = log_of_30(&dir);
    let segments: Vec<_> = reopen(&dir).lock().segments.iter().cloned().collect();
    assert!(segments.len() > 3);
    for segment in segments {
        let name = segment.path.file_name().unwrap().to_owned();
        let (found, damaged) = after_damage(&dir, &before, |copy| {
            fs::remove_file(copy.join(&name)).unwrap();
        });
        assert_eq!(found, without(segment.base..segment.next));
        assert_eq!(damaged.len(), 1, "{damaged:?}");
    }
}

#[test]
fn a_log_that_is_gone_makes_the_shard_read_only() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 1 << 20);
    store
        .append(&[record("k", b"x"), record("k", b"y")], CREATED)
        .unwrap();
    drop(store);
    let path = log_files(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    for damage in [Some(&b""[..]), Some(&whole[..20]), None] {
        match damage {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let store = open(&dir, 1 << 20);
        let refused = store
            .append(&[record("k", b"z")], CREATED)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("read-only"), "{refused}");
        assert!(refused.starts_with(&store.damage()[0].path.display().to_string()));
        assert_eq!(store.damage()[0].records, 2);
        let page = store.read(Position::at(1), 10, 100).unwrap();
        assert_eq!((page.records.len(), page.end_of_shard), (0, false));
        // A reshard leads away from it.
        store.close(CREATED + 1).unwrap();
        assert!(store.read(page.next, 10, 100).unwrap().end_of_shard);
        assert_eq!(path.exists(), damage.is_some(), "nothing is written");
    }
    // As soon as the file is back, all is well.
    fs::write(&path, &whole).unwrap();
    let store = open(&dir, 1 << 20);
    assert_eq!(store.append(&[record("k", b"z")], CREATED).unwrap()[0].index(), 3);
    assert_eq!(store.damage(), []);
}

#[test]
fn damage_while_running_is_skipped_by_the_same_read() {
    let dir = TempDir::new().unwrap();
    let before = log_of_30(&dir);
    let store = reopen(&dir);
    let sealed = store.lock().segments[1].clone();
    let bytes = fs::read(&sealed.path).unwrap();
    // The length of the second record of the file, which also leads a search by time astray.
    let second = segment::HEADER + frame::HEADER + 3 + 20 + (sealed.base as usize - 1) * 13;
    let mut damaged = bytes.clone();
    damaged[second + 8] ^= 0x10;
    fs::write(&sealed.path, &damaged).unwrap();
    let at = store
        .position(Start::Timestamp(CREATED + sealed.base as i64 + 1))
        .unwrap();
    assert_eq!(at.index, sealed.base + 2);
    assert_eq!(served(&store, &before), without([sealed.base + 1]));
    assert!(!sealed.path.with_extension("idx").exists());
    drop(store);
    let store = reopen(&dir);
    assert_eq!(store.damage()[0].records, 1, "also at the next start");
    assert_eq!(served(&store, &before), without([sealed.base + 1]));
    // The newest file, cut while it is open.
    let active = store.lock().segments.back().unwrap().clone();
    fs::OpenOptions::new()
        .write(true)
        .open(&active.path)
        .unwrap()
        .set_len(active.length - 3)
        .unwrap();
    assert_eq!(served(&store, &before), without([sealed.base + 1, 30]));
    store.append(&[record("k", b"after")], CREATED).unwrap();
    assert_eq!(*indexes(&all(&store)).last().unwrap(), 31);
    drop(store);
    let again = indexes(&all(&reopen(&dir)));
    assert_eq!((again.len(), *again.last().unwrap()), (29, 31));
}

#[test]
fn a_file_that_is_deleted_while_running_is_skipped() {
    let dir = TempDir::new().unwrap();
    let before = log_of_30(&dir);
    let store = reopen(&dir);
    let sealed = store.lock().segments[1].clone();
    fs::remove_file(&sealed.path).unwrap();
    assert_eq!(served(&store, &before), without(sealed.base..sealed.next));
    let since = store
        .position(Start::Timestamp(CREATED + sealed.base as i64))
        .unwrap();
    assert_eq!(since.index, sealed.next);
}

#[test]
fn data_that_looks_like_a_log_is_not_taken_for_records() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 1 << 20);
    let mut inner = Vec::new();
    for index in 1..5 {
        frame::encode(&mut inner, index, CREATED, &record("k", b"ghost"));
    }
    for _ in 0..3 {
        store.append(&[record("k", &inner)], CREATED).unwrap();
    }
    drop(store);
    let path = log_files(&dir).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[segment::HEADER + frame::HEADER] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = open(&dir, 1 << 20);
    assert_eq!(indexes(&all(&store)), [2, 3]);
    assert!(all(&store).iter().all(|record| record.data == inner));
}

#[test]
fn a_damaged_end_of_a_log_of_an_earlier_version_is_reported() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 1 << 20);
    for data in [b"one", b"two"] {
        store.append(&[record("k", data)], CREATED).unwrap();
    }
    drop(store);
    let path = log_files(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    for (content, records) in [
        // A whole record that is not intact is no interrupted write.
        ([&whole[..whole.len() - 1], b"!"].concat(), 1),
        (whole[..whole.len() - 1].to_vec(), 0),
    ] {
        fs::write(&path, content).unwrap();
        fs::remove_file(ends(&dir).path()).unwrap();
        let store = open(&dir, 1 << 20);
        assert_eq!(indexes(&all(&store)), [1]);
        assert_eq!(
            store.damage().iter().map(|file| file.records).sum::<u64>(),
            records
        );
    }
}

#[test]
fn lost_records_expire_with_the_record_after_them() {
    let dir = TempDir::new().unwrap();
    let before = log_of_30(&dir);
    let first = reopen(&dir).lock().segments[0].clone();
    fs::write(&first.path, "").unwrap();
    let store = reopen(&dir);
    // Retention of all records: nothing shows that the lost ones have expired.
    store.trim_before(CREATED).unwrap();
    assert_eq!(served(&store, &before), without(first.base..first.next));
    assert!(first.path.exists(), "the damaged file is not deleted");
    store.trim_before(CREATED + first.next as i64).unwrap();
    assert_eq!(store.damage(), []);
    assert!(!first.path.exists());
}
