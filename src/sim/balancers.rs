//! The balancers side by side, each with a pool, probes and chance of its own: which one a request
//! comes to, which were spoken to, when each wants to be called. It must not know what they say.

use base::{Rng, Time};
use policy::{Balancer, Command, End};
use scenario::{BackendSpec, ProxySpec, SubjectKind};

use crate::subject::Order;
use crate::views::Views;

pub(crate) struct Balancers {
    all: Vec<Station>,
    /// Whom each request comes to. A stream of its own, so that more balancers move no arrival and
    /// no service time.
    draws: Rng,
    /// Who was spoken to, or [`NOBODY`]: its outputs and its next timeout are to be looked at. What
    /// happens concerns one balancer at most.
    touched: u32,
    /// What they see of the backends, where that is more than each knows by itself.
    views: Option<Box<Views>>,
}

const NOBODY: u32 = u32::MAX;

struct Station {
    balancer: Balancer,
    /// The agenda's entry for its next timeout that counts.
    wake: Time,
}

impl Balancers {
    /// All of them with the same backends; none, where nothing stands between. A backend's slot in
    /// each pool is its index in the trial: the pools are filled once, in that order.
    pub(crate) fn new(proxy: &ProxySpec, backends: &[BackendSpec], rng: &Rng) -> Self {
        let station = |index| {
            let rng = rng.fork(&format!("balancer/{index}"));
            Station { balancer: filled(proxy, backends, &rng), wake: Time::MAX }
        };
        let count = if proxy.kind == SubjectKind::Lab { proxy.balancers } else { 0 };
        let mut all: Vec<Station> = (0..count).map(station).collect();
        let work = all.iter().any(|station| station.balancer.needs_work());
        let views = Views::of(&proxy.view, work, backends.len(), all.len());
        if views.as_ref().is_some_and(Views::are_old) {
            all.iter_mut().for_each(|station| station.balancer.rely_on_sights());
        }
        if proxy.view.idle_reports {
            all.iter_mut().for_each(|station| station.balancer.rely_on_idle_reports());
        }
        Self { all, draws: rng.fork("balancers"), touched: NOBODY, views: views.map(Box::new) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whom the next request comes to: any of them, equally likely.
    pub(crate) fn draw(&mut self) -> u32 {
        if self.all.len() < 2 { 0 } else { self.draws.below(self.all.len()) as u32 }
    }

    /// One of them, to ask; `None` where there are none.
    pub(crate) fn get(&self, balancer: u32) -> Option<&Balancer> {
        Some(&self.all.get(balancer as usize)?.balancer)
    }

    /// One of them, to speak to: it sees what there is to be seen by now.
    #[inline(always)] // every request passes here
    pub(crate) fn turn_to(&mut self, now: Time, number: u32) -> Option<&mut Balancer> {
        let balancer = &mut self.all.get_mut(number as usize)?.balancer;
        debug_assert!([NOBODY, number].contains(&self.touched), "another one is still to be heard");
        self.touched = number;
        if let Some(views) = &mut self.views {
            views.show(now, number, balancer);
        }
        Some(balancer)
    }

    /// An attempt of one of them is over, as it was told.
    #[inline]
    pub(crate) fn ended(&mut self, now: Time, order: &Order) {
        if let Some(views) = &mut self.views {
            views.ended(now, order.balancer, order.backend);
        }
    }

    /// Tells one of them that an attempt is over.
    pub(crate) fn end(&mut self, now: Time, order: &Order, end: End) {
        if let Some(balancer) = self.turn_to(now, order.balancer) {
            balancer.handle_end(now, order.id, end);
            self.ended(now, order);
        }
    }

    /// What they see of the backends, if anything.
    pub(crate) fn views(&self) -> Option<&Views> {
        self.views.as_deref()
    }

    /// See [`Balancers::views`].
    #[inline]
    pub(crate) fn views_mut(&mut self) -> Option<&mut Views> {
        self.views.as_deref_mut()
    }

    /// One of them, to hear from.
    pub(crate) fn drain(&mut self, balancer: u32) -> Option<&mut Balancer> {
        Some(&mut self.all.get_mut(balancer as usize)?.balancer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Balancer> {
        self.all.iter().map(|station| &station.balancer)
    }

    /// Who was spoken to, if it has something to say or wants to be called earlier than the agenda
    /// knows; mostly it does not.
    #[inline(always)] // every request passes here, twice
    pub(crate) fn next_touched(&mut self) -> Option<u32> {
        let touched = std::mem::replace(&mut self.touched, NOBODY);
        let Station { balancer, wake } = self.all.get(touched as usize)?;
        let calls = balancer.poll_timeout().is_some_and(|at| at < *wake);
        (calls || balancer.has_output()).then_some(touched)
    }

    /// What the one has to say that was spoken to is heard later.
    pub(crate) const fn hear_later(&mut self) {
        self.touched = NOBODY;
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

    /// This one has nothing more to say. When it wants to be called, if the agenda does not know it
    /// yet.
    pub(crate) fn arm(&mut self, balancer: u32) -> Option<Time> {
        debug_assert!(
            [NOBODY, balancer].contains(&self.touched),
            "another one is still to be heard"
        );
        self.touched = NOBODY;
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
