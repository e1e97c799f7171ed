//! Changes of a configuration on disk, with accounts, a queue and keys.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::{Address, Domain, Flags, Localpart, MailboxName, UnixSeconds};
use mox_config::{Alias, DestinationKey, Live, NamedFiles, Target, Text};
use mox_queue::{NewMessage, NewRecipient, Queue};
use mox_store::{ClientKey, ClientKeys, Policies, Policy, Store};
use mox_testkit::{ManualClock, TestRng};

use crate::{Admin, AdminError, AliasChange, NewDomain};

const NOW: UnixSeconds = UnixSeconds(1_795_274_564);

const MOX_CONF: &str = "\
DataDir: ../data
LogLevel: info
Hostname: mx.example.org
Listeners:
\tpublic:
\t\tIPs:
\t\t\t- 127.0.0.1
\t\tMTASTSHTTPS:
\t\t\tEnabled: true
\t\t\tNonTLS: true
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

const DOMAINS_CONF: &str = "\
# Kept by hand.
Domains:
\t# The first one.
\texample.org:
\t\tLocalpartCatchallSeparator: +
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\t\t- ann@example.org
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\tann:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tann@example.org: nil
";

struct Accounts(Arc<Live>);

impl Policies for Accounts {
    fn policy(&self, account: &str) -> Option<Arc<Policy>> {
        self.0.snapshot().account(account)?;
        Some(Arc::new(Policy::default()))
    }
}

struct Fixture {
    admin: Admin,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("config/mox.conf"), MOX_CONF).unwrap();
        std::fs::write(dir.path().join("config/domains.conf"), DOMAINS_CONF).unwrap();
        let admin = admin(dir.path());
        Self { admin, dir }
    }

    /// The process ends and another one begins.
    fn restarted(self) -> Self {
        let dir = self.dir;
        drop(self.admin);
        Self { admin: admin(dir.path()), dir }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("config/domains.conf")).unwrap()
    }

    /// The names of files below a directory of the configuration.
    fn files(&self, dir: &str) -> HashSet<String> {
        let path = self.dir.path().join("config").join(dir);
        let Ok(entries) = std::fs::read_dir(path) else { return HashSet::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn data(&self, path: &str) -> PathBuf {
        self.dir.path().join("data").join(path)
    }

    fn deliver(&self, account: &str) {
        let account = self.admin.store.account(account).unwrap();
        let content = account.stage(Vec::new(), &mut std::io::Cursor::new("Subject: x\r\n\r\n"));
        let message = mox_store::NewMessage {
            content: content.unwrap(),
            flags: Flags::NONE,
            keywords: Vec::new(),
            received: None,
            envelope: None,
        };
        let inbox = mox_store::Destination { mailbox: MailboxName::inbox(), create: false };
        account.add(inbox, vec![message]).wait().unwrap();
    }

    fn queue(&self, account: &str, from: &str) {
        let body = self.admin.queue.stage(&mut &b"Subject: x\r\n\r\n"[..]).unwrap();
        let mut message = NewMessage::new(account, body);
        let path = |text: &str| mox_smtp::Mailbox::from(address(text));
        let rcpt = path("them@x.example");
        message.recipients =
            vec![NewRecipient::new(mox_smtp::ReversePath::Mailbox(path(from)), rcpt)];
        self.admin.queue.add(message, NOW).wait().unwrap();
    }

    fn add_key(&self, account: &str, login: &str) {
        let key = ClientKey {
            fingerprint: login.to_owned(),
            created: NOW,
            kind: "ed25519".to_owned(),
            name: "laptop".to_owned(),
            no_imap_preauth: false,
            certificate: vec![1],
            account: account.to_owned(),
            login_address: address(login),
        };
        self.admin.client_keys.add(&key).unwrap();
    }
}

fn admin(dir: &Path) -> Admin {
    let clock = Arc::new(ManualClock::at(NOW));
    let (config, _) = Live::load(&dir.join("config"), NamedFiles::Check, NOW).unwrap();
    let config = Arc::new(config);
    let data = dir.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let policies = Arc::new(Accounts(Arc::clone(&config)));
    Admin {
        store: Store::new(&data, clock.clone(), policies),
        queue: Queue::open(&data.join("queue"), Arc::new(TestRng::new(1))).unwrap(),
        client_keys: Arc::new(ClientKeys::open(&data).unwrap()),
        config,
        clock,
    }
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn key(text: &str) -> DestinationKey {
    match text.strip_prefix('@') {
        Some(of) => DestinationKey::Catchall(domain(of)),
        None => DestinationKey::Address(address(text)),
    }
}

fn new_domain(name: &str, account: &str, localpart: Option<&str>) -> NewDomain {
    NewDomain {
        domain: domain(name),
        is_disabled: false,
        account: account.to_owned(),
        localpart: localpart.map(|text| Localpart::parse(text).unwrap()),
    }
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(result: Result<T, AdminError>, want: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(want), "{want:?} in {error:?}");
}

#[test]
fn domains_are_added_with_keys_and_removed_without_losing_them() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let before = fixture.text();
    admin.domain_add(&new_domain("example.com", "bob", Some("bob"))).unwrap();
    admin.domain_add(&new_domain("example.net", "ann", None)).unwrap();
    admin.domain_add(&new_domain("example.info", "mjl", None)).unwrap();
    let config = admin.config.snapshot();
    assert_eq!(admin.account_addresses("bob").unwrap(), ["bob@example.com"]);
    assert_eq!(
        admin.account_addresses("ann").unwrap(),
        ["ann@example.org", "postmaster@example.net"]
    );
    // The postmaster of all gets mail for it anyway.
    assert_eq!(admin.account_addresses("mjl").unwrap(), ["mjl@example.org"]);
    let settings = config.domain(&domain("example.com")).unwrap();
    assert_eq!(settings.dkim.sign, ["2026a"]);
    assert!(settings.mtasts.is_some() && settings.dmarc.is_some() && settings.tlsrpt.is_some());
    assert_eq!(fixture.files("dkim").len(), 6);
    // Comments and what was there stay as they were.
    let text = fixture.text();
    for line in before.lines() {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    assert_eq!(mox_config::test(&fixture.dir.path().join("config")).faults, []);

    check_refused(admin.domain_add(&new_domain("example.com", "mjl", None)), "exists already");
    check_refused(admin.domain_add(&new_domain("a.example", "eve", None)), "give the localpart");
    let both = new_domain("a.example", "ann", Some("ann"));
    check_refused(admin.domain_add(&both), "leave the localpart out");
    // What was refused leaves no keys.
    check_refused(
        admin.domain_add(&new_domain("a.example", "b/c", Some("x"))),
        "name of an account",
    );
    check_refused(
        admin.domain_add(&new_domain("a.example", "bob ", Some("x"))),
        "name of an account",
    );
    let with_separator = new_domain("a.example", "eve", Some("x+y"));
    check_refused(admin.domain_add(&with_separator), "separator");
    assert_eq!(fixture.files("dkim").len(), 6);

    check_refused(admin.domain_remove(&domain("example.com")), "account bob, as its default");
    check_refused(admin.domain_remove(&domain("example.net")), "address postmaster@example.net");
    check_refused(admin.domain_remove(&domain("a.example")), "no such domain");
    admin.domain_remove(&domain("example.info")).unwrap();
    admin.address_remove(&key("postmaster@example.net")).unwrap();
    fixture.add_key("ann", "ann@example.net");
    check_refused(admin.domain_remove(&domain("example.net")), "logs in as ann@example.net");
    admin.client_keys.remove("ann@example.net").unwrap();
    admin.domain_remove(&domain("example.net")).unwrap();
    assert_eq!(fixture.files("dkim").iter().filter(|name| *name != "old").count(), 2);
    assert_eq!(fixture.files("dkim/old").len(), 4);
    assert_eq!(mox_config::test(&fixture.dir.path().join("config")).faults, []);
}

#[test]
fn a_domain_is_switched_off_and_on() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let is_disabled = || admin.config.snapshot().is_disabled_domain(&domain("example.org"));
    admin.domain_set_disabled(&domain("example.org"), true).unwrap();
    assert!(is_disabled());
    assert_eq!(admin.address_account(&key("mjl@example.org")).unwrap(), "mjl");
    admin.domain_set_disabled(&domain("example.org"), false).unwrap();
    assert!(!is_disabled());
    check_refused(admin.domain_set_disabled(&domain("a.example"), true), "no such domain");
    let disabled = NewDomain { is_disabled: true, ..new_domain("example.com", "mjl", None) };
    admin.domain_add(&disabled).unwrap();
    assert!(admin.config.snapshot().is_disabled_domain(&domain("example.com")));
}

#[test]
fn accounts_are_added_listed_and_switched_off() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    admin.account_add("bob", &address("bob@example.org")).unwrap();
    admin.account_disable("ann", "on holiday").unwrap();
    let list = |name: &str, is_disabled| (name.to_owned(), is_disabled);
    assert_eq!(admin.account_list(), [list("ann", true), list("bob", false), list("mjl", false)]);
    admin.account_enable("ann").unwrap();
    assert_eq!(admin.account_list()[0], list("ann", false));
    assert!(admin.config.snapshot().account("bob").unwrap().no_custom_password);

    check_refused(admin.account_add("bob", &address("b@example.org")), "exists already");
    check_refused(admin.account_add("eve", &address("Mjl@example.org")), "belongs to account mjl");
    check_refused(admin.account_add("eve", &address("e@a.example")), "no such domain: a.example");
    check_refused(admin.account_add("eve", &address("team@example.org")), "belongs to account");
    check_refused(admin.account_add("../eve", &address("e@example.org")), "name of an account");
    std::fs::create_dir_all(fixture.data("accounts/eve")).unwrap();
    check_refused(admin.account_add("eve", &address("e@example.org")), "there are files");
    check_refused(admin.account_disable("eve", "x"), "no such account");
    check_refused(admin.account_disable("ann", ""), "give a message");
    check_refused(admin.account_disable("ann", "ä"), "ASCII");
    check_refused(admin.account_enable("eve"), "no such account");
    check_refused(admin.account_addresses("eve"), "no such account");
}

#[test]
fn an_account_is_removed_with_all_it_has() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    fixture.deliver("ann");
    fixture.add_key("ann", "ann@example.org");
    let suppressed = mox_smtp::Mailbox::from(address("them@x.example"));
    admin.queue.suppress("ann", &suppressed, "x", NOW).wait().unwrap();
    fixture.queue("ann", "ann@example.org");
    check_refused(admin.account_remove("ann"), "1 messages in the queue");
    let all = mox_queue::Filter::default();
    admin.queue.change(all, mox_queue::Change::Drop, NOW).wait().unwrap();
    admin.account_remove("ann").unwrap();
    assert!(!fixture.data("accounts/ann").exists() && !fixture.data("removing").exists());
    assert_eq!(admin.client_keys.list(None).unwrap(), []);
    assert_eq!(admin.queue.suppressions(None, None).unwrap(), []);
    let team = admin.alias(&address("team@example.org")).unwrap();
    assert_eq!(team.addresses, [Text(address("mjl@example.org"))]);
    assert!(!fixture.text().contains("ann"));

    check_refused(admin.account_remove("ann"), "no such account");
    check_refused(admin.account_remove("mjl"), "Postmaster in mox.conf");
    // The name may be taken again, and nothing of before is there.
    admin.account_add("ann", &address("ann@example.org")).unwrap();
    let account = admin.store.account("ann").unwrap();
    let reader = account.read().unwrap();
    let inbox = reader.mailbox(&MailboxName::inbox()).unwrap();
    assert_eq!(inbox.counts.total, 0);
}

#[test]
fn an_account_that_others_depend_on_is_kept() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    admin.domain_add(&new_domain("example.com", "bob", Some("bob"))).unwrap();
    check_refused(admin.account_remove("bob"), "DMARC of domain example.com, TLSRPT of domain");
    admin
        .alias_remove_members(&address("team@example.org"), &[address("mjl@example.org")])
        .unwrap();
    fixture.deliver("ann");
    check_refused(admin.account_remove("ann"), "team@example.org would have no members");
    // Refused at the last moment, it is as before.
    assert!(!fixture.data("removing").exists());
    admin.store.account("ann").unwrap();
}

/// What a crash cuts short is made up for, or taken back.
#[test]
fn removals_are_finished_at_the_next_start() {
    let fixture = Fixture::new();
    fixture.deliver("ann");
    fixture.deliver("mjl");
    fixture.add_key("ann", "ann@example.org");
    fixture.admin.store.begin_removal("mjl").unwrap();
    fixture.admin.store.begin_removal("ann").unwrap();
    let alone =
        DOMAINS_CONF.split("\tann:").next().unwrap().replace("\t\t\t\t\t- ann@example.org\n", "");
    std::fs::write(fixture.dir.path().join("config/domains.conf"), alone).unwrap();
    let fixture = fixture.restarted();
    assert_eq!(fixture.admin.resume_removals().unwrap(), ["ann"]);
    assert!(!fixture.data("accounts/ann").exists());
    assert_eq!(fixture.admin.client_keys.list(None).unwrap(), []);
    fixture.admin.store.account("mjl").unwrap();
    assert!(!fixture.data("removing").exists());
}

#[test]
fn addresses_are_added_and_removed() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    for text in ["shop@example.org", "@example.org"] {
        admin.address_add(&key(text), "ann").unwrap();
        assert_eq!(admin.address_account(&key(text)).unwrap(), "ann");
    }
    let all = ["@example.org", "ann@example.org", "shop@example.org"];
    let mut addresses = admin.account_addresses("ann").unwrap();
    addresses.sort();
    assert_eq!(addresses, all);
    check_refused(admin.address_add(&key("SHOP@example.org"), "mjl"), "belongs to account ann");
    check_refused(admin.address_add(&key("@example.org"), "mjl"), "belongs to account ann");
    check_refused(admin.address_add(&key("a@example.org"), "eve"), "no such account");
    check_refused(admin.address_add(&key("a@a.example"), "ann"), "no such domain");
    check_refused(admin.address_add(&key("@a.example"), "ann"), "no such domain");
    check_refused(admin.address_add(&key("a+b@example.org"), "ann"), "separator");
    check_refused(admin.address_account(&key("team@example.org")), "is an alias");
    check_refused(admin.address_account(&key("@a.example")), "no such address");
    assert_eq!(admin.address_account(&key("Ann+x@example.org")).unwrap(), "ann");
    assert_eq!(admin.address_account(&key("any@example.org")).unwrap(), "ann");

    // What depends on an address.
    fixture.add_key("ann", "shop+key@example.org");
    check_refused(admin.address_remove(&key("shop@example.org")), "TLS public key \"laptop\"");
    admin.client_keys.remove("shop+key@example.org").unwrap();
    fixture.queue("ann", "shop+order@example.org");
    check_refused(admin.address_remove(&key("shop@example.org")), "1 messages in the queue");
    // Not what goes by another one.
    admin.address_remove(&key("@example.org")).unwrap();
    let all = mox_queue::Filter::default();
    admin.queue.change(all, mox_queue::Change::Drop, NOW).wait().unwrap();
    admin.address_remove(&key("Shop@example.org")).unwrap();
    check_refused(admin.address_remove(&key("shop@example.org")), "no such address");
    check_refused(admin.address_remove(&key("team@example.org")), "is an alias");
    // It leaves aliases, unless it is the last member.
    admin.address_remove(&key("ann@example.org")).unwrap();
    check_refused(admin.address_remove(&key("mjl@example.org")), "would have no members");
    assert_eq!(admin.alias(&address("team@example.org")).unwrap().addresses.len(), 1);
    assert_eq!(admin.account_addresses("ann").unwrap(), Vec::<String>::new());
}

#[test]
fn aliases_are_added_changed_and_removed() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let (team, all) = (address("team@example.org"), address("all@example.org"));
    let alias = |members: &[&str]| Alias {
        addresses: members.iter().map(|text| Text(address(text))).collect(),
        post_public: true,
        ..Alias::default()
    };
    admin.alias_add(&all, alias(&["mjl@example.org"])).unwrap();
    assert_eq!(admin.alias_list(&domain("example.org")).unwrap(), [all.clone(), team.clone()]);
    let change = AliasChange { list_members: Some(true), ..AliasChange::default() };
    admin.alias_update(&address("ALL@example.org"), change).unwrap();
    let found = admin.alias(&all).unwrap();
    assert!(found.post_public && found.list_members && !found.allow_msg_from);
    admin.alias_add_members(&all, &[address("Ann@example.org")]).unwrap();
    let config = admin.config.snapshot();
    let target = config.lookup_address(&all.localpart, Some(&all.domain)).unwrap();
    assert!(matches!(target, Target::Alias(alias) if alias.members.len() == 2));

    let again = admin.alias_add_members(&all, &[address("ann@example.org")]);
    check_refused(again, "is a member already");
    let unknown = admin.alias_add_members(&all, &[address("x@example.org")]);
    check_refused(unknown, "no such address: x@example.org");
    let nested = admin.alias_add_members(&all, std::slice::from_ref(&team));
    check_refused(nested, "no such address: team@example.org");
    check_refused(admin.alias_add(&all, alias(&["mjl@example.org"])), "alias exists already");
    check_refused(admin.alias_add(&address("mjl@example.org"), alias(&["ann@example.org"])), "mjl");
    check_refused(admin.alias_add(&address("b@example.org"), alias(&[])), "no members");
    check_refused(admin.alias_add(&address("b@a.example"), alias(&["mjl@example.org"])), "domain");
    check_refused(admin.alias_list(&domain("a.example")), "no such domain");

    admin.alias_remove_members(&all, &[address("ANN@example.org")]).unwrap();
    let none = admin.alias_remove_members(&all, &[address("ann@example.org")]);
    check_refused(none, "ann@example.org is not a member");
    check_refused(admin.alias_remove_members(&all, &[address("mjl@example.org")]), "no members");
    admin.alias_remove(&all).unwrap();
    check_refused(admin.alias_remove(&all), "no such alias");
    check_refused(admin.alias_update(&all, change), "no such alias");
    assert!(fixture.text().starts_with("# Kept by hand.\n"));
}
