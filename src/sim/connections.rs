//! Connections that are kept open for the next attempt: each balancer has its own to each backend.
//! It must not know what becomes of them on a network.

use base::prefetch;

/// How many each balancer keeps to each backend.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Those of all balancers to the first backend, then to the second, …
    counts: Vec<u32>,
    balancers: usize,
}

impl Kept {
    pub(crate) fn new(backends: usize, balancers: usize) -> Self {
        Self { counts: vec![0; backends * balancers], balancers }
    }

    /// Takes one out; whether there was one.
    pub(crate) fn take(&mut self, backend: u32, balancer: u32) -> bool {
        let count = self.count(backend, balancer);
        let left = count.checked_sub(1);
        *count = left.unwrap_or(0);
        left.is_some()
    }

    /// Those of a balancer to a backend will be counted soon.
    #[inline]
    pub(crate) fn prefetch(&self, backend: u32, balancer: u32) {
        self.counts.get(self.place(backend, balancer)).inspect(|count| prefetch(*count));
    }

    /// One more.
    pub(crate) fn put(&mut self, backend: u32, balancer: u32) {
        *self.count(backend, balancer) += 1;
    }

    /// All connections to this backend were reset.
    pub(crate) fn lose(&mut self, backend: usize) {
        let first = backend * self.balancers;
        self.counts[first..first + self.balancers].fill(0);
    }

    fn count(&mut self, backend: u32, balancer: u32) -> &mut u32 {
        let place = self.place(backend, balancer);
        &mut self.counts[place]
    }

    const fn place(&self, backend: u32, balancer: u32) -> usize {
        backend as usize * self.balancers + balancer as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_balancer_has_its_own() {
        let mut kept = Kept::new(3, 2);
        for (backend, balancer) in [(0, 0), (1, 0), (1, 1), (1, 1), (2, 1)] {
            kept.put(backend, balancer);
        }
        assert!(!kept.take(0, 1), "the other one has it");
        assert!(kept.take(1, 0) && !kept.take(1, 0), "one");
        kept.lose(1);
        assert!(!kept.take(1, 1), "lost with its backend");
        assert!(kept.take(0, 0) && kept.take(2, 1), "others are not");
    }
}
