//! What names without account show.

use std::sync::Arc;

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

    /// What a name without account has stored, and the account that is its twin, if there is one. Takes
    /// as long for any name.
    pub(crate) fn stored(&self, name: &str) -> (StoredPassword, Option<Arc<str>>) {
        let twin = self.shapes.read().twin(&self.decoy, name);
        let shape = twin.as_ref().map_or(Shape::OURS, |twin| twin.shape);
        (self.decoy.stored(name, shape), twin.map(|twin| twin.account))
    }

    /// See [`Shapes::verifiers`].
    pub(crate) fn verifiers(&self, name: &str) -> Verifiers {
        self.shapes.read().verifiers(&self.decoy, name)
    }
}
