//! A number of bytes that reservations share, in order of arrival.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Kind, Result};

/// Bytes are counted in units of this size.
const UNIT_BYTES: u64 = 4096;

/// One part of the budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool {
    units: Arc<Semaphore>,
    size: Arc<Mutex<Size>>,
    /// How many reservations wait for others to be returned.
    waiting: Arc<AtomicUsize>,
    /// Told when the size has changed.
    resized: Arc<Notify>,
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
    /// The bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.units.num_permits() as u64 * UNIT_BYTES
    }

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
    pub(super) fn new(bytes: u64, what: &'static str) -> Self {
        let total = units(bytes);
        let size = Arc::new(Mutex::new(Size { total, owed: 0 }));
        let units = Arc::new(Semaphore::new(total as usize));
        Self { units, size, waiting: Arc::default(), resized: Arc::default(), what }
    }

    /// Changes the size. What is reserved stays reserved, and counts against the new size.
    pub(super) fn resize(&self, bytes: u64) {
        let mut size = lock(&self.size);
        let new = units(bytes);
        let more = new.saturating_sub(size.total);
        let settled = more.min(size.owed);
        self.units.add_permits((more - settled) as usize);
        let fewer = size.total.saturating_sub(new);
        let removed = self.units.forget_permits(fewer as usize) as u32;
        *size = Size { total: new, owed: size.owed - settled + fewer - removed };
        drop(size);
        self.resized.notify_waiters();
    }

    /// Reserves bytes, as soon as there are enough.
    ///
    /// # Errors
    /// [`Kind::OverBudget`] for more bytes than the pool ever has.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let total = self.total_bytes();
        if bytes > total {
            return Err(over_budget(bytes, total, self.what));
        }
        if let Some(reservation) = self.try_reserve(bytes) {
            return Ok(reservation);
        }
        let _waiting = Waiting::begin(&self.waiting);
        let mut reserved = pin!(Arc::clone(&self.units).acquire_many_owned(units(bytes)));
        loop {
            let mut resized = pin!(self.resized.notified());
            // Before the check, so that no change in between is missed.
            resized.as_mut().enable();
            // Otherwise it would wait for ever, and all behind it.
            let total = self.total_bytes();
            if bytes > total {
                return Err(over_budget(bytes, total, self.what));
            }
            tokio::select! {
                units = &mut reserved => {
                    let failed = |closed| Error::internal("reserving memory", closed);
                    let units = units.map_err(failed)?;
                    return Ok(Reservation { units, size: Arc::clone(&self.size) });
                }
                () = resized => {}
            }
        }
    }

    /// Reserves bytes if they are free and nobody waits for them.
    pub(super) fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        let units = Arc::clone(&self.units).try_acquire_many_owned(units(bytes)).ok()?;
        Some(Reservation { units, size: Arc::clone(&self.size) })
    }

    /// Whether a reservation waits for others to be returned.
    pub(super) fn is_short(&self) -> bool {
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

/// The error of a request that needs more than there is for `what`.
pub(super) fn over_budget(bytes: u64, total: u64, what: &str) -> Error {
    let detail = format!(
        "the request would need {bytes} bytes of memory for its {what}; the service has {total} \
         for all of them"
    );
    Error::new(Kind::OverBudget, detail)
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn what_does_not_fit_now_waits_and_what_never_fits_is_refused() {
        let pool = Pool::new(12 * MIB, "image");
        let first = pool.reserve(8 * MIB).await.unwrap();
        let mut second = Box::pin(pool.reserve(8 * MIB));
        let waited = timeout(Duration::from_millis(20), second.as_mut()).await;
        assert!(waited.is_err(), "more is given out than there is");
        assert_eq!(pool.reserved_bytes(), 12 * MIB, "what waits is kept for it");
        assert!(pool.try_reserve(1).is_none(), "nobody jumps the queue");
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
        let pool = Pool::new(12 * MIB, "image");
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
        let held = pool.reserve(6 * MIB).await.unwrap();
        let (pool_of_next, large) = (pool.clone(), pool.clone());
        let large = tokio::spawn(async move { large.reserve(6 * MIB).await.map(drop) });
        tokio::task::yield_now().await;
        let next = tokio::spawn(async move { pool_of_next.reserve(MIB).await.map(drop) });
        tokio::task::yield_now().await;
        pool.resize(5 * MIB);
        let refused = large.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), Kind::OverBudget, "it would wait for ever, and all behind it");
        drop(held);
        next.await.unwrap().unwrap();
        pool.resize(6 * MIB);
        assert_eq!(pool.reserve(7 * MIB).await.unwrap_err().kind(), Kind::OverBudget);
    }
}
