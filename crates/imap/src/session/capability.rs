//! What is announced, and ENABLE.

use super::{Command, Session, Tagged};
use crate::print;

/// Announced in any state, in this order. RFC 9051 §6.1.1.
///
/// LITERAL+ says more than LITERAL-, and RFC 7888 §5 forbids both together.
const ALWAYS: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "ENABLE",
    "LITERAL+",
    "IDLE",
    "SASL-IR",
    "BINARY",
    "UNSELECT",
    "UIDPLUS",
    "ESEARCH",
    "SEARCHRES",
    "MOVE",
    "UTF8=ACCEPT",
    "LIST-EXTENDED",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-STATUS",
    "ID",
    "CONDSTORE",
    "QRESYNC",
    "STATUS=SIZE",
    "NAMESPACE",
    "MULTIAPPEND",
    "REPLACE",
    "CATENATE",
    "URL-PARTIAL",
    "URLAUTH",
    "URLAUTH=BINARY",
    "NOTIFY",
    "APPENDLIMIT=9223372036854775807",
    "SAVEDATE",
    "PREVIEW",
    "OBJECTID",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "METADATA",
    "LIST-METADATA",
    "WITHIN",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "PARTIAL",
    "INPROGRESS",
    "MULTISEARCH",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "FILTERS",
    "SEARCH=FUZZY",
    "I18NLEVEL=1",
    "UIDONLY",
];

/// The names that are announced on this connection, separated by spaces.
pub(super) fn capabilities(session: &Session) -> String {
    let settings = &session.settings;
    let mut all = ALWAYS.join(" ");
    // RFC 5802 §4: the -PLUS forms need a channel to bind to.
    if settings.has_channel_binding {
        all.push_str(" AUTH=SCRAM-SHA-256-PLUS");
    }
    all.push_str(" AUTH=SCRAM-SHA-256");
    if settings.has_channel_binding {
        all.push_str(" AUTH=SCRAM-SHA-1-PLUS");
    }
    all.push_str(" AUTH=SCRAM-SHA-1");
    // RFC 9738 §3.
    all.push_str(&format!(" MESSAGELIMIT={}", settings.message_limit()));
    if settings.can_start_tls {
        all.push_str(" STARTTLS");
    }
    // RFC 9051 §6.2.3: LOGINDISABLED where passwords must not be sent.
    all.push_str(if settings.allows_plaintext() { " AUTH=PLAIN" } else { " LOGINDISABLED" });
    if settings.has_client_certificate {
        all.push_str(" AUTH=EXTERNAL");
    }
    // RFC 4978 §3: not where it is on already. Before login it would only help who guesses.
    // Deviation: the original does not announce it, since it stalls clients that flush partially.
    // Here what is received is inflated to its last bit, whatever the flush.
    if session.state.is_authenticated() && !session.is_compressed {
        all.push_str(" COMPRESS=DEFLATE");
    }
    // RFC 8437 §3 leaves it to us whether it is announced before login.
    if session.state.is_authenticated() {
        all.push_str(" UNAUTHENTICATE");
    }
    if session.hidden.is_empty() {
        return all;
    }
    all.split(' ').filter(|name| !session.is_hidden(name)).collect::<Vec<_>>().join(" ")
}

impl Session {
    /// Announces these no more, and takes no notice of them in ENABLE, until the client logs out:
    /// for mail programs that fail with them. The commands themselves stay as they are.
    ///
    /// Names are in any case; where a number belongs to one, such as `APPENDLIMIT=…`, it may be left
    /// out. To be called before the login is answered.
    pub fn hide_capabilities(&mut self, names: Vec<String>) {
        self.hidden = names;
    }

    fn is_hidden(&self, name: &str) -> bool {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = name.split_once('=').filter(|(_, value)| digits(value)).map(|(limit, _)| limit);
        self.hidden.iter().any(|hidden| {
            hidden.eq_ignore_ascii_case(name)
                || limit.is_some_and(|limit| hidden.eq_ignore_ascii_case(limit))
        })
    }
}

/// The most of an ID that is passed on, in bytes. RFC 2971 §3.3: a value has 1,024 at most.
const AGENT_BYTES_MAX: usize = 2_048;

/// CAPABILITY. RFC 9051 §6.1.1.
pub(super) fn capability(session: &mut Session, cmd: Tagged) -> super::Action {
    let line = format!("CAPABILITY {}", capabilities(session));
    print::untagged(&mut session.out, &line);
    session.done(cmd)
}

/// ENABLE. RFC 9051 §6.3.1, RFC 7162 §3.2.3.
///
/// With UIDONLY (RFC 9586 §3) the session keeps its map of UIDs, against the advice of our
/// specification: it is ranges and costs next to nothing, and from it come the counts of EXISTS
/// and what of a removal the client knows.
pub(super) fn enable(session: &mut Session, cmd: Tagged, names: &[Vec<u8>]) -> super::Action {
    let mut line = String::from("ENABLED");
    let mut with_condstore = false;
    for name in names {
        let name = String::from_utf8_lossy(name);
        if session.is_hidden(&name) {
            continue;
        }
        match &*name.to_ascii_uppercase() {
            "IMAP4REV2" => session.enabled.rev2 = true,
            "METADATA" => session.enabled.metadata = true,
            "UTF8=ACCEPT" => session.enabled.utf8_accept = true,
            "CONDSTORE" => with_condstore = true,
            // RFC 7162 §3.2.3: QRESYNC enables CONDSTORE as well.
            "QRESYNC" => {
                session.enabled.qresync = true;
                with_condstore = true;
            }
            "UIDONLY" => session.enabled.uidonly = true,
            _ => continue,
        }
        line.push(' ');
        line.push_str(&name);
    }
    let is_new = with_condstore && !session.enabled.condstore;
    if is_new && !names.iter().any(|name| name.eq_ignore_ascii_case(b"CONDSTORE")) {
        line.push_str(" CONDSTORE");
    }
    print::untagged(&mut session.out, &line);
    if with_condstore {
        session.enable_condstore();
    }
    session.done(cmd)
}

/// ID. RFC 2971 §3.1.
pub(super) fn id(session: &mut Session, cmd: Tagged, command: &Command) -> super::Action {
    let Command::Id(pairs) = command else { return session.done(cmd) };
    let mut agent = String::new();
    for (key, value) in pairs {
        let value = value.as_deref().unwrap_or_default();
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        let pair = format!("{}={value:?}", key.escape_debug());
        // It goes into a log: what is longer is no name of a program.
        if agent.len() + pair.len() > AGENT_BYTES_MAX {
            break;
        }
        if !agent.is_empty() {
            agent.push(' ');
        }
        agent.push_str(&pair);
    }
    session.perform(cmd, super::Pending::Id, super::Op::Identify(agent))
}

/// The answer to ID: before login only the name. RFC 2971 §5 warns of saying more.
pub(super) fn print_id(session: &mut Session) {
    let out = &mut session.out;
    out.extend_from_slice(b"* ID (\"name\" \"mox\"");
    if session.state.is_authenticated() {
        out.extend_from_slice(b" \"version\" ");
        print::string(out, session.settings.version.as_bytes(), false);
    }
    out.extend_from_slice(b")\r\n");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// RFC 7888 §5: not both of LITERAL+ and LITERAL-.
    #[test]
    fn each_capability_is_named_once() {
        let names: BTreeSet<&str> = ALWAYS.iter().copied().collect();
        assert_eq!(names.len(), ALWAYS.len());
        assert!(!names.contains("LITERAL-"));
    }
}
