//! Reports from whoever likes to send some.

#[cfg(test)]
mod checks;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::checks::{check_dmarc, check_tls};

    /// Pieces that documents are made of, in no order that makes sense.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "<feedback>",
            "</feedback>",
            "<report_metadata>",
            "</report_metadata>",
            "<date_range>",
            "</date_range>",
            "<begin>1</begin>",
            "<end>2</end>",
            "<policy_published>",
            "</policy_published>",
            "<record>",
            "</record>",
            "<row>",
            "</row>",
            "<count>3</count>",
            "<source_ip>::1</source_ip>",
            "<a/>",
            "<x:a>",
            "</x:a>",
            "&amp;",
            "&#10;",
            "&x;",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<!DOCTYPE a>",
            "<?xml?>",
            "text",
            "\u{0}",
            "\u{fc}",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"policies\"",
            "\"policy\"",
            "\"date-range\"",
            "null",
            "1",
            "-1",
            "\"\"",
            "\r\n",
            "\r\n\r\n",
            "--b",
            "Content-Type: multipart/report; boundary=b",
            "Content-Type: application/tlsrpt+json",
            "Content-Type: text/xml",
            "\u{1f}\u{8b}",
            "PK\u{3}\u{4}",
            "PK\u{5}\u{6}",
            "PK\u{1}\u{2}",
        ]);
        let bytes = prop::collection::vec(any::<u8>(), 0..20);
        let either = prop_oneof![4 => piece.prop_map(|text| text.as_bytes().to_vec()), 1 => bytes];
        prop::collection::vec(either, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_outcome(data in pieces()) {
            check_dmarc(&data);
            check_tls(&data);
        }
    }

    /// A sound report with one byte changed, or its end cut off.
    #[test]
    fn sound_reports_may_be_damaged_anywhere() {
        let xml = "<feedback><report_metadata><org_name>a&amp;b</org_name><date_range><begin>1\
            </begin><end>2</end></date_range></report_metadata><policy_published><domain>a.example\
            </domain></policy_published><record><row><count>1</count></row></record></feedback>";
        let json = r#"{"date-range":{"start-datetime":"2026-11-20T00:00:00Z","end-datetime":
            "2026-11-21T00:00:00Z"},"policies":[{"policy":{"policy-type":"sts"},"summary":
            {"total-failure-session-count":1},"failure-details":[{"result-type":"tlsa-invalid"}]}]}"#;
        for (text, check) in [(xml, check_dmarc as fn(&[u8])), (json, check_tls)] {
            for at in 0..text.len() {
                check(&text.as_bytes()[..at]);
                for byte in [0, b'<', b'>', b'&', b'"', b'[', 0xff] {
                    let mut damaged = text.as_bytes().to_vec();
                    damaged[at] = byte;
                    check(&damaged);
                }
            }
        }
    }
}
