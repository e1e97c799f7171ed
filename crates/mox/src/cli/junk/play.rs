//! `mox junk play`.

use anyhow::Result;
use clap::Args;
use mox_base::UnixSeconds;
use mox_junk::{Model, Tally, arrival};

use super::{Settings, Sorted};
use crate::cli::print;

/// So long messages count as those of the beginning.
const BEGINNING_SECS: i64 = 86_400;

/// Judge the messages in files one after another, as they came, each learnt when it was judged.
///
/// Prints what different thresholds would make of them, the first day apart from later. When
/// a message came is told by its latest Received field, else its Date; those without come first.
/// Holds the words of all messages in memory.
#[derive(Debug, Args)]
pub(in crate::cli) struct Play {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    sorted: Sorted,
}

impl Play {
    pub(super) fn run(self) -> Result<()> {
        let Self { settings, sorted } = self;
        let mut messages = Vec::new();
        sorted.visit(settings.kinds(), |class, _, message, words| {
            messages.push((arrival(message).unwrap_or(UnixSeconds(0)), class, words));
        })?;
        messages.sort_by_key(|(date, _, _)| *date);
        let known = messages.iter().map(|(date, _, _)| *date).find(|date| date.0 > 0);
        let beginning = known.unwrap_or(UnixSeconds(0)).plus_secs(BEGINNING_SECS);
        let mut model = Model::default();
        let (mut first, mut later) = (Tally::default(), Tally::default());
        for (date, class, words) in &messages {
            let tally = if *date < beginning { &mut first } else { &mut later };
            tally.add(*class, model.classify(words, &settings.params()).probability);
            model.train(words, *class);
        }
        let (first, later) = (settings.report(&first), settings.report(&later));
        print(&format!("First day:\n{first}\nLater:\n{later}"))
    }
}
