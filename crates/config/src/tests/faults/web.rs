//! Faults of handlers of web requests.

use super::super::{DOMAINS_CONF, MOX_CONF};
use super::{check, check_dynamic};

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
