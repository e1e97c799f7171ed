//! Public suffixes: below which names others register theirs.

use mox_base::Domain;

/// The public suffix of a domain: `co.uk` of `mail.example.co.uk`. Of a domain whose last label is
/// unknown it is that label.
///
/// Only suffixes that registries run count, not those that companies have listed for the names
/// they give to customers.
#[must_use]
pub fn public_suffix(domain: &Domain) -> Domain {
    last_labels(domain, suffix_labels(domain.unicode()))
}

/// The domain that somebody registered: the public suffix and one label more. A domain that is a
/// public suffix itself is returned as it is. RFC 7489 §3.2.
#[must_use]
pub fn organizational_domain(domain: &Domain) -> Domain {
    last_labels(domain, suffix_labels(domain.unicode()) + 1)
}

/// The domain of the last `count` labels, or all of it.
fn last_labels(domain: &Domain, count: usize) -> Domain {
    let ascii = domain.ascii();
    let skip = ascii.split('.').count().saturating_sub(count);
    let rest = ascii.splitn(skip + 1, '.').last();
    rest.and_then(|rest| Domain::parse(rest).ok()).unwrap_or_else(|| domain.clone())
}

/// How many labels the public suffix has.
fn suffix_labels(name: &str) -> usize {
    let mut name = name;
    loop {
        let Some(suffix) = psl::suffix(name.as_bytes()) else { return 1 };
        let text = std::str::from_utf8(suffix.as_bytes()).unwrap_or(name);
        // What a company has listed lies below what a registry runs: look above it.
        match (suffix.typ(), text.split_once('.')) {
            (Some(psl::Type::Private), Some((_, above))) => {
                // `above` is a part of `name`; going on with `name` itself keeps its lifetime.
                let start = name.len() - above.len();
                name = name.get(start..).unwrap_or_default();
            }
            _ => return text.split('.').count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(domain: &str, suffix: &str, organization: &str) {
        let domain = Domain::parse(domain).unwrap();
        assert_eq!(public_suffix(&domain).unicode(), suffix, "{domain}");
        assert_eq!(organizational_domain(&domain).unicode(), organization, "{domain}");
    }

    /// RFC 7489 §3.2.
    #[test]
    fn domains_have_their_organization() {
        check("mail.example.org", "org", "example.org");
        check("example.org", "org", "example.org");
        check("org", "org", "org");
        check("a.b.example.co.uk", "co.uk", "example.co.uk");
        check("co.uk", "co.uk", "co.uk");
        check("x.example.unknown-tld", "unknown-tld", "example.unknown-tld");
        check("localhost", "localhost", "localhost");
    }

    #[test]
    fn wildcards_and_their_exceptions_count() {
        check("a.b.c.ck", "c.ck", "b.c.ck");
        check("c.ck", "c.ck", "c.ck");
        check("a.www.ck", "ck", "www.ck");
    }

    #[test]
    fn names_that_companies_give_away_are_the_companies() {
        check("user.github.io", "io", "github.io");
        check("a.b.compute.amazonaws.com", "com", "amazonaws.com");
        check("blog.example.blogspot.com", "com", "blogspot.com");
    }

    #[test]
    fn suffixes_may_be_international() {
        check("a.b.xn--p1ai", "\u{440}\u{444}", "b.\u{440}\u{444}");
        check("x.xn--55qx5d.cn", "\u{516c}\u{53f8}.cn", "x.\u{516c}\u{53f8}.cn");
    }
}
