//! Who is ejected and for how long: what requests say of backends meets the guards that keep enough
//! of them in service. It must not know probes: one that passes does not end an ejection, because
//! a health page that answers while requests fail is what ejections are for.

use std::fmt;
use std::time::Duration;

use base::{BackendId, FailureKind, Rng, Time};

use super::Balancer;
use super::requests::is_failure;
use super::under_way::Running;
use crate::event::EventKind;
use crate::message::{End, Head};
use crate::outlier::{Cause, Failure, Record, Seconds};
use crate::pool::{Ejection, State};
use crate::settings::EjectionSettings;
use crate::strategy::PerBackend;

/// What the requests said of all backends.
#[derive(Debug)]
pub(super) struct Ejections {
    /// Of those that had a request while ejection was on.
    records: PerBackend<Record>,
    denied: Denied,
    rng: Rng,
}

/// Why a backend was not ejected though there was cause.
#[derive(Clone, Copy, Debug)]
enum Guard {
    Most { ejected: usize, of: usize },
    Last,
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Most { ejected: 1, of } => write!(f, "1 of {of} is ejected already"),
            Self::Most { ejected, of } => write!(f, "{ejected} of {of} are ejected already"),
            Self::Last => f.write_str("it is the last one in service"),
        }
    }
}

/// Between two reports of denied ejections.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Ejections that a guard stopped, gathered so that an outage is no flood of events.
#[derive(Debug, Default)]
struct Denied {
    count: u64,
    latest: Option<(BackendId, Cause, Guard)>,
    /// No report before.
    quiet_until: Time,
}

impl Ejections {
    pub(super) fn new(rng: Rng) -> Self {
        Self { records: PerBackend::default(), denied: Denied::default(), rng }
    }

    /// The backend is gone.
    pub(super) fn forget(&mut self, id: BackendId) {
        self.records.remove(id);
    }

    /// The backend came into service.
    pub(super) fn begin_anew(&mut self, now: Time, id: BackendId) {
        if let Some(record) = self.records.get_mut(id) {
            record.begin_anew(now);
        }
    }

    /// The backend was in service for so long.
    pub(super) fn served(&mut self, id: BackendId, time: Duration) {
        if let Some(record) = self.records.get_mut(id) {
            record.add_service(time);
        }
    }

    /// When there is something to report ([`Time::MAX`]: nothing).
    #[inline]
    pub(super) const fn next_report(&self) -> Time {
        if self.denied.latest.is_some() { self.denied.quiet_until } else { Time::MAX }
    }
}

impl Balancer {
    /// An attempt's head, or its failure, speaks for or against its backend.
    pub(super) fn judge_head(&mut self, now: Time, id: BackendId, began: Time, head: &Head) {
        match *head {
            Head::Failed { error: FailureKind::ConnectTimeout, .. }
                if !self.had_time_to_connect(now, began) => {}
            Head::Failed { error, .. } => {
                self.judge_failure(now, id, began, Failure::NoAnswer(error));
            }
            Head::Status { status, retry_after, .. } => {
                if is_failure(head) {
                    self.judge_failure(now, id, began, Failure::Status(status));
                }
                if let (429 | 503, Some(time)) = (status, retry_after) {
                    self.leave_alone(now, id, time);
                }
            }
        }
    }

    /// So does the end of an attempt that has not failed before. If its client left, or another
    /// attempt was faster, it says nothing.
    #[inline]
    pub(super) fn judge_end(&mut self, now: Time, running: &Running, end: End) {
        let (id, began) = (running.backend, running.began);
        match end {
            _ if running.failed => {}
            End::UpstreamBroke => {
                self.judge_failure(now, id, began, Failure::Cut);
                self.look_at_upkeep();
            }
            End::Complete if self.settings.ejection.is_some() => {
                if let Some((record, settings)) = self.record(id) {
                    record.succeeded(now, began, settings);
                }
            }
            End::Complete => {}
            End::ClientLeft | End::Aborted => {}
        }
    }

    /// Whether an attempt without a connection had all the time that connecting may take: if not,
    /// because its request was nearly over, it says nothing of the backend.
    pub(super) fn had_time_to_connect(&self, now: Time, began: Time) -> bool {
        now >= began + self.settings.timeout.connect
    }

    fn judge_failure(&mut self, now: Time, id: BackendId, began: Time, failure: Failure) {
        if let Some(backend) = self.pool.get_mut(id) {
            backend.last_failure = Some(failure);
        }
        let Some((record, settings)) = self.record(id) else { return };
        if let Some(cause) = record.failed(now, began, failure, settings) {
            self.eject(now, id, cause);
        }
    }

    /// What is remembered of a backend that may be ejected. What is counted while it is out, because
    /// it was asked before or in a panic, is void when it comes back.
    fn record(&mut self, id: BackendId) -> Option<(&mut Record, &EjectionSettings)> {
        let settings = self.settings.ejection.as_ref()?;
        let records = &mut self.upkeep.ejections.records;
        if records.get(id).is_none() {
            let since = self.pool.get(id)?.since();
            records.or_insert_with(id, || Record::new(since));
        }
        Some((records.get_mut(id)?, settings))
    }

    /// Does what a Retry-After asks for where retries are on: they are what would ignore it. No
    /// share of the time is added or taken, and it is no step towards longer ejections.
    fn leave_alone(&mut self, now: Time, id: BackendId, time: Duration) {
        let Some(retry) = &self.settings.retry else { return };
        let time = time.min(retry.max_retry_after);
        if !time.is_zero() {
            self.eject(now, id, Cause::Asked(time));
        }
    }

    /// Ejects a backend that is in service, unless a guard says no.
    fn eject(&mut self, now: Time, id: BackendId, cause: Cause) {
        let Some(backend) = self.pool.get(id) else { return };
        if backend.state() != State::Ready {
            return;
        }
        let in_service = now.since(backend.since());
        if let Some(guard) = self.guard() {
            let denied = &mut self.upkeep.ejections.denied;
            denied.count += 1;
            denied.latest = Some((id, cause, guard));
            return self.report_denied_ejections(now);
        }
        let Ejections { records, rng, .. } = &mut self.upkeep.ejections;
        let mut record = records.get_mut(id);
        if let Some(record) = &mut record {
            record.add_service(in_service);
        }
        let asked = matches!(cause, Cause::Asked(_));
        let time = match (cause, record, &self.settings.ejection) {
            (Cause::Asked(time), ..) => time,
            (_, Some(record), Some(settings)) => record.eject(settings, rng),
            _ => unreachable!("requests are judged by the settings, into a record"),
        };
        let reason = match cause {
            Cause::Asked(_) => cause.to_string(),
            _ => format!("{cause}; ejected for {}", Seconds(time)),
        };
        self.pool.eject(id, Ejection { began: now, until: now + time, reason, asked });
        self.settle(now, id, "");
        self.warm(now, id);
    }

    /// What forbids one more ejection: the most that may be ejected at once, `max_ejected` of the
    /// backends but always one, or that this is the last one in service.
    fn guard(&self) -> Option<Guard> {
        let share = match &self.settings.ejection {
            Some(settings) => settings.max_ejected,
            None => EjectionSettings::default().max_ejected,
        };
        let (ejected, of) = (self.pool.ejected_count(), self.pool.len());
        if ejected >= most_ejected(share, of) {
            Some(Guard::Most { ejected, of })
        } else if self.pool.ready_count() <= 1 {
            Some(Guard::Last)
        } else {
            None
        }
    }

    pub(super) fn end_ejection_if_over(&mut self, now: Time, id: BackendId) {
        let ejection = self.pool.get(id).and_then(|backend| backend.ejection.as_ref());
        if let Some(ejection) = ejection
            && ejection.until <= now
        {
            let time = Seconds(now.since(ejection.began));
            self.end_ejection(now, id, &format!("ejected for {time}, back"));
        }
    }

    pub(super) fn end_ejection(&mut self, now: Time, id: BackendId, reason: &str) {
        self.pool.end_ejection(id);
        self.settle(now, id, reason);
        self.warm(now, id);
    }

    pub(super) fn report_denied_ejections(&mut self, now: Time) {
        let denied = &mut self.upkeep.ejections.denied;
        if now < denied.quiet_until {
            return;
        }
        let Some((id, cause, guard)) = denied.latest.take() else { return };
        let count = std::mem::take(&mut denied.count);
        denied.quiet_until = now + REPORT_EVERY;
        let (cause, guard) = (cause.to_string(), guard.to_string());
        self.report(now, Some(id), EventKind::EjectionDenied { cause, guard, count });
    }
}

/// The most of `of` backends that are ejected at once.
fn most_ejected(share: f64, of: usize) -> usize {
    // 0.29 × 100 is a little less than 29 in binary.
    ((share * of as f64 + 1e-9).floor() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_backends_and_at_least_one() {
        for (share, of, most) in [
            (0.5, 1, 1),
            (0.5, 2, 1),
            (0.5, 3, 1),
            (0.5, 4, 2),
            (0.1, 4, 1), // Envoy's default, with which it ejects nobody here
            (0.29, 100, 29),
            (0.7, 10, 7),
            (1.0, 3, 3),
            (0.0, 3, 1),
        ] {
            assert_eq!(most_ejected(share, of), most, "{share} of {of}");
        }
    }
}
