//! Response data as a tree. RFC 9051 §9.

use std::fmt;

/// How deep lists may nest.
pub const VALUE_DEPTH_MAX: usize = 200;

/// Names after which brackets may hold spaces and parentheses. RFC 9051 §9 (`section`), RFC 3516 §8.
const SECTIONED: [&[u8]; 4] = [b"BODY", b"BODY.PEEK", b"BINARY", b"BINARY.SIZE"];

/// A word, a string or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `NIL`.
    Nil,
    /// A number, a flag, a name such as `BODY[HEADER.FIELDS (Subject)]<0>`.
    Atom(Vec<u8>),
    /// A quoted string or a literal, decoded.
    String(Vec<u8>),
    /// `( … )`.
    List(Vec<Self>),
}

/// What is not response data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// Where, in bytes.
    pub at: usize,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad response data at byte {}", self.at)
    }
}

impl std::error::Error for ValueError {}

/// All values of a text.
pub(super) fn values(text: &[u8]) -> Result<Vec<Value>, ValueError> {
    let mut parser = Parser { text, at: 0 };
    let values = parser.list(0)?;
    if parser.at == text.len() { Ok(values) } else { Err(parser.error()) }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn error(&self) -> ValueError {
        ValueError { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Values up to a `)` or the end.
    fn list(&mut self, depth: usize) -> Result<Vec<Value>, ValueError> {
        let mut values = Vec::new();
        loop {
            match self.peek() {
                None | Some(b')') => return Ok(values),
                // RFC 9051 §7.5.2: lists in BODYSTRUCTURE and ENVELOPE follow without space.
                Some(b' ') => self.at += 1,
                Some(b'(') if depth < VALUE_DEPTH_MAX => {
                    self.at += 1;
                    let inner = self.list(depth + 1)?;
                    if self.peek() != Some(b')') {
                        return Err(self.error());
                    }
                    self.at += 1;
                    values.push(Value::List(inner));
                }
                Some(b'(') => return Err(self.error()),
                Some(b'"') => values.push(self.quoted()?),
                Some(b'{' | b'~') => values.push(self.literal()?),
                Some(_) => values.push(self.atom()?),
            }
        }
    }

    fn quoted(&mut self) -> Result<Value, ValueError> {
        let mut text = Vec::new();
        loop {
            self.at += 1;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value::String(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.peek().ok_or_else(|| self.error())?);
                }
                Some(byte) => text.push(byte),
                None => return Err(self.error()),
            }
        }
    }

    fn literal(&mut self) -> Result<Value, ValueError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let digits: Vec<u8> = line.iter().copied().filter(u8::is_ascii_digit).collect();
        let size = std::str::from_utf8(&digits).ok().and_then(|text| text.parse::<usize>().ok());
        let size = size.ok_or_else(|| self.error())?;
        let start = line.len() + 1;
        let data = rest.get(start..start.saturating_add(size)).ok_or_else(|| self.error())?;
        self.at += start + size;
        Ok(Value::String(data.to_vec()))
    }

    /// A word; brackets in it hold spaces and parentheses.
    fn atom(&mut self) -> Result<Value, ValueError> {
        let start = self.at;
        let mut in_brackets = false;
        while let Some(byte) = self.peek() {
            match byte {
                // Elsewhere, as in a keyword, it is a byte like others.
                b'[' => {
                    let name = self.text.get(start..self.at).unwrap_or_default();
                    in_brackets |= SECTIONED.iter().any(|known| known.eq_ignore_ascii_case(name));
                }
                b']' => in_brackets = false,
                b' ' | b'(' | b')' if !in_brackets => break,
                _ => {}
            }
            self.at += 1;
        }
        match self.text.get(start..self.at).unwrap_or_default() {
            b"" => Err(self.error()),
            b"NIL" => Ok(Value::Nil),
            word => Ok(Value::Atom(word.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &Result<Vec<Value>, usize>) {
        assert_eq!(values(text.as_bytes()).map_err(|error| error.at), *want, "{text}");
    }

    fn atom(text: &str) -> Value {
        Value::Atom(text.as_bytes().to_vec())
    }

    fn string(text: &str) -> Value {
        Value::String(text.as_bytes().to_vec())
    }

    #[test]
    fn data_becomes_a_tree() {
        check("3 EXISTS", &Ok(vec![atom("3"), atom("EXISTS")]));
        check(
            "LIST (\\Sent) \"/\" \"a\\\"b\"",
            &Ok(vec![atom("LIST"), Value::List(vec![atom("\\Sent")]), string("/"), string("a\"b")]),
        );
        check(
            "BODY[HEADER.FIELDS (A B)]<0> {2}\r\nx)",
            &Ok(vec![atom("BODY[HEADER.FIELDS (A B)]<0>"), string("x)")]),
        );
        check(
            "((NIL)(\"\"))",
            &Ok(vec![Value::List(vec![
                Value::List(vec![Value::Nil]),
                Value::List(vec![string("")]),
            ])]),
        );
        // A bracket in a keyword opens nothing.
        check(
            "FLAGS (a[b \\Seen) UID 7",
            &Ok(vec![
                atom("FLAGS"),
                Value::List(vec![atom("a[b"), atom("\\Seen")]),
                atom("UID"),
                atom("7"),
            ]),
        );
        check(
            "binary.size[1.2] 3 XBODY[a b]",
            &Ok(vec![atom("binary.size[1.2]"), atom("3"), atom("XBODY[a"), atom("b]")]),
        );
        check("", &Ok(Vec::new()));
        check("(", &Err(1));
        check(")", &Err(0));
        check("\"a", &Err(2));
        check("{3}\r\nab", &Err(0));
        check(&"(".repeat(1_000), &Err(VALUE_DEPTH_MAX));
    }
}
