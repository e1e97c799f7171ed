//! Any bytes at all: a taste of what the fuzz targets `imap_command`, `imap_wire`, `imap_utf7` and `imap_url`
//! do at length.

#[path = "hostile/checks.rs"]
mod checks;

use checks::{check_command, check_session, check_url, check_utf7};
use proptest::prelude::*;

/// Lines that look like commands, so that random input gets past the first word.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        Just("NOOP"),
        Just("IDLE"),
        Just("LOGIN x {1}"),
        Just("LOGIN x y"),
        Just("SELECT x (CONDSTORE)"),
        Just("APPEND x {2+}"),
        Just("APPEND x {3}"),
        Just("APPEND x CATENATE (URL \"/x/;UID=1\" TEXT {2+}"),
        Just("APPEND x CATENATE (TEXT {2+}\r\nab URL {9+}\r\n/x/;UID=1) {1+}\r\na"),
        Just("UID REPLACE 2 x {2+}"),
        Just("GENURLAUTH imap://x@h/x/;UID=1;URLAUTH=anonymous INTERNAL"),
        Just("URLFETCH (a BINARY) imap://x@h/x/;UID=1;URLAUTH=anonymous"),
        Just("RESETKEY x"),
        Just("REPLACE * x CATENATE (URL ;UID=2)"),
        Just("FETCH 1:* (UID BODY[])"),
        Just("UID STORE 1:* +FLAGS.SILENT ($Junk x)"),
        Just("SEARCH RETURN (SAVE MIN) NOT $"),
        Just("ESEARCH IN (personal selected) RETURN (SAVE COUNT) OR 1:* $"),
        Just("ESEARCH IN (subtree-one x) 2:3"),
        Just("UID SEARCH RETURN (UPDATE COUNT) UNSEEN"),
        Just("SORT RETURN (UPDATE) (DATE) UTF-8 YOUNGER 60 2:*"),
        Just("CANCELUPDATE \"a\" \"b\""),
        Just("SEARCH RETURN (SAVE) OR FILTER x FILTER y"),
        Just("UID MOVE 2 x"),
        Just("EXPUNGE"),
        Just("CLOSE"),
        Just("AUTHENTICATE PLAIN"),
        Just("LIST (SUBSCRIBED) \"\" * RETURN (STATUS (MESSAGES))"),
        Just("STATUS x (HIGHESTMODSEQ)"),
        Just("CREATE a/b"),
        Just("ENABLE QRESYNC IMAP4rev2"),
        Just("COMPRESS DEFLATE"),
        Just("UNAUTHENTICATE"),
        Just("LOGOUT"),
    ];
    prop_oneof![
        4 => words.prop_map(|words| format!("a {words}\r\n").into_bytes()),
        1 => "[ -~]{0,20}\r?\n".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #[test]
    fn sessions_do_not_depend_on_how_bytes_arrive(
        start in any::<(u8, u8)>(), lines in proptest::collection::vec(line(), 0..12)
    ) {
        let mut data = vec![start.0, start.1];
        data.extend(lines.concat());
        check_session(&data);
    }

    #[test]
    fn commands_and_names_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..60)) {
        check_command(&data);
        check_utf7(&data);
        check_url(&data);
    }
}
