//! `mox queue dump`.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use clap::Args;

use super::Global;

/// Print a message that is on its way, as it is sent.
#[derive(Debug, Args)]
pub(in crate::cli) struct Dump {
    /// Number of the message, as listed.
    id: i64,
}

impl Dump {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let id = self.id.to_string();
        let message = global.control(async |mut client| {
            client.run("queuedump", &[&id]).await?;
            Ok(client.data().await?)
        })?;
        // Not text: it may be in any charset.
        let mut out = io::stdout().lock();
        match out.write_all(&message).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("write to standard output"),
        }
    }
}
