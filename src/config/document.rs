//! A TOML text as a tree that remembers where everything stands. It must not know any key.

/// A TOML text as a tree.
pub struct Document {
    _private: (),
}
