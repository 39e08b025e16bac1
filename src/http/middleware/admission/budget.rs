//! The memory budget: how many bytes all requests together may hold.
//!
//! Three quarters are for the work on requests whose bodies are complete, an eighth for the first
//! megabyte of each body, which is reserved as it arrives, and an eighth for the rest of large
//! bodies, which is reserved at once. The parts are apart so that none waits for another: work in
//! progress always ends and returns what it holds, a large body that has its memory can be read to
//! its end, and slow or large bodies don't keep small ones out. Each part is given out in order of
//! arrival. Long requests leave a quarter of the memory for work to short ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::JobClass;
use crate::error::{Error, Kind, Result};

/// Bytes are counted in units of this size.
const UNIT_BYTES: u64 = 4096;
/// The part of the budget for small bodies, and that for large ones: an eighth each.
const BODIES_SHARE: u64 = 8;
/// Without a setting, requests may use this part of what the models leave, in per cent. The rest is
/// for the allocator's slack and for connections.
const USABLE_PER_CENT: u64 = 90;
/// The least that a budget is taken to be: less would refuse photographs.
const LEAST_BYTES: u64 = 64 << 20;

/// One part of the budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool {
    units: Arc<Semaphore>,
    size: Arc<Mutex<Size>>,
    /// How many reservations wait for others to be returned.
    waiting: Arc<AtomicUsize>,
    what: &'static str,
}

/// A reservation that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many units a pool has.
#[derive(Clone, Copy, Debug)]
struct Size {
    total: u32,
    /// Units that the pool has lost while they were reserved. They are removed as they come back.
    owed: u32,
}

/// Memory that a request holds until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    units: OwnedSemaphorePermit,
    size: Arc<Mutex<Size>>,
}

impl Reservation {
    /// Returns what is more than so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let excess = self.units.num_permits().saturating_sub(units(bytes) as usize);
        if let Some(units) = self.units.split(excess) {
            drop(Self { units, size: Arc::clone(&self.size) });
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut size = lock(&self.size);
        let held = u32::try_from(self.units.num_permits()).unwrap_or(u32::MAX);
        let lost = size.owed.min(held);
        if let Some(units) = self.units.split(lost as usize) {
            units.forget();
            size.owed -= lost;
        }
    }
}

fn lock(size: &Mutex<Size>) -> MutexGuard<'_, Size> {
    size.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn new(bytes: u64, what: &'static str) -> Self {
        let total = units(bytes);
        let size = Arc::new(Mutex::new(Size { total, owed: 0 }));
        let units = Arc::new(Semaphore::new(total as usize));
        Self { units, size, waiting: Arc::default(), what }
    }

    /// Changes the size. What is reserved stays reserved, and counts against the new size.
    fn resize(&self, bytes: u64) {
        let mut size = lock(&self.size);
        let new = units(bytes);
        let more = new.saturating_sub(size.total);
        let settled = more.min(size.owed);
        self.units.add_permits((more - settled) as usize);
        let fewer = size.total.saturating_sub(new);
        let removed = self.units.forget_permits(fewer as usize) as u32;
        *size = Size { total: new, owed: size.owed - settled + fewer - removed };
    }

    /// Reserves bytes, as soon as there are enough.
    ///
    /// # Errors
    /// [`Kind::OverBudget`] for more bytes than the pool ever has.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let wanted = units(bytes);
        let total = self.total_bytes();
        if u64::from(wanted) * UNIT_BYTES > total {
            let what = self.what;
            let detail = format!(
                "the request would need {bytes} bytes of memory for its {what}; the service has \
                 {total} for all of them"
            );
            return Err(Error::new(Kind::OverBudget, detail));
        }
        let units = match Arc::clone(&self.units).try_acquire_many_owned(wanted) {
            Ok(units) => units,
            Err(_) => {
                let _waiting = Waiting::begin(&self.waiting);
                let reserved = Arc::clone(&self.units).acquire_many_owned(wanted).await;
                reserved.map_err(|closed| Error::internal("reserving memory", closed))?
            }
        };
        Ok(Reservation { units, size: Arc::clone(&self.size) })
    }

    /// Whether a reservation waits for others to be returned.
    fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// The bytes that are reserved now.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        let size = *lock(&self.size);
        let free = self.units.available_permits() as u64;
        (u64::from(size.total) + u64::from(size.owed)).saturating_sub(free) * UNIT_BYTES
    }

    /// The bytes of the pool.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        u64::from(lock(&self.size).total) * UNIT_BYTES
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// The bytes of each pool.
struct Parts {
    bodies: u64,
    work: u64,
    long_work: u64,
}

impl Parts {
    const fn of(bytes: u64) -> Self {
        let bodies = bytes / BODIES_SHARE;
        let work = bytes - 2 * bodies;
        Self { bodies, work, long_work: work / 4 * 3 }
    }
}

/// The bytes that all requests together may hold. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    /// For the first megabyte of each body.
    pub bodies: Pool,
    /// For the rest of larger bodies.
    pub large_bodies: Pool,
    /// For images, tensors and responses.
    pub work: Pool,
    /// The part of it that long requests may have.
    long_work: Pool,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let parts = Parts::of(bytes);
        Self {
            bodies: Pool::new(parts.bodies, "body"),
            large_bodies: Pool::new(parts.bodies, "body"),
            work: Pool::new(parts.work, "image"),
            long_work: Pool::new(parts.long_work, "image"),
        }
    }

    /// Changes the number of bytes. What requests hold stays theirs, and counts.
    pub fn resize(&self, bytes: u64) {
        let parts = Parts::of(bytes);
        self.bodies.resize(parts.bodies);
        self.large_bodies.resize(parts.bodies);
        self.work.resize(parts.work);
        self.long_work.resize(parts.long_work);
    }

    /// Reserves memory for the work on a request.
    ///
    /// # Errors
    /// As [`Pool::reserve`].
    pub async fn reserve_work(&self, class: JobClass, bytes: u64) -> Result<Vec<Reservation>> {
        let mut reserved = Vec::with_capacity(2);
        if class == JobClass::Long {
            reserved.push(self.long_work.reserve(bytes).await?);
        }
        reserved.push(self.work.reserve(bytes).await?);
        Ok(reserved)
    }

    /// Whether the work on a request waits for memory that others hold.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.work.is_short() || self.long_work.is_short()
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
        (bodies, self.work.reserved_bytes())
    }

    /// All bytes of the budget.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let pools = [&self.bodies, &self.large_bodies, &self.work];
        pools.into_iter().map(Pool::total_bytes).sum()
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

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn what_does_not_fit_now_waits_and_what_never_fits_is_refused() {
        let pool = MemoryBudget::new(16 * MIB).work;
        let first = pool.reserve(8 * MIB).await.unwrap();
        let mut second = Box::pin(pool.reserve(8 * MIB));
        let waited = timeout(Duration::from_millis(20), second.as_mut()).await;
        assert!(waited.is_err(), "more is given out than there is");
        assert_eq!(pool.reserved_bytes(), 12 * MIB, "what waits is kept for it");
        drop(first);
        second.await.unwrap();
        let refused = pool.reserve(13 * MIB).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::OverBudget);
        assert_eq!(
            refused.to_string(),
            "the request would need 13631488 bytes of memory for its image; the service has \
             12582912 for all of them"
        );
        assert_eq!(pool.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn what_is_reserved_counts_when_the_size_changes() {
        let pool = MemoryBudget::new(16 * MIB).work;
        let [first, second] = [pool.reserve(8 * MIB), pool.reserve(2 * MIB)];
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        let states = |pool: &Pool| (pool.reserved_bytes() / MIB, pool.total_bytes() / MIB);
        assert_eq!(states(&pool), (10, 12));
        pool.resize(20 * MIB);
        assert_eq!(states(&pool), (10, 20));
        pool.resize(4 * MIB);
        assert_eq!(states(&pool), (10, 4));
        assert!(timeout(Duration::from_millis(20), pool.reserve(MIB)).await.is_err());
        drop(second);
        assert_eq!(states(&pool), (8, 4), "what comes back is not given out again");
        pool.resize(6 * MIB);
        assert_eq!(states(&pool), (8, 6));
        assert!(timeout(Duration::from_millis(20), pool.reserve(MIB)).await.is_err());
        drop(first);
        assert_eq!(states(&pool), (0, 6));
        pool.reserve(6 * MIB).await.unwrap();
        assert_eq!(pool.reserve(7 * MIB).await.unwrap_err().kind(), Kind::OverBudget);
    }

    #[tokio::test]
    async fn memory_is_short_while_work_waits_for_it_and_what_is_not_needed_can_be_returned() {
        let budget = MemoryBudget::new(16 * MIB);
        let mut held = budget.work.reserve(8 * MIB).await.unwrap();
        assert!(!budget.is_short());
        let mut next = Box::pin(budget.reserve_work(JobClass::Short, 8 * MIB));
        assert!(timeout(Duration::from_millis(20), next.as_mut()).await.is_err());
        assert!(budget.is_short());
        held.shrink_to(4 * MIB);
        let next = next.await.unwrap();
        assert!(!budget.is_short());
        held.shrink_to(6 * MIB);
        assert_eq!(budget.work.reserved_bytes(), 12 * MIB, "shrinking never takes more");
        drop((held, next));
        assert_eq!(budget.reserved_bytes(), (0, 0));
    }

    #[tokio::test]
    async fn long_requests_leave_memory_to_short_ones() {
        let budget = MemoryBudget::new(16 * MIB);
        let _long = budget.reserve_work(JobClass::Long, 9 * MIB).await.unwrap();
        let next = timeout(Duration::from_millis(20), budget.reserve_work(JobClass::Long, MIB));
        assert!(next.await.is_err());
        assert!(budget.reserve_work(JobClass::Short, 3 * MIB).await.is_ok());
    }

    #[tokio::test]
    async fn bodies_and_work_do_not_wait_for_each_other() {
        let budget = MemoryBudget::new(16 * MIB);
        let _bodies = budget.bodies.reserve(2 * MIB).await.unwrap();
        let _work = budget.work.reserve(12 * MIB).await.unwrap();
        assert_eq!(budget.bodies.reserved_bytes(), budget.bodies.total_bytes());
    }

    #[test]
    fn requests_may_use_what_the_models_leave() {
        assert_eq!(MemoryBudget::usable_bytes(1000 * MIB, 400 * MIB) / MIB, 540);
        assert_eq!(MemoryBudget::usable_bytes(100 * MIB, 400 * MIB), LEAST_BYTES);
    }
}
