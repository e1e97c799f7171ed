//! What a decision on an incoming message asks the history of an account with 200,000 messages.
//!
//! Past all protocols: the account is opened in this process, and asked as the server asks.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use mox_base::{
    Address, Clock as _, Domain, Flags, Localpart, MailboxName, NumSet, Uid, UnixSeconds,
    Validation,
};
use mox_net::SystemClock;
use mox_policy::{
    Author, History as _, Marks, Method, Network, NetworkClass, Origin, Proven, rate_limits,
    reputation,
};
use mox_store::{
    Account, Destination, Envelope, FlagChange, FlagOp, Incoming, NewMessage, Policy, Reader, Store,
};

use crate::args::Args;
use crate::run::{Sizes, median};
use crate::table::{Figure, Target};

/// Messages of the account, as multiples of those of the large mailbox.
const TIMES: u64 = 2;

/// Messages of one commit while filling.
const BATCH: u64 = 250;

/// The last part of the messages came within a day from one host, which is what it may send.
const BUSY_PART: u64 = 20;

/// How long the other messages took to come.
const SPAN_SECS: u64 = 2 * 365 * 86_400;

/// Authors, in domains of ten, and hosts that send for them. Every fifth domain is proven.
const AUTHORS: u64 = 20_000;
const DOMAINS: u64 = AUTHORS / 10;
const HOSTS: u64 = 1_000;

/// Questions of each kind are asked so often, each time about another sender.
const ASKED: u64 = 1_000;

/// The most that the look-ups of one decision may take, in milliseconds.
const TARGET_MS: f64 = 0.5;

/// The most that marking a thousand messages may take, in milliseconds.
const MARK_TARGET_MS: f64 = 100.0;

/// Measures the look-ups.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let store = Store::new(dir.path(), Arc::new(SystemClock::new()), Arc::new(Policy::default()));
    let account = store.account("bench")?;
    let count = TIMES * sizes.mailbox_messages;
    let now = SystemClock::new().now();
    let started = Instant::now();
    fill(&account, count, now)?;
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let asked = Asked { account: &account, now, count };
    let mut figures = vec![Figure::new(format!("filling a history of {count}"), rate, "/s")];
    for kind in Kind::ALL {
        figures.extend(asked.times(kind)?);
    }
    figures.extend(asked.rates()?);
    figures.push(marks(&account, sizes)?);
    Ok(figures)
}

fn host(number: u64) -> IpAddr {
    // Each in a /21 of its own, so that a network tells of one host only.
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + (u32::try_from(number).unwrap_or(0) << 11)))
}

fn busy_host() -> IpAddr {
    host(HOSTS)
}

fn domain(number: u64) -> Result<Domain> {
    let name = format!("d{number}.example");
    Domain::parse(&name).map_err(|error| anyhow!("{name}: {error}"))
}

/// A message of this author, by this host.
fn origin(author: u64, domain_number: u64, ip: IpAddr) -> Result<Origin> {
    let domain = domain(domain_number)?;
    let is_proven = domain_number.is_multiple_of(5);
    let validation = if is_proven { Validation::Strict } else { Validation::None };
    let localpart = format!("author{author}");
    let localpart =
        Localpart::parse(&localpart).map_err(|error| anyhow!("{localpart}: {error}"))?;
    let address = Address { localpart, domain: domain.clone() };
    Ok(Origin {
        networks: Some(Network::all_of(ip)),
        ehlo: Some(Proven { name: domain.clone(), validation }),
        mail_from: Some(Proven { name: address.clone(), validation }),
        mail_from_validation: validation,
        dkim_domains: vec![domain.clone()],
        author: Some(Author { address, organization: domain, validation }),
        forwarder_ehlo: None,
        forwarder_dkim_domains: Vec::new(),
    })
}

fn fill(account: &Account, count: u64, now: UnixSeconds) -> Result<()> {
    let batches: Vec<u64> = (0..count).step_by(usize::try_from(BATCH)?).collect();
    // One thread prepares the next batch while the writer has this one.
    for pair in batches.chunks(2) {
        thread::scope(|scope| {
            let work = pair.iter().map(|first| {
                let numbers = *first..(first + BATCH).min(count);
                scope.spawn(move || add(account, numbers, count, now))
            });
            let work: Vec<_> = work.collect();
            work.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("filling panicked")).and_then(|done| done)
            })
        })?;
    }
    Ok(())
}

/// How many messages came before the busy day.
fn quiet(count: u64) -> u64 {
    count - count / BUSY_PART
}

fn add(
    account: &Account,
    numbers: std::ops::Range<u64>,
    count: u64,
    now: UnixSeconds,
) -> Result<()> {
    let quiet = quiet(count);
    let messages = numbers.map(|number| {
        let text =
            format!("Message-ID: <{number}@d.example>\r\nSubject: n{number}\r\n\r\nbody\r\n");
        let content = account.stage(Vec::new(), &mut Cursor::new(text))?;
        let (age, ip) = if number < quiet {
            (86_400 + SPAN_SECS * (quiet - number) / quiet, host(number % HOSTS))
        } else {
            (86_400 * (count - number) / (count - quiet), busy_host())
        };
        let author = number % AUTHORS;
        let origin = origin(author, author % DOMAINS, ip)?;
        // A third is not judged at all.
        let flags = [Flags::JUNK, Flags::NOT_JUNK, Flags::NONE];
        let flags = flags.get(usize::try_from(number % 3)?).copied().unwrap_or_default();
        let marks = Marks::default();
        let incoming =
            Incoming { origin, marks, destined: None, decision: None, content_hash: None };
        Ok(NewMessage {
            content,
            flags,
            keywords: Vec::new(),
            received: Some(now.plus_secs(-i64::try_from(age)?).into()),
            envelope: Some(Envelope { incoming: Some(incoming), ..Envelope::default() }),
        })
    });
    let messages = messages.collect::<Result<Vec<_>>>()?;
    let destination = Destination { mailbox: MailboxName::inbox(), create: false };
    account.add(destination, messages).wait().context("fill the history")?;
    Ok(())
}

/// Who sends the new message.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// An author of earlier messages.
    Author,
    /// Somebody new in a known domain.
    Domain,
    /// A stranger, through a known host.
    Host,
    /// A stranger from a new network, with as many signatures as count: nothing is found, so that all
    /// is asked.
    Stranger,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Author, Self::Domain, Self::Host, Self::Stranger];

    fn name(self) -> &'static str {
        match self {
            Self::Author => "known author",
            Self::Domain => "known domain",
            Self::Host => "known host",
            Self::Stranger => "stranger with 10 signatures",
        }
    }

    fn origin(self, number: u64) -> Result<Origin> {
        // Spread over all, in no order.
        let any = number * 7_919;
        match self {
            Self::Author => origin(any % AUTHORS, any % AUTHORS % DOMAINS, host(any % HOSTS)),
            Self::Domain => origin(AUTHORS + any, any % DOMAINS, host(any % HOSTS)),
            Self::Host => origin(AUTHORS + any, DOMAINS + any, host(any % HOSTS)),
            Self::Stranger => {
                let mut origin = origin(AUTHORS + any, DOMAINS + any, host(HOSTS + 1 + number))?;
                let others = (0..9).map(|more| domain(DOMAINS + any + more + 1));
                origin.dkim_domains.extend(others.collect::<Result<Vec<_>>>()?);
                Ok(origin)
            }
        }
    }

    /// Whether this is what is found of such a sender.
    fn expects(self, method: Method) -> bool {
        match self {
            Self::Author => method == Method::MsgFromFull,
            Self::Domain => method == Method::MsgFromDomain,
            Self::Host => method == Method::Ip1,
            Self::Stranger => method == Method::None,
        }
    }
}

/// Marks many messages of different senders at once, as junk and as wanted in turn: each has a dozen
/// rows in the history.
fn marks(account: &Account, sizes: &Sizes) -> Result<Figure> {
    let inbox = account.read()?.mailbox(&MailboxName::inbox())?.id;
    let mut times = Vec::new();
    for round in 0..sizes.repeats as u64 {
        // Messages of a third of the account, far from each other.
        let numbers = (0..sizes.changes).map(|n| n * (sizes.mailbox_messages / sizes.changes));
        let uids = numbers.filter_map(|n| Uid::new(u32::try_from(n + round + 1).ok()?));
        let uids: NumSet = uids.collect();
        let flags = if round.is_multiple_of(2) { Flags::JUNK } else { Flags::NOT_JUNK };
        let change =
            FlagChange { op: FlagOp::Replace, flags, keywords: Vec::new(), unchanged_since: None };
        let started = Instant::now();
        let outcome = account.change_flags(inbox, uids, change).wait()?;
        ensure!(outcome.messages.len() as u64 == sizes.changes, "messages to mark are missing");
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let name = format!("marking {} messages of that account", sizes.changes);
    Ok(Figure::new(name, median(times), "ms").target(Target::AtMost(MARK_TARGET_MS)))
}

struct Asked<'a> {
    account: &'a Account,
    now: UnixSeconds,
    count: u64,
}

impl Asked<'_> {
    /// Times the look-ups about messages of such senders.
    fn times(&self, kind: Kind) -> Result<Vec<Figure>> {
        let inbox = MailboxName::inbox();
        let mut times = Vec::new();
        let mut found = 0;
        for number in 0..ASKED {
            let origin = kind.origin(number)?;
            let (taken, method) =
                self.timed(|reader| Ok(reputation(reader, &inbox, &origin, self.now)?.method))?;
            found += u64::from(kind.expects(method));
            times.push(taken);
        }
        // Small accounts do not know everybody.
        let is_full = self.count >= 10 * AUTHORS;
        ensure!(!is_full || found == ASKED, "{found} of {ASKED} found as {}", kind.name());
        Ok(figures(&format!("reputation: {}", kind.name()), times))
    }

    /// Times the look-ups for the rate limits, of a host that has sent all it may.
    fn rates(&self) -> Result<Vec<Figure>> {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let (taken, messages) = self.timed(|reader| {
                let mut most = 0;
                for class in NetworkClass::ALL {
                    for limit in rate_limits(class) {
                        let since = self.now.plus_secs(-limit.window_secs);
                        let network = Network::of(busy_host(), class);
                        most = reader.traffic(network, since)?.messages.max(most);
                    }
                }
                Ok(most)
            })?;
            ensure!(messages > 0, "no traffic of the busy host");
            times.push(taken);
        }
        let name = format!("rate limits: {} messages in a day", self.count / BUSY_PART);
        Ok(figures(&name, times))
    }

    /// Milliseconds, with the beginning of the read transaction.
    fn timed<T>(&self, work: impl FnOnce(&Reader) -> Result<T>) -> Result<(f64, T)> {
        let started = Instant::now();
        let reader = self.account.read()?;
        let answer = work(&reader)?;
        drop(reader);
        Ok((started.elapsed().as_secs_f64() * 1e3, answer))
    }
}

fn figures(name: &str, mut times: Vec<f64>) -> Vec<Figure> {
    times.sort_by(f64::total_cmp);
    let slow = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    vec![
        Figure::new(name, median(times), "ms").target(Target::AtMost(TARGET_MS)),
        Figure::new("  one in a hundred takes longer than", slow, "ms"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_in_networks_of_their_own() {
        let wide = |number| Network::of(host(number), NetworkClass::Wide);
        assert_ne!(wide(0), wide(1));
        assert_ne!(wide(HOSTS), wide(HOSTS + ASKED));
    }
}
