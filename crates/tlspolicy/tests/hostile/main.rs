//! Records, policies and certificates from whoever likes to publish some.

#[cfg(test)]
mod checks;

#[cfg(test)]
mod tests {
    use mox_testkit::certificates::{Certified, authority_params, below, params, root};
    use mox_tlspolicy::dane::{Matching, Selector};
    use proptest::prelude::*;

    use super::checks::{check_dane, check_policy, check_record};

    /// Certificates of a server, of the authority above it, and of one above that.
    fn certs() -> Vec<Vec<u8>> {
        let root = root(authority_params("root"));
        let middle = below(&root, authority_params("middle"));
        let end = Certified::signed_by(&params(&["mx.example"]), &middle);
        vec![end.der().to_vec(), middle.der().to_vec(), root.der().to_vec()]
    }

    /// A piece as the check reads it.
    fn piece(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 1).unwrap();
        [&length.to_be_bytes()[..], &[kind], content].concat()
    }

    fn record(numbers: [u8; 3], cert: &[u8]) -> Vec<u8> {
        let selector = Selector::from_number(numbers[1]).unwrap_or(Selector::Cert);
        let matching = Matching::from_number(numbers[2]).unwrap_or(Matching::Sha256);
        let part = selector.select(cert).unwrap_or_default();
        piece(b'r', &[&numbers[..], &matching.data(&part)].concat())
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let certs = certs();
        let cert = prop::sample::select(certs.clone());
        let shown = (cert, any::<prop::sample::Index>(), any::<u8>(), 0_u8..8).prop_map(
            |(mut cert, index, byte, damage)| {
                // One of eight is damaged.
                if damage == 0 {
                    let index = index.index(cert.len());
                    cert[index] = byte;
                }
                piece(b'c', &cert)
            },
        );
        let named = (prop::sample::select(certs), 0_u8..5, 0_u8..3, 0_u8..4).prop_map(
            |(cert, usage, selector, matching)| record([usage, selector, matching], &cert),
        );
        let noise = prop::collection::vec(any::<u8>(), 0..40);
        let one = prop_oneof![4 => shown, 4 => named, 1 => noise];
        prop::collection::vec(one, 0..16).prop_map(|pieces| pieces.concat())
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "version: STSv1\n",
            "mode: enforce\n",
            "mode: none\r\n",
            "max_age: 1\n",
            "max_age: ",
            "mx: *.a.example\n",
            "mx: a.example\n",
            "mx: ",
            "*.",
            "x: y\n",
            ":",
            "\r",
            "\n",
            "a",
            "v=STSv1;",
            " ",
            ";",
            "id=1",
            "id=",
            "=",
            "\u{e9}",
            "\0",
        ]);
        prop::collection::vec(line, 0..24).prop_map(|lines| lines.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn no_records_or_policies_do_harm(data in prop_oneof![lines(), any::<Vec<u8>>()]) {
            check_record(&data);
            check_policy(&data);
        }

        #[test]
        fn no_certificates_do_harm(data in pieces()) {
            check_dane(&data);
        }
    }

    /// Path building over certificates that all have the same name could be tried in any order.
    #[test]
    fn many_authorities_of_one_name_cost_a_bounded_time() {
        let mut data = Vec::new();
        let mut signer = None;
        for _ in 0..12 {
            let params = authority_params("one");
            let next = match &signer {
                None => root(params),
                Some(signer) => below(signer, params),
            };
            data.splice(0..0, piece(b'c', next.der()));
            for (usage, matching) in [(0, 1), (2, 1), (2, 0)] {
                data.extend(record([usage, 0, matching], next.der()));
            }
            signer = Some(next);
        }
        let end = Certified::signed_by(&params(&["mx.example"]), signer.as_ref().unwrap());
        data.splice(0..0, piece(b'c', end.der()));
        check_dane(&data);
    }
}
