//! Random steps on the log, compared with a simple model.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        sizes: Vec<usize>,
        clock: i64,
    },
    Read {
        from: u64,
        max_records: usize,
        max_bytes: usize,
    },
    Since(i64),
    Trim(i64),
    Close,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::collection::vec(0..900_usize, 0..6), -20..50_i64).prop_map(|(sizes, clock)| Step::Append { sizes, clock }),
        6 => (0..80_u64, 0..12_usize, 0..4_000_usize)
            .prop_map(|(from, max_records, max_bytes)| Step::Read { from, max_records, max_bytes }),
        3 => (0..600_i64).prop_map(Step::Since),
        2 => (0..600_i64).prop_map(Step::Trim),
        1 => Just(Step::Reopen),
        1 => prop::bool::weighted(0.2).prop_map(|close| if close { Step::Close } else { Step::Reopen }),
    ]
}

/// A simple model of the log: records by index − 1, and the first readable one.
#[derive(Default)]
struct Model {
    records: Vec<(i64, Vec<u8>)>,
    trim: usize,
    closed: bool,
    now: i64,
}

impl Model {
    fn since(&self, since: i64) -> usize {
        let found = self
            .records
            .iter()
            .skip(self.trim)
            .position(|(arrival, _)| *arrival >= since);
        found.map_or(self.records.len(), |at| at + self.trim)
    }

    fn check_read(&self, store: &ShardStore, from: u64, max_records: usize, max_bytes: usize) {
        let page = store.read(Position::at(from), max_records, max_bytes).unwrap();
        let mut at = (from.max(1) as usize - 1).clamp(self.trim, self.records.len());
        let mut bytes = 0;
        for (taken, record) in page.records.iter().enumerate() {
            let (arrival, data) = &self.records[at];
            bytes += 1 + data.len();
            assert!(taken == 0 || bytes <= max_bytes);
            assert_eq!(record.sequence_number.index() as usize, at + 1);
            assert_eq!(
                (record.arrival_ms, &record.data[..]),
                (CREATED + arrival, &data[..])
            );
            at += 1;
        }
        assert_eq!(page.next, Position::at(at as u64 + 1));
        let next = self.records.get(at);
        assert_eq!(page.next_arrival_ms, next.map(|(arrival, _)| CREATED + arrival));
        let full = page.records.len() == max_records
            || next.is_some_and(|(_, data)| !page.records.is_empty() && bytes + 1 + data.len() > max_bytes);
        assert!(full || next.is_none(), "a page ends where it must");
        assert_eq!(page.end_of_shard, self.closed && next.is_none());
        // The hint of a page gives the same position.
        let hinted = store.read(page.next, 2, 5_000).unwrap();
        let plain = store.read(Position::at(page.next.index), 2, 5_000).unwrap();
        assert_eq!((hinted.records, hinted.next), (plain.records, plain.next));
    }

    fn apply(&mut self, store: &mut ShardStore, dir: &TempDir, step: &Step) {
        match step {
            Step::Append { sizes, clock } => {
                self.now += clock;
                let data: Vec<_> = sizes.iter().map(|size| vec![*size as u8; *size]).collect();
                let records: Vec<_> = data.iter().map(|data| record("k", data)).collect();
                match store.append(&records, CREATED + self.now) {
                    Err(AppendError::Closed) => assert!(self.closed),
                    numbers => {
                        let first = self.records.len() as u64 + 1;
                        let written: Vec<_> = numbers.unwrap().iter().map(SequenceNumber::index).collect();
                        assert_eq!(written, (first..).take(data.len()).collect::<Vec<_>>());
                        self.records.extend(data.into_iter().map(|data| (self.now, data)));
                    }
                }
            }
            Step::Read {
                from,
                max_records,
                max_bytes,
            } => self.check_read(store, *from, *max_records, *max_bytes),
            Step::Since(since) => {
                let position = store.position(Start::Timestamp(CREATED + since)).unwrap();
                assert_eq!(position.index as usize, self.since(*since) + 1);
            }
            Step::Trim(since) => {
                store.trim_before(CREATED + since).unwrap();
                self.trim = self.since(*since);
            }
            Step::Close => {
                store.close(CREATED + self.now).unwrap();
                self.closed = true;
            }
            Step::Reopen => {
                *store = reopen(dir);
                // Hidden records may reappear until retention runs again. Nothing else is lost.
                let oldest = store.position(Start::TrimHorizon).unwrap().index as usize - 1;
                assert!(oldest <= self.trim);
                self.trim = oldest;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_log_matches_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = TempDir::new().unwrap();
        let mut store = small(&dir);
        let mut model = Model::default();
        for step in &steps {
            model.apply(&mut store, &dir, step);
            model.check_read(&store, 0, usize::MAX, usize::MAX);
        }
    }
}
