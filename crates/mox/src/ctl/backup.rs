//! Holding still for a backup.

use std::time::Duration;

use mox_net::blocking;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::commands::{CommandError, Handler};
use super::wire::{Wire, WireError};

/// The longest time for which the erasure of messages is held off.
pub const HOLD_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a client says within [`super::LINE_WAIT`] again and again as long as its backup runs.
pub const MORE: &str = "more";

/// What a client says when all files are copied.
pub const DONE: &str = "done";

impl Handler {
    /// No parameter. From the first `ok` on, no file of a message is removed, until the client says
    /// [`DONE`], which is answered by `ok`, is silent or gone, or [`HOLD_MAX`] is over.
    pub(super) async fn backup<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (store, queue) = (self.services.store.clone(), self.services.queue.clone());
        let holds = blocking(move || (store.hold_erasure(), queue.hold_bodies())).await;
        let until = Instant::now() + HOLD_MAX;
        wire.write_ok().await?;
        let outcome = loop {
            match timeout_at(until, wire.parameter()).await {
                Ok(Ok(word)) if word == MORE => {}
                Ok(Ok(word)) if word == DONE => break Ok(()),
                Ok(Ok(_)) => break Err(CommandError::Refused("neither more nor done".to_owned())),
                Ok(Err(error)) => break Err(error.into()),
                Err(_) => break Err(CommandError::Wire(WireError::TimedOut)),
            }
        };
        // Files that waited are removed by the drop of the holds.
        blocking(move || drop(holds)).await;
        outcome?;
        Ok(wire.write_ok().await?)
    }
}

#[cfg(test)]
mod tests {
    use mox_base::{Flags, MailboxName, NumSet};
    use mox_store::{Destination, Expunge, NewMessage};

    use super::super::tests::{check_refused, client, server};
    use super::*;

    #[tokio::test]
    async fn no_message_is_erased_while_a_client_holds_that_off() {
        let (server, _dir) = server().await;
        let store = server.services().store.clone();
        let account = store.account("mox").unwrap();
        let inbox = account.read().unwrap().mailbox(&MailboxName::inbox()).unwrap().id;
        let is_erased = || {
            for _ in 0..4 {
                store.tick();
                account.subscribe_to(MailboxName::inbox()).wait().unwrap();
            }
            account.is_tidy().unwrap()
        };
        for says_done in [true, false] {
            let content = &mut std::io::Cursor::new("Subject: hello\r\n\r\n");
            let content = account.stage(Vec::new(), content).unwrap();
            let (flags, keywords) = (Flags::NONE, Vec::new());
            let message = NewMessage { content, flags, keywords, received: None, envelope: None };
            let destination = Destination { mailbox: MailboxName::inbox(), create: false };
            account.add(destination, vec![message]).wait().unwrap();
            let mut control = client(&server).await;
            control.run("backup", &[]).await.unwrap();
            let all = Expunge { uids: NumSet::all(), only_deleted: false };
            account.expunge(inbox, all).wait().unwrap();
            control.send(MORE, &[]).await.unwrap();
            assert!(!is_erased());
            if says_done {
                control.run(DONE, &[]).await.unwrap();
            }
            drop(control);
            // A client that is gone is noticed soon.
            while !is_erased() {
                tokio::task::yield_now().await;
            }
        }
        let mut control = client(&server).await;
        control.run("backup", &[]).await.unwrap();
        check_refused(control.run("stop", &[]).await, "neither more nor done");
        server.shutdown().await;
    }
}
