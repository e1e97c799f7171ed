//! The commands about retired messages.

use mox_base::UnixSeconds;
use mox_queue::{MessageId, QueueError, Retired};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::commands::{CommandError, Handler};
use super::super::parameters::{self, number};
use super::super::wire::Wire;
use super::words::{FilterWords, SortWords};
use super::{listed, printable, span, time};

impl Handler {
    /// Parameters: filter, order. Answers with a line for each message.
    pub(super) async fn retired_list<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let filter: FilterWords = parameters::json(&wire.parameter().await?)?;
        let sort: SortWords = parameters::json(&wire.parameter().await?)?;
        let now = self.services.clock.now();
        self.answer(wire, move |queue| {
            let found = queue.retired_list(&filter.retired_filter(now), &sort.retired_sort())?;
            Ok(listed("retired messages:", found.iter().map(|one| line(one, now))))
        })
        .await
    }

    /// Parameter: the number of a message. Answers with JSON.
    pub(super) async fn retired_print<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let id = MessageId(number(&wire.parameter().await?)?);
        self.answer(wire, move |queue| {
            let retired = queue.retired_get(id)?.ok_or(QueueError::NoMessage)?;
            let text = serde_json::to_string_pretty(&value(&retired));
            let text = text.map_err(|error| CommandError::refused(&error))?;
            Ok((text + "\n").into_bytes())
        })
        .await
    }
}

fn line(retired: &Retired, now: UnixSeconds) -> String {
    let message = &retired.message;
    let result = if retired.is_success { "success" } else { "failure" };
    let text = message.results.last().map_or("", |result| result.text.as_str());
    format!(
        "{:>5} {} from:{} to:<{}> {result} last activity {} ago, {} attempts, result {text:?}\n",
        message.id,
        time(message.queued),
        message.mail_from,
        printable(&message.rcpt_to.to_string()),
        span(now, retired.last_activity),
        message.attempts,
    )
}

/// All that is kept of a message, named as the fields of the queue.
fn value(retired: &Retired) -> Value {
    let message = &retired.message;
    json!({
        "ID": message.id,
        "BaseID": message.base_id,
        "Queued": time(message.queued),
        "Account": message.account,
        "MailFrom": message.mail_from.mailbox().map(ToString::to_string),
        "Recipient": message.rcpt_to.to_string(),
        "FromID": message.from_id,
        "MessageID": message.message_id,
        "Subject": message.subject,
        "Size": message.size,
        "Attempts": message.attempts,
        "LastAttempt": message.last_attempt.map(time),
        "Results": message.results,
        "DialedIPs": message.dialed_ips,
        "Transport": message.transport,
        "RequireTLS": message.require_tls,
        "Has8bit": message.has_8bit,
        "SMTPUTF8": message.needs_utf8,
        "FutureReleaseRequest": message.release.as_ref().map(|release| &release.request),
        "Envelope": message.envid,
        "Extra": message.extra,
        "Success": retired.is_success,
        "LastActivity": time(retired.last_activity),
        "KeepUntil": time(retired.keep_until),
    })
}
