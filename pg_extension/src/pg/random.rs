//! Strong random bytes.

use pgrx::pg_sys;

use crate::error::Error;

pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // SAFETY: fills exactly N bytes.
    if !unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) } {
        Error::Internal("the system gave no random bytes".into()).raise();
    }
    bytes
}
