//! Room for descriptors, made while the process has one thread. It must not raise a limit.

use std::os::fd::AsFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// As many as generator, proxy and backends need by default; 128 KiB of the kernel's memory.
const ROOM: u64 = 16_384;

/// Has the kernel's table of this process's descriptors grown at once. It doubles when it is full (at
/// 64, 128, 256 …), and where there are several threads it waits until none of them can be looking at
/// the old one, 10 to 20 ms: seen as a burst of slow requests whenever connections reach such a number.
/// Where it cannot be done nothing is lost but that.
pub(crate) fn make_room() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(ROOM);
    let last = ROOM.min(limit).saturating_sub(1);
    // The table keeps its size when the descriptor goes.
    let _ = i32::try_from(last).map(|last| fcntl_dupfd_cloexec(std::io::stderr().as_fd(), last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_room_afterwards_and_no_descriptor_is_left() {
        let open = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
        let size = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
            let line = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
            line.and_then(|size| size.trim().parse::<u64>().ok()).expect("its size")
        };
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(ROOM);
        make_room();
        assert!(size() >= ROOM.min(limit), "{}", size());
        // Other tests of this process have files open, but not so many.
        assert!(open() < 1_000);
    }
}
