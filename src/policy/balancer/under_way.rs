//! What is kept of the requests that are not over, and of their attempts. It must not know what
//! becomes of them.
//!
//! With a thousand requests under way every line of memory that one of them touches is fetched
//! anew. So the first attempt, which as a rule is the only one, stands in its request; both together
//! fill one line; and what few requests have stands elsewhere.

use base::{BackendId, Key, RequestId, RequestMeta, Slab, Time};

use crate::message::Quota;

/// A request that is not over. With what a slab puts before it, it fills a line.
#[derive(Debug)]
pub(super) struct Request {
    first: First,
    /// When it was sent first; when it arrived, until then.
    pub(super) sent: Time,
    /// When its last byte must be there.
    pub(super) total_by: Time,
    pub(super) id: RequestId,
    pub(super) stage: Stage,
    /// Of its attempts those that have not ended.
    pub(super) running: u8,
    /// Of those the ones whose heads may still decide: one, or two when one is a hedge.
    pub(super) deciding: u8,
    /// Attempts so far, at most [`crate::settings::MAX_ATTEMPTS`] and a hedge.
    pub(super) number: u8,
    /// It has had its hedge.
    pub(super) hedged: bool,
    pub(super) idempotent: bool,
    pub(super) replayable: bool,
    /// It has an [`Aside`].
    has_aside: bool,
}

/// A request's first attempt, and what stands in its place before and after.
#[derive(Debug)]
enum First {
    /// It runs.
    Running(Running),
    /// It has not begun: the place in the queue.
    Queued(Key),
    /// It has ended, or the request is on its way from or to the queue.
    None,
}

/// What few requests have.
#[derive(Debug, Default)]
struct Aside {
    key: Option<u64>,
    limit_key: Option<u64>,
    pin: Option<u64>,
    /// What was left of the rate limit when it arrived.
    quota: Option<Quota>,
    /// Where it has been, as far as a further attempt must know.
    tried: Vec<BackendId>,
    /// The attempt that was slow, and its hedge.
    racers: Option<[Key; 2]>,
}

impl Aside {
    /// That of a slot's new tenant.
    #[inline(never)] // few requests have one, and all pass by
    fn of_slot(asides: &mut Vec<Self>, slot: u32) -> &mut Self {
        let slot = slot as usize;
        if asides.len() <= slot {
            asides.resize_with(slot + 1, Self::default);
        }
        let aside = &mut asides[slot];
        aside.tried.clear();
        let tried = std::mem::take(&mut aside.tried);
        *aside = Self { tried, ..Self::default() };
        aside
    }
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Sent, or in the queue: when sent it is over with the last of its attempts.
    Sent,
    /// Sent before, and between two attempts.
    BackingOff {
        /// It must not go where it was before.
        untried: bool,
    },
}

/// An attempt that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) backend: BackendId,
    pub(super) began: Time,
    /// Its head, or its failure, has been handled.
    pub(super) headed: bool,
    /// Its head was good.
    pub(super) answered: bool,
    /// Another attempt of its request was faster.
    pub(super) lost: bool,
    /// It has been counted as a failure of its backend.
    pub(super) failed: bool,
}

impl Running {
    pub(super) const fn new(now: Time, backend: BackendId) -> Self {
        let (headed, answered, lost, failed) = (false, false, false, false);
        Self { backend, began: now, headed, answered, lost, failed }
    }
}

impl Running {
    /// Whether its head may still decide.
    const fn decides(&self) -> bool {
        !self.headed && !self.lost
    }
}

impl Request {
    /// One of its attempts runs no longer; whether it is over with it.
    fn is_over_without(&mut self, ended: &Running) -> bool {
        self.running -= 1;
        self.deciding -= u8::from(ended.decides());
        self.running == 0 && self.stage == Stage::Sent
    }

    /// It waits in the queue, in this place.
    pub(super) fn wait_at(&mut self, place: Key) {
        debug_assert!(matches!(self.first, First::None), "it was sent before");
        self.first = First::Queued(place);
    }

    /// It waits no longer; its place in the queue, if it had one.
    pub(super) fn stop_waiting(&mut self) -> Option<Key> {
        self.stage = Stage::Sent;
        let First::Queued(place) = self.first else { return None };
        self.first = First::None;
        Some(place)
    }

    /// Whether a second attempt may be sent beside one that is slow.
    pub(super) const fn may_be_hedged(&self) -> bool {
        self.idempotent && self.replayable && !self.hedged
    }
}

/// An attempt that is not the first of its request.
#[derive(Debug)]
struct Further {
    request: Key,
    running: Running,
}

/// See the module. A first attempt has the key of its request; that of a further one is marked.
#[derive(Debug)]
pub(super) struct UnderWay {
    requests: Slab<Request>,
    /// By the slots of the requests that have one; others' are void.
    asides: Vec<Aside>,
    further: Slab<Further>,
}

/// In the slot of a further attempt's key: no slab has so many slots.
const MARK: u32 = 1 << 31;

/// The key by which a further attempt is found; `None` for a first one.
const fn unmarked(attempt: Key) -> Option<Key> {
    let Key { slot, generation } = attempt;
    if slot & MARK == 0 { None } else { Some(Key { slot: slot & !MARK, generation }) }
}

impl UnderWay {
    pub(super) const fn new() -> Self {
        Self { requests: Slab::new(), asides: Vec::new(), further: Slab::new() }
    }

    /// An attempt will be asked for soon; one that is not the first is not fetched.
    #[inline]
    pub(super) fn prefetch(&self, attempt: Key) {
        self.requests.prefetch(attempt);
    }

    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// A request that arrives, and with it its first attempt, if it is sent at once.
    #[inline(always)] // two ask for it, and one of them for every request
    pub(super) fn insert(
        &mut self,
        now: Time,
        meta: &RequestMeta,
        quota: Option<Quota>,
        total_by: Time,
        sent_to: Option<BackendId>,
    ) -> (Key, &Request) {
        let &RequestMeta { id, idempotent, replayable, key, limit_key, pin } = meta;
        let has_aside = key.is_some() || limit_key.is_some() || pin.is_some() || quota.is_some();
        let attempts = u8::from(sent_to.is_some());
        let (request, inserted) = self.requests.put(Request {
            first: sent_to.map_or(First::None, |to| First::Running(Running::new(now, to))),
            sent: now,
            stage: Stage::Sent,
            running: attempts,
            deciding: attempts,
            number: attempts,
            hedged: false,
            idempotent,
            replayable,
            has_aside,
            id,
            total_by,
        });
        if has_aside {
            let aside = Aside::of_slot(&mut self.asides, request.slot);
            (aside.key, aside.limit_key, aside.pin, aside.quota) = (key, limit_key, pin, quota);
        }
        (request, inserted)
    }

    pub(super) fn get(&self, request: Key) -> Option<&Request> {
        self.requests.get(request)
    }

    pub(super) fn get_mut(&mut self, request: Key) -> Option<&mut Request> {
        self.requests.get_mut(request)
    }

    pub(super) fn remove(&mut self, request: Key) {
        self.requests.remove(request);
    }

    /// All that was known of a request when it arrived.
    pub(super) fn meta(&self, request: Key) -> Option<RequestMeta> {
        let &Request { id, idempotent, replayable, .. } = self.get(request)?;
        let plain = RequestMeta { replayable, ..RequestMeta::new(id, idempotent) };
        Some(self.aside(request).map_or(plain, |aside| {
            let &Aside { key, limit_key, pin, .. } = aside;
            RequestMeta { key, limit_key, pin, ..plain }
        }))
    }

    /// Where it has been, as far as it was remembered.
    pub(super) fn tried(&self, request: Key) -> &[BackendId] {
        self.aside(request).map_or(&[], |aside| &aside.tried)
    }

    /// It has been at this backend.
    pub(super) fn remember(&mut self, request: Key, backend: BackendId) {
        if let Some(aside) = self.aside_mut(request)
            && !aside.tried.contains(&backend)
        {
            aside.tried.push(backend);
        }
    }

    fn aside(&self, request: Key) -> Option<&Aside> {
        self.get(request).filter(|request| request.has_aside)?;
        self.asides.get(request.slot as usize)
    }

    /// The aside of a request, which has one from now on.
    fn aside_mut(&mut self, key: Key) -> Option<&mut Aside> {
        let request = self.requests.get_mut(key)?;
        if !std::mem::replace(&mut request.has_aside, true) {
            return Some(Aside::of_slot(&mut self.asides, key.slot));
        }
        self.asides.get_mut(key.slot as usize)
    }
}

/// Attempts.
impl UnderWay {
    /// One more attempt of a request, whose head may decide; and what was left of the rate limit.
    pub(super) fn begin(
        &mut self,
        key: Key,
        running: Running,
    ) -> Option<(Key, &Request, Option<Quota>)> {
        let request = self.requests.get_mut(key)?;
        let attempt = if request.number == 0 {
            request.first = First::Running(running);
            key
        } else {
            let Key { slot, generation } = self.further.insert(Further { request: key, running });
            Key { slot: slot | MARK, generation }
        };
        request.number = request.number.checked_add(1).expect("retries end at MAX_ATTEMPTS");
        request.running += 1;
        request.deciding += 1;
        let aside = if request.has_aside { self.asides.get(key.slot as usize) } else { None };
        Some((attempt, request, aside.and_then(|aside| aside.quota)))
    }

    /// An attempt that has not ended, and the key of its request.
    pub(super) fn attempt(&self, attempt: Key) -> Option<(Key, &Running)> {
        match unmarked(attempt) {
            None => match &self.requests.get(attempt)?.first {
                First::Running(running) => Some((attempt, running)),
                First::Queued(_) | First::None => None,
            },
            Some(key) => self.further.get(key).map(|further| (further.request, &further.running)),
        }
    }

    /// The same, to be changed, and how many attempts of the request may decide.
    #[inline]
    pub(super) fn attempt_mut(&mut self, attempt: Key) -> Option<(Key, &mut Running, &mut u8)> {
        match unmarked(attempt) {
            None => match self.requests.get_mut(attempt)? {
                Request { first: First::Running(running), deciding, .. } => {
                    Some((attempt, running, deciding))
                }
                _ => None,
            },
            Some(key) => {
                let Further { request, running } = self.further.get_mut(key)?;
                Some((*request, running, &mut self.requests.get_mut(*request)?.deciding))
            }
        }
    }

    /// A hedge was sent beside a slow attempt.
    pub(super) fn race(&mut self, request: Key, slow: Key, hedge: Key) {
        if let Some(aside) = self.aside_mut(request) {
            aside.racers = Some([slow, hedge]);
        }
    }

    /// The attempts of a request that may still decide have lost; which those are, and when they
    /// began: none, but of a request that was hedged.
    pub(super) fn lose(&mut self, request: Key) -> impl Iterator<Item = (Key, Time)> {
        let racers = self.aside(request).and_then(|aside| aside.racers);
        racers.into_iter().flatten().filter_map(|racer| {
            let (_, running, deciding) = self.attempt_mut(racer)?;
            if !running.decides() {
                return None;
            }
            running.lost = true;
            *deciding -= 1;
            Some((racer, running.began))
        })
    }

    /// An attempt ends, and with the last of them its request, if it does not wait for another;
    /// when that was sent first.
    #[inline]
    pub(super) fn end(&mut self, attempt: Key) -> Option<(Running, Time)> {
        if let Some(key) = unmarked(attempt) {
            return self.end_further(key);
        }
        let ended = self.requests.visit(attempt, |request| {
            let First::Running(running) = request.first else { return (None, false) };
            request.first = First::None;
            (Some((running, request.sent)), request.is_over_without(&running))
        });
        ended.flatten()
    }

    /// The same at once with a good head, where nothing else of the request is under way or was; then
    /// it is over. `None` where that is not so, and nothing has happened: no request is in the slot
    /// of a further attempt's key.
    #[inline(always)] // every request passes here
    pub(super) fn answer_alone(&mut self, attempt: Key) -> Option<(Running, Time)> {
        let answered = |first: &Running| Running { headed: true, answered: true, ..*first };
        let ended = self.requests.visit(attempt, |request| match &request.first {
            First::Running(first) if request.number == 1 && !first.headed => {
                (Some((answered(first), request.sent)), true)
            }
            _ => (None, false),
        });
        ended.flatten()
    }

    #[cold]
    fn end_further(&mut self, key: Key) -> Option<(Running, Time)> {
        let Further { request, running } = self.further.remove(key)?;
        let look = |request: &mut Request| (request.sent, request.is_over_without(&running));
        let sent = self.requests.visit(request, look)?;
        Some((running, sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(id: u64, key: Option<u64>) -> RequestMeta {
        RequestMeta { key, ..RequestMeta::new(RequestId(id), true) }
    }

    const fn backend(slot: u32) -> BackendId {
        BackendId { slot, generation: 0 }
    }

    #[test]
    fn a_request_fills_one_line() {
        let begins = std::mem::size_of::<u64>(); // of the generation that a slab puts before it
        assert_eq!(begins + std::mem::size_of::<Option<Request>>(), 64);
    }

    #[test]
    fn an_aside_belongs_to_one_request() {
        let mut under_way = UnderWay::new();
        let by = Time::from_nanos(9);
        let first = under_way.insert(Time::ZERO, &meta(1, Some(7)), None, by, None).0;
        under_way.remember(first, backend(3));
        under_way.remember(first, backend(3));
        assert_eq!(under_way.tried(first), [backend(3)], "once");
        assert_eq!(under_way.meta(first), Some(meta(1, Some(7))));
        under_way.remove(first);
        let next = under_way.insert(Time::ZERO, &meta(2, None), None, by, None).0;
        assert_eq!(next.slot, first.slot, "its slot");
        assert_eq!((under_way.meta(next), under_way.tried(next)), (Some(meta(2, None)), &[][..]));
        under_way.remember(next, backend(4));
        assert_eq!(
            (under_way.meta(next), under_way.tried(next)),
            (Some(meta(2, None)), &[backend(4)][..])
        );
        assert_eq!((under_way.meta(first), under_way.tried(first)), (None, &[][..]));
    }

    #[test]
    fn attempts_are_found_until_they_end_and_not_after() {
        let mut under_way = UnderWay::new();
        let sent_to = Some(backend(0));
        let (key, first) = under_way.insert(Time::ZERO, &meta(1, None), None, Time::MAX, sent_to);
        assert_eq!((first.number, first.running, first.deciding), (1, 1, 1));
        let mut attempts = vec![key];
        for slot in 1..3_u8 {
            let running = Running::new(Time::ZERO, backend(slot.into()));
            let begun = under_way.begin(key, running);
            let (attempt, request, _) = begun.expect("the request is there");
            assert_eq!((request.number, request.running), (slot + 1, slot + 1));
            assert_eq!(request.deciding, slot + 1);
            attempts.push(attempt);
        }
        for (slot, &attempt) in (0..).zip(&attempts) {
            let (request, running) = under_way.attempt(attempt).expect("it runs");
            assert_eq!((request, running.backend), (key, backend(slot.into())));
            let left = under_way.get(key).map(|request| (request.running, request.deciding));
            assert_eq!(left, Some((3 - slot, 3 - slot)));
            let ended = under_way.end(attempt).map(|(running, _)| running.backend);
            assert_eq!(ended, Some(backend(slot.into())));
            assert!(under_way.attempt(attempt).is_none() && under_way.end(attempt).is_none());
        }
        assert!(under_way.get(key).is_none(), "it is over with the last of them");
    }
}
