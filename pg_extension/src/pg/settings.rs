//! The context: settings of the session or the transaction that every event picks up.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{CStr, c_char};

use pgrx::pg_sys;

struct Setting {
    name: &'static CStr,
    description: &'static CStr,
    value: UnsafeCell<*mut c_char>,
    is_defined: Cell<bool>,
}

// SAFETY: a backend has one thread.
unsafe impl Sync for Setting {}

impl Setting {
    const fn new(name: &'static CStr, description: &'static CStr) -> Self {
        Setting { name, description, value: UnsafeCell::new(std::ptr::null_mut()), is_defined: Cell::new(false) }
    }

    fn get(&self) -> Option<&[u8]> {
        #[cfg(feature = "pg15")]
        unset::look();
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

const ALL: [&Setting; 4] = [&ACTOR, &CORRELATION_ID, &CAUSATION_ID, &METADATA];

impl Setting {
    /// Takes over a value that was set before.
    fn define(&self) {
        if self.is_defined.replace(true) {
            return;
        }
        // SAFETY: name, description and the place of the value live as long as the process.
        unsafe {
            pg_sys::DefineCustomStringVariable(
                self.name.as_ptr(),
                self.description.as_ptr(),
                std::ptr::null(),
                self.value.get(),
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

/// When the library is loaded.
pub fn define() {
    #[cfg(not(feature = "pg15"))]
    ALL.iter().for_each(|setting| setting.define());
}

/// A transaction has ended.
pub fn forget() {
    #[cfg(feature = "pg15")]
    unset::forget();
}

/// PostgreSQL 15 sorts all its settings for each one that is added: four of them took 0.7 ms of a new session's first change. So
/// here a setting is defined once somebody has set it, which takes the place of what the server has kept for it.
#[cfg(feature = "pg15")]
mod unset {
    use std::cell::Cell;
    use std::ffi::{CStr, c_char, c_int};

    use super::ALL;

    unsafe extern "C-unwind" {
        // Not through pgrx: they raise no errors, and every event asks. The first member of a setting is its name.
        fn GetNumConfigOptions() -> c_int;
        fn get_guc_variables() -> *const *const *const c_char;
    }

    const PREFIX: &CStr = c"domain_events.";

    thread_local! {
        /// How many settings there were when last looked, in this transaction.
        static LOOKED: Cell<c_int> = const { Cell::new(-1) };
        /// Where ours would begin when last looked: mostly they still would, which two comparisons tell instead of nine.
        static FIRST: Cell<usize> = const { Cell::new(0) };
    }

    /// A setting is added when it is set first. Only loading a library can take some away, so that as many are left.
    #[inline]
    pub fn look() {
        // SAFETY: a plain getter.
        if unsafe { GetNumConfigOptions() } != LOOKED.get() {
            look_again();
        }
    }

    pub fn forget() {
        LOOKED.set(-1);
    }

    #[cold]
    fn look_again() {
        // SAFETY: so many settings there are, in the order of their names; names are C strings.
        let set: Vec<_> = unsafe {
            let settings = std::slice::from_raw_parts(get_guc_variables(), GetNumConfigOptions() as usize);
            let name = |setting: &*const *const c_char| CStr::from_ptr(**setting);
            let is_before = |setting: &*const *const c_char| order(name(setting), PREFIX).is_lt();
            let mut first = FIRST.get().min(settings.len());
            if settings[..first].last().is_some_and(|last| !is_before(last))
                || settings.get(first).is_none_or(is_before)
            {
                first = settings.partition_point(is_before);
                FIRST.set(first);
            }
            let is_ours = |name: &&CStr| {
                let name = name.to_bytes();
                name.len() > PREFIX.count_bytes()
                    && name[..PREFIX.count_bytes()].eq_ignore_ascii_case(PREFIX.to_bytes())
            };
            let found = settings[first..].iter().map(name).take_while(is_ours);
            let is_set = |name: &CStr| found.clone().any(|found| order(found, name).is_eq());
            // Defining one frees the name that was found.
            ALL.into_iter().filter(|setting| !setting.is_defined.get() && is_set(setting.name)).collect()
        };
        set.into_iter().for_each(|setting| setting.define());
        // SAFETY: as above.
        LOOKED.set(unsafe { GetNumConfigOptions() });
    }

    /// As guc_name_compare(): whatever the locale is, and as the platform's characters are signed.
    fn order(a: &CStr, b: &CStr) -> std::cmp::Ordering {
        fn letters(name: &CStr) -> impl Iterator<Item = c_char> {
            name.to_bytes().iter().map(|letter| letter.to_ascii_lowercase() as c_char)
        }
        letters(a).cmp(letters(b))
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
