//! Numerics in their stored form, without the varlena header: what jsonb keeps numbers in.

use crate::bytes::{self, Bytes};

const NEGATIVE: u16 = 0x2000;
const SHORT: u16 = 0x8000;
const SHORT_SCALE_MAX: u32 = 63;
const SHORT_SCALE_SHIFT: u32 = 7;
const SHORT_SCALE_MASK: u16 = 0x1F80;
const LONG_SCALE_MASK: u16 = 0x3FFF;
const SHORT_WEIGHT_SIGN: u16 = 0x0040;
const SHORT_WEIGHT_MASK: u16 = 0x003F;
const LONG_NEGATIVE: u16 = 0x4000;
const SPECIAL: u16 = 0xC000;

/// Appends the image of an integer to `out`.
pub fn from_i64(value: i64, out: &mut Bytes) {
    let mut rest = value.unsigned_abs();
    let mut digits = [0i16; 5];
    let mut first = digits.len();
    while rest > 0 {
        first -= 1;
        digits[first] = (rest % 10_000) as i16;
        rest /= 10_000;
    }
    let digits = &digits[first..];
    image(value < 0, digits.len() as i32 - 1, 0, digits, out);
}

/// Appends the image of a decimal literal such as `-12.50` or `1.5e-7`; false, and nothing appended, if it is none.
pub fn from_decimal(text: &[u8], out: &mut Bytes) -> bool {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        body => (false, body),
    };
    let mut exponent = 0i32;
    let mut mantissa = body;
    if let Some(at) = body.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        let parsed = std::str::from_utf8(&body[at + 1..]).ok().and_then(|text| text.parse().ok());
        let Some(parsed) = parsed else { return false };
        (mantissa, exponent) = (&body[..at], parsed);
    }
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &mantissa[..0]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return false;
    }
    let scale = (fraction.len() as i32 - exponent).max(0) as u32;
    // Decimal position of the point, counted from the first digit.
    let point = whole.len() as i32 + exponent;
    let decimals = whole.iter().chain(fraction).map(|byte| byte - b'0');

    // Groups of four decimals, aligned to the point.
    let weight = if point > 0 { (point - 1).div_euclid(4) } else { -1 - (-point).div_euclid(4) };
    let lead = (weight + 1) * 4 - point;
    let groups = (lead as usize + whole.len() + fraction.len()).div_ceil(4);
    let mut digits = bytes::filled(0i16, groups);
    for (position, decimal) in decimals.enumerate() {
        let at = lead as usize + position;
        digits[at / 4] += i16::from(decimal) * [1000, 100, 10, 1][at % 4];
    }
    image(negative, weight, scale, &digits, out);
    true
}

/// A numeric's stored image that jsonb can take as it is: not NaN or infinite, and in the short form new values get.
pub fn is_plain(image: &[u8]) -> bool {
    header(image).is_some_and(|header| header & SPECIAL == SHORT)
}

/// The value of an integral numeric that fits; anything else gives `None`.
pub fn to_i64(image: &[u8]) -> Option<i64> {
    let header = header(image)?;
    let (negative, weight, digits) = if header & SHORT != 0 {
        let weight = i32::from(header & SHORT_WEIGHT_MASK);
        let weight = if header & SHORT_WEIGHT_SIGN != 0 { weight - 64 } else { weight };
        (header & NEGATIVE != 0, weight, &image[2..])
    } else {
        let weight = i16::from_ne_bytes(image.get(2..4)?.try_into().ok()?);
        (header & LONG_NEGATIVE != 0, i32::from(weight), &image[4..])
    };
    let mut value = 0i64;
    for position in 0..=weight.max(-1) {
        let at = position as usize * 2;
        let digit = digits.get(at..at + 2).and_then(|digit| digit.try_into().ok()).map_or(0, i16::from_ne_bytes);
        value = value.checked_mul(10_000)?.checked_add(i64::from(digit))?;
    }
    Some(if negative { -value } else { value })
}

/// Bytes of the text that numeric_out() gives.
pub fn text_length(image: &[u8]) -> u64 {
    let Some(header) = header(image) else { return 0 };
    let (is_negative, scale, weight, digits) = if header & SHORT != 0 {
        let weight = i64::from(header & SHORT_WEIGHT_MASK);
        let weight = if header & SHORT_WEIGHT_SIGN != 0 { weight - 64 } else { weight };
        let scale = (header & SHORT_SCALE_MASK) >> SHORT_SCALE_SHIFT;
        (header & NEGATIVE != 0, scale, weight, image.get(2..4))
    } else {
        let weight = image.get(2..4).and_then(|word| word.try_into().ok()).map_or(0, i16::from_ne_bytes);
        (header & LONG_NEGATIVE != 0, header & LONG_SCALE_MASK, i64::from(weight), image.get(4..6))
    };
    let first = digits.and_then(|word| word.try_into().ok()).map_or(0, i16::from_ne_bytes);
    let whole = if weight < 0 || digits.is_none() {
        1
    } else {
        let lead = if first >= 1000 {
            4
        } else if first >= 100 {
            3
        } else if first >= 10 {
            2
        } else {
            1
        };
        lead + 4 * weight as u64
    };
    u64::from(is_negative) + whole + if scale > 0 { 1 + u64::from(scale) } else { 0 }
}

fn header(image: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(image.get(..2)?.try_into().ok()?))
}

fn image(negative: bool, mut weight: i32, scale: u32, digits: &[i16], out: &mut Bytes) {
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let mut digits = &digits[leading..];
    weight -= leading as i32;
    let trailing = digits.iter().rev().take_while(|digit| **digit == 0).count();
    digits = &digits[..digits.len() - trailing];
    let mut negative = negative;
    if digits.is_empty() {
        (weight, negative) = (0, false);
    }
    if scale <= SHORT_SCALE_MAX && (-64..=63).contains(&weight) {
        let header = SHORT
            | if negative { NEGATIVE } else { 0 }
            | (scale << SHORT_SCALE_SHIFT) as u16
            | if weight < 0 { SHORT_WEIGHT_SIGN } else { 0 }
            | (weight as u16 & SHORT_WEIGHT_MASK);
        out.extend(&header.to_ne_bytes());
    } else {
        let header = if negative { LONG_NEGATIVE } else { 0 } | scale as u16;
        out.extend(&header.to_ne_bytes());
        out.extend(&(weight as i16).to_ne_bytes());
    }
    for digit in digits {
        out.extend(&digit.to_ne_bytes());
    }
}
