//! What holds for any bytes: the session never panics, and how they are split does not matter.

#[expect(dead_code, reason = "each test uses a part of it")]
mod driver;
mod invariants;

use mox_smtp::server::Service;
use proptest::prelude::*;

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "EHLO client.example", "HELO client.example", "MAIL FROM:<a@client.example>",
            "MAIL FROM:<>", "RCPT TO:<mjl@local.example>", "RCPT TO:<postmaster>", "DATA", ".",
            "..", "a: b", "", "BDAT 0", "BDAT 4", "BDAT 40", "BDAT 3 LAST", "BDAT x",
            "MAIL FROM:<a@client.example> BODY=BINARYMIME RET=FULL ENVID=x", "RSET", "NOOP", "QUIT", "AUTH LOGIN", "AUTH PLAIN =", "*",
            "AUTH PLAIN AG1qbEBsb2NhbC5leGFtcGxlAG1veG1veG1veA==", "bWpsQGxvY2FsLmV4YW1wbGU=",
            "AUTH SCRAM-SHA-256 biwsbj1tamwscj0xMjM0NTY3OA==", "Yz1iaXdz",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => "(MAIL FROM|RCPT TO|EHLO|AUTH)[ -~]{0,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_replies(
        lines in prop::collection::vec(line(), 0..25),
        is_submission: bool,
        step in 1_usize..50,
    ) {
        let service = if is_submission { Service::Submission } else { Service::Delivery };
        let mut bytes = b"EHLO client.example\r\n".to_vec();
        for line in lines {
            bytes.extend_from_slice(&line);
            bytes.extend_from_slice(b"\r\n");
        }
        invariants::check_session(service, &bytes, step);
    }

    #[test]
    fn commands_are_read_without_harm(line in line()) {
        invariants::check_command(&line);
    }

    #[test]
    fn data_is_read_alike_however_it_is_split(data in "[a.:\r\n]{0,60}(\r\n\\.\r\n)?", step in 1_usize..9) {
        invariants::check_data(data.as_bytes(), step);
    }

    #[test]
    fn chunks_are_read_alike_however_they_are_split(
        data in "[a:\r\n\u{0}é]{0,30}(\r\n\r\n[a\r\n\u{0}]{0,30})?", step in 1_usize..9, is_binary: bool,
    ) {
        invariants::check_chunks(data.as_bytes(), step, is_binary);
    }

    #[test]
    fn replies_are_read_alike_however_they_are_split(
        text in "(([2-6][0-9]{2}[- ]([245]\\.[0-9]\\.[0-9] )?[a-z]{0,4}\r?\n){0,4}|[ -~\n]{0,20})",
        step in 1_usize..9,
    ) {
        invariants::check_reply(text.as_bytes(), step);
    }
}
