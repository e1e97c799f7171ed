//! `mox cid`.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_smtpd::ReceivedIds;

use super::{Global, print};
use crate::data_dir::RECEIVED_ID_SECRET;

/// Print the number of a connection, by its id in a Received field or an error reply.
///
/// The number, in hexadecimal, stands after cid= in the log of the server that made the id.
#[derive(Debug, Args)]
pub(super) struct Cid {
    /// The id.
    id: String,
}

impl Cid {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let path = global.config()?.snapshot().data_dir().join(RECEIVED_ID_SECRET);
        let secret = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let Ok(secret) = secret.try_into() else {
            bail!("{}: not the key of such ids", path.display());
        };
        match ReceivedIds::from_secret(secret).cid(&self.id) {
            Some(cid) => print(&format!("{cid:x}\n")),
            None => bail!("not an id of this server"),
        }
    }
}
