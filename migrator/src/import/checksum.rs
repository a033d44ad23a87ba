//! Sums over the events of every stream, made here and by the server, which must agree.
//!
//! A stream falls into one of 65,536 buckets; a bucket holds the number of its events and the sum of their hashes, so that
//! memory does not grow with the import and order does not matter. The hash is the server's `hashtextextended`.

/// Number of buckets.
pub const BUCKETS: usize = 65_536;

/// Separates the parts of an event's text.
pub const SEPARATOR: u8 = 0x1f;
/// Stands for NULL.
pub const NULL: u8 = 0x1e;

/// Count and sum of each bucket.
#[derive(Debug, Clone)]
pub struct Sums(Vec<(u64, i128)>);

impl Default for Sums {
    fn default() -> Self {
        Self(vec![(0, 0); BUCKETS])
    }
}

impl Sums {
    /// Adds an event by the hash of its stream and its own.
    pub fn add(&mut self, stream: u64, event: u64) {
        let (count, sum) = &mut self.0[bucket(stream)];
        *count += 1;
        *sum += i128::from(event.cast_signed());
    }

    /// Count and sum of a bucket.
    pub fn get(&self, bucket: usize) -> (u64, i128) {
        self.0.get(bucket).copied().unwrap_or_default()
    }

    /// Buckets that are not empty.
    pub fn used(&self) -> impl Iterator<Item = usize> + '_ {
        (0..BUCKETS).filter(|b| self.0[*b].0 > 0)
    }
}

/// The bucket of a stream.
pub fn bucket(stream: u64) -> usize {
    (stream & (BUCKETS as u64 - 1)) as usize
}

/// Hash of a stream: `hashtextextended(id, hashtextextended(type, 0))`.
pub fn stream(aggregate_type: &[u8], aggregate_id: &[u8]) -> u64 {
    hash(aggregate_id, hash(aggregate_type, 0))
}

/// PostgreSQL's `hashtextextended`: Bob Jenkins' lookup3 with 64 bits of seed and result.
pub fn hash(text: &[u8], seed: u64) -> u64 {
    let start = 0x9e37_79b9u32.wrapping_add(text.len() as u32).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start, start, start);
    if seed != 0 {
        a = a.wrapping_add((seed >> 32) as u32);
        b = b.wrapping_add(seed as u32);
        (a, b, c) = mix(a, b, c);
    }
    let mut blocks = text.chunks_exact(12);
    let word = |bytes: &[u8], at: usize| {
        let part = |i: usize| u32::from(bytes.get(at + i).copied().unwrap_or(0)) << (8 * i);
        part(0) | part(1) | part(2) | part(3)
    };
    for block in &mut blocks {
        a = a.wrapping_add(word(block, 0));
        b = b.wrapping_add(word(block, 4));
        c = c.wrapping_add(word(block, 8));
        (a, b, c) = mix(a, b, c);
    }
    let rest = blocks.remainder();
    a = a.wrapping_add(word(rest, 0));
    b = b.wrapping_add(word(rest, 4));
    // the lowest byte is the length's
    c = c.wrapping_add(word(rest, 8) << 8);
    let (b, c) = finish(a, b, c);
    u64::from(b) << 32 | u64::from(c)
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

fn finish(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (b, c)
}

#[cfg(test)]
mod tests {
    use super::hash;

    // select hashtextextended(..) of PostgreSQL 15
    #[test]
    fn it_is_the_servers_hash() {
        for (text, seed, want) in HASHES {
            assert_eq!(hash(text.as_bytes(), *seed).cast_signed(), *want, "{text} {seed}");
        }
    }

    const HASHES: &[(&str, u64, i64)] = &[
        ("", 0, -6939563903564495251),
        ("", 7, 2755504096093790112),
        ("a", 0, 3591986179850072241),
        ("User", 0, -6085543170713601247),
        ("abcdefghijk", 1, 8196382510784792041),
        ("abcdefghijkl", 1, -6429754808531195817),
        ("abcdefghijklm", u64::MAX, 6205390682044465928),
        ("abcdefghijklmnopqrstuvwxyz0123456789\u{e9}", 123456789012, 9131629198684533744),
    ];
}
