//! The way of attempts where the machine takes time beside the service. It must not be on the way
//! of a trial that is played without.

use base::{Key, Time};

use super::{Engine, Event};

impl Engine<'_> {
    /// An attempt begins; it sets out, or knocks, when its time there is over.
    #[cold]
    pub(super) fn send_late(&mut self, leg: Key, connect_by: Time) {
        let Some(late) = &self.late else { return };
        let attempt = self.legs.get_mut(leg).expect("it was inserted just now");
        let (backend, balancer) = (attempt.order.backend, attempt.order.balancer);
        let reused = self.kept.take(backend, balancer);
        let request = self.client.get_mut(attempt.request).expect("open while it has an attempt");
        let at = self.now + late.there(request.luck(attempt.order.number), reused);
        if reused {
            attempt.reused = true;
            attempt.connection = Some(self.servers[backend as usize].connection());
        } else if connect_by < at + 2 * self.delay {
            self.agenda.push(connect_by, Event::ConnectBy(leg));
        }
        self.agenda.push(at, Event::SetOut(leg));
    }

    /// Its time there is over.
    pub(super) fn set_out(&mut self, leg: Key) {
        match self.legs.get(leg).map(|attempt| attempt.connection) {
            Some(Some(connection)) => self.transmit(leg, connection),
            Some(None) => self.travel(Event::Knock(leg)),
            None => {}
        }
    }

    /// Something of an attempt comes back; one that has ended meanwhile finds nobody at any time.
    #[cold]
    pub(super) fn return_late(&mut self, leg: Key, event: Event) {
        let attempt = self.legs.get(leg).map(|attempt| (attempt.request, attempt.order.number));
        let luck =
            attempt.and_then(|(request, number)| Some(self.client.get_mut(request)?.luck(number)));
        let back = self.late.as_ref().zip(luck).map(|(late, luck)| late.back(luck));
        self.agenda.push(self.now + self.delay + back.unwrap_or_default(), event);
    }
}
