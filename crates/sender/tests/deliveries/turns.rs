//! Many domains with one host: who may connect, and that nobody else waits for it.

use mox_queue::{Filter, Queued, Retired};
use mox_sender::Limits;

use crate::rig::{Held, Rig, Running, Sink, dns};

/// Domains whose mail goes to one host.
const DOMAINS: usize = 12;

/// Connections that it gets.
const HOST_CONNECTIONS: usize = 2;

/// As many as would all hang if there were no bound for a host.
const LIMITS: fn() -> Limits = || Limits {
    connections_max: HOST_CONNECTIONS + 2,
    host_connections_max: HOST_CONNECTIONS,
    ..Limits::default()
};

fn rcpt(domain: usize) -> String {
    format!("b@d{domain}.far.example")
}

/// Their host is in their MX records.
fn by_mx() -> Rig {
    let mut dns = dns();
    dns.add_ips("mx.far.example", &["127.0.0.1"]);
    for domain in 0..DOMAINS {
        dns.add_mx(&format!("d{domain}.far.example"), 10, "mx.far.example");
    }
    Rig::asking(dns).with_limits(LIMITS())
}

/// Their mail goes by way of a smarthost.
fn by_smarthost(port: u16) -> Rig {
    let transport = format!(
        "\tway:\n\t\tSMTP:\n\t\t\tHost: smart.example\n\t\t\tPort: {port}\n\t\t\tNoSTARTTLS: true\n"
    );
    let route = "\t-\n\t\tToDomain:\n\t\t\t- .far.example\n\t\tTransport: way\n";
    let mut dns = dns();
    dns.add_ips("smart.example", &["127.0.0.1"]);
    Rig::configured(dns, &transport, route).with_limits(LIMITS())
}

/// All that is not being sent.
fn waiting(rig: &Rig) -> Vec<Queued> {
    rig.queued().into_iter().filter(|message| !message.is_leased).collect()
}

/// The host takes as many connections as it may have and hangs, and messages to its other domains wait.
async fn hanging(rig: &Rig, held: &Held, sink: &Sink) -> Running {
    for domain in 0..DOMAINS {
        rig.add(&[&rcpt(domain)]);
    }
    let running = rig.start(sink.addr.port());
    held.come(HOST_CONNECTIONS as u32).await;
    rig.until(|rig| waiting(rig).len() == DOMAINS - HOST_CONNECTIONS).await;
    running
}

/// Each was sent, in its first attempt.
#[track_caller]
fn check_sent(rig: &Rig, all: &[Retired]) {
    for one in all {
        assert!(one.is_success, "{one:?}");
        assert_eq!((one.message.attempts, one.message.results.len()), (1, 1));
    }
    assert_eq!(rig.queued(), []);
}

async fn check_turns(rig: Rig, held: &Held, mut sink: Sink) {
    let running = hanging(&rig, held, &sink).await;
    // What goes elsewhere goes.
    rig.add(&["b@one.example"]);
    sink.takes(1).await;
    // Nobody was tried and failed.
    assert!(waiting(&rig).iter().all(|one| one.attempts == 0 && one.results.is_empty()));
    held.let_go();
    sink.takes(DOMAINS).await;
    running.stop().await;
    let retired = rig.retired();
    assert_eq!(retired.len(), DOMAINS + 1);
    check_sent(&rig, &retired);
}

/// All connections there are hung at the one host, and nothing else was sent.
#[tokio::test]
async fn a_host_of_many_domains_that_hangs_holds_up_nobody_else() {
    let held = Held::new(".far.example>");
    let sink = Sink::holding(&held).await;
    check_turns(by_mx(), &held, sink).await;
}

#[tokio::test]
async fn neither_does_a_smarthost() {
    let held = Held::new(".far.example>");
    let sink = Sink::holding(&held).await;
    check_turns(by_smarthost(sink.addr.port()), &held, sink).await;
}

/// Whose messages are gone when it is its turn does not keep the place.
#[tokio::test]
async fn nobody_waits_for_messages_that_are_gone() {
    let (rig, held) = (by_mx(), Held::new(".far.example>"));
    let mut sink = Sink::holding(&held).await;
    let running = hanging(&rig, &held, &sink).await;
    let mut removed = 0;
    while removed < DOMAINS - HOST_CONNECTIONS {
        rig.until(|rig| !waiting(rig).is_empty()).await;
        removed += running.sender.remove(Filter::default()).await.unwrap() as usize;
    }
    held.let_go();
    sink.takes(HOST_CONNECTIONS).await;
    for domain in 0..DOMAINS {
        rig.add(&[&rcpt(domain)]);
    }
    sink.takes(DOMAINS).await;
    running.stop().await;
    let retired = rig.retired();
    assert_eq!(retired.len(), 2 * DOMAINS);
    check_sent(&rig, &retired[DOMAINS..]);
}

/// What waits when the server stops is due as before.
#[tokio::test]
async fn what_waits_costs_no_attempt_when_the_server_stops() {
    let (mut rig, held) = (by_mx(), Held::new(".far.example>"));
    rig.waits.stop = std::time::Duration::ZERO;
    let sink = Sink::holding(&held).await;
    hanging(&rig, &held, &sink).await.stop().await;
    let waiting = waiting(&rig);
    assert_eq!(waiting.len(), DOMAINS - HOST_CONNECTIONS);
    assert!(waiting.iter().all(|one| one.attempts == 0 && one.next_attempt == rig.now()));
}
