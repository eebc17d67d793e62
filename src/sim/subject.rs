//! What stands between clients and backends: the balancer, or nothing. It must not decide: it
//! translates, as the proxy's `forward` does on sockets.

use base::{
    AttemptId, BackendId, FailureKind, Outcome, ProbeId, RequestId, RequestMeta, Rng, Sent, Time,
};
use policy::{Attempt, Built, End, Head, Next, Output, ProbeResult, Reject, State, Verdict};
use scenario::{BackendSpec, ProxySpec};

use crate::balancers::Balancers;
use crate::views::Views;

/// The subject of a trial.
pub(crate) struct Subject {
    /// None, where nothing stands between: then clients go round the backends themselves.
    balancers: Balancers,
    /// The backend that is next on this way, and how many there are.
    next: u32,
    backends: u32,
}

/// An attempt to be sent: what is kept of it while it is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// What its balancer calls it; 0 when there is none.
    pub(crate) id: AttemptId,
    /// Whose it is, to whom everything about it is reported; 0 when there is none.
    pub(crate) balancer: u32,
    /// Index of the backend.
    pub(crate) backend: u32,
    /// 1 for the first attempt of its request.
    pub(crate) number: u32,
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect_by: Time,
    /// Until the answer; a body takes no time here, so that the limit on its end counts too.
    pub(crate) answer_by: Time,
}

/// What the client gets, or what goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Another attempt.
    Send(Order, Limits),
    /// Nothing: another attempt is under way, or the subject will say more.
    Wait,
    /// The end of the request, with the status that the client sees.
    End(Outcome, Option<u16>),
}

impl Step {
    /// Another attempt of this balancer.
    fn send(balancer: u32, attempt: &Attempt) -> Self {
        let order = Order {
            id: attempt.id,
            balancer,
            backend: attempt.backend.slot,
            number: attempt.number,
        };
        let answer_by = attempt.head_by.min(attempt.body_by);
        Self::Send(order, Limits { connect_by: attempt.connect_by, answer_by })
    }

    /// What a client sees whose request the balancer refuses.
    pub(crate) const fn rejected(why: Reject) -> Self {
        Self::answer(why.status())
    }

    const fn answer(status: u16) -> Self {
        Self::End(Outcome::of_status(status), Some(status))
    }
}

impl Balancers {
    /// An attempt of a balancer, which begins.
    fn send(&mut self, now: Time, balancer: u32, attempt: &Attempt) -> Step {
        if let Some(views) = self.views_mut() {
            views.began(now, balancer, attempt.backend.slot);
        }
        Step::send(balancer, attempt)
    }

    /// What follows an attempt's head, or its failure: another one, or what its request ends with.
    #[cold] // mostly an answer is delivered, which is looked for first
    fn go_on(&mut self, now: Time, order: &Order, next: Next, last: (Step, End)) -> Step {
        let (step, end) = match next {
            Next::Retry(attempt) => (self.send(now, order.balancer, &attempt), End::Aborted),
            Next::Later => (Step::Wait, End::Aborted),
            Next::Deliver | Next::GiveUp => last,
        };
        self.end(now, order, end);
        step
    }
}

impl Subject {
    pub(crate) fn new(proxy: &ProxySpec, backends: &[BackendSpec], rng: &Rng) -> Self {
        let balancers = Balancers::new(proxy, backends, rng);
        Self { balancers, next: 0, backends: backends.len() as u32 }
    }

    /// How many balancers there are.
    pub(crate) const fn balancers(&self) -> u32 {
        self.balancers.len() as u32
    }

    /// Which balancer the next request comes to.
    pub(crate) fn next_balancer(&mut self) -> u32 {
        self.balancers.draw()
    }

    /// A request arrives at a balancer.
    #[inline(always)] // every request passes here
    pub(crate) fn request(&mut self, now: Time, balancer: u32, meta: RequestMeta) -> Step {
        let Some(decides) = self.balancers.turn_to(now, balancer) else {
            return self.go_round(balancer);
        };
        match decides.handle_request(now, meta) {
            Verdict::Send(attempt) => self.balancers.send(now, balancer, &attempt),
            Verdict::Wait(_) => Step::Wait,
            Verdict::Reject(why) => Step::rejected(why),
        }
    }

    /// A request goes to whom it is the turn of.
    fn go_round(&mut self, balancer: u32) -> Step {
        let backend = self.next;
        self.next = (backend + 1) % self.backends;
        let order = Order { id: AttemptId(0), balancer, backend, number: 1 };
        Step::Send(order, Limits { connect_by: Time::MAX, answer_by: Time::MAX })
    }

    /// Further requests will come soon to this balancer; to which backend the one after the next will
    /// likely go.
    #[inline]
    pub(crate) fn foresee(&self, balancer: u32) -> Option<u32> {
        self.balancers.get(balancer)?.foresee()
    }

    /// An attempt will end soon.
    #[inline]
    pub(crate) fn prefetch(&self, order: &Order) {
        if let Some(balancer) = self.balancers.get(order.balancer) {
            balancer.prefetch(order.id, order.backend);
        }
    }

    /// The same, when what [`Subject::prefetch`] asked for is there.
    #[inline]
    pub(crate) fn prefetch_candidate(&self, balancer: u32, backend: u32) {
        if let Some(balancer) = self.balancers.get(balancer) {
            balancer.prefetch_candidate(backend);
        }
    }

    /// An attempt that a balancer has put out to be sent.
    pub(crate) fn send(&mut self, now: Time, balancer: u32, attempt: &Attempt) -> Step {
        self.balancers.send(now, balancer, attempt)
    }

    /// An attempt is answered.
    #[inline(always)] // every request passes here
    pub(crate) fn answered(&mut self, now: Time, order: &Order, status: u16) -> Step {
        let answer = Step::answer(status);
        let Some(decides) = self.balancers.turn_to(now, order.balancer) else { return answer };
        // Simulated requests have no body that could not be sent again.
        let head = Head::Status { status, replayable: true, retry_after: None };
        match decides.handle_answer(now, order.id, head) {
            Next::Deliver => {
                self.balancers.ended(now, order);
                answer
            }
            next => self.balancers.go_on(now, order, next, (answer, End::Complete)),
        }
    }

    /// An attempt fails.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        order: &Order,
        error: FailureKind,
        sent: Sent,
        reused: bool,
    ) -> Step {
        let Some(decides) = self.balancers.turn_to(now, order.balancer) else {
            return Step::End(Outcome::Failed(error), None);
        };
        let head = Head::Failed { error, sent, reused, replayable: true };
        let next = decides.handle_head(now, order.id, head);
        let failure = Step::answer(error.gateway_status());
        self.balancers.go_on(now, order, next, (failure, End::UpstreamBroke))
    }

    /// The client left during an attempt.
    pub(crate) fn client_left(&mut self, now: Time, order: &Order) {
        self.balancers.end(now, order, End::ClientLeft);
    }

    /// The client of a request left that has no attempt under way.
    pub(crate) fn cancelled(&mut self, now: Time, balancer: u32, request: RequestId) {
        if let Some(decides) = self.balancers.turn_to(now, balancer) {
            decides.handle_cancel(now, request);
        }
    }

    /// An attempt was broken off as the subject wished.
    pub(crate) fn aborted(&mut self, now: Time, order: &Order) {
        self.balancers.end(now, order, End::Aborted);
    }

    pub(crate) fn probed(&mut self, now: Time, balancer: u32, probe: ProbeId, found: ProbeResult) {
        if let Some(decides) = self.balancers.turn_to(now, balancer) {
            decides.handle_probe(now, probe, found);
        }
    }

    /// A backend says that it is idle.
    pub(crate) fn idle(&mut self, now: Time, balancer: u32, backend: u32) {
        if let Some(decides) = self.balancers.turn_to(now, balancer) {
            // A pool that is filled once has each backend in the slot of its index.
            decides.handle_idle(BackendId { slot: backend, generation: 0 });
        }
    }

    pub(crate) fn built(&mut self, now: Time, balancer: u32, built: Built) {
        if let Some(decides) = self.balancers.turn_to(now, balancer) {
            decides.handle_built(now, built);
        }
    }

    /// An entry of the agenda has come.
    #[cold]
    pub(crate) fn timeout(&mut self, now: Time, balancer: u32) {
        if self.balancers.wakes(now, balancer)
            && let Some(decides) = self.balancers.turn_to(now, balancer)
        {
            decides.handle_timeout(now);
        }
    }

    /// The balancer that was spoken to, where what it has to say, or when it wants to be called, is to
    /// be looked at.
    #[inline(always)] // every request passes here, twice
    pub(crate) fn next_touched(&mut self) -> Option<u32> {
        self.balancers.next_touched()
    }

    /// What the balancer has to say that was spoken to is heard later: before the first request all are.
    pub(crate) const fn hear_later(&mut self) {
        self.balancers.hear_later();
    }

    /// All that a balancer had to say was heard. When to call [`Subject::timeout`], if the agenda does
    /// not know it yet.
    pub(crate) fn arm(&mut self, balancer: u32) -> Option<Time> {
        self.balancers.arm(balancer)
    }

    pub(crate) fn poll_output(&mut self, balancer: u32) -> Option<Output> {
        self.balancers.drain(balancer)?.poll_output()
    }

    /// Whether a backend's work is to be told to [`Subject::free_at`].
    pub(crate) fn wants_work(&self) -> bool {
        self.balancers.views().is_some_and(Views::show_work)
    }

    /// When a backend will have a free server, as things stand.
    pub(crate) fn free_at(&mut self, now: Time, backend: u32, at: Time) {
        if let Some(views) = self.balancers.views_mut() {
            views.free_at(now, backend, at);
        }
    }

    /// What balancers will be shown and are not yet.
    pub(crate) fn unseen(&self) -> usize {
        self.balancers.views().map_or(0, Views::coming)
    }

    /// Attempts beyond the first of each request so far, where somebody can tell: a hedge loads the
    /// backends as a retry does.
    pub(crate) fn retries(&self) -> Option<u64> {
        let counts = self.balancers.iter().map(policy::Balancer::counts);
        let further = counts.map(|counts| counts.retries + counts.hedges);
        (self.balancers.len() > 0).then(|| further.sum())
    }

    /// The state of every backend by the word of the first balancer, as good as any: what the
    /// others find they tell as events. Empty where there is none.
    pub(crate) fn states(&self, backends: usize) -> Vec<&'static str> {
        let Some(balancer) = self.balancers.get(0) else { return vec![""; backends] };
        let mut states = vec!["removed"; backends];
        for status in balancer.pool().statuses() {
            states[status.id.slot as usize] = State::word(status.state);
        }
        states
    }
}
