//! The command that takes mail over into an account.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::time::Duration;

use mox_store::Account;
use mox_transfer::{ImportOptions, Notice, Outcome, Summary, import, read_frames};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::commands::{CommandError, Handler};
use super::wire::Wire;
use crate::data_dir::TEMPORARY;

/// How long a client may take for its next piece: it may itself wait for a server far away.
const PIECE_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Pieces that wait to be read.
const PIECES_MAX: usize = 2;

/// Problems that are told; all are counted.
const PROBLEMS_TOLD_MAX: usize = 1_000;

impl Handler {
    /// Parameters: account; `keep` to add what is there already, or nothing. Then mail as data, in the
    /// form of [`mox_transfer::FrameWriter`]. Answers with a text: numbers as [`summary_line`] has them,
    /// and a line for each problem.
    pub(super) async fn import<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = wire.parameter().await?;
        let options = match wire.parameter().await?.as_str() {
            "" => ImportOptions { keep_duplicates: false },
            "keep" => ImportOptions { keep_duplicates: true },
            other => return Err(CommandError::Refused(format!("{other:?}: keep or nothing?"))),
        };
        let store = self.services.store.clone();
        let account = mox_net::blocking(move || store.account(&name)).await?;
        wire.write_ok().await?;

        wire.set_wait(Some(PIECE_WAIT));
        let temporary = self.services.config.snapshot().data_dir().join(TEMPORARY);
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let work = mox_net::blocking(move || run(&account, options, received, &temporary));
        // If it fails, the client is told in place of the next `ok`: earlier it would not listen.
        let is_whole = loop {
            let Some(piece) = wire.receive_piece().await? else { break true };
            if pieces.send(piece).await.is_err() {
                break false;
            }
            wire.write_ok().await?;
        };
        drop(pieces);
        let (Outcome { summary, end }, problems) = work.await;
        wire.set_wait(Some(super::LINE_WAIT));
        end.map_err(|error| {
            let CommandError::Refused(text) = CommandError::refused(&error) else {
                return CommandError::refused(&error);
            };
            CommandError::Refused(format!("{text} (after {} messages)", summary.added))
        })?;
        if !is_whole {
            return Err(CommandError::Refused("more comes after the end of the mail".to_owned()));
        }
        wire.write_ok().await?;
        let mut text = summary_line(&summary);
        for problem in problems {
            text.push_str(&problem.replace('\n', " "));
            text.push('\n');
        }
        Ok(wire.send_data(text.as_bytes()).await?)
    }
}

/// Reads what comes and takes it over. Blocks.
fn run(
    account: &Account,
    options: ImportOptions,
    received: mpsc::Receiver<Vec<u8>>,
    temporary: &std::path::Path,
) -> (Outcome, Vec<String>) {
    let mut problems = Vec::new();
    let source = Pieces { received, piece: io::Cursor::default() };
    let outcome = import(
        account,
        options,
        |sink| read_frames(source, temporary, mox_transfer::MESSAGE_BYTES_MAX, sink),
        &mut |notice| {
            if let Notice::Problem(text) = notice
                && problems.len() < PROBLEMS_TOLD_MAX
            {
                problems.push(text.to_owned());
            }
            ControlFlow::Continue(())
        },
    );
    (outcome, problems)
}

/// The pieces as a stream. Blocks until the next is there.
struct Pieces {
    received: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.received.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// What was done, for programs: messages added, left out, bytes, mailboxes made, problems.
pub(crate) fn summary_line(summary: &Summary) -> String {
    let Summary { added, duplicates, bytes, mailboxes, problems } = summary;
    format!("{added}\t{duplicates}\t{bytes}\t{mailboxes}\t{problems}\n")
}

/// Reads what [`summary_line`] wrote.
pub(crate) fn parse_summary(line: &str) -> Option<Summary> {
    let mut numbers = line.split('\t').map(|cell| cell.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    Some(Summary {
        added: next()?,
        duplicates: next()?,
        bytes: next()?,
        mailboxes: next()?,
        problems: next()?,
    })
}

#[cfg(test)]
mod tests {
    use mox_base::{Flags, MailboxName};
    use mox_transfer::{Body, Event, FrameWriter, Item};

    use super::super::tests::{check_refused, client, server};
    use super::*;

    /// Messages with these numbers, and the end.
    fn frames(numbers: std::ops::Range<usize>) -> Vec<u8> {
        let mut writer = FrameWriter::new(Vec::new());
        for number in numbers {
            let content = format!("Subject: {number}\r\n\r\n{}\r\n", "text ".repeat(500));
            let item = Item {
                mailbox: MailboxName::parse("taken/over").unwrap(),
                received: None,
                flags: Flags::SEEN,
                keywords: Vec::new(),
                content: Body::from_vec(content.into_bytes()),
            };
            writer.event(&mut Event::Message(Box::new(item))).unwrap();
        }
        writer.end().unwrap()
    }

    async fn send(
        server: &crate::server::Server,
        account: &str,
        data: &[u8],
    ) -> Result<Summary, String> {
        let mut control = client(server).await;
        let text = |error: super::super::WireError| error.to_string();
        control.run("import", &[account, ""]).await.map_err(text)?;
        control.send_data(data).await.map_err(text)?;
        let answer = String::from_utf8(control.data().await.map_err(text)?).unwrap();
        Ok(parse_summary(answer.lines().next().unwrap()).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mail_is_taken_over_and_once_more_left_out() {
        let (server, _dir) = server().await;
        let summary = send(&server, "mox", &frames(0..600)).await.unwrap();
        assert_eq!((summary.added, summary.duplicates, summary.mailboxes), (600, 0, 2));
        let summary = send(&server, "mox", &frames(500..700)).await.unwrap();
        assert_eq!((summary.added, summary.duplicates, summary.mailboxes), (100, 100, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_cut_or_wrong_is_told() {
        let (server, _dir) = server().await;
        let whole = frames(0..10);
        let error = send(&server, "mox", &whole[..whole.len() - 1]).await.unwrap_err();
        assert_eq!(error, "ends in the middle (after 10 messages)");
        // In the middle of much: the client hears of it before it has sent all.
        let mut wrong = frames(0..1);
        wrong.pop();
        wrong.extend(vec![b'x'; 3_000_000]);
        let error = send(&server, "mox", &wrong).await.unwrap_err();
        assert!(error.contains("not known here"), "{error}");
        let mut long = frames(0..1);
        long.extend(vec![b'x'; 3_000_000]);
        let error = send(&server, "mox", &long).await.unwrap_err();
        assert_eq!(error, "more comes after the end of the mail");
        check_refused(
            client(&server).await.run("import", &["nobody", ""]).await,
            "no such account",
        );
        check_refused(client(&server).await.run("import", &["mox", "x"]).await, "keep or nothing");
    }
}
