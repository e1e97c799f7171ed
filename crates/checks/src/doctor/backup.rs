//! When the last backup was made.

use super::Facts;
use crate::Finding;

/// The file in the data directory that a backup leaves when it is complete: its time counts.
pub const BACKUP_STAMP: &str = "lastbackup";

/// Backups should be made daily: after so many days something is wrong.
const OLD_DAYS: i64 = 3;

/// After so many nobody makes them any more.
const LOST_DAYS: i64 = 30;

const DAY_SECS: i64 = 86_400;

/// How to make them.
const HOW: &str = "\
Make one: mox backup /backup/mox-$(date +%F)
Daily, against the one before, from cron or a timer of systemd:
  mox backup --incremental-from /backup/mox-YESTERDAY /backup/mox-TODAY
Keep it on another disk, best on another machine, and try it: mox verifydata /backup/mox-TODAY";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(last) = facts.last_backup else {
        return vec![Finding::warning("no backup was made yet", HOW)];
    };
    let days = facts.now.secs_since(last) / DAY_SECS;
    let what = format!("the last backup was made {days} days ago");
    vec![match days {
        days if days >= LOST_DAYS => Finding::error(what, HOW),
        days if days >= OLD_DAYS => Finding::warning(what, HOW),
        _ => Finding::ok(what),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::tests::NOW;

    #[test]
    fn backups_must_be_recent() {
        for (days, want) in [
            (Some(0), Level::Ok),
            (Some(OLD_DAYS - 1), Level::Ok),
            (Some(OLD_DAYS), Level::Warning),
            (Some(LOST_DAYS), Level::Error),
            (None, Level::Warning),
        ] {
            let mut facts = Facts::at(NOW);
            facts.last_backup = days.map(|days: i64| NOW.plus_secs(-days * DAY_SECS));
            assert_eq!(judge(&facts)[0].level, want, "{days:?}");
        }
    }
}
