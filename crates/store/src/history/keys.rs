//! How identities stand in `reputation`, `recipient` and `traffic`.

use mox_base::{Address, Domain};
use mox_policy::{Addressee, Identity, IsValidated, Network, NetworkClass, Origin};

/// What a key is of: `kind` in the tables. Numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ProvenAddress = 1,
    UnprovenAddress = 2,
    ProvenDomain = 3,
    UnprovenDomain = 4,
    ProvenOrganization = 5,
    UnprovenOrganization = 6,
    DkimDomain = 7,
    MailFrom = 8,
    MailFromDomain = 9,
    Ehlo = 10,
    Host = 11,
    Near = 12,
    Wide = 13,
    SentToAddress = 14,
    SentToDomain = 15,
    SentToOrganization = 16,
}

impl Kind {
    /// Whether rows of it keep the localpart of the author, by which authors are counted.
    pub(super) fn keeps_localpart(self) -> bool {
        use Kind::{ProvenDomain, ProvenOrganization, UnprovenDomain, UnprovenOrganization};
        matches!(self, ProvenDomain | UnprovenDomain | ProvenOrganization | UnprovenOrganization)
    }
}

/// Where rows are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) text: String,
}

impl Key {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// An address as a key.
///
/// Deviation: RFC 5321 §2.4 wants localparts of others to be told apart by case; in the history they are
/// one, because nobody gives such addresses to two people, and people write them either way.
fn address_text(address: &Address) -> String {
    format!("{}@{}", address.localpart.to_string().to_lowercase(), address.domain.ascii())
}

fn author_kind(proven: Kind, unproven: Kind, is_validated: IsValidated) -> Kind {
    match is_validated {
        IsValidated::Yes => proven,
        IsValidated::No => unproven,
    }
}

/// The key of an identity.
pub(super) fn of_identity(identity: Identity<'_>) -> Key {
    use Kind::{
        ProvenAddress, ProvenDomain, ProvenOrganization, UnprovenAddress, UnprovenDomain,
        UnprovenOrganization,
    };
    match identity {
        Identity::FromAddress(address, is_validated) => {
            let kind = author_kind(ProvenAddress, UnprovenAddress, is_validated);
            Key::new(kind, address_text(address))
        }
        Identity::FromDomain(domain, is_validated) => {
            Key::new(author_kind(ProvenDomain, UnprovenDomain, is_validated), domain.ascii())
        }
        Identity::FromOrganization(domain, is_validated) => {
            let kind = author_kind(ProvenOrganization, UnprovenOrganization, is_validated);
            Key::new(kind, domain.ascii())
        }
        Identity::DkimDomain(domain) => Key::new(Kind::DkimDomain, domain.ascii()),
        Identity::MailFrom(address) => Key::new(Kind::MailFrom, address_text(address)),
        Identity::MailFromDomain(domain) => Key::new(Kind::MailFromDomain, domain.ascii()),
        Identity::Ehlo(domain) => Key::new(Kind::Ehlo, domain.ascii()),
        Identity::Network(network) => of_network(network),
    }
}

/// The key of a network: its first address.
pub(super) fn of_network(network: Network) -> Key {
    let kind = match network.class {
        NetworkClass::Host => Kind::Host,
        NetworkClass::Near => Kind::Near,
        NetworkClass::Wide => Kind::Wide,
    };
    Key::new(kind, network.first_ip().to_string())
}

/// The key of somebody the account wrote to.
pub(super) fn of_addressee(addressee: Addressee<'_>) -> Key {
    match addressee {
        Addressee::Address(address) => Key::new(Kind::SentToAddress, address_text(address)),
        Addressee::Domain(domain) => Key::new(Kind::SentToDomain, domain.ascii()),
        Addressee::Organization(domain) => Key::new(Kind::SentToOrganization, domain.ascii()),
    }
}

/// All keys by which a message of this origin is found, each once. At most 9 and one for each DKIM
/// domain.
pub(super) fn of_origin(origin: &Origin) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Some(author) = &origin.author {
        let is_validated = author.validation.is_validated().into();
        keys.push(of_identity(Identity::FromAddress(&author.address, is_validated)));
        keys.push(of_identity(Identity::FromDomain(&author.address.domain, is_validated)));
        keys.push(of_identity(Identity::FromOrganization(&author.organization, is_validated)));
    }
    let dkim = |domain: &Domain| of_identity(Identity::DkimDomain(domain));
    keys.extend(origin.dkim_domains.iter().map(dkim));
    // What SPF did not pass has no history: anybody could spoil it.
    if let Some(sender) = origin.mail_from.as_ref().filter(|from| from.validation.is_validated()) {
        keys.push(of_identity(Identity::MailFrom(&sender.name)));
        keys.push(of_identity(Identity::MailFromDomain(&sender.name.domain)));
    }
    if let Some(ehlo) = origin.ehlo.as_ref().filter(|ehlo| ehlo.validation.is_validated()) {
        keys.push(of_identity(Identity::Ehlo(&ehlo.name)));
    }
    keys.extend(origin.networks.iter().flatten().copied().map(of_network));
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use mox_base::Validation;
    use mox_policy::{Author, Proven};

    use super::*;

    fn origin(validation: Validation) -> Origin {
        let address = Address::parse("Ann.Smith@xn--bcher-kva.example.co.uk").unwrap();
        Origin {
            author: Some(Author {
                organization: Domain::parse("example.co.uk").unwrap(),
                address: address.clone(),
                validation,
            }),
            networks: Some(Network::all_of("192.0.2.201".parse().unwrap())),
            ehlo: Some(Proven { name: address.domain.clone(), validation }),
            mail_from: Some(Proven { name: address.clone(), validation }),
            mail_from_validation: validation,
            dkim_domains: vec![address.domain.clone(), address.domain],
            forwarder_ehlo: None,
            forwarder_dkim_domains: Vec::new(),
        }
    }

    #[track_caller]
    fn check(origin: &Origin, want: &[(u8, &str)]) {
        let keys = of_origin(origin);
        let got: Vec<_> = keys.iter().map(|key| (key.kind as u8, key.text.as_str())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn an_origin_has_a_key_for_each_identity_that_counts() {
        let (address, domain) =
            ("ann.smith@xn--bcher-kva.example.co.uk", "xn--bcher-kva.example.co.uk");
        check(
            &origin(Validation::Pass),
            &[
                (1, address),
                (3, domain),
                (5, "example.co.uk"),
                (7, domain),
                (8, address),
                (9, domain),
                (10, domain),
                (11, "192.0.2.201"),
                (12, "192.0.2.192"),
                (13, "192.0.0.0"),
            ],
        );
        // Unproven: SPF identities are as if not there, the author is another one.
        let unproven = Origin { networks: None, ..origin(Validation::SoftFail) };
        check(&unproven, &[(2, address), (4, domain), (6, "example.co.uk"), (7, domain)]);
        let nobody = Origin { author: None, dkim_domains: Vec::new(), ..unproven };
        check(&nobody, &[]);
    }

    #[test]
    fn whom_was_written_to_is_kept_apart_from_who_wrote() {
        let ann = Address::parse("Ann@example.org").unwrap();
        let keys = [
            of_addressee(Addressee::Address(&ann)),
            of_addressee(Addressee::Domain(&ann.domain)),
            of_addressee(Addressee::Organization(&ann.domain)),
        ];
        let got = keys.map(|key| (key.kind as u8, key.text));
        let want = [(14, "ann@example.org"), (15, "example.org"), (16, "example.org")];
        assert_eq!(got, want.map(|(kind, text)| (kind, text.to_owned())));
    }
}
