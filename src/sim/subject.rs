//! What stands between clients and backends: the balancer, or nothing. It must not decide: it
//! translates, as the proxy's `forward` does on sockets.

use base::{
    AttemptId, BackendId, FailureKind, Outcome, ProbeId, RequestId, RequestMeta, Rng, Sent, Time,
};
use policy::{Attempt, Built, End, Head, Next, Output, ProbeResult, Reject, State, Verdict};
use scenario::{BackendSpec, ProxySpec, SubjectKind};

use crate::balancers::Balancers;

/// The subject of a trial.
pub(crate) enum Subject {
    /// The lab's balancers.
    Lab(Box<Balancers>),
    /// Nothing: clients go round the backends themselves.
    Direct { next: u32, backends: u32 },
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
        self.views_mut().began(now, balancer, attempt.backend.slot);
        Step::send(balancer, attempt)
    }

    /// What follows an attempt's head, or its failure: another one, or what its request ends with.
    #[inline(always)] // every request passes here
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
        match proxy.kind {
            SubjectKind::Direct => Self::Direct { next: 0, backends: backends.len() as u32 },
            SubjectKind::Lab => Self::Lab(Box::new(Balancers::new(proxy, backends, rng))),
        }
    }

    /// How many balancers there are.
    pub(crate) const fn balancers(&self) -> u32 {
        match self {
            Self::Lab(balancers) => balancers.len() as u32,
            Self::Direct { .. } => 0,
        }
    }

    /// Which balancer the next request comes to.
    pub(crate) fn next_balancer(&mut self) -> u32 {
        match self {
            Self::Lab(balancers) => balancers.draw(),
            Self::Direct { .. } => 0,
        }
    }

    /// A request arrives at a balancer.
    #[inline(always)] // every request passes here
    pub(crate) fn request(&mut self, now: Time, balancer: u32, meta: RequestMeta) -> Step {
        match self {
            Self::Lab(balancers) => {
                match balancers.turn_to(now, balancer).handle_request(now, meta) {
                    Verdict::Send(attempt) => balancers.send(now, balancer, &attempt),
                    Verdict::Wait(_) => Step::Wait,
                    Verdict::Reject(why) => Step::rejected(why),
                }
            }
            Self::Direct { next, backends } => {
                let backend = *next;
                *next = (backend + 1) % *backends;
                let order = Order { id: AttemptId(0), balancer, backend, number: 1 };
                Step::Send(order, Limits { connect_by: Time::MAX, answer_by: Time::MAX })
            }
        }
    }

    /// An attempt will end soon.
    #[inline]
    pub(crate) fn prefetch(&self, order: &Order) {
        if let Self::Lab(balancers) = self {
            balancers.get(order.balancer).prefetch(order.id, order.backend);
        }
    }

    /// The same, when what [`Subject::prefetch`] asked for is there.
    #[inline]
    pub(crate) fn prefetch_candidate(&self, order: &Order) {
        if let Self::Lab(balancers) = self {
            balancers.get(order.balancer).prefetch_candidate(order.backend);
        }
    }

    /// An attempt that a balancer has put out to be sent.
    pub(crate) fn send(&mut self, now: Time, balancer: u32, attempt: &Attempt) -> Step {
        match self {
            Self::Lab(balancers) => balancers.send(now, balancer, attempt),
            Self::Direct { .. } => Step::send(balancer, attempt),
        }
    }

    /// An attempt is answered.
    #[inline(always)] // every request passes here
    pub(crate) fn answered(&mut self, now: Time, order: &Order, status: u16) -> Step {
        let answer = Step::answer(status);
        let Self::Lab(balancers) = self else { return answer };
        // Simulated requests have no body that could not be sent again.
        let head = Head::Status { status, replayable: true, retry_after: None };
        match balancers.answered(now, order, head) {
            Next::Deliver => answer,
            next => balancers.go_on(now, order, next, (answer, End::Complete)),
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
        let Self::Lab(balancers) = self else { return Step::End(Outcome::Failed(error), None) };
        let head = Head::Failed { error, sent, reused, replayable: true };
        let next = balancers.turn_to(now, order.balancer).handle_head(now, order.id, head);
        let failure = Step::answer(error.gateway_status());
        balancers.go_on(now, order, next, (failure, End::UpstreamBroke))
    }

    /// The client left during an attempt.
    pub(crate) fn client_left(&mut self, now: Time, order: &Order) {
        self.end(now, order, End::ClientLeft);
    }

    /// The client of a request left that has no attempt under way.
    pub(crate) fn cancelled(&mut self, now: Time, balancer: u32, request: RequestId) {
        if let Self::Lab(balancers) = self {
            balancers.turn_to(now, balancer).handle_cancel(now, request);
        }
    }

    /// An attempt was broken off as the subject wished.
    pub(crate) fn aborted(&mut self, now: Time, order: &Order) {
        self.end(now, order, End::Aborted);
    }

    fn end(&mut self, now: Time, order: &Order, end: End) {
        if let Self::Lab(balancers) = self {
            balancers.end(now, order, end);
        }
    }

    pub(crate) fn probed(&mut self, now: Time, balancer: u32, probe: ProbeId, found: ProbeResult) {
        if let Self::Lab(balancers) = self {
            balancers.turn_to(now, balancer).handle_probe(now, probe, found);
        }
    }

    /// A backend says that it is idle.
    pub(crate) fn idle(&mut self, now: Time, balancer: u32, backend: u32) {
        if let Self::Lab(balancers) = self {
            // A pool that is filled once has each backend in the slot of its index.
            let id = BackendId { slot: backend, generation: 0 };
            balancers.turn_to(now, balancer).handle_idle(id);
        }
    }

    pub(crate) fn built(&mut self, now: Time, balancer: u32, built: Built) {
        if let Self::Lab(balancers) = self {
            balancers.turn_to(now, balancer).handle_built(now, built);
        }
    }

    /// An entry of the agenda has come.
    #[cold]
    pub(crate) fn timeout(&mut self, now: Time, balancer: u32) {
        if let Self::Lab(balancers) = self
            && balancers.wakes(now, balancer)
        {
            balancers.turn_to(now, balancer).handle_timeout(now);
        }
    }

    /// A balancer that was spoken to, until `None`: what it has to say and when it wants to be
    /// called is to be looked at.
    pub(crate) fn next_touched(&mut self) -> Option<u32> {
        match self {
            Self::Lab(balancers) => balancers.next_touched(),
            Self::Direct { .. } => None,
        }
    }

    /// When to call [`Subject::timeout`], if the agenda does not know it yet.
    pub(crate) fn arm(&mut self, balancer: u32) -> Option<Time> {
        match self {
            Self::Lab(balancers) => balancers.arm(balancer),
            Self::Direct { .. } => None,
        }
    }

    pub(crate) fn poll_output(&mut self, balancer: u32) -> Option<Output> {
        match self {
            Self::Lab(balancers) => balancers.drain(balancer).poll_output(),
            Self::Direct { .. } => None,
        }
    }

    /// Whether a backend's work is to be told to [`Subject::free_at`].
    pub(crate) fn wants_work(&self) -> bool {
        matches!(self, Self::Lab(balancers) if balancers.views().show_work())
    }

    /// When a backend will have a free server, as things stand.
    pub(crate) fn free_at(&mut self, now: Time, backend: u32, at: Time) {
        if let Self::Lab(balancers) = self {
            balancers.views_mut().free_at(now, backend, at);
        }
    }

    /// What balancers will be shown and are not yet.
    pub(crate) fn unseen(&self) -> usize {
        match self {
            Self::Lab(balancers) => balancers.views().coming(),
            Self::Direct { .. } => 0,
        }
    }

    /// Attempts beyond the first of each request so far, where somebody can tell: a hedge loads the
    /// backends as a retry does.
    pub(crate) fn retries(&self) -> Option<u64> {
        let Self::Lab(balancers) = self else { return None };
        let counts = balancers.iter().map(policy::Balancer::counts);
        Some(counts.map(|counts| counts.retries + counts.hedges).sum())
    }

    /// The state of every backend by the word of the first balancer, as good as any: what the
    /// others find they tell as events. Empty where there is none.
    pub(crate) fn states(&self, backends: usize) -> Vec<&'static str> {
        let Self::Lab(balancers) = self else { return vec![""; backends] };
        let mut states = vec!["removed"; backends];
        for status in balancers.get(0).pool().statuses() {
            states[status.id.slot as usize] = State::word(status.state);
        }
        states
    }
}
