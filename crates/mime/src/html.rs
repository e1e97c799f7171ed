//! The text of an HTML document, for previews and for search. Not a renderer, and not a filter
//! that makes HTML safe to show.

/// Elements whose content is not text for a reader.
const SKIPPED: [&str; 8] = ["dialog", "head", "map", "math", "script", "style", "svg", "template"];
/// Elements that do not break a line.
const INLINE: [&str; 33] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
];
/// The longest name of an element that is told from others, in bytes.
const NAME_BYTES_MAX: usize = 16;
/// The longest character reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 10;
/// The deepest quoting that is marked.
const QUOTE_DEPTH_MAX: usize = 10;

/// Names of U+00A0 to U+00FF, in order.
const LATIN_1: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg \
    macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 \
    iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave \
    Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc \
    Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc \
    euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave \
    uacute ucirc uuml yacute thorn yuml";
const OTHERS: [(&str, char); 29] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("euro", '€'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("bull", '•'),
    ("trade", '™'),
    ("larr", '←'),
    ("rarr", '→'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("oelig", 'œ'),
    ("OElig", 'Œ'),
    ("minus", '−'),
];

/// Turns HTML that comes in pieces into text. Takes linear time; holds the text not yet taken.
#[derive(Debug, Default)]
pub struct HtmlText {
    state: State,
    /// The element whose content is skipped, and how often it is open.
    skipped: Option<(&'static str, u32)>,
    preformatted: u32,
    text: Lines,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// After `<`, and what followed so far: at most a `/` or `!--` and a name.
    Name(String),
    /// In a tag after its name.
    Tag { tag: Tag, after_equals: bool, quote: Option<char> },
    /// In a comment; the last two characters were dashes, or fewer.
    Comment { dashes: u8 },
    /// After `&`, without it.
    Reference(String),
}

#[derive(Debug, Default, Clone)]
struct Tag {
    name: String,
    is_end: bool,
}

impl HtmlText {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a piece of the document.
    pub fn push(&mut self, html: &str) {
        for c in html.chars() {
            self.push_char(c);
        }
    }

    /// Takes the text made so far.
    #[must_use]
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text.out)
    }

    /// Bytes of text not yet taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.out.len()
    }

    /// Whether there is no text to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.out.is_empty()
    }

    /// Ends the document and takes the rest of its text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if let State::Reference(name) = std::mem::take(&mut self.state) {
            self.put_reference(&name, false);
        }
        self.text.end_line();
        self.text.out
    }

    fn push_char(&mut self, c: char) {
        match &mut self.state {
            State::Text => match c {
                '<' => self.state = State::Name(String::new()),
                '&' if self.skipped.is_none() => self.state = State::Reference(String::new()),
                _ => self.put(c),
            },
            State::Name(_) => self.push_name(c),
            State::Tag { after_equals, quote, .. } => match (c, *quote) {
                (_, Some(end)) => {
                    if c == end {
                        *quote = None;
                    }
                }
                ('>', None) => self.end_tag(),
                ('"' | '\'', None) if *after_equals => {
                    *quote = Some(c);
                    *after_equals = false;
                }
                _ if c.is_ascii_whitespace() => {}
                _ => *after_equals = c == '=',
            },
            State::Comment { dashes } => match (c, *dashes) {
                ('>', 2) => self.state = State::Text,
                ('-', _) => *dashes = (*dashes + 1).min(2),
                _ => *dashes = 0,
            },
            State::Reference(_) => self.push_reference(c),
        }
    }

    fn put(&mut self, c: char) {
        if self.skipped.is_none() {
            self.text.put(c, self.preformatted > 0);
        }
    }

    fn push_name(&mut self, c: char) {
        let State::Name(name) = &mut self.state else { return };
        let starts = match name.as_str() {
            "" => c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'),
            "/" => c.is_ascii_alphabetic() || c == '>',
            _ => true,
        };
        if !starts {
            // No tag after all.
            let held = std::mem::take(name);
            self.state = State::Text;
            self.put('<');
            held.chars().for_each(|c| self.put(c));
            self.push_char(c);
            return;
        }
        if c == '>' || c.is_ascii_whitespace() || (c == '/' && !name.is_empty()) {
            let tag = Tag {
                is_end: name.starts_with('/'),
                name: name.trim_start_matches('/').to_owned(),
            };
            if self.is_raw_text() && !(tag.is_end && self.is_skipped(&tag.name)) {
                self.state = State::Text;
                return;
            }
            self.state = State::Tag { tag, after_equals: false, quote: None };
            if c == '>' {
                self.end_tag();
            }
            return;
        }
        if name.len() < NAME_BYTES_MAX {
            name.push(c.to_ascii_lowercase());
        }
        if name == "!--" && !matches!(self.skipped, Some(("script" | "style", _))) {
            self.state = State::Comment { dashes: 2 };
        }
    }

    /// In scripts and styles nothing but their own end is a tag.
    fn is_raw_text(&self) -> bool {
        matches!(self.skipped, Some(("script" | "style", _)))
    }

    fn is_skipped(&self, name: &str) -> bool {
        self.skipped.is_some_and(|(skipped, _)| skipped == name)
    }

    /// Acts on the tag whose `>` was read.
    fn end_tag(&mut self) {
        let State::Tag { tag, .. } = std::mem::take(&mut self.state) else { return };
        let name = tag.name.as_str();
        if let Some((skipped, depth)) = &mut self.skipped {
            if name == *skipped {
                *depth = if tag.is_end { *depth - 1 } else { *depth + 1 };
            }
            // `</head>` may be left out.
            if *depth == 0 || (*skipped == "head" && name == "body") {
                self.skipped = None;
            }
            return;
        }
        if let Some(skipped) = SKIPPED.iter().find(|skipped| **skipped == name) {
            if !tag.is_end {
                self.skipped = Some((skipped, 1));
            }
            return;
        }
        self.lay_out(name, tag.is_end);
    }

    fn lay_out(&mut self, name: &str, is_end: bool) {
        match name {
            _ if INLINE.contains(&name) => {}
            "td" | "th" => {
                if is_end {
                    self.text.put(' ', false);
                }
            }
            "br" => self.text.new_line(),
            "blockquote" => {
                self.text.end_line();
                let depth = self.text.quote_depth;
                self.text.quote_depth =
                    if is_end { depth.saturating_sub(1) } else { depth.saturating_add(1) };
            }
            "pre" => {
                self.text.end_line();
                let depth = self.preformatted;
                self.preformatted =
                    if is_end { depth.saturating_sub(1) } else { depth.saturating_add(1) };
            }
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if is_end => {
                self.text.end_line();
                self.text.wants_blank = true;
            }
            _ => self.text.end_line(),
        }
    }

    fn push_reference(&mut self, c: char) {
        let State::Reference(name) = &mut self.state else { return };
        if (c.is_ascii_alphanumeric() || c == '#') && name.len() < REFERENCE_BYTES_MAX {
            name.push(c);
            return;
        }
        let name = std::mem::take(name);
        self.state = State::Text;
        self.put_reference(&name, c == ';');
        if c != ';' {
            self.push_char(c);
        }
    }

    fn put_reference(&mut self, name: &str, is_ended: bool) {
        if let Some(c) = referenced(name) {
            self.put(c);
            return;
        }
        self.put('&');
        name.chars().for_each(|c| self.put(c));
        if is_ended {
            self.put(';');
        }
    }
}

/// The character that `&name;` stands for.
fn referenced(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        let other = OTHERS.iter().find(|(other, _)| *other == name);
        return other.map(|(_, c)| *c).or_else(|| {
            let index = LATIN_1.split_ascii_whitespace().position(|latin| latin == name)?;
            char::from_u32(0xA0 + u32::try_from(index).ok()?)
        });
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    match u8::try_from(code) {
        // As browsers do.
        Ok(byte @ 0x80..=0x9F) => {
            encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[byte]).0.chars().next()
        }
        _ if code == 0 => None,
        _ => char::from_u32(code),
    }
}

/// Lays out text in lines.
#[derive(Debug)]
struct Lines {
    out: String,
    /// Line ends since the last text; starts as if there were enough.
    newlines: u8,
    has_space: bool,
    wants_blank: bool,
    /// Characters in a row that show nothing; senders pad the previews of others with them.
    invisible: (char, u32),
    quote_depth: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            out: String::new(),
            newlines: 2,
            has_space: false,
            wants_blank: false,
            invisible: (' ', 0),
            quote_depth: 0,
        }
    }
}

impl Lines {
    fn put(&mut self, c: char, is_preformatted: bool) {
        match c {
            '\r' | '\0' => {}
            '\n' if is_preformatted => self.new_line(),
            ' ' | '\t' | '\n' => self.has_space = true,
            '\u{a0}' | '\u{200b}'..='\u{200d}' => self.invisible = (c, self.invisible.1 + 1),
            _ => {
                self.start_text();
                self.out.push(c);
            }
        }
    }

    /// Writes what stands between the last text and the next.
    fn start_text(&mut self) {
        if self.wants_blank && self.newlines == 1 {
            self.out.push('\n');
        }
        if self.newlines > 0 {
            for _ in 0..self.quote_depth.min(QUOTE_DEPTH_MAX) {
                self.out.push_str("> ");
            }
        } else if self.has_space {
            self.out.push(' ');
        }
        if let (c, 1) = self.invisible {
            self.out.push(c);
        }
        self.newlines = 0;
        self.has_space = false;
        self.wants_blank = false;
        self.invisible.1 = 0;
    }

    /// Ends the line if it has text.
    fn end_line(&mut self) {
        if self.newlines == 0 {
            self.new_line();
        }
        self.has_space = false;
        self.invisible.1 = 0;
    }

    /// Ends the line, leaving at most one empty.
    fn new_line(&mut self) {
        if self.newlines < 2 {
            self.out.push('\n');
            self.newlines += 1;
        }
        self.has_space = false;
        self.invisible.1 = 0;
    }
}

/// The text of a whole document, about `bytes_max` bytes of it at most.
#[must_use]
pub fn html_to_text(html: &str, bytes_max: usize) -> String {
    let mut text = HtmlText::new();
    for c in html.chars() {
        text.push_char(c);
        if text.len() >= bytes_max {
            break;
        }
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(html: &str, want: &str) {
        assert_eq!(html_to_text(html, 4096), want, "{html:?}");
    }

    #[test]
    fn text_is_laid_out_in_lines() {
        check("<p>one</p><p>two</p>", "one\n\ntwo\n");
        check("<div>one</div><div>two</div>", "one\ntwo\n");
        check("a <b>bold</b>  word\r\n\tnext", "a bold word next\n");
        check("a<br>b<br><br><br><br>c", "a\nb\n\nc\n");
        check("<table><tr><td>a</td><td>b</td></tr><tr><th>c</table>", "a b\nc\n");
        check("x<blockquote>a<blockquote>b</blockquote></blockquote>c", "x\n> a\n> > b\nc\n");
        check("<pre>a\n  b  c</pre>", "a\nb c\n");
        check("", "");
    }

    #[test]
    fn what_is_not_text_is_left_out() {
        check("<head><title>t</title></head><body>b</body>", "b\n");
        check("<head><title>t</title><body>b", "b\n");
        check("<style>p > a { x: '<b>' }</style>s", "s\n");
        check("<script>if (a<b) x('</p>')</script >s", "s\n");
        check("<svg><svg></svg>x</svg>y", "y\n");
        check("a<!-- <b> -- > x -->b<!---->c", "abc\n");
        check("<a title=\"x > y\" href='>'>link</a>", "link\n");
        check("<p title=x\">it's</p>", "it's\n");
        check("a\u{200c}\u{a0}\u{200c}b\u{a0}c", "ab\u{a0}c\n");
    }

    #[test]
    fn references_are_resolved_and_stray_signs_kept() {
        check("&lt;a&gt; &amp; &eacute;&#233;&#xE9;&#150;", "<a> & ééé–\n");
        check("&nbsp;x&yuml;", "\u{a0}xÿ\n");
        check("AT&T &unknown; &#0; &#xffffffff; a &", "AT&T &unknown; &#0; &#xffffffff; a &\n");
        check("&copy 2026", "© 2026\n");
        check("1 < 2 <3 </ x", "1 < 2 <3 </ x\n");
        check("cut <a hre", "cut\n");
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            html in "(<|>|/|!--|-->|&|;|\"|=| |p|br|script|amp|\u{a0}|é|\n){0,40}", at in 0usize..60
        ) {
            let at = (0..=at.min(html.len())).rev().find(|i| html.is_char_boundary(*i)).unwrap();
            let (a, b) = html.split_at(at);
            let mut text = HtmlText::new();
            text.push(a);
            let mut got = text.take();
            text.push(b);
            got.push_str(&text.finish());
            prop_assert_eq!(got, html_to_text(&html, usize::MAX));
        }
    }
}
