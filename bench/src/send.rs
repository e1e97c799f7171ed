//! How fast messages leave the queue, and what the queue costs when much waits in it.
//!
//! Queue and sender are in this process, with DNS that answers at once; they send over loopback to a
//! sink that takes everything and keeps nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use mox_base::{Address, Clock, Rng, UnixSeconds};
use mox_config::{Live, NamedFiles};
use mox_dns::FakeDns;
use mox_net::tls::client::Connector;
use mox_net::{Supervisor, SystemClock, SystemRng, http};
use mox_queue::{Filter, LeaseRequest, NewMessage, NewRecipient, Queue, Release, Sort, SortField};
use mox_reportdb::ReportDb;
use mox_sender::connection::Waits;
use mox_sender::mtasts::{HttpsFetch, MtaSts};
use mox_sender::{Limits, Sender, Services};
use mox_smtp::{Mailbox, ReversePath};
use mox_store::{Policy, Store};
use mox_tlspolicy::pkix::Roots;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::raw;
use crate::run::{Sizes, median};
use crate::sink::Sink;
use crate::table::{Figure, Target};

/// The size of a message.
const MESSAGE_BYTES: usize = 5_000;

/// Domains of the run with many.
const DOMAINS: usize = 300;

/// Connections to the one domain.
const CONNECTIONS: usize = 20;

/// Recipients of the burst.
const BURST_RCPTS: usize = 10_000;

/// Messages that are added at the same time while a queue is filled: they share syncs.
const FILL: usize = 1_000;

/// Each step of the bench must be done by then.
const WAIT: Duration = Duration::from_secs(300);

const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mail.example.org\nPostmaster:\n\tAccount: a\n\t\
    Mailbox: Inbox\nListeners:\n\tx: nil\n";

const DOMAINS_CONF: &str = "Domains:\n\texample.org: nil\nAccounts:\n\ta:\n\t\tDomain: example.org\n\
    \t\tDestinations:\n\t\t\ta@example.org: nil\n";

/// Measures all of it.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let runs = [("one domain, 20 connections", 1), ("300 domains", DOMAINS)];
    for (name, domains) in runs {
        let dir = args.new_dir()?;
        let raw_per_s = raw::syncs_per_s(dir.path(), sizes.run / 3)?;
        let sent = send(dir.path(), sizes.sent_messages, domains).context(name)?;
        figures.push(
            Figure::new(format!("sending, {name}"), sent.per_s, "messages/s")
                .target(Target::AtLeast(800.0))
                .raw(raw_per_s)
                .cpu(sent.cpu_us),
        );
    }
    figures.extend(full_queue(args, sizes)?);
    Ok(figures)
}

struct Sent {
    per_s: f64,
    cpu_us: f64,
}

/// Sends so many messages, spread over the domains.
fn send(dir: &Path, messages: usize, domains: usize) -> Result<Sent> {
    std::fs::write(dir.join("mox.conf"), MOX_CONF)?;
    std::fs::write(dir.join("domains.conf"), DOMAINS_CONF)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let queue = Queue::open(&dir.join("queue"), Arc::clone(&rng))?;
    let name = |at: usize| format!("d{}.example", at % domains);
    fill(&queue, messages, clock.now(), |at, message| {
        message.recipients.push(rcpt(&format!("r{at}@{}", name(at)))?);
        Ok(())
    })?;
    let mut dns = FakeDns::new();
    for at in 0..domains {
        let host = format!("mx.{}", name(at));
        dns.add_mx(&name(at), 10, &host).add_ips(&host, &["127.0.0.1"]);
    }
    let sink = Sink::start()?;
    let runtime = Runtime::new()?;
    let (cpu, started) = (cpu_us()?, Instant::now());
    let supervisor = Supervisor::new(&*clock);
    let services =
        services(dir, (queue.clone(), dns), (clock, rng), (&supervisor, sink.addr().port()))?;
    let sender = runtime.block_on(async { Sender::start(services) });
    sink.wait_for(messages as u64, WAIT)?;
    // To the end of the last commit.
    let report = runtime.block_on(supervisor.shutdown(WAIT));
    let elapsed = started.elapsed();
    drop(sender);
    ensure!(report.killed == 0 && supervisor.panics() == 0, "a delivery did not end");
    ensure!(queue.count(&Filter::default())? == 0, "messages are left in the queue");
    let count = messages as f64;
    Ok(Sent { per_s: count / elapsed.as_secs_f64(), cpu_us: (cpu_us()? - cpu) / count })
}

fn services(
    dir: &Path,
    (queue, dns): (Queue, FakeDns),
    (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>),
    (supervisor, port): (&Supervisor, u16),
) -> Result<Services> {
    let live = Live::load(dir, NamedFiles::Skip, clock.now());
    let (config, _) = live.map_err(|faults| anyhow!("{faults:?}"))?;
    let reports = ReportDb::open(&dir.join("reports.db"))?;
    let resolver = Arc::new(dns);
    let connector = Connector::new(Roots::default(), Arc::clone(&clock));
    let http = http::Client::new(connector.clone(), resolver.clone());
    let fetch = Arc::new(HttpsFetch::new(http.clone()));
    let sts =
        MtaSts::new(reports.clone(), resolver.clone(), fetch, Arc::clone(&clock), Arc::clone(&rng));
    let limits = Limits {
        domain_connections_max: CONNECTIONS,
        host_connections_max: CONNECTIONS,
        ..Limits::default()
    };
    Ok(Services {
        queue,
        store: Store::new(dir, Arc::clone(&clock), Arc::new(Policy::default())),
        reports,
        config: Arc::new(config),
        resolver,
        clock,
        rng,
        supervisor: supervisor.clone(),
        connector,
        sts,
        http,
        limits,
        waits: Waits::default(),
        port,
        loopback_to: None,
        is_pedantic: false,
    })
}

fn rcpt(address: &str) -> Result<NewRecipient> {
    let from = ReversePath::Mailbox(Mailbox::from(Address::parse("a@example.org")?));
    Ok(NewRecipient::new(from, Mailbox::from(Address::parse(address)?)))
}

fn message(queue: &Queue) -> Result<NewMessage> {
    let mut text = b"From: <a@example.org>\r\nSubject: bench\r\n\r\n".to_vec();
    while text.len() < MESSAGE_BYTES {
        text.extend_from_slice(b"The quick brown fox jumps over the lazy dog and back again.\r\n");
    }
    let body = queue.stage(&mut text.as_slice())?;
    Ok(NewMessage { message_id: "<bench@example.org>".to_owned(), ..NewMessage::new("a", body) })
}

/// Adds so many messages, each with a body of its own.
fn fill(
    queue: &Queue,
    messages: usize,
    now: UnixSeconds,
    complete: impl Fn(usize, &mut NewMessage) -> Result<()>,
) -> Result<()> {
    let mut pending = Vec::new();
    for at in 0..messages {
        let mut message = message(queue)?;
        complete(at, &mut message)?;
        pending.push(queue.add(message, now));
        if pending.len() == FILL || at + 1 == messages {
            for one in pending.drain(..) {
                one.wait()?;
            }
        }
    }
    Ok(())
}

/// User and system time of this process, in microseconds.
fn cpu_us() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(us as f64)
}

/// What single operations take with much in the queue.
fn full_queue(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let now = SystemClock::new().now();
    let open = || Queue::open(&dir.path().join("queue"), Arc::clone(&rng));
    let queue = open()?;
    fill(&queue, sizes.queued_messages, now, |at, message| {
        // Nearly all wait for later, spread over a day.
        let at_secs = now.plus_secs(i64::try_from(at).unwrap_or(0) % 86_400 + 600);
        message.release = Some(Release { at: at_secs, request: "for;600".to_owned() });
        message.recipients.push(rcpt(&format!("r{at}@d{}.example", at % 1_000))?);
        Ok(())
    })?;
    drop(queue);
    let started = Instant::now();
    let queue = open()?;
    queue.next_due(now)?;
    let opened = started.elapsed();
    let (mut adding, mut leasing, mut listing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..sizes.repeats * 10 {
        let mut message = message(&queue)?;
        message.recipients.push(rcpt("next@due.example")?);
        adding.push(timed_ms(|| Ok(queue.add(message, now).wait()?.len()))?);
        let request = LeaseRequest { max: 1, per_domain_max: 1, ..LeaseRequest::default() };
        leasing.push(timed_ms(|| Ok(queue.lease(request, now).wait()?.len()))?);
        let sort = Sort { field: SortField::NextAttempt, is_ascending: true, after: None };
        let page = Filter { max: 100, ..Filter::default() };
        listing.push(timed_ms(|| Ok(queue.list(&page, &sort)?.len()))?);
    }
    let mut burst = message(&queue)?;
    for at in 0..BURST_RCPTS {
        burst.recipients.push(rcpt(&format!("r{at}@d{}.example", at % 1_000))?);
    }
    let burst = timed_ms(|| Ok(queue.add(burst, now).wait()?.len()))?;
    let held = sizes.queued_messages;
    let ms = |name: &str, value: f64, most: f64| {
        Figure::new(format!("{held} queued: {name}"), value, "ms").target(Target::AtMost(most))
    };
    Ok(vec![
        ms("opening", opened.as_secs_f64() * 1e3, 1_000.0),
        ms("adding another", median(adding), 5.0),
        ms("taking the next", median(leasing), 5.0),
        ms("first page of the list", median(listing), 5.0),
        Figure::new(format!("adding one message for {BURST_RCPTS}"), burst, "ms"),
    ])
}

/// Runs what must find something, in milliseconds.
fn timed_ms(work: impl FnOnce() -> Result<usize>) -> Result<f64> {
    let started = Instant::now();
    let found = work()?;
    ensure!(found > 0, "nothing was found");
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
