//! The codec by tables, by properties, and against another parser.

mod body;
mod cuts;
mod identity;
mod mutation;
mod refusals;
mod request;
mod response;
