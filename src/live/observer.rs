//! Watches a trial from outside while it is loaded: backends and gauges at the end of every
//! window, the balancer's events, and whether everybody lives. It must not touch the load.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use base::{Clock, Stop, Time};
use record::{EventRow, Sample};
use scenario::Trial;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::admin::{Admin, States};
use crate::conductor::Stage;
use crate::control::Control;
use crate::error::Error;
use crate::events::{Parser, row};
use crate::gauge::{Gauge, Reading};
use crate::http::{Answer, CallError};

/// How often is looked whether everybody lives and the run shall go on.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A call that takes longer is given up: the sample is missed, the run goes on.
const CALL_WITHIN: Duration = Duration::from_secs(1);
/// Events of one trial that are kept; more would be a balancer gone mad.
const EVENTS_LIMIT: usize = 100_000;
/// Who says what we say ourselves.
const OURSELVES: &str = "lab";

/// When things happen in a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// The run's clock.
    pub(crate) clock: Clock,
    /// The beginning of the warm-up on it; all other times count from there.
    pub(crate) start: Time,
    /// The end of the warm-up.
    pub(crate) warmup: Duration,
    /// The end of the phases.
    pub(crate) length: Duration,
    /// The length of a window.
    pub(crate) window: Duration,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// The backends at the windows' ends, and after the last request.
    pub(crate) samples: Vec<Sample>,
    /// The gauges at the windows' ends.
    pub(crate) readings: Vec<Reading>,
    /// What the balancer said, and what we missed.
    pub(crate) events: Vec<EventRow>,
    /// The name of a child that ended though nobody had asked it to.
    pub(crate) died: Option<String>,
}

/// Watches until the generator has `ended` and the phases are over, or the run is cut short: by
/// `stop`, by a child's death, or by a generator that ended before its schedule. Then `halt` is
/// raised, which the generator follows.
pub(crate) async fn observe(
    stage: &mut Stage,
    trial: &Trial,
    schedule: Schedule,
    ended: oneshot::Receiver<()>,
    stop: &Stop,
    halt: &Stop,
) -> Result<Observations, Error> {
    let stream = stage.events.take();
    let mut events = Vec::new();
    let mut sampler = Sampler::new(stage, trial, schedule)?;
    let (mut died, mut lost) = (None, None);
    {
        let mut listening = pin!(listen(stream, schedule.start, &mut events));
        let mut watching = pin!(watch(stage, stop, halt));
        let mut ended = pin!(ended);
        let (mut all_heard, mut watched, mut all_ended) = (false, false, false);
        {
            let mut sampling = pin!(sampler.run());
            let mut all_sampled = false;
            while !(all_ended && (all_sampled || halt.is_raised())) {
                tokio::select! {
                    () = &mut sampling, if !all_sampled => all_sampled = true,
                    // An error says that the generator's thread is gone: it has ended too.
                    _ = &mut ended, if !all_ended => {
                        all_ended = true;
                        // Before its time it ends by an error alone: nothing is left to watch.
                        if !schedule.is_over() {
                            halt.raise(rustix::process::Signal::TERM.as_raw());
                        }
                    }
                    name = &mut watching, if !watched => (died, watched) = (name, true),
                    reason = &mut listening, if !all_heard => {
                        lost = reason.map(|reason| (schedule.now(), reason));
                        all_heard = true;
                    }
                }
            }
        }
        if died.is_none() {
            sampler.last(halt.is_raised()).await;
        }
        if !all_heard {
            // What has come in by now; the stream itself has no end.
            let _ = timeout(Duration::ZERO, listening).await;
        }
    }
    events.append(&mut sampler.missed);
    // A proxy that died tells nothing more, which needs no saying.
    if let (Some((at, reason)), None) = (lost, &died) {
        events.push(own_event(at, "events_lost", reason));
    }
    Ok(Observations { samples: sampler.samples, readings: sampler.readings, events, died })
}

/// Reads everything at the end of the warm-up and of every window.
struct Sampler<'a> {
    trial: &'a Trial,
    schedule: Schedule,
    control: Control,
    admin: Option<Admin>,
    gauge: Gauge,
    samples: Vec<Sample>,
    readings: Vec<Reading>,
    missed: Vec<EventRow>,
    /// The time on the run's clock up to which the backends' counters are known.
    known: Time,
}

impl<'a> Sampler<'a> {
    fn new(stage: &Stage, trial: &'a Trial, schedule: Schedule) -> Result<Self, Error> {
        let children = stage.processes().map(|process| (process.name().to_owned(), process.pid()));
        let generator = stage.generator.clone();
        let ourselves = (OURSELVES.to_owned(), rustix::process::getpid());
        Ok(Self {
            trial,
            schedule,
            control: stage.control,
            admin: stage.admin,
            gauge: Gauge::new(children.chain(generator).chain([ourselves]))
                .map_err(Error::Gauges)?,
            samples: Vec::new(),
            readings: Vec::new(),
            missed: Vec::new(),
            known: Time::ZERO,
        })
    }

    async fn run(&mut self) {
        let mut next = Some(self.schedule.warmup);
        self.schedule.wait_until(self.schedule.warmup).await;
        self.gauge.forget_peaks();
        while let Some(boundary) = next {
            self.schedule.wait_until(boundary).await;
            self.read_gauges();
            self.sample(boundary).await;
            next = self.schedule.boundary_after(self.schedule.now());
        }
    }

    /// Once more when everything has ended. Gauges only if the run was cut short: else they were
    /// read at the end of the phases, and what came after is not measured.
    async fn last(&mut self, cut_short: bool) {
        if cut_short {
            self.read_gauges();
            self.fetch_cuts(self.schedule.clock.now()).await;
        }
        let at = self.schedule.now();
        let counters = self.control.sample(self.trial, CALL_WITHIN);
        let (counters, (states, retries)) = tokio::join!(counters, ask(self.admin));
        let Some(backends) = self.note(at, counters) else { return };
        self.samples.push(Sample { at, retries: None, backends });
        self.complete(at, states, retries);
    }

    fn read_gauges(&mut self) {
        let now = self.schedule.now();
        self.readings.push(self.gauge.read(now));
    }

    /// What the backends noted up to a boundary, and what the balancer says by now.
    async fn sample(&mut self, boundary: Duration) {
        let at = self.schedule.now();
        let admin = self.admin;
        let fetched = self.samples.len();
        let ((), (states, retries)) =
            tokio::join!(self.fetch_cuts(self.schedule.start + boundary), ask(admin));
        // The balancer does not note what it knew: of a boundary long past it tells nothing.
        let last = self.samples[fetched..].last();
        if last.is_some_and(|last| at.since(last.at) <= self.schedule.window / 2) {
            self.complete(at, states, retries);
        }
    }

    /// Fetches the backends' counters, as they stood at the boundaries, up to a time of the run's
    /// clock.
    async fn fetch_cuts(&mut self, to: Time) {
        while self.known < to {
            let at = self.schedule.now();
            let cuts = self.control.samples_after(self.trial, self.known, CALL_WITHIN).await;
            let Some(cuts) = self.note(at, cuts).filter(|cuts| !cuts.is_empty()) else { return };
            for (cut, backends) in cuts {
                self.known = cut;
                let at = Time::ZERO + cut.since(self.schedule.start);
                self.samples.push(Sample { at, retries: None, backends });
            }
        }
    }

    /// Adds to the latest sample what the balancer says.
    fn complete(&mut self, at: Time, states: Told<States>, retries: Told<u64>) {
        let states = self.note(at, states).flatten();
        let retries = self.note(at, retries).flatten();
        let Some(sample) = self.samples.last_mut() else { return };
        sample.retries = retries;
        if let Some(states) = states {
            let specs = &self.trial.variant.backends;
            for (sample, spec) in sample.backends.iter_mut().zip(specs) {
                states.of(&spec.name).clone_into(&mut sample.state);
            }
        }
    }

    /// A call that failed is a gap in the record, which says so.
    fn note<T>(&mut self, at: Time, result: Result<T, CallError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.missed.push(own_event(at, "sample_missed", error.to_string()));
                None
            }
        }
    }
}

/// What a subject says, where it has an admin API.
type Told<T> = Result<Option<T>, CallError>;

/// Asks the subject for its backends' states and its retries.
async fn ask(admin: Option<Admin>) -> (Told<States>, Told<u64>) {
    let states = optional(admin, |admin| async move { admin.states(CALL_WITHIN).await });
    let retries = optional(admin, |admin| async move { admin.retries(CALL_WITHIN).await });
    tokio::join!(states, retries)
}

/// Asks the subject, where it has an admin API.
async fn optional<T, F: Future<Output = Result<T, CallError>>>(
    admin: Option<Admin>,
    ask: impl FnOnce(Admin) -> F,
) -> Told<T> {
    match admin {
        Some(admin) => ask(admin).await.map(Some),
        None => Ok(None),
    }
}

impl Schedule {
    /// The time since the beginning of the warm-up.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.clock.now().since(self.start)
    }

    /// The end of the warm-up and of every window.
    pub(crate) fn boundaries(&self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.warmup), |at| self.boundary_after(Time::ZERO + *at))
    }

    /// Whether the phases have ended.
    fn is_over(&self) -> bool {
        self.now() >= Time::ZERO + self.length
    }

    async fn wait_until(&self, boundary: Duration) {
        let at = self.start + boundary;
        loop {
            let left = at.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    /// The first end of a window after `now`. A run that was stopped (SIGSTOP, a laptop's lid)
    /// finds several ends behind it, for which one sample must do.
    fn boundary_after(&self, now: Time) -> Option<Duration> {
        let (warmup, length) = (self.warmup.as_nanos(), self.length.as_nanos());
        let window = self.window.as_nanos().max(1);
        let now = u128::from(now.as_nanos());
        if now >= length {
            return None;
        }
        let windows = now.saturating_sub(warmup) / window + 1;
        let end = (warmup + windows * window).min(length);
        // `end` is at most `length`, which is a duration of at most 10⁷ s.
        Some(Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX)))
    }
}

/// The balancer's events as they come; returns when no more can come, and why.
async fn listen(stream: Option<Answer>, start: Time, events: &mut Vec<EventRow>) -> Option<String> {
    let mut stream = stream?;
    let mut parser = Parser::default();
    loop {
        let bytes = match stream.more().await {
            Ok(bytes) if bytes.is_empty() => return Some("the proxy ended its stream".to_owned()),
            Ok(bytes) => bytes,
            Err(error) => return Some(error.to_string()),
        };
        for data in parser.push(&bytes) {
            match row(&data, "balancer/0", start) {
                Ok(event) => events.extend(event),
                Err(problem) => events.push(own_event(Time::ZERO, "event_unreadable", problem)),
            }
        }
        if events.len() >= EVENTS_LIMIT {
            return Some(format!("more than {EVENTS_LIMIT} events"));
        }
    }
}

/// An event of our own making.
pub(crate) fn own_event(at: Time, kind: &str, detail: String) -> EventRow {
    EventRow { at, source: OURSELVES.into(), subject: String::new(), kind: kind.into(), detail }
}

/// Raises `halt` when `stop` is raised, or when a child dies: then its name is returned.
async fn watch(stage: &Stage, stop: &Stop, halt: &Stop) -> Option<String> {
    loop {
        if let Some(dead) = stage.processes().find(|process| process.ended(Duration::ZERO)) {
            halt.raise(rustix::process::Signal::CHILD.as_raw());
            return Some(dead.name().to_owned());
        }
        if let Some(reason) = stop.reason() {
            halt.raise(reason);
            return None;
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::tests::trial;

    #[test]
    fn a_generator_that_ends_before_its_schedule_ends_the_watch() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut stage = Stage::of_a_sleeper(folder.path());
        let hour = Duration::from_secs(3600);
        let clock = Clock::start();
        let schedule =
            Schedule { clock, start: clock.now(), warmup: hour, length: 2 * hour, window: hour };
        let (end, ended) = oneshot::channel();
        drop(end);
        let (stop, halt) = (Stop::default(), Stop::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let seen = runtime.expect("a runtime").block_on(async {
            let trial = trial("lab");
            let watch = observe(&mut stage, &trial, schedule, ended, &stop, &halt);
            timeout(Duration::from_secs(60), watch).await.expect("it does not wait for the hours")
        });
        assert_eq!(seen.expect("gauges").died, None);
        assert!(halt.is_raised() && !stop.is_raised());
        stage.take_down();
    }

    #[test]
    fn boundaries_are_the_ends_of_windows_and_of_the_phases() {
        let ms = Duration::from_millis;
        let schedule = Schedule {
            clock: Clock::start(),
            start: Time::ZERO,
            warmup: ms(2000),
            length: ms(5500),
            window: ms(1000),
        };
        for (now, boundary) in [
            (0, Some(3000)),
            (2000, Some(3000)),
            (2999, Some(3000)),
            (3000, Some(4000)),
            (4700, Some(5000)),
            (5000, Some(5500)),
            (5499, Some(5500)),
            (5500, None),
            (9000, None),
        ] {
            let got = schedule.boundary_after(Time::ZERO + ms(now));
            assert_eq!(got, boundary.map(ms), "{now}");
        }
        let all = [2000, 3000, 4000, 5000, 5500].map(ms);
        assert_eq!(schedule.boundaries().collect::<Vec<_>>(), all);
    }
}
