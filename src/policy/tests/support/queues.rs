//! Balancers before queues, in virtual time: enough of a world to see what a strategy does to it.
//! It must not know which strategy that is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use base::{AttemptId, BackendId, Distribution, ProbeId, RequestId, RequestMeta, Rng, Time};
use policy::{
    Balancer, Command, End, Head, Load, Next, Output, ProbeKind, ProbeResult, Settings, Verdict,
};

use super::add;

/// What a backend does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Conduct {
    /// Serves one at a time, in exponential times of this mean.
    Serves(Duration),
    /// Answers everything with 500 in 1 ms, however much it is.
    FailsFast,
}

/// Whether backends tell their load to probes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tells {
    Nothing,
    InFlight,
    InFlightAndLatency,
}

#[derive(Debug)]
struct Server {
    conduct: Conduct,
    /// Balancer and attempt; the first is being served.
    queue: VecDeque<(usize, AttemptId)>,
    in_flight: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival,
    Served { server: usize },
    Failed { server: usize, balancer: usize, attempt: AttemptId },
    Probed { server: usize, balancer: usize, probe: ProbeId },
    Wake { balancer: usize },
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub server: usize,
    pub took: Duration,
}

pub struct World {
    pub balancers: Vec<Balancer>,
    pub tells: Tells,
    servers: Vec<Server>,
    /// Where each balancer has which server.
    servers_of: Vec<BTreeMap<BackendId, usize>>,
    agenda: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    /// When each balancer is next woken.
    wakes: Vec<Time>,
    happened: u64,
    requests: u64,
    began: BTreeMap<(usize, AttemptId), Time>,
    fates: Vec<Fate>,
    rng: Rng,
}

impl World {
    /// `balancers` of these settings before backends of this conduct, all of weight 1.
    pub fn new(settings: &Settings, seed: u64, balancers: usize, conducts: &[Conduct]) -> Self {
        let backends: Vec<_> = conducts.iter().map(|&conduct| (conduct, 1)).collect();
        Self::weighted(settings, seed, balancers, &backends)
    }

    /// The same with a weight for each backend.
    pub fn weighted(
        settings: &Settings,
        seed: u64,
        balancers: usize,
        backends: &[(Conduct, u32)],
    ) -> Self {
        let rng = Rng::from_seed(seed);
        let mut world = Self {
            balancers: Vec::new(),
            tells: Tells::InFlightAndLatency,
            servers: backends
                .iter()
                .map(|&(conduct, _)| Server { conduct, queue: VecDeque::new(), in_flight: 0 })
                .collect(),
            servers_of: Vec::new(),
            agenda: BinaryHeap::new(),
            wakes: vec![Time::MAX; balancers],
            happened: 0,
            requests: 0,
            began: BTreeMap::new(),
            fates: Vec::new(),
            rng: rng.fork("world"),
        };
        for k in 0..balancers {
            let mut balancer = Balancer::new(settings.clone(), &rng.fork(&format!("balancer/{k}")));
            let ids = backends
                .iter()
                .enumerate()
                .map(|(i, &(_, w))| (add(&mut balancer, Time::ZERO, &format!("b-{i}"), w), i))
                .collect();
            world.balancers.push(balancer);
            world.servers_of.push(ids);
            world.drain(Time::ZERO, k);
        }
        world.plan(Time::ZERO, Happening::Arrival);
        world
    }

    /// Another conduct from now on; what is being served, and what waits, is served in the old way.
    pub fn set_conduct(&mut self, server: usize, conduct: Conduct) {
        self.servers[server].conduct = conduct;
    }

    /// The same command to every balancer, about this server.
    pub fn command(&mut self, now: Time, server: usize, command: impl Fn(BackendId) -> Command) {
        for k in 0..self.balancers.len() {
            let ids = &self.servers_of[k];
            let (&id, _) = ids.iter().find(|&(_, &place)| place == server).expect("it is there");
            self.balancers[k].handle_command(now, command(id)).expect("it is valid");
            self.drain(now, k);
        }
    }

    /// Lets requests come, `rate` a second in a Poisson stream, each at a random balancer and with
    /// a key of its own, until `until`; what became of those that ended.
    pub fn run(&mut self, rate: f64, until: Time) -> Vec<Fate> {
        while let Some(&Reverse((now, _, happening))) = self.agenda.peek() {
            if now >= until {
                break;
            }
            self.agenda.pop();
            self.happen(now, rate, happening);
        }
        std::mem::take(&mut self.fates)
    }

    fn happen(&mut self, now: Time, rate: f64, happening: Happening) {
        match happening {
            Happening::Arrival => self.arrive(now, rate),
            Happening::Served { server } => {
                let (balancer, attempt) =
                    self.servers[server].queue.pop_front().expect("one was being served");
                self.answer(now, server, balancer, attempt, 200);
                self.serve_next(now, server);
            }
            Happening::Failed { server, balancer, attempt } => {
                self.answer(now, server, balancer, attempt, 500);
            }
            Happening::Probed { server, balancer, probe } => {
                let result = self.tell(server);
                self.balancers[balancer].handle_probe(now, probe, result);
                self.drain(now, balancer);
            }
            Happening::Wake { balancer } if self.wakes[balancer] == now => {
                self.wakes[balancer] = Time::MAX;
                self.balancers[balancer].handle_timeout(now);
                self.drain(now, balancer);
            }
            Happening::Wake { .. } => {}
        }
    }

    fn arrive(&mut self, now: Time, rate: f64) {
        let gap = Distribution::Exponential { mean: 1.0 / rate }.sample(&mut self.rng);
        self.plan(now + gap, Happening::Arrival);
        let k = self.rng.below(self.balancers.len());
        let key = Some(base::rng::mix(self.requests, 7));
        let request = RequestMeta { key, ..RequestMeta::new(RequestId(self.requests), true) };
        self.requests += 1;
        if let Verdict::Send(attempt) = self.balancers[k].handle_request(now, request) {
            let server = self.servers_of[k][&attempt.backend];
            self.began.insert((k, attempt.id), now);
            self.servers[server].in_flight += 1;
            match self.servers[server].conduct {
                Conduct::FailsFast => {
                    let failed = Happening::Failed { server, balancer: k, attempt: attempt.id };
                    self.plan(now + Duration::from_millis(1), failed);
                }
                Conduct::Serves(_) => {
                    self.servers[server].queue.push_back((k, attempt.id));
                    if self.servers[server].queue.len() == 1 {
                        self.serve_next(now, server);
                    }
                }
            }
        }
        self.drain(now, k);
    }

    /// Begins the service of whoever is first in this queue.
    fn serve_next(&mut self, now: Time, server: usize) {
        if self.servers[server].queue.is_empty() {
            return;
        }
        let time = match self.servers[server].conduct {
            Conduct::Serves(mean) => {
                let mean = mean.as_secs_f64();
                Distribution::Exponential { mean }.sample(&mut self.rng)
            }
            Conduct::FailsFast => Duration::from_millis(1),
        };
        self.plan(now + time, Happening::Served { server });
    }

    fn answer(&mut self, now: Time, server: usize, k: usize, attempt: AttemptId, status: u16) {
        self.servers[server].in_flight -= 1;
        let began = self.began.remove(&(k, attempt)).expect("it was sent");
        self.fates.push(Fate { server, took: now.since(began) });
        let head = Head::Status { status, replayable: true, retry_after: None };
        assert_eq!(self.balancers[k].handle_head(now, attempt, head), Next::Deliver);
        self.balancers[k].handle_end(now, attempt, End::Complete);
        self.drain(now, k);
    }

    /// What a backend says to a probe. One that fails fast believes itself idle and fast.
    fn tell(&self, server: usize) -> ProbeResult {
        let server = &self.servers[server];
        let latency = match (self.tells, server.conduct) {
            (Tells::InFlightAndLatency, Conduct::Serves(mean)) => mean * (server.in_flight + 1),
            (Tells::InFlightAndLatency, Conduct::FailsFast) => Duration::from_millis(1),
            _ => Duration::ZERO,
        };
        let load = Load { in_flight: server.in_flight, latency };
        ProbeResult::Status {
            status: 200,
            after: Duration::from_millis(1),
            load: (self.tells != Tells::Nothing).then_some(load),
        }
    }

    /// Does what the balancer wants done.
    fn drain(&mut self, now: Time, k: usize) {
        while let Some(output) = self.balancers[k].poll_output() {
            match output {
                Output::Probe(probe) => {
                    assert!(matches!(probe.kind, ProbeKind::Load(_)), "health is off here");
                    let server = self.servers_of[k][&probe.backend];
                    let probed = Happening::Probed { server, balancer: k, probe: probe.id };
                    self.plan(now + Duration::from_millis(1), probed);
                }
                Output::Build(work) => self.balancers[k].handle_built(now, work.run()),
                Output::Event(_) => {}
                other => panic!("{other:?} without queue, hedges or limits"),
            }
        }
        if let Some(wake) = self.balancers[k].poll_timeout().filter(|&wake| wake < self.wakes[k]) {
            self.wakes[k] = wake.max(now);
            self.plan(self.wakes[k], Happening::Wake { balancer: k });
        }
    }

    fn plan(&mut self, at: Time, happening: Happening) {
        self.happened += 1;
        self.agenda.push(Reverse((at, self.happened, happening)));
    }
}

/// This quantile of what the requests took, in seconds.
pub fn quantile(fates: &[Fate], p: f64) -> f64 {
    let mut took: Vec<Duration> = fates.iter().map(|fate| fate.took).collect();
    took.sort_unstable();
    took[(p * (took.len() - 1) as f64) as usize].as_secs_f64()
}

/// The share of the requests that this server got.
pub fn share(fates: &[Fate], server: usize) -> f64 {
    let got = fates.iter().filter(|fate| fate.server == server).count();
    got as f64 / fates.len().max(1) as f64
}
