//! Names for connections that only the administrator can read.

use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The length of the key and of the block: AES-128.
const BLOCK_BYTES: usize = 16;

/// The length of the secret: key and salt.
pub const RECEIVED_ID_SECRET_BYTES: usize = 24;

/// Makes the ids of connections for `Received` fields and error replies.
///
/// An id is a block of AES-128 over eight secret bytes and the number of the connection, as base64:
/// who has the key finds the connection in the log, others do not learn how many there are.
#[derive(Clone)]
pub struct ReceivedIds {
    key: [u8; BLOCK_BYTES],
    salt: [u8; 8],
}

impl ReceivedIds {
    /// - `key`, `salt`: random, secret, and the same after a restart.
    #[must_use]
    pub fn new(key: [u8; BLOCK_BYTES], salt: [u8; 8]) -> Self {
        Self { key, salt }
    }

    /// - `secret`: what the data directory has: the key and the salt.
    #[must_use]
    pub fn from_secret(secret: [u8; RECEIVED_ID_SECRET_BYTES]) -> Self {
        let (mut key, mut salt) = ([0; BLOCK_BYTES], [0; 8]);
        for (to, from) in key.iter_mut().chain(&mut salt).zip(secret) {
            *to = from;
        }
        Self { key, salt }
    }

    /// The number of the connection that has this id; `None` if the id was not made with this secret.
    #[must_use]
    pub fn cid(&self, id: &str) -> Option<u64> {
        let mut block: [u8; BLOCK_BYTES] = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
        let key = UnboundCipherKey::new(&AES_128, &self.key).ok()?;
        let key = DecryptingKey::ecb(key).ok()?;
        key.decrypt(&mut block, DecryptionContext::None).ok()?;
        let (salt, number) = block.split_at_checked(8)?;
        let number: [u8; 8] = number.try_into().ok()?;
        (salt == self.salt).then(|| u64::from_be_bytes(number))
    }

    /// The id of a connection: 22 characters of URL-safe base64.
    #[must_use]
    pub fn id(&self, cid: u64) -> String {
        let mut block = [0; BLOCK_BYTES];
        let (salt, number) = block.split_at_mut(8);
        salt.copy_from_slice(&self.salt);
        number.copy_from_slice(&cid.to_be_bytes());
        // One block under a key of its own: here, ECB is the block cipher and nothing else. It
        // refuses neither this key nor this length.
        let encrypted = UnboundCipherKey::new(&AES_128, &self.key)
            .and_then(EncryptingKey::ecb)
            .and_then(|key| key.encrypt(&mut block));
        debug_assert!(encrypted.is_ok());
        if encrypted.is_err() {
            block = [0; BLOCK_BYTES];
        }
        URL_SAFE_NO_PAD.encode(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197, appendix C.1: the block is made so that it is the plaintext there.
    #[test]
    fn an_id_is_the_encrypted_number() {
        let key = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let ids = ReceivedIds::new(key, [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]);
        let want = [
            0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4,
            0xc5, 0x5a,
        ];
        assert_eq!(ids.id(0x8899_aabb_ccdd_eeff), URL_SAFE_NO_PAD.encode(want));
        // And back, but not by another key or salt.
        let id = ids.id(0x8899_aabb_ccdd_eeff);
        assert_eq!(ids.cid(&id), Some(0x8899_aabb_ccdd_eeff));
        assert_eq!(ReceivedIds::new(key, [0; 8]).cid(&id), None);
        assert_eq!(ReceivedIds::new([0; 16], ids.salt).cid(&id), None);
        for bad in ["", "AAAA", "not base64!", &id[1..], &format!("{id}A")] {
            assert_eq!(ids.cid(bad), None, "{bad:?}");
        }
        let secret: [u8; 24] = [&key[..], &ids.salt[..]].concat().try_into().unwrap();
        assert_eq!(ReceivedIds::from_secret(secret).cid(&id), ids.cid(&id));
        assert_ne!(ids.id(1), ids.id(2));
    }

    /// Ids that the original gave, in mail that was taken over with the file of its key.
    #[test]
    fn ids_of_the_original_are_resolved_by_its_key() {
        let expected = mox_testkit::original::expected("rich");
        let hex = expected["receivedid_key_hex"].as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap();
        let ids = ReceivedIds::from_secret(std::array::from_fn(byte));
        let mut cids = std::collections::BTreeSet::new();
        for message in
            expected["accounts"]["alice"]["raw"]["Message"]["records"].as_array().unwrap()
        {
            let Some(prefix) = message["MsgPrefix"].as_str() else { continue };
            let prefix = prefix.strip_prefix("b64:").unwrap_or_default();
            let prefix = base64::engine::general_purpose::STANDARD.decode(prefix).unwrap();
            let prefix = String::from_utf8(prefix).unwrap();
            let words: Vec<_> = prefix.split_whitespace().collect();
            let after_id = words.windows(2).filter(|pair| pair[0] == "id").map(|pair| pair[1]);
            cids.extend(after_id.map(|id| ids.cid(id.trim_end_matches(';'))));
        }
        // Each has the salt of the key. The numbers are of one run of the server, and near each other.
        assert!(cids.len() > 5 && !cids.contains(&None), "{cids:?}");
        let numbers: Vec<_> = cids.into_iter().flatten().collect();
        let spread = numbers[numbers.len() - 1] - numbers[0];
        assert!(spread < 1 << 40, "{numbers:?}");
    }
}
