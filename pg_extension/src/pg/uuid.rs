//! Version 7 UUIDs: 48 bits of milliseconds, then random bits.

use std::cell::RefCell;

use super::random;

/// Random bytes are drawn in blocks: one system call per 25 ids instead of one each.
const BLOCK: usize = 250;
/// Milliseconds from 1970 to 2000, where Postgres' clock starts.
const EPOCH: i64 = 946_684_800_000;

struct Pool {
    bytes: [u8; BLOCK],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; BLOCK], used: BLOCK }) };
}

/// `clock` is in microseconds since 2000.
pub fn v7(clock: i64) -> [u8; 16] {
    let mut id = [0u8; 16];
    let milliseconds = ((clock.div_euclid(1000) + EPOCH) as u64).to_be_bytes();
    id[..6].copy_from_slice(&milliseconds[2..]);
    POOL.with_borrow_mut(|pool| {
        if pool.used + 10 > BLOCK {
            pool.bytes = random::bytes();
            pool.used = 0;
        }
        id[6..].copy_from_slice(&pool.bytes[pool.used..pool.used + 10]);
        pool.used += 10;
    });
    id[6] = (id[6] & 0x0f) | 0x70;
    id[8] = (id[8] & 0x3f) | 0x80;
    id
}

pub fn to_text(id: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (position, byte) in id.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
    text
}
