//! Who runs next, with invented times, and turns taken by threads.

use super::*;
use crate::engine::Reason;

const MS: Duration = Duration::from_millis(1);

/// Runs the next pass and says which one it was.
fn run(state: &mut State, now: Instant) -> Option<u64> {
    let Next::Run(ticket, share) = state.next(now) else { return None };
    assert_eq!(share, Share::All);
    let is_short = state.short.iter().any(|other| other.number == ticket);
    let class = if is_short { JobClass::Short } else { JobClass::Long };
    state.leave(class, ticket, now);
    Some(ticket)
}

#[test]
fn short_passes_go_first_and_each_class_keeps_its_order() {
    let (mut state, now) = (State::new(1, 0), Instant::now());
    let long = [state.enter(JobClass::Long, false, now), state.enter(JobClass::Long, false, now)];
    let short =
        [state.enter(JobClass::Short, false, now), state.enter(JobClass::Short, false, now)];
    let order: Vec<u64> = std::iter::from_fn(|| run(&mut state, now)).collect();
    assert_eq!(order, [short[0], short[1], long[0], long[1]]);
}

#[test]
fn no_more_passes_run_than_allowed() {
    let (mut state, now) = (State::new(2, 0), Instant::now());
    state.enter(JobClass::Short, false, now);
    state.running = 1;
    assert!(matches!(state.next(now), Next::Run(..)));
    state.running = 2;
    assert_eq!(state.next(now), Next::Wait);
}

#[test]
fn a_long_batch_that_has_waited_long_enough_goes_before_short_ones() {
    let (mut state, start) = (State::new(1, 0), Instant::now());
    state.long_batch = 100 * MS;
    let long = state.enter(JobClass::Long, false, start);
    let short = state.enter(JobClass::Short, false, start);
    assert_eq!(state.next(start + 299 * MS), Next::Run(short, Share::All));
    assert_eq!(run(&mut state, start + 300 * MS), Some(long));
    // The next long batch waits again.
    state.enter(JobClass::Long, false, start + 300 * MS);
    assert_eq!(state.next(start + 301 * MS), Next::Run(short, Share::All));
}

#[test]
fn a_long_batch_does_not_begin_while_a_short_request_is_being_decoded() {
    let (mut state, start) = (State::new(1, 0), Instant::now());
    let long = state.enter(JobClass::Long, false, start);
    state.short_in_work = 1;
    state.last_short = Some(start);
    assert_eq!(state.next(start + MS), Next::WaitUntil(start + HOLD));
    assert_eq!(state.next(start + HOLD), Next::Run(long, Share::All));
    // A request that has ended holds nothing up.
    state.short_in_work = 0;
    assert_eq!(state.next(start + MS), Next::Run(long, Share::All));
}

#[test]
fn requests_that_arrive_all_the_time_do_not_hold_long_work_for_ever() {
    let (mut state, start) = (State::new(1, 0), Instant::now());
    let long = state.enter(JobClass::Long, false, start);
    state.short_in_work = 1;
    let due = start + MIN_WAIT;
    state.last_short = Some(due - MS);
    assert_eq!(state.next(due - MS), Next::WaitUntil(due));
    assert_eq!(state.next(due), Next::Run(long, Share::All));
}

/// A pass takes its turn.
fn begin(state: &mut State, now: Instant) -> Option<(u64, Share)> {
    let Next::Run(ticket, share) = state.next(now) else { return None };
    let is_short = state.short.iter().any(|other| other.number == ticket);
    let class = if is_short { JobClass::Short } else { JobClass::Long };
    state.leave(class, ticket, now);
    state.set_running(class, share, true);
    Some((ticket, share))
}

#[test]
fn passes_run_side_by_side_while_several_short_requests_are_in_work() {
    let (mut state, now) = (State::new(1, 2), Instant::now());
    state.short_in_work = 3;
    let [first, second, third] = [(); 3].map(|()| state.enter(JobClass::Short, true, now));
    assert_eq!(begin(&mut state, now), Some((first, Share::Part(0))));
    assert_eq!(begin(&mut state, now), Some((second, Share::Part(1))));
    assert_eq!(state.next(now), Next::Wait);
    state.set_running(JobClass::Short, Share::Part(0), false);
    assert_eq!(begin(&mut state, now), Some((third, Share::Part(0))));
}

#[test]
fn few_requests_have_all_threads_where_most_parts_would_be_idle() {
    let (mut state, now) = (State::new(1, 4), Instant::now());
    state.enter(JobClass::Short, true, now);
    state.enter(JobClass::Short, true, now);
    state.short_in_work = 2;
    assert!(matches!(state.next(now), Next::Run(_, Share::All)));
    state.short_in_work = 3;
    assert!(matches!(state.next(now), Next::Run(_, Share::Part(0))));
}

#[test]
fn a_lone_request_has_all_threads() {
    let (mut state, now) = (State::new(1, 2), Instant::now());
    state.short_in_work = 1;
    let first = state.enter(JobClass::Short, true, now);
    assert_eq!(begin(&mut state, now), Some((first, Share::All)));
    // One that comes meanwhile waits: its threads would compete with those of the first.
    state.short_in_work = 2;
    let second = state.enter(JobClass::Short, true, now);
    assert_eq!(state.next(now), Next::Wait);
    state.set_running(JobClass::Short, Share::All, false);
    assert_eq!(begin(&mut state, now), Some((second, Share::Part(0))));
}

#[test]
fn a_pass_that_needs_all_threads_waits_for_the_parts_and_is_not_overtaken() {
    let (mut state, now) = (State::new(1, 2), Instant::now());
    state.short_in_work = 3;
    state.enter(JobClass::Short, true, now);
    assert!(begin(&mut state, now).is_some());
    let large = state.enter(JobClass::Short, false, now);
    state.enter(JobClass::Short, true, now);
    assert_eq!(state.next(now), Next::Wait);
    state.set_running(JobClass::Short, Share::Part(0), false);
    assert_eq!(begin(&mut state, now), Some((large, Share::All)));
    assert_eq!(state.next(now), Next::Wait);
}

#[test]
fn a_long_batch_that_is_due_lets_no_further_part_begin() {
    let (mut state, start) = (State::new(1, 2), Instant::now());
    state.short_in_work = 3;
    let long = state.enter(JobClass::Long, true, start);
    state.enter(JobClass::Short, true, start);
    assert!(begin(&mut state, start).is_some());
    state.enter(JobClass::Short, true, start);
    let due = start + MIN_WAIT;
    assert!(matches!(state.next(due - MS), Next::Run(_, Share::Part(1))));
    assert_eq!(state.next(due), Next::Wait);
    state.set_running(JobClass::Short, Share::Part(0), false);
    assert_eq!(begin(&mut state, due), Some((long, Share::All)));
    assert_eq!(state.next(due), Next::Wait);
}

#[test]
fn small_models_do_not_wait_for_a_batch_that_cannot_be_short() {
    let (mut state, now) = (State::new(1, 2), Instant::now());
    let long = state.enter(JobClass::Long, false, now);
    assert_eq!(begin(&mut state, now), Some((long, Share::All)));
    let large = state.enter(JobClass::Short, false, now);
    let small = state.enter(JobClass::Short, true, now);
    state.short_in_work = 2;
    state.long_batch = LONGEST_CONTENDED_BATCH + MS;
    // A pass that needs all threads is not overtaken.
    assert_eq!(state.next(now), Next::Wait);
    state.leave(JobClass::Short, large, now);
    state.long_batch = LONGEST_CONTENDED_BATCH;
    assert_eq!(state.next(now), Next::Wait);
    state.long_batch += MS;
    assert_eq!(begin(&mut state, now), Some((small, Share::Part(0))));
    // The next long batch has all threads again.
    state.set_running(JobClass::Long, Share::All, false);
    let next = state.enter(JobClass::Long, false, now);
    assert_eq!(state.next(now + HOLD), Next::Wait);
    state.set_running(JobClass::Short, Share::Part(0), false);
    assert_eq!(begin(&mut state, now + HOLD), Some((next, Share::All)));
    // No short pass runs beside another one's.
    let (mut state, now) = (State::new(1, 2), Instant::now());
    state.long_batch = LONGEST_CONTENDED_BATCH + MS;
    state.enter(JobClass::Short, false, now);
    state.enter(JobClass::Short, true, now);
    assert!(begin(&mut state, now).is_some());
    assert_eq!(state.next(now), Next::Wait);
}

#[test]
fn long_requests_take_turns_batch_by_batch() {
    let turns = Turns::new(1, 0);
    let ran = Mutex::new(Vec::new());
    let first = turns.take(&CancellationToken::default(), false).unwrap();
    std::thread::scope(|scope| {
        for request in 0..2 {
            let (turns, ran) = (&turns, &ran);
            scope.spawn(move || {
                let token = CancellationToken::default().with_class(JobClass::Long);
                for _ in 0..3 {
                    let turn = turns.take(&token, false).unwrap();
                    ran.lock().unwrap().push(request);
                    // Long enough for the other to ask for its next turn.
                    std::thread::sleep(20 * MS);
                    drop(turn);
                }
            });
        }
        while turns.waiting(JobClass::Long) < 2 {
            std::thread::yield_now();
        }
        drop(first);
    });
    let ran = ran.into_inner().unwrap();
    assert!(ran.windows(2).all(|pair| pair[0] != pair[1]), "{ran:?}");
}

#[test]
fn a_cancelled_request_stops_waiting_and_holds_up_nobody() {
    let turns = Turns::new(1, 0);
    let turn = turns.take(&CancellationToken::default(), false).unwrap();
    let token = CancellationToken::default();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| turns.take(&token, false).map(drop));
        while turns.waiting(JobClass::Short) == 0 {
            std::thread::yield_now();
        }
        token.cancel(Reason::ClientDisconnected);
        assert!(waiting.join().unwrap().is_err());
    });
    assert_eq!(turns.waiting(JobClass::Short), 0);
    drop(turn);
    assert!(turns.take(&CancellationToken::default(), false).is_ok());
}

#[test]
fn work_is_contended_while_a_short_request_is_in_work_and_for_a_while_after() {
    let turns = Turns::new(1, 0);
    assert!(!turns.is_contended());
    drop(turns.begin(JobClass::Long));
    assert!(!turns.is_contended());
    let short = turns.begin(JobClass::Short);
    assert!(turns.is_contended());
    drop(short);
    assert!(turns.is_contended());
    turns.lock().last_short = Instant::now().checked_sub(RECENT);
    assert!(!turns.is_contended());
}
