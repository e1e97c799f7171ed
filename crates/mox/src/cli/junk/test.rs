//! `mox junk test`.

use anyhow::Result;
use clap::Args;
use mox_junk::Tally;

use super::model_file::{self, ModelFile};
use super::{Settings, Sorted};
use crate::cli::print;

/// Judge messages in files by what was learnt, and count how often that is right.
///
/// Prints what different thresholds would make of them. The messages should be others than those
/// that were learnt.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    file: ModelFile,
    #[command(flatten)]
    pub(super) settings: Settings,
    #[command(flatten)]
    sorted: Sorted,
}

impl Test {
    pub(super) fn run(self) -> Result<()> {
        let Self { file, settings, sorted } = self;
        let model = model_file::read(&file.model, settings.kinds())?;
        let mut tally = Tally::default();
        sorted.visit(settings.kinds(), |class, _, _, words| {
            tally.add(class, model.classify(&words, &settings.params()).probability);
        })?;
        print(&settings.report(&tally))
    }
}
