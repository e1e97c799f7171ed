//! Hashes of a body, of all kinds that are asked for, in one pass. RFC 6376 §3.4.3 to §3.4.5, §3.7.

use std::fmt;

use aws_lc_rs::digest;
use memchr::memchr;

use super::Canonicalization;

/// How many canonical bytes are gathered before they are hashed.
const BUFFER_BYTES: usize = 4096;

/// The length of a hash, in bytes.
pub(crate) const HASH_BYTES: usize = digest::SHA256_OUTPUT_LEN;

/// A SHA-256 hash. The only kind: RFC 8301 §3.1 withdrew SHA-1.
pub(crate) type Hash = [u8; HASH_BYTES];

/// Hashes the body of a message as signatures want it.
///
/// All signatures of a message, of DKIM and of ARC, are told to one of these; then the body is put
/// through it once, in pieces of any size. Holds a few KiB, however large the body. Costs one
/// SHA-256 for each canonicalisation in use: a hash over the first bytes only (`l=`) is a copy of
/// the state at that point, so many different lengths cost no more than one.
#[derive(Clone, Debug, Default)]
pub struct BodyHashes {
    simple: Option<Box<Stream>>,
    relaxed: Option<Box<Stream>>,
}

impl BodyHashes {
    /// One that nothing was asked of.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nobody wants a hash, so that the body need not be read.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.simple.is_none() && self.relaxed.is_none()
    }

    /// Asks for a hash, before the first byte of the body.
    ///
    /// - `limit`: of how many bytes in canonical form; all if there is none. RFC 6376 §3.5, `l=`.
    pub(crate) fn want(&mut self, form: Canonicalization, limit: Option<u64>) {
        let place = match form {
            Canonicalization::Simple => &mut self.simple,
            Canonicalization::Relaxed => &mut self.relaxed,
        };
        let stream = place.get_or_insert_with(|| Box::new(Stream::new(form)));
        if let Some(limit) = limit {
            stream.output.cut_at(limit);
        }
    }

    /// Takes the next piece of the body: what follows the empty line after the header.
    ///
    /// CRLF ends a line; a lone CR or LF is a character like others, since that is what was signed
    /// if it was there. RFC 6376 §5.3.
    pub fn update(&mut self, body: &[u8]) {
        for stream in [&mut self.simple, &mut self.relaxed].into_iter().flatten() {
            stream.push(body);
        }
    }

    /// Ends the body.
    #[must_use]
    pub fn finish(self) -> BodyDigests {
        BodyDigests {
            simple: self.simple.map(|stream| stream.finish()),
            relaxed: self.relaxed.map(|stream| stream.finish()),
        }
    }
}

/// The hashes of a body.
#[derive(Clone, Debug)]
pub struct BodyDigests {
    simple: Option<Digests>,
    relaxed: Option<Digests>,
}

#[derive(Clone, Debug)]
struct Digests {
    canonical_bytes: u64,
    whole: Hash,
    cuts: Vec<(u64, Hash)>,
}

/// One hash of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyDigest {
    pub(crate) hash: Hash,
    /// How many bytes in canonical form it leaves out.
    pub(crate) uncovered_bytes: u64,
}

impl BodyDigests {
    /// A hash that was asked for; none if it was not, or if the body has fewer bytes than `limit`.
    pub(crate) fn get(&self, form: Canonicalization, limit: Option<u64>) -> Option<BodyDigest> {
        let digests = match form {
            Canonicalization::Simple => self.simple.as_ref()?,
            Canonicalization::Relaxed => self.relaxed.as_ref()?,
        };
        let Some(limit) = limit else {
            return Some(BodyDigest { hash: digests.whole, uncovered_bytes: 0 });
        };
        let uncovered_bytes = digests.canonical_bytes.checked_sub(limit)?;
        let found = digests.cuts.iter().find(|(at, _)| *at == limit);
        found.map(|(_, hash)| BodyDigest { hash: *hash, uncovered_bytes })
    }
}

/// One canonicalisation of a body on its way into its hash.
#[derive(Clone, Debug)]
struct Stream {
    form: Canonicalization,
    /// A CR was seen, and what follows it was not.
    held_cr: bool,
    /// Blanks were seen that count as one, unless the line ends (relaxed only).
    blank: bool,
    /// Line ends that only count if something follows them.
    line_ends: u64,
    /// Something other than line ends was there.
    has_content: bool,
    output: Output,
}

impl Stream {
    fn new(form: Canonicalization) -> Self {
        Self {
            form,
            held_cr: false,
            blank: false,
            line_ends: 0,
            has_content: false,
            output: Output::new(),
        }
    }

    fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some((&first, after)) = rest.split_first() {
            if std::mem::take(&mut self.held_cr) {
                if first == b'\n' {
                    self.line_ends += 1;
                    self.blank = false;
                    rest = after;
                    continue;
                }
                self.content(b"\r");
            }
            match first {
                b'\r' => {
                    self.held_cr = true;
                    rest = after;
                }
                b' ' | b'\t' if self.form == Canonicalization::Relaxed => {
                    self.blank = true;
                    rest = after;
                }
                _ => {
                    let (run, after) = rest.split_at(self.run_bytes(rest));
                    self.content(run);
                    rest = after;
                }
            }
        }
    }

    /// How many bytes from the start, at least one, are the same in canonical form. The first is
    /// known to be.
    fn run_bytes(&self, rest: &[u8]) -> usize {
        if self.form == Canonicalization::Simple {
            return memchr(b'\r', rest).unwrap_or(rest.len());
        }
        let stops = |at: &usize| match rest.get(*at) {
            Some(b'\r' | b'\t') => true,
            // One space between words stays as it is; of others it is not known yet.
            Some(b' ') => matches!(rest.get(at + 1), None | Some(b' ' | b'\t' | b'\r')),
            _ => false,
        };
        (1..rest.len()).find(stops).unwrap_or(rest.len())
    }

    fn content(&mut self, bytes: &[u8]) {
        self.output.line_ends(std::mem::take(&mut self.line_ends));
        if std::mem::take(&mut self.blank) {
            self.output.push(b" ");
        }
        self.output.push(bytes);
        self.has_content = true;
    }

    fn finish(mut self) -> Digests {
        if self.held_cr {
            self.content(b"\r");
        }
        // Empty lines at the end are left out, one line end is added if there is none. Of an empty
        // body the simple form is a line end, the relaxed form is nothing. RFC 6376 §3.4.3, §3.4.4.
        if self.has_content || self.form == Canonicalization::Simple {
            self.output.push(b"\r\n");
        }
        self.output.finish()
    }
}

/// Canonical bytes and their hash.
#[derive(Clone)]
struct Output {
    context: digest::Context,
    buffer: Vec<u8>,
    hashed_bytes: u64,
    /// Where hashes of the first bytes are wanted, sorted; those before `cut` are done.
    cuts: Vec<(u64, Hash)>,
    cut: usize,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("hashed_bytes", &self.hashed_bytes).finish_non_exhaustive()
    }
}

impl Output {
    fn new() -> Self {
        Self {
            context: digest::Context::new(&digest::SHA256),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            hashed_bytes: 0,
            cuts: Vec::new(),
            cut: 0,
        }
    }

    fn cut_at(&mut self, limit: u64) {
        if let Err(place) = self.cuts.binary_search_by_key(&limit, |(at, _)| *at) {
            self.cuts.insert(place, (limit, [0; HASH_BYTES]));
        }
    }

    fn line_ends(&mut self, count: u64) {
        for _ in 0..count {
            self.push(b"\r\n");
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            let buffer = std::mem::take(&mut self.buffer);
            self.hash(&buffer);
            self.buffer = buffer;
            self.buffer.clear();
        }
        if bytes.len() > BUFFER_BYTES / 2 {
            self.hash(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((limit, hash)) = self.cuts.get_mut(self.cut) {
            let left = usize::try_from(*limit - self.hashed_bytes).unwrap_or(usize::MAX);
            let Some((head, tail)) = rest.split_at_checked(left) else { break };
            self.context.update(head);
            self.hashed_bytes = *limit;
            *hash = bytes_of(self.context.clone());
            self.cut += 1;
            rest = tail;
        }
        self.context.update(rest);
        self.hashed_bytes += rest.len() as u64;
    }

    fn finish(mut self) -> Digests {
        let buffer = std::mem::take(&mut self.buffer);
        self.hash(&buffer);
        Digests {
            canonical_bytes: self.hashed_bytes,
            whole: bytes_of(self.context),
            cuts: self.cuts,
        }
    }
}

/// The hash of what was put in.
pub(crate) fn bytes_of(context: digest::Context) -> Hash {
    let mut hash = [0; HASH_BYTES];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Canonicalization; 2] = [Canonicalization::Simple, Canonicalization::Relaxed];

    fn hash(bytes: &[u8]) -> Hash {
        digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
    }

    /// The canonical form as the RFC words it, line by line, of a whole body. RFC 6376 §3.4.3,
    /// §3.4.4.
    fn canonical(form: Canonicalization, body: &[u8]) -> Vec<u8> {
        let text: String = body.iter().copied().map(char::from).collect();
        let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        if form == Canonicalization::Relaxed {
            for line in &mut lines {
                let line_start = line.starts_with([' ', '\t']);
                let words: Vec<_> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
                let start = if line_start && !words.is_empty() { " " } else { "" };
                *line = format!("{start}{}", words.join(" "));
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        if lines.is_empty() && form == Canonicalization::Simple {
            return b"\r\n".to_vec();
        }
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        text.chars().map(|c| u8::try_from(c).unwrap()).collect()
    }

    fn digests(body: &[u8], pieces: &[usize], limits: &[u64]) -> BodyDigests {
        let mut hashes = BodyHashes::new();
        for form in FORMS {
            hashes.want(form, None);
            limits.iter().for_each(|limit| hashes.want(form, Some(*limit)));
        }
        let mut rest = body;
        for piece in pieces {
            let (head, tail) = rest.split_at((*piece).min(rest.len()));
            hashes.update(head);
            rest = tail;
        }
        hashes.update(rest);
        hashes.finish()
    }

    #[track_caller]
    fn check(body: &str, simple: &str, relaxed: &str) {
        for pieces in [&[][..], &[1; 30], &[2; 15], &[3; 10]] {
            let digests = digests(body.as_bytes(), pieces, &[]);
            for (form, want) in FORMS.into_iter().zip([simple, relaxed]) {
                let got = digests.get(form, None).unwrap();
                assert_eq!(got.hash, hash(want.as_bytes()), "{form} {body:?} {pieces:?}");
                assert_eq!(got.uncovered_bytes, 0);
            }
        }
    }

    /// RFC 6376 §3.4.3, §3.4.4; the third is the example of §3.4.5.
    #[test]
    fn bodies_have_a_canonical_form() {
        check("a\r\n", "a\r\n", "a\r\n");
        check("a b\r\n\r\nc\r\n", "a b\r\n\r\nc\r\n", "a b\r\n\r\nc\r\n");
        check(" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n");
        // Nothing there: RFC 6376 §3.4.3, §3.4.4.
        check("", "\r\n", "");
        check("\r\n", "\r\n", "");
        check("\r\n\r\n", "\r\n", "");
        check(" \r\n\t\r\n", " \r\n\t\r\n", "");
        check(" ", " \r\n", "");
        // No line end at the end.
        check("a", "a\r\n", "a\r\n");
        check("a \t", "a \t\r\n", "a\r\n");
        check("a\r\n ", "a\r\n \r\n", "a\r\n");
        // Blank lines within, and blanks at their ends.
        check("\r\n\r\na  \r\n  b", "\r\n\r\na  \r\n  b\r\n", "\r\n\r\na\r\n b\r\n");
        check("a \r\n \r\nb\r\n", "a \r\n \r\nb\r\n", "a\r\n\r\nb\r\n");
        // Line ends that are none.
        check("a\nb\n", "a\nb\n\r\n", "a\nb\n\r\n");
        check("a\rb \r", "a\rb \r\r\n", "a\rb \r\r\n");
        check("a\r\r\n", "a\r\r\n", "a\r\r\n");
        check("\r \r\n", "\r \r\n", "\r\r\n");
        check("\n\r\n\r\n", "\n\r\n", "\n\r\n");
        // Other blanks are none.
        check("a\u{a0}\u{c} \0\r\n", "a\u{a0}\u{c} \0\r\n", "a\u{a0}\u{c} \0\r\n");
    }

    /// RFC 6376 §3.5, `l=`.
    #[test]
    fn the_first_bytes_have_a_hash_too() {
        let body = b"one two\r\n\r\nthree\r\n\r\n";
        let digests = digests(body, &[4, 4], &[3, 0, 18, 7, 3, 19]);
        let get = |limit| digests.get(Canonicalization::Simple, Some(limit));
        let want = |text: &str, uncovered_bytes| {
            Some(BodyDigest { hash: hash(text.as_bytes()), uncovered_bytes })
        };
        assert_eq!(get(0), want("", 18));
        assert_eq!(get(3), want("one", 15));
        assert_eq!(get(7), want("one two", 11));
        assert_eq!(get(18), want("one two\r\n\r\nthree\r\n", 0));
        // More than there is, or never asked for.
        assert_eq!(get(19), None);
        assert_eq!(get(4), None);
        let unused = BodyHashes::new();
        assert!(unused.is_unused());
        assert_eq!(unused.finish().get(Canonicalization::Simple, None), None);
    }

    #[test]
    fn many_empty_lines_cost_no_memory() {
        let mut body = "\r\n".repeat(100_000);
        body.push('x');
        check(&body, &format!("{body}\r\n"), &format!("{body}\r\n"));
    }

    /// Pieces and words of all lengths meet the end of the buffer at all places.
    #[test]
    fn long_bodies_are_hashed_in_one_go() {
        let word = |n: usize| "w".repeat(n % 97) + [" ", "  ", "\r\n", "\t"][n % 4];
        let body: String = (0..500).map(word).collect();
        let long_word = "x".repeat(3 * BUFFER_BYTES) + " " + &"y".repeat(BUFFER_BYTES / 2);
        for body in [body.clone(), format!("{body}{long_word}\r\n{body}")] {
            for pieces in [&[][..], &[1000; 100], &[4095; 10]] {
                let limit = body.len() as u64 / 2;
                let digests = digests(body.as_bytes(), pieces, &[limit]);
                for form in FORMS {
                    let canonical = canonical(form, body.as_bytes());
                    assert_eq!(digests.get(form, None).unwrap().hash, hash(&canonical));
                    let first = hash(&canonical[..body.len() / 2]);
                    assert_eq!(digests.get(form, Some(limit)).unwrap().hash, first);
                }
            }
        }
    }

    proptest! {
        /// RFC 6376 §3.4.3, §3.4.4: however the body is cut.
        #[test]
        fn hashes_are_those_of_the_canonical_form(
            body in "[ab \t\r\n]{0,40}|(a|b c|  |\t|\r\n|\r|\n){0,300}",
            pieces in proptest::collection::vec(0usize..50, 0..20),
            limits in proptest::collection::vec(0u64..60, 0..5),
        ) {
            let digests = digests(body.as_bytes(), &pieces, &limits);
            for form in FORMS {
                let canonical = canonical(form, body.as_bytes());
                prop_assert_eq!(digests.get(form, None).unwrap().hash, hash(&canonical));
                for limit in &limits {
                    let first = canonical.get(..usize::try_from(*limit).unwrap()).map(hash);
                    prop_assert_eq!(digests.get(form, Some(*limit)).map(|d| d.hash), first);
                }
            }
        }
    }
}
