//! Ties a program that is not ours to its parent: it and all that it starts end when the lifeline
//! breaks. It must not know what the program is for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::{Signal, getpgrp, getpid, kill_process_group};

use crate::lifeline;

/// A program that ended by signal N ends like this number and N, as in a shell.
const BY_SIGNAL: i32 = 128;

/// Runs a program in this process's group to its end, and gives its exit code. When the pipe
/// `lifeline` breaks before, the whole group is killed, this process with it.
///
/// # Errors
/// When this process leads no group of its own (killing the group would hit strangers), `lifeline`
/// is no open pipe, or the program cannot be started.
pub fn keep(lifeline: RawFd, program: &OsStr, arguments: &[OsString]) -> io::Result<i32> {
    let group = getpid();
    if getpgrp() != group {
        return Err(io::Error::other("it is for lab's own children, in groups of their own"));
    }
    let mut pipe = lifeline::open(lifeline)?;
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", program.to_string_lossy()))
    };
    let mut child = Command::new(program).args(arguments).spawn().map_err(named)?;
    std::thread::Builder::new().name("lifeline".into()).spawn(move || {
        lifeline::wait(&mut pipe);
        let _ = kill_process_group(group, Signal::KILL);
    })?;
    let status = child.wait()?;
    Ok(status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_its_own_is_left_alone() {
        // The test's process is led by whoever runs the tests; where it is not, there is nothing
        // to test.
        if getpgrp() != getpid() {
            let error = keep(0, OsStr::new("/bin/true"), &[]).expect_err("refused");
            assert!(error.to_string().contains("lab's own children"), "{error}");
        }
    }
}
