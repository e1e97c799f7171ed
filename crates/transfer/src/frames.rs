//! Events as bytes: how a client hands mail to a server on the same machine.
//!
//! Each begins with its kind: `M` a mailbox, `m` a message, `.` the end; `-` is nothing, sent to show
//! that the other side lives. Numbers are big-endian. Texts have their length before them. What is not
//! valid ends the reading: both sides are of one program.

use std::io::{self, Read, Write};
use std::path::Path;

use mox_base::{
    Flags, KEYWORD_BYTES_MAX, Keyword, MAILBOX_NAME_BYTES_MAX, MailboxName, SpecialUse,
    UnixSeconds, ZonedTime,
};
use mox_store::MESSAGE_KEYWORDS_MAX;

use crate::body::BodyWriter;
use crate::event::{Event, Item, Sink, SourceError, tell};

const MAILBOX: u8 = b'M';
const MESSAGE: u8 = b'm';
const NOTHING: u8 = b'-';
const END: u8 = b'.';

/// The time of a message that has none.
const NO_TIME: i64 = i64::MIN;

/// Writes events.
#[derive(Debug)]
pub struct FrameWriter<W> {
    writer: W,
}

impl<W: Write> FrameWriter<W> {
    /// Writes to `writer`, in small pieces.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Writes an event. Problems are not for the other side.
    ///
    /// # Errors
    ///
    /// Those of the writer, and of reading the message.
    pub fn event(&mut self, event: &mut Event) -> io::Result<()> {
        match event {
            Event::Mailbox { name, special_use, subscribed } => {
                let subscribed = match subscribed {
                    None => 0,
                    Some(false) => 1,
                    Some(true) => 2,
                };
                self.writer.write_all(&[MAILBOX])?;
                self.text(name.as_str())?;
                self.writer.write_all(&[special_use.bits(), subscribed])
            }
            Event::Message(item) => self.message(item),
            Event::Problem(_) => Ok(()),
        }
    }

    fn message(&mut self, item: &mut Item) -> io::Result<()> {
        self.writer.write_all(&[MESSAGE])?;
        self.text(item.mailbox.as_str())?;
        let received = item.received.unwrap_or_else(|| UnixSeconds(NO_TIME).into());
        self.writer.write_all(&received.time().0.to_be_bytes())?;
        self.writer.write_all(&received.zone_minutes().to_be_bytes())?;
        self.writer.write_all(&item.flags.bits().to_be_bytes())?;
        let keywords = item.keywords.get(..MESSAGE_KEYWORDS_MAX).unwrap_or(&item.keywords);
        let count = u16::try_from(keywords.len()).unwrap_or_default();
        self.writer.write_all(&count.to_be_bytes())?;
        for keyword in keywords {
            self.text(keyword.as_str())?;
        }
        let size = item.content.size();
        self.writer.write_all(&size.to_be_bytes())?;
        let copied = io::copy(&mut item.content, &mut self.writer)?;
        // What follows would be read as content.
        if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let size = u16::try_from(text.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.writer.write_all(&size.to_be_bytes())?;
        self.writer.write_all(text.as_bytes())
    }

    /// Shows that there will be more.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn nothing(&mut self) -> io::Result<()> {
        self.writer.write_all(&[NOTHING])
    }

    /// Ends the events. Without it, the other side takes them for cut.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn end(mut self) -> io::Result<W> {
        self.writer.write_all(&[END])?;
        self.writer.flush()?;
        Ok(self.writer)
    }
}

/// Reads events up to their end. Large messages get a file in `temporary`.
///
/// # Errors
///
/// [`SourceError::Cut`] if there is no end, [`SourceError::NotThat`] if something else comes.
pub fn read_frames(
    source: impl Read,
    temporary: &Path,
    message_bytes_max: u64,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut frames = Frames { source, temporary, message_bytes_max };
    loop {
        match frames.array::<1>()? {
            [END] => return Ok(()),
            [NOTHING] => {}
            [MAILBOX] => {
                let name = frames.mailbox()?;
                let [special_use, subscribed] = frames.array()?;
                let special_use = SpecialUse::from_bits(special_use);
                let subscribed = match subscribed {
                    0 => None,
                    1 => Some(false),
                    2 => Some(true),
                    _ => return Err(BAD),
                };
                tell(sink, Event::Mailbox { name, special_use, subscribed })?;
            }
            [MESSAGE] => {
                let event = frames.message()?;
                tell(sink, event)?;
            }
            _ => return Err(BAD),
        }
    }
}

const BAD: SourceError = SourceError::NotThat { what: "mail in a form that is not known here" };

struct Frames<'a, R> {
    source: R,
    temporary: &'a Path,
    message_bytes_max: u64,
}

impl<R: Read> Frames<'_, R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SourceError> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(cut)?;
        Ok(bytes)
    }

    fn text(&mut self, bytes_max: usize) -> Result<String, SourceError> {
        let size = usize::from(u16::from_be_bytes(self.array()?));
        if size > bytes_max {
            return Err(BAD);
        }
        let mut bytes = vec![0; size];
        self.source.read_exact(&mut bytes).map_err(cut)?;
        String::from_utf8(bytes).map_err(|_| BAD)
    }

    fn mailbox(&mut self) -> Result<MailboxName, SourceError> {
        let text = self.text(MAILBOX_NAME_BYTES_MAX)?;
        MailboxName::parse(&text).map_err(|_| BAD)
    }

    fn message(&mut self) -> Result<Event, SourceError> {
        let mailbox = self.mailbox()?;
        let received = i64::from_be_bytes(self.array()?);
        let zone_minutes = i16::from_be_bytes(self.array()?);
        let received = match received {
            NO_TIME => None,
            time => Some(ZonedTime::new(UnixSeconds(time), zone_minutes).ok_or(BAD)?),
        };
        let flags = Flags::from_bits(u16::from_be_bytes(self.array()?));
        let count = usize::from(u16::from_be_bytes(self.array()?));
        if count > MESSAGE_KEYWORDS_MAX {
            return Err(BAD);
        }
        let mut keywords = Vec::with_capacity(count);
        for _ in 0..count {
            let text = self.text(KEYWORD_BYTES_MAX)?;
            keywords.push(Keyword::parse(&text).map_err(|_| BAD)?);
        }
        let size = u64::from_be_bytes(self.array()?);
        let mut body = BodyWriter::new(self.temporary, self.message_bytes_max);
        let copied = io::copy(&mut (&mut self.source).take(size), &mut body).map_err(cut)?;
        if copied < size {
            return Err(SourceError::Cut);
        }
        let Some(content) = body.finish().map_err(SourceError::io("temporary file"))? else {
            return Ok(Event::Problem(format!(
                "{mailbox}: a message of {size} bytes is too large"
            )));
        };
        Ok(Event::Message(Box::new(Item { mailbox, received, flags, keywords, content })))
    }
}

fn cut(error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => SourceError::Cut,
        _ => SourceError::io("mail from the client")(error),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::prelude::*;

    use super::*;
    use crate::body::Body;
    use crate::fixture::content;

    fn read(bytes: &[u8]) -> (Vec<Event>, Result<(), SourceError>) {
        let dir = std::env::temp_dir();
        let mut events = Vec::new();
        let end = read_frames(bytes, &dir, 1_000, &mut |event| {
            events.push(event);
            ControlFlow::Continue(())
        });
        (events, end)
    }

    fn written(size: usize) -> Vec<u8> {
        let name = MailboxName::parse("a/b").unwrap();
        let mut writer = FrameWriter::new(Vec::new());
        let (special_use, subscribed) = (SpecialUse::SENT, Some(false));
        writer.event(&mut Event::Mailbox { name: name.clone(), special_use, subscribed }).unwrap();
        writer.nothing().unwrap();
        let keywords = vec![Keyword::parse("work").unwrap()];
        let (received, flags) = (ZonedTime::new(UnixSeconds(-5), -420), Flags::SEEN | Flags::JUNK);
        let content = Body::from_vec(vec![b'x'; size]);
        let item = Item { mailbox: name, received, flags, keywords, content };
        writer.event(&mut Event::Message(Box::new(item))).unwrap();
        writer.event(&mut Event::Problem("told here".to_owned())).unwrap();
        writer.end().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let (mut events, end) = read(&written(1_000));
        end.unwrap();
        let Some(Event::Message(item)) = events.pop() else { panic!("no message") };
        let received = ZonedTime::new(UnixSeconds(-5), -420);
        assert_eq!((item.received, item.flags), (received, Flags::SEEN | Flags::JUNK));
        assert_eq!((item.mailbox.as_str(), item.keywords[0].as_str()), ("a/b", "work"));
        assert_eq!(content(*item), vec![b'x'; 1_000]);
        let special_use = SpecialUse::SENT;
        assert!(
            matches!(events.pop(), Some(Event::Mailbox { special_use: s, subscribed: Some(false), .. })
            if s == special_use)
        );
        // Just past the bound for messages.
        assert!(matches!(&*read(&written(1_001)).0, [_, Event::Problem(_)]));
    }

    #[test]
    fn every_cut_is_found() {
        let whole = written(10);
        for size in 0..whole.len() {
            assert!(matches!(read(&whole[..size]).1, Err(SourceError::Cut)), "{size}");
        }
        assert!(matches!(read(b"x").1, Err(SourceError::NotThat { .. })));
        assert!(matches!(read(b"M\xff\xff").1, Err(SourceError::NotThat { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0_usize..40, byte in any::<u8>()) {
            let mut bytes = written(10);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _events = read(&bytes);
        }
    }
}
