//! Text to typed settings, with the place of every error; for scenario and proxy alike.
//!
//! A text becomes a [`Document`], a tree in which overrides of the command line already stand. A
//! [`reader::Reader`] reads its tables by [`schema::Schema`]s, which are also what the reference
//! page and the JSON Schema are made from. It must not know engines or open files. TOML's syntax
//! ends here: everything above gets types.

pub mod backends;
pub mod distribution;
pub mod document;
pub mod edge;
mod lines;
pub mod path;
pub mod policy_keys;
pub mod problem;
pub mod proxy;
pub mod reader;
pub mod reference;
pub mod schema;
pub mod value;

pub use backends::BackendsConfig;
pub use document::Document;
pub use problem::Problem;
pub use proxy::ProxyConfig;
