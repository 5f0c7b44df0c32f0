use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

use super::*;
use crate::testing::Memory;

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn item(index: usize) -> Item {
    Item::from([
        ("userId".to_owned(), AttributeValue::S("u".to_owned())),
        ("eventTimestamp".to_owned(), AttributeValue::N(index.to_string())),
    ])
}

/// As [`item`], but DynamoDB refuses the seventh.
fn seventh_refused(index: usize) -> Item {
    let mut item = item(index);
    if index == 7 {
        item.insert("userId".to_owned(), AttributeValue::S("refused".to_owned()));
    }
    item
}

async fn put(memory: &Memory, count: usize, item: &dyn Fn(usize) -> Item) -> Vec<Result<(), CallError>> {
    let puts = Puts {
        count,
        key: &["userId", "eventTimestamp"],
        item,
        bytes: &|_| 100,
    };
    put_items(&memory, &puts, in_a_minute()).await
}

#[tokio::test(start_paused = true)]
async fn what_the_table_leaves_unprocessed_is_put_again() {
    let memory = Memory::default();
    memory.unprocessed.set((10, 3));
    let results = put(&memory, 60, &item).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(memory.items.borrow().len(), 60);
    assert_eq!(memory.calls.get(), 6);
}

#[tokio::test(start_paused = true)]
async fn one_refused_item_does_not_sink_the_others() {
    let memory = Memory::default();
    let results = put(&memory, 25, &seventh_refused).await;
    let failed: Vec<_> = (0..25).filter(|index| results[*index].is_err()).collect();
    assert_eq!(failed, [7]);
    assert_eq!(memory.items.borrow().len(), 24);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_made_again_until_the_deadline() {
    let memory = Memory::default();
    memory.fail(CallErrorKind::Transient);
    assert!(put(&memory, 1, &item).await[0].is_ok());
    memory.unprocessed.set((1, usize::MAX));
    let started = Instant::now();
    let results = put(&memory, 1, &item).await;
    assert_eq!(
        results[0].as_ref().unwrap_err().message,
        "the table accepts no more writes for now"
    );
    assert!((Duration::from_secs(55)..Duration::from_secs(60)).contains(&started.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_allowed_is_not_made_again() {
    let memory = Memory::default();
    memory.fail(CallErrorKind::Refused);
    let results = put(&memory, 30, &item).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 25);
    assert_eq!(memory.calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn messages_go_ten_at_a_time_and_within_the_size_of_a_batch() {
    let memory = Memory::default();
    memory.fail(CallErrorKind::Transient);
    let bodies: Vec<_> = (0..25)
        .map(|index| "x".repeat(if index < 3 { 200_000 } else { 10 }))
        .collect();
    let results = send(&&memory, &bodies, in_a_minute()).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(memory.messages.borrow().len(), 25);
    memory.fail(CallErrorKind::Refused);
    assert!(
        send(&&memory, &bodies[3..5], in_a_minute())
            .await
            .iter()
            .all(Result::is_err)
    );
}

/// Refuses the first message for a moment and the second for good.
struct Picky(std::cell::Cell<bool>);

impl Queue for Picky {
    async fn send(&self, bodies: Vec<String>) -> Result<Vec<(usize, CallError)>, CallError> {
        if self.0.replace(true) {
            assert_eq!(bodies, ["a"]);
            return Ok(Vec::new());
        }
        let error = |kind| CallError::new(kind, "no");
        Ok(vec![
            (0, error(CallErrorKind::Transient)),
            (1, error(CallErrorKind::Rejected)),
        ])
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_messages_that_the_queue_may_still_take_are_sent_again() {
    let bodies = ["a", "b", "c"].map(str::to_owned);
    let results = send(&Picky(false.into()), &bodies, in_a_minute()).await;
    assert_eq!(
        results.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
}

/// Never answers.
struct Silent;

impl Bucket for Silent {
    async fn put(&self, _object: &Object) -> Result<(), CallError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_with_the_invocation() {
    let object = Object {
        key: "k".to_owned(),
        body: Bytes::new(),
        content_type: "text/plain",
    };
    assert_eq!(
        put_objects(&Silent, &[object], in_a_minute()).await,
        [Err(CallError::timeout())]
    );
}

#[test]
fn a_chunk_has_as_many_as_fit() {
    assert_eq!(chunks(5, 2, 100, &|_| 1), [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(
        chunks(3, 9, 100, &|index| [60, 60, 500][index]),
        [vec![0], vec![1], vec![2]]
    );
    assert_eq!(chunks(0, 9, 100, &|_| 1), Vec::<Vec<usize>>::new());
}
