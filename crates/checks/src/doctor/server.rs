//! Whether the server runs, and is kept from what is not its own.

use super::Facts;
use crate::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &facts.server {
        None => findings.push(Finding::error(
            "the server does not run",
            "Start it: systemctl start mox (or \"mox serve\" as root). If it does not stay up, its last \
             words are in: journalctl -u mox",
        )),
        Some(server) if server.version != env!("CARGO_PKG_VERSION") => {
            findings.push(Finding::note(
                format!(
                    "the server that runs is version {}, this program is {}",
                    server.version,
                    env!("CARGO_PKG_VERSION")
                ),
                "Go over to the new one without refusing a connection: mox restart",
            ));
        }
        Some(server) => findings.push(Finding::ok(format!("the server runs, version {}", server.version))),
    }
    if let Some(release) = &facts.newer_release {
        findings.push(Finding::note(
            format!("version {release} is available"),
            "See what has changed: mox checkupdate\nMake a backup, install it, then: mox restart",
        ));
    }
    match facts.unconfined.as_deref() {
        None => {}
        Some([]) => findings.push(Finding::ok("the server can read nothing but its own files")),
        Some(lines) => findings.push(Finding::warning(
            format!("the server is not kept from other files: {}", lines.join("; ")),
            "Start it as root, so that it can give up its rights, on a kernel with landlock (Linux 5.13 or \
             later with landlock in CONFIG_LSM). It works without, with one wall less.",
        )),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::doctor::ServerFacts;
    use crate::tests::NOW;

    #[track_caller]
    fn check(version: Option<&str>, unconfined: Option<&[&str]>, want: &[Level]) {
        let mut facts = Facts::at(NOW);
        facts.server = version
            .map(|version| ServerFacts { version: version.to_owned(), ..ServerFacts::default() });
        facts.unconfined = unconfined.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        let levels: Vec<_> = judge(&facts).into_iter().map(|one| one.level).collect();
        assert_eq!(levels, want);
    }

    #[test]
    fn a_server_must_run_and_be_confined() {
        check(Some(env!("CARGO_PKG_VERSION")), Some(&[]), &[Level::Ok, Level::Ok]);
        check(Some("0.0.1"), None, &[Level::Note]);
        check(None, None, &[Level::Error]);
        let mut facts = Facts::at(NOW);
        facts.newer_release = Some("v9.0.0".to_owned());
        assert_eq!(judge(&facts)[1].what, "version v9.0.0 is available");
        let open = &["/etc/shadow"][..];
        check(Some(env!("CARGO_PKG_VERSION")), Some(open), &[Level::Ok, Level::Warning]);
    }
}
