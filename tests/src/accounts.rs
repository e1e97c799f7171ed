//! Logging in, and what can be changed about it while the server runs.

use std::fs;

use mox::service::Service;
use mox_base::UnixSeconds;
use mox_testkit::certificates::Certified;

use crate::client::Client;
use crate::server::TestServer;

#[tokio::test]
async fn a_login_needs_the_right_name_and_password() {
    let server = TestServer::start().await;
    let mut imap = server.imap().await;
    imap.send("a1 LOGIN mox@localhost wrongwrong").await;
    let refused = imap.expect("a1 NO ").await;
    imap.send("a2 LOGIN nobody@localhost wrongwrong").await;
    let unknown = imap.expect("a2 NO ").await;
    // Nobody learns which accounts there are.
    assert_eq!(refused.strip_prefix("a1"), unknown.strip_prefix("a2"));
    imap.log_in("moxmoxmox").await;
    let mailboxes = imap.ask("a3 LIST \"\" *").await;
    for name in ["Inbox", "Archive", "Drafts", "Junk", "Sent", "Trash"] {
        let is_listed = |line: &String| line.ends_with(name);
        assert!(mailboxes.iter().any(is_listed), "{name} missing in {mailboxes:?}");
    }
    drop(imap);
    server.stop().await;
}

#[tokio::test]
async fn a_password_changed_by_the_control_socket_counts_at_once() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    control.run("setaccountpassword", &["mox", "new password"]).await.unwrap();
    let mut imap = server.imap().await;
    imap.send("a1 LOGIN mox@localhost moxmoxmox").await;
    imap.expect("a1 NO ").await;
    imap.log_in("new password").await;
    drop(imap);
    server.stop().await;
}

#[tokio::test]
async fn a_change_of_the_configuration_is_taken_up() {
    let server = TestServer::start().await;
    let services = server.server().services();
    let path = server.path().join("domains.conf");
    let text = fs::read_to_string(&path).unwrap();
    let account = "\tmox:\n";
    assert!(text.contains(account), "{text}");
    let changed = text.replace(account, &format!("{account}\t\tLoginDisabled: on holiday\n"));
    fs::write(&path, changed).unwrap();
    // What the task that looks every second does, without waiting for it.
    let UnixSeconds(now) = services.clock.now();
    services.config.reload(UnixSeconds(now + 10)).unwrap();
    let mut imap = server.imap().await;
    imap.send("a1 LOGIN mox@localhost moxmoxmox").await;
    let refused = imap.expect("a1 NO ").await;
    assert!(refused.contains("on holiday"), "{refused}");
    drop(imap);
    server.stop().await;
}

/// RFC 9051 §7.1.4: PREAUTH for a client whose key is registered; RFC 4422 appendix A: EXTERNAL.
#[tokio::test]
async fn a_registered_key_logs_in_without_password() {
    let server = TestServer::start().await;
    let own = Certified::new(&["laptop"]);
    let connect = async || {
        let address = server.server().address(Service::Imaps).unwrap();
        Client::connect(address).await.start_tls_as(&server.certificate(), Some(&own)).await
    };
    let mut control = server.control().await;
    control.send("tlspubkeyadd", &["mox@localhost", "", "false"]).await.unwrap();
    control.send_data(&**own.der()).await.unwrap();
    let mut imap = connect().await;
    imap.expect("* PREAUTH ").await;
    imap.ask("s1 SELECT Inbox").await;

    let list = control.text("tlspubkeylist", &["mox"]).await.unwrap();
    let fingerprint = list.lines().nth(1).and_then(|row| row.split('\t').next()).unwrap();
    control.run("tlspubkeyrm", &[fingerprint]).await.unwrap();
    control.send("tlspubkeyadd", &["mox@localhost", "", "true"]).await.unwrap();
    control.send_data(&**own.der()).await.unwrap();
    let mut imap = connect().await;
    imap.expect("* OK ").await;
    imap.ask("a1 AUTHENTICATE EXTERNAL =").await;
    imap.ask("s1 SELECT Inbox").await;
    drop(imap);
    server.stop().await;
}
