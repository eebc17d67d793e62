//! The precedence of the generator's thread among those that want its core. It must not touch
//! another thread.

use rustix::process::{getpriority_process, setpriority_process};

/// The nice value asked for. On a core shared with compilers (load average 9 on two cores), of 5,000
/// requests/s 31–33 % were late by more than 1 ms at 0, and 18–24 % at −15, in three turns each.
const NICE: i32 = -15;

/// Raises the priority of the thread that makes it, and puts it back when dropped.
///
/// A generator that waits for its core measures the scheduler: the kernel lets the others finish
/// their slices of some 3 ms first. It uses little CPU, so what it takes from a subject on the same
/// core is small beside that. Without the right to do so (CAP_SYS_NICE) nothing changes, and
/// lateness is charged to the generator as ever.
#[derive(Debug)]
pub(super) struct Priority {
    /// To go back to; `None` when nothing was changed.
    before: Option<i32>,
}

impl Priority {
    /// For this thread, as far as the system allows.
    pub(super) fn raise() -> Self {
        // On Linux the nice value of "process 0" is the calling thread's own (setpriority(2)).
        let before = getpriority_process(None).ok().filter(|&before| before > NICE);
        Self { before: before.filter(|_| setpriority_process(None, NICE).is_ok()) }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // Anyone may step back; were it refused, a thread that ends now keeps its priority.
            let _ = setpriority_process(None, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_is_raised_for_this_thread_alone_and_put_back() {
        let nice = || getpriority_process(None).expect("every thread has one");
        let (asked, raised) = std::sync::mpsc::channel();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let before = nice();
        let other = std::thread::spawn(move || {
            let at_first = nice();
            let priority = Priority::raise();
            let expected = if priority.before.is_some() { NICE } else { at_first };
            assert_eq!(nice(), expected);
            asked.send(()).expect("the test waits");
            told.recv().expect("the test goes on");
            drop(priority);
            assert_eq!(nice(), at_first);
        });
        raised.recv().expect("the thread has raised its priority");
        assert_eq!(nice(), before, "another thread's priority is its own");
        tell.send(()).expect("the thread waits");
        other.join().expect("the thread is content");
    }
}
