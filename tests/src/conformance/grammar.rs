//! The formal syntax of responses, strictly. RFC 9051 §9, with what RFC 3501 §9 has beside it.
//!
//! What is in neither is a fault: no case asks for an extension that adds a response, and RFC 9051
//! §6.5 forbids to send one unasked.

use super::items;

/// What is wrong with a response, and where.
pub(super) type Parsed<T = ()> = Result<T, String>;

/// Response codes without arguments.
const BARE_CODES: &[&str] = &[
    "ALERT",
    "ALREADYEXISTS",
    "AUTHENTICATIONFAILED",
    "AUTHORIZATIONFAILED",
    "CANNOT",
    "CLIENTBUG",
    "CLOSED",
    "CONTACTADMIN",
    "CORRUPTION",
    "EXPIRED",
    "EXPUNGEISSUED",
    "HASCHILDREN",
    "INUSE",
    "LIMIT",
    "NONEXISTENT",
    "NOPERM",
    "NOTSAVED",
    "OVERQUOTA",
    "PARSE",
    "PRIVACYREQUIRED",
    "READ-ONLY",
    "READ-WRITE",
    "SERVERBUG",
    "TRYCREATE",
    "UIDNOTSTICKY",
    "UNAVAILABLE",
    "UNKNOWN-CTE",
    "TOOBIG",
];

/// The number of octets announced at the end of a line.
pub(super) fn literal_size(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// The first string in a piece of a response, decoded.
pub(super) fn first_string(text: &str) -> String {
    let at = text.find(['"', '{']).unwrap_or_else(|| panic!("no string in {text:?}"));
    let mut reader = Reader::new(&text.as_bytes()[at..], true);
    String::from_utf8_lossy(&reader.string().unwrap()).into_owned()
}

/// Checks a whole response, without its last line end.
///
/// - `is_rev2`: UTF-8 is allowed in quoted strings and texts.
pub(super) fn check(line: &[u8], is_rev2: bool) -> Parsed {
    let mut reader = Reader::new(line, is_rev2);
    if reader.eat("+ ") {
        // `continue-req = "+" SP (resp-text / base64) CRLF`, and base64 may be empty.
        return if reader.rest().is_empty() { Ok(()) } else { reader.resp_text() };
    }
    if reader.eat("* ") {
        untagged(&mut reader)?;
    } else {
        // `response-tagged = tag SP resp-cond-state CRLF`
        let tag = reader.run(|byte| byte != b'+' && is_astring_char(byte));
        if tag.is_empty() {
            return reader.fail("a tag");
        }
        reader.sp()?;
        let states = ["OK ", "NO ", "BAD "];
        if !states.iter().any(|state| reader.eat(state)) {
            return reader.fail("OK, NO or BAD");
        }
        reader.resp_text()?;
    }
    if reader.rest().is_empty() { Ok(()) } else { reader.fail("the end of the line") }
}

/// `response-data`
fn untagged(reader: &mut Reader<'_>) -> Parsed {
    if reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return numbered(reader);
    }
    let word = reader.atom()?.to_ascii_uppercase();
    match word.as_str() {
        "OK" | "NO" | "BAD" | "BYE" | "PREAUTH" => {
            reader.sp()?;
            reader.resp_text()
        }
        "CAPABILITY" => capability_data(reader),
        "ENABLED" => words(reader),
        "FLAGS" => {
            reader.sp()?;
            reader.list(|reader| reader.flag(false))
        }
        "LIST" | "LSUB" => mailbox_list(reader),
        "SEARCH" => {
            while reader.eat(" ") {
                reader.nz_number()?;
            }
            Ok(())
        }
        "ESEARCH" => esearch(reader),
        "STATUS" => status(reader),
        "NAMESPACE" => {
            for _ in 0..3 {
                reader.sp()?;
                namespace(reader)?;
            }
            Ok(())
        }
        _ => reader.fail("a response of the standard"),
    }
}

/// `number SP "EXISTS"`, `number SP "RECENT"` and `message-data`.
fn numbered(reader: &mut Reader<'_>) -> Parsed {
    let number = reader.number()?;
    reader.sp()?;
    let word = reader.atom()?.to_ascii_uppercase();
    match (word.as_str(), number) {
        ("EXISTS" | "RECENT", _) => Ok(()),
        ("EXPUNGE", 1..) => Ok(()),
        ("FETCH", 1..) => {
            reader.sp()?;
            items::msg_att(reader)
        }
        _ => reader.fail("EXISTS, EXPUNGE or FETCH"),
    }
}

fn words(reader: &mut Reader<'_>) -> Parsed {
    while reader.eat(" ") {
        reader.atom()?;
    }
    Ok(())
}

/// `capability-data`: a server that speaks RFC 3501 too lists both revisions.
fn capability_data(reader: &mut Reader<'_>) -> Parsed {
    let mut names = Vec::new();
    while reader.eat(" ") {
        names.push(reader.atom()?.to_ascii_uppercase());
    }
    for name in ["IMAP4REV2", "IMAP4REV1"] {
        if !names.iter().any(|listed| listed == name) {
            return reader.fail(name);
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    if names.len() == count { Ok(()) } else { reader.fail("each capability once") }
}

/// `mailbox-list`
fn mailbox_list(reader: &mut Reader<'_>) -> Parsed {
    reader.sp()?;
    let mut attributes = Vec::new();
    reader.list(|reader| {
        reader.byte(b'\\')?;
        attributes.push(reader.atom()?.to_ascii_lowercase());
        Ok(())
    })?;
    let count = |names: &[&str]| attributes.iter().filter(|a| names.contains(&a.as_str())).count();
    let selectable = count(&["nonexistent", "noselect", "marked", "unmarked"]);
    let children = count(&["haschildren", "hasnochildren"]);
    let mut once = attributes.clone();
    once.sort();
    once.dedup();
    if selectable > 1 || children > 1 || once.len() != attributes.len() {
        return reader.fail("attributes that go together");
    }
    reader.sp()?;
    delimiter(reader)?;
    reader.sp()?;
    reader.astring()?;
    if reader.eat(" ") {
        reader.list(|reader| {
            reader.astring()?;
            reader.sp()?;
            reader.tagged_ext_val()
        })?;
    }
    Ok(())
}

/// `(DQUOTE QUOTED-CHAR DQUOTE / nil)`
fn delimiter(reader: &mut Reader<'_>) -> Parsed {
    if reader.eat("NIL") || reader.quoted()?.len() == 1 {
        return Ok(());
    }
    reader.fail("one character")
}

/// `namespace`
fn namespace(reader: &mut Reader<'_>) -> Parsed {
    if reader.eat("NIL") {
        return Ok(());
    }
    reader.byte(b'(')?;
    loop {
        reader.byte(b'(')?;
        reader.string()?;
        reader.sp()?;
        delimiter(reader)?;
        reader.byte(b')')?;
        if reader.eat(")") {
            return Ok(());
        }
    }
}

/// `"STATUS" SP mailbox SP "(" [status-att-list] ")"`
fn status(reader: &mut Reader<'_>) -> Parsed {
    reader.sp()?;
    reader.astring()?;
    reader.sp()?;
    reader.list(|reader| {
        let name = reader.atom()?.to_ascii_uppercase();
        reader.sp()?;
        match name.as_str() {
            "MESSAGES" | "UNSEEN" | "DELETED" | "RECENT" => reader.number().map(drop),
            "UIDNEXT" | "UIDVALIDITY" => reader.nz_number().map(drop),
            "SIZE" => reader.number64().map(drop),
            _ => reader.fail("a status item of the standard"),
        }
    })
}

/// `esearch-response`
fn esearch(reader: &mut Reader<'_>) -> Parsed {
    if reader.eat(" (TAG ") {
        reader.astring()?;
        reader.byte(b')')?;
    }
    let _uid = reader.eat(" UID");
    let mut names = Vec::new();
    while reader.eat(" ") {
        let name = reader.atom()?.to_ascii_uppercase();
        reader.sp()?;
        match name.as_str() {
            "MIN" | "MAX" => reader.nz_number().map(drop)?,
            "COUNT" => reader.number().map(drop)?,
            "ALL" => reader.number_set()?,
            _ => return reader.fail("a result of the standard"),
        }
        if names.contains(&name) {
            return reader.fail("each result once");
        }
        names.push(name);
    }
    Ok(())
}

fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// The text that is left of a response.
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    utf8: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8], utf8: bool) -> Self {
        Self { text, at: 0, utf8 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(super) fn fail<T>(&self, wanted: &str) -> Parsed<T> {
        Err(format!("{wanted} is missing at byte {}", self.at))
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Takes this text if it comes next, in any case.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let next = self.rest().get(..text.len());
        let found = next.is_some_and(|next| next.eq_ignore_ascii_case(text.as_bytes()));
        self.at += if found { text.len() } else { 0 };
        found
    }

    pub(super) fn byte(&mut self, byte: u8) -> Parsed {
        if self.peek() != Some(byte) {
            return self.fail(&format!("{:?}", char::from(byte)));
        }
        self.at += 1;
        Ok(())
    }

    /// `SP`: exactly one.
    pub(super) fn sp(&mut self) -> Parsed {
        self.byte(b' ')?;
        if self.peek() == Some(b' ') { self.fail("one space only") } else { Ok(()) }
    }

    pub(super) fn run(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|byte| !test(*byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    pub(super) fn atom(&mut self) -> Parsed<String> {
        let atom = self.run(is_atom_char);
        if atom.is_empty() {
            return self.fail("an atom");
        }
        Ok(String::from_utf8_lossy(atom).into_owned())
    }

    fn digits(&mut self, max: u64) -> Parsed<u64> {
        let digits = std::str::from_utf8(self.run(|byte| byte.is_ascii_digit())).unwrap();
        match digits.parse() {
            Ok(number) if number <= max => Ok(number),
            _ => self.fail("a number"),
        }
    }

    pub(super) fn number(&mut self) -> Parsed<u64> {
        self.digits(u64::from(u32::MAX))
    }

    pub(super) fn number64(&mut self) -> Parsed<u64> {
        self.digits(u64::MAX >> 1)
    }

    pub(super) fn nz_number(&mut self) -> Parsed<u64> {
        if self.peek() == Some(b'0') {
            self.fail("a number without leading zero")
        } else {
            self.number()
        }
    }

    /// A `uid-set`, or a `sequence-set` in a response, which has no `*` either.
    fn number_set(&mut self) -> Parsed {
        loop {
            self.nz_number()?;
            if self.eat(":") {
                self.nz_number()?;
            }
            if !self.eat(",") {
                return Ok(());
            }
        }
    }

    /// `text`, to the end or up to a byte that ends it.
    fn text(&mut self, end: Option<u8>) -> Parsed {
        let text = self.run(|byte| Some(byte) != end && !matches!(byte, 0 | b'\r' | b'\n'));
        match std::str::from_utf8(text) {
            Ok(text) if !text.is_empty() && (self.utf8 || text.is_ascii()) => Ok(()),
            _ => self.fail("a text"),
        }
    }

    /// `resp-text = ["[" resp-text-code "]" SP] text`
    fn resp_text(&mut self) -> Parsed {
        if self.eat("[") {
            self.resp_text_code()?;
            self.byte(b']')?;
            self.sp()?;
        }
        self.text(None)
    }

    fn resp_text_code(&mut self) -> Parsed {
        let name = self.atom()?.to_ascii_uppercase();
        match name.as_str() {
            "CAPABILITY" => capability_data(self),
            "BADCHARSET" if self.peek() == Some(b']') => Ok(()),
            "BADCHARSET" => {
                self.sp()?;
                self.list(|reader| reader.astring().map(drop))
            }
            "PERMANENTFLAGS" => {
                self.sp()?;
                self.list(|reader| reader.flag(true))
            }
            "UIDNEXT" | "UIDVALIDITY" | "UNSEEN" => {
                self.sp()?;
                self.nz_number().map(drop)
            }
            "APPENDUID" => {
                self.sp()?;
                self.nz_number()?;
                self.sp()?;
                self.number_set()
            }
            "COPYUID" => {
                self.sp()?;
                self.nz_number()?;
                self.sp()?;
                self.number_set()?;
                self.sp()?;
                self.number_set()
            }
            name if BARE_CODES.contains(&name) => Ok(()),
            // `atom [SP 1*<any TEXT-CHAR except "]">]`: of an extension, which may always be sent.
            _ if self.eat(" ") => self.text(Some(b']')),
            _ => Ok(()),
        }
    }

    /// `"(" [item *(SP item)] ")"`
    pub(super) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Parsed) -> Parsed {
        self.byte(b'(')?;
        if self.eat(")") {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat(")") {
                return Ok(());
            }
            self.sp()?;
        }
    }

    /// `flag`, or `flag-perm`.
    pub(super) fn flag(&mut self, is_permanent: bool) -> Parsed {
        const SYSTEM: &[&str] = &["answered", "flagged", "deleted", "seen", "draft", "recent"];
        if !self.eat("\\") {
            return self.atom().map(drop);
        }
        if is_permanent && self.eat("*") {
            return Ok(());
        }
        let name = self.atom()?.to_ascii_lowercase();
        if SYSTEM.contains(&name.as_str()) { Ok(()) } else { self.fail("a flag of the standard") }
    }

    /// `quoted`
    pub(super) fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.byte(b'"')?;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.peek() else { return self.fail("the end of a quoted string") };
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' if matches!(self.peek(), Some(b'"' | b'\\')) => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                b'\\' | 0 | b'\r' | b'\n' => return self.fail("a quoted character"),
                _ => text.push(byte),
            }
        }
        match std::str::from_utf8(&text) {
            Ok(plain) if self.utf8 || plain.is_ascii() => Ok(text),
            _ => self.fail("a quoted string without such characters"),
        }
    }

    /// `literal` and `literal8`; a server sends no `{n+}`.
    fn literal(&mut self, may_have_nul: bool) -> Parsed<Vec<u8>> {
        self.byte(b'{')?;
        let size = usize::try_from(self.number64()?).unwrap();
        if !self.eat("}\r\n") {
            return self.fail("the end of a literal's size");
        }
        let Some(data) = self.rest().get(..size) else { return self.fail("a whole literal") };
        if data.contains(&0) && !may_have_nul {
            return self.fail("a literal without NUL");
        }
        self.at += size;
        Ok(data.to_vec())
    }

    pub(super) fn string(&mut self) -> Parsed<Vec<u8>> {
        if self.peek() == Some(b'{') { self.literal(false) } else { self.quoted() }
    }

    pub(super) fn nstring(&mut self) -> Parsed<Option<Vec<u8>>> {
        if self.eat("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `nstring / literal8`
    pub(super) fn nstring8(&mut self) -> Parsed {
        if self.eat("~") { self.literal(true).map(drop) } else { self.nstring().map(drop) }
    }

    pub(super) fn astring(&mut self) -> Parsed<Vec<u8>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let text = self.run(is_astring_char);
        if text.is_empty() { self.fail("an astring") } else { Ok(text.to_vec()) }
    }

    /// `tagged-ext-val`
    fn tagged_ext_val(&mut self) -> Parsed {
        if self.peek() != Some(b'(') {
            return self.number_set();
        }
        self.list(|reader| match reader.peek() {
            Some(b'(') => reader.tagged_ext_val(),
            _ => reader.astring().map(drop),
        })
    }
}

/// The grammar itself: what is right passes, and what is wrong does not.
#[track_caller]
fn judge(line: &str, want: bool) {
    let got = check(line.as_bytes(), false);
    assert_eq!(got.is_ok(), want, "{line}: {got:?}");
}

#[test]
fn the_grammar_tells_right_from_wrong() {
    for line in [
        "* OK [CAPABILITY IMAP4rev2 IMAP4rev1] hello",
        "* LIST (\\Noselect) \"/\" ~/Mail/foo",
        "* LIST () \"/\" \"a b\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
        "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)",
        "* ESEARCH (TAG \"a567\") UID COUNT 17 ALL 4:18,21,28",
        "* NAMESPACE ((\"\" \"/\")) NIL NIL",
        "* 23 FETCH (FLAGS (\\Seen) RFC822.SIZE 44827 UID 447)",
        "* 1 FETCH (BODY[HEADER.FIELDS (DATE FROM)]<0> {3}\r\na\r\n)",
        "A003 OK [COPYUID 38505 304,319:320 3956:3958] done",
        "+ ",
    ] {
        judge(line, true);
    }
    for line in [
        "* OK [CAPABILITY IMAP4rev1] hello",
        "*  OK hello",
        "* OK",
        "* 0 EXPUNGE",
        "* 1 FETCH ()",
        "* 1 FETCH (UID 0)",
        "* 1 FETCH (BODY[] {3+}\r\nabc)",
        "* LIST (\\Marked \\Noselect) \"/\" a",
        "* LIST () \"//\" a",
        "* STATUS a (MESSAGES 1 )",
        "* ESEARCH COUNT 1 COUNT 1",
        "* OK [UIDNEXT 0] x",
        "* XYZZY",
        "a+b OK done",
        "a YES done",
        "* OK \u{e4}",
    ] {
        judge(line, false);
    }
    assert!(check("* OK \u{e4}".as_bytes(), true).is_ok());
}
