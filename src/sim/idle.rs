//! Whom a backend tells that it has nothing to do: one of the balancers, any of them (Lu and others,
//! 2011, JIQ-Random). It must not know what they make of it.
//!
//! A backend stands in one queue at most, as in the paper: it tells nobody else before the one that
//! it has told has sent it a request. Others may send it some meanwhile, by chance. A balancer that holds
//! it to be out of service keeps what it was told; one that was down says it again to whom it had told,
//! who may have spent it on a connection that was refused.

use base::Rng;
use scenario::{ProxySpec, SubjectKind};

pub(crate) struct IdleReports {
    balancers: u32,
    /// A stream of its own, so that reports move nothing else that is drawn.
    draws: Rng,
    /// Whom each backend has told.
    told: Vec<Option<Told>>,
}

#[derive(Clone, Copy)]
struct Told {
    balancer: u32,
    /// It was down since.
    must_be_told_again: bool,
}

impl IdleReports {
    /// Where backends tell of it, and there is somebody to tell.
    pub(crate) fn of(proxy: &ProxySpec, backends: usize, rng: &Rng) -> Option<Self> {
        let tell = proxy.kind == SubjectKind::Lab && proxy.view.idle_reports;
        tell.then(|| Self::new(proxy.balancers, backends, rng))
    }

    /// Nobody has told anybody yet.
    fn new(balancers: u32, backends: usize, rng: &Rng) -> Self {
        Self { balancers, draws: rng.fork("idle reports"), told: vec![None; backends] }
    }

    /// Whom this idle backend tells, if it has told nobody.
    pub(crate) fn idle(&mut self, backend: u32) -> Option<u32> {
        let told = &mut self.told[backend as usize];
        let balancer = match *told {
            Some(Told { must_be_told_again: false, .. }) => return None,
            Some(Told { balancer, .. }) => balancer,
            None => self.draws.below(self.balancers as usize) as u32,
        };
        *told = Some(Told { balancer, must_be_told_again: false });
        Some(balancer)
    }

    /// A balancer's request comes to a backend.
    pub(crate) fn sent(&mut self, balancer: u32, backend: u32) {
        self.told[backend as usize].take_if(|told| told.balancer == balancer);
    }

    /// A backend is down: when it is back and idle, it says so.
    pub(crate) fn down(&mut self, backend: u32) {
        if let Some(told) = &mut self.told[backend as usize] {
            told.must_be_told_again = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_backend_tells_one_of_all_until_that_one_sends() {
        let mut reports = IdleReports::new(4, 2, &Rng::from_seed(3));
        let mut told = [0_u32; 4];
        for _ in 0..40_000 {
            let balancer = reports.idle(1).expect("it stands nowhere");
            told[balancer as usize] += 1;
            reports.sent((balancer + 1) % 4, 1);
            assert_eq!(reports.idle(1), None, "what another one sends changes nothing");
            reports.sent(balancer, 1);
        }
        // Four standard deviations: sqrt(40,000 / 4 * 3 / 4) = 87.
        assert!(told.iter().all(|n| n.abs_diff(10_000) < 350), "{told:?}");
        let balancer = reports.idle(0).expect("each for itself");
        reports.down(0);
        assert_eq!((reports.idle(0), reports.idle(0)), (Some(balancer), None), "once again");
        reports.down(0);
        reports.sent(balancer, 0);
        assert!(reports.idle(0).is_some(), "what was told has been heard");
    }
}
