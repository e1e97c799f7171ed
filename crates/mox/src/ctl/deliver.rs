//! Delivering a message without SMTP.

use std::io::{Seek, SeekFrom, Write};

use mox_base::{Address, Flags};
use mox_config::{AccountTarget, Target};
use mox_mime::LineEndings;
use mox_net::blocking;
use mox_store::{Destination, NewMessage, Store};
use tempfile::{SpooledTempFile, spooled_tempfile_in};
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::wire::{DATA_BYTES_MAX, Wire};
use crate::data_dir::TEMPORARY;

/// Messages up to this size are received into memory, larger ones into a file.
pub(super) const SPOOL_BYTES: usize = 1 << 20;

impl Handler {
    /// Parameter: address, then the message as data. Bare line feeds become CRLF; none of the
    /// checks of SMTP are made.
    pub(super) async fn deliver<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let address = wire.parameter().await?;
        let address = Address::parse(&address).map_err(|error| CommandError::refused(&error))?;
        let config = self.services.config.snapshot();
        let target = config
            .lookup_address(&address.localpart, Some(&address.domain))
            .map_err(|error| CommandError::refused(&error))?;
        wire.write_ok().await?;

        let spool = spooled_tempfile_in(SPOOL_BYTES, config.data_dir().join(TEMPORARY));
        let mut message = LineEndings::new(spool);
        wire.receive_data(DATA_BYTES_MAX, &mut message).await?;
        message.flush().map_err(|error| CommandError::refused(&error))?;
        let mut message = message.into_inner();

        let store = self.services.store.clone();
        let delivered = blocking(move || {
            let targets = match target {
                Target::Account(target) => vec![target],
                Target::Alias(alias) => {
                    alias.members.iter().map(|member| member.target.clone()).collect()
                }
            };
            targets.iter().try_for_each(|target| add(&store, target, &mut message))
        });
        delivered.await?;
        Ok(wire.write_ok().await?)
    }
}

/// Adds the message to one account. Blocks.
fn add(
    store: &Store,
    target: &AccountTarget,
    message: &mut SpooledTempFile,
) -> Result<(), CommandError> {
    message.seek(SeekFrom::Start(0)).map_err(|error| CommandError::refused(&error))?;
    let account = store.account(&target.account)?;
    let content = account.stage(Vec::new(), message)?;
    let destination = Destination { mailbox: target.destination.mailbox(), create: true };
    let message = NewMessage {
        content,
        flags: Flags::NONE,
        keywords: Vec::new(),
        received: None,
        envelope: None,
    };
    account.add(destination, vec![message]).wait()?;
    Ok(())
}
