//! What a child prints: copied to a file, its first line handed over, its last lines remembered.
//! It must not know what the lines mean.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// As many lines are shown when a child dies.
const LAST_LINES: usize = 10;
/// Longer lines are cut in the memory (not in the file): a child's line must not fill ours.
const LINE_LIMIT: usize = 4096;
/// The first line is for a program: the ready line of 100,000 backends is some 6 MiB long.
const FIRST_LINE_LIMIT: usize = 16 << 20;
/// A child in a loop must not fill the disk; what comes after is read and thrown away.
const FILE_LIMIT: u64 = 64 << 20;

/// Both streams of a child, each copied by a thread of its own until it ends.
pub(crate) struct Output {
    last: Arc<Mutex<VecDeque<String>>>,
    first: Receiver<String>,
    ends: Receiver<()>,
}

impl Output {
    /// Copies `stdout` and `stderr` to their files until they end.
    pub(crate) fn follow(
        (stdout, out_file): (impl Read + Send + 'static, File),
        (stderr, err_file): (impl Read + Send + 'static, File),
    ) -> io::Result<Self> {
        let last = Arc::new(Mutex::new(VecDeque::with_capacity(LAST_LINES)));
        let (first_sender, first) = sync_channel(1);
        let (end_sender, ends) = sync_channel(2);
        let lines = Lines::new(Arc::clone(&last), Some(first_sender));
        copy(stdout, out_file, lines, end_sender.clone())?;
        let lines = Lines::new(Arc::clone(&last), None);
        copy(stderr, err_file, lines, end_sender)?;
        Ok(Self { last, first, ends })
    }

    /// The first line on stdout. `Disconnected` when the stream ended without one, or when it was
    /// asked for before.
    pub(crate) fn first_line(&self, within: Duration) -> Result<String, RecvTimeoutError> {
        self.first.recv_timeout(within)
    }

    /// Waits until both streams have ended, so that [`Output::last_lines`] is complete; at most
    /// `within` a stream, because a stranger may hold one open.
    pub(crate) fn wait(&self, within: Duration) {
        for _ in 0..2 {
            if self.ends.recv_timeout(within).is_err() {
                return;
            }
        }
    }

    /// The last lines of both streams, in the order they came in.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn copy(
    mut stream: impl Read + Send + 'static,
    mut file: File,
    mut lines: Lines,
    end: SyncSender<()>,
) -> io::Result<()> {
    std::thread::Builder::new().name("output".into()).spawn(move || {
        let mut buffer = vec![0; 8192];
        let mut room = FILE_LIMIT;
        loop {
            let count = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let kept = usize::try_from(room).map_or(count, |room| room.min(count));
            // A full disk must not stop the child, which would block on a pipe that nobody reads.
            let _ = file.write_all(&buffer[..kept]);
            room -= kept as u64;
            lines.push(&buffer[..count]);
        }
        lines.finish();
        let _ = end.send(());
    })?;
    Ok(())
}

/// Cuts a stream into lines.
struct Lines {
    last: Arc<Mutex<VecDeque<String>>>,
    first: Option<SyncSender<String>>,
    open: Vec<u8>,
}

impl Lines {
    const fn new(last: Arc<Mutex<VecDeque<String>>>, first: Option<SyncSender<String>>) -> Self {
        Self { last, first, open: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ended) = part.strip_suffix(b"\n").map_or((part, false), |line| (line, true));
            let limit = if self.first.is_some() { FIRST_LINE_LIMIT } else { LINE_LIMIT };
            let room = limit.saturating_sub(self.open.len());
            self.open.extend_from_slice(&line[..line.len().min(room)]);
            if ended {
                self.line();
            }
        }
    }

    fn finish(&mut self) {
        if !self.open.is_empty() {
            self.line();
        }
        self.first = None;
    }

    fn line(&mut self) {
        if let Some(first) = self.first.take() {
            let line = String::from_utf8_lossy(&self.open).trim_end().to_owned();
            let _ = first.try_send(line);
        }
        self.open.truncate(LINE_LIMIT);
        let line = String::from_utf8_lossy(&self.open).trim_end().to_owned();
        self.open.clear();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> (Option<String>, Vec<String>) {
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, first) = sync_channel(1);
        let mut lines = Lines::new(Arc::clone(&last), Some(sender));
        chunks.iter().for_each(|chunk| lines.push(chunk));
        lines.finish();
        let last = last.lock().expect("no panic").iter().cloned().collect();
        (first.try_recv().ok(), last)
    }

    #[test]
    fn lines_are_cut_wherever_the_stream_is_cut() {
        let table: [(&[&str], Option<&str>, &[&str]); 6] = [
            (&[], None, &[]),
            (&["a\nb\n"], Some("a"), &["a", "b"]),
            (&["a", "b\r\n", "c"], Some("ab"), &["ab", "c"]),
            (&["\n"], Some(""), &[""]),
            (&["no line"], Some("no line"), &["no line"]),
            (
                &["1\n2\n3\n4\n5\n6\n", "7\n8\n9\n10\n11\n12"],
                Some("1"),
                &["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"],
            ),
        ];
        for (chunks, first, last) in table {
            let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            let (got_first, got_last) = lines_of(&chunks);
            assert_eq!(got_first.as_deref(), first, "{chunks:?}");
            assert_eq!(got_last, last, "{chunks:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut_in_memory() {
        let long = [b'x'; 3 * LINE_LIMIT];
        let (first, last) = lines_of(&[&long, b"\n", &long, b"\nnext"]);
        let lengths: Vec<usize> = last.iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_LIMIT, LINE_LIMIT, 4]);
        assert_eq!(first.map(|line| line.len()), Some(long.len()), "the ready line is whole");
    }
}
