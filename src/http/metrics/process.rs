//! What the operating system says of this process, under the names that Prometheus' client
//! libraries share, so that dashboards of other services fit.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Values that are read at each scrape; on Linux only.
pub(super) struct Process {
    registry: Registry,
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    threads: Gauge,
    open_files: Gauge,
    most_open_files: Gauge,
    start: Gauge<f64, AtomicU64>,
}

impl Default for Process {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("process");
        let cpu = Counter::default();
        let (resident, threads) = (Gauge::default(), Gauge::default());
        let (open_files, most_open_files) = (Gauge::default(), Gauge::default());
        let start = Gauge::default();
        if cfg!(target_os = "linux") {
            registry.register_with_unit("cpu", "Processor time used", Unit::Seconds, cpu.clone());
            registry.register_with_unit(
                "resident_memory",
                "Memory in use",
                Unit::Bytes,
                resident.clone(),
            );
            registry.register("threads", "Threads", threads.clone());
            registry.register("open_fds", "Open file descriptors", open_files.clone());
            registry.register("max_fds", "Largest number of them", most_open_files.clone());
            registry.register_with_unit(
                "start_time",
                "Start, since 1970",
                Unit::Seconds,
                start.clone(),
            );
        }
        Self { registry, cpu, resident, threads, open_files, most_open_files, start }
    }
}

impl Process {
    /// The metrics with their values of this moment. A value that cannot be read stays as it was.
    pub(super) fn registry(&self) -> &Registry {
        #[cfg(target_os = "linux")]
        let _ = self.read();
        &self.registry
    }

    #[cfg(target_os = "linux")]
    fn read(&self) -> procfs::ProcResult<()> {
        use std::sync::atomic::Ordering;

        use procfs::CurrentSI;
        use procfs::process::{LimitValue, Process as Status};

        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let own = Status::myself()?;
        let stat = own.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let seconds = (stat.utime + stat.stime) as f64 / ticks;
        // Processor time only grows, as a counter must.
        self.cpu.inner().store(seconds.to_bits(), Ordering::Relaxed);
        self.resident.set(gauge(stat.rss * procfs::page_size()));
        self.threads.set(stat.num_threads);
        let booted = procfs::KernelStats::current()?.btime as f64;
        self.start.set(booted + stat.starttime as f64 / ticks);
        self.open_files.set(gauge(own.fd_count()? as u64));
        if let LimitValue::Value(most) = own.limits()?.max_open_files.soft_limit {
            self.most_open_files.set(gauge(most));
        }
        Ok(())
    }
}
