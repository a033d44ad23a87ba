//! The allocator: the system's, with a reserve for when that has nothing left.
//!
//! Rust ends the process when an allocation fails, and with it every session of the server. What is large or grows with data
//! asks for memory in a way that may be refused (`crate::bytes`, or Postgres' own allocator). What remains are pieces of a
//! few bytes: messages, map nodes, the state of an unwinding error. They come from here until the error is out, and nothing
//! else is begun before (`check`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::error::{Error, Result};

const SIZE: usize = 1 << 20;
/// What is larger has to ask in the other way.
const LARGEST: usize = 1 << 18;
const ALIGNMENT: usize = 16;

#[repr(align(16))]
struct Area(UnsafeCell<[u8; SIZE]>);

// SAFETY: handed out piece by piece, each byte once.
unsafe impl Sync for Area {}

static AREA: Area = Area(UnsafeCell::new([0; SIZE]));
/// So much of it is handed out, in so many pieces; nothing once all are given back.
static USED: AtomicUsize = AtomicUsize::new(0);
static PIECES: AtomicUsize = AtomicUsize::new(0);

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: the system's allocator, but for pieces of the area, which are told by their address and never overlap.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: caller's promise.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { take(layout) } else { memory }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_reserve(memory) {
            give_back();
        } else {
            // SAFETY: caller's promise, and not one of ours.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_reserve(memory) {
            // SAFETY: caller's promise, and not one of ours.
            let moved = unsafe { System.realloc(memory, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: caller's promise: the new size fits the old alignment.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

#[cold]
fn take(layout: Layout) -> *mut u8 {
    if layout.size() > LARGEST || layout.align() > ALIGNMENT {
        return std::ptr::null_mut();
    }
    let size = layout.size().next_multiple_of(ALIGNMENT);
    let start = USED.fetch_add(size, Relaxed);
    if start + size > SIZE {
        USED.fetch_sub(size, Relaxed);
        return std::ptr::null_mut();
    }
    PIECES.fetch_add(1, Relaxed);
    // SAFETY: within the area.
    unsafe { AREA.0.get().cast::<u8>().add(start) }
}

#[inline]
fn is_reserve(memory: *const u8) -> bool {
    (memory as usize).wrapping_sub(AREA.0.get() as usize) < SIZE
}

#[cold]
fn give_back() {
    if PIECES.fetch_sub(1, Relaxed) == 1 {
        USED.store(0, Relaxed);
    }
}

/// Refuses to go on, once the reserve is in use: asked before anything is begun, and within every loop over data.
#[inline]
pub fn check() -> Result<()> {
    match USED.load(Relaxed) {
        0 => Ok(()),
        bytes => refuse(bytes),
    }
}

#[cold]
fn refuse(bytes: usize) -> Result<()> {
    // What is kept for the session may have come from here while there was no memory: a quarter of it is not missed.
    if bytes > SIZE / 4 { Err(Error::OutOfMemory { bytes }) } else { Ok(()) }
}
