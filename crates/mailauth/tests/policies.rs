//! Any records at all: a taste of what the fuzz targets `spf_record`, `dmarc_record` and
//! `auth_results` do at length.

#[cfg(test)]
#[path = "policies/checks.rs"]
mod checks;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::checks::{check_dmarc, check_results, check_spf};

    /// Texts that are nearly right.
    fn nearly(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..3),
        ];
        proptest::collection::vec(word, 0..20).prop_map(|words| words.concat())
    }

    const SPF: &[&str] = &[
        " ",
        "a",
        "mx",
        "ptr",
        "all",
        "-",
        "~",
        "include:",
        "exists:",
        "redirect=",
        "exp=",
        "a.example",
        "%{d}",
        "%{p}",
        "%{L2r-}",
        "%{c}",
        "%%",
        "%_",
        ":",
        "/24",
        "//64",
        "ip4:",
        "192.0.2.0",
        "ip6:",
        "2001:db8::",
        "b.",
        "x=",
    ];

    const DMARC: &[&str] = &[
        ";",
        " ",
        "=",
        "p=reject",
        "p=none",
        "sp=",
        "np=reject",
        "quarantine",
        "rua=",
        "ruf=",
        "mailto:a@b.example",
        ",",
        "!10m",
        "pct=0",
        "t=y",
        "psd=y",
        "psd=n",
        "adkim=s",
        "fo=1:d",
        "ri=5",
        "v=DMARC1",
    ];

    const RESULTS: &[&str] = &[
        "mx.example",
        ";",
        " ",
        "spf=pass",
        "dkim=",
        "fail",
        "(a(b)",
        ")",
        "reason=",
        "\"a b\"",
        "header.d=",
        "smtp.mailfrom=",
        "a@b.example",
        "\\",
        "none",
        "/1",
        "\r\n\t",
    ];

    proptest! {
        #[test]
        fn any_spf_record_has_an_outcome(text in nearly(SPF)) {
            check_spf(&text);
        }

        #[test]
        fn any_dmarc_record_has_an_outcome(text in nearly(DMARC)) {
            check_dmarc(&text);
        }

        #[test]
        fn any_results_are_read_or_refused(text in nearly(RESULTS)) {
            check_results(&text);
        }
    }
}
