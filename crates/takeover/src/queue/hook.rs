//! Records of webhook calls as ours, and all of them on their way.

use std::collections::HashMap;

use mox_bstore::{Record, Value};
use mox_queue::{
    HOOK_BYTES_PER_ACCOUNT_MAX, HOOKS_PER_ACCOUNT_MAX, Hook, HookAttempt, HookEnd, HookId,
    MessageId, NewHook, OutgoingEvent,
};

use super::message::{
    attempts, duration_ms, extra, in_brackets, memory_bytes, newest, start, text, text_of, time,
};
use super::{Batch, HOOKS, HOOKS_RETIRED, NUMBER_MAX, Numbers, Ours, Run};
use crate::file::TakeoverError;
use crate::known::{Field, Kind, fields};
use crate::summary::Summary;

const RESULT: &[Field] =
    fields!("Start", "Duration", "URL", "Success", "Code", "Error", "Response");

pub(super) const HOOK: Kind = Kind {
    table: "Hook",
    what: HOOKS,
    fields: fields!(
        "QueueMsgID",
        "FromID",
        "MessageID",
        "Subject",
        "Extra",
        "Account",
        "URL",
        "Authorization",
        "IsIncoming",
        "OutgoingEvent",
        "Payload",
        "Submitted",
        "Attempts",
        "NextAttempt",
        "Results": RESULT,
    ),
};

pub(super) const HOOK_RETIRED: Kind = Kind {
    table: "HookRetired",
    what: HOOKS_RETIRED,
    fields: fields!(
        "QueueMsgID",
        "FromID",
        "MessageID",
        "Subject",
        "Extra",
        "Account",
        "URL",
        "Authorization",
        "IsIncoming",
        "OutgoingEvent",
        "Payload",
        "Submitted",
        "SupersededByID",
        "Attempts",
        "Results": RESULT,
        "Success",
        "LastActivity",
        "KeepUntil",
    ),
};

/// How many calls an account has, and how many bytes of them.
type Usage = HashMap<String, (i64, i64)>;

impl Run<'_> {
    /// All calls: those that wait first, for which ours must have room.
    pub(super) fn hooks(&mut self, summary: &mut Summary) -> Result<(), TakeoverError> {
        let mut usage = Usage::new();
        self.hooks_of(&HOOK, &mut Numbers::of(&None), &mut usage, summary)?;
        let files = self.files;
        let waiting = files.index.table(HOOK.table).ok().flatten();
        self.hooks_of(&HOOK_RETIRED, &mut Numbers::of(&waiting), &mut usage, summary)
    }

    fn hooks_of(
        &mut self,
        kind: &Kind,
        others: &mut Numbers<'_>,
        usage: &mut Usage,
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        let mut batch = Batch::default();
        self.each(kind, summary, |run, record, summary| {
            match hook(record, kind.table == HOOK_RETIRED.table) {
                Ok(_) if others.have(record.i64("ID")) => {
                    run.damage(kind, record, "it waits too", summary);
                }
                Ok(found) => {
                    let wanted = run.wanted_hook(kind.what, found, usage, summary);
                    batch.extend(wanted.map(|hook| (hook, memory_bytes(record))));
                }
                Err(why) => run.damage(kind, record, &why, summary),
            }
            if batch.is_full() { run.flush_hooks(&mut batch) } else { Ok(()) }
        })?;
        self.flush_hooks(&mut batch)
    }

    /// A call, unless it is not to be taken.
    fn wanted_hook(
        &mut self,
        kind: &'static str,
        (mut hook, event): (Hook, Option<String>),
        usage: &mut Usage,
        summary: &mut Summary,
    ) -> Option<Hook> {
        let shown = format!("call {} of {:?}", hook.id, hook.call.account);
        if hook.retired.is_some_and(|end| end.keep_until <= self.context.now) {
            summary.skip("webhook calls of the history that are due to be forgotten", shown);
            return None;
        }
        let Some(account) = (self.context.accounts)(&hook.call.account) else {
            summary.skip("webhook calls of accounts that do not exist", shown);
            return None;
        };
        let size = hook.call.payload.len();
        let (count, bytes) = usage.entry(hook.call.account.clone()).or_default();
        // History gets half of the room, as with ours: it must not keep calls from being made.
        let part = if hook.retired.is_some() { 2 } else { 1 };
        if *count >= HOOKS_PER_ACCOUNT_MAX / part || *bytes >= HOOK_BYTES_PER_ACCOUNT_MAX / part {
            summary.skip("webhook calls beyond our limits", shown);
            return None;
        }
        *count += 1;
        *bytes = bytes.saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
        if let Some(event) = event {
            summary.differs(
                "webhook calls about events that are not known",
                format!("{shown}: {event:?}"),
            );
        }
        if hook.retired.is_none() {
            hook.call.keep_secs = account.keep_calls_secs;
        }
        summary.took(kind, 1);
        Some(hook)
    }

    fn flush_hooks(&mut self, batch: &mut Batch<Hook>) -> Result<(), TakeoverError> {
        let hooks = batch.take();
        if let Some(Ours { queue, .. }) = self.into {
            queue.keep_hooks(hooks).wait()?;
        }
        self.step();
        Ok(())
    }
}

/// A record of `Hook` or `HookRetired`, with the word of an event that is not known; or why it cannot be
/// one.
pub(super) fn hook(record: &Record, is_retired: bool) -> Result<(Hook, Option<String>), String> {
    let id = record.i64("ID");
    if !(1..=NUMBER_MAX).contains(&id) {
        return Err("its number cannot be one".to_owned());
    }
    let lossy = |field| text_of(record.get(field));
    let submitted = time(record, "Submitted").unwrap_or_default();
    let last_activity = time(record, "LastActivity").unwrap_or(submitted);
    let keep_until = time(record, "KeepUntil").unwrap_or(last_activity);
    let superseded = Some(record.i64("SupersededByID")).filter(|id| *id > 0);
    let end = is_retired.then_some(HookEnd {
        superseded_by: superseded.map(HookId),
        is_success: record.bool("Success"),
        last_activity,
        keep_until,
    });
    let word = lossy("OutgoingEvent");
    let event = OutgoingEvent::parse(&word);
    let unknown = event.is_none() && !word.is_empty();
    // Of calls that were made only whether there was one is noted.
    let (authorization, has_authorization) = match record.get("Authorization") {
        Value::Bool(is) => (String::new(), *is),
        _ => text(record, "Authorization").map(|text| (text.to_owned(), !text.is_empty()))?,
    };
    let hook = Hook {
        id: HookId(id),
        call: NewHook {
            queued: Some(record.i64("QueueMsgID")).filter(|id| *id > 0).map(MessageId),
            from_id: lossy("FromID"),
            message_id: in_brackets(&lossy("MessageID")),
            subject: lossy("Subject"),
            extra: extra(record.get("Extra")),
            account: text(record, "Account")?.to_owned(),
            url: text(record, "URL")?.to_owned(),
            authorization,
            event,
            payload: lossy("Payload"),
            keep_secs: if is_retired { keep_until.secs_since(last_activity).max(0) } else { 0 },
        },
        has_authorization,
        submitted,
        attempts: attempts(record, "Attempts"),
        next_attempt: time(record, "NextAttempt").unwrap_or(last_activity),
        results: newest(record).iter().map(attempt).collect(),
        retired: end,
    };
    Ok((hook, unknown.then_some(word)))
}

fn attempt(result: &Value) -> HookAttempt {
    HookAttempt {
        start: start(result.field("Start")),
        duration_ms: duration_ms(result.field("Duration")),
        url: text_of(result.field("URL")),
        is_success: result.field("Success").bool(),
        code: u16::try_from(result.field("Code").i64()).unwrap_or_default(),
        error: text_of(result.field("Error")),
        response: text_of(result.field("Response")),
    }
}
