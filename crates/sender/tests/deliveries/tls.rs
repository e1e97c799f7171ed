//! TLS with servers that have it, or say so.

use mox_queue::{NewMessage, TlsHint};

use crate::remote::listen;
use crate::rig::{BYE, HELLO, Rig, TAKES};

pub(crate) fn offers(then: &str) -> String {
    let offer = HELLO.replace("250 DSN", "250 STARTTLS");
    format!("{offer}\n C: STARTTLS\n S: 220 2.0.0 go\n {then}")
}

/// After the handshake the session begins anew. RFC 3207 §4.2.
pub(crate) fn over_tls() -> String {
    offers(&format!("TLS\n{}{TAKES}{BYE}", HELLO.replace("S: 220 hi", "")))
}

/// RFC 7435 §3: a certificate that nobody vouches for is better than none.
#[tokio::test]
async fn a_certificate_of_nobody_will_do() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    let heard = rig.attempt(listen(&[&over_tls()]).await).await;
    assert_eq!(heard[0].data.len(), 1);
    assert_eq!(rig.queued(), []);
    let day = rig.now().day();
    let results = rig.reports.tls_results_of_day(day, None).unwrap();
    let text = format!("{results:?}");
    assert!(text.contains("one.example"), "{text}");
    // What it offered is remembered for the account.
    let hint = rig.queue.tls_hint("a", "one.example").unwrap();
    assert_eq!(hint, Some(TlsHint { has_starttls: true, has_requiretls: false }));
}

/// RFC 7435 §3: and plain text better than nothing, unless somebody asked for TLS.
#[tokio::test]
async fn where_tls_fails_plain_text_is_tried_once() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    let plain = format!("{}{TAKES}{BYE}", HELLO.replace("250 DSN", "250 STARTTLS"));
    let heard = rig.attempt(listen(&[&offers("BADTLS"), &plain]).await).await;
    assert_eq!((heard[0].data.len(), heard[1].data.len()), (0, 1));
    assert_eq!(rig.queued(), []);
}

/// What it tells of others' mail is not shown to everybody on the way.
#[tokio::test]
async fn dmarc_reports_do_not_go_in_plain_text_where_tls_is_offered() {
    let rig = Rig::new();
    let report = rig.message("a@example.org", &["b@one.example"]);
    rig.queue(NewMessage { kind: mox_queue::Kind::DmarcReport, ..report });
    rig.attempt(listen(&[&offers("BADTLS")]).await).await;
    assert_eq!(rig.queued()[0].attempts, 1);
}
