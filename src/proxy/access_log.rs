//! The access log: a line of JSON for each request, written by a thread of its own from a bounded
//! buffer. No request ever waits for it: a line that finds no room is counted and lost. It must not
//! know what a line says.

pub(crate) mod line;
mod sink;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use config::edge::AccessLog as Target;

use crate::log::Log;
use sink::Sink;

/// The most bytes that wait to be written: some ten thousand lines.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// How long lines are gathered before they are written: at most so many writes a second, and nobody
/// who follows the file notices.
const GATHER: Duration = Duration::from_millis(20);
/// How long a target that cannot be written is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the proxy waits for lines that nobody takes.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The access log. Its thread ends when it is dropped and all has been written.
pub(crate) struct AccessLog(Arc<Desk>);

/// What the workers and the writer share.
struct Desk {
    state: Mutex<State>,
    /// Rung for the writer: there are lines, or it shall hurry.
    work: Condvar,
    /// Rung for who waits for the writer: all lines are written.
    rest: Condvar,
    lost: AtomicU64,
    most: usize,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// The writer has lines that are not written.
    busy: bool,
    /// The writer sleeps until there is something.
    idle: bool,
    /// Nobody gathers or waits any more: what is there is written at once.
    hurry: bool,
    closed: bool,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic is done under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessLog {
    /// Opens the target and starts the writer, which tells `log` when the target cannot be written.
    ///
    /// # Errors
    /// When the file cannot be opened, or the thread not be started.
    pub(crate) fn start(target: &Target, log: &Arc<Log>) -> io::Result<Self> {
        Self::of(Sink::open(target)?, log, MAX_WAITING_BYTES)
    }

    fn of(sink: Sink, log: &Arc<Log>, most: usize) -> io::Result<Self> {
        let desk = Arc::new(Desk {
            state: Mutex::default(),
            work: Condvar::new(),
            rest: Condvar::new(),
            lost: AtomicU64::new(0),
            most,
        });
        let (writer, log) = (Writer { desk: Arc::clone(&desk), sink }, Arc::clone(log));
        // Not joined: it may wait for a reader of stdout that never comes.
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&log))?;
        Ok(Self(desk))
    }

    /// Adds a line with its end. Never waits for the writer.
    pub(crate) fn add(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > self.0.most {
            drop(state);
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        if std::mem::take(&mut state.idle) {
            self.0.work.notify_one();
        }
    }

    /// Lines that found no room so far.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, for at most [`FLUSH_LIMIT`].
    pub(crate) fn flush(&self) {
        let mut state = self.0.lock();
        state.hurry = true;
        self.0.work.notify_one();
        let unwritten = |state: &mut State| state.busy || !state.waiting.is_empty();
        // Nobody takes them: what is not written by now is lost.
        drop(self.0.rest.wait_timeout_while(state, FLUSH_LIMIT, unwritten));
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_one();
    }
}

struct Writer {
    desk: Arc<Desk>,
    sink: Sink,
}

impl Writer {
    fn run(mut self, log: &Log) {
        let mut batch = vec![];
        while self.next(&mut batch) {
            self.write(&batch, log);
            batch.clear();
        }
    }

    /// Waits for lines and gathers some; `false` at the end.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.desk.lock();
        state.busy = false;
        if state.waiting.is_empty() {
            self.desk.rest.notify_all();
        }
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state.idle = true;
            state = self.desk.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.hurry && !state.closed {
            let waits = |state: &mut State| !state.hurry && !state.closed;
            let gathered = self.desk.work.wait_timeout_while(state, GATHER, waits);
            state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        // The memory goes back and forth between the two.
        std::mem::swap(&mut state.waiting, batch);
        (state.idle, state.busy) = (false, true);
        true
    }

    /// Writes all lines, however long it takes; only when the proxy ends are they given up.
    fn write(&mut self, batch: &[u8], log: &Log) {
        let mut at = 0;
        let mut failed: Option<u64> = None;
        while at < batch.len() {
            match self.sink.write(batch, &mut at) {
                Ok(()) => {}
                Err(error) => {
                    failed.get_or_insert_with(|| {
                        log.line(format!("access log {}: {error}; trying again", self.sink));
                        self.desk.lost.load(Ordering::Relaxed)
                    });
                    if !self.pause() {
                        return;
                    }
                }
            }
        }
        if let Some(before) = failed {
            let lost = self.desk.lost.load(Ordering::Relaxed) - before;
            log.line(format!("access log {}: written again; lines lost: {lost}", self.sink));
        }
    }

    /// Waits before another try; `false` when there shall be none.
    fn pause(&self) -> bool {
        let (until, mut state) = (Instant::now() + RETRY, self.desk.lock());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return !state.closed;
            }
            let waited = self.desk.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// Only a broken log waits for it.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn log() -> Arc<Log> {
        Arc::new(Log::start().expect("a thread"))
    }

    fn start(path: &Path) -> AccessLog {
        AccessLog::start(&Target::File(path.into()), &log()).expect("a file")
    }

    fn eventually(path: &Path, expected: &str) {
        let began = Instant::now();
        while fs::read_to_string(path).ok().as_deref() != Some(expected) {
            assert!(began.elapsed() < PATIENCE, "{}", fs::read_to_string(path).unwrap_or_default());
            thread::yield_now();
        }
    }

    #[test]
    fn lines_are_added_to_a_file_that_is_made_when_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let log = start(&path);
        let mode = fs::metadata(&path).expect("made at once").permissions().mode();
        assert_eq!(mode & 0o137, 0, "nobody else reads it: {mode:o}");
        log.add(b"a\n");
        eventually(&path, "a\n");
        log.add(b"b\n");
        log.flush();
        eventually(&path, "a\nb\n");
        drop(log);
        let log = start(&path);
        log.add(b"c\n");
        drop(log);
        eventually(&path, "a\nb\nc\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        let log = start(&path);
        log.add(b"a\n");
        log.flush();
        fs::rename(&path, &old).expect("the same folder");
        log.add(b"b\n");
        log.flush();
        eventually(&path, "b\n");
        eventually(&old, "a\n");
    }

    #[test]
    fn a_missing_folder_is_waited_for_and_what_finds_no_room_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let (there, away) = (folder.path().join("there"), folder.path().join("away"));
        fs::create_dir(&there).expect("a folder");
        let path = there.join("a.log");
        let sink = Sink::open(&Target::File(path.clone())).expect("a file");
        let log = AccessLog::of(sink, &log(), 8).expect("a thread");
        fs::rename(&there, &away).expect("the same folder");
        log.add(b"first\n");
        // The writer has taken the first one when the second has room.
        let began = Instant::now();
        while !log.0.lock().busy {
            assert!(began.elapsed() < PATIENCE, "the writer sleeps");
            thread::yield_now();
        }
        log.add(b"second\n");
        log.add(b"third\n");
        assert_eq!(log.lost(), 1);
        fs::create_dir(&there).expect("a folder");
        eventually(&path, "first\nsecond\n");
    }

    #[test]
    fn nobody_waits_for_a_reader_of_stdout() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let log = AccessLog::of(Sink::stream(writer.into()), &log(), 8).expect("a thread");
        // More than any pipe holds: the writer stands, and no one else does.
        let line = vec![b'x'; 8];
        let began = Instant::now();
        while log.lost() < 1_000_000 {
            log.add(&line);
            assert!(began.elapsed() < PATIENCE, "it is counted");
        }
        drop(reader);
        // From here on every write fails, at which nobody panics.
        log.flush();
        log.add(&line);
    }

    #[test]
    fn nobody_waits_for_a_full_disk() {
        let sink = Sink::open(&Target::File("/dev/full".into())).expect("this system has it");
        let log = AccessLog::of(sink, &log(), 8).expect("a thread");
        for _ in 0..100 {
            log.add(b"line\n");
        }
        assert!(log.lost() >= 97, "{}", log.lost());
    }
}
