//! `mox junk …`: the junk filter, tried on files.

mod analyze;
mod check;
mod model_file;
mod play;
mod test;
mod train;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{ArgAction, Args, Subcommand};
use mox_junk::{Class, Kinds, Params, Tally, Words, visit_messages};

use super::Global;

/// Try the junk filter on messages in files.
#[derive(Debug, Subcommand)]
#[command(hide = true, subcommand_required = true)]
pub(super) enum Junk {
    Analyze(analyze::Analyze),
    Check(check::Check),
    Play(play::Play),
    Test(test::Test),
    Train(train::Train),
}

impl Junk {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Analyze(command) => command.run(),
            Self::Check(command) => command.run(global),
            Self::Play(command) => command.run(),
            Self::Test(command) => command.run(),
            Self::Train(command) => command.run(),
        }
    }
}

/// How the filter is set. The defaults are those of a new account.
#[derive(Clone, Debug, Args)]
struct Settings {
    /// Scores above it are junk; 0 to 1.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.95, value_parser = up_to::<10>)]
    threshold: f64,
    /// Learn single words.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    onegrams: bool,
    /// Learn pairs of words.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    twograms: bool,
    /// Learn three words in a row.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    threegrams: bool,
    /// How far from 0 and 1 the probability of a word stays; 0 to 0.5.
    #[arg(long, value_name = "DISTANCE", default_value_t = 0.01, value_parser = up_to::<5>)]
    max_power: f64,
    /// How many of the most telling words are named for each side; fifteen times as many count.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top_words: usize,
    /// Words closer than this to 0.5 do not count; 0 to 0.5.
    #[arg(long, value_name = "DISTANCE", default_value_t = 0.1, value_parser = up_to::<5>)]
    ignore_words: f64,
    /// Words seen about this often or less count less.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    rare_words: u32,
}

/// A number from 0 to so many tenths.
fn up_to<const TENTHS: u8>(text: &str) -> Result<f64, String> {
    let most = f64::from(TENTHS) / 10.0;
    match text.parse() {
        Ok(number) if (0.0..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 0 to {most}")),
    }
}

impl Settings {
    fn kinds(&self) -> Kinds {
        let Self { onegrams, twograms, threegrams, .. } = *self;
        Kinds { onegrams, twograms, threegrams }
    }

    fn params(&self) -> Params {
        let Self { max_power, top_words, ignore_words, rare_words, .. } = *self;
        Params { max_power, top_words, ignore_words, rare_words }
    }

    /// What the threshold makes of messages, and others would.
    fn report(&self, tally: &Tally) -> String {
        format!("{tally}at {}: {}\n", self.threshold, tally.at(self.threshold))
    }
}

/// Where messages are whose class is known.
#[derive(Clone, Debug, Args)]
struct Sorted {
    /// Ham: a folder, also a Maildir, an mbox, or a file with one message.
    ham: PathBuf,
    /// Spam: the same.
    spam: PathBuf,
}

impl Sorted {
    /// Calls `found` with the class, the name, the bytes and the words of each message.
    fn visit(&self, kinds: Kinds, mut found: impl FnMut(Class, &str, &[u8], Words)) -> Result<()> {
        for (path, class) in [(&self.ham, Class::Ham), (&self.spam, Class::Spam)] {
            visit(path, |name, message| {
                found(class, name, message, Words::of_bytes(message, kinds))
            })?;
        }
        Ok(())
    }
}

fn visit(path: &Path, mut found: impl FnMut(&str, &[u8])) -> Result<()> {
    let mut found = |name: &str, message: &[u8]| {
        found(name, message);
        Ok(())
    };
    visit_messages(path, &mut found).context("read messages")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Parsed {
        #[command(subcommand)]
        command: Junk,
    }

    fn run(words: &[&str]) -> Result<()> {
        let parsed = Parsed::try_parse_from(["mox"].iter().chain(words))?;
        parsed.command.run(&Global { config: None, loglevel: None, pedantic: false })
    }

    #[track_caller]
    fn check(words: &[&str], want: bool) {
        let outcome = run(words);
        assert_eq!(outcome.is_ok(), want, "{words:?}: {outcome:?}");
    }

    #[test]
    fn settings_are_those_of_a_new_account_unless_given() {
        let settings = |words: &[&str]| {
            let all = [&["mox", "test", "--model", "m", "h", "s"], words].concat();
            let Junk::Test(test) = Parsed::try_parse_from(all).ok()?.command else { return None };
            Some(test.settings)
        };
        let usual = settings(&[]).unwrap();
        assert_eq!((usual.kinds(), usual.params()), (Kinds::default(), Params::default()));
        let other = settings(&["--onegrams=false", "--twograms", "true", "--max-power", "0.5"]);
        let other = other.unwrap();
        let pairs = Kinds { onegrams: false, twograms: true, threegrams: false };
        assert_eq!((other.kinds(), other.max_power.to_bits()), (pairs, 0.5_f64.to_bits()));
        for wrong in ["--max-power=0.51", "--threshold=1.1", "--threshold=NaN", "--rare-words=-1"] {
            assert!(settings(&[wrong]).is_none(), "{wrong}");
        }
    }

    /// Fresh filter, trained from folders, then asked.
    #[test]
    fn a_filter_is_trained_from_folders_and_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for (folder, text) in [("ham", "meeting agenda minutes"), ("spam", "winner casino jackpot")]
        {
            fs::create_dir(path(folder)).unwrap();
            for number in 0..60 {
                let message = format!("Subject: {text}\n\nHello, {text}!\n");
                fs::write(path(&format!("{folder}/{number}")), message).unwrap();
            }
        }
        let (ham, spam, model) = (path("ham"), path("spam"), path("model"));
        check(&["test", "--model", &model, &ham, &spam], false);
        check(&["train", "--model", &model, &ham, &spam], true);
        check(&["test", "--model", &model, &ham, &spam], true);
        check(&["check", "--model", &model, &path("spam/1")], true);
        check(&["analyze", &ham, &spam], true);
        check(&["play", &ham, &spam], true);
        // Learnt by other rules.
        check(&["train", "--twograms=true", "--model", &model, &ham, &spam], false);
        check(&["check", "--twograms=true", "--model", &model, &path("spam/1")], false);
        check(&["check", "--model", &model, &path("none")], false);
        check(&["check", "--model", &model, "--account", "x", &path("spam/1")], false);
        let learnt = model_file::read(Path::new(&model), Kinds::default()).unwrap();
        assert_eq!(learnt.totals(), mox_junk::Totals { ham: 60, spam: 60 });
        // More of it is added.
        check(&["train", "--model", &model, &path("ham/1"), &path("spam/1")], true);
        let learnt = model_file::read(Path::new(&model), Kinds::default()).unwrap();
        assert_eq!(learnt.totals(), mox_junk::Totals { ham: 61, spam: 61 });
    }
}
