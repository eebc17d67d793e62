//! Whatever happens to requests, each ends once, and no limit is ever exceeded: random histories
//! with a queue, limits, backoffs, hedges and clients that leave, against a shell that keeps its own
//! books. Every rule of the books is shown to notice a balancer that breaks it.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{AttemptId, RequestId, Time};
use policy::{Balancer, Counts, End, Head, Output, Settings};
use proptest::prelude::{Just, Strategy as _, any, prop, prop_assert, prop_oneof, proptest};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::books::*;
use support::*;

struct Right(Balancer);
impl Decides for Right {
    fn inner(&mut self) -> &mut Balancer {
        &mut self.0
    }
}

/// Wrong: looks at the time only when something else happens, as a queue without a timer does.
struct HasNoTimer(Balancer);
impl Decides for HasNoTimer {
    fn inner(&mut self) -> &mut Balancer {
        &mut self.0
    }
    fn timeout(&mut self, _: Time) {}
}

/// Wrong: serves those first who came last, which keeps the median short and the first for ever.
struct LastInFirstOut(Balancer);
impl Decides for LastInFirstOut {
    fn inner(&mut self) -> &mut Balancer {
        &mut self.0
    }
    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.0.poll_output()).collect::<Vec<_>>().into_iter().rev().collect()
    }
}

/// Wrong: refuses without a word.
struct RefusesInSilence(Balancer);
impl Decides for RefusesInSilence {
    fn inner(&mut self) -> &mut Balancer {
        &mut self.0
    }
    fn outputs(&mut self) -> Vec<Output> {
        let all = std::iter::from_fn(|| self.0.poll_output());
        all.filter(|output| !matches!(output, Output::Reject(..))).collect()
    }
}

/// Wrong: serves clients that have left the queue.
struct ServesTheAbsent(Balancer);
impl Decides for ServesTheAbsent {
    fn inner(&mut self) -> &mut Balancer {
        &mut self.0
    }
    fn cancel(&mut self, _: Time, _: RequestId) {}
}

/// Wrong: an aborted attempt is in flight for ever.
struct ForgetsTheAborted(Balancer);
impl Decides for ForgetsTheAborted {
    fn inner(&mut self) -> &mut Balancer {
        &mut self.0
    }
    fn end(&mut self, now: Time, attempt: AttemptId, end: End) {
        if end != End::Aborted {
            self.0.handle_end(now, attempt, end);
        }
    }
}

fn books_agree(
    make: fn(Balancer) -> Box<dyn Decides>,
    settings: Settings,
    seed: u64,
    steps: &[Step],
) -> Result<Counts, String> {
    let (balancer, backends) = balancer(settings, seed, &[1, 2, 1]);
    let mut balancer = make(balancer);
    let mut shell = Shell::new(balancer.as_mut(), backends);
    steps.iter().try_for_each(|&step| shell.play(step))?;
    shell.finish()?;
    Ok(*balancer.inner().counts())
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    let head = prop_oneof![
        3 => Just(status(200)),
        2 => Just(status(503)),
        1 => Just(status(500)),
        1 => Just(reset()),
        1 => Just(refused()),
        1 => Just(Head::Status { status: 503, replayable: true, retry_after: Some(ms(40)) }),
    ];
    let end = prop_oneof![4 => Just(End::Complete), 1 => Just(End::UpstreamBroke)];
    let one = prop_oneof![
        6 => (0..30_u64).prop_map(Step::Pass),
        10 => any::<(bool, bool)>()
            .prop_map(|(idempotent, replayable)| Step::Request { idempotent, replayable }),
        6 => (any::<usize>(), head).prop_map(|(which, head)| Step::Head(which, head)),
        3 => (any::<usize>(), end).prop_map(|(which, end)| Step::End(which, end)),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Drain),
        2 => any::<usize>().prop_map(Step::Ready),
        1 => (0..=QUEUE).prop_map(Step::Queue),
    ];
    prop::collection::vec(one, 1..250)
}

proptest! {
    #[test]
    fn every_request_ends_once_and_no_limit_is_exceeded(
        seed in any::<u64>(),
        strategy in prop::sample::select(strategies()),
        steps in steps(),
    ) {
        let held = books_agree(|balancer| Box::new(Right(balancer)), settings(strategy), seed, &steps);
        prop_assert!(held.is_ok(), "{strategy}: {held:?}");
    }
}

/// A backend is drained, the others are full with six requests, four wait and two are refused.
fn rush() -> Vec<Step> {
    let request = Step::Request { idempotent: true, replayable: true };
    [vec![Step::Drain(2)], vec![request; 12]].concat()
}

/// As many requests as are sent, one after the other, all of them slow.
fn slow_ones() -> Vec<Step> {
    let request = Step::Request { idempotent: true, replayable: true };
    let one = [request, Step::Pass(5), Step::Head(0, status(200)), Step::End(0, End::Complete)];
    let slow = [request, Step::Pass(50), Step::Head(0, status(200)), Step::End(0, End::Complete)];
    [one.repeat(4), slow.repeat(4)].concat()
}

/// The histories lead into every corner, or the property above would be worth little.
#[test]
fn the_histories_have_it_all() {
    let mut runner = TestRunner::deterministic();
    let mut all = Counts::default();
    for seed in 0..200 {
        let steps = steps().new_tree(&mut runner).expect("steps can be made").current();
        let counts = books_agree(|b| Box::new(Right(b)), settings("p2c"), seed, &steps);
        let counts = counts.expect("the books agree");
        all.retries += counts.retries;
        all.hedges += counts.hedges;
        all.no_backend += counts.no_backend;
        all.rate_limited += counts.rate_limited;
        all.queue_full += counts.queue_full;
        all.queue_timeout += counts.queue_timeout;
    }
    let least = [all.retries, all.hedges].into_iter().chain(
        all.rejected().into_iter().filter(|&(word, _)| word != "overloaded").map(|(_, n)| n),
    );
    assert!(least.min() > Some(50), "{all:?}");
}

#[test]
fn wrong_balancers_are_noticed() {
    type Make = fn(Balancer) -> Box<dyn Decides>;
    let right: Make = |balancer| Box::new(Right(balancer));
    let then = |step| [rush(), vec![step]].concat();
    let wrong: [(Make, Vec<Step>, &str); 5] = [
        (|b| Box::new(HasNoTimer(b)), then(Step::Pass(200)), "is not done"),
        (|b| Box::new(LastInFirstOut(b)), then(Step::Ready(2)), "turn"),
        (|b| Box::new(RefusesInSilence(b)), then(Step::Pass(200)), "should"),
        (|b| Box::new(ServesTheAbsent(b)), then(Step::Leave(9)), "should"),
        (|b| Box::new(ForgetsTheAborted(b)), slow_ones(), "in flight"),
    ];
    for (_, steps, _) in &wrong {
        let held = books_agree(right, settings("p2c"), 1, steps);
        assert!(held.is_ok(), "{held:?}");
    }
    for (i, (make, steps, words)) in wrong.into_iter().enumerate() {
        let held = books_agree(make, settings("p2c"), 1, &steps);
        assert!(held.as_ref().is_err_and(|error| error.contains(words)), "{i}: {held:?}");
    }
}

#[test]
fn balancers_without_a_limit_are_noticed() {
    type Without = fn(&mut Settings);
    let wrong: [(Without, &str); 5] = [
        (|s| s.limits.as_mut().expect("on").max_in_flight = None, "in flight at"),
        (|s| s.queue.as_mut().expect("on").size = 100, "may"),
        (|s| s.limits.as_mut().expect("on").rate.global = None, "too many from"),
        (|s| s.retry.as_mut().expect("on").budget_min = 1e9, "further attempts"),
        (|s| s.queue.as_mut().expect("on").wait = Duration::from_secs(1), "waits at"),
    ];
    for (without, words) in wrong {
        let mut settings = settings("p2c");
        without(&mut settings);
        let request = Step::Request { idempotent: true, replayable: true };
        let failing = [request, Step::Head(0, reset()), Step::Head(0, reset()), Step::Pass(20)];
        let steps = match words {
            "further attempts" => failing.repeat(40),
            "too many from" => [request, Step::Leave(0)].repeat(40),
            _ => [vec![request; 19], vec![Step::Pass(160)]].concat(),
        };
        let held = books_agree(|b| Box::new(Right(b)), settings, 1, &steps);
        assert!(held.as_ref().is_err_and(|error| error.contains(words)), "{words}: {held:?}");
    }
}
