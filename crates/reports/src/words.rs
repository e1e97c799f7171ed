//! Values that are one word of a list that may grow.

/// The longest word that is kept, in bytes; a longer one is cut.
pub const WORD_BYTES_MAX: usize = 64;

/// Makes an enum of words: the first is written, and all are read, in any case. A word that is not
/// known is kept as [`Other`], since lists grow and senders err.
macro_rules! words {
    (
        $(#[$about:meta])*
        $vis:vis enum $name:ident {
            $($(#[$what:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $($(#[$what])* $variant,)+
            /// A word that is not known, as written; at most
            /// [`WORD_BYTES_MAX`](crate::WORD_BYTES_MAX) bytes.
            Other(Box<str>),
        }

        impl $name {
            /// Reads a word. Any text is one.
            #[must_use]
            $vis fn from_word(word: &str) -> Self {
                let word = $crate::text::clean(word, $crate::words::WORD_BYTES_MAX);
                $(
                    if [$word $(, $alias)*].iter().any(|known| word.eq_ignore_ascii_case(known)) {
                        return Self::$variant;
                    }
                )+
                Self::Other(word.into())
            }

            /// The word, if it is a known one.
            #[must_use]
            $vis fn known(&self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($word),)+
                    Self::Other(_) => None,
                }
            }

            /// The word for it.
            #[must_use]
            $vis fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self::from_word(&word))
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    words! {
        /// For this test.
        enum Answer {
            /// It is so.
            Yes = "yes" | "y",
            /// It is not.
            No = "no",
        }
    }

    #[track_caller]
    fn check(word: &str, want: &Answer, written: &str) {
        let got = Answer::from_word(word);
        assert_eq!((&got, got.as_str()), (want, written), "{word:?}");
        let is_other = matches!(got, Answer::Other(_));
        assert_eq!(got.known(), Some(written).filter(|_| !is_other));
        assert_eq!(Answer::from_word(got.as_str()), got);
        let json = serde_json::to_string(&got).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), got);
    }

    #[test]
    fn words_are_known_or_kept() {
        let long = "é".repeat(WORD_BYTES_MAX);
        let kept = "é".repeat(WORD_BYTES_MAX / 2);
        check("yes", &Answer::Yes, "yes");
        check(" Y\n", &Answer::Yes, "yes");
        check("NO", &Answer::No, "no");
        check("maybe", &Answer::Other("maybe".into()), "maybe");
        check("", &Answer::Other("".into()), "");
        check("a\u{0}b", &Answer::Other("a b".into()), "a b");
        check(&long, &Answer::Other(kept.as_str().into()), &kept);
    }
}
