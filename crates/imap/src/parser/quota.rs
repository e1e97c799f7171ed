//! GETQUOTA, GETQUOTAROOT and SETQUOTA.

use super::lexer::{Lexer, Parsed};
use crate::types::Command;

/// The most resources one SETQUOTA may name.
const RESOURCES_MAX: usize = 20;

/// `getquota = "GETQUOTA" SP quota-root-name`. RFC 9208 §7.
pub(super) fn getquota(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    Ok(Command::GetQuota(lexer.utf8_astring()?))
}

/// `setquota = "SETQUOTA" SP quota-root-name SP setquota-list`. RFC 9208 §7.
pub(super) fn setquota(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    lexer.astring()?;
    lexer.sp()?;
    lexer.list(RESOURCES_MAX, |lexer| {
        lexer.atom()?;
        lexer.sp()?;
        lexer.number64()
    })?;
    Ok(Command::SetQuota)
}

#[cfg(test)]
mod tests {
    use crate::parser::Expected;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::Command;

    /// RFC 9208 §4.1.
    #[test]
    fn quotas_are_asked_for() {
        assert_eq!(parse("GETQUOTA \"\""), Ok(Command::GetQuota(String::new())));
        assert_eq!(parse("GETQUOTA x"), Ok(Command::GetQuota("x".to_owned())));
        assert!(matches!(parse("GETQUOTAROOT INBOX"), Ok(Command::Mailbox(_))));
        assert_eq!(parse("SETQUOTA \"\" (STORAGE 512)"), Ok(Command::SetQuota));
        assert_eq!(parse("SETQUOTA \"\" ()"), Ok(Command::SetQuota));
        check_bad(&[
            ("GETQUOTA", Expected::Space),
            ("GETQUOTAROOT", Expected::Space),
            ("SETQUOTA \"\"", Expected::Space),
            ("SETQUOTA \"\" (STORAGE)", Expected::Space),
            ("SETQUOTA \"\" (STORAGE x)", Expected::Number),
        ]);
    }
}
