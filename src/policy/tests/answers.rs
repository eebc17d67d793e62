//! An answer that is head and end at once leaves a balancer as head and end one after the other do:
//! two balancers with the same history, told in the one way and in the other, never say different
//! things. Shown to notice two ways of telling it wrong.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{AttemptId, RequestMeta, Time};
use policy::{
    AdaptiveSettings, Balancer, Command, EjectionSettings, End, Head, Next, Output, Settings,
    Verdict,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::books::settings;
use support::*;

/// Tells a balancer of an answer; what it said to it.
type Tell = fn(&mut Balancer, Time, AttemptId, Head) -> Next;

fn in_two(balancer: &mut Balancer, now: Time, attempt: AttemptId, head: Head) -> Next {
    let next = balancer.handle_head(now, attempt, head);
    if next == Next::Deliver {
        balancer.handle_end(now, attempt, End::Complete);
    }
    next
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
    let next = balancer.handle_head(now, attempt, head);
    if next == Next::Deliver {
        balancer.handle_end(now, attempt, End::UpstreamBroke);
    }
    next
}

/// One of the things that can happen; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Request { idempotent: bool, replayable: bool },
    Answer(usize, Head),
    Leave(usize),
    Drain(usize),
    Ready(usize),
}

/// Whatever listens to answers, switched on and off.
fn listeners() -> impl proptest::strategy::Strategy<Value = Settings> {
    let all = any::<[bool; 5]>();
    (prop::sample::select(strategies()), all).prop_map(|(strategy, on)| {
        let all = settings(strategy);
        let mut limits = all.limits.clone().expect("there are some");
        limits.rate.global = None;
        limits.adaptive = on[0].then(|| AdaptiveSettings { min: 2, ..AdaptiveSettings::default() });
        Settings {
            limits: Some(limits),
            ejection: on[1].then(EjectionSettings::default),
            retry: all.retry.filter(|_| on[2]),
            hedging: all.hedging.filter(|_| on[3]),
            queue: all.queue.filter(|_| on[4]),
            ..plain(strategy)
        }
    })
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    let head = prop_oneof![
        8 => Just(status(200)),
        1 => Just(status(429)),
        1 => Just(status(503)),
        1 => Just(status(500)),
        1 => Just(Head::Status { status: 503, replayable: true, retry_after: Some(ms(40)) }),
    ];
    let one = prop_oneof![
        6 => (0..30_u64).prop_map(Step::Pass),
        10 => any::<(bool, bool)>()
            .prop_map(|(idempotent, replayable)| Step::Request { idempotent, replayable }),
        8 => (any::<usize>(), head).prop_map(|(which, head)| Step::Answer(which, head)),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Drain),
        2 => any::<usize>().prop_map(Step::Ready),
    ];
    prop::collection::vec(one, 1..250)
}

/// All that a balancer says in the course of a history, and is like after each step of it.
fn said(tell: Tell, settings: Settings, seed: u64, steps: &[Step]) -> Vec<String> {
    let (mut balancer, ids) = balancer(settings, seed, &[1, 2, 1]);
    let (mut now, mut out, mut lines) = (Time::ZERO, Vec::new(), Vec::new());
    for (id, step) in (0..).zip(steps) {
        match *step {
            Step::Pass(time) => {
                now += ms(time);
                if balancer.poll_timeout().is_some_and(|due| due <= now) {
                    balancer.handle_timeout(now);
                }
            }
            Step::Request { idempotent, replayable } => {
                let meta = RequestMeta { replayable, ..request(id, idempotent) };
                let verdict = balancer.handle_request(now, meta);
                lines.push(format!("{verdict:?}"));
                if let Verdict::Send(attempt) = verdict {
                    out.push(attempt.id);
                }
            }
            Step::Answer(which, head) if !out.is_empty() => {
                let attempt = out.remove(which % out.len());
                let next = tell(&mut balancer, now, attempt, head);
                lines.push(format!("{next:?}"));
                if let Next::Retry(next) = next {
                    out.push(next.id);
                }
                if next != Next::Deliver {
                    balancer.handle_end(now, attempt, End::Aborted);
                }
            }
            Step::Leave(which) if !out.is_empty() => {
                let attempt = out.remove(which % out.len());
                balancer.handle_end(now, attempt, End::ClientLeft);
            }
            Step::Answer(..) | Step::Leave(_) => {}
            Step::Drain(which) => {
                balancer.handle_command(now, Command::Drain(ids[which % 3])).expect("it is there");
            }
            Step::Ready(which) => {
                balancer.handle_command(now, Command::Ready(ids[which % 3])).expect("it is there");
            }
        }
        while let Some(output) = balancer.poll_output() {
            lines.push(format!("{output:?}"));
            match output {
                Output::Send(attempt) => out.push(attempt.id),
                Output::Abort(attempt) => {
                    out.retain(|&other| other != attempt);
                    balancer.handle_end(now, attempt, End::Aborted);
                }
                Output::Build(work) => balancer.handle_built(now, work.run()),
                Output::Reject(..) | Output::Probe(_) | Output::Event(_) => {}
            }
        }
        lines.push(look(&balancer));
    }
    lines
}

/// What a balancer is like, as far as it shows.
fn look(balancer: &Balancer) -> String {
    let due = balancer.poll_timeout();
    let (counts, limit) = (balancer.counts(), balancer.in_flight_limit());
    let (open, queued) = (balancer.requests_in_flight(), balancer.queued());
    let backends: Vec<_> = balancer.pool().statuses().collect();
    format!("{due:?} {counts:?} {limit:?} {open} {queued} {backends:?}")
}

proptest! {
    #[test]
    fn both_ways_of_telling_leave_the_same_balancer(
        settings in listeners(),
        seed in any::<u64>(),
        steps in steps(),
    ) {
        let [two, one] = [in_two, at_once].map(|tell: Tell| said(tell, settings.clone(), seed, &steps));
        prop_assert_eq!(two, one);
    }
}

/// Otherwise the property above would be worth little.
#[test]
fn other_ways_are_noticed() {
    let mut runner = TestRunner::deterministic();
    for wrong in [never, cut] as [Tell; 2] {
        let mut noticed = 0;
        for seed in 0..50 {
            let settings = listeners().new_tree(&mut runner).expect("they can be made").current();
            let steps = steps().new_tree(&mut runner).expect("they can be made").current();
            let [two, one] = [in_two, wrong].map(|tell| said(tell, settings.clone(), seed, &steps));
            noticed += u32::from(two != one);
        }
        assert!(noticed > 25, "{noticed} of 50");
    }
}
