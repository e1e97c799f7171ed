//! What holds of any bytes that are taken for mail of another program. Also the check of a fuzz target.

use std::io::{Cursor, Read as _};
use std::ops::ControlFlow;

use mox_base::MailboxName;
use mox_transfer::{
    Event, Meter, ReadOptions, SourceError, read_frames, read_mbox, read_tar, read_tgz, read_zip,
};

/// Larger messages are left out.
const MESSAGE_BYTES_MAX: u64 = 100_000;

/// Whoever takes the events wants no more than these.
const EVENTS_MAX: usize = 2_000;

/// Reads bytes as one of the kinds of files, by the first of them: there is no panic, and what comes out is
/// within the bounds that were given.
pub(crate) fn check_source(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let options = ReadOptions {
        target: MailboxName::inbox(),
        temporary: std::env::temp_dir(),
        message_bytes_max: MESSAGE_BYTES_MAX,
        strip: (kind & 8 != 0).then(|| "backup/".to_owned()),
    };
    let (mut events, mut messages) = (0, 0);
    let mut sink = |event| {
        events += 1;
        messages += usize::from(matches!(event, Event::Message(_)));
        check_event(event);
        if events < EVENTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (meter, source) = (Meter::default(), Cursor::new(bytes));
    let outcome = match kind % 5 {
        0 => read_mbox(source, &MailboxName::inbox(), &options, &mut sink).map(|_| ()),
        1 => read_zip(source, &options, &mut sink),
        2 => read_tar(source, &options, &meter, &mut sink),
        3 => read_tgz(source, &options, &meter, &mut sink),
        _ => read_frames(source, &options.temporary, MESSAGE_BYTES_MAX, &mut sink),
    };
    match outcome {
        Ok(()) => assert!(events < EVENTS_MAX),
        Err(SourceError::Stopped) => assert_eq!(events, EVENTS_MAX),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // A file that is not compressed has no more messages than bytes.
    assert!(matches!(kind % 5, 1 | 3) || messages <= bytes.len());
}

fn check_event(event: Event) {
    match event {
        Event::Message(mut item) => {
            let mut content = Vec::new();
            item.content.read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, item.content.size());
            assert!(item.content.size() <= MESSAGE_BYTES_MAX);
            let mut keywords = item.keywords;
            keywords.sort();
            keywords.dedup();
            assert!(keywords.len() <= 1_000, "{} keywords", keywords.len());
        }
        Event::Mailbox { name, .. } => {
            assert!(MailboxName::parse(name.as_str()).is_ok(), "{name:?}");
        }
        Event::Problem(text) => assert!(text.len() < 100_000 && !text.is_empty()),
    }
}
