//! `mox deliver`.

use std::io::{self, Read as _, Seek as _};

use anyhow::{Context, Result};
use clap::Args;

use super::Global;
use crate::ctl::DATA_BYTES_MAX;

/// Deliver the message on standard input to an address, without the checks of SMTP.
///
/// Bare line feeds become CRLF. The server must be running.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Deliver {
    /// Address of a recipient in one of our domains.
    address: String,
}

impl Deliver {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { address } = self;
        let mut message = tempfile::tempfile().context("make temporary file")?;
        // One byte more: the server then says that it is too much.
        let mut input = io::stdin().lock().take(DATA_BYTES_MAX + 1);
        io::copy(&mut input, &mut message).context("read message from standard input")?;
        message.rewind().context("read temporary file")?;
        global.control(async |mut client| {
            client.run("deliver", &[&address]).await?;
            Ok(client.send_data(tokio::fs::File::from_std(message)).await?)
        })
    }
}
