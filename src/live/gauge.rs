//! What processes and the machine have used so far, read from outside.
//! It must not know when it is read.

use std::time::Duration;

use base::Time;
use procfs::process::{ClearRefs, Process as Proc};
use procfs::{CurrentSI, KernelStats};
use record::{ProcessTotals, ResourceSample};
use rustix::process::Pid;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// The gauges of some processes and of the machine.
pub(crate) struct Gauge {
    system: System,
    processes: Vec<(String, sysinfo::Pid)>,
}

/// All gauges at one moment; counters are cumulative.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// When.
    pub(crate) at: Time,
    /// In the order given; `None` when a process is gone.
    pub(crate) processes: Vec<(String, Option<Usage>)>,
    /// Bytes received and sent over the loopback interface.
    loopback: Option<(u64, u64)>,
    machine: Option<Machine>,
}

/// What one process has used so far, and holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    cpu: Duration,
    rss_bytes: u64,
    /// The most it held since [`Gauge::forget_peaks`].
    rss_peak_bytes: u64,
    disk_read_bytes: u64,
    disk_written_bytes: u64,
    fds: Option<u64>,
    threads: Option<u64>,
}

/// Ticks of all cores together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Machine {
    total: u64,
    stolen: u64,
}

impl Gauge {
    /// Gauges of these processes, by name and number.
    ///
    /// # Errors
    /// When the system keeps no account of processes.
    pub(crate) fn new(
        processes: impl IntoIterator<Item = (String, Pid)>,
    ) -> Result<Self, sysinfo::Error> {
        let number = |pid: Pid| sysinfo::Pid::from_u32(pid.as_raw_nonzero().get().unsigned_abs());
        let processes = processes.into_iter().map(|(name, pid)| (name, number(pid))).collect();
        Ok(Self { system: System::new()?, processes })
    }

    /// Peaks count from now on, where the system lets us say so.
    pub(crate) fn forget_peaks(&self) {
        for (_, pid) in &self.processes {
            let _ = proc_of(*pid).and_then(|process| process.clear_refs(ClearRefs::PeakRSS).ok());
        }
    }

    /// Reads everything; `now` is what the clock says.
    pub(crate) fn read(&mut self, now: Time) -> Reading {
        let numbers: Vec<_> = self.processes.iter().map(|(_, pid)| *pid).collect();
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().with_disk_usage();
        let what = what.without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&numbers), true, what);
        let processes = self.processes.iter();
        let processes = processes.map(|(name, pid)| (name.clone(), self.usage(*pid))).collect();
        let loopback = procfs::net::dev_status().ok();
        let loopback = loopback.and_then(|devices| {
            devices.get("lo").map(|device| (device.recv_bytes, device.sent_bytes))
        });
        Reading { at: now, processes, loopback, machine: machine() }
    }

    fn usage(&self, pid: sysinfo::Pid) -> Option<Usage> {
        let process = self.system.process(pid)?;
        let disk = process.disk_usage();
        let proc = proc_of(pid);
        let status = proc.as_ref().and_then(|p| p.status().ok());
        let peak = status.as_ref().and_then(|s| s.vmhwm).map_or(0, |kib| kib * 1024);
        Some(Usage {
            cpu: Duration::from_millis(process.accumulated_cpu_time()),
            rss_bytes: process.memory(),
            rss_peak_bytes: peak.max(process.memory()),
            disk_read_bytes: disk.total_read_bytes,
            disk_written_bytes: disk.total_written_bytes,
            fds: proc.as_ref().and_then(|p| p.fd_count().ok()).map(|count| count as u64),
            threads: status.map(|s| s.threads),
        })
    }
}

fn proc_of(pid: sysinfo::Pid) -> Option<Proc> {
    Proc::new(i32::try_from(pid.as_u32()).ok()?).ok()
}

fn machine() -> Option<Machine> {
    let ticks = KernelStats::current().ok()?.total;
    let stolen = ticks.steal?;
    // Guests' time is counted in user and nice already.
    let rare = [ticks.iowait, ticks.irq, ticks.softirq];
    let rare: u64 = rare.iter().flatten().sum();
    Some(Machine {
        total: ticks.user + ticks.nice + ticks.system + ticks.idle + rare + stolen,
        stolen,
    })
}

/// The rows of resources.csv for what lies between two readings.
pub(crate) fn samples(before: &Reading, after: &Reading, at: Time) -> Vec<ResourceSample> {
    let elapsed = after.at.since(before.at).as_secs_f64();
    let both = before.processes.iter().zip(&after.processes);
    let mut samples: Vec<_> = both
        .filter_map(|((_, before), (name, after))| {
            let (before, after) = ((*before)?, (*after)?);
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
            Some(ResourceSample {
                at,
                process: name.clone(),
                cpu_percent: (elapsed > 0.0).then(|| 100.0 * cpu / elapsed),
                rss_bytes: Some(after.rss_bytes),
                disk_read_bytes: after.disk_read_bytes.checked_sub(before.disk_read_bytes),
                disk_written_bytes: after.disk_written_bytes.checked_sub(before.disk_written_bytes),
                net_rx_bytes: None,
                net_tx_bytes: None,
                fds: after.fds,
                threads: after.threads,
            })
        })
        .collect();
    if let (Some(before), Some(after)) = (before.loopback, after.loopback) {
        samples.push(ResourceSample {
            at,
            process: "loopback".into(),
            cpu_percent: None,
            rss_bytes: None,
            disk_read_bytes: None,
            disk_written_bytes: None,
            net_rx_bytes: after.0.checked_sub(before.0),
            net_tx_bytes: after.1.checked_sub(before.1),
            fds: None,
            threads: None,
        });
    }
    samples
}

/// What each process used between two readings.
pub(crate) fn totals(before: &Reading, after: &Reading) -> Vec<ProcessTotals> {
    let both = before.processes.iter().zip(&after.processes);
    both.filter_map(|((_, before), (name, after))| {
        let (before, after) = ((*before)?, (*after)?);
        Some(ProcessTotals {
            process: name.clone(),
            cpu_seconds: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
            rss_peak_bytes: after.rss_peak_bytes,
        })
    })
    .collect()
}

/// The share of the machine's time that its hypervisor kept between two readings, 0 to 1; 0 where
/// nobody tells.
pub(crate) fn steal_ratio(before: &Reading, after: &Reading) -> f64 {
    let (Some(before), Some(after)) = (before.machine, after.machine) else { return 0.0 };
    let total = after.total.saturating_sub(before.total);
    let stolen = after.stolen.saturating_sub(before.stolen);
    if total == 0 { 0.0 } else { stolen as f64 / total as f64 }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    fn cpu_ns() -> u64 {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        (used.tv_sec as u64) * 1_000_000_000 + used.tv_nsec as u64
    }

    #[test]
    fn our_own_work_is_seen() {
        let mut gauge = Gauge::new([("lab".into(), getpid())]).expect("Linux");
        gauge.forget_peaks();
        let before = gauge.read(Time::ZERO);
        // By our own CPU clock, so that others who want the cores too change nothing.
        let cpu = || Time::from_nanos(cpu_ns());
        let (began, mut work) = (cpu(), 0_u64);
        while cpu().since(began) < Duration::from_millis(100) {
            work = std::hint::black_box(work.wrapping_add(1));
        }
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = gauge.read(Time::ZERO + Duration::from_millis(500));
        drop(block);

        let samples = samples(&before, &after, Time::from_nanos(7));
        let lab = &samples[0];
        assert_eq!((lab.process.as_str(), lab.at), ("lab", Time::from_nanos(7)));
        // 100 ms of the 500 that the readings claim, less a tick of 10 ms at either end; other
        // tests run in this process.
        assert!(lab.cpu_percent.expect("measured") >= 16.0, "{lab:?}");
        assert!(lab.rss_bytes.expect("measured") > 32 << 20, "{lab:?}");
        assert!(lab.fds.expect("measured") >= 4 && lab.threads.expect("measured") >= 1, "{lab:?}");
        assert!(lab.disk_written_bytes.is_some(), "{lab:?}");
        assert_eq!(samples[1].process, "loopback");
        assert!(samples[1].net_rx_bytes.is_some());

        let totals = totals(&before, &after);
        assert!(totals[0].cpu_seconds >= 0.08 && totals[0].rss_peak_bytes > 32 << 20, "{totals:?}");
        assert!((0.0..=1.0).contains(&steal_ratio(&before, &after)));
    }

    #[test]
    fn a_process_that_is_gone_has_no_row() {
        let mut child = std::process::Command::new("/bin/true").spawn().expect("a process");
        let pid = Pid::from_child(&child);
        child.wait().expect("it ends");
        let mut gauge = Gauge::new([("gone".into(), pid)]).expect("Linux");
        let (before, after) = (gauge.read(Time::ZERO), gauge.read(Time::from_nanos(1)));
        assert_eq!(before.processes, [("gone".into(), None)]);
        assert!(samples(&before, &after, Time::ZERO).iter().all(|s| s.process == "loopback"));
        assert!(totals(&before, &after).is_empty());
    }

    #[test]
    fn steal_is_a_share_of_all_time() {
        let reading = |total, stolen| Reading {
            machine: Some(Machine { total, stolen }),
            ..Reading::default()
        };
        for (before, after, share) in [
            (reading(100, 0), reading(300, 50), 0.25),
            (reading(100, 0), reading(100, 0), 0.0),
            (reading(100, 9), reading(90, 0), 0.0),
            (Reading::default(), reading(9, 9), 0.0),
        ] {
            assert!((steal_ratio(&before, &after) - share).abs() < 1e-12);
        }
    }
}
