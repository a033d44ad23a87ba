//! The settings that the rendering of values depends on, fixed while a value is rendered, whatever the session has set.
//!
//! The variables behind the settings are set directly: a SET clause on the function costs 0.5 us per setting and call.
//! The settings as such do not change, and nothing but output functions runs meanwhile. search_path is not among them: it
//! takes more than a variable, and only names of objects depend on it (`Plan::names_objects`).

use std::ffi::c_int;

use pgrx::pg_sys;

unsafe extern "C" {
    // Not bound by pgrx.
    static mut bytea_output: c_int;
}

const BYTEA_OUTPUT_HEX: c_int = 1;

pub struct FixedSettings {
    timezone: *mut pg_sys::pg_tz,
    date_style: c_int,
    date_order: c_int,
    interval_style: c_int,
    bytea_style: c_int,
    float_digits: c_int,
    quote_all: bool,
}

impl FixedSettings {
    pub fn enter() -> Self {
        // SAFETY: plain globals of the backend; pg_tzset caches what it loads for the life of the process.
        unsafe {
            let saved = FixedSettings {
                timezone: pg_sys::session_timezone,
                date_style: pg_sys::DateStyle,
                date_order: pg_sys::DateOrder,
                interval_style: pg_sys::IntervalStyle,
                bytea_style: bytea_output,
                float_digits: pg_sys::extra_float_digits,
                quote_all: pg_sys::quote_all_identifiers,
            };
            pg_sys::session_timezone = utc();
            pg_sys::DateStyle = pg_sys::USE_ISO_DATES as c_int;
            pg_sys::DateOrder = pg_sys::DATEORDER_MDY as c_int;
            pg_sys::IntervalStyle = pg_sys::INTSTYLE_POSTGRES as c_int;
            bytea_output = BYTEA_OUTPUT_HEX;
            pg_sys::extra_float_digits = 1;
            pg_sys::quote_all_identifiers = false;
            saved
        }
    }
}

impl Drop for FixedSettings {
    fn drop(&mut self) {
        // SAFETY: plain stores, safe while unwinding.
        unsafe {
            pg_sys::session_timezone = self.timezone;
            pg_sys::DateStyle = self.date_style;
            pg_sys::DateOrder = self.date_order;
            pg_sys::IntervalStyle = self.interval_style;
            bytea_output = self.bytea_style;
            pg_sys::extra_float_digits = self.float_digits;
            pg_sys::quote_all_identifiers = self.quote_all;
        }
    }
}

fn utc() -> *mut pg_sys::pg_tz {
    use std::cell::Cell;
    thread_local! {
        static UTC: Cell<*mut pg_sys::pg_tz> = const { Cell::new(std::ptr::null_mut()) };
    }
    let mut zone = UTC.get();
    if zone.is_null() {
        // SAFETY: takes a C string; null would mean that the time zone data is missing altogether.
        zone = unsafe { pg_sys::pg_tzset(c"UTC".as_ptr()) };
        if zone.is_null() {
            crate::error::Error::Internal("time zone UTC is not known".into()).raise();
        }
        UTC.set(zone);
    }
    zone
}
