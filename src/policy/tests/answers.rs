//! An answer that is head and end at once leaves a balancer as head and end one after the other do:
//! two balancers with the same history, told in the one way and in the other, never say different
//! things. Shown to notice five ways of telling it wrong.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{AttemptId, BackendId, ProbeId, RequestMeta, Time};
use policy::{
    AdaptiveSettings, Balancer, Command, EjectionSettings, End, Head, HealthSettings, KeySource,
    KeyedRate, Load, Next, Output, PanicSettings, ProbeResult, Rate, RetrySettings, Settings,
    SlowStartSettings, Verdict, pin_of,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::books::settings;
use support::*;

/// Tells a balancer of an answer; what it said to it.
type Tell = fn(&mut Balancer, Time, AttemptId, Head) -> Next;

/// Head and end one after the other.
fn with_end(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head, end: End) -> Next {
    let next = balancer.handle_head(now, attempt, head);
    if next == Next::Deliver {
        balancer.handle_end(now, attempt, end);
    }
    next
}

fn in_two(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head) -> Next {
    with_end(balancer, now, attempt, head, End::Complete)
}

fn at_once(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head) -> Next {
    balancer.handle_answer(now, attempt, head)
}

/// Wrong: nobody has the answer.
fn never(balancer: &mut Balancer, now: Time, attempt: AttemptId, _: Head) -> Next {
    balancer.handle_end(now, attempt, End::Aborted);
    Next::Deliver
}

/// Wrong: the answer came, and not to its end.
fn cut(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head) -> Next {
    with_end(balancer, now, attempt, head, End::UpstreamBroke)
}

/// Wrong: it came to its end, and its client is said to have left.
fn left(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head) -> Next {
    with_end(balancer, now, attempt, head, End::ClientLeft)
}

/// Wrong: all answers that are no failures of their backend are alike.
fn blurred(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head) -> Next {
    let is_failure = matches!(head, Head::Status { status: 500.., .. } | Head::Failed { .. });
    balancer.handle_answer(now, attempt, if is_failure { head } else { status(200) })
}

/// Wrong: what an answer asks for is not passed on.
fn unasked(balancer: &mut Balancer, now: Time, attempt: AttemptId, mut head: Head) -> Next {
    if let Head::Status { retry_after, .. } = &mut head {
        *retry_after = None;
    }
    balancer.handle_answer(now, attempt, head)
}

/// One of the things that can happen; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Request(RequestMeta),
    Answer(usize, Head),
    Leave(usize),
    /// A probe is answered, well or not.
    Probe(usize, bool),
    Add(u32),
    /// Remove, drain, let in again or weigh one of the backends.
    Command(usize, fn(BackendId) -> Command),
    /// Other settings, of those that a play has.
    Settings(usize),
}

/// Whatever listens to answers, switched on and off.
fn listeners() -> impl proptest::strategy::Strategy<Value = Settings> {
    let all = any::<[bool; 10]>();
    (prop::sample::select(strategies()), all).prop_map(|(strategy, on)| {
        let all = settings(strategy);
        let mut limits = all.limits.clone().expect("there are some");
        limits.rate.global = None;
        limits.rate.keyed = on[9].then_some(KeyedRate {
            key: KeySource::Address,
            each: Rate { rate: 50.0, burst: 10 },
            keys: 2,
        });
        // So quick that some tens of answers tell.
        limits.adaptive = on[0].then(|| AdaptiveSettings {
            min: 2,
            update: ms(20),
            interval: ms(300),
            requests: 3,
            ..AdaptiveSettings::default()
        });
        let ejection = EjectionSettings {
            consecutive: Some(3),
            ratio: Some(0.5),
            min_requests: 4,
            base: ms(50),
            ..EjectionSettings::default()
        };
        // Also answers that are good and may be worth another attempt all the same.
        let statuses = if on[5] { vec![404, 429, 503] } else { vec![502, 503, 504] };
        let retry = |retry: RetrySettings| RetrySettings { statuses, ..retry };
        let health = HealthSettings {
            interval: ms(40),
            timeout: ms(20),
            fall: 1,
            remove_after: Some(ms(900)),
            ..HealthSettings::default()
        };
        Settings {
            limits: Some(limits),
            ejection: on[1].then_some(ejection),
            retry: all.retry.map(retry).filter(|_| on[2]),
            hedging: all.hedging.filter(|_| on[3]),
            queue: all.queue.filter(|_| on[4]),
            health: on[6].then_some(health),
            slow_start: on[7].then_some(SlowStartSettings { window: ms(200), min: 0.1 }),
            panic: on[8].then_some(PanicSettings { threshold: 0.6 }),
            ..plain(strategy)
        }
    })
}

/// What a play begins with, and what it may change to.
fn any_settings() -> impl proptest::strategy::Strategy<Value = Vec<Settings>> {
    prop::collection::vec(listeners(), 3)
}

/// A request; its name is given when it comes.
fn any_request() -> impl proptest::strategy::Strategy<Value = RequestMeta> {
    let keys = (prop::option::of(0..5_u64), prop::option::of(0..3_u64));
    (any::<[bool; 2]>(), keys, prop::option::of(0..4_u32)).prop_map(|(may, keys, pin)| {
        let pin = pin.map(|n| pin_of(&format!("b-{n}")));
        let (key, limit_key) = keys;
        RequestMeta { replayable: may[0], key, limit_key, pin, ..request(0, may[1]) }
    })
}

fn any_command() -> impl proptest::strategy::Strategy<Value = fn(BackendId) -> Command> {
    prop_oneof![
        1 => Just(Command::Remove as fn(BackendId) -> Command),
        2 => Just(Command::Drain as fn(BackendId) -> Command),
        4 => Just(Command::Ready as fn(BackendId) -> Command),
        1 => Just((|id| Command::Weight(id, 1 + id.slot % 3)) as fn(BackendId) -> Command),
    ]
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    let head = prop_oneof![
        16 => Just(status(200)),
        2 => Just(status(404)),
        2 => Just(status(429)),
        2 => Just(status(503)),
        2 => Just(status(500)),
        2 => Just(Head::Status { status: 503, replayable: true, retry_after: Some(ms(40)) }),
        1 => Just(Head::Status { status: 404, replayable: false, retry_after: None }),
        1 => Just(refused()),
    ];
    let one = prop_oneof![
        12 => (0..30_u64).prop_map(Step::Pass),
        20 => any_request().prop_map(Step::Request),
        16 => (any::<usize>(), head).prop_map(|(which, head)| Step::Answer(which, head)),
        2 => any::<usize>().prop_map(Step::Leave),
        12 => (any::<usize>(), prop::bool::weighted(0.9))
            .prop_map(|(which, passes)| Step::Probe(which, passes)),
        1 => (1..4_u32).prop_map(Step::Add),
        4 => (any::<usize>(), any_command()).prop_map(|(which, what)| Step::Command(which, what)),
        1 => any::<usize>().prop_map(Step::Settings),
    ];
    prop::collection::vec(one, 1..250)
}

/// A balancer and what is out for it.
struct Play<'a> {
    tell: Tell,
    settings: &'a [Settings],
    balancer: Balancer,
    ids: Vec<BackendId>,
    out: Vec<AttemptId>,
    probes: Vec<ProbeId>,
    now: Time,
    lines: Vec<String>,
}

impl Play<'_> {
    fn take(&mut self, id: u64, step: &Step) {
        let now = self.now;
        match step {
            Step::Pass(time) => {
                self.now += ms(*time);
                if self.balancer.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.balancer.handle_timeout(self.now);
                }
            }
            Step::Request(meta) => {
                let meta = RequestMeta { id: request(id, true).id, ..*meta };
                let verdict = self.balancer.handle_request(now, meta);
                self.lines.push(format!("{verdict:?}"));
                if let Verdict::Send(attempt) = verdict {
                    self.out.push(attempt.id);
                }
            }
            Step::Answer(which, head) if !self.out.is_empty() => self.answer(*which, *head),
            Step::Leave(which) if !self.out.is_empty() => {
                let attempt = self.out.remove(which % self.out.len());
                self.balancer.handle_end(now, attempt, End::ClientLeft);
            }
            Step::Probe(which, passes) if !self.probes.is_empty() => {
                let probe = self.probes.remove(which % self.probes.len());
                let load = Some(Load { in_flight: 1 + *which as u32 % 3, latency: ms(2) });
                let status = if *passes { 200 } else { 500 };
                let result = ProbeResult::Status { status, after: ms(1), load };
                self.balancer.handle_probe(now, probe, result);
            }
            Step::Answer(..) | Step::Leave(_) | Step::Probe(..) => {}
            Step::Add(weight) => {
                let name = format!("b-{}", self.ids.len());
                self.command(Command::Add { name, weight: *weight });
            }
            Step::Command(which, what) => self.command(what(self.ids[which % self.ids.len()])),
            Step::Settings(which) => {
                let settings = self.settings[which % self.settings.len()].clone();
                self.command(Command::Settings(Box::new(settings)));
            }
        }
    }

    fn answer(&mut self, which: usize, head: Head) {
        let attempt = self.out.remove(which % self.out.len());
        let next = (self.tell)(&mut self.balancer, self.now, attempt, head);
        self.lines.push(format!("{next:?}"));
        if let Next::Retry(next) = next {
            self.out.push(next.id);
        }
        if next != Next::Deliver {
            self.balancer.handle_end(self.now, attempt, End::Aborted);
        }
    }

    /// Whoever is named may be gone.
    fn command(&mut self, command: Command) {
        let done = self.balancer.handle_command(self.now, command);
        self.lines.push(format!("{done:?}"));
        self.ids.extend(done.ok().flatten());
    }

    fn drain(&mut self) {
        while let Some(output) = self.balancer.poll_output() {
            self.lines.push(format!("{output:?}"));
            match output {
                Output::Send(attempt) => self.out.push(attempt.id),
                Output::Abort(attempt) => {
                    self.out.retain(|&other| other != attempt);
                    self.balancer.handle_end(self.now, attempt, End::Aborted);
                }
                Output::Build(work) => self.balancer.handle_built(self.now, work.run()),
                Output::Probe(probe) => self.probes.push(probe.id),
                Output::Reject(..) | Output::Event(_) => {}
            }
        }
    }
}

/// All that a balancer says in the course of a history, and is like after each step of it.
fn said(tell: Tell, settings: &[Settings], seed: u64, steps: &[Step]) -> Vec<String> {
    let (balancer, ids) = balancer(settings[0].clone(), seed, &[1, 2, 1]);
    let (out, probes, now, lines) = (vec![], vec![], Time::ZERO, vec![]);
    let mut play = Play { tell, settings, balancer, ids, out, probes, now, lines };
    play.drain();
    // Where there are checks, all pass their first.
    for probe in std::mem::take(&mut play.probes) {
        play.balancer.handle_probe(now, probe, passed());
    }
    for (id, step) in (0..).zip(steps) {
        play.take(id, step);
        play.drain();
        play.lines.push(look(&play.balancer));
    }
    play.lines
}

/// What a balancer is like, as far as it shows.
fn look(balancer: &Balancer) -> String {
    let due = balancer.poll_timeout();
    let (counts, limit) = (balancer.counts(), balancer.in_flight_limit());
    let (open, queued) = (balancer.requests_in_flight(), balancer.queued());
    let panics = balancer.pool().is_panicking();
    let backends: Vec<_> = balancer.pool().statuses().collect();
    format!("{due:?} {counts:?} {limit:?} {open} {queued} {panics} {backends:?}")
}

proptest! {
    #[test]
    fn both_ways_of_telling_leave_the_same_balancer(
        settings in any_settings(),
        seed in any::<u64>(),
        steps in steps(),
    ) {
        let [two, one] = [in_two, at_once].map(|tell: Tell| said(tell, &settings, seed, &steps));
        prop_assert_eq!(two, one);
    }
}

/// Otherwise the property above would be worth little.
#[test]
fn other_ways_are_noticed() {
    for (name, wrong, least) in [
        ("never", never as Tell, 40),
        ("cut", cut, 40),
        ("left", left, 15),
        ("blurred", blurred, 10),
        ("unasked", unasked, 15),
    ] {
        let (mut runner, mut noticed) = (TestRunner::deterministic(), 0);
        for seed in 0..50 {
            let settings =
                any_settings().new_tree(&mut runner).expect("they can be made").current();
            let steps = steps().new_tree(&mut runner).expect("they can be made").current();
            let [two, one] = [in_two, wrong].map(|tell| said(tell, &settings, seed, &steps));
            noticed += u32::from(two != one);
        }
        assert!(noticed > least, "{name}: {noticed} of 50");
    }
}
