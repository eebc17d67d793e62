//! Requests that wait inside: who lets them in, whose time is over, who leaves. It must not pick.
//!
//! With a queue a request waits for whatever is in its way, also while no backend is ready at all:
//! so do nginx Plus and Angie, whose `queue` bridges a short outage; HAProxy queues for room alone
//! and refuses at once when every server is down. Nobody overtakes: who comes while others wait,
//! waits behind them. A retry does not wait in the queue, for its request has been let in before;
//! it finds room or does not happen.

use base::{Key, RequestId, Time};

use super::Balancer;
use super::under_way::Stage;
use crate::alarms::Alarm;
use crate::message::{Output, Reject};

impl Balancer {
    /// The client of a waiting request left. Nothing for a request that does not wait (any more).
    pub fn handle_cancel(&mut self, now: Time, request: RequestId) {
        if let Some(key) = self.waiting.get(request.0) {
            self.stop_waiting(key);
            self.drop_void_alarms();
            self.serve_waiting(now);
        }
    }

    /// Puts a request at the end of the queue, which has a place.
    pub(super) fn let_wait(&mut self, now: Time, key: Key) {
        let request = self.requests.get_mut(key).expect("it was taken in");
        let place = self.queue.push(key, now, request.total_by);
        request.wait_at(place);
        self.waiting.insert(request.id.0, key);
    }

    /// Sends those whose turn it is, and refuses those whose time is over. To be called whenever
    /// something that they wait for may have come.
    #[inline]
    pub(super) fn serve_waiting(&mut self, now: Time) {
        if !self.queue.is_empty() {
            self.serve_queue(now);
        }
    }

    fn serve_queue(&mut self, now: Time) {
        while let Some(key) = self.queue.first() {
            if self.queue.next_end() <= now {
                self.refuse(key, Reject::QueueTimeout);
                continue;
            }
            self.refresh();
            if self.obstacle(now).is_some() {
                return;
            }
            self.leave(key);
            let meta = self.requests.meta(key).expect("it waits no longer, but is not over");
            self.requests.get_mut(key).expect("found above").sent = now;
            let backend = self.pick_first(now, &meta);
            let attempt = self.begin_attempt(now, key, backend);
            self.outputs.push_back(Output::Send(attempt));
        }
    }

    /// Refuses those for whom the queue has no place any more, the last to come first.
    pub(super) fn refuse_surplus(&mut self) {
        while let Some(key) = self.queue.surplus() {
            self.refuse(key, Reject::QueueFull);
        }
    }

    /// Ends a waiting request, and says so.
    pub(super) fn refuse(&mut self, key: Key, why: Reject) {
        if let Some(request) = self.stop_waiting(key) {
            self.counts.reject(why);
            self.outputs.push_back(Output::Reject(request, why));
        }
    }

    /// Drops alarms that nobody waits for.
    #[inline]
    pub(super) fn drop_void_alarms(&mut self) {
        if self.alarms.is_empty() {
            return;
        }
        let requests = &self.requests;
        self.alarms.drop_void(|alarm| match alarm {
            Alarm::Hedge(key) => requests.attempt(key).is_none_or(|(_, running)| running.headed),
            Alarm::Resume(key) => !requests
                .get(key)
                .is_some_and(|request| matches!(request.stage, Stage::BackingOff { .. })),
        });
    }

    /// Forgets a waiting request.
    fn stop_waiting(&mut self, key: Key) -> Option<RequestId> {
        self.leave(key);
        let request = self.requests.get(key)?;
        let id = request.id;
        // The attempt before the backoff may not have been ended yet; the request goes with it.
        if request.running == 0 {
            self.requests.remove(key);
        }
        Some(id)
    }

    /// A request waits no longer, whatever comes next.
    pub(super) fn leave(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        if let Some(place) = request.stop_waiting() {
            self.queue.leave(place);
        }
        self.waiting.remove(request.id.0);
    }
}
