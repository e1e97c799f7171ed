//! The databases of accounts.

use super::{AccountFault, AccountProblem};
use crate::Finding;

pub(super) fn judge(faults: &[AccountFault]) -> Vec<Finding> {
    let judged = faults.iter().map(|AccountFault { account, problem }| match problem {
        AccountProblem::Old => Finding::note(
            format!("the database of account {account} is of an older version"),
            "It is brought up to date when the server first opens it. Make a backup before.",
        ),
        AccountProblem::New => Finding::error(
            format!("the database of account {account} is of a newer version than this program knows"),
            "Use the program that wrote it, or restore the account from a backup made before.",
        ),
        AccountProblem::Broken(error) => Finding::error(
            format!("the database of account {account} cannot be opened: {error}"),
            "Look for what is damaged: mox verifydata (of a backup or a stopped server), then restore the \
             account from a backup.",
        ),
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn databases_must_open() {
        let fault = |problem| AccountFault { account: "a".to_owned(), problem };
        let faults = [
            fault(AccountProblem::Old),
            fault(AccountProblem::New),
            fault(AccountProblem::Broken("no".to_owned())),
        ];
        let levels: Vec<_> = judge(&faults).into_iter().map(|one| one.level).collect();
        assert_eq!(levels, [Level::Note, Level::Error, Level::Error]);
        assert!(judge(&[]).is_empty());
    }
}
