//! Content-Type, Content-Disposition and their parameters. RFC 2045 §5, RFC 2183, RFC 2231.

use crate::bytes::{head, sub, tail};
use crate::charset::{decode_charset, decode_unlabelled};
use crate::lex::{Lexer, is_token, is_wsp};
use crate::limits::{PARAM_BYTES_MAX, PARAMS_MAX, TOKEN_BYTES_MAX};
use crate::transfer::hex;

/// A parameter, its segments joined and decoded. RFC 2231 §3, §4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Param {
    /// In lower case, without `*`.
    pub name: String,
    /// Decoded; encoded-words, which do not belong here (RFC 2047 §5), are left as they are.
    pub value: String,
}

/// The value of the parameter with this lower-case name.
#[must_use]
pub fn param<'a>(params: &'a [Param], name: &str) -> Option<&'a str> {
    params.iter().find(|param| param.name == name).map(|param| param.value.as_str())
}

/// The value of a Content-Type field. RFC 2045 §5.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// In upper case.
    pub media_type: String,
    /// In upper case.
    pub media_subtype: String,
    /// In the order of the field; of several with one name, the first.
    pub params: Vec<Param>,
}

/// The value of a Content-Disposition field. RFC 2183 §2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// In lower case, such as `attachment`.
    pub kind: String,
    /// In the order of the field; of several with one name, the first.
    pub params: Vec<Param>,
}

impl ContentType {
    /// `text/plain; charset=us-ascii`, for parts without the field. RFC 2045 §5.2.
    #[must_use]
    pub fn text_plain() -> Self {
        let charset = Param { name: "charset".to_owned(), value: "us-ascii".to_owned() };
        Self { params: vec![charset], ..Self::simple("TEXT", "PLAIN") }
    }

    /// A type without parameters, from names in upper case.
    #[must_use]
    pub fn simple(media_type: &str, media_subtype: &str) -> Self {
        Self {
            media_type: media_type.to_owned(),
            media_subtype: media_subtype.to_owned(),
            params: Vec::new(),
        }
    }

    /// Parses a field leniently.
    ///
    /// A lone `text` is `text/plain`, as RFC 2045 §5.2 would have for every broken field. Anything
    /// else without type and subtype is `application/octet-stream`: it is shown to nobody as text.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut lexer = Lexer::new(value);
        lexer.cfws();
        let media_type = upper(lexer.take_while(is_token));
        lexer.cfws();
        if !lexer.eat(b'/') {
            if media_type == "TEXT" {
                return Self { params: parse_params(&mut lexer), ..Self::simple("TEXT", "PLAIN") };
            }
            return Self::simple("APPLICATION", "OCTET-STREAM");
        }
        lexer.cfws();
        let media_subtype = upper(lexer.take_while(is_token));
        let is_name = |name: &str| (1..=TOKEN_BYTES_MAX).contains(&name.len());
        if !is_name(&media_type) || !is_name(&media_subtype) {
            return Self::simple("APPLICATION", "OCTET-STREAM");
        }
        Self { media_type, media_subtype, params: parse_params(&mut lexer) }
    }
}

impl Disposition {
    /// Parses a field leniently; `None` if it has no type.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut lexer = Lexer::new(value);
        lexer.cfws();
        let kind = upper(lexer.take_while(is_token)).to_ascii_lowercase();
        (1..=TOKEN_BYTES_MAX)
            .contains(&kind.len())
            .then(|| Self { kind, params: parse_params(&mut lexer) })
    }
}

fn upper(token: &[u8]) -> String {
    String::from_utf8_lossy(token).to_ascii_uppercase()
}

/// One `attribute "=" value`, before segments are joined.
struct Segment<'a> {
    name: String,
    /// `*0`, `*1`… of RFC 2231 §3.
    index: Option<u32>,
    /// A last `*`: percent-encoded, with charset and language in the first (RFC 2231 §4).
    is_extended: bool,
    value: std::borrow::Cow<'a, [u8]>,
}

/// `*(";" parameter)`, tolerating empty ones, blanks in unquoted values, and junk between.
fn parse_params(lexer: &mut Lexer<'_>) -> Vec<Param> {
    let mut segments: Vec<Segment<'_>> = Vec::new();
    while segments.len() < PARAMS_MAX {
        lexer.take_while(|b| b != b';' && b != b'(');
        lexer.cfws();
        if !lexer.eat(b';') {
            match lexer.peek() {
                None => break,
                Some(_) => lexer.bump(),
            }
            continue;
        }
        lexer.cfws();
        let name = lexer.take_while(is_token);
        lexer.cfws();
        if (1..=TOKEN_BYTES_MAX).contains(&name.len()) && lexer.eat(b'=') {
            segments.push(segment(name, parse_value(lexer)));
        }
    }
    join(&segments)
}

fn parse_value<'a>(lexer: &mut Lexer<'a>) -> std::borrow::Cow<'a, [u8]> {
    lexer.cfws();
    if lexer.peek() == Some(b'"') {
        let mut value = Vec::new();
        lexer.quoted_string(&mut value);
        value.truncate(PARAM_BYTES_MAX);
        return value.into();
    }
    // "name=annual report.pdf" is seen too often to stop at the blank; a comment ends the value.
    let value = lexer.take_while(|b| b != b';' && b != b'(' && b != b'\n').trim_ascii();
    head(value, PARAM_BYTES_MAX).into()
}

fn segment<'a>(name: &[u8], value: std::borrow::Cow<'a, [u8]>) -> Segment<'a> {
    let is_extended = name.ends_with(b"*");
    let name = name.strip_suffix(b"*").unwrap_or(name);
    let star = name.iter().rposition(|b| *b == b'*');
    let index = star.and_then(|at| {
        let digits = tail(name, at + 1);
        let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        all_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    });
    let base = if index.is_some() { sub(name, 0, star.unwrap_or_default()) } else { name };
    let name = String::from_utf8_lossy(base).to_ascii_lowercase();
    Segment { name, index, is_extended, value }
}

/// Joins segments of one name; costs parameters squared, which [`PARAMS_MAX`] bounds.
fn join(segments: &[Segment<'_>]) -> Vec<Param> {
    let mut params: Vec<Param> = Vec::new();
    for segment in segments {
        if params.iter().any(|param| param.name == segment.name) {
            continue;
        }
        let same = || segments.iter().filter(|other| other.name == segment.name);
        // The form that can carry any charset wins over the plain one sent beside it for older
        // readers (RFC 6266 §4.3 says so for HTTP; mail software does the same).
        let whole = same().find(|s| s.index.is_none() && s.is_extended);
        let mut parts: Vec<_> = match whole {
            Some(whole) => vec![whole],
            None => same().filter(|s| s.index.is_some()).collect(),
        };
        if parts.is_empty() {
            let value = decode_unlabelled(&segment.value).into_owned();
            params.push(Param { name: segment.name.clone(), value });
            continue;
        }
        parts.sort_by_key(|part| part.index);
        parts.dedup_by_key(|part| part.index.unwrap_or_default());
        params.push(Param { name: segment.name.clone(), value: decode_segments(&parts) });
    }
    params
}

fn decode_segments(parts: &[&Segment<'_>]) -> String {
    let mut charset: &[u8] = b"";
    let mut bytes = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let mut value: &[u8] = &part.value;
        if !part.is_extended {
            bytes.extend_from_slice(value);
            continue;
        }
        if at == 0 {
            let mut fields = value.splitn(3, |b| *b == b'\'');
            if let (Some(label), Some(_), Some(text)) =
                (fields.next(), fields.next(), fields.next())
            {
                (charset, value) = (label, text);
            }
        }
        percent_decode(value, &mut bytes);
    }
    bytes.truncate(PARAM_BYTES_MAX);
    decode_charset(charset, &bytes).into_owned()
}

/// `ext-octet = "%" 2(DIGIT / "A"…"F")`. RFC 2231 §7.
fn percent_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    loop {
        match rest {
            [] => return,
            [b'%', high, low, others @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                let byte = hex(*high).unwrap_or_default() << 4 | hex(*low).unwrap_or_default();
                out.push(byte);
                rest = others;
            }
            [byte, others @ ..] => {
                out.push(*byte);
                rest = others;
            }
        }
    }
}

/// The first token of a field such as Content-Transfer-Encoding, comments skipped. RFC 2045 §6.1.
pub(crate) fn first_token(value: &[u8]) -> &[u8] {
    let mut lexer = Lexer::new(value);
    lexer.cfws();
    head(lexer.take_while(|b| !is_wsp(b) && !matches!(b, b'(' | b';')), TOKEN_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: &str) {
        let got = ContentType::parse(value.as_bytes());
        let mut text = format!("{}/{}", got.media_type, got.media_subtype);
        for Param { name, value } in &got.params {
            text.push_str(&format!(" {name}={value}"));
        }
        assert_eq!(text, want, "{value:?}");
    }

    /// RFC 2045 §5.1.
    #[test]
    fn content_types_are_parsed() {
        // Valid.
        check("text/plain; charset=us-ascii (Plain text)", "TEXT/PLAIN charset=us-ascii");
        check("Text/HTML;Charset=\"utf-8\"", "TEXT/HTML charset=utf-8");
        check("multipart/mixed;\r\n\tboundary=\"a b;c\"", "MULTIPART/MIXED boundary=a b;c");
        check("application/x(c)/(d)y; a=\"q\\\"q\"", "APPLICATION/X a=q\"q");
        // At the edge.
        check("text / plain ; ; charset = utf-8 ;", "TEXT/PLAIN charset=utf-8");
        check("text", "TEXT/PLAIN");
        check("image/png; name=my file.png; x=1", "IMAGE/PNG name=my file.png x=1");
        check("a/b; x=1; X=2", "A/B x=1");
        check("a/b; name=\"x", "A/B name=x");
        check("a/b; boundary=--=_x?/y", "A/B boundary=--=_x?/y");
        // Past it.
        check("a/b charset=utf-8; x=1", "A/B x=1");
        check("a/b; =x; y; z=1", "A/B z=1");
        check("text/", "APPLICATION/OCTET-STREAM");
        check("/plain", "APPLICATION/OCTET-STREAM");
        check("pdf", "APPLICATION/OCTET-STREAM");
        check(&format!("a/{}", "b".repeat(128)), "APPLICATION/OCTET-STREAM");
        check("", "APPLICATION/OCTET-STREAM");
    }

    /// The examples of RFC 2231 §3, §4, §4.1.
    #[test]
    fn parameter_segments_are_joined_and_decoded() {
        check(
            "message/external-body; URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/x\"",
            "MESSAGE/EXTERNAL-BODY url=ftp://cs.utk.edu/x",
        );
        check("a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun", "A/B title=This is ***fun");
        check(
            "a/b;\r\n title*0*=us-ascii'en'This%20is%20even%20more%20;\r\n \
             title*1*=%2A%2A%2Afun%2A%2A%2A%20;\r\n title*2=\"isn't it!\"",
            "A/B title=This is even more ***fun*** isn't it!",
        );
        // At the edge: out of order, split inside a character, both forms.
        check("a/b; x*1=b; x*0=a", "A/B x=ab");
        check("a/b; x*0*=utf-8''%E2%98; x*1*=%95", "A/B x=☕");
        check("a/b; name=\"?\"; name*=utf-8''%e2%98%95", "A/B name=☕");
        check("a/b; x*=iso-8859-1''caf%E9", "A/B x=café");
        // Past it.
        check("a/b; x*=plain%20text", "A/B x=plain text");
        check("a/b; x*=none''%41%4", "A/B x=A%4");
        check("a/b; x*0=a; x*0=b; x*99999999999=c", "A/B x=a x*99999999999=c");
    }

    /// RFC 2183 §2.
    #[test]
    fn dispositions_are_parsed() {
        let got = Disposition::parse(b"Attachment; filename=genome.jpeg;\r\n size=4").unwrap();
        assert_eq!((got.kind.as_str(), got.params.len()), ("attachment", 2));
        assert_eq!(param(&got.params, "filename"), Some("genome.jpeg"));
        assert_eq!(Disposition::parse(b"; filename=x"), None);
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        let many: String = (0..PARAMS_MAX + 10).map(|i| format!("; p{i}=x")).collect();
        assert_eq!(ContentType::parse(format!("a/b{many}").as_bytes()).params.len(), PARAMS_MAX);
    }
}
