//! Slices and integers without panics: what is out of range is empty or saturated.

/// `data[from..to]`, empty where that does not exist.
pub(crate) fn sub(data: &[u8], from: usize, to: usize) -> &[u8] {
    data.get(from..to).unwrap_or_default()
}

/// `data[from..]`, empty where that does not exist.
pub(crate) fn tail(data: &[u8], from: usize) -> &[u8] {
    data.get(from..).unwrap_or_default()
}

/// `data[..to]`, all of it where that does not exist.
pub(crate) fn head(data: &[u8], to: usize) -> &[u8] {
    data.get(..to).unwrap_or(data)
}

/// A length as an offset: a `usize` always fits.
pub(crate) fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// An offset as a length in memory, saturating where the machine's words are shorter.
pub(crate) fn as_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// The low byte, where the caller has already masked.
pub(crate) fn low_byte(bits: u32) -> u8 {
    u8::try_from(bits & 0xFF).unwrap_or_default()
}

/// The longest prefix of at most `bytes_max` bytes that ends between characters.
pub(crate) fn floor_str(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
