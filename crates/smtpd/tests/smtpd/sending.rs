//! What users send, as it stands in the queue.

use std::time::Duration;

use futures_util::FutureExt as _;
use mox_base::UnixSeconds;
use mox_dns::FakeDns;
use mox_mailauth::dkim::{self, PrivateKey, Status};
use mox_smtp::{Notify, Ret};
use tokio::io::DuplexStream;

use crate::support::{Client, Fixture, Setup};

const USER: &str = "mjl@example.org";

const MESSAGE: &str = "From: mjl@example.org\r\nTo: a@x.example\r\nMessage-ID: <1@x>\r\n\
    Date: Fri, 20 Nov 2026 08:55:32 +0000\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\nHi.  \r\n\r\n";

const RSA: &str = include_str!("../../../mailauth/testdata/rsa2048.pkcs8.pem");
const ED25519: &str = include_str!("../../../mailauth/testdata/ed25519.pem");

/// Two keys for example.org, with forms that differ, and one for any.example, of which there is no file.
const DKIM: &str = "\texample.org:
\t\tDKIM:
\t\t\tSelectors:
\t\t\t\told:
\t\t\t\t\tCanonicalization:
\t\t\t\t\t\tHeaderRelaxed: false
\t\t\t\t\t\tBodyRelaxed: false
\t\t\t\t\tPrivateKeyFile: rsa.pem
\t\t\t\tnew:
\t\t\t\t\tCanonicalization:
\t\t\t\t\t\tHeaderRelaxed: true
\t\t\t\t\t\tBodyRelaxed: true
\t\t\t\t\tPrivateKeyFile: ed25519.pem
\t\t\tSign:
\t\t\t\t- old
\t\t\t\t- new
";

fn fixture() -> Fixture {
    with("\texample.org:\n", "\texample.org:\n")
}

/// With something else in domains.conf.
fn with(from: &str, to: &str) -> Fixture {
    let setup = Setup::default();
    assert!(setup.domains_conf.contains(from));
    let domains_conf = setup.domains_conf.replacen(from, to, 1);
    let fixture = Fixture::with(Setup { domains_conf, ..setup });
    fixture.set_password("mjl");
    fixture
}

/// With the two keys.
pub(crate) fn signing() -> Fixture {
    let fixture = with("\texample.org:\n", DKIM);
    for (name, pem) in [("rsa.pem", RSA), ("ed25519.pem", ED25519)] {
        std::fs::write(fixture.dir().join(name), pem).unwrap();
    }
    fixture
}

/// The state of each signature of a message, with its selector.
pub(crate) fn signatures(text: &str) -> Vec<(String, Status)> {
    let mut dns = FakeDns::new();
    for (selector, pem) in [("old", RSA), ("new", ED25519)] {
        let record = PrivateKey::from_pem(pem).unwrap().record().unwrap().to_string();
        dns.add_txt(&format!("{selector}._domainkey.example.org"), &record);
    }
    let now = UnixSeconds(1_795_164_932);
    let verified = dkim::verify(&dns, text.as_bytes(), now).now_or_never().unwrap().unwrap();
    let state = |one: &dkim::Verification| {
        let selector = one.signature.as_ref().map(|signature| signature.selector.to_string());
        (selector.unwrap_or_default(), one.status)
    };
    verified.iter().map(state).collect()
}

/// RFC 6376 §5, RFC 8463 §3: by all selectors, of the domain in From.
#[tokio::test]
async fn messages_are_signed_by_all_keys_of_the_domain() {
    let fixture = signing();
    let mut client = fixture.submitter(USER).await;
    // MAIL FROM is of another domain of the account, and does not matter.
    fixture.configure(
        "\t\t\tmjl@off.example: nil\n",
        "\t\t\tmjl@off.example: nil\n\t\t\tmjl@any.example: nil\n",
    );
    let reply = client.transact("mjl@any.example", &["a@x.example"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    let sent = fixture.only_queued();
    let pass = |selector: &str| (selector.to_owned(), Status::Pass);
    assert_eq!(signatures(&sent.text), [pass("old"), pass("new")]);
    // Added fields are signed, and nothing of a kind can be added.
    for part in ["d=example.org;", "i=mjl@example.org;", "Message-Id:Message-Id", "Date:Date"] {
        assert!(
            sent.text.replace("\r\n\t", "").replace(' ', "").contains(part),
            "{part}\n{}",
            sent.text
        );
    }
}

/// A large body goes by a file, and loses its Bcc before it is signed.
#[tokio::test]
async fn large_messages_are_signed_too() {
    let fixture = signing();
    let port = mox_smtpd::Port {
        message_bytes_max: 10 << 20,
        ..Fixture::port(mox_smtpd::Service::Submission)
    };
    let mut client = fixture.client(port).await;
    client.login(USER).await;
    let body = format!("{}\r\n", "x ".repeat(400)).repeat(3_000);
    let message = format!("From: mjl@example.org\r\nBcc: b@x.example\r\n\r\n{body}");
    assert!(client.transact(USER, &["a@x.example"], &message).await.starts_with("250"));
    let sent = fixture.only_queued();
    assert!(sent.text.len() > 2 << 20 && !sent.text.contains("Bcc: b@"));
    assert!(signatures(&sent.text).iter().all(|(_, status)| *status == Status::Pass));
}

#[tokio::test]
async fn without_its_keys_a_message_goes_unsigned() {
    let fixture = with("\texample.org:\n", DKIM);
    let mut client = fixture.submitter(USER).await;
    assert!(client.transact(USER, &["a@x.example"], MESSAGE).await.starts_with("250"));
    assert_eq!(signatures(&fixture.only_queued().text), []);
}

/// RFC 5321 §4.4, RFC 8601 §4: the last thing added stands first.
#[tokio::test]
async fn what_is_added_has_its_order() {
    let fixture = signing();
    let mut client = fixture.submitter(USER).await;
    let message = "From: mjl@example.org\r\n\r\nx\r\n";
    assert!(client.transact(USER, &["a@x.example"], message).await.starts_with("250"));
    let sent = fixture.only_queued();
    let names = sent.text.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| !line.starts_with([' ', '\t']));
    let names: Vec<_> = names.map(|line| line.split(':').next().unwrap()).collect();
    let want = [
        "Received",
        "Message-Id",
        "Date",
        "DKIM-Signature",
        "DKIM-Signature",
        "Authentication-Results",
        "From",
    ];
    assert_eq!(names, want);
    assert!(sent.text.contains("with ESMTPA") && sent.text.contains("for <a@x.example>;"));
    assert_eq!((sent.row.account.as_str(), sent.row.subject.as_str()), ("mjl", ""));
}

#[tokio::test]
async fn what_lists_of_the_queue_show_is_known() {
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    let rcpts = ["a@x.example", "b@x.example", "c@y.example"];
    assert!(client.transact(USER, &rcpts, MESSAGE).await.starts_with("250"));
    let queued = fixture.queued();
    assert_eq!(queued.iter().map(|sent| sent.to()).collect::<Vec<_>>(), rcpts);
    let row = &queued[0].row;
    assert_eq!((row.subject.as_str(), row.message_id.as_str()), ("café", "<1@x>"));
    assert_eq!(row.mail_from.to_string(), "<mjl@example.org>");
    assert!(!row.has_8bit && !row.needs_utf8 && row.require_tls.is_none());
    assert_eq!(row.base_id, queued[2].row.base_id, "one transaction may serve several");
    // Recipients need not know of each other.
    assert!(queued.iter().all(|sent| !sent.text.contains(" for <")));
}

/// RFC 6531 §3.4, §3.6: what a message needs, not what was claimed.
#[tokio::test]
async fn smtputf8_is_needed_by_addresses_and_headers() {
    let inner = "From: mjl@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Disposition: attachment; filename=\"é\"\r\n\r\nx\r\n--b--\r\n";
    let header = "From: mjl@example.org\r\nSubject: é\r\n\r\nx\r\n";
    let body = "From: mjl@example.org\r\n\r\né\r\n";
    for (parameter, rcpt, message, want) in [
        (" SMTPUTF8", "a@x.example", MESSAGE, (false, false)),
        // The address stands in the Received field.
        (" SMTPUTF8", "☕@x.example", MESSAGE, (true, true)),
        ("", "a@xn--bcher-kva.example", MESSAGE, (false, false)),
        ("", "a@x.example", header, (true, true)),
        ("", "a@x.example", inner, (true, true)),
        ("", "a@x.example", body, (false, true)),
    ] {
        let fixture = fixture();
        let mut client = fixture.submitter(USER).await;
        client.check(&format!("MAIL FROM:<mjl@example.org>{parameter}"), "250").await;
        client.check(&format!("RCPT TO:<{rcpt}>"), "250").await;
        assert!(client.data(message).await.starts_with("250"));
        let row = fixture.only_queued().row;
        assert_eq!((row.needs_utf8, row.has_8bit), want, "{rcpt} {message}");
    }
}

/// RFC 8689 §5.
#[tokio::test]
async fn a_message_may_ask_to_go_without_tls() {
    for (fields, want) in [
        ("TLS-Required: No\r\n", Some(false)),
        ("TLS-Required: No\r\nTLS-Required: no\r\n", Some(false)),
        ("TLS-Required: No\r\nTLS-Required: Yes\r\n", None),
        ("", None),
    ] {
        let fixture = fixture();
        let mut client = fixture.submitter(USER).await;
        let message = format!("{fields}{MESSAGE}");
        assert!(client.transact(USER, &["a@x.example"], &message).await.starts_with("250"));
        assert_eq!(fixture.only_queued().row.require_tls, want, "{fields}");
    }
}

#[tokio::test]
async fn extra_fields_are_kept_with_the_message() {
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    let twice = format!("X-Mox-Extra-A: 1\r\nx-mox-extra-a: 2\r\n{MESSAGE}");
    let reply = client.transact(USER, &["a@x.example"], &twice).await;
    assert!(reply.starts_with("554 5.6.0"), "{reply}");
    let message = format!("x-mox-extra-test-KEY: a\r\n b\r\nX-Mox-Extra-B: é\r\n{MESSAGE}");
    assert!(client.transact(USER, &["a@x.example"], &message).await.starts_with("250"));
    let sent = fixture.only_queued();
    let extra: Vec<_> = sent.row.extra.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(extra, [("B", "é"), ("Test-Key", "a b")]);
    assert!(sent.text.contains("x-mox-extra-test-KEY: a\r\n b\r\n"), "they stay in the message");
}

async fn send(client: &mut Client<DuplexStream>, to: &[&str], want: &str) {
    let reply = client.transact(USER, to, MESSAGE).await;
    assert!(reply.starts_with(want), "{to:?}: {reply}");
}

#[tokio::test]
async fn an_account_sends_so_much_a_day() {
    let limits = "\tmjl:\n\t\tMaxOutgoingMessagesPerDay: 4\n\t\tMaxFirstTimeRecipientsPerDay: 2\n";
    let fixture = with("\tmjl:\n", limits);
    let mut client = fixture.submitter(USER).await;
    send(&mut client, &["a@x.example"], "250").await;
    send(&mut client, &["other@example.org"], "250").await;
    send(&mut client, &["c@x.example"], "451 4.7.1").await;
    send(&mut client, &["a@x.example", "c@x.example"], "451 4.7.1").await;
    send(&mut client, &["a@x.example", "A@x.example"], "250").await;
    send(&mut client, &["a@x.example"], "451 4.7.1").await;
    assert_eq!(fixture.queued().len(), 4, "nobody gets what was refused");
    // What is a day old makes recipients known, and is no traffic any more.
    fixture.clock.advance(Duration::from_secs(24 * 3_600 + 60));
    let mut client = fixture.submitter(USER).await;
    send(&mut client, &["a@x.example", "c@x.example", "d@x.example", "a@x.example"], "250").await;
}

const TOKENS: &str = "\tmjl:\n\t\tFromIDLoginAddresses:\n\t\t\t- mjl@example.org\n";

/// RFC 5321 §4.5.5: reports go to the address with the token.
#[tokio::test]
async fn each_recipient_has_a_token_if_the_login_asks_for_them() {
    let fixture = with("\tmjl:\n", TOKENS);
    let mut client = fixture.submitter(USER).await;
    send(&mut client, &["a@x.example", "b@x.example"], "250").await;
    let queued = fixture.queued();
    let tokens: Vec<_> = queued.iter().map(|sent| sent.row.from_id.clone().unwrap()).collect();
    assert_ne!(tokens[0], tokens[1]);
    for (sent, token) in queued.iter().zip(&tokens) {
        assert_eq!(token.len(), 22);
        assert_eq!(sent.row.mail_from.to_string(), format!("<mjl+{token}@example.org>"));
        assert_eq!(sent.row.base_id, None, "transactions have one sender");
    }
    // Another login of the account does not, and neither do domains without separators.
    let mut client = fixture.submitter("lists@example.org").await;
    send(&mut client, &["c@x.example"], "250").await;
    assert_eq!(fixture.queued()[2].row.from_id, None);
    let mut client = fixture.submitter(USER).await;
    assert!(client.transact("", &["d@x.example"], MESSAGE).await.starts_with("250"));
    assert_eq!(fixture.queued()[3].row.from_id, None);
}

#[tokio::test]
async fn a_client_may_bring_its_own_token_once() {
    let fixture = with("\tmjl:\n", TOKENS);
    let mut client = fixture.submitter(USER).await;
    let sender = "mjl+my+token@example.org";
    for (rcpts, want) in [
        (&["a@x.example"][..], "250"),
        (&["a@x.example"], "554 5.1.7"),
        (&["a@x.example", "b@x.example"], "554 5.5.3"),
    ] {
        let reply = client.transact(sender, rcpts, MESSAGE).await;
        assert!(reply.starts_with(want), "{rcpts:?}: {reply}");
    }
    let row = fixture.only_queued().row;
    assert_eq!(row.from_id.as_deref(), Some("my+token"));
    assert_eq!(row.mail_from.to_string(), format!("<{sender}>"));
}

/// RFC 3461 §4, RFC 4865 §4, RFC 6710 §4: what is asked for in commands is in the queue.
#[tokio::test]
async fn what_commands_ask_for_is_kept_with_the_message() {
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    client
        .dialogue(
            "MAIL FROM:<mjl@example.org> RET=HDRS ENVID=a+20b HOLDFOR=600 MT-PRIORITY=3 => 250
             RCPT TO:<a@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40y.example => 250
             RCPT TO:<c@x.example> NOTIFY=NEVER => 250",
        )
        .await;
    assert!(client.data(MESSAGE).await.starts_with("250"));
    let queued = fixture.queued();
    let row = &queued[0].row;
    assert_eq!(row.ret, Some(Ret::Hdrs));
    assert_eq!((row.envid.as_deref(), row.priority), (Some("a b"), 3));
    let release = row.release.as_ref().unwrap();
    assert_eq!((release.at, release.request.as_str()), (row.queued.plus_secs(600), "for;600"));
    assert_eq!(row.next_attempt, release.at);
    assert_eq!(row.notify, Some(Notify::when(true, false, true)));
    assert_eq!(row.orcpt.as_deref(), Some("rfc822;b@y.example"));
    assert_eq!((queued[1].row.notify, &queued[1].row.orcpt), (Some(Notify::NEVER), &None));
    let mut client = fixture.submitter(USER).await;
    let until = "MAIL FROM:<mjl@example.org> HOLDUNTIL=2026-11-20T09:00:00Z => 250";
    client.dialogue(&format!("{until}\nRCPT TO:<d@x.example> => 250")).await;
    assert!(client.data(MESSAGE).await.starts_with("250"));
    let row = &fixture.queued()[2].row;
    assert_eq!(row.release.as_ref().unwrap().request, "until;2026-11-20T09:00:00Z");
    assert_eq!(row.next_attempt, UnixSeconds(1_795_165_200));
}

/// RFC 3030 §3.
#[tokio::test]
async fn binary_messages_are_known_as_such() {
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    client.check("MAIL FROM:<mjl@example.org> BODY=BINARYMIME", "250").await;
    client.check("RCPT TO:<a@x.example>", "250").await;
    let message = b"From: mjl@example.org\r\n\r\na\rb\nc\0\xff";
    client.send(format!("BDAT {} LAST\r\n", message.len()).as_bytes()).await;
    client.send(message).await;
    let reply = client.reply().await;
    assert!(reply.starts_with("250"), "{reply}");
    let sent = fixture.only_queued();
    assert!(sent.row.is_binary && sent.row.has_8bit && sent.text.contains("\r\n\r\na\rb\nc\0"));
}
