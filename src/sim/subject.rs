//! What stands between clients and backends: the balancer, or nothing. It must not decide: it
//! translates, as the proxy's `forward` does on sockets.

use base::{AttemptId, FailureKind, Outcome, RequestId, RequestMeta, Rng, Sent, Time};
use policy::{
    Attempt, Balancer, Command, End, Head, Next, Output, ProbeResult, Reject, State, Verdict,
};
use scenario::{BackendSpec, ProxySpec, SubjectKind};

/// The subject of a trial. A backend's slot in the pool is its index in the trial: the pool is
/// filled once, in that order.
pub(crate) enum Subject {
    /// The lab's balancer, and the agenda's entry for its next timeout that counts.
    Lab { balancer: Box<Balancer>, wake: Time },
    /// Nothing: clients go round the backends themselves.
    Direct { next: u32, backends: u32 },
}

/// An attempt to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// None when there is no balancer to report to.
    id: Option<AttemptId>,
    /// Index of the backend.
    pub(crate) backend: u32,
    /// 1 for the first attempt of its request.
    pub(crate) number: u32,
    pub(crate) connect_by: Time,
    /// Until the answer; a body takes no time here, so that the limit on its end counts too.
    pub(crate) answer_by: Time,
}

/// What the client gets, or what goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Another attempt.
    Send(Order),
    /// Nothing: another attempt is under way, or the subject will say more.
    Wait,
    /// The end of the request, with the status that the client sees.
    End(Outcome, Option<u16>),
}

impl Order {
    /// Whether this is the attempt of this name.
    pub(crate) fn is(&self, attempt: AttemptId) -> bool {
        self.id == Some(attempt)
    }
}

impl From<Attempt> for Order {
    fn from(attempt: Attempt) -> Self {
        Self {
            id: Some(attempt.id),
            backend: attempt.backend.slot,
            number: attempt.number,
            connect_by: attempt.connect_by,
            answer_by: attempt.head_by.min(attempt.body_by),
        }
    }
}

impl Step {
    /// What a client sees whose request the balancer refuses.
    pub(crate) const fn rejected(why: Reject) -> Self {
        Self::answer(why.status())
    }

    const fn answer(status: u16) -> Self {
        Self::End(Outcome::of_status(status), Some(status))
    }
}

impl Subject {
    pub(crate) fn new(proxy: &ProxySpec, backends: &[BackendSpec], rng: &Rng) -> Self {
        if proxy.kind == SubjectKind::Direct {
            return Self::Direct { next: 0, backends: backends.len() as u32 };
        }
        let mut balancer = Balancer::new(proxy.settings.clone(), &rng.fork("balancer/0"));
        for (index, BackendSpec { name, weight, .. }) in backends.iter().enumerate() {
            let command = Command::Add { name: name.clone(), weight: *weight };
            let id = balancer
                .handle_command(Time::ZERO, command)
                .expect("a scenario's names are unique and its weights valid")
                .expect("an added backend has an id");
            assert_eq!(id.slot as usize, index, "a fresh pool fills its slots in order");
        }
        Self::Lab { balancer: Box::new(balancer), wake: Time::MAX }
    }

    /// A request arrives.
    pub(crate) fn request(&mut self, now: Time, meta: RequestMeta) -> Step {
        match self {
            Self::Lab { balancer, .. } => match balancer.handle_request(now, meta) {
                Verdict::Send(attempt) => Step::Send(attempt.into()),
                Verdict::Wait(_) => Step::Wait,
                Verdict::Reject(why) => Step::rejected(why),
            },
            Self::Direct { next, backends } => {
                let backend = *next;
                *next = (backend + 1) % *backends;
                Step::Send(Order {
                    id: None,
                    backend,
                    number: 1,
                    connect_by: Time::MAX,
                    answer_by: Time::MAX,
                })
            }
        }
    }

    /// An attempt is answered.
    pub(crate) fn answered(&mut self, now: Time, order: &Order, status: u16) -> Step {
        let answer = Step::answer(status);
        let (Self::Lab { balancer, .. }, Some(id)) = (self, order.id) else { return answer };
        // Simulated requests have no body that could not be sent again.
        let (next, end) = match balancer.handle_head(
            now,
            id,
            Head::Status { status, replayable: true, retry_after: None },
        ) {
            Next::Retry(attempt) => (Step::Send(attempt.into()), End::Aborted),
            Next::Later => (Step::Wait, End::Aborted),
            Next::Deliver | Next::GiveUp => (answer, End::Complete),
        };
        balancer.handle_end(now, id, end);
        next
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
        let (Self::Lab { balancer, .. }, Some(id)) = (self, order.id) else {
            return Step::End(Outcome::Failed(error), None);
        };
        let head = Head::Failed { error, sent, reused, replayable: true };
        let (next, end) = match balancer.handle_head(now, id, head) {
            Next::Retry(attempt) => (Step::Send(attempt.into()), End::Aborted),
            Next::Later => (Step::Wait, End::Aborted),
            Next::GiveUp | Next::Deliver => {
                (Step::answer(error.gateway_status()), End::UpstreamBroke)
            }
        };
        balancer.handle_end(now, id, end);
        next
    }

    /// The client left during an attempt.
    pub(crate) fn client_left(&mut self, now: Time, order: &Order) {
        self.end(now, order, End::ClientLeft);
    }

    /// The client of a request left that has no attempt under way.
    pub(crate) fn cancelled(&mut self, now: Time, request: RequestId) {
        if let Self::Lab { balancer, .. } = self {
            balancer.handle_cancel(now, request);
        }
    }

    /// An attempt was broken off as the subject wished.
    pub(crate) fn aborted(&mut self, now: Time, order: &Order) {
        self.end(now, order, End::Aborted);
    }

    fn end(&mut self, now: Time, order: &Order, end: End) {
        if let (Self::Lab { balancer, .. }, Some(id)) = (self, order.id) {
            balancer.handle_end(now, id, end);
        }
    }

    pub(crate) fn probed(&mut self, now: Time, probe: base::ProbeId, result: ProbeResult) {
        if let Self::Lab { balancer, .. } = self {
            balancer.handle_probe(now, probe, result);
        }
    }

    pub(crate) fn built(&mut self, now: Time, built: policy::Built) {
        if let Self::Lab { balancer, .. } = self {
            balancer.handle_built(now, built);
        }
    }

    /// An entry of the agenda has come.
    pub(crate) fn timeout(&mut self, now: Time) {
        if let Self::Lab { balancer, wake } = self
            && *wake == now
        {
            *wake = Time::MAX;
            balancer.handle_timeout(now);
        }
    }

    /// When to call [`Subject::timeout`], if the agenda does not know it yet.
    pub(crate) fn arm(&mut self) -> Option<Time> {
        let Self::Lab { balancer, wake } = self else { return None };
        let at = balancer.poll_timeout().filter(|at| at < wake)?;
        *wake = at;
        Some(at)
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Lab { balancer, .. } => balancer.poll_output(),
            Self::Direct { .. } => None,
        }
    }

    /// Attempts beyond the first of each request so far, where somebody can tell: a hedge loads the
    /// backends as a retry does.
    pub(crate) fn retries(&self) -> Option<u64> {
        match self {
            Self::Lab { balancer, .. } => {
                let counts = balancer.counts();
                Some(counts.retries + counts.hedges)
            }
            Self::Direct { .. } => None,
        }
    }

    /// The state of every backend by the balancer's word; empty where there is none.
    pub(crate) fn states(&self, backends: usize) -> Vec<&'static str> {
        let Self::Lab { balancer, .. } = self else { return vec![""; backends] };
        let mut states = vec!["removed"; backends];
        for status in balancer.pool().statuses() {
            states[status.id.slot as usize] = State::word(status.state);
        }
        states
    }
}
