//! Each fault of both files, with its line, and the notices.

use std::path::Path;

use super::{DOMAINS_CONF, MOX_CONF, faults};

mod accounts;
mod domains;
mod web;

/// Checks the faults with `piece` put after the last line of `mox.conf`, which is line 14.
#[track_caller]
fn check_static(piece: &str, want: &[&str]) {
    check(&format!("{MOX_CONF}{piece}"), DOMAINS_CONF, want);
}

/// Checks the faults with `piece` put after line 11 of `mox.conf`, within the listener.
#[track_caller]
fn check_listener(piece: &str, want: &[&str]) {
    let mox_conf = MOX_CONF.replace("Postmaster:\n", &format!("{piece}Postmaster:\n"));
    check(&mox_conf, DOMAINS_CONF, want);
}

/// Checks the faults with `piece` put after the last line of `domains.conf`, which is line 8.
#[track_caller]
fn check_dynamic(piece: &str, want: &[&str]) {
    check(MOX_CONF, &format!("{DOMAINS_CONF}{piece}"), want);
}

/// Checks the faults with `piece` put after line 3 of `domains.conf`, within the domain.
#[track_caller]
fn check_domain(piece: &str, want: &[&str]) {
    let domains_conf = DOMAINS_CONF.replace("Accounts:\n", &format!("{piece}Accounts:\n"));
    check(MOX_CONF, &domains_conf, want);
}

/// Each of `want` is the start of a fault, in order.
#[track_caller]
fn check(mox_conf: &str, domains_conf: &str, want: &[&str]) {
    let got = faults(mox_conf, domains_conf);
    let same = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| g.starts_with(w));
    assert!(same, "{mox_conf}\n{domains_conf}\n got {got:#?}\nwant {want:#?}");
}

#[test]
fn the_samples_are_valid() {
    check(MOX_CONF, DOMAINS_CONF, &[]);
}

#[test]
fn top_of_mox_conf() {
    let change = |from: &str, to: &str, want: &[&str]| {
        check(&MOX_CONF.replace(from, to), DOMAINS_CONF, want);
    };
    change("DataDir: data", "DataDir:", &["mox.conf:1: DataDir: is empty"]);
    change("info", "loud", &["mox.conf:2: bad log level: \"loud\": known are print fatal"]);
    change("mail.example.org", "mail.bücher.example", &[]);
    change(
        "mail.example.org",
        "mail.xn--bcher-kva.example",
        &[
            "mox.conf:3: bad domain: \"mail.xn--bcher-kva.example\": write it in Unicode, as \"mail.b\u{fc}cher",
        ],
    );
    change("mail.example.org", "a_b.example", &["mox.conf:3: Hostname: is not the name of a host"]);
    change(
        "Account: mjl",
        "Account: nobody",
        &[
            "domains.conf:4: Accounts: account \"nobody\", which mox.conf names as Postmaster.Account",
        ],
    );
    change("Mailbox: Postmaster", "Mailbox: a//b", &["mox.conf:14: bad mailbox name"]);
    check_static("PackageLogLevels:\n\tsmtp: trace\n\timap: x\n", &["mox.conf:17: bad log level"]);
    check_static("Hostnam: x\n", &["mox.conf:15: unknown key \"Hostnam\""]);
    check_static(
        "HostTLSRPT:\n\tAccount: nobody\n\tMailbox: TLSRPT\n\tLocalpart: \u{fc}\n",
        &[
            "mox.conf:18: HostTLSRPT.Localpart: must be ASCII",
            "domains.conf:4: Accounts: account \"nobody\", which mox.conf names as HostTLSRPT",
        ],
    );
}

#[test]
fn faults_of_syntax_and_meaning_are_told_together() {
    let mox_conf = MOX_CONF.replace("LogLevel: info", "LogLevel:info").replace("data", "")
        + "Transports:\n\tx:\n\t\tFail:\n\t\t\tSMTPCode: 300\n";
    let domains_conf =
        DOMAINS_CONF.replace("Separator: +", "Seperator: +") + "Routes:\n\t-\n\t\tTransport: y\n";
    check(
        &mox_conf,
        &domains_conf,
        &[
            "mox.conf:1: DataDir: is empty",
            "mox.conf:2: missing space after colon",
            "mox.conf:18: Transports.x.Fail.SMTPCode: must be from 400 to 599",
            "domains.conf:3: unknown key \"LocalpartCatchallSeperator\"",
            "domains.conf:11: Routes[0].Transport: there is no transport \"y\"",
        ],
    );
}

#[test]
fn providers() {
    let provider = |url: &str, contact: &str| {
        format!("ACME:\n\tle:\n\t\tDirectoryURL: {url}\n\t\tContactEmail: {contact}\n")
    };
    check_static(&provider("https://acme.example/dir", "a@example.org"), &[]);
    check_static(
        &provider("acme.example", "a"),
        &[
            "mox.conf:17: ACME.le.DirectoryURL: \"acme.example\" must be a URL",
            "mox.conf:18: ACME.le.ContactEmail: address has no @",
        ],
    );
}

#[test]
fn initial_mailboxes() {
    check_static("InitialMailboxes:\n\tRegular:\n\t\t- Lists\n", &[]);
    check_static("DefaultMailboxes:\n\t- Sent\n", &[]);
    check_static(
        "InitialMailboxes:\n\tSpecialUse:\n\t\tSent: inbox\n\t\tTrash: a/b\n\tRegular:\n\t\t- a/b\n",
        &[
            "mox.conf:17: InitialMailboxes.SpecialUse.Sent: Inbox is always made",
            "mox.conf:18: InitialMailboxes.SpecialUse.Trash: must be at the top",
            "mox.conf:20: InitialMailboxes.Regular[0]: mailbox a/b is named twice",
            "mox.conf:20: InitialMailboxes.Regular[0]: must be at the top",
        ],
    );
    check_static(
        "InitialMailboxes:\n\tRegular:\n\t\t- a\nDefaultMailboxes:\n\t- Sent\n",
        &["mox.conf:18: DefaultMailboxes: excludes InitialMailboxes"],
    );
    // Not in NFC.
    check_static("DefaultMailboxes:\n\t- u\u{308}\n", &["mox.conf:16: bad mailbox name"]);
}

#[test]
fn transports() {
    let transport = |lines: &str| format!("Transports:\n\tx:\n{lines}");
    check_static(&transport("\t\tDirect:\n\t\t\tDisableIPv6: true\n"), &[]);
    check_static(
        &transport("\t\tDirect:\n\t\t\tDisableIPv4: true\n\t\t\tDisableIPv6: true\n"),
        &["mox.conf:17: Transports.x.Direct: nothing is left"],
    );
    check_static(
        &transport("\t\tFail:\n\t\t\tSMTPCode: 421\n\t\tSMTP:\n\t\t\tHost: a.example\n"),
        &["mox.conf:16: Transports.x: has more than one kind"],
    );
    check_static(
        &transport("\t\tFail:\n\t\t\tSMTPCode: 600\n\t\t\tSMTPMessage: caf\u{e9}\n"),
        &[
            "mox.conf:18: Transports.x.Fail.SMTPCode: must be from 400",
            "mox.conf:19: Transports.x.Fail.SMTPMessage: may have printable ASCII",
        ],
    );
    check_static(
        &transport("\t\tSubmissions:\n\t\t\tHost: a.example\n\t\t\tNoSTARTTLS: true\n"),
        &["mox.conf:17: Transports.x.Submissions: has TLS from the start"],
    );
    let auth = "\t\tSMTP:\n\t\t\tHost: a.example\n\t\t\tAuth:\n\t\t\t\tUsername: a\n\t\t\t\tPassword: b\n\
                \t\t\t\tMechanisms:\n\t\t\t\t\t- PLAIN\n\t\t\t\t\t- PLAIN\n\t\t\t\t\t- LOGIN\n";
    check_static(
        &transport(auth),
        &[
            "mox.conf:24: Transports.x.SMTP.Auth.Mechanisms[1]: PLAIN is named twice",
            "mox.conf:25: bad SASL mechanism: \"LOGIN\": known are SCRAM-SHA-256-PLUS",
        ],
    );
    let socks = |address: &str| {
        transport(&format!(
            "\t\tSocks:\n\t\t\tAddress: {address}\n\t\t\tRemoteIPs:\n\t\t\t\t- 192.0.2.1\n\
             \t\t\tRemoteHostname: proxy.example\n"
        ))
    };
    check_static(&socks("localhost:1080"), &[]);
    check_static(&socks("localhost"), &["mox.conf:18: Transports.x.Socks.Address: must be a host"]);
    check_static(
        &socks("localhost:0"),
        &["mox.conf:18: Transports.x.Socks.Address: must be a host"],
    );
}

#[test]
fn services_that_need_tls() {
    for name in [
        "Submission",
        "Submissions",
        "IMAPS",
        "AccountHTTPS",
        "AdminHTTPS",
        "WebmailHTTPS",
        "WebAPIHTTPS",
        "AutoconfigHTTPS",
        "MTASTSHTTPS",
        "WebserverHTTPS",
    ] {
        let piece = format!("\t\t{name}:\n\t\t\tEnabled: true\n");
        let want = format!("mox.conf:12: Listeners.public.{name}: needs certificates");
        check_listener(&piece, &[&want]);
        check_listener(&piece.replace("true", "false"), &[]);
    }
    check(
        &MOX_CONF.replace("\t\t\tNoSTARTTLS: true\n", ""),
        DOMAINS_CONF,
        &[
            "mox.conf:9: Listeners.public.SMTP: needs certificates: add TLS to the listener, or set No",
        ],
    );
    check_listener("\t\tSubmission:\n\t\t\tEnabled: true\n\t\t\tNoRequireSTARTTLS: true\n", &[]);
    check_listener("\t\tMTASTSHTTPS:\n\t\t\tEnabled: true\n\t\t\tNonTLS: true\n", &[]);
    check_listener("\t\tIMAP:\n\t\t\tEnabled: true\n", &[]);
    check_listener(
        "\t\t\tRequireSTARTTLS: true\n",
        &["mox.conf:12: Listeners.public.SMTP.RequireSTARTTLS: excludes NoSTARTTLS"],
    );
}

#[test]
fn certificates_of_listeners() {
    let pair = "\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a.pem\n\t\t\t\t\tKeyFile: b.pem\n";
    check_listener(&format!("\t\tTLS:\n{pair}"), &[]);
    check_listener(
        &format!("\t\tTLS:\n\t\t\tACME: le\n{pair}"),
        &[
            "mox.conf:12: Listeners.public.TLS: has both ACME and KeyCerts",
            "mox.conf:13: Listeners.public.TLS.ACME: there is no provider \"le\"",
        ],
    );
    check_listener(
        "\t\tTLS:\n\t\t\tMinVersion: TLSv1.3\n",
        &["mox.conf:12: Listeners.public.TLS: has no certificates"],
    );
    check_listener(
        &format!("\t\tTLS:\n\t\t\tMinVersion: 1.3\n{pair}"),
        &["mox.conf:13: bad TLS version: \"1.3\": known are TLSv1.0"],
    );
    check_listener(
        &format!("\t\tTLS:\n{}", pair.replace("b.pem", "")),
        &["mox.conf:16: Listeners.public.TLS.KeyCerts[0].KeyFile: is empty"],
    );
}

#[test]
fn addresses_and_ports_of_listeners() {
    let web = |name: &str, rest: &str| format!("\t\t{name}:\n\t\t\tEnabled: true\n{rest}");
    check_listener(&(web("AccountHTTP", "") + &web("AdminHTTP", "")), &[]);
    check_listener(
        &(web("AccountHTTP", "") + &web("PprofHTTP", "\t\t\tPort: 80\n")),
        &["mox.conf:14: Listeners.public.PprofHTTP: port 80 of 127.0.0.1 is used by AccountHTTP"],
    );
    check_listener(
        &web("AccountHTTP", "\t\t\tPort: 25\n"),
        &["mox.conf:12: Listeners.public.AccountHTTP: port 25 of 127.0.0.1 is used by SMTP"],
    );
    // On the port of HTTPS, which others share that speak TLS.
    let tls = "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a\n\t\t\t\t\tKeyFile: b\n";
    let on_https = "\t\t\tEnabledOnHTTPS: true\n";
    check_listener(&(web("IMAPS", on_https) + &web("AccountHTTPS", "") + tls), &[]);
    check_listener(
        &(web("IMAPS", on_https) + &web("AccountHTTP", "\t\t\tPort: 443\n") + tls),
        &["mox.conf:15: Listeners.public.AccountHTTP: port 443 of 127.0.0.1 is used by IMAPS"],
    );
    check_listener(
        &(web("Submissions", "\t\t\tPort: 443\n\t\t\tEnabledOnHTTPS: true\n") + tls),
        &[
            "mox.conf:12: Listeners.public.Submissions: port 443 of 127.0.0.1 is used by Submissions",
        ],
    );
    // Challenges of ACME come there too.
    let acme = "\t\tTLS:\n\t\t\tACME: le\n";
    let provider = "ACME:\n\tle:\n\t\tDirectoryURL: https://acme.example/\n\t\tRenewBefore: 720h\n\
                    \t\tContactEmail: mjl@example.org\nPostmaster:\n";
    let with_acme = |services: &str| {
        let listener = format!("{acme}{services}{provider}");
        MOX_CONF.replace("Postmaster:\n", &listener)
    };
    check(&with_acme(&web("AccountHTTPS", "")), DOMAINS_CONF, &[]);
    let plain = web("AccountHTTP", "\t\t\tPort: 443\n");
    let want = "Listeners.public.AccountHTTP: port 443 of 127.0.0.1 is used by TLS";
    check(&with_acme(&plain), DOMAINS_CONF, &[&format!("mox.conf:14: {want}")]);
    check_listener(
        &web("AccountHTTP", "\t\t\tPath: x/\n"),
        &["mox.conf:14: Listeners.public.AccountHTTP.Path: must start with a slash"],
    );
    check_listener(
        "\tother:\n\t\tIPs:\n\t\t\t- 0.0.0.0\n\t\tSMTP:\n\t\t\tEnabled: true\n\t\t\tNoSTARTTLS: true\n",
        &[
            "mox.conf:9: Listeners.public.SMTP: port 25 of 0.0.0.0 is used by SMTP of listener \"other\"",
        ],
    );
    check_listener(
        "\tother:\n\t\tIPs:\n\t\t\t- ::1\n\t\t\t- ::1\n",
        &["mox.conf:15: Listeners.other.IPs[1]: ::1 is named twice"],
    );
    check_listener(
        "\t\tNATIPs:\n\t\t\t- 192.0.2.1\n\t\t\t- 127.0.0.1\n\t\tIPsNATed: true\n",
        &[
            "mox.conf:14: Listeners.public.NATIPs[1]: 127.0.0.1 must be an address that the internet",
            "mox.conf:15: Listeners.public.IPsNATed: excludes NATIPs",
        ],
    );
    let non_tls = "\t\t\tNonTLS: true\n";
    check_listener(&(web("AutoconfigHTTPS", non_tls) + &web("MTASTSHTTPS", non_tls)), &[]);
    check_listener(
        &(web("AutoconfigHTTPS", non_tls)
            + &web("MTASTSHTTPS", "")
            + "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a\n\t\t\t\t\tKeyFile: b\n"),
        &[
            "mox.conf:14: Listeners.public.AutoconfigHTTPS.NonTLS: must agree",
            "mox.conf:15: Listeners.public.MTASTSHTTPS: port 443 of 127.0.0.1 is used by Autoconfig",
        ],
    );
}

#[test]
fn keys_without_effect_are_noted() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let mox_conf = MOX_CONF.replace(
        "Postmaster:\n",
        "\t\tAdminHTTP:\n\t\t\tEnabled: true\n\t\tPprofHTTP:\n\t\t\tEnabled: true\n\
         \t\tIMAP:\n\t\t\tEnabled: true\nPostmaster:\n",
    ) + "CheckUpdates: false\nUser: mail\n";
    write("mox.conf", &mox_conf);
    let more = "\t\tFullName: M\n\tother:\n\t\tDomain: example.org\n\
                \t\tFullName: M\n\t\tDestinations:\n\t\t\tother: nil\n";
    write("domains.conf", &format!("{DOMAINS_CONF}{more}"));
    let report = crate::test(dir.path());
    assert_eq!(report.faults, []);
    let notices: Vec<_> = report
        .notices
        .iter()
        .map(|notice| format!("{}: {}", notice.line, notice.message))
        .collect();
    assert_eq!(
        notices,
        [
            "12: Listeners.public.AdminHTTP: no effect yet, planned for the admin pages",
            "14: Listeners.public.PprofHTTP: has no effect: what it served is of another runtime; tools \
         of the system such as perf show where this program spends its time",
            "16: Listeners.public.IMAP: nobody can log in: add TLS to the listener, or set \
         NoRequireSTARTTLS",
            "9: Accounts.mjl.FullName: no effect yet, here and in 1 more places, \
         planned for webmail",
            "14: Accounts.other.Destinations.other: a localpart alone is deprecated: write \
         other@example.org",
        ]
    );
}

#[test]
fn named_files_must_be_there_and_hold_what_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let mox_conf = MOX_CONF.replace(
        "Postmaster:\n",
        "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: cert.pem\n\t\t\t\t\tKeyFile: key.pem\n\
         Postmaster:\n",
    );
    write("mox.conf", &mox_conf);
    write("domains.conf", DOMAINS_CONF);
    write("cert.pem", "-----BEGIN RSA PRIVATE KEY-----\n");
    let faults = || -> Vec<(usize, String)> {
        let report = crate::test(&dir.path().join("mox.conf"));
        report.faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
    };
    let got = faults();
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(got[0].0 == 15 && got[0].1.contains("cert.pem holds no certificate"), "{got:?}");
    assert!(got[1].0 == 16 && got[1].1.contains("key.pem: No such file"), "{got:?}");
    write("cert.pem", "-----BEGIN CERTIFICATE-----\n");
    write("key.pem", "-----BEGIN RSA PRIVATE KEY-----\n");
    assert_eq!(faults(), []);
}

#[test]
fn files_that_cannot_be_read_are_faults() {
    let dir = tempfile::tempdir().unwrap();
    let report = crate::test(Path::new(dir.path()));
    let text: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
    // A directory without mox.conf.
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].contains("mox.conf: cannot be read: No such file"), "{text:?}");
    std::fs::write(dir.path().join("mox.conf"), MOX_CONF).unwrap();
    std::fs::write(dir.path().join("domains.conf"), b"Domains:\n\texample.org: \xff\n").unwrap();
    let report = crate::test(dir.path());
    assert!(report.faults[0].message.ends_with("line 2 is not valid UTF-8"), "{report:?}");
}
