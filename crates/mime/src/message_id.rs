//! Message-IDs in a form that can be compared, and the ids a message refers to.

use mox_base::{Domain, Localpart};

use crate::header::unfold;

/// The longest id that is kept, in bytes; a longer one is no id.
pub const MESSAGE_ID_BYTES_MAX: usize = 1_024;
/// The largest number of ids kept of References: the last ones, which are the nearest ancestors.
pub const REFERENCES_MAX: usize = 100;

/// A Message-ID without `<>`, in lower case, its localpart quoted as little as possible.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The text to compare.
    pub id: String,
    /// Whether it is not of the form of an address, so that `id` is the text as it was.
    pub is_raw: bool,
}

/// Reads a Message-ID field.
///
/// `msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]` (RFC 5322 §3.6.4). Text after the `>` must
/// start with a blank. Deviation: ids are case-sensitive by the RFC, but software changes case.
#[must_use]
pub fn canonical_message_id(value: &[u8]) -> Option<MessageId> {
    let value = unfold(value);
    let text = String::from_utf8_lossy(&value);
    let (id, after) = text.strip_prefix('<')?.split_once('>')?;
    if !after.is_empty() && !after.starts_with([' ', '\t']) {
        return None;
    }
    canonical(id)
}

fn canonical(id: &str) -> Option<MessageId> {
    if id.is_empty() || id.len() > MESSAGE_ID_BYTES_MAX {
        return None;
    }
    let id = id.to_lowercase();
    let address = id.rsplit_once('@').and_then(|(left, right)| {
        Domain::parse(right).ok()?;
        Some(format!("{}@{right}", Localpart::parse(left).ok()?))
    });
    let is_raw = address.is_none();
    Some(MessageId { id: address.unwrap_or(id), is_raw })
}

/// The ids of all References fields, oldest ancestor first; at most the last [`REFERENCES_MAX`].
///
/// Only if there are none, the first id of In-Reply-To (RFC 5322 §3.6.4). Words between ids are
/// skipped, an id cut off by the next `<` is ignored, blanks inside an id are removed.
#[must_use]
pub fn referenced_ids<'a>(
    references: impl Iterator<Item = &'a [u8]>,
    in_reply_to: impl Iterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut ids = Vec::new();
    for value in references {
        ids_of(value, &mut ids);
    }
    if ids.is_empty() {
        for value in in_reply_to {
            ids_of(value, &mut ids);
        }
        ids.truncate(1);
    }
    let extra = ids.len().saturating_sub(REFERENCES_MAX);
    ids.drain(..extra);
    ids
}

fn ids_of(value: &[u8], ids: &mut Vec<String>) {
    let text = String::from_utf8_lossy(value);
    for piece in text.split('<').skip(1) {
        let Some((id, _)) = piece.split_once('>') else { continue };
        let id: String = id.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if let Some(found) = canonical(&id) {
            ids.push(found.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: Option<(&str, bool)>) {
        let got = canonical_message_id(value.as_bytes());
        assert_eq!(got.as_ref().map(|id| (id.id.as_str(), id.is_raw)), want, "{value:?}");
    }

    /// RFC 5322 §3.6.4.
    #[test]
    fn message_ids_are_made_comparable() {
        // Valid.
        check("<USER@DOMAIN>", Some(("user@domain", false)));
        check(" <\"ab\"@x.org> ", Some(("ab@x.org", false)));
        check("<\"a b\"@x.org>", Some(("\"a b\"@x.org", false)));
        // At the edge.
        check("<user@bücher.example>", Some(("user@bücher.example", false)));
        check("<user@xn--bcher-kva.example>", Some(("user@xn--bcher-kva.example", false)));
        check("<user@x> (comment)", Some(("user@x", false)));
        check("<user@[10.0.0.1]>", Some(("user@[10.0.0.1]", true)));
        check("<a@b@c>", Some(("a@b@c", true)));
        check("<User>", Some(("user", true)));
        let long = "a".repeat(MESSAGE_ID_BYTES_MAX);
        check(&format!("<{long}>"), Some((&long, true)));
        // Past it.
        check(&format!("<{long}a>"), None);
        check("<user@x>bad", None);
        check("user@x", None);
        check("<user@x", None);
        check("<>", None);
        check("", None);
    }

    #[track_caller]
    fn check_references(references: &[&str], in_reply_to: &[&str], want: &[&str]) {
        let bytes =
            |values: &[&str]| values.iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>();
        let (references, in_reply_to) = (bytes(references), bytes(in_reply_to));
        let got = referenced_ids(
            references.iter().map(Vec::as_slice),
            in_reply_to.iter().map(Vec::as_slice),
        );
        assert_eq!(got, want);
    }

    #[test]
    fn references_are_read_and_in_reply_to_only_without_them() {
        check_references(&["<a@b> <C@d>", "<e@f>"], &["<g@h>"], &["a@b", "c@d", "e@f"]);
        check_references(&[], &["<a@b> <c@d>"], &["a@b"]);
        check_references(&["none"], &["x", "<a@b>"], &["a@b"]);
        check_references(&["<a@b><c@d>"], &[], &["a@b", "c@d"]);
        check_references(&["<a@ b\r\n >"], &[], &["a@b"]);
        check_references(&["<cut@off <a@b> junk <end"], &[], &["a@b"]);
        check_references(&["<> <a@b>"], &[], &["a@b"]);
        let many: String = (0..REFERENCES_MAX + 5).map(|i| format!("<{i}@x> ")).collect();
        let want: Vec<String> = (5..REFERENCES_MAX + 5).map(|i| format!("{i}@x")).collect();
        let want: Vec<&str> = want.iter().map(String::as_str).collect();
        check_references(&[&many], &[], &want);
    }
}
