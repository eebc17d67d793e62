//! The log on stderr, written by a thread of its own: whoever reports something never waits for the
//! reader of the log, and does not care whether there is one. It must not know what is reported.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The most lines that wait to be written; what comes while there are so many is counted only.
const MAX_WAITING_LINES: usize = 4096;
/// How long the end of the proxy waits for lines that nobody takes.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

enum Entry {
    Line(String),
    /// Answered when everything before it has been written.
    Flush(SyncSender<()>),
}

/// The log. Its thread ends when it is dropped and all has been written.
pub(crate) struct Log {
    entries: SyncSender<Entry>,
    /// Lines that found no room since the last that did.
    lost: AtomicU64,
}

impl Log {
    /// A log on stderr.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        Self::to(io::stderr())
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (entries, waiting) = sync_channel(MAX_WAITING_LINES);
        // Not joined: it may wait for a reader of stderr that never comes.
        thread::Builder::new().name("log".into()).spawn(move || write_all(&waiting, out))?;
        Ok(Self { entries, lost: AtomicU64::new(0) })
    }

    /// Logs a line. Never waits.
    pub(crate) fn line(&self, line: String) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let line = match lost {
            0 => line,
            lost => format!("{lost} lines were lost: the log was not read\n{line}"),
        };
        if self.entries.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    /// Waits until what was logged has been written, for at most [`FLUSH_LIMIT`].
    pub(crate) fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.entries.try_send(Entry::Flush(written)).is_ok() {
            // Nobody reads: what is not written by now is lost.
            let _ = wait.recv_timeout(FLUSH_LIMIT);
        }
    }
}

fn write_all(entries: &Receiver<Entry>, mut out: impl Write) {
    while let Ok(entry) = entries.recv() {
        match entry {
            // A log that cannot be written is no reason to stop balancing.
            Entry::Line(line) => drop(writeln!(out, "{line}")),
            // Whoever waited may have given up.
            Entry::Flush(written) => drop(written.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until the test has sent something, then fails.
    struct Full(Receiver<()>, Sender<()>);

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.1.send(());
            let _ = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_in_their_order_and_all_before_the_end() {
        let page = Page::default();
        let log = Log::to(page.clone()).expect("a thread");
        for line in ["a", "b", "c"] {
            log.line(line.into());
        }
        log.flush();
        assert_eq!(*page.0.lock().expect("no panic"), b"a\nb\nc\n");
    }

    #[test]
    fn nobody_waits_for_a_reader_who_is_not_there() {
        let ((open, gate), (busy, is_busy)) = (channel(), channel());
        let log = Log::to(Full(gate, busy)).expect("a thread");
        log.line("held".into());
        is_busy.recv().expect("the writer lives");
        for _ in 0..MAX_WAITING_LINES + 10 {
            log.line("more".into());
        }
        assert_eq!(log.lost.load(Ordering::Relaxed), 10);
        log.flush();
        // And from here on every write fails, at which nobody panics.
        drop(open);
        while log.entries.try_send(Entry::Line("last".into())).is_err() {
            thread::yield_now();
        }
        log.flush();
    }
}
