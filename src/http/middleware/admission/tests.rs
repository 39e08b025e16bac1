//! Overload, deadlines, disconnects and shutdowns, with work that only waits.

use std::sync::mpsc;

use super::*;
use crate::app::Cost;
use crate::http::middleware::admission::held::Held;
use crate::http::middleware::admission::permit::Permit;

const MIB: u64 = 1 << 20;
const SHORT: Cost = Cost { class: JobClass::Short, bytes: 0 };
const LONG: Cost = Cost { class: JobClass::Long, bytes: 0 };

fn admission(queue: usize, workers: usize, request_timeout_ms: u64) -> Arc<Admission> {
    let server = config::Server { queue, workers, request_timeout_ms, ..Default::default() };
    Admission::new(&server, Turns::new(1, 0), MemoryBudget::new(64 * MIB))
}

/// A request whose body has arrived.
fn admit(admission: &Arc<Admission>, cost: Cost) -> Result<Permit> {
    admission.begin()?.queue(cost)
}

/// Works until it is cancelled.
fn endless(cancel: &CancellationToken) -> Result<()> {
    loop {
        cancel.check()?;
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn settled(admission: &Admission) {
    tokio::time::timeout(Duration::from_secs(5), admission.idle()).await.expect("all work stops");
}

#[tokio::test]
async fn a_full_queue_refuses_the_next_request_at_once() {
    let admission = admission(2, 1, 60_000);
    let (first, _second) = (admit(&admission, SHORT).unwrap(), admit(&admission, SHORT).unwrap());
    assert_eq!(admit(&admission, SHORT).err().map(|error| error.kind()), Some(Kind::Busy));
    assert_eq!(admission.queued(), 2);
    drop(first);
    assert!(admit(&admission, SHORT).is_ok());
}

#[tokio::test]
async fn a_permit_is_held_until_the_work_has_really_stopped() {
    let admission = admission(1, 1, 60_000);
    let (release, wait) = mpsc::channel::<()>();
    let permit = admit(&admission, SHORT).unwrap();
    // Work that does not check its token, such as a decoder in the middle of an image.
    let handler = tokio::spawn(permit.run(move |_| {
        let _ = wait.recv();
        Ok(())
    }));
    while admission.working() == 0 {
        tokio::task::yield_now().await;
    }
    handler.abort();
    let _ = handler.await;
    assert_eq!(admit(&admission, SHORT).err().map(|error| error.kind()), Some(Kind::Busy));
    release.send(()).unwrap();
    settled(&admission).await;
    assert!(admit(&admission, SHORT).is_ok());
}

#[tokio::test]
async fn the_deadline_message_is_the_same_whether_the_work_or_the_queue_notices_first() {
    let admission = admission(2, 1, 60_000);
    let over = || CancellationToken::new(Some(std::time::Instant::now())).check();
    let noticed_by_the_work =
        admit(&admission, SHORT).unwrap().run(move |_| over()).await.unwrap_err();
    assert_eq!(noticed_by_the_work.kind(), Kind::Deadline);
    assert_eq!(noticed_by_the_work.to_string(), "the time limit of 60000 ms has passed");
}

#[tokio::test]
async fn the_deadline_ends_the_wait_and_stops_the_work() {
    let admission = admission(2, 1, 30);
    let running = admit(&admission, SHORT).unwrap().run(endless);
    let waiting = admit(&admission, SHORT).unwrap().run(endless);
    let (running, waiting) = tokio::join!(running, waiting);
    assert_eq!(running.unwrap_err().kind(), Kind::Deadline);
    assert_eq!(waiting.unwrap_err().kind(), Kind::Deadline);
    settled(&admission).await;
}

#[tokio::test]
async fn work_is_stopped_when_its_client_disconnects() {
    let admission = admission(1, 1, 60_000);
    let (sender, reason) = mpsc::channel();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let permit = admit(&admission, SHORT).unwrap();
    let handler = tokio::spawn(permit.run(move |cancel| {
        begun.send(()).unwrap();
        let outcome = endless(cancel);
        let _ = sender.send(outcome.as_ref().unwrap_err().kind());
        outcome
    }));
    begins.await.unwrap();
    handler.abort();
    settled(&admission).await;
    assert_eq!(reason.recv().unwrap(), Kind::Cancelled);
    assert!(admission.running().is_empty());
}

#[tokio::test]
async fn a_shutdown_admits_nothing_and_can_stop_running_work() {
    let admission = admission(3, 1, 60_000);
    let running = tokio::spawn(admit(&admission, SHORT).unwrap().run(endless));
    let waiting = tokio::spawn(admit(&admission, SHORT).unwrap().run(endless));
    while admission.running().len() < 2 {
        tokio::task::yield_now().await;
    }
    admission.drain();
    assert_eq!(admit(&admission, SHORT).err().map(|error| error.kind()), Some(Kind::Draining));
    admission.stop_all();
    assert_eq!(running.await.unwrap().unwrap_err().kind(), Kind::Draining);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), Kind::Draining);
    settled(&admission).await;
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_frees_the_permit() {
    let admission = admission(1, 1, 60_000);
    let outcome: Result<((), Held)> =
        admit(&admission, SHORT).unwrap().run(|_| panic!("a bug")).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Internal);
    settled(&admission).await;
}

#[tokio::test]
async fn a_body_that_is_still_arriving_takes_no_place() {
    let admission = admission(1, 1, 60_000);
    let uploads: Vec<_> = (0..100).map(|_| admission.begin().unwrap()).collect();
    assert_eq!((admission.queued(), admission.in_flight()), (0, 100));
    let (outcome, memory) = admit(&admission, SHORT).unwrap().run(|_| Ok(7)).await.unwrap();
    assert_eq!(outcome, 7);
    drop((uploads, memory));
    settled(&admission).await;
}

#[tokio::test]
async fn long_requests_leave_a_quarter_of_the_places_and_all_of_their_workers_to_short_ones() {
    let admission = admission(8, 2, 60_000);
    let long: Vec<_> =
        (0..6).map(|_| tokio::spawn(admit(&admission, LONG).unwrap().run(endless))).collect();
    while admission.working() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = admit(&admission, LONG).err().unwrap();
    assert_eq!(refused.to_string(), "the queue is full: it holds 6 long requests");
    assert_eq!(admit(&admission, SHORT).unwrap().run(|_| Ok(1)).await.unwrap().0, 1);
    let counts = JobClass::ALL.map(|class| admission.queued_of(class));
    assert_eq!(counts, [0, 6]);
    admission.stop_all();
    for one in long {
        one.abort();
    }
    settled(&admission).await;
}

#[tokio::test]
async fn a_refusal_forecasts_when_the_queue_will_be_empty() {
    let admission = admission(2, 2, 60_000);
    admission.durations.add(JobClass::Long, Duration::from_secs(30), 1);
    let _queued = [admit(&admission, LONG).unwrap(), admit(&admission, LONG).unwrap()];
    let refused = admit(&admission, SHORT).err().unwrap();
    assert_eq!((refused.kind(), refused.retry_s()), (Kind::Busy, Some(60)));
}

#[tokio::test]
async fn memory_is_held_until_the_response_has_been_sent() {
    let admission = admission(4, 4, 60_000);
    let work_bytes = admission.budget().work_bytes();
    let cost = Cost { bytes: work_bytes, ..SHORT };
    let (_, held) = admit(&admission, cost).unwrap().run(|_| Ok(())).await.unwrap();
    let mut next = Box::pin(admit(&admission, cost).unwrap().run(|_| Ok(())));
    let waited = tokio::time::timeout(Duration::from_millis(50), next.as_mut()).await;
    assert!(waited.is_err(), "the memory of an unsent response is given away");
    drop(held);
    drop(next.await.unwrap());
    let never = Cost { bytes: work_bytes + 1, ..SHORT };
    let refused = admit(&admission, never).unwrap().run(|_| Ok(())).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::OverBudget);
    assert_eq!(admission.budget().reserved_bytes(), (0, 0));
}

/// Those that wait for memory, because clients don't take what they asked for.
#[tokio::test]
async fn large_requests_that_wait_keep_neither_workers_nor_places_from_small_ones() {
    let admission = admission(16, 1, 60_000);
    let large = Cost { bytes: admission.budget().work_bytes() / 2, ..SHORT };
    let run = |cost| tokio::spawn(admit(&admission, cost).unwrap().run(|_| Ok(())));
    let (_, unsent) = run(large).await.unwrap().unwrap();
    let waiting: Vec<_> = (0..14).map(|_| run(large)).collect();
    while !admission.budget().is_short() {
        tokio::task::yield_now().await;
    }
    let refused = admit(&admission, large).err().unwrap();
    assert_eq!(refused.to_string(), "the queue is full: it holds 14 long or large requests");
    for _ in 0..3 {
        run(Cost { bytes: MIB, ..SHORT }).await.unwrap().unwrap();
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    drop(unsent);
    for one in waiting {
        drop(one.await.unwrap().unwrap());
    }
}
