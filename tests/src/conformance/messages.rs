//! The messages that cases use.

/// A small message; its subject is the number.
pub(super) fn plain(number: usize) -> String {
    format!(
        "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nFrom: Fred Foobar <fred@example.org>\r\n\
         Subject: {number}\r\nTo: mooch@example.com\r\nMessage-ID: <{number}@example.org>\r\n\r\n\
         message {number}\r\n"
    )
}

/// The parts of RFC 9051 §6.4.5.1's example, small.
pub(super) const NESTED: &str = "\
From: a@example.org\r\nSubject: outer\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b0\r\n\r\n\
preamble\r\n--b0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nfirst part\r\n\
--b0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
AAEC\r\n\
--b0\r\nContent-Type: message/rfc822\r\n\r\n\
From: b@example.org\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n\
--b1\r\nContent-Type: text/plain\r\n\r\nthree one\r\n\
--b1\r\nContent-Type: application/octet-stream\r\n\r\nthree two\r\n--b1--\r\n\
--b0\r\nContent-Type: multipart/mixed; boundary=b2\r\n\r\n\
--b2\r\nContent-Type: image/gif\r\nContent-ID: <gif@example.org>\r\n\r\nGIF\r\n\
--b2\r\nContent-Type: message/rfc822\r\n\r\n\
From: c@example.org\r\nSubject: innermost\r\nContent-Type: multipart/mixed; boundary=b3\r\n\r\n\
--b3\r\nContent-Type: text/plain\r\n\r\nfour two one\r\n\
--b3\r\nContent-Type: multipart/alternative; boundary=b4\r\n\r\n\
--b4\r\nContent-Type: text/plain\r\n\r\nplain text\r\n\
--b4\r\nContent-Type: text/richtext\r\n\r\nrich text\r\n--b4--\r\n\
--b3--\r\n--b2--\r\n--b0--\r\n";

/// Addresses of all kinds.
pub(super) const ADDRESSES: &str = "\
Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nSubject: who\r\n\
From: \"Joe Q. Public\" <john.q.public@example.com>\r\nSender: <secretary@example.com>\r\n\
Reply-To: boss@nil.test\r\nTo: A Group:Ed Jones <joe@where.test>,John <jdoe@one.test>;\r\n\
Cc: Mary <@node.test:mary@example.net>\r\nBcc: hidden@example.net\r\n\
In-Reply-To: <before@example.org>\r\nMessage-ID: <now@example.org>\r\n\r\nbody\r\n";

/// A text in ISO 8859-1, quoted-printable, with an encoded word in its subject.
pub(super) const LATIN: &str = "\
From: a@example.org\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\nMIME-Version: 1.0\r\n\
Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
M=FCnchen=3D\r\n";
