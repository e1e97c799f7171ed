//! `MAIL`: a transaction starts. RFC 5321 §4.1.1.2.

use mox_base::{DateTime, UnixSeconds};

use super::parameter::take_parameter;
use super::{CommandError, Syntax};
use crate::dsn::{Ret, parse_envid};
use crate::lex::Cursor;
use crate::path::{ReversePath, mailbox, take_path};
use crate::xtext::decode_xtext;

/// The most digits of a SIZE value. RFC 1870 §3.
pub const SIZE_DIGITS_MAX: usize = 20;

/// The most digits of a HOLDFOR value. RFC 4865 §4.
const HOLD_DIGITS_MAX: usize = 9;

/// Priorities go from minus this to this. RFC 6710 §3.
pub const PRIORITY_MAX: i8 = 9;

/// `BODY=`: what the client says of the content. RFC 6152 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// All bytes below 128.
    #[default]
    SevenBit,
    /// Any bytes, in lines.
    EightBitMime,
    /// Any bytes at all; sent with BDAT alone. RFC 3030 §3.
    BinaryMime,
}

/// When a message is to be let go. RFC 4865 §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `HOLDFOR=`: seconds from now, at least 1.
    For(u32),
    /// `HOLDUNTIL=`
    Until {
        /// The moment; fractions of a second are left out.
        at: UnixSeconds,
        /// As the client wrote it.
        text: String,
    },
}

/// `mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailCommand {
    /// Where errors go.
    pub reverse_path: ReversePath,
    /// Bytes the client means to send; more than a `u64` holds is its largest value. RFC 1870 §6.
    pub size_bytes: Option<u64>,
    /// `BODY=`, if given.
    pub body: Option<Body>,
    /// `SMTPUTF8`: addresses and headers may be UTF-8. RFC 6531 §3.4.
    pub is_utf8: bool,
    /// `REQUIRETLS`: only over verified TLS, all the way. RFC 8689 §2.
    pub requires_tls: bool,
    /// `RET=`: what goes back with a report of a failure. RFC 3461 §4.3.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded: see [`parse_envid`]. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// `HOLDFOR=` or `HOLDUNTIL=`. Submission only.
    pub hold: Option<Hold>,
    /// `MT-PRIORITY=`, at most [`PRIORITY_MAX`] either way. RFC 6710 §4.
    pub priority: Option<i8>,
}

/// The parameters known here.
const KNOWN: [&str; 10] = [
    "SIZE",
    "BODY",
    "SMTPUTF8",
    "AUTH",
    "REQUIRETLS",
    "RET",
    "ENVID",
    "HOLDFOR",
    "HOLDUNTIL",
    "MT-PRIORITY",
];

/// Those that are for mail programs of our users.
const SUBMISSION_ONLY: [&str; 2] = ["HOLDFOR", "HOLDUNTIL"];

pub(super) fn mail(argument: &str, syntax: Syntax) -> Result<MailCommand, CommandError> {
    let mut cursor = Cursor::new(argument);
    if !cursor.eat_ignore_case(" FROM:") {
        return Err(cursor.error());
    }
    // A common mistake, which RFC 5321 §3.3 calls out.
    if !syntax.is_pedantic {
        cursor.eat(" ");
    }
    let path = take_path(&mut cursor)?;
    let mut command = MailCommand::default();
    let mut seen = [false; KNOWN.len()];
    while let Some(parameter) = take_parameter(&mut cursor)? {
        let known = KNOWN.iter().zip(&mut seen);
        let mut known = known.filter(|(name, _)| name.eq_ignore_ascii_case(parameter.keyword));
        let (name, seen) = known.next().ok_or(CommandError::UnknownParameter)?;
        if SUBMISSION_ONLY.contains(name) && !syntax.is_submission {
            return Err(CommandError::UnknownParameter);
        }
        if std::mem::replace(seen, true) {
            return Err(CommandError::DuplicateParameter);
        }
        apply(&mut command, name, parameter.value)?;
    }
    if !path.is_empty() {
        command.reverse_path = ReversePath::Mailbox(mailbox(path, command.is_utf8, syntax)?);
    }
    Ok(command)
}

fn apply(command: &mut MailCommand, name: &str, value: Option<&str>) -> Result<(), CommandError> {
    const BAD: CommandError = CommandError::BadParameterValue;
    let Some(value) = value else {
        match name {
            "SMTPUTF8" => command.is_utf8 = true,
            "REQUIRETLS" => command.requires_tls = true,
            _ => return Err(BAD),
        }
        return Ok(());
    };
    match name {
        // `size-value = 1*20DIGIT`. What is too large for the type is too large for us.
        "SIZE" => {
            let digits = number(value, SIZE_DIGITS_MAX).ok_or(BAD)?;
            command.size_bytes = Some(digits.parse().unwrap_or(u64::MAX));
        }
        "BODY" => command.body = Some(body(value)?),
        // Who gave the message to the client: read, and not trusted. RFC 4954 §5.
        "AUTH" if value == "<>" => {}
        "AUTH" => {
            decode_xtext(value).ok_or(BAD)?;
        }
        "RET" => command.ret = Some(Ret::parse(value).ok_or(BAD)?),
        "ENVID" => command.envid = Some(parse_envid(value).ok_or(BAD)?),
        // One of the two: RFC 4865 §4.
        "HOLDFOR" | "HOLDUNTIL" if command.hold.is_some() => return Err(BAD),
        "HOLDFOR" => {
            let digits = number(value, HOLD_DIGITS_MAX).filter(|text| !text.starts_with('0'));
            let secs = digits.and_then(|digits| digits.parse().ok());
            command.hold = Some(Hold::For(secs.ok_or(BAD)?));
        }
        "HOLDUNTIL" => {
            let at = utc(value).ok_or(BAD)?;
            command.hold = Some(Hold::Until { at, text: value.to_owned() });
        }
        "MT-PRIORITY" => command.priority = Some(priority(value).ok_or(BAD)?),
        _ => return Err(BAD),
    }
    Ok(())
}

/// One to `digits_max` digits and nothing else.
fn number(value: &str, digits_max: usize) -> Option<&str> {
    let is_number =
        (1..=digits_max).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(value)
}

/// `body-value = "7BIT" / "8BITMIME" / "BINARYMIME"`.
fn body(value: &str) -> Result<Body, CommandError> {
    match value {
        _ if value.eq_ignore_ascii_case("7BIT") => Ok(Body::SevenBit),
        _ if value.eq_ignore_ascii_case("8BITMIME") => Ok(Body::EightBitMime),
        _ if value.eq_ignore_ascii_case("BINARYMIME") => Ok(Body::BinaryMime),
        _ => Err(CommandError::UnknownBody),
    }
}

/// `priority-value = (["-"] NZDIGIT) / "0"`. RFC 6710 §6.
fn priority(value: &str) -> Option<i8> {
    let digit = value.strip_prefix('-').unwrap_or(value);
    let is_zero_signed = value == "-0";
    number(digit, 1).filter(|_| !is_zero_signed).and_then(|_| value.parse().ok())
}

/// `date-time` of RFC 3339 §5.6 with `T` and `Z`; a fraction of a second is dropped. RFC 4865
/// erratum 2040.
fn utc(value: &str) -> Option<UnixSeconds> {
    let whole = value.strip_suffix('Z')?;
    let (whole, fraction) = whole.split_once('.').unwrap_or((whole, "0"));
    number(fraction, HOLD_DIGITS_MAX)?;
    let (date, time) = whole.split_once('T')?;
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    let (hour, time) = time.split_once(':')?;
    let (minute, second) = time.split_once(':')?;
    let two = |text: &str| number(text, 2).filter(|text| text.len() == 2)?.parse().ok();
    let date = DateTime {
        year: number(year, 4).filter(|text| text.len() == 4)?.parse().ok()?,
        month: two(month)?,
        day: two(day)?,
        hour: two(hour)?,
        minute: two(minute)?,
        second: two(second)?,
        zone_minutes: 0,
    };
    date.to_unix().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::{LOOSE, SUBMISSION};

    type Fields<'a> = (&'a str, Option<u64>, Option<Body>, bool);

    #[track_caller]
    fn check(argument: &str, want: Result<Fields<'_>, CommandError>) {
        let got = mail(argument, LOOSE).map(|command| {
            let MailCommand { reverse_path, size_bytes, body, is_utf8, .. } = command;
            (reverse_path.to_string(), size_bytes, body, is_utf8)
        });
        let got = got.as_ref().map(|(path, size, body, utf8)| (path.as_str(), *size, *body, *utf8));
        assert_eq!(got.map_err(|e| *e), want, "MAIL{argument}");
    }

    /// RFC 5321 §4.1.1.2, §4.1.1.11; RFC 1870 §3; RFC 6152 §2; RFC 6531 §3.4; RFC 4954 §5.
    #[test]
    fn mail_commands_are_parsed_or_refused() {
        let syntax_error = |left_bytes| Err(CommandError::Syntax { left_bytes });
        let big = Some(u64::MAX);
        // Valid.
        check(" FROM:<>", Ok(("<>", None, None, false)));
        check(" from:<a@b.example>", Ok(("<a@b.example>", None, None, false)));
        check(
            " FROM:<a@b.example> SIZE=100 BODY=8bitmime AUTH=e+3Dmc2@x.example",
            Ok(("<a@b.example>", Some(100), Some(Body::EightBitMime), false)),
        );
        check(" FROM:<☕@b.example> smtputf8", Ok(("<☕@b.example>", None, None, true)));
        check(" FROM:<> AUTH=<> BODY=7BIT", Ok(("<>", None, Some(Body::SevenBit), false)));
        check(" FROM:<> BODY=BINARYMIME", Ok(("<>", None, Some(Body::BinaryMime), false)));
        // At the edge of valid.
        check(" FROM: <a@b.example>", Ok(("<a@b.example>", None, None, false)));
        check(" FROM:<> SIZE=99999999999999999999", Ok(("<>", big, None, false)));
        check(" FROM:<> SIZE=0", Ok(("<>", Some(0), None, false)));
        // Just past the edge.
        check(" FROM:  <a@b.example>", syntax_error(14));
        check(" FROM:<> SIZE=999999999999999999999", Err(CommandError::BadParameterValue));
        check(" FROM:<> SIZE=-1", Err(CommandError::BadParameterValue));
        check(" FROM:<> SIZE", Err(CommandError::BadParameterValue));
        check(" FROM:<> BODY=BINARY", Err(CommandError::UnknownBody));
        check(" FROM:<> SMTPUTF8=1", Err(CommandError::BadParameterValue));
        check(" FROM:<> AUTH=+2b", Err(CommandError::BadParameterValue));
        check(" FROM:<> SIZE=1 size=1", Err(CommandError::DuplicateParameter));
        check(" FROM:<> BY=120;R", Err(CommandError::UnknownParameter));
        check(" FROM:<☕@b.example>", Err(CommandError::LocalpartNeedsUtf8));
        // Never valid.
        check("", syntax_error(0));
        check(" FROM:", syntax_error(0));
        check(" FROM:a@b.example", syntax_error(11));
        check(" TO:<a@b.example>", syntax_error(17));
        check(" FROM:<postmaster>", syntax_error(10));
        check(" FROM:<a@b.example>SIZE=1", syntax_error(6));
    }

    #[test]
    fn strictness_is_about_spaces() {
        let pedantic = Syntax { is_pedantic: true, is_submission: false };
        assert!(mail(" FROM: <>", pedantic).is_err());
        assert!(mail(" FROM:<> ", SUBMISSION).is_err());
    }

    /// What a submission's parameters after `<>` are read as.
    #[track_caller]
    fn check_parameters(parameters: &str, want: Result<fn(&mut MailCommand), CommandError>) {
        let want = want.map(|change| {
            let mut command = MailCommand::default();
            change(&mut command);
            command
        });
        assert_eq!(mail(&format!(" FROM:<> {parameters}"), SUBMISSION), want, "{parameters}");
    }

    /// RFC 3461 §4.3, §4.4; RFC 8689 §2; RFC 6710 §4.
    #[test]
    fn reports_tls_and_priorities_are_asked_for() {
        let bad = || Err(CommandError::BadParameterValue);
        // Valid.
        check_parameters("RET=hdrs", Ok(|mail| mail.ret = Some(Ret::Hdrs)));
        check_parameters("ENVID=a+20b", Ok(|mail| mail.envid = Some("a b".to_owned())));
        check_parameters("requiretls", Ok(|mail| mail.requires_tls = true));
        check_parameters("MT-PRIORITY=3", Ok(|mail| mail.priority = Some(3)));
        // At the edge of valid.
        check_parameters("MT-PRIORITY=-9", Ok(|mail| mail.priority = Some(-9)));
        check_parameters("MT-PRIORITY=0", Ok(|mail| mail.priority = Some(0)));
        // Just past the edge.
        check_parameters("MT-PRIORITY=10", bad());
        check_parameters("MT-PRIORITY=-0", bad());
        check_parameters("MT-PRIORITY=+1", bad());
        check_parameters("REQUIRETLS=yes", bad());
        check_parameters("RET=BOTH", bad());
        check_parameters("RET", bad());
        check_parameters("ENVID=a+0Ab", bad());
        check_parameters("ENVID=a ENVID=b", Err(CommandError::DuplicateParameter));
    }

    /// RFC 4865 §4.
    #[test]
    fn a_message_is_held_for_a_time_or_until_one() {
        let bad = || Err(CommandError::BadParameterValue);
        // Valid.
        check_parameters("HOLDFOR=60", Ok(|mail| mail.hold = Some(Hold::For(60))));
        check_parameters(
            "HOLDUNTIL=2026-11-20T08:55:32Z",
            Ok(|mail| {
                let text = "2026-11-20T08:55:32Z".to_owned();
                mail.hold = Some(Hold::Until { at: UnixSeconds(1_795_164_932), text });
            }),
        );
        // At the edge of valid.
        check_parameters("HOLDFOR=999999999", Ok(|mail| mail.hold = Some(Hold::For(999_999_999))));
        check_parameters(
            "holduntil=2026-11-20T08:55:32.5Z",
            Ok(|mail| {
                let text = "2026-11-20T08:55:32.5Z".to_owned();
                mail.hold = Some(Hold::Until { at: UnixSeconds(1_795_164_932), text });
            }),
        );
        // Just past the edge.
        check_parameters("HOLDFOR=0", bad());
        check_parameters("HOLDFOR=060", bad());
        check_parameters("HOLDFOR=1000000000", bad());
        check_parameters("HOLDUNTIL=2026-11-20T08:55:32", bad());
        check_parameters("HOLDUNTIL=2026-11-20T08:55:32+00:00", bad());
        check_parameters("HOLDUNTIL=2026-11-20T08:55:32.Z", bad());
        check_parameters("HOLDUNTIL=2026-02-30T08:55:32Z", bad());
        check_parameters("HOLDUNTIL=26-11-20T08:55:32Z", bad());
        check_parameters("HOLDUNTIL=2026-11-20T8:55:32Z", bad());
        check_parameters("HOLDFOR=60 HOLDUNTIL=2026-11-20T08:55:32Z", bad());
        // Never valid.
        check_parameters("HOLDUNTIL=tomorrow", bad());
        assert_eq!(mail(" FROM:<> HOLDFOR=60", LOOSE), Err(CommandError::UnknownParameter));
    }
}
