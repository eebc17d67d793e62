//! One request, whichever protocol it came by: what is kept of its head, how it gets a backend's
//! answer, and the head of what it gets. It must not know connections, nor how bytes reach the
//! client.

use std::future::poll_fn;
use std::rc::Rc;

use base::{RequestId, RequestMeta, Time};
use policy::Explanation;

use crate::answer::Own;
use crate::buffers::{Buffer, Reusable, clear_text};
use crate::exchange::Exchange;
use crate::explain;
use crate::forward::{self, NoAnswer};
use crate::forwarded::Origin;
use crate::headers::{self, Dress};
use crate::http1::{Kind, Method, Receiver, RequestHead, Version, Violation};
use crate::journal::{Ending, Journal};
use crate::parcel::Parcel;
use crate::upload::{Fault, Upload};
use crate::worker::Worker;

/// The memory of a request; who serves one has it while there is something to do.
#[derive(Default)]
pub(crate) struct Desk {
    /// What the client sent and is not consumed.
    pub(crate) input: Buffer,
    pub(crate) head: RequestHead,
    pub(crate) parcel: Parcel,
    /// What is written to the client.
    pub(crate) reply: Vec<u8>,
    pub(crate) journal: Journal,
}

impl Reusable for Desk {
    fn clear(&mut self) {
        Reusable::clear(&mut self.input);
        self.head.clear();
        self.parcel.clear();
        clear_text(&mut self.reply);
        self.journal.clear();
    }
}

/// What is kept of a request's head when its bytes have gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    pub(crate) method: Method,
    pub(crate) keeps_alive: bool,
    /// What its sticky cookie says.
    pin: Option<u64>,
    /// It wants to know what it was picked from.
    explain: bool,
}

impl Asked {
    /// A request whose head was refused.
    const fn refused(version: Version) -> Self {
        Self { version, method: Method::Other, keeps_alive: false, pin: None, explain: false }
    }

    fn of(origin: &Origin<'_>, pin: Option<u64>) -> Self {
        let Origin { head, bytes, edge, .. } = *origin;
        Self {
            version: origin.version,
            method: head.method(),
            keeps_alive: head.keeps_alive(),
            pin,
            explain: edge.explain && head.get(explain::NAME, bytes) == Some(b"1"),
        }
    }
}

/// One request. Its journal is handed over when it is dropped.
pub(crate) struct Request<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) parcel: &'a mut Parcel,
    /// What is written to the client.
    pub(crate) reply: &'a mut Vec<u8>,
    pub(crate) journal: &'a mut Journal,
    pub(crate) asked: Asked,
    /// What it was picked from, if it wants to know.
    explanation: Option<Explanation>,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.journal.bytes_in = self.parcel.body_bytes();
        self.worker.finished(self.journal);
    }
}

impl<'a> Request<'a> {
    /// One whose head is whole, and what the balancer may know of it; whoever reads its body says
    /// whether it can be sent again.
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        origin: &Origin<'_>,
        parcel: &'a mut Parcel,
        reply: &'a mut Vec<u8>,
        journal: &'a mut Journal,
    ) -> (Self, RequestMeta) {
        let rules = worker.rules();
        let meta = rules.read(worker.request_id(), origin);
        let asked = Asked::of(origin, meta.pin);
        journal.clear();
        (journal.began, journal.read) = (worker.log_time(), worker.log_time());
        parcel.clear();
        headers::to_backend(origin, || worker.request_id_text(meta.id), parcel);
        parcel.keep = meta.idempotent && rules.may_repeat;
        note(worker, origin, meta.id, journal);
        (Self { worker, parcel, reply, journal, asked, explanation: None }, meta)
    }

    /// One whose head is refused, by a client that speaks `version`.
    pub(crate) fn refused(
        worker: &'a Rc<Worker>,
        version: Version,
        parcel: &'a mut Parcel,
        reply: &'a mut Vec<u8>,
        journal: &'a mut Journal,
    ) -> Self {
        worker.counters.refused.increment();
        journal.clear();
        (journal.began, journal.read) = (worker.log_time(), worker.log_time());
        parcel.clear();
        let asked = Asked::refused(version);
        Self { worker, parcel, reply, journal, asked, explanation: None }
    }

    /// Notes, where there is an access log, when its first byte was there and, if its head does not
    /// tell, who asked.
    pub(crate) fn came(&mut self, began: Time, peer: &[u8]) {
        if self.worker.shared.edge.logs {
            self.journal.began = began;
            let client = &mut self.journal.texts.client;
            if client.is_empty() {
                client.extend_from_slice(peer);
            }
        }
    }

    /// Waits for the first bytes of the body, if there is one, and sends the request.
    pub(crate) async fn obtain<U: Upload>(
        &mut self,
        mut meta: RequestMeta,
        upload: &mut U,
    ) -> Result<Exchange, NoAnswer> {
        if self.asked.method == Method::Connect {
            return Err(NoAnswer::Own(Own::new(501, "CONNECT is not supported here")));
        }
        // They go out together with the head; and no backend is kept waiting for them, nor sees
        // anything of a body that is malformed at once.
        let fault = poll_fn(|cx| upload.poll_bytes(cx).map(Result::err)).await;
        meta.replayable = self.parcel.keep && upload.is_at_hand();
        if self.asked.explain {
            self.explanation = Some(self.worker.shared.explain(&meta));
        }
        let outcome = match fault {
            None => forward::obtain(self.worker, meta, self.parcel, upload, self.journal).await,
            Some(fault) => Err(NoAnswer::Own(Own::of_fault(fault))),
        };
        if matches!(upload.fault(), Some(Fault::Framing(_))) {
            self.worker.counters.refused.increment();
        }
        outcome
    }

    /// Puts the head of a backend's answer into the reply. `keep_alive`: the client's connection
    /// stays open behind it. `chunked`: the body gets chunks on the way that it has not.
    pub(crate) fn put_head(&mut self, exchange: &Exchange, keep_alive: bool, chunked: bool) {
        let rules = self.worker.rules();
        let dress = Dress {
            to: Receiver { version: self.asked.version, keep_alive },
            chunked,
            cookie: rules.cookie.as_deref().map(|name| (name, self.asked.pin)),
            is_secret: self.worker.shared.edge.tls,
            explanation: self.explanation.as_ref(),
            today: &self.worker.today,
        };
        self.journal.status = exchange.head().status();
        self.reply.clear();
        headers::to_client(exchange, &dress, self.reply);
    }

    /// Puts the head of an answer of the proxy itself into the reply.
    pub(crate) fn put_own_head(&mut self, own: &Own, keep_alive: bool) {
        let to = Receiver { version: self.asked.version, keep_alive };
        self.journal.status = own.status;
        self.journal.ending = Ending::Own;
        if self.worker.shared.edge.logs {
            self.journal.texts.reason.extend_from_slice(own.text.as_bytes());
        }
        self.reply.clear();
        headers::own_to_client(own, to, &self.worker.today, self.reply);
    }
}

/// The answer to a request whose head is refused.
pub(crate) fn refusal(violation: Violation) -> Own {
    Own::of_fault(Fault::Framing(violation))
}

/// Notes what the access log says of a request, where there is one.
fn note(worker: &Worker, origin: &Origin<'_>, id: RequestId, journal: &mut Journal) {
    journal.id = Some(id);
    if !origin.edge.logs {
        return;
    }
    let Origin { head, bytes, version, .. } = *origin;
    journal.protocol = match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    };
    let texts = &mut journal.texts;
    texts.client.extend_from_slice(origin.client());
    texts.method.extend_from_slice(head.method_text(bytes));
    texts.target.extend_from_slice(head.target(bytes));
    texts.host.extend_from_slice(head.host(bytes).unwrap_or_default());
    match origin.trusted(Kind::XRequestId) {
        Some(theirs) => texts.request_id.extend_from_slice(theirs),
        None if origin.edge.request_id => {
            texts.request_id.extend_from_slice(&worker.request_id_text(id));
        }
        None => {}
    }
}
