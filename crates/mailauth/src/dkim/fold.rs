//! Fields of tags, folded.

/// The longest line, without its line end. RFC 5322 §2.1.1.
const LINE_BYTES_MAX: usize = 78;

/// Writes a field of tags and folds it before it gets too long.
#[derive(Debug)]
pub(crate) struct Folder {
    text: String,
    /// Bytes in the last line.
    column: usize,
    has_tags: bool,
}

impl Folder {
    /// Begins a field with its name.
    pub(crate) fn new(name: &str) -> Self {
        Self { text: format!("{name}:"), column: name.len() + 1, has_tags: false }
    }

    /// Adds a tag that stays in one line.
    pub(crate) fn tag(&mut self, name: &str, value: &str) {
        self.list(name, [value.to_owned()]);
    }

    /// Adds a tag whose value may be folded after each colon. RFC 6376 §3.5, `h=`.
    pub(crate) fn colon_list(&mut self, name: &str, items: impl IntoIterator<Item = String>) {
        let mut items = items.into_iter().peekable();
        let pieces = std::iter::from_fn(|| {
            let item = items.next()?;
            Some(if items.peek().is_some() { item + ":" } else { item })
        });
        let pieces: Vec<_> = pieces.collect();
        self.list(name, pieces);
    }

    /// Adds a tag whose value may be folded anywhere.
    ///
    /// What stands before the value does not depend on it: a signature is made over its own field
    /// with nothing as value, which must be folded as it will be.
    pub(crate) fn base64(&mut self, name: &str, value: &str) {
        self.list(name, [String::new()].into_iter().chain(value.chars().map(String::from)));
    }

    /// Adds a tag whose value may be folded between its pieces. The first stays beside the name.
    pub(crate) fn list(&mut self, name: &str, pieces: impl IntoIterator<Item = String>) {
        let mut pieces = pieces.into_iter().peekable();
        let first = pieces.next().unwrap_or_default();
        if std::mem::replace(&mut self.has_tags, true) {
            self.push(";");
        }
        let start = format!("{name}={first}");
        // Room for the semicolon after it, too.
        if self.column + start.len() + 2 > LINE_BYTES_MAX {
            self.fold();
        } else {
            self.push(" ");
        }
        self.push(&start);
        for piece in pieces {
            if self.column + piece.len() + 1 > LINE_BYTES_MAX {
                self.fold();
            }
            self.push(&piece);
        }
    }

    /// The field, without the last line end.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.len();
    }

    fn fold(&mut self) {
        self.text.push_str("\r\n\t");
        self.column = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5322 §2.1.1, RFC 6376 §3.5.
    #[test]
    fn lines_are_folded_where_they_may_be() {
        let mut folder = Folder::new("X");
        folder.tag("v", "1");
        folder.colon_list("h", (0..20).map(|n| format!("Field{n}")));
        folder.base64("b", &"A".repeat(200));
        folder.tag("e", "");
        let field = folder.finish();
        let lines: Vec<_> = field.split("\r\n\t").collect();
        assert_eq!(lines.len(), 5, "{field}");
        assert!(lines.iter().all(|line| line.len() < LINE_BYTES_MAX), "{field}");
        assert!(lines[0].starts_with("X: v=1; h=Field0:Field1:"), "{field}");
        assert!(lines[0].ends_with(':') && lines[1].starts_with("Field"), "{field}");
        assert!(lines[4].ends_with("AAA; e="), "{field}");
        assert_eq!(field.matches('A').count(), 200);
    }

    #[test]
    fn what_cannot_be_folded_is_not() {
        let mut folder = Folder::new("X");
        let long = "d".repeat(200);
        folder.tag("d", &long);
        folder.tag("s", "s");
        assert_eq!(folder.finish(), format!("X:\r\n\td={long};\r\n\ts=s"));
    }
}
