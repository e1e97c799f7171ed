//! Mail that goes by way of other servers: smarthosts and proxies.

use mox_queue::NewMessage;
use tokio::task::JoinHandle;

use crate::remote::{Heard, listen};
use crate::rig::{BYE, HELLO, Rig, TAKES, dns, takes};

/// A rig with a transport `way` for all mail from `example.org`, of which PORT is the server's.
fn rig(transport: &str, port: u16) -> Rig {
    let lines = transport.lines().map(|line| format!("\t{line}\n")).collect::<String>();
    let transports = lines.replace("PORT", &port.to_string());
    let routes = "\t-\n\t\tFromDomain:\n\t\t\t- example.org\n\t\tTransport: way\n";
    let mut dns = dns();
    dns.add_ips("smart.example", &["127.0.0.1"]);
    Rig::configured(dns, &transports, routes)
}

/// A message goes out, or not, by a transport to a server that plays scripts.
async fn send(transport: &str, scripts: &[&str]) -> (Rig, Vec<Heard>) {
    let (addr, played) = listen(scripts).await;
    let rig = rig(transport, addr.port());
    rig.add(&["b@far.example", "c@far.example"]);
    // Where the servers of domains listen: nowhere.
    let heard = play(&rig, played).await;
    (rig, heard)
}

async fn play(rig: &Rig, played: JoinHandle<Vec<Heard>>) -> Vec<Heard> {
    rig.attempt((([127, 0, 0, 1], 1).into(), played)).await
}

const PLAIN: &str = "\
way:
\tSMTP:
\t\tHost: smart.example
\t\tPort: PORT
\t\tNoSTARTTLS: true
\t\tAuth:
\t\t\tUsername: me
\t\t\tPassword: secret
\t\t\tMechanisms:
\t\t\t\t- PLAIN
";

const HELLO_AUTH: &str = "
    S: 220 hi
    C: EHLO mail.example.org
    S: 250-smart.example
    S: 250 AUTH PLAIN SCRAM-SHA-256
    C: AUTH PLAIN AG1lAHNlY3JldA==";

/// Both recipients, in one transaction.
const TAKES_BOTH: &str = "
    C: MAIL FROM:<a@example.org>
    S: 250 ok
    C: RCPT TO:<b@far.example>
    S: 250 ok
    C: RCPT TO:<c@far.example>
    S: 250 ok
    C: DATA
    S: 354 go
    DATA
    S: 250 taken";

/// RFC 4954, RFC 4616.
#[tokio::test]
async fn a_smarthost_takes_all_recipients_after_a_login() {
    let script = format!("{HELLO_AUTH}\nS: 235 welcome{TAKES_BOTH}{BYE}");
    let (rig, heard) = send(PLAIN, &[&script]).await;
    assert_eq!(heard[0].data.len(), 1);
    assert_eq!(rig.queued(), []);
    let retired = rig.retired();
    assert!(retired.len() == 2 && retired.iter().all(|retired| retired.is_success));
    let result = &retired[0].message.results[0];
    assert_eq!(result.remote_mta.as_deref(), Some("smart.example"));
}

/// RFC 6152 §3: a smarthost that does not take 8-bit data may have to change it; the servers of a
/// domain practically all take it, whatever they say.
#[tokio::test]
async fn eight_bit_data_is_not_given_to_a_smarthost_that_does_not_take_it() {
    let hello = HELLO_AUTH.replace("250 AUTH PLAIN SCRAM-SHA-256", "250 AUTH PLAIN");
    let (addr, played) = listen(&[&format!("{hello}\nS: 235 welcome{BYE}")]).await;
    let rig = rig(PLAIN, addr.port());
    let message = |rig: &Rig| NewMessage {
        has_8bit: true,
        ..rig.message("a@example.org", &["b@one.example"])
    };
    rig.queue(message(&rig));
    play(&rig, played).await;
    assert_eq!(rig.queued(), []);
    let retired = rig.retired();
    assert_eq!(retired[0].message.results[0].enhanced, Some((5, 6, 3)), "{retired:?}");

    let direct = Rig::new();
    direct.queue(message(&direct));
    let heard = direct.attempt(listen(&[&takes()]).await).await;
    assert_eq!(heard[0].data.len(), 1);
}

/// A password can be set right while the message waits.
#[tokio::test]
async fn a_refused_login_delays() {
    let script = format!("{HELLO_AUTH}\nS: 535 5.7.8 who are you{BYE}");
    let (rig, _) = send(PLAIN, &[&script]).await;
    let queued = rig.queued();
    assert_eq!(queued.len(), 2);
    assert!(queued.iter().all(|queued| queued.results[0].code == Some(535)), "{queued:?}");
    assert!(!queued[0].results[0].text.contains("secret"));
}

/// RFC 4954 §4: a password does not go to a server that wants it in another way.
#[tokio::test]
async fn a_password_is_not_sent_in_the_clear_unless_that_is_said() {
    let transport = PLAIN.replace("\t\t\tMechanisms:\n\t\t\t\t- PLAIN\n", "");
    let script = "
        S: 220 hi
        C: EHLO
        S: 250-x
        S: 250 AUTH PLAIN LOGIN
        C: QUIT
        S: 221 bye";
    let (rig, _) = send(&transport, &[script]).await;
    assert!(rig.queued()[0].results[0].text.contains("mechanism"), "{:?}", rig.queued());
}

const VERIFIED: &str = "\
way:
\tSubmission:
\t\tHost: smart.example
\t\tPort: PORT
";

fn starttls(then: &str) -> String {
    format!("S: 220 hi\nC: EHLO\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n{then}")
}

/// RFC 3207 §6, RFC 8314 §3: the certificate of a smarthost is verified unless it is said not to be,
/// and plain text is no way out.
#[tokio::test]
async fn a_smarthost_is_verified() {
    let (rig, heard) = send(VERIFIED, &[&starttls("")]).await;
    assert!(heard[0].data.is_empty());
    assert!(rig.queued()[0].results[0].text.contains("tls"), "{:?}", rig.queued());

    let insecure = format!("{VERIFIED}\t\tSTARTTLSInsecureSkipVerify: true\n");
    let after = format!("C: EHLO\nS: 250 x{TAKES_BOTH}{BYE}");
    let (rig, heard) = send(&insecure, &[&starttls(&after)]).await;
    assert_eq!((heard[0].data.len(), rig.queued()), (1, Vec::new()));

    let immediate = VERIFIED.replace("Submission:", "Submissions:");
    let (rig, _) = send(&immediate, &["TLS"]).await;
    assert!(rig.queued()[0].results[0].text.contains("tls"), "{:?}", rig.queued());
}

/// RFC 8689 §4.2.1.
#[tokio::test]
async fn required_tls_does_not_go_to_a_smarthost_that_is_not_verified() {
    let insecure = format!("{VERIFIED}\t\tSTARTTLSInsecureSkipVerify: true\n");
    for transport in [PLAIN, &insecure] {
        let rig = rig(transport, 1);
        let message = rig.message("a@example.org", &["b@far.example"]);
        rig.queue(NewMessage { require_tls: Some(true), ..message });
        rig.alone(1).await;
        assert_eq!(rig.queued(), []);
        let retired = rig.retired();
        let result = &retired[0].message.results[0];
        assert_eq!((result.code, result.enhanced), (Some(554), Some((5, 7, 30))), "{result:?}");
    }
}

const SOCKS: &str = "\
way:
\tSocks:
\t\tAddress: 127.0.0.1:PORT
\t\tRemoteIPs:
\t\t\t- 192.0.2.1
\t\tRemoteHostname: out.example
";

/// RFC 1928: delivery as usual, as seen from the proxy.
#[tokio::test]
async fn a_proxy_connects_to_the_servers_of_the_domain() {
    let hello = HELLO.replace("EHLO mail.example.org", "EHLO out.example");
    let script = format!(
        "BYTES 3
        RAW \\x05\\x00
        BYTES 10
        RAW \\x05\\x00\\x00\\x01\\x7f\\x00\\x00\\x01\\x00\\x01
        {hello}{TAKES}{BYE}"
    );
    let (addr, played) = listen(&[&script]).await;
    let rig = rig(SOCKS, addr.port());
    rig.add(&["b@one.example"]);
    let heard = play(&rig, played).await;
    assert_eq!(heard[0].lines.first().map(String::as_str), Some("EHLO out.example"));
    // The greeting of the proxy, where to connect to, and the message.
    assert_eq!(heard[0].data.len(), 3);
    assert!(heard[0].data[1].starts_with("\x05\x01\0\x01\x7f\0\0\x01"), "{:?}", heard[0].data);
    assert_eq!(rig.queued(), []);
}

/// RFC 1928 §6.
#[tokio::test]
async fn a_proxy_that_refuses_delays() {
    let refuses =
        "BYTES 3\nRAW \\x05\\x00\nBYTES 10\nRAW \\x05\\x05\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00";
    let (addr, played) = listen(&[refuses]).await;
    let rig = rig(SOCKS, addr.port());
    rig.add(&["b@one.example"]);
    play(&rig, played).await;
    assert_eq!(rig.queued()[0].attempts, 1);
}

/// The transport of a message goes before all routes.
#[tokio::test]
async fn a_message_may_name_its_transport() {
    let direct = format!("{PLAIN}direct:\n\tDirect:\n\t\tDisableIPv6: true\n");
    let (addr, played) = listen(&[&takes()]).await;
    let rig = rig(&direct, 1);
    let message = rig.message("a@example.org", &["b@one.example"]);
    rig.queue(NewMessage { transport: Some("direct".to_owned()), ..message });
    let heard = rig.attempt((addr, played)).await;
    assert_eq!(heard[0].data.len(), 1);
    assert_eq!(rig.queued(), []);
}
