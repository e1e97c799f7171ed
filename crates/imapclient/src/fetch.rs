//! Messages of an open folder. RFC 9051 §6.4.5, §7.5.2.

use mox_base::{DateTime, Flags, Keyword, ZonedTime};
use mox_imap::client::Value;
use mox_transfer::{Body, flag_word};

use crate::ClientError;
use crate::session::{ReplyBody, Session, finished, number_of, text_of};

/// Messages that are asked for at once.
pub const WINDOW_MESSAGES: usize = 200;

/// The most messages of a folder. Ours.
const MESSAGES_MAX: usize = 20_000_000;

/// A message that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its UID.
    pub uid: u32,
    /// Its size in bytes, as the server says.
    pub size: u64,
}

/// A message that came.
#[derive(Debug)]
pub struct Fetched {
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords. Words that can be none are left out.
    pub keywords: Vec<Keyword>,
    /// INTERNALDATE, if the server has one.
    pub received: Option<ZonedTime>,
    /// Its content; the size of one that is too large, and nothing if the server has none.
    pub content: Result<Body, Option<u64>>,
}

impl Session {
    /// Lists the messages of the open folder above a UID, ascending.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn list_above(&mut self, uid: u32) -> Result<Vec<Listed>, ClientError> {
        let mut listed = Vec::new();
        let Some(first) = uid.checked_add(1) else { return Ok(listed) };
        let arguments = format!("FETCH {first}:* (UID RFC822.SIZE)");
        self.run("UID", &arguments, &mut |reply| {
            let (mut found, mut size) = (None, 0);
            for (name, value) in items(&reply.values) {
                match (name.as_str(), text_of(value)) {
                    ("UID", Some(text)) => found = text.parse().ok(),
                    ("RFC822.SIZE", Some(text)) => size = text.parse().unwrap_or_default(),
                    _ => {}
                }
            }
            // `n:*` names the last message even if its UID is below n.
            if let Some(uid) = found.filter(|found| *found > uid) {
                listed.push(Listed { uid, size });
            }
            if listed.len() > MESSAGES_MAX { Err(ClientError::TooMuch) } else { Ok(()) }
        })
        .await?;
        listed.sort_unstable_by_key(|message| message.uid);
        listed.dedup_by_key(|message| message.uid);
        Ok(listed)
    }

    /// Asks for messages of the open folder; [`Session::next_fetched`] gives them.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub async fn begin_fetch(&mut self, uids: &[u32]) -> Result<String, ClientError> {
        let arguments = format!("FETCH {} (UID FLAGS INTERNALDATE BODY.PEEK[])", uid_set(uids));
        self.send("UID", &arguments).await
    }

    /// The next message of those asked for, in whatever order the server gives them; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] if the server does not give all of them; else if the connection fails.
    pub async fn next_fetched(&mut self, tag: &str) -> Result<Option<Fetched>, ClientError> {
        loop {
            let reply = match self.next_of(tag).await? {
                Ok(reply) => reply,
                Err(last) => return finished("UID FETCH", last).map(|_| None),
            };
            if let Some(fetched) = read(&reply.values, reply.body) {
                return Ok(Some(fetched));
            }
        }
    }
}

/// Names, in upper case, and values of a FETCH response; nothing of others.
fn items(values: &[Value]) -> Vec<(String, &Value)> {
    let [Value::Atom(_), Value::Atom(name), Value::List(items)] = values else { return Vec::new() };
    if !name.eq_ignore_ascii_case(b"FETCH") {
        return Vec::new();
    }
    let pairs = items.chunks_exact(2).filter_map(|pair| match pair {
        [name, value] => Some((text_of(name)?.to_ascii_uppercase(), value)),
        _ => None,
    });
    pairs.collect()
}

/// Reads a FETCH response with a body. `None` for others, such as flags that changed meanwhile.
fn read(values: &[Value], body: ReplyBody) -> Option<Fetched> {
    let (mut uid, mut received) = (None, None);
    let (mut flags, mut keywords) = (Flags::NONE, Vec::new());
    let mut content = match body {
        ReplyBody::Whole(body) => Some(Ok(body)),
        ReplyBody::TooLarge(size) => Some(Err(Some(size))),
        ReplyBody::None => None,
    };
    for (name, value) in items(values) {
        match (name.as_str(), value) {
            ("UID", Value::Atom(number)) => uid = number_of(number),
            ("INTERNALDATE", Value::String(text)) => received = internal_date(text),
            ("FLAGS", Value::List(words)) => {
                for word in words.iter().filter_map(text_of) {
                    match flag_word(&word) {
                        Some(Ok(flag)) => flags |= flag,
                        Some(Err(keyword)) => keywords.push(keyword),
                        None => {}
                    }
                }
            }
            // A small message may come as a quoted string, and a broken one as NIL.
            ("BODY[]" | "RFC822", Value::String(text)) if content.is_none() => {
                content = Some(Ok(Body::from_vec(text.clone())));
            }
            ("BODY[]" | "RFC822", Value::Nil) if content.is_none() => content = Some(Err(None)),
            _ => {}
        }
    }
    keywords.sort();
    keywords.dedup();
    keywords.truncate(KEYWORDS_MAX);
    Some(Fetched { uid: uid?, flags, keywords, received, content: content? })
}

/// The most keywords of a message: as many as a message here may have.
const KEYWORDS_MAX: usize = 100;

/// `17-Jul-1996 02:44:25 -0700`, the day also padded with a blank. RFC 9051 §9 (`date-time`).
fn internal_date(text: &[u8]) -> Option<ZonedTime> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut words = text.split_ascii_whitespace();
    let (date, time, zone) = (words.next()?, words.next()?, words.next().unwrap_or("+0000"));
    let mut parts = date.split('-');
    let day = parts.next()?.parse().ok()?;
    let month = DateTime::month_from_name(parts.next()?)?;
    let year = parts.next()?.parse().ok()?;
    let mut parts = time.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let number: i16 = zone.parse().ok()?;
    let zone_minutes = number / 100 * 60 + number % 100;
    let date = DateTime { year, month, day, hour, minute, second, zone_minutes }.to_zoned().ok()?;
    // Servers without a date give that of the beginning of time.
    Some(date).filter(|date| date.time().0 > 0)
}

/// Ascending UIDs as a sequence set, runs of neighbours as ranges.
fn uid_set(uids: &[u32]) -> String {
    let runs = uids.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let shown = runs.map(|run| match run {
        [first, .., last] => format!("{first}:{last}"),
        [one] => one.to_string(),
        [] => String::new(),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_date(text: &str, want: Option<(i64, i16)>) {
        let found = internal_date(text.as_bytes());
        assert_eq!(found.map(|date| (date.time().0, date.zone_minutes())), want, "{text}");
    }

    /// RFC 9051 §9.
    #[test]
    fn dates_are_read() {
        check_date("17-Jul-1996 02:44:25 -0700", Some((837_596_665, -420)));
        check_date(" 1-Jan-1970 00:00:01 +0000", Some((1, 0)));
        // At the edge: less than an hour west; no zone.
        check_date("17-Jul-1996 09:14:25 -0030", Some((837_596_665, -30)));
        check_date("17-Jul-1996 09:44:25", Some((837_596_665, 0)));
        // No date.
        check_date("01-Jan-1970 00:00:00 +0000", None);
        check_date("17-Jul-1996", None);
        check_date("30-Feb-1996 02:44:25 -0700", None);
        check_date("17-Jul-1996 02:44:25 -9999", None);
        check_date("", None);
    }

    #[test]
    fn neighbours_are_a_range() {
        assert_eq!(uid_set(&[1, 2, 3, 5, 7, 8]), "1:3,5,7:8");
        assert_eq!(uid_set(&[u32::MAX]), "4294967295");
        assert_eq!(uid_set(&[]), "");
    }
}
