//! `mox junk check`.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_junk::Words;

use super::{Settings, model_file, visit};
use crate::cli::{Global, print};
use crate::ctl::score_text;

/// Judge a message, and tell which words decided.
///
/// By what was learnt from files, or by what an account of the running server has learnt, with the
/// settings of that account.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// File with what was learnt, as made by "mox junk train".
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    model: Option<PathBuf>,
    /// Name of an account.
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// File with the message, or an mbox with some.
    file: PathBuf,
}

impl Check {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { model, account, settings, file } = self;
        match (model, account) {
            (Some(model), _) => {
                let model = model_file::read(&model, settings.kinds())?;
                let mut text = String::new();
                visit(&file, |name, message| {
                    let words = Words::of_bytes(message, settings.kinds());
                    let score = model.classify(&words, &settings.params());
                    text.push_str(&format!("{name}\n{}", score_text(&score, settings.threshold)));
                })?;
                print(&text)
            }
            (None, Some(account)) => {
                let message = File::open(&file);
                let message = message.with_context(|| format!("open {}", file.display()))?;
                print(&global.control(async |mut client| {
                    client.run("junkcheck", &[&account]).await?;
                    client.send_data(tokio::fs::File::from_std(message)).await?;
                    String::from_utf8(client.data().await?).context("answer of the server")
                })?)
            }
            (None, None) => bail!("name a file with --model, or an account with --account"),
        }
    }
}
