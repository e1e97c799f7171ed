//! The keys of an account.

use std::collections::BTreeMap;

use mox_base::{Address, Domain, MailboxName};
use mox_sconf::{Duration, settings};

use crate::dynamic::Route;
use crate::text::{DefaultDomain, DestinationKey, Pattern, Text, words};

words! {
    /// What an outgoing webhook can be called for.
    pub enum WebhookEvent, "webhook event", {
        /// Taken by the recipient's server.
        #[default]
        "delivered" => Delivered,
        /// Not sent, since the recipient is on the suppression list.
        "suppressed" => Suppressed,
        /// To be tried again.
        "delayed" => Delayed,
        /// Given up.
        "failed" => Failed,
        /// Sent on to a system that does not report.
        "relayed" => Relayed,
        /// Sent on to several recipients.
        "expanded" => Expanded,
        /// Removed from the queue.
        "canceled" => Canceled,
        /// A report that could not be understood.
        "unrecognized" => Unrecognized,
    }
}

/// Messages an account may send in a day where it does not say.
pub const OUTGOING_MESSAGES_PER_DAY_DEFAULT: u32 = 1000;

/// New recipients an account may write to in a day where it does not say.
pub const FIRST_TIME_RECIPIENTS_PER_DAY_DEFAULT: u32 = 200;

settings! {
    /// An account.
    pub struct Account {
        /// Calls about messages that were sent.
        "OutgoingWebhook" optional => outgoing_webhook: Option<OutgoingWebhook>,
        /// Calls about messages that arrived.
        "IncomingWebhook" optional => incoming_webhook: Option<IncomingWebhook>,
        /// Addresses that, when logged in with, get a unique return address for each message sent,
        /// so that reports can be matched. Their domain needs a catch-all separator.
        "FromIDLoginAddresses" optional => from_id_login_addresses: Vec<Text<Address>>,
        /// How long to keep messages in the queue after they were delivered or failed.
        "KeepRetiredMessagePeriod" optional => keep_retired_message_period: Duration,
        /// How long to keep webhook calls after they were made.
        "KeepRetiredWebhookPeriod" optional => keep_retired_webhook_period: Duration,
        /// If there is a text, nobody can log in; it is what the user gets to read. At most 256
        /// ASCII characters.
        "LoginDisabled" optional => login_disabled: String,
        /// Default domain of the account. May be empty.
        "Domain" => domain: Text<DefaultDomain>,
        /// Free text.
        "Description" optional => description: String,
        /// Name of the user for messages written in webmail.
        "FullName" optional => full_name: String,
        /// What mail the account gets. The keys are addresses, or @ and a domain for all of its
        /// addresses that have no destination of their own.
        "Destinations" optional => destinations: BTreeMap<Text<DestinationKey>, Destination>,
        /// A code in the refusal of a message, by which its sender can get through.
        "SubjectPass" optional => subject_pass: SubjectPass,
        /// Most bytes of messages the account may hold. 0 is the limit of mox.conf, a negative
        /// number no limit.
        "QuotaMessageSize" optional => quota_message_size: i64,
        /// Mailbox for copies of messages that were refused as unwanted, such as Rejects.
        "RejectsMailbox" optional => rejects_mailbox: Option<Text<MailboxName>>,
        /// Do not remove old messages from it.
        "KeepRejects" optional => keep_rejects: bool,
        /// Mailbox for messages of first-time senders.
        "Introbox" optional => introbox: Option<Text<MailboxName>>,
        /// Marking of messages as junk or not by the mailbox they are put in.
        "AutomaticJunkFlags" optional => automatic_junk_flags: AutomaticJunkFlags,
        /// Learning filter for unwanted messages.
        "JunkFilter" optional => junk_filter: Option<JunkFilter>,
        /// Most messages sent in a day. Default: 1000.
        "MaxOutgoingMessagesPerDay" optional => max_outgoing_messages_per_day: u32,
        /// Most new recipients written to in a day. Default: 200.
        "MaxFirstTimeRecipientsPerDay" optional => max_first_time_recipients_per_day: u32,
        /// Accept messages of first-time senders without delay.
        "NoFirstTimeSenderDelay" optional => no_first_time_sender_delay: bool,
        /// The user may not choose a password, only have one made.
        "NoCustomPassword" optional => no_custom_password: bool,
        /// IMAP extensions not to offer, in upper case, for mail programs that fail with them.
        "IMAPCapabilitiesDisabled" optional => imap_capabilities_disabled: Vec<String>,
        /// Routes for messages sent by this account.
        "Routes" optional => routes: Vec<Route>,
    }

    /// Calls about sent messages.
    pub struct OutgoingWebhook {
        /// Where to send the call, http or https.
        "URL" => url: String,
        /// Value of the Authorization header.
        "Authorization" optional => authorization: String,
        /// What to call for. Default: all. Known: delivered, suppressed, delayed, failed, relayed,
        /// expanded, canceled, unrecognized.
        "Events" optional => events: Vec<Text<WebhookEvent>>,
    }

    /// Calls about messages that arrived.
    pub struct IncomingWebhook {
        /// Where to send the call, http or https.
        "URL" => url: String,
        /// Value of the Authorization header.
        "Authorization" optional => authorization: String,
    }

    /// What happens to mail for an address.
    pub struct Destination {
        /// Mailbox to put messages in. Default: Inbox.
        "Mailbox" optional => mailbox: Option<Text<MailboxName>>,
        /// Rules that choose another mailbox. The first that matches is used.
        "Rulesets" optional => rulesets: Vec<Ruleset>,
        /// Refuse all mail: 421 or 550, and if wanted a space and a text of at most 256 ASCII
        /// characters.
        "SMTPError" optional => smtp_error: String,
        /// Refuse mail whose sender is not proven, with this text of at most 256 ASCII characters.
        "MessageAuthRequiredSMTPError" optional => message_auth_required_smtp_error: String,
        /// Name of the user for messages written from this address in webmail.
        "FullName" optional => full_name: String,
    }

    /// A rule. A message must match all of the first four that are given, one at least.
    pub struct Ruleset {
        /// Regular expression for the address that the message was sent from by SMTP.
        "SMTPMailFromRegexp" optional => smtp_mail_from_regexp: Text<Pattern>,
        /// Regular expression for the address in the From header.
        "MsgFromRegexp" optional => msg_from_regexp: Text<Pattern>,
        /// Domain that is proven, by SPF or DKIM, to have sent the message; subdomains match too.
        "VerifiedDomain" optional => verified_domain: Option<Text<Domain>>,
        /// Regular expressions for the name and value of headers, in lower case; each must match.
        "HeadersRegexp" optional => headers_regexp: BTreeMap<String, Text<Pattern>>,
        /// The message is forwarded by a server the user trusts, so the original sender is not
        /// judged by its address. Needs SMTPMailFromRegexp and VerifiedDomain.
        "IsForward" optional => is_forward: bool,
        /// The message comes from a mailing list of this domain: accept it if that is proven.
        "ListAllowDomain" optional => list_allow_domain: Option<Text<Domain>>,
        /// Where messages go that would be refused, instead of being refused.
        "AcceptRejectsToMailbox" optional => accept_rejects_to_mailbox: Option<Text<MailboxName>>,
        /// Mailbox to put the message in.
        "Mailbox" => mailbox: Text<MailboxName>,
        /// Free text.
        "Comment" optional => comment: String,
    }

    /// Subject pass.
    pub struct SubjectPass {
        /// How long a code is valid, such as 12h.
        "Period" => period: Duration,
    }

    /// Flags by mailbox. The patterns are matched with the mailbox name in lower case; if one of
    /// the three is missing, it stands for all other mailboxes.
    pub struct AutomaticJunkFlags {
        /// Whether it is done.
        "Enabled" => enabled: bool,
        /// Mailboxes whose messages are junk, such as ^(junk|spam).
        "JunkMailboxRegexp" optional => junk_mailbox_regexp: Text<Pattern>,
        /// Mailboxes whose messages are neither, such as ^(inbox|postmaster|rejects).
        "NeutralMailboxRegexp" optional => neutral_mailbox_regexp: Text<Pattern>,
        /// Mailboxes whose messages are not junk.
        "NotJunkMailboxRegexp" optional => not_junk_mailbox_regexp: Text<Pattern>,
    }

    /// The learning filter.
    pub struct JunkFilter {
        /// Probability, from 0 to 1, from which a message is unwanted, such as 0.95.
        "Threshold" => threshold: f64,
        /// How it learns. The keys below may also stand right in JunkFilter instead.
        "Params" optional => params: Option<JunkParams>,
        /// Instead of Params.
        "Onegrams" optional => onegrams: bool,
        /// Instead of Params.
        "Twograms" optional => twograms: bool,
        /// Instead of Params.
        "Threegrams" optional => threegrams: bool,
        /// Instead of Params, where it must be.
        "MaxPower" optional => max_power: Option<f64>,
        /// Instead of Params, where it must be.
        "TopWords" optional => top_words: Option<i32>,
        /// Instead of Params.
        "IgnoreWords" optional => ignore_words: f64,
        /// Instead of Params.
        "RareWords" optional => rare_words: i32,
    }

    /// How the filter learns.
    pub struct JunkParams {
        /// Learn single words.
        "Onegrams" optional => onegrams: bool,
        /// Learn pairs of words.
        "Twograms" optional => twograms: bool,
        /// Learn words in threes.
        "Threegrams" optional => threegrams: bool,
        /// How far from 0 and 1 the probability of a word stays, 0 to 0.5, such as 0.01.
        "MaxPower" => max_power: f64,
        /// How many of the most telling words count, such as 10.
        "TopWords" => top_words: i32,
        /// Words closer than this to 0.5 do not count, 0 to 0.5, such as 0.1.
        "IgnoreWords" optional => ignore_words: f64,
        /// Words seen this often or less are taken as rare and count less, such as 1 or 2.
        "RareWords" optional => rare_words: i32,
    }
}

impl JunkFilter {
    /// How it learns: as in Params, which the original writes, or as its keys say where they stand
    /// without it.
    #[must_use]
    pub fn params(&self) -> JunkParams {
        self.params.clone().unwrap_or_else(|| JunkParams {
            onegrams: self.onegrams,
            twograms: self.twograms,
            threegrams: self.threegrams,
            max_power: self.max_power.unwrap_or_default(),
            top_words: self.top_words.unwrap_or_default(),
            ignore_words: self.ignore_words,
            rare_words: self.rare_words,
        })
    }

    /// A key that stands beside Params, if there is one.
    pub(crate) fn beside_params(&self) -> Option<&'static str> {
        let keys = [
            ("Onegrams", self.onegrams),
            ("Twograms", self.twograms),
            ("Threegrams", self.threegrams),
            ("MaxPower", self.max_power.is_some()),
            ("TopWords", self.top_words.is_some()),
            ("IgnoreWords", self.ignore_words != 0.0),
            ("RareWords", self.rare_words != 0),
        ];
        keys.into_iter().find(|(_, is_set)| *is_set).map(|(key, _)| key)
    }
}

impl Account {
    /// The calls to be made for an event of a sent message, given by its word, if it is called for.
    #[must_use]
    pub fn outgoing_webhook_for(&self, event: &str) -> Option<&OutgoingWebhook> {
        let hook = self.outgoing_webhook.as_ref()?;
        let is_wanted = |wanted: &Text<WebhookEvent>| wanted.0.to_string() == event;
        (hook.events.is_empty() || hook.events.iter().any(is_wanted)).then_some(hook)
    }

    /// The most messages this account may send in a day.
    #[must_use]
    pub fn outgoing_messages_per_day(&self) -> u32 {
        match self.max_outgoing_messages_per_day {
            0 => OUTGOING_MESSAGES_PER_DAY_DEFAULT,
            count => count,
        }
    }

    /// The most new recipients this account may write to in a day.
    #[must_use]
    pub fn first_time_recipients_per_day(&self) -> u32 {
        match self.max_first_time_recipients_per_day {
            0 => FIRST_TIME_RECIPIENTS_PER_DAY_DEFAULT,
            count => count,
        }
    }
}

/// A refusal configured for all mail to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmtpError<'a> {
    /// Whether the sender may try again (RFC 5321 §4.2.1).
    pub is_temporary: bool,
    /// What to say; empty for the server's own text.
    pub text: &'a str,
}

impl Destination {
    /// The refusal of all mail, if there is one.
    #[must_use]
    pub fn smtp_error(&self) -> Option<SmtpError<'_>> {
        let (code, text) = self.smtp_error.split_once(' ').unwrap_or((&self.smtp_error, ""));
        let is_temporary = match code {
            "421" => true,
            "550" => false,
            _ => return None,
        };
        Some(SmtpError { is_temporary, text })
    }

    /// The mailbox that messages go to when no rule says otherwise.
    #[must_use]
    pub fn mailbox(&self) -> MailboxName {
        self.mailbox.as_ref().map_or_else(MailboxName::inbox, |name| name.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(events: &[WebhookEvent], event: &str, want: bool) {
        let events = events.iter().copied().map(Text).collect();
        let url = "https://h.example/".to_owned();
        let hook = OutgoingWebhook { url, events, ..OutgoingWebhook::default() };
        let account = Account { outgoing_webhook: Some(hook), ..Account::default() };
        assert_eq!(account.outgoing_webhook_for(event).is_some(), want, "{event}");
    }

    #[test]
    fn webhooks_are_for_the_events_that_are_named_or_for_all() {
        check(&[WebhookEvent::Failed, WebhookEvent::Delayed], "failed", true);
        check(&[], "failed", true);
        check(&[WebhookEvent::Delivered], "failed", false);
        assert_eq!(Account::default().outgoing_webhook_for("failed"), None);
    }
}
