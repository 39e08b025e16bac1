//! The memory budget: how many bytes all requests together may hold.
//!
//! Three quarters are for the work on requests whose bodies are complete, an eighth for the first
//! megabyte of each body, which is reserved as it arrives, and an eighth for the rest of large
//! bodies, which is reserved at once. The parts are apart so that none waits for another: work in
//! progress always ends and returns what it holds, a large body that has its memory can be read to
//! its end, and slow or large bodies don't keep small ones out. Each part is given out in order of
//! arrival. Long requests leave a quarter of the memory for work to short ones.

use std::sync::Arc;

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

/// One part of the budget.
#[derive(Clone, Debug)]
pub struct Pool {
    units: Arc<Semaphore>,
    total_units: u32,
    what: &'static str,
}

/// Memory that a request holds until this is dropped.
#[derive(Debug)]
pub struct Reservation(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Pool {
    fn new(bytes: u64, what: &'static str) -> Self {
        let total_units = units(bytes);
        Self { units: Arc::new(Semaphore::new(total_units as usize)), total_units, what }
    }

    /// Reserves bytes, as soon as there are enough.
    ///
    /// # Errors
    /// [`Kind::OverBudget`] for more bytes than the pool ever has.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let wanted = units(bytes);
        if wanted > self.total_units {
            let (what, total) = (self.what, u64::from(self.total_units) * UNIT_BYTES);
            let detail = format!(
                "the request would need {bytes} bytes of memory for its {what}; the service has \
                 {total} for all of them"
            );
            return Err(Error::new(Kind::OverBudget, detail));
        }
        let reserved = Arc::clone(&self.units).acquire_many_owned(wanted).await;
        reserved.map(Reservation).map_err(|closed| Error::internal("reserving memory", closed))
    }

    /// The bytes that are reserved now.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        let free = self.units.available_permits() as u64;
        u64::from(self.total_units).saturating_sub(free) * UNIT_BYTES
    }

    /// The bytes of the pool.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        u64::from(self.total_units) * UNIT_BYTES
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// The bytes that all requests together may hold.
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
        let bodies = bytes / BODIES_SHARE;
        Self {
            bodies: Pool::new(bodies, "body"),
            large_bodies: Pool::new(bodies, "body"),
            work: Pool::new(bytes - 2 * bodies, "image"),
            long_work: Pool::new((bytes - 2 * bodies) / 4 * 3, "image"),
        }
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
