//! Buckets: trees of pages with keys in order.

use std::collections::{HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::bytes::u64_at;
use crate::database::{Database, Source};
use crate::page::{Damage, Page, Reason, What};

/// How many pages may lie above one another. Real files have fewer than ten.
pub const WALK_DEPTH_MAX: usize = 64;

/// How often a walk may read as many pages that others run over into as the file has: no page of a sound
/// file belongs to two others, but a damaged one may say so.
const SPARE: u64 = 2;

/// Bytes of a bucket's value before a page that lies within it.
const BUCKET_HEAD_BYTES: usize = 16;

/// Keys with values or further buckets.
#[derive(Debug)]
pub struct Bucket<'a, S> {
    database: &'a Database<S>,
    root: Root,
    sequence: u64,
}

impl<S> Clone for Bucket<'_, S> {
    fn clone(&self) -> Self {
        Self { database: self.database, root: self.root.clone(), sequence: self.sequence }
    }
}

#[derive(Clone, Debug)]
enum Root {
    Page(u64),
    /// A leaf that lies in the value that describes the bucket.
    Inline(Arc<[u8]>),
}

/// What a key stands for.
#[derive(Clone, Debug)]
pub enum Held<'a, S> {
    /// A value.
    Value(Vec<u8>),
    /// A bucket within this one.
    Bucket(Bucket<'a, S>),
}

/// A key and what it stands for.
#[derive(Clone, Debug)]
pub struct Element<'a, S> {
    /// The key, 1 to 32,768 bytes.
    pub key: Vec<u8>,
    /// What it stands for.
    pub held: Held<'a, S>,
    /// The pages it was read from; page 0 if it lies within a value.
    pub pages: RangeInclusive<u64>,
}

impl<'a, S: Source> Bucket<'a, S> {
    pub(crate) fn at_page(database: &'a Database<S>, page: u64, sequence: u64) -> Self {
        Self { database, root: Root::Page(page), sequence }
    }

    /// Reads the value that describes a bucket.
    fn parse(database: &'a Database<S>, value: &[u8]) -> Option<Self> {
        let (root, sequence) = (u64_at(value, 0)?, u64_at(value, 8)?);
        let root = match root {
            0 => Root::Inline(value.get(BUCKET_HEAD_BYTES..)?.into()),
            page => Root::Page(page),
        };
        Some(Self { database, root, sequence })
    }

    /// The last number that was given out for a key.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// All elements, in the order of keys, and what is damaged. Reads a page at a time.
    #[must_use]
    pub fn walk(&self) -> Walk<'a, S> {
        let mut walk = Walk {
            database: self.database,
            above: Vec::new(),
            seen: HashSet::new(),
            spare: self.database.pages().saturating_mul(SPARE),
            last_key: Vec::new(),
            ready: VecDeque::new(),
        };
        match &self.root {
            Root::Page(page) => walk.enter(*page),
            Root::Inline(bytes) => match Page::parse(0, Arc::clone(bytes)) {
                Ok(page) => walk.add(page),
                Err(damage) => walk.ready.push_back(Err(damage)),
            },
        }
        walk
    }

    /// The bucket with this key, if there is one. Walks: for buckets with few keys.
    ///
    /// # Errors
    ///
    /// If it is not found and there is damage, in which it may have been.
    pub fn bucket(&self, key: &[u8]) -> Result<Option<Self>, Damage> {
        let mut damaged = None;
        for element in self.walk() {
            match element {
                Ok(Element { key: one, held: Held::Bucket(bucket), .. }) if one == key => {
                    return Ok(Some(bucket));
                }
                Ok(_) => {}
                Err(damage) => damaged = damaged.or(Some(damage)),
            }
        }
        damaged.map_or(Ok(None), Err)
    }
}

/// The elements of a bucket, see [`Bucket::walk`].
#[derive(Debug)]
pub struct Walk<'a, S> {
    database: &'a Database<S>,
    /// Branches on the way down, each with the pages below it that are still to come, the next one last.
    above: Vec<(RangeInclusive<u64>, Vec<u64>)>,
    seen: HashSet<u64>,
    /// See [`Database::page`].
    spare: u64,
    last_key: Vec<u8>,
    ready: VecDeque<Result<Element<'a, S>, Damage>>,
}

impl<'a, S: Source> Walk<'a, S> {
    /// The branches above the page that was read last, the uppermost first.
    pub fn branches(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.above.iter().map(|(pages, _)| pages.clone())
    }

    fn enter(&mut self, id: u64) {
        let fault = |reason| Err(Damage { page: id, reason });
        if self.above.len() >= WALK_DEPTH_MAX {
            return self.ready.push_back(fault(Reason::TooDeep));
        }
        if !self.seen.insert(id) {
            return self.ready.push_back(fault(Reason::Twice));
        }
        match self.database.page(id, &mut self.spare) {
            Ok(page) => self.add(page),
            Err(damage) => self.ready.push_back(Err(damage)),
        }
    }

    fn add(&mut self, page: Page) {
        self.ready.extend(page.damages.iter().cloned().map(Err));
        let mut below = Vec::new();
        for (number, entry) in page.entries.iter().enumerate() {
            match &entry.what {
                What::Child(child) => below.push(*child),
                What::Value(value, is_bucket) => {
                    let key = page.bytes_of(&entry.key);
                    if number == 0 && !self.last_key.is_empty() && key <= self.last_key.as_slice() {
                        self.ready.push_back(Err(Damage { page: page.id, reason: Reason::Order }));
                    }
                    let element = self.element(&page, key, page.bytes_of(value), *is_bucket);
                    self.ready.push_back(element);
                }
            }
        }
        if let Some(entry) = page.entries.last().filter(|_| below.is_empty()) {
            self.last_key = page.bytes_of(&entry.key).to_vec();
        }
        if !below.is_empty() {
            below.reverse();
            self.above.push((page.pages, below));
        }
    }

    fn element(
        &self,
        page: &Page,
        key: &[u8],
        value: &[u8],
        is_bucket: bool,
    ) -> Result<Element<'a, S>, Damage> {
        let held = match is_bucket {
            true => Bucket::parse(self.database, value).map(Held::Bucket),
            false => Some(Held::Value(value.to_vec())),
        };
        let held = held.ok_or(Damage { page: page.id, reason: Reason::NoBucket })?;
        Ok(Element { key: key.to_vec(), held, pages: page.pages.clone() })
    }
}

impl<'a, S: Source> Iterator for Walk<'a, S> {
    type Item = Result<Element<'a, S>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            let (_, below) = self.above.last_mut()?;
            match below.pop() {
                Some(page) => self.enter(page),
                None => {
                    self.above.pop();
                }
            }
        }
    }
}
