mod damage;
mod model;

use std::collections::HashMap;
use std::fs;

use tempfile::TempDir;

use super::*;

const CREATED: i64 = 1_700_000_000_000;
/// Small files, so that few records fill several.
const SMALL: u64 = 2_000;

fn record<'a>(key: &'a str, data: &'a [u8]) -> NewRecord<'a> {
    NewRecord {
        partition_key: key,
        data,
        encrypted: false,
    }
}

fn ends(dir: &TempDir) -> Arc<Ends> {
    Arc::new(Ends::new(dir.path()))
}

fn create(dir: &TempDir, segment_bytes: u64) -> ShardStore {
    ShardStore::create_sized(dir.path(), 3, CREATED, &ends(dir), segment_bytes).unwrap()
}

fn open(dir: &TempDir, segment_bytes: u64) -> ShardStore {
    ShardStore::open_sized(dir.path(), 3, CREATED, &ends(dir), segment_bytes)
}

fn small(dir: &TempDir) -> ShardStore {
    create(dir, SMALL)
}

fn reopen(dir: &TempDir) -> ShardStore {
    open(dir, SMALL)
}

/// All records from `from`, in pages of `max_records`.
fn drain(store: &ShardStore, from: Position, max_records: usize) -> Vec<StoredRecord> {
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        let page = store.read(next, max_records, 1 << 20).unwrap();
        if page.records.is_empty() {
            return all;
        }
        next = page.next;
        all.extend(page.records);
    }
}

fn all(store: &ShardStore) -> Vec<StoredRecord> {
    drain(store, store.position(Start::TrimHorizon).unwrap(), 7)
}

fn indexes(records: &[StoredRecord]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record.sequence_number.index())
        .collect()
}

fn log_files(dir: &TempDir) -> Vec<PathBuf> {
    Segment::list(dir.path())
        .unwrap()
        .into_iter()
        .map(|(_, path)| path)
        .collect()
}

#[test]
fn appended_records_are_read_in_order() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 64 << 20);
    let mut secret = record("k2", b"two");
    secret.encrypted = true;
    let numbers = store
        .append(&[record("k1", b"one"), secret], CREATED + 5)
        .unwrap();
    assert!(store.starting_sequence_number() < numbers[0] && numbers[0] < numbers[1]);

    let page = store.read(Position::at(0), 10, 1 << 20).unwrap();
    let read: Vec<_> = page
        .records
        .iter()
        .map(|record| {
            (
                record.sequence_number,
                record.partition_key(),
                &record.data[..],
                record.encrypted,
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            (numbers[0], "k1", &b"one"[..], false),
            (numbers[1], "k2", &b"two"[..], true)
        ]
    );
    assert_eq!(page.records[0].arrival_ms, CREATED + 5);
    assert_eq!((page.end_of_shard, page.next_arrival_ms), (false, None));

    let first = store.read(Position::at(0), 1, 1 << 20).unwrap();
    assert_eq!(first.next_arrival_ms, Some(CREATED + 5), "one is left");
    assert_eq!(store.record_count_hint(), 2);
    assert_eq!(store.last_arrival_ms(), Some(CREATED + 5));
}

#[test]
fn a_page_is_limited_in_bytes_but_has_at_least_one_record() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 64 << 20);
    let large = vec![7; 10 << 20];
    store
        .append(
            &[record("k", &large), record("k", b"abcd"), record("k", b"e")],
            CREATED,
        )
        .unwrap();
    let page = store.read(Position::at(1), 10, 100).unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].data, large);
    let page = store.read(page.next, 10, 5).unwrap();
    assert_eq!(
        page.records.len(),
        1,
        "5 bytes are one key and four bytes of data"
    );
    let page = store.read(page.next, 0, 100).unwrap();
    assert_eq!((page.records.len(), page.next_arrival_ms), (0, Some(CREATED)));
    assert_eq!(page.next, Position::at(3));
    let too_large = vec![0; frame::MAX_DATA + 1];
    assert!(matches!(
        store.append(&[record("k", b""), record("k", &too_large)], CREATED),
        Err(AppendError::Io(_))
    ));
    assert_eq!(store.record_count_hint(), 3);
}

#[test]
fn a_closed_shard_ends_and_stays_closed() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    let last = store.append(&[record("k", b"x")], CREATED).unwrap()[0];
    let appended = store.appended();
    assert!(!appended.has_changed().unwrap());
    let end = store.close(CREATED + 9_000).unwrap();
    assert!(appended.has_changed().unwrap(), "who waits is woken");
    assert!(end > last);
    for store in [store, reopen(&dir)] {
        assert_eq!(store.close(CREATED + 50_000).unwrap(), end);
        assert_eq!(store.ending_sequence_number(), Some(end));
        assert!(matches!(
            store.append(&[record("k", b"")], CREATED),
            Err(AppendError::Closed)
        ));
        let page = store.read(Position::at(0), 1, 100).unwrap();
        assert_eq!((page.records.len(), page.end_of_shard), (1, true));
        assert_eq!(store.position(Start::After(end)).unwrap(), page.next);
        // Even if all records have expired.
        store.trim_before(i64::MAX).unwrap();
        assert!(store.read(Position::at(0), 1, 100).unwrap().end_of_shard);
    }
}

#[test]
fn a_log_is_created_once_and_used_only_by_its_shard() {
    let dir = TempDir::new().unwrap();
    drop(small(&dir));
    let again = ShardStore::create(dir.path(), 3, CREATED, &ends(&dir)).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    for (shard_index, created_ms) in [(4, CREATED), (3, CREATED + 1)] {
        let other = ShardStore::open(dir.path(), shard_index, created_ms, &ends(&dir));
        let refused = other
            .append(&[record("k", b"x")], CREATED)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("it is the log of another shard"), "{refused}");
    }
    #[cfg(unix)]
    for path in log_files(&dir) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn start_positions_are_resolved() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    let latest = store.position(Start::Latest).unwrap();
    assert_eq!(latest, Position::at(1));
    assert_eq!(
        store
            .position(Start::At(store.starting_sequence_number()))
            .unwrap(),
        latest
    );
    assert_eq!(
        store
            .position(Start::After(store.starting_sequence_number()))
            .unwrap(),
        latest
    );

    let data = [0; 100];
    let numbers: Vec<_> = (0..100)
        .map(|at| store.append(&[record("k", &data)], CREATED + at * 10).unwrap()[0])
        .collect();
    assert!(log_files(&dir).len() > 3);
    assert_eq!(
        indexes(&drain(&store, latest, 50)),
        (1..=100).collect::<Vec<_>>(),
        "fixed at the call"
    );
    assert_eq!(store.position(Start::At(numbers[50])).unwrap(), Position::at(51));
    assert_eq!(
        store.position(Start::After(numbers[50])).unwrap(),
        Position::at(52)
    );
    for (since_ms, index) in [
        (0, 1),
        (CREATED + 495, 51),
        (CREATED + 500, 51),
        (CREATED + 991, 101),
    ] {
        assert_eq!(
            store.position(Start::Timestamp(since_ms)).unwrap(),
            Position::at(index)
        );
    }

    store.trim_before(CREATED + 700).unwrap();
    for start in [
        Start::TrimHorizon,
        Start::At(numbers[2]),
        Start::After(numbers[2]),
        Start::Timestamp(0),
    ] {
        assert_eq!(store.position(start).unwrap(), Position::at(71), "{start:?}");
    }

    let at = |number| store.position(Start::At(number));
    let newer = SequenceNumber::new(CREATED, 3, 101, CREATED);
    assert!(matches!(at(newer), Err(PositionError::NotWritten)));
    assert!(matches!(
        at(SequenceNumber::new(CREATED, 3, LAST_INDEX, CREATED)),
        Err(PositionError::NotWritten)
    ));
    assert!(matches!(
        at(SequenceNumber::new(CREATED, 4, 1, CREATED)),
        Err(PositionError::OtherShard(4))
    ));
    assert!(matches!(
        at(SequenceNumber::new(CREATED + 5_000, 3, 1, CREATED)),
        Err(PositionError::OtherStream)
    ));
}

#[test]
fn numbers_continue_after_a_restart_and_when_the_clock_goes_back() {
    let dir = TempDir::new().unwrap();
    let mut last = small(&dir).starting_sequence_number();
    for at in 0..20 {
        // Not closed: the process ended.
        let store = std::mem::ManuallyDrop::new(reopen(&dir));
        let number = store
            .append(&[record("k", &[0; 300])], CREATED - at * 60_000)
            .unwrap()[0];
        assert!(number > last);
        last = number;
    }
    let store = reopen(&dir);
    assert_eq!(indexes(&all(&store)), (1..=20).collect::<Vec<_>>());
    store.trim_before(i64::MAX).unwrap();
    assert!(store.append(&[record("k", b"")], 0).unwrap()[0] > last);
}

#[test]
fn retention_deletes_whole_files_and_hides_the_rest() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    for at in 0..100 {
        store.append(&[record("k", &[0; 100])], CREATED + at).unwrap();
    }
    let (files, bytes) = (log_files(&dir).len(), store.bytes());
    store.trim_before(CREATED + 90).unwrap();
    assert!(log_files(&dir).len() <= files / 4);
    assert!(store.bytes() < bytes / 4);
    assert_eq!(indexes(&all(&store)), (91..=100).collect::<Vec<_>>());
    assert_eq!(
        indexes(&drain(&store, Position::at(5), 3)),
        (91..=100).collect::<Vec<_>>()
    );
    store.trim_before(CREATED).unwrap();
    assert_eq!(store.record_count_hint(), 10, "what is hidden stays hidden");
    let store = reopen(&dir);
    store.trim_before(CREATED + 90).unwrap();
    assert_eq!(indexes(&all(&store)), (91..=100).collect::<Vec<_>>());
}

#[test]
fn a_large_expired_file_is_deleted() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 64 << 20);
    store.append(&[record("k", &vec![0; 2 << 20])], CREATED).unwrap();
    store.trim_before(CREATED + 1).unwrap();
    assert!(store.bytes() < 100);
    assert_eq!(store.append(&[record("k", b"")], CREATED).unwrap()[0].index(), 2);
    assert_eq!(indexes(&all(&open(&dir, 64 << 20))), [2]);
}

#[test]
fn an_incomplete_tail_of_any_length_is_cut_off() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 64 << 20);
    store
        .append(&[record("a", b"first"), record("b", b"second")], CREATED)
        .unwrap();
    let whole = store.bytes();
    // The process ends before the third record is acknowledged.
    let acknowledged = fs::read(ends(&dir).path()).unwrap();
    store.append(&[record("key", b"the last one")], CREATED).unwrap();
    drop(store);
    let path = log_files(&dir).remove(0);
    let bytes = fs::read(&path).unwrap();
    let check = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        fs::write(ends(&dir).path(), &acknowledged).unwrap();
        let store = open(&dir, 64 << 20);
        assert_eq!((store.bytes(), store.damage()), (whole, vec![]));
        let number = store.append(&[record("c", b"again")], CREATED).unwrap()[0];
        assert_eq!(number.index(), 3);
        let data: Vec<_> = all(&store).into_iter().map(|record| record.data).collect();
        assert_eq!(data, ["first", "second", "again"]);
    };
    let whole_at = usize::try_from(whole).unwrap();
    for cut in whole_at..bytes.len() {
        check(&bytes[..cut]);
        // The file may have grown before its content was written, or contain other data.
        check(&[&bytes[..cut], &vec![0; bytes.len() - cut + 50]].concat());
        let mut bent = bytes.clone();
        bent[cut] ^= 0x10;
        check(&bent);
    }
}

#[test]
fn a_file_without_a_whole_header_is_completed() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    store.append(&[record("k", b"x")], CREATED).unwrap();
    drop(store);
    for begun in [0, 5, 31, 32, 4096] {
        let path = dir.path().join(format!("{:020}.log", 2));
        fs::write(&path, vec![0; begun]).unwrap();
        assert_eq!(indexes(&all(&reopen(&dir))), [1]);
        fs::remove_file(path).unwrap();
        fs::remove_file(dir.path().join(format!("{:020}.idx", 1))).unwrap();
    }
}

#[test]
fn a_sealed_file_opens_the_same_with_and_without_its_index() {
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 5 << 20);
    let data = vec![1; 50_000];
    for at in 0..150 {
        store.append(&[record("k", &data)], CREATED + at).unwrap();
    }
    drop(store);
    let check = || {
        let store = open(&dir, 5 << 20);
        assert_eq!(store.lock().segments.len(), 2);
        assert_eq!(indexes(&all(&store)), (1..=150).collect::<Vec<_>>());
        assert_eq!(
            store.position(Start::Timestamp(CREATED + 60)).unwrap(),
            Position::at(61)
        );
        store.lock().segments[0].clone()
    };
    let index = dir.path().join(format!("{:020}.idx", 1));
    let with = check();
    let bytes = fs::read(&index).unwrap();
    fs::remove_file(&index).unwrap();
    assert_eq!(check(), with);
    assert_eq!(fs::read(&index).unwrap(), bytes, "written again");
    for cut in 0..bytes.len() {
        fs::write(&index, &bytes[..cut]).unwrap();
        assert_eq!(
            Segment::open_sealed(
                with.path.clone(),
                1,
                Identity {
                    shard_index: 3,
                    created_ms: CREATED
                },
                with.next
            )
            .unwrap(),
            with
        );
        if cut % 40 != 0 {
            continue;
        }
        check();
    }
}

#[test]
fn records_lost_in_a_power_failure_are_skipped() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    for at in 0..30 {
        store.append(&[record("k", &[0; 300])], CREATED + at).unwrap();
    }
    let [first, second] = [0, 1].map(|at| store.lock().segments[at].clone());
    drop(store);
    let file = fs::OpenOptions::new().write(true).open(&first.path).unwrap();
    file.set_len(first.length - 1).unwrap();
    let store = reopen(&dir);
    let kept: Vec<_> = (1..first.next - 1).chain(second.base..=30).collect();
    assert_eq!(indexes(&all(&store)), kept);
    assert_eq!(
        indexes(&drain(&store, Position::at(first.next - 1), 2))[0],
        second.base
    );
    assert_eq!(store.damage()[0].records, 1);
    let since = store
        .position(Start::Timestamp(CREATED + first.next as i64 - 2))
        .unwrap();
    assert_eq!(since, Position::at(second.base));
    assert_eq!(store.append(&[record("k", b"")], CREATED).unwrap()[0].index(), 31);
}

#[test]
fn remains_of_a_failed_write_are_never_read_as_records() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    store.append(&[record("k", b"before")], CREATED).unwrap();
    let mut ghosts = Vec::new();
    for index in 2..5 {
        frame::encode(&mut ghosts, index, CREATED, &record("k", b"ghost"));
    }
    {
        let mut state = store.lock();
        platform::write_all_at(&state.file(0).unwrap(), &ghosts, state.segments[0].length).unwrap();
        state.must_roll = true;
    }
    store.append(&[record("k", b"after")], CREATED).unwrap();
    fs::remove_file(dir.path().join(format!("{:020}.idx", 1))).unwrap();
    for store in [store, reopen(&dir)] {
        let data: Vec<_> = all(&store).into_iter().map(|record| record.data).collect();
        assert_eq!(data, ["before", "after"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_only_the_batch() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    store.append(&[record("k", b"before")], CREATED).unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let active = store.lock().active.replace(Handle::force(full));
    let failed = store.append(&[record("k", b"lost"), record("k", b"lost")], CREATED);
    assert!(matches!(failed, Err(AppendError::Io(error)) if error.kind() == io::ErrorKind::StorageFull));
    // The device cannot be truncated either, so the log continues in another file.
    let number = store.append(&[record("k", b"after")], CREATED).unwrap()[0];
    assert_eq!(number.index(), 2);
    assert_eq!(log_files(&dir).len(), 2);
    drop(active);
    for store in [store, reopen(&dir)] {
        let data: Vec<_> = all(&store).into_iter().map(|record| record.data).collect();
        assert_eq!(data, ["before", "after"]);
    }
}

#[cfg(unix)]
#[test]
fn failing_to_create_a_file_loses_no_records() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    let data = [0; 1_500];
    store.append(&[record("k", &data)], CREATED).unwrap();
    let blocked = dir.path().join(format!("{:020}.log", 2));
    fs::create_dir(&blocked).unwrap();
    assert!(matches!(
        store.append(&[record("k", &data)], CREATED),
        Err(AppendError::Io(_))
    ));
    assert!(matches!(
        store.append(&[record("k", b"")], CREATED),
        Err(AppendError::Io(_))
    ));
    fs::remove_dir(&blocked).unwrap();
    store.append(&[record("k", b"x")], CREATED).unwrap();
    drop(store);
    assert_eq!(indexes(&all(&reopen(&dir))), [1, 2]);
}

#[test]
fn many_shards_keep_few_files_open() {
    let dir = TempDir::new().unwrap();
    let stores: Vec<_> = (0..200)
        .map(|shard| {
            ShardStore::create(&dir.path().join(shard.to_string()), shard, CREATED, &ends(&dir)).unwrap()
        })
        .collect();
    for round in 1..4 {
        for store in &stores {
            store.append(&[record("k", b"x")], CREATED).unwrap();
            assert_eq!(all(store).len(), round);
        }
    }
    assert!(
        stores
            .iter()
            .filter(|store| store.lock().active.is_some())
            .count()
            <= 128
    );
}

#[test]
fn readers_see_every_record_once_while_writers_write() {
    const WRITERS: u32 = 4;
    const BATCHES: u32 = 200;
    let dir = TempDir::new().unwrap();
    let store = create(&dir, 20_000);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    let key = writer.to_string();
                    for batch in 0..BATCHES {
                        let data: Vec<_> = (0..3).map(|at| (batch * 3 + at).to_le_bytes()).collect();
                        let records: Vec<_> = data.iter().map(|data| record(&key, data)).collect();
                        let numbers = store.append(&records, CREATED).unwrap();
                        assert!(numbers.is_sorted());
                        // Acknowledged records are readable.
                        let at = store.position(Start::At(numbers[0])).unwrap();
                        assert_eq!(store.read(at, 1, 100).unwrap().records[0].data[..], data[0]);
                    }
                })
            })
            .collect();
        for reader in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let (mut next, mut expected, mut seen) = (Position::at(1), 1, HashMap::new());
                loop {
                    let page = store.read(next, 10 + reader, 5_000).unwrap();
                    for record in &page.records {
                        assert_eq!(record.sequence_number.index(), expected, "no gap, none twice");
                        expected += 1;
                        let of_writer = seen.entry(record.partition_key().to_owned()).or_insert(0_u32);
                        assert_eq!(record.data[..], of_writer.to_le_bytes());
                        *of_writer += 1;
                    }
                    next = page.next;
                    if page.end_of_shard {
                        break;
                    }
                }
                assert_eq!(expected, u64::from(WRITERS * BATCHES * 3) + 1);
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        store.close(CREATED).unwrap();
    });
}
