//! Faults of domains, addresses and aliases.

use super::super::{DOMAINS_CONF, MOX_CONF};
use super::{check, check_domain, check_dynamic};

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
