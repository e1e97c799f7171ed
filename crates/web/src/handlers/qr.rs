//! The way to a profile, for the camera of a telephone.

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

use super::profile;
use crate::answer::Answer;
use crate::request::Request;

/// The longest URL in a code: more make it too fine for cameras. ISO/IEC 18004 could hold 2,953.
const URL_BYTES_MAX: usize = 1_000;

/// Points of an image for one of the code.
const SCALE: usize = 5;

/// Empty points of the code around it. ISO/IEC 18004 wants 4.
const MARGIN: usize = 4;

/// What follows the path of the profile.
const SUFFIX: &str = ".qrcode.png";

/// Gives an image of the URL without its ending.
pub(super) fn answer(request: &Request) -> Answer {
    if let Err(reason) = profile::check(&request.config, &request.query) {
        return Answer::bad_request(reason);
    }
    let scheme = if request.is_https { "https" } else { "http" };
    let path = request.path.strip_suffix(SUFFIX).unwrap_or(&request.path);
    let url = format!("{scheme}://{}{path}?{}", request.authority, request.query);
    match image(&url) {
        Some(image) => Answer::ok("image/png", image),
        None => Answer::bad_request("bad request: too long for a code"),
    }
}

/// The code of a text as PNG, in black and white; `None` if it is too long.
fn image(text: &str) -> Option<Vec<u8>> {
    if text.len() > URL_BYTES_MAX {
        return None;
    }
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (colors, width) = (code.to_colors(), code.width());
    let size = (width + 2 * MARGIN) * SCALE;
    let side = u32::try_from(size).ok()?;
    let mut points = vec![u8::MAX; size * size];
    for (index, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (row, column) = (index / width + MARGIN, index % width + MARGIN);
        for line in row * SCALE..(row + 1) * SCALE {
            let start = line * size + column * SCALE;
            points.get_mut(start..start + SCALE)?.fill(0);
        }
    }
    let mut image = Vec::new();
    let mut encoder = png::Encoder::new(&mut image, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&points).ok()?;
    writer.finish().ok()?;
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of the image, one for each of the code, dark ones true.
    fn read(image: &[u8]) -> (usize, Vec<bool>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
        let mut points = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut points).unwrap();
        let size = info.width as usize;
        let width = size / SCALE;
        let at = |index: usize| points[index / width * SCALE * size + index % width * SCALE] == 0;
        (width, (0..width * width).map(at).collect())
    }

    /// ISO/IEC 18004 §6.3.3: three corners have a square of 7, one dark in light in dark.
    #[test]
    fn the_image_shows_the_code_with_its_margin() {
        let text = "https://autoconfig.example.org/profile.mobileconfig?addresses=a@example.org";
        let (width, dark) = read(&image(text).unwrap());
        let inner = width - 2 * MARGIN;
        assert_eq!((inner - 17) % 4, 0);
        let row = |y: usize, x: usize| &dark[y * width + x..][..7];
        for (y, x) in [(MARGIN, MARGIN), (MARGIN, MARGIN + inner - 7), (MARGIN + inner - 7, MARGIN)]
        {
            assert_eq!(row(y, x), [true; 7]);
            assert_eq!(row(y + 1, x), [true, false, false, false, false, false, true]);
            assert_eq!(row(y + 3, x), [true, false, true, true, true, false, true]);
        }
        assert!(dark[..MARGIN * width].iter().all(|dark| !dark));
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        for (index, color) in code.to_colors().iter().enumerate() {
            let at = (index / inner + MARGIN) * width + index % inner + MARGIN;
            assert_eq!(dark[at], *color == Color::Dark);
        }
    }

    #[test]
    fn long_texts_have_no_code() {
        assert!(image(&"a".repeat(URL_BYTES_MAX)).is_some());
        assert!(image(&"a".repeat(URL_BYTES_MAX + 1)).is_none());
    }
}
