//! Writing heads: what stays is copied in as few runs as possible, what is added follows. It must
//! not know why a field stays.

use super::Kinds;
use super::section::Section;

/// Puts one field line: `put_field(out, b"via", &[b"1.1 ", name])`. Whoever calls vouches that the
/// name is a token and that the value, which is given in parts, has no control character.
pub fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[&[u8]]) {
    debug_assert!(name.iter().all(|&b| super::is_token(b)), "a name is a token");
    debug_assert!(value.iter().all(|part| !part.iter().any(|&b| super::is_control(b))));
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

/// Puts the empty line behind the last field.
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Puts `bytes` from `from`, which is not behind the fields, to the end of the fields, without
/// those of the kinds in `drop` and those that Connection names.
pub(super) fn put_kept(
    section: &Section,
    bytes: &[u8],
    from: usize,
    drop: Kinds,
    out: &mut Vec<u8>,
) {
    let end = section.fields.last().map_or(section.begins, |last| last.line.to());
    let mut run = from;
    if section.any_listed || section.kinds.meets(drop) {
        for field in &section.fields {
            if field.listed || drop.contains(field.kind()) {
                out.extend_from_slice(&bytes[run..field.line.from()]);
                run = field.line.to();
            }
        }
    }
    out.extend_from_slice(&bytes[run..end]);
}
