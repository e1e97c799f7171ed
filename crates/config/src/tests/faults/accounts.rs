//! Faults of accounts.

use super::super::{DOMAINS_CONF, MOX_CONF};
use super::{check, check_dynamic};

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
