//! Files that are not what they seem.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use mox_base::{Flags, MailboxName};
use mox_transfer::{Body, Event, FrameWriter, Item};
use proptest::prelude::*;

use crate::hostile::check_source;

const MBOX: &[u8] =
    b"From a@b Thu Jan  1 00:00:00 1970\nStatus: RO\nX-Keywords: a b\n\nx\n>From y\n\n";

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("backup/{}/cur/1.x:2,S", "Folder".repeat(30));
    for (path, content) in [("Inbox.mbox", MBOX), (&*long, b"Subject: x\r\n\r\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["Inbox.mbox", "backup/Work/cur/1.x:2,S", "Work/dovecot-keywords"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(MBOX).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn frames() -> Vec<u8> {
    let mut frames = FrameWriter::new(Vec::new());
    let mailbox = MailboxName::parse("Work").unwrap();
    let content = Body::from_vec(MBOX.to_vec());
    let (flags, keywords) = (Flags::SEEN, Vec::new());
    let item = Item { mailbox, received: None, flags, keywords, content };
    frames.event(&mut Event::Message(Box::new(item))).unwrap();
    frames.event(&mut Event::Problem("odd".to_owned())).unwrap();
    frames.end().unwrap()
}

fn tgz() -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar()).unwrap();
    gzip.finish().unwrap()
}

/// A file of each kind, by the number of its kind.
fn files() -> [Vec<u8>; 5] {
    [MBOX.to_vec(), zip(), tar(), tgz(), frames()]
}

#[test]
fn what_holds_of_any_bytes_holds_of_sound_files() {
    for (kind, file) in files().iter().enumerate() {
        for prefix in [kind, kind + 40] {
            check_source(&[&[u8::try_from(prefix).unwrap()], &file[..]].concat());
        }
    }
}

proptest! {
    /// Bytes changed, left out and put in anywhere.
    #[test]
    fn damaged_files_do_no_harm(
        kind in 0_usize..5,
        changes in proptest::collection::vec((any::<u16>(), any::<u8>(), 0_u8..3), 1..6),
    ) {
        let mut file = files()[kind].clone();
        for (at, byte, how) in changes {
            let at = usize::from(at) % file.len().max(1);
            match how {
                0 => file[at] = byte,
                1 => drop(file.drain(at..file.len().min(at + usize::from(byte)))),
                _ => file.insert(at, byte),
            }
            if file.is_empty() {
                break;
            }
        }
        check_source(&[&[u8::try_from(kind).unwrap()], &file[..]].concat());
    }
}
