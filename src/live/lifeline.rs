//! The end of the pipe that ties a child to its parent. It must not know what the child does.
//!
//! A signal on the parent's death is tied to the parent's *thread* and lost across an exec of
//! another user; the end of a pipe comes however the parent ends, SIGKILL included.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::io::ioctl_fionbio;

/// What the process exits with when its parent is gone; nobody is left to read it.
const ORPHANED: i32 = 4;

/// Ends this process as soon as the other end of pipe `fd` is closed. Returns at once; a thread
/// waits. Linux only: the pipe is opened anew through `/proc/self/fd`, so the number need not be
/// trusted to be ours.
///
/// # Errors
/// When `fd` is not an open pipe, or no thread can be started.
pub fn watch(fd: RawFd) -> io::Result<()> {
    let mut pipe = open(fd)?;
    std::thread::Builder::new().name("lifeline".into()).spawn(move || {
        wait(&mut pipe);
        std::process::exit(ORPHANED);
    })?;
    Ok(())
}

/// The pipe of this number, opened anew.
pub(crate) fn open(fd: RawFd) -> io::Result<File> {
    // A pipe without a writer makes a plain open wait for one, for ever; so without waiting here,
    // and with waiting from then on.
    let nonblock = i32::try_from(rustix::pipe::PipeFlags::NONBLOCK.bits())
        .expect("O_NONBLOCK is a small number");
    let pipe = File::options()
        .read(true)
        .custom_flags(nonblock)
        .open(format!("/proc/self/fd/{fd}"))
        .map_err(|e| io::Error::new(e.kind(), format!("lifeline {fd} is not an open pipe: {e}")))?;
    ioctl_fionbio(&pipe, false)?;
    Ok(pipe)
}

/// Returns when the last writer is gone. Bytes that come are of no meaning.
pub(crate) fn wait(pipe: &mut impl Read) {
    let mut buffer = [0; 64];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn the_wait_ends_with_the_last_writer_and_not_before() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let mut pipe = open(read.as_raw_fd()).expect("opened anew");
        let (ended, end) = mpsc::channel();
        let waiter = std::thread::spawn(move || {
            wait(&mut pipe);
            ended.send(()).expect("the test waits");
        });
        rustix::io::write(&write, b"still here").expect("a reader is there");
        assert_eq!(
            end.recv_timeout(Duration::from_millis(50)),
            Err(mpsc::RecvTimeoutError::Timeout)
        );
        drop(write);
        end.recv_timeout(Duration::from_secs(10)).expect("the wait ends");
        waiter.join().expect("no panic");
    }

    #[test]
    fn a_parent_that_is_gone_before_the_open_is_noticed_too() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        drop(write);
        wait(&mut open(read.as_raw_fd()).expect("opened anew"));
    }

    #[test]
    fn a_number_that_is_no_pipe_is_an_error() {
        let error = watch(-1).expect_err("no such descriptor");
        assert!(error.to_string().contains("lifeline -1"), "{error}");
    }
}
