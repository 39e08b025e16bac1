//! Overload, deadlines, disconnects and shutdowns, with work that only waits.

use std::sync::mpsc;

use super::*;

fn admission(queue: usize, workers: usize, request_timeout_ms: u64) -> Arc<Admission> {
    Admission::new(&config::Server { queue, workers, request_timeout_ms, ..Default::default() })
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
    let (first, _second) = (admission.admit().unwrap(), admission.admit().unwrap());
    assert_eq!(admission.admit().err().map(|error| error.kind()), Some(Kind::Busy));
    assert_eq!(admission.queued(), 2);
    drop(first);
    assert!(admission.admit().is_ok());
}

#[tokio::test]
async fn a_permit_is_held_until_the_work_has_really_stopped() {
    let admission = admission(1, 1, 60_000);
    let (release, wait) = mpsc::channel::<()>();
    let permit = admission.admit().unwrap();
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
    assert_eq!(admission.admit().err().map(|error| error.kind()), Some(Kind::Busy));
    release.send(()).unwrap();
    settled(&admission).await;
    assert!(admission.admit().is_ok());
}

#[tokio::test]
async fn the_deadline_message_is_the_same_whether_the_work_or_the_queue_notices_first() {
    let admission = admission(2, 1, 60_000);
    let over = || CancellationToken::new(Some(std::time::Instant::now())).check();
    let noticed_by_the_work = admission.admit().unwrap().run(move |_| over()).await.unwrap_err();
    assert_eq!(noticed_by_the_work.kind(), Kind::Deadline);
    assert_eq!(noticed_by_the_work.to_string(), "the time limit of 60000 ms has passed");
}

#[tokio::test]
async fn the_deadline_ends_the_wait_and_stops_the_work() {
    let admission = admission(2, 1, 30);
    let running = admission.admit().unwrap().run(endless);
    let waiting = admission.admit().unwrap().run(endless);
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
    let permit = admission.admit().unwrap();
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
    let running = tokio::spawn(admission.admit().unwrap().run(endless));
    let waiting = tokio::spawn(admission.admit().unwrap().run(endless));
    while admission.running().len() < 2 {
        tokio::task::yield_now().await;
    }
    admission.drain();
    assert_eq!(admission.admit().err().map(|error| error.kind()), Some(Kind::Draining));
    admission.stop_all();
    assert_eq!(running.await.unwrap().unwrap_err().kind(), Kind::Draining);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), Kind::Draining);
    settled(&admission).await;
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_frees_the_permit() {
    let admission = admission(1, 1, 60_000);
    let outcome: Result<()> = admission.admit().unwrap().run(|_| panic!("a bug")).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Internal);
    settled(&admission).await;
}

#[tokio::test]
async fn a_body_that_never_arrives_runs_into_the_body_timeout() {
    let admission = Admission::new(&config::Server { body_timeout_ms: 20, ..Default::default() });
    let permit = admission.admit().unwrap();
    let never = std::future::pending::<Result<()>>();
    assert_eq!(permit.read(never).await.unwrap_err().kind(), Kind::SlowRequest);
}
