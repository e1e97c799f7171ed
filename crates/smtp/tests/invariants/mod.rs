//! What holds for any bytes; shared by the property tests and the fuzz targets.

use mox_smtp::command::{Command, CommandError, Syntax};
use mox_smtp::server::{Question, Service};
use mox_smtp::{
    ChunkReader, DataProgress, DataReader, DataReport, REPLY_LINES_MAX, Reply, ReplyError,
    ReplyParser,
};

use crate::driver::{self, Driver, Event};

/// A line is understood or not, and the error points into it.
pub(crate) fn check_command(line: &[u8]) {
    for bits in 0..8_u8 {
        let syntax = Syntax { is_pedantic: bits & 1 != 0, is_submission: bits & 2 != 0 };
        let result = Command::parse(line, bits & 4 != 0, syntax);
        if let Err(CommandError::Syntax { left_bytes }) = result {
            assert!(left_bytes <= line.len());
        }
    }
}

const SIZE_BYTES_MAX: u64 = 64;

/// Data ends at the same byte and is the same message, whatever the pieces; what is written keeps
/// the limit and has only lines that end with CRLF.
pub(crate) fn check_data(data: &[u8], step: usize) {
    let (whole, split) = (read_data(data, data.len().max(1)), read_data(data, step.max(1)));
    let (Some((out, report, taken)), Some((out2, report2, taken2))) = (&whole, &split) else {
        assert!(whole.is_none() && split.is_none());
        return;
    };
    assert_eq!(taken, taken2);
    assert_eq!(report.fault.is_some(), report2.fault.is_some());
    assert!(data[..*taken].ends_with(b".\r\n"));
    if report.fault.is_none() {
        assert_eq!((out, report), (out2, report2));
        assert_eq!(report.size_bytes, u64::try_from(out.len()).unwrap_or(u64::MAX));
        assert!(report.size_bytes <= SIZE_BYTES_MAX);
        let crlfs = out.windows(2).filter(|pair| pair == b"\r\n").count();
        let ends = out.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
        assert_eq!(crlfs * 2, ends);
    }
}

fn read_data(data: &[u8], step: usize) -> Option<(Vec<u8>, DataReport, usize)> {
    let (mut reader, mut out, mut at) = (DataReader::new(SIZE_BYTES_MAX), Vec::new(), 0);
    for piece in data.chunks(step) {
        match reader.push(piece, &mut out) {
            DataProgress::More => at += piece.len(),
            DataProgress::End { taken_bytes } => {
                return Some((out, reader.report(), at + taken_bytes));
            }
            DataProgress::Overrun => return None,
        }
    }
    None
}

/// A message in chunks is the same whatever the chunks and the pieces; what is written keeps the limit.
/// Text has only lines that end with CRLF, and so has the header of a binary message. RFC 3030 §2, §3.
pub(crate) fn check_chunks(data: &[u8], step: usize, is_binary: bool) {
    let whole = read_chunks(data, data.len().max(1), data.len().max(1), is_binary);
    let (out, report) = &whole;
    let step = step.max(1);
    for (chunk, piece) in [(step, step.div_ceil(2)), (step, data.len().max(1))] {
        let (out2, report2) = &read_chunks(data, chunk, piece, is_binary);
        assert_eq!(report.fault.is_some(), report2.fault.is_some());
        if report.fault.is_none() {
            assert_eq!((out, report), (out2, report2));
        }
    }
    if report.fault.is_some() {
        return;
    }
    assert_eq!(report.size_bytes, u64::try_from(out.len()).unwrap_or(u64::MAX));
    assert!(report.size_bytes <= SIZE_BYTES_MAX);
    let header_bytes = report.header_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let lines = &out[..header_bytes.filter(|_| is_binary).unwrap_or(out.len())];
    let crlfs = lines.windows(2).filter(|pair| pair == b"\r\n").count();
    let ends = lines.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    assert_eq!(crlfs * 2, ends);
}

fn read_chunks(data: &[u8], chunk: usize, piece: usize, is_binary: bool) -> (Vec<u8>, DataReport) {
    let (mut reader, mut out) = (ChunkReader::new(SIZE_BYTES_MAX, is_binary), Vec::new());
    for chunk in data.chunks(chunk) {
        reader.begin_chunk(chunk.len() as u64);
        let taken: usize = chunk.chunks(piece).map(|piece| reader.push(piece, &mut out)).sum();
        assert_eq!((taken, reader.left_bytes()), (chunk.len(), 0));
        assert_eq!(reader.push(b"QUIT", &mut out), 0, "what follows a chunk is not of it");
    }
    reader.finish(&mut out);
    (out, reader.report())
}

/// Replies are the same whatever the pieces, and what was read can be sent and read again.
pub(crate) fn check_reply(bytes: &[u8], step: usize) {
    let (whole, split) =
        (read_replies(bytes, bytes.len().max(1)), read_replies(bytes, step.max(1)));
    assert_eq!(whole, split);
    for reply in whole.unwrap_or_default() {
        assert!((200..600).contains(&reply.code));
        assert!(reply.text.lines().count() <= REPLY_LINES_MAX);
        let sent = reply.to_bytes();
        assert!(read_replies(&sent, sent.len()).is_ok_and(|replies| replies.len() == 1));
    }
}

fn read_replies(bytes: &[u8], step: usize) -> Result<Vec<Reply>, ReplyError> {
    let (mut parser, mut buffer, mut replies) = (ReplyParser::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let (taken, reply) = parser.push(&buffer)?;
            buffer.drain(..taken);
            match reply {
                Some(reply) => replies.push(reply),
                None => break,
            }
        }
    }
    Ok(replies)
}

/// A session says the same whatever the pieces, and says nothing but replies (RFC 5321 §4.2).
pub(crate) fn check_session(service: Service, bytes: &[u8], step: usize) {
    let whole = play(service, bytes, bytes.len().max(1));
    let split = play(service, bytes, step.max(1));
    assert_eq!(whole.escape_ascii().to_string(), split.escape_ascii().to_string());
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let is_reply = line.ends_with(b"\r\n")
            && line.len() > 5
            && line[..3].iter().all(u8::is_ascii_digit)
            && line[..line.len() - 2].iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        assert!(is_reply, "{}", line.escape_ascii());
    }
}

/// Answers every question in the same way, and returns all that was sent.
fn play(service: Service, bytes: &[u8], step: usize) -> Vec<u8> {
    let mut config = driver::config(service);
    // Bytes right behind STARTTLS are an error, so there the split does matter.
    config.has_starttls = false;
    config.login_needs_tls = false;
    config.second_rcpt_needs_verified_sender = true;
    let mut driver = Driver::new(config, None);
    for piece in bytes.chunks(step) {
        if driver.is_closed() {
            break;
        }
        driver.receive(piece);
        settle(&mut driver);
    }
    let sent = driver.take_events().into_iter().filter_map(|event| match event {
        Event::Sent(bytes) => Some(bytes),
        Event::Told(_) => None,
    });
    sent.flatten().collect()
}

fn settle(driver: &mut Driver) {
    loop {
        if driver.is_delayed() {
            driver.time_passes();
            continue;
        }
        let Some(question) = driver.question().cloned() else { return };
        let words = match &question {
            Question::Sasl(_) => "auto",
            Question::ClientExists(_) | Question::SenderVerified(_) => "yes",
            _ => "ok",
        };
        driver.answer(driver::answer(&question, words));
    }
}
