//! One client connection, or one stream of HTTP/2, as its worker sees it: what it is doing, how long it may go on doing it,
//! and the order to close. It must not know HTTP's syntax.
//!
//! The waits for clients are minutes long, so a worker looks at all its connections once a second
//! instead of keeping a timer for each: a request costs no timer and no reading of the clock.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use base::Time;
use policy::TimeoutSettings;

/// How long a connection may be open without a request before it makes way for another's.
const GRACE: Duration = Duration::from_millis(100);
/// One in so many connections makes way at once: looking for them costs a look at all.
const RELEASED_SHARE: usize = 64;

/// How long clients may take, in sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Between requests, and without a byte of a request's body read or of an answer written.
    idle: u32,
    /// From a request's first byte to its head's last.
    head: u32,
}

impl Patience {
    /// A sweep is a second; less than one is not told apart.
    pub(crate) fn new(timeout: &TimeoutSettings) -> Self {
        let sweeps = |limit: Duration| {
            u32::try_from(limit.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
        };
        Self { idle: sweeps(timeout.client_idle), head: sweeps(timeout.request_head) }
    }
}

/// What a worker wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Close now if idle, else after the answer.
    Finish,
    /// Close now.
    Close,
}

/// What a connection is doing, as far as a limit on it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Idle,
    Head,
    Stallable,
    /// Waiting for the backend, which the balancer's timeouts bound.
    Waiting,
}

/// One client connection, or one stream on it.
pub(crate) struct Client {
    /// Its address, without the port.
    pub(crate) address: Rc<[u8]>,
    /// When it was accepted.
    since: Time,
    /// Requests read so far.
    pub(crate) requests: Cell<u64>,
    /// A request is with a backend, or its answer is being written.
    pub(crate) serving: Cell<bool>,
    /// A part of a head is there.
    pub(crate) in_head: Cell<bool>,
    /// A part of a body is still to come.
    pub(crate) in_body: Cell<bool>,
    /// The socket takes no more of the answer.
    pub(crate) write_blocked: Cell<bool>,
    /// When the present answer's last byte must have been written.
    pub(crate) answer_by: Cell<Time>,
    /// Changes whenever bytes move.
    pub(crate) moves: Cell<u32>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    last_look: Cell<(Activity, u64)>,
    sweeps: Cell<u32>,
    index: Cell<usize>,
}

impl Client {
    fn new(address: Rc<[u8]>, since: Time) -> Self {
        Self {
            address,
            since,
            requests: Cell::default(),
            serving: Cell::default(),
            in_head: Cell::default(),
            in_body: Cell::default(),
            write_blocked: Cell::default(),
            answer_by: Cell::new(Time::MAX),
            moves: Cell::default(),
            order: Cell::new(Order::Serve),
            waker: RefCell::default(),
            // What the first look cannot find: the time before it is not counted.
            last_look: Cell::new((Activity::Waiting, 1)),
            sweeps: Cell::default(),
            index: Cell::default(),
        }
    }

    /// Bytes moved.
    pub(crate) fn moved(&self) {
        self.moves.set(self.moves.get().wrapping_add(1));
    }

    /// An attempt to write came through, or was blocked.
    pub(crate) fn wrote(&self, blocked: bool) {
        self.write_blocked.set(blocked);
        self.moved();
    }

    /// What its worker wants.
    pub(crate) fn order(&self) -> Order {
        self.order.get()
    }

    /// What its worker wants; `waker` is that of its task and woken when that changes.
    pub(crate) fn listen(&self, waker: &Waker) -> Order {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        self.order.get()
    }

    pub(crate) fn give(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What it does, and a number that changes when it gets on with it.
    fn look(&self) -> (Activity, u64) {
        let moves = u64::from(self.moves.get());
        if self.write_blocked.get() || (self.serving.get() && self.in_body.get()) {
            (Activity::Stallable, moves)
        } else if self.serving.get() {
            (Activity::Waiting, 0)
        } else if self.in_head.get() {
            // Single bytes of a head are no progress: its limit is on the whole.
            (Activity::Head, self.requests.get())
        } else {
            (Activity::Idle, self.requests.get())
        }
    }

    /// Whether it may make way for another client, and in which order: first who has asked for
    /// nothing yet, then who has asked for nothing more since the last sweep.
    fn makes_way(&self, now: Time) -> Option<(bool, Reverse<u32>, Time)> {
        let (idle, sweeps) = (self.look().0 == Activity::Idle, self.sweeps.get());
        let has_asked = self.requests.get() > 0;
        let waited = if has_asked { sweeps > 0 } else { now.since(self.since) >= GRACE };
        (idle && waited && self.order() == Order::Serve).then_some((
            has_asked,
            Reverse(sweeps),
            self.since,
        ))
    }

    /// To be called once a second: closes a connection that does the same for too long.
    fn sweep(&self, now: Time, patience: Patience) {
        // Who takes an answer slowly is not woken by its deadline: the answer is not asked for more.
        if self.write_blocked.get() && now >= self.answer_by.get() {
            self.give(Order::Close);
        }
        let look = self.look();
        if self.last_look.replace(look) != look {
            self.sweeps.set(0);
            return;
        }
        self.sweeps.set(self.sweeps.get() + 1);
        let limit = match look.0 {
            Activity::Idle | Activity::Stallable => patience.idle,
            Activity::Head => patience.head,
            Activity::Waiting => return,
        };
        if self.sweeps.get() >= limit {
            // Who is idle may be asking at this moment, and in HTTP/2 is told of the end: it is cut
            // off only if that does not end it.
            let gently = look.0 == Activity::Idle && self.order() == Order::Serve;
            self.give(if gently { Order::Finish } else { Order::Close });
        }
    }
}

/// The open client connections of a worker, or the streams on those that have some.
#[derive(Default)]
pub(crate) struct Clients {
    open: RefCell<Vec<Rc<Client>>>,
}

impl Clients {
    /// One more, from that address, accepted at `now`.
    pub(crate) fn open(&self, address: Rc<[u8]>, now: Time) -> Rc<Client> {
        let client = Rc::new(Client::new(address, now));
        let mut open = self.open.borrow_mut();
        client.index.set(open.len());
        open.push(Rc::clone(&client));
        client
    }

    /// One less.
    pub(crate) fn close(&self, client: &Client) {
        let mut open = self.open.borrow_mut();
        let index = client.index.get();
        open.swap_remove(index);
        if let Some(moved) = open.get(index) {
            moved.index.set(index);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn give_all(&self, order: Order) {
        for client in &*self.open.borrow() {
            client.give(order);
        }
    }

    /// Tells those that have been idle for longest to go, because others wait: whether there are any.
    pub(crate) fn release_idle(&self, now: Time) -> bool {
        let open = self.open.borrow();
        let mut idle: Vec<_> =
            open.iter().filter_map(|client| Some((client.makes_way(now)?, client))).collect();
        idle.sort_unstable_by_key(|(order, _)| *order);
        idle.truncate(open.len().div_ceil(RELEASED_SHARE));
        for (_, client) in &idle {
            client.give(Order::Finish);
        }
        !idle.is_empty()
    }

    /// To be called once a second.
    pub(crate) fn sweep(&self, now: Time, patience: Patience) {
        for client in &*self.open.borrow() {
            client.sweep(now, patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_SWEEPS: u32 = 60;
    const HEAD_SWEEPS: u32 = 10;

    fn sweeps_until_closed(client: &Client, mut between: impl FnMut(&Client)) -> Option<u32> {
        for sweep in 0..200 {
            let patience = Patience { idle: IDLE_SWEEPS, head: HEAD_SWEEPS };
            client.sweep(Time::from_nanos(u64::from(sweep) * 1_000_000_000), patience);
            if client.order.get() == Order::Close {
                return Some(sweep);
            }
            between(client);
        }
        None
    }

    fn client() -> Client {
        Client::new(b"127.0.0.1".as_slice().into(), Time::ZERO)
    }

    #[test]
    fn every_wait_for_a_client_has_its_limit() {
        let (idle, mut told) = (client(), 0);
        let count_told = |client: &Client| told += u32::from(client.order() == Order::Finish);
        assert_eq!(sweeps_until_closed(&idle, count_told), Some(IDLE_SWEEPS + 1));
        assert_eq!(told, 1, "it may finish first");

        let dripping_head = client();
        dripping_head.in_head.set(true);
        assert_eq!(sweeps_until_closed(&dripping_head, Client::moved), Some(HEAD_SWEEPS));

        let waiting_for_backend = client();
        waiting_for_backend.serving.set(true);
        assert_eq!(sweeps_until_closed(&waiting_for_backend, |_| {}), None);

        let stalled_upload = client();
        stalled_upload.serving.set(true);
        stalled_upload.in_body.set(true);
        assert_eq!(sweeps_until_closed(&stalled_upload, |_| {}), Some(IDLE_SWEEPS));

        let moving_upload = client();
        moving_upload.serving.set(true);
        moving_upload.in_body.set(true);
        assert_eq!(sweeps_until_closed(&moving_upload, Client::moved), None);

        let never_reads = client();
        never_reads.serving.set(true);
        never_reads.write_blocked.set(true);
        assert_eq!(sweeps_until_closed(&never_reads, |_| {}), Some(IDLE_SWEEPS));

        let reads_slowly = client();
        reads_slowly.serving.set(true);
        reads_slowly.write_blocked.set(true);
        reads_slowly.answer_by.set(Time::from_nanos(5_000_000_000));
        assert_eq!(sweeps_until_closed(&reads_slowly, Client::moved), Some(5));

        let busy = client();
        let next = |client: &Client| client.requests.set(client.requests.get() + 1);
        assert_eq!(sweeps_until_closed(&busy, next), None);
    }

    #[test]
    fn limits_are_counted_in_whole_sweeps() {
        for (millis, sweeps) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            let limit = Duration::from_millis(millis);
            let timeout =
                TimeoutSettings { client_idle: limit, request_head: limit, ..Default::default() };
            let expected = Patience { idle: sweeps, head: sweeps };
            assert_eq!(Patience::new(&timeout), expected, "{millis} ms");
        }
    }

    #[test]
    fn who_has_asked_for_nothing_makes_way_first_and_nobody_who_is_busy() {
        let (clients, address) = (Clients::default(), Rc::<[u8]>::from(b"127.0.0.1".as_slice()));
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let [busy, kept, older, old, new] =
            [0, 0, 10, 20, 950].map(|millis| clients.open(Rc::clone(&address), at(millis)));
        busy.requests.set(1);
        busy.serving.set(true);
        kept.requests.set(1);
        let patience = Patience { idle: IDLE_SWEEPS, head: HEAD_SWEEPS };
        let released = |now| {
            let before = [&busy, &kept, &older, &old, &new].map(|client| client.order());
            let any = clients.release_idle(now);
            let after = [&busy, &kept, &older, &old, &new].map(|client| client.order());
            let changed = before.iter().zip(&after).position(|(before, after)| before != after);
            assert_eq!(any, changed.is_some());
            changed
        };
        assert_eq!(released(at(50)), None, "all are fresh, busy, or have asked lately");
        assert_eq!(released(at(1000)), Some(2));
        assert_eq!(released(at(1000)), Some(3));
        assert_eq!(released(at(1000)), None, "the new one may be about to ask");
        // Two sweeps: the first one sees what has changed.
        clients.sweep(at(1000), patience);
        clients.sweep(at(2000), patience);
        assert_eq!(released(at(2000)), Some(4));
        assert_eq!(released(at(2000)), Some(1), "idle since the last sweep");
        assert_eq!(released(at(9000)), None, "the busy one stays");
    }

    #[test]
    fn closing_one_leaves_the_others_in_reach() {
        let clients = Clients::default();
        let address: Rc<[u8]> = b"127.0.0.1".as_slice().into();
        let three: Vec<_> = (0..3).map(|_| clients.open(Rc::clone(&address), Time::ZERO)).collect();
        clients.close(&three[0]);
        clients.close(&three[2]);
        clients.give_all(Order::Finish);
        assert_eq!(clients.count(), 1);
        assert_eq!(three[0].order.get(), Order::Serve);
        assert_eq!(three[1].order.get(), Order::Finish);
        clients.close(&three[1]);
        assert_eq!(clients.count(), 0);
    }
}
