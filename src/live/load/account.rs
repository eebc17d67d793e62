//! What the generator says of itself: lateness, back-pressure, stalls, CPU, shortages.
//! It must not know sockets.

use std::time::Duration;

use base::Time;
use base::time::nanos;
use hdrhistogram::Histogram;
use record::Foreign;
use rustix::time::{ClockId, clock_gettime};

use super::fleet::Openings;
use super::stall::StallWatch;

/// A request that was later than this through the generator's doing is late: the fixed part of the
/// limit on the generator's own dispatch p99 (DESIGN.md §9).
const LATE: Duration = Duration::from_millis(1);

/// How the generator did. All but `connections_opened` and `shortages` concern the measured part,
/// from the end of the warm-up to the end of the phases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Requests that were taken up or, with a connection free, sent more than 1 ms after their
    /// intended time.
    pub late_by_generator: u64,
    /// Requests taken up in time that found every connection busy: back-pressure. No request counts
    /// as both.
    pub waited_for_connection: u64,
    /// The 99th percentile of the delay that is the generator's own doing: to the first byte where
    /// a connection was free, else to the moment when the request joined the queue.
    pub own_dispatch_p99: Duration,
    /// The longest the generator's thread was kept from running.
    pub max_stall: Duration,
    /// When that stall began, from the beginning of the warm-up.
    pub max_stall_at: Option<Time>,
    /// Connections opened, successfully, warm-up included.
    pub connections_opened: u64,
    /// CPU time of the generator's thread.
    pub cpu: Duration,
    /// Descriptors or ports that ran out, in words.
    pub shortages: Vec<String>,
    /// What is known of a generator that is not ours.
    pub foreign: Option<Foreign>,
}

/// Gathers a [`LoadReport`].
#[derive(Debug)]
pub(super) struct Account {
    from: Time,
    to: Time,
    /// Of the generator's own delay, µs.
    own: Histogram<u64>,
    late: u64,
    waited: u64,
    cpu: [Option<Duration>; 2],
    /// Public to the loop, which tells it when it sleeps and works.
    pub(super) stall: StallWatch,
}

impl Account {
    /// Of the time between `from` and `to`.
    pub(super) fn new(from: Time, to: Time) -> Self {
        // 1 µs to an hour with three digits: later than an hour is an hour.
        let own = Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("valid bounds");
        Self { from, to, own, late: 0, waited: 0, cpu: [None; 2], stall: StallWatch::new(from, to) }
    }

    /// The request of this intended time was sent at `at`, or, when it must wait for a connection,
    /// joined the queue then.
    pub(super) fn handle_request(&mut self, intended: Time, at: Time, waits: bool) {
        if intended < self.from {
            return;
        }
        let delay = at.since(intended);
        self.own.saturating_record(nanos(delay) / 1000);
        let late = delay > LATE;
        self.late += u64::from(late);
        self.waited += u64::from(waits && !late);
    }

    /// Reads the thread's CPU time when the measured part begins and ends. To be called on the
    /// generator's thread, often.
    pub(super) fn handle_time(&mut self, now: Time) {
        for (mark, at) in self.cpu.iter_mut().zip([self.from, self.to]) {
            if mark.is_none() && now >= at {
                *mark = Some(thread_cpu());
            }
        }
    }

    /// The report; on the generator's thread.
    pub(super) fn report(&self, openings: Openings) -> LoadReport {
        let cpu = match self.cpu {
            [Some(begin), end] => end.unwrap_or_else(thread_cpu).saturating_sub(begin),
            [None, _] => Duration::ZERO,
        };
        let mut shortages = Vec::new();
        if openings.short_of_descriptors > 0 {
            shortages.push(format!(
                "generator: file descriptors ran out {} times; raise `ulimit -Hn`, or lower \
                 load.connections",
                openings.short_of_descriptors
            ));
        }
        if openings.short_of_ports > 0 {
            shortages.push(format!(
                "generator: ports ran out {} times (EADDRNOTAVAIL); widen \
                 net.ipv4.ip_local_port_range, or let connections be reused",
                openings.short_of_ports
            ));
        }
        LoadReport {
            late_by_generator: self.late,
            waited_for_connection: self.waited,
            own_dispatch_p99: Duration::from_micros(self.own.value_at_quantile(0.99)),
            max_stall: self.stall.longest(),
            max_stall_at: self.stall.at(),
            connections_opened: openings.opened,
            cpu,
            shortages,
            foreign: None,
        }
    }
}

/// The CPU time that this thread has used.
pub(super) fn thread_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    // CPU time is never negative; `as` is exact for both parts.
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_charged_to_whom_they_belong() {
        let us = |n: u64| Time::from_nanos(n * 1000);
        let mut account = Account::new(us(10_000), us(20_000));
        // (intended, sent or queued, waits) → late, waited
        for (intended, at, waits, late, waited) in [
            (9_999, 15_000, true, 0, 0), // of the warm-up
            (10_000, 10_050, false, 0, 0),
            (11_000, 12_000, false, 0, 0), // just in time
            (11_000, 12_001, false, 1, 0),
            (12_000, 12_100, true, 1, 1), // back-pressure
            (12_000, 14_000, true, 2, 1), // late before it could wait
        ] {
            account.handle_request(us(intended), us(at), waits);
            let report = account.report(Openings::default());
            assert_eq!((report.late_by_generator, report.waited_for_connection), (late, waited));
        }
        assert_eq!(account.report(Openings::default()).own_dispatch_p99.as_micros(), 2000);
    }

    #[test]
    fn cpu_is_that_of_the_measured_part() {
        let mut account = Account::new(Time::from_nanos(10), Time::from_nanos(20));
        account.handle_time(Time::from_nanos(9));
        assert_eq!(
            account.report(Openings::default()).cpu,
            Duration::ZERO,
            "the warm-up does not count"
        );
        let begin = thread_cpu();
        account.handle_time(Time::from_nanos(10));
        while thread_cpu() - begin < Duration::from_millis(5) {
            account.handle_time(Time::from_nanos(11));
        }
        account.handle_time(Time::from_nanos(20));
        let cpu = account.report(Openings::default()).cpu;
        assert!(cpu >= Duration::from_millis(4), "{cpu:?}");
        while thread_cpu() - begin < Duration::from_millis(10) {}
        assert_eq!(account.report(Openings::default()).cpu, cpu, "nor what follows");
    }

    #[test]
    fn what_ran_out_is_said_with_a_remedy() {
        let account = Account::new(Time::ZERO, Time::ZERO);
        assert_eq!(account.report(Openings::default()).shortages, Vec::<String>::new());
        let openings = Openings { opened: 0, short_of_descriptors: 3, short_of_ports: 4 };
        let shortages = account.report(openings).shortages;
        assert!(shortages[0].contains("3 times") && shortages[0].contains("ulimit"));
        assert!(shortages[1].contains("4 times") && shortages[1].contains("ip_local_port_range"));
    }
}
