//! Which bytes may stand where, and the fast way past those that may. It must not know fields.

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2): methods and field names are tokens.
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// Whether `byte` may not stand in a field value: every control character but HTAB.
pub(crate) const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// [`is_token`], looked up.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token(byte as u8);
        byte += 1;
    }
    table
};

/// Whether the text may be a Host, or what becomes one (RFC 3986 §3.2): reg-name, IP literal and
/// port; no user information, no path. An empty Host is one too.
pub(super) fn is_authority(text: &[u8]) -> bool {
    text.iter().all(|&b| AUTHORITY[usize::from(b)])
}

static AUTHORITY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+;=:[]";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// The place of the first byte at or behind `from` that is no part of a token; the end if none.
pub(super) fn skip_token(bytes: &[u8], from: usize) -> usize {
    let rest = &bytes[from..];
    from + rest.iter().position(|&b| !TOKEN[usize::from(b)]).unwrap_or(rest.len())
}

/// The place of the first control character at or behind `from`, HTAB being none; the end if none.
pub(super) fn skip_text(bytes: &[u8], mut from: usize) -> usize {
    while let Some((word, _)) = bytes[from..].split_first_chunk::<8>() {
        match first_suspect(u64::from_le_bytes(*word)) {
            None => from += 8,
            Some(at) if bytes[from + at] == b'\t' => from += at + 1,
            Some(at) => return from + at,
        }
    }
    let rest = &bytes[from..];
    from + rest.iter().position(|&b| is_control(b)).unwrap_or(rest.len())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first of eight bytes that is below a space or DEL (Mycroft's test for a byte below n, and
/// for one that is zero). A borrow can only mark bytes behind the first one wrongly.
const fn first_suspect(word: u64) -> Option<usize> {
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let without_del = word ^ (ONES * 0x7f);
    let del = without_del.wrapping_sub(ONES) & !without_del;
    let marks = (low | del) & HIGHS;
    if marks == 0 { None } else { Some((marks.trailing_zeros() / 8) as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_ways_stop_where_the_slow_ones_do() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                let mut text = [b'a'; 20];
                text[at] = byte;
                let slow = text.iter().position(|&b| is_control(b)).unwrap_or(20);
                assert_eq!(skip_text(&text, 0), slow, "{byte:#x} at {at}");
                let slow = text.iter().position(|&b| !is_token(b)).unwrap_or(20);
                assert_eq!(skip_token(&text, 0), slow, "{byte:#x} at {at}");
                // The neighbour of a suspect is where a borrow would show.
                text[19 - at] = byte.wrapping_add(1);
                let slow = text.iter().position(|&b| is_control(b)).unwrap_or(20);
                assert_eq!(skip_text(&text, 0), slow, "{byte:#x} at {at} and its successor");
            }
        }
    }
}
