//! The context: settings of the session or the transaction that every event picks up.

use std::cell::{RefCell, UnsafeCell};
use std::ffi::{CStr, c_char};

use pgrx::pg_sys;

struct Setting {
    name: &'static CStr,
    description: &'static CStr,
    value: UnsafeCell<*mut c_char>,
}

// SAFETY: a backend has one thread.
unsafe impl Sync for Setting {}

impl Setting {
    const fn new(name: &'static CStr, description: &'static CStr) -> Self {
        Setting { name, description, value: UnsafeCell::new(std::ptr::null_mut()) }
    }

    fn get(&self) -> Option<&[u8]> {
        // SAFETY: the setting machinery keeps a valid C string or null there; it is not changed while we run.
        let value = unsafe {
            let value = *self.value.get();
            if value.is_null() {
                return None;
            }
            CStr::from_ptr(value).to_bytes()
        };
        (!value.is_empty()).then_some(value)
    }
}

static ACTOR: Setting = Setting::new(c"domain_events.actor", c"Who causes the events to come.");
static CORRELATION_ID: Setting =
    Setting::new(c"domain_events.correlation_id", c"Business operation the events to come belong to.");
static CAUSATION_ID: Setting =
    Setting::new(c"domain_events.causation_id", c"Command or event that leads to the events to come.");
static METADATA: Setting =
    Setting::new(c"domain_events.metadata", c"JSON object added to the metadata of the events to come.");

/// Takes over a value that was set before the library was loaded.
pub fn define() {
    for setting in [&ACTOR, &CORRELATION_ID, &CAUSATION_ID, &METADATA] {
        // SAFETY: name, description and the place of the value live as long as the process.
        unsafe {
            pg_sys::DefineCustomStringVariable(
                setting.name.as_ptr(),
                setting.description.as_ptr(),
                std::ptr::null(),
                setting.value.get(),
                c"".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                0,
                None,
                None,
                None,
            );
        }
    }
}

pub fn actor() -> Option<&'static [u8]> {
    ACTOR.get()
}

pub fn correlation_id() -> Option<&'static [u8]> {
    CORRELATION_ID.get()
}

pub fn causation_id() -> Option<&'static [u8]> {
    CAUSATION_ID.get()
}

pub fn metadata() -> Option<&'static [u8]> {
    METADATA.get()
}

unsafe extern "C-unwind" {
    // Not through pgrx, whose guard costs more than they do: they raise no errors.
    fn GetCurrentStatementStartTimestamp() -> pg_sys::TimestampTz;
    fn GetSessionUserId() -> pg_sys::Oid;
}

thread_local! {
    /// The session's user, asked once in a statement: when it began, who it is, the name.
    static USER: RefCell<(i64, u32, Vec<u8>)> = const { RefCell::new((0, 0, Vec::new())) };
}

/// The name of the session's user.
pub fn session_user<T>(read: impl FnOnce(&[u8]) -> T) -> T {
    // SAFETY: plain reads of the backend's state; the name is allocated in the current memory context.
    let (statement, user) = unsafe { (GetCurrentStatementStartTimestamp(), GetSessionUserId()) };
    if USER.with_borrow(|known| (known.0, known.1) != (statement, user.to_u32())) {
        // SAFETY: as above.
        let name = unsafe {
            let name = pg_sys::GetUserNameFromId(user, true);
            if name.is_null() { Vec::new() } else { CStr::from_ptr(name).to_bytes().to_vec() }
        };
        // Roles are the whole server's: the name may be of another database's encoding.
        let name = marked(&name).unwrap_or(name);
        USER.set((statement, user.to_u32(), name));
    }
    USER.with_borrow(|known| read(&known.2))
}

/// What stands for a text that came in past the parser, which alone checks the encoding, and is not valid: its first 2,000 bytes
/// with octal escapes, and a mark. `None` for a valid text. As domain_events._valid_text().
pub fn marked(value: &[u8]) -> Option<Vec<u8>> {
    if value.is_ascii() {
        return None;
    }
    // SAFETY: reads no further than the slice, and raises no error when told so.
    let is_valid = unsafe {
        pg_sys::pg_verify_mbstr(pg_sys::GetDatabaseEncoding(), value.as_ptr().cast(), value.len() as i32, true)
    };
    if is_valid {
        return None;
    }
    let mut marked = Vec::with_capacity(value.len().min(2000) * 4 + 64);
    for byte in value.iter().take(2000) {
        match byte {
            b'\\' => marked.extend_from_slice(b"\\\\"),
            0 | 128.. => marked.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            _ => marked.push(*byte),
        }
    }
    // SAFETY: a constant string of the server.
    let encoding = unsafe { CStr::from_ptr(pg_sys::GetDatabaseEncodingName()) };
    marked
        .extend_from_slice(format!(" [{} bytes, not valid in {}]", value.len(), encoding.to_string_lossy()).as_bytes());
    Some(marked)
}

/// The first `characters` characters of a valid text, in the server's encoding.
pub fn left(value: &[u8], characters: i32) -> &[u8] {
    // SAFETY: reads no further than the slice.
    let length = unsafe { pg_sys::pg_mbcharcliplen(value.as_ptr().cast(), value.len() as i32, characters) };
    &value[..(length as usize).min(value.len())]
}
