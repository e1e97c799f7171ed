//! The base subject, by which replies are matched. RFC 5256 §2.1.

/// A subject without the marks of replies and forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseSubject {
    /// In lower case; empty if nothing but marks is there, or if the subject has a NUL.
    pub base: String,
    /// Whether marks of a reply or forward were removed.
    pub is_reply: bool,
}

/// The longest subject that is looked at, in bytes.
const SUBJECT_BYTES_MAX: usize = 4 * 1024;

/// Extracts the base of a decoded subject. RFC 5256 §2.1, steps 1 to 6.
///
/// Deviation: `fwd [tag] text`, without colon, is no forward here either by our reading of
/// `subj-refwd`; and all is lower-cased, where the RFC compares with `i;unicode-casemap`.
#[must_use]
pub fn base_subject(subject: &str) -> BaseSubject {
    if subject.contains('\0') {
        return BaseSubject::default();
    }
    let text = normalize(crate::bytes::floor_str(subject, SUBJECT_BYTES_MAX));
    let mut rest = text.as_str();
    let mut is_reply = false;
    loop {
        rest = strip_trailers(rest, &mut is_reply);
        rest = strip_leaders(rest, &mut is_reply);
        // Step 6: `subj-fwd-hdr subject subj-fwd-trl`.
        match rest.strip_prefix("[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => {
                rest = inner;
                is_reply = true;
            }
            None => return BaseSubject { base: rest.to_owned(), is_reply },
        }
    }
}

/// Step 1: lower case, one space for any run of blanks.
fn normalize(subject: &str) -> String {
    let mut out = String::with_capacity(subject.len());
    for c in subject.chars().flat_map(char::to_lowercase) {
        match c {
            '\r' => {}
            ' ' | '\t' | '\n' if out.ends_with(' ') => {}
            ' ' | '\t' | '\n' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// Step 2: `subj-trailer = "(fwd)" / WSP`.
fn strip_trailers<'a>(mut text: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        text = text.trim_end_matches(' ');
        match text.strip_suffix("(fwd)") {
            Some(rest) => {
                text = rest;
                *is_reply = true;
            }
            None => return text,
        }
    }
}

/// Steps 3 to 5: leaders, and blobs as long as something remains. Linear in the text: blobs are
/// looked through again only after a leader was removed.
fn strip_leaders<'a>(mut text: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        text = text.trim_start_matches(' ');
        if let Some(rest) = strip_refwd(strip_blobs(text)) {
            text = rest;
            *is_reply = true;
            continue;
        }
        match strip_blob(text).filter(|rest| !rest.is_empty()) {
            Some(_) => text = strip_blobs_but_last(text),
            None => return text,
        }
    }
}

/// Removes blobs while something remains.
fn strip_blobs_but_last(mut text: &str) -> &str {
    while let Some(rest) = strip_blob(text).filter(|rest| !rest.is_empty()) {
        text = rest;
    }
    text
}

fn strip_blobs(mut text: &str) -> &str {
    while let Some(rest) = strip_blob(text) {
        text = rest;
    }
    text
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`, where no BLOBCHAR is a bracket.
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner.get(end..)?.strip_prefix(']')?.trim_start_matches(' '))
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`.
fn strip_refwd(text: &str) -> Option<&str> {
    ["re", "fwd", "fw"].iter().find_map(|mark| {
        let rest = text.strip_prefix(mark)?.trim_start_matches(' ');
        strip_blob(rest).unwrap_or(rest).strip_prefix(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(subject: &str, base: &str, is_reply: bool) {
        let want = BaseSubject { base: base.to_owned(), is_reply };
        assert_eq!(base_subject(subject), want, "{subject:?}");
    }

    /// RFC 5256 §2.1.
    #[test]
    fn marks_of_replies_and_forwards_are_removed() {
        // Valid.
        check("Test", "test", false);
        check("Re: Test", "test", true);
        check("RE : fwd: Test (fwd)", "test", true);
        check("[list] Test", "test", false);
        check("[list] Re: [list] Test", "test", true);
        check("Re [tag]: Test", "test", true);
        check("[Fwd: Test]", "test", true);
        check("[fwd: Re: Test (fwd)] (fwd)", "test", true);
        check("  a \t b\r\n c ", "a b c", false);
        // At the edge.
        check("[only blob]", "[only blob]", false);
        check("Re: [only blob]", "[only blob]", true);
        check("[a] [b] [c]", "[c]", false);
        check("[a] [b] re: [c] fw: [d]e", "e", true);
        check("(fwd)", "", true);
        check("Re:", "", true);
        check("", "", false);
        // Past it.
        check("fwd [tag] Test", "fwd [tag] test", false);
        check("reply: Test", "reply: test", false);
        check("Res: Test", "res: test", false);
        check("[a[b]c] Test", "[a[b]c] test", false);
        check("a\0b", "", false);
    }

    proptest! {
        #[test]
        fn a_base_has_no_marks_left(subject in "(re|fwd|:|\\[|\\]|a|\\(fwd\\)| ){0,20}") {
            let base = base_subject(&subject).base;
            prop_assert_eq!(base_subject(&base), BaseSubject { base: base.clone(), is_reply: false });
        }
    }
}
