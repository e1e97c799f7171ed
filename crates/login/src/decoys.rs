//! What names without account show.

use mox_sasl::{DECOY_SECRET_BYTES, Decoy, Shape, Shapes, StoredPassword, Verifiers};
use parking_lot::RwLock;

/// Made-up passwords, in the shapes that those of the accounts have.
pub(crate) struct Decoys {
    decoy: Decoy,
    shapes: RwLock<Shapes>,
}

impl Decoys {
    /// Starts without knowing any account: then all names have the shape of a new password.
    pub(crate) fn new(secret: [u8; DECOY_SECRET_BYTES]) -> Self {
        Self { decoy: Decoy::new(secret), shapes: RwLock::default() }
    }

    /// Takes the shape of what an account has stored now.
    pub(crate) fn note(&self, account: &str, shape: Option<Shape>) {
        if !self.shapes.read().is_known(&self.decoy, account, shape) {
            self.shapes.write().set(&self.decoy, account, shape);
        }
    }

    /// See [`Shapes::stored`].
    pub(crate) fn stored(&self, name: &str) -> StoredPassword {
        self.shapes.read().stored(&self.decoy, name)
    }

    /// See [`Shapes::verifiers`].
    pub(crate) fn verifiers(&self, name: &str) -> Verifiers {
        self.shapes.read().verifiers(&self.decoy, name)
    }
}
