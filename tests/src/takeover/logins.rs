//! The passwords of before, by every mechanism.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox_base::Secret;
use mox_sasl::{ChannelBindings, Client as Sasl, Mechanism, NONCE_BYTES};

use super::{FIXTURES, Host, list};

/// Whether a password is taken.
async fn is_taken(host: &Host, mechanism: Mechanism, account: &str, password: &str) -> bool {
    let mut client = host.server.imap().await;
    let name = format!("{account}@localhost");
    let secret = Secret::new(password.to_owned());
    let bindings = ChannelBindings::default();
    let offered = [mechanism];
    let mut sasl =
        Sasl::new(mechanism, &name, secret, &offered, &bindings, [7; NONCE_BYTES]).unwrap();
    let initial = sasl.initial().map(|first| format!(" {}", STANDARD.encode(first)));
    client.send(&format!("a1 AUTHENTICATE {mechanism}{}", initial.unwrap_or_default())).await;
    loop {
        let line = client.line().await.unwrap();
        if let Some(challenge) = line.strip_prefix("+ ") {
            let challenge = STANDARD.decode(challenge).unwrap();
            // RFC 5802 §5.1 (`e`): after an error there is nothing to say.
            let answer = sasl.step(&challenge).unwrap_or_default();
            client.send(&STANDARD.encode(answer)).await;
        } else if let Some(end) = line.strip_prefix("a1 ") {
            // With SCRAM, the server has shown as well that it knows the password. RFC 5802 §5.
            assert!(!end.starts_with("OK ") || sasl.finish().is_ok(), "{line}");
            return end.starts_with("OK ");
        }
    }
}

#[tokio::test]
async fn old_passwords_are_right_and_wrong_ones_are_wrong() {
    for (fixture, accounts) in FIXTURES {
        let host = Host::start((fixture, accounts)).await;
        for account in *accounts {
            let tests = list(&host.account(account)["passwords"][0]["tests"]);
            assert!(tests.len() > 1);
            for test in tests {
                let password = test["password"].as_str().unwrap();
                for (mechanism, says) in [
                    (Mechanism::ScramSha1, "scramsha1_ok"),
                    (Mechanism::ScramSha256, "scramsha256_ok"),
                    // Last: a good one may have the verifiers replaced.
                    (Mechanism::Plain, "bcrypt_ok"),
                    (Mechanism::ScramSha1, "scramsha1_ok"),
                    (Mechanism::ScramSha256, "scramsha256_ok"),
                ] {
                    let is_right = is_taken(&host, mechanism, account, password).await;
                    assert_eq!(test[says], is_right, "{fixture} {account} {mechanism}: {test}");
                }
            }
        }
        host.stop(accounts).await;
    }
}
