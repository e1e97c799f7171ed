//! The invariants of the fuzz target, on generated text.

#[cfg(test)]
mod examples;
mod invariants;

use proptest::prelude::*;

/// A `domains.conf` of a few addresses in unlike spellings, often valid.
fn domains_conf() -> impl Strategy<Value = String> {
    let domain = "(a|b|\u{fc})\\.example";
    let localpart = "([aA\u{3a9}\u{130}]|b-c|postmaster|\"\"|\"x y\"|e\u{301}){1}";
    let addresses = proptest::collection::vec((localpart, domain), 1..4);
    (addresses, "(|\\+|-|--)", any::<bool>()).prop_map(|(addresses, separator, sensitive)| {
        let domains: String = ["a.example", "b.example", "\u{fc}.example"]
            .iter()
            .map(|name| {
                format!(
                    "\t{name}:\n\t\tLocalpartCatchallSeparator: {separator}\n\
                     \t\tLocalpartCaseSensitive: {sensitive}\n"
                )
            })
            .collect();
        let addresses: String = addresses
            .iter()
            .map(|(localpart, domain)| format!("\t\t\t{localpart}@{domain}: nil\n"))
            .collect();
        format!("Domains:\n{domains}Accounts:\n\ta:\n\t\tDomain: a.example\n\t\tDestinations:\n{addresses}")
    })
}

#[test]
fn a_valid_file_is_among_them() {
    invariants::check(
        "Domains:\n\ta.example:\n\t\tLocalpartCatchallSeparator: -\nAccounts:\n\ta:\n\
         \t\tDomain: a.example\n\t\tDestinations:\n\t\t\tA@a.example: nil\n",
    );
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,40}") {
        invariants::check(&text);
    }

    #[test]
    fn files_with_addresses(text in domains_conf()) {
        invariants::check(&text);
    }
}
