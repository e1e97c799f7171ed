//! Notices on their way into accounts of ours.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Flags, MailboxName};
use mox_net::blocking;
use mox_queue::Notice;
use mox_store::{Destination, NewMessage, Store, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::services::Inner;

/// Notices that are looked at together.
const AT_ONCE_MAX: usize = 100;

/// How long to wait if one could not be delivered.
const RETRY_WAIT: Duration = Duration::from_secs(60);

/// Delivers notices until the server stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.services.supervisor.stopping();
    loop {
        let is_all = deliver_all(&inner, &stopping).await;
        let wait = async {
            if is_all {
                inner.notices.notified().await;
            } else {
                sleep(RETRY_WAIT).await;
            }
        };
        if stopping.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

/// Returns whether all that there are were delivered. Stops between two of them only: one that is in
/// its account and in the outbox comes twice.
async fn deliver_all(inner: &Arc<Inner>, stopping: &CancellationToken) -> bool {
    loop {
        let queue = inner.services.queue.clone();
        let notices = blocking(move || queue.pending_notices(AT_ONCE_MAX)).await;
        let notices = match notices {
            Ok(notices) if notices.is_empty() => return true,
            Ok(notices) => notices,
            Err(error) => {
                tracing::error!(%error, "reading notices");
                return false;
            }
        };
        for notice in notices {
            let (id, account) = (notice.id, notice.notice.account.clone());
            let store = inner.services.store.clone();
            if let Err(error) = blocking(move || deliver(&store, notice)).await {
                tracing::error!(%error, %account, "delivering a notice");
                return false;
            }
            if let Err(error) = inner.services.queue.notice_done(id).await {
                tracing::error!(%error, "a delivered notice may be delivered again");
                return false;
            }
            if stopping.is_cancelled() {
                return true;
            }
        }
    }
}

/// Puts a notice into its account, unless an earlier process did. Blocks.
fn deliver(store: &Store, notice: Notice) -> Result<(), StoreError> {
    let account = store.account(&notice.notice.account)?;
    let message_id = notice.notice.message_id.trim_matches(['<', '>']);
    if notice.is_from_before && account.read()?.has_message_id(message_id)? {
        return Ok(());
    }
    let mailbox =
        MailboxName::parse(&notice.notice.mailbox).unwrap_or_else(|_| MailboxName::inbox());
    let content = account.stage(Vec::new(), &mut Cursor::new(notice.notice.body))?;
    let flags = if notice.notice.is_seen { Flags::SEEN } else { Flags::NONE };
    let (keywords, received) = (Vec::new(), Some(notice.created));
    let message = NewMessage { content, flags, keywords, received, envelope: None };
    account.add(Destination { mailbox, create: true }, vec![message]).wait()?;
    Ok(())
}
