//! A document as a tree that keeps every byte of the text it was read from.

use std::fmt;

use crate::{Path, Step};

/// A document: entries nested by indentation, with the comments and blank lines between them.
///
/// Invariant: the [`Display`](fmt::Display) form of a document read without faults is the text it
/// was read from, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub(crate) root: Block,
    /// Whether the last line ends in LF.
    pub(crate) ends_in_newline: bool,
}

impl Default for Document {
    fn default() -> Self {
        Self { root: Block::default(), ends_in_newline: true }
    }
}

/// The entries one level below a key or list item, or at the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) entries: Vec<Entry>,
    /// Whole lines of comments and blank lines after the last entry.
    pub(crate) tail: String,
}

/// A key or list item with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whole lines of comments and blank lines above, indentation included.
    pub(crate) lead: String,
    /// Counted from 1; 0 in a document that was not read.
    pub(crate) line: usize,
    /// `None` for a list item.
    pub(crate) key: Option<String>,
    /// What follows the colon or dash and one space; `None` if the line ends there.
    pub(crate) inline: Option<String>,
    pub(crate) block: Option<Block>,
}

impl Entry {
    /// The line it stands on, counted from 1; 0 in a document that was not read from a text.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The key as written; `None` for a list item.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The value on the same line as written; `None` if the line ends after the colon or dash.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.inline.as_deref()
    }

    /// The entries one level below.
    #[must_use]
    pub fn entries(&self) -> &[Self] {
        self.block.as_ref().map_or(&[], |block| &block.entries)
    }
}

impl Document {
    /// The entries at the top.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.root.entries
    }

    /// The entry at `path`, keys compared exactly. `None` for the root too.
    ///
    /// Cost: a walk over the entries beside each step.
    #[must_use]
    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        let mut entries = self.entries();
        let mut found = None;
        for step in path.steps() {
            let entry = find(entries, step)?;
            entries = entry.entries();
            found = Some(entry);
        }
        found
    }

    /// The line of the entry at `path`, or of the nearest entry above it; 1 for the top.
    ///
    /// Keys that differ in case only are taken as equal when none is the same.
    #[must_use]
    pub fn line(&self, path: &Path) -> usize {
        let mut entries = self.entries();
        let mut line = 1;
        for step in path.steps() {
            let Some(entry) = find(entries, step).or_else(|| find_in_any_case(entries, step))
            else {
                break;
            };
            entries = entry.entries();
            line = entry.line;
        }
        line
    }
}

fn find<'a>(entries: &'a [Entry], step: &Step) -> Option<&'a Entry> {
    match step {
        Step::Key(key) => entries.iter().find(|entry| entry.key() == Some(key)),
        Step::Index(index) => entries.get(*index),
    }
}

fn find_in_any_case<'a>(entries: &'a [Entry], step: &Step) -> Option<&'a Entry> {
    let Step::Key(key) = step else { return None };
    let key = key.to_lowercase();
    entries.iter().find(|entry| entry.key().is_some_and(|have| have.to_lowercase() == key))
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        print_block(&self.root, 0, &mut text);
        if !self.ends_in_newline {
            text.pop();
        }
        f.write_str(&text)
    }
}

/// Recursion is bounded by [`DEPTH_MAX`](crate::DEPTH_MAX).
fn print_block(block: &Block, depth: usize, text: &mut String) {
    for entry in &block.entries {
        text.push_str(&entry.lead);
        text.extend(std::iter::repeat_n('\t', depth));
        match &entry.key {
            Some(key) => {
                text.push_str(key);
                text.push(':');
            }
            None => text.push('-'),
        }
        if let Some(inline) = &entry.inline {
            text.push(' ');
            text.push_str(inline);
        }
        text.push('\n');
        if let Some(block) = &entry.block {
            print_block(block, depth + 1, text);
        }
    }
    text.push_str(&block.tail);
}
