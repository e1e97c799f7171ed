//! `mox junk train`.

use anyhow::Result;
use clap::Args;
use mox_junk::{Model, Totals};

use super::model_file::{self, ModelFile};
use super::{Settings, Sorted};
use crate::cli::print;

/// Learn messages in files, and write what was learnt to a file.
///
/// If the file is there, what it holds is added to; it must have been made with the same kinds of
/// words. Accounts learn by themselves, from how their users mark messages: see "mox retrain".
#[derive(Debug, Args)]
pub(in crate::cli) struct Train {
    #[command(flatten)]
    file: ModelFile,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    sorted: Sorted,
}

impl Train {
    pub(super) fn run(self) -> Result<()> {
        let Self { file, settings, sorted } = self;
        let kinds = settings.kinds();
        let mut model = match file.model.exists() {
            true => model_file::read(&file.model, kinds)?,
            false => Model::default(),
        };
        sorted.visit(kinds, |class, _, _, words| model.train(&words, class))?;
        model_file::write(&file.model, kinds, &model)?;
        let Totals { ham, spam } = model.totals();
        print(&format!("{ham} ham and {spam} spam learnt, {} words\n", model.len()))
    }
}
