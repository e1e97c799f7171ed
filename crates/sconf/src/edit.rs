//! Changes to a document that leave all other lines as they are.

use crate::document::{Block, Document, Entry};
use crate::shape::{Described, Field, Shape};
use crate::value::read_entry;
use crate::write::{Docs, Writer, inline, written};
use crate::{EncodeError, Path, Step, Value};

/// New lines get no comments: those above are the user's.
const WRITER: Writer = Writer { docs: Docs::Omit };

impl Document {
    /// Changes the document so that it reads as `value`.
    ///
    /// Lines whose meaning stays keep their spelling, comments and order. A new field goes after
    /// the fields declared before it; a new map key at its place in a sorted map, else at the end;
    /// a removed entry takes the comment lines directly above it along. Fails without a change.
    ///
    /// Cost: linear in the size of the document and value, but for maps: their keys are looked up
    /// by hash, and insertions move what follows.
    pub fn apply(&mut self, value: &Value, shape: &Shape) -> Result<(), EncodeError> {
        let mut root = self.root.clone();
        merge_block(&mut root, value, shape, 0)?;
        self.root = root;
        Ok(())
    }

    /// Sets the text of a key, adding the key and those above it at the end where they are absent.
    ///
    /// Fails if an index of the path is past the end of its list or the text is not one line.
    pub fn set(&mut self, path: &Path, text: &str) -> Result<(), EncodeError> {
        let wrong = || EncodeError::WrongShape(path.to_string());
        let value = inline(text)?;
        let (last, above) = path.steps().split_last().ok_or_else(wrong)?;
        let mut root = self.root.clone();
        let mut block = &mut root;
        for step in above {
            let entry = block.entry_or_insert(step).ok_or_else(wrong)?;
            if entry.inline.is_some() {
                return Err(wrong());
            }
            block = entry.block.get_or_insert_default();
        }
        let entry = block.entry_or_insert(last).ok_or_else(wrong)?;
        if entry.block.is_some() {
            return Err(wrong());
        }
        entry.inline = value;
        self.root = root;
        Ok(())
    }

    /// Removes the entry at `path` with what is below it and the comment lines directly above it.
    ///
    /// Returns whether it was there. Entries above that have nothing left below them go too.
    pub fn remove(&mut self, path: &Path) -> bool {
        remove(&mut self.root, path.steps())
    }
}

fn remove(block: &mut Block, steps: &[Step]) -> bool {
    let Some((step, below)) = steps.split_first() else { return false };
    let Some(place) = block.position(step) else { return false };
    if !below.is_empty() {
        let Some(inner) = block.entries.get_mut(place).and_then(|entry| entry.block.as_mut())
        else {
            return false;
        };
        if !remove(inner, below) {
            return false;
        }
        if !inner.entries.is_empty() {
            return true;
        }
    }
    block.remove(place);
    true
}

impl Block {
    fn position(&self, step: &Step) -> Option<usize> {
        match step {
            Step::Key(key) => self.entries.iter().position(|entry| entry.key() == Some(key)),
            Step::Index(index) => (*index < self.entries.len()).then_some(*index),
        }
    }

    fn entry_or_insert(&mut self, step: &Step) -> Option<&mut Entry> {
        let place = match (self.position(step), step) {
            (Some(place), _) => place,
            (None, Step::Index(_)) => return None,
            (None, Step::Key(key)) => {
                let empty = Value::Text(String::new());
                let entry = WRITER.map_entry(key, &empty, &String::SHAPE, 0).ok()?;
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.entries.get_mut(place)
    }

    /// Removes an entry and the comment lines directly above it; earlier lines above it stay.
    fn remove(&mut self, place: usize) {
        let removed = self.entries.remove(place);
        let kept = without_last_comment(&removed.lead);
        let next = match self.entries.get_mut(place) {
            Some(next) => &mut next.lead,
            None => &mut self.tail,
        };
        // Of the blank lines on both sides one side is enough.
        if !(kept.chars().all(|c| c == '\n') && next.starts_with('\n')) {
            next.insert_str(0, kept);
        }
    }
}

/// Cuts off the unbroken run of comment lines at the end.
fn without_last_comment(lead: &str) -> &str {
    let mut end = lead.len();
    for line in lead.split_inclusive('\n').rev() {
        if line.trim().is_empty() {
            break;
        }
        end -= line.len();
    }
    lead.get(..end).unwrap_or_default()
}

fn merge_block(
    block: &mut Block,
    value: &Value,
    shape: &Shape,
    depth: usize,
) -> Result<(), EncodeError> {
    match (shape, value) {
        (Shape::Struct(fields), Value::Map(_)) => merge_struct(block, value, fields, depth),
        (Shape::Map { key, value: shape }, Value::Map(values)) => {
            let canonical = |text: &str| (key.canonical)(text).unwrap_or_else(|_| text.to_owned());
            merge_map(block, values, shape, &canonical, depth)
        }
        (Shape::List(shape), Value::List(items)) => merge_list(block, items, shape, depth),
        _ => Err(EncodeError::WrongShape("document".to_owned())),
    }
}

/// Makes an existing entry read as `value`.
///
/// - `fresh`: the entry as it would be written, put in its place where the form differs.
fn merge_entry(
    entry: &mut Entry,
    value: &Value,
    shape: &Shape,
    depth: usize,
    fresh: impl FnOnce() -> Result<Entry, EncodeError>,
) -> Result<(), EncodeError> {
    if read_entry(entry, shape).is_some_and(|have| same(&have, value, shape)) {
        return Ok(());
    }
    let new = fresh()?;
    if let (Some(block), Some(_)) = (&mut entry.block, &new.block) {
        merge_block(block, value, shape, depth + 1)?;
        if !block.entries.is_empty() {
            return Ok(());
        }
    }
    entry.inline = new.inline;
    entry.block = new.block;
    Ok(())
}

/// Whether two values mean the same: an optional field not set equals one set to its zero value.
fn same(left: &Value, right: &Value, shape: &Shape) -> bool {
    match (shape, left, right) {
        (Shape::Struct(fields), Value::Map(_), Value::Map(_)) => {
            fields.iter().all(|field| match (written(left, field), written(right, field)) {
                (Some(left), Some(right)) => same(left, right, field.shape),
                (None, None) => true,
                _ => false,
            })
        }
        (Shape::Map { value: shape, .. }, Value::Map(left), Value::Map(right)) => {
            let left: std::collections::HashMap<_, _> = left.iter().map(|(k, v)| (k, v)).collect();
            left.len() == right.len()
                && right
                    .iter()
                    .all(|(key, right)| left.get(key).is_some_and(|left| same(left, right, shape)))
        }
        (Shape::List(shape), Value::List(left), Value::List(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right, shape))
        }
        _ => left == right,
    }
}

fn merge_struct(
    block: &mut Block,
    value: &Value,
    fields: &'static [Field],
    depth: usize,
) -> Result<(), EncodeError> {
    for (rank, field) in fields.iter().enumerate() {
        let place = block.entries.iter().position(|entry| entry.key() == Some(field.key));
        match (place, written(value, field)) {
            (None, None) => {}
            (Some(place), None) => {
                // An optional field written out with its zero value is as good as absent.
                let zero = block
                    .entries
                    .get(place)
                    .and_then(|entry| read_entry(entry, field.shape))
                    .is_some_and(|have| !field.nullable && have.is_zero(field.shape));
                if !zero {
                    block.remove(place);
                }
            }
            (Some(place), Some(value)) => {
                if let Some(entry) = block.entries.get_mut(place) {
                    let fresh = || WRITER.field(field, value, depth);
                    merge_entry(entry, value, field.shape, depth, fresh)?;
                }
            }
            (None, Some(value)) => {
                let before = |entry: &Entry| {
                    fields.iter().take(rank).any(|field| entry.key() == Some(field.key))
                };
                let place = block.entries.iter().rposition(before).map_or(0, |place| place + 1);
                let entry = WRITER.field(field, value, depth)?;
                block.insert(place, entry);
            }
        }
    }
    Ok(())
}

impl Block {
    fn insert(&mut self, place: usize, mut entry: Entry) {
        if place == 0
            && let Some(first) = self.entries.first_mut()
        {
            // A comment that opens the block, set apart by a blank line, stays at its top.
            let kept = without_last_comment(&first.lead).len();
            let own = first.lead.split_off(kept);
            entry.lead = std::mem::replace(&mut first.lead, own);
        }
        self.entries.insert(place, entry);
    }
}

fn merge_map(
    block: &mut Block,
    values: &[(String, Value)],
    shape: &Shape,
    canonical: &dyn Fn(&str) -> String,
    depth: usize,
) -> Result<(), EncodeError> {
    let wanted: std::collections::HashMap<&str, &Value> =
        values.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let mut have = std::collections::HashSet::new();
    let mut place = 0;
    while let Some(entry) = block.entries.get_mut(place) {
        let key = canonical(entry.key().unwrap_or_default());
        match wanted.get(key.as_str()) {
            None => block.remove(place),
            Some(value) => {
                let fresh = || WRITER.map_entry(&key, value, shape, depth);
                merge_entry(entry, value, shape, depth, fresh)?;
                have.insert(key);
                place += 1;
            }
        }
    }
    let sorted = block.entries.is_sorted_by(|a, b| a.key <= b.key);
    for (key, value) in values.iter().filter(|(key, _)| !have.contains(key)) {
        let entry = WRITER.map_entry(key, value, shape, depth)?;
        let place = match sorted {
            true => block.entries.partition_point(|have| have.key() < Some(key)),
            false => block.entries.len(),
        };
        block.insert(place, entry);
    }
    Ok(())
}

fn merge_list(
    block: &mut Block,
    items: &[Value],
    shape: &Shape,
    depth: usize,
) -> Result<(), EncodeError> {
    let equal = |entry: &Entry, item: &Value| {
        read_entry(entry, shape).is_some_and(|have| same(&have, item, shape))
    };
    let head = block.entries.iter().zip(items).take_while(|(e, i)| equal(e, i)).count();
    let left = block.entries.len().min(items.len()) - head;
    let tail = block
        .entries
        .iter()
        .rev()
        .zip(items.iter().rev())
        .take(left)
        .take_while(|(e, i)| equal(e, i))
        .count();
    let middle = items.get(head..items.len() - tail).unwrap_or_default();
    let mut place = head;
    for item in middle {
        let fresh = || WRITER.item(item, shape, depth);
        if place < block.entries.len() - tail {
            if let Some(entry) = block.entries.get_mut(place) {
                merge_entry(entry, item, shape, depth, fresh)?;
            }
        } else {
            let entry = fresh()?;
            block.insert(place, entry);
        }
        place += 1;
    }
    while place < block.entries.len() - tail {
        block.remove(place);
    }
    Ok(())
}
