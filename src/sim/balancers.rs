//! The balancers side by side, each with a pool, probes and chance of its own: which one a request
//! comes to, which were spoken to, when each wants to be called. It must not know what they say.

use base::{Rng, Time};
use policy::{Balancer, Command, End, Head, Next};
use scenario::{BackendSpec, ProxySpec};

use crate::subject::Order;
use crate::views::Views;

pub(crate) struct Balancers {
    all: Vec<Station>,
    /// Whom each request comes to. A stream of its own, so that more balancers move no arrival and
    /// no service time.
    draws: Rng,
    /// Who was spoken to last, and those before: their outputs and their next timeout are to be
    /// looked at.
    touched: Option<u32>,
    touched_before: Vec<u32>,
    /// What they see of the backends.
    views: Views,
}

struct Station {
    balancer: Balancer,
    /// The agenda's entry for its next timeout that counts.
    wake: Time,
}

impl Balancers {
    /// All of them with the same backends. A backend's slot in each pool is its index in the trial:
    /// the pools are filled once, in that order.
    pub(crate) fn new(proxy: &ProxySpec, backends: &[BackendSpec], rng: &Rng) -> Self {
        let station = |index| {
            let rng = rng.fork(&format!("balancer/{index}"));
            Station { balancer: filled(proxy, backends, &rng), wake: Time::MAX }
        };
        let mut all: Vec<Station> = (0..proxy.balancers).map(station).collect();
        let work = all.iter().any(|station| station.balancer.needs_work());
        let views = Views::new(&proxy.view, work, backends.len(), all.len());
        if views.are_old() {
            all.iter_mut().for_each(|station| station.balancer.rely_on_sights());
        }
        if proxy.view.idle_reports {
            all.iter_mut().for_each(|station| station.balancer.rely_on_idle_reports());
        }
        Self {
            all,
            draws: rng.fork("balancers"),
            touched: Some(0),
            touched_before: (1..proxy.balancers).rev().collect(),
            views,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whom the next request comes to: any of them, equally likely.
    pub(crate) fn draw(&mut self) -> u32 {
        if self.all.len() == 1 { 0 } else { self.draws.below(self.all.len()) as u32 }
    }

    /// One of them, to ask.
    pub(crate) fn get(&self, balancer: u32) -> &Balancer {
        &self.all[balancer as usize].balancer
    }

    /// One of them, to speak to: it sees what there is to be seen by now.
    #[inline]
    pub(crate) fn turn_to(&mut self, now: Time, number: u32) -> &mut Balancer {
        if self.touched != Some(number)
            && let Some(before) = self.touched.replace(number)
        {
            self.touched_before.push(before);
        }
        let balancer = &mut self.all[number as usize].balancer;
        if !self.views.are_empty() {
            self.views.show(now, number, balancer);
        }
        balancer
    }

    /// An attempt of one of them is over.
    #[inline(always)] // every request passes here
    pub(crate) fn end(&mut self, now: Time, order: &Order, end: End) {
        let &Order { id, balancer, backend, .. } = order;
        self.turn_to(now, balancer).handle_end(now, id, end);
        self.views.ended(now, balancer, backend);
    }

    /// An attempt of one of them is answered; it is over where the answer is delivered.
    #[inline(always)] // every request passes here
    pub(crate) fn answered(&mut self, now: Time, order: &Order, head: Head) -> Next {
        let &Order { id, balancer, backend, .. } = order;
        let next = self.turn_to(now, balancer).handle_answer(now, id, head);
        if next == Next::Deliver {
            self.views.ended(now, balancer, backend);
        }
        next
    }

    /// What they see of the backends.
    pub(crate) const fn views(&self) -> &Views {
        &self.views
    }

    /// See [`Balancers::views`].
    pub(crate) const fn views_mut(&mut self) -> &mut Views {
        &mut self.views
    }

    /// One of them, to hear from.
    pub(crate) fn drain(&mut self, balancer: u32) -> &mut Balancer {
        &mut self.all[balancer as usize].balancer
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Balancer> {
        self.all.iter().map(|station| &station.balancer)
    }

    /// Somebody to look at, until `None`.
    #[inline]
    pub(crate) fn next_touched(&mut self) -> Option<u32> {
        let last = self.touched?;
        self.touched = self.touched_before.pop();
        Some(last)
    }

    /// An entry of the agenda has come; whether it is the one that counts.
    pub(crate) fn wakes(&mut self, now: Time, balancer: u32) -> bool {
        let wake = &mut self.all[balancer as usize].wake;
        let counts = *wake == now;
        if counts {
            *wake = Time::MAX;
        }
        counts
    }

    /// When this one wants to be called, if the agenda does not know it yet.
    pub(crate) fn arm(&mut self, balancer: u32) -> Option<Time> {
        let Station { balancer, wake } = &mut self.all[balancer as usize];
        let at = balancer.poll_timeout().filter(|at| *at < *wake)?;
        *wake = at;
        Some(at)
    }
}

fn filled(proxy: &ProxySpec, backends: &[BackendSpec], rng: &Rng) -> Balancer {
    let mut balancer = Balancer::new(proxy.settings.clone(), rng);
    for (index, BackendSpec { name, weight, .. }) in backends.iter().enumerate() {
        let command = Command::Add { name: name.clone(), weight: *weight };
        let id = balancer
            .handle_command(Time::ZERO, command)
            .expect("a scenario's names are unique and its weights valid")
            .expect("an added backend has an id");
        assert_eq!(id.slot as usize, index, "a fresh pool fills its slots in order");
    }
    balancer
}
