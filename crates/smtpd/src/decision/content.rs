//! The message itself, read only if a decision asks, and once for all recipients.

use mox_junk::{Kinds, ScoredWord, Words};
use mox_mime::{Limits, Message};
use mox_policy::{Content, ContentError, DmarcReport, Score, TlsReport};
use mox_store::{JunkFilter, Reader, StoreError};

use crate::reports::Reports;
use crate::spool::Spool;

/// A message whose words are read when they are asked for.
pub(super) struct Text {
    spool: Spool,
    structure: Option<Message>,
    /// Words as the accounts want them; there are only so many kinds.
    words: Vec<(Kinds, Words)>,
    reports: Reports,
}

impl Text {
    pub(super) fn new(spool: Spool, reports: Reports) -> Self {
        Self { spool, structure: None, words: Vec::new(), reports }
    }

    pub(super) fn into_parts(self) -> (Spool, Reports) {
        (self.spool, self.reports)
    }

    fn words(&mut self, kinds: Kinds) -> std::io::Result<&Words> {
        let place = match self.words.iter().position(|(known, _)| *known == kinds) {
            Some(place) => place,
            None => {
                let structure = match self.structure.take() {
                    Some(structure) => structure,
                    None => mox_mime::parse(self.spool.reader()?, &Limits::default())?,
                };
                let words = Words::of_message(self.spool.reader()?, &structure, kinds)?;
                self.structure = Some(structure);
                self.words.push((kinds, words));
                self.words.len() - 1
            }
        };
        Ok(&self.words[place].1)
    }
}

/// A message as one account reads it.
pub(super) struct AccountText<'a> {
    pub(super) text: &'a mut Text,
    pub(super) reader: &'a Reader,
    pub(super) filter: Option<JunkFilter>,
    pub(super) cid: u64,
}

impl Content for AccountText<'_> {
    fn score(&mut self) -> Result<Score, ContentError> {
        let Some(filter) = &self.filter else { return Err(ContentError::Filter) };
        let cid = self.cid;
        let unread = |error: StoreError| {
            tracing::error!(cid, %error, "reading what was learnt of words");
            ContentError::Filter
        };
        let none = Words::default();
        let words = if self.reader.has_learnt().map_err(unread)? {
            self.text.words(filter.kinds).map_err(|error| {
                tracing::error!(cid, %error, "reading the words of a message");
                ContentError::Classify
            })?
        } else {
            &none
        };
        let score = self.reader.classify(words, &filter.params).map_err(unread)?;
        let pairs = |words: Vec<ScoredWord>| -> Vec<(String, f64)> {
            words.into_iter().map(|word| (word.text, word.probability)).collect()
        };
        Ok(Score {
            probability: score.probability,
            is_significant: score.is_significant,
            ham_words: pairs(score.ham_words),
            spam_words: pairs(score.spam_words),
        })
    }

    fn dmarc_report(&mut self) -> Option<DmarcReport<'_>> {
        let Text { spool, reports, .. } = &mut *self.text;
        reports.dmarc(spool, self.cid)
    }

    fn tls_report(&mut self) -> Option<TlsReport> {
        let Text { spool, reports, .. } = &mut *self.text;
        reports.tls(spool, self.cid)
    }
}
