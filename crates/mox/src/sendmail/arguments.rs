//! The arguments of `sendmail`, which are older than any rule for arguments.

use anyhow::{Result, bail};

/// What is understood of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The name of the author, of `-F`.
    pub(super) name: Option<String>,
    /// Whether the recipient is in the message: `-t`.
    pub(super) is_rcpt_in_header: bool,
    /// The recipient otherwise.
    pub(super) rcpt: Option<String>,
}

/// Flags of other programs that take a value, which may be the next word.
const WITH_VALUE: [&str; 3] = ["-f", "-r", "-B"];

impl Arguments {
    /// Parses the words after the name of the program. Flags that are not known are ignored.
    ///
    /// # Errors
    ///
    /// If there is not exactly one recipient.
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self::default();
        let mut rcpts = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--" => rcpts.extend(words.by_ref()),
                "-t" => arguments.is_rcpt_in_header = true,
                "-F" => arguments.name = words.next().cloned(),
                flag if WITH_VALUE.contains(&flag) => drop(words.next()),
                flag => match (flag.strip_prefix("-F"), flag.starts_with('-')) {
                    (Some(name), _) => arguments.name = Some(name.to_owned()),
                    (None, true) => {}
                    (None, false) => rcpts.push(word),
                },
            }
        }
        arguments.rcpt = match (rcpts.as_slice(), arguments.is_rcpt_in_header) {
            ([], true) => None,
            ([rcpt], false) => Some((*rcpt).clone()),
            (_, true) => bail!("with -t, the recipient is in the message only"),
            ([], false) => bail!("no recipient"),
            (_, false) => bail!("more than one recipient"),
        };
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<(Option<&str>, bool, Option<&str>)>) {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let got = Arguments::parse(&words).ok();
        let got = got
            .as_ref()
            .map(|got| (got.name.as_deref(), got.is_rcpt_in_header, got.rcpt.as_deref()));
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn one_recipient_is_wanted() {
        // As programs call it.
        check("root", Some((None, false, Some("root"))));
        check(
            "-FCronDaemon -i -B8BITMIME -oem root",
            Some((Some("CronDaemon"), false, Some("root"))),
        );
        check("-t -i", Some((None, true, None)));
        check("-F Backup -f root -t", Some((Some("Backup"), true, None)));
        check("-- -t@b.example", Some((None, false, Some("-t@b.example"))));
        // At the edge: flags after the recipient.
        check("a@b.example -i", Some((None, false, Some("a@b.example"))));
        // Just past it.
        check("a@b.example c@d.example", None);
        check("-t a@b.example", None);
        check("-- a b", None);
        check("-i", None);
        check("-f root", None);
    }
}
