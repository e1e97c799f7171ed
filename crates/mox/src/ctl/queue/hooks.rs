//! The commands about webhook calls.

use mox_base::UnixSeconds;
use mox_queue::{Hook, HookChange, HookFilter, HookId, HookSort, HookSortField, OutgoingEvent};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::commands::{CommandError, Handler};
use super::super::parameters::{self, number};
use super::super::wire::Wire;
use super::words::{HookChangeWords, HookFilterWords, SortWords};
use super::{listed, printable, span, time};

impl Handler {
    /// Parameters: filter, order. Answers with a line for each call that waits.
    pub(super) async fn hook_list<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (filter, sort) = self.hook_filter(wire, HookSortField::NextAttempt).await?;
        let now = self.services.clock.now();
        self.answer(wire, move |queue| {
            let found = queue.hooks(&filter, &sort)?;
            Ok(listed("webhooks:", found.iter().map(|hook| line(hook, now))))
        })
        .await
    }

    /// Parameters: filter, order. Answers with a line for each call that is over.
    pub(super) async fn hook_retired_list<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (filter, sort) = self.hook_filter(wire, HookSortField::LastActivity).await?;
        let now = self.services.clock.now();
        self.answer(wire, move |queue| {
            let found = queue.hooks_retired(&filter, &sort)?;
            Ok(listed("retired webhooks:", found.iter().map(|hook| line(hook, now))))
        })
        .await
    }

    /// Parameters: filter, change. Answers with the number of changed calls.
    pub(super) async fn hook_change<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let filter: HookFilterWords = parameters::json(&wire.parameter().await?)?;
        let change: HookChangeWords = parameters::json(&wire.parameter().await?)?;
        let now = self.services.clock.now();
        let change = match change {
            HookChangeWords::Schedule { from_now, secs } => HookChange::Schedule { from_now, secs },
            HookChangeWords::Cancel => HookChange::Cancel,
        };
        let filter = filter.filter(now).map_err(CommandError::Refused)?;
        self.answer(wire, move |queue| {
            let changed = queue.change_hooks(filter, change, now).wait()?;
            Ok(changed.to_string().into_bytes())
        })
        .await
    }

    /// Parameter: the number of a call. Answers with JSON; looks among those that wait, or those
    /// that are over.
    pub(super) async fn hook_print<S>(
        &self,
        wire: &mut Wire<S>,
        is_retired: bool,
    ) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ids = vec![HookId(number(&wire.parameter().await?)?)];
        let filter = HookFilter { ids, ..HookFilter::default() };
        self.answer(wire, move |queue| {
            let found = match is_retired {
                true => queue.hooks_retired(&filter, &HookSort::default())?,
                false => queue.hooks(&filter, &HookSort::default())?,
            };
            let hook = found.first().ok_or_else(no_such_hook)?;
            let text = serde_json::to_string_pretty(&value(hook));
            let text = text.map_err(|error| CommandError::refused(&error))?;
            Ok((text + "\n").into_bytes())
        })
        .await
    }

    /// Reads the parameters of a list. `field` is what is ordered by unless they say otherwise.
    async fn hook_filter<S>(
        &self,
        wire: &mut Wire<S>,
        field: HookSortField,
    ) -> Result<(HookFilter, HookSort), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let filter: HookFilterWords = parameters::json(&wire.parameter().await?)?;
        let sort: SortWords = parameters::json(&wire.parameter().await?)?;
        let filter = filter.filter(self.services.clock.now()).map_err(CommandError::Refused)?;
        let field = if sort.by_queued { HookSortField::Submitted } else { field };
        Ok((filter, HookSort { field, is_ascending: sort.is_ascending, after: None }))
    }
}

fn no_such_hook() -> CommandError {
    CommandError::Refused("no such webhook call".to_owned())
}

fn event(hook: &Hook) -> &'static str {
    hook.call.event.map_or("incoming", OutgoingEvent::as_str)
}

fn line(hook: &Hook, now: UnixSeconds) -> String {
    let fate = match &hook.retired {
        None => format!("next {}", span(hook.next_attempt, now)),
        Some(end) => {
            let result = match (end.is_success, end.superseded_by) {
                (true, _) => "success",
                (false, Some(_)) => "superseded",
                (false, None) => "failure",
            };
            format!("{result} last activity {} ago,", span(now, end.last_activity))
        }
    };
    let error = hook.results.last().map_or("", |result| result.error.as_str());
    format!(
        "{:>5} {} account:{} {fate} attempts {} event {} url {} error {error:?}\n",
        hook.id,
        time(hook.submitted),
        printable(&hook.call.account),
        hook.attempts,
        event(hook),
        printable(&hook.call.url),
    )
}

/// All that is kept of a call, but for its secret.
fn value(hook: &Hook) -> Value {
    let call = &hook.call;
    let payload: Value = serde_json::from_str(&call.payload).unwrap_or(Value::Null);
    let mut value = json!({
        "ID": hook.id,
        "QueueMsgID": call.queued,
        "FromID": call.from_id,
        "MessageID": call.message_id,
        "Subject": call.subject,
        "Extra": call.extra,
        "Account": call.account,
        "URL": call.url,
        "Authorization": hook.has_authorization,
        "IsIncoming": call.event.is_none(),
        "OutgoingEvent": call.event.map(OutgoingEvent::as_str),
        "Payload": payload,
        "Submitted": time(hook.submitted),
        "Attempts": hook.attempts,
        "NextAttempt": time(hook.next_attempt),
        "Results": hook.results,
    });
    if let (Some(end), Value::Object(fields)) = (&hook.retired, &mut value) {
        let ended = [
            ("SupersededByID", json!(end.superseded_by)),
            ("Success", json!(end.is_success)),
            ("LastActivity", json!(time(end.last_activity))),
            ("KeepUntil", json!(time(end.keep_until))),
        ];
        fields.extend(ended.map(|(name, value)| (name.to_owned(), value)));
        fields.remove("NextAttempt");
    }
    value
}
