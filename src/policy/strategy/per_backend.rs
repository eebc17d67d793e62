//! A value for each backend, found by its id without a search. It must not know what the values are.

use base::BackendId;

/// Values by backend; that of a backend whose slot has another tenant is gone.
#[derive(Clone, Debug)]
pub struct PerBackend<T>(Vec<Option<(u32, T)>>);

impl<T> Default for PerBackend<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PerBackend<T> {
    /// Without any value.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of this backend.
    pub fn get(&self, id: BackendId) -> Option<&T> {
        match self.0.get(id.slot as usize) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value of this backend.
    pub fn get_mut(&mut self, id: BackendId) -> Option<&mut T> {
        match self.0.get_mut(id.slot as usize) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value of this backend, made when there is none; `None` when its slot has a later tenant.
    pub fn or_insert_with(&mut self, id: BackendId, make: impl FnOnce() -> T) -> Option<&mut T> {
        let slot = id.slot as usize;
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        let entry = &mut self.0[slot];
        match entry {
            Some((generation, _)) if *generation > id.generation => return None,
            Some((generation, _)) if *generation == id.generation => {}
            _ => *entry = Some((id.generation, make())),
        }
        entry.as_mut().map(|(_, value)| value)
    }

    /// Forgets the value of this backend.
    pub fn remove(&mut self, id: BackendId) {
        if self.get(id).is_some() {
            self.0[id.slot as usize] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_tenant_takes_the_place_of_a_former() {
        let id = |generation| BackendId { slot: 3, generation };
        let mut values = PerBackend::default();
        assert_eq!(values.or_insert_with(id(1), || 'a'), Some(&mut 'a'));
        assert_eq!(values.or_insert_with(id(1), || 'b'), Some(&mut 'a'));
        assert_eq!(values.or_insert_with(id(2), || 'c'), Some(&mut 'c'));
        assert_eq!((values.get(id(1)), values.get(id(2))), (None, Some(&'c')));
        assert_eq!(values.or_insert_with(id(1), || 'd'), None, "it came too late");
        values.remove(id(1));
        assert_eq!(values.get_mut(id(2)), Some(&mut 'c'));
        values.remove(id(2));
        assert_eq!(values.get(id(2)), None);
        assert_eq!(values.get(BackendId { slot: 9, generation: 0 }), None);
    }
}
