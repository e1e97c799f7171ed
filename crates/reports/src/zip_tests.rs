use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::*;

/// A file as it is put into an archive.
struct File<'a> {
    name: &'a str,
    content: &'a [u8],
    method: u16,
    flags: u16,
    /// Added to the size that is written down.
    size_error: u32,
}

impl<'a> File<'a> {
    fn new(name: &'a str, content: &'a [u8]) -> Self {
        Self { name, content, method: 8, flags: 0, size_error: 0 }
    }
}

fn put16(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn put32(out: &mut Vec<u8>, numbers: &[u32]) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap()
}

fn long(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn archive(files: &[File<'_>], comment: &[u8]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for file in files {
        let packed = if file.method == 8 { deflate(file.content) } else { file.content.to_vec() };
        let mut crc = Crc::new();
        crc.update(file.content);
        let numbers =
            [crc.sum(), long(packed.len()), long(file.content.len()).wrapping_add(file.size_error)];
        let at = long(out.len());
        out.extend(b"PK\x03\x04");
        put16(&mut out, &[20, file.flags, file.method, 0, 0]);
        put32(&mut out, &numbers);
        put16(&mut out, &[short(file.name.len()), 0]);
        out.extend(file.name.as_bytes());
        out.extend(packed);
        directory.extend(b"PK\x01\x02");
        put16(&mut directory, &[20, 20, file.flags, file.method, 0, 0]);
        put32(&mut directory, &numbers);
        put16(&mut directory, &[short(file.name.len()), 0, 0, 0, 0]);
        put32(&mut directory, &[0, at]);
        directory.extend(file.name.as_bytes());
    }
    let (at, count) = (long(out.len()), short(files.len()));
    out.extend(&directory);
    out.extend(b"PK\x05\x06");
    put16(&mut out, &[0, 0, count, count]);
    put32(&mut out, &[long(directory.len()), at]);
    put16(&mut out, &[short(comment.len())]);
    out.extend(comment);
    out
}

fn read(archive: &[u8], bytes_max: u64) -> Result<Vec<u8>, ReportError> {
    let mut out = Vec::new();
    let outcome = open(archive, bytes_max)?.read_to_end(&mut out);
    outcome.map(|_| out).map_err(|error| ReportError::from(&error))
}

#[track_caller]
fn check(archive: &[u8], want: Result<&str, ReportError>) {
    let got = read(archive, 100).map(|content| String::from_utf8(content).unwrap());
    assert_eq!(got.as_deref(), want.as_ref().map(|text| *text));
}

#[test]
fn the_one_file_of_an_archive_is_read() {
    let file = || File::new("a.xml", b"<feedback/>");
    let hundred = [b'x'; 100];
    let plain = archive(&[file()], b"");
    // Valid.
    check(&plain, Ok("<feedback/>"));
    check(&archive(&[File { method: 0, ..file() }], b"made by hand"), Ok("<feedback/>"));
    check(&archive(&[File::new("in/", b""), file()], b""), Ok("<feedback/>"));
    check(&[plain.as_slice(), b"\r\n"].concat(), Ok("<feedback/>"));
    // At the edge.
    check(&archive(&[File::new("", &hundred)], b""), Ok(&"x".repeat(100)));
    // Just past.
    check(&archive(&[File::new("a", &[b'x'; 101])], b""), Err(ReportError::TooLarge));
    check(&archive(&[file(), file()], b""), Err(ReportError::NotOneFile));
    check(&archive(&[], b""), Err(ReportError::NotOneFile));
    check(&archive(&[File::new("in/", b"")], b""), Err(ReportError::NotOneFile));
    // Never.
    check(b"PK\x03\x04", Err(ReportError::BadPacking));
    check(&plain[..plain.len() - 1], Err(ReportError::BadPacking));
    check(&archive(&[File { method: 9, ..file() }], b""), Err(ReportError::UnknownPacking));
    check(&archive(&[File { flags: 1, ..file() }], b""), Err(ReportError::UnknownPacking));
}

/// A bomb may lie about its size, either way.
#[test]
fn sizes_and_checksums_must_be_true() {
    let bomb = vec![b' '; 1 << 20];
    let lie = 0_u32.wrapping_sub((1 << 20) - 50);
    let small = File { size_error: lie, ..File::new("a.xml", &bomb) };
    assert_eq!(read(&archive(&[small], b""), 100), Err(ReportError::BadPacking));
    let honest = File::new("a.xml", &bomb);
    assert_eq!(read(&archive(&[honest], b""), 100), Err(ReportError::TooLarge));
    let short = File { size_error: 1, ..File::new("a.xml", b"<feedback/>") };
    check(&archive(&[short], b""), Err(ReportError::BadPacking));
    let huge = File { size_error: u32::MAX - 11, ..File::new("a.xml", b"<feedback/>") };
    check(&archive(&[huge], b""), Err(ReportError::UnknownPacking));
    let mut wrong = archive(&[File { method: 0, ..File::new("a.xml", b"<feedback/>") }], b"");
    wrong[LOCAL_BYTES + 5 + 1] ^= 1;
    check(&wrong, Err(ReportError::BadPacking));
}

#[test]
fn any_cut_or_changed_byte_is_an_outcome() {
    let whole = archive(&[File::new("a.xml", b"<feedback>some text</feedback>")], b"c");
    for at in 0..whole.len() {
        assert!(read(&whole[..at], 1_000).is_err(), "cut at {at}");
        for bit in [1, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            let _outcome = read(&changed, 1_000);
        }
    }
}
