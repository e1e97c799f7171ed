//! One line of the log.

use std::fmt::Write as _;

use mox_config::LogLevel;

/// The bytes of one value that are logged; the rest is left out.
pub const VALUE_BYTES_MAX: usize = 4_096;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `l=info m="new connection" pkg=imapserver cid=1f`: for a server. There is no time in it:
    /// whatever keeps the log adds that.
    Logfmt,
    /// `info: new connection; cid=1f`: for somebody at a terminal.
    Human,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How serious it is.
    pub level: LogLevel,
    /// The part of the server that says it.
    pub package: String,
    /// What happened.
    pub message: String,
    /// Why.
    pub error: Option<String>,
    /// Everything else, in the order given.
    pub fields: Vec<(&'static str, String)>,
    /// The connection it is about.
    pub cid: Option<u64>,
}

impl Record {
    /// The line, with its line end.
    #[must_use]
    pub fn print(&self, form: Form) -> String {
        let mut line = match form {
            Form::Logfmt => self.logfmt(),
            Form::Human => self.human(),
        };
        line.push('\n');
        line
    }

    fn logfmt(&self) -> String {
        let mut line = format!("l={}", self.level);
        let mut put = |key: &str, value: &str| {
            line.push(' ');
            line.push_str(key);
            line.push('=');
            push_value(&mut line, value);
        };
        put("m", &self.message);
        if let Some(error) = &self.error {
            put("err", error);
        }
        put("pkg", &self.package);
        for (key, value) in &self.fields {
            put(key, value);
        }
        if let Some(cid) = self.cid {
            put("cid", &format!("{cid:x}"));
        }
        line
    }

    fn human(&self) -> String {
        let mut line = format!("{}: ", self.level);
        push_escaped(&mut line, &self.message);
        if let Some(error) = &self.error {
            line.push_str(": ");
            push_escaped(&mut line, error);
        }
        let cid = self.cid.map(|cid| ("cid", format!("{cid:x}")));
        for (key, value) in self.fields.iter().chain(&cid) {
            line.push_str("; ");
            line.push_str(key);
            line.push('=');
            push_value(&mut line, value);
        }
        line
    }
}

/// Adds a value, in quotes where it would else be read as something else: if it is empty, or has
/// a space, quote, backslash, `=`, or anything outside printable ASCII.
fn push_value(line: &mut String, value: &str) {
    let is_bare = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !value.is_empty() && value.len() <= VALUE_BYTES_MAX && value.bytes().all(is_bare) {
        line.push_str(value);
        return;
    }
    line.push('"');
    push_escaped(line, value);
    line.push('"');
}

/// Adds text with quotes, backslashes and all that does not print escaped: what a client sent
/// must make neither a second line nor control sequences for the terminal that shows the log.
fn push_escaped(line: &mut String, text: &str) {
    let mut shown = text.len().min(VALUE_BYTES_MAX);
    while !text.is_char_boundary(shown) {
        shown -= 1;
    }
    let (shown, rest) = text.split_at(shown);
    for c in shown.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c == '\'' || c.escape_debug().len() == 1 => line.push(c),
            c => {
                let escaped = match u32::from(c) {
                    code @ ..=0xffff => write!(line, "\\u{code:04x}"),
                    code => write!(line, "\\U{code:08x}"),
                };
                debug_assert!(escaped.is_ok(), "writing to a string cannot fail");
            }
        }
    }
    if !rest.is_empty() {
        line.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: &str) {
        let mut line = String::new();
        push_value(&mut line, value);
        assert_eq!(line, want, "{value:?}");
    }

    #[test]
    fn values_are_quoted_where_needed() {
        // Bare.
        check("info", "info");
        check("mox@localhost", "mox@localhost");
        check("it's", "it's");
        check("a:b;c,d[1]{2}", "a:b;c,d[1]{2}");
        // At the edge: printable, and yet in quotes.
        check("", "\"\"");
        check("a b", "\"a b\"");
        check("a=b", "\"a=b\"");
        check("a\"b", "\"a\\\"b\"");
        check("a\\b", "\"a\\\\b\"");
        check("é☕", "\"é☕\"");
        // Never printed as they are.
        check("a\r\nl=error", "\"a\\r\\nl=error\"");
        check("\t", "\"\\t\"");
        check("\u{1b}[31m", "\"\\u001b[31m\"");
        check("\u{7f}\0", "\"\\u007f\\u0000\"");
        check("\u{202e}", "\"\\u202e\"");
        check("\u{e0001}", "\"\\U000e0001\"");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let fits = "a".repeat(VALUE_BYTES_MAX);
        check(&fits, &fits);
        check(&format!("{fits}a"), &format!("\"{fits}...\""));
        let wide = "é".repeat(VALUE_BYTES_MAX);
        check(&wide, &format!("\"{}...\"", "é".repeat(VALUE_BYTES_MAX / 2)));
    }

    fn record() -> Record {
        Record {
            level: LogLevel::Warn,
            package: "smtpserver".to_owned(),
            message: "delivery failed".to_owned(),
            error: Some("disk full".to_owned()),
            fields: vec![("rcpt", "a@b.example".to_owned()), ("ehlo", "x y".to_owned())],
            cid: Some(0x1af),
        }
    }

    #[test]
    fn logfmt_has_the_error_early_and_the_connection_last() {
        let want = "l=warn m=\"delivery failed\" err=\"disk full\" pkg=smtpserver \
                    rcpt=a@b.example ehlo=\"x y\" cid=1af\n";
        assert_eq!(record().print(Form::Logfmt), want);
        let plain = Record { message: "ready".to_owned(), ..Record::default() };
        let plain = Record { package: "mox".to_owned(), ..plain };
        assert_eq!(plain.print(Form::Logfmt), "l=info m=ready pkg=mox\n");
    }

    #[test]
    fn the_human_form_leaves_the_package_out() {
        let want = "warn: delivery failed: disk full; rcpt=a@b.example; ehlo=\"x y\"; cid=1af\n";
        assert_eq!(record().print(Form::Human), want);
        let hostile = Record { message: "a\nb".to_owned(), ..Record::default() };
        assert_eq!(hostile.print(Form::Human), "info: a\\nb\n");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_logged_is_one_line_without_control_characters(
            message in ".*", error in proptest::option::of(".*"), value in "\\PC*|[\\x00-\\xff]*",
        ) {
            let fields = vec![("value", value)];
            let record = Record { message, error, fields, ..Record::default() };
            for form in [Form::Logfmt, Form::Human] {
                let line = record.print(form);
                let line = line.strip_suffix('\n').unwrap();
                proptest::prop_assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }
}
