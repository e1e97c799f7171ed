//! What a webhook call about a sent message tells, in JSON.

use std::collections::BTreeMap;

use mox_base::{DateTime, UnixSeconds};
use serde::Serialize;

use super::{NewHook, OutgoingEvent};
use crate::message::{Queued, truncated};

/// The most bytes of an error text in a payload.
pub const HOOK_ERROR_BYTES_MAX: usize = 4_096;

/// Where calls of an account go.
#[derive(Clone, PartialEq, Eq)]
pub struct HookTarget {
    /// `http` or `https`.
    pub url: String,
    /// The value of `Authorization`; empty: none.
    pub authorization: String,
    /// How long a call is kept when it is over; 0 or less: not at all.
    pub keep_secs: i64,
}

/// Without the secret.
impl std::fmt::Debug for HookTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookTarget").field("keep_secs", &self.keep_secs).finish_non_exhaustive()
    }
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// In a word.
    pub event: OutgoingEvent,
    /// A report told it, after the message had left.
    pub is_dsn: bool,
    /// The recipient is on the suppression list from now on.
    pub is_suppressing: bool,
    /// Of the SMTP reply, if there was one.
    pub code: Option<u16>,
    /// Of the SMTP reply, with its class. RFC 3463 §2.
    pub enhanced: Option<(u8, u16, u16)>,
    /// What went wrong; empty if nothing did. At most [`HOOK_ERROR_BYTES_MAX`] of it are told.
    pub error: &'a str,
}

impl Told<'_> {
    /// An event with nothing more to tell.
    #[must_use]
    pub const fn event(event: OutgoingEvent) -> Self {
        Self { event, is_dsn: false, is_suppressing: false, code: None, enhanced: None, error: "" }
    }
}

/// The names are those that programs out there know.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "Version")]
    version: u32,
    #[serde(rename = "Event")]
    event: &'static str,
    #[serde(rename = "DSN")]
    is_dsn: bool,
    #[serde(rename = "Suppressing")]
    is_suppressing: bool,
    #[serde(rename = "QueueMsgID")]
    queued: i64,
    #[serde(rename = "FromID")]
    from_id: &'a str,
    #[serde(rename = "MessageID")]
    message_id: &'a str,
    #[serde(rename = "Subject")]
    subject: &'a str,
    #[serde(rename = "WebhookQueued")]
    webhook_queued: String,
    #[serde(rename = "SMTPCode")]
    code: u16,
    #[serde(rename = "SMTPEnhancedCode")]
    enhanced: String,
    #[serde(rename = "Error")]
    error: &'a str,
    #[serde(rename = "Extra")]
    extra: &'a BTreeMap<String, String>,
}

impl NewHook {
    /// The call that tells what happened to a message, queued or retired.
    #[must_use]
    pub fn outgoing(
        message: &Queued,
        target: &HookTarget,
        told: &Told<'_>,
        now: UnixSeconds,
    ) -> Self {
        let from_id = message.from_id.as_deref().unwrap_or_default();
        let enhanced = told.enhanced;
        let payload = Payload {
            version: 0,
            event: told.event.as_str(),
            is_dsn: told.is_dsn,
            is_suppressing: told.is_suppressing,
            queued: message.id.0,
            from_id,
            message_id: &message.message_id,
            subject: &message.subject,
            webhook_queued: DateTime::from_unix(now).to_rfc3339(),
            code: told.code.unwrap_or_default(),
            enhanced: enhanced.map_or_else(String::new, |(class, subject, detail)| {
                format!("{class}.{subject}.{detail}")
            }),
            error: truncated(told.error, HOOK_ERROR_BYTES_MAX),
            extra: &message.extra,
        };
        Self {
            queued: Some(message.id),
            from_id: from_id.to_owned(),
            message_id: message.message_id.clone(),
            subject: message.subject.clone(),
            extra: message.extra.clone(),
            account: message.account.clone(),
            url: target.url.clone(),
            authorization: target.authorization.clone(),
            event: Some(told.event),
            // Text and numbers: there is always JSON for them.
            payload: serde_json::to_string(&payload).unwrap_or_default(),
            keep_secs: target.keep_secs,
        }
    }
}

#[cfg(test)]
mod tests {
    use mox_smtp::{Mailbox, ReversePath};

    use super::*;
    use crate::message::{Kind, MessageId};

    fn message() -> Queued {
        Queued {
            id: MessageId(7),
            base_id: None,
            body_id: 1,
            queued: UnixSeconds(0),
            account: "shop".into(),
            mail_from: ReversePath::Null,
            rcpt_to: Mailbox::from(mox_base::Address::parse("a@x.example").unwrap()),
            from_id: Some("tok".into()),
            notify: None,
            orcpt: None,
            priority: 0,
            require_tls: None,
            transport: None,
            is_held: false,
            is_leased: false,
            attempts: 1,
            attempts_max: None,
            next_attempt: UnixSeconds(0),
            last_attempt: None,
            results: Vec::new(),
            dialed_ips: BTreeMap::new(),
            kind: Kind::Mail,
            size: 1,
            message_id: "<1@example.org>".into(),
            subject: "a \"b\"".into(),
            has_8bit: false,
            is_binary: false,
            needs_utf8: false,
            has_utf8_body: false,
            ret: None,
            envid: None,
            release: None,
            extra: BTreeMap::from([("Order".into(), "17".into())]),
        }
    }

    fn target() -> HookTarget {
        let (url, authorization) = ("https://h.example/x".into(), "Basic c2VjcmV0".into());
        HookTarget { url, authorization, keep_secs: 60 }
    }

    #[track_caller]
    fn check(message: &Queued, told: &Told<'_>, want: &str) {
        let hook = NewHook::outgoing(message, &target(), told, UnixSeconds(1_795_164_932));
        assert_eq!(hook.payload, want);
        assert_eq!((hook.queued, hook.event), (Some(message.id), Some(told.event)));
        assert_eq!((hook.account.as_str(), hook.keep_secs), ("shop", 60));
    }

    #[test]
    fn payloads_have_all_fields_whatever_there_is_to_tell() {
        let failed = Told {
            is_dsn: true,
            is_suppressing: true,
            code: Some(550),
            enhanced: Some((5, 1, 1)),
            error: "no such user",
            ..Told::event(OutgoingEvent::Failed)
        };
        let want = "{\"Version\":0,\"Event\":\"failed\",\"DSN\":true,\"Suppressing\":true,\
            \"QueueMsgID\":7,\"FromID\":\"tok\",\"MessageID\":\"<1@example.org>\",\
            \"Subject\":\"a \\\"b\\\"\",\"WebhookQueued\":\"2026-11-20T08:55:32Z\",\
            \"SMTPCode\":550,\"SMTPEnhancedCode\":\"5.1.1\",\"Error\":\"no such user\",\
            \"Extra\":{\"Order\":\"17\"}}";
        check(&message(), &failed, want);
        let plain = Queued {
            from_id: None,
            message_id: String::new(),
            subject: String::new(),
            extra: BTreeMap::new(),
            ..message()
        };
        let want = "{\"Version\":0,\"Event\":\"delivered\",\"DSN\":false,\"Suppressing\":false,\
            \"QueueMsgID\":7,\"FromID\":\"\",\"MessageID\":\"\",\"Subject\":\"\",\
            \"WebhookQueued\":\"2026-11-20T08:55:32Z\",\"SMTPCode\":0,\"SMTPEnhancedCode\":\"\",\
            \"Error\":\"\",\"Extra\":{}}";
        check(&plain, &Told::event(OutgoingEvent::Delivered), want);
    }

    /// Attack: a server that answers with much text, for each of many recipients.
    #[test]
    fn an_error_is_told_as_far_as_it_has_room() {
        let text = "é".repeat(HOOK_ERROR_BYTES_MAX);
        let told = Told { error: &text, ..Told::event(OutgoingEvent::Delayed) };
        let hook = NewHook::outgoing(&message(), &target(), &told, UnixSeconds(0));
        assert!(hook.payload.len() < HOOK_ERROR_BYTES_MAX + 500);
        assert!(hook.payload.contains(text.get(..HOOK_ERROR_BYTES_MAX).unwrap()));
    }

    #[test]
    fn secrets_are_not_shown() {
        let told = Told::event(OutgoingEvent::Failed);
        let hook = NewHook::outgoing(&message(), &target(), &told, UnixSeconds(0));
        assert!(!format!("{hook:?} {:?}", target()).contains("c2VjcmV0"));
        assert_eq!(hook.authorization, "Basic c2VjcmV0");
    }
}
