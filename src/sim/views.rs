//! What balancers are shown of the backends beside what each counts itself: the attempts in flight
//! of all of them, or old numbers, and the work that is left. It must not know what they make of it.

use base::{BackendId, Time};
use policy::{Balancer, Sight};
use scenario::ViewSpec;

use crate::board::{Board, Lag};

/// What there is to be shown, where the scenario asks for it.
#[derive(Debug)]
pub(crate) struct Views {
    in_flight: Option<InFlight>,
    work: Option<Board<Time>>,
}

/// The attempts in flight, on one board for all balancers or one for each.
#[derive(Debug)]
struct InFlight {
    shared: bool,
    old: bool,
    backends: usize,
    /// As it is, board by board.
    now: Vec<u32>,
    boards: Vec<Board<u32>>,
}

impl InFlight {
    fn new(lag: Lag, shared: bool, backends: usize, balancers: usize) -> Self {
        let (boards, readers) = if shared { (1, balancers) } else { (balancers, 1) };
        Self {
            shared,
            old: !lag.is_none(),
            backends,
            now: vec![0; boards * backends],
            boards: (0..boards).map(|_| Board::new(lag, backends, readers, 0)).collect(),
        }
    }

    /// Whose board that is, and as what it reads there.
    const fn place(&self, balancer: u32) -> (usize, u32) {
        if self.shared { (0, balancer) } else { (balancer as usize, 0) }
    }

    fn change(&mut self, now: Time, balancer: u32, backend: u32, change: i32) {
        let (board, _) = self.place(balancer);
        let count = &mut self.now[board * self.backends + backend as usize];
        *count = count.checked_add_signed(change).expect("what ends has begun");
        self.boards[board].write(now, backend, *count);
    }
}

impl Views {
    /// `work`: the strategy needs it. `None`: there is nothing to be shown.
    pub(crate) fn of(
        spec: &ViewSpec,
        work: bool,
        backends: usize,
        balancers: usize,
    ) -> Option<Self> {
        let lag = Lag { delay: spec.delay, refresh: spec.refresh };
        let in_flight = (spec.shared || !lag.is_none())
            .then(|| InFlight::new(lag, spec.shared, backends, balancers));
        let work = work.then(|| Board::new(lag, backends, balancers, Time::ZERO));
        (in_flight.is_some() || work.is_some()).then_some(Self { in_flight, work })
    }

    /// Whether what is shown of the attempts in flight is old.
    pub(crate) fn are_old(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|view| view.old)
    }

    /// Whether somebody wants to know what work is left.
    pub(crate) const fn show_work(&self) -> bool {
        self.work.is_some()
    }

    /// What is written and not shown yet.
    pub(crate) fn coming(&self) -> usize {
        let in_flight = self.in_flight.iter().flat_map(|view| &view.boards);
        let work = self.work.iter().map(Board::coming);
        in_flight.map(Board::coming).chain(work).sum()
    }

    /// A balancer has sent an attempt.
    pub(crate) fn began(&mut self, now: Time, balancer: u32, backend: u32) {
        if let Some(view) = &mut self.in_flight {
            view.change(now, balancer, backend, 1);
        }
    }

    /// One of its attempts has ended.
    pub(crate) fn ended(&mut self, now: Time, balancer: u32, backend: u32) {
        if let Some(view) = &mut self.in_flight {
            view.change(now, balancer, backend, -1);
        }
    }

    /// When a backend will have a free server.
    pub(crate) fn free_at(&mut self, now: Time, backend: u32, at: Time) {
        if let Some(board) = &mut self.work {
            board.write(now, backend, at);
        }
    }

    /// Brings a balancer up to date.
    #[cold] // or it makes long what asks for it, mostly in vain
    pub(crate) fn show(&mut self, now: Time, number: u32, balancer: &mut Balancer) {
        // A pool that is filled once has each backend in the slot of its index.
        let id = |backend| BackendId { slot: backend, generation: 0 };
        if let Some(view) = &mut self.in_flight {
            let (board, reader) = view.place(number);
            view.boards[board].read(now, reader, |backend, count| {
                balancer.handle_sight(id(backend), Sight::InFlight(count));
            });
        }
        if let Some(board) = &mut self.work {
            board.read(now, number, |backend, at| {
                balancer.handle_sight(id(backend), Sight::FreeAt(at));
            });
        }
    }
}
