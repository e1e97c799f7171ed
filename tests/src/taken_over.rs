//! An account whose password another server stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox::service::Service;
use mox_base::Secret;
use mox_sasl::{ChannelBindings, Mechanism, Shape, StoredPassword};
use mox_store::Store;

use crate::client::Client;
use crate::server::TestServer;

const USER: &str = "mox@localhost";
const PASSWORD: &str = "moxmoxmox";

/// Of [`PASSWORD`], as old passwords were stored.
const BCRYPT: &str = "$2a$10$abcdefghijklmnopqrstuusMVHFTw.JKB27l2hVIt7KZttImi2cE6";

fn stored(store: &Store) -> StoredPassword {
    let text = store.peek_secret("mox", "password").unwrap().unwrap();
    StoredPassword::parse(&String::from_utf8(text).unwrap()).unwrap()
}

/// What the server says at the end of an exchange by PLAIN. RFC 9051 §6.2.2.
async fn plain(imap: &mut Client, password: &str) -> String {
    let message = STANDARD.encode(format!("\0{USER}\0{password}"));
    imap.send(&format!("p1 AUTHENTICATE PLAIN {message}")).await;
    imap.expect("p1 ").await
}

/// The same by SCRAM-SHA-256.
async fn scram(imap: &mut Client) -> String {
    let (mechanism, none) = (Mechanism::ScramSha256, ChannelBindings::default());
    let password = Secret::new(PASSWORD);
    let mut client = mox_sasl::Client::new(mechanism, USER, password, &[], &none, [7; 18]).unwrap();
    let first = STANDARD.encode(client.initial().unwrap());
    imap.send(&format!("s1 AUTHENTICATE SCRAM-SHA-256 {first}")).await;
    loop {
        let line = imap.line().await.unwrap();
        let Some(challenge) = line.strip_prefix("+ ") else { return line };
        // RFC 5802 §5.1 (`e`): after an error there is nothing to say.
        let answer = client.step(&STANDARD.decode(challenge).unwrap()).unwrap_or_default();
        imap.send(&STANDARD.encode(answer)).await;
    }
}

#[tokio::test]
async fn a_password_kept_by_bcrypt_becomes_one_for_scram() {
    let server = TestServer::start().await;
    let account = server.server().services().store.account("mox").unwrap();
    account.set_secret("password", Some(BCRYPT.as_bytes().to_vec())).wait().unwrap();
    drop(account);
    let server = server.restart().await;
    let imaps = async || {
        let mut imap = server.connect(Service::Imaps).await;
        imap.expect("* OK ").await;
        imap
    };
    assert!(
        scram(&mut imaps().await).await.starts_with("s1 NO "),
        "there is nothing to check it by"
    );
    assert!(plain(&mut imaps().await, "wrongwrong").await.starts_with("p1 NO "));
    assert_eq!(stored(&server.server().services().store).to_stored(), BCRYPT);

    let mut first = imaps().await;
    assert!(plain(&mut first, PASSWORD).await.starts_with("p1 OK "));
    assert_eq!(stored(&server.server().services().store).shape(), Shape::OURS);
    assert!(scram(&mut imaps().await).await.starts_with("s1 OK "));
    assert!(plain(&mut imaps().await, "wrongwrong").await.starts_with("p1 NO "));
    first.ask("a1 SELECT Inbox").await;
    drop(first);

    let server = server.restart().await;
    assert_eq!(stored(&server.server().services().store).shape(), Shape::OURS);
    let mut smtp = server.smtp(Service::Submissions).await;
    let message = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    smtp.reply(&format!("AUTH PLAIN {message}"), "235").await;
    smtp.reply("QUIT", "221").await;
    server.stop().await;
}
