use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_record(text: &str, want: Result<&str, RecordError>) {
    let got = parse_record(text.as_bytes());
    if let Ok(record) = &got {
        assert_eq!(parse_record(record.to_string().as_bytes()).as_ref(), Ok(record), "{text}");
    }
    assert_eq!(got.as_ref().map(|record| record.id.as_str()), want.as_ref().copied(), "{text}");
}

/// RFC 8461 §3.1.
#[test]
fn records_are_read_by_their_grammar() {
    use RecordError::{Malformed, OtherRecord};
    let long_id = "a".repeat(32);
    let long_name = format!("v=STSv1; id=1; {}=x", "n".repeat(32));
    // Valid: the RFC's own.
    check_record("v=STSv1; id=20160831085700Z;", Ok("20160831085700Z"));
    check_record("v=STSv1;id=1", Ok("1"));
    // At the edge.
    check_record("v=STSv1 \t; \tid=1 ; ", Ok("1"));
    check_record("v=STSv1; a=b; id=1; x-y_z.0=!:<>~", Ok("1"));
    check_record(&format!("v=STSv1; id={long_id}"), Ok(&long_id));
    check_record(&long_name, Ok("1"));
    // Just past.
    check_record(&format!("v=STSv1; id={long_id}a"), Err(Malformed));
    check_record(&long_name.replace("n=", "nn="), Err(Malformed));
    check_record("v=STSv1; id=", Err(Malformed));
    check_record("v=STSv1; id=1;;", Err(Malformed));
    check_record("v=STSv1;; id=1", Err(Malformed));
    check_record("v=STSv1; id=1; id=1", Err(Malformed));
    check_record("v=STSv1; ID=1", Err(Malformed));
    check_record("v=STSv1; id = 1", Err(Malformed));
    check_record("v=STSv1; id=a-b", Err(Malformed));
    check_record("v=STSv1; id=1; _a=b", Err(Malformed));
    check_record("v=STSv1; id=1; a=", Err(Malformed));
    check_record("v=STSv1; id=1; a=b=c", Err(Malformed));
    check_record("v=STSv1; id=1; a=\u{e9}", Err(Malformed));
    check_record("v=STSv1; a=b", Err(Malformed));
    check_record("v=STSv1;", Err(Malformed));
    // Never.
    check_record("", Err(OtherRecord));
    check_record("v=STSv1", Err(OtherRecord));
    check_record("v=STSv1 id=1", Err(OtherRecord));
    check_record("v=STSv10; id=1", Err(OtherRecord));
    check_record("v=stsv1; id=1", Err(OtherRecord));
    check_record(" v=STSv1; id=1", Err(OtherRecord));
    check_record("v=spf1 -all", Err(OtherRecord));
    assert_eq!(parse_record(b"v=STSv1; id=1; a=\xff"), Err(Malformed));
}

/// RFC 8461 §3.1: exactly one, whatever else is there.
#[test]
fn one_record_among_other_texts_is_found() {
    use RecordError::{Malformed, Missing, Multiple};
    let one = "v=STSv1; id=1";
    for (texts, want) in [
        (&[one][..], Ok("1")),
        (&["v=spf1 -all", one, ""], Ok("1")),
        (&[], Err(Missing)),
        (&["v=spf1 -all"], Err(Missing)),
        (&[one, one], Err(Multiple)),
        (&[one, "v=STSv1; broken"], Err(Multiple)),
        (&["v=STSv1; broken"], Err(Malformed)),
    ] {
        let got = find_record(texts);
        assert_eq!(got.as_ref().map(|record| record.id.as_str()), want.as_ref().copied());
    }
}

#[test]
fn the_places_of_records_and_policies() {
    let domain = Domain::parse("Example.ORG").unwrap();
    let name = Name::parse("_mta-sts.example.org.").unwrap();
    assert_eq!(record_name(&domain), Ok(name));
    assert_eq!(policy_host(&domain).unwrap().ascii(), "mta-sts.example.org");
    let long = [63, 63, 63, 60].map(|length| "a".repeat(length)).join(".");
    let long = Domain::parse(&long).unwrap();
    assert!(long.ascii().len() > 245 && policy_host(&long).is_none());
}

const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\n\
                      max_age: 604800\n";

#[track_caller]
fn check_policy(text: &str, want: Result<(Mode, u32, &[&str]), PolicyError>) {
    let got = parse_policy(text.as_bytes());
    if let Ok(policy) = &got {
        assert_eq!(parse_policy(policy.to_string().as_bytes()).as_ref(), Ok(policy), "{text}");
    }
    let got = got.map(|policy| {
        let mx: Vec<_> = policy.mx.iter().map(ToString::to_string).collect();
        (policy.mode, policy.max_age_secs, mx)
    });
    let want = want.map(|(mode, max_age, mx)| {
        (mode, max_age, mx.iter().copied().map(str::to_owned).collect())
    });
    assert_eq!(got, want, "{text}");
}

/// RFC 8461 §3.2.
#[test]
fn policies_are_read_by_their_grammar() {
    use PolicyError::{BadLine, BadMaxAge, BadMode, BadMx, BadVersion, NoMx};
    let hosts = &["mail.example.com", "*.example.net"][..];
    let good = Ok((Mode::Enforce, 604_800, hosts));
    let with = |from: &str, to: &str| POLICY.replace(from, to);
    // Valid.
    check_policy(POLICY, good);
    check_policy(&with("\n", "\r\n"), good);
    check_policy(POLICY.trim_end(), good);
    check_policy(&with("enforce", "testing"), Ok((Mode::Testing, 604_800, hosts)));
    check_policy("version: STSv1\nmode: none\nmax_age: 1\n", Ok((Mode::None, 1, &[])));
    check_policy(&format!("{POLICY}x-y.z_0: a b: \u{e9}\n"), good);
    // At the edge.
    check_policy(&with(": ", ":"), good);
    check_policy(&with(": ", ":\t  "), good);
    check_policy(&with("\n", " \t\n"), good);
    check_policy(&with("\n", "\n\n"), good);
    check_policy(&format!("{POLICY}mode: none\nmax_age: 1\nversion: STSv2\n"), good);
    check_policy(&with("604800", "0"), Ok((Mode::Enforce, 0, hosts)));
    check_policy(&with("604800", "0000000001"), Ok((Mode::Enforce, 1, hosts)));
    check_policy(&with("604800", "31557600"), Ok((Mode::Enforce, MAX_AGE_SECS_MAX, hosts)));
    check_policy(&with("604800", "9999999999"), Ok((Mode::Enforce, MAX_AGE_SECS_MAX, hosts)));
    check_policy(&with("mail.example.com", "MAIL.Example.com"), good);
    // Just past.
    check_policy(&with("604800", "10000000000"), Err(BadMaxAge));
    check_policy(&with("604800", "-1"), Err(BadMaxAge));
    check_policy(&with("604800", "+1"), Err(BadMaxAge));
    check_policy(&with("604800", ""), Err(BadMaxAge));
    check_policy(&with("max_age: 604800\n", ""), Err(BadMaxAge));
    check_policy(&with("enforce", "Enforce"), Err(BadMode));
    check_policy(&with("enforce", ""), Err(BadMode));
    check_policy(&with("mode: enforce\n", ""), Err(BadMode));
    check_policy(&with("STSv1", "STSv2"), Err(BadVersion));
    check_policy(&with("version: STSv1\n", ""), Err(BadVersion));
    check_policy("version: STSv1\nmode: enforce\nmax_age: 1\n", Err(NoMx));
    check_policy("version: STSv1\nmode: testing\nmax_age: 1\n", Err(NoMx));
    for host in [
        "*",
        "*.",
        "*.*.example",
        "a.*.example",
        "m\u{fc}ller.example",
        "a..b",
        "192.0.2.1",
        "mx.example.",
        "a_b.example",
        "-a.example",
        "",
    ] {
        check_policy(&with("*.example.net", host), Err(BadMx));
    }
    check_policy(&format!("{POLICY}x\n"), Err(BadLine));
    check_policy(&format!("{POLICY}_x: y\n"), Err(BadLine));
    check_policy(&format!("{POLICY}x:\n"), Err(BadLine));
    check_policy(&format!("{POLICY}x: \u{7f}\n"), Err(BadLine));
    check_policy(&with("mode:", "mode :"), Err(BadLine));
    check_policy(&with("\n", "\r"), Err(BadVersion));
    // Never.
    check_policy("", Err(BadVersion));
    check_policy("<html>", Err(BadLine));
    assert_eq!(parse_policy(b"\xff"), Err(BadLine));
}

#[test]
fn policies_are_bounded() {
    let mut text = POLICY.replace("mx: *.example.net\n", "");
    text.push_str(&"mx: a.example\n".repeat(MX_MAX - 1));
    assert_eq!(parse_policy(text.as_bytes()).unwrap().mx.len(), MX_MAX);
    text.push_str("mx: a.example\n");
    assert_eq!(parse_policy(text.as_bytes()), Err(PolicyError::TooLarge));
    let many = format!("{POLICY}{}", "a: b\n".repeat(EXTENSIONS_MAX + 1));
    assert_eq!(parse_policy(many.as_bytes()).unwrap().extensions.len(), EXTENSIONS_MAX);
    let mut large = POLICY.to_owned();
    large.push_str(&"\n".repeat(POLICY_BYTES_MAX - large.len()));
    assert!(parse_policy(large.as_bytes()).is_ok());
    large.push('\n');
    assert_eq!(parse_policy(large.as_bytes()), Err(PolicyError::TooLarge));
}

/// RFC 8461 §4.1.
#[test]
fn hosts_match_exactly_or_by_one_label() {
    let policy = parse_policy(POLICY.as_bytes()).unwrap();
    for (host, want) in [
        ("mail.example.com", true),
        ("MAIL.example.com", true),
        ("mx.example.net", true),
        ("example.net", false),
        ("a.mx.example.net", false),
        ("example.com", false),
        ("a.mail.example.com", false),
        ("xexample.net", false),
        ("net", false),
    ] {
        assert_eq!(policy.matches(&Domain::parse(host).unwrap()), want, "{host}");
    }
    // A policy that is none forbids nothing, whatever hosts it names.
    let none = Policy { mode: Mode::None, ..policy };
    assert!(none.matches(&Domain::parse("other.example").unwrap()));
    let idna = POLICY.replace("mail.example.com", "xn--mller-kva.example");
    let idna = parse_policy(idna.as_bytes()).unwrap();
    assert!(idna.matches(&Domain::parse("m\u{fc}ller.example").unwrap()));
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_again(text in pieces()) {
        if let Ok(record) = parse_record(text.as_bytes()) {
            prop_assert_eq!(parse_record(record.to_string().as_bytes()), Ok(record));
        }
        if let Ok(policy) = parse_policy(text.as_bytes()) {
            prop_assert!(policy.mode == Mode::None || !policy.mx.is_empty());
            prop_assert_eq!(parse_policy(policy.to_string().as_bytes()), Ok(policy));
        }
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "v=STSv1",
        ";",
        " ",
        "id=",
        "abc1",
        "a=b",
        "\t",
        "version: STSv1\n",
        "mode: none\n",
        "mode: enforce\r\n",
        "mx: *.",
        "mx: ",
        "a.example",
        "\n",
        "max_age: ",
        "86400",
        "x: y z",
        ":",
        "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}
