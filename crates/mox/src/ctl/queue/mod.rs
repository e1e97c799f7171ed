//! The commands about the queue.

mod history;
mod hooks;
mod rules;
mod suppressions;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::io::Read as _;

use mox_base::UnixSeconds;
use mox_config::Duration;
use mox_net::blocking;
use mox_queue::{MessageId, Queue, QueueError, Queued};
use tokio::io::{AsyncRead, AsyncWrite};

use self::words::{ChangeWords, FilterWords, SortWords};
use super::commands::{CommandError, Handler};
use super::parameters::{json, number};
use super::wire::{DATA_BYTES_MAX, Wire};

/// The words of these commands.
pub(super) const COMMANDS: &[&str] = &[
    "queuelist",
    "queuechange",
    "queuefail",
    "queuedrop",
    "queuedump",
    "queueholdruleslist",
    "queueholdrulesadd",
    "queueholdrulesremove",
    "queueretiredlist",
    "queueretiredprint",
    "queuesuppresslist",
    "queuesuppressadd",
    "queuesuppressremove",
    "queuesuppresslookup",
    "queuehooklist",
    "queuehookchange",
    "queuehookprint",
    "queuehookretiredlist",
    "queuehookretiredprint",
];

impl From<QueueError> for CommandError {
    fn from(error: QueueError) -> Self {
        Self::refused(&error)
    }
}

impl Handler {
    /// One of [`COMMANDS`].
    pub(super) async fn queue<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match command {
            "queuelist" => self.queue_list(wire).await,
            "queuechange" => self.queue_change(wire).await,
            "queuefail" => self.queue_end(wire, true).await,
            "queuedrop" => self.queue_end(wire, false).await,
            "queuedump" => self.queue_dump(wire).await,
            "queueholdruleslist" => self.hold_rules(wire).await,
            "queueholdrulesadd" => self.add_hold_rule(wire).await,
            "queueholdrulesremove" => self.remove_hold_rule(wire).await,
            "queueretiredlist" => self.retired_list(wire).await,
            "queueretiredprint" => self.retired_print(wire).await,
            "queuesuppresslist" => self.suppressions(wire).await,
            "queuesuppressadd" => self.suppress(wire).await,
            "queuesuppressremove" => self.unsuppress(wire).await,
            "queuesuppresslookup" => self.look_up_suppression(wire).await,
            "queuehooklist" => self.hook_list(wire).await,
            "queuehookchange" => self.hook_change(wire).await,
            "queuehookprint" => self.hook_print(wire, false).await,
            "queuehookretiredlist" => self.hook_retired_list(wire).await,
            "queuehookretiredprint" => self.hook_print(wire, true).await,
            _ => Err(CommandError::Refused("unrecognized command".to_owned())),
        }
    }

    /// Answers with text that reading or changing the queue gives.
    async fn answer<S>(
        &self,
        wire: &mut Wire<S>,
        work: impl FnOnce(&Queue) -> Result<Vec<u8>, CommandError> + Send + 'static,
    ) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let queue = self.services.queue.clone();
        let text = blocking(move || work(&queue)).await?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_slice()).await?)
    }

    /// Parameters: filter, order. Answers with a line for each message.
    async fn queue_list<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let filter: FilterWords = json(&wire.parameter().await?)?;
        let sort: SortWords = json(&wire.parameter().await?)?;
        let now = self.services.clock.now();
        self.answer(wire, move |queue| {
            let messages = queue.list(&filter.filter(now), &sort.sort())?;
            Ok(listed("messages:", messages.iter().map(|message| line(message, now))))
        })
        .await
    }

    /// Parameters: filter, change. Answers with the number of changed messages.
    async fn queue_change<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let filter: FilterWords = json(&wire.parameter().await?)?;
        let change: ChangeWords = json(&wire.parameter().await?)?;
        if let ChangeWords::Transport(Some(name)) = &change {
            let config = self.services.config.snapshot();
            if !config.statics.transports.contains_key(name) {
                return Err(CommandError::Refused(format!("no such transport: {name:?}")));
            }
        }
        let now = self.services.clock.now();
        self.answer(wire, move |queue| {
            let changed = queue.change(filter.filter(now), change.into(), now).wait()?;
            Ok(changed.to_string().into_bytes())
        })
        .await
    }

    /// Parameter: filter. Answers with the number of messages that are out of the queue. Their
    /// senders are told, or nobody is.
    async fn queue_end<S>(&self, wire: &mut Wire<S>, fails: bool) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let filter: FilterWords = json(&wire.parameter().await?)?;
        let filter = filter.filter(self.services.clock.now());
        let ended = match fails {
            true => self.sender.fail(filter).await?,
            false => self.sender.remove(filter).await?,
        };
        wire.write_ok().await?;
        Ok(wire.send_data(ended.to_string().as_bytes()).await?)
    }

    /// Parameter: the number of a message. Answers with the message.
    async fn queue_dump<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let id = number(&wire.parameter().await?)?;
        self.answer(wire, move |queue| {
            let body = queue.body(MessageId(id))?;
            if body.len() > DATA_BYTES_MAX {
                return Err(CommandError::Refused("message too large".to_owned()));
            }
            let mut content = Vec::new();
            body.take(DATA_BYTES_MAX)
                .read_to_end(&mut content)
                .map_err(|error| CommandError::refused(&error))?;
            Ok(content)
        })
        .await
    }
}

/// A heading with lines, or `(none)`.
fn listed(heading: &str, lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut text = format!("{heading}\n");
    let before = text.len();
    text.extend(lines);
    if text.len() == before {
        text.push_str("(none)\n");
    }
    text.into_bytes()
}

/// A message in a line. What strangers wrote is in quotes, with escapes.
fn line(message: &Queued, now: UnixSeconds) -> String {
    let last = message.last_attempt.map_or_else(|| "-".to_owned(), |last| span(now, last));
    let error = message.results.last().map_or("", |result| result.text.as_str());
    let held = if message.is_held { " hold" } else { "" };
    format!(
        "{:>5} {} from:{} to:<{}> next {} last {last} error {error:?}{held}\n",
        message.id,
        time(message.queued),
        message.mail_from,
        printable(&message.rcpt_to.to_string()),
        if message.is_leased { "now".to_owned() } else { span(message.next_attempt, now) },
    )
}

fn time(time: UnixSeconds) -> String {
    mox_base::DateTime::from_unix(time).to_rfc3339()
}

/// The time from `earlier` to `later`, with a minus if it is the other way round.
fn span(later: UnixSeconds, earlier: UnixSeconds) -> String {
    let secs = later.secs_since(earlier);
    let sign = if secs < 0 { "-" } else { "" };
    format!("{sign}{}", Duration::from_secs(secs.unsigned_abs()))
}

/// Without what would make the terminal do things.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
