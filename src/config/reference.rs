//! The reference page and the JSON Schema of a format, made from its schemas.
//! It must not know any key.
