//! FETCH: pages of messages read in short transactions, written out before the next is read.
//!
//! A page ends after [`PAGE_MESSAGES`] messages or [`PAGE_BYTES`] of output. A section that is
//! too large for a page ends it in the middle of a message: it is streamed, and the next page
//! goes on with the next item of that message.

use std::ops::ControlFlow;
use std::sync::Arc;

use mox_base::{Flags, ModSeq, Uid};
use mox_imap::print::{self, FetchLine, Naming};
use mox_imap::session::{Change, FetchOp, Fetched, Outcome, Refusal};
use mox_imap::types::{FetchItem, NumSet, Section, SectionText, object_id};
use mox_mime::{Encoding, MessageRef};
use mox_net::blocking;
use mox_net::trace::Kind;
use mox_store::{Account, Columns, FlagChange, FlagOp, StoreError};

use crate::connection::{Connection, End, no_account};
use crate::messages::state;
use crate::refusal;
use crate::stream::{Body, Bytes, Piece, Rest, hide_nul};

/// The most messages of one page.
pub const PAGE_MESSAGES: usize = 500;

/// The output after which a page ends, in bytes; the last message may go beyond it.
pub const PAGE_BYTES: usize = 128 << 10;

/// A FETCH with what is the same for all its messages.
struct Plan {
    op: FetchOp,
    columns: Columns,
    /// The messages, ascending.
    uids: Vec<u32>,
    /// How far was read to find them.
    modseq: ModSeq,
    /// The number of the connection, for the log.
    cid: u64,
    /// What the protocol trace takes the responses for.
    kind: Kind,
}

/// Where a FETCH is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The message, as an index.
    message: usize,
    /// The item of it; not zero only in the middle of a message.
    item: usize,
}

/// What one transaction gave.
struct Page {
    out: Vec<u8>,
    next: Place,
    /// Messages that are to become `\Seen`.
    unseen: Vec<u32>,
    /// Those whose changes may wait to be told as well.
    newer: Vec<(Uid, ModSeq)>,
    /// How far was read.
    modseq: ModSeq,
    expunge_issued: bool,
    /// Follows `out`, too large for it.
    rest: Option<Rest>,
    refused: Option<Refusal>,
}

/// Performs a FETCH.
pub(crate) async fn fetch(connection: &mut Connection, op: FetchOp) -> Result<Outcome, End> {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return Ok(no_account());
    };
    let (plan, vanished) = {
        let account = account.clone();
        match blocking(move || Plan::new(cid, &account, op)).await {
            Ok(plan) => plan,
            Err(error) => return Ok(Outcome::Refused(refusal::store(cid, &error))),
        }
    };
    print::vanished_earlier(connection.session.output(), &vanished);
    connection.send().await?;
    connection.reads(plan.modseq);
    let plan = Arc::new(plan);
    let mut place = Place::default();
    let mut fetched = Fetched::default();
    let mut unseen: Vec<u32> = Vec::new();
    let mut refused = None;
    while place.message < plan.uids.len() && refused.is_none() {
        let (account, the_plan) = (account.clone(), Arc::clone(&plan));
        let read = blocking(move || the_plan.page(&account, place)).await;
        let page = match read {
            Ok(page) => page,
            Err(error) if place.item == 0 => {
                refused = Some(refusal::store(cid, &error));
                break;
            }
            // In the middle of a message there is no way to tell.
            Err(_) => return Err(End::Closed),
        };
        connection.write(plan.kind, &page.out).await?;
        if let Some(rest) = page.rest {
            rest.send(connection).await?;
        }
        place = page.next;
        connection.reads(page.modseq);
        unseen.extend(page.unseen);
        fetched.newer.extend(page.newer);
        fetched.expunge_issued |= page.expunge_issued;
        refused = page.refused;
    }
    if plan.op.mark_seen && !unseen.is_empty() {
        match mark_seen(&account, &plan.op, &unseen).await {
            // The refusal says nothing of what was read before it.
            Ok(messages) if refused.is_some() => {
                connection
                    .session
                    .push_change(Change::Flags { mailbox: plan.op.mailbox, messages });
            }
            Ok(seen) => fetched.seen = seen,
            Err(error) => refused = Some(refusal::store(cid, &error)),
        }
    }
    Ok(refused.map_or(Outcome::Fetched(fetched), Outcome::Refused))
}

async fn mark_seen(
    account: &Account,
    op: &FetchOp,
    unseen: &[u32],
) -> Result<Vec<mox_imap::session::MessageState>, StoreError> {
    let uids: NumSet = unseen.iter().copied().filter_map(Uid::new).collect();
    let change = FlagChange {
        op: FlagOp::Add,
        flags: Flags::SEEN,
        keywords: Vec::new(),
        unchanged_since: None,
    };
    let outcome = account.change_flags(op.mailbox, uids, change).await;
    match outcome {
        Ok(outcome) => Ok(outcome.messages.into_iter().map(state).collect()),
        // The mailbox was deleted meanwhile: there is nothing left to mark.
        Err(StoreError::NoMailbox) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Plan {
    /// Also returns what is to be reported as vanished.
    fn new(cid: u64, account: &Account, op: FetchOp) -> Result<(Self, NumSet), StoreError> {
        let mut vanished = NumSet::new();
        let mut modseq = ModSeq::default();
        let uids = match op.changed_since {
            None => op.targets.iter().collect(),
            Some(since) => {
                let exact = op.targets.exact();
                let reader = account.read()?;
                modseq = reader.modseq();
                let changed = reader.changed_since(op.mailbox, since, &op.targets.uids)?;
                if op.with_vanished {
                    let removed = changed.vanished.iter().map(|uid| uid.get()).collect();
                    vanished = op.vanished(&removed, false);
                }
                let uids = changed.rows.into_iter().map(|row| row.uid.get());
                uids.filter(|uid| exact.contains(*uid)).collect()
            }
        };
        let needs = |wanted: fn(&FetchItem) -> bool| op.items.iter().any(wanted);
        let columns = Columns {
            structure: needs(|item| {
                matches!(
                    item,
                    FetchItem::Envelope
                        | FetchItem::Body
                        | FetchItem::BodyStructure
                        | FetchItem::BinarySize(_)
                )
            }),
            preview: op.items.contains(&FetchItem::Preview),
            head: needs(is_of_head),
        };
        let is_plain = |item: &FetchItem| {
            use FetchItem as Item;
            matches!(item, Item::InternalDate | Item::Rfc822Size | Item::BodyStructure | Item::Body)
        };
        let kind = if op.items.iter().all(is_plain) { Kind::Protocol } else { Kind::Data };
        Ok((Self { op, columns, uids, modseq, cid, kind }, vanished))
    }

    /// Writes messages from a place on. Blocks.
    fn page(&self, account: &Account, from: Place) -> Result<Page, StoreError> {
        let reader = account.read()?;
        let mut page = Page {
            modseq: reader.modseq(),
            out: Vec::with_capacity(PAGE_BYTES / 4),
            next: from,
            unseen: Vec::new(),
            newer: Vec::new(),
            expunge_issued: false,
            rest: None,
            refused: None,
        };
        let end = self.uids.len().min(from.message + PAGE_MESSAGES);
        let uids = self.uids.get(from.message..end).unwrap_or_default();
        let mut failed = None;
        let mut visit = |row: &mox_store::Fetched<'_>| {
            let uid = row.uid.get();
            let at = from.message + uids.partition_point(|candidate| *candidate < uid);
            if page.next.item > 0 && at != page.next.message {
                // The message whose line is open has gone: close the line.
                page.out.extend_from_slice(b")\r\n");
                page.next.item = 0;
            }
            let (first_item, start) = (page.next.item, page.out.len());
            page.next = Place { message: at + 1, item: 0 };
            match self.message(&reader, row, first_item, &mut page) {
                Ok(Some(item)) => {
                    page.next = Place { message: at, item };
                    return ControlFlow::Break(());
                }
                Ok(None) => {}
                // What was read before it goes out; of this message nothing has yet.
                Err(error) if first_item == 0 => {
                    page.out.truncate(start);
                    let refusal = refusal::store(self.cid, &error);
                    match self.op.targets.known.seq_of(uid).filter(|_| self.op.keeps_going) {
                        Some(seq) => self.give_up(&mut page.out, &refusal, seq, uid),
                        None => page.refused = Some(refusal),
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            let is_full = page.out.len() >= PAGE_BYTES || page.refused.is_some();
            if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let flow = reader.fetch(self.op.mailbox, uids, self.columns, &mut visit)?;
        if let Some(error) = failed {
            return Err(error);
        }
        if flow.is_continue() {
            if page.next.item > 0 {
                page.out.extend_from_slice(b")\r\n");
            }
            page.next = Place { message: end, item: 0 };
        }
        Ok(page)
    }

    /// Writes one message, from an item on. Returns the item to go on with after `page.rest`.
    fn message(
        &self,
        reader: &mox_store::Reader,
        row: &mox_store::Fetched<'_>,
        first_item: usize,
        page: &mut Page,
    ) -> Result<Option<usize>, StoreError> {
        let op = &self.op;
        let uid = row.uid.get();
        let Some(seq) = op.targets.known.seq_of(uid) else { return Ok(None) };
        let start = page.out.len();
        page.expunge_issued |= row.is_expunged;
        let mut line = if first_item == 0 {
            FetchLine::start_named(&mut page.out, op.naming, seq, uid)
        } else {
            FetchLine::resume(&mut page.out)
        };
        let mut body = Body::new(reader, op.mailbox, row.uid);
        for (index, item) in op.items.iter().enumerate().skip(first_item) {
            match self.item(&mut line, item, row, &mut body)? {
                // The page ends in the middle of a message that is asked for many times over.
                Piece::Written
                    if line.output().len() >= PAGE_BYTES && index + 1 < op.items.len() =>
                {
                    return Ok(Some(index + 1));
                }
                Piece::Written => {}
                Piece::Streamed(rest) => {
                    page.rest = Some(rest);
                    return Ok(Some(index + 1));
                }
                Piece::Refused(refusal) if op.keeps_going && first_item == 0 => {
                    page.out.truncate(start);
                    self.give_up(&mut page.out, &refusal, seq, uid);
                    return Ok(None);
                }
                Piece::Refused(refusal) => {
                    // A line that is begun cannot be taken back once a part of it is sent.
                    if first_item == 0 {
                        page.out.truncate(start);
                    } else {
                        line.finish();
                    }
                    page.refused = Some(refusal);
                    return Ok(None);
                }
            }
        }
        if op.with_flags {
            // RFC 9051 §6.4.5: the flag that this very FETCH is about to set is told with it, where
            // the original has the flags from before. Not beside a mod-sequence: that belongs to
            // the flags as they were (RFC 7162 §3.1.3), and the new ones follow with theirs.
            let becomes_seen = op.mark_seen && !row.is_expunged && !op.with_modseq;
            let flags = if becomes_seen { row.flags | Flags::SEEN } else { row.flags };
            line.flags(flags, row.keywords.split(' ').filter(|keyword| !keyword.is_empty()));
        }
        if op.with_modseq {
            line.modseq(row.modseq);
        }
        line.finish();
        if op.with_flags && row.modseq > op.told {
            page.newer.push((row.uid, row.modseq));
        } else if op.with_modseq && row.modseq > op.told {
            // The flags themselves are still to be told.
            let before = ModSeq::new(row.modseq.get().saturating_sub(1)).unwrap_or_default();
            page.newer.push((row.uid, before));
        }
        if op.mark_seen && !row.flags.contains(Flags::SEEN) && !row.is_expunged {
            page.unseen.push(uid);
        }
        Ok(None)
    }

    /// Tells of a message that what was asked of it cannot be had. RFC 5465 §5.2.
    fn give_up(&self, out: &mut Vec<u8>, refusal: &Refusal, seq: u32, uid: u32) {
        let why = match refusal {
            Refusal::NoSuchPart => "no such part",
            Refusal::UnknownEncoding => "unknown content-transfer-encoding",
            _ => "internal error",
        };
        let text = format!("generating notify fetch response: {why}");
        print::tagged(out, "*", print::Status::No, None, &text);
        let naming = match self.op.naming {
            Naming::Uid { .. } => Naming::Uid { with_item: true },
            naming @ Naming::Number => naming,
        };
        FetchLine::start_named(out, naming, seq, uid).finish();
    }

    fn item(
        &self,
        line: &mut FetchLine<'_>,
        item: &FetchItem,
        row: &mox_store::Fetched<'_>,
        body: &mut Body<'_>,
    ) -> Result<Piece, StoreError> {
        let utf8 = self.op.utf8;
        match item {
            // These have fields of their own in the operation.
            FetchItem::Uid | FetchItem::Flags | FetchItem::ModSeq => {}
            FetchItem::InternalDate => line.internal_date(row.received),
            FetchItem::Rfc822Size => line.size(row.size),
            FetchItem::Envelope => {
                let envelope = structure(row)?.envelope().map_err(damaged)?;
                print::envelope(line.item("ENVELOPE"), &envelope, utf8);
            }
            FetchItem::BodyStructure | FetchItem::Body => {
                let extended = matches!(item, FetchItem::BodyStructure);
                let out = line.item(if extended { "BODYSTRUCTURE" } else { "BODY" });
                let root = structure(row)?.root().map_err(damaged)?;
                print::body_structure(out, &root, extended, utf8).map_err(damaged)?;
            }
            FetchItem::Rfc822Header => {
                line.literal("RFC822.HEADER", row.head.len() as u64);
                let start = line.output().len();
                line.data(row.head);
                hide_nul(line.output().get_mut(start..).unwrap_or_default());
            }
            FetchItem::BodySection(wanted) => {
                let bytes = match head_section(&wanted.section, row.head) {
                    Some(bytes) => Bytes::Memory(bytes),
                    None => match body.section(&wanted.section)? {
                        Ok(bytes) => bytes,
                        Err(refusal) => return Ok(Piece::Refused(refusal)),
                    },
                };
                let partial = wanted.partial;
                let origin = partial.map(|partial| partial.offset);
                let bytes = bytes.cut(partial);
                line.body_section(&wanted.section, origin, bytes.len());
                return body.write_text(line, &bytes);
            }
            FetchItem::Rfc822 | FetchItem::Rfc822Text => {
                let (name, text) = match item {
                    FetchItem::Rfc822 => ("RFC822", None),
                    _ => ("RFC822.TEXT", Some(SectionText::Text)),
                };
                let bytes = match body.section(&Section { part: Vec::new(), text })? {
                    Ok(bytes) => bytes,
                    Err(refusal) => return Ok(Piece::Refused(refusal)),
                };
                line.literal(name, bytes.len());
                return body.write_text(line, &bytes);
            }
            FetchItem::Binary(wanted) => {
                let bytes = match body.binary(&wanted.part)? {
                    Ok(bytes) => bytes.cut(wanted.partial),
                    Err(refusal) => return Ok(Piece::Refused(refusal)),
                };
                line.binary(wanted, bytes.len());
                return body.write(line, &bytes);
            }
            FetchItem::Preview => {
                // RFC 8970 §4: an empty one says that there is no text to show.
                print::string(line.item("PREVIEW"), row.preview.trim_end().as_bytes(), utf8);
            }
            FetchItem::SaveDate => line.date("SAVEDATE", row.saved),
            FetchItem::EmailId => line.object_id("EMAILID", &object_id::email_id(row.email_id)),
            FetchItem::ThreadId => line.object_id("THREADID", &object_id::thread_id(row.thread)),
            FetchItem::BinarySize(part) => {
                let size = match body.binary(part)? {
                    Ok(bytes) => bytes.len(),
                    Err(refusal) => return Ok(Piece::Refused(refusal)),
                };
                line.binary_size(part, size);
            }
        }
        Ok(Piece::Written)
    }
}

fn structure<'a>(row: &mox_store::Fetched<'a>) -> Result<MessageRef<'a>, StoreError> {
    MessageRef::new(row.structure).map_err(damaged)
}

fn damaged(_: mox_mime::BlobError) -> StoreError {
    StoreError::Damaged { what: "message structure" }
}

/// Whether the header section alone answers it.
fn is_of_head(item: &FetchItem) -> bool {
    match item {
        FetchItem::Rfc822Header => true,
        FetchItem::BodySection(wanted) => head_section(&wanted.section, b"").is_some(),
        _ => false,
    }
}

/// A section that the header of the message answers: all of it, or some fields.
fn head_section(section: &Section, head: &[u8]) -> Option<Vec<u8>> {
    if !section.part.is_empty() {
        return None;
    }
    match section.text.as_ref()? {
        SectionText::Header => Some(head.to_vec()),
        SectionText::HeaderFields(names) => Some(mox_mime::select_fields(head, names, false)),
        SectionText::HeaderFieldsNot(names) => Some(mox_mime::select_fields(head, names, true)),
        SectionText::Text | SectionText::Mime => None,
    }
}

/// Whether bytes in this encoding can be decoded. RFC 3516 §4.3.
pub(crate) fn is_known(encoding: Encoding) -> bool {
    encoding != Encoding::Unknown
}
