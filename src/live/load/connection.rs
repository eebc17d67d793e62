//! One connection to the subject: a socket, and where it stands between two requests.
//!
//! Edge-triggered: it is told of a change once, so it writes and reads until the socket has no
//! more. It must not know which request it carries for whom, nor what becomes of it afterwards.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use base::{Clock, FailureKind, Time};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use super::response::{Fed, Head, Names, Parser};

/// How often one connection is read in one turn, so that an endless answer cannot keep the loop
/// from all others: 16 buffers of 64 KiB.
const READS_PER_TURN: u32 = 16;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Idle,
    Busy,
}

/// What a socket's readiness came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Progress {
    /// Nothing yet.
    Pending,
    /// There is more to read now, and no event will say so.
    Again,
    /// The connection is open and idle.
    Connected,
    /// The connection could not be opened.
    Refused(FailureKind),
    /// The answer is whole. `reusable`: the connection is idle; otherwise it is to be closed.
    Answered {
        /// What it says.
        head: Head,
        /// Whether the connection may carry another request.
        reusable: bool,
    },
    /// The request failed, and the connection is to be closed.
    Broken(FailureKind),
    /// An idle connection was closed by its peer, or spoke unasked; it is to be closed.
    Gone,
}

/// A connection that is being opened, idle, or busy with one request.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    stage: Stage,
    parser: Parser,
    /// What of the request the socket did not take yet; its memory is kept.
    unsent: Vec<u8>,
    sent: Option<Time>,
}

/// What all connections of a loop share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Stamps first bytes.
    pub(super) clock: Clock,
    /// For `x-lab-backend`.
    pub(super) names: Names,
    /// Every read ends here; no body is kept.
    pub(super) buffer: Box<[u8]>,
    /// Whether answers have no body whatever they say (HEAD).
    pub(super) bodiless: bool,
}

impl Connection {
    /// Begins to connect; a [`Progress::Connected`] or [`Progress::Refused`] follows.
    ///
    /// # Errors
    /// The system's, mostly for want of descriptors or ports.
    pub(super) fn open(
        address: SocketAddr,
        bodiless: bool,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            stage: Stage::Connecting,
            parser: Parser::new(bodiless),
            unsent: Vec::new(),
            sent: None,
        })
    }

    /// When the first byte of the present request was written.
    pub(super) fn sent(&self) -> Option<Time> {
        self.sent
    }

    /// Whether it is still being opened.
    pub(super) fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// Whether it is open and free.
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Writes a request on an idle connection.
    ///
    /// # Errors
    /// The request failed, and the connection is to be closed.
    pub(super) fn send(&mut self, request: &[u8], clock: &Clock) -> Result<(), FailureKind> {
        debug_assert_eq!(self.stage, Stage::Idle, "a request on a connection that is not free");
        self.stage = Stage::Busy;
        self.sent = None;
        self.parser.reset();
        self.unsent.clear();
        let written = match self.stream.write(request) {
            Ok(written) => {
                self.sent = Some(clock.now());
                written
            }
            Err(error) if is_transient(&error) => 0,
            Err(_) => return Err(FailureKind::Reset),
        };
        self.unsent.extend_from_slice(&request[written..]);
        Ok(())
    }

    /// The socket is ready for something.
    pub(super) fn handle_event(&mut self, event: &Event, shared: &mut Shared) -> Progress {
        // After a close no further edge will come, so a short read does not mean there is no more.
        let closed = event.is_read_closed() || event.is_error();
        match self.stage {
            Stage::Connecting => self.finish_connect(),
            Stage::Idle => self.read_idle(shared),
            Stage::Busy => self.go_on(closed, shared),
        }
    }

    /// Goes on after [`Progress::Again`].
    pub(super) fn handle_again(&mut self, shared: &mut Shared) -> Progress {
        match self.stage {
            Stage::Busy => self.go_on(true, shared),
            Stage::Connecting | Stage::Idle => Progress::Pending,
        }
    }

    fn finish_connect(&mut self) -> Progress {
        if let Ok(Some(error)) | Err(error) = self.stream.take_error() {
            return Progress::Refused(connect_failure(&error));
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                // Requests are written whole, so waiting for more to send only costs time. A failure
                // means a connection broken already, which the first write will tell.
                let _ = self.stream.set_nodelay(true);
                self.stage = Stage::Idle;
                Progress::Connected
            }
            // An event of another kind came first.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Progress::Pending,
            Err(error) => Progress::Refused(connect_failure(&error)),
        }
    }

    /// Nothing may come while no request is under way, so whatever is there ends the connection.
    fn read_idle(&mut self, shared: &mut Shared) -> Progress {
        match self.stream.read(&mut shared.buffer) {
            Err(error) if is_transient(&error) => Progress::Pending,
            _ => Progress::Gone,
        }
    }

    fn go_on(&mut self, closed: bool, shared: &mut Shared) -> Progress {
        if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => {
                    self.sent.get_or_insert_with(|| shared.clock.now());
                    self.unsent.drain(..written);
                }
                Err(error) if is_transient(&error) => {}
                // An answer may have been given before the peer closed: read on.
                Err(_) => self.unsent.clear(),
            }
        }
        for _ in 0..READS_PER_TURN {
            match self.stream.read(&mut shared.buffer) {
                Ok(0) => return self.at_close(),
                Ok(length) => match self.parser.feed(&shared.buffer[..length], &shared.names) {
                    Err(_) => return Progress::Broken(FailureKind::Protocol),
                    Ok(Fed::Whole(used)) => return self.answered(used == length && !closed),
                    Ok(Fed::More) if length < shared.buffer.len() && !closed => {
                        return Progress::Pending;
                    }
                    Ok(Fed::More) => {}
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_transient(&error) => return Progress::Pending,
                Err(_) => return Progress::Broken(FailureKind::Reset),
            }
        }
        Progress::Again
    }

    fn at_close(&mut self) -> Progress {
        if self.parser.ends_at_close() {
            self.answered(false)
        } else {
            Progress::Broken(FailureKind::Reset)
        }
    }

    /// A whole answer; `clean` when nothing followed it and the peer still listens.
    fn answered(&mut self, clean: bool) -> Progress {
        let Some(head) = self.parser.head() else {
            // A body without a head cannot be; were it so, it would be no HTTP.
            return Progress::Broken(FailureKind::Protocol);
        };
        // An answer before the end of the request leaves the connection in the middle of it.
        let reusable = clean && head.keep_alive && self.unsent.is_empty();
        if reusable {
            self.stage = Stage::Idle;
        }
        Progress::Answered { head, reusable }
    }
}

/// Whether the system could not even try, for want of descriptors or memory.
pub(super) fn is_short_of_descriptors(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|code| short.contains(&code))
}

/// Whether the system could not even try, for want of a port of its own.
pub(super) fn is_short_of_ports(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ADDRNOTAVAIL)
}

/// Why a connection was not opened, by the system's word.
pub(super) fn connect_failure(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::TimedOut => FailureKind::ConnectTimeout,
        _ => FailureKind::Connect,
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
