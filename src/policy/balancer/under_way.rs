//! What is kept of the requests that are not over, and of their attempts. It must not know what
//! becomes of them.
//!
//! With a thousand requests under way every line of memory that one of them touches is fetched
//! anew. So the first attempt, which as a rule is the only one, stands in its request; what heads
//! and ends ask for fills one line; and what few requests have stands elsewhere.

use base::{BackendId, Key, RequestId, RequestMeta, Slab, Time};

use crate::message::Quota;

/// A request that is not over. With what a slab puts before it, the first line ends with `running`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Request {
    /// Its first attempt, until that ends.
    first: Option<Running>,
    pub(super) awaited: Awaited,
    pub(super) stage: Stage,
    /// Of its attempts those that have not ended.
    pub(super) running: u32,
    /// Attempts so far.
    pub(super) number: u32,
    /// It has had its hedge.
    pub(super) hedged: bool,
    pub(super) idempotent: bool,
    pub(super) replayable: bool,
    /// It has an [`Aside`].
    has_aside: bool,
    pub(super) id: RequestId,
    /// When its last byte must be there.
    pub(super) total_by: Time,
    /// When it was sent first; when it arrived, until then.
    pub(super) sent: Time,
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
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not sent yet; its place in the queue.
    Queued(Key),
    /// Sent: it is over with the last of its attempts.
    Sent,
    /// Sent before, and between two attempts.
    BackingOff {
        /// It must not go where it was before.
        untried: bool,
    },
}

/// An attempt that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) backend: BackendId,
    pub(super) began: Time,
    /// Its head, or its failure, has been handled.
    pub(super) headed: bool,
    /// Its head was no failure.
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

/// The attempts of a request whose heads may still decide: one, or two when one is a hedge.
#[derive(Debug)]
pub(super) struct Awaited([Key; 2]);

/// The key of no attempt: no slab has so many slots.
const NOBODY: Key = Key { slot: u32::MAX, generation: u32::MAX };

impl Awaited {
    const NONE: Self = Self([NOBODY; 2]);

    fn add(&mut self, attempt: Key) {
        let place = self.0.iter_mut().find(|place| **place == NOBODY);
        *place.expect("a third attempt comes after the end of one before") = attempt;
    }

    /// This attempt decides nothing any more; whether another one may.
    pub(super) fn cease(&mut self, attempt: Key) -> bool {
        for place in &mut self.0 {
            if *place == attempt {
                *place = NOBODY;
            }
        }
        self.0 != [NOBODY; 2]
    }

    /// None of them decides anything any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Key> + use<> {
        std::mem::replace(self, Self::NONE).0.into_iter().filter(|key| *key != NOBODY)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().filter(|key| **key != NOBODY).count()
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

    /// An attempt will be asked for soon; one that is not the first costs a fetch in vain.
    #[inline]
    pub(super) fn prefetch(&self, attempt: Key) {
        self.requests.prefetch(attempt);
    }

    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// A request that arrives, without an attempt.
    pub(super) fn insert(
        &mut self,
        now: Time,
        meta: &RequestMeta,
        quota: Option<Quota>,
        total_by: Time,
    ) -> Key {
        let &RequestMeta { id, idempotent, replayable, key, limit_key, pin } = meta;
        let request = self.requests.insert(Request {
            first: None,
            awaited: Awaited::NONE,
            stage: Stage::Sent,
            running: 0,
            number: 0,
            hedged: false,
            idempotent,
            replayable,
            has_aside: false,
            id,
            total_by,
            sent: now,
        });
        if key.is_some() || limit_key.is_some() || pin.is_some() || quota.is_some() {
            let aside = self.aside_mut(request).expect("just inserted");
            (aside.key, aside.limit_key, aside.pin, aside.quota) = (key, limit_key, pin, quota);
        }
        request
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

    /// What was left of the rate limit when it arrived.
    pub(super) fn quota(&self, request: Key) -> Option<Quota> {
        self.aside(request)?.quota
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
    #[inline(never)] // few requests have one, and all pass by
    fn aside_mut(&mut self, key: Key) -> Option<&mut Aside> {
        let request = self.requests.get_mut(key)?;
        let slot = key.slot as usize;
        if self.asides.len() <= slot {
            self.asides.resize_with(slot + 1, Aside::default);
        }
        let aside = &mut self.asides[slot];
        if !request.has_aside {
            request.has_aside = true;
            aside.tried.clear();
            let tried = std::mem::take(&mut aside.tried);
            *aside = Aside { tried, ..Aside::default() };
        }
        Some(aside)
    }
}

/// Attempts.
impl UnderWay {
    /// One more attempt of a request, whose head may decide.
    pub(super) fn begin(&mut self, key: Key, running: Running) -> Option<(Key, &Request)> {
        let request = self.requests.get_mut(key)?;
        let attempt = if request.number == 0 {
            request.first = Some(running);
            key
        } else {
            let Key { slot, generation } = self.further.insert(Further { request: key, running });
            Key { slot: slot | MARK, generation }
        };
        request.number += 1;
        request.running += 1;
        request.awaited.add(attempt);
        Some((attempt, request))
    }

    /// An attempt that has not ended, and the key of its request.
    pub(super) fn attempt(&self, attempt: Key) -> Option<(Key, &Running)> {
        match unmarked(attempt) {
            None => Some((attempt, self.requests.get(attempt)?.first.as_ref()?)),
            Some(key) => self.further.get(key).map(|further| (further.request, &further.running)),
        }
    }

    /// The same, to be changed.
    pub(super) fn attempt_mut(&mut self, attempt: Key) -> Option<&mut Running> {
        match unmarked(attempt) {
            None => self.requests.get_mut(attempt)?.first.as_mut(),
            Some(key) => self.further.get_mut(key).map(|further| &mut further.running),
        }
    }

    /// An attempt ends. Its request knows that it no longer runs, and decides nothing any more.
    pub(super) fn end(&mut self, attempt: Key) -> Option<(Key, Running)> {
        match unmarked(attempt) {
            None => Some((attempt, self.requests.get_mut(attempt)?.first.take()?)),
            Some(key) => {
                let Further { request, running } = self.further.remove(key)?;
                Some((request, running))
            }
        }
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
    fn what_heads_and_ends_ask_for_fills_one_line() {
        let begins = std::mem::size_of::<u64>(); // of the generation that a slab puts before it
        assert_eq!(begins + std::mem::offset_of!(Request, number), 64);
        assert!(begins + std::mem::size_of::<Option<Request>>() <= 128);
    }

    #[test]
    fn an_aside_belongs_to_one_request() {
        let mut under_way = UnderWay::new();
        let by = Time::from_nanos(9);
        let first = under_way.insert(Time::ZERO, &meta(1, Some(7)), None, by);
        under_way.remember(first, backend(3));
        under_way.remember(first, backend(3));
        assert_eq!(under_way.tried(first), [backend(3)], "once");
        assert_eq!(under_way.meta(first), Some(meta(1, Some(7))));
        under_way.remove(first);
        let next = under_way.insert(Time::ZERO, &meta(2, None), None, by);
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
        let key = under_way.insert(Time::ZERO, &meta(1, None), None, Time::MAX);
        let mut attempts = Vec::new();
        for slot in 0..3 {
            let running = Running::new(Time::ZERO, backend(slot));
            let (attempt, request) = under_way.begin(key, running).expect("the request is there");
            assert_eq!((request.number, request.running), (slot + 1, slot + 1));
            let request = under_way.get_mut(key).expect("the request is there");
            assert!(!request.awaited.cease(attempt), "the only one that may decide");
            attempts.push(attempt);
        }
        for (slot, &attempt) in (0..).zip(&attempts) {
            let (request, running) = under_way.attempt(attempt).expect("it runs");
            assert_eq!((request, running.backend), (key, backend(slot)));
            let ended = under_way.end(attempt).map(|(request, running)| (request, running.backend));
            assert_eq!(ended, Some((key, backend(slot))));
            assert!(under_way.attempt(attempt).is_none() && under_way.end(attempt).is_none());
        }
    }
}
