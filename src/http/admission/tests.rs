//! Overload, deadlines, clients that go, shutdowns: on work that only waits.

use std::sync::mpsc;

use super::*;

fn admission(queue: usize, workers: usize, request_timeout_ms: u64) -> Arc<Admission> {
    Admission::new(&config::Server { queue, workers, request_timeout_ms, ..Default::default() })
}

/// Work until the flag is raised.
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
async fn one_more_than_the_queue_holds_is_refused_at_once() {
    let admission = admission(2, 1, 60_000);
    let (first, _second) = (admission.enter().unwrap(), admission.enter().unwrap());
    assert_eq!(admission.enter().err().map(|error| error.kind()), Some(Kind::Busy));
    assert_eq!(admission.queued(), 2);
    drop(first);
    assert!(admission.enter().is_ok());
}

#[tokio::test]
async fn a_place_is_held_until_the_work_has_really_stopped() {
    let admission = admission(1, 1, 60_000);
    let (release, wait) = mpsc::channel::<()>();
    let place = admission.enter().unwrap();
    // Work that doesn't look at its flag, as a decoder in the middle of a picture.
    let handler = tokio::spawn(place.work(move |_| {
        let _ = wait.recv();
        Ok(())
    }));
    while admission.working() == 0 {
        tokio::task::yield_now().await;
    }
    handler.abort();
    let _ = handler.await;
    assert_eq!(admission.enter().err().map(|error| error.kind()), Some(Kind::Busy));
    release.send(()).unwrap();
    settled(&admission).await;
    assert!(admission.enter().is_ok());
}

#[tokio::test]
async fn whoever_sees_first_that_the_time_is_over_the_words_are_the_same() {
    let admission = admission(2, 1, 60_000);
    let over = || CancellationToken::new(Some(std::time::Instant::now())).check();
    let seen_by_the_work = admission.enter().unwrap().work(move |_| over()).await.unwrap_err();
    assert_eq!(seen_by_the_work.kind(), Kind::Deadline);
    assert_eq!(seen_by_the_work.to_string(), "the limit of 60000 ms is over");
}

#[tokio::test]
async fn the_deadline_answers_and_stops_the_work() {
    let admission = admission(2, 1, 30);
    let running = admission.enter().unwrap().work(endless);
    let waiting = admission.enter().unwrap().work(endless);
    let (running, waiting) = tokio::join!(running, waiting);
    assert_eq!(running.unwrap_err().kind(), Kind::Deadline);
    assert_eq!(waiting.unwrap_err().kind(), Kind::Deadline);
    settled(&admission).await;
}

#[tokio::test]
async fn the_work_of_a_client_that_goes_is_stopped() {
    let admission = admission(1, 1, 60_000);
    let (told, reason) = mpsc::channel();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let place = admission.enter().unwrap();
    let handler = tokio::spawn(place.work(move |cancel| {
        begun.send(()).unwrap();
        let outcome = endless(cancel);
        let _ = told.send(outcome.as_ref().unwrap_err().kind());
        outcome
    }));
    begins.await.unwrap();
    handler.abort();
    settled(&admission).await;
    assert_eq!(reason.recv().unwrap(), Kind::Cancelled);
    assert!(admission.running().is_empty());
}

#[tokio::test]
async fn a_shutdown_lets_nobody_in_and_can_stop_what_is_left() {
    let admission = admission(3, 1, 60_000);
    let running = tokio::spawn(admission.enter().unwrap().work(endless));
    let waiting = tokio::spawn(admission.enter().unwrap().work(endless));
    while admission.running().len() < 2 {
        tokio::task::yield_now().await;
    }
    admission.drain();
    assert_eq!(admission.enter().err().map(|error| error.kind()), Some(Kind::Draining));
    admission.stop_all();
    assert_eq!(running.await.unwrap().unwrap_err().kind(), Kind::Draining);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), Kind::Draining);
    settled(&admission).await;
}

#[tokio::test]
async fn a_panic_is_our_fault_and_frees_the_place() {
    let admission = admission(1, 1, 60_000);
    let outcome: Result<()> = admission.enter().unwrap().work(|_| panic!("a bug")).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Internal);
    settled(&admission).await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let admission = Admission::new(&config::Server { body_timeout_ms: 20, ..Default::default() });
    let place = admission.enter().unwrap();
    let never = std::future::pending::<Result<()>>();
    assert_eq!(place.read(never).await.unwrap_err().kind(), Kind::Deadline);
}
