//! Chunks for data that has none. It must not know where the data comes from.

/// The last chunk and an empty trailer: what follows the last piece of data.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The most bytes of a size line: 16 hexadecimal digits, CR, LF.
const MAX_LINE: usize = 18;

/// The line before a chunk's data; behind them comes CR LF.
#[derive(Clone, Copy, Debug)]
pub struct SizeLine {
    /// The line stands at its end.
    line: [u8; MAX_LINE],
    from: usize,
}

impl SizeLine {
    /// The line for that many bytes of data. `None` for no data: an empty chunk is the last one.
    pub const fn new(bytes: usize) -> Option<Self> {
        let mut line = [0; MAX_LINE];
        line[MAX_LINE - 2] = b'\r';
        line[MAX_LINE - 1] = b'\n';
        let (mut from, mut left) = (MAX_LINE - 2, bytes);
        while left > 0 {
            from -= 1;
            line[from] = b"0123456789abcdef"[left & 15];
            left >>= 4;
        }
        if bytes == 0 { None } else { Some(Self { line, from }) }
    }

    /// The line with its CR LF.
    pub fn as_bytes(&self) -> &[u8] {
        &self.line[self.from..]
    }
}
