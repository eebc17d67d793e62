//! The codec by tables, by properties, and against another parser.

mod body;
mod refusals;
mod request;
mod response;
