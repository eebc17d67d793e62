//! What keeps ejections from doing harm, whatever happens: never too many, never the last, for
//! exactly the time that was said, and with clean hands afterwards. Every property is stated once,
//! shown to fail against wrong ejectors that others ship, and then shown to hold.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{BackendId, Rng, Time};
use policy::{
    Balancer, Command, EjectionSettings, End, Next, PanicSettings, Settings, State, Verdict,
};
use proptest::prelude::{any, prop, prop_assert, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy as Generate};
use support::*;

const CONSECUTIVE: u32 = 3;
const MAX: Duration = Duration::from_secs(9);

fn settings(share: f64, panic: bool) -> Settings {
    Settings {
        ejection: Some(EjectionSettings {
            consecutive: Some(CONSECUTIVE),
            ratio: None,
            base: Duration::from_secs(2),
            max: MAX,
            jitter: 0.3,
            max_ejected: share,
            ..EjectionSettings::default()
        }),
        panic: panic.then(PanicSettings::default),
        ..plain("random")
    }
}

/// One of the things that can happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A request; by this pattern of bits some of the backends fail it.
    Request(u32),
    /// Time passes.
    Wait(u64),
    Drain(usize),
    Ready(usize),
    Remove(usize),
    Add,
}

fn steps() -> impl Generate<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => prop_oneof![Just(0), Just(u32::MAX), any::<u32>()].prop_map(Step::Request),
        4 => (0..3_000_u64).prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Drain),
        1 => any::<usize>().prop_map(Step::Ready),
        1 => any::<usize>().prop_map(Step::Remove),
        1 => Just(Step::Add),
    ];
    prop::collection::vec(step, 1..200)
}

/// A backend as a watcher from outside sees it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: BackendId,
    in_service: bool,
    ejected_until: Option<Time>,
}

/// Anything that sends requests to backends and ejects those that fail.
trait Ejector {
    /// One request, answered at once: where it went, and whether that was in a panic.
    fn request(
        &mut self,
        now: Time,
        fails: &dyn Fn(BackendId) -> bool,
    ) -> Option<(BackendId, bool)>;
    /// Everything that is due by then is done when it is due.
    fn pass_time(&mut self, until: Time);
    fn command(&mut self, now: Time, command: Command) -> Option<BackendId>;
    fn seen(&self) -> Vec<Seen>;
}

impl Ejector for Balancer {
    fn request(
        &mut self,
        now: Time,
        fails: &dyn Fn(BackendId) -> bool,
    ) -> Option<(BackendId, bool)> {
        let Verdict::Send(attempt) = self.handle_request(now, request(0, true)) else {
            return None;
        };
        let panicking = self.pool().is_panicking();
        let head = if fails(attempt.backend) { status(500) } else { status(200) };
        assert_eq!(self.handle_head(now, attempt.id, head), Next::Deliver);
        self.handle_end(now, attempt.id, End::Complete);
        Some((attempt.backend, panicking))
    }
    fn pass_time(&mut self, until: Time) {
        while let Some(due) = self.poll_timeout().filter(|&due| due <= until) {
            self.handle_timeout(due);
        }
    }
    fn command(&mut self, now: Time, command: Command) -> Option<BackendId> {
        self.handle_command(now, command).expect("it is valid")
    }
    fn seen(&self) -> Vec<Seen> {
        let seen = |status: policy::BackendStatus<'_>| Seen {
            id: status.id,
            in_service: status.state == State::Ready,
            ejected_until: status.ejected_until,
        };
        self.pool().statuses().map(seen).collect()
    }
}

/// What is wrong with an ejector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    /// nginx without a zone, HAProxy's `observe`: as many as fail.
    AsManyAsFail,
    /// Ejected ones come back at a sweep every ten seconds, as in Envoy.
    BackAtASweep,
    /// Failures are not forgotten on return: the first one ejects again.
    KeepsCounting,
    /// Every ejection is twice as long as the one before.
    DoublesForEver,
    /// The table of the strategy is not told.
    StillPicked,
}

struct Model {
    flaw: Flaw,
    share: f64,
    rng: Rng,
    backends: Vec<Modelled>,
    next_slot: u32,
}

struct Modelled {
    seen: Seen,
    draining: bool,
    failures: u32,
    doublings: u32,
}

impl Ejector for Model {
    fn request(
        &mut self,
        now: Time,
        fails: &dyn Fn(BackendId) -> bool,
    ) -> Option<(BackendId, bool)> {
        let all = self.flaw == Flaw::StillPicked;
        let ready: Vec<usize> =
            (0..self.backends.len()).filter(|&i| all || self.backends[i].seen.in_service).collect();
        let &picked = ready.get(self.rng.below(ready.len().max(1)))?;
        let ejected = self.backends.iter().filter(|b| b.seen.ejected_until.is_some()).count();
        let most = ((self.share * self.backends.len() as f64) as usize).max(1);
        let in_service = self.backends.iter().filter(|b| b.seen.in_service).count();
        let spare = ejected < most && in_service > 1;
        let backend = &mut self.backends[picked];
        if !fails(backend.seen.id) {
            backend.failures = 0;
        } else if backend.seen.in_service {
            backend.failures += 1;
            if backend.failures >= CONSECUTIVE && (spare || self.flaw == Flaw::AsManyAsFail) {
                let time = Duration::from_secs(2 << backend.doublings);
                backend.doublings += 1;
                let time = if self.flaw == Flaw::DoublesForEver { time } else { time.min(MAX) };
                backend.seen.ejected_until = Some(now + time);
                backend.seen.in_service = false;
            }
        }
        Some((backend.seen.id, false))
    }
    fn pass_time(&mut self, until: Time) {
        const SWEEP: u64 = 10_000_000_000;
        let swept = Time::from_nanos(until.as_nanos() / SWEEP * SWEEP);
        let late = self.flaw == Flaw::BackAtASweep;
        for backend in &mut self.backends {
            if backend.seen.ejected_until.is_some_and(|at| at <= if late { swept } else { until }) {
                backend.seen.ejected_until = None;
                backend.seen.in_service = !backend.draining;
                if self.flaw != Flaw::KeepsCounting {
                    backend.failures = 0;
                }
            }
        }
    }
    fn command(&mut self, _: Time, command: Command) -> Option<BackendId> {
        let at = |id| self.backends.iter().position(|b: &Modelled| b.seen.id == id).unwrap();
        match command {
            Command::Remove(id) => drop(self.backends.remove(at(id))),
            Command::Drain(id) | Command::Ready(id) => {
                let place = at(id);
                let backend = &mut self.backends[place];
                backend.draining = matches!(command, Command::Drain(_));
                let comes = !backend.seen.in_service && !backend.draining;
                if comes {
                    backend.failures = 0;
                }
                backend.seen.in_service = !backend.draining && backend.seen.ejected_until.is_none();
            }
            _ => {
                let id = BackendId { slot: self.next_slot, generation: 0 };
                self.next_slot += 1;
                let seen = Seen { id, in_service: true, ejected_until: None };
                self.backends.push(Modelled { seen, draining: false, failures: 0, doublings: 0 });
                return Some(id);
            }
        }
        None
    }
    fn seen(&self) -> Vec<Seen> {
        self.backends.iter().map(|backend| backend.seen).collect()
    }
}

/// What the watcher remembers of the backends, and what it holds against the ejector.
struct Watcher {
    share: f64,
    /// By slot: failures since the last success or return.
    failures: Vec<u32>,
    before: Vec<Seen>,
}

impl Watcher {
    fn former(&self, id: BackendId) -> Option<Seen> {
        self.before.iter().copied().find(|seen| seen.id == id)
    }

    /// After every step.
    fn look(&mut self, now: Time, seen: Vec<Seen>) -> Result<(), String> {
        let ejected = seen.iter().filter(|s| s.ejected_until.is_some()).count();
        for backend in &seen {
            let id = backend.id;
            let former = self.former(id);
            let was_ejected = former.and_then(|former| former.ejected_until);
            match (was_ejected, backend.ejected_until) {
                (None, Some(until)) => {
                    let most = ((self.share * seen.len() as f64 + 1e-9) as usize).max(1);
                    if ejected > most {
                        return Err(format!("{now}: {ejected} of {} ejected", seen.len()));
                    }
                    if !seen.iter().any(|s| s.in_service) {
                        return Err(format!("{now}: {id} was the last"));
                    }
                    if until.since(now) > MAX || until <= now {
                        return Err(format!("{now}: {id} is out until {until}"));
                    }
                    if self.failures[id.slot as usize] < CONSECUTIVE {
                        return Err(format!("{now}: {id} has not failed enough since its return"));
                    }
                }
                (Some(until), None) if until > now => {
                    return Err(format!("{now}: {id} is back before {until}"));
                }
                (Some(until), Some(_)) if until <= now => {
                    return Err(format!("{now}: {id} is not back at {until}"));
                }
                _ => {}
            }
            if backend.in_service && former.is_none_or(|former| !former.in_service) {
                self.failures.resize(self.failures.len().max(id.slot as usize + 1), 0);
                self.failures[id.slot as usize] = 0;
            }
        }
        self.before = seen;
        Ok(())
    }

    fn sent(&mut self, now: Time, id: BackendId, panic: bool, fails: bool) -> Result<(), String> {
        if !panic && !self.former(id).is_some_and(|seen| seen.in_service) {
            return Err(format!("{now}: {id} is out of service and got a request"));
        }
        let failures = &mut self.failures[id.slot as usize];
        *failures = if fails { *failures + 1 } else { 0 };
        Ok(())
    }
}

fn guards_hold(ejector: &mut dyn Ejector, share: f64, steps: &[Step]) -> Result<(), String> {
    let mut watcher = Watcher { share, failures: Vec::new(), before: Vec::new() };
    let mut ids: Vec<BackendId> = Vec::new();
    let mut now = Time::ZERO;
    for (i, step) in [Step::Add; 4].iter().chain(steps).enumerate() {
        let command = match *step {
            Step::Request(pattern) => {
                let fails = |id: BackendId| pattern >> (id.slot % 32) & 1 == 1;
                now += Duration::from_millis(1);
                ejector.pass_time(now);
                watcher.look(now, ejector.seen())?;
                if let Some((id, panic)) = ejector.request(now, &fails) {
                    watcher.sent(now, id, panic, fails(id))?;
                }
                watcher.look(now, ejector.seen())?;
                continue;
            }
            Step::Wait(ms) => {
                // To the nanosecond: just before an ejection ends, and when it does.
                let end = now + Duration::from_millis(ms);
                while let Some(until) = watcher.before.iter().filter_map(|s| s.ejected_until).min()
                    && until <= end
                {
                    now = Time::from_nanos(until.as_nanos() - 1);
                    ejector.pass_time(now);
                    watcher.look(now, ejector.seen())?;
                    now = until;
                    ejector.pass_time(now);
                    watcher.look(now, ejector.seen())?;
                }
                now = end;
                continue;
            }
            Step::Add => Command::Add { name: format!("n-{i}"), weight: 1 },
            _ if ids.len() < 2 => continue,
            Step::Drain(k) => Command::Drain(ids[k % ids.len()]),
            Step::Ready(k) => Command::Ready(ids[k % ids.len()]),
            Step::Remove(k) => Command::Remove(ids.remove(k % ids.len())),
        };
        ids.extend(ejector.command(now, command));
        watcher.look(now, ejector.seen())?;
    }
    Ok(())
}

fn model(flaw: Flaw, share: f64) -> Model {
    Model { flaw, share, rng: Rng::from_seed(1), backends: Vec::new(), next_slot: 0 }
}

#[test]
fn flawed_ejectors_are_noticed() {
    let outage = [Step::Request(u32::MAX); 40];
    let lame = |i| if i % 8 == 7 { Step::Wait(2_900) } else { Step::Request(0b0001) };
    let lame: Vec<Step> = (0..2_000).map(lame).collect();
    for (flaw, steps, complaint) in [
        (Flaw::AsManyAsFail, &outage[..], "ejected"),
        (Flaw::BackAtASweep, &lame, "is not back at"),
        (Flaw::KeepsCounting, &lame, "has not failed enough"),
        (Flaw::DoublesForEver, &lame, "is out until"),
        (Flaw::StillPicked, &lame, "got a request"),
    ] {
        let wrong = guards_hold(&mut model(flaw, 0.5), 0.5, steps);
        let words = wrong.expect_err("it is wrong");
        assert!(words.contains(complaint), "{flaw:?}: {words}");
        let right = guards_hold(&mut model(Flaw::Nothing, 0.5), 0.5, steps);
        assert_eq!(right, Ok(()), "the steps of {flaw:?}");
        let (mut balancer, _) = balancer(settings(0.5, false), 1, &[]);
        assert_eq!(guards_hold(&mut balancer, 0.5, steps), Ok(()), "the steps of {flaw:?}");
        let ejections: u64 = balancer.pool().statuses().map(|status| status.ejections).sum();
        assert!(ejections > 0, "it ejects at all");
    }
}

proptest! {
    #[test]
    fn the_guards_hold(seed: u64, share in 0.0..1.0_f64, panic: bool, steps in steps()) {
        let (mut balancer, _) = balancer(settings(share, panic), seed, &[]);
        let held = guards_hold(&mut balancer, share, &steps);
        prop_assert!(held.is_ok(), "{held:?}");
    }
}
