//! The commands about the junk filter.

use mox_net::blocking;
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::wire::Wire;

impl Handler {
    /// Parameter: account, or nothing for all. Their filters forget everything and learn all
    /// marked messages anew.
    pub(super) async fn retrain<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let retrain =
            move || names.iter().try_for_each(|name| store.account(name)?.retrain().wait());
        blocking(retrain).await?;
        Ok(wire.write_ok().await?)
    }

    /// Parameter: account, or nothing for all. Answers with a line for each: messages that wait,
    /// those learnt as ham, those learnt as spam, words known, account.
    pub(super) async fn junk_progress<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let read = move || {
            let mut text = String::new();
            for name in names {
                let progress = store.account(&name)?.read()?.junk_progress()?;
                let mox_store::JunkProgress { totals, words, waiting } = progress;
                let (ham, spam) = (totals.ham, totals.spam);
                text.push_str(&format!("{waiting}\t{ham}\t{spam}\t{words}\t{name}\n"));
            }
            Ok::<_, mox_store::StoreError>(text)
        };
        let text = blocking(read).await?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }
}
