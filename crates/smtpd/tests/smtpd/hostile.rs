//! Messages made to be read in two ways, or not at all, on all of their way.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Fixture, Setup, dns};

/// All that is done to a message on its way is done here: signatures, lists, rules, a filter, reports.
const DOMAINS_CONF: &str = "Domains:
\texample.org:
\t\tLocalpartCatchallSeparator: +
\t\tDMARC:
\t\t\tLocalpart: dmarc
\t\t\tAccount: mjl
\t\t\tMailbox: DMARC
\t\tTLSRPT:
\t\t\tLocalpart: tls
\t\t\tAccount: mjl
\t\t\tMailbox: TLSRPT
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\t\t- other@example.org
\t\t\t\tPostPublic: true
\t\t\tstaff:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\t\t- other@example.org
\t\t\t\tAllowMsgFrom: true
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tRejectsMailbox: Rejects
\t\tSubjectPass:
\t\t\tPeriod: 12h
\t\tJunkFilter:
\t\t\tThreshold: 0.95
\t\t\tOnegrams: true
\t\t\tTwograms: true
\t\t\tMaxPower: 0.01
\t\t\tTopWords: 10
\t\tDestinations:
\t\t\tmjl@example.org:
\t\t\t\tRulesets:
\t\t\t\t\t-
\t\t\t\t\t\tHeadersRegexp:
\t\t\t\t\t\t\t^x-.*$: .*
\t\t\t\t\t\tAcceptRejectsToMailbox: Doubtful
\t\t\t\t\t\tMailbox: Rules
\tother:
\t\tDomain: example.org
\t\tIntrobox: Introbox
\t\tDestinations:
\t\t\tother@example.org: nil
\t\t\t@example.org: nil
";

const MAILBOXES: [&str; 7] =
    ["Inbox", "Rules", "Doubtful", "Introbox", "Postmaster", "DMARC", "TLSRPT"];

const RCPTS: [&str; 7] = ["mjl", "team", "staff", "dmarc", "tls", "postmaster", "anyone"];

/// One that may send for its domain, one whose domain says nothing, a report, and a forgery.
const SENDERS: [&str; 4] = ["a@client.example", "a@b.example", "", "a@forged.example"];

/// Lines that mean something to somebody on the way, whole or damaged.
const LINES: &[&str] = &[
    "From: a@client.example",
    "From: \"x, y\" <a@client.example>, b@client.example",
    "From: group: a@client.example;",
    "From:",
    "From : <mjl@example.org>",
    "FROM:\t<a@client.example> (<mjl@example.org>)",
    "From: =?utf-8?q?=00=0d=0aBcc:_x?= <a@[127.0.0.1]>",
    "To: undisclosed-recipients:;",
    "To: mjl@example.org, <<<>>>, \"",
    "Subject: =?utf-8?b?AAAA////?= =?x?q?",
    "Subject: mox:20000101000000.0000000000000000000000000000000000000000000",
    "Message-ID: <<a@b>\0>",
    "Message-ID:",
    "Date: Fri, 99 Nov 99999 25:61:61 +9999",
    "Received: from x by y; not a date",
    "Authentication-Results: mail.example.org; dkim=pass header.d=bank.example",
    "Authentication-Results: mail.example.org;",
    "Received-SPF: pass",
    "X-Mox-Reason: no-bad-signals",
    "X-Keep: yes",
    "DKIM-Signature: v=1; a=rsa-sha256; d=client.example; s=sel; h=from; bh=; b=",
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=client.example; s=sel;",
    "DKIM-Signature: v=1; d=.; s=..; h=:::; l=99999999999999999999; t=-1; x=; bh=!; b=!",
    "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=client.example; s=sel; b=",
    "List-Id: <x>",
    "TLS-Required: No",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=x",
    "Content-Type: multipart/mixed; boundary=\"x",
    "Content-Type: application/gzip; name=\"x!y!1!2.xml.gz\"",
    "Content-Type: application/tlsrpt+gzip",
    "Content-Type: message/rfc822",
    "Content-Type: text/html; charset=utf-7",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "--x",
    "--x--",
    "<html><a href=http://x.example><!--",
    "H4sIAAAAAAAAAwMAAAAAAAAAAAA=",
    " folded",
    "\t",
    ":",
    "",
    "no colon here",
    "\u{0}\u{7f}",
    "\u{e9}\u{202e}\u{fffd}: \u{1f4a9}",
];

fn message() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => select(LINES).prop_map(str::to_owned),
        1 => "[ -~]{0,80}",
        1 => "\\PC{0,40}",
        1 => Just("x".repeat(1_200)),
    ];
    vec(line, 0..24).prop_map(|lines| {
        // What ends the data, and what is refused before it is looked at, is tested elsewhere.
        let lines: Vec<String> = lines.iter().map(|line| line.replace(['\r', '\n'], "")).collect();
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    })
}

fn stored(fixture: &Fixture) -> usize {
    let places = ["mjl", "other"].into_iter().flat_map(|a| MAILBOXES.map(|m| (a, m)));
    places.map(|(account, mailbox)| fixture.messages(account, mailbox).len()).sum()
}

/// Delivers a message, and checks that it has one outcome: stored for somebody or refused, with a
/// connection that goes on.
async fn check(fixture: &Fixture, mail_from: &str, rcpt: &str, message: &str) {
    let before = stored(fixture);
    let mut client = fixture.deliverer().await;
    let rcpts = [&*format!("{rcpt}@example.org")];
    let dotted = message.replace("\r\n.", "\r\n..");
    let dotted = if dotted.starts_with('.') { format!(".{dotted}") } else { dotted };
    let reply = client.transact(mail_from, &rcpts, &dotted).await;
    let added = stored(fixture) - before;
    let is_known = ["451 4.3.0", "451 4.7.2", "550 5.7.1", "550 5.7.2", "550 5.7.26"]
        .iter()
        .any(|codes| reply.starts_with(codes));
    match reply.starts_with("250 2.2.0") {
        true => assert!((1..=2).contains(&added), "{added} copies: {reply}"),
        false => assert!(is_known && added == 0, "{added} copies: {reply}"),
    }
    client.check("NOOP", "250").await;
    client.check("QUIT", "221").await;
    client.closed().await;
}

#[test]
fn any_message_has_one_outcome() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let fixture = runtime.block_on(async {
        let mut dns = dns();
        dns.add_txt("_dmarc.client.example", "v=DMARC1; p=reject");
        let (domains_conf, resolver) = (DOMAINS_CONF.to_owned(), Arc::new(dns));
        Fixture::with(Setup { domains_conf, resolver, ..Setup::default() })
    });
    let mut runner =
        TestRunner::new(Config { cases: 120, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(
        &(select(&SENDERS[..]), select(&RCPTS[..]), message()),
        |(sender, rcpt, message)| {
            runtime.block_on(check(&fixture, sender, rcpt, &message));
            Ok(())
        },
    );
    outcome.unwrap();
    fixture.check();
}
