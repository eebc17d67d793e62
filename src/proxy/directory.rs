//! Who is in which slot of the pool, for whoever logs or counts: names, and how many connections
//! are open to each. A worker keeps a copy, so that no request takes a lock for it. It must not
//! know the balancer.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::BackendId;

/// One tenant of a slot. It is remembered until the next one moves in, for attempts in flight.
#[derive(Clone, Debug)]
struct Tenant {
    generation: u32,
    name: Arc<str>,
    open: Arc<AtomicU64>,
    /// How long its last health check took.
    check_took: Option<Duration>,
}

/// By slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenants(Vec<Option<Tenant>>);

impl Tenants {
    fn get(&self, id: BackendId) -> Option<&Tenant> {
        let tenant = self.0.get(id.slot as usize)?.as_ref()?;
        (tenant.generation == id.generation).then_some(tenant)
    }

    fn get_mut(&mut self, id: BackendId) -> Option<&mut Tenant> {
        let tenant = self.0.get_mut(id.slot as usize)?.as_mut()?;
        (tenant.generation == id.generation).then_some(tenant)
    }

    /// Its name; `None` when it is gone and its slot has another tenant.
    pub(crate) fn name(&self, id: BackendId) -> Option<&str> {
        self.get(id).map(|tenant| &*tenant.name)
    }

    /// A connection to it that may come to be.
    pub(crate) fn line(&self, id: BackendId) -> Line {
        Line(self.get(id).map(|tenant| Arc::clone(&tenant.open)).unwrap_or_default())
    }
}

/// The tenants of the moment.
#[derive(Debug)]
pub(crate) struct Directory {
    version: AtomicU64,
    tenants: Mutex<Tenants>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { version: AtomicU64::new(1), tenants: Mutex::default() }
    }
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Tenants> {
        // Nothing that could panic is done under it.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new tenant of a slot.
    pub(crate) fn enter(&self, id: BackendId, name: &str) {
        let tenant = Tenant {
            generation: id.generation,
            name: name.into(),
            open: Arc::default(),
            check_took: None,
        };
        let mut tenants = self.lock();
        let slot = id.slot as usize;
        if tenants.0.len() <= slot {
            tenants.0.resize(slot + 1, None);
        }
        tenants.0[slot] = Some(tenant);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// A health check of a backend took so long.
    pub(crate) fn checked(&self, id: BackendId, took: Duration) {
        if let Some(tenant) = self.lock().get_mut(id) {
            tenant.check_took = Some(took);
        }
    }

    /// How long its last health check took, if there was one.
    pub(crate) fn check_took(&self, id: BackendId) -> Option<Duration> {
        self.lock().get(id)?.check_took
    }

    /// How many connections are open to a backend.
    pub(crate) fn open_connections(&self, id: BackendId) -> u64 {
        self.lock().get(id).map_or(0, |tenant| tenant.open.load(Ordering::Relaxed))
    }
}

/// A worker's copy of the tenants.
#[derive(Debug, Default)]
pub(crate) struct Copied(RefCell<(u64, Tenants)>);

impl Copied {
    /// Tells of the tenants of the moment; costs one look at a number while they are the same.
    pub(crate) fn read<T>(&self, directory: &Directory, tell: impl FnOnce(&Tenants) -> T) -> T {
        let version = directory.version.load(Ordering::Acquire);
        if self.0.borrow().0 != version {
            // Who enters in between is taken the next time too, for the version.
            *self.0.borrow_mut() = (version, directory.lock().clone());
        }
        tell(&self.0.borrow().1)
    }
}

/// The right to count one connection.
pub(crate) struct Line(Arc<AtomicU64>);

impl Line {
    /// The connection is open, until what is returned is dropped.
    pub(crate) fn open(self) -> OpenLine {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenLine(self.0)
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub(crate) struct OpenLine(Arc<AtomicU64>);

impl Drop for OpenLine {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_tenant_at_a_time_and_each_its_own_count() {
        let (directory, copied) = (Directory::default(), Copied::default());
        let first = BackendId { slot: 3, generation: 0 };
        let next = BackendId { slot: 3, generation: 1 };
        let name = |id| copied.read(&directory, |tenants| tenants.name(id).map(String::from));
        assert_eq!(name(first), None);
        directory.enter(first, "b1");
        assert_eq!((name(first).as_deref(), name(next)), (Some("b1"), None));
        let line = copied.read(&directory, |tenants| tenants.line(first));
        assert_eq!(directory.open_connections(first), 0);
        let open = line.open();
        assert_eq!(directory.open_connections(first), 1);
        directory.enter(next, "b2");
        assert_eq!((name(first), name(next).as_deref()), (None, Some("b2")));
        // The former tenant's last connection is nobody's.
        let late = copied.read(&directory, |tenants| tenants.line(first)).open();
        assert_eq!((directory.open_connections(first), directory.open_connections(next)), (0, 0));
        drop((open, late));
        assert_eq!(directory.open_connections(next), 0);
    }
}
