//! The memory budget: how many bytes all requests together may hold.
//!
//! An eighth is for the first megabyte of each body, which is reserved as it arrives, and an eighth
//! for the rest of large bodies, which is reserved at once. The other three quarters are for the
//! work on requests whose bodies are complete, and a quarter of these for small requests alone.
//! The parts are apart so that none waits for another: work in progress always ends and returns
//! what it holds, a large body that has its memory can be read to its end, and slow or large
//! requests don't keep small ones out. Each part is given out in order of arrival.
//!
//! What waits together is a `Lane`.

use super::pool::{Pool, Reservation, over_budget};
use crate::app::Cost;
use crate::engine::JobClass;
use crate::error::Result;

/// The part of the budget for small bodies, and that for large ones: an eighth each.
const BODIES_SHARE: u64 = 8;
/// The part of the memory for work that is for small requests alone.
const SMALL_SHARE: u64 = 4;
/// A small request needs at most this, and at most half of the small requests' part.
const SMALL_BYTES: u64 = 16 << 20;
/// Without a setting, requests may use this part of what the models leave, in per cent. The rest is
/// for the allocator's slack and for connections.
const USABLE_PER_CENT: u64 = 90;
/// The least that a budget is taken to be: less would refuse photographs.
const LEAST_BYTES: u64 = 64 << 20;
/// What the memory for work is for, as an error says it.
const WORK: &str = "image";

/// Requests that wait for each other's memory and workers, and for nobody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Short requests that need little memory, such as a prediction for an ordinary image.
    Small,
    /// Other short requests, such as one for a map at the size of a large image.
    Large,
    /// Long requests.
    Long,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Small, Self::Large, Self::Long];
}

/// The bytes of each pool.
struct Parts {
    bodies: u64,
    small: u64,
    large: u64,
    long: u64,
}

impl Parts {
    const fn of(bytes: u64) -> Self {
        let bodies = bytes / BODIES_SHARE;
        let work = bytes - 2 * bodies;
        let small = work / SMALL_SHARE;
        let large = work - small;
        Self { bodies, small, large, long: large / 3 * 2 }
    }
}

/// The bytes that all requests together may hold. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    /// For the first megabyte of each body.
    pub bodies: Pool,
    /// For the rest of larger bodies.
    pub large_bodies: Pool,
    /// For images, tensors and responses of small requests.
    small: Pool,
    /// For those of all others.
    large: Pool,
    /// The part of the large pool that several long requests may have together.
    long: Pool,
}

/// The memory of the work on a request.
#[derive(Debug)]
pub(super) struct WorkMemory {
    long: Option<Reservation>,
    parts: Vec<Reservation>,
}

impl WorkMemory {
    /// Returns what is more than so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        if let Some(long) = &mut self.long {
            long.shrink_to(bytes);
        }
        let mut left = bytes;
        for part in &mut self.parts {
            part.shrink_to(left);
            left = left.saturating_sub(part.bytes());
        }
    }
}

impl MemoryBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let parts = Parts::of(bytes);
        Self {
            bodies: Pool::new(parts.bodies, "body"),
            large_bodies: Pool::new(parts.bodies, "body"),
            small: Pool::new(parts.small, WORK),
            large: Pool::new(parts.large, WORK),
            long: Pool::new(parts.long, WORK),
        }
    }

    /// Changes the number of bytes. What requests hold stays theirs, and counts.
    pub fn resize(&self, bytes: u64) {
        let parts = Parts::of(bytes);
        self.bodies.resize(parts.bodies);
        self.large_bodies.resize(parts.bodies);
        self.small.resize(parts.small);
        self.large.resize(parts.large);
        self.long.resize(parts.long);
    }

    /// Where a request of this cost waits.
    pub(super) fn lane(&self, cost: Cost) -> Lane {
        let most_small = SMALL_BYTES.min(self.small.total_bytes() / 2);
        match cost.class {
            JobClass::Long => Lane::Long,
            JobClass::Short if cost.bytes <= most_small => Lane::Small,
            JobClass::Short => Lane::Large,
        }
    }

    /// Reserves memory for the work on a request. All of it is reserved for a large one before it
    /// gets a worker; what small ones need is free soon, whatever large ones hold.
    ///
    /// # Errors
    /// [`Kind::OverBudget`](crate::error::Kind::OverBudget) for more than there ever is.
    pub(super) async fn reserve_work(&self, cost: Cost) -> Result<WorkMemory> {
        let Cost { bytes, .. } = cost;
        let (small, large) = (self.small.total_bytes(), self.large.total_bytes());
        let (mut long, mut parts) = (None, Vec::with_capacity(2));
        match self.lane(cost) {
            Lane::Small => {
                let free = self.small.try_reserve(bytes).or_else(|| self.large.try_reserve(bytes));
                parts.push(match free {
                    Some(free) => free,
                    None => self.small.reserve(bytes).await?,
                });
            }
            Lane::Large if bytes > small + large => {
                return Err(over_budget(bytes, small + large, WORK));
            }
            Lane::Large => {
                // Without these, the largest image would be a quarter smaller. It is worked on for
                // a moment, in which small requests have less.
                let rest = bytes.saturating_sub(large);
                parts.push(self.large.reserve(bytes - rest).await?);
                if rest > 0 {
                    parts.push(self.small.reserve(rest).await?);
                }
            }
            Lane::Long if bytes > large => return Err(over_budget(bytes, large, WORK)),
            Lane::Long => {
                // One that needs more than all may have together is alone.
                long = Some(self.long.reserve(bytes.min(self.long.total_bytes())).await?);
                parts.push(self.large.reserve(bytes).await?);
            }
        }
        Ok(WorkMemory { long, parts })
    }

    /// Whether the work on a request waits for memory that others hold.
    #[must_use]
    pub fn is_short(&self) -> bool {
        [&self.small, &self.large, &self.long].into_iter().any(Pool::is_short)
    }

    /// The largest body that can ever be read.
    #[must_use]
    pub fn largest_body(&self) -> usize {
        usize::try_from(self.large_bodies.total_bytes()).unwrap_or(usize::MAX)
    }

    /// The bytes that are reserved now, for bodies and for work.
    #[must_use]
    pub fn reserved_bytes(&self) -> (u64, u64) {
        let bodies = self.bodies.reserved_bytes() + self.large_bodies.reserved_bytes();
        (bodies, self.small.reserved_bytes() + self.large.reserved_bytes())
    }

    /// The bytes that there are for the work on requests.
    #[must_use]
    pub fn work_bytes(&self) -> u64 {
        self.small.total_bytes() + self.large.total_bytes()
    }

    /// All bytes of the budget.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.bodies.total_bytes() + self.large_bodies.total_bytes() + self.work_bytes()
    }

    /// The bytes for requests where the process may have `limit_bytes` and its models take
    /// `models_bytes`.
    #[must_use]
    pub const fn usable_bytes(limit_bytes: u64, models_bytes: u64) -> u64 {
        let left = limit_bytes.saturating_sub(models_bytes) / 100 * USABLE_PER_CENT;
        if left > LEAST_BYTES { left } else { LEAST_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::error::Kind;

    const MIB: u64 = 1 << 20;

    /// 12 MiB for small requests and 36 MiB for large ones, of which long ones may have 24.
    fn budget() -> MemoryBudget {
        MemoryBudget::new(64 * MIB)
    }

    fn short(mib: u64) -> Cost {
        Cost { class: JobClass::Short, bytes: mib * MIB }
    }

    fn long(mib: u64) -> Cost {
        Cost { class: JobClass::Long, bytes: mib * MIB }
    }

    async fn at_once(budget: &MemoryBudget, cost: Cost) -> Option<WorkMemory> {
        let reserved = timeout(Duration::from_millis(20), budget.reserve_work(cost)).await;
        reserved.ok().map(Result::unwrap)
    }

    #[tokio::test]
    async fn memory_is_short_while_work_waits_for_it_and_what_is_not_needed_can_be_returned() {
        let budget = budget();
        let mut held = budget.reserve_work(short(30)).await.unwrap();
        assert!(!budget.is_short());
        let mut next = Box::pin(budget.reserve_work(short(30)));
        assert!(timeout(Duration::from_millis(20), next.as_mut()).await.is_err());
        assert!(budget.is_short());
        held.shrink_to(4 * MIB);
        let next = next.await.unwrap();
        assert!(!budget.is_short());
        held.shrink_to(6 * MIB);
        assert_eq!(budget.reserved_bytes().1, 34 * MIB, "shrinking never takes more");
        drop((held, next));
        assert_eq!(budget.reserved_bytes(), (0, 0));
    }

    #[tokio::test]
    async fn large_requests_leave_memory_to_small_ones_however_many_wait() {
        let budget = budget();
        let _held = budget.reserve_work(short(36)).await.unwrap();
        let mut waiting = Box::pin(budget.reserve_work(short(20)));
        assert!(timeout(Duration::from_millis(20), waiting.as_mut()).await.is_err());
        let [first, second] = [at_once(&budget, short(6)).await, at_once(&budget, short(6)).await];
        assert!(first.is_some() && second.is_some());
        assert!(at_once(&budget, short(1)).await.is_none());
        drop(first);
        assert!(at_once(&budget, short(1)).await.is_some());
    }

    #[tokio::test]
    async fn small_requests_may_have_memory_that_no_large_one_needs() {
        let budget = budget();
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(at_once(&budget, short(6)).await.unwrap());
        }
        assert_eq!(budget.reserved_bytes().1, budget.work_bytes());
    }

    #[tokio::test]
    async fn the_largest_short_request_takes_all_memory_and_returns_that_of_small_ones_first() {
        let budget = budget();
        let mut largest = budget.reserve_work(short(48)).await.unwrap();
        assert!(at_once(&budget, short(1)).await.is_none());
        largest.shrink_to(40 * MIB);
        assert!(at_once(&budget, short(6)).await.is_some());
        largest.shrink_to(30 * MIB);
        assert_eq!(budget.reserved_bytes().1, 30 * MIB);
        let refused = budget.reserve_work(short(49)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::OverBudget);
    }

    #[tokio::test]
    async fn long_requests_leave_memory_to_short_ones() {
        let budget = budget();
        let first = budget.reserve_work(long(20)).await.unwrap();
        assert!(at_once(&budget, long(5)).await.is_none());
        assert!(at_once(&budget, short(16)).await.is_some());
        drop(first);
        let alone = at_once(&budget, long(36)).await;
        assert!(alone.is_some() && at_once(&budget, long(1)).await.is_none());
        let refused = budget.reserve_work(long(37)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::OverBudget);
    }

    #[tokio::test]
    async fn bodies_and_work_do_not_wait_for_each_other() {
        let budget = budget();
        let _bodies = budget.bodies.reserve(8 * MIB).await.unwrap();
        let _work = budget.reserve_work(short(48)).await.unwrap();
        assert_eq!(budget.bodies.reserved_bytes(), budget.bodies.total_bytes());
    }

    #[test]
    fn requests_may_use_what_the_models_leave() {
        assert_eq!(MemoryBudget::usable_bytes(1000 * MIB, 400 * MIB) / MIB, 540);
        assert_eq!(MemoryBudget::usable_bytes(100 * MIB, 400 * MIB), LEAST_BYTES);
    }
}
