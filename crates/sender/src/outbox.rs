//! Notices on their way into accounts of ours.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Flags, MailboxName};
use mox_config::Postmaster;
use mox_net::blocking;
use mox_queue::{Notice, NoticeId};
use mox_store::{Destination, NewMessage, Store, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::services::Inner;

/// Notices that are looked at together; each may return a whole message.
const AT_ONCE_MAX: usize = 20;

/// How long to wait if one could not be delivered.
const RETRY_WAIT: Duration = Duration::from_secs(60);

/// Delivers notices until the server stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.services.supervisor.stopping();
    // What failed once may be in its account all the same.
    let mut is_again = false;
    loop {
        let is_all = deliver_all(&inner, &stopping, is_again).await;
        is_again = !is_all;
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

/// Returns whether all that there are were delivered; one that cannot be keeps no other. Stops between
/// two of them only: one that is in its account and in the outbox comes twice.
async fn deliver_all(inner: &Arc<Inner>, stopping: &CancellationToken, is_again: bool) -> bool {
    let (mut is_all, mut last) = (true, NoticeId(0));
    loop {
        let queue = inner.services.queue.clone();
        let notices = blocking(move || queue.pending_notices_after(last, AT_ONCE_MAX)).await;
        let notices = match notices {
            Ok(notices) if notices.is_empty() => return is_all,
            Ok(notices) => notices,
            Err(error) => {
                tracing::error!(%error, "reading notices");
                return false;
            }
        };
        for mut notice in notices {
            last = notice.id;
            notice.is_from_before |= is_again;
            is_all &= deliver_one(inner, notice).await;
            if stopping.is_cancelled() {
                return is_all;
            }
        }
    }
}

/// Returns whether it is delivered, and the outbox does not have it any more.
async fn deliver_one(inner: &Arc<Inner>, notice: Notice) -> bool {
    let (id, account) = (notice.id, notice.notice.account.clone());
    let store = inner.services.store.clone();
    let config = inner.services.config.snapshot();
    let deliver = move || deliver(&store, &config.statics.postmaster, notice);
    if let Err(error) = blocking(deliver).await {
        tracing::error!(%error, %account, "delivering a notice");
        return false;
    }
    if let Err(error) = inner.services.queue.notice_done(id).await {
        tracing::error!(%error, "a delivered notice is in the outbox still");
        return false;
    }
    true
}

/// Puts a notice into its account, or that of the postmaster if it is gone by now, unless an earlier
/// process or attempt did. Blocks.
fn deliver(store: &Store, postmaster: &Postmaster, mut notice: Notice) -> Result<(), StoreError> {
    let account = match store.account(&notice.notice.account) {
        Err(StoreError::NoAccount) => {
            notice.notice.mailbox = postmaster.mailbox.0.to_string();
            store.account(&postmaster.account)?
        }
        found => found?,
    };
    let message_id = notice.notice.message_id.trim_matches(['<', '>']);
    if notice.is_from_before && account.read()?.has_message_id(message_id)? {
        return Ok(());
    }
    let mailbox =
        MailboxName::parse(&notice.notice.mailbox).unwrap_or_else(|_| MailboxName::inbox());
    let content = account.stage(Vec::new(), &mut Cursor::new(notice.notice.body))?;
    let flags = if notice.notice.is_seen { Flags::SEEN } else { Flags::NONE };
    let (keywords, received) = (Vec::new(), Some(notice.created.into()));
    let message = NewMessage { content, flags, keywords, received, envelope: None };
    account.add(Destination { mailbox, create: true }, vec![message]).wait()?;
    Ok(())
}
