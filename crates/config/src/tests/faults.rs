//! Each fault of both files, with its line, and the notices.

use std::path::Path;

use super::{DOMAINS_CONF, MOX_CONF, faults};

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
fn separators() {
    check_domain(
        "\t\tLocalpartCatchallSeparators:\n\t\t\t- +\n\t\t\t- -\n",
        &["domains.conf:4: Domains.example.org.LocalpartCatchallSeparators: excludes"],
    );
    let list =
        |items: &str| DOMAINS_CONF.replace("Separator: +\n", &format!("Separators:\n{items}"));
    check(MOX_CONF, &list("\t\t\t- +\n\t\t\t- --\n"), &[]);
    check(
        MOX_CONF,
        &list("\t\t\t- +\n\t\t\t- +\n\t\t\t- \n"),
        &[
            "domains.conf:5: Domains.example.org.LocalpartCatchallSeparators[1]: \"+\" is there twice",
            "domains.conf:6: Domains.example.org.LocalpartCatchallSeparators[2]: is empty",
        ],
    );
}

#[test]
fn dkim() {
    let dkim = |selector: &str, sign: &str| {
        format!(
            "\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\t2024a:\n\t\t\t\t\tPrivateKeyFile: k\n{selector}\
             \t\t\tSign:\n{sign}"
        )
    };
    check_domain(&dkim("", "\t\t\t\t- 2024a\n"), &[]);
    check_domain(&dkim("", "\t\t\t\t- 2024a\n").replace("2024a", "2024"), &[]);
    check_domain(
        &dkim("", "\t\t\t\t- 2024a\n\t\t\t\t- 2024a\n\t\t\t\t- b\n"),
        &[
            "domains.conf:10: Domains.example.org.DKIM.Sign[1]: \"2024a\" is there twice",
            "domains.conf:11: Domains.example.org.DKIM.Sign[2]: there is no selector \"b\"",
        ],
    );
    check_domain(
        &dkim("\t\t\t\t\tHeaders:\n\t\t\t\t\t\t- To\n", "\t\t\t\t- 2024a\n"),
        &["domains.conf:8: Domains.example.org.DKIM.Selectors.2024a.Headers: must have From"],
    );
    check_domain(
        &dkim("\t\t\t\t\tHash: md5\n", "\t\t\t\t- 2024a\n"),
        &["domains.conf:8: bad DKIM hash"],
    );
    check_domain(
        &dkim("", "\t\t\t\t- a b\n").replace("2024a", "a b"),
        &["domains.conf:6: Domains.example.org.DKIM.Selectors.a b: \"a b\" is not a name for DNS"],
    );
}

#[test]
fn reports_and_policies() {
    let dmarc = |localpart: &str, rest: &str| {
        format!("\t\tDMARC:\n\t\t\tLocalpart: {localpart}\n\t\t\tMailbox: DMARC\n{rest}")
    };
    check_domain(&dmarc("reports", "\t\t\tAccount: mjl\n"), &[]);
    check_domain(
        &dmarc("\u{fc}", "\t\t\tAccount: x\n\t\t\tDomain: other.example\n"),
        &[
            "domains.conf:5: Domains.example.org.DMARC.Localpart: must be ASCII",
            "domains.conf:7: Domains.example.org.DMARC.Account: there is no account \"x\"",
            "domains.conf:8: Domains.example.org.DMARC.Domain: other.example is not a configured domain",
        ],
    );
    let other = "\tother:\n\t\tDomain: example.org\n";
    check(
        MOX_CONF,
        &(DOMAINS_CONF.replace(
            "Accounts:\n",
            &format!("{}Accounts:\n", dmarc("mjl", "\t\t\tAccount: other\n")),
        ) + other),
        &[
            "domains.conf:5: Domains.example.org.DMARC.Localpart: the address belongs to account \"mjl\"",
        ],
    );
    let policy = "\t\tMTASTS:\n\t\t\tPolicyID: 2024-1\n\t\t\tMode: strict\n\t\t\tMaxAge: 8767h\n\
                  \t\t\tMX:\n\t\t\t\t- *.example.org\n\t\t\t\t- a.*.example.org\n";
    check_domain(
        policy,
        &[
            "domains.conf:4: Domains.example.org.MTASTS: no listener serves it",
            "domains.conf:5: Domains.example.org.MTASTS.PolicyID: must be 1 to 32 letters and digits",
            "domains.conf:6: bad MTA-STS mode: \"strict\": known are enforce testing none",
            "domains.conf:7: Domains.example.org.MTASTS.MaxAge: must be a year at most",
            "domains.conf:10: Domains.example.org.MTASTS.MX[1]: \"a.*.example.org\"",
        ],
    );
}

#[test]
fn routes() {
    let with = |list: &str| {
        let mox_conf = format!("{MOX_CONF}Transports:\n\tx: nil\n");
        let domains_conf =
            format!("{DOMAINS_CONF}Routes:\n\t-\n\t\tToDomain:\n{list}\t\tTransport: x\n");
        (mox_conf, domains_conf)
    };
    let (mox_conf, domains_conf) = with("\t\t\t- .example.org\n\t\t\t- .\n");
    check(&mox_conf, &domains_conf, &[]);
    let (mox_conf, domains_conf) = with("\t\t\t- ..example\n");
    check(&mox_conf, &domains_conf, &["domains.conf:12: Routes[0].ToDomain[0]: \"..example\""]);
    check_domain(
        "\t\tRoutes:\n\t\t\t-\n\t\t\t\tTransport: y\n",
        &["domains.conf:6: Domains.example.org.Routes[0].Transport: there is no transport \"y\""],
    );
}

#[test]
fn addresses() {
    check_dynamic(
        "\t\t\tx@other.example: nil\n\t\t\t@none.example: nil\n",
        &[
            "domains.conf:9: Accounts.mjl.Destinations.x@other.example: other.example is not a configured",
            "domains.conf:10: Accounts.mjl.Destinations.@none.example: none.example is not a configured",
        ],
    );
    check_dynamic(
        "\t\t\tMjl@example.org: nil\n",
        &[
            "domains.conf:8: Accounts.mjl.Destinations.mjl@example.org: the address belongs to account \"mjl\"",
        ],
    );
    check_dynamic(
        "\t\t\tmjl@Example.org: nil\n",
        &["domains.conf:9: duplicate key \"mjl@Example.org\""],
    );
    check_dynamic("\t\t\tmjl: nil\n", &["domains.conf:9: Accounts.mjl.Destinations.mjl: the"]);
    check_dynamic(
        "\t\t\ta+b@example.org: nil\n",
        &[
            "domains.conf:9: Accounts.mjl.Destinations.a+b@example.org: contains a catch-all separator",
        ],
    );
    check_dynamic(
        "\t\t\ta b@example.org: nil\n",
        &["domains.conf:9: bad address: \"a b@example.org\""],
    );
    check_dynamic("\t\t\ta@\n", &["domains.conf:9: expected `key: value`"]);
    check_dynamic(
        "\t\t\t@example.org: nil\n\tother:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\t@example.org: nil\n",
        &[
            "domains.conf:13: Accounts.other.Destinations.@example.org: the address belongs to account \"mjl\"",
        ],
    );
}

#[test]
fn aliases() {
    let alias = |name: &str, members: &str| {
        format!("\t\tAliases:\n\t\t\t{name}:\n\t\t\t\tAddresses:\n{members}")
    };
    let member = "\t\t\t\t\t- mjl@example.org\n";
    check_domain(&alias("team", member), &[]);
    check_domain(
        &alias("mjl", member),
        &[
            "domains.conf:5: Domains.example.org.Aliases.mjl: the address belongs to account \"mjl\"",
        ],
    );
    check_domain(
        &alias("a+b", member),
        &["domains.conf:5: Domains.example.org.Aliases.a+b: contains"],
    );
    check_domain(
        &alias("team", "\t\t\t\t\t- MJL+x@example.org\n\t\t\t\t\t- mjl@example.org\n"),
        &["domains.conf:8: Domains.example.org.Aliases.team.Addresses[1]: is a member already"],
    );
    check_domain(
        &alias(
            "team",
            "\t\t\t\t\t- team@example.org\n\t\t\t\t\t- x@example.org\n\t\t\t\t\t- a@b.example\n",
        ),
        &[
            "domains.conf:7: Domains.example.org.Aliases.team.Addresses[0]: an alias cannot be a member",
            "domains.conf:8: Domains.example.org.Aliases.team.Addresses[1]: no account has the address x@",
            "domains.conf:9: Domains.example.org.Aliases.team.Addresses[2]: no account has the address a@",
        ],
    );
    check_domain(
        &(alias("team", member) + "\t\t\tTeam:\n\t\t\t\tAddresses:\n" + member),
        &["domains.conf:5: Domains.example.org.Aliases.team: the same alias is there twice"],
    );
}

#[test]
fn an_alias_has_only_so_many_members() {
    let check = |count: usize, want: &[&str]| {
        let addresses: Vec<String> = (0..count).map(|n| format!("m{n}@example.org")).collect();
        let members: String = addresses.iter().map(|a| format!("\t\t\t\t\t- {a}\n")).collect();
        let alias = format!("\t\tAliases:\n\t\t\tteam:\n\t\t\t\tAddresses:\n{members}");
        let destinations: String = addresses.iter().map(|a| format!("\t\t\t{a}: nil\n")).collect();
        let domains_conf = DOMAINS_CONF.replace("Accounts:\n", &format!("{alias}Accounts:\n"));
        check(MOX_CONF, &(domains_conf + &destinations), want);
    };
    check(crate::ALIAS_MEMBERS_MAX, &[]);
    let want =
        "domains.conf:6: Domains.example.org.Aliases.team.Addresses: an alias has 1000 members";
    check(crate::ALIAS_MEMBERS_MAX + 1, &[want]);
}

#[test]
fn accounts() {
    check_dynamic(
        "\t.hidden:\n\t\tDomain: example.org\n\ta/b:\n\t\tDomain: none.example\n",
        &[
            "domains.conf:9: Accounts..hidden: the name of an account must not start with a dot",
            "domains.conf:11: Accounts.a/b: the name of an account",
            "domains.conf:12: Accounts.a/b.Domain: none.example is not a configured domain",
        ],
    );
    check_dynamic("\t\tLoginDisabled: moved to another server\n", &[]);
    check_dynamic(
        &format!("\t\tLoginDisabled: {}\n", "x".repeat(257)),
        &["domains.conf:9: Accounts.mjl.LoginDisabled: is over 256 characters"],
    );
    check_dynamic(
        "\t\tIncomingWebhook:\n\t\t\tURL: ftp://example.org\n",
        &["domains.conf:10: Accounts.mjl.IncomingWebhook.URL: \"ftp://example.org\" must be a URL"],
    );
    check_dynamic(
        "\t\tOutgoingWebhook:\n\t\t\tURL: https://me:secret@h.example/x@y\n",
        &["domains.conf:10: Accounts.mjl.OutgoingWebhook.URL: must be without user name"],
    );
    check_dynamic("\t\tIncomingWebhook:\n\t\t\tURL: https://h.example/x@y\n", &[]);
    check_dynamic(
        "\t\tOutgoingWebhook:\n\t\t\tURL: http://localhost:8080/x\n\t\t\tEvents:\n\t\t\t\t- delivered\n\t\t\t\t- sent\n",
        &["domains.conf:13: bad webhook event: \"sent\": known are delivered suppressed"],
    );
    check_dynamic(
        "\t\tFromIDLoginAddresses:\n\t\t\t- mjl@example.org\n\t\t\t- x@example.org\n",
        &[
            "domains.conf:11: Accounts.mjl.FromIDLoginAddresses[1]: x@example.org is no address of this",
        ],
    );
    check(
        MOX_CONF,
        &(DOMAINS_CONF.replace("\t\tLocalpartCatchallSeparator: +\n", "\t\tDescription: x\n")
            + "\t\tFromIDLoginAddresses:\n\t\t\t- mjl@example.org\n"),
        &["domains.conf:10: Accounts.mjl.FromIDLoginAddresses[0]: example.org needs a separator"],
    );
    check_dynamic("\t\tRejectsMailbox: Rejects\n\t\tIntrobox: Intro\n", &[]);
    check_dynamic(
        "\t\tRejectsMailbox: inbox\n\t\tIntrobox: INBOX\n",
        &[
            "domains.conf:9: Accounts.mjl.RejectsMailbox: must not be Inbox",
            "domains.conf:10: Accounts.mjl.Introbox: must not be Inbox",
        ],
    );
    check_dynamic(
        "\t\tRejectsMailbox: R\n\t\tIntrobox: R\n",
        &["domains.conf:10: Accounts.mjl.Introbox: must not be the RejectsMailbox"],
    );
    check_dynamic(
        "\t\tIMAPCapabilitiesDisabled:\n\t\t\t- IDLE\n\t\t\t- Move\n",
        &[
            "domains.conf:11: Accounts.mjl.IMAPCapabilitiesDisabled[1]: \"Move\" must be a name in upper",
        ],
    );
    check_dynamic(
        "\t\tAutomaticJunkFlags:\n\t\t\tEnabled: true\n\t\t\tJunkMailboxRegexp: ^(junk\n",
        &["domains.conf:11: bad regular expression: \"^(junk\": error: unclosed group"],
    );
}

#[test]
fn junk_filters() {
    let filter = |threshold: &str, power: &str, top: &str| {
        format!(
            "\t\tJunkFilter:\n\t\t\tThreshold: {threshold}\n\t\t\tMaxPower: {power}\n\t\t\tTopWords: {top}\n"
        )
    };
    check_dynamic(&filter("0.95", "0.5", "0"), &[]);
    // As the original writes it.
    let params = |more: &str| {
        format!(
            "\t\tJunkFilter:\n\t\t\tThreshold: 0.95\n\t\t\tParams:\n\t\t\t\tMaxPower: 0.6\n\
             \t\t\t\tTopWords: 10\n{more}"
        )
    };
    let power = "domains.conf:12: Accounts.mjl.JunkFilter.Params.MaxPower: must be from 0 to 0.5";
    check_dynamic(&params(""), &[power]);
    let beside = "domains.conf:14: Accounts.mjl.JunkFilter.TopWords: stands beside Params: leave it out here";
    check_dynamic(&params("\t\t\tTopWords: 3\n"), &[power, beside]);
    check_dynamic(
        "\t\tJunkFilter:\n\t\t\tThreshold: 0.95\n\t\t\tTopWords: 3\n",
        &[
            "domains.conf:9: Accounts.mjl.JunkFilter: missing required key \"Params\", or MaxPower and TopWords in its place",
        ],
    );
    check_dynamic(
        &filter("1.000001", "0.500001", "-1"),
        &[
            "domains.conf:10: Accounts.mjl.JunkFilter.Threshold: must be from 0 to 1",
            "domains.conf:11: Accounts.mjl.JunkFilter.MaxPower: must be from 0 to 0.5",
            "domains.conf:12: Accounts.mjl.JunkFilter.TopWords: must not be negative",
        ],
    );
}

#[test]
fn destinations() {
    let destination = |lines: &str| format!("\t\t\tx@example.org:\n{lines}");
    let error = |text: &str| destination(&format!("\t\t\t\tSMTPError: {text}\n"));
    check_dynamic(&error("421"), &[]);
    check_dynamic(&error("550 moved away"), &[]);
    check_dynamic(
        &error("450 x"),
        &["domains.conf:10: Accounts.mjl.Destinations.x@example.org.SMTPError: must start"],
    );
    check_dynamic(
        &error("550moved"),
        &["domains.conf:10: Accounts.mjl.Destinations.x@example.org.SMTPError: must start"],
    );
    check_dynamic(
        &(error("550 caf\u{e9}") + "\t\t\t\tMailbox: X\n"),
        &[
            "domains.conf:10: Accounts.mjl.Destinations.x@example.org.SMTPError: may have printable",
            "domains.conf:10: Accounts.mjl.Destinations.x@example.org.SMTPError: refuses all mail",
        ],
    );
    let rules = |lines: &str| {
        destination(&format!("\t\t\t\tRulesets:\n\t\t\t\t\t-\n{lines}\t\t\t\t\t\tMailbox: Lists\n"))
    };
    let from = "\t\t\t\t\t\tSMTPMailFromRegexp: ^a@b$\n";
    check_dynamic(&rules(from), &[]);
    check_dynamic(
        &rules(""),
        &["domains.conf:11: Accounts.mjl.Destinations.x@example.org.Rulesets[0]: matches"],
    );
    let headers = "\t\t\t\t\t\tHeadersRegexp:\n";
    check_dynamic(&rules(&format!("{headers}\t\t\t\t\t\t\t^list-id$: ^<\\S+>$\n")), &[]);
    check_dynamic(
        &rules(&format!("{headers}\t\t\t\t\t\t\t^List-Id$: x\n\t\t\t\t\t\t\t(: x\n")),
        &[
            "domains.conf:13: Accounts.mjl.Destinations.x@example.org.Rulesets[0].HeadersRegexp.^List-Id$: must be",
            "domains.conf:14: Accounts.mjl.Destinations.x@example.org.Rulesets[0].HeadersRegexp.(: bad regular",
        ],
    );
    let forward = "\t\t\t\t\t\tIsForward: true\n";
    check_dynamic(
        &rules(&format!("{from}{forward}")),
        &["domains.conf:13: Accounts.mjl.Destinations.x@example.org.Rulesets[0].IsForward: needs"],
    );
    let verified = "\t\t\t\t\t\tVerifiedDomain: b.example\n";
    check_dynamic(&rules(&format!("{from}{verified}{forward}")), &[]);
    check_dynamic(
        &rules(&format!(
            "{from}{verified}{forward}\t\t\t\t\t\tListAllowDomain: b.example\n\
             \t\t\t\t\t\tAcceptRejectsToMailbox: Inbox\n"
        )),
        &[
            "domains.conf:14: Accounts.mjl.Destinations.x@example.org.Rulesets[0].IsForward: excludes",
            "domains.conf:16: Accounts.mjl.Destinations.x@example.org.Rulesets[0].AcceptRejectsToMailbox",
        ],
    );
}

/// Both files with a handler for a path, and a listener that serves it.
fn handler(path: &str, lines: &str) -> (String, String) {
    let mox_conf =
        MOX_CONF.replace("Postmaster:\n", "\t\tWebserverHTTP:\n\t\t\tEnabled: true\nPostmaster:\n");
    let handler =
        format!("WebHandlers:\n\t-\n\t\tDomain: example.org\n\t\tPathRegexp: {path}\n{lines}");
    (mox_conf, format!("{DOMAINS_CONF}{handler}"))
}

/// Checks the faults of a handler; its `PathRegexp` is line 12 of `domains.conf`.
#[track_caller]
fn check_pair((mox_conf, domains_conf): (String, String), want: &[&str]) {
    check(&mox_conf, &domains_conf, want);
}

/// Serves the files of a directory.
const FILES: &str = "\t\tWebStatic:\n\t\t\tStripPrefix: /a/\n\t\t\tRoot: /srv\n";

#[test]
fn web_files() {
    check_pair(handler("^/a/", FILES), &[]);
    check_pair(
        handler("/a/", ""),
        &[
            "domains.conf:10: WebHandlers[0]: must have exactly one of",
            "domains.conf:12: WebHandlers[0].PathRegexp: must start with ^",
        ],
    );
    check_pair(
        handler("^/", &FILES.replace("/a/", "a/").replace("/srv", "")),
        &[
            "domains.conf:14: WebHandlers[0].WebStatic.StripPrefix: must start",
            "domains.conf:15: WebHandlers[0].WebStatic.Root: is empty",
        ],
    );
    check_pair(
        handler(
            "^/",
            &format!("{FILES}\t\t\tResponseHeaders:\n\t\t\t\tX-A : b\n\t\t\t\tX-B: b \n"),
        ),
        &[
            "domains.conf:17: WebHandlers[0].WebStatic.ResponseHeaders.X-A : \"X-A \" is not the name",
            "domains.conf:18: WebHandlers[0].WebStatic.ResponseHeaders.X-B: the value has spaces",
        ],
    );
}

#[test]
fn web_redirects_and_forwards() {
    let redirect = |lines: &str| handler("^/", &format!("\t\tWebRedirect:\n{lines}"));
    check_pair(redirect("\t\t\tBaseURL: https://example.org?q=1#x\n"), &[]);
    check_pair(
        redirect("\t\t\tBaseURL: https://example.org/x\n\t\t\tStatusCode: 200\n"),
        &[
            "domains.conf:14: WebHandlers[0].WebRedirect.BaseURL: must have no path",
            "domains.conf:15: WebHandlers[0].WebRedirect.StatusCode: must be from 300",
        ],
    );
    check_pair(
        redirect("\t\t\tOrigPathRegexp: ^/x\n"),
        &["domains.conf:13: WebHandlers[0].WebRedirect: needs both OrigPathRegexp and ReplacePath"],
    );
    check_pair(
        handler("^/", "\t\tWebForward:\n\t\t\tURL: localhost:80\n"),
        &["domains.conf:14: WebHandlers[0].WebForward.URL: \"localhost:80\" must be a URL"],
    );
    check_pair(
        handler("^/", "\t\tWebInternal:\n\t\t\tBasePath: /x\n\t\t\tService: pop3\n"),
        &[
            "domains.conf:14: WebHandlers[0].WebInternal.BasePath: must start and end",
            "domains.conf:15: bad service: \"pop3\": known are admin account webmail webapi",
        ],
    );
    let (_, domains_conf) = handler("^/a/", FILES);
    check(MOX_CONF, &domains_conf, &["domains.conf:9: WebHandlers: no listener serves it"]);
    let (mox_conf, _) = handler("^/", "");
    check(
        &mox_conf,
        &format!("{DOMAINS_CONF}WebDomainRedirects:\n\ta.example: a.example\n"),
        &["domains.conf:10: WebDomainRedirects.a.example: redirects to itself"],
    );
    check_dynamic(
        "MonitorDNSBLs:\n\t- bl.example\n\t- bl.example\n",
        &["domains.conf:11: MonitorDNSBLs[1]: is in the list already"],
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
