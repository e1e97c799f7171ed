//! From text to [`Document`].

use crate::document::{Block, Document, Entry};
use crate::{Faults, Problem};

/// The longest document read, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// The longest line read, in bytes without its LF.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// The largest number of keys and list items in a document: what bounds the memory of its tree.
pub const ENTRIES_MAX: usize = 500_000;

/// The deepest nesting, in tabs; what bounds the recursion over a tree.
pub const DEPTH_MAX: usize = 32;

impl Document {
    /// Reads a document whose syntax has no fault.
    pub fn parse(text: &str) -> Result<Self, Vec<crate::Fault>> {
        let mut faults = Faults::default();
        let document = Self::read(text, &mut faults);
        if faults.is_empty() { Ok(document) } else { Err(faults.into_sorted()) }
    }

    /// Reads what can be read, and adds what is wrong to `faults`.
    ///
    /// A line that makes no sense is left out together with the deeper lines below it: a document
    /// with faults is for finding more of them, not for editing. Cost: linear in the length of the
    /// text.
    pub fn read(text: &str, faults: &mut Faults) -> Self {
        if text.len() > DOCUMENT_BYTES_MAX {
            faults.push(0, Problem::DocumentTooLong);
            return Self::default();
        }
        let ends_in_newline = text.is_empty() || text.ends_with('\n');
        let mut reader = Reader {
            open: vec![Block::default()],
            trivia: String::new(),
            skip_below: None,
            entries: 0,
            has_return: false,
            faults,
        };
        let body = text.strip_suffix('\n').unwrap_or(text);
        if !text.is_empty() {
            for (index, line) in body.split('\n').enumerate() {
                reader.line(index + 1, line);
                if reader.entries > ENTRIES_MAX {
                    reader.faults.push(index + 1, Problem::TooManyEntries);
                    break;
                }
            }
        }
        Self { root: reader.finish(), ends_in_newline }
    }
}

struct Reader<'f> {
    /// The blocks that may still grow, the root first; never empty before [`Reader::finish`].
    open: Vec<Block>,
    /// Comments and blank lines since the last entry.
    trivia: String,
    /// After a bad line of this depth, deeper lines are not looked at.
    skip_below: Option<usize>,
    entries: usize,
    /// Whether the carriage return was reported: a file has them on all lines or none.
    has_return: bool,
    faults: &'f mut Faults,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) {
        if line.len() > LINE_BYTES_MAX {
            self.faults.push(number, Problem::LineTooLong);
            return;
        }
        if line.contains('\r') && !self.has_return {
            self.has_return = true;
            self.faults.push(number, Problem::CarriageReturn);
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        let stripped = line.trim_start();
        if stripped.is_empty() || stripped.starts_with('#') {
            if stripped.is_empty() && !line.is_empty() {
                self.faults.push(number, Problem::StrayWhitespace);
            }
            self.trivia.push_str(line);
            self.trivia.push('\n');
            return;
        }
        let rest = line.trim_start_matches('\t');
        let depth = line.len() - rest.len();
        if self.skip_below.is_some_and(|bad| depth > bad) {
            return;
        }
        self.skip_below = None;
        if let Err(problem) = self.entry(number, depth, rest) {
            self.faults.push(number, problem);
            self.skip_below = Some(depth);
        }
    }

    fn entry(&mut self, number: usize, depth: usize, rest: &str) -> Result<(), Problem> {
        if rest.starts_with(' ') {
            return Err(Problem::MixedIndent);
        }
        if depth > DEPTH_MAX {
            return Err(Problem::TooDeep);
        }
        let (key, inline) = split(rest)?;
        while self.open.len() > depth + 1 {
            self.close();
        }
        if self.open.len() <= depth {
            let opens = self.open.last().and_then(|block| block.entries.last());
            let opens = opens.is_some_and(|entry| entry.inline.is_none());
            if self.open.len() < depth || !opens {
                return Err(Problem::UnexpectedIndent);
            }
            self.open.push(Block::default());
        }
        let inline = inline.map(|inline| {
            inline.strip_prefix(' ').unwrap_or_else(|| {
                // The line is kept, or its key would be reported as missing too.
                self.faults.push(number, Problem::NoSpaceAfterColon);
                inline
            })
        });
        let lead = std::mem::take(&mut self.trivia);
        let (key, inline) = (key.map(str::to_owned), inline.map(str::to_owned));
        self.entries += 1;
        if let Some(block) = self.open.last_mut() {
            block.entries.push(Entry { lead, line: number, key, inline, block: None });
        }
        Ok(())
    }

    /// Closes the deepest open block, with the comments that are indented like its entries.
    fn close(&mut self) {
        let depth = self.open.len() - 1;
        let Some(mut block) = self.open.pop() else { return };
        let mut end = 0;
        let mut place = 0;
        for line in self.trivia.split_inclusive('\n') {
            place += line.len();
            let tabs = line.bytes().take_while(|b| *b == b'\t').count();
            if tabs >= depth && tabs < line.len() - 1 {
                end = place;
            }
        }
        let rest = self.trivia.split_off(end);
        block.tail = std::mem::replace(&mut self.trivia, rest);
        if let Some(entry) = self.open.last_mut().and_then(|parent| parent.entries.last_mut()) {
            entry.block = Some(block);
        }
    }

    fn finish(mut self) -> Block {
        while self.open.len() > 1 {
            self.close();
        }
        let mut root = self.open.pop().unwrap_or_default();
        root.tail = self.trivia;
        root
    }
}

/// Splits a line without its tabs in key (`None` for a list item) and what follows colon or dash.
fn split(line: &str) -> Result<(Option<&str>, Option<&str>), Problem> {
    if line == "-" {
        return Ok((None, None));
    }
    if line.starts_with("- ") {
        return Ok((None, line.strip_prefix('-')));
    }
    let (key, rest) = line.split_once(':').ok_or(Problem::NoColon)?;
    if key.trim().is_empty() {
        return Err(Problem::EmptyKey);
    }
    Ok((Some(key), (!rest.is_empty()).then_some(rest)))
}
