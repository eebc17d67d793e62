//! What the process has used, under the names that Prometheus' own libraries give it. It must not
//! know what the process does.

use procfs::WithCurrentSystemInfo as _;
use procfs::process::{LimitValue, Process};

use super::page::Page;

/// Puts what the system tells; what it does not tell is left out.
pub(super) fn put(page: &mut Page) {
    let Ok(own) = Process::myself() else { return };
    if let Ok(stat) = own.stat() {
        let per_second = procfs::ticks_per_second() as f64;
        let cpu = (stat.utime + stat.stime) as f64 / per_second;
        page.counter("process_cpu_seconds_total", "CPU time of user and system", cpu);
        let resident = stat.rss_bytes().get();
        page.gauge("process_resident_memory_bytes", "Resident memory", resident);
        page.gauge("process_virtual_memory_bytes", "Virtual memory", stat.vsize);
        page.gauge("process_threads", "Threads", stat.num_threads);
        if let Ok(boot) = procfs::boot_time_secs() {
            let start = boot as f64 + stat.starttime as f64 / per_second;
            page.gauge("process_start_time_seconds", "When it started, since 1970", start);
        }
    }
    if let Ok(count) = own.fd_count() {
        page.gauge("process_open_fds", "File descriptors open", count);
    }
    if let Ok(limits) = own.limits()
        && let LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        page.gauge("process_max_fds", "File descriptors that may be open", most);
    }
}
