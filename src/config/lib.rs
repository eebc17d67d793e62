//! Text to typed settings, with the place of every error; for scenario and proxy alike.
//!
//! It must not know engines or open files. TOML's syntax ends here: everything above gets types.

pub mod backends;
pub mod document;
pub mod problem;
pub mod proxy;
pub mod value;

pub use backends::BackendsConfig;
pub use document::Document;
pub use problem::Problem;
pub use proxy::ProxyConfig;
