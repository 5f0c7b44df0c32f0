use std::cell::RefCell;
use std::sync::Mutex;

use aws_sdk_kinesis::operation::update_shard_count::UpdateShardCountError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::*;

fn refused(code: &str, message: &str) -> SdkError<UpdateShardCountError, HttpResponse> {
    let meta = ErrorMetadata::builder().code(code).message(message).build();
    let status = StatusCode::try_from(400).unwrap();
    SdkError::service_error(
        UpdateShardCountError::generic(meta),
        HttpResponse::new(status, SdkBody::empty()),
    )
}

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Looks at a stream that has these states one after the other, the last for ever.
async fn poll_through(states: Vec<Look<()>>, patience: u64) -> (Result<()>, Vec<Event>) {
    let events = Mutex::new(Vec::new());
    let states = RefCell::new(states.into_iter());
    let tell = |event| events.lock().unwrap().push(event);
    let outcome = poll(in_seconds(patience), &tell, "orders", || {
        let look = states.borrow_mut().next();
        async move { Ok(look.unwrap_or(Look::NotYet(Status::Updating))) }
    })
    .await;
    (outcome, events.into_inner().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_wait_tells_the_status_until_it_is_over() {
    let (outcome, events) = poll_through(
        vec![
            Look::NotYet(Status::Creating),
            Look::NotYet(Status::Creating),
            Look::Done(()),
        ],
        60,
    )
    .await;
    outcome.unwrap();
    assert_eq!(events.len(), 2);
    assert!(matches!(
        &events[1],
        Event::Waiting {
            status: Status::Creating,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline() {
    let started = Instant::now();
    let (outcome, _) = poll_through(Vec::new(), 90).await;
    assert_eq!(started.elapsed().as_secs(), 90);
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "stream orders is still UPDATING after 1m30s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_final_look_ends_the_wait_at_once() {
    let (outcome, events) = poll_through(vec![Look::Never(absent("orders"))], 90).await;
    assert_eq!(outcome.unwrap_err().to_string(), "there is no stream orders");
    assert!(events.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_look_is_looked_again() {
    let looks = RefCell::new(0);
    let look = |code: &'static str| {
        *looks.borrow_mut() += 1;
        let over = *looks.borrow() > 3;
        async move {
            match over {
                true => Ok(Look::Done(())),
                false => Err(Error::failed("could not describe stream orders").with_code(code)),
            }
        }
    };
    let throttled = poll(in_seconds(60), &|_| {}, "orders", || {
        look("LimitExceededException")
    });
    throttled.await.unwrap();
    looks.replace(0);
    let denied = poll(in_seconds(60), &|_| {}, "orders", || {
        look("AccessDeniedException")
    });
    assert!(denied.await.is_err());
    assert_eq!(looks.take(), 1);
}

#[test]
fn pauses_grow_from_10_ms_to_2_s() {
    let middle = BACKOFF.random(|| 0.5);
    let seen: Vec<u128> = (0..10).map(|n| middle.pause(n).as_millis()).collect();
    assert_eq!(seen, [10, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000]);
    assert_eq!(BACKOFF.random(|| 0.0).pause(0).as_micros(), 7_500);
    assert_eq!(BACKOFF.random(|| 1.0).pause(0).as_micros(), 12_500);
}

/// Calls a service that refuses `times` times with `code`; how long it took and what came of it.
async fn call_refused(times: u32, code: &str, message: &str, patience: u64) -> (bool, u32, u64) {
    let started = Instant::now();
    let mut calls = 0;
    let outcome = retry(in_seconds(patience), &|_| {}, || {
        calls += 1;
        let answer = if calls > times {
            Ok(())
        } else {
            Err(refused(code, message))
        };
        async move { answer }
    })
    .await;
    (outcome.is_ok(), calls, started.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_busy_stream_is_asked_again_until_the_deadline() {
    let (accepted, calls, _) = call_refused(3, "ResourceInUseException", "", 60).await;
    assert!(accepted);
    assert_eq!(calls, 4);
    let (accepted, _, seconds) = call_refused(u32::MAX, "ResourceInUseException", "", 600).await;
    assert!(!accepted);
    assert!((595..=600).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_tried_for_half_a_minute_and_a_mistake_once() {
    let (accepted, _, seconds) = call_refused(u32::MAX, "LimitExceededException", "Rate exceeded", 600).await;
    assert!(!accepted);
    assert!((25..=30).contains(&seconds), "{seconds}");
    let quota = "This request would exceed the shard limit for the account";
    for (code, message) in [
        ("InvalidArgumentException", ""),
        ("LimitExceededException", quota),
    ] {
        let (accepted, calls, _) = call_refused(u32::MAX, code, message, 600).await;
        assert!(!accepted);
        assert_eq!(calls, 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_for_a_minute() {
    let (accepted, calls, _) = call_refused(5, "InternalFailureException", "", 600).await;
    assert!(accepted);
    assert_eq!(calls, 6);
    let (accepted, _, seconds) = call_refused(u32::MAX, "InternalFailureException", "", 600).await;
    assert!(!accepted);
    assert_eq!(seconds, 60);
    let broken = || async { Err::<Look<()>, _>(Error::failed("broken").with_class(Class::Transient)) };
    let started = Instant::now();
    assert!(poll(in_seconds(600), &|_| {}, "orders", broken).await.is_err());
    assert!((58..=62).contains(&started.elapsed().as_secs()));
}
