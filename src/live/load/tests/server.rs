//! Small servers for the generator's tests: one thread a connection, each following a script.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::load::Target;

/// The answer of a server that is well.
pub(super) const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nx-lab-backend: a-2\r\ncontent-length: 2\r\n\r\nok";

/// What a server writes when it has read a request's head, and what it does then.
pub(super) type Script = fn(&mut TcpStream) -> Then;

/// What a server does with the connection after its answer.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// Reads the next request.
    Keep,
    /// Closes it.
    Close,
    /// Resets it.
    Reset,
}

/// Writes an answer; a client that has gone is not the server's trouble.
pub(super) fn say(stream: &mut TcpStream, text: &[u8], then: Then) -> Then {
    match stream.write_all(text) {
        Ok(()) => then,
        Err(_) => Then::Close,
    }
}

/// A server that is stopped, with all its threads, when it is dropped. Clients must have gone by
/// then.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    stopped: Arc<AtomicBool>,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: Option<JoinHandle<usize>>,
}

impl Server {
    /// Listens on a free port.
    pub(super) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stopped, heads) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let shared = (Arc::clone(&stopped), Arc::clone(&heads));
        let accepting = std::thread::spawn(move || accept(&listener, script, &shared.0, &shared.1));
        Self { address, stopped, heads, accepting: Some(accepting) }
    }

    /// This server alone, with two names of backends.
    pub(super) fn target(&self) -> Target {
        Target { addresses: vec![self.address], backends: vec!["a-1".into(), "a-2".into()] }
    }

    /// Stops it; returns the heads of all requests and the number of connections.
    pub(super) fn stop(mut self) -> (Vec<String>, usize) {
        let connections = self.join();
        let heads = std::mem::take(&mut *self.heads.lock().expect("no server thread panicked"));
        (heads, connections)
    }

    fn join(&mut self) -> usize {
        let Some(accepting) = self.accepting.take() else { return 0 };
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        accepting.join().expect("a server that does not panic")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

fn accept(
    listener: &TcpListener,
    script: Script,
    stopped: &AtomicBool,
    heads: &Arc<Mutex<Vec<String>>>,
) -> usize {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if stopped.load(Ordering::SeqCst) {
            break;
        }
        let stream = stream.expect("an accepted connection");
        let heads = Arc::clone(heads);
        threads.push(std::thread::spawn(move || serve(stream, script, &heads)));
    }
    let connections = threads.len();
    for thread in threads {
        thread.join().expect("a server thread that does not panic");
    }
    connections
}

fn serve(mut stream: TcpStream, script: Script, heads: &Mutex<Vec<String>>) {
    stream.set_nodelay(true).expect("an option that every socket has");
    loop {
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        heads.lock().expect("heads").push(String::from_utf8_lossy(&head).into_owned());
        match script(&mut stream) {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => {
                let socket = socket2::SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).expect("linger");
                return;
            }
        }
    }
}
