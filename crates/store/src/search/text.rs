//! Whether a message has a text, decoded and compared by `i;unicode-casemap`.

use std::ops::ControlFlow;

use mox_mime::{Folding, SearchText, TextFinder, decode_header, fields, text_for_search};

use super::Pace;
use super::test::{Candidate, SCORE_MAX};
use crate::index::{Place, expression};
use crate::{Result, StoreError};

/// The most words of a fuzzy text that are looked for; a longer text is looked for by these.
const FUZZY_WORDS_MAX: usize = 32;

/// The score where all words are there, but not the text as it was written. RFC 6203 §4.
const SCORE_WORDS: u8 = 60;

/// How many pieces of a message are read between two questions whether to go on.
const PIECES_PER_QUESTION: usize = 64;

/// Where a text is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The value of a field of the message's own header.
    Field(String),
    /// All but the message's own header.
    Body,
    /// Everything.
    Text,
}

/// A text to look for.
pub(super) struct TextTest {
    scope: Scope,
    /// What the index is asked for.
    text: String,
    is_empty: bool,
    /// The text as it was written.
    whole: Sought,
    /// In a fuzzy search, its words.
    words: Vec<Sought>,
}

struct Sought {
    finder: TextFinder,
    is_found: bool,
}

impl Sought {
    fn new(text: &str, folding: Folding) -> Self {
        Self { finder: TextFinder::new(text, folding), is_found: false }
    }
}

/// What a message must have in any case: in a fuzzy search the words that are looked for.
fn sought_words(text: &str, is_fuzzy: bool) -> String {
    if is_fuzzy {
        let words: Vec<&str> = text.split_whitespace().take(FUZZY_WORDS_MAX).collect();
        return words.join(" ");
    }
    text.to_owned()
}

impl TextTest {
    pub(super) fn new(scope: Scope, text: &str, is_fuzzy: bool) -> Self {
        let folding = if is_fuzzy { Folding::Bare } else { Folding::Casemap };
        let words = text.split_whitespace().take(FUZZY_WORDS_MAX).filter(|_| is_fuzzy);
        Self {
            scope,
            text: sought_words(text, is_fuzzy),
            is_empty: text.is_empty(),
            words: words.map(|word| Sought::new(word, folding)).collect(),
            whole: Sought::new(text, folding),
        }
    }

    /// See [`super::test::Test::expression`]. Holds for a fuzzy search too: the index knows no
    /// diacritics, and asks for the words of a text in any order.
    pub(super) fn expression(&self) -> Option<String> {
        match &self.scope {
            Scope::Field(name) => expression(&self.text, &[Place::of_field(name)]),
            Scope::Body => expression(&self.text, &[Place::Body]),
            Scope::Text if self.words.len() < 2 => expression(&self.text, &Place::ALL),
            // The words may be in different places.
            Scope::Text => {
                let words = self.text.split_whitespace();
                let all: Vec<String> =
                    words.filter_map(|word| expression(word, &Place::ALL)).take(4).collect();
                (!all.is_empty()).then(|| format!("({})", all.join(" AND ")))
            }
        }
    }

    pub(super) fn cost(&self) -> u8 {
        if matches!(self.scope, Scope::Field(_)) { 1 } else { 2 }
    }

    pub(super) fn score(
        &mut self,
        message: &mut Candidate<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<u8>> {
        if !pace.go_on() {
            return Ok(None);
        }
        self.sought().for_each(|sought| sought.is_found = false);
        self.restart();
        let read = match self.scope.clone() {
            Scope::Field(name) => self.read_fields(message, &name),
            _ if self.is_empty => return Ok(Some(SCORE_MAX)),
            scope => self.read_all(message, scope == Scope::Text, pace),
        };
        match read {
            // Erased since the session heard of it.
            Err(StoreError::NoMessage) => return Ok(None),
            read => read?,
        }
        let has_words = !self.words.is_empty() && self.words.iter().all(|word| word.is_found);
        Ok(if self.whole.is_found { Some(SCORE_MAX) } else { has_words.then_some(SCORE_WORDS) })
    }

    fn sought(&mut self) -> impl Iterator<Item = &mut Sought> {
        self.words.iter_mut().chain([&mut self.whole])
    }

    fn restart(&mut self) {
        self.sought().for_each(|sought| sought.finder.restart());
    }

    /// Takes the next piece of a text. Whether the text as it was written is found.
    fn push(&mut self, piece: &str) -> bool {
        for sought in self.sought() {
            sought.is_found = sought.is_found || sought.finder.push(piece);
        }
        self.whole.is_found
    }

    fn read_fields(&mut self, message: &mut Candidate<'_>, name: &str) -> Result<()> {
        for field in fields(message.head()?).filter(|field| field.is(name)) {
            self.restart();
            if self.push(&decode_header(field.value)) {
                break;
            }
        }
        Ok(())
    }

    fn read_all(
        &mut self,
        message: &mut Candidate<'_>,
        with_header: bool,
        pace: &mut Pace<'_>,
    ) -> Result<()> {
        let content = message.content()?;
        let message = content.message()?;
        let mut pieces = 0_usize;
        let mut visit = |piece: SearchText<'_>| {
            pieces += 1;
            let is_over = match piece {
                SearchText::Field { depth: 0, .. } if !with_header => false,
                SearchText::Field { name, value, .. } => {
                    self.restart();
                    let is_over = self.push(name) || self.push(": ") || self.push(value);
                    self.restart();
                    is_over
                }
                SearchText::Body(piece) => self.push(piece),
                SearchText::PartEnd => {
                    self.restart();
                    false
                }
            };
            let is_over = is_over || (pieces.is_multiple_of(PIECES_PER_QUESTION) && !pace.go_on());
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let _flow = text_for_search(&mut content.seekable(), &message, &mut visit)?;
        Ok(())
    }
}
