//! Texts within XML. XML 1.0 §2.4.

use std::fmt::{self, Display, Write as _};

/// A text with what has a meaning in XML escaped, and without what XML cannot have.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write!(text, "{}", self.0)?;
        for letter in text.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\t' | '\n' | '\r' => f.write_char(' ')?,
                // XML 1.0 §2.2.
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let shown = Escaped("a<b> & \"c\" 'd'\n\0\u{fffe}ü").to_string();
        assert_eq!(shown, "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos; ü");
        assert_eq!(Escaped(443).to_string(), "443");
    }
}
