//! Which refused messages are kept for the user to find.

/// How long refused messages are kept, in seconds, unless the account keeps all: 14 days.
pub const REJECT_KEEP_SECS: i64 = 14 * 24 * 3600;

/// Refused messages that are kept, unless the account keeps all.
pub const REJECTS_MAX: u64 = 1_000;

/// What the Rejects mailbox has, after messages older than [`REJECT_KEEP_SECS`] were removed where they
/// are to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectsState {
    /// A message with the same canonical Message-ID.
    pub has_message_id: bool,
    /// A message whose received bytes have the same SHA-256.
    pub has_content: bool,
    /// All its messages.
    pub messages: u64,
}

/// Whether a refused message is stored in the Rejects mailbox: not twice (servers try again), and not
/// without end. `keeps_all` is the account's wish.
#[must_use]
pub fn keeps_reject(keeps_all: bool, state: RejectsState) -> bool {
    let is_known = state.has_message_id || state.has_content;
    !is_known && (keeps_all || state.messages < REJECTS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_kept_once_and_bounded() {
        let state = |has_message_id, has_content, messages| RejectsState {
            has_message_id,
            has_content,
            messages,
        };
        let cases = [
            (false, state(false, false, 0), true),
            (false, state(false, false, REJECTS_MAX - 1), true),
            (true, state(false, false, u64::MAX), true),
            (false, state(false, false, REJECTS_MAX), false),
            (false, state(true, false, 1), false),
            (true, state(true, false, 1), false),
            (true, state(false, true, 1), false),
        ];
        for (keeps_all, state, want) in cases {
            assert_eq!(keeps_reject(keeps_all, state), want, "{keeps_all} {state:?}");
        }
    }
}
