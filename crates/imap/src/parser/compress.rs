//! COMPRESS.

use super::lexer::{Lexer, Parsed};
use crate::types::Command;

/// `compress = "COMPRESS" SP algorithm`, `algorithm = "DEFLATE"`. RFC 4978 §5.
///
/// Any atom is taken: whether there is such an algorithm is not a matter of syntax.
pub(super) fn compress(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let algorithm = lexer.atom()?.to_ascii_uppercase();
    Ok(Command::Compress(String::from_utf8_lossy(&algorithm).into_owned()))
}

#[cfg(test)]
mod tests {
    use crate::parser::Expected;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::Command;

    /// RFC 4978 §5.
    #[test]
    fn an_algorithm_is_an_atom_in_any_case() {
        for (line, want) in [
            ("COMPRESS DEFLATE", "DEFLATE"),
            ("compress Deflate", "DEFLATE"),
            ("COMPRESS x-none.1", "X-NONE.1"),
        ] {
            assert_eq!(parse(line), Ok(Command::Compress(want.to_owned())), "{line}");
        }
        check_bad(&[
            ("COMPRESS", Expected::Space),
            ("COMPRESS ", Expected::Atom),
            ("COMPRESS \"DEFLATE\"", Expected::Atom),
            ("COMPRESS DEFLATE ", Expected::End),
            ("COMPRESS DEFLATE 9", Expected::End),
        ]);
    }
}
