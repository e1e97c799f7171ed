//! The commands about suppression lists.

use mox_queue::Suppression;
use mox_smtp::Mailbox;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::commands::{CommandError, Handler};
use super::super::parameters::address;
use super::super::wire::Wire;
use super::{printable, time};

/// The reason of entries that are added by command.
const REASON: &str = "added with mox queue suppress";

impl Handler {
    /// Parameter: account, or nothing for all. Answers with a line for each entry.
    pub(super) async fn suppressions<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let account = some(wire.parameter().await?);
        self.answer(wire, move |queue| {
            let entries = queue.suppressions(account.as_deref(), None)?;
            Ok(table(&entries).into_bytes())
        })
        .await
    }

    /// Parameters: account, address.
    pub(super) async fn suppress<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let account = self.known_account(wire.parameter().await?)?;
        let address = Mailbox::from(address(&wire.parameter().await?)?);
        let now = self.services.clock.now();
        self.services.queue.suppress(&account, &address, REASON, now).await?;
        Ok(wire.write_ok().await?)
    }

    /// Parameters: account, address.
    pub(super) async fn unsuppress<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // The account may be gone from the configuration, with its entries left.
        let account = wire.parameter().await?;
        let address = Mailbox::from(address(&wire.parameter().await?)?);
        self.services.queue.unsuppress(&account, &address).await?;
        Ok(wire.write_ok().await?)
    }

    /// Parameters: account, or nothing for all; address. Answers with the entries.
    pub(super) async fn look_up_suppression<S>(
        &self,
        wire: &mut Wire<S>,
    ) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let account = some(wire.parameter().await?);
        let address = Mailbox::from(address(&wire.parameter().await?)?);
        self.answer(wire, move |queue| {
            let found = match account {
                Some(account) => Vec::from_iter(queue.suppressed(&account, &address)?),
                None => queue.suppressed_anywhere(&address)?,
            };
            if found.is_empty() {
                return Ok(b"not present\n".to_vec());
            }
            Ok(format!("present\n{}", table(&found)).into_bytes())
        })
        .await
    }

    fn known_account(&self, name: String) -> Result<String, CommandError> {
        if self.services.config.snapshot().dynamic.accounts.contains_key(&name) {
            return Ok(name);
        }
        Err(CommandError::Refused(format!("no such account: {name:?}")))
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn table(entries: &[Suppression]) -> String {
    let mut text = String::from("# account\tbase address\taddress\tmanual\tadded\treason\n");
    for entry in entries {
        let manual = if entry.is_manual { "manual" } else { "automatic" };
        let cells = [
            &entry.account,
            &entry.base_address,
            &entry.address,
            manual,
            &time(entry.created),
            &entry.reason,
        ];
        text.push_str(&(cells.map(printable).join("\t") + "\n"));
    }
    text
}
