//! The commands about the junk filter.

use std::io::{Seek, SeekFrom, Write as _};

use mox_junk::{Score, Words};
use mox_mime::{Limits, LineEndings};
use mox_net::blocking;
use tempfile::spooled_tempfile_in;
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::deliver::SPOOL_BYTES;
use super::wire::{DATA_BYTES_MAX, Wire};
use crate::data_dir::TEMPORARY;
use crate::policies::junk_filter;

impl Handler {
    /// Parameter: account, or nothing for all. Their filters forget everything and learn all
    /// marked messages anew.
    pub(super) async fn retrain<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let retrain =
            move || names.iter().try_for_each(|name| store.account(name)?.retrain().wait());
        blocking(retrain).await?;
        Ok(wire.write_ok().await?)
    }

    /// Parameter: account, or nothing for all. Answers with a line for each: messages that wait,
    /// those learnt as ham, those learnt as spam, words known, account.
    pub(super) async fn junk_progress<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let read = move || {
            let mut text = String::new();
            for name in names {
                let progress = store.account(&name)?.read()?.junk_progress()?;
                let mox_store::JunkProgress { totals, words, waiting } = progress;
                let (ham, spam) = (totals.ham, totals.spam);
                text.push_str(&format!("{waiting}\t{ham}\t{spam}\t{words}\t{name}\n"));
            }
            Ok::<_, mox_store::StoreError>(text)
        };
        let text = blocking(read).await?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }

    /// Parameter: account, then a message as data. Answers with a text: what the account's filter
    /// makes of it, and why. Nothing is learnt.
    pub(super) async fn junk_check<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = wire.parameter().await?;
        let store = self.services.store.clone();
        let refused = |text: &str| CommandError::Refused(text.to_owned());
        let config = self.services.config.snapshot();
        let settings = config.dynamic.accounts.get(&name);
        let settings = settings.ok_or_else(|| refused("no such account"))?;
        let filter = settings.junk_filter.as_ref().map(junk_filter);
        let filter = filter.ok_or_else(|| refused("the account has no junk filter"))?;
        wire.write_ok().await?;

        let spool = spooled_tempfile_in(SPOOL_BYTES, config.data_dir().join(TEMPORARY));
        let mut message = LineEndings::new(spool);
        wire.receive_data(DATA_BYTES_MAX, &mut message).await?;
        message.flush().map_err(|error| CommandError::refused(&error))?;
        let mut message = message.into_inner();
        let judge = move || {
            let words = (|| {
                message.seek(SeekFrom::Start(0))?;
                let structure = mox_mime::parse(&mut message, &Limits::default())?;
                Words::of_message(&mut message, &structure, filter.kinds)
            })();
            let words = words.map_err(|error| CommandError::refused(&error))?;
            let score = store.account(&name)?.read()?.classify(&words, &filter.params)?;
            Ok::<_, CommandError>(score_text(&score, filter.threshold))
        };
        let text = blocking(judge).await?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }
}

/// What a filter makes of a message, and why, for people.
pub(crate) fn score_text(score: &Score, threshold: f64) -> String {
    let is_junk = score.probability > threshold;
    let mut text = format!(
        "{}: probability {:.4}, threshold {threshold}\n",
        if is_junk { "junk" } else { "not junk" },
        score.probability,
    );
    if !score.is_significant {
        text.push_str(&format!(
            "Too little was learnt: fewer than {} messages that are no junk. The score would not count.\n",
            mox_junk::SIGNIFICANT_HAM,
        ));
    }
    for (side, words) in [("junk", &score.spam_words), ("no junk", &score.ham_words)] {
        for word in words {
            // A control character in a word would be one for the reader's terminal.
            let shown = word.text.escape_debug();
            text.push_str(&format!("{:.4}  {side:<7}  {shown}\n", word.probability));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use mox_junk::ScoredWord;

    use super::*;

    #[track_caller]
    fn check(probability: f64, is_significant: bool, want: &str) {
        let word = |text: &str, probability| ScoredWord { text: text.to_owned(), probability };
        let score = Score {
            probability,
            is_significant,
            ham_words: vec![word("from:a@b.example", 0.01)],
            spam_words: vec![word("subject:x\u{1b}", 0.98765)],
        };
        let words = "0.9877  junk     subject:x\\u{1b}\n0.0100  no junk  from:a@b.example\n";
        assert_eq!(score_text(&score, 0.95), format!("{want}{words}"));
    }

    #[test]
    fn a_score_is_told_with_the_words_that_decided() {
        check(0.96, true, "junk: probability 0.9600, threshold 0.95\n");
        // At the edge: not above it.
        check(0.95, true, "not junk: probability 0.9500, threshold 0.95\n");
        check(
            0.5,
            false,
            "not junk: probability 0.5000, threshold 0.95\nToo little was learnt: fewer than 50 \
             messages that are no junk. The score would not count.\n",
        );
    }
}
