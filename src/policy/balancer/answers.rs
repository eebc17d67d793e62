//! What comes of attempts: heads, failures, ends, and the answers that are head and end at once.
//! It must not know how an attempt is sent, nor what makes a head worth another one.

use base::{AttemptId, BackendId, Key, Time};

use super::Balancer;
use super::requests::{is_failure, is_good};
use super::under_way::Running;
use crate::message::{End, Head, Next};
use crate::strategy::Seen;

impl Balancer {
    /// An attempt's head is there, or it failed before. At most once per attempt.
    ///
    /// # Panics
    /// When the attempt has ended or has had its head: the shell has lost count.
    pub fn handle_head(&mut self, now: Time, attempt: AttemptId, head: Head) -> Next {
        let opened = self.requests.attempt_mut(Key::unpack(attempt.0));
        let (request, running, deciding) = opened.expect("an attempt's head comes before its end");
        assert!(!running.headed, "an attempt has one head");
        let is_good = is_good(&head);
        running.headed = true;
        running.answered = is_good;
        running.failed = is_failure(&head);
        *deciding -= u8::from(!running.lost);
        let (backend, began, lost) = (running.backend, running.began, running.lost);
        let is_race = *deciding > 0;
        self.heed_head(now, backend, began, &head);
        if lost {
            // The shell had it before it heard of the winner.
            return Next::Later;
        }
        if is_race && !self.wins_race(now, request, backend, began, &head) {
            return Next::Later;
        }
        if is_good {
            self.note_time_to_head(now, began);
        }
        if self.digest.is_final(&head) {
            Next::Deliver
        } else {
            self.try_again(now, request, backend, &head)
        }
    }

    /// An attempt is over; its in-flight count falls here. Exactly once per attempt.
    ///
    /// # Panics
    /// When the attempt has ended before: the shell has lost count.
    pub fn handle_end(&mut self, now: Time, attempt: AttemptId, end: End) {
        let ended = self.requests.end(Key::unpack(attempt.0));
        let (running, sent) = ended.expect("an attempt ends exactly once");
        self.heed_end(now, &running, sent, end);
    }

    /// An attempt's head is there, and all that follows it: [`Balancer::handle_head`], and where that
    /// says [`Next::Deliver`], a complete [`Balancer::handle_end`] at once. For every other word the
    /// end follows as usual.
    ///
    /// # Panics
    /// As the head would.
    #[inline]
    pub fn handle_answer(&mut self, now: Time, attempt: AttemptId, head: Head) -> Next {
        // Nearly always: a good answer that is alone, so that nothing is left of its request.
        if is_good(&head)
            && self.digest.is_final(&head)
            && let Some((running, sent)) = self.requests.answer_alone(Key::unpack(attempt.0))
        {
            self.heed_head(now, running.backend, running.began, &head);
            self.note_time_to_head(now, running.began);
            self.heed_end(now, &running, sent, End::Complete);
            return Next::Deliver;
        }
        self.handle_head_and_end(now, attempt, head)
    }

    #[cold]
    fn handle_head_and_end(&mut self, now: Time, attempt: AttemptId, head: Head) -> Next {
        let next = self.handle_head(now, attempt, head);
        if next == Next::Deliver {
            self.handle_end(now, attempt, End::Complete);
        }
        next
    }

    /// What a head says of its backend, whatever becomes of its request.
    #[inline(always)] // two come here, and one of them for every request
    fn heed_head(&mut self, now: Time, backend: BackendId, began: Time, head: &Head) {
        if self.consultation.learns() {
            self.tell_of_head(now, backend, began, head);
        }
        if is_good(head) {
            self.pool.note_alive(now, backend);
        } else {
            self.note_trouble(now, backend, began, head);
        }
        self.drop_void_alarms();
    }

    /// How long an attempt took that was no loser.
    #[inline(always)] // as above
    fn note_time_to_head(&mut self, now: Time, began: Time) {
        if let Some(hedger) = &mut self.hedger {
            hedger.record(now, began);
        }
    }

    /// What a head that is no good answer, or a failure, says of its backend.
    #[cold]
    fn note_trouble(&mut self, now: Time, backend: BackendId, began: Time, head: &Head) {
        if is_failure(head) {
            self.pool.attempt_failed(backend);
        }
        match *head {
            // Whatever it says, it is a sign of life.
            Head::Status { .. } => self.pool.note_alive(now, backend),
            Head::Failed { error, .. } => self.note_failed_connect(now, backend, began, error),
        }
        self.judge_head(now, backend, began, head);
        self.look_at_upkeep();
    }

    /// What an end says of its backend, which has one attempt less, and what comes next.
    #[inline(always)] // as above
    fn heed_end(&mut self, now: Time, running: &Running, sent: Time, end: End) {
        let broke = end == End::UpstreamBroke && !running.failed;
        if broke {
            self.pool.attempt_failed(running.backend);
        }
        self.judge_end(now, running, end);
        let left = self.pool.attempt_ended(running.backend);
        if self.consultation.learns() {
            let seen = match (broke, running.headed) {
                (true, _) => Some(Seen::Failure { retry_after: None }),
                (false, true) => None,
                (false, false) => Some(Seen::Nothing),
            };
            self.tell_of_end(now, running.backend, running.began, seen, left);
        }
        if running.answered
            && end == End::Complete
            && let Some(adaptive) = &mut self.adaptive
        {
            adaptive.completed(now, sent);
        }
        // Whatever waited for its head was told of it.
        if !running.headed {
            self.drop_void_alarms();
        }
        self.serve_waiting(now);
    }
}
