//! Byte offsets of a text to lines and columns. It must not know what the text means.

use crate::problem::Place;

/// How many bytes lie between two offsets whose characters are counted in advance: a place then
/// costs the same in a line of a million values as in any other.
const BLOCK: usize = 256;

/// Byte offsets to lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    /// The characters before each block.
    counted: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Of this text.
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        let mut counted = vec![0];
        for block in text.as_bytes().chunks(BLOCK) {
            counted.push(counted[counted.len() - 1] + characters(block));
        }
        Self { text, starts: starts.collect(), counted }
    }

    /// Line and column from 1; columns count characters, as editors do.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        (line, self.characters_before(offset) - self.characters_before(start) + 1)
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        self.counted[block] + characters(&self.text.as_bytes()[block * BLOCK..offset])
    }
}

/// The characters that begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    // Every byte but the continuing ones, 10xxxxxx, begins a character.
    bytes.iter().filter(|&&byte| byte & 0b1100_0000 != 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_counting_gives() {
        let text = format!("ä\n\n{}\r\n{}ü=1", "x€".repeat(300), "y".repeat(255));
        let lines = Lines::new(&text);
        for (offset, _) in text.char_indices().chain([(text.len(), 'x')]) {
            let before = &text[..offset];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            assert_eq!(lines.place(offset), (line, column), "{offset}");
        }
        assert_eq!(lines.place(1), (1, 1), "inside a character");
        assert_eq!(lines.place(usize::MAX), lines.place(text.len()), "behind the end");
        assert_eq!(Lines::new("").place(0), (1, 1));
    }
}
