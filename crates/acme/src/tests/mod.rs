//! A manager against a provider that checks all it is told.

mod ca;
mod lab;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use mox_base::Clock as _;

use self::lab::{DAY, HOUR, Lab, domain};
use crate::{Binding, HostKey, KeyKind, Settings};

const SPACING: Duration = Duration::from_secs(10);

/// What a provider logs of one certificate by `tls-alpn-01`.
fn issued(host: &str) -> [String; 3] {
    [format!("order {host}"), format!("tls-alpn-01 {host} good"), format!("issued {host}")]
}

#[tokio::test]
async fn missing_certificates_are_obtained_kept_and_found_again() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example", "www.example"]);
    assert_eq!(lab.shown("mail.example", false).await, None);
    let log = lab.pass(SPACING).await;
    assert_eq!(log[..2], ["account made", "contact mailto:admin@mail.example"]);
    assert_eq!(log[2..], issued("mail.example"));
    // One order at a time.
    assert_eq!(lab.shown("www.example", false).await, None);
    assert_eq!(lab.pass(SPACING).await, issued("www.example"));
    let shown = lab.shown("mail.example", false).await.unwrap();
    assert!(lab.shown("www.example", false).await.is_some());
    assert_eq!(lab.shown("other.example", false).await, None);
    let status = lab.status("mail.example");
    assert_eq!((lab.until(status.not_after), status.last_error), (90 * 24 * 3600 - 10, None));
    let renew_in = lab.until(status.renew_at);
    assert!((60 * 24 * 3600 - 10..=60 * 24 * 3600 + 3590).contains(&renew_in), "{renew_in}");

    let file = lab.dir().join("keycerts/test/mail.example");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(text.matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let account = crate::account_uri(lab.dir(), "test").unwrap().unwrap();
    assert!(account.starts_with("https://ca.example:"), "{account}");
    let key = crate::key_from_cache(lab.dir(), "test", &domain("mail.example"), KeyKind::Ecdsa);
    assert!(text.starts_with(key.unwrap().unwrap().pem()));

    // After a restart all is there at once, and the provider is asked nothing.
    lab.stop().await;
    lab.start(lab.settings(), &["mail.example", "www.example"]);
    assert_eq!(lab.shown("mail.example", false).await, Some(shown));
    assert_eq!(lab.pass(DAY).await, [""; 0]);
}

#[tokio::test]
async fn where_tls_does_not_get_through_http_does() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.is_tls_blocked = true);
    lab.start(Settings { has_http01: true, ..lab.settings() }, &["mail.example"]);
    let log = lab.pass(SPACING).await;
    let want = [
        "order mail.example",
        "tls-alpn-01 mail.example bad",
        "order mail.example",
        "http-01 mail.example good",
        "issued mail.example",
    ];
    assert_eq!(log[2..], want);
    assert!(lab.shown("mail.example", false).await.is_some());
}

/// Five failed checks of a host in an hour are too many for Let's Encrypt.
#[tokio::test]
async fn a_check_that_fails_is_tried_again_later_and_later() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.is_tls_blocked = true);
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    let status = lab.status("mail.example");
    let error = status.last_error.unwrap();
    assert!(error.contains("tls-alpn-01") && error.contains("connection refused"), "{error}");
    let wait = lab.until(status.retry_at);
    assert!((1800..=1980).contains(&wait), "{wait}");
    // A restart does not make it sooner.
    lab.stop().await;
    lab.start(lab.settings(), &["mail.example"]);
    assert_eq!(lab.pass(HOUR / 4).await, [""; 0]);
    assert_eq!(lab.pass(HOUR / 2).await, ["order mail.example", "tls-alpn-01 mail.example bad"]);
    assert_eq!(lab.pass(HOUR / 2).await, [""; 0]);
    lab.ca.change(|ways| ways.is_tls_blocked = false);
    assert_eq!(lab.pass(HOUR).await, issued("mail.example"));
    assert_eq!(lab.status("mail.example").last_error, None);
}

#[tokio::test]
async fn nonces_that_are_refused_are_replaced() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.bad_nonces = 2);
    lab.start(lab.settings(), &["mail.example"]);
    assert_eq!(lab.pass(SPACING).await[2..], issued("mail.example"));
}

/// RFC 8555 §6.6.
#[tokio::test]
async fn a_provider_that_asks_for_a_pause_gets_it() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.rate_limit = Some("90000"));
    lab.start(lab.settings(), &["mail.example", "www.example"]);
    assert_eq!(lab.pass(SPACING).await[2..], ["limited mail.example"]);
    assert_eq!(lab.until(lab.status("mail.example").retry_at), 90_000);
    lab.ca.change(|ways| ways.rate_limit = None);
    // The others wait too, though not as long; also after a restart.
    assert_eq!(lab.pass(SPACING).await, [""; 0]);
    lab.stop().await;
    lab.start(lab.settings(), &["mail.example", "www.example"]);
    assert_eq!(lab.pass(SPACING).await, [""; 0]);
    assert_eq!(lab.pass(Duration::from_secs(300)).await, issued("www.example"));
    assert_eq!(lab.pass(23 * HOUR).await, [""; 0]);
    assert_eq!(lab.pass(2 * HOUR).await, issued("mail.example"));
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_and_no_host_is_blamed() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.is_down = true);
    lab.start(lab.settings(), &["mail.example", "www.example"]);
    lab.pass(SPACING).await;
    assert!(lab.status("mail.example").last_error.unwrap().starts_with("provider: "));
    for _ in 0..4 {
        lab.pass(HOUR).await;
    }
    lab.ca.change(|ways| ways.is_down = false);
    let log = lab.pass(2 * HOUR).await;
    assert_eq!(log[2..], issued("mail.example"));
    assert_eq!(lab.pass(SPACING).await, issued("www.example"));
}

#[tokio::test]
async fn an_account_that_the_provider_lost_is_made_again_with_its_key() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    let key = fs::read(lab.dir().join("test.key")).unwrap();
    lab.ca.forget_accounts();
    lab.manager().set_hosts(vec![domain("mail.example"), domain("www.example")]);
    let log = lab.pass(SPACING).await;
    assert_eq!(log[..2], ["account made", "contact mailto:admin@mail.example"]);
    assert_eq!(log[2..], issued("www.example"));
    assert_eq!(fs::read(lab.dir().join("test.key")).unwrap(), key);
}

#[tokio::test]
async fn an_order_that_expired_is_followed_by_another() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.expired_orders = 1);
    lab.start(lab.settings(), &["mail.example"]);
    let log = lab.pass(SPACING).await;
    assert_eq!(log[2..], ["order mail.example", "tls-alpn-01 mail.example good"]);
    assert!(lab.status("mail.example").last_error.unwrap().contains("no such order"));
    assert_eq!(lab.pass(HOUR).await, issued("mail.example"));
}

/// An attempt is counted before it is made.
#[tokio::test]
async fn a_crash_within_an_attempt_is_a_failed_attempt() {
    for step in ["account", "neworder", "authz", "check", "finalize", "cert"] {
        let mut lab = Lab::new().await;
        lab.ca.change(|ways| ways.hangs_at = Some(step));
        lab.start(lab.settings(), &["mail.example"]);
        let manager = lab.manager();
        lab.clock.advance(SPACING);
        tokio::select! {
            () = lab.ca.hung.notified() => {}
            () = manager.settle() => panic!("nothing hung at {step}"),
        }
        lab.crash();
        lab.ca.change(|ways| ways.hangs_at = None);
        lab.ca.take_log();
        lab.start(lab.settings(), &["mail.example"]);
        assert_eq!(lab.pass(SPACING).await, [""; 0], "{step}");
        let log = lab.pass(HOUR).await;
        let accounts = log.iter().filter(|line| *line == "account made").count();
        assert_eq!(accounts, usize::from(step == "account"), "{step}: {log:?}");
        assert!(log.ends_with(&issued("mail.example")), "{step}: {log:?}");
        assert!(lab.shown("mail.example", false).await.is_some(), "{step}");
    }
}

#[tokio::test]
async fn an_attempt_that_the_end_of_the_server_cut_off_is_made_again() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.hangs_at = Some("finalize"));
    lab.start(lab.settings(), &["mail.example"]);
    let manager = lab.manager();
    lab.clock.advance(SPACING);
    tokio::select! {
        () = lab.ca.hung.notified() => {}
        () = manager.settle() => panic!("nothing hung"),
    }
    lab.stop().await;
    lab.ca.change(|ways| ways.hangs_at = None);
    lab.ca.take_log();
    lab.start(lab.settings(), &["mail.example"]);
    assert_eq!(lab.pass(SPACING).await, [""; 0]);
    assert_eq!(lab.pass(6 * SPACING).await, issued("mail.example"));
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    let first = lab.shown("mail.example", false).await;
    assert_eq!(lab.pass(59 * DAY).await, [""; 0]);
    // The provider is down for a while: what there is stays in use.
    lab.ca.change(|ways| ways.is_down = true);
    lab.pass(2 * DAY).await;
    assert_eq!(lab.shown("mail.example", false).await, first);
    lab.ca.change(|ways| ways.is_down = false);
    assert_eq!(lab.pass(DAY).await, issued("mail.example"));
    let second = lab.shown("mail.example", false).await;
    assert!(second.is_some() && second != first);
    // The operator's wish.
    lab.stop().await;
    let wish = Settings { renew_before: Some(40 * DAY), ..lab.settings() };
    lab.start(wish, &["mail.example"]);
    assert_eq!(lab.pass(49 * DAY).await, [""; 0]);
    assert_eq!(lab.pass(2 * DAY).await, issued("mail.example"));
}

/// RFC 9773 §4.2, §5.
#[tokio::test]
async fn the_provider_can_ask_for_an_earlier_renewal() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    let now = lab.clock.now();
    let start = now.plus_secs(10 * 24 * 3600);
    lab.ca.change(|ways| ways.window = Some((start, start.plus_secs(3600))));
    assert_eq!(lab.pass(2 * HOUR).await, [""; 0]);
    let renew_in = lab.status("mail.example").renew_at.unwrap().secs_since(start);
    assert!((0..3600).contains(&renew_in), "{renew_in}");
    assert_eq!(lab.pass(9 * DAY).await, [""; 0]);
    // It is about to be revoked.
    lab.ca.change(|ways| ways.window = Some((now, now)));
    lab.pass(7 * HOUR).await;
    let log = lab.pass(SPACING).await;
    let mut want = issued("mail.example");
    want[0].push_str(", a renewal");
    assert_eq!(log, want);
}

/// RFC 8555 §7.3.4.
#[tokio::test]
async fn an_external_account_is_bound() {
    let lab = Lab::new().await;
    lab.ca.change(|ways| ways.binding = Some(("kid-1", b"secret key of the account")));
    lab.start(lab.settings(), &["mail.example"]);
    assert_eq!(lab.pass(SPACING).await, [""; 0]);
    let error = lab.status("mail.example").last_error.unwrap();
    assert!(error.contains("externalAccountRequired"), "{error}");
    lab.stop().await;
    assert!(Binding::parse("kid-1", "not base64!").is_none());
    assert!(Binding::parse("kid-1", "\n").is_none());
    // "secret key of the account", as providers give it.
    let binding = Binding::parse("kid-1", "c2VjcmV0IGtleSBvZiB0aGUgYWNjb3VudA\n");
    let settings = || Settings { binding: binding.clone(), ..lab.settings() };
    assert!(settings().binding.is_some());
    lab.start(settings(), &["mail.example"]);
    let log = lab.pass(HOUR).await;
    assert_eq!(log[0], "account made");
    assert_eq!(log[1..], issued("mail.example"));
    // It is the same account after a restart.
    lab.stop().await;
    lab.start(settings(), &["mail.example", "www.example"]);
    assert_eq!(lab.pass(SPACING).await, issued("www.example"));
}

#[tokio::test]
async fn hosts_come_and_go() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    lab.manager().set_hosts(vec![domain("mail.example"), domain("new.example")]);
    assert_eq!(lab.pass(SPACING).await, issued("new.example"));
    // Whatever clients ask for, others get none.
    assert_eq!(lab.shown("other.example", false).await, None);
    assert_eq!(lab.pass(DAY).await, [""; 0]);
    lab.manager().set_hosts(vec![domain("mail.example")]);
    assert_eq!(lab.shown("new.example", false).await, None);
    assert_eq!(lab.pass(DAY).await, [""; 0]);
    // Back again: its file is still there.
    lab.manager().set_hosts(vec![domain("mail.example"), domain("new.example")]);
    assert!(lab.shown("new.example", false).await.is_some());
    assert_eq!(lab.pass(DAY).await, [""; 0]);
    // A host that DNS does not know costs nobody anything, and is noticed when it is there.
    lab.manager().set_hosts(vec![domain("mail.example"), domain("missing.example")]);
    assert_eq!(lab.pass(DAY).await, [""; 0]);
    let status = lab.status("missing.example");
    assert!(status.last_error.unwrap().contains("no addresses in DNS"));
    assert_eq!(lab.until(status.retry_at), 300);
}

#[tokio::test]
async fn of_many_new_hosts_some_are_obtained_when_they_are_used() {
    let lab = Lab::new().await;
    let mut hosts: Vec<_> = (0..10).map(|count| format!("h{count}.missing.example")).collect();
    hosts.push("www.example".to_owned());
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    lab.start(lab.settings(), &hosts);
    for _ in 0..12 {
        assert_eq!(lab.pass(SPACING).await, [""; 0]);
    }
    assert_eq!(lab.shown("www.example", false).await, None);
    lab.pass(SPACING).await;
    assert!(lab.pass(SPACING).await.is_empty() || lab.shown("www.example", false).await.is_some());
    assert!(lab.shown("www.example", false).await.is_some());
}

#[tokio::test]
async fn clients_that_know_only_rsa_get_such_a_certificate() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    assert_eq!(lab.shown("mail.example", true).await, None);
    let log = lab.pass(SPACING).await;
    assert_eq!(log[2], "issued mail.example rsa");
    let (rsa, ecdsa) =
        (lab.shown("mail.example", true).await, lab.shown("mail.example", false).await);
    assert!(rsa.is_some() && ecdsa.is_some() && rsa != ecdsa);
    assert!(lab.dir().join("keycerts/test/mail.example+rsa").exists());
}

/// So that TLSA records stay true. RFC 7671 §8.
#[tokio::test]
async fn a_host_keeps_the_keys_that_it_was_given() {
    let lab = Lab::new().await;
    let with = |key: &Arc<HostKey>| {
        let mut settings = lab.settings();
        settings.host_keys.insert(domain("mail.example"), vec![Arc::clone(key)]);
        settings
    };
    let make = |kind| Arc::new(HostKey::generate(kind).unwrap());
    let (first, second) = (make(KeyKind::Ecdsa), make(KeyKind::Ecdsa));
    let kept = |file: &str| {
        let text = fs::read_to_string(lab.dir().join("keycerts/test").join(file)).unwrap();
        HostKey::from_pem(&text).unwrap().public()
    };
    lab.start(with(&first), &["mail.example", "www.example"]);
    lab.pass(SPACING).await;
    lab.pass(SPACING).await;
    assert_eq!(kept("mail.example"), first.public());
    assert_ne!(kept("www.example"), first.public());
    // There is no key for the other kind, so no certificate of that kind is asked for.
    assert_eq!(lab.shown("mail.example", true).await, None);
    assert_eq!(lab.pass(DAY).await, [""; 0]);
    // Another key from the operator is taken up at once.
    lab.stop().await;
    lab.start(with(&second), &["mail.example", "www.example"]);
    assert_eq!(lab.pass(SPACING).await, issued("mail.example"));
    assert_eq!(kept("mail.example"), second.public());
    // RSA alone.
    lab.stop().await;
    let rsa = make(KeyKind::Rsa);
    lab.start(with(&rsa), &["mail.example", "www.example"]);
    assert_eq!(lab.pass(SPACING).await[2], "issued mail.example rsa");
    assert_eq!(kept("mail.example+rsa"), rsa.public());
    assert!(lab.shown("mail.example", false).await.is_some());
}

/// The original keeps keys as SEC 1, and names the files the same.
#[tokio::test]
async fn a_directory_of_the_original_is_read() {
    let lab = Lab::new().await;
    lab.start(lab.settings(), &["mail.example"]);
    lab.pass(SPACING).await;
    lab.stop().await;
    let file = lab.dir().join("keycerts/test/mail.example");
    let ours = fs::read_to_string(&file).unwrap();
    let pkcs8 = HostKey::from_pem(&ours).unwrap();
    let sec1 = crate::keys::print_pem("EC PRIVATE KEY", &sec1_of(pkcs8.pem()));
    let chain = ours.find("-----BEGIN CERTIFICATE").unwrap();
    fs::write(&file, format!("{sec1}{}", &ours[chain..])).unwrap();
    // What we noted of the account is not there.
    fs::remove_file(lab.dir().join("test.json")).unwrap();
    lab.start(lab.settings(), &["mail.example", "www.example"]);
    assert!(lab.shown("mail.example", false).await.is_some());
    // The account is found by its key.
    let log = lab.pass(SPACING).await;
    assert_eq!(log[0], "contact mailto:admin@mail.example");
    assert_eq!(log[1..], issued("www.example"));

    // A key of an account that cannot be used is not replaced.
    lab.stop().await;
    let rsa = HostKey::generate(KeyKind::Rsa).unwrap();
    fs::write(lab.dir().join("test.key"), rsa.pem()).unwrap();
    lab.start(lab.settings(), &["new.example"]);
    assert_eq!(lab.pass(SPACING).await, [""; 0]);
    assert!(lab.status("new.example").last_error.unwrap().contains("move it away"));
    assert_eq!(fs::read_to_string(lab.dir().join("test.key")).unwrap(), rsa.pem());
}

/// The SEC 1 key within a PKCS #8 one of P-256. RFC 5958 §2, RFC 5915 §3.
fn sec1_of(pem: &str) -> Vec<u8> {
    use rustls_pki_types::PrivateKeyDer;
    use rustls_pki_types::pem::PemObject as _;
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let der = der.secret_der();
    // The inner SEQUENCE starts with version 1 and a private key of 32 bytes.
    let start = der.windows(5).position(|bytes| bytes == [2, 1, 1, 4, 32]).unwrap() - 2;
    let length = usize::from(der[start + 1]);
    der[start..start + 2 + length].to_vec()
}
