//! NOTIFY.

use super::Expected;
use super::fetch::fetch_att;
use super::filter::filter_mailboxes;
use super::lexer::{Lexer, Parsed};
use crate::types::{
    Command, EventGroup, EventSet, FETCH_ITEMS_MAX, NOTIFY_EVENTS_MAX, NOTIFY_GROUPS_MAX, Notify,
};

/// `notify = "NOTIFY" SP (notify-add / notify-remove)`, `notify-remove = "NONE"`
/// `notify-add = "SET" [status-indicator] SP event-groups`, `status-indicator = SP "STATUS"`.
/// RFC 5465 §8.
pub(super) fn notify(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    if lexer.word("NONE") {
        return Ok(Command::Notify(Notify::None));
    }
    if !lexer.word("SET") {
        return lexer.fail(Expected::NotifyAction);
    }
    lexer.sp()?;
    let status = lexer.word("STATUS");
    if status {
        lexer.sp()?;
    }
    let mut groups = vec![event_group(lexer)?];
    while lexer.take(b' ') {
        if groups.len() == NOTIFY_GROUPS_MAX {
            return lexer.fail(Expected::FewerItems);
        }
        groups.push(event_group(lexer)?);
    }
    Ok(Command::Notify(Notify::Set { status, groups }))
}

/// `event-group = "(" filter-mailboxes SP events ")"`
/// `events = ("(" event *(SP event) ")") / "NONE"`
fn event_group(lexer: &mut Lexer<'_>) -> Parsed<EventGroup> {
    lexer.open()?;
    let filter = filter_mailboxes(lexer)?;
    lexer.sp()?;
    let (events, items) = (EventSet::NONE, Vec::new());
    let mut group = EventGroup { filter, events, items, has_unknown: false };
    if !lexer.word("NONE") {
        let given = lexer.list(NOTIFY_EVENTS_MAX, |lexer| event(lexer, &mut group))?;
        if given.is_empty() {
            return lexer.fail(Expected::Atom);
        }
    }
    lexer.close()?;
    Ok(group)
}

/// `event = message-event / mailbox-event / user-event / event-ext`
/// `message-event = ("MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"]) / "MessageExpunge" /
/// "FlagChange" / "AnnotationChange"`
fn event(lexer: &mut Lexer<'_>, group: &mut EventGroup) -> Parsed<()> {
    // `event-ext = atom`: not a fault of syntax, the client is told which there are.
    let Some(event) = EventSet::from_name(lexer.atom()?) else {
        group.has_unknown = true;
        return Ok(());
    };
    group.events.insert(event);
    let mut ahead = lexer.clone();
    if event == EventSet::MESSAGE_NEW && ahead.take(b' ') && ahead.peek() == Some(b'(') {
        group.items = ahead.list(FETCH_ITEMS_MAX, fetch_att)?;
        if group.items.is_empty() {
            return ahead.fail(Expected::FetchItem);
        }
        *lexer = ahead;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::{FetchItem, MailboxFilter};

    fn group(filter: MailboxFilter, events: &[EventSet]) -> EventGroup {
        let mut set = EventSet::NONE;
        events.iter().for_each(|event| set.insert(*event));
        EventGroup { filter, events: set, items: Vec::new(), has_unknown: false }
    }

    #[track_caller]
    fn check(line: &str, status: bool, groups: Vec<EventGroup>) {
        assert_eq!(parse(line), Ok(Command::Notify(Notify::Set { status, groups })), "{line}");
    }

    /// RFC 5465 §8, with the shapes of its examples.
    #[test]
    fn groups_have_a_filter_and_events() {
        use EventSet as E;
        assert_eq!(parse("NOTIFY none"), Ok(Command::Notify(Notify::None)));
        let both = [E::MESSAGE_NEW, E::MESSAGE_EXPUNGE];
        check(
            "NOTIFY SET (selected (MessageNew MESSAGEEXPUNGE))",
            false,
            vec![group(MailboxFilter::Selected, &both)],
        );
        let items = vec![FetchItem::Uid, FetchItem::Envelope];
        check(
            "notify set STATUS (selected-delayed (MessageNew (UID ENVELOPE) MessageExpunge)) \
             (personal NONE) (inboxes (MailboxName SubscriptionChange))",
            true,
            vec![
                EventGroup { items, ..group(MailboxFilter::SelectedDelayed, &both) },
                group(MailboxFilter::Personal, &[]),
                group(MailboxFilter::Inboxes, &[E::MAILBOX_NAME, E::SUBSCRIPTION_CHANGE]),
            ],
        );
        // What is not known is for the session to refuse.
        let unknown = EventGroup { has_unknown: true, ..group(MailboxFilter::Personal, &[]) };
        check("NOTIFY SET (personal (AnnotationChange))", false, vec![unknown]);
    }

    #[test]
    fn bad_groups_are_refused() {
        let groups = |count| format!("NOTIFY SET {}", vec!["(personal NONE)"; count].join(" "));
        assert!(parse(&groups(NOTIFY_GROUPS_MAX)).is_ok());
        check_bad(&[
            (&groups(NOTIFY_GROUPS_MAX + 1), Expected::FewerItems),
            ("NOTIFY", Expected::Space),
            ("NOTIFY bogus", Expected::NotifyAction),
            ("NOTIFY NONE x", Expected::End),
            ("NOTIFY SET", Expected::Space),
            ("NOTIFY SET STATUS", Expected::Space),
            ("NOTIFY SET ()", Expected::Atom),
            ("NOTIFY SET (bogus NONE)", Expected::MailboxFilter),
            ("NOTIFY SET (selected)", Expected::Space),
            ("NOTIFY SET (selected ())", Expected::Atom),
            ("NOTIFY SET (selected bogus)", Expected::Open),
            ("NOTIFY SET (selected NONE", Expected::Close),
            ("NOTIFY SET (selected NONE) ", Expected::Open),
            ("NOTIFY SET (personal (MessageNew () MessageExpunge))", Expected::FetchItem),
            ("NOTIFY SET (personal (MessageNew (BOGUS)))", Expected::FetchItem),
            ("NOTIFY SET (personal (MessageExpunge (UID)))", Expected::Atom),
        ]);
    }
}
