//! METADATA in the terms of the store.

use mox_base::{MailboxId, MailboxName};
use mox_imap::session::{GetMetadataOp, MetadataFound, Outcome, Refusal, choose_metadata};
use mox_imap::types::MetadataValue;
use mox_store::{Account, Reader, StoreError};

use crate::refusal;

/// All annotations of a mailbox, or of the account, sorted by name.
pub(crate) fn all(
    reader: &Reader,
    mailbox: Option<MailboxId>,
) -> Result<Vec<(String, MetadataValue)>, StoreError> {
    let annotations = reader.annotations(mailbox)?;
    let value = |annotation: mox_store::Annotation| {
        let mox_store::Annotation { name, value, is_binary } = annotation;
        (name, MetadataValue { bytes: value, is_binary })
    };
    Ok(annotations.into_iter().map(value).collect())
}

/// GETMETADATA. Blocks.
pub(crate) fn get(account: &Account, op: &GetMetadataOp) -> Result<MetadataFound, StoreError> {
    let reader = account.read()?;
    let mailbox = match &op.mailbox {
        Some(name) => Some(reader.mailbox(name)?.id),
        None => None,
    };
    Ok(choose_metadata(op, all(&reader, mailbox)?))
}

/// SETMETADATA.
pub(crate) async fn set(
    account: &Account,
    mailbox: Option<MailboxName>,
    entries: Vec<(String, Option<MetadataValue>)>,
) -> Result<(), StoreError> {
    let change = |(name, value): (String, Option<MetadataValue>)| {
        (name, value.map(|value| (value.bytes, value.is_binary)))
    };
    account.set_annotations(mailbox, entries.into_iter().map(change).collect()).await
}

/// The outcome of SETMETADATA.
pub(crate) fn outcome(cid: u64, result: Result<(), StoreError>) -> Outcome {
    match result {
        Err(StoreError::TooManyAnnotations) => Outcome::Refused(Refusal::TooManyAnnotations),
        Err(StoreError::AnnotationsTooLarge) => {
            let max = mox_store::ANNOTATION_BYTES_MAX as u64;
            Outcome::Refused(Refusal::AnnotationsTooLarge(max))
        }
        result => refusal::outcome(cid, result, |()| Outcome::Done),
    }
}
