//! The commands about the search index.

use mox_net::blocking;
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::wire::Wire;

impl Handler {
    /// Parameter: account, or nothing for all. Empties their search indexes.
    pub(super) async fn rebuild_search<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let rebuild = move || {
            names.iter().try_for_each(|name| store.account(name)?.rebuild_search_index().wait())
        };
        blocking(rebuild).await?;
        Ok(wire.write_ok().await?)
    }

    /// Parameter: account, or nothing for all. Answers with a line for each: messages in the
    /// index, messages in all, account.
    pub(super) async fn search_progress<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let read = move || {
            let mut text = String::new();
            for name in names {
                let progress = store.account(&name)?.read()?.index_progress()?;
                text.push_str(&format!("{}\t{}\t{name}\n", progress.done, progress.total));
            }
            Ok::<_, mox_store::StoreError>(text)
        };
        let text = blocking(read).await?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }

    /// The account named, or all there are.
    pub(super) fn accounts(&self, name: String) -> Vec<String> {
        if !name.is_empty() {
            return vec![name];
        }
        self.services.config.snapshot().dynamic.accounts.keys().cloned().collect()
    }
}
