//! Rules for servers that no client can see kept or broken.

/// Such a rule.
pub(super) struct Untestable {
    /// RFC and section.
    pub(super) place: &'static str,
    /// The rule, in our words.
    pub(super) rule: &'static str,
    /// Why there is no case, and what stands for it.
    pub(super) reason: &'static str,
}

/// All of them, in the order of the standards.
pub(super) const UNTESTABLE: &[Untestable] = &[
    Untestable {
        place: "RFC 9051 §2.3.1.1",
        rule: "a UIDVALIDITY is never used twice for one name, even after the server was restored from a backup",
        reason: "a restored backup cannot be told from the first copy; that deleted and renamed names get new ones has cases",
    },
    Untestable {
        place: "RFC 9051 §2.3.1.1",
        rule: "UIDs stay as they are even if another program changes the store in between",
        reason: "nothing but the server writes its store",
    },
    Untestable {
        place: "RFC 9051 §5.3",
        rule: "a server that lives at the same time as an idle client sends untagged data only where flow control allows it",
        reason: "a client that does not read is tested with the driver, in crates/imapd/tests/imapd/pace.rs",
    },
    Untestable {
        place: "RFC 9051 §5.4",
        rule: "an inactivity timer is at least 30 minutes long, and any command sets it back",
        reason: "no test waits for half an hour; crates/imapd/tests/imapd/pace.rs does with a clock that is paused",
    },
    Untestable {
        place: "RFC 9051 §6.1.3",
        rule: "a server whose client closed without LOGOUT ends the session in order",
        reason: "nobody is left to see it; that what was done before stays has a case",
    },
    Untestable {
        place: "RFC 9051 §6.2.2",
        rule: "without a security layer AUTH=PLAIN and LOGIN are refused in the configuration a server has out of the box",
        reason: "the servers here are localserve, which allows them on loopback; crates/imapd/tests/imapd/logins.rs has ports that do not",
    },
    Untestable {
        place: "RFC 9051 §6.3.4",
        rule: "CREATE of a mailbox that was deleted gets unused UIDs unless it gets a new UIDVALIDITY",
        reason: "mox always gives a new one, which has a case",
    },
    Untestable {
        place: "RFC 9051 §6.3.12",
        rule: "when an APPEND fails, the mailbox is as before, even if the server crashes",
        reason: "the crash tests of crates/store cut the writes off at each sync",
    },
    Untestable {
        place: "RFC 9051 §6.4.7",
        rule: "a COPY that fails for any reason leaves the target as it was",
        reason: "failures inside cannot be caused over the wire; the cases have those that can, and crates/store fails the n-th write",
    },
    Untestable {
        place: "RFC 9051 §7.1.5",
        rule: "a server that shuts down says BYE first",
        reason: "the cases share a server; crates/imapd/tests/imapd/basics.rs has one that stops",
    },
    Untestable {
        place: "RFC 9051 §7.1.4",
        rule: "PREAUTH is only said to a client that is authenticated by other means",
        reason: "needs a client certificate; crates/imapd/tests/imapd/logins.rs has one",
    },
    Untestable {
        place: "RFC 9051 §11.1",
        rule: "TLS is done with current ciphers and verified names",
        reason: "the TLS library's; tests/src/tls.rs has the server's own part",
    },
];
