//! Properties of parsing and storing, on generated messages and on noise.

use std::io::{self, Cursor, Read};

use crate::invariants::{check_blob, check_headers, check_html, check_message};
use mox_mime::{Limits, parse, parse_bytes};
use proptest::prelude::*;

/// Lines that mean something to the parser, in any order.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "",
        "--a",
        "--a--",
        "--b",
        "--b--",
        "--ab  ",
        "text",
        "aGVsbG8=",
        "x=3D=",
        "Content-Type: multipart/mixed; boundary=a",
        "Content-Type: multipart/digest; boundary=b",
        "Content-Type: multipart/mixed; boundary=ab",
        "Content-Type: message/rfc822",
        "Content-Type: message/global",
        "Content-Type: text/html; charset=koi8-r",
        "Content-Type: application/pdf",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: quoted-printable",
        "Content-Transfer-Encoding: none",
        "Content-Disposition: attachment; filename*0*=utf-8''%e9; filename*1=x",
        "To: g: a@b, c <d@e>;",
        "Subject: Re: =?utf-8?q?=C3=A9?=",
        "Content-ID: \u{e9}",
        " folded",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r", ""]);
    prop::collection::vec((line, end), 0..60).prop_map(|lines| {
        lines.iter().flat_map(|(line, end)| [line.as_bytes(), end.as_bytes()].concat()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_lines_are_a_message(bytes in noise()) {
        check_message(&bytes);
        check_headers(&bytes);
    }

    #[test]
    fn any_bytes_are_a_message(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_message(&bytes);
        check_headers(&bytes);
        check_blob(&bytes);
        check_html(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_damaged_stored_message_does_no_harm(
        bytes in noise(), at in any::<prop::sample::Index>(), byte: u8, cut in any::<bool>()
    ) {
        let mut blob = parse_bytes(&bytes, &Limits::default()).to_blob();
        let at = at.index(blob.len());
        if cut {
            blob.truncate(at);
            prop_assert!(mox_mime::Message::from_blob(&blob).is_err());
        } else {
            blob[at] = byte;
        }
        check_blob(&blob);
    }

    #[test]
    fn how_the_bytes_arrive_does_not_matter(bytes in noise(), step in 1usize..50) {
        let whole = parse_bytes(&bytes, &Limits::default());
        let pieces = parse(Slow { rest: &bytes, step, reads: 0 }, &Limits::default()).unwrap();
        prop_assert_eq!(whole, pieces);
    }
}

/// Gives a few bytes at a time, and is interrupted every other time.
struct Slow<'a> {
    rest: &'a [u8],
    step: usize,
    reads: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = self.step.min(out.len()).min(self.rest.len());
        let (now, rest) = self.rest.split_at(length);
        out[..length].copy_from_slice(now);
        self.rest = rest;
        Ok(length)
    }
}

/// Counts what is read of a message that is never in memory.
struct Endless {
    head: Cursor<Vec<u8>>,
    line: &'static [u8],
    left: u64,
    read: u64,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut length = self.head.read(out)?;
        if length == 0 {
            let room = usize::try_from(self.left).unwrap().min(out.len());
            for (at, byte) in out[..room].iter_mut().enumerate() {
                *byte = self.line[(self.read as usize + at) % self.line.len()];
            }
            length = room;
            self.left -= length as u64;
        }
        self.read += length as u64;
        Ok(length)
    }
}

/// Each byte is read once whatever it is, so that the cost is linear.
#[test]
fn each_byte_is_read_once() {
    let nested = |depth: usize| -> String {
        (0..depth)
            .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"))
            .collect()
    };
    let heads = [
        "\r\n".to_owned(),
        String::new(),
        "Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_owned(),
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n".to_owned(),
        format!("{}\r\n", nested(100)),
    ];
    for head in heads {
        for line in [&b"text of a line\r\n"[..], b"--", b"--b\r\n", b"\n", b"--b1\n", b"a: b\r\n "]
        {
            let left = 2_000_000;
            let size = head.len() as u64 + left;
            let mut reader =
                Endless { head: Cursor::new(head.clone().into_bytes()), line, left, read: 0 };
            let message = parse(&mut reader, &Limits::default()).unwrap();
            assert_eq!((message.size, reader.read), (size, size));
            // What is kept of two megabytes is small.
            assert!(message.to_blob().len() < 400_000, "{}", message.to_blob().len());
        }
    }
}

#[test]
fn an_error_of_the_reader_is_given_back() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let error = parse(Cursor::new(b"a: b\r\n\r\n").chain(Failing), &Limits::default());
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

/// A delimiter is found wherever it falls in the buffers of the scanner.
#[test]
fn delimiters_are_found_at_any_offset() {
    for size in [8 * 1024, 64 * 1024, 72 * 1024, 128 * 1024] {
        for pad in size - 420..size + 20 {
            let head = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n";
            let text = "y".repeat(pad - head.len());
            let bytes = format!("{head}{text}\r\n--x\r\n\r\nz\r\n--x--\r\n");
            let message = parse_bytes(bytes.as_bytes(), &Limits::default());
            let ends: Vec<u64> = message.root.parts.iter().map(|part| part.end_offset).collect();
            let z = bytes.find('z').unwrap() as u64;
            assert_eq!(ends, [pad as u64, z + 1], "{pad}");
        }
    }
}

/// Memory does not grow with the message: what is read at a time is bounded.
#[test]
fn reads_are_small() {
    struct Largest(u64, usize);
    impl Read for Largest {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.max(out.len());
            let length = out.len().min(usize::try_from(self.0).unwrap());
            out[..length].fill(b'x');
            self.0 -= length as u64;
            Ok(length)
        }
    }
    let mut reader = Largest(5_000_000, 0);
    let message = parse(Cursor::new(b"\r\n").chain(&mut reader), &Limits::default()).unwrap();
    assert_eq!((message.size, message.root.lines), (5_000_002, 1));
    assert!(reader.1 <= 64 * 1024);
}
