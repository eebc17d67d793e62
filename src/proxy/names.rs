//! Names for backends that came without one: `b1`, `b2` … No name is given twice, so that a name in
//! an event means one backend for ever. It must not know who is in the pool.

/// Larger numbers in configured names are not counted from: no proxy lives long enough to give so
/// many, and the count must not overflow.
const MAX_COUNTED: u64 = 1 << 62;

/// The names given so far, as the highest number among them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    highest: u64,
}

impl Names {
    /// A name that somebody chose: it, or one of a lower number, will not be given.
    pub(crate) fn reserve(&mut self, name: &str) {
        let number = name.strip_prefix('b').and_then(|number| number.parse().ok());
        if let Some(number) = number.filter(|&number: &u64| number <= MAX_COUNTED) {
            self.highest = self.highest.max(number);
        }
    }

    /// The highest number given or reserved.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Goes on from where a former process was.
    pub(crate) fn resume(&mut self, highest: u64) {
        self.highest = self.highest.max(highest.min(MAX_COUNTED));
    }

    /// A new name.
    pub(crate) fn fresh(&mut self) -> String {
        self.highest += 1;
        format!("b{}", self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let tables: &[(&[&str], &str)] = &[
            (&[], "b1"),
            (&["b1"], "b2"),
            (&["b7", "b2"], "b8"),
            (&["a-1", "b", "bx", "B3", "c4", "b-1"], "b1"),
            (&["b18446744073709551615", "b99999999999999999999"], "b1"),
            (&["b4611686018427387904"], "b4611686018427387905"),
        ];
        for (reserved, first) in tables {
            let mut names = Names::default();
            reserved.iter().for_each(|name| names.reserve(name));
            assert_eq!(names.fresh(), *first, "{reserved:?}");
            assert_ne!(names.fresh(), *first, "{reserved:?}");
        }
    }
}
