//! `mox junk analyze`.

use anyhow::Result;
use clap::Args;
use mox_junk::{Class, Model, Tally};

use super::{Settings, Sorted};
use crate::cli::print;
use crate::ctl::score_text;

/// Learn a part of the messages in files, judge the others, and count how often that is right.
///
/// Prints what different thresholds would make of them, and which messages the given one takes for
/// what they are not.
#[derive(Debug, Args)]
pub(in crate::cli) struct Analyze {
    /// Of a hundred messages, those that are learnt.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=100))]
    train_percent: u64,
    /// Chooses which are learnt.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many of those that are judged wrongly are shown, with the words that did it.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    show: usize,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    sorted: Sorted,
}

impl Analyze {
    pub(super) fn run(self) -> Result<()> {
        let Self { train_percent, seed, show, settings, sorted } = self;
        let is_learnt =
            |name: &str| mox_mime::text_hash(&format!("{seed} {name}")) % 100 < train_percent;
        let mut model = Model::default();
        sorted.visit(settings.kinds(), |class, name, _, words| {
            if is_learnt(name) {
                model.train(&words, class);
            }
        })?;
        let mut tally = Tally::default();
        let (mut shown, mut wrong) = (0, String::new());
        sorted.visit(settings.kinds(), |class, name, _, words| {
            if is_learnt(name) {
                return;
            }
            let score = model.classify(&words, &settings.params());
            tally.add(class, score.probability);
            let is_wrong = (score.probability > settings.threshold) != (class == Class::Spam);
            if is_wrong && shown < show {
                shown += 1;
                wrong.push_str(&format!("\n{name}\n{}", score_text(&score, settings.threshold)));
            }
        })?;
        print(&format!("{}{wrong}", settings.report(&tally)))
    }
}
