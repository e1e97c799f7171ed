//! Commands that need no server.

use std::fs;

use crate::program::{command, run, run_in};

/// Wants an exit code and a part of standard output and of standard error; nothing there if the
/// part is empty.
#[track_caller]
fn check(words: &[&str], code: i32, out: &str, err: &str) {
    let found = run(words);
    assert_eq!(found.code, Some(code), "{words:?}: {found:?}");
    for (text, part) in [(&found.out, out), (&found.err, err)] {
        assert!(text.contains(part), "{words:?}: {part:?} missing in {text:?}");
        assert_eq!(text.is_empty(), part.is_empty(), "{words:?}: {text:?}");
    }
}

#[test]
fn results_go_to_standard_output() {
    check(&["version"], 0, "mox 0.", "");
    check(&["--version"], 0, "mox 0.", "");
    check(&["licenses"], 0, "MIT License", "");
    check(&["licenses"], 0, "SQLite", "");
    check(&["licenses", "--help"], 0, "Usage: mox licenses", "");
    check(&["help"], 0, "mox localserve", "");
    check(&["help", "message", "parse"], 0, "Usage: mox message parse", "");
    check(&["stop", "-help"], 0, "Usage: mox stop", "");
    check(&["restart", "-help"], 0, "none is refused", "");
    check(&["serve", "-help"], 0, "cannot become root again", "");
    check(&["config", "describe-static"], 0, "\nLogLevel:", "");
    check(&["config", "describe-domains"], 0, "Destinations:", "");
    check(&["config", "describe-sendmail"], 0, "\nDefaultDestination:", "");
    check(&["sendmail", "--help"], 0, "moxsubmit.failures", "");
    check(&["-loglevel", "debug", "version"], 0, "mox 0.", "");
    check(&["spf", "parse", "V=spf1 MX -all"], 0, "v=spf1 mx -all\n", "");
    check(&["help", "dns", "lookup"], 0, "with dnssec", "");
    check(&["help", "dnsbl", "checkhealth"], 0, "127.0.0.2", "");
    check(&["help", "doctor"], 0, "the worst first", "");
    check(&["help", "rdap", "domainage"], 0, "registry", "");
    check(&["help", "config", "dnscheck"], 0, "30 seconds", "");
    check(&["help", "updates", "addsigned"], 0, "standard input", "");
    check(&["checkupdate"], 1, "", "who publishes releases");
    check(&["help", "import", "mbox"], 0, "directory with such files", "");
    check(&["help", "import", "moxdata"], 0, "mail programs notice nothing", "");
    check(&["help", "import", "imap"], 0, "Nothing is changed on the other server", "");
    check(&["help", "export", "mbox"], 0, "mboxrd", "");
    check(&["help", "queue", "schedule"], 0, "-10m for sooner", "");
    check(&["help", "quickstart"], 0, "never overwritten", "");
    check(&["help", "config", "domain", "add"], 0, "some seconds", "");
    check(&["help", "config", "account", "disable"], 0, "Mail still arrives", "");
    check(&["help", "config", "address", "rm"], 0, "TLS public key", "");
    check(&["help", "config", "alias", "add"], 0, "<MEMBERS>", "");
    check(&["help", "config", "dnsrecords"], 0, "DNSSEC", "");
    check(&["help", "config", "printclientconfig"], 0, "mail programs", "");
    check(&["help", "config", "ensureacmehostprivatekeys"], 0, "hostkeys", "");
    check(&["help", "config", "tlspubkey", "gen"], 0, "STEM.TIME.certificate.pem", "");
    check(&["help", "setadminpassword"], 0, "AdminPasswordFile", "");
    check(&["help", "cid"], 0, "cid=", "");
    check(&["config", "example"], 0, "webhandlers\n", "");
    check(&["config", "example", "transport"], 0, "\nTransports:\n", "");
    check(&["example"], 0, "webhook-incoming-basic\n", "");
    check(&["example", "webhook-outgoing-delivered"], 0, "\"SMTPCode\": 250", "");
    check(&["help", "dane", "makerecord"], 0, "dane-ee spki sha2-256", "");
}

#[test]
fn what_is_not_understood_is_two() {
    check(&[], 2, "", "mox localserve");
    check(&["config"], 2, "", "mox config test");
    check(&["config", "tlspubkey"], 2, "", "mox config tlspubkey list");
    check(&["nonsense"], 2, "", "nonsense");
    check(&["help", "nonsense"], 2, "", "unknown command");
    check(&["stop", "--nonsense"], 2, "", "--nonsense");
    check(&["--loglevel", "loud", "version"], 2, "", "known are");
    check(&["localserve", "--port-base", "64543"], 2, "", "64543");
    check(&["spf", "check", "a.example", "localhost"], 2, "", "localhost");
    check(&["dns", "lookup", "soa", "a.example"], 2, "", "'soa'");
    check(&["dns", "lookup", "a", "a..b"], 2, "", "'a..b'");
    check(&["dnsbl", "check", "a b", "127.0.0.1"], 2, "", "'a b'");
    check(&["rdap", "domainage", "a b"], 2, "", "'a b'");
    check(&["config", "dnscheck"], 2, "", "<DOMAIN>");
    check(&["config", "domain"], 2, "", "mox config domain add");
    check(&["config", "domain", "add", "a b", "you"], 2, "", "'a b'");
    check(&["config", "domain", "add", "a.example"], 2, "", "<ACCOUNT>");
    check(&["config", "account", "add", "you", "you"], 2, "", "'you'");
    check(&["config", "address", "add", "you", "you"], 2, "", "'you'");
    check(&["config", "alias", "add", "all@a.example"], 2, "", "<MEMBERS>");
    check(&["config", "alias", "update", "a@b.example", "-postpublic", "x"], 2, "", "'x'");
    check(&["clientconfig"], 2, "", "<DOMAIN>");
    check(&["quickstart"], 2, "", "<USER@DOMAIN>");
    check(&["quickstart", "you"], 2, "", "'you'");
    check(&["quickstart", "-hostname", "a b", "you@example.org"], 2, "", "'a b'");
    check(&["dmarc"], 2, "", "mox dmarc verify");
    check(&["import"], 2, "", "mox import maildir");
    check(&["import", "zip", "a"], 2, "", "<PATH>");
    check(&["import", "imap", "a", "--host", "b.example"], 2, "", "--user");
    check(&["export"], 2, "", "mox export mbox");
    check(&["queue"], 2, "", "mox queue suppress lookup");
    check(&["queue", "list", "-submitted", "1h"], 2, "", "must begin with < or >");
    check(&["queue", "list", "-sort", "size"], 2, "", "nextattempt");
    check(&["queue", "hold", "-ids", "1,x"], 2, "", "'x'");
    check(&["queue", "requiretls", "maybe"], 2, "", "'maybe'");
    check(&["queue", "schedule"], 2, "", "<DURATION>");
    check(
        &["queue", "webhook", "cancel", "-event", "lost"],
        2,
        "",
        "known are incoming, delivered",
    );
    check(&["dane"], 2, "", "mox dane makerecord usage selector match [pem]");
    check(&["dane", "dial", "a.example"], 2, "", "wanted is host:port");
    check(&["dane", "makerecord", "dane", "spki", "full"], 2, "", "known are pkix-ta");
    check(&["mtasts", "lookup", "a..b"], 2, "", "'a..b'");
    check(&["smtp", "dial", "--notls", "--forcetls", "a.example"], 2, "", "--forcetls");
    check(&["smtp", "dial", "--tlsversionmin", "TLS1.1", "a.example"], 2, "", "TLS1.2");
}

#[test]
fn failures_are_one_and_say_what_to_do() {
    check(&["config", "test"], 1, "", "--config");
    check(&["stop"], 1, "", "MOXCONF");
    check(&["restart"], 1, "", "MOXCONF");
    check(&["config", "dnscheck", "a.example"], 1, "", "MOXCONF");
    check(&["config", "domain", "rm", "a.example"], 1, "", "MOXCONF");
    check(&["config", "alias", "rm", "a@a.example"], 1, "", "MOXCONF");
    check(&["config", "dnsrecords", "a.example"], 1, "", "MOXCONF");
    check(&["clientconfig", "a.example"], 1, "", "MOXCONF");
    check(&["setadminpassword"], 1, "", "MOXCONF");
    check(&["cid", "x"], 1, "", "MOXCONF");
    check(&["example", "x"], 1, "", "known are webhook-incoming-basic");
    check(&["queue", "schedule", "-now", "-10m"], 1, "", "MOXCONF");
    check(&["queue", "list", "-submitted", "<-1h", "-n", "1", "-hold", "true"], 1, "", "MOXCONF");
    check(&["spf", "parse", "v=spf1 nonsense"], 1, "", "fatal: term 1: unknown mechanism");
    check(&["dkim", "verify", "none.eml"], 1, "", "fatal: open none.eml: ");
    check(&["dkim", "txt"], 1, "", "fatal: standard input: not PEM");
    check(&["dane", "makerecord", "3", "1", "1"], 1, "", "fatal: no certificate or key in PEM");
    check(&["smtp", "dial", "-tlscerts", "none.pem", "a.example"], 1, "", "fatal: read none.pem");
    check(&["dkim", "sign", "none.eml"], 1, "", "MOXCONF");
    check(&["message", "parse", "none.eml"], 1, "", "fatal: open none.eml: ");
    check(&["import", "mbox", "a", "Inbox", "none"], 1, "", "fatal: none: ");
    check(&["import", "maildir", "a", "Inbox", "/dev/null"], 1, "", "is an mbox");
    check(&["export", "maildir", "out", "none"], 1, "", "fatal: open account in none");
    check(&["verifydata", "none"], 1, "", "no such directory");
    check(&["localserve", "--dir", ".", "--ip", "127.0.0.1"], 1, "", "exists");
    check(&["localserve", "--dir", "."], 1, "", "mend the configuration");
}

#[test]
fn keys_that_are_made_sign_and_are_shown_for_dns() {
    let dir = tempfile::tempdir().unwrap();
    let made = run_in(dir.path(), &["dkim", "gened25519"], "");
    assert!(made.out.contains("-----BEGIN PRIVATE KEY-----\n"), "{made:?}");
    let shown = run_in(dir.path(), &["dkim", "txt"], &made.out);
    assert!(shown.out.starts_with("\"v=DKIM1;h=sha256;k=ed25519;p="), "{shown:?}");
    // Nothing is signed, so that nothing is looked up.
    fs::write(dir.path().join("m.eml"), "From: a@b.example\r\n\r\nbody\r\n").unwrap();
    let shown = run_in(dir.path(), &["dkim", "verify", "m.eml"], "");
    assert_eq!((shown.code, &*shown.out), (Some(0), "no signatures\n"), "{shown:?}");
}

#[test]
fn a_message_is_shown_as_json() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.eml"), "Subject: \u{e9}\r\n\r\nbody\r\n").unwrap();
    let shown = run_in(dir.path(), &["message", "parse", "m.eml"], "");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let tree: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(tree["DecodedSize"], 6);
    let shown = run_in(dir.path(), &["message", "parse", "-smtputf8", "m.eml"], "");
    assert!(shown.out.ends_with("message needs smtputf8: true\n"), "{shown:?}");
}

#[test]
fn a_configuration_is_tested_with_all_its_faults() {
    let dir = tempfile::tempdir().unwrap();
    let made = run_in(dir.path(), &["localserve", "-initonly", "-dir", "ls"], "");
    assert_eq!(made.code, Some(0), "{made:?}");
    let good = run_in(dir.path(), &["-config", "ls/mox.conf", "config", "test"], "");
    assert_eq!((good.code, &*good.out), (Some(0), "config OK\n"), "{good:?}");
    assert!(good.err.lines().all(|line| line.starts_with("note: ")), "{good:?}");
    // By the variable too.
    let mut by_variable = command(&["config", "test"]);
    let output = by_variable.env("MOXCONF", dir.path().join("ls/mox.conf")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    // A key that is not that of the certificate is found, though both files are good PEM.
    let key = dir.path().join("ls/localhost.key");
    let right = fs::read_to_string(&key).unwrap();
    run_in(dir.path(), &["localserve", "-initonly", "-dir", "other"], "");
    fs::copy(dir.path().join("other/localhost.key"), &key).unwrap();
    let bad = run_in(dir.path(), &["-config", "ls/mox.conf", "config", "test"], "");
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.err.contains("certificates of listener local"), "{bad:?}");
    fs::write(&key, right).unwrap();

    let path = dir.path().join("ls/mox.conf");
    let text = fs::read_to_string(&path).unwrap();
    let broken = text.replace("LogLevel: traceauth", "LogLevel: loud") + "Nonsense: 1\n";
    fs::write(&path, broken).unwrap();
    let bad = run_in(dir.path(), &["-config", "ls/mox.conf", "config", "test"], "");
    assert_eq!((bad.code, &*bad.out), (Some(1), ""), "{bad:?}");
    assert!(bad.err.contains("multiple errors:\n"), "{bad:?}");
    for part in ["mox.conf:9: ", "Nonsense"] {
        assert!(bad.err.contains(part), "{part} missing: {bad:?}");
    }
}

/// Without a server: what is copied is checked, put back and checked again.
#[test]
fn a_backup_is_made_checked_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str], code: i32, out: &str, err: &str| {
        let found = run_in(dir.path(), words, "");
        assert_eq!(found.code, Some(code), "{words:?}: {found:?}");
        assert!(found.out.contains(out) && found.err.contains(err), "{words:?}: {found:?}");
    };
    run(&["localserve", "--dir", "ls", "--initonly"], 0, "", "");
    let config = ["-config", "ls/mox.conf"];
    let with = |words: &[&'static str]| [&config[..], words].concat();
    run(&with(&["backup", "b1"]), 0, " files, ", "");
    assert!(dir.path().join("ls/lastbackup").is_file());
    run(&with(&["backup", "b1"]), 1, "", "nothing is overwritten");
    run(&with(&["backup", "-verbose", "-incremental-from", "b1", "b2"]), 0, "", "mox.conf");
    run(&["verifydata", "b2"], 0, "b2: OK", "");
    run(&["verifydata", "b2/data"], 0, "OK", "");
    run(&["restore", "b2", "ls"], 1, "", "nothing is overwritten");
    run(&["restore", "-dry-run", "b2", "r"], 0, "would be put back", "");
    run(&["restore", "b2", "r"], 0, "put back", "");
    run(&["verifydata", "-fix", "-skip-size-check", "r"], 0, "r: OK", "");
    run(&["verifydata", "-fix", "b2"], 1, "", "a backup is not changed");
    run(&["restore", "-account", "mox", "b2", "ls"], 0, "now in", "");
    run(&["restore", "-account", "mox", "-as", "other", "b2", "ls"], 0, "put back", "");
    run(&["restore", "-account", "none", "b2", "ls"], 1, "", "no account");
    run(
        &["restore", "-account", "mox", "-mailbox", "Inbox", "-dry-run", "b2"],
        0,
        "0 messages",
        "",
    );
    run(&["restore", "-account", "mox", "-mailbox", "None", "b2"], 1, "", "no such message");
    run(&["restore", "-mailbox", "Inbox", "b2"], 2, "", "--account");
    run(&["restore", "b2"], 2, "", "DATADIR");
    run(&["verifydata", "ls"], 0, "ls: OK", "");
    let key = dir.path().join("b2/data/mox.conf");
    let mut content = fs::read(&key).unwrap();
    content[3] ^= 1;
    fs::write(&key, content).unwrap();
    run(&["verifydata", "b2"], 1, "", "data/mox.conf: differs from its checksum");
    run(&["restore", "b2", "r2"], 1, "", "nothing was put back");
    fs::remove_file(dir.path().join("b1/manifest.jsonl")).unwrap();
    run(&["verifydata", "b1"], 1, "", "not finished");
    run(&["restore", "b1", "r3"], 1, "", "not finished");
}
